/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine judges JSON here as the server will, so nothing is accepted that could not be written later.
 */
#include "client/cli/polarysdb_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/text.h"
#include "engine/engine.h"

/* The first byte of a value. */
enum value_tag {
    TAG_NIL = 0,
    TAG_BYTES = 1,
    TAG_TEXT = 2,
    TAG_INT = 3,
    TAG_UNSIGNED = 4,
    TAG_FLOAT = 5,
    TAG_BOOL = 6,
    TAG_JSON = 7,
};

static enum polarysdb_value_result take(struct polarysdb_change *change, enum polarysdb_kind kind,
                                        const void *value, size_t size)
{
    change->kind = kind;
    change->value = value;
    change->value_size = size;
    return POLARYSDB_VALUE_TAKEN;
}

static enum polarysdb_value_result take_word(struct polarysdb_change *change, const char *word)
{
    return take(change, POLARYSDB_JSON, word, strlen(word));
}

static enum polarysdb_value_result bad(const char **why, const char *text)
{
    *why = text;
    return POLARYSDB_VALUE_BAD;
}

/* Text as a JSON string; what is no UTF-8 has no such string. */
static enum polarysdb_value_result take_text(struct polarysdb_store *store, const uint8_t *bytes,
                                             size_t size, struct polarysdb_change *change)
{
    char *quoted = NULL;
    size_t quoted_size = 0;

    if (!text_is_utf8(bytes, size)) {
        return take(change, POLARYSDB_RAW, bytes, size);
    }
    FILE *memory = open_memstream(&quoted, &quoted_size);
    if (memory == NULL) {
        return POLARYSDB_VALUE_NO_MEMORY;
    }
    text_json_string_write(memory, bytes, size);
    bool is_whole = ferror(memory) == 0;
    is_whole = fclose(memory) == 0 && is_whole;
    char *kept = is_whole ? polarysdb_store_allocate(store, quoted_size) : NULL;
    if (kept != NULL) {
        memcpy(kept, quoted, quoted_size);
    }
    free(quoted);
    return kept != NULL ? take(change, POLARYSDB_JSON, kept, quoted_size)
                        : POLARYSDB_VALUE_NO_MEMORY;
}

/* 1: JSON; 0: not; -1: no memory. */
static int json_judge(const uint8_t *bytes, size_t size)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    enum polarys_code code = polarys_json_check((struct polarys_slice){bytes, size}, &err);

    POLARYS_ASSERT(bytes != NULL || size == 0);
    return code == POLARYS_OK ? 1 : code == POLARYS_NO_MEMORY ? -1 : 0;
}

/* Decimal text that is a JSON number, without white space around it. */
static bool is_number(const uint8_t *bytes, size_t size, bool is_whole_number)
{
    if (size == 0 || (bytes[0] != '-' && (bytes[0] < '0' || bytes[0] > '9')) ||
        bytes[size - 1] < '0' || bytes[size - 1] > '9') {
        return false;
    }
    for (size_t i = 1; is_whole_number && i < size; i++) {
        if (bytes[i] < '0' || bytes[i] > '9') {
            return false;
        }
    }
    return true;
}

static enum polarysdb_value_result take_json(const uint8_t *bytes, size_t size,
                                             struct polarysdb_change *change, const char **why,
                                             const char *fault)
{
    int judgement = json_judge(bytes, size);

    if (judgement < 0) {
        return POLARYSDB_VALUE_NO_MEMORY;
    }
    return judgement == 0 ? bad(why, fault) : take(change, POLARYSDB_JSON, bytes, size);
}

static enum polarysdb_value_result take_number(const uint8_t *bytes, size_t size, uint8_t tag,
                                               struct polarysdb_change *change, const char **why)
{
    static const char fault[] = "its number is none that JSON can hold";

    if (!is_number(bytes, size, tag != TAG_FLOAT) || (tag == TAG_UNSIGNED && bytes[0] == '-')) {
        return bad(why, fault);
    }
    return take_json(bytes, size, change, why, fault);
}

enum polarysdb_value_result polarysdb_value_read_tagged(struct polarysdb_store *store,
                                                        const uint8_t *bytes, size_t size,
                                                        struct polarysdb_change *change,
                                                        const char **why)
{
    POLARYS_ASSERT(bytes != NULL || size == 0);
    if (size == 0) {
        return take_word(change, "null");
    }
    uint8_t tag = bytes[0];
    bytes++;
    size--;
    switch (tag) {
    case TAG_NIL:
        return size == 0 ? take_word(change, "null") : bad(why, "bytes follow its nil value");
    case TAG_BYTES:
        return take(change, POLARYSDB_RAW, bytes, size);
    case TAG_TEXT:
        return take_text(store, bytes, size, change);
    case TAG_INT:
    case TAG_UNSIGNED:
    case TAG_FLOAT:
        return take_number(bytes, size, tag, change, why);
    case TAG_BOOL:
        return size == 1 && bytes[0] <= 1 ? take_word(change, bytes[0] == 1 ? "true" : "false")
                                          : bad(why, "its boolean is neither 0 nor 1");
    case TAG_JSON:
        return take_json(bytes, size, change, why,
                         "its value is no JSON that the server takes (UTF-8, no name twice in an "
                         "object, at most 100 levels)");
    default:
        return bad(why, "its value has a type that no version up to 2.1 writes");
    }
}

enum polarysdb_value_result polarysdb_value_read_untagged(struct polarysdb_store *store,
                                                          const uint8_t *bytes, size_t size,
                                                          struct polarysdb_change *change)
{
    POLARYS_ASSERT(bytes != NULL || size == 0);
    if (size == 0) {
        return take_word(change, "null");
    }
    int judgement = json_judge(bytes, size);
    if (judgement < 0) {
        return POLARYSDB_VALUE_NO_MEMORY;
    }
    return judgement > 0 ? take(change, POLARYSDB_JSON, bytes, size)
                         : take_text(store, bytes, size, change);
}
