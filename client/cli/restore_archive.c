/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of an archive into a store: the store authenticates each segment and frame, so a forged piece ends here at the
 * latest; what a piece alone can't tell, that one is missing, the walk finds.
 *
 * Invariant: a restore ends exactly where it was told to, or fails.
 */
#include "client/cli/restore_archive.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli/files.h"
#include "client/cli/progress.h"

#define KEYRING_NAME "keyring"

enum cli_status restore_archive_open(struct cli *cli, const struct objects_options *options,
                                     uint64_t from_segment, struct restore_archive *archive)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    archive->location = options->location;
    archive->from_segment = from_segment;
    enum polarys_code code = objects_open(options, false, &archive->objects, &err);
    if (code == POLARYS_OK) {
        code = archive_index_load(archive->objects, from_segment, &archive->index, &err);
    }
    return code == POLARYS_OK ? CLI_DONE : cli_fail_engine(cli, &err);
}

void restore_archive_close(struct restore_archive *archive)
{
    archive_index_deinit(&archive->index);
    objects_close(archive->objects);
    archive->objects = NULL;
}

/* ---- the keyring ---- */

static enum cli_status keyring_write(struct cli *cli, const struct objects_bytes *bytes,
                                     const char *dir)
{
    char path[PATH_MAX];
    char partial[PATH_MAX];
    if (!files_path_join(path, dir, KEYRING_NAME, "") ||
        !files_path_join(partial, dir, KEYRING_NAME, ".tmp")) {
        return cli_fail(cli, "INVALID_ARGUMENT", "the path of %s is too long", dir);
    }
    FILE *file = fopen(partial, "wbxe");
    if (file == NULL) {
        return cli_fail_errno(cli, partial);
    }
    (void)fwrite(bytes->bytes, 1, bytes->size, file);
    return files_keep(cli, file, partial, dir, path);
}

enum cli_status restore_archive_keyring(struct cli *cli, const struct restore_archive *archive,
                                        const char *key_file, const char *dir)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct objects_bytes bytes = {0};
    struct polarys_keyring_summary summary;
    char master_key_id[POLARYS_MASTER_KEY_ID_SIZE];
    bool is_found = false;
    enum polarys_code code = polarys_master_key_id(key_file, master_key_id, &err);
    for (size_t i = archive->index.keyring_count; i > 0 && !is_found && code == POLARYS_OK; i--) {
        const char *name = archive->index.keyrings[i - 1].name;
        char digest_name[ARCHIVE_NAME_MAX];
        code = objects_get(archive->objects, name, 0, OBJECTS_GET_BYTES_MAX, &bytes, &err);
        if (code == POLARYS_OK) {
            code = polarys_keyring_read(slice_make(bytes.bytes, bytes.size), &summary, &err);
        }
        if (code == POLARYS_OK && (!archive_keys_name_make(slice_make(bytes.bytes, bytes.size),
                                                           summary.generation, digest_name) ||
                                   strcmp(name, digest_name) != 0)) {
            code =
                polarys_fail(&err, POLARYS_CORRUPT, "%s was altered: its digest is another", name);
        }
        is_found = code == POLARYS_OK && strcmp(summary.master_key_id, master_key_id) == 0;
    }
    enum cli_status status = code == POLARYS_OK ? CLI_DONE : cli_fail_engine(cli, &err);
    if (status == CLI_DONE && is_found) {
        status = keyring_write(cli, &bytes, dir);
    }
    free(bytes.bytes);
    return status;
}

/* ---- the log ---- */

/* A restore under way. */
struct applier {
    struct polarys_db *db;
    const struct restore_target *target;
    uint64_t term;    /* that the store is promoted to */
    uint64_t version; /* that was reached */
    bool is_promoted;
    bool is_reached; /* the log goes on, and what comes is beyond the target */
    uint64_t bytes;
    struct progress progress;
};

static enum polarys_code segment_apply(void *context, const struct polarys_log_segment *segment,
                                       struct polarys_slice block, struct polarys_error *err)
{
    struct applier *applier = context;
    (void)segment;
    return polarys_replica_segment(applier->db, block, err);
}

