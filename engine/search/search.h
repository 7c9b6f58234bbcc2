/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Full-text indexes: the entries that stand for one document in one text index.
 *
 * Invariant: the entries depend on nothing but what is passed in, and come in ascending key order without a
 * key twice. So whoever maintains an index makes those of the old and of the new document, and writes the
 * difference. Their bytes are in docs/formats/text-index.md, the words' rules in docs/search.md.
 *
 * Nothing here reads or writes a tree, knows JSON, or knows of the catalogue. Searching is
 * search_query.h's.
 */
#ifndef ENGINE_SEARCH_SEARCH_H
#define ENGINE_SEARCH_SEARCH_H

#include "engine/base/buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SEARCH_TERM_BYTES_MAX = 128,         /* the rest of a longer word is cut off */
    SEARCH_POSITIONS_MAX = 1024,         /* kept of one word in one document; all are counted */
    SEARCH_DOCUMENT_TERMS_MAX = 100000,  /* distinct ones of one document */
    SEARCH_DOCUMENT_WORDS_MAX = 4 << 20, /* words of one document */
    SEARCH_LANGUAGE_BYTES_MAX = 31,
};

/* One document as one text index sees it. Everything is borrowed for the call. */
struct search_source {
    uint32_t database_id;
    uint32_t index_id;
    struct polarys_slice document_key; /* the user's, at most USER_KEY_SIZE_MAX bytes */
    uint64_t expires_at_ms;            /* of the document; 0: never. Kept in the entries */
    const char *language;              /* one that search_language_is_known knows */
    /* The strings of the index's fields, unescaped, in the order of fields and, in arrays, of elements. A
     * phrase never reaches from one into the next. Bytes that are no UTF-8 stand for U+FFFD. */
    const struct polarys_slice *texts;
    size_t text_count;
};

/* "none" and the names of Snowball's algorithms, such as "english", "german", "russian". */
bool search_language_is_known(const char *language);

/*
 * Gives `emit` the entries of the document, in ascending key order: none when its texts hold no word. `key` is
 * a whole tree key, database and index id included; both are borrowed: valid during the call. Another code
 * than OK from `emit` ends it and is returned. Any thread. Errors: TOO_LARGE (SEARCH_DOCUMENT_TERMS_MAX, SEARCH_DOCUMENT_WORDS_MAX), BAD_ARGUMENT (language),
 * NO_MEMORY, those of `emit` (without a message of its own).
 */
NODISCARD enum polarys_code search_entries_make(
    const struct search_source *source,
    enum polarys_code (*emit)(void *context, struct polarys_slice key, struct polarys_slice value),
    void *context, struct polarys_error *err);

/* True for a key of a text index that is no document's: gathered statistics. Comparing an index with its
 * documents passes these by. `key` is a whole tree key. */
bool search_key_is_statistics(struct polarys_slice key);

#ifdef __cplusplus
}
#endif

#endif
