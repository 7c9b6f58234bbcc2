/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tables of the Go program, whose names may be anything, are called here.
 */
#ifndef CLIENT_CLI_POLARYSDB_NAMES_H
#define CLIENT_CLI_POLARYSDB_NAMES_H

#include "client/cli/polarysdb_store.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { POLARYSDB_RENAMES_MAX = 64 };

/* Checks one OLD=NEW; the last '=' parts them, since no NEW has one. False: NEW is no table's name here. */
bool polarysdb_rename_is_valid(const char *text);

/*
 * Gives each table its target: NEW of the rename that names it, or else its own name. Refused are names that are
 * none here, two tables of one target, and renames of tables that are not there.
 * REQUIRES: polarysdb_rename_is_valid of each.
 */
bool polarysdb_names_resolve(struct polarysdb_store *store, const char *const *renames,
                             size_t rename_count, struct polarysdb_fault *fault);

/* Refuses keys that the server would refuse. After the merge. */
bool polarysdb_names_keys_check(const struct polarysdb_store *store, struct polarysdb_fault *fault);

#ifdef __cplusplus
}
#endif

#endif
