/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows a primary's log into an archive: introduces itself, keeps a slot, stores what comes, acknowledges what is stored.
 */
#ifndef CLIENT_CLI_ARCHIVE_FOLLOW_H
#define CLIENT_CLI_ARCHIVE_FOLLOW_H

#include "client/cli/archive_writer.h"
#include "client/cli/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is to be done. Borrows. */
struct archive_order {
    const char *name;     /* of this node, and of its slot */
    uint32_t interval_ms; /* log is stored after so long at the latest */
    bool until_caught_up; /* ends when all is stored that was durable at the beginning */
    uint32_t retry_ms; /* with until_caught_up: how long to try again; else it is tried for ever */
    const volatile sig_atomic_t *stop; /* other than 0: store what was taken in, and end */
};

/* Runs until it is told to stop, has caught up, or cannot go on; what went wrong was reported. */
enum cli_status archive_follow(struct cli *cli, const struct archive_order *order,
                               struct archive_writer *writer);

#ifdef __cplusplus
}
#endif

#endif
