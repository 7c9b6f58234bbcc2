/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the first inputs of the fuzz targets keyring, wal_segment and log_batch, in the shapes that these
 * describe, into the folders of the same names beside this file. Keys and salts are fixed and worthless.
 *
 *   make BUILD=build build/libpolarysdb.a
 *   cc -std=c17 -D_GNU_SOURCE -I. tests/fuzz/corpus/make_log_seeds.c build/libpolarysdb.a \
 *       -lprotobuf-c -lcrypto -lzstd -lxxhash -lisal -lyajl -licuuc -lstemmer -lm -o build/make_log_seeds
 *   build/make_log_seeds tests/fuzz/corpus
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/crypto/keyring_internal.h"
#include "engine/wal/log_batch.h"
#include "engine/wal/wal_format.h"

enum { SEED_SIZE_MAX = 8192, HEADER_GIVEN_SIZE = 256 };

static void seed_write(const char *root, const char *name, const void *bytes, size_t size)
{
    char path[VFS_PATH_MAX];
    POLARYS_ASSERT(vfs_path_join(path, root, name, NULL) == POLARYS_OK);
    FILE *file = fopen(path, "wb");
    POLARYS_ASSERT(file != NULL);
    POLARYS_ASSERT(fwrite(bytes, 1, size, file) == size);
    POLARYS_ASSERT(fclose(file) == 0);
}

static void keyring_seeds(const char *root)
{
    static struct keyring_secrets secrets;
    static struct keyring_contents contents;
    struct buffer image = {0};
    uint8_t salt[AEAD_SALT_SIZE] = {7};
    uint8_t mode = 0;
    memcpy(secrets.master_key.bytes, "\1\2\3", 3);
    contents.secrets = &secrets;
    contents.generation = 1;
    for (uint32_t i = 0; i < 3; i++) {
        contents.entries[i].key_id = i + 1;
        contents.entries[i].is_active = i == 2;
    }
    contents.entry_count = 3;
    contents.active_id = 3;
    POLARYS_ASSERT(buffer_append(&image, &mode, 1) == POLARYS_OK);
    POLARYS_ASSERT(keyring_image_encode(&contents, salt, &image, NULL) == POLARYS_OK);
    seed_write(root, "keyring/three_keys", image.data, image.size);
    image.data[0] = 3;
    seed_write(root, "keyring/three_keys_put_right", image.data, image.size);
    buffer_deinit(&image);
}

static void segment_seed(const char *root)
{
    static uint8_t block[WAL_SEGMENT_HEADER_SIZE];
    uint8_t seed[SEED_SIZE_MAX] = {1};
    struct wal_header header = {.segment_id = 1, .first_version = 1, .key_id = 1, .term = 1};
    struct aead_key key;
    uint8_t tag[AEAD_TAG_SIZE];
    uint8_t key_bytes[AEAD_KEY_SIZE] = {1};
    size_t used = 1 + HEADER_GIVEN_SIZE;
    aead_key_init(&key, key_bytes);
    wal_header_put(&header, block);
    POLARYS_ASSERT(aead_seal(&key, 0, wal_header_sealed(block), NULL, 0, NULL, tag, NULL) ==
                   POLARYS_OK);
    memcpy(block + WAL_HEADER_TAG_OFFSET, tag, sizeof(tag));
    memcpy(seed + 1, block, HEADER_GIVEN_SIZE);
    uint64_t offset = WAL_SEGMENT_HEADER_SIZE;
    for (uint32_t i = 1; i <= 3; i++) {
        uint8_t *frame = seed + used;
        struct polarys_slice piece = slice_from_text("a payload");
        struct wal_frame_header frame_header = {.payload_size = (uint32_t)piece.size,
                                                .segment_id = 1,
                                                .ordinal = i,
                                                .first_version = i,
                                                .commit_count = 1,
                                                .synced_offset = offset};
        memcpy(frame_header.previous_tag, tag, sizeof(tag));
        wal_frame_header_put(&frame_header, frame);
        POLARYS_ASSERT(aead_seal(&key, i, wal_frame_sealed(frame), &piece, 1,
                                 frame + WAL_FRAME_HEADER_SIZE, tag, NULL) == POLARYS_OK);
        memcpy(frame + WAL_FRAME_HEADER_SIZE + piece.size, tag, sizeof(tag));
        used += piece.size + WAL_FRAME_OVERHEAD;
        offset += wal_frame_stored_size(piece.size);
    }
    seed_write(root, "wal_segment/three_frames", seed, used);
    aead_key_deinit(&key);
}

static void batch_seeds(const char *root)
{
    static uint8_t large[20000];
    struct buffer batch = {0};
    uint8_t start[1 + LOG_BATCH_TIME_SIZE] = {2};
    struct entry operations[3] = {
        {.key = slice_make("\0\0\0\1\0\0\0\2key", 11),
         .value = slice_from_text("value"),
         .kind = ENTRY_PUT},
        {.key = slice_make("\0\0\0\1\0\0\0\2key", 11), .kind = ENTRY_DELETE},
        {.key = slice_make("\0\0\0\1\0\0\0\2a", 9),
         .value = slice_make("\0\0\0\1\0\0\0\2b", 9),
         .kind = ENTRY_RANGE_DELETE}};
    struct entry big = {.key = slice_make("\0\0\0\1\0\0\0\2key", 11),
                        .value = slice_make(large, sizeof(large)),
                        .kind = ENTRY_PUT};
    log_batch_put_time(start + 1, 1);
    POLARYS_ASSERT(buffer_append(&batch, start, sizeof(start)) == POLARYS_OK);
    POLARYS_ASSERT(log_commit_encode(&batch, operations, 3, NULL) == POLARYS_OK);
    POLARYS_ASSERT(log_commit_encode(&batch, &big, 1, NULL) == POLARYS_OK);
    seed_write(root, "log_batch/plain_and_compressed", batch.data, batch.size);
    buffer_deinit(&batch);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: make_log_seeds tests/fuzz/corpus\n");
        return 2;
    }
    keyring_seeds(argv[1]);
    segment_seed(argv[1]);
    batch_seeds(argv[1]);
    return 0;
}
