/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a table file outside its blocks' payloads: header, handles, footer, and how a block is
 * sealed and opened (docs/formats/table.md). For the files of this module.
 *
 * Invariant: a block's nonce is the offset it is stored at. A file is written once, front to back, under
 * a key of its own, so no offset seals two blocks.
 */
#ifndef ENGINE_SST_TABLE_FORMAT_H
#define ENGINE_SST_TABLE_FORMAT_H

#include "engine/base/coding.h"
#include "engine/crypto/keyring.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TABLE_HEADER_SIZE = 128,
    TABLE_FOOTER_SIZE = 128,
    TABLE_TAIL_SIZE = TABLE_FOOTER_SIZE + AEAD_TAG_SIZE, /* the footer's tag is kept after it */
    TABLE_HANDLE_SIZE_MAX = 2 * VARINT64_SIZE_MAX + AEAD_TAG_SIZE,
    /* Sane sizes of a block, checked although blocks are authenticated. */
    TABLE_STORED_BYTES_MAX = 1 << 28,
    TABLE_RAW_BYTES_MAX = 1 << 28,
    TABLE_BLOCK_ALIGNMENT = 64, /* of an opened block in memory: filters count on it */
};

enum table_block_kind {
    TABLE_BLOCK_DATA = 1,
    TABLE_BLOCK_INDEX = 2,
    TABLE_BLOCK_FILTER = 3,
    TABLE_BLOCK_TOP_INDEX = 4,
    TABLE_BLOCK_RANGE_DELETES = 5,
    TABLE_BLOCK_PROPERTIES = 6,
    TABLE_BLOCK_FOOTER = 7,
};

/* "data", "index", ... Static storage. */
const char *table_block_kind_name(enum table_block_kind kind);

/* Where a block is, and its tag. stored_size 0 means that there is none. */
struct table_handle {
    uint64_t offset;
    uint32_t stored_size; /* payload as stored, with the codec byte */
    uint8_t tag[AEAD_TAG_SIZE];
};

/* Writes at most TABLE_HANDLE_SIZE_MAX bytes and returns how many. */
size_t table_handle_put(uint8_t *to, const struct table_handle *handle);
/* False when the bytes end early or the handle is absurd. */
bool table_handle_take(struct cursor *cursor, struct table_handle *handle);

struct table_header {
    uint8_t store_id[STORE_ID_SIZE];
    uint64_t file_id;
    uint32_t key_id;
    uint8_t salt[AEAD_SALT_SIZE];
};

void table_header_encode(const struct table_header *header, uint8_t bytes[TABLE_HEADER_SIZE]);
/* Errors: CORRUPT, UNSUPPORTED_FORMAT. */
NODISCARD enum polarys_code table_header_decode(const uint8_t bytes[TABLE_HEADER_SIZE],
                                                struct table_header *header,
                                                struct polarys_error *err);

struct table_footer {
    uint64_t data_block_count;
    uint64_t partition_count;
    struct table_handle top_index;
    struct table_handle range_deletes;
    struct table_handle properties;
};

void table_footer_encode(const struct table_footer *footer, uint8_t bytes[TABLE_FOOTER_SIZE]);
/* False when the bytes make no sense in a file whose footer is at `footer_offset`. */
bool table_footer_decode(struct polarys_slice bytes, uint64_t footer_offset,
                         struct table_footer *footer);

/* The key of a file with its identity: what sealing and opening its blocks takes. */
struct table_sealer {
    struct aead_key key;
    uint8_t store_id[STORE_ID_SIZE];
    uint64_t file_id;
};

/* Errors: CORRUPT when the keyring lacks the header's key, NO_MEMORY. */
NODISCARD enum polarys_code table_sealer_init(struct table_sealer *sealer, struct keyring *keyring,
                                              const struct table_header *header,
                                              struct polarys_error *err);
void table_sealer_deinit(struct table_sealer *sealer);

/* Seals the pieces as the block at handle->offset of handle->stored_size bytes (the sum of the pieces);
 * fills handle->tag. Errors: NO_MEMORY, BUG. */
NODISCARD enum polarys_code table_seal(const struct table_sealer *sealer,
                                       enum table_block_kind kind,
                                       const struct polarys_slice pieces[2],
                                       struct table_handle *handle, uint8_t *ciphertext,
                                       struct polarys_error *err);

/* Opens a footer in place. Errors: TAMPERED. */
NODISCARD enum polarys_code table_open_sealed(const struct table_sealer *sealer,
                                              enum table_block_kind kind,
                                              const struct table_handle *handle,
                                              const uint8_t *ciphertext, uint8_t *plaintext,
                                              struct polarys_error *err);

/* An opened block: `bytes` is aligned to TABLE_BLOCK_ALIGNMENT and freed by the owner. */
struct table_block {
    uint8_t *bytes;
    size_t size;
};

/*
 * Opens and decompresses a block. `take_stored` (handle->stored_size bytes, aligned as a block) is moved in
 * and becomes the block where it is stored uncompressed. Errors: TAMPERED, CORRUPT, NO_MEMORY.
 */
NODISCARD enum polarys_code table_block_open(const struct table_sealer *sealer,
                                             enum table_block_kind kind,
                                             const struct table_handle *handle,
                                             uint8_t *take_stored, struct table_block *block,
                                             struct polarys_error *err);

/* Memory for a block of `size` bytes; NULL when there is none. Freed with free. */
uint8_t *table_block_alloc(size_t size);

#ifdef __cplusplus
}
#endif

#endif
