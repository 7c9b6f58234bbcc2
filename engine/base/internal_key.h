/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tree stores: entries of (tree key, version, kind, value).
 *
 * A tree key is database id (4 bytes, big-endian) ‖ table id (4 bytes, big-endian) ‖ user key. Entries
 * sort by tree key upwards and by version downwards, so the newest entry of a key comes first. One key
 * has at most one entry of a version.
 *
 * Encoded, an internal key is tree key ‖ ~version (8 bytes, big-endian) ‖ kind (1 byte). Encoded keys are
 * compared with internal_key_compare, not with memcmp: a tree key may be a prefix of another.
 */
#ifndef ENGINE_BASE_INTERNAL_KEY_H
#define ENGINE_BASE_INTERNAL_KEY_H

#include "engine/base/assert.h"
#include "engine/base/coding.h"
#include "engine/base/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

enum entry_kind {
    ENTRY_PUT = 1,
    ENTRY_DELETE = 2,
    /* [key, value) are the bounds; hides only what is older than its version. */
    ENTRY_RANGE_DELETE = 3,
};

enum {
    TREE_KEY_PREFIX_SIZE = 8,
    USER_KEY_SIZE_MAX = 4096,
    TREE_KEY_SIZE_MAX = TREE_KEY_PREFIX_SIZE + USER_KEY_SIZE_MAX,
    INTERNAL_KEY_TRAILER_SIZE = 9,
    INTERNAL_KEY_SIZE_MAX = TREE_KEY_SIZE_MAX + INTERNAL_KEY_TRAILER_SIZE,
};

/* Versions run from 1 to VERSION_MAX; VERSION_MAX as a snapshot means "the newest there is". */
#define VERSION_MAX (UINT64_MAX - 1)

/* A decoded entry. Borrowed: each source says how long it lives. */
struct entry {
    struct polarys_slice key; /* tree key */
    struct polarys_slice value;
    uint64_t version;
    enum entry_kind kind;
};

static inline void internal_key_put_trailer(uint8_t *to, uint64_t version, enum entry_kind kind)
{
    put_u64_be(to, ~version);
    to[8] = (uint8_t)kind;
}

/* False when `encoded` is too short or its kind is unknown. */
static inline bool internal_key_decode(struct polarys_slice encoded, struct entry *entry)
{
    if (encoded.size < INTERNAL_KEY_TRAILER_SIZE) {
        return false;
    }
    const uint8_t *trailer = encoded.data + encoded.size - INTERNAL_KEY_TRAILER_SIZE;
    if (trailer[8] < ENTRY_PUT || trailer[8] > ENTRY_RANGE_DELETE) {
        return false;
    }
    entry->key = slice_make(encoded.data, encoded.size - INTERNAL_KEY_TRAILER_SIZE);
    entry->version = ~get_u64_be(trailer);
    entry->kind = (enum entry_kind)trailer[8];
    return true;
}

/* Order of (key a, version a) against (key b, version b): negative when a comes first. */
static inline int entry_compare(struct polarys_slice a, uint64_t a_version, struct polarys_slice b,
                                uint64_t b_version)
{
    int order = slice_compare(a, b);
    if (order != 0) {
        return order;
    }
    return (a_version < b_version) - (a_version > b_version);
}

/* Order of two encoded internal keys. REQUIRES: both at least INTERNAL_KEY_TRAILER_SIZE long. */
static inline int internal_key_compare(struct polarys_slice a, struct polarys_slice b)
{
    struct polarys_slice a_key = slice_make(a.data, a.size - INTERNAL_KEY_TRAILER_SIZE);
    struct polarys_slice b_key = slice_make(b.data, b.size - INTERNAL_KEY_TRAILER_SIZE);
    int order = slice_compare(a_key, b_key);
    return order != 0 ? order
                      : memcmp(a.data + a_key.size, b.data + b_key.size, INTERNAL_KEY_TRAILER_SIZE);
}

static inline void tree_key_put_prefix(uint8_t *to, uint32_t database_id, uint32_t table_id)
{
    put_u32_be(to, database_id);
    put_u32_be(to + 4, table_id);
}

#ifdef __cplusplus
}
#endif

#endif
