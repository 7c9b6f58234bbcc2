/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM and HKDF-SHA256 over OpenSSL's EVP interface.
 *
 * Making a context and expanding a key cost three times what sealing a small message does, so each thread
 * keeps a few contexts of its own and a message under a key that one of them holds costs one Init call
 * with the new nonce. Invariant: slot->identity names the key that slot->context is keyed with, or 0.
 *
 * All of the cipher is in this file, so that a benchmark can link another one in its place. An expanded
 * key stays in a thread's context until another key takes the slot or the thread ends; OpenSSL wipes it
 * then.
 */
#include "engine/crypto/aead.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/coding.h"

enum {
    AEAD_NONCE_SIZE = 12,
    AEAD_SLOTS_MAX = 8,               /* contexts of a thread for each direction */
    AEAD_MESSAGE_BYTES_MAX = 1 << 30, /* OpenSSL counts in int */
};

enum aead_direction { AEAD_OPEN, AEAD_SEAL, AEAD_DIRECTION_COUNT };

struct aead_slot {
    EVP_CIPHER_CTX *context;
    uint64_t identity;
};

struct aead_thread {
    struct aead_slot slots[AEAD_DIRECTION_COUNT][AEAD_SLOTS_MAX];
};

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_cleanup;
static EVP_CIPHER *cipher_aes_256_gcm; /* NULL when OpenSSL has none */
static EVP_KDF *kdf_hkdf;
static atomic_uint_least64_t identity_last;
static _Thread_local struct aead_thread *thread_contexts;

static void thread_contexts_destroy(void *contexts)
{
    struct aead_thread *thread = contexts;
    for (int direction = 0; direction < AEAD_DIRECTION_COUNT; direction++) {
        for (int i = 0; i < AEAD_SLOTS_MAX; i++) {
            EVP_CIPHER_CTX_free(thread->slots[direction][i].context);
        }
    }
    free(thread);
    thread_contexts = NULL;
}

static void global_init(void)
{
    POLARYS_ASSERT(pthread_key_create(&thread_cleanup, thread_contexts_destroy) == 0);
    cipher_aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    kdf_hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
}

static struct aead_thread *thread_contexts_get(void)
{
    if (thread_contexts == NULL) {
        pthread_once(&global_once, global_init);
        struct aead_thread *thread = calloc(1, sizeof(*thread));
        if (thread == NULL || pthread_setspecific(thread_cleanup, thread) != 0) {
            free(thread);
            return NULL;
        }
        thread_contexts = thread;
    }
    return thread_contexts;
}

void aead_key_init(struct aead_key *key, const uint8_t bytes[AEAD_KEY_SIZE])
{
    memcpy(key->bytes, bytes, AEAD_KEY_SIZE);
    key->identity = atomic_fetch_add(&identity_last, 1) + 1;
}

void aead_key_deinit(struct aead_key *key)
{
    OPENSSL_cleanse(key, sizeof(*key));
}

/* Makes the slot's context on first use. */
static enum polarys_code slot_prepare(struct aead_slot *slot, enum aead_direction direction,
                                      struct polarys_error *err)
{
    if (slot->context != NULL) {
        return POLARYS_OK;
    }
    if (cipher_aes_256_gcm == NULL) {
        return polarys_fail(err, POLARYS_BUG, "this OpenSSL has no AES-256-GCM");
    }
    slot->context = EVP_CIPHER_CTX_new();
    if (slot->context == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a cipher context");
    }
    if (EVP_CipherInit_ex(slot->context, cipher_aes_256_gcm, NULL, NULL, NULL,
                          direction == AEAD_SEAL) != 1) {
        EVP_CIPHER_CTX_free(slot->context);
        slot->context = NULL;
        return polarys_fail(err, POLARYS_BUG, "OpenSSL refused to set up AES-256-GCM");
    }
    return POLARYS_OK;
}

/*
 * A context keyed with `key`, set to the nonce of `ordinal`, with the additional data fed. Borrowed: the
 * calling thread's own, valid until its next message.
 */
static enum polarys_code context_begin(const struct aead_key *key, uint64_t ordinal,
                                       struct polarys_slice additional,
                                       enum aead_direction direction, EVP_CIPHER_CTX **context,
                                       struct polarys_error *err)
{
    POLARYS_ASSERT(key->identity != 0);
    POLARYS_ASSERT(additional.size <= AEAD_MESSAGE_BYTES_MAX);
    struct aead_thread *thread = thread_contexts_get();
    if (thread == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for cipher contexts");
    }
    struct aead_slot *slot = &thread->slots[direction][key->identity % AEAD_SLOTS_MAX];
    enum polarys_code code = slot_prepare(slot, direction, err);
    if (code != POLARYS_OK) {
        return code;
    }

