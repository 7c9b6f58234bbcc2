/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the tree share.
 *
 * Invariant: `current` points to an immutable version (memtables and levels). Whoever replaces it holds
 * the mutex; whoever replaces its levels has begun an installation as well (tree_install_begin), so that
 * the manifest and the levels change together and in one order.
 *
 * Readers announce in a read slot which version they look at, for as long as they look. A replaced
 * version is disposed of by the cleanup task once no slot names it.
 */
#ifndef ENGINE_COMPACTION_TREE_INTERNAL_H
#define ENGINE_COMPACTION_TREE_INTERNAL_H

#include "engine/base/mutex.h"
#include "engine/compaction/tree_levels.h"

enum {
    TREE_READ_SLOTS = 64,
    TREE_MEMTABLES_MAX = 16, /* of one version, the active one included */
    TREE_CACHE_LINE_SIZE = 64,
    TREE_RETRY_MS_FIRST = 50, /* after DISK_LOW or NO_MEMORY in the background */
    TREE_RETRY_MS_MAX = 1000,
    TREE_PUT_OFF_MS = 5, /* until the log is looked at again for what a flush would write */
};

struct tree_version {
    uint32_t refs;              /* with __atomic builtins; 1 belongs to tree->current */
    struct tree_levels *levels; /* NULL in the writer's view */
    struct memtable *memtables[TREE_MEMTABLES_MAX]; /* newest first; [0] is the active one */
    size_t memtable_count;
    uint64_t floor;            /* every version above it is in these memtables */
    struct tree_version *next; /* in the list of retired or dead ones */
};

/* A reader's announcement, and its counters, which only the slot's holder changes. */
struct tree_read_slot {
    _Alignas(TREE_CACHE_LINE_SIZE) struct tree_version *version; /* __atomic; NULL when free */
    uint64_t get_count;
    uint64_t probe_count;
    uint64_t miss_count; /* probes that found nothing */
};

enum tree_task_state {
    TREE_TASK_IDLE,
    TREE_TASK_QUEUED,
    TREE_TASK_RUNNING,
};

/* Why the background stopped. */
struct tree_failure {
    struct polarys_error error; /* code POLARYS_OK: none */
    bool is_sticky;             /* will not be retried */
    uint32_t retry_ms;          /* delay before the next try */
};

/* A request of tree_compact_range; lives on its caller's stack. */
struct tree_manual {
    struct polarys_slice start;
    struct polarys_slice end; /* empty: no end */
    uint64_t first_id;        /* files from here on are younger than the request */
    bool is_done;
};

/* What decides the write rate, as of the last change. */
struct tree_pressure {
    double drain_bytes_per_s; /* how fast flush and compaction have been taking data in */
    bool is_bounded;
    uint64_t bounded_since_ns;
    uint64_t stall_ns_total;
};

struct tree {
    /* Immutable after open. */
    struct tree_options options;
    struct tree_shape shape;
    char *dir;

    /* Synchronise themselves, with __atomic builtins. */
    struct tree_version *current;
    struct tree_read_slot slots[TREE_READ_SLOTS];
    uint64_t flushed_version;
    uint64_t history_start;
    uint64_t write_rate;
    uint64_t memtables_generation; /* changes with the memtables of `current` */
    uint32_t retired_count;
    bool is_refusing; /* a background failure stands: tree_reserve looks closer */
    bool is_stopping;
    uint64_t table_memory_bytes;

    /* The writer's (holder of the log role). */
    struct tree_version *view;
    uint64_t view_generation;
    size_t active_bytes; /* entry bytes reserved in the active memtable */

    /* Guarded by mutex. */
    struct mutex mutex;
    struct condition changed;     /* anything below changed */
    struct tree_version *retired; /* replaced; a reader may still look at it */
    struct tree_version *dead;    /* nobody looks; to be taken apart */
    enum tree_task_state flush_state;
    bool is_flush_put_off; /* its newest version is not durable in the log yet */
    enum tree_task_state compact_state;
    enum tree_task_state cleanup_state;
    struct task flush_task;
    struct task compact_task;
    struct task cleanup_task;
    bool is_installing;
    uint32_t pause_count;
    struct tree_failure flush_failure;
    struct tree_failure compact_failure;
    struct tree_manual *manual;
    struct buffer cursors[MANIFEST_LEVELS]; /* the largest key last compacted from a level */
    bool is_garbage_checked;                /* no garbage file of the current levels can go yet */
    struct tree_pressure pressure;
    uint64_t flush_count;
    uint64_t flush_bytes_written;
    uint64_t compaction_count;
    uint64_t compaction_bytes_read;
    uint64_t compaction_bytes_written;
};

/* ---- tree_version.c ---- */

