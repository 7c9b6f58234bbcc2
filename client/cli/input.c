/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room doubles until the end of the input is within it.
 */
#include "client/cli/input.h"

#include <stdlib.h>

#include "client/assert.h"

enum cli_status input_read(struct cli *cli, FILE *from, const char *name, char **bytes,
                           size_t *size)
{
    size_t capacity = 64 << 10;
    char *buffer = malloc(capacity);

    POLARYS_ASSERT(from != NULL);
    *size = 0;
    while (buffer != NULL) {
        *size += fread(buffer + *size, 1, capacity - *size, from);
        if (*size < capacity) {
            break;
        }
        if (capacity >= CLI_INPUT_BYTES_MAX) {
            free(buffer);
            return cli_fail(cli, "INVALID_ARGUMENT/TOO_LARGE", "%s has more than %d bytes", name,
                            CLI_INPUT_BYTES_MAX);
        }
        char *grown = realloc(buffer, capacity * 2);
        if (grown == NULL) {
            free(buffer);
        }
        buffer = grown;
        capacity *= 2;
    }
    if (buffer == NULL) {
        return cli_fail(cli, "NO_MEMORY", "no memory for %s", name);
    }
    if (ferror(from) != 0) {
        free(buffer);
        return cli_fail_errno(cli, name);
    }
    *bytes = buffer;
    return CLI_DONE;
}
