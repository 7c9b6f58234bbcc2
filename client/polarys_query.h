/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexes, queries and full-text search of libpolarys. docs/query.md describes the language of filters and of
 * searches; an answer is the same with and without indexes.
 *
 * Field paths are names joined by dots; a name with other characters than letters, digits and '_' stands in
 * backticks: "address.city", "`Installed-Size`".
 *
 * Threads: as in polarys.h; a query belongs to one thread at a time.
 */
#ifndef CLIENT_POLARYS_QUERY_H
#define CLIENT_POLARYS_QUERY_H

#include "client/polarys.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    POLARYS_CLIENT_NAME_MAX = 128, /* bytes of a name of a database, table or index */
    POLARYS_CLIENT_INDEX_FIELDS_MAX = 8,
};

/* ---- indexes ---- */

enum polarys_client_index_kind {
    POLARYS_CLIENT_INDEX_KIND_UNKNOWN, /* when asked for: ORDERED */
    POLARYS_CLIENT_INDEX_HASH,         /* equality on all its fields */
    POLARYS_CLIENT_INDEX_ORDERED,      /* equality, ranges, prefixes, order */
    POLARYS_CLIENT_INDEX_TEXT,         /* words, for polarys_client_search */
};

enum polarys_client_index_state {
    POLARYS_CLIENT_INDEX_STATE_UNKNOWN,
    POLARYS_CLIENT_INDEX_BUILDING,
    POLARYS_CLIENT_INDEX_READY,
    POLARYS_CLIENT_INDEX_FAILED, /* `failure` says why; it should be dropped */
};

/* How an index is asked for. Zero-initialise. Borrowed for the call. */
struct polarys_client_index_options {
    const char *database;
    const char *table;
    const char *index; /* its name; NULL: made from fields and kind */
    const char *const *fields;
    size_t field_count;
    enum polarys_client_index_kind kind;
    bool is_unique;
    const char *language; /* text: "english", ... or "none"; NULL: "english" */
    bool waits;           /* returns when it is ready, or has failed */
    uint32_t wait_ms;     /* `waits`: at most so long; 0: no limit */
    enum polarys_client_durability durability;
};

/* An index. What it points to is borrowed for the call that gives it. */
struct polarys_client_index {
    char index[POLARYS_CLIENT_NAME_MAX + 1];
    uint32_t index_id;
    enum polarys_client_index_kind kind;
    enum polarys_client_index_state state;
    bool is_unique;
    size_t field_count;
    const char *const *fields;
    const char *language;
    const char *failure;
    uint64_t created_version;
    uint64_t documents_indexed;   /* BUILDING: so far */
    uint64_t documents_estimated; /* BUILDING: in all */
    uint64_t entry_count;         /* when statistics were gathered last; 0: never */
    uint64_t distinct_count;
};

/*
 * Makes an index. Writes maintain it when this returns; queries use it once it is ready. `name` (room for
 * POLARYS_CLIENT_NAME_MAX + 1 bytes, or NULL) receives its name, also when waiting for it failed.
 * Errors: NOT_FOUND/TABLE_NOT_FOUND, ALREADY_EXISTS/INDEX_EXISTS, INVALID_ARGUMENT/BAD_ARGUMENT; with
 * `waits` also those of polarys_client_index_wait.
 */
POLARYS_CLIENT_API bool polarys_client_index_create(
    struct polarys_client *client, const struct polarys_client_index_options *options, char *name,
    struct polarys_client_result *result, struct polarys_client_error *err);
/* Waits until the index is ready, asking now and then. Errors: NOT_FOUND/INDEX_NOT_FOUND;
 * FAILED_PRECONDITION/INDEX_FAILED with what made it fail; DEADLINE_EXCEEDED/WAIT_TIMEOUT after
 * timeout_ms (0: no limit). */
