/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents of a Go store into the tables of a server.
 *
 * Invariant: unless it is told to replace, no document that is there is ever overwritten. The tables are looked
 * through first, and one key that is there stops the import before anything is written; and each document is
 * written on the condition that there is none, so that not even a key which somebody else writes meanwhile is lost.
 */
#ifndef CLIENT_CLI_POLARYSDB_WRITE_H
#define CLIENT_CLI_POLARYSDB_WRITE_H

#include "client/cli/cli.h"
#include "client/cli/polarysdb_store.h"
#include "client/cli/progress.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zero-initialise. */
struct polarysdb_write_options {
    bool replaces;
    enum polarys_client_durability durability;
    uint32_t reconnect_ms;
};

/* Makes the tables that are missing and writes every document. REQUIRES: merged, with targets. Reports what goes
 * wrong. */
enum cli_status polarysdb_write(struct cli *cli, const struct polarysdb_store *store,
                                const struct polarysdb_write_options *options,
                                struct progress *progress);

#ifdef __cplusplus
}
#endif

#endif
