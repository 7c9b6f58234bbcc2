/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of a snapshot, backup or export: {"table": {"key": value, ...}, ...}.
 *
 * Invariant: a value goes on word for word, but for white space outside its strings, which exports have to be read
 * by people. What the server would refuse is refused here, with its table and key.
 */
#ifndef CLIENT_CLI_POLARYSDB_SNAPSHOT_H
#define CLIENT_CLI_POLARYSDB_SNAPSHOT_H

#include "client/cli/polarysdb_container.h"
#include "client/cli/polarysdb_store.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Reads the text into the store, which borrows from it: the text's memory has to live as long. Values lose their
 * white space in place. `path` is for messages.
 */
bool polarysdb_snapshot_read(const struct polarysdb_text *text, const char *path,
                             struct polarysdb_store *store, struct polarysdb_fault *fault);

#ifdef __cplusplus
}
#endif

#endif
