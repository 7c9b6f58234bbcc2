/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fields as people type them, to paths as the server reads them: `Installed-Size` needs no backticks on the
 * command line. What already has backticks is taken as it is; a name with a dot in it needs them.
 */
#ifndef CLIENT_CLI_FIELD_PATH_H
#define CLIENT_CLI_FIELD_PATH_H

#include "client/cli/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FIELD_PATHS_MAX = 256,
};

/* Paths, malloc'd. Zero-initialise; free with field_paths_deinit. */
struct field_paths {
    const char *paths[FIELD_PATHS_MAX];
    size_t count;
};

/* One field's path, malloc'd; NULL: no memory. "a.Installed-Size" becomes "a.`Installed-Size`". */
char *field_path_quote(const char *field, size_t size);
/* Splits at commas outside backticks. CLI_USAGE or CLI_FAILED were reported: a field that is empty, too
 * many. `option` names where the text stands. */
enum cli_status field_paths_read(struct cli *cli, const char *option, const char *text,
                                 struct field_paths *paths);
void field_paths_deinit(struct field_paths *paths);
/* "Installed-Size desc, name" to "`Installed-Size` desc, name", malloc'd in *order; as field_paths_read. */
enum cli_status field_order_read(struct cli *cli, const char *text, char **order);

#ifdef __cplusplus
}
#endif

#endif
