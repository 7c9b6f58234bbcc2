/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bound on how many table files are open at once.
 *
 * A table that is in use keeps what it holds in memory, but its descriptor only as long as there is room:
 * the one that was not read from for the longest time is closed, and opened again by name when a block is
 * missing from the cache. Files are immutable, and the owner removes a name only when nobody has the table
 * any more, so the name still leads to the same bytes; and if it did not, blocks would not authenticate.
 *
 * Invariant: a file is never closed while somebody reads from it. So more than the bound are open while
 * more than the bound are being read, one for each thread that reads.
 */
#ifndef ENGINE_SST_TABLE_FILES_H
#define ENGINE_SST_TABLE_FILES_H

#include "engine/vfs/vfs.h"

#ifdef __cplusplus
extern "C" {
#endif

struct table_files;

/* `open_max` files at least one. Errors: NO_MEMORY. */
NODISCARD enum polarys_code table_files_create(size_t open_max, struct table_files **out,
                                               struct polarys_error *err);
/* REQUIRES: every table that used it is closed. Accepts NULL. */
void table_files_destroy(struct table_files *files);

struct table_files_stats {
    uint64_t open_count;
    uint64_t reopened_count; /* opened again after they had been closed for room */
};
/* Any thread. */
void table_files_stats_get(struct table_files *files, struct table_files_stats *stats);

#ifdef __cplusplus
}
#endif

#endif
