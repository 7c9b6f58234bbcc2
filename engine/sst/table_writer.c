/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing the file: blocks are sealed straight into a buffer that goes out in large sequential writes.
 *
 * Invariant: bytes leave the buffer once and in order, so an offset seals one block only. After a failed
 * write the file is given up, never written again.
 */
#include "engine/sst/table_writer.h"

#include <stdlib.h>
#include <zstd.h>

#include "engine/base/assert.h"
#include "engine/sst/table_codec.h"

enum {
    WRITE_BYTES = 512 << 10, /* buffered before a write */
    /* A block is stored compressed when it shrinks by at least one part in this many. */
    COMPRESSION_GAIN_DIVISOR = 8,
    COMPRESSION_RAW_MIN = 64, /* smaller blocks are not worth a try */
    COMPRESSED_HEADER_SIZE = 4,
};

struct table_writer {
    struct table_env env;
    struct vfs_file *file;
    bool is_created;
    bool is_finished;
    bool is_failed;
    char path[VFS_PATH_MAX];
    struct table_sealer sealer;
    bool has_sealer;
    uint32_t key_id;
    int zstd_level;
    ZSTD_CCtx *compressor;
    struct buffer compressed;
    struct buffer pending; /* sealed, not yet written */
    uint64_t written;      /* bytes of the file before pending */
};

static enum polarys_code begin_file(struct table_writer *writer, uint64_t file_id,
                                    struct polarys_error *err)
{
    struct table_header header = {.file_id = file_id};
    memcpy(header.store_id, keyring_store_id(writer->env.keyring), STORE_ID_SIZE);
    header.key_id = keyring_active_id(writer->env.keyring);
    writer->key_id = header.key_id;
    enum polarys_code code = random_fill(writer->env.random, header.salt, AEAD_SALT_SIZE, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = table_sealer_init(&writer->sealer, writer->env.keyring, &header, err);
    if (code != POLARYS_OK) {
        return code;
    }
    writer->has_sealer = true;
    uint8_t bytes[TABLE_HEADER_SIZE];
    table_header_encode(&header, bytes);
    if (buffer_reserve(&writer->pending, WRITE_BYTES) != POLARYS_OK ||
        buffer_append(&writer->pending, bytes, sizeof(bytes)) != POLARYS_OK) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "write buffer: out of memory");
    }
    code = vfs_open(writer->env.vfs, writer->path, VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE,
                    &writer->file, err);
    writer->is_created = code == POLARYS_OK;
    return code;
}

