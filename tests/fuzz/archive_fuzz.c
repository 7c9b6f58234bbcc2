/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an archive holds and a store answers: a piece, whose digest is put right so that inputs come past it, a state,
 * and a page of a listing. The first byte says which.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/archive_read.h"
#include "client/cli/objects_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum kind { KIND_PIECE, KIND_STATE, KIND_PAGE, KIND_COUNT };

static void piece_try(const uint8_t *data, size_t size)
{
    struct archive_piece piece;
    struct digest digest = {0};
    uint8_t *bytes = malloc(size + DIGEST_SIZE);
    POLARYS_ASSERT(bytes != NULL);
    memcpy(bytes, data, size);
    digest_begin(&digest);
    digest_add(&digest, data, size);
    POLARYS_ASSERT(digest_end(&digest, bytes + size));
    digest_deinit(&digest);
    if (archive_piece_read(slice_make(bytes, size + DIGEST_SIZE), &piece, NULL) == POLARYS_OK) {
        POLARYS_ASSERT(piece.head.place.start < piece.head.place.end);
        POLARYS_ASSERT(piece.log.size == piece.head.log_bytes);
    }
    free(bytes);
}

static void page_try(const uint8_t *data, size_t size)
{
    struct s3_page page = {0};
    char key[64];
    uint64_t object_size;
    bool has_object = true;
    enum polarys_code code = s3_page_begin(&page, (const char *)data, size, NULL);
    while (code == POLARYS_OK && has_object) {
        code = s3_page_next(&page, key, sizeof(key), &object_size, &has_object, NULL);
        POLARYS_ASSERT(code != POLARYS_OK || !has_object || strlen(key) < sizeof(key));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct archive_state state;
    if (size == 0) {
        return 0;
    }
    switch (data[0] % KIND_COUNT) {
    case KIND_PIECE:
        piece_try(data + 1, size - 1);
        break;
    case KIND_STATE:
        (void)archive_state_read((const char *)data + 1, size - 1, &state);
        break;
    default:
        page_try(data + 1, size - 1);
        break;
    }
    return 0;
}
