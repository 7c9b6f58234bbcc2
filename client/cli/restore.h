/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a backup to a store that can be opened, without a server.
 */
#ifndef CLIENT_CLI_RESTORE_H
#define CLIENT_CLI_RESTORE_H

#include "client/cli/backup_list.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Copies the files of the backup in `dir` to the new directory `to`, checking each against its digest. Every file
 * that is missing, has another length or was altered is named on standard error; then DATA_LOSS/CORRUPT, and
 * `to` is left as it is.
 */
enum cli_status restore_files(struct cli *cli, const char *dir, const struct backup_list *list,
                              const char *to);

/* Opens what restore_files made, with the key in the file, so that it can be read and promoted; checks that it
 * is the store and holds the version that the list says. */
enum cli_status restore_open(struct cli *cli, const char *dir, const char *key_file,
                             const struct backup_list *list, struct polarys_db **db);

#ifdef __cplusplus
}
#endif

#endif
