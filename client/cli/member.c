/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What import and transact read alike.
 */
#include "client/cli/member.h"

#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/parse.h"
#include "client/cli/text.h"

bool member_is(const struct object_member *member, const char *name)
{
    POLARYS_ASSERT(name != NULL);
    return member->name_size == strlen(name) && memcmp(member->name, name, member->name_size) == 0;
}

bool member_find(struct polarys_slice text, const char *name, struct object_member *member)
{
    struct object_walk walk;

    POLARYS_ASSERT(name != NULL);
    if (!object_walk_init(&walk, (const char *)text.data, text.size)) {
        return false;
    }
    while (object_walk_next(&walk, member)) {
        if (member_is(member, name)) {
            return true;
        }
    }
    return false;
}

bool member_base64_take(const struct object_member *member, uint8_t **bytes, size_t *capacity,
                        size_t *size)
{
    size_t text_size = member->value_size;
    char *text;

    POLARYS_ASSERT(member->value != NULL || member->value_size == 0);
    *size = 0;
    if (text_size < 2 || member->value[0] != '"') {
        return false;
    }
    /* The text is put behind the room for the bytes, so that it can be decoded there. */
    size_t needed = text_base64_room(text_size) + text_size;
    if (needed > *capacity) {
        uint8_t *grown = realloc(*bytes, needed);
        if (grown == NULL) {
            return false;
        }
        *bytes = grown;
        *capacity = needed;
    }
    if (*bytes == NULL) {
        return false;
    }
    text = (char *)*bytes + text_base64_room(text_size);
    size_t count = 0;
    for (size_t i = 1; i + 1 < text_size; i++) {
        if (member->value[i] != '\\' || member->value[i + 1] != '/') {
            text[count++] = member->value[i];
        }
    }
    return text_base64_decode(text, count, *bytes, size);
}

bool member_time_take(const struct object_member *member, char text[MEMBER_TIME_ROOM],
                      uint64_t *unix_ms)
{
    size_t size = member->value_size;

    POLARYS_ASSERT(unix_ms != NULL);
    bool is_text = size >= 2 && member->value[0] == '"';
    size_t shown = is_text ? size - 2 : size;
    if (shown >= MEMBER_TIME_ROOM) {
        is_text = false;
        shown = MEMBER_TIME_ROOM - 1;
    }
    memcpy(text, member->value + (is_text ? 1 : 0), shown);
    text[shown] = '\0';
    return is_text && parse_time_ms(text, unix_ms);
}
