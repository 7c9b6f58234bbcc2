/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The newest entries, in memory: a skiplist in a fixed arena (offsets instead of pointers), one writer,
 * lock-free readers, and a list of range deletes.
 *
 * Invariant: an entry becomes visible to a reader whole or not at all, and never moves or changes.
 * Readers bring a snapshot version and ignore what is newer, so entries may be inserted before their
 * version is published.
 */
#ifndef ENGINE_MEMTABLE_MEMTABLE_H
#define ENGINE_MEMTABLE_MEMTABLE_H

#include "engine/base/buffer.h"
#include "engine/base/entry_iterator.h"
#include "engine/base/range_delete.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    MEMTABLE_BYTES_MIN = 1 << 16,
    MEMTABLE_BYTES_DEFAULT = 64 << 20,
    MEMTABLE_BYTES_MAX = 2047 << 20, /* offsets are 32 bits of 1 byte */
    /* A memtable with this many range deletes counts as full. */
    MEMTABLE_RANGE_DELETES_MAX = 4096,
};

/* Shared: memtable_ref/unref, any thread. */
struct memtable;

/* An arena of `capacity` bytes, reserved now and touched as it fills; reference count 1.
 * Errors: NO_MEMORY. */
NODISCARD enum polarys_code memtable_create(size_t capacity, struct memtable **out,
                                            struct polarys_error *err);
struct memtable *memtable_ref(struct memtable *memtable);
void memtable_unref(struct memtable *memtable); /* accepts NULL */

/* Arena bytes that inserting an entry of these sizes takes at most; for memtable_has_room. */
size_t memtable_entry_bytes_max(size_t key_size, size_t value_size);
/* True when `entry_bytes` (a sum of memtable_entry_bytes_max) still fit, with `range_deletes` more. */
bool memtable_has_room(const struct memtable *memtable, size_t entry_bytes, size_t range_deletes);

/*
 * Inserts an entry (key and value are copied). Never fails.
 * REQUIRES: room, and one writer at a time; (key, version) is new; versions never decrease. A range delete
 * has its exclusive end as value.
 */
void memtable_insert(struct memtable *memtable, const struct entry *entry);

/*
 * The newest point entry of `key` at or below `snapshot`. False when there is none. Borrowed: `found`
 * lives as long as the memtable. Any thread, no lock.
 */
bool memtable_get(const struct memtable *memtable, struct polarys_slice key, uint64_t snapshot,
                  struct entry *found);

/* The highest version at or below `snapshot` of a range delete that covers `key`; 0 when none does. */
uint64_t memtable_range_delete_version(const struct memtable *memtable, struct polarys_slice key,
                                       uint64_t snapshot);

/* Calls `each` for every range delete, in insertion order, as of now. False from `each` stops. */
void memtable_range_deletes_each(const struct memtable *memtable,
                                 bool (*each)(void *context,
                                              const struct range_delete *range_delete),
                                 void *context);

/* The newest version that any entry of `key`, or any range delete covering it, has; 0 when none. For the
 * validator: includes entries that are not published yet. */
uint64_t memtable_newest_version(const struct memtable *memtable, struct polarys_slice key);
/* The newest version above `above` of any entry within [start, end), or of a range delete that overlaps it;
 * 0 when there is none. Costs the lesser of walking the range and walking what was inserted since `above`.
 * REQUIRES: no insertion beside it (the writer's own thread, or a memtable that is full). */
uint64_t memtable_newest_version_in_range(const struct memtable *memtable,
                                          struct polarys_slice start, struct polarys_slice end,
                                          uint64_t above);

/* Walks the point entries. Holds a reference on the memtable. Errors: NO_MEMORY. */
NODISCARD enum polarys_code memtable_iterator_create(struct memtable *memtable,
                                                     struct entry_iterator **out,
                                                     struct polarys_error *err);

struct memtable_stats {
    size_t capacity;
    size_t used; /* arena bytes */
    uint64_t entry_count;
    uint64_t range_delete_count;
    uint64_t oldest_version; /* 0 when empty */
    uint64_t newest_version;
};
void memtable_stats_get(const struct memtable *memtable, struct memtable_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