/* The current version, announced in *slot until tree_read_end. Any thread. */
struct tree_version *tree_read_begin(struct tree *tree, struct tree_read_slot **slot);
void tree_read_end(struct tree *tree, struct tree_read_slot *slot);
/* A reference on the current version, for longer looks. */
struct tree_version *tree_version_acquire(struct tree *tree);
void tree_version_release(struct tree *tree, struct tree_version *version);
/* An empty version with one reference, or NULL. */
struct tree_version *tree_version_create(void);
/* Appends a reference on the memtable. */
void tree_version_add_memtable(struct tree_version *version, struct memtable *memtable);
/* Makes `version` current (its reference is taken over) and retires the one before. REQUIRES: mutex. */
void tree_version_publish_locked(struct tree *tree, struct tree_version *version);
/* Puts a version that nobody looks at on the list of the cleanup task. REQUIRES: mutex. */
void tree_version_bury_locked(struct tree *tree, struct tree_version *version);
/* Queues the cleanup task if there is anything for it. REQUIRES: mutex. */
void tree_cleanup_schedule_locked(struct tree *tree);
void tree_cleanup_run(struct task *task);
/* Disposes of everything that is retired or dead. */
void tree_cleanup(struct tree *tree);

/* The file's open table. `is_memory_only`: WOULD_BLOCK when it is not open yet. Errors: those of
 * table_open. */
NODISCARD enum polarys_code tree_file_table(struct tree *tree, struct tree_file *file,
                                            bool is_memory_only, struct table **table,
                                            struct polarys_error *err);

/* ---- tree_install.c ---- */

/* A table file that was written, not yet named by anything. */
struct tree_output {
    struct table_meta meta;
    uint64_t old_version_count;
};

struct tree_output_list {
    struct tree_output *items;
    size_t count;
};

/* Frees the list. */
void tree_output_list_deinit(struct tree_output_list *list);
/* Removes the files themselves; errors are logged. */
void tree_output_list_remove(struct tree *tree, const struct tree_output_list *list);

/* One change of the levels. */
struct tree_install {
    const struct tree_output_list *outputs; /* go to output_level */
    uint32_t output_level;
    struct tree_file **moved; /* files that only change level, to output_level; also in removed */
    size_t moved_count;
    struct manifest_removed *removed;
    size_t removed_count;
    size_t flushed_memtables; /* the oldest ones, which leave */
    uint64_t flushed_version; /* with them */
    uint64_t history_start;   /* 0: nothing was dropped */
};

/*
 * Appends the edit to the manifest and makes the new version current. On failure nothing changed, and
 * *is_unknown says whether the edit may be durable all the same: the outputs must then stay.
 */
NODISCARD enum polarys_code tree_install_run(struct tree *tree, const struct tree_install *install,
                                             bool *is_unknown, struct polarys_error *err);
/* Only one thread at a time is between these two: the manifest is its own. */
void tree_install_begin(struct tree *tree);
void tree_install_end(struct tree *tree);

/* ---- tree_flush.c, compaction_run.c ---- */

void tree_flush_run(struct task *task);
void tree_compact_run(struct task *task);

/* ---- tree_background.c ---- */

/* Queue the tasks if there is work and nothing forbids it. REQUIRES: mutex. */
void tree_flush_schedule_locked(struct tree *tree);
void tree_compact_schedule_locked(struct tree *tree);
/* Ends a run: notes the failure or its end, queues what is due, wakes who waits. Takes the mutex. */
void tree_flush_finish(struct tree *tree, enum polarys_code code, const struct polarys_error *err);
/* `has_progress`: something changed, so it is worth looking again. */
void tree_compact_finish(struct tree *tree, enum polarys_code code, bool has_progress,
                         const struct polarys_error *err);
/* The failure that stands, copied to `err`; POLARYS_OK when none does. REQUIRES: mutex. */
NODISCARD enum polarys_code tree_failure_get_locked(struct tree *tree, struct polarys_error *err);

/* ---- tree_pressure.c ---- */

/* Works the write rate out anew. REQUIRES: mutex. */
void tree_pressure_update_locked(struct tree *tree);
/* Bytes of data that were taken in during `duration_ns`. REQUIRES: mutex. */
void tree_pressure_measure_locked(struct tree *tree, uint64_t bytes, uint64_t duration_ns);

/* ---- level_iterator.c ---- */

/* Walks files [first, end) of one level below level 0, opening each when it is reached. The version (or
 * whatever holds the files) must outlive it. `flags`: enum table_read_flags. Errors: NO_MEMORY. */
NODISCARD enum polarys_code level_iterator_create(struct tree *tree, struct tree_file **files,
                                                  size_t count, unsigned flags,
                                                  struct entry_iterator **out,
                                                  struct polarys_error *err);

#endif
