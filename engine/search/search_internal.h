/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of searching share: the form of a parsed search, and the walks over matching documents.
 */
#ifndef ENGINE_SEARCH_SEARCH_INTERNAL_H
#define ENGINE_SEARCH_SEARCH_INTERNAL_H

#include "engine/base/arena.h"
#include "engine/search/search_analysis.h"
#include "engine/search/search_posting.h"
#include "engine/search/search_query.h"

/* ---- search_parse.c ---- */

enum search_node_kind {
    SEARCH_NODE_TERM,
    SEARCH_NODE_PHRASE, /* its terms, one right after the other; two at least */
    SEARCH_NODE_PREFIX,
    SEARCH_NODE_AND, /* one child at least is not excluded */
    SEARCH_NODE_OR,
};

/* Immutable once parsed. Lives in its query's arena. */
struct search_node {
    enum search_node_kind kind;
    bool is_excluded; /* a child of AND: documents that match it do not */
    const struct polarys_slice *terms;
    size_t term_count;
    struct search_node *first; /* child */
    struct search_node *next;  /* sibling */
};

struct search_query {
    struct arena arena;
    struct search_node *root;
    char language[SEARCH_LANGUAGE_BYTES_MAX + 1];
};

/* ---- search_ranges.c ---- */

/* [start, end) of tree keys, in its own memory. */
struct search_range {
    size_t start_size;
    size_t end_size;
    uint8_t start[SEARCH_PREFIX_SIZE + SEARCH_TERM_BYTES_MAX + 1];
    uint8_t end[SEARCH_PREFIX_SIZE + SEARCH_TERM_BYTES_MAX + 1];
};

/* The postings of one term, or of all terms that begin with the prefix. */
void search_range_of_term(uint32_t database_id, uint32_t index_id, struct polarys_slice term,
                          struct search_range *range);
void search_range_of_prefix(uint32_t database_id, uint32_t index_id, struct polarys_slice prefix,
                            struct search_range *range);

static inline struct polarys_slice search_range_start(const struct search_range *range)
{
    return slice_make(range->start, range->start_size);
}

static inline struct polarys_slice search_range_end(const struct search_range *range)
{
    return slice_make(range->end, range->end_size);
}

/* ---- search_postings.c: the documents of one term ---- */

/* What all walks of one run share. */
struct search_walk {
    const struct search_view *view;
    const struct search_options *options;
    struct polarys_error *err;
    uint64_t step_count;
};

/* Counts one entry. Errors: CANCELLED. */
NODISCARD enum polarys_code search_walk_step(struct search_walk *walk);
/* CORRUPT: the index holds what never was written to it. */
enum polarys_code search_walk_fail_corrupt(struct search_walk *walk);
enum polarys_code search_walk_fail_memory(struct search_walk *walk);

/* A walk over one term's postings in id order. Zero-initialise; deinit accepts that. */
struct search_postings {
    struct search_walk *walk;
    struct entry_iterator *iterator;
    bool is_valid;
    struct polarys_slice id;   /* borrowed until the next move */
    struct search_range range; /* its start stands before every id */
};

/* Places it on the first posting. Errors: CANCELLED, CORRUPT, those of the view. */
NODISCARD enum polarys_code search_postings_init(struct search_postings *postings,
                                                 struct search_walk *walk,
                                                 struct polarys_slice term);
void search_postings_deinit(struct search_postings *postings);
/* REQUIRES of the three: is_valid. Errors: as init. */
NODISCARD enum polarys_code search_postings_next(struct search_postings *postings);
/* To the first posting at or after `id`; stays when it is there or beyond. */
NODISCARD enum polarys_code search_postings_seek(struct search_postings *postings,
                                                 struct polarys_slice id);
NODISCARD enum polarys_code search_postings_read(const struct search_postings *postings,
                                                 struct search_posting *posting);

/* ---- search_prefix.c: the documents of all terms that begin alike ---- */

/* One document, its terms taken together. */
struct search_listed {
    struct polarys_slice id;
    struct search_document_head head;
    uint64_t count;
};

/* In id order. Everything it holds lives in its arena. */
struct search_list {
    struct arena arena;
    struct search_listed *items;
    size_t count;
};

/* Errors: MEMORY_LIMIT, CANCELLED, CORRUPT, those of the view. Deinit always. */
NODISCARD enum polarys_code search_list_init(struct search_list *list, struct search_walk *walk,
                                             struct polarys_slice prefix);
void search_list_deinit(struct search_list *list);

/* ---- search_match.c: the documents of a whole search ---- */

/* What a leaf of the search weighs, in order of the search's text. */
struct search_leaf {
    const struct search_node *node;
    double idf;              /* of a phrase: the sum of its terms' */
    uint64_t document_count; /* about how many match */
    struct search_list list; /* PREFIX: what it stands for in the view it was weighed in */
};

/* A node of the search at work in one view. */
struct search_match {
    const struct search_node *node;
    struct search_walk *walk;
    bool is_valid;
    struct polarys_slice id;    /* borrowed until the next move */
    uint64_t document_count;    /* about how many it gives: orders an AND's children */
    struct search_match *first; /* children; of an AND by document_count, the excluded ones last */
    struct search_match *next;
    struct search_match *owner;       /* OR: the child whose id it shows */
    const struct search_leaf *leaf;   /* leaves only; so are all below */
    struct search_postings *postings; /* TERM: one; PHRASE: one a term */
    uint32_t *positions;              /* PHRASE: room for those of two terms */
    uint64_t phrase_count;            /* PHRASE: how often it is in this document */
    const struct search_list *list;   /* PREFIX */
    struct search_list own_list;      /* PREFIX in another view */
    size_t list_at;
};

/* Builds the tree for the node, placed on its first document. *leaf runs over the leaves in order.
 * are_lists_valid: the leaves' lists are of this view. Errors: those of postings and lists, NO_MEMORY. */
NODISCARD enum polarys_code search_match_create(struct search_walk *walk,
                                                const struct search_node *node,
                                                const struct search_leaf **leaf,
                                                bool are_lists_valid, struct search_match **out);
void search_match_destroy(struct search_match *match); /* accepts NULL */
/* REQUIRES of both: is_valid. Errors: as create. */
NODISCARD enum polarys_code search_match_next(struct search_match *match);
/* To the first document at or after `id`; stays when it is there or beyond. */
NODISCARD enum polarys_code search_match_seek(struct search_match *match, struct polarys_slice id);

/* ---- search_statistics.c ---- */

struct search_totals {
    uint64_t document_count;
    uint64_t word_count;
    uint64_t gathered_version; /* 0: counted */
};

/* As gathered, or else counted. */
NODISCARD enum polarys_code search_totals_read(struct search_walk *walk,
                                               struct search_totals *totals);
/* How many documents hold the term: as gathered, or else counted. */
NODISCARD enum polarys_code search_frequency_read(struct search_walk *walk,
                                                  struct polarys_slice term, uint64_t *frequency);

#endif
