/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of keys for a condition: an OR is the union of the sets of all its branches, an AND the smallest set
 * that any part of it gives, or the intersection of two where that saves reading documents.
 */
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/query/plan_internal.h"

void plan_keys_destroy(struct plan_keys *keys)
{
    while (keys != NULL) {
        struct plan_keys *next = keys->next;
        plan_scan_destroy(keys->scan);
        plan_keys_destroy(keys->first);
        free(keys);
        keys = next;
    }
}

double plan_keys_cost(const struct plan_keys *keys)
{
    return keys->entries * (PLAN_COST_ENTRY + PLAN_COST_KEY_SORT) + keys->rows * PLAN_COST_FETCH;
}

/* The node's first condition, or the first of an AND; its siblings follow. */
static const struct filter_node *terms_first(const struct filter_node *node)
{
    return node != NULL && node->kind == FILTER_AND ? node->first : node;
}

struct plan_terms *plan_terms_create(const struct filter_node *node)
{
    bool has_siblings = node != NULL && node->kind == FILTER_AND;
    size_t count = 0;
    for (const struct filter_node *each = terms_first(node); each != NULL;
         each = has_siblings ? each->next : NULL) {
        count++;
    }
    POLARYS_ASSERT(count <= FILTER_TERMS_MAX);
    struct plan_terms *terms = malloc(sizeof(*terms) + count * sizeof(terms->list[0]));
    if (terms == NULL) {
        return NULL;
    }
    terms->count = 0;
    for (const struct filter_node *each = terms_first(node); each != NULL;
         each = has_siblings ? each->next : NULL) {
        if (each->kind == FILTER_TERM) {
            terms->list[terms->count++] = each->term;
        }
    }
    return terms;
}

static struct plan_keys *keys_create(enum plan_keys_kind kind)
{
    struct plan_keys *keys = calloc(1, sizeof(*keys));
    if (keys != NULL) {
        keys->kind = kind;
    }
    return keys;
}

/* Takes the scan over, on failure too. */
static enum polarys_code keys_of_scan(struct plan_scan *take_scan, struct plan_keys **out)
{
    *out = keys_create(PLAN_KEYS_SCAN);
    if (*out == NULL) {
        plan_scan_destroy(take_scan);
        return POLARYS_NO_MEMORY;
    }
    (*out)->scan = take_scan;
    (*out)->rows = take_scan->entries;
    (*out)->entries =
        take_scan->entries + (double)take_scan->range_count * PLAN_COST_OPEN / PLAN_COST_ENTRY;
    return POLARYS_OK;
}

/* The sets that parts of an AND give, the cheapest first. */
struct choices {
    struct plan_keys *list[PLAN_INDEXES_MAX + 8];
    size_t count;
};

enum { CHOICES_MAX = PLAN_INDEXES_MAX + 8 };

/* Keeps them in order; the dearest goes when there are too many. */
static void choices_add(struct choices *choices, struct plan_keys *take_keys)
{
    if (take_keys == NULL) {
        return;
    }
    if (choices->count == CHOICES_MAX) {
        plan_keys_destroy(choices->list[--choices->count]);
    }
    size_t at = choices->count++;
    while (at > 0 && plan_keys_cost(choices->list[at - 1]) > plan_keys_cost(take_keys)) {
        choices->list[at] = choices->list[at - 1];
        at--;
    }
    choices->list[at] = take_keys;
}

/* Those of the indexes, for the single conditions of the AND. */
static enum polarys_code choices_of_indexes(struct planner *planner, const struct plan_terms *terms,
                                            struct choices *choices)
{
    const struct plan_input *input = planner->input;
    for (size_t i = 0; i < input->index_count && terms->count > 0; i++) {
        struct plan_wish wish = {.index = &input->indexes[i]};
        struct plan_scan *scan = NULL;
        struct plan_keys *keys = NULL;
        if (input->forced != NULL && input->forced != wish.index) {
            continue;
        }
        enum polarys_code code = plan_scan_make(planner, terms, &wish, &scan);
        if (code == POLARYS_OK && scan != NULL) {
            code = keys_of_scan(scan, &keys);
        }
        if (code != POLARYS_OK) {
            return code;
        }
        choices_add(choices, keys);
    }
    return POLARYS_OK;
}

