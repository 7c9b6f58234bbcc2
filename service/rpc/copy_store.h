/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copies of the store that are being sent: checkpoints under DATA_DIR/copies, each under a random id, so
 * that one that was interrupted can be gone on with.
 *
 * The log from the end of a copy on is kept as long as the copy, so that whoever took it can follow from there.
 *
 * A copy takes no space for files that the store still has; it holds on to those that compaction has replaced
 * meanwhile. So there are few, and none stays for long. What a process left behind goes when the next starts.
 *
 * Any thread, but functions that say so touch files.
 */
#ifndef SERVICE_RPC_COPY_STORE_H
#define SERVICE_RPC_COPY_STORE_H

#include "engine/engine_replica.h"
#include "service/rpc/copy_files.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    COPY_ID_SIZE = 16,
    COPIES_MAX = 4,          /* at once */
    COPIES_MAKING_MAX = 2,   /* each holds an executor thread while it is digested */
    COPY_KEEP_MS = 600000,   /* after its last use */
    COPY_DIR_NAME_MAX = 4096 /* bytes of the path of a copy's directory, with its NUL */
};

/* Immutable while it is used. */
struct copy {
    uint8_t id[COPY_ID_SIZE];
    char dir[COPY_DIR_NAME_MAX];
    struct copy_files files;
    struct polarys_log_position end; /* of its log; end.version is what it holds */

    /* Of the store. */
    unsigned user_count;
    uint64_t used_ns;
    bool is_sent; /* whole, once: it may go when there is need */
};

struct copy_store;

/* Removes what an earlier process left. `db` outlives it. Touches files. Errors: IO, NO_MEMORY. */
NODISCARD enum polarys_code copy_store_create(struct polarys_db *db, const char *data_dir,
                                              struct copy_store **out, struct polarys_error *err);
/* Removes all copies; waits for a sweep under way. REQUIRES: no copy is used. Touches files. Accepts NULL. */
void copy_store_destroy(struct copy_store *store);

/*
 * Makes a copy and uses it; *out is given back by copy_store_release. Touches files, and reads those that are
 * new since the last copy. `stop` may be NULL. Errors: TOO_MANY_CALLS, CANCELLED, DISK_LOW, IO, NO_MEMORY,
 * CORRUPT.
 */
NODISCARD enum polarys_code copy_store_make(struct copy_store *store, uint64_t now_ns,
                                            const struct copy_stop *stop, struct copy **out,
                                            struct polarys_error *err);
/* Uses the copy of this id. Errors: CURSOR_EXPIRED. */
NODISCARD enum polarys_code copy_store_acquire(struct copy_store *store, struct polarys_slice id,
                                               struct copy **out, struct polarys_error *err);
/* is_sent: it was sent to its end. Accepts NULL. */
void copy_store_release(struct copy_store *store, struct copy *copy, bool is_sent, uint64_t now_ns);

/* Removes the copies that nobody has used for COPY_KEEP_MS, on an executor thread if there are any. */
void copy_store_sweep(struct copy_store *store, uint64_t now_ns);
/* How many there are. */
size_t copy_store_count(struct copy_store *store);

#ifdef __cplusplus
}
#endif

#endif
