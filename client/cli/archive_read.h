/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading an archive: what pieces there are, which of them lead from a backup's end to the newest log, and their frames in
 * order, each checked.
 *
 * Invariant: what is handed out is the log without a gap. What is missing or altered is named and refused, never skipped.
 */
#ifndef CLIENT_CLI_ARCHIVE_READ_H
#define CLIENT_CLI_ARCHIVE_READ_H

#include "client/cli/archive_piece.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ARCHIVE_ENTRIES_MAX = 1 << 24, ARCHIVE_KEYRINGS_MAX = 1 << 16 };

/* What the archive says about itself; only a hint, for what is there counts. */
struct archive_state {
    bool is_there;
    struct archive_place last; /* the newest piece when it was written; all zero: none */
    uint64_t version;          /* of the last commit in the archive then */
    uint64_t
        complete_unix_ms; /* by the primary's clock: all that was durable then is there; 0: never */
};

struct archive_keyring {
    uint64_t generation;
    char name[ARCHIVE_NAME_MAX];
};

/* The pieces in the order of their names, and the keyrings by generation. */
struct archive_index {
    struct archive_place *entries;
    size_t entry_count;
    size_t entry_room;
    struct archive_keyring *keyrings;
    size_t keyring_count;
    size_t keyring_room;
    uint64_t stored_bytes; /* of the pieces */
    struct archive_state state;
};

/* Reads the names from the segment on (0: all). Errors: those of objects_list; CORRUPT for a name that is none. */
NODISCARD enum polarys_code archive_index_load(struct objects *objects, uint64_t from_segment,
                                               struct archive_index *index,
                                               struct polarys_error *err);
void archive_index_deinit(struct archive_index *index);
/* True when the piece is among them. */
bool archive_index_has(const struct archive_index *index, const struct archive_place *place);
/* One past the last entry of the segment and term that entry `first` is of. */
size_t archive_group_end(const struct archive_index *index, size_t first);

/* The object `state`. A damaged one counts as none. */
NODISCARD enum polarys_code archive_state_load(struct objects *objects, struct archive_state *state,
                                               struct polarys_error *err);
NODISCARD enum polarys_code archive_state_store(struct objects *objects,
                                                const struct archive_state *state,
                                                struct polarys_error *err);
/* Its text. False: it is none. */
bool archive_state_read(const char *text, size_t size, struct archive_state *state);

/* Reads pieces; the last one stays readable until the next. Zero-initialise. */
struct archive_reader {
    struct objects *objects;
    struct objects_bytes bytes;
};
void archive_reader_deinit(struct archive_reader *reader);
/* Errors: FILE_NOT_FOUND (it is missing), CORRUPT, UNSUPPORTED_FORMAT, those of objects_get. All name the piece. */
NODISCARD enum polarys_code archive_reader_piece(struct archive_reader *reader,
                                                 const struct archive_place *place,
                                                 struct archive_piece *piece,
                                                 struct polarys_error *err);
/* Its head alone, and for one that begins a segment the segment's header. The digest is not checked. */
NODISCARD enum polarys_code archive_reader_head(struct archive_reader *reader,
                                                const struct archive_place *place,
                                                struct archive_piece *piece,
                                                struct polarys_error *err);

/* One segment of a line. */
struct archive_step {
    size_t first; /* entries [first, end) */
    size_t end;
    bool has_limit;
    struct polarys_log_position limit; /* where the next segment says that this one ends */
};

/* The way from a position to the newest log. Zero-initialise. */
struct archive_line {
    struct archive_step *steps;
    size_t step_count;
    bool has_gap;  /* there is newer log that cannot be reached from the position */
    char gap[256]; /* what is missing then */
};

/* Finds the way. Errors: those of reading pieces. */
NODISCARD enum polarys_code archive_line_find(struct archive_reader *reader,
                                              const struct archive_index *index,
                                              const struct polarys_log_position *from,
                                              struct archive_line *line, struct polarys_error *err);
void archive_line_deinit(struct archive_line *line);

/* Takes the log as it is read. */
struct archive_sink {
    /* The header block of a segment. */
    enum polarys_code (*segment)(void *context, const struct polarys_log_segment *segment,
                                 struct polarys_slice block, struct polarys_error *err);
    /* The next frame; *is_done ends the walk. */
    enum polarys_code (*frame)(void *context, const struct polarys_log_frame *frame,
                               struct polarys_slice bytes, bool *is_done,
                               struct polarys_error *err);
    void *context;
};

/*
 * Hands out what lies between `from` and the end of the line. Errors: DATA_LOSS as CORRUPT (a piece is missing, altered or
 * not chained: it is named), those of reading pieces and of the sink.
 */
NODISCARD enum polarys_code archive_walk(struct archive_reader *reader,
                                         const struct archive_index *index,
                                         const struct archive_line *line,
                                         const struct polarys_log_position *from,
                                         const struct archive_sink *sink,
                                         struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
