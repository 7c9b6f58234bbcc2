/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of taking a backup share.
 */
#ifndef CLIENT_CLI_BACKUP_INTERNAL_H
#define CLIENT_CLI_BACKUP_INTERNAL_H

#include <limits.h>

#include "client/cli/backup_receive.h"
#include "client/cli/progress.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The files of a backup while they come. Zero-initialise. */
struct backup_store {
    struct cli *cli;
    char data_dir[PATH_MAX]; /* where they go */
    struct backup_list list;
    bool has_list;
    bool *is_present; /* of each file: whole, checked, under its own name */
    struct backup_list base;
    char base_data_dir[PATH_MAX]; /* "": no earlier backup */

    /* The file that is being received. */
    bool is_open;
    size_t file;
    int descriptor;
    uint64_t offset; /* bytes of it that are there */
    struct digest digest;
    char partial_path[PATH_MAX];

    struct progress progress;
    struct backup_outcome outcome;
};

void backup_store_deinit(struct backup_store *store);
/* Looks which files of the list are there. */
enum cli_status backup_store_look(struct backup_store *store);
/* Takes over a new list: what the old one or the earlier backup holds is kept or linked, the rest removed. */
enum cli_status backup_store_list_replace(struct backup_store *store,
                                          struct backup_list *take_list);
/* The first file that is not there; false when all are. */
bool backup_store_missing_find(const struct backup_store *store, size_t *file);
/* Opens the file at the end of what is there of it. */
enum cli_status backup_store_file_open(struct backup_store *store, size_t file);
/* Writes bytes of the file, which is opened if it is not. */
enum cli_status backup_store_bytes_put(struct backup_store *store, size_t file, uint64_t offset,
                                       const void *bytes, size_t size);
/* Ends the file that is open: fills it up with zeros, checks it, gives it its name. */
enum cli_status backup_store_file_finish(struct backup_store *store);
/* Leaves the file that is open as it is, to go on with it later. */
void backup_store_file_leave(struct backup_store *store);

#ifdef __cplusplus
}
#endif

#endif
