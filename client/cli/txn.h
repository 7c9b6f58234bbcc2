/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transaction that statements belong to, in the shell and in `polarys txn`.
 *
 * Invariant: while one is open, every statement that reads or writes documents is within it; statements that
 * could not be are refused, not done beside it.
 */
#ifndef CLIENT_CLI_TXN_H
#define CLIENT_CLI_TXN_H

#include "client/cli/command.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Refuses what does not go with an open transaction, and what goes with one only. CLI_USAGE was reported. */
enum cli_status txn_arguments_check(struct cli *cli, const struct arguments *arguments);

/* How a transaction is begun and committed. */
struct txn_settings {
    struct polarys_client_txn_options options;
    enum polarys_client_durability durability;
};
/* Reads the options of `txn` and `begin`. CLI_USAGE was reported. */
enum cli_status txn_settings_read(struct cli *cli, const struct arguments *arguments,
                                  struct txn_settings *settings);

/* Begins one: cli->txn is set when it returns CLI_DONE. REQUIRES: none is open. */
enum cli_status txn_begin(struct cli *cli, const struct txn_settings *settings);
/* Commits and prints version and token; none is open afterwards. REQUIRES: one is open. */
enum cli_status txn_commit(struct cli *cli, const struct txn_settings *settings);
/* Rolls back; none is open afterwards. That the server has ended it before is no failure. REQUIRES: one is
 * open. */
void txn_rollback(struct cli *cli);

#ifdef __cplusplus
}
#endif

#endif
