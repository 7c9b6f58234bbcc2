/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a restored backup on through an archive, to a version, to a time, or to its end.
 */
#ifndef CLIENT_CLI_RESTORE_ARCHIVE_H
#define CLIENT_CLI_RESTORE_ARCHIVE_H

#include "client/cli/archive_read.h"
#include "client/cli/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where a restore is to end: neither is the end of the archive. */
struct restore_target {
    bool has_version;
    uint64_t version;
    bool has_time;
    uint64_t unix_ms; /* commits up to and with this time */
};

/* The archive that a restore reads, opened. Zero-initialise. */
struct restore_archive {
    struct objects *objects;
    struct archive_index index;
    uint64_t from_segment; /* the index has nothing of the segments before */
    const char *location;  /* borrowed */
};
/* Reads the names of the pieces from the segment on. Reports. */
enum cli_status restore_archive_open(struct cli *cli, const struct objects_options *options,
                                     uint64_t from_segment, struct restore_archive *archive);
void restore_archive_close(struct restore_archive *archive);

/* Puts the newest keyring that the master key in the file opens into the data directory `dir`, where the archive has one. */
enum cli_status restore_archive_keyring(struct cli *cli, const struct restore_archive *archive,
                                        const char *key_file, const char *dir);

/*
 * Takes the log in, and makes the store a primary of a term that is above every one in the archive; *version is the
 * version that it ended at. A piece that is missing or was altered is named, and nothing behind it is taken.
 */
enum cli_status restore_archive_apply(struct cli *cli, const struct restore_archive *archive,
                                      const struct restore_target *target, struct polarys_db *db,
                                      uint64_t *version);

#ifdef __cplusplus
}
#endif

#endif
