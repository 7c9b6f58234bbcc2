/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 by OpenSSL. A digest that failed in the middle gives none, so nothing is ever compared with half of
 * one.
 */
#include "client/cli/digest.h"

#include <openssl/evp.h>

#include "client/assert.h"

enum { ZERO_BYTES = 1 << 16 };

void digest_begin(struct digest *digest)
{
    if (digest->context == NULL) {
        digest->context = EVP_MD_CTX_new();
    }
    digest->has_failed =
        digest->context == NULL || EVP_DigestInit_ex(digest->context, EVP_sha256(), NULL) != 1;
}

void digest_add(struct digest *digest, const void *bytes, size_t size)
{
    POLARYS_ASSERT(bytes != NULL || size == 0);
    if (!digest->has_failed && size > 0) {
        digest->has_failed = EVP_DigestUpdate(digest->context, bytes, size) != 1;
    }
}

void digest_add_zeros(struct digest *digest, uint64_t size)
{
    static const uint8_t zeros[ZERO_BYTES];
    while (size > 0 && !digest->has_failed) {
        size_t part = size < sizeof(zeros) ? (size_t)size : sizeof(zeros);
        digest_add(digest, zeros, part);
        size -= part;
    }
}

void digest_add_number(struct digest *digest, uint64_t number)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(number >> (8 * i));
    }
    digest_add(digest, bytes, sizeof(bytes));
}

bool digest_end(struct digest *digest, uint8_t sum[DIGEST_SIZE])
{
    unsigned size = 0;
    if (!digest->has_failed) {
        digest->has_failed = EVP_DigestFinal_ex(digest->context, sum, &size) != 1;
        POLARYS_ASSERT(digest->has_failed || size == DIGEST_SIZE);
    }
    return !digest->has_failed;
}

void digest_deinit(struct digest *digest)
{
    EVP_MD_CTX_free(digest->context);
    *digest = (struct digest){0};
}

void digest_text(char *to, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        to[2 * i] = digits[bytes[i] >> 4];
        to[2 * i + 1] = digits[bytes[i] & 15];
    }
    to[2 * size] = '\0';
}
