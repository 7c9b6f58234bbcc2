/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the query executor share.
 *
 * A query is a source of rows (a walk over the table, or over an index), a filter that every row has to pass
 * whatever the source has left out, and, where the source does not give the order asked for, a sorter.
 *
 * Invariant: everything is judged as of one version and one moment of expiry, which a cursor carries on. The
 * order of the documents given is total, so the key of the last one says where a query was.
 */
#ifndef ENGINE_QUERY_INTERNAL_H
#define ENGINE_QUERY_INTERNAL_H

#include "engine/document/json_mask.h"
#include "engine/engine_internal.h"
#include "engine/engine_query.h"
#include "engine/index_statistics.h"
#include "engine/query/evaluate.h"
#include "engine/query/plan.h"
#include "engine/txn_statement.h"

enum {
    QUERY_STOP_INTERVAL = 64,  /* rows between questions whether to stop */
    QUERY_SAMPLE_MAX = 64,     /* documents that the size of a table is judged by */
    QUERY_ENTRY_OVERHEAD = 32, /* bytes that an entry takes beside key and value */
};

/* A document on its way. Borrowed from the source until its next row. */
struct query_row {
    struct polarys_slice key;    /* of the document */
    struct polarys_slice stored; /* as the tree has it */
    uint64_t version;
    struct stored_value value; /* decoded */
};

/* Where rows come from. */
struct query_source {
    const struct query_source_vtable *vtable;
};

struct query_source_vtable {
    /* The next row, expired ones and ones that do not match included, none twice. */
    enum polarys_code (*next)(struct query_source *source, struct query_row *row, bool *has_row,
                              struct polarys_error *err);
    void (*destroy)(struct query_source *source);
};

static inline void query_source_destroy(struct query_source *source)
{
    if (source != NULL) {
        source->vtable->destroy(source);
    }
}

/* What kind of order rows come in; kept by cursors. */
enum query_class {
    QUERY_BY_KEY = 1,   /* of the documents' keys */
    QUERY_BY_INDEX = 2, /* of the first entries that the documents have in an index */
    QUERY_BY_ORDER = 3, /* as order_by asks */
};

/* Where an earlier query was. */
struct query_position {
    bool is_given;
    enum query_class class;
    uint32_t index_id; /* BY_INDEX */
    bool is_in_overlay;
    bool is_past_any; /* some document was given: `key` is its key */
    struct buffer key;
};

/* Asks whether to go on. */
struct query_stop {
    bool (*should_stop)(void *context);
    void *context;
    unsigned count;
};

struct query_sorter;

/* What a query has done. */
struct query_figures {
    uint64_t looked;  /* documents that the source gave */
    uint64_t fetched; /* documents that were looked up by key */
    uint64_t matched;
    uint64_t source_ns;
    uint64_t filter_ns;
    uint64_t total_ns;
};

struct polarys_query {
    struct polarys_db *db;
    uint32_t database_id;
    uint32_t table_id;
    uint8_t prefix[TREE_KEY_PREFIX_SIZE];
    unsigned flags; /* polarys_read_flags */
    uint64_t limit; /* UINT64_MAX: none */
    uint64_t memory_max;

    struct buffer order_text; /* `order` borrows from it */
    struct filter *filter;
    struct filter_node *normal; /* of the filter; NULL: everything */
    struct order order;
    struct evaluator *evaluator;
    struct evaluation *evaluation;
    struct json_mask *mask; /* NULL: whole documents */
    uint64_t hash;          /* of what a cursor has to agree with */

    uint64_t snapshot;
    uint64_t judged_ms; /* documents that expire at it or before are not seen */
    uint64_t lease_id;  /* 0: the statement keeps the version */
    uint64_t leased_ns;
    bool is_at_end;  /* it has given everything: nobody comes back for more */
    bool has_cursor; /* one was given out: the version is to outlive the query */

    struct txn_statement statement; /* of a transaction; all zero outside of any */
    struct txn_view *view;          /* what it wrote in the table; NULL: nothing */
    bool is_in_view;                /* the tree has given everything, the view is next */
    size_t view_at;                 /* its next entry */
    bool is_row_in_view;            /* the last row came from there */

    struct plan_index *indexes;           /* that may be of use; a reference to each definition */
    struct index_statistics **statistics; /* of them; a reference each, or NULL */
    size_t index_count;
    struct plan plan;
    enum query_class class;
    uint32_t index_id;
    struct query_source *source;
    struct query_sorter *sorter; /* NULL: rows come in order */
    bool is_sorted;              /* the sorter has everything */
    struct query_position from;  /* of the cursor that it goes on from */

    struct query_figures figures;
    bool is_timed;              /* explain: figures hold times too */
    uint64_t given;             /* documents */
    struct query_position last; /* the document given last */
    struct tree_value fetched;  /* what keeps the row alive */
    struct buffer tree_key;     /* work */
    struct buffer masked;
    struct buffer cursor;
    uint64_t timed_version; /* commit time of a version, asked once for runs of it */
    uint64_t timed_ms;
    struct query_stop stop;
};

/* ---- query_source.c ---- */

/* All documents of the table in key order, behind the position if there is one. */
NODISCARD enum polarys_code query_table_source_open(struct polarys_query *query,
                                                    struct polarys_slice after,
                                                    struct query_source **out,
                                                    struct polarys_error *err);
/* The document of a key as of the query's version, expired or not. KEY_NOT_FOUND has no message. Borrowed
 * until the next fetch. */
NODISCARD enum polarys_code query_fetch(struct polarys_query *query, struct polarys_slice key,
                                        struct query_row *row, struct polarys_error *err);

