/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of manifest records. Input: records, each a length (two bytes, little-endian) and its fields.
 * Each that decodes is applied to the state; what the state has become is encoded and decoded again, and
 * gives the same bytes.
 */
#include <stdint.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/manifest/manifest_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The snapshot of `state` makes the same state from nothing. */
static void check_snapshot(const struct manifest_state *state)
{
    struct buffer first = {0};
    struct buffer second = {0};
    struct manifest_record record;
    struct manifest_state *copy = calloc(1, sizeof(*copy));
    POLARYS_ASSERT(copy != NULL);
    enum polarys_code code = manifest_state_encode(state, true, &first);
    POLARYS_ASSERT(code == POLARYS_OK);
    code = manifest_record_decode(buffer_slice(&first), &record, NULL);
    POLARYS_ASSERT(code == POLARYS_OK);
    POLARYS_ASSERT(record.is_snapshot);
    code = manifest_state_apply(copy, &record, NULL);
    POLARYS_ASSERT(code == POLARYS_OK);
    code = manifest_state_encode(copy, true, &second);
    POLARYS_ASSERT(code == POLARYS_OK);
    POLARYS_ASSERT(slice_equal(buffer_slice(&first), buffer_slice(&second)));
    manifest_record_deinit(&record);
    manifest_state_deinit(copy);
    free(copy);
    buffer_deinit(&first);
    buffer_deinit(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest_state *state = calloc(1, sizeof(*state));
    POLARYS_ASSERT(state != NULL);
    while (size >= 2) {
        size_t record_size = (size_t)data[0] | (size_t)data[1] << 8;
        data += 2;
        size -= 2;
        if (record_size > size) {
            record_size = size;
        }
        struct manifest_record record;
        struct polarys_error err = POLARYS_ERROR_INIT;
        enum polarys_code code =
            manifest_record_decode(slice_make(data, record_size), &record, &err);
        if (code == POLARYS_OK) {
            code = manifest_state_apply(state, &record, &err);
            POLARYS_ASSERT(code == POLARYS_OK || code == POLARYS_CORRUPT);
            manifest_record_deinit(&record);
        } else {
            POLARYS_ASSERT(code == POLARYS_CORRUPT || code == POLARYS_UNSUPPORTED_FORMAT);
            POLARYS_ASSERT(err.message[0] != '\0');
        }
        data += record_size;
        size -= record_size;
    }
    check_snapshot(state);
    manifest_state_deinit(state);
    free(state);
    return 0;
}
