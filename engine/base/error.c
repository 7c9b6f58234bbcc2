/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the text of errors: formatting, prefixing and cutting, without allocating. The invariant
 * is that every string in a struct polarys_error is NUL-terminated, also when it was cut, and
 * that a cut never splits a UTF-8 character. It knows nothing of gRPC statuses; the service maps
 * codes.
 */
#include "engine/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"

static const char *const code_names[POLARYS_CODE_COUNT] = {
    [POLARYS_OK] = "OK",
    [POLARYS_BAD_NAME] = "BAD_NAME",
    [POLARYS_BAD_KEY] = "BAD_KEY",
    [POLARYS_BAD_ARGUMENT] = "BAD_ARGUMENT",
    [POLARYS_BAD_MESSAGE] = "BAD_MESSAGE",
    [POLARYS_BAD_JSON] = "BAD_JSON",
    [POLARYS_BAD_FILTER] = "BAD_FILTER",
    [POLARYS_BAD_PAGE_TOKEN] = "BAD_PAGE_TOKEN",
    [POLARYS_TOO_LARGE] = "TOO_LARGE",
    [POLARYS_REQUEST_ID_REUSED] = "REQUEST_ID_REUSED",
    [POLARYS_DATABASE_NOT_FOUND] = "DATABASE_NOT_FOUND",
    [POLARYS_SLOT_NOT_FOUND] = "SLOT_NOT_FOUND",
    [POLARYS_TABLE_NOT_FOUND] = "TABLE_NOT_FOUND",
    [POLARYS_KEY_NOT_FOUND] = "KEY_NOT_FOUND",
    [POLARYS_INDEX_NOT_FOUND] = "INDEX_NOT_FOUND",
    [POLARYS_TXN_NOT_FOUND] = "TXN_NOT_FOUND",
    [POLARYS_DATABASE_EXISTS] = "DATABASE_EXISTS",
    [POLARYS_TABLE_EXISTS] = "TABLE_EXISTS",
    [POLARYS_INDEX_EXISTS] = "INDEX_EXISTS",
    [POLARYS_KEY_EXISTS] = "KEY_EXISTS",
    [POLARYS_UNIQUE_VIOLATION] = "UNIQUE_VIOLATION",
    [POLARYS_VERSION_MISMATCH] = "VERSION_MISMATCH",
    [POLARYS_TXN_CONFLICT] = "TXN_CONFLICT",
    [POLARYS_TXN_TOO_OLD] = "TXN_TOO_OLD",
    [POLARYS_DEADLOCK] = "DEADLOCK",
    [POLARYS_LOCK_TIMEOUT] = "LOCK_TIMEOUT",
    [POLARYS_NOT_PRIMARY] = "NOT_PRIMARY",
    [POLARYS_SHARD_MOVED] = "SHARD_MOVED",
    [POLARYS_WRONG_STORE] = "WRONG_STORE",
    [POLARYS_WRONG_MASTER_KEY] = "WRONG_MASTER_KEY",
    [POLARYS_HISTORY_DIVERGED] = "HISTORY_DIVERGED",
    [POLARYS_INDEX_BUILDING] = "INDEX_BUILDING",
    [POLARYS_FIELD_MISMATCH] = "FIELD_MISMATCH",
    [POLARYS_READ_ONLY] = "READ_ONLY",
    [POLARYS_FOLLOWER_LACKS_KEY] = "FOLLOWER_LACKS_KEY",
    [POLARYS_QUORUM_UNREACHABLE] = "QUORUM_UNREACHABLE",
    [POLARYS_STORE_LOCKED] = "STORE_LOCKED",
    [POLARYS_UNSUPPORTED_FORMAT] = "UNSUPPORTED_FORMAT",
    [POLARYS_HISTORY_PRUNED] = "HISTORY_PRUNED",
    [POLARYS_FUTURE_VERSION] = "FUTURE_VERSION",
    [POLARYS_CURSOR_EXPIRED] = "CURSOR_EXPIRED",
    [POLARYS_LOG_PRUNED] = "LOG_PRUNED",
    [POLARYS_DISK_LOW] = "DISK_LOW",
    [POLARYS_MEMORY_LIMIT] = "MEMORY_LIMIT",
    [POLARYS_TOO_MANY_CALLS] = "TOO_MANY_CALLS",
    [POLARYS_WRITE_STALL] = "WRITE_STALL",
    [POLARYS_WATCH_TOO_SLOW] = "WATCH_TOO_SLOW",
    [POLARYS_DRAINING] = "DRAINING",
    [POLARYS_NO_PRIMARY] = "NO_PRIMARY",
    [POLARYS_REPLICA_BEHIND] = "REPLICA_BEHIND",
    [POLARYS_QUORUM_TIMEOUT] = "QUORUM_TIMEOUT",
    [POLARYS_WAIT_TIMEOUT] = "WAIT_TIMEOUT",
    [POLARYS_CANCELLED] = "CANCELLED",
    [POLARYS_BAD_TOKEN] = "BAD_TOKEN",
    [POLARYS_TOKEN_EXPIRED] = "TOKEN_EXPIRED",
    [POLARYS_PERMISSION_DENIED] = "PERMISSION_DENIED",
    [POLARYS_CORRUPT] = "CORRUPT",
    [POLARYS_TAMPERED] = "TAMPERED",
    [POLARYS_IO] = "IO",
    [POLARYS_FILE_NOT_FOUND] = "FILE_NOT_FOUND",
    [POLARYS_NO_MEMORY] = "NO_MEMORY",
    [POLARYS_UNIMPLEMENTED] = "UNIMPLEMENTED",
    [POLARYS_BUG] = "BUG",
    [POLARYS_WOULD_BLOCK] = "WOULD_BLOCK",
};

