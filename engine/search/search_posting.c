/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding and decoding a text index's entries.
 *
 * Invariant: what is decoded has been checked: counts agree with bytes, positions ascend, nothing is left
 * over. Postings come from disk.
 */
#include "engine/search/search_posting.h"

#include <openssl/sha.h>

#include "engine/base/assert.h"

enum head_flag {
    HEAD_HAS_EXPIRY = 1 << 0,
    HEAD_HAS_KEY = 1 << 1,
};

enum { HEAD_FLAG_BITS = 2 };

_Static_assert((int)SEARCH_KEY_SIZE_MAX <= (int)TREE_KEY_SIZE_MAX, "an entry's key fits the tree");

size_t search_id_put(uint8_t *to, struct polarys_slice key)
{
    if (key.size < SEARCH_ID_SIZE_MAX) {
        memcpy(to, key.data, key.size);
        return key.size;
    }
    enum { KEPT = SEARCH_ID_SIZE_MAX - SEARCH_ID_HASH_SIZE };
    memcpy(to, key.data, KEPT);
    SHA256(key.data, key.size, to + KEPT);
    return SEARCH_ID_SIZE_MAX;
}

size_t search_key_put_term(uint8_t *to, uint32_t database_id, uint32_t index_id,
                           struct polarys_slice term)
{
    POLARYS_ASSERT(term.size > 0 && term.size <= SEARCH_TERM_BYTES_MAX);
    size_t size = search_key_put_prefix(to, database_id, index_id, SEARCH_TAG_POSTING);
    memcpy(to + size, term.data, term.size);
    size += term.size;
    to[size++] = 0;
    return size;
}

enum polarys_code search_head_encode(struct buffer *to, const struct search_document_head *head)
{
    uint64_t flags = 0;
    flags |= head->expires_at_ms != 0 ? HEAD_HAS_EXPIRY : 0;
    flags |= head->document_key.size != 0 ? HEAD_HAS_KEY : 0;
    enum polarys_code code =
        buffer_append_varint(to, (uint64_t)head->length << HEAD_FLAG_BITS | flags);
    if (code == POLARYS_OK && head->expires_at_ms != 0) {
        code = buffer_append_u64_le(to, head->expires_at_ms);
    }
    if (code == POLARYS_OK && head->document_key.size != 0) {
        code = buffer_append_sized(to, head->document_key);
    }
    return code;
}

bool search_head_decode(struct cursor *cursor, struct search_document_head *head)
{
    uint64_t first;
    if (!cursor_take_varint(cursor, &first) || first >> HEAD_FLAG_BITS == 0 ||
        first >> HEAD_FLAG_BITS > SEARCH_DOCUMENT_WORDS_MAX) {
        return false;
    }
    head->length = (uint32_t)(first >> HEAD_FLAG_BITS);
    head->expires_at_ms = 0;
    head->document_key = slice_make(NULL, 0);
    if ((first & HEAD_HAS_EXPIRY) != 0 &&
        (!cursor_take_u64_le(cursor, &head->expires_at_ms) || head->expires_at_ms == 0)) {
        return false;
    }
    return (first & HEAD_HAS_KEY) == 0 || (cursor_take_sized(cursor, &head->document_key) &&
                                           head->document_key.size >= SEARCH_ID_SIZE_MAX &&
                                           head->document_key.size <= USER_KEY_SIZE_MAX);
}

bool search_posting_decode(struct polarys_slice value, struct search_posting *posting)
{
    struct cursor cursor = cursor_make(value);
    uint64_t count;
    if (!search_head_decode(&cursor, &posting->head) || !cursor_take_varint(&cursor, &count) ||
        count == 0 || count > posting->head.length) {
        return false;
    }
    posting->count = (uint32_t)count;
    posting->positions = slice_make(cursor.at, cursor_left(&cursor));
    return true;
}

bool search_positions_decode(const struct search_posting *posting, uint32_t *positions,
                             size_t *position_count)
{
    struct cursor cursor = cursor_make(posting->positions);
    size_t count = posting->count < SEARCH_POSITIONS_MAX ? posting->count : SEARCH_POSITIONS_MAX;
    uint64_t position = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t delta;
        if (!cursor_take_varint(&cursor, &delta) || (i > 0 && delta == 0) || delta > UINT32_MAX ||
            position + delta > UINT32_MAX) {
            return false;
        }
        position += delta;
        positions[i] = (uint32_t)position;
    }
    *position_count = count;
    return cursor_left(&cursor) == 0;
}

bool search_posting_key_split(struct polarys_slice key, struct polarys_slice *term,
                              struct polarys_slice *id)
{
    if (key.size <= SEARCH_PREFIX_SIZE) {
        return false;
    }
    const uint8_t *at = key.data + SEARCH_PREFIX_SIZE;
    size_t left = key.size - SEARCH_PREFIX_SIZE;
    const uint8_t *end = memchr(at, 0, left);
    if (end == NULL || end == at) {
        return false;
    }
    *term = slice_make(at, (size_t)(end - at));
    *id = slice_make(end + 1, left - term->size - 1);
    return id->size > 0 && id->size <= SEARCH_ID_SIZE_MAX;
}

bool search_key_is_statistics(struct polarys_slice key)
{
    return key.size > SEARCH_TAG_OFFSET && (key.data[SEARCH_TAG_OFFSET] == SEARCH_TAG_TOTALS ||
                                            key.data[SEARCH_TAG_OFFSET] == SEARCH_TAG_FREQUENCY);
}