POLARYS_CLIENT_API bool polarys_client_index_wait(struct polarys_client *client,
                                                  const char *database, const char *table,
                                                  const char *index, uint32_t timeout_ms,
                                                  struct polarys_client_error *err);
/* Errors: NOT_FOUND/TABLE_NOT_FOUND, INDEX_NOT_FOUND. */
POLARYS_CLIENT_API bool polarys_client_index_drop(struct polarys_client *client,
                                                  const char *database, const char *table,
                                                  const char *index,
                                                  struct polarys_client_result *result,
                                                  struct polarys_client_error *err);
/* By name; `each` returns false to stop. */
POLARYS_CLIENT_API bool polarys_client_index_list(
    struct polarys_client *client, const char *database, const char *table,
    bool (*each)(void *context, const struct polarys_client_index *info), void *context,
    struct polarys_client_error *err);

/* Whether an index agrees with the documents: nothing missing, nothing stray. */
struct polarys_client_index_report {
    uint64_t document_count;
    uint64_t entry_count;
    uint64_t missing_count; /* entries that should be there */
    uint64_t stray_count;   /* entries that should not */
    char first_fault[512];  /* says where; "" when there is none */
};
/* Compares one index, or every ready one of the table (`index` NULL, numbers added up), with the documents.
 * What it finds is no error. Errors: NOT_FOUND/INDEX_NOT_FOUND, FAILED_PRECONDITION/INDEX_BUILDING. */
POLARYS_CLIENT_API bool polarys_client_index_check(struct polarys_client *client,
                                                   const char *database, const char *table,
                                                   const char *index,
                                                   struct polarys_client_index_report *check,
                                                   struct polarys_client_error *err);
/* Gathers the statistics that queries are planned by. */
POLARYS_CLIENT_API bool polarys_client_table_analyze(struct polarys_client *client,
                                                     const char *database, const char *table,
                                                     struct polarys_client_error *err);

/* ---- queries ---- */

/* Zero-initialise. */
struct polarys_client_query_options {
    const char *database;
    const char *table;
    const char *filter;        /* NULL or "": every document */
    const char *order_by;      /* "age desc, name"; NULL or "": an order of the server's choosing */
    const char *const *fields; /* paths of the members wanted */
    size_t field_count;        /* 0: whole documents */
    uint64_t limit;            /* 0: none */
    const void *cursor;        /* of an earlier query with the same filter, order and table */
    size_t cursor_size;
    struct polarys_client_read read;
    uint32_t reconnect_ms; /* keeps trying a vanished server for so long; 0: as calls do */
};

struct polarys_client_query;
/* The query reads one version from beginning to end and goes on by itself behind a broken connection. What
 * is wrong with it shows on the first next. Copies what `options` points to, but for read.txn, which must
 * outlive it. */
POLARYS_CLIENT_API bool polarys_client_query_open(
    struct polarys_client *client, const struct polarys_client_query_options *options,
    struct polarys_client_query **out, struct polarys_client_error *err);
/*
 * True with *has_document false is the end. `document` borrows from the query until its next call: not to be
 * freed. After false only close is left.
 * Errors: INVALID_ARGUMENT/BAD_FILTER (metadata "position", "expected"), BAD_ARGUMENT, BAD_PAGE_TOKEN;
 * OUT_OF_RANGE/CURSOR_EXPIRED; RESOURCE_EXHAUSTED/MEMORY_LIMIT (a sort without an index); those of reads.
 */
POLARYS_CLIENT_API bool polarys_client_query_next(struct polarys_client_query *query,
                                                  bool *has_document,
                                                  struct polarys_client_document *document,
                                                  struct polarys_client_error *err);
/* The version that is read; 0 before the first document. */
POLARYS_CLIENT_API uint64_t polarys_client_query_version(const struct polarys_client_query *query);
/* What a later query goes on with behind the last document given, within a minute. NULL with *size 0: there
 * are no more, or the last document given is in the middle of what the server sent at a time. After the end
 * because of `limit` it is there. Borrowed until the next call. */
