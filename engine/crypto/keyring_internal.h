/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the keyring share: its contents in memory, and the image of the file
 * (docs/formats/keyring.md).
 */
#ifndef ENGINE_CRYPTO_KEYRING_INTERNAL_H
#define ENGINE_CRYPTO_KEYRING_INTERNAL_H

#include "engine/base/buffer.h"
#include "engine/crypto/keyring.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KEYRING_FILE_NAME "keyring"

enum {
    KEYRING_FORMAT = KEYRING_FORMAT_VERSION,
    KEYRING_MAGIC_SIZE = 8,
    KEYRING_HEADER_SIZE = 96,
    KEYRING_ENTRY_SIZE = 80,
    KEYRING_ENTRY_CLEAR_SIZE = 32, /* the part of an entry before the wrapped key */
    KEYRING_TRAILER_SIZE = AEAD_TAG_SIZE + 4,
    KEYRING_FILE_SIZE_MAX =
        KEYRING_HEADER_SIZE + KEYRING_DATA_KEYS_MAX * KEYRING_ENTRY_SIZE + KEYRING_TRAILER_SIZE,
    MASTER_KEY_ID_SIZE = 8, /* binary */
};

struct keyring_entry {
    uint32_t key_id;
    bool is_active;
    uint64_t created_ms;
    uint64_t retired_ms;
};

/* All that must not reach a core dump; lives in pages of its own. data_keys[i] belongs to entries[i]. */
struct keyring_secrets {
    struct master_key master_key;
    uint8_t data_keys[KEYRING_DATA_KEYS_MAX][AEAD_KEY_SIZE];
};

/* The contents of a ring. Entries are in the order of their ids, which is the order of their making. */
struct keyring_contents {
    uint8_t store_id[STORE_ID_SIZE];
    uint64_t generation; /* counts the rewrites of the file */
    uint32_t active_id;
    uint32_t entry_count;
    struct keyring_entry entries[KEYRING_DATA_KEYS_MAX];
    struct keyring_secrets *secrets;
};

void master_key_id_binary(const struct master_key *key, uint8_t id[MASTER_KEY_ID_SIZE]);

/*
 * Appends the image of the file to `image`, sealed under secrets->master_key with the fresh `salt`.
 * Errors: NO_MEMORY, BUG.
 */
NODISCARD enum polarys_code keyring_image_encode(const struct keyring_contents *contents,
                                                 const uint8_t salt[AEAD_SALT_SIZE],
                                                 struct buffer *image, struct polarys_error *err);

/*
 * Fills everything in `contents`, secrets->master_key included, from the image, with whichever of the
 * master keys wraps it. Errors: those of keyring_open.
 */
NODISCARD enum polarys_code keyring_image_decode(struct polarys_slice image,
                                                 const struct master_key *master_keys,
                                                 size_t master_key_count,
                                                 struct keyring_contents *contents,
                                                 struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
