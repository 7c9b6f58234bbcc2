/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that the shell completes and the server knows: tables, indexes, fields. Asked for on a connection of
 * its own that neither waits for long nor complains, and kept for a few seconds: completion is a help.
 */
#ifndef CLIENT_CLI_SHELL_NAMES_H
#define CLIENT_CLI_SHELL_NAMES_H

#include "client/cli/cli.h"
#include "client/polarys_query.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { SHELL_NAMES_MAX = 1000 };

enum shell_wish {
    SHELL_WISH_NONE,
    SHELL_WISH_TABLES,
    SHELL_WISH_INDEXES, /* of a table */
    SHELL_WISH_FIELDS,  /* of a table: members of its first documents */
};

/* Zero-initialise; free with shell_names_drop. */
struct shell_names {
    char *names[SHELL_NAMES_MAX + 1]; /* ends with NULL */
    size_t count;
    enum shell_wish wish;
    char table[POLARYS_CLIENT_NAME_MAX + 1];
    uint64_t fetched_ms; /* 0: nothing was */
};

/* Brings the names up to date for a wish. */
void shell_names_fetch(struct shell_names *names, const struct cli_settings *settings,
                       enum shell_wish wish, const char *table);
void shell_names_drop(struct shell_names *names);

#ifdef __cplusplus
}
#endif

#endif
