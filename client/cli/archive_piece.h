/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A piece of an archive: some frames of one log segment as they are sealed, with what is needed to find, check and chain
 * them without a key (docs/formats/archive.md). Bytes in, bytes out: nothing here reads or writes an object.
 */
#ifndef CLIENT_CLI_ARCHIVE_PIECE_H
#define CLIENT_CLI_ARCHIVE_PIECE_H

#include "client/cli/digest.h"
#include "client/cli/objects.h"
#include "engine/engine_restore.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ARCHIVE_LOG_PREFIX "log/"
#define ARCHIVE_KEYS_PREFIX "keys/"
#define ARCHIVE_STATE_NAME "state"

enum {
    ARCHIVE_FORMAT = 1,
    ARCHIVE_HEAD_SIZE = 192,
    ARCHIVE_NAME_MAX = 80,         /* of a piece or a keyring, with its NUL */
    ARCHIVE_PIECE_BYTES = 8 << 20, /* of frames: a piece with so many is ended */
    ARCHIVE_FRAME_BYTES_MAX = (64 << 20) + 80,
    ARCHIVE_PIECE_BYTES_MAX = ARCHIVE_HEAD_SIZE + ARCHIVE_PIECE_BYTES + ARCHIVE_FRAME_BYTES_MAX +
                              POLARYS_LOG_SEGMENT_HEADER_SIZE + DIGEST_SIZE,
};

/* What the name of a piece says. */
struct archive_place {
    uint64_t segment_id;
    uint64_t term;
    uint64_t
        start;    /* offset of its first byte in the segment; 0: the segment's header comes first */
    uint64_t end; /* where its last frame ends, padding included */
};

/* What the head of a piece says. */
struct archive_head {
    struct archive_place place;
    uint8_t store_id[POLARYS_ID_SIZE];
    uint8_t history_id[POLARYS_ID_SIZE];
    uint8_t tag_before
        [POLARYS_LOG_TAG_SIZE]; /* of the frame that ends at the start; zeros for start 0 */
    uint8_t tag_after[POLARYS_LOG_TAG_SIZE];
    uint64_t first_version; /* of its first frame; 0: it holds no frame */
    uint64_t last_version;  /* of the last commit before its end */
    uint32_t key_id;        /* of the segment's data key; 0: not known */
    uint32_t frame_count;
    uint64_t sent_unix_ms; /* by the primary's clock, of the message that completed it */
    uint64_t log_bytes;
    uint8_t previous[DIGEST_SIZE]; /* digest of the piece before; zeros: it is the first of a run */
};

/* A piece that was checked. Borrows the bytes. */
struct archive_piece {
    struct archive_head head;
    struct polarys_slice log; /* the segment's header for start 0, then frames without padding */
    bool has_segment;
    struct polarys_log_segment segment; /* where has_segment */
    uint8_t digest[DIGEST_SIZE];
};

/* log/SEGMENT-TERM-START-END; names are in the order of the log within a term. */
void archive_name_make(const struct archive_place *place, char name[ARCHIVE_NAME_MAX]);
/* False when the name is no piece's. */
bool archive_name_read(const char *name, struct archive_place *place);
/* keys/GENERATION-DIGEST. */
bool archive_keys_name_make(struct polarys_slice keyring, uint64_t generation,
                            char name[ARCHIVE_NAME_MAX]);
/* False when the name is no keyring's. */
bool archive_keys_name_read(const char *name, uint64_t *generation);

/* Reads a head alone, of ARCHIVE_HEAD_SIZE bytes. Errors: CORRUPT, UNSUPPORTED_FORMAT. */
NODISCARD enum polarys_code archive_head_read(struct polarys_slice bytes, struct archive_head *head,
                                              struct polarys_error *err);
/*
 * Reads a whole piece and checks it: its digest, each frame's checksum and chain, and that the head says what the
 * frames do. Errors: CORRUPT, UNSUPPORTED_FORMAT.
 */
NODISCARD enum polarys_code archive_piece_read(struct polarys_slice bytes,
                                               struct archive_piece *piece,
                                               struct polarys_error *err);

/* ---- making one ---- */

/* A piece on its way. Zero-initialise; free bytes.bytes. */
struct archive_builder {
    struct archive_head head; /* place.end, tags, versions and counts follow what is added */
    struct objects_bytes bytes;
    bool has_log;
};

/* Begins a piece at head.place.start; the caller has filled ids, term, segment, tag_before, key id and last_version. */
NODISCARD enum polarys_code archive_builder_begin(struct archive_builder *builder,
                                                  const struct archive_head *head,
                                                  struct polarys_error *err);
/* Adds the header block of the segment, which has to be the first. Errors: NO_MEMORY. */
NODISCARD enum polarys_code archive_builder_segment(struct archive_builder *builder,
                                                    const struct polarys_log_segment *segment,
                                                    struct polarys_slice block,
                                                    struct polarys_error *err);
/* Adds a frame. Errors: CORRUPT, HISTORY_DIVERGED (it is not the next), NO_MEMORY. */
NODISCARD enum polarys_code archive_builder_frame(struct archive_builder *builder,
                                                  struct polarys_slice bytes,
                                                  struct polarys_error *err);
/* Completes it: bytes.bytes and bytes.size are the object. Errors: BUG, NO_MEMORY. */
NODISCARD enum polarys_code archive_builder_end(struct archive_builder *builder,
                                                uint8_t digest[DIGEST_SIZE],
                                                struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
