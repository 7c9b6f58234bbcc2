/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one shape of an ordered walk over entries: memtables, table files, merges and the whole tree. All
 * versions of all keys come by, in entry order; range deletes are not part of the walk (each source gives
 * them separately).
 */
#ifndef ENGINE_BASE_ENTRY_ITERATOR_H
#define ENGINE_BASE_ENTRY_ITERATOR_H

#include "engine/base/error.h"
#include "engine/base/internal_key.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * One thread at a time. After a move, `is_valid` says whether `entry` holds one; when not, `code` tells
 * the end of the walk (POLARYS_OK) from an error. Borrowed: `entry` is valid until the next move.
 */
struct entry_iterator {
    const struct entry_iterator_vtable *vtable;
    bool is_valid;
    enum polarys_code code;
    struct entry entry;
    struct polarys_error error; /* filled when code != POLARYS_OK */
};

struct entry_iterator_vtable {
    /* To the first entry at or after (key, version): versions sort downwards, so this is the newest entry
     * of `key` not above `version`, or the first entry of a later key. */
    void (*seek)(struct entry_iterator *iterator, struct polarys_slice key, uint64_t version);
    void (*seek_first)(struct entry_iterator *iterator);
    void (*seek_last)(struct entry_iterator *iterator);
    /* REQUIRES: is_valid. */
    void (*next)(struct entry_iterator *iterator);
    void (*previous)(struct entry_iterator *iterator);
    void (*destroy)(struct entry_iterator *iterator);
};

static inline void entry_iterator_seek(struct entry_iterator *iterator, struct polarys_slice key,
                                       uint64_t version)
{
    iterator->vtable->seek(iterator, key, version);
}

static inline void entry_iterator_seek_first(struct entry_iterator *iterator)
{
    iterator->vtable->seek_first(iterator);
}

static inline void entry_iterator_seek_last(struct entry_iterator *iterator)
{
    iterator->vtable->seek_last(iterator);
}

static inline void entry_iterator_next(struct entry_iterator *iterator)
{
    POLARYS_ASSERT(iterator->is_valid);
    iterator->vtable->next(iterator);
}

static inline void entry_iterator_previous(struct entry_iterator *iterator)
{
    POLARYS_ASSERT(iterator->is_valid);
    iterator->vtable->previous(iterator);
}

/* Accepts NULL. */
static inline void entry_iterator_destroy(struct entry_iterator *iterator)
{
    if (iterator != NULL) {
        iterator->vtable->destroy(iterator);
    }
}

#ifdef __cplusplus
}
#endif

#endif
