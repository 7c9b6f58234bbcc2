/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment file, read without keys. Input: whether to put checksums right (one byte, odd: yes), then
 * the header's first 256 bytes, then frames without their padding: the target lays them out in blocks.
 */
#include <stdint.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/coding.h"
#include "engine/wal/wal_format.h"
#include "tests/fuzz/memory_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER_GIVEN_SIZE = 256, FRAMES_MAX = 16, BLOCKS_MAX = 64 };

struct walk {
    uint64_t offset;
    uint64_t version;
};

static enum polarys_code frame_check(void *context, const struct wal_frame *frame,
                                     struct polarys_error *err)
{
    struct walk *walk = context;
    (void)err;
    POLARYS_ASSERT(frame->offset >= walk->offset);
    POLARYS_ASSERT(frame->offset % WAL_BLOCK_SIZE == 0);
    POLARYS_ASSERT(frame->position.offset > frame->offset);
    POLARYS_ASSERT(frame->first_version >= walk->version);
    POLARYS_ASSERT(frame->payload.size == 0);
    walk->offset = frame->position.offset;
    walk->version = frame->first_version + frame->commit_count;
    return POLARYS_OK;
}

/* Lays the input out as a file of at most BLOCKS_MAX blocks; returns its size. */
static size_t file_make(uint8_t *file, const uint8_t *data, size_t size, bool is_put_right)
{
    size_t header_size = size < HEADER_GIVEN_SIZE ? size : HEADER_GIVEN_SIZE;
    memcpy(file, data, header_size);
    if (is_put_right) {
        wal_header_put_checksum(file);
    }
    data += header_size;
    size -= header_size;
    size_t at = WAL_SEGMENT_HEADER_SIZE;
    size_t file_max = (size_t)BLOCKS_MAX * WAL_BLOCK_SIZE;
    for (int i = 0; i < FRAMES_MAX && size >= WAL_FRAME_OVERHEAD && at < file_max; i++) {
        size_t payload_size = get_u32_le(data + 4);
        bool is_whole = payload_size <= size - WAL_FRAME_OVERHEAD;
        size_t used = is_whole ? payload_size + WAL_FRAME_OVERHEAD : size;
        if (used > file_max - at) {
            break;
        }
        memcpy(file + at, data, used);
        if (is_put_right && is_whole) {
            wal_frame_put_checksum(file + at, payload_size);
        }
        data += used;
        size -= used;
        at += (used + WAL_BLOCK_SIZE - 1) / WAL_BLOCK_SIZE * WAL_BLOCK_SIZE;
    }
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[BLOCKS_MAX * WAL_BLOCK_SIZE];
    if (size == 0) {
        return 0;
    }
    memset(file, 0, sizeof(file));
    size_t file_size = file_make(file, data + 1, size - 1, data[0] % 2 == 1);
    struct memory_file_vfs vfs;
    struct walk walk = {.offset = WAL_SEGMENT_HEADER_SIZE};
    struct wal_visitor visitor = {frame_check, &walk};
    struct wal_segment_info info;
    struct polarys_error err = POLARYS_ERROR_INIT;
    memory_file_init(&vfs, slice_make(file, file_size));
    enum polarys_code code = wal_inspect_file(&vfs.base, "segment", NULL, &visitor, &info, &err);
    POLARYS_ASSERT(code == POLARYS_OK || code == POLARYS_CORRUPT ||
                   code == POLARYS_UNSUPPORTED_FORMAT);
    POLARYS_ASSERT(code != POLARYS_OK || info.valid_bytes == walk.offset);
    return 0;
}
