/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Authenticated encryption: AES-256-GCM (NIST SP 800-38D) with a 96-bit nonce made of a 64-bit ordinal,
 * and key derivation: HKDF-SHA256 (RFC 5869).
 *
 * Invariant: a key of this kind is the subkey of one file, and an ordinal seals at most one message under
 * it. Callers keep the ordinals; this module only does the arithmetic.
 */
#ifndef ENGINE_CRYPTO_AEAD_H
#define ENGINE_CRYPTO_AEAD_H

#include "engine/base/error.h"
#include "engine/base/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    AEAD_KEY_SIZE = 32,
    AEAD_TAG_SIZE = 16,
    AEAD_SALT_SIZE = 32,
};

/*
 * One key. Any number of threads may use it at once: the cipher contexts are each thread's own, reused,
 * and rekeyed only when the key changes (recognised by `identity`, unique in the process).
 */
struct aead_key {
    uint8_t bytes[AEAD_KEY_SIZE];
    uint64_t identity;
};

/* Copies the 32 bytes and gives the key an identity. */
void aead_key_init(struct aead_key *key, const uint8_t bytes[AEAD_KEY_SIZE]);
/* Wipes the bytes. */
void aead_key_deinit(struct aead_key *key);

/*
 * Encrypts the `piece_count` pieces, one after the other, into `ciphertext` (as many bytes as the pieces
 * together; may not overlap them unless there is one piece and it is the same memory) and writes the tag.
 * Errors: NO_MEMORY, BUG (OpenSSL refused).
 */
NODISCARD enum polarys_code aead_seal(const struct aead_key *key, uint64_t ordinal,
                                      struct polarys_slice additional,
                                      const struct polarys_slice *pieces, size_t piece_count,
                                      uint8_t *ciphertext, uint8_t tag[AEAD_TAG_SIZE],
                                      struct polarys_error *err);

/*
 * Decrypts `ciphertext` into `plaintext` (same size; may be the same memory). On failure `plaintext` is
 * wiped. Errors: TAMPERED when the tag does not match, NO_MEMORY, BUG.
 */
NODISCARD enum polarys_code aead_open(const struct aead_key *key, uint64_t ordinal,
                                      struct polarys_slice additional,
                                      struct polarys_slice ciphertext,
                                      const uint8_t tag[AEAD_TAG_SIZE], uint8_t *plaintext,
                                      struct polarys_error *err);

/* HKDF-SHA256 of `secret` (32 bytes) with `salt` and `info` into a fresh key. Errors: NO_MEMORY, BUG. */
NODISCARD enum polarys_code aead_key_derive(const uint8_t secret[AEAD_KEY_SIZE],
                                            const uint8_t salt[AEAD_SALT_SIZE],
                                            struct polarys_slice info, struct aead_key *key,
                                            struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
