/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans: which way to the documents of a query is likely the cheapest.
 *
 * Invariant: every way gives a superset of the documents that match, each at most once when the executor has
 * told repeats apart; the filter is asked of every document afterwards. So a bad estimate costs time, never a
 * wrong answer. Planning is deterministic: the same input gives the same plan.
 *
 * Arrays. A document has an entry for each element, so two conditions on one field may hold by different
 * elements: `a > 1 AND a < 9` is no range of entries, unless no document has several entries. Where that is
 * known (plan_index.has_several false) ranges have two ends and ranges give an order; else they have one end, and only
 * a whole index, or the part of it under equal leading fields, gives an order.
 */
#ifndef ENGINE_QUERY_PLAN_H
#define ENGINE_QUERY_PLAN_H

#include "engine/index/index.h"
#include "engine/query/filter.h"
#include "engine/query/order.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    PLAN_INDEXES_MAX = 64,
    PLAN_RANGES_MAX = 1000,   /* of one scan: more values of IN than this are left to the filter */
    PLAN_DIVE_MAX = 64,       /* entries that one estimate counts */
    PLAN_DIVE_RANGES_MAX = 8, /* ranges that one estimate looks at */
    PLAN_FEW_ENTRIES = 4,     /* where statistics say so few, nobody counts */
};

/* Costs, in units of reading one document in order. Measured on documents of 200 bytes in memory. */
#define PLAN_COST_ENTRY 0.4
#define PLAN_COST_FETCH 10.0
#define PLAN_COST_KEY_SORT 0.3
#define PLAN_COST_SORT 0.5
#define PLAN_COST_OPEN 2.0 /* of a range */

/* An index that may be used. */
struct plan_index {
    const struct index_definition *definition; /* READY at the version read, hash or ordered */
    bool has_several;                          /* some document may have several entries */
    /* As last gathered; 0: not known. */
    uint64_t entry_count;
    uint64_t distinct_count;
};

/* What the planner goes by. Borrowed for the call and as long as the plan. */
struct plan_input {
    const struct filter *filter;
    const struct filter_node *normal; /* NULL: everything */
    const struct order *order;
    uint64_t limit; /* UINT64_MAX: none */
    const struct plan_index *indexes;
    size_t index_count;
    uint64_t document_count; /* of the table, estimated */
    /* At most one of these: */
    bool must_sort;                  /* rows come from elsewhere too: no source gives the order */
    bool is_table_only;              /* no index */
    const struct plan_index *forced; /* this one, whatever it costs; NULL: choose */
    bool must_keep_key_order;        /* a cursor goes on in the order of keys */
    const struct plan_index *must_keep_index; /* or in that of this index's entries */
    /* Counts the entries in a range, up to `max`. May be NULL. Errors end planning. */
    enum polarys_code (*count)(void *context, const struct index_range *range, uint64_t max,
                               uint64_t *count, struct polarys_error *err);
    /* What statistics say of the entries in a range; negative: nothing. May be NULL. */
    double (*guess)(void *context, const struct plan_index *index, const struct index_range *range);
    void *context;
};

/* Entries of one index, range by range, ascending; no two ranges overlap. */
struct plan_scan {
    const struct plan_index *index;
    struct index_range *ranges;
    size_t range_count;
    size_t range_capacity;
    /* What the ranges stand for; none: the whole index. */
    const struct filter_term *used[2 * INDEX_FIELDS_MAX];
    size_t used_count;
    bool is_exact;  /* with one entry a document: exactly the documents for which `used` holds */
    bool is_point;  /* one value for every field: a document has one entry there at most */
    double entries; /* estimated */
    uint64_t read;  /* the executor's: entries that it came by */
};

enum plan_keys_kind {
    PLAN_KEYS_SCAN,
    PLAN_KEYS_AND,
    PLAN_KEYS_OR,
};

/* A set of document keys: of a scan, or of other sets. Owned by the plan. */
struct plan_keys {
    enum plan_keys_kind kind;
    struct plan_scan *scan; /* SCAN */
    struct plan_keys *first;
    struct plan_keys *next;
    double entries; /* read in all, estimated */
    double rows;    /* keys, estimated */
};

enum plan_kind {
    PLAN_TABLE, /* all documents, in key order */
    PLAN_SCAN,  /* the entries of one index in their order, and each one's document */
    PLAN_KEYS,  /* a set of keys, gathered first, and their documents in key order */
};

/* A plan that was weighed. */
struct plan_candidate {
    enum plan_kind kind;
    const struct plan_index *index; /* SCAN */
    bool gives_order;
    double cost; /* in units of reading one document in order */
    double rows;
};

struct plan {
    enum plan_kind kind;
    bool is_reverse;        /* SCAN */
    bool gives_order;       /* as order_by asks; without an order_by false */
    struct plan_scan *scan; /* SCAN; owned */
    struct plan_keys *keys; /* KEYS; owned */
    double source_rows;     /* documents looked at, estimated */
    double rows;            /* that match, estimated */
    double cost;
    struct plan_candidate *candidates; /* the one chosen too; owned */
    size_t candidate_count;
    size_t candidate_room;
    size_t chosen;
};

/* plan_deinit is to be called on failure too. Errors: NO_MEMORY, those of input->count. */
NODISCARD enum polarys_code plan_make(const struct plan_input *input, struct plan *plan,
                                      struct polarys_error *err);
void plan_deinit(struct plan *plan);
/* The conditions that a scan stands for, as text. Errors: NO_MEMORY. */
NODISCARD enum polarys_code plan_scan_print(const struct plan_scan *scan, struct buffer *to);

#ifdef __cplusplus
}
#endif

#endif
