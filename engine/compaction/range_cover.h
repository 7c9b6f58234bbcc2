/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Range deletes turned into disjoint pieces, each with the newest version that covers it.
 *
 * Invariant: pieces are in key order, do not overlap, and neighbours that touch differ in version.
 */
#ifndef ENGINE_COMPACTION_RANGE_COVER_H
#define ENGINE_COMPACTION_RANGE_COVER_H

#include "engine/memtable/memtable.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zero-initialised is a cover of nothing. Bounds are borrowed from the range deletes it was made of. */
struct range_cover {
    struct range_delete *pieces;
    size_t count;
};

/* `items` are put into another order. `cover` is uninitialised before. Errors: NO_MEMORY. */
NODISCARD enum polarys_code range_cover_build(struct range_delete *items, size_t count,
                                              struct range_cover *cover);
void range_cover_deinit(struct range_cover *cover);

/* The version of the piece that holds `key`; 0 when none does. `*hint` (start with 0) remembers the piece,
 * so that a walk in order costs no search. */
uint64_t range_cover_version(const struct range_cover *cover, struct polarys_slice key,
                             size_t *hint);

/* A growing list of range deletes. Zero-initialise. */
struct range_list {
    struct range_delete *items;
    size_t count;
    size_t capacity;
};

/* Errors: NO_MEMORY. */
NODISCARD enum polarys_code range_list_add(struct range_list *list,
                                           const struct range_delete *range_delete);
void range_list_deinit(struct range_list *list);

#ifdef __cplusplus
}
#endif

#endif
