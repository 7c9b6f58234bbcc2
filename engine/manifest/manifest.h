/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files make up the tree, as a sequence of edits in a log with a chain of tags
 * (docs/formats/manifest.md), and the state that the edits add up to.
 *
 * Invariant: an edit is durable when manifest_append returns, and all of it or none of it counts after a
 * crash. The file CURRENT names the manifest in use; rolling over writes a whole new manifest, syncs it
 * and the directory, and then replaces CURRENT.
 */
#ifndef ENGINE_MANIFEST_MANIFEST_H
#define ENGINE_MANIFEST_MANIFEST_H

#include "engine/sst/table.h"
#include "engine/wal/wal.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    MANIFEST_FORMAT_VERSION = 1,
    MANIFEST_LEVELS = 7,
    MANIFEST_BYTES_MAX = 4 << 20, /* rolls over past this */
    MANIFEST_EDIT_FILES_MAX = 65536,
    MANIFEST_TIMES_MAX = 4096, /* (version, time) samples kept */
};

/* A commit time that is known for a version: what expiry at old versions and restore-to-time go by. */
struct version_time {
    uint64_t version;
    uint64_t time_unix_ms;
};

struct manifest_added {
    uint32_t level;
    struct table_meta meta; /* owned by the edit */
};

struct manifest_removed {
    uint32_t level;
    uint64_t file_id;
};

/* What changes at once. Zero-initialise; scalar fields count only with their has_ flag. */
struct manifest_edit {
    struct manifest_added *added; /* malloc'd array, owned */
    size_t added_count;
    struct manifest_removed *removed; /* malloc'd array, owned */
    size_t removed_count;

    bool has_flushed_version; /* every version up to it is in table files */
    uint64_t flushed_version;
    struct version_time flushed_time; /* with it: the newest flushed commit's time; 0, 0 for none */

    bool has_history_start; /* compaction may have dropped versions below it */
    uint64_t history_start;

    bool has_origin; /* a start after an unclean end, a promotion or a restore: new history id */
    uint8_t history_id[HISTORY_ID_SIZE];
    uint64_t term;
    uint64_t first_version;

    bool has_clean; /* clean close: the log ends here, all of it flushed */
    struct wal_position clean_position;
    uint64_t clean_version; /* the last version given out */
};

void manifest_edit_deinit(struct manifest_edit *edit);

/* The sum of all edits. Borrowed: valid until the next append. */
struct manifest_state {
    struct table_meta
        *levels[MANIFEST_LEVELS]; /* level 0 by file id upwards, others by smallest key */
    size_t level_counts[MANIFEST_LEVELS];
    uint64_t next_file_id; /* past every id that was ever added or reserved */
    uint64_t flushed_version;
    uint64_t history_start;
    uint8_t history_id[HISTORY_ID_SIZE];
    uint64_t term;
    uint64_t origin_version;                       /* first version of the current history id */
    struct version_time times[MANIFEST_TIMES_MAX]; /* ascending; thinned out when full */
    size_t time_count;
    bool is_clean; /* the last edit was a clean close */
    struct wal_position clean_position;
    uint64_t clean_version;
};

struct manifest_options {
    struct vfs *vfs;
    const char *dir; /* copied */
    struct keyring *keyring;
    struct random_source *random;
};

struct manifest;

/* Makes an empty manifest and CURRENT, durably. Errors: BAD_ARGUMENT when CURRENT exists, IO, DISK_LOW,
 * NO_MEMORY. */
NODISCARD enum polarys_code manifest_create(const struct manifest_options *options,
                                            struct manifest **out, struct polarys_error *err);
/*
 * Reads CURRENT and the manifest it names; a torn last edit is dropped (it was never acknowledged), any
 * other damage refused. Appending goes on in a new manifest, never in the old one. Errors:
 * FILE_NOT_FOUND (no CURRENT), CORRUPT, TAMPERED, WRONG_STORE, UNSUPPORTED_FORMAT, IO.
 */
NODISCARD enum polarys_code manifest_open(const struct manifest_options *options,
                                          struct manifest **out, struct polarys_error *err);
/* What manifest_open_salvage went by. */
struct manifest_salvage {
    bool has_current; /* else CURRENT is lost, and the newest manifest file was taken */
    bool is_torn;     /* its last record is torn or damaged: it may lack the newest edit */
};
/*
 * As manifest_open, for a store that is only to be read: without CURRENT the newest manifest file counts. Errors: those
 * of manifest_open; FILE_NOT_FOUND (no manifest at all).
 */
NODISCARD enum polarys_code manifest_open_salvage(const struct manifest_options *options,
                                                  struct manifest **out,
                                                  struct manifest_salvage *found,
                                                  struct polarys_error *err);
/* Accepts NULL. */
void manifest_close(struct manifest *manifest);

/* Applies the edit durably; rolls over when the file is large. One thread at a time. Errors: BUG when the
 * edit contradicts the state (a file removed that is not there, overlapping files in a level above 0);
 * after IO the manifest is broken and refuses every later edit; DISK_LOW before anything is written is
 * not sticky. */
NODISCARD enum polarys_code manifest_append(struct manifest *manifest,
                                            const struct manifest_edit *edit,
                                            struct polarys_error *err);

/*
 * For checkpoints. The first appends to `snapshot` the encoded state, without the mark of a clean close;
 * REQUIRES: no append at the same time. The second makes in options->dir a manifest with that state, as
 * manifest_create. Errors: those of manifest_create; CORRUPT.
 */
NODISCARD enum polarys_code manifest_snapshot_encode(const struct manifest *manifest,
                                                     struct buffer *snapshot,
                                                     struct polarys_error *err);
NODISCARD enum polarys_code manifest_create_from(const struct manifest_options *options,
                                                 struct polarys_slice snapshot,
                                                 struct manifest **out, struct polarys_error *err);

const struct manifest_state *manifest_state_get(const struct manifest *manifest);

/* A file id that names no file now or since: past every id the log has named and every table file that
 * lay in the directory when the manifest was opened. Any thread. */
uint64_t manifest_file_id_next(struct manifest *manifest);

/* True for names that belong to the manifest and are in use (the current manifest, CURRENT). */
bool manifest_owns_file(const struct manifest *manifest, const char *name);

#ifdef __cplusplus
}
#endif

#endif