/* The length at which to cut `text` so that no character of its last four bytes stays
 * incomplete. */
static size_t text_cut_length(const char *text, size_t length)
{
    size_t start = length;
    while (start > 0 && length - start < 4 && ((uint8_t)text[start - 1] & 0xc0) == 0x80) {
        start--;
    }
    if (start == 0 || (uint8_t)text[start - 1] < 0xc0) {
        return length; /* ends in ASCII, or is not UTF-8 at all */
    }
    uint8_t lead = (uint8_t)text[start - 1];
    size_t wanted = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    return length - start + 1 < wanted ? start - 1 : length;
}

/* Formats into `text` (`capacity` bytes, more than 0) and returns the length kept. */
POLARYS_PRINTF(3, 0)
static size_t text_format(char *text, size_t capacity, const char *format, va_list arguments)
{
    int wanted = vsnprintf(text, capacity, format, arguments);
    if (wanted < 0) {
        text[0] = '\0';
        return 0;
    }
    if ((size_t)wanted < capacity) {
        return (size_t)wanted;
    }
    size_t length = text_cut_length(text, capacity - 1);
    text[length] = '\0';
    return length;
}

/* Appends `more` to a text of `length` bytes as far as there is room, and returns the new
 * length. */
static size_t text_append(char *text, size_t capacity, size_t length, const char *more)
{
    POLARYS_ASSERT(length < capacity);
    size_t size = strlen(more);
    size_t room = capacity - 1 - length;
    bool is_cut = size > room;
    memcpy(text + length, more, is_cut ? room : size);
    length += is_cut ? room : size;
    length = is_cut ? text_cut_length(text, length) : length;
    text[length] = '\0';
    return length;
}

void polarys_error_clear(struct polarys_error *err)
{
    if (err != NULL) {
        err->code = POLARYS_OK;
        err->retry_after_ms = 0;
        err->detail_count = 0;
        err->message[0] = '\0';
    }
}

