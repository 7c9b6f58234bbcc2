/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Range deletes, and an index that answers which of many covers a key. Memtables and table files both
 * keep one.
 *
 * Invariant: the index says what a scan of the whole list would say; it only says it in logarithmic time.
 */
#ifndef ENGINE_BASE_RANGE_DELETE_H
#define ENGINE_BASE_RANGE_DELETE_H

#include "engine/base/error.h"
#include "engine/base/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One range delete. Bounds are tree keys, end exclusive. Borrowed from its source. */
struct range_delete {
    struct polarys_slice start;
    struct polarys_slice end;
    uint64_t version;
};

static inline bool range_delete_covers(const struct range_delete *range_delete,
                                       struct polarys_slice key)
{
    return slice_compare(range_delete->start, key) <= 0 &&
           slice_compare(key, range_delete->end) < 0;
}

enum { RANGE_DELETE_INDEX_MAX = 1 << 24 };

/* Immutable: any number of threads. */
struct range_delete_index;

/*
 * Of `count` range deletes in any order, at most RANGE_DELETE_INDEX_MAX. The bytes of their bounds are
 * borrowed for the life of the index; the array is not. A range whose end is not after its start covers
 * nothing. Errors: NO_MEMORY.
 */
NODISCARD enum polarys_code range_delete_index_create(const struct range_delete *list, size_t count,
                                                      struct range_delete_index **out);
void range_delete_index_destroy(struct range_delete_index *index); /* accepts NULL */

/* The highest version at or below `snapshot` of a range delete that covers `key`; 0 when none does. */
uint64_t range_delete_index_find(const struct range_delete_index *index, struct polarys_slice key,
                                 uint64_t snapshot);

/* Heap bytes of the index. */
size_t range_delete_index_bytes(const struct range_delete_index *index);

#ifdef __cplusplus
}
#endif

#endif
