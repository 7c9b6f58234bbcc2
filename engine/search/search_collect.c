/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole search: weighs its leaves, takes in the documents that match, and keeps the best.
 *
 * Scores are Okapi BM25 with k1 = 1.2 and b = 0.75 (Robertson and Zaragoza, The Probabilistic Relevance
 * Framework, 2009), with the idf that is never negative: ln(1 + (N - n + 0.5) / (n + 0.5)).
 *
 * Invariant: the heap holds the best of what was taken in, its worst on top; scores are summed in the order
 * of the search's text, so that they come out alike whatever the walk's order.
 */
#include "engine/search/search_internal.h"

#include <math.h>
#include <stdlib.h>

#include "engine/base/assert.h"

#define BM25_K1 1.2
#define BM25_B 0.75

/* One of the best. */
struct kept {
    double score;
    struct buffer key;
};

struct search_collector {
    const struct search_query *query;
    struct search_options options;
    struct search_view weighed_view; /* the view of the leaves' lists */
    struct search_leaf *leaves;
    size_t leaf_count;
    struct search_basis basis;
    double average_length;
    double *contributions; /* one a leaf, of the document at hand */
    uint64_t total;
    struct kept *heap; /* the worst first */
    size_t heap_count;
    struct search_top *tops;
    bool is_finished;
};

/* ---- weighing ---- */

static size_t leaves_count(const struct search_node *node)
{
    if (node->first == NULL) {
        return 1;
    }
    size_t count = 0;
    for (const struct search_node *child = node->first; child != NULL; child = child->next) {
        count += leaves_count(child);
    }
    return count;
}

static void leaves_note(const struct search_node *node, struct search_leaf **leaf)
{
    if (node->first == NULL) {
        *(*leaf)++ = (struct search_leaf){.node = node};
    }
    for (const struct search_node *child = node->first; child != NULL; child = child->next) {
        leaves_note(child, leaf);
    }
}

static double idf_of(uint64_t document_count, uint64_t frequency)
{
    /* What was gathered apart may disagree. */
    double all = (double)(document_count > frequency ? document_count : frequency);
    double some = (double)frequency;
    return log(1.0 + (all - some + 0.5) / (some + 0.5));
}

static enum polarys_code leaf_weigh(struct search_leaf *leaf, struct search_walk *walk,
                                    const struct search_totals *totals)
{
    const struct search_node *node = leaf->node;
    if (node->kind == SEARCH_NODE_PREFIX) {
        enum polarys_code code = search_list_init(&leaf->list, walk, node->terms[0]);
        leaf->document_count = leaf->list.count;
        leaf->idf = idf_of(totals->document_count, leaf->list.count);
        return code;
    }
    leaf->document_count = UINT64_MAX;
    for (size_t i = 0; i < node->term_count; i++) {
        uint64_t frequency;
        enum polarys_code code = search_frequency_read(walk, node->terms[i], &frequency);
        if (code != POLARYS_OK) {
            return code;
        }
        leaf->idf += idf_of(totals->document_count, frequency);
        if (frequency < leaf->document_count) {
            leaf->document_count = frequency;
        }
    }
    return POLARYS_OK;
}

static enum polarys_code collector_weigh(struct search_collector *collector,
                                         struct search_walk *walk)
{
    struct search_totals totals = {0};
    enum polarys_code code = search_totals_read(walk, &totals);
    for (size_t i = 0; i < collector->leaf_count && code == POLARYS_OK; i++) {
        code = leaf_weigh(&collector->leaves[i], walk, &totals);
    }
    collector->basis.document_count = totals.document_count;
    collector->basis.gathered_version = totals.gathered_version;
    if (code == POLARYS_OK && totals.document_count > 0) {
        collector->average_length = (double)totals.word_count / (double)totals.document_count;
    }
    return code;
}

/* ---- life ---- */

