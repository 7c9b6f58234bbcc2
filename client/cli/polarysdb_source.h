/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files there are to read, and in which order: a directory's snapshot and then its log, or one file.
 */
#ifndef CLIENT_CLI_POLARYSDB_SOURCE_H
#define CLIENT_CLI_POLARYSDB_SOURCE_H

#include "client/cli/polarysdb_crypto.h"
#include "client/cli/polarysdb_log.h"
#include "client/cli/polarysdb_store.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { POLARYSDB_LOG_FILES_MAX = 1000 };

/* Zero-initialise; add keys; free with polarysdb_source_deinit. */
struct polarysdb_source {
    struct polarysdb_keys keys;
    bool replays_all; /* every entry of the log, not only those newer than the snapshot */

    struct polarysdb_store store;
    struct polarysdb_log log;
};

/*
 * Reads `path` and merges what it holds:
 * - a directory: state/state.rdb if it is there, the rotated logs in the order of their times, polarysdb.wal. Log
 *   entries that are not newer than the snapshot are left out, unless replays_all.
 * - a log: all of it.
 * - a snapshot, backup or export.
 */
bool polarysdb_source_read(struct polarysdb_source *source, const char *path,
                           struct polarysdb_fault *fault);
void polarysdb_source_deinit(struct polarysdb_source *source);

#ifdef __cplusplus
}
#endif

#endif