    uint8_t nonce[AEAD_NONCE_SIZE] = {0};
    put_u64_be(nonce + AEAD_NONCE_SIZE - sizeof(ordinal), ordinal);
    const uint8_t *rekey = slot->identity == key->identity ? NULL : key->bytes;
    slot->identity = 0;
    int unused = 0;
    if (EVP_CipherInit_ex(slot->context, NULL, NULL, rekey, nonce, direction == AEAD_SEAL) != 1 ||
        (additional.size != 0 && EVP_CipherUpdate(slot->context, NULL, &unused, additional.data,
                                                  (int)additional.size) != 1)) {
        return polarys_fail(err, POLARYS_BUG, "OpenSSL refused to begin a message");
    }
    slot->identity = key->identity;
    *context = slot->context;
    return POLARYS_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the inputs of the cipher, each its own. */
enum polarys_code aead_seal(const struct aead_key *key, uint64_t ordinal,
                            struct polarys_slice additional, const struct polarys_slice *pieces,
                            size_t piece_count, uint8_t *ciphertext, uint8_t tag[AEAD_TAG_SIZE],
                            struct polarys_error *err)
{
    EVP_CIPHER_CTX *context = NULL;
    enum polarys_code code = context_begin(key, ordinal, additional, AEAD_SEAL, &context, err);
    if (code != POLARYS_OK) {
        return code;
    }
    int done = 0;
    for (size_t i = 0; i < piece_count; i++) {
        POLARYS_ASSERT(pieces[i].size <= AEAD_MESSAGE_BYTES_MAX);
        if (pieces[i].size == 0) {
            continue;
        }
        if (EVP_EncryptUpdate(context, ciphertext, &done, pieces[i].data, (int)pieces[i].size) !=
            1) {
            return polarys_fail(err, POLARYS_BUG, "OpenSSL refused to encrypt");
        }
        POLARYS_ASSERT((size_t)done == pieces[i].size);
        ciphertext += done;
    }
    if (EVP_EncryptFinal_ex(context, tag, &done) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_SIZE, tag) != 1) {
        return polarys_fail(err, POLARYS_BUG, "OpenSSL refused to finish a message");
    }
    return POLARYS_OK;
}

/* NOLINTNEXTLINE(readability-function-size): the inputs of the cipher, each its own. */
enum polarys_code aead_open(const struct aead_key *key, uint64_t ordinal,
                            struct polarys_slice additional, struct polarys_slice ciphertext,
                            const uint8_t tag[AEAD_TAG_SIZE], uint8_t *plaintext,
                            struct polarys_error *err)
{
    POLARYS_ASSERT(ciphertext.size <= AEAD_MESSAGE_BYTES_MAX);
    /* OpenSSL takes the tag through a pointer that is not const, and copies it. */
    uint8_t expected[AEAD_TAG_SIZE];
    memcpy(expected, tag, AEAD_TAG_SIZE);
    EVP_CIPHER_CTX *context = NULL;
    enum polarys_code code = context_begin(key, ordinal, additional, AEAD_OPEN, &context, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    int done = 0;
    uint8_t none[AEAD_TAG_SIZE];
    if ((ciphertext.size != 0 && EVP_DecryptUpdate(context, plaintext, &done, ciphertext.data,
                                                   (int)ciphertext.size) != 1) ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_SIZE, expected) != 1) {
        code = polarys_fail(err, POLARYS_BUG, "OpenSSL refused to decrypt");
        goto fail;
    }
    if (EVP_DecryptFinal_ex(context, none, &done) != 1) {
        code = polarys_fail(err, POLARYS_TAMPERED, "the authentication tag does not match");
        goto fail;
    }
    return POLARYS_OK;

fail:
    if (ciphertext.size != 0) {
        OPENSSL_cleanse(plaintext, ciphertext.size);
    }
    return code;
}

enum polarys_code aead_key_derive(const uint8_t secret[AEAD_KEY_SIZE],
                                  const uint8_t salt[AEAD_SALT_SIZE], struct polarys_slice info,
                                  struct aead_key *key, struct polarys_error *err)
{
    pthread_once(&global_once, global_init);
    if (kdf_hkdf == NULL) {
        return polarys_fail(err, POLARYS_BUG, "this OpenSSL has no HKDF");
    }
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf_hkdf);
    if (context == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to derive a key");
    }
    /* OSSL_PARAM has no const; nothing is written through these. */
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret, AEAD_KEY_SIZE),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, AEAD_SALT_SIZE),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info.data, info.size),
        OSSL_PARAM_construct_end(),
    };
    uint8_t bytes[AEAD_KEY_SIZE];
    int is_derived = EVP_KDF_derive(context, bytes, sizeof(bytes), params);
    EVP_KDF_CTX_free(context);
    if (is_derived != 1) {
        return polarys_fail(err, POLARYS_BUG, "OpenSSL refused to derive a key");
    }
    aead_key_init(key, bytes);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return POLARYS_OK;
}
