/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table files of the tree as of one moment: an immutable, shared arrangement.
 *
 * Invariant: level 0 is ordered newest first (its files may overlap); in deeper levels files are ordered
 * by key and share no key. For one key, an entry in an earlier level, or earlier in level 0, is newer.
 */
#ifndef ENGINE_COMPACTION_TREE_LEVELS_H
#define ENGINE_COMPACTION_TREE_LEVELS_H

#include "engine/compaction/tree.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TREE_OLD_VERSIONS_UNKNOWN UINT64_MAX

/* A table file that some arrangement names. */
struct tree_file {
    /* Immutable. */
    struct table_meta meta;
    uint64_t
        old_version_count; /* entries that are not their key's newest; unknown after a reopen */

    /* With __atomic builtins. */
    struct table *table; /* NULL until first used; then stays */
    uint32_t refs;

    /* Guarded by the tree's mutex. */
    bool is_obsolete; /* the manifest does not name it any more: removed with its last reference */
};

struct tree_levels {
    uint32_t refs;       /* with __atomic builtins */
    uint32_t base_level; /* where level 0 is compacted to */
    struct tree_file **files[MANIFEST_LEVELS];
    size_t counts[MANIFEST_LEVELS];
    uint64_t bytes[MANIFEST_LEVELS];
    uint64_t targets[MANIFEST_LEVELS]; /* level 0: what it may hold before it is compacted */
    double scores[MANIFEST_LEVELS];    /* 1 and above ask for compaction */
    uint64_t debt_bytes; /* what lies beyond the targets, with what moving it rewrites */
    uint32_t key_id_min; /* oldest data key of any file; UINT32_MAX without files */
    bool has_garbage;    /* some file below level 0 is mostly deletes or old versions */
};

/* What the arrangement is measured by. */
struct tree_shape {
    uint64_t level1_bytes;
    uint64_t file_bytes;
    uint64_t batch_bytes; /* what level 0 is about to hold when it is compacted */
};

/* A file with one reference; `meta` is copied. Errors: NO_MEMORY. */
NODISCARD enum polarys_code tree_file_create(const struct table_meta *meta,
                                             uint64_t old_version_count, struct tree_file **out);
struct tree_file *tree_file_ref(struct tree_file *file);
/* True when that was the last one: the caller disposes of the file with tree_file_destroy. */
NODISCARD bool tree_file_unref(struct tree_file *file);
/* Closes the table. Does not touch the disk otherwise. */
void tree_file_destroy(struct tree_file *file);

static inline struct polarys_slice tree_file_smallest(const struct tree_file *file)
{
    return buffer_slice(&file->meta.smallest_key);
}

static inline struct polarys_slice tree_file_largest(const struct tree_file *file)
{
    return buffer_slice(&file->meta.largest_key);
}

/* True when the file may have something within [start, end], both inclusive. */
static inline bool tree_file_overlaps(const struct tree_file *file, struct polarys_slice start,
                                      struct polarys_slice end)
{
    return slice_compare(tree_file_smallest(file), end) <= 0 &&
           slice_compare(tree_file_largest(file), start) >= 0;
}

/* Half of the entries or more could go, as far as can be told. */
bool tree_file_is_garbage(const struct tree_file *file);

struct tree_placed_file {
    uint32_t level;
    struct tree_file *file;
};

/*
 * `from` (NULL for nothing) without what `removed` names and with `added`, which take a reference of
 * their own. One reference for the caller. Errors: NO_MEMORY.
 */
NODISCARD enum polarys_code tree_levels_derive(const struct tree_levels *from,
                                               const struct manifest_removed *removed,
                                               size_t removed_count,
                                               const struct tree_placed_file *added,
                                               size_t added_count, const struct tree_shape *shape,
                                               struct tree_levels **out);
struct tree_levels *tree_levels_ref(struct tree_levels *levels);
/* True when that was the last one: the caller disposes of it. */
NODISCARD bool tree_levels_unref(struct tree_levels *levels);

/* The one file of a level below level 0 that may hold the key, or NULL. */
struct tree_file *tree_levels_file_find(const struct tree_levels *levels, uint32_t level,
                                        struct polarys_slice key);
/* Files [*first, *end) of a level below level 0 are those that overlap [start, stop], both inclusive; an
 * empty `stop` is the end of all keys. */
void tree_levels_range(const struct tree_levels *levels, uint32_t level, struct polarys_slice start,
                       struct polarys_slice stop, size_t *first, size_t *end);
/* True when a file in a level from `level` on overlaps [start, end], both inclusive. */
bool tree_levels_overlap(const struct tree_levels *levels, uint32_t level,
                         struct polarys_slice start, struct polarys_slice end);

#ifdef __cplusplus
}
#endif

#endif