/* The message is made beside `err` first, because an argument may point into it. */
static void error_set(struct polarys_error *err, enum polarys_code code, const char *message)
{
    polarys_error_clear(err);
    err->code = code;
    (void)text_append(err->message, sizeof(err->message), 0, message);
}

enum polarys_code polarys_fail(struct polarys_error *err, enum polarys_code code,
                               const char *format, ...)
{
    POLARYS_ASSERT(code != POLARYS_OK);
    if (err != NULL) {
        char message[POLARYS_ERROR_MESSAGE_MAX];
        va_list arguments;
        va_start(arguments, format);
        (void)text_format(message, sizeof(message), format, arguments);
        va_end(arguments);
        error_set(err, code, message);
    }
    return code;
}

enum polarys_code polarys_wrap(struct polarys_error *err, enum polarys_code code,
                               const char *format, ...)
{
    POLARYS_ASSERT(code != POLARYS_OK);
    if (err != NULL) {
        char message[POLARYS_ERROR_MESSAGE_MAX];
        va_list arguments;
        va_start(arguments, format);
        size_t length = text_format(message, sizeof(message), format, arguments);
        va_end(arguments);
        if (err->message[0] != '\0') {
            length = text_append(message, sizeof(message), length, ": ");
            (void)text_append(message, sizeof(message), length, err->message);
        }
        err->code = code;
        memcpy(err->message, message, sizeof(message));
    }
    return code;
}

static enum polarys_code code_of_errno(int error_number)
{
    switch (error_number) {
    case ENOSPC:
    case EDQUOT:
        return POLARYS_DISK_LOW;
    case ENOENT:
        return POLARYS_FILE_NOT_FOUND;
    case ENOMEM:
        return POLARYS_NO_MEMORY;
    default:
        return POLARYS_IO;
    }
}

enum polarys_code polarys_fail_errno(struct polarys_error *err, int error_number,
                                     const char *format, ...)
{
    enum polarys_code code = code_of_errno(error_number);
    if (err != NULL) {
        char message[POLARYS_ERROR_MESSAGE_MAX];
        char reason[128];
        va_list arguments;
        va_start(arguments, format);
        size_t length = text_format(message, sizeof(message), format, arguments);
        va_end(arguments);
        length = text_append(message, sizeof(message), length, ": ");
        (void)text_append(message, sizeof(message), length,
                          strerror_r(error_number, reason, sizeof(reason)));
        error_set(err, code, message);
    }
    return code;
}

void polarys_error_detail_set(struct polarys_error *err, const char *name, const char *format, ...)
{
    POLARYS_ASSERT(strlen(name) < POLARYS_ERROR_DETAIL_NAME_MAX);
    if (err == NULL) {
        return;
    }
    POLARYS_ASSERT(err->detail_count <= POLARYS_ERROR_DETAILS_MAX);
    uint32_t index = 0;
    while (index < err->detail_count && strcmp(err->details[index].name, name) != 0) {
        index++;
    }
    if (index == POLARYS_ERROR_DETAILS_MAX) {
        return;
    }
    char value[POLARYS_ERROR_DETAIL_VALUE_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)text_format(value, sizeof(value), format, arguments);
    va_end(arguments);
    struct polarys_error_detail *detail = &err->details[index];
    (void)text_append(detail->name, sizeof(detail->name), 0, name);
    memcpy(detail->value, value, sizeof(value));
    err->detail_count += index == err->detail_count ? 1 : 0;
}

const char *polarys_error_detail_find(const struct polarys_error *err, const char *name)
{
    for (uint32_t i = 0; err != NULL && i < err->detail_count; i++) {
        if (strcmp(err->details[i].name, name) == 0) {
            return err->details[i].value;
        }
    }
    return NULL;
}

const char *polarys_code_name(enum polarys_code code)
{
    /* Through an unsigned number: a code that came over the wire may be out of range either way. */
    unsigned index = (unsigned)code;
    return index < POLARYS_CODE_COUNT ? code_names[index] : "UNKNOWN";
}
