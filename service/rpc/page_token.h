/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a scan or a list goes on: the version it reads, the last key it gave, and a digest of what
 * was asked, so that a token is refused with another request. Opaque to clients, with a check sum
 * against accidents; a forged one shows its maker nothing that the maker may not read.
 */
#ifndef SERVICE_RPC_PAGE_TOKEN_H
#define SERVICE_RPC_PAGE_TOKEN_H

#include "polarys/v1/common.pb-c.h"
#include "service/server/call.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    PAGE_TOKEN_FIXED = 1 + POLARYS_ID_SIZE + 8 + 8 + 4,
    PAGE_TOKEN_MAX = PAGE_TOKEN_FIXED + POLARYS_KEY_BYTES_MAX,
    PAGE_TOKEN_TEXT_MAX = (PAGE_TOKEN_MAX + 2) / 3 * 4,
};

struct page_token {
    uint64_t version;
    uint64_t request_digest;
    struct polarys_slice last_key; /* decoded: borrowed from the token's bytes */
};

/* A digest of what must not change between two pages. */
uint64_t page_token_digest(const struct call *call, const Polarys__V1__KeyRange *range,
                           bool is_reverse, bool is_keys_only);

/* Returns the size; `bytes` has PAGE_TOKEN_MAX. */
size_t page_token_encode(const struct call *call, const struct page_token *token, uint8_t *bytes);
/* Errors: BAD_PAGE_TOKEN (of `field`), HISTORY_DIVERGED for one of another history. */
NODISCARD enum polarys_code page_token_decode(const struct call *call, struct polarys_slice bytes,
                                              const char *field, struct page_token *token,
                                              struct polarys_error *err);

/* The same as text for `string` fields: URL-safe base64 without padding, PAGE_TOKEN_TEXT_MAX
 * bytes. */
size_t page_token_text_encode(struct polarys_slice bytes, char *text);
/* False when it is none; *size bytes are in `bytes` of PAGE_TOKEN_MAX. */
bool page_token_text_decode(struct polarys_slice text, uint8_t *bytes, size_t *size);

#ifdef __cplusplus
}
#endif

#endif
