/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the first inputs of the fuzz target archive, in the shapes that it describes, into the folder of that name beside
 * this file. Their digests and sums are left out: the target makes them. Tags are fixed and open under no key.
 *
 *   make BUILD=build build/polarys
 *   cc -std=c17 -D_GNU_SOURCE -I. tests/fuzz/corpus/make_archive_seeds.c build/obj/cli.a build/libpolarys.a \
 *       build/libpolarysdb.a -lcurl -lprotobuf-c -lcrypto -lzstd -lxxhash -lisal -lyajl -licuuc -lstemmer -lm -o build/make_archive_seeds
 *   build/make_archive_seeds tests/fuzz/corpus/archive
 */
#include <stdio.h>
#include <stdlib.h>

#include "client/cli/archive_piece.h"
#include "engine/base/assert.h"
#include "engine/wal/wal_format.h"

enum { PAYLOAD_SIZE = 40, FRAME_COUNT = 3 };

static void seed_write(const char *root, const char *name, uint8_t kind, const void *bytes,
                       size_t size)
{
    char path[VFS_PATH_MAX];
    POLARYS_ASSERT(vfs_path_join(path, root, name, NULL) == POLARYS_OK);
    FILE *file = fopen(path, "wb");
    POLARYS_ASSERT(file != NULL);
    POLARYS_ASSERT(fwrite(&kind, 1, 1, file) == 1 && fwrite(bytes, 1, size, file) == size);
    POLARYS_ASSERT(fclose(file) == 0);
}

static void segment_make(uint8_t block[WAL_SEGMENT_HEADER_SIZE], struct polarys_log_segment *read)
{
    const struct wal_header header = {
        .segment_id = 1, .first_version = 1, .key_id = 1, .term = 1, .file_bytes = 1 << 20};
    wal_header_put(&header, block);
    memset(block + WAL_HEADER_TAG_OFFSET, 0x11, AEAD_TAG_SIZE);
    wal_header_put_checksum(block);
    POLARYS_ASSERT(polarys_log_segment_read(slice_make(block, WAL_SEGMENT_HEADER_SIZE), read,
                                            NULL) == POLARYS_OK);
}

static void frame_add(struct archive_builder *builder, uint32_t ordinal)
{
    uint8_t frame[PAYLOAD_SIZE + WAL_FRAME_OVERHEAD];
    struct wal_frame_header header = {.payload_size = PAYLOAD_SIZE,
                                      .segment_id = 1,
                                      .ordinal = ordinal,
                                      .first_version = ordinal,
                                      .commit_count = 1,
                                      .synced_offset = (uint64_t)ordinal * WAL_BLOCK_SIZE};
    memcpy(header.previous_tag, builder->head.tag_after, AEAD_TAG_SIZE);
    memset(frame, (int)ordinal, sizeof(frame)); /* ciphertext and tag */
    wal_frame_header_put(&header, frame);
    wal_frame_put_checksum(frame, PAYLOAD_SIZE);
    POLARYS_ASSERT(archive_builder_frame(builder, slice_make(frame, sizeof(frame)), NULL) ==
                   POLARYS_OK);
}

/* A piece that begins its segment, or one from the middle of it. */
static void piece_seed(const char *root, const char *name, uint8_t kind, bool is_first)
{
    uint8_t block[WAL_SEGMENT_HEADER_SIZE];
    uint8_t digest[DIGEST_SIZE];
    struct polarys_log_segment segment;
    struct archive_builder builder = {.has_log = false};
    struct archive_head head = {.place = {.segment_id = 1, .term = 1}, .key_id = 1};
    segment_make(block, &segment);
    if (!is_first) {
        head.place.start = 2 * WAL_BLOCK_SIZE;
        memset(head.tag_before, 1, AEAD_TAG_SIZE);
        memset(head.previous, 2, DIGEST_SIZE);
    }
    POLARYS_ASSERT(archive_builder_begin(&builder, &head, NULL) == POLARYS_OK);
    if (is_first) {
        POLARYS_ASSERT(archive_builder_segment(&builder, &segment, slice_make(block, sizeof(block)),
                                               NULL) == POLARYS_OK);
    }
    for (uint32_t i = 1; i <= FRAME_COUNT; i++) {
        frame_add(&builder, is_first ? i : i + 1);
    }
    POLARYS_ASSERT(archive_builder_end(&builder, digest, NULL) == POLARYS_OK);
    struct archive_piece piece;
    POLARYS_ASSERT(archive_piece_read(slice_make(builder.bytes.bytes, builder.bytes.size), &piece,
                                      NULL) == POLARYS_OK);
    seed_write(root, name, kind, builder.bytes.bytes, builder.bytes.size - DIGEST_SIZE);
    free(builder.bytes.bytes);
}

static void text_seed(const char *root, const char *name, uint8_t kind, const char *text)
{
    seed_write(root, name, kind, text, strlen(text));
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fprintf(stderr, "usage: make_archive_seeds tests/fuzz/corpus/archive\n");
        return 2;
    }
    piece_seed(argv[1], "first_piece", 0, true);
    piece_seed(argv[1], "piece", 0, false);
    piece_seed(argv[1], "first_piece_put_right", 3, true);
    piece_seed(argv[1], "piece_put_right", 3, false);
    text_seed(argv[1], "state", 1,
              "polarys-archive 1\nsegment 12\nterm 3\nstart 4096\nend 8192\nversion 77\n"
              "complete 1700000000000\n");
    text_seed(argv[1], "page", 2,
              "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>true</IsTruncated>"
              "<NextContinuationToken>a&amp;b</NextContinuationToken>"
              "<Contents><Key>log/1</Key><Size>12</Size></Contents>"
              "<Contents><Key>log/&lt;2</Key><Size>0</Size></Contents></ListBucketResult>");
    return 0;
}
