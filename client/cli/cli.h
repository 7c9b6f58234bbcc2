/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every command of the `polarys` program works with: its settings, its streams, its connection, and
 * how it says that something went wrong.
 *
 * Invariant: standard output carries results only; whatever went wrong is on standard error, as
 * `polarys: REASON: message`, and in the exit status.
 */
#ifndef CLIENT_CLI_CLI_H
#define CLIENT_CLI_CLI_H

#include <stdio.h>

#include "client/polarys.h"
#include "client/polarys_txn.h"
#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Exit statuses. */
enum cli_status {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 3,
    CLI_PARTLY = 4,       /* salvage: some was lost */
    CLI_NOTHING_LEFT = 5, /* salvage: nothing came back */
};

enum output_format {
    OUTPUT_TABLE,
    OUTPUT_JSON,
    OUTPUT_RAW,
};

enum {
    CLI_TIMEOUT_DEFAULT_MS = 10000,
    CLI_TOKEN_BYTES_MAX = 64,
    CLI_INPUT_BYTES_MAX = 64 << 20, /* of one value read from standard input */
};

/* From the global options and the environment. Strings are borrowed from there. */
struct cli_settings {
    const char *endpoint;
    const char *admin_endpoint;
    const char *database; /* "": default */
    enum output_format format;
    bool is_plaintext;
    bool is_routed; /* goes on to the primary also where one endpoint is given */
    enum polarys_client_read_policy read_policy;
    bool has_timeout;
    uint32_t timeout_ms;
    struct polarys_client_read read;
    uint8_t token[CLI_TOKEN_BYTES_MAX]; /* what read.token points to */
};

struct cli {
    FILE *in;
    FILE *out;
    FILE *err;
    struct cli_settings settings;
    bool is_shell;    /* standard input belongs to the shell, not to a command */
    bool is_expanded; /* \x: a field a line instead of columns */

    /* The connection, opened by the first command that needs it, and what it was opened with. */
    struct polarys_client *client;
    char *client_endpoint;
    struct polarys_client_options client_options; /* its endpoint is the one above */

    /* The transaction that statements belong to; NULL: none. The connection stays as it is meanwhile. */
    struct polarys_client_txn *txn;
    bool has_lost_txn; /* a statement found that the server has ended it */
};

/* Reads the environment; everything else is as if no option was given. */
void cli_init(struct cli *cli, FILE *in, FILE *out, FILE *err);
void cli_deinit(struct cli *cli);

/* Runs one command line without the program's name; the settings of `cli` are the defaults of its global
 * options and are left as they were. */
enum cli_status cli_run(struct cli *cli, int word_count, const char *const *words);

/* The whole program. */
int cli_main(int argc, char **argv);

/* The connection; NULL after an error that was reported. `timeout_ms`: of a call unless --timeout is given. */
struct polarys_client *cli_connect(struct cli *cli, uint32_t timeout_ms);

/* The options of a connection as the settings say; the endpoint is borrowed from them. False: a node is not on loopback,
 * and nobody said that it may be talked to without TLS. */
bool cli_client_options(const struct cli_settings *settings,
                        struct polarys_client_options *options);

/* Prints `polarys: REASON: message`; returns CLI_FAILED. */
enum cli_status cli_fail(struct cli *cli, const char *reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Prints `polarys: BAD_USAGE: message`; returns CLI_USAGE. */
enum cli_status cli_usage(struct cli *cli, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Reports an error of a call: `polarys: STATUS/REASON: message`. CLI_NOT_FOUND for NOT_FOUND of anything that
 * the command named. */
enum cli_status cli_fail_call(struct cli *cli, const struct polarys_client_error *err);
/* Reports an error of the engine, for commands without a server. */
enum cli_status cli_fail_engine(struct cli *cli, const struct polarys_error *err);
/* Reports errno's text about `what`. */
enum cli_status cli_fail_errno(struct cli *cli, const char *what);

#ifdef __cplusplus
}
#endif

#endif
