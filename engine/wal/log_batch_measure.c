/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far the first commits of a LogBatch reach, without decoding them: for a restore that ends within a frame.
 *
 * Invariant: what is measured is a LogBatch of as many commits as were asked for; nothing in it is judged.
 */
#include <inttypes.h>

#include "engine/base/coding.h"
#include "engine/wal/log_batch_internal.h"

enum { VARINT_BYTES_MAX = 5 };

/* The length of the commit at the beginning of `bytes`, its tag and its own length included; 0: there is none. */
static size_t commit_size(struct polarys_slice bytes)
{
    uint64_t length = 0;
    if (bytes.size < 2 || bytes.data[0] != TAG_BATCH_COMMIT) {
        return 0;
    }
    for (size_t i = 1; i < bytes.size && i <= VARINT_BYTES_MAX; i++) {
        length |= (uint64_t)(bytes.data[i] & 0x7f) << 7 * (i - 1);
        if ((bytes.data[i] & 0x80) == 0) {
            return length <= bytes.size - i - 1 ? i + 1 + (size_t)length : 0;
        }
    }
    return 0;
}

enum polarys_code log_batch_measure(struct polarys_slice payload, uint32_t commit_count,
                                    uint64_t *time_unix_ms, size_t *size, struct polarys_error *err)
{
    if (payload.size < LOG_BATCH_TIME_SIZE || payload.data[0] != TAG_BATCH_TIME) {
        return polarys_fail(err, POLARYS_CORRUPT, "a batch of the log without a time");
    }
    *time_unix_ms = get_u64_le(payload.data + 1);
    *size = LOG_BATCH_TIME_SIZE;
    for (uint32_t i = 0; i < commit_count; i++) {
        size_t one = commit_size(slice_make(payload.data + *size, payload.size - *size));
        if (one == 0) {
            return polarys_fail(err, POLARYS_CORRUPT,
                                "a batch of the log has no commit %" PRIu32 " of %" PRIu32, i + 1,
                                commit_count);
        }
        *size += one;
    }
    return POLARYS_OK;
}
