/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files to compact next. Pure: looks at an arrangement of files and nothing else.
 *
 * Invariant: the inputs are closed: no file outside them, in the output level, overlaps them; and of
 * level 0 every file is taken, so nothing older stays above what is moved down.
 */
#ifndef ENGINE_COMPACTION_COMPACTION_PICK_H
#define ENGINE_COMPACTION_COMPACTION_PICK_H

#include "engine/compaction/tree_levels.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /* An output file overlaps at most this many times file_bytes of the level below its own. */
    COMPACTION_GRANDPARENT_FACTOR = 10,
    /* More files of the upper level are taken along while all inputs stay below this x file_bytes. */
    COMPACTION_EXPAND_FACTOR = 25,
};

enum compaction_reason {
    COMPACTION_NONE,
    COMPACTION_SCORE,   /* a level is over its target */
    COMPACTION_GARBAGE, /* a file is mostly deletes or old versions */
    COMPACTION_KEY,     /* a file is sealed under a retired key */
    COMPACTION_MANUAL,
};

/* Zero-initialised picks nothing. */
struct compaction_pick {
    enum compaction_reason reason;
    uint32_t level;
    uint32_t output_level;        /* may be `level`: a file rewritten where it is */
    struct tree_file **inputs[2]; /* malloc'd arrays of borrowed files; [1] of output_level */
    size_t counts[2];
    struct tree_file **grandparents; /* borrowed run of the level below output_level */
    size_t grandparent_count;
    bool is_move; /* the files need only change their level */
};

/* What picking goes by besides the files. */
struct compaction_wish {
    const struct tree_shape *shape;
    const struct buffer *cursors; /* MANIFEST_LEVELS of them */
    uint64_t needed_version_min;  /* no reader can name a version below it */
    uint32_t key_id;              /* the active data key */
    bool is_automatic_off;        /* only what was asked for */
    /* A request for a range. */
    bool is_manual;
    struct polarys_slice start;
    struct polarys_slice end; /* empty: no end */
    uint64_t first_id;
};

/* By need: level 0 in trouble, then a request, then scores, garbage, retired keys. Errors: NO_MEMORY.
 * REQUIRES: `levels` outlives the pick. */
NODISCARD enum polarys_code compaction_pick_next(const struct tree_levels *levels,
                                                 const struct compaction_wish *wish,
                                                 struct compaction_pick *pick);
void compaction_pick_deinit(struct compaction_pick *pick);

#ifdef __cplusplus
}
#endif

#endif
