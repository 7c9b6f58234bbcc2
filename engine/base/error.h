/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Error codes and error messages of the engine.
 *
 * Every function that can fail returns an enum polarys_code and, when the caller passes one, fills a
 * caller-owned struct polarys_error. An error never allocates: messages are cut at their limit. Each
 * layer prefixes what it was doing, outermost first: "open store data: recover log 000012: ...".
 *
 * The codes are the reasons that clients see (docs/errors.md); the service maps each to one gRPC
 * status. This header is public: it is installed beside engine/engine.h.
 */
#ifndef ENGINE_BASE_ERROR_H
#define ENGINE_BASE_ERROR_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define NODISCARD __attribute__((warn_unused_result))
#define POLARYS_PRINTF(format_index, first_index)                                                  \
    __attribute__((format(printf, format_index, first_index)))
#define POLARYS_API __attribute__((visibility("default")))
#else
#define NODISCARD
#define POLARYS_PRINTF(format_index, first_index)
#define POLARYS_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

enum polarys_code {
    POLARYS_OK = 0,

    /* The caller's request is wrong and will be wrong again. */
    POLARYS_BAD_NAME,
    POLARYS_BAD_KEY,
    POLARYS_BAD_ARGUMENT,
    POLARYS_BAD_MESSAGE,
    POLARYS_BAD_JSON,
    POLARYS_BAD_FILTER,
    POLARYS_BAD_PAGE_TOKEN,
    POLARYS_TOO_LARGE,
    POLARYS_REQUEST_ID_REUSED,

    /* Something named does not exist. */
    POLARYS_DATABASE_NOT_FOUND,
    POLARYS_SLOT_NOT_FOUND,
    POLARYS_TABLE_NOT_FOUND,
    POLARYS_KEY_NOT_FOUND,
    POLARYS_INDEX_NOT_FOUND,
    POLARYS_TXN_NOT_FOUND,

    /* Something to be made exists. */
    POLARYS_DATABASE_EXISTS,
    POLARYS_TABLE_EXISTS,
    POLARYS_INDEX_EXISTS,
    POLARYS_KEY_EXISTS,
    POLARYS_UNIQUE_VIOLATION,

    /* Concurrency: the same request may succeed if it is prepared again. */
    POLARYS_VERSION_MISMATCH,
    POLARYS_TXN_CONFLICT,
    POLARYS_TXN_TOO_OLD,
    POLARYS_DEADLOCK,
    POLARYS_LOCK_TIMEOUT,

    /* The store or node is in a state that refuses the request. */
    POLARYS_NOT_PRIMARY,
    POLARYS_SHARD_MOVED,
    POLARYS_WRONG_STORE,
    POLARYS_WRONG_MASTER_KEY,
    POLARYS_HISTORY_DIVERGED,
    POLARYS_INDEX_BUILDING,
    POLARYS_FIELD_MISMATCH,
    POLARYS_READ_ONLY,
    POLARYS_FOLLOWER_LACKS_KEY,
    POLARYS_QUORUM_UNREACHABLE,
    POLARYS_STORE_LOCKED,
    POLARYS_UNSUPPORTED_FORMAT,

    /* A position that is no longer, or not yet, there. */
    POLARYS_HISTORY_PRUNED,
    POLARYS_FUTURE_VERSION,
    POLARYS_CURSOR_EXPIRED,
    POLARYS_LOG_PRUNED,

    /* A limit of the machine or of the configuration. */
    POLARYS_DISK_LOW,
    POLARYS_MEMORY_LIMIT,
    POLARYS_TOO_MANY_CALLS,
    POLARYS_WRITE_STALL,
    POLARYS_WATCH_TOO_SLOW,

    /* Try again later or elsewhere. */
    POLARYS_DRAINING,
    POLARYS_NO_PRIMARY,
    POLARYS_REPLICA_BEHIND,

    /* Time ran out. */
    POLARYS_QUORUM_TIMEOUT,
    POLARYS_WAIT_TIMEOUT,
    POLARYS_CANCELLED,

