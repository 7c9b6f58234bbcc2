/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload of a frame: polarys.log.v1.LogBatch, encoded and decoded by hand because it is on the path
 * of every write; a test holds it to protobuf-c byte for byte.
 *
 * A LogBatch is: field 1 (fixed64 time), then one field 2 a commit. Encoded commits, side by side, are
 * therefore a LogBatch once the time stands before them: the log role only concatenates.
 */
#ifndef ENGINE_WAL_LOG_BATCH_H
#define ENGINE_WAL_LOG_BATCH_H

#include "engine/base/buffer.h"
#include "engine/base/internal_key.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    LOG_BATCH_TIME_SIZE = 9,                  /* tag and fixed64 */
    LOG_COMMIT_COMPRESS_BYTES_MIN = 16 << 10, /* operations above this are compressed (zstd 1) */
    LOG_COMMIT_BYTES_MAX = 48 << 20,          /* decoded operations of one commit */
};

/* The first piece of every LogBatch. */
void log_batch_put_time(uint8_t to[LOG_BATCH_TIME_SIZE], uint64_t time_unix_ms);

/*
 * Appends one Commit as field 2 of a LogBatch. operations[i].key is a tree key; version is ignored; a
 * range delete has its exclusive end as value: a tree key of the same table, or the prefix of the next
 * table, which means all the rest of this one. Compresses when that saves an eighth or more. On failure
 * `to` is as it was. Any thread.
 * Errors: NO_MEMORY, TOO_LARGE past LOG_COMMIT_BYTES_MAX (detail "limit"), BUG (a key that is no tree key,
 * a range across tables).
 */
NODISCARD enum polarys_code log_commit_encode(struct buffer *to, const struct entry *operations,
                                              size_t operation_count, struct polarys_error *err);

struct log_batch_visitor {
    /* `index` counts commits from 0. Borrowed: the operations are valid during the call. */
    enum polarys_code (*commit)(void *context, uint32_t index, uint64_t time_unix_ms,
                                const struct entry *operations, size_t operation_count,
                                struct polarys_error *err);
    void *context;
};

/*
 * Calls the visitor for each commit. Fields that this program does not know are refused, as the format
 * asks. Errors: CORRUPT when the bytes are no LogBatch of `commit_count` commits (they were authenticated,
 * so only a bug or a newer format causes it), NO_MEMORY, those of the visitor.
 */
NODISCARD enum polarys_code log_batch_decode(struct polarys_slice payload, uint32_t commit_count,
                                             const struct log_batch_visitor *visitor,
                                             struct polarys_error *err);

/*
 * The time of a batch, and how many bytes of it hold its first `commit_count` commits: a LogBatch too, for the time
 * stands before them. Reads no commit. Errors: CORRUPT when the bytes do not begin with a time and so many commits.
 */
NODISCARD enum polarys_code log_batch_measure(struct polarys_slice payload, uint32_t commit_count,
                                              uint64_t *time_unix_ms, size_t *size,
                                              struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
