/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics of indexes and tables, for the planner of queries: gathered by walking an index once, kept as a
 * record of system table 4, cached in memory (docs/formats/catalog.md).
 *
 * Invariant: they are estimates of an earlier version. Nothing but the cost of an answer may depend on them.
 */
#ifndef ENGINE_INDEX_STATISTICS_H
#define ENGINE_INDEX_STATISTICS_H

#include <stdatomic.h>

#include "engine/base/buffer.h"
#include "engine/base/mutex.h"

struct polarys_db;
struct catalog;
struct index_definition;

enum {
    STATISTICS_BUCKETS_MAX = 128,
    STATISTICS_BOUND_BYTES_MAX = 64, /* of a bucket's bound; the rest is cut off */
    STATISTICS_CACHED_MAX = 4096,    /* records in memory */
};

/* Up to and with `bound` there are `entries_before` entries. */
struct statistics_bucket {
    struct polarys_slice bound; /* what an entry's key has behind database and index id, cut */
    uint64_t entries_before;
};

/* Immutable once shared; counted references. */
struct index_statistics {
    atomic_uint reference_count;
    uint32_t id;             /* of the index, or of the table */
    uint64_t version;        /* that was walked */
    uint64_t entry_count;    /* a table: its documents */
    uint64_t distinct_count; /* of all fields together; a table and a text index: 0 */
    uint64_t stored_bytes;   /* then, by estimate: how much has changed since shows in it */
    size_t bucket_count;     /* each of about as many entries; 0 for tables */
    struct statistics_bucket buckets[STATISTICS_BUCKETS_MAX];
    struct buffer bounds; /* what the bounds borrow from */
};

/* Embedded in the store. */
struct statistics_cache {
    struct mutex mutex;
    struct index_statistics **list; /* guarded by mutex; in no order, a reference each */
    size_t count;
    size_t capacity;
};
void statistics_cache_init(struct statistics_cache *cache);
void statistics_cache_deinit(struct statistics_cache *cache);

/* The statistics of an index or a table by its id; NULL when none were gathered, or they cannot be read. The
 * first call for an id may read a file. A reference of the caller's. */
struct index_statistics *db_statistics_get(struct polarys_db *db, uint32_t id);
void index_statistics_unref(struct index_statistics *statistics); /* accepts NULL */

/* How many entries lie within [start, end) of tree keys, estimated. */
double index_statistics_range(const struct index_statistics *statistics, struct polarys_slice start,
                              struct polarys_slice end);
/* How many entries one value of all fields has, on average; at least 1 where there are entries. */
double index_statistics_equal(const struct index_statistics *statistics);

/* ---- for gathering (index_analyze.c) ---- */

/* Appends the value of its record. Errors: NO_MEMORY. */
NODISCARD enum polarys_code index_statistics_encode(const struct index_statistics *statistics,
                                                    struct buffer *to);
/* Errors: CORRUPT, NO_MEMORY. */
NODISCARD enum polarys_code index_statistics_decode(uint32_t id, struct polarys_slice value,
                                                    struct index_statistics **out);
/* Takes the place of what was cached under its id. Takes the reference over. */
void db_statistics_put(struct polarys_db *db, struct index_statistics *take_statistics);

/* ---- index_analyze.c ---- */

/* Gathers the statistics of an index when its size has changed much since they were. Errors: those of reads and
 * commits. */
NODISCARD enum polarys_code index_statistics_refresh(struct polarys_db *db,
                                                     const struct catalog *catalog,
                                                     const struct index_definition *index,
                                                     struct polarys_error *err);
/* Gathers those of a READY index and of its table, now. */
NODISCARD enum polarys_code index_statistics_gather(struct polarys_db *db,
                                                    const struct catalog *catalog,
                                                    const struct index_definition *index,
                                                    struct polarys_error *err);

#endif
