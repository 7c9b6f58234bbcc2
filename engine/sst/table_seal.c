/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealing and opening blocks. Additional data say which block of which file of which store it is, so a
 * block that was moved does not open even under its own key.
 *
 * A sealed block is payload ‖ codec (1 byte). With codec zstd the payload is the raw size (4 bytes) and
 * one zstd frame.
 */
#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>

#include "engine/base/assert.h"
#include "engine/sst/table_codec.h"
#include "engine/sst/table_format.h"

enum {
    ADDITIONAL_SIZE = 40,
    INFO_PREFIX_SIZE = sizeof("polarysdb table") - 1,
};

static pthread_once_t decompressor_once = PTHREAD_ONCE_INIT;
static pthread_key_t decompressor_key;
static bool decompressor_key_is_made;

static void decompressor_free(void *context)
{
    ZSTD_freeDCtx(context);
}

static void decompressor_key_make(void)
{
    decompressor_key_is_made = pthread_key_create(&decompressor_key, decompressor_free) == 0;
}

/* This thread's context, made on first use and freed with the thread; NULL when there is no memory. */
static ZSTD_DCtx *decompressor_get(void)
{
    if (pthread_once(&decompressor_once, decompressor_key_make) != 0 || !decompressor_key_is_made) {
        return NULL;
    }
    ZSTD_DCtx *context = pthread_getspecific(decompressor_key);
    if (context == NULL) {
        context = ZSTD_createDCtx();
        if (context != NULL && pthread_setspecific(decompressor_key, context) != 0) {
            ZSTD_freeDCtx(context);
            context = NULL;
        }
    }
    return context;
}

enum polarys_code table_sealer_init(struct table_sealer *sealer, struct keyring *keyring,
                                    const struct table_header *header, struct polarys_error *err)
{
    uint8_t info[INFO_PREFIX_SIZE + TABLE_HEADER_SIZE];
    memcpy(info, "polarysdb table", INFO_PREFIX_SIZE);
    table_header_encode(header, info + INFO_PREFIX_SIZE);
    memcpy(sealer->store_id, header->store_id, STORE_ID_SIZE);
    sealer->file_id = header->file_id;
    return keyring_derive(keyring, header->key_id, header->salt, slice_make(info, sizeof(info)),
                          &sealer->key, err);
}

void table_sealer_deinit(struct table_sealer *sealer)
{
    aead_key_deinit(&sealer->key);
}

static void put_additional(const struct table_sealer *sealer, enum table_block_kind kind,
                           const struct table_handle *handle, uint8_t to[ADDITIONAL_SIZE])
{
    memcpy(to, sealer->store_id, STORE_ID_SIZE);
    put_u64_le(to + 16, sealer->file_id);
    put_u64_le(to + 24, handle->offset);
    put_u32_le(to + 32, handle->stored_size);
    put_u32_le(to + 36, kind);
}

enum polarys_code table_seal(const struct table_sealer *sealer, enum table_block_kind kind,
                             const struct polarys_slice pieces[2], struct table_handle *handle,
                             uint8_t *ciphertext, struct polarys_error *err)
{
    POLARYS_ASSERT(pieces[0].size + pieces[1].size == handle->stored_size);
    uint8_t additional[ADDITIONAL_SIZE];
    put_additional(sealer, kind, handle, additional);
    return aead_seal(&sealer->key, handle->offset, slice_make(additional, sizeof(additional)),
                     pieces, pieces[1].size == 0 ? 1 : 2, ciphertext, handle->tag, err);
}

enum polarys_code table_open_sealed(const struct table_sealer *sealer, enum table_block_kind kind,
                                    const struct table_handle *handle, const uint8_t *ciphertext,
                                    uint8_t *plaintext, struct polarys_error *err)
{
    uint8_t additional[ADDITIONAL_SIZE];
    put_additional(sealer, kind, handle, additional);
    return aead_open(&sealer->key, handle->offset, slice_make(additional, sizeof(additional)),
                     slice_make(ciphertext, handle->stored_size), handle->tag, plaintext, err);
}

uint8_t *table_block_alloc(size_t size)
{
    size_t rounded = (size + TABLE_BLOCK_ALIGNMENT - 1) / TABLE_BLOCK_ALIGNMENT;
    return aligned_alloc(TABLE_BLOCK_ALIGNMENT, (rounded + (rounded == 0)) * TABLE_BLOCK_ALIGNMENT);
}

enum polarys_code table_codec_decompress(struct polarys_slice payload, struct table_block *block,
                                         struct polarys_error *err)
{
    struct cursor cursor = cursor_make(payload);
    uint32_t raw_size;
    if (!cursor_take_u32_le(&cursor, &raw_size) || raw_size > TABLE_RAW_BYTES_MAX) {
        return polarys_fail(err, POLARYS_CORRUPT, "bad size of compressed block");
    }
    ZSTD_DCtx *context = decompressor_get();
    uint8_t *raw = context == NULL ? NULL : table_block_alloc(raw_size);
    if (raw == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "block of %u bytes: out of memory", raw_size);
    }
    size_t result = ZSTD_decompressDCtx(context, raw, raw_size, cursor.at, cursor_left(&cursor));
    if (ZSTD_isError(result) || result != raw_size) {
        free(raw);
        return polarys_fail(err, POLARYS_CORRUPT, "block does not decompress");
    }
    block->bytes = raw;
    block->size = raw_size;
    return POLARYS_OK;
}

enum polarys_code table_block_open(const struct table_sealer *sealer, enum table_block_kind kind,
                                   const struct table_handle *handle, uint8_t *take_stored,
                                   struct table_block *block, struct polarys_error *err)
{
    POLARYS_ASSERT(handle->stored_size > 0);
    block->bytes = NULL;
    block->size = 0;
    size_t payload_size = handle->stored_size - 1;
    enum polarys_code code = table_open_sealed(sealer, kind, handle, take_stored, take_stored, err);
    if (code != POLARYS_OK) {
        free(take_stored);
        return code;
    }
    switch (take_stored[payload_size]) {
    case TABLE_CODEC_NONE:
        block->bytes = take_stored;
        block->size = payload_size;
        return POLARYS_OK;
    case TABLE_CODEC_ZSTD:
        code = table_codec_decompress(slice_make(take_stored, payload_size), block, err);
        break;
    default:
        code =
            polarys_fail(err, POLARYS_CORRUPT, "unknown compression %u", take_stored[payload_size]);
        break;
    }
    free(take_stored);
    return code;
}