POLARYS_CLIENT_API const void *polarys_client_query_cursor(const struct polarys_client_query *query,
                                                           size_t *size);
/* Ends it early if need be. Accepts NULL. */
POLARYS_CLIENT_API void polarys_client_query_close(struct polarys_client_query *query);

/* How many documents match, exactly; of `options` only database, table, filter and read count.
 * Errors: as queries; DEADLINE_EXCEEDED/WAIT_TIMEOUT. */
POLARYS_CLIENT_API bool polarys_client_query_count(
    struct polarys_client *client, const struct polarys_client_query_options *options,
    uint64_t *count, struct polarys_client_error *err);

/* One step of a plan, the outermost first; it is fed by those that follow and are one deeper. Strings are
 * owned by the plan. */
struct polarys_client_plan_step {
    uint32_t depth;
    const char
        *operation;    /* "index_scan", "intersect", "table_scan", "fetch", "filter", "sort", ... */
    const char *index; /* "" where none */
    const char *detail; /* bounds, terms, what is left to check: text for people */
    double estimated_rows;
    double estimated_cost; /* 1: reading one document in order */
    uint64_t actual_rows;  /* was_run */
    uint64_t actual_us;    /* was_run; with all that feeds it */
};
/* Free with polarys_client_plan_free. */
struct polarys_client_plan {
    struct polarys_client_plan_step *steps;
    size_t step_count;
    struct polarys_client_plan_step *rejected; /* weighed and costlier, cheapest first */
    size_t rejected_count;
    bool was_run;
    uint64_t rows; /* was_run */
    uint64_t total_us;
};
POLARYS_CLIENT_API void polarys_client_plan_free(struct polarys_client_plan *plan);
/* Tells how a query would be done or, with `runs`, does it to its end and tells how it went. The plan is
 * zeroed on failure. Errors: those of the query; DEADLINE_EXCEEDED/WAIT_TIMEOUT. */
POLARYS_CLIENT_API bool polarys_client_query_explain(
    struct polarys_client *client, const struct polarys_client_query_options *options, bool runs,
    struct polarys_client_plan *plan, struct polarys_client_error *err);

/* ---- full-text search ---- */

/* Zero-initialise. Borrowed for the call. */
struct polarys_client_search_options {
    const char *database;
    const char *table;
    const char *field;  /* of a text index; NULL: that of the table's only text index */
    const char *text;   /* words, "phrases", prefix*, -excluded, OR */
    const char *filter; /* also of the documents found; NULL: none */
    const char *const *fields;
    size_t field_count; /* 0: whole documents */
    uint64_t limit;     /* 0: 100; with offset at most 10,000 */
    uint64_t offset;    /* leave out so many of the best */
    bool with_highlights;
    struct polarys_client_read read;
    uint32_t reconnect_ms; /* as of queries */
};

/* A document that was found; borrowed for the call that gives it. */
struct polarys_client_hit {
    struct polarys_client_document document;
    double score; /* BM25; compares within one answer only */
    /* Pieces of the text around what was found, which stands between \x01 and \x02. */
    const char *const *highlights;
    size_t highlight_count;
};
/*
 * Gives the hits best first, equals by key, all of one version; `each` returns false to stop. Goes on by
 * itself behind a broken connection. *total (may be NULL) is how many documents match in all.
 * Errors: INVALID_ARGUMENT/BAD_FILTER (metadata "position"), NOT_FOUND/INDEX_NOT_FOUND,
 * FAILED_PRECONDITION/INDEX_BUILDING, those of reads.
 */
POLARYS_CLIENT_API bool polarys_client_search(
    struct polarys_client *client, const struct polarys_client_search_options *options,
    bool (*each)(void *context, const struct polarys_client_hit *hit), void *context,
    uint64_t *total, struct polarys_client_error *err);

#ifdef __cplusplus
}
#endif

#endif
