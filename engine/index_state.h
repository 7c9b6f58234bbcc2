/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept of indexes and tables beside their entries, in system table 4 (docs/formats/catalog.md): how far
 * a build is, and statistics. Ids of tables and indexes come from one counter, so a key says which by its id.
 */
#ifndef ENGINE_INDEX_STATE_H
#define ENGINE_INDEX_STATE_H

#include "engine/catalog_records.h"

enum {
    INDEX_STATE_KEY_SIZE = TREE_KEY_PREFIX_SIZE + 4 + 1,
    INDEX_STATE_PROGRESS = 'p',
    INDEX_STATE_STATISTICS = 's',
    INDEX_STATE_PROGRESS_SIZE = 1 + 8,
};

/* Puts the key of a record of `id`; returns its size. */
size_t index_state_key(uint8_t key[INDEX_STATE_KEY_SIZE], uint32_t id, uint8_t kind);
/* The bounds of all records of `id`: [start, end). Returns the size of both. */
size_t index_state_bounds(uint32_t id, uint8_t start[INDEX_STATE_KEY_SIZE],
                          uint8_t end[INDEX_STATE_KEY_SIZE]);

/* How far a build is. */
struct index_progress {
    uint64_t document_count;
    struct polarys_slice last_key; /* the document key done last; empty: none yet */
};
/* Appends the value of its record. Errors: NO_MEMORY. */
NODISCARD enum polarys_code index_progress_encode(const struct index_progress *progress,
                                                  struct buffer *to);
/* Borrows from `value`. False when it is no such record. */
bool index_progress_decode(struct polarys_slice value, struct index_progress *progress);

#endif
