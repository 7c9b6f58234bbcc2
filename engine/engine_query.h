/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries of the embedded API: documents of a table by what is in them, and full-text search.
 *
 * The filter language is in docs/query.md. Every answer equals that of looking at each document of the
 * table at the version read: indexes change how long it takes, never what it is.
 */
#ifndef ENGINE_ENGINE_QUERY_H
#define ENGINE_ENGINE_QUERY_H

#include "engine/engine.h"
#include "engine/engine_txn.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    POLARYS_FILTER_BYTES_MAX = 64 << 10,
    POLARYS_FILTER_TERMS_MAX = 1000,
    POLARYS_FILTER_DEPTH_MAX = 100,
    POLARYS_ORDER_FIELDS_MAX = 8,
    POLARYS_MASK_FIELDS_MAX = 256,
    POLARYS_CURSOR_BYTES_MAX = 16 << 10,
    POLARYS_QUERY_MEMORY_DEFAULT = 64 << 20, /* of one query's sort; beyond it MEMORY_LIMIT */
    POLARYS_QUERY_LEASE_MS = 60000,          /* a cursor keeps its version readable this long */
};

struct polarys_query;

/* Zero-initialise. Everything is copied. */
struct polarys_query_options {
    const char *database;
    const char *table;
    struct polarys_slice filter; /* empty: every document */
    struct polarys_slice
        order_by; /* "age desc, name"; empty: in an order of the plan's choosing, which a
                                      cursor keeps */
    const char *const *read_mask; /* paths of the members to give; NULL: whole documents */
    size_t read_mask_count;
    uint64_t limit; /* 0: none */
    struct polarys_slice
        cursor; /* where an earlier query with the same filter, order and table was; empty: begin */
    uint64_t version;        /* as polarys_read_options; a cursor brings its own */
    struct polarys_txn *txn; /* NULL: none */
    uint64_t memory_max;     /* 0: POLARYS_QUERY_MEMORY_DEFAULT */
    const char
        *use_index; /* NULL: the planner chooses; "": none; else this one (tests, comparisons) */
    unsigned flags; /* polarys_read_flags */
};

/*
 * Errors: BAD_FILTER (details "position": byte offset, "expected"), BAD_ARGUMENT (order_by, read_mask),
 * BAD_PAGE_TOKEN (a cursor of another query), CURSOR_EXPIRED, INDEX_NOT_FOUND, INDEX_BUILDING (use_index),
 * those of polarys_scan_open.
 */
POLARYS_API NODISCARD enum polarys_code polarys_query_open(
    struct polarys_db *db, const struct polarys_query_options *options, struct polarys_query **out,
    struct polarys_error *err);
/* Accepts NULL. The cursor's version stays readable for POLARYS_QUERY_LEASE_MS. */
POLARYS_API void polarys_query_close(struct polarys_query *query);
/*
 * The next document; borrowed until the next call, not to be released. With a read mask the value is a new
 * JSON text that holds the members named. `should_stop` (may be NULL) is asked now and then: CANCELLED.
 * Errors: also MEMORY_LIMIT (a sort past memory_max: says so, and what index would help), WOULD_BLOCK as a scan.
 */
POLARYS_API NODISCARD enum polarys_code polarys_query_next(struct polarys_query *query,
                                                           bool (*should_stop)(void *context),
                                                           void *context, bool *has_document,
                                                           struct polarys_document *document,
                                                           struct polarys_error *err);
POLARYS_API void polarys_query_flags_set(struct polarys_query *query, unsigned flags);
POLARYS_API uint64_t polarys_query_version(const struct polarys_query *query);
/* Where the query is now: a new query with this cursor goes on behind the last document given. Borrowed
 * until the next call. Errors: NO_MEMORY, CURSOR_EXPIRED. */
POLARYS_API NODISCARD enum polarys_code polarys_query_cursor(struct polarys_query *query,
                                                             struct polarys_slice *cursor,
                                                             struct polarys_error *err);

/* How many documents match. Uses indexes like a query; options as there (order, mask, limit and cursor
 * ignored). */
POLARYS_API NODISCARD enum polarys_code polarys_query_count(
    struct polarys_db *db, const struct polarys_query_options *options,
    bool (*should_stop)(void *context), void *context, uint64_t *version, uint64_t *count,
    struct polarys_error *err);

/* One step of a plan, outermost first; depth tells what feeds what. */
struct polarys_plan_step {
    unsigned depth;
    const char *
        operation; /* "index_scan", "intersect", "union", "table_scan", "fetch", "filter", "sort", "limit",
                              "text_search" */
    const char *index;  /* "" where none */
    const char *detail; /* bounds, terms, residual filter … as text */
    double estimated_rows;
    double estimated_cost; /* in units of reading one document in order */
    uint64_t actual_rows;  /* when run */
    uint64_t actual_ns;
};
struct polarys_plan {
    const struct polarys_plan_step *steps;
    size_t step_count;
    /* Plans that were weighed and lost: index (or "table_scan") and estimated cost. */
    const struct polarys_plan_step *rejected;
    size_t rejected_count;
    bool was_run;
    uint64_t rows;
    uint64_t total_ns;
};
/* Plans the query and, with `run`, runs it to the end. `each` gets the plan, borrowed for the call. */
POLARYS_API NODISCARD enum polarys_code polarys_query_explain(
    struct polarys_db *db, const struct polarys_query_options *options, bool run,
    bool (*should_stop)(void *context), void *context,
    void (*each)(void *context, const struct polarys_plan *plan), struct polarys_error *err);

/* ---- full-text search ---- */

struct polarys_search_options {
    const char *database;
    const char *table;
    const char *field; /* of a text index; NULL: the table's only text index */
    /* Words (all must occur), "phrases", prefix*, -excluded, OR between words; docs/search.md. */
    struct polarys_slice text;
    struct polarys_slice filter; /* also of the documents found; empty: none */
    const char *const *read_mask;
    size_t read_mask_count;
    uint64_t limit;  /* best first; 0: 100; at most 10,000 */
    uint64_t offset; /* leave out so many of the best; with limit at most 10,000 */
    bool with_highlights;
    /* As polarys_read_options. Beside txn: NEWEST, or what a search of the transaction has read, to go on
     * with at it; CURSOR_EXPIRED where the transaction cannot read it (any more). */
    uint64_t version;
    struct polarys_txn *txn;
    unsigned flags; /* POLARYS_READ_NO_FILL only */
};

struct polarys_search_hit {
    struct polarys_document document;
    double score; /* BM25, k1 = 1.2, b = 0.75 */
    /* Pieces of the fields around what was found, what was found between \x01 and \x02. */
    const char *const *highlights;
    size_t highlight_count;
};
/*
 * Gives the hits in order, best first, equal scores by key; false from `each` stops. Hits are borrowed for the
 * call. *total (may be NULL): how many documents match. Errors: BAD_FILTER (position in `text` or filter),
 * INDEX_NOT_FOUND, INDEX_BUILDING, CANCELLED, those of reads.
 */
POLARYS_API NODISCARD enum polarys_code polarys_search(
    struct polarys_db *db, const struct polarys_search_options *options,
    bool (*should_stop)(void *context),
    bool (*each)(void *context, const struct polarys_search_hit *hit), void *context,
    uint64_t *version, uint64_t *total, struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
