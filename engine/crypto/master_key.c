/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Master keys: from a file, from a passphrase, and their public ids.
 *
 * Bytes that were read or derived on the way to a key are wiped on every path. A master key is never
 * logged and never part of an error message; its id is.
 */
#include <inttypes.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/sha.h>

#include "engine/base/assert.h"
#include "engine/crypto/keyring_internal.h"

enum {
    MASTER_KEY_FILE_SIZE_MAX = 256,
    MASTER_KEY_HEX_SIZE = 2 * MASTER_KEY_SIZE,
    PASSPHRASE_SIZE_MIN = 8,
    SCRYPT_N = 1 << 17,
    SCRYPT_R = 8,
    SCRYPT_P = 1,
    SCRYPT_MEMORY_MAX = 256 << 20, /* 128 * N * r bytes are needed, and a little more */
};

void master_key_wipe(struct master_key *key)
{
    OPENSSL_cleanse(key, sizeof(*key));
}

void master_key_id_binary(const struct master_key *key, uint8_t id[MASTER_KEY_ID_SIZE])
{
    static const char domain[] = "polarysdb master key id";
    uint8_t input[sizeof(domain) - 1 + MASTER_KEY_SIZE];
    uint8_t digest[SHA256_DIGEST_LENGTH];
    memcpy(input, domain, sizeof(domain) - 1);
    memcpy(input + sizeof(domain) - 1, key->bytes, MASTER_KEY_SIZE);
    POLARYS_ASSERT(SHA256(input, sizeof(input), digest) != NULL);
    memcpy(id, digest, MASTER_KEY_ID_SIZE);
    OPENSSL_cleanse(input, sizeof(input));
}

void master_key_id(const struct master_key *key, char id[17])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t binary[MASTER_KEY_ID_SIZE];
    master_key_id_binary(key, binary);
    for (size_t i = 0; i < sizeof(binary); i++) {
        id[2 * i] = digits[binary[i] >> 4];
        id[2 * i + 1] = digits[binary[i] & 15];
    }
    id[16] = '\0';
}

static int hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    if (digit >= 'a' && digit <= 'f') {
        return digit - 'a' + 10;
    }
    if (digit >= 'A' && digit <= 'F') {
        return digit - 'A' + 10;
    }
    return -1;
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static bool hex_take(struct polarys_slice text, struct master_key *key)
{
    while (text.size > 0 && is_space(text.data[text.size - 1])) {
        text.size--;
    }
    if (text.size != MASTER_KEY_HEX_SIZE) {
        return false;
    }
    for (size_t i = 0; i < MASTER_KEY_SIZE; i++) {
        int high = hex_value(text.data[2 * i]);
        int low = hex_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        key->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

enum polarys_code master_key_read_file(struct vfs *vfs, const char *path, struct master_key *key,
                                       struct polarys_error *err)
{
    struct buffer bytes = {0};
    enum polarys_code code = vfs_read_file(vfs, path, MASTER_KEY_FILE_SIZE_MAX, &bytes, err);
    if (code == POLARYS_CORRUPT) {
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "it holds more than %d bytes; a master key file is 64 hex digits or "
                            "32 raw bytes",
                            MASTER_KEY_FILE_SIZE_MAX);
    } else if (code == POLARYS_OK && bytes.size == MASTER_KEY_SIZE) {
        memcpy(key->bytes, bytes.data, MASTER_KEY_SIZE);
    } else if (code == POLARYS_OK && !hex_take(buffer_slice(&bytes), key)) {
        master_key_wipe(key);
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "it holds %zu bytes that are not a key; a master key file is 64 hex "
                            "digits or 32 raw bytes",
                            bytes.size);
    }
    buffer_deinit_secret(&bytes);
    return code == POLARYS_OK ? POLARYS_OK
                              : polarys_wrap(err, code, "read master key file %s", path);
}

enum polarys_code master_key_derive(struct polarys_slice passphrase, struct polarys_slice salt_text,
                                    struct master_key *key, struct polarys_error *err)
{
    if (passphrase.size < PASSPHRASE_SIZE_MIN) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "the passphrase has %zu bytes; at least %d are asked for",
                            passphrase.size, PASSPHRASE_SIZE_MIN);
    }
    uint8_t salt[SHA256_DIGEST_LENGTH];
    static const uint8_t nothing[1] = {0};
    const uint8_t *salt_bytes = salt_text.size == 0 ? nothing : salt_text.data;
    POLARYS_ASSERT(SHA256(salt_bytes, salt_text.size, salt) != NULL);

    EVP_KDF *scrypt = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(scrypt);
    EVP_KDF_free(scrypt);
    if (context == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for scrypt");
    }
    uint64_t n = SCRYPT_N;
    uint32_t r = SCRYPT_R;
    uint32_t p = SCRYPT_P;
    uint64_t memory_max = SCRYPT_MEMORY_MAX;
    /* OSSL_PARAM has no const; nothing is written through these. */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)passphrase.data,
                                          passphrase.size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt, sizeof(salt)),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory_max),
        OSSL_PARAM_construct_end(),
    };
    int is_derived = EVP_KDF_derive(context, key->bytes, sizeof(key->bytes), params);
    EVP_KDF_CTX_free(context);
    if (is_derived != 1) {
        master_key_wipe(key);
        return polarys_fail(err, POLARYS_NO_MEMORY, "scrypt could not get its 128 MiB of memory");
    }
    return POLARYS_OK;
}
