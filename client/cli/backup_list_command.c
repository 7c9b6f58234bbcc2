/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup list: what lies in a directory, and how the last attempt of its schedule went.
 */
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/backup_list.h"
#include "client/cli/backup_place.h"
#include "client/cli/command.h"
#include "client/cli/files.h"
#include "client/cli/output.h"

enum { BACKUPS_LISTED_MAX = 10000 };

/* A listing under way. */
struct listing {
    struct cli *cli;
    struct output *output;
    uint64_t now_ms;
    struct place_attempt attempt; /* of the directory's schedule */
    bool has_attempt_row;         /* the backup that it was for is listed */
};

static bool has_file(const char *dir, const char *name)
{
    char path[PATH_MAX];
    return files_path_join(path, dir, name, "") && access(path, F_OK) == 0;
}

static bool is_backup(const char *dir)
{
    return has_file(dir, BACKUP_LIST_NAME) || has_file(dir, BACKUP_STATE_NAME);
}

static struct output_field text(const char *name, const char *value)
{
    return field_text(name, value, strlen(value));
}

/* What became of the last attempt, if it was for this one. */
static const char *attempt_text(struct listing *listing, const char *name)
{
    const struct place_attempt *attempt = &listing->attempt;
    if (!attempt->is_known || strcmp(attempt->name, name) != 0) {
        return "";
    }
    listing->has_attempt_row = true;
    return attempt->is_done && attempt->why[0] == '\0' ? "done" : attempt->why;
}

static void row_print(struct listing *listing, const char *name, const struct backup_list *list,
                      const char *state)
{
    uint64_t created_ms = list->created_unix_ms;
    uint64_t age_ms = created_ms < listing->now_ms ? listing->now_ms - created_ms : 0;
    const struct output_field fields[] = {
        text("backup", name),
        field_time("created", created_ms),
        field_number("age_seconds", age_ms / 1000),
        field_number("version", list->version),
        text("kind", list->increments == 0 ? "full" : "incremental"),
        field_number("files", list->file_count),
        field_number("bytes", backup_list_bytes(list)),
        text("state", state),
        text("last_attempt", attempt_text(listing, name)),
    };
    output_row(listing->output, fields, sizeof(fields) / sizeof(fields[0]));
}

/* One row; nothing for a directory that is no backup. */
static enum cli_status backup_row(struct listing *listing, const char *dir, const char *shown)
{
    struct backup_list list = {0};
    bool is_whole = has_file(dir, BACKUP_LIST_NAME);
    if (!is_backup(dir)) {
        return CLI_DONE;
    }
    enum cli_status status =
        backup_list_read(listing->cli, dir, is_whole ? BACKUP_LIST_NAME : BACKUP_STATE_NAME, &list);
    if (status == CLI_DONE) {
        row_print(listing, shown, &list, is_whole ? "whole" : "unfinished");
    }
    backup_list_deinit(&list);
    return status;
}

static int is_listed(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* The directories in `dir`, by name; one that cannot be read is reported, and the rest is still listed. */
static enum cli_status backups_list(struct listing *listing, const char *dir)
{
    struct dirent **entries;
    char path[PATH_MAX];
    enum cli_status status = CLI_DONE;
    int count = scandir(dir, &entries, is_listed, alphasort);
    if (count < 0) {
        return cli_fail_errno(listing->cli, dir);
    }
    for (int i = 0; i < count; i++) {
        if (i < BACKUPS_LISTED_MAX && files_path_join(path, dir, entries[i]->d_name, "")) {
            enum cli_status one = backup_row(listing, path, entries[i]->d_name);
            status = one == CLI_DONE ? status : one;
        }
        free(entries[i]);
    }
    free(entries);
    if (count > BACKUPS_LISTED_MAX) {
        status = cli_fail(listing->cli, "RESOURCE_EXHAUSTED", "%s holds more than %d names", dir,
                          BACKUPS_LISTED_MAX);
    }
    return status;
}

/* An attempt that got nothing at all has a row too: otherwise a list would look as if all were well. */
static void attempt_row(struct listing *listing)
{
    const struct place_attempt *attempt = &listing->attempt;
    if (attempt->is_known && !attempt->is_done && !listing->has_attempt_row) {
        const struct backup_list list = {.created_unix_ms = attempt->begun_unix_ms};
        row_print(listing, attempt->name, &list, "nothing");
    }
}

static uint64_t wall_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

enum cli_status command_backup_list(struct cli *cli, const struct arguments *arguments)
{
    const char *dir = arguments->positionals[0];
    struct listing listing = {.cli = cli, .output = output_create(cli), .now_ms = wall_ms()};
    enum cli_status status;
    if (listing.output == NULL) {
        return CLI_FAILED;
    }
    if (is_backup(dir)) {
        status = backup_row(&listing, dir, dir);
    } else {
        place_attempt_read(dir, &listing.attempt);
        status = backups_list(&listing, dir);
        attempt_row(&listing);
    }
    return output_finish(listing.output, cli, status);
}
