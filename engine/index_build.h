/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building indexes while writes go on: one task of the store builds those that are BUILDING, one after another,
 * a chunk of documents at a time.
 *
 * Invariant: from the commit that made an index every write maintains it; a chunk's commit validates that its
 * documents are still what their entries were made from. So whatever the order of chunks and writes, the
 * entries are those of the documents once the last chunk is in.
 */
#ifndef ENGINE_INDEX_BUILD_H
#define ENGINE_INDEX_BUILD_H

#include <stdatomic.h>

#include "engine/base/buffer.h"
#include "engine/base/executor.h"

struct polarys_db;

enum {
    INDEX_BUILD_CHUNK_MAX = 1024,      /* documents in one commit */
    INDEX_BUILD_CHUNK_BYTES = 1 << 20, /* of entries in one commit, unless one document has more */
    INDEX_BUILD_LEASE_MS = 60000,      /* of the version that a chunk reads */
    INDEX_BUILD_RETRY_MS = 250,        /* after an error that may pass */
    INDEX_STATISTICS_LOOKS = 256,      /* indexes whose statistics one step looks at */
    INDEX_BUILD_PAUSE_MS_MAX = 1000,   /* between chunks, when writers have to be slowed down */
};

/* Embedded in the store; zero-initialised. */
struct index_builder {
    struct task task;
    atomic_uint state; /* enum build_state in index_build.c */
    /* Of the task. */
    uint32_t index_id; /* whose progress this is; 0: none */
    struct buffer last_key;
    uint64_t document_count;
    uint64_t ticked_ns; /* of the tick */
    size_t chunk_documents;
    uint32_t failed_index_id; /* whose step failed last: the others come first; 0: none */
    size_t looked_at;         /* index of the catalogue whose statistics are looked at next */
    /* For whoever lists indexes. */
    atomic_uint shown_index_id;
    atomic_uint_fast64_t shown_document_count;
};

/* Looks now and then whether statistics are out of date; of the tick. */
void index_build_tick(struct polarys_db *db, uint64_t now_ns);
/* There may be something to build. Any thread. */
void index_build_kick(struct polarys_db *db);
/* Waits until the task will not run again. REQUIRES: is_closing. */
void index_build_stop(struct polarys_db *db);
void index_builder_deinit(struct index_builder *builder);

#endif
