/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Salvage: a new store of what can be read of a damaged one, and a list of what cannot (docs/salvage.md).
 *
 * Invariants. Nothing is written into the damaged directory. Nothing comes back that the store's key does not
 * authenticate. Every place that could not be read is named with the keys and versions that it may have held; outside
 * of those the new store holds what the old one held.
 */
#ifndef ENGINE_ENGINE_SALVAGE_H
#define ENGINE_ENGINE_SALVAGE_H

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    POLARYS_SALVAGE_LOSSES_MAX = 100000, /* further ones of a file are joined with its last one */
    POLARYS_SALVAGE_CAUSE_BYTES_MAX = 256,
};

enum polarys_salvage_kind {
    POLARYS_SALVAGE_MANIFEST,      /* which files belong to the store is unknown */
    POLARYS_SALVAGE_TABLE_FILE,    /* a whole table file */
    POLARYS_SALVAGE_TABLE_BLOCKS,  /* blocks of one */
    POLARYS_SALVAGE_RANGE_DELETES, /* the range deletes of one */
    POLARYS_SALVAGE_LOG_SEGMENT,   /* a whole log segment */
    POLARYS_SALVAGE_LOG_FRAMES,    /* frames of one */
    POLARYS_SALVAGE_CATALOG,       /* names of databases or tables */
};

/* One place that could not be read, as far as it concerns one table. Borrowed: valid during the call. */
struct polarys_salvage_loss {
    enum polarys_salvage_kind kind;
    bool is_harmless; /* indexes or internal records only: they are made anew, nothing is missing */
    const char *file; /* below the damaged directory */
    uint64_t offset;  /* of the first bad byte range in it */
    uint64_t bytes;   /* from there on; 0: to its end */
    const char *cause;
    uint64_t first_version; /* of the commits that may be missing, inclusive */
    uint64_t last_version;  /* UINT64_MAX: nothing tells where they end */
    /* NULL: every table. Its keys from `start` on, up to and with `end`; empty: from its first, up to its last. */
    const char *database;
    const char *table;
    struct polarys_slice start;
    struct polarys_slice end;
};

struct polarys_salvage_options {
    const char *master_key_file;
    void (*loss)(void *context, const struct polarys_salvage_loss *loss); /* may be NULL */
    void *context;
    struct vfs *vfs; /* for tests; NULL: the system's files */
};

enum polarys_salvage_outcome {
    POLARYS_SALVAGE_UNFINISHED, /* an error ended it; nothing is known */
    POLARYS_SALVAGE_WHOLE,      /* everything could be read */
    POLARYS_SALVAGE_PART,       /* some was lost: see the losses */
    POLARYS_SALVAGE_NONE,       /* nothing came back although there was something */
};

struct polarys_salvage_result {
    enum polarys_salvage_outcome outcome;
    uint64_t newest_version; /* that was read; nothing in a log shows that nothing came after it */
    uint64_t version;        /* the new store counts on from here */
    uint64_t term;
    uint64_t database_count;
    uint64_t table_count; /* without those that the server keeps for itself, here and below */
    uint64_t renamed_table_count; /* their names were lost: they are called recovered_ID */
    uint64_t index_count;         /* made anew */
    uint64_t document_count;
    uint64_t
        doubtful_count; /* of those: a newer version, or their deletion, may be among what was lost */
    uint64_t loss_count; /* that are not harmless */
    uint64_t harmless_count;
    uint64_t table_file_count; /* read, wholly or in part */
    uint64_t log_frame_count;  /* read */
};

/*
 * Reads the store in `dir` and makes a new one in `to`, which must be an empty directory or not exist. The new store
 * has its keyring, a history of its own, the newest version of each document with its version, and its indexes built
 * anew. The keyring is written last: after an error before that what stands in `to` is taken for no store, and after a
 * later one for a whole one whose indexes may still have to be built. *result is set on failure too, with the outcome
 * UNFINISHED, or NONE where the keyring is lost.
 * REQUIRES: no process has the store in `dir` open.
 * Errors: WRONG_MASTER_KEY; FILE_NOT_FOUND, CORRUPT, TAMPERED (the keyring: without it nothing can be read);
 * BAD_ARGUMENT (`to` is not empty, or lies in `dir`); DISK_LOW, IO, NO_MEMORY.
 */
POLARYS_API NODISCARD enum polarys_code polarys_salvage(
    const char *dir, const char *to, const struct polarys_salvage_options *options,
    struct polarys_salvage_result *result, struct polarys_error *err);

/* "table_blocks" and so on. Static storage. */
POLARYS_API const char *polarys_salvage_kind_name(enum polarys_salvage_kind kind);

#ifdef __cplusplus
}
#endif

#endif
