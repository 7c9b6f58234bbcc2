/* SPDX-License-Identifier: Apache-2.0 */
/*
 * salvage: a new store of what can be read of a damaged one, and what could not be.
 *
 * Invariants: the damaged directory is opened for reading only, and held with a lock that keeps a server out meanwhile;
 * the new directory has its name only when it is whole.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli/command.h"
#include "client/cli/files.h"
#include "client/cli/output.h"
#include "engine/engine_salvage.h"

#define SALVAGING_SUFFIX ".salvaging"

/* Keeps servers out without writing. *out is -1 where there is no lock file: no server has opened the store since. */
static enum cli_status lock_take(struct cli *cli, const char *dir, int *out)
{
    char path[PATH_MAX];
    struct flock whole = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    *out = -1;
    if (!files_path_join(path, dir, "LOCK", "")) {
        return cli_fail(cli, "INVALID_ARGUMENT", "the path of %.200s is too long", dir);
    }
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return errno == ENOENT ? CLI_DONE : cli_fail_errno(cli, path);
    }
    if (fcntl(descriptor, F_OFD_SETLK, &whole) != 0 && (errno == EAGAIN || errno == EACCES)) {
        (void)close(descriptor);
        return cli_fail(cli, "FAILED_PRECONDITION/STORE_LOCKED",
                        "a process has the store in %.200s open: end it first", dir);
    }
    *out = descriptor;
    return CLI_DONE;
}

static void parent_of(const char *path, char parent[PATH_MAX])
{
    (void)snprintf(parent, PATH_MAX, "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash == NULL) {
        (void)snprintf(parent, PATH_MAX, ".");
    } else {
        slash[slash == parent ? 1 : 0] = '\0';
    }
}

/* The new directory must be new, and must not lie in the damaged one. */
static enum cli_status target_check(struct cli *cli, const char *dir, const char *target)
{
    char parent[PATH_MAX];
    char real_dir[PATH_MAX];
    char real_parent[PATH_MAX];
    struct stat status;
    size_t size = strlen(target);
    if (size == 0 || target[size - 1] == '/' || size + sizeof(SALVAGING_SUFFIX) > PATH_MAX) {
        return cli_usage(cli, "--data-dir '%.200s' must end in the name of a new directory",
                         target);
    }
    if (lstat(target, &status) == 0 || errno != ENOENT) {
        return cli_fail(cli, "ALREADY_EXISTS",
                        "%s is there already: what is salvaged goes into a new directory", target);
    }
    parent_of(target, parent);
    if (realpath(dir, real_dir) == NULL) {
        return cli_fail_errno(cli, dir);
    }
    if (realpath(parent, real_parent) == NULL) {
        return cli_fail_errno(cli, parent);
    }
    size_t dir_size = strlen(real_dir);
    if (strncmp(real_parent, real_dir, dir_size) == 0 &&
        (real_parent[dir_size] == '\0' || real_parent[dir_size] == '/')) {
        return cli_usage(cli,
                         "--data-dir %.200s lies in the damaged directory, which nothing is "
                         "written into",
                         target);
    }
    return CLI_DONE;
}

static struct output_field name_field(const char *name, const char *text)
{
    const char *shown = text == NULL ? "*" : text;
    return field_text(name, shown, strlen(shown));
}

static struct output_field key_field(const char *name, struct polarys_slice key)
{
    struct output_field field = {
        name, FIELD_KEY, key.data == NULL ? (const void *)"" : key.data, key.size, 0, 0};
    return field;
}

