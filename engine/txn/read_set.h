/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a transaction has read and its commit has to validate: keys with the version seen, and ranges with
 * the version that they were walked at.
 *
 * Invariant: what was noted of a key first stays: a second read that saw another version changes nothing,
 * so the validation finds the difference. Ranges only grow.
 */
#ifndef ENGINE_TXN_READ_SET_H
#define ENGINE_TXN_READ_SET_H

#include "engine/base/arena.h"
#include "engine/base/buffer.h"
#include "engine/commit/commit.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { READ_SET_INLINE = 8 }; /* keys that need no hash table */

struct read_key {
    struct polarys_slice key; /* in the set's arena */
    uint64_t version;         /* of the put that was seen; 0: no document was */
};

struct read_range {
    struct buffer start; /* tree keys */
    struct buffer end;
    uint64_t version; /* at which it was walked */
};

/* Embedded by its owner; one thread at a time. */
struct read_set {
    struct arena *arena;
    struct read_key *keys;
    size_t key_count;
    size_t key_capacity;
    uint32_t *slots; /* open addressing: key index + 1; NULL while there are few */
    size_t slot_count;
    struct read_range *ranges;
    size_t range_count;
    size_t range_capacity;
    uint64_t oldest_version; /* at which anything was read; UINT64_MAX: nothing was */
    size_t bytes;
    struct read_key keys_inline[READ_SET_INLINE];
};

void read_set_init(struct read_set *set, struct arena *arena);
void read_set_deinit(struct read_set *set);

/* `version` was seen under `key` in a read as of `read_version`. Copies the key. Errors: NO_MEMORY, and then
 * nothing has changed. */
NODISCARD enum polarys_code read_set_note_key(struct read_set *set, struct polarys_slice key,
                                              uint64_t version, uint64_t read_version,
                                              struct polarys_error *err);
/* The range was walked as of `read_version`: joins one of the latest ranges of that version when it touches
 * it. Copies the bounds. An empty range is none. Errors: NO_MEMORY, likewise. */
NODISCARD enum polarys_code read_set_note_range(struct read_set *set, struct commit_range range,
                                                uint64_t read_version, struct polarys_error *err);
/* NULL when the key was not noted. Borrowed: valid until the next note. */
const struct read_key *read_set_find(const struct read_set *set, struct polarys_slice key);

static inline bool read_set_is_empty(const struct read_set *set)
{
    return set->key_count == 0 && set->range_count == 0;
}

#ifdef __cplusplus
}
#endif

#endif
