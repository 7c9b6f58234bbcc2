/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the Go program seals: nonce[12], ciphertext, tag[16]; AES-256-GCM without additional data, under the 32
 * bytes of the user's key as they are.
 *
 * Invariant: no byte of a piece is handed out unless its tag is right.
 */
#ifndef CLIENT_CLI_POLARYSDB_CRYPTO_H
#define CLIENT_CLI_POLARYSDB_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    POLARYSDB_KEY_SIZE = 32,
    POLARYSDB_KEYS_MAX = 8, /* a store that changed its key holds entries under each */
    POLARYSDB_NONCE_SIZE = 12,
    POLARYSDB_TAG_SIZE = 16,
    POLARYSDB_SEAL_SIZE = POLARYSDB_NONCE_SIZE + POLARYSDB_TAG_SIZE,
};

/* The keys to try. Zero-initialise; wipe with polarysdb_keys_deinit. */
struct polarysdb_keys {
    uint8_t keys[POLARYSDB_KEYS_MAX][POLARYSDB_KEY_SIZE];
    size_t count;
    bool has_zero_key; /* the Go program does not seal log entries under that one */
};

enum polarysdb_open_result {
    POLARYSDB_OPENED,
    POLARYSDB_REFUSED, /* no key fits, or the bytes were altered: nobody can tell which */
    POLARYSDB_FAILED,  /* no memory, or the library refused to work */
};

/* Takes 64 hexadecimal digits, with or without 0x in front. False: they are something else, or too many keys. */
bool polarysdb_keys_add(struct polarysdb_keys *keys, const char *hex);
void polarysdb_keys_deinit(struct polarysdb_keys *keys);

/*
 * Opens a sealed piece with the first key that fits. `plaintext` has room for size - POLARYSDB_SEAL_SIZE bytes
 * and may not overlap; it is wiped unless the piece was opened. A piece shorter than a seal is refused.
 */
enum polarysdb_open_result polarysdb_open(const struct polarysdb_keys *keys, const uint8_t *sealed,
                                          size_t size, uint8_t *plaintext);

#ifdef __cplusplus
}
#endif

#endif
