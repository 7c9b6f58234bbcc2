/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log-structured merge tree: memtables, levels of table files, flush, compaction, back-pressure.
 *
 * Invariant: a reader with a snapshot version sees, for each key, the newest entry at or below it that no
 * range delete hides, whatever flush and compaction do meanwhile. Everything up to flushed_version is in
 * synced table files that the manifest names.
 *
 * One thread at a time writes (the holder of the log role); any number read. This module does not know
 * the log: its owner prunes the log when told that more has been flushed.
 */
#ifndef ENGINE_COMPACTION_TREE_H
#define ENGINE_COMPACTION_TREE_H

#include "engine/base/executor.h"
#include "engine/manifest/manifest.h"
#include "engine/memtable/memtable.h"
#include "engine/sst/table.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TREE_LEVEL0_COMPACT_FILES = 4,
    TREE_LEVEL0_SLOW_FILES = 12,
    TREE_LEVEL0_STOP_FILES = 24,
    TREE_LEVEL_RATIO = 10,
    TREE_IMMUTABLE_MEMTABLES_MAX = 4,
    TREE_SNAPSHOTS_MAX = 4096, /* versions that retention may name */
    TREE_TABLE_FILES_DEFAULT = 512,
};

struct tree_options {
    struct table_env env;
    struct manifest *manifest; /* the tree takes it over: tree_close closes it */
    struct executor *executor;
    size_t memtable_bytes; /* arena of one memtable */
    size_t block_bytes;
    uint64_t level1_bytes;  /* target of the first level below level 0; default 128 MiB */
    uint64_t file_bytes;    /* target of a table file; default 32 MiB */
    size_t table_files_max; /* table files open at once; default TREE_TABLE_FILES_DEFAULT */
    int zstd_level_upper;   /* above the last level; default 1 */
    int zstd_level_last;    /* in the last level; default 3 */
    bool is_compaction_off; /* tests and benchmarks: flush only */

    /*
     * What compaction has to keep; NULL, for tests and benchmarks, keeps the newest of each key only. The
     * other callbacks may be NULL too. Fills `versions` (room for TREE_SNAPSHOTS_MAX) with the snapshots
     * that live readers hold, ascending, and returns their number; *history_start is the version from
     * which on every version of every key is to be kept. Called from executor threads.
     */
    size_t (*retention)(void *context, uint64_t *versions, uint64_t *history_start);
    /* Whether the log holds everything up to `version` durably: only then may it go into table files, or
     * a crash would leave them ahead of the log, with a hole in what replicas and archives get. WOULD_BLOCK
     * puts the flush off a little; any other error fails it. NULL: always. Executor threads. */
    enum polarys_code (*durable)(void *context, uint64_t version, struct polarys_error *err);
    /* A memtable was flushed: every version up to flushed_version is in table files. Executor threads. */
    void (*flushed)(void *context, uint64_t flushed_version);
    /* Writers that waited for room may go on. Any thread, no lock held. */
    void (*room_made)(void *context);
    /* A background error: the tree refuses writes until it is cleared (DISK_LOW, when space returned and
     * the retry worked) or for good. Any thread. */
    void (*failed)(void *context, const struct polarys_error *err);
    /* The commit time of a version, for the (version, time) sample of a flush. */
    uint64_t (*version_time_ms)(void *context, uint64_t version);
    void *context;
};

struct tree;

/* Builds the tree from the manifest's state; deletes table files that it does not name. Opens no table
 * file: that happens on first use. Errors: those of manifest and vfs. On failure the manifest is closed. */
NODISCARD enum polarys_code tree_open(const struct tree_options *options, struct tree **out,
                                      struct polarys_error *err);
/* Stops background work (waits for what runs), closes everything without flushing. REQUIRES: no iterator
 * left. Accepts NULL. */
void tree_close(struct tree *tree);

/* ---- writing: the holder of the log role only ---- */

/*
 * Makes sure that entries of `entry_bytes` (sum of memtable_entry_bytes_max) and `range_deletes` fit the
 * active memtable, switching to a new one when not (or to one made to measure for a very large batch).
 * Call it before the first entry of a commit, for all of them: a commit may not lie in two memtables, for
 * the flushed version names whole commits. Errors: WOULD_BLOCK when too many memtables wait to be flushed
 * (room_made follows), TOO_LARGE beyond what one memtable can hold, NO_MEMORY, a background error; DISK_LOW
 * among those only once the memtables are full, so that deletes go on as long as they can.
 */
NODISCARD enum polarys_code tree_reserve(struct tree *tree, size_t entry_bytes,
                                         size_t range_deletes, struct polarys_error *err);
/* Lets go of memtables that were flushed since the last switch; tree_reserve does so too. */
void tree_memtables_release(struct tree *tree);
/* True when there are any to let go of. Any thread. */
bool tree_memtables_are_stale(struct tree *tree);
/* As memtable_insert. REQUIRES: a tree_reserve that covers it. */
void tree_insert(struct tree *tree, const struct entry *entry);
/* The newest version of `key` (or of a range delete over it) in the memtables; 0 when none. */
uint64_t tree_newest_version(struct tree *tree, struct polarys_slice key);
/* The newest version above `above` in the range; 0 when there is none. */
uint64_t tree_newest_version_in_range(struct tree *tree, struct polarys_slice start,
                                      struct polarys_slice end, uint64_t above);
