/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searching a text index: from the text of a search to the best documents.
 *
 * Invariant: equal entries give equal answers, to the last bit of a score: nothing depends on caches, files or
 * what was sought before.
 *
 * This reads entries through a view and knows no tree, no catalogue and no document: who searches gives
 * the view, hides what it must, and fetches the documents. Ranking and language are in docs/search.md.
 */
#ifndef ENGINE_SEARCH_SEARCH_QUERY_H
#define ENGINE_SEARCH_SEARCH_QUERY_H

#include "engine/base/entry_iterator.h"
#include "engine/search/search.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SEARCH_TEXT_BYTES_MAX = 64 << 10, /* of a search */
    SEARCH_TERMS_MAX = 256,           /* of a search */
    SEARCH_DEPTH_MAX = 32,            /* of parentheses */
    SEARCH_TOP_MAX = 10000,
    SEARCH_PREFIX_MEMORY_MAX = 64 << 20, /* of what one search's prefixes stand for */
    SEARCH_FREQUENCY_MIN = 256,          /* rarer terms have no gathered frequency */
    SEARCH_STOP_INTERVAL = 4096,         /* entries between questions whether to stop */
};

/* ---- the text of a search ---- */

struct search_query;

/*
 * Reads the text of a search for an index of `language`. Any thread. Errors: BAD_FILTER (details "position":
 * byte offset, "expected"), TOO_LARGE (SEARCH_TEXT_BYTES_MAX, SEARCH_TERMS_MAX), BAD_ARGUMENT (language),
 * NO_MEMORY.
 */
NODISCARD enum polarys_code search_query_parse(struct polarys_slice text, const char *language,
                                               struct search_query **out,
                                               struct polarys_error *err);
/* Accepts NULL. */
void search_query_destroy(struct search_query *query);

/* The ranges of tree keys, of a document's entries, that decide who matches: gives each to `each`, borrowed for
 * the call. Another code than OK ends it and is returned. */
NODISCARD enum polarys_code search_query_ranges_each(
    const struct search_query *query, uint32_t database_id, uint32_t index_id,
    enum polarys_code (*each)(void *context, struct polarys_slice start, struct polarys_slice end),
    void *context);

/* ---- where entries come from ---- */

/* The entries of the tree, or of a few documents in memory, as of one version. */
struct search_view {
    /* A walk over the live entries in [start, end), which are borrowed for the call. */
    enum polarys_code (*iterate)(void *context, struct polarys_slice start,
                                 struct polarys_slice end, struct entry_iterator **out,
                                 struct polarys_error *err);
    void *context;
};

/* A view of entries in memory: those of documents that a transaction wrote. */
struct search_memory;
NODISCARD enum polarys_code search_memory_create(struct search_memory **out,
                                                 struct polarys_error *err);
/* REQUIRES: no iterator left. Accepts NULL. */
void search_memory_destroy(struct search_memory *memory);
/* Fits search_entries_make's emit; `memory` is a struct search_memory. A key that is there is replaced.
 * REQUIRES: no iterator left. Errors: NO_MEMORY (without a message). */
NODISCARD enum polarys_code search_memory_put(void *memory, struct polarys_slice key,
                                              struct polarys_slice value);
/* Borrowed: live as long as `memory`. */
struct search_view search_memory_view(struct search_memory *memory);

/* ---- searching ---- */

struct search_options {
    uint32_t database_id;
    uint32_t index_id;
    uint64_t judged_ms; /* documents that expire then or before are hidden */
    size_t top_max;     /* best ones to keep, 1 to SEARCH_TOP_MAX */
    /* Both may be NULL. Whether a document that matches counts; only asked of those. */
    enum polarys_code (*accept)(void *context, struct polarys_slice document_key, bool *is_accepted,
                                struct polarys_error *err);
    bool (*should_stop)(void *context);
    void *context; /* of both */
};

struct search_collector;

/*
 * Begins a search: finds the statistics that scores need in `view`, the index itself. `query` must outlive the
 * collector. One thread at a time. Errors: NO_MEMORY, CANCELLED, CORRUPT, those of the view.
 */
NODISCARD enum polarys_code search_collector_create(const struct search_query *query,
                                                    const struct search_options *options,
                                                    const struct search_view *view,
                                                    struct search_collector **out,
                                                    struct polarys_error *err);
/* Accepts NULL. */
void search_collector_destroy(struct search_collector *collector);
/* Takes in what matches in `view`. May be called for several views that share no document. Errors: those of
 * create, and of accept; MEMORY_LIMIT when a prefix stands for too much. */
NODISCARD enum polarys_code search_collector_run(struct search_collector *collector,
                                                 const struct search_view *view,
                                                 struct polarys_error *err);

struct search_top {
    struct polarys_slice document_key; /* borrowed from the collector */
    double score;
};
/* The best so far, best first, equal scores by key; from now on no run. Returns their number. */
size_t search_collector_finish(struct search_collector *collector, const struct search_top **tops);
uint64_t search_collector_total(const struct search_collector *collector);

/* What scores went by. */
struct search_basis {
    uint64_t document_count;
    uint64_t gathered_version; /* of the entry that said so; 0: counted */
};
struct search_basis search_collector_basis(const struct search_collector *collector);

/* ---- gathered statistics ---- */

/*
 * Walks the whole index and gives `emit` the statistics to be written, ascending: an empty value stands for a
 * delete. `context` as for search_entries_make, and of should_stop (may be NULL). Errors: CANCELLED, CORRUPT,
 * NO_MEMORY, those of view and emit.
 */
struct search_gathering {
    uint32_t database_id;
    uint32_t index_id;
    enum polarys_code (*emit)(void *context, struct polarys_slice key, struct polarys_slice value);
    bool (*should_stop)(void *context);
    void *context; /* of both */
};
NODISCARD enum polarys_code search_statistics_gather(const struct search_gathering *gathering,
                                                     const struct search_view *view,
                                                     struct polarys_error *err);

/* ---- highlights ---- */

enum {
    SEARCH_HIGHLIGHTS_MAX = 3,        /* pieces of one document */
    SEARCH_HIGHLIGHT_WORDS = 8,       /* shown before and after what was found */
    SEARCH_HIGHLIGHT_BYTES_MAX = 400, /* of the text in one piece */
};

/*
 * Appends pieces of `text` around what `query` finds in it, one NUL-terminated after another: what was
 * found stands between \x01 and \x02, which the text itself loses. Pieces are cut at words. *count is raised by
 * their number, to SEARCH_HIGHLIGHTS_MAX at most. Errors: NO_MEMORY.
 */
NODISCARD enum polarys_code search_highlight(const struct search_query *query,
                                             struct polarys_slice text, struct buffer *pieces,
                                             size_t *count, struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
