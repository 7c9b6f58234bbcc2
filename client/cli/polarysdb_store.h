/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was read from the files of the Go program: tables, and changes of their keys in the order in which they
 * happened, until the merge leaves one document a key.
 *
 * Invariant: names, keys and values live in memory of the store, or in blocks that it took over, until it is
 * destroyed. What happened to a key last counts.
 */
#ifndef CLIENT_CLI_POLARYSDB_STORE_H
#define CLIENT_CLI_POLARYSDB_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "client/cli/polarysdb_fault.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    POLARYSDB_TABLES_MAX = 65536,
    POLARYSDB_CHANGES_MAX = INT32_MAX, /* of snapshot and log together */
};

enum polarysdb_kind {
    POLARYSDB_DELETED,
    POLARYSDB_JSON,
    POLARYSDB_RAW,
};

/* What happened to a key. Borrows from the store. */
struct polarysdb_change {
    uint32_t table; /* index */
    enum polarysdb_kind kind;
    bool is_of_snapshot;
    const char *key;
    size_t key_size;
    const void *value; /* JSON text, or bytes */
    size_t value_size;
    uint64_t order; /* set by the store */
};

/* A table, and after the merge what it holds: changes[first] and the `count` - 1 behind it, by key. */
struct polarysdb_table {
    char *name;
    size_t name_size;
    uint32_t index;
    char target[129]; /* the table of ours, set by polarysdb_names_resolve */
    size_t first;
    uint64_t count;
    uint64_t raw_count;
    uint64_t bytes; /* of keys and values */
    uint64_t largest_value;
};

struct polarysdb_block;

/* Zero-initialise; free with polarysdb_store_deinit. One thread. */
struct polarysdb_store {
    struct polarysdb_table **tables; /* in the order in which they were found */
    size_t table_count;
    size_t table_capacity;
    void *tables_by_name; /* tree of tsearch */
    struct polarysdb_change *changes;
    size_t change_count;
    size_t change_capacity;
    struct polarysdb_block *blocks;
    struct polarysdb_block *open_block; /* has room left */
    size_t open_used;
};

void polarysdb_store_deinit(struct polarysdb_store *store);

/* True when there is such a table. */
bool polarysdb_store_has_table(const struct polarysdb_store *store, const char *name, size_t size);
/* The table of this name, made if it is missing. */
bool polarysdb_store_table(struct polarysdb_store *store, const char *name, size_t size,
                           uint32_t *table, struct polarysdb_fault *fault);
/* Appends a change; it is later than those before. */
bool polarysdb_store_change(struct polarysdb_store *store, const struct polarysdb_change *change,
                            struct polarysdb_fault *fault);
/* Memory of the store; NULL: none. Not aligned. */
void *polarysdb_store_allocate(struct polarysdb_store *store, size_t size);
/* Frees the malloc'd `take_bytes` with the store, or at once when that fails. */
bool polarysdb_store_adopt(struct polarysdb_store *store, void *take_bytes,
                           struct polarysdb_fault *fault);

/*
 * Leaves of each key the last change, unless that deleted it, sorted by table and key, and counts them by table.
 * A key that stands twice in the snapshot is refused: the program never wrote that. `path` is for the message.
 */
bool polarysdb_store_merge(struct polarysdb_store *store, const char *path,
                           struct polarysdb_fault *fault);

#ifdef __cplusplus
}
#endif

#endif
