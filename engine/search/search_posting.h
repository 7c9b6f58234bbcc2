/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a text index's entries (docs/formats/text-index.md).
 *
 * A document is known by its id: its key, or for very long keys a prefix and a hash, with the key in the
 * value. Invariant: the ids of an index order all its entries alike, so lists of one term after another can
 * be walked together.
 */
#ifndef ENGINE_SEARCH_SEARCH_POSTING_H
#define ENGINE_SEARCH_SEARCH_POSTING_H

#include "engine/base/internal_key.h"
#include "engine/search/search.h"

#ifdef __cplusplus
extern "C" {
#endif

enum search_tag {
    SEARCH_TAG_TOTALS = 0,    /* gathered: documents and words of the index */
    SEARCH_TAG_FREQUENCY = 1, /* gathered: in how many documents a common term is */
    SEARCH_TAG_LENGTH = 2,    /* one a document */
    SEARCH_TAG_POSTING = 3,   /* one a document and term */
};

enum {
    SEARCH_TAG_OFFSET = TREE_KEY_PREFIX_SIZE,
    SEARCH_PREFIX_SIZE = SEARCH_TAG_OFFSET + 1, /* database id, index id, tag */
    SEARCH_ID_HASH_SIZE = 32,
    SEARCH_ID_SIZE_MAX = 3840, /* keys of this length and more are hashed to just this length */
    SEARCH_KEY_SIZE_MAX =
        SEARCH_PREFIX_SIZE + SEARCH_TERM_BYTES_MAX + 1 + SEARCH_ID_SIZE_MAX, /* of a tree key */
};

/* The id of the document with `key` into `to`, which has room for SEARCH_ID_SIZE_MAX; returns its size. */
size_t search_id_put(uint8_t *to, struct polarys_slice key);
static inline bool search_id_is_hashed(size_t id_size)
{
    return id_size >= SEARCH_ID_SIZE_MAX;
}

static inline size_t search_key_put_prefix(uint8_t *to, uint32_t database_id, uint32_t index_id,
                                           enum search_tag tag)
{
    tree_key_put_prefix(to, database_id, index_id);
    to[SEARCH_TAG_OFFSET] = (uint8_t)tag;
    return SEARCH_PREFIX_SIZE;
}

/* The start of the keys of one term's postings; room for SEARCH_KEY_SIZE_MAX. Returns its size. */
size_t search_key_put_term(uint8_t *to, uint32_t database_id, uint32_t index_id,
                           struct polarys_slice term);

/* What the value of a posting or a length begins with. */
struct search_document_head {
    uint32_t length;                   /* words of the document */
    uint64_t expires_at_ms;            /* 0: never */
    struct polarys_slice document_key; /* empty: the id is the key. Borrowed from the value */
};

/* Of one term in one document. */
struct search_posting {
    struct search_document_head head;
    uint32_t count;                 /* times that the term occurs, at least 1 */
    struct polarys_slice positions; /* encoded. Borrowed from the value */
};

/* Errors: NO_MEMORY. */
NODISCARD enum polarys_code search_head_encode(struct buffer *to,
                                               const struct search_document_head *head);
/* Both: false when the bytes are none. The value of a length is a head alone. */
bool search_head_decode(struct cursor *cursor, struct search_document_head *head);
bool search_posting_decode(struct polarys_slice value, struct search_posting *posting);
/*
 * Decodes the positions, ascending, into `positions` with room for SEARCH_POSITIONS_MAX. False when the bytes
 * are no positions of this posting.
 */
bool search_positions_decode(const struct search_posting *posting, uint32_t *positions,
                             size_t *position_count);

/* Splits the key of a posting within [db ‖ index ‖ tag]: false when there is no term or no id. */
bool search_posting_key_split(struct polarys_slice key, struct polarys_slice *term,
                              struct polarys_slice *id);

#ifdef __cplusplus
}
#endif

#endif
