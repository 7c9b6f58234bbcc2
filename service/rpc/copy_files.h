/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of one copy of the store: which there are, how long they are, and their digests.
 *
 * All functions read files, so they run on executor threads; one thread at a time on one list.
 */
#ifndef SERVICE_RPC_COPY_FILES_H
#define SERVICE_RPC_COPY_FILES_H

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    COPY_FILES_MAX = 1 << 20,
    COPY_PATH_MAX = 128, /* bytes of a path within a copy, with its NUL */
    COPY_DEPTH_MAX = 3,  /* directories within one another */
    COPY_DIGEST_SIZE = 32,
};

/* A file of a copy. */
struct copy_file {
    char path[COPY_PATH_MAX]; /* below the copy's directory, with '/' */
    uint64_t size;
    uint64_t data_size; /* everything behind it is zero */
    uint8_t sha256[COPY_DIGEST_SIZE];
    /* What tells whether it is the same file as in an earlier copy. */
    uint64_t inode;
    int64_t modified_ns;
    bool is_linked; /* shared with the store, so that nobody writes on it */
};

/* In the order in which they are sent: by path, the keyring last, since a store without one is refused.
 * Zero-initialise. */
struct copy_files {
    struct copy_file *list;
    size_t count;
    size_t room;
};

/* Ends a long walk with CANCELLED when it returns true. */
struct copy_stop {
    bool (*is_wanted)(void *context);
    void *context;
};

void copy_files_deinit(struct copy_files *files);
/* Fills `files`, which is empty, with all below `dir`; no digests yet. Errors: IO, NO_MEMORY. */
NODISCARD enum polarys_code copy_files_list(const char *dir, struct copy_files *files,
                                            struct polarys_error *err);
/*
 * Reads the files and fills data_size and sha256. Linked files that `known` holds too are not read again.
 * Errors: IO, NO_MEMORY, CORRUPT (a file changed meanwhile), CANCELLED.
 */
NODISCARD enum polarys_code copy_files_digest(const char *dir, struct copy_files *files,
                                              const struct copy_files *known,
                                              const struct copy_stop *stop,
                                              struct polarys_error *err);
/* Where the file of this path is in the list; -1 when it is not. */
long copy_files_find(const struct copy_files *files, struct polarys_slice path);
/* The digests of the linked files, to know them again. Errors: NO_MEMORY. */
NODISCARD enum polarys_code copy_files_keep(const struct copy_files *files,
                                            struct copy_files *known, struct polarys_error *err);
/* Removes `dir` with all in it; one that is not there is fine. Errors: IO. */
NODISCARD enum polarys_code copy_files_remove(const char *dir, struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