/* A row of the report; the engine tells them when all is known. */
static void loss_print(void *context, const struct polarys_salvage_loss *loss)
{
    struct output *output = context;
    const char *kind = polarys_salvage_kind_name(loss->kind);
    const char *effect = loss->is_harmless ? "none" : "lost";
    const struct output_field fields[] = {
        field_text("effect", effect, strlen(effect)),
        field_text("kind", kind, strlen(kind)),
        field_text("file", loss->file, strlen(loss->file)),
        field_number("offset", loss->offset),
        field_number("bytes", loss->bytes),
        field_number("first_version", loss->first_version),
        field_number("last_version", loss->last_version >= UINT64_MAX - 1 ? 0 : loss->last_version),
        name_field("database", loss->database),
        name_field("table", loss->table),
        key_field("first_key", loss->start),
        key_field("last_key", loss->end),
        field_text("cause", loss->cause, strlen(loss->cause)),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
}

static enum cli_status summary_print(struct cli *cli, const char *target,
                                     const struct polarys_salvage_result *result)
{
    static const char *const outcomes[] = {
        [POLARYS_SALVAGE_WHOLE] = "whole",
        [POLARYS_SALVAGE_PART] = "part",
        [POLARYS_SALVAGE_NONE] = "nothing",
    };
    struct output *output = output_create(cli);
    if (output == NULL) {
        return CLI_FAILED;
    }
    const char *outcome = outcomes[result->outcome];
    const struct output_field fields[] = {
        field_text("data_dir", target, strlen(target)),
        field_text("outcome", outcome, strlen(outcome)),
        field_number("newest_version", result->newest_version),
        field_number("version", result->version),
        field_number("term", result->term),
        field_number("tables", result->table_count),
        field_number("renamed_tables", result->renamed_table_count),
        field_number("indexes", result->index_count),
        field_number("documents", result->document_count),
        field_number("doubtful", result->doubtful_count),
        field_number("losses", result->loss_count),
        field_number("harmless", result->harmless_count),
        field_number("table_files", result->table_file_count),
        field_number("log_frames", result->log_frame_count),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
    return output_finish(output, cli, CLI_DONE);
}

/* Gives what was made its name, or removes it where nothing came back. */
static enum cli_status target_settle(struct cli *cli, const char *partial, const char *target,
                                     const struct polarys_salvage_result *result)
{
    char parent[PATH_MAX];
    enum cli_status status;
    if (result->outcome == POLARYS_SALVAGE_NONE) {
        status = files_remove_tree(cli, partial);
        return status == CLI_DONE ? CLI_NOTHING_LEFT : status;
    }
    parent_of(target, parent);
    status = files_rename(cli, partial, target, parent);
    if (status != CLI_DONE) {
        return status;
    }
    return result->outcome == POLARYS_SALVAGE_WHOLE ? CLI_DONE : CLI_PARTLY;
}

static enum cli_status salvage_run(struct cli *cli, const char *dir, const char *target,
                                   const char *key_file)
{
    char partial[PATH_MAX + sizeof(SALVAGING_SUFFIX)];
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_salvage_result result;
    (void)snprintf(partial, sizeof(partial), "%s" SALVAGING_SUFFIX, target);
    /* What one left that was ended in the middle. */
    enum cli_status status = files_remove_tree(cli, partial);
    struct output *output = status == CLI_DONE ? output_create(cli) : NULL;
    if (output == NULL) {
        return status == CLI_DONE ? CLI_FAILED : status;
    }
    struct polarys_salvage_options options = {
        .master_key_file = key_file, .loss = loss_print, .context = output};
    polarys_log_level_set(POLARYS_LOG_ERROR);
    if (polarys_salvage(dir, partial, &options, &result, &err) != POLARYS_OK) {
        status = cli_fail_engine(cli, &err);
        status = output_finish(output, cli, status);
        (void)files_remove_tree(cli, partial);
        return result.outcome == POLARYS_SALVAGE_NONE ? CLI_NOTHING_LEFT : status;
    }
    status = output_finish(output, cli, CLI_DONE);
    if (status == CLI_DONE) {
        status = summary_print(cli, target, &result);
    }
    if (status != CLI_DONE) {
        (void)files_remove_tree(cli, partial);
        return status;
    }
    return target_settle(cli, partial, target, &result);
}

enum cli_status command_salvage(struct cli *cli, const struct arguments *arguments)
{
    const char *dir = arguments->positionals[0];
    const char *target = arguments->values[OPTION_DATA_DIR];
    const char *key_file = arguments->values[OPTION_MASTER_KEY_FILE];
    int lock = -1;
    if (target == NULL || key_file == NULL) {
        return cli_usage(cli, "salvage needs --data-dir and --master-key-file");
    }
    enum cli_status status = target_check(cli, dir, target);
    if (status == CLI_DONE) {
        status = lock_take(cli, dir, &lock);
    }
    if (status == CLI_DONE) {
        status = salvage_run(cli, dir, target, key_file);
    }
    if (lock >= 0) {
        (void)close(lock);
    }
    return status;
}