/* Whether the frame, or its beginning, lies within the target. */
static enum polarys_code target_judge(struct applier *applier,
                                      const struct polarys_log_frame *frame,
                                      struct polarys_slice bytes, bool *is_wanted,
                                      struct polarys_error *err)
{
    const struct restore_target *target = applier->target;
    *is_wanted = true;
    if (target->has_version) {
        *is_wanted = frame->first_version <= target->version;
    }
    if (!target->has_time) {
        return POLARYS_OK;
    }
    uint64_t unix_ms;
    enum polarys_code code = polarys_restore_time(applier->db, bytes, &unix_ms, err);
    *is_wanted = *is_wanted && unix_ms <= target->unix_ms;
    return code;
}

static enum polarys_code frame_apply(void *context, const struct polarys_log_frame *frame,
                                     struct polarys_slice bytes, bool *is_done,
                                     struct polarys_error *err)
{
    struct applier *applier = context;
    const struct restore_target *target = applier->target;
    uint64_t last = frame->first_version + frame->commit_count - 1;
    bool is_wanted = false;
    enum polarys_code code = target_judge(applier, frame, bytes, &is_wanted, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (!is_wanted) {
        applier->is_reached = true;
        *is_done = true;
        return POLARYS_OK;
    }
    if (target->has_version && last > target->version) {
        code =
            polarys_restore_promote_within(applier->db, bytes, target->version, applier->term, err);
        applier->is_promoted = code == POLARYS_OK;
        last = target->version;
    } else {
        code = polarys_replica_frame(applier->db, bytes, err);
    }
    if (code == POLARYS_OK) {
        applier->version = last;
        applier->is_reached = target->has_version && last == target->version;
        *is_done = applier->is_reached;
        applier->bytes += bytes.size;
        progress_update(&applier->progress, applier->bytes, last, applier->bytes);
    }
    return code;
}

/* ---- judging the end ---- */

enum { TIME_TEXT_MAX = 32 };

static void time_format(char text[TIME_TEXT_MAX], uint64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm parts;
    char whole[TIME_TEXT_MAX] = "";
    if (gmtime_r(&seconds, &parts) != NULL) {
        (void)strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &parts);
    }
    (void)snprintf(text, TIME_TEXT_MAX, "%.24s.%03uZ", whole, (unsigned)(unix_ms % 1000));
}

static enum cli_status gap_refuse(struct cli *cli, const struct archive_line *line)
{
    return cli_fail(cli, "DATA_LOSS/CORRUPT", "the archive has a gap: %s", line->gap);
}

static enum cli_status version_judge(struct cli *cli, const struct applier *applier,
                                     const struct archive_line *line)
{
    uint64_t version = applier->target->version;
    if (applier->version == version) {
        return CLI_DONE;
    }
    if (applier->is_reached) {
        return cli_fail(cli, "OUT_OF_RANGE",
                        "no commit has version %" PRIu64 "; the one before it is %" PRIu64, version,
                        applier->version);
    }
    if (line->has_gap) {
        return gap_refuse(cli, line);
    }
    return cli_fail(cli, "OUT_OF_RANGE/FUTURE_VERSION",
                    "the archive ends at version %" PRIu64 ", before %" PRIu64, applier->version,
                    version);
}

static enum cli_status time_judge(struct cli *cli, const struct applier *applier,
                                  const struct restore_archive *archive,
                                  const struct archive_line *line)
{
    char text[TIME_TEXT_MAX];
    uint64_t complete_ms = archive->index.state.complete_unix_ms;
    if (applier->is_reached) {
        return CLI_DONE;
    }
    if (line->has_gap) {
        return gap_refuse(cli, line);
    }
    if (applier->target->unix_ms <= complete_ms) {
        return CLI_DONE;
    }
    time_format(text, complete_ms);
    return cli_fail(cli, "OUT_OF_RANGE",
                    "the archive ends at version %" PRIu64 ", and is known to be complete up to %s "
                    "only; without --to-time it is restored to its end",
                    applier->version, complete_ms == 0 ? "no time" : text);
}

