/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetching a copy of another node's store, file by file, into a directory. What was received stays when
 * the connection breaks, and the next fetch_run goes on from there while the other node keeps the copy.
 *
 * The invariant: a file counts only when its length and SHA-256 are those of the manifest and it is
 * durable; nothing is written outside the directory, whatever the other node says.
 */
#ifndef SERVICE_REPLICATION_FETCH_H
#define SERVICE_REPLICATION_FETCH_H

#include "service/replication/files.h"
#include "service/replication/peer.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FETCH_FILES_MAX = 1 << 20,
    FETCH_PATH_MAX = 512, /* bytes of a path, with NUL */
    FETCH_ID_MAX = 64,
    FETCH_SHA256_SIZE = 32,
    FETCH_SILENCE_MS = 60000, /* without a message, which making the copy may take */
};

struct fetch;

struct fetch_progress {
    uint64_t files;
    uint64_t files_done;
    uint64_t bytes;
    uint64_t bytes_done;
    uint64_t version; /* that it holds; 0 before the manifest came */
};

/* `dir` is there and empty. `node` is the name under which the log is kept. Both are borrowed. */
NODISCARD enum polarys_code fetch_create(const char *dir, const char *node, struct fetch **out,
                                         struct polarys_error *err);
/* Accepts NULL. The directory stays. */
void fetch_destroy(struct fetch *fetch);

/*
 * Fetches what is missing. After an error that is the other node's or the connection's it may be called
 * again; CURSOR_EXPIRED and BAD_MESSAGE mean that the directory has to be emptied and a new copy made.
 * Errors: also IO, DISK_LOW, NO_MEMORY, CORRUPT (a file is not what its digest says), those of a peer.
 */
NODISCARD enum polarys_code fetch_run(struct fetch *fetch, struct peer *peer,
                                      struct proto_arena *arena, struct polarys_error *err);
void fetch_progress_get(const struct fetch *fetch, struct fetch_progress *progress);

/* True for a relative path of plain names, none of which a data directory has for itself. */
bool fetch_path_is_safe(const char *path, size_t size);

#ifdef __cplusplus
}
#endif

#endif
