/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a token: format (1), history id (16), version (8, little-endian), digest (8), check
 * sum (4), last key (the rest).
 */
#include "service/rpc/page_token.h"

#include "service/server/check.h"
#include "service/server/server.h"

enum {
    TOKEN_FORMAT = 1,
    HISTORY_AT = 1,
    VERSION_AT = HISTORY_AT + POLARYS_ID_SIZE,
    DIGEST_AT = VERSION_AT + 8,
    SUM_AT = DIGEST_AT + 8,
};

static const uint64_t fnv_start = UINT64_C(0xcbf29ce484222325);

/* FNV-1a, 64 bits; the length goes in first, so that neighbouring fields do not run together. */
static uint64_t digest_add(uint64_t digest, const void *data, size_t size)
{
    const uint64_t prime = UINT64_C(0x100000001b3);
    const uint8_t *bytes = data != NULL ? data : (const uint8_t *)"";
    digest = (digest ^ size) * prime;
    for (size_t i = 0; i < size; i++) {
        digest = (digest ^ bytes[i]) * prime;
    }
    return digest;
}

uint64_t page_token_digest(const struct call *call, const Polarys__V1__KeyRange *range,
                           bool is_reverse, bool is_keys_only)
{
    uint64_t digest = digest_add(fnv_start, call->method->path, strlen(call->method->path));
    const char *database = call->database[0] == '\0' ? "default" : call->database;
    digest = digest_add(digest, database, strlen(database));
    digest = digest_add(digest, call->table, strlen(call->table));
    if (range != NULL) {
        digest = digest_add(digest, range->start_key.data, range->start_key.len);
        digest = digest_add(digest, range->end_key.data, range->end_key.len);
        digest = digest_add(digest, range->prefix.data, range->prefix.len);
    } else {
        digest = digest_add(digest_add(digest_add(digest, NULL, 0), NULL, 0), NULL, 0);
    }
    if (call->has_txn_id) {
        /* What a transaction sees, nobody else does. */
        digest = digest_add(digest, call->txn_id, POLARYS_TXN_ID_SIZE);
    }
    uint8_t flags = (uint8_t)((is_reverse ? 1 : 0) | (is_keys_only ? 2 : 0));
    return digest_add(digest, &flags, 1);
}

static void number_put(uint8_t *at, uint64_t number, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)(number >> (8 * i));
    }
}

static uint64_t number_get(const uint8_t *at, size_t size)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++) {
        number |= (uint64_t)at[i] << (8 * i);
    }
    return number;
}

static uint64_t sum_of(const uint8_t *bytes, size_t size)
{
    uint64_t digest = digest_add(fnv_start, bytes, SUM_AT);
    return digest_add(digest, bytes + PAGE_TOKEN_FIXED, size - PAGE_TOKEN_FIXED) & UINT32_MAX;
}

size_t page_token_encode(const struct call *call, const struct page_token *token, uint8_t *bytes)
{
    SERVICE_ASSERT(token->last_key.size <= POLARYS_KEY_BYTES_MAX);
    size_t size = PAGE_TOKEN_FIXED + token->last_key.size;
    bytes[0] = TOKEN_FORMAT;
    memcpy(bytes + HISTORY_AT, polarys_db_history_id(call->server->db), POLARYS_ID_SIZE);
    number_put(bytes + VERSION_AT, token->version, 8);
    number_put(bytes + DIGEST_AT, token->request_digest, 8);
    if (token->last_key.size > 0) {
        memcpy(bytes + PAGE_TOKEN_FIXED, token->last_key.data, token->last_key.size);
    }
    number_put(bytes + SUM_AT, sum_of(bytes, size), 4);
    return size;
}

static enum polarys_code token_bad(struct polarys_error *err, const char *field, const char *why)
{
    polarys_fail(err, POLARYS_BAD_PAGE_TOKEN, "`%s`: %s", field, why);
    polarys_error_detail_set(err, "field", "%s", field);
    return POLARYS_BAD_PAGE_TOKEN;
}

enum polarys_code page_token_decode(const struct call *call, struct polarys_slice bytes,
                                    const char *field, struct page_token *token,
                                    struct polarys_error *err)
{
    if (bytes.size < PAGE_TOKEN_FIXED || bytes.size > PAGE_TOKEN_MAX ||
        bytes.data[0] != TOKEN_FORMAT ||
        number_get(bytes.data + SUM_AT, 4) != sum_of(bytes.data, bytes.size)) {
        return token_bad(err, field, "not a token of this call; pass it on unchanged");
    }
    if (memcmp(bytes.data + HISTORY_AT, polarys_db_history_id(call->server->db), POLARYS_ID_SIZE) !=
        0) {
        return polarys_fail(err, POLARYS_HISTORY_DIVERGED,
                            "`%s` is of another history than this node is on: begin again", field);
    }
    uint64_t digest = number_get(bytes.data + DIGEST_AT, 8);
    if (digest != token->request_digest) {
        return token_bad(err, field, "the request differs from the one that the token is of");
    }
    token->version = number_get(bytes.data + VERSION_AT, 8);
    token->last_key = slice_make(bytes.data + PAGE_TOKEN_FIXED, bytes.size - PAGE_TOKEN_FIXED);
    return POLARYS_OK;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t page_token_text_encode(struct polarys_slice bytes, char *text)
{
    char *at = text;
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        bits = (bits << 8) | bytes.data[i];
        held += 8;
        while (held >= 6) {
            held -= 6;
            *at++ = alphabet[(bits >> held) & 63];
        }
    }
    if (held > 0) {
        *at++ = alphabet[(bits << (6 - held)) & 63];
    }
    return (size_t)(at - text);
}

static int digit_of(uint8_t byte)
{
    const char *place = byte == 0 ? NULL : strchr(alphabet, byte);
    return place == NULL ? -1 : (int)(place - alphabet);
}

bool page_token_text_decode(struct polarys_slice text, uint8_t *bytes, size_t *size)
{
    *size = 0;
    uint32_t bits = 0;
    unsigned held = 0;
    if (text.size > PAGE_TOKEN_TEXT_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        int digit = digit_of(text.data[i]);
        if (digit < 0) {
            return false;
        }
        bits = (bits << 6) | (uint32_t)digit;
        held += 6;
        if (held >= 8) {
            held -= 8;
            if (*size == PAGE_TOKEN_MAX) {
                return false;
            }
            bytes[(*size)++] = (uint8_t)(bits >> held);
        }
    }
    return true;
}
