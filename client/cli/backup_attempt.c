/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What became of the last attempt of a schedule: one JSON object in a file of its directory, so that `backup list` and a
 * schedule that is started again know it.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "client/cli/backup_place.h"
#include "client/cli/files.h"
#include "client/cli/output.h"
#include "client/cli/parse.h"

#define ATTEMPT_NAME ".last-attempt"

enum { ATTEMPT_BYTES_MAX = 4096, NUMBER_TEXT_MAX = 24 };

enum cli_status place_attempt_write(struct cli *cli, const char *dir,
                                    const struct place_attempt *attempt)
{
    char partial[PATH_MAX];
    char path[PATH_MAX];
    if (!files_path_join(partial, dir, ATTEMPT_NAME, ".new") ||
        !files_path_join(path, dir, ATTEMPT_NAME, "")) {
        return cli_fail(cli, "INVALID_ARGUMENT", "the path of %s is too long", dir);
    }
    FILE *to = fopen(partial, "we");
    if (to == NULL) {
        return cli_fail_errno(cli, partial);
    }
    const char *result = attempt->is_done ? "done" : "failed";
    const struct output_field fields[] = {
        field_text("backup", attempt->name, strlen(attempt->name)),
        field_number("begun_unix_ms", attempt->begun_unix_ms),
        field_text("result", result, strlen(result)),
        field_text("why", attempt->why, strlen(attempt->why)),
    };
    output_json_line(to, fields, sizeof(fields) / sizeof(fields[0]));
    return files_keep(cli, to, partial, dir, path);
}

static bool member_read(struct polarys_slice line, const char *name, char *to, size_t room)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    size_t size;
    return polarys_json_member_text(line, name, to, room, &size, &err) == POLARYS_OK &&
           strlen(to) == size;
}

static bool attempt_parse(struct polarys_slice line, struct place_attempt *attempt)
{
    char result[NUMBER_TEXT_MAX];
    char begun[NUMBER_TEXT_MAX];
    if (!member_read(line, "backup", attempt->name, sizeof(attempt->name)) ||
        !member_read(line, "begun_unix_ms", begun, sizeof(begun)) ||
        !member_read(line, "result", result, sizeof(result)) ||
        !member_read(line, "why", attempt->why, sizeof(attempt->why))) {
        return false;
    }
    attempt->is_done = strcmp(result, "done") == 0;
    return parse_number(begun, &attempt->begun_unix_ms) && place_name_is_own(attempt->name);
}

void place_attempt_read(const char *dir, struct place_attempt *attempt)
{
    char path[PATH_MAX];
    char line[ATTEMPT_BYTES_MAX];
    *attempt = (struct place_attempt){.is_known = false};
    FILE *from = files_path_join(path, dir, ATTEMPT_NAME, "") ? fopen(path, "re") : NULL;
    if (from == NULL) {
        return;
    }
    size_t size = fread(line, 1, sizeof(line), from);
    (void)fclose(from);
    attempt->is_known = size > 0 && line[size - 1] == '\n' &&
                        attempt_parse(slice_make((const uint8_t *)line, size - 1), attempt);
    if (!attempt->is_known) {
        *attempt = (struct place_attempt){.is_known = false};
    }
}
