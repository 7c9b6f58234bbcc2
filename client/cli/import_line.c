/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine judges the JSON, so an import refuses what the server would refuse, and can name the line.
 */
#include "client/cli/import_line.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/json_text.h"
#include "client/cli/member.h"
#include "client/cli/parse.h"
#include "client/cli/text.h"

static bool fault_set(struct import_fault *fault, const char *reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Always false. */
static bool fault_set(struct import_fault *fault, const char *reason, const char *format, ...)
{
    va_list args;

    POLARYS_ASSERT(fault != NULL);
    fault->has_offset = false;
    (void)snprintf(fault->reason, sizeof(fault->reason), "%s", reason);
    va_start(args, format);
    (void)vsnprintf(fault->message, sizeof(fault->message), format, args);
    va_end(args);
    return false;
}

static bool fault_from_engine(struct import_fault *fault, const struct polarys_error *err)
{
    const char *offset = polarys_error_detail_find(err, "offset");
    (void)fault_set(fault, polarys_code_name(err->code), "%s", err->message);
    fault->has_offset = offset != NULL && parse_number(offset, &fault->offset);
    return false;
}

/* The text of a string or number member as the key. */
static bool key_take(struct import_line *line, struct polarys_slice text, const char *name,
                     struct import_fault *fault)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    size_t size = 0;
    enum polarys_code code =
        polarys_json_member_text(text, name, line->key, sizeof(line->key), &size, &err);

    if (code == POLARYS_KEY_NOT_FOUND) {
        return fault_set(fault, "BAD_KEY", "no string or number \"%s\" to take the key from", name);
    }
    if (code == POLARYS_TOO_LARGE) {
        return fault_set(fault, "BAD_KEY", "\"%s\" has more than %d bytes", name,
                         POLARYS_KEY_BYTES_MAX);
    }
    if (code != POLARYS_OK) {
        return fault_from_engine(fault, &err);
    }
    line->record.key = line->key;
    line->record.key_size = size;
    return true;
}

static bool key_base64_take(struct import_line *line, const struct object_member *member,
                            struct import_fault *fault)
{
    uint8_t *bytes = NULL;
    size_t capacity = 0;
    size_t size = 0;
    bool is_ok = member_base64_take(member, &bytes, &capacity, &size);

    if (!is_ok) {
        (void)fault_set(fault, "BAD_KEY", "\"key_base64\" is no base64 text");
    } else if (size > POLARYS_KEY_BYTES_MAX) {
        is_ok = fault_set(fault, "BAD_KEY", "a key of %zu bytes; it may have 1 to %d", size,
                          POLARYS_KEY_BYTES_MAX);
    } else {
        memcpy(line->key, bytes, size);
        line->record.key = line->key;
        line->record.key_size = size;
    }
    free(bytes);
    return is_ok;
}

static bool raw_take(struct import_line *line, const struct object_member *member,
                     struct import_fault *fault)
{
    size_t size;
    if (!member_base64_take(member, &line->raw, &line->raw_capacity, &size)) {
        return fault_set(fault, "BAD_ARGUMENT", "\"raw\" is no base64 text");
    }
    line->record.kind = POLARYS_CLIENT_RAW;
    line->record.value = line->raw;
    line->record.value_size = size;
    return true;
}

static bool expiry_take(struct import_line *line, const struct object_member *member,
                        struct import_fault *fault)
{
    char text[MEMBER_TIME_ROOM];

    if (!member_time_take(member, text, &line->record.expires_at_ms)) {
        return fault_set(fault, "BAD_ARGUMENT",
                         "\"expires_at\" is '%s', not a time such as 2026-01-02T03:04:05Z", text);
    }
    line->is_delete = line->record.expires_at_ms <= line->now_ms;
    return true;
}

static bool member_take(struct import_line *line, struct polarys_slice text,
                        const struct object_member *member, struct import_fault *fault)
{
    if (member_is(member, "key")) {
        return key_take(line, text, "key", fault);
    }
    if (member_is(member, "key_base64")) {
        return key_base64_take(line, member, fault);
    }
    if (member_is(member, "value")) {
        line->record.kind = POLARYS_CLIENT_JSON;
        line->record.value = member->value;
        line->record.value_size = member->value_size;
        return true;
    }
    if (member_is(member, "raw")) {
        return raw_take(line, member, fault);
    }
    if (member_is(member, "expires_at")) {
        return expiry_take(line, member, fault);
    }
    /* What scan and get say besides: not to be written. */
    if (member_is(member, "version") || member_is(member, "commit_time")) {
        return true;
    }
    return fault_set(fault, "BAD_ARGUMENT",
                     "member \"%.*s\" is none of key, key_base64, value, raw and expires_at; if "
                     "the line is the document, say --key-field",
                     (int)(member->name_size < 64 ? member->name_size : 64), member->name);
}

static bool members_read(struct import_line *line, struct polarys_slice text,
                         struct import_fault *fault)
{
    struct object_walk walk;
    struct object_member member;

    if (!object_walk_init(&walk, (const char *)text.data, text.size)) {
        return fault_set(fault, "BAD_ARGUMENT", "the line is no object");
    }
    while (object_walk_next(&walk, &member)) {
        if (!member_take(line, text, &member, fault)) {
            return false;
        }
    }
    if (line->record.key == NULL) {
        return fault_set(fault, "BAD_KEY", "no member \"key\"");
    }
    if (line->record.value == NULL && !line->is_delete) {
        return fault_set(fault, "BAD_ARGUMENT", "no member \"value\" or \"raw\"");
    }
    return true;
}

/* Drops white space around the document. */
static struct polarys_slice trimmed(const char *text, size_t size)
{
    static const char space[] = " \t\r\n";
    while (size > 0 && text[0] != '\0' && strchr(space, text[0]) != NULL) {
        text++;
        size--;
    }
    while (size > 0 && text[size - 1] != '\0' && strchr(space, text[size - 1]) != NULL) {
        size--;
    }
    struct polarys_slice slice = {(const uint8_t *)text, size};
    return slice;
}

bool import_line_read(struct import_line *line, const char *text, size_t size,
                      struct import_fault *fault)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_slice document = trimmed(text, size);

    POLARYS_ASSERT(line->value_bytes_max > 0);
    memset(&line->record, 0, sizeof(line->record));
    line->is_delete = false;
    if (polarys_json_check((struct polarys_slice){(const uint8_t *)text, size}, &err) !=
        POLARYS_OK) {
        return fault_from_engine(fault, &err);
    }
    if (line->key_field == NULL) {
        if (!members_read(line, document, fault)) {
            return false;
        }
    } else {
        if (!key_take(line, document, line->key_field, fault)) {
            return false;
        }
        line->record.value = document.data;
        line->record.value_size = document.size;
    }
    if (line->record.key_size == 0 || line->record.key_size > POLARYS_KEY_BYTES_MAX) {
        return fault_set(fault, "BAD_KEY", "a key of %zu bytes; it may have 1 to %d",
                         line->record.key_size, POLARYS_KEY_BYTES_MAX);
    }
    if (line->record.value_size > line->value_bytes_max) {
        return fault_set(fault, "TOO_LARGE", "a value of %zu bytes; it may have %llu",
                         line->record.value_size, (unsigned long long)line->value_bytes_max);
    }
    return true;
}

void import_line_deinit(struct import_line *line)
{
    free(line->raw);
    line->raw = NULL;
    line->raw_capacity = 0;
}
