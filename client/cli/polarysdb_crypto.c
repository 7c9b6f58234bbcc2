/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM (NIST SP 800-38D) through OpenSSL, whose calls take an int's worth of bytes at a time.
 */
#include "client/cli/polarysdb_crypto.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/parse.h"

enum { PIECE_BYTES_MAX = 1 << 30 };

bool polarysdb_keys_add(struct polarysdb_keys *keys, const char *hex)
{
    static const uint8_t zero[POLARYSDB_KEY_SIZE];
    size_t size = POLARYSDB_KEY_SIZE;

    POLARYS_ASSERT(keys->count <= POLARYSDB_KEYS_MAX);
    if (strncmp(hex, "0x", 2) == 0 || strncmp(hex, "0X", 2) == 0) {
        hex += 2;
    }
    if (keys->count == POLARYSDB_KEYS_MAX || strlen(hex) != 2 * (size_t)POLARYSDB_KEY_SIZE ||
        !parse_hex(hex, keys->keys[keys->count], &size) || size != POLARYSDB_KEY_SIZE) {
        return false;
    }
    keys->has_zero_key |= memcmp(keys->keys[keys->count], zero, sizeof(zero)) == 0;
    keys->count++;
    return true;
}

void polarysdb_keys_deinit(struct polarysdb_keys *keys)
{
    OPENSSL_cleanse(keys, sizeof(*keys));
}

static bool ciphertext_decrypt(EVP_CIPHER_CTX *context, const uint8_t *ciphertext, size_t size,
                               uint8_t *plaintext)
{
    size_t done = 0;

    while (done < size) {
        size_t left = size - done;
        int piece = left < PIECE_BYTES_MAX ? (int)left : PIECE_BYTES_MAX;
        int written = 0;
        if (EVP_DecryptUpdate(context, plaintext + done, &written, ciphertext + done, piece) != 1 ||
            written != piece) {
            return false;
        }
        done += (size_t)piece;
    }
    return true;
}

static enum polarysdb_open_result open_under(EVP_CIPHER_CTX *context, const uint8_t *key,
                                             const uint8_t *sealed, size_t size, uint8_t *plaintext)
{
    size_t text_size = size - POLARYSDB_SEAL_SIZE;
    uint8_t tag[POLARYSDB_TAG_SIZE];
    uint8_t rest[EVP_MAX_BLOCK_LENGTH];
    int rest_size = 0;

    POLARYS_ASSERT(size >= POLARYSDB_SEAL_SIZE);
    memcpy(tag, sealed + size - POLARYSDB_TAG_SIZE, sizeof(tag));
    /* The nonce's size is the cipher's own: 96 bits. */
    if (EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, sealed) != 1 ||
        !ciphertext_decrypt(context, sealed + POLARYSDB_NONCE_SIZE, text_size, plaintext) ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, sizeof(tag), tag) != 1) {
        return POLARYSDB_FAILED;
    }
    return EVP_DecryptFinal_ex(context, rest, &rest_size) == 1 ? POLARYSDB_OPENED
                                                               : POLARYSDB_REFUSED;
}

enum polarysdb_open_result polarysdb_open(const struct polarysdb_keys *keys, const uint8_t *sealed,
                                          size_t size, uint8_t *plaintext)
{
    enum polarysdb_open_result result = POLARYSDB_REFUSED;

    POLARYS_ASSERT(keys->count <= POLARYSDB_KEYS_MAX);
    if (size < POLARYSDB_SEAL_SIZE || keys->count == 0) {
        return POLARYSDB_REFUSED;
    }
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (context == NULL) {
        return POLARYSDB_FAILED;
    }
    for (size_t i = 0; i < keys->count && result == POLARYSDB_REFUSED; i++) {
        result = open_under(context, keys->keys[i], sealed, size, plaintext);
    }
    EVP_CIPHER_CTX_free(context);
    if (result != POLARYSDB_OPENED) {
        OPENSSL_cleanse(plaintext, size - POLARYSDB_SEAL_SIZE);
    }
    return result;
}