    /* Identity. */
    POLARYS_BAD_TOKEN,
    POLARYS_TOKEN_EXPIRED,
    POLARYS_PERMISSION_DENIED,

    /* Damage. */
    POLARYS_CORRUPT,
    POLARYS_TAMPERED,

    /* The operating system refused an input or output; the message has its text. */
    POLARYS_IO,
    /* A file that has to be there is not. */
    POLARYS_FILE_NOT_FOUND,
    /* memory_limit aside, the allocator returned NULL. */
    POLARYS_NO_MEMORY,
    /* An RPC or an option that this build does not serve. */
    POLARYS_UNIMPLEMENTED,
    /* Only a bug can cause it. */
    POLARYS_BUG,

    /* Not an error: a non-blocking call would have had to read a file. */
    POLARYS_WOULD_BLOCK,

    POLARYS_CODE_COUNT
};

enum {
    POLARYS_ERROR_MESSAGE_MAX = 448, /* bytes, with the terminating NUL */
    POLARYS_ERROR_DETAILS_MAX = 4,
    POLARYS_ERROR_DETAIL_NAME_MAX = 24,
    POLARYS_ERROR_DETAIL_VALUE_MAX = 136,
};

/* One machine-readable fact about an error, e.g. {"limit", "4096"}. Both are NUL-terminated UTF-8. */
struct polarys_error_detail {
    char name[POLARYS_ERROR_DETAIL_NAME_MAX];
    char value[POLARYS_ERROR_DETAIL_VALUE_MAX];
};

/*
 * Caller-owned. Initialise with polarys_error_clear or `= POLARYS_ERROR_INIT` before first use.
 * retry_after_ms is 0 when unknown.
 */
struct polarys_error {
    enum polarys_code code;
    uint32_t retry_after_ms;
    uint32_t detail_count;
    char message[POLARYS_ERROR_MESSAGE_MAX];
    struct polarys_error_detail details[POLARYS_ERROR_DETAILS_MAX];
};

#define POLARYS_ERROR_INIT                                                                         \
    {                                                                                              \
        .code = POLARYS_OK, .detail_count = 0, .message = ""                                       \
    }

/* Resets `err` to POLARYS_OK with an empty message; accepts NULL. */
POLARYS_API void polarys_error_clear(struct polarys_error *err);

/*
 * Fills `err` (may be NULL) with `code` and a formatted message, dropping earlier details, and returns
 * `code`. REQUIRES: code != POLARYS_OK.
 */
POLARYS_API enum polarys_code polarys_fail(struct polarys_error *err, enum polarys_code code,
                                           const char *format, ...) POLARYS_PRINTF(3, 4);

/*
 * Prefixes the message of `err` (may be NULL) with the formatted text and ": ", sets its code to `code`
 * and returns `code`. The end of a message that becomes too long is cut.
 */
POLARYS_API enum polarys_code polarys_wrap(struct polarys_error *err, enum polarys_code code,
                                           const char *format, ...) POLARYS_PRINTF(3, 4);

/* As polarys_fail with the text of `error_number` (an errno) at the end; ENOSPC and EDQUOT become
 * POLARYS_DISK_LOW, ENOENT POLARYS_FILE_NOT_FOUND, ENOMEM POLARYS_NO_MEMORY, all else POLARYS_IO. */
POLARYS_API enum polarys_code polarys_fail_errno(struct polarys_error *err, int error_number,
                                                 const char *format, ...) POLARYS_PRINTF(3, 4);

/* Adds or replaces one detail; a value that is too long is cut, a fifth detail is dropped. */
POLARYS_API void polarys_error_detail_set(struct polarys_error *err, const char *name,
                                          const char *format, ...) POLARYS_PRINTF(3, 4);

/* The value of a detail, or NULL. Borrowed: valid until `err` changes. */
POLARYS_API const char *polarys_error_detail_find(const struct polarys_error *err,
                                                  const char *name);

/* "BAD_NAME" for POLARYS_BAD_NAME; "UNKNOWN" out of range. Static storage. */
POLARYS_API const char *polarys_code_name(enum polarys_code code);

#ifdef __cplusplus
}
#endif

#endif
