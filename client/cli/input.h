/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole file or all of standard input in memory.
 */
#ifndef CLIENT_CLI_INPUT_H
#define CLIENT_CLI_INPUT_H

#include "client/cli/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Reads up to the end, at most CLI_INPUT_BYTES_MAX. CLI_DONE: *bytes is malloc'd. `name` is for messages. */
enum cli_status input_read(struct cli *cli, FILE *from, const char *name, char **bytes,
                           size_t *size);

#ifdef __cplusplus
}
#endif

#endif
