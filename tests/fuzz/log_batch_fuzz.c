/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload of a frame. Input: number of commits (one byte), then the LogBatch. What decodes is encoded
 * again, and that decodes to the same number of operations.
 */
#include <stdint.h>

#include "engine/base/assert.h"
#include "engine/wal/log_batch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct walk {
    struct buffer again; /* what was decoded, encoded */
    size_t operation_count;
    bool is_second;
};

static enum polarys_code commit_take(void *context, uint32_t index, uint64_t time_unix_ms,
                                     const struct entry *operations, size_t operation_count,
                                     struct polarys_error *err)
{
    struct walk *walk = context;
    (void)index;
    walk->operation_count += operation_count;
    if (walk->is_second) {
        return POLARYS_OK;
    }
    if (walk->again.size == 0) {
        uint8_t time[LOG_BATCH_TIME_SIZE];
        log_batch_put_time(time, time_unix_ms);
        POLARYS_ASSERT(buffer_append(&walk->again, time, sizeof(time)) == POLARYS_OK);
    }
    enum polarys_code code = log_commit_encode(&walk->again, operations, operation_count, err);
    POLARYS_ASSERT(code == POLARYS_OK);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct walk walk = {.is_second = false};
    struct walk second = {.is_second = true};
    struct log_batch_visitor visitor = {commit_take, &walk};
    struct polarys_error err = POLARYS_ERROR_INIT;
    enum polarys_code code =
        log_batch_decode(slice_make(data + 1, size - 1), data[0], &visitor, &err);
    POLARYS_ASSERT(code == POLARYS_OK || code == POLARYS_CORRUPT);
    if (code == POLARYS_OK && data[0] > 0) {
        visitor.context = &second;
        code = log_batch_decode(buffer_slice(&walk.again), data[0], &visitor, &err);
        POLARYS_ASSERT(code == POLARYS_OK);
        POLARYS_ASSERT(second.operation_count == walk.operation_count);
    }
    buffer_deinit(&walk.again);
    return 0;
}
