/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what is left of a damaged table file: past blocks that cannot be read, each of which is told with the keys
 * that it held.
 *
 * Invariant: nothing is given that did not authenticate. A block's tag is in its parent, so a parent that is lost takes
 * all that it leads to with it: the footer the file, the top index all entries, a partition of the index its blocks.
 */
#ifndef ENGINE_SST_TABLE_SALVAGE_H
#define ENGINE_SST_TABLE_SALVAGE_H

#include "engine/sst/table.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What of a file cannot be read. Borrowed: valid during the call. */
struct table_loss {
    bool is_range_deletes; /* else entries */
    uint64_t offset;       /* of the block that is bad */
    uint64_t bytes;        /* of it */
    /* Tree keys, both inclusive; at least what was lost lies between them. */
    struct polarys_slice start;
    struct polarys_slice end;
    const char *cause;
};

struct table_loss_visitor {
    /* Anything but POLARYS_OK ends the reading with that code. */
    enum polarys_code (*loss)(void *context, const struct table_loss *loss);
    void *context;
};

/* True when a read failed over the bytes or the medium, so that others may still be readable. */
bool table_is_damage(enum polarys_code code);

/*
 * As table_open, but only header and footer have to be good; a top index or range deletes that are not are told to the
 * visitor. `meta` is the manifest's; NULL: no manifest knows the file, and it is taken at its own word, as by
 * table_meta_recover (where its properties are bad its keys are unknown: both empty). Errors: as table_open.
 */
NODISCARD enum polarys_code table_salvage_open(const struct table_env *env, uint64_t file_id,
                                               const struct table_meta *meta,
                                               const struct table_loss_visitor *visitor,
                                               struct table **out, struct polarys_error *err);
/* What is known about it. Borrowed: lives as long as the table. */
const struct table_meta *table_salvage_meta(const struct table *table);

/*
 * A walk forward over the entries that can be read, past the cache: seek_first and next only. The visitor is called
 * from within its moves. Errors: NO_MEMORY; the walk's own: NO_MEMORY, those of the visitor.
 */
NODISCARD enum polarys_code table_salvage_iterator_create(struct table *table,
                                                          const struct table_loss_visitor *visitor,
                                                          struct entry_iterator **out,
                                                          struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
