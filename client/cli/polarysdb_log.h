/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of the Go program: entries of length, CRC-32 (IEEE) and a message, which 2.x seals unless its key is
 * zero and 1.x never does.
 *
 * Invariant: an entry is applied whole or the import ends. Behind an entry that is sealed none counts that is not:
 * it could come from anybody.
 */
#ifndef CLIENT_CLI_POLARYSDB_LOG_H
#define CLIENT_CLI_POLARYSDB_LOG_H

#include "client/cli/polarysdb_crypto.h"
#include "client/cli/polarysdb_file.h"
#include "client/cli/polarysdb_store.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    POLARYSDB_LOG_HEADER_SIZE = 8,
    POLARYSDB_LOG_ENTRY_BYTES_MAX = 10 << 20,
};

/* One log, which may lie in several files. Zero-initialise, then set the first three. */
struct polarysdb_log {
    const struct polarysdb_keys *keys;
    bool has_snapshot; /* entries up to its time are left out */
    int64_t snapshot_ns;

    bool has_seen_sealed;
    uint64_t entries;
    uint64_t left_out;
};

/* True when the file begins with a whole entry. */
bool polarysdb_log_is_log(const struct polarysdb_file *file);

/* Applies the entries of the log's next file to the store, which borrows from the file's bytes. */
bool polarysdb_log_read(struct polarysdb_log *log, const struct polarysdb_file *file,
                        struct polarysdb_store *store, struct polarysdb_fault *fault);

#ifdef __cplusplus
}
#endif

#endif
