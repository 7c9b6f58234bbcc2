/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Index maintenance of one preparation, for the files of it.
 */
#ifndef ENGINE_BATCH_INDEX_INTERNAL_H
#define ENGINE_BATCH_INDEX_INTERNAL_H

#include "engine/batch_internal.h"

/* A change of one entry that one document asks for. */
struct index_change {
    struct polarys_slice key;
    struct polarys_slice value;
    struct polarys_slice document; /* its tree key */
    const struct index_definition *index;
    bool is_put;
    bool is_unique;
};

struct index_work {
    struct polarys_batch *batch;
    const struct catalog *catalog;
    unsigned tree_flags;
    struct polarys_error *err;
    /* The table of the key looked at last, and its indexes. */
    uint8_t prefix[TREE_KEY_PREFIX_SIZE];
    bool has_prefix;
    struct index_definition *const *indexes;
    size_t index_count;
    /* Of one document, used again for the next. */
    struct index_entries before;
    struct index_entries after;
    struct batch_array changes; /* struct index_change */
};

/* Whether the table of `tree_key` has indexes that are maintained; finds them. */
bool index_work_table(struct index_work *work, struct polarys_slice tree_key);
/* Adds the deletion of a document that no operation named. Errors: NO_MEMORY. */
NODISCARD enum polarys_code index_work_delete(struct index_work *work,
                                              struct polarys_slice tree_key);
/* Adds what the effect changes in the indexes of its table. */
NODISCARD enum polarys_code index_work_effect(struct index_work *work,
                                              const struct batch_effect *effect);

/* ---- batch_index_range.c ---- */

/* Turns the range deletes of indexed tables into deletes of documents. */
NODISCARD enum polarys_code index_work_ranges(struct index_work *work);

/* ---- batch_index_unique.c ---- */

/* Sees to uniqueness and lists what is left as batch->index_changes. */
NODISCARD enum polarys_code index_work_settle(struct index_work *work);

#endif
