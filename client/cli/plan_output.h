/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plan of a query as people read it: a tree, what feeds a step below it and further in.
 */
#ifndef CLIENT_CLI_PLAN_OUTPUT_H
#define CLIENT_CLI_PLAN_OUTPUT_H

#include "client/cli/cli.h"
#include "client/polarys_query.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Prints the plan in the format of cli's settings: rows of a table, or an object a step. */
enum cli_status plan_print(struct cli *cli, const struct polarys_client_plan *plan);

#ifdef __cplusplus
}
#endif

#endif
