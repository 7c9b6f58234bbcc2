/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what is left of a damaged log: every frame that authenticates and belongs to it, and which versions lie in the
 * places between (docs/formats/wal.md).
 *
 * Invariant: no frame is given that does not authenticate under its segment's key, none twice, none out of the order of
 * versions, and none that the log had cut off as far as a successor tells.
 */
#ifndef ENGINE_WAL_WAL_SALVAGE_H
#define ENGINE_WAL_WAL_SALVAGE_H

#include "engine/wal/wal.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A place of the log that cannot be read, or is not there. Borrowed: valid during the call. */
struct wal_gap {
    bool is_segment;     /* a whole segment file */
    bool is_beginning;   /* what came before the oldest segment: let go of, or lost */
    bool is_tail;        /* behind the last frame: an append that never returned looks the same */
    uint64_t segment_id; /* of the bad place */
    uint64_t offset;     /* in it */
    uint64_t bytes;      /* up to the next frame; 0: unknown */
    uint64_t first_version; /* the commits that may be missing, inclusive */
    uint64_t last_version;  /* UINT64_MAX: nothing tells how many */
    const char *cause;
};

struct wal_salvage_visitor {
    enum polarys_code (*frame)(void *context, const struct wal_frame *frame,
                               struct polarys_error *err);
    enum polarys_code (*gap)(void *context, const struct wal_gap *gap);
    void *context;
};

struct wal_salvaged {
    uint64_t segment_count; /* files that are there */
    uint64_t frame_count;
    uint64_t commit_count;
    uint64_t last_version;         /* of the last frame given; 0: none */
    uint64_t term_max;             /* of the segments that could be opened */
    uint64_t newest_segment_id;    /* of the files that are there; 0: none */
    uint64_t newest_first_version; /* of the newest segment that could be opened; 0: none */
};

/*
 * Reads every segment of options->dir, oldest first; writes nothing. Of the options vfs, dir and keyring count.
 * A directory that is not there is an empty log. Errors: NO_MEMORY, IO (the directory), TOO_LARGE, those of the visitor.
 */
NODISCARD enum polarys_code wal_salvage(const struct wal_options *options,
                                        const struct wal_salvage_visitor *visitor,
                                        struct wal_salvaged *salvaged, struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