static enum polarys_code choices_of_unions(struct planner *planner, const struct filter_node *node,
                                           struct choices *choices)
{
    if (node->kind != FILTER_AND) {
        return POLARYS_OK;
    }
    for (const struct filter_node *each = node->first; each != NULL; each = each->next) {
        struct plan_keys *keys = NULL;
        if (each->kind != FILTER_OR) {
            continue;
        }
        enum polarys_code code = plan_keys_make(planner, each, &keys);
        if (code != POLARYS_OK) {
            return code;
        }
        choices_add(choices, keys);
    }
    return POLARYS_OK;
}

/* True when some condition stands behind both: then nothing is known of what they share. */
static bool is_overlapping(const struct plan_keys *a, const struct plan_keys *b)
{
    if (a->kind != PLAN_KEYS_SCAN || b->kind != PLAN_KEYS_SCAN) {
        return false;
    }
    for (size_t i = 0; i < a->scan->used_count; i++) {
        for (size_t j = 0; j < b->scan->used_count; j++) {
            if (a->scan->used[i]->field == b->scan->used[j]->field) {
                return true;
            }
        }
    }
    return false;
}

/* The two cheapest together, where that is cheaper still. */
static enum polarys_code choices_intersect(struct planner *planner, struct choices *choices)
{
    double total = (double)planner->input->document_count;
    for (size_t i = 1; i < choices->count && total > 0; i++) {
        struct plan_keys *a = choices->list[0];
        struct plan_keys *b = choices->list[i];
        struct plan_keys both = {.entries = a->entries + b->entries,
                                 .rows = a->rows * b->rows / total};
        /* Whoever asks for both likely expects something: one document at least. */
        both.rows = both.rows < 1 && a->rows >= 1 ? 1 : both.rows;
        if (is_overlapping(a, b) || plan_keys_cost(&both) >= plan_keys_cost(a)) {
            continue;
        }
        struct plan_keys *keys = keys_create(PLAN_KEYS_AND);
        if (keys == NULL) {
            return POLARYS_NO_MEMORY;
        }
        keys->entries = both.entries;
        keys->rows = both.rows;
        keys->first = a;
        a->next = b;
        choices->list[0] = keys;
        choices->count--;
        memmove(&choices->list[i], &choices->list[i + 1],
                (choices->count - i) * sizeof(choices->list[0]));
        return POLARYS_OK;
    }
    return POLARYS_OK;
}

/* An AND, or a single condition. */
static enum polarys_code all_make(struct planner *planner, const struct filter_node *node,
                                  struct plan_keys **out)
{
    struct choices choices = {.count = 0};
    struct plan_terms *terms = plan_terms_create(node);
    enum polarys_code code =
        terms == NULL ? POLARYS_NO_MEMORY : choices_of_indexes(planner, terms, &choices);
    if (code == POLARYS_OK) {
        code = choices_of_unions(planner, node, &choices);
    }
    if (code == POLARYS_OK) {
        code = choices_intersect(planner, &choices);
    }
    free(terms);
    size_t kept = code == POLARYS_OK && choices.count > 0 ? 1 : 0;
    *out = kept > 0 ? choices.list[0] : NULL;
    for (size_t i = kept; i < choices.count; i++) {
        plan_keys_destroy(choices.list[i]);
    }
    return code;
}

static enum polarys_code any_make(struct planner *planner, const struct filter_node *node,
                                  struct plan_keys **out)
{
    struct plan_keys *keys = keys_create(PLAN_KEYS_OR);
    *out = NULL;
    if (keys == NULL) {
        return POLARYS_NO_MEMORY;
    }
    struct plan_keys **end = &keys->first;
    for (const struct filter_node *each = node->first; each != NULL; each = each->next) {
        enum polarys_code code = plan_keys_make(planner, each, end);
        if (code != POLARYS_OK || *end == NULL) {
            plan_keys_destroy(keys);
            return code;
        }
        keys->entries += (*end)->entries;
        keys->rows += (*end)->rows;
        end = &(*end)->next;
    }
    *out = keys;
    return POLARYS_OK;
}

enum polarys_code plan_keys_make(struct planner *planner, const struct filter_node *node,
                                 struct plan_keys **out)
{
    *out = NULL;
    switch (node->kind) {
    case FILTER_NOT:
        return POLARYS_OK;
    case FILTER_OR:
        return any_make(planner, node, out);
    default:
        return all_make(planner, node, out);
    }
}
