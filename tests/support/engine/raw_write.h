/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes and looks at entries of the tree as they are, past everything that the store checks: for tests of
 * what it does when it meets what it would not have written, and of what it wrote.
 */
#ifndef TESTS_SUPPORT_ENGINE_RAW_WRITE_H
#define TESTS_SUPPORT_ENGINE_RAW_WRITE_H

#include "engine/engine.h"

struct catalog;

#ifdef __cplusplus
extern "C" {
#endif

/* Puts `value` under `key` of (database_id, table_id), or deletes it when `value` has no data. */
enum polarys_code raw_write(struct polarys_db *db, uint32_t database_id, uint32_t table_id,
                            struct polarys_slice key, struct polarys_slice value,
                            struct polarys_error *err);
/* Fills a batch of the system until it takes no more; what it says then. */
enum polarys_code raw_fill(struct polarys_db *db, struct polarys_error *err);
/* Deletes the first entry of an index, whatever it is. */
enum polarys_code raw_delete_first(struct polarys_db *db, uint32_t database_id, uint32_t index_id,
                                   struct polarys_error *err);
/* The version at which an entry of a table or an index was last written; 0 when there is none. */
enum polarys_code raw_newest_version(struct polarys_db *db, uint32_t database_id, uint32_t table_id,
                                     uint64_t *version, struct polarys_error *err);

/* The catalogue of now, kept until it is released. */
struct catalog *raw_catalog_keep(struct polarys_db *db);
void raw_catalog_release(struct catalog *catalog);
/* Has reads find another catalogue than the newest, as they do between a schema commit and the moment its
 * catalogue is published. Returns the one before, to be put back before anything is written. */
struct catalog *raw_catalog_swap(struct polarys_db *db, struct catalog *catalog);

#ifdef __cplusplus
}
#endif

#endif