/* ---- query_plan.c ---- */

/* Fills plan, class and index_id. Errors: INDEX_NOT_FOUND, INDEX_BUILDING, BAD_ARGUMENT (use_index),
 * CURSOR_EXPIRED (the cursor's index is gone), those of reads. */
NODISCARD enum polarys_code query_plan_make(struct polarys_query *query,
                                            const struct polarys_query_options *options,
                                            struct polarys_error *err);
void query_plan_deinit(struct polarys_query *query);

/* ---- query_source_index.c ---- */

/* The documents of the plan's scan, each at its first entry, behind the position if there is one. */
NODISCARD enum polarys_code query_index_source_open(struct polarys_query *query,
                                                    struct polarys_slice after,
                                                    struct query_source **out,
                                                    struct polarys_error *err);
/* A walk over the entries of one range, at its first one (last one). Errors: those of the tree. */
NODISCARD enum polarys_code query_range_open(struct polarys_query *query,
                                             struct polarys_slice start, struct polarys_slice end,
                                             bool is_reverse, struct entry_iterator **out,
                                             struct polarys_error *err);

/* ---- query_source_keys.c ---- */

/* Gathers the plan's keys; their documents in key order, behind the position if there is one. Errors: also
 * MEMORY_LIMIT, CANCELLED. */
NODISCARD enum polarys_code query_keys_source_open(struct polarys_query *query,
                                                   struct polarys_slice after,
                                                   struct query_source **out,
                                                   struct polarys_error *err);

/* ---- query_run.c ---- */

/* The next row that is live and matches, from source or sorter. Errors: CANCELLED, MEMORY_LIMIT, those of
 * reads. */
NODISCARD enum polarys_code query_run_next(struct polarys_query *query, struct query_row *row,
                                           bool *has_row, struct polarys_error *err);
bool query_is_live(const struct polarys_query *query, const struct query_row *row);

/* ---- query_txn.c ---- */

/* Begins a statement of the transaction (NULL: of none). Errors: those of txn_statement_begin, BAD_ARGUMENT. */
NODISCARD enum polarys_code query_txn_begin(struct polarys_query *query, struct polarys_txn *txn,
                                            struct polarys_error *err);
void query_txn_end(struct polarys_query *query);
/* Tells the transaction of all that the source will look at. */
NODISCARD enum polarys_code query_txn_note_source(struct polarys_query *query,
                                                  struct polarys_error *err);
/* Notes a row of the tree as read; *is_hidden: the transaction wrote or deleted it. */
NODISCARD enum polarys_code query_txn_judge(struct polarys_query *query,
                                            const struct query_row *row, bool *is_hidden,
                                            struct polarys_error *err);
/* The next document that the transaction wrote. */
NODISCARD enum polarys_code query_txn_next(struct polarys_query *query, struct query_row *row,
                                           bool *has_row, struct polarys_error *err);
/* As query_fetch, of the document as the transaction sees it. */
NODISCARD enum polarys_code query_fetch_seen(struct polarys_query *query, struct polarys_slice key,
                                             struct query_row *row, struct polarys_error *err);

/* ---- query_sort.c ---- */

/* limit: rows that are kept at most, the first in order. Errors: NO_MEMORY. */
NODISCARD enum polarys_code query_sorter_create(uint64_t limit, uint64_t memory_max,
                                                bool is_key_descending, struct query_sorter **out);
void query_sorter_destroy(struct query_sorter *sorter); /* accepts NULL */
/* Rows up to and with this place are not to be kept. Copies. Errors: NO_MEMORY. */
NODISCARD enum polarys_code query_sorter_begin_after(struct query_sorter *sorter,
                                                     struct polarys_slice sort_key,
                                                     struct polarys_slice key);
/* Copies. Errors: NO_MEMORY; MEMORY_LIMIT without a message. */
NODISCARD enum polarys_code query_sorter_add(struct query_sorter *sorter,
                                             struct polarys_slice sort_key,
                                             struct polarys_slice key);
void query_sorter_finish(struct query_sorter *sorter);
/* The keys in order; false at the end. Borrowed until the next call. REQUIRES: finished. */
bool query_sorter_next(struct query_sorter *sorter, struct polarys_slice *key);

/* ---- query_cursor.c ---- */

/* The position that a cursor names, with version and moment. Errors: BAD_PAGE_TOKEN. */
NODISCARD enum polarys_code query_cursor_decode(struct polarys_query *query,
                                                struct polarys_slice cursor,
                                                struct polarys_error *err);
NODISCARD enum polarys_code query_cursor_encode(struct polarys_query *query);

/* ---- query_open.c ---- */

/* Everything of polarys_query_open but what MEMORY_ONLY forbids. */
/* Lets go of the source; the next row is looked for behind the document given last. REQUIRES: no sorter, no
 * transaction. */
NODISCARD enum polarys_code query_rewind(struct polarys_query *query, struct polarys_error *err);
NODISCARD enum polarys_code query_create(struct polarys_db *db,
                                         const struct polarys_query_options *options,
                                         struct polarys_query **out, struct polarys_error *err);
/* Opens the source that the plan names: with the first row wanted, since it may read much. */
NODISCARD enum polarys_code query_source_open(struct polarys_query *query,
                                              struct polarys_error *err);
/* Asks should_stop now and then, and keeps lease and transaction. Errors: CANCELLED, TXN_NOT_FOUND. */
NODISCARD enum polarys_code query_stop_ask(struct polarys_query *query, struct polarys_error *err);

#endif
