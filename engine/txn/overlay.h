/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a transaction has written, for its own reads: the newest effect of each tree key, in key order, and
 * the ranges that it deleted.
 *
 * Invariant: looking here first and in the store after gives what applying the operations one by one would
 * give: a put or delete of a key stands for all before it, and a range delete has turned every entry that
 * it covered into a delete.
 *
 * Owns nodes only: keys and values are borrowed and live as long as the arena.
 */
#ifndef ENGINE_TXN_OVERLAY_H
#define ENGINE_TXN_OVERLAY_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/commit/commit.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { OVERLAY_HEIGHT_MAX = 12 }; /* with a branching of 4 enough for 4^12 entries */

struct overlay_entry {
    struct polarys_slice key;
    struct polarys_slice value; /* of a put, as stored */
    bool is_delete;
    uint8_t height;
    struct overlay_entry *next[];
};

/* Embedded by its owner; one thread at a time. */
struct overlay {
    struct arena *arena;
    struct overlay_entry *heads[OVERLAY_HEIGHT_MAX];
    size_t entry_count;
    struct commit_range *ranges; /* in the arena */
    size_t range_count;
    size_t range_capacity;
    uint32_t seed;
    size_t bytes; /* that nodes and ranges take */
};

void overlay_init(struct overlay *overlay, struct arena *arena);

/* Errors: NO_MEMORY, and then nothing has changed. */
NODISCARD enum polarys_code overlay_put(struct overlay *overlay, struct polarys_slice key,
                                        struct polarys_slice value, struct polarys_error *err);
NODISCARD enum polarys_code overlay_delete(struct overlay *overlay, struct polarys_slice key,
                                           struct polarys_error *err);
NODISCARD enum polarys_code overlay_delete_range(struct overlay *overlay, struct commit_range range,
                                                 struct polarys_error *err);

enum overlay_answer {
    OVERLAY_UNTOUCHED, /* the store has the say */
    OVERLAY_PUT,
    OVERLAY_DELETED,
};
/* *value is set for a put. */
enum overlay_answer overlay_find(const struct overlay *overlay, struct polarys_slice key,
                                 struct polarys_slice *value);

/* The first entry at or after `key`; NULL when there is none. entry->next[0] is the one behind. */
const struct overlay_entry *overlay_seek(const struct overlay *overlay, struct polarys_slice key);
/* The first of all; NULL when there is none. */
static inline const struct overlay_entry *overlay_first(const struct overlay *overlay)
{
    return overlay->heads[0];
}

static inline bool overlay_is_empty(const struct overlay *overlay)
{
    return overlay->entry_count == 0 && overlay->range_count == 0;
}

static inline bool commit_range_holds(const struct commit_range *range, struct polarys_slice key)
{
    return slice_compare(range->start, key) <= 0 && slice_compare(key, range->end) < 0;
}

#ifdef __cplusplus
}
#endif

#endif
