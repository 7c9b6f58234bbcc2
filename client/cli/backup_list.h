/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of a backup's files with what they are a copy of, and its form on disk (docs/formats/backup.md).
 */
#ifndef CLIENT_CLI_BACKUP_LIST_H
#define CLIENT_CLI_BACKUP_LIST_H

#include "client/cli/cli.h"
#include "client/cli/digest.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Names within a backup's directory. */
#define BACKUP_LIST_NAME "backup.jsonl"       /* of a whole backup */
#define BACKUP_STATE_NAME "backup.unfinished" /* of one under way; the same form */
#define BACKUP_DATA_NAME "data"               /* the files, as they lie in a data directory */

enum {
    BACKUP_FORMAT = 1,
    BACKUP_ID_SIZE = 16,
    BACKUP_PATH_MAX = 128, /* bytes of a file's path, with its NUL */
    BACKUP_FILES_MAX = 1 << 20,
    BACKUP_LINE_MAX = 1024, /* bytes of a line of the list */
};

struct backup_file {
    char path[BACKUP_PATH_MAX]; /* below the data directory */
    uint64_t size;
    uint8_t sha256[DIGEST_SIZE];
};

/* Zero-initialise. */
struct backup_list {
    uint8_t store_id[BACKUP_ID_SIZE];
    uint8_t history_id[BACKUP_ID_SIZE];
    uint8_t copy_id[BACKUP_ID_SIZE]; /* of the server's copy: to go on with it */
    uint64_t version;                /* that the backup holds */
    uint64_t created_unix_ms;
    uint64_t
        increments; /* backups between it and the full one that it goes back to; 0: it is one */
    /* Where its log ends; 0 while the backup is under way. */
    uint64_t log_segment;
    uint64_t log_offset;
    uint8_t log_tag[BACKUP_ID_SIZE];
    struct backup_file *files;
    size_t file_count;
    size_t file_room;
};

void backup_list_deinit(struct backup_list *list);
/* False for a path that could lead out of the directory, or is no path of a store's file. */
bool backup_path_is_valid(const char *path, size_t size);
/* Adds a file. False: no memory, or too many. REQUIRES: a valid path. */
bool backup_list_add(struct backup_list *list, const char *path, size_t path_size, uint64_t size,
                     const uint8_t sha256[DIGEST_SIZE]);
/* Its place, -1 when there is none. `hint`: where to look first. */
long backup_list_find(const struct backup_list *list, const char *path, size_t path_size,
                      size_t hint);
/* Bytes of all files. */
uint64_t backup_list_bytes(const struct backup_list *list);

/* Writes it as DIR/name, on stable storage, or leaves what was there. */
enum cli_status backup_list_write(struct cli *cli, const char *dir, const char *name,
                                  const struct backup_list *list);
/* Reads DIR/name; what is not as it was written is refused: DATA_LOSS/CORRUPT. */
enum cli_status backup_list_read(struct cli *cli, const char *dir, const char *name,
                                 struct backup_list *list);

#ifdef __cplusplus
}
#endif

#endif
