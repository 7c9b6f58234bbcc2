/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Databases, tables and indexes, in memory: an immutable catalogue that readers use without waiting, replaced whole
 * by each change.
 *
 * Invariant: a catalogue never changes once it is published; whoever reads one sees a state that existed
 * at one version. Ids are never reused. The records on disk are catalog_records.h's.
 */
#ifndef ENGINE_CATALOG_H
#define ENGINE_CATALOG_H

#include <stdatomic.h>

#include "engine/base/error.h"
#include "engine/base/mutex.h"
#include "engine/base/slice.h"
#include "engine/engine.h"
#include "engine/index/index.h"

enum {
    SYSTEM_DATABASE_ID = 0,
    DEFAULT_DATABASE_ID = 1,
    CATALOG_DATABASES_MAX = 10000,
    CATALOG_TABLES_MAX = 50000,
    /* Of one database: dropping it is one commit with a range delete a table. */
    CATALOG_DATABASE_TABLES_MAX = 4000,
    CATALOG_INDEXES_MAX = 100000,
    CATALOG_STRIPES = 8,
};

struct catalog_database {
    uint32_t id;
    uint64_t created_version;
    uint64_t created_ms;
    char name[POLARYS_NAME_BYTES_MAX + 1];
};

struct catalog_table {
    uint32_t database_id;
    uint32_t id;
    uint64_t created_version;
    uint64_t created_ms;
    char name[POLARYS_NAME_BYTES_MAX + 1];
};

/* Immutable once published. Databases stand by name, tables by (database id, name), indexes by (table id,
 * name). */
struct catalog {
    uint64_t version; /* the commit path's schema version that it goes with */
    uint32_t next_database_id;
    uint32_t next_table_id; /* indexes take their ids from it too */
    struct catalog_database *databases;
    size_t database_count;
    struct catalog_table *tables;
    size_t table_count;
    struct index_definition **indexes; /* a reference each */
    size_t index_count;
    uint32_t *slots;             /* open addressing: table index + 1; 0 is free */
    size_t slot_count;           /* a power of two */
    atomic_uint reference_count; /* of long readers */
    struct catalog *next_retired;
    unsigned drained_stripes; /* of a retired one: stripes seen without a reader since */
};

/* A new catalogue with the database "default" alone. NULL for lack of memory. */
struct catalog *catalog_create(void);
/* An unpublished copy with room for one more of each. NULL for lack of memory. */
struct catalog *catalog_copy(const struct catalog *catalog);
void catalog_destroy(struct catalog *catalog); /* accepts NULL */

/* Changes of an unpublished catalogue; catalog_index has to follow the last one. */
NODISCARD enum polarys_code catalog_add_database(struct catalog *catalog,
                                                 const struct catalog_database *database);
NODISCARD enum polarys_code catalog_add_table(struct catalog *catalog,
                                              const struct catalog_table *table);
/* Takes the reference over, on failure too. */
NODISCARD enum polarys_code catalog_add_index(struct catalog *catalog,
                                              struct index_definition *take_index);
/* The database's tables go with it, and with a table its indexes. */
void catalog_remove_database(struct catalog *catalog, uint32_t database_id);
void catalog_remove_table(struct catalog *catalog, uint32_t table_id);
void catalog_remove_index(struct catalog *catalog, uint32_t index_id);
/* Sorts and builds the look-up. Errors: NO_MEMORY. */
NODISCARD enum polarys_code catalog_index(struct catalog *catalog);

/* Borrowed: live as long as the catalogue. NULL when there is none. */
const struct catalog_database *catalog_find_database(const struct catalog *catalog,
                                                     struct polarys_slice name);
const struct catalog_table *catalog_find_table(const struct catalog *catalog, uint32_t database_id,
                                               struct polarys_slice name);
/* The tables of a database are [*first, *first + count). */
size_t catalog_database_tables(const struct catalog *catalog, uint32_t database_id, size_t *first);

/* The indexes of a table, by name; *count 0 when it has none. Borrowed likewise. */
struct index_definition *const *catalog_table_indexes(const struct catalog *catalog,
                                                      uint32_t table_id, size_t *count);
/* NULL when there is none. Borrowed likewise. */
struct index_definition *catalog_find_index(const struct catalog *catalog, uint32_t table_id,
                                            struct polarys_slice name);

/* ---- the published one ---- */

struct catalog_stripe {
    _Alignas(64) atomic_uint reader_count;
};

/* Embedded. */
struct catalog_holder {
    _Atomic(struct catalog *) current;
    struct catalog_stripe stripes[CATALOG_STRIPES];
    struct mutex mutex;
    struct catalog *retired; /* guarded by mutex */
};

/* Takes over `take_first`. */
void catalog_holder_init(struct catalog_holder *holder, struct catalog *take_first);
/* REQUIRES: no reader. */
void catalog_holder_deinit(struct catalog_holder *holder);
/* Replaces the current catalogue; the old one is freed when its last reader has left. */
void catalog_holder_publish(struct catalog_holder *holder, struct catalog *take_next);
/* Frees what nobody reads any more. */
void catalog_holder_reclaim(struct catalog_holder *holder);

/* A short read, which nothing blocks: enter, look something up, leave. */
const struct catalog *catalog_enter(struct catalog_holder *holder, unsigned *stripe);
void catalog_leave(struct catalog_holder *holder, unsigned stripe);
/* A long read. */
struct catalog *catalog_acquire(struct catalog_holder *holder);
void catalog_release(struct catalog *catalog); /* accepts NULL */

#endif