enum polarys_code search_collector_create(const struct search_query *query,
                                          const struct search_options *options,
                                          const struct search_view *view,
                                          struct search_collector **out, struct polarys_error *err)
{
    POLARYS_ASSERT(options->top_max > 0 && options->top_max <= SEARCH_TOP_MAX);
    *out = NULL;
    enum polarys_code code = POLARYS_NO_MEMORY;
    struct search_collector *collector = calloc(1, sizeof(*collector));
    if (collector == NULL) {
        goto fail;
    }
    collector->query = query;
    collector->options = *options;
    collector->weighed_view = *view;
    collector->average_length = 1.0;
    collector->leaf_count = leaves_count(query->root);
    collector->leaves = calloc(collector->leaf_count, sizeof(*collector->leaves));
    collector->contributions = calloc(collector->leaf_count, sizeof(double));
    collector->heap = calloc(options->top_max, sizeof(*collector->heap));
    collector->tops = calloc(options->top_max, sizeof(*collector->tops));
    if (collector->leaves == NULL || collector->contributions == NULL || collector->heap == NULL ||
        collector->tops == NULL) {
        goto fail;
    }
    struct search_leaf *leaf = collector->leaves;
    leaves_note(query->root, &leaf);
    struct search_walk walk = {.view = view, .options = &collector->options, .err = err};
    code = collector_weigh(collector, &walk);
    if (code != POLARYS_OK) {
        search_collector_destroy(collector);
        return code;
    }
    *out = collector;
    return POLARYS_OK;

fail:
    search_collector_destroy(collector);
    return polarys_fail(err, code, "no memory for a search");
}

void search_collector_destroy(struct search_collector *collector)
{
    if (collector == NULL) {
        return;
    }
    for (size_t i = 0; collector->leaves != NULL && i < collector->leaf_count; i++) {
        search_list_deinit(&collector->leaves[i].list);
    }
    for (size_t i = 0; collector->heap != NULL && i < collector->options.top_max; i++) {
        buffer_deinit(&collector->heap[i].key);
    }
    free(collector->leaves);
    free(collector->contributions);
    free(collector->heap);
    free(collector->tops);
    free(collector);
}

/* ---- scores ---- */

/* A document that matches, as its leaves tell of it. */
struct matched {
    struct search_collector *collector;
    struct polarys_slice id;
    struct search_document_head head;
    bool has_head;
};

static double bm25(const struct search_collector *collector, double idf, double count,
                   double length)
{
    double norm = 1.0 - BM25_B + BM25_B * length / collector->average_length;
    return idf * count * (BM25_K1 + 1.0) / (count + BM25_K1 * norm);
}

static enum polarys_code leaf_score(const struct search_match *match, struct matched *matched)
{
    struct search_document_head head;
    uint64_t count;
    if (match->node->kind == SEARCH_NODE_PREFIX) {
        const struct search_listed *listed = &match->list->items[match->list_at];
        head = listed->head;
        count = listed->count;
    } else {
        struct search_posting posting;
        enum polarys_code code = search_postings_read(&match->postings[0], &posting);
        if (code != POLARYS_OK) {
            return code;
        }
        head = posting.head;
        count = match->node->kind == SEARCH_NODE_TERM ? posting.count : match->phrase_count;
    }
    size_t index = (size_t)(match->leaf - matched->collector->leaves);
    matched->collector->contributions[index] =
        bm25(matched->collector, match->leaf->idf, (double)count, (double)head.length);
    matched->head = head;
    matched->has_head = true;
    return POLARYS_OK;
}

/* Scores every leaf that stands on the document and is not excluded. */
static enum polarys_code match_score(const struct search_match *match, struct matched *matched)
{
    if (match->node->is_excluded || !match->is_valid || !slice_equal(match->id, matched->id)) {
        return POLARYS_OK;
    }
    if (match->node->first == NULL) {
        return leaf_score(match, matched);
    }
    enum polarys_code code = POLARYS_OK;
    for (const struct search_match *child = match->first; child != NULL && code == POLARYS_OK;
         child = child->next) {
        code = match_score(child, matched);
    }
    return code;
}

/* ---- the best ---- */

/* Whether (score, key) comes after `kept` in the order of results. */
static bool is_worse(double score, struct polarys_slice key, const struct kept *kept)
{
    if (score != kept->score) {
        return score < kept->score;
    }
    return slice_compare(key, buffer_slice(&kept->key)) > 0;
}

static bool kept_is_worse(const struct kept *a, const struct kept *b)
{
    return is_worse(a->score, buffer_slice(&a->key), b);
}

static void heap_swap(struct kept *a, struct kept *b)
{
    struct kept kept = *a;
    *a = *b;
    *b = kept;
}