/* Everything above this version is still in memtables, so tree_newest_version is exact for it, also while
 * flushes go on, until the next call of this function or of tree_reserve. */
uint64_t tree_memtable_floor(struct tree *tree);

/* ---- reading: any thread ---- */

enum tree_read_flags {
    TREE_READ_MEMORY_ONLY = 1 << 0, /* WOULD_BLOCK instead of touching a file */
    TREE_READ_NO_FILL = 1 << 1,
    TREE_READ_AHEAD = 1 << 2,
};

/* A value found. Holds what keeps it alive until tree_value_release. Zero-initialise. */
struct tree_value {
    struct polarys_slice bytes; /* borrowed until release */
    uint64_t version;
    struct cached_block *block;
    struct memtable *memtable;
};
void tree_value_release(struct tree_value *value);

/* The value of `key` as of `snapshot`. Errors: KEY_NOT_FOUND (no message is formatted: it is common),
 * WOULD_BLOCK, CORRUPT, TAMPERED, IO, NO_MEMORY. */
NODISCARD enum polarys_code tree_get(struct tree *tree, struct polarys_slice key, uint64_t snapshot,
                                     unsigned flags, struct tree_value *value,
                                     struct polarys_error *err);

/*
 * A walk over the live keys in [start, end) as of `snapshot`: one put per key, deletes and hidden versions
 * left out. Bounds are copied. seek takes any version (ignored: pass VERSION_MAX). Pins files and
 * memtables until destroyed. Errors: NO_MEMORY; the iterator's own: as tree_get.
 */
NODISCARD enum polarys_code tree_iterator_create(struct tree *tree, struct polarys_slice start,
                                                 struct polarys_slice end, uint64_t snapshot,
                                                 unsigned flags, struct entry_iterator **out,
                                                 struct polarys_error *err);

/* ---- maintenance ---- */

/* Asks for a flush of everything inserted so far (switches the memtable: the holder of the log role
 * only); tree_flush_wait waits until flushed_version reaches `version`. */
NODISCARD enum polarys_code tree_memtable_switch(struct tree *tree, struct polarys_error *err);
NODISCARD enum polarys_code tree_flush_wait(struct tree *tree, uint64_t version,
                                            struct polarys_error *err);
uint64_t tree_flushed_version(struct tree *tree);
/* The lowest version that reads may still ask for, as far as compaction has gone. */
uint64_t tree_history_start(struct tree *tree);

/* Compacts [start, end) (both empty: all) down to the last level and waits. Errors: background errors. */
NODISCARD enum polarys_code tree_compact_range(struct tree *tree, struct polarys_slice start,
                                               struct polarys_slice end, struct polarys_error *err);
/* Waits until no flush or compaction is running or due. */
NODISCARD enum polarys_code tree_wait_idle(struct tree *tree, struct polarys_error *err);

/*
 * Back-pressure: the rate, in bytes a second, at which writers should go now; UINT64_MAX when there is no
 * debt. Falls continuously as debt grows (level 0 files beyond slow, memtables that wait, bytes that
 * compaction owes), never to zero. Any thread, cheap.
 */
uint64_t tree_write_rate(struct tree *tree);

/* Stops (pauses) compaction and flush from beginning; used by tests and by checkpoints. */
void tree_background_pause(struct tree *tree);
void tree_background_resume(struct tree *tree);

/* Appends an edit of the owner's (clean close, origin, history) to the manifest. */
NODISCARD enum polarys_code tree_manifest_append(struct tree *tree,
                                                 const struct manifest_edit *edit,
                                                 struct polarys_error *err);

/*
 * Hard-links every table file of the tree as of one moment into `dir` (made; must be empty) and writes a
 * manifest there that names them, all durable. *version is the flushed version that it holds.
 */
NODISCARD enum polarys_code tree_checkpoint(struct tree *tree, const char *dir, uint64_t *version,
                                            struct polarys_error *err);

struct tree_level_stats {
    uint64_t file_count;
    uint64_t bytes;
    uint64_t raw_bytes;
    uint64_t entry_count;
    uint64_t target_bytes;
};

struct tree_stats {
    struct tree_level_stats levels[MANIFEST_LEVELS];
    uint64_t memtable_bytes;     /* touched arena bytes of all memtables */
    uint64_t memtable_count;     /* the active one included */
    uint64_t table_memory_bytes; /* open tables outside the cache */
    uint64_t table_files_open;
    uint64_t table_files_reopened; /* that had been closed for room */
    uint64_t flush_count;
    uint64_t flush_bytes_written;
    uint64_t compaction_count;
    uint64_t compaction_bytes_read;
    uint64_t compaction_bytes_written;
    uint64_t compaction_debt_bytes;
    uint64_t stall_ns_total; /* during which tree_write_rate was bounded */
    uint64_t get_count;
    uint64_t get_file_probe_count;
    uint64_t filter_negative_count;
};
void tree_stats_get(struct tree *tree, struct tree_stats *stats);
/* An estimate of the stored bytes within [start, end). */
NODISCARD enum polarys_code tree_range_bytes(struct tree *tree, struct polarys_slice start,
                                             struct polarys_slice end, uint64_t *bytes,
                                             struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
