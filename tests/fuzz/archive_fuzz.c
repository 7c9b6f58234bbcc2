/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an archive holds and a store answers: a piece, whose digest is put right so that inputs come past it, the same with
 * the checksums of its segment and frames, a state, and a page of a listing. The first byte says which.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/archive_read.h"
#include "client/cli/objects_internal.h"
#include "engine/base/coding.h"
#include "engine/wal/wal_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum kind { KIND_PIECE, KIND_STATE, KIND_PAGE, KIND_PIECE_PUT_RIGHT, KIND_COUNT };

enum { HEAD_START = 64, HEAD_LOG_BYTES = 144 }; /* offsets, by docs/formats/archive.md */

static void sum_make(const uint8_t *data, size_t size, uint8_t sum[DIGEST_SIZE])
{
    struct digest digest = {0};
    digest_begin(&digest);
    digest_add(&digest, data, size);
    POLARYS_ASSERT(digest_end(&digest, sum));
    digest_deinit(&digest);
}

/* Gives the log its length, and what is in it its checksums. */
static void piece_put_right(uint8_t *bytes, size_t size)
{
    uint8_t *log = bytes + ARCHIVE_HEAD_SIZE;
    if (size < ARCHIVE_HEAD_SIZE) {
        return;
    }
    size_t left = size - ARCHIVE_HEAD_SIZE;
    put_u64_le(bytes + HEAD_LOG_BYTES, left);
    if (get_u64_le(bytes + HEAD_START) == 0 && left >= WAL_SEGMENT_HEADER_SIZE) {
        wal_header_put_checksum(log);
        log += WAL_SEGMENT_HEADER_SIZE;
        left -= WAL_SEGMENT_HEADER_SIZE;
    }
    while (left >= WAL_FRAME_OVERHEAD) {
        size_t payload_size = get_u32_le(log + 4);
        if (payload_size > left - WAL_FRAME_OVERHEAD) {
            break;
        }
        wal_frame_put_checksum(log, payload_size);
        log += payload_size + WAL_FRAME_OVERHEAD;
        left -= payload_size + WAL_FRAME_OVERHEAD;
    }
}

static void piece_try(const uint8_t *data, size_t size, bool is_put_right)
{
    struct archive_piece piece;
    uint8_t *bytes = malloc(size + DIGEST_SIZE);
    POLARYS_ASSERT(bytes != NULL);
    memcpy(bytes, data, size);
    if (is_put_right) {
        piece_put_right(bytes, size);
    }
    sum_make(bytes, size, bytes + size);
    if (archive_piece_read(slice_make(bytes, size + DIGEST_SIZE), &piece, NULL) == POLARYS_OK) {
        POLARYS_ASSERT(piece.head.place.start < piece.head.place.end);
        POLARYS_ASSERT(piece.log.size == piece.head.log_bytes);
        POLARYS_ASSERT(piece.has_segment == (piece.head.place.start == 0));
    }
    free(bytes);
}

/* The text with the sum that belongs to it. */
static void state_try(const uint8_t *data, size_t size)
{
    struct archive_state state;
    uint8_t sum[DIGEST_SIZE];
    char text[DIGEST_TEXT_SIZE];
    char *bytes = malloc(size + DIGEST_TEXT_SIZE + 8);
    POLARYS_ASSERT(bytes != NULL);
    sum_make(data, size, sum);
    digest_text(text, sum, DIGEST_SIZE);
    memcpy(bytes, data, size);
    int more = snprintf(bytes + size, DIGEST_TEXT_SIZE + 8, "sum %s\n", text);
    bool is_state = archive_state_read(bytes, size + (size_t)more, &state);
    POLARYS_ASSERT(state.is_there == is_state);
    free(bytes);
}

static void page_try(const uint8_t *data, size_t size)
{
    struct s3_page page = {0};
    char key[64];
    char last[64] = "";
    uint64_t object_size;
    bool has_object = true;
    enum polarys_code code = s3_page_begin(&page, (const char *)data, size, NULL);
    while (code == POLARYS_OK && has_object) {
        code = s3_page_next(&page, key, sizeof(key), &object_size, &has_object, NULL);
        if (code == POLARYS_OK && has_object) {
            POLARYS_ASSERT(last[0] == '\0' || strcmp(last, key) < 0);
            memcpy(last, key, strlen(key) + 1);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    switch (data[0] % KIND_COUNT) {
    case KIND_PIECE:
    case KIND_PIECE_PUT_RIGHT:
        piece_try(data + 1, size - 1, data[0] % KIND_COUNT == KIND_PIECE_PUT_RIGHT);
        break;
    case KIND_STATE:
        state_try(data + 1, size - 1);
        break;
    default:
        page_try(data + 1, size - 1);
        break;
    }
    return 0;
}
