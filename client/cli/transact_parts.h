/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a file for transact may say:
 *
 *     {"table": "users",
 *      "compare": [{"key": "ann", "version": 7}],
 *      "then": [{"put": "ann", "value": {"age": 31}}, {"get": "bob"}, {"delete_range": {"prefix": "old/"}}],
 *      "else": [{"get": "ann"}]}
 *
 * A comparison has `key` and `version`, `exists` (true or false), or `field` with `equals`. Operations are
 * `get`, `put` with `value` or, in base64, `raw`, `update` with `patch`, `delete`, and `delete_range` with
 * `prefix`, `from`, `to` (left out of the range), or else `all`. `put` and `update` may have `expires_at`. Each
 * may name its own `table`.
 *
 * Invariant: a member that is none of these is an error. Passed over, a slip of the pen would write something else
 * than what was meant.
 */
#ifndef CLIENT_CLI_TRANSACT_PARTS_H
#define CLIENT_CLI_TRANSACT_PARTS_H

#include "client/cli/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Adds the parts of a checked JSON text to `transact`. Reports what is wrong, with the list and the place in it,
 * counted from 0. */
enum cli_status transact_parts_read(struct cli *cli, struct polarys_slice text,
                                    struct polarys_client_transact *transact);

#ifdef __cplusplus
}
#endif

#endif
