/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writing side of an archive: log as it comes, stored piece by piece.
 *
 * Invariant: what archive_writer_durable tells is stored, and everything before it back to the beginning of its run. The
 * archive holds a keyring with a segment's data key before it holds the segment.
 */
#ifndef CLIENT_CLI_ARCHIVE_WRITER_H
#define CLIENT_CLI_ARCHIVE_WRITER_H

#include "client/cli/archive_read.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Zero-initialise. */
struct archive_writer {
    struct objects *objects;
    bool has_run;             /* there is a place to go on from: next is filled */
    bool has_store;           /* there is a piece: the archive is of a store */
    bool is_sealed;           /* the piece is complete and waits to be stored */
    bool has_state_due;       /* the state is older than what it tells */
    struct archive_head next; /* of the next piece: it begins where the last stored one ends */
    struct archive_builder builder;
    uint8_t digest[DIGEST_SIZE]; /* of the piece that is sealed */
    uint64_t highest_term;
    struct archive_state state;
    struct objects_bytes keyring; /* the newest */
    uint64_t piece_count;         /* stored by this writer */
    uint64_t stored_bytes;
};

/*
 * Looks what the archive holds, and checks its newest piece. Errors: CORRUPT (that piece; it is named), those of
 * objects_list and objects_get.
 */
NODISCARD enum polarys_code archive_writer_open(struct archive_writer *writer,
                                                struct objects *objects, struct polarys_error *err);
void archive_writer_deinit(struct archive_writer *writer);

/* What is stored ends here. REQUIRES: has_run. */
void archive_writer_durable(const struct archive_writer *writer,
                            struct polarys_log_position *position);
/* What was taken in ends here. REQUIRES: has_run. */
void archive_writer_taken(const struct archive_writer *writer,
                          struct polarys_log_position *position);

/* Where a run begins that is not chained to what is there. */
struct archive_run {
    struct polarys_log_position at; /* all zero: the beginning of the store */
    uint8_t store_id[POLARYS_ID_SIZE];
    uint8_t history_id[POLARYS_ID_SIZE]; /* of its segment */
    uint64_t term;                       /* of its segment */
};
/* Errors: WRONG_STORE. */
NODISCARD enum polarys_code archive_writer_run_begin(struct archive_writer *writer,
                                                     const struct archive_run *run,
                                                     struct polarys_error *err);
/*
 * Goes back to the last frame that ends at or before the offset of the segment, in a log that was cut off there; the pieces
 * stay. What was taken in and not stored is forgotten. Errors: HISTORY_DIVERGED (the archive has nothing so old), those of
 * reading pieces and of objects_put.
 */
NODISCARD enum polarys_code archive_writer_rewind(struct archive_writer *writer,
                                                  uint64_t segment_id, uint64_t offset,
                                                  struct polarys_error *err);

/* Stores the keyring unless it is there. Errors: CORRUPT, WRONG_STORE, UNSUPPORTED_FORMAT, those of objects_put. */
NODISCARD enum polarys_code archive_writer_keyring(struct archive_writer *writer,
                                                   struct polarys_slice bytes,
                                                   struct polarys_error *err);
/* Whether the newest keyring has the data key. */
bool archive_writer_has_key(const struct archive_writer *writer, uint32_t key_id);

/*
 * Takes in a segment's header block. REQUIRES: what was taken in before is stored. Errors: CORRUPT, UNSUPPORTED_FORMAT,
 * WRONG_STORE, NOT_PRIMARY (its term is below one that the archive has seen), HISTORY_DIVERGED (it does not follow
 * here), FOLLOWER_LACKS_KEY (store the keyring first, then try again), NO_MEMORY.
 */
NODISCARD enum polarys_code archive_writer_segment(struct archive_writer *writer,
                                                   struct polarys_slice block,
                                                   struct polarys_error *err);
/* Takes in a frame. Errors: CORRUPT, HISTORY_DIVERGED, NO_MEMORY. */
NODISCARD enum polarys_code archive_writer_frame(struct archive_writer *writer,
                                                 struct polarys_slice bytes,
                                                 struct polarys_error *err);
/* True when there is something to store. */
bool archive_writer_has_log(const struct archive_writer *writer);
/* True when a piece is as large as it should get. */
bool archive_writer_is_full(const struct archive_writer *writer);
/* Stores what was taken in; may be called again after an error of objects_put, and tries the same piece. `sent_unix_ms`: of
 * the message that brought it. */
NODISCARD enum polarys_code archive_writer_store(struct archive_writer *writer,
                                                 uint64_t sent_unix_ms, struct polarys_error *err);
/* Writes the state: everything that was durable at the primary at that time is stored (0: as was said before). */
NODISCARD enum polarys_code archive_writer_state(struct archive_writer *writer,
                                                 uint64_t complete_unix_ms,
                                                 struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
