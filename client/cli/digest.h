/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 over what is added bit by bit.
 */
#ifndef CLIENT_CLI_DIGEST_H
#define CLIENT_CLI_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { DIGEST_SIZE = 32, DIGEST_TEXT_SIZE = 2 * DIGEST_SIZE + 1 };

/* Zero-initialise. A failure is kept until digest_end. */
struct digest {
    void *context;
    bool has_failed;
};

/* Begins anew. */
void digest_begin(struct digest *digest);
void digest_add(struct digest *digest, const void *bytes, size_t size);
/* So many zero bytes. */
void digest_add_zeros(struct digest *digest, uint64_t size);
/* Numbers go in as eight bytes, the lowest first. */
void digest_add_number(struct digest *digest, uint64_t number);
/* False when the library failed at any time since the beginning. */
bool digest_end(struct digest *digest, uint8_t sum[DIGEST_SIZE]);
void digest_deinit(struct digest *digest);

/* Pairs of lower-case hexadecimal digits and a NUL: `to` has 2 * size + 1 bytes. */
void digest_text(char *to, const uint8_t *bytes, size_t size);

#ifdef __cplusplus
}
#endif

#endif
