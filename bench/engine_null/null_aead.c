/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cipher that encrypts nothing: engine/crypto/aead.h with a copy in the place of AES and a constant in the
 * place of tags. It stands before the engine's library when `engine_null` is linked, so that the difference between
 * the two programs is what encryption costs. Nothing that it writes is protected, and no other program has it.
 */
#include <string.h>

#include "engine/crypto/aead.h"

enum { NULL_TAG = 'n' };

void aead_key_init(struct aead_key *key, const uint8_t bytes[AEAD_KEY_SIZE])
{
    memcpy(key->bytes, bytes, AEAD_KEY_SIZE);
    key->identity = 1;
}

void aead_key_deinit(struct aead_key *key)
{
    memset(key, 0, sizeof(*key));
}

enum polarys_code aead_seal(const struct aead_key *key, uint64_t ordinal,
                            struct polarys_slice additional, const struct polarys_slice *pieces,
                            size_t piece_count, uint8_t *ciphertext, uint8_t tag[AEAD_TAG_SIZE],
                            struct polarys_error *err)
{
    (void)key;
    (void)ordinal;
    (void)additional;
    (void)err;
    for (size_t i = 0; i < piece_count; i++) {
        memmove(ciphertext, pieces[i].data, pieces[i].size);
        ciphertext += pieces[i].size;
    }
    memset(tag, NULL_TAG, AEAD_TAG_SIZE);
    return POLARYS_OK;
}

enum polarys_code aead_open(const struct aead_key *key, uint64_t ordinal,
                            struct polarys_slice additional, struct polarys_slice ciphertext,
                            const uint8_t tag[AEAD_TAG_SIZE], uint8_t *plaintext,
                            struct polarys_error *err)
{
    (void)key;
    (void)ordinal;
    (void)additional;
    /* Zeros from a file that was written ahead are no message: the log ends there. */
    for (size_t i = 0; i < AEAD_TAG_SIZE; i++) {
        if (tag[i] != NULL_TAG) {
            return polarys_fail(err, POLARYS_TAMPERED, "the authentication tag does not match");
        }
    }
    memmove(plaintext, ciphertext.data, ciphertext.size);
    return POLARYS_OK;
}

enum polarys_code aead_key_derive(const uint8_t secret[AEAD_KEY_SIZE],
                                  const uint8_t salt[AEAD_SALT_SIZE], struct polarys_slice info,
                                  struct aead_key *key, struct polarys_error *err)
{
    (void)salt;
    (void)info;
    (void)err;
    aead_key_init(key, secret);
    return POLARYS_OK;
}