static void heap_rise(struct kept *heap, size_t at)
{
    while (at > 0 && kept_is_worse(&heap[at], &heap[(at - 1) / 2])) {
        heap_swap(&heap[at], &heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

static void heap_sink(struct kept *heap, size_t count, size_t at)
{
    for (;;) {
        size_t worst = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++) {
            worst = kept_is_worse(&heap[child], &heap[worst]) ? child : worst;
        }
        if (worst == at) {
            return;
        }
        heap_swap(&heap[at], &heap[worst]);
        at = worst;
    }
}

static enum polarys_code heap_offer(struct search_collector *collector, double score,
                                    struct polarys_slice key)
{
    bool is_full = collector->heap_count == collector->options.top_max;
    if (is_full && is_worse(score, key, &collector->heap[0])) {
        return POLARYS_OK;
    }
    size_t at = is_full ? 0 : collector->heap_count;
    struct kept *kept = &collector->heap[at];
    buffer_clear(&kept->key);
    if (buffer_append_slice(&kept->key, key) != POLARYS_OK) {
        return POLARYS_NO_MEMORY;
    }
    kept->score = score;
    if (is_full) {
        heap_sink(collector->heap, collector->heap_count, 0);
    } else {
        collector->heap_count++;
        heap_rise(collector->heap, at);
    }
    return POLARYS_OK;
}

/* ---- taking in ---- */

static enum polarys_code document_take(struct search_collector *collector,
                                       const struct search_match *match, struct search_walk *walk)
{
    struct matched matched = {.collector = collector, .id = match->id};
    memset(collector->contributions, 0, collector->leaf_count * sizeof(double));
    enum polarys_code code = match_score(match, &matched);
    if (code != POLARYS_OK) {
        return code;
    }
    POLARYS_ASSERT(matched.has_head);
    if (matched.head.expires_at_ms != 0 &&
        matched.head.expires_at_ms <= collector->options.judged_ms) {
        return POLARYS_OK;
    }
    struct polarys_slice key =
        matched.head.document_key.size > 0 ? matched.head.document_key : matched.id;
    bool is_accepted = true;
    if (collector->options.accept != NULL) {
        code = collector->options.accept(collector->options.context, key, &is_accepted, walk->err);
    }
    if (code != POLARYS_OK || !is_accepted) {
        return code;
    }
    double score = 0.0;
    for (size_t i = 0; i < collector->leaf_count; i++) {
        score += collector->contributions[i];
    }
    collector->total++;
    code = heap_offer(collector, score, key);
    return code == POLARYS_OK ? code : search_walk_fail_memory(walk);
}

enum polarys_code search_collector_run(struct search_collector *collector,
                                       const struct search_view *view, struct polarys_error *err)
{
    POLARYS_ASSERT(!collector->is_finished);
    struct search_walk walk = {.view = view, .options = &collector->options, .err = err};
    bool are_lists_valid = view->iterate == collector->weighed_view.iterate &&
                           view->context == collector->weighed_view.context;
    const struct search_leaf *leaf = collector->leaves;
    struct search_match *match;
    enum polarys_code code =
        search_match_create(&walk, collector->query->root, &leaf, are_lists_valid, &match);
    while (code == POLARYS_OK && match->is_valid) {
        code = document_take(collector, match, &walk);
        if (code == POLARYS_OK) {
            code = search_match_next(match);
        }
    }
    search_match_destroy(match);
    return code;
}

size_t search_collector_finish(struct search_collector *collector, const struct search_top **tops)
{
    /* Heap sort: the worst goes to the end, again and again. */
    for (size_t count = collector->is_finished ? 0 : collector->heap_count; count > 1; count--) {
        heap_swap(&collector->heap[0], &collector->heap[count - 1]);
        heap_sink(collector->heap, count - 1, 0);
    }
    collector->is_finished = true;
    for (size_t i = 0; i < collector->heap_count; i++) {
        collector->tops[i].document_key = buffer_slice(&collector->heap[i].key);
        collector->tops[i].score = collector->heap[i].score;
    }
    *tops = collector->tops;
    return collector->heap_count;
}

uint64_t search_collector_total(const struct search_collector *collector)
{
    return collector->total;
}

struct search_basis search_collector_basis(const struct search_collector *collector)
{
    return collector->basis;
}
