/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files that serve polarys_search share.
 *
 * Invariant: everything of one search is read at one version and judged at one moment. The entries of the
 * index say who matches; documents are read for what is shown, and where a filter asks.
 */
#ifndef ENGINE_SEARCH_REQUEST_H
#define ENGINE_SEARCH_REQUEST_H

#include "engine/document/json_mask.h"
#include "engine/engine_internal.h"
#include "engine/engine_query.h"
#include "engine/query/evaluate.h"
#include "engine/search/search_query.h"
#include "engine/txn_statement.h"

enum {
    SEARCH_LIMIT_DEFAULT = 100,
    /* Statistics: below so many documents all is counted each time. */
    SEARCH_GATHER_DOCUMENTS_MIN = 2000,
};

/* The time between two gatherings that searches ask for. */
#define SEARCH_GATHER_INTERVAL_NS UINT64_C(10000000000)

struct search_request {
    struct polarys_db *db;
    const struct polarys_search_options *options;
    bool (*should_stop)(void *context);
    bool (*each)(void *context, const struct polarys_search_hit *hit);
    void *context;

    uint32_t database_id;
    uint32_t table_id;
    struct index_definition *index; /* referenced */
    uint64_t catalog_version;       /* of the catalogue that the index was found in */
    struct search_query *query;
    struct filter *filter; /* NULL: none; so are the next two */
    struct evaluator *evaluator;
    struct evaluation *evaluation;
    struct json_mask *mask; /* NULL: whole documents */
    uint64_t limit;

    uint64_t snapshot;
    uint64_t judged_ms;
    uint64_t lease_id; /* 0: the statement keeps the version */
    uint64_t leased_ns;
    struct txn_statement statement; /* zero outside of transactions */
    struct txn_view *own;           /* what the transaction wrote in the table; NULL: nothing */
    bool is_own_turn;               /* the transaction's own documents come by */

    struct search_collector *collector;
    struct tree_value fetched; /* keeps the document at hand alive */
    struct buffer masked;
    struct buffer pieces; /* highlights */
};

/* A document as the search sees it. Borrowed until the next fetch. */
struct search_document {
    struct polarys_slice key;
    struct stored_value stored;
    uint64_t version; /* 0: the transaction's own */
};

/* ---- search_open.c ---- */

/* Everything up to the version to read. `request` has db, options and callbacks. Close it in any case. */
NODISCARD enum polarys_code search_request_open(struct search_request *request,
                                                struct polarys_error *err);
void search_request_close(struct search_request *request);

/* ---- search_show.c ---- */

/* Errors: CORRUPT when the index names a document that is not there, those of reads. */
NODISCARD enum polarys_code search_request_fetch(struct search_request *request,
                                                 struct polarys_slice key,
                                                 struct search_document *document,
                                                 struct polarys_error *err);
/* Gives the hits to the caller. */
NODISCARD enum polarys_code search_request_show(struct search_request *request,
                                                struct polarys_error *err);

/* ---- search_gather.c ---- */

/* After a search: has the statistics gathered in the background where they are missing or old. */
void search_gather_consider(const struct search_request *request);
/* Gathers them in the calling thread. REQUIRES: a text index, `err`. Errors: TXN_CONFLICT (the index was
 * changed meanwhile, or somebody else gathered), CANCELLED (the store is being closed), those of reads. */
NODISCARD enum polarys_code search_gather_now(struct polarys_db *db, struct index_definition *index,
                                              struct polarys_error *err);

#endif
