/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes a backup from a server into a directory, going on where an earlier try was interrupted.
 */
#ifndef CLIENT_CLI_BACKUP_RECEIVE_H
#define CLIENT_CLI_BACKUP_RECEIVE_H

#include <signal.h>

#include "client/cli/backup_list.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is to be taken. Borrows. */
struct backup_order {
    const char *dir;      /* made if it is missing; empty, or with an unfinished backup */
    const char *base_dir; /* of an earlier backup; NULL: none */
    uint32_t retry_ms;    /* how long to try again when the server goes away */
    const uint8_t
        *store_id; /* of the only store that it may be of, BACKUP_ID_SIZE bytes; NULL: any */
    /* When it becomes other than 0 it is given up, to be gone on with by a later run: CANCELLED. NULL: never. */
    const volatile sig_atomic_t *stop;
};

/* What it came to. */
struct backup_outcome {
    uint64_t version;
    uint64_t file_count;
    uint64_t bytes;          /* of all files */
    uint64_t received_files; /* those that were sent, in this run */
    uint64_t received_bytes; /* that were sent, in this run */
    uint64_t shared_files;   /* those of the earlier backup */
    bool was_resumed;
};

/* When it returns CLI_DONE the backup is whole and on stable storage. */
enum cli_status backup_receive(struct cli *cli, const struct backup_order *order,
                               struct backup_outcome *outcome);

#ifdef __cplusplus
}
#endif

#endif