enum polarys_code table_writer_create(const struct table_env *env, uint64_t file_id, int zstd_level,
                                      struct table_writer **out, struct polarys_error *err)
{
    *out = NULL;
    enum polarys_code code;
    struct table_writer *writer = calloc(1, sizeof(*writer));
    if (writer == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "table writer: out of memory");
    }
    writer->env = *env;
    writer->zstd_level = zstd_level;
    if (zstd_level != 0) {
        writer->compressor = ZSTD_createCCtx();
        if (writer->compressor == NULL) {
            code = polarys_fail(err, POLARYS_NO_MEMORY, "compression context: out of memory");
            goto fail;
        }
    }
    char name[VFS_NAME_MAX];
    table_file_name(name, file_id);
    code = vfs_path_join(writer->path, env->dir, name, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = begin_file(writer, file_id, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    *out = writer;
    return POLARYS_OK;

fail:
    table_writer_destroy(writer);
    return code;
}

void table_writer_destroy(struct table_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    (void)vfs_close(writer->file, NULL);
    if (writer->is_created && !writer->is_finished) {
        /* What remains after a failure here is removed when the store opens: no manifest names it. */
        (void)!vfs_remove(writer->env.vfs, writer->path, NULL);
    }
    if (writer->has_sealer) {
        table_sealer_deinit(&writer->sealer);
    }
    ZSTD_freeCCtx(writer->compressor);
    buffer_deinit(&writer->compressed);
    buffer_deinit(&writer->pending);
    free(writer);
}

uint64_t table_writer_bytes(const struct table_writer *writer)
{
    return writer->written + writer->pending.size;
}

uint32_t table_writer_key_id(const struct table_writer *writer)
{
    return writer->key_id;
}

static enum polarys_code flush(struct table_writer *writer, struct polarys_error *err)
{
    POLARYS_ASSERT(!writer->is_failed && !writer->is_finished);
    enum polarys_code code = vfs_write_at(writer->file, writer->written, writer->pending.data,
                                          writer->pending.size, err);
    if (code != POLARYS_OK) {
        writer->is_failed = true;
        return polarys_wrap(err, code, "write %s", writer->path);
    }
    writer->written += writer->pending.size;
    buffer_clear(&writer->pending);
    return POLARYS_OK;
}

/*
 * Replaces *payload by its compressed form, which lies in writer->compressed, when that is enough smaller.
 * Errors: NO_MEMORY.
 */
static enum polarys_code compress(struct table_writer *writer, struct polarys_slice *payload,
                                  enum table_codec *codec)
{
    *codec = TABLE_CODEC_NONE;
    if (writer->zstd_level == 0 || payload->size < COMPRESSION_RAW_MIN) {
        return POLARYS_OK;
    }
    struct buffer *to = &writer->compressed;
    size_t bound = ZSTD_compressBound(payload->size);
    buffer_clear(to);
    if (buffer_reserve(to, COMPRESSED_HEADER_SIZE + bound) != POLARYS_OK) {
        return POLARYS_NO_MEMORY;
    }
    put_u32_le(to->data, (uint32_t)payload->size);
    size_t size = ZSTD_compressCCtx(writer->compressor, to->data + COMPRESSED_HEADER_SIZE, bound,
                                    payload->data, payload->size, writer->zstd_level);
    if (ZSTD_isError(size)) {
        return POLARYS_NO_MEMORY;
    }
    size += COMPRESSED_HEADER_SIZE;
    if (size <= payload->size - payload->size / COMPRESSION_GAIN_DIVISOR) {
        *payload = slice_make(to->data, size);
        *codec = TABLE_CODEC_ZSTD;
    }
    return POLARYS_OK;
}

/* Seals the pieces at the end of the file. handle->stored_size is their size. */
static enum polarys_code append_sealed(struct table_writer *writer, enum table_block_kind kind,
                                       const struct polarys_slice pieces[2],
                                       struct table_handle *handle, struct polarys_error *err)
{
    handle->offset = table_writer_bytes(writer);
    handle->stored_size = (uint32_t)(pieces[0].size + pieces[1].size);
    if (buffer_reserve(&writer->pending, handle->stored_size) != POLARYS_OK) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "write buffer: out of memory");
    }
    enum polarys_code code = table_seal(&writer->sealer, kind, pieces, handle,
                                        writer->pending.data + writer->pending.size, err);
    if (code != POLARYS_OK) {
        writer->is_failed = true;
        return code;
    }
    writer->pending.size += handle->stored_size;
    return POLARYS_OK;
}

enum polarys_code table_writer_block(struct table_writer *writer, enum table_block_kind kind,
                                     struct polarys_slice payload, struct table_handle *handle,
                                     struct polarys_error *err)
{
    if (payload.size >= TABLE_RAW_BYTES_MAX) {
        return polarys_fail(err, POLARYS_TOO_LARGE, "%s block of %zu bytes, at most %d",
                            table_block_kind_name(kind), payload.size, TABLE_RAW_BYTES_MAX);
    }
    enum table_codec codec = TABLE_CODEC_NONE;
    if (kind != TABLE_BLOCK_FILTER && compress(writer, &payload, &codec) != POLARYS_OK) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "compression: out of memory");
    }
    uint8_t codec_byte = (uint8_t)codec;
    const struct polarys_slice pieces[2] = {payload, slice_make(&codec_byte, 1)};
    enum polarys_code code = append_sealed(writer, kind, pieces, handle, err);
    if (code == POLARYS_OK && writer->pending.size >= WRITE_BYTES) {
        code = flush(writer, err);
    }
    return code;
}

enum polarys_code table_writer_finish(struct table_writer *writer,
                                      const struct table_footer *footer, uint8_t tag[AEAD_TAG_SIZE],
                                      struct polarys_error *err)
{
    uint8_t bytes[TABLE_FOOTER_SIZE];
    table_footer_encode(footer, bytes);
    const struct polarys_slice pieces[2] = {slice_make(bytes, sizeof(bytes)), slice_make(NULL, 0)};
    struct table_handle handle;
    enum polarys_code code = append_sealed(writer, TABLE_BLOCK_FOOTER, pieces, &handle, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (buffer_append(&writer->pending, handle.tag, AEAD_TAG_SIZE) != POLARYS_OK) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "write buffer: out of memory");
    }
    code = flush(writer, err);
    if (code == POLARYS_OK) {
        code = vfs_sync(writer->file, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_close(writer->file, err);
        writer->file = NULL;
    }
    if (code == POLARYS_OK) {
        memcpy(tag, handle.tag, AEAD_TAG_SIZE);
        writer->is_finished = true;
    }
    return code;
}
