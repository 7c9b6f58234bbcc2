/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One chunk of an index's build, for index_build.c.
 */
#ifndef ENGINE_INDEX_BUILD_CHUNK_H
#define ENGINE_INDEX_BUILD_CHUNK_H

#include "engine/batch_internal.h"

struct chunk_unique;

/* Zero-initialise but for the first group. */
struct build_chunk {
    struct polarys_db *db;
    const struct catalog *catalog; /* whose schema the commit has to find */
    const struct index_definition *index;
    struct polarys_slice after; /* document key done before; empty: none */
    size_t documents_max;

    uint64_t snapshot;
    struct polarys_batch *batch;
    struct index_entries entries;
    struct chunk_unique *uniques;
    size_t unique_count;
    size_t unique_capacity;
    /* Outcome. */
    size_t document_count;
    size_t entry_bytes;
    struct buffer last_key;
    bool is_last; /* no document follows */
    bool
        has_expired; /* a document that has expired is in the way: it has been added for deletion instead */
};

/*
 * Gathers the next documents' entries into chunk->batch. With has_expired set the batch deletes a document and
 * nothing else, and the chunk has to be done again. Errors: UNIQUE_VIOLATION (details "index", "key" and
 * "written_key"), TOO_LARGE, CORRUPT: this index cannot be built; those of reads.
 */
NODISCARD enum polarys_code build_chunk_gather(struct build_chunk *chunk,
                                               struct polarys_error *err);
void build_chunk_deinit(struct build_chunk *chunk);

#endif