/* The pieces at the very end are missed by nobody but the state. */
static enum cli_status end_judge(struct cli *cli, const struct restore_archive *archive)
{
    const struct archive_place *last = &archive->index.state.last;
    char name[ARCHIVE_NAME_MAX];
    if (last->segment_id < archive->from_segment || last->segment_id == 0 ||
        archive_index_has(&archive->index, last)) {
        return CLI_DONE; /* the backup may have all that the archive has, and more */
    }
    archive_name_make(last, name);
    return cli_fail(cli, "DATA_LOSS/CORRUPT",
                    "piece %s: it is missing, and the archive's state names it", name);
}

static enum cli_status reached_judge(struct cli *cli, const struct applier *applier,
                                     const struct restore_archive *archive,
                                     const struct archive_line *line)
{
    const struct restore_target *target = applier->target;
    if (target->has_version) {
        return version_judge(cli, applier, line);
    }
    enum cli_status status = CLI_DONE;
    if (!applier->is_reached) {
        status = end_judge(cli, archive);
    }
    if (status == CLI_DONE && target->has_time) {
        return time_judge(cli, applier, archive, line);
    }
    return status == CLI_DONE && line->has_gap ? gap_refuse(cli, line) : status;
}

/* The backup itself must not be beyond the target. */
static enum cli_status base_judge(struct cli *cli, const struct applier *applier)
{
    const struct restore_target *target = applier->target;
    uint64_t unix_ms = polarys_restore_newest_time(applier->db);
    if (target->has_version && target->version < applier->version) {
        return cli_fail(cli, "OUT_OF_RANGE",
                        "the backup holds version %" PRIu64 " already, after %" PRIu64
                        ": restore an earlier backup",
                        applier->version, target->version);
    }
    if (target->has_time && target->unix_ms < unix_ms) {
        char text[TIME_TEXT_MAX];
        time_format(text, unix_ms);
        return cli_fail(cli, "OUT_OF_RANGE",
                        "the backup holds commits of %s already: restore an earlier backup", text);
    }
    return CLI_DONE;
}

static uint64_t highest_term(const struct restore_archive *archive)
{
    uint64_t term = 0;
    for (size_t i = 0; i < archive->index.entry_count; i++) {
        uint64_t other = archive->index.entries[i].term;
        term = other > term ? other : term;
    }
    return term;
}

static enum cli_status log_apply(struct cli *cli, const struct restore_archive *archive,
                                 struct applier *applier)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_log_position from;
    struct archive_reader reader = {.objects = archive->objects};
    struct archive_line line = {.steps = NULL};
    const struct archive_sink sink = {segment_apply, frame_apply, applier};
    enum cli_status status = CLI_DONE;
    polarys_log_position_get(applier->db, &from);
    enum polarys_code code = archive_line_find(&reader, &archive->index, &from, &line, &err);
    bool is_there = applier->target->has_version && applier->version == applier->target->version;
    if (code == POLARYS_OK && !is_there) {
        code = archive_walk(&reader, &archive->index, &line, &from, &sink, &err);
    }
    progress_end(&applier->progress);
    status = code == POLARYS_OK ? reached_judge(cli, applier, archive, &line)
                                : cli_fail_engine(cli, &err);
    archive_line_deinit(&line);
    archive_reader_deinit(&reader);
    return status;
}

enum cli_status restore_archive_apply(struct cli *cli, const struct restore_archive *archive,
                                      const struct restore_target *target, struct polarys_db *db,
                                      uint64_t *version)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct applier applier = {.db = db, .target = target, .version = polarys_db_version(db)};
    uint64_t term = highest_term(archive);
    uint64_t own_term = polarys_db_term(db);
    applier.term = (term > own_term ? term : own_term) + 1;
    enum cli_status status = base_judge(cli, &applier);
    if (status == CLI_DONE) {
        progress_begin(&applier.progress, cli, "applied", 0);
        status = log_apply(cli, archive, &applier);
    }
    if (status == CLI_DONE && !applier.is_promoted &&
        polarys_replica_promote(db, applier.term, &err) != POLARYS_OK) {
        status = cli_fail_engine(cli, &err);
    }
    *version = applier.version;
    return status;
}
