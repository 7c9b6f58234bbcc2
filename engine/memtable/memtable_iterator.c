/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking a memtable. Forwards is one link a step; backwards is a search for the node before, since links
 * lead one way only. The walk sees entries that are inserted while it goes on, each whole.
 */
#include <stdlib.h>

#include "engine/memtable/memtable_internal.h"

struct memtable_iterator {
    struct entry_iterator base;
    struct memtable *memtable;
    const struct memtable_node *node;
};

static struct memtable_iterator *from_base(struct entry_iterator *base)
{
    return (struct memtable_iterator *)base;
}

/* Stands on the node at `offset`; 0 ends the walk. */
static void land(struct memtable_iterator *iterator, uint32_t offset)
{
    iterator->base.code = POLARYS_OK;
    iterator->base.is_valid = offset != 0;
    if (offset != 0) {
        iterator->node = memtable_node_at(iterator->memtable, offset);
        memtable_node_entry(iterator->node, &iterator->base.entry);
        __builtin_prefetch(iterator->memtable->base +
                           link_offset(memtable_link_load(iterator->node, 0)));
    }
}

static void iterator_seek(struct entry_iterator *base, struct polarys_slice key, uint64_t version)
{
    struct memtable_iterator *iterator = from_base(base);
    struct memtable_target target = {key, version};
    bool same_key;
    land(iterator, memtable_find(iterator->memtable, &target, &same_key));
}

static void iterator_seek_first(struct entry_iterator *base)
{
    struct memtable_iterator *iterator = from_base(base);
    const struct memtable *memtable = iterator->memtable;
    land(iterator, link_offset(memtable_link_load(memtable_node_at(memtable, memtable->head), 0)));
}

static void iterator_seek_last(struct entry_iterator *base)
{
    struct memtable_iterator *iterator = from_base(base);
    land(iterator, memtable_find_last(iterator->memtable));
}

static void iterator_next(struct entry_iterator *base)
{
    struct memtable_iterator *iterator = from_base(base);
    POLARYS_ASSERT(iterator->node != NULL);
    land(iterator, link_offset(memtable_link_load(iterator->node, 0)));
}

static void iterator_previous(struct entry_iterator *base)
{
    struct memtable_iterator *iterator = from_base(base);
    POLARYS_ASSERT(iterator->node != NULL);
    struct memtable_target target = {memtable_node_key(iterator->node), iterator->node->version};
    land(iterator, memtable_find_before(iterator->memtable, &target));
}

static void iterator_destroy(struct entry_iterator *base)
{
    struct memtable_iterator *iterator = from_base(base);
    memtable_unref(iterator->memtable);
    free(iterator);
}

static const struct entry_iterator_vtable memtable_iterator_vtable = {
    .seek = iterator_seek,
    .seek_first = iterator_seek_first,
    .seek_last = iterator_seek_last,
    .next = iterator_next,
    .previous = iterator_previous,
    .destroy = iterator_destroy,
};

enum polarys_code memtable_iterator_create(struct memtable *memtable, struct entry_iterator **out,
                                           struct polarys_error *err)
{
    *out = NULL;
    struct memtable_iterator *iterator = calloc(1, sizeof(*iterator));
    if (iterator == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "memtable iterator: out of memory");
    }
    iterator->base.vtable = &memtable_iterator_vtable;
    iterator->memtable = memtable_ref(memtable);
    *out = &iterator->base;
    return POLARYS_OK;
}
