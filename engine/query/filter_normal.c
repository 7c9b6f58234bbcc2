/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The normal form of a filter, for planning: NOT stands before single terms only, an AND holds no AND and
 * an OR no OR. De Morgan's laws keep the meaning exactly: NOT of a term stays NOT of that term, since
 * `NOT a < 5` is not `a >= 5` where `a` is missing, of another type, or an array.
 */
#include "engine/base/assert.h"
#include "engine/query/filter.h"

static struct filter_node *node_create(struct filter *filter, enum filter_kind kind)
{
    struct filter_node *node = arena_alloc(&filter->arena, sizeof(*node));
    if (node != NULL) {
        *node = (struct filter_node){.kind = kind};
    }
    return node;
}

static struct filter_node *normalise(struct filter *filter, const struct filter_node *node,
                                     bool is_negated);

static struct filter_node *normalise_term(struct filter *filter, const struct filter_node *node,
                                          bool is_negated)
{
    struct filter_node *term = node_create(filter, FILTER_TERM);
    if (term == NULL) {
        return NULL;
    }
    term->term = node->term;
    if (!is_negated) {
        return term;
    }
    struct filter_node *negation = node_create(filter, FILTER_NOT);
    if (negation != NULL) {
        negation->first = term;
    }
    return negation;
}

/* Puts `child` at *end, its children instead where it is of the parent's own kind. Returns the new end. */
static struct filter_node **append(struct filter_node **end, struct filter_node *child,
                                   enum filter_kind kind)
{
    *end = child->kind == kind ? child->first : child;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    return end;
}

static struct filter_node *normalise_joined(struct filter *filter, const struct filter_node *node,
                                            bool is_negated)
{
    enum filter_kind kind = node->kind;
    if (is_negated) {
        kind = kind == FILTER_AND ? FILTER_OR : FILTER_AND;
    }
    struct filter_node *joined = node_create(filter, kind);
    if (joined == NULL) {
        return NULL;
    }
    struct filter_node **end = &joined->first;
    for (const struct filter_node *each = node->first; each != NULL; each = each->next) {
        struct filter_node *child = normalise(filter, each, is_negated);
        if (child == NULL) {
            return NULL;
        }
        end = append(end, child, kind);
    }
    POLARYS_ASSERT(joined->first != NULL && joined->first->next != NULL);
    return joined;
}

static struct filter_node *normalise(struct filter *filter, const struct filter_node *node,
                                     bool is_negated)
{
    switch (node->kind) {
    case FILTER_NOT:
        return normalise(filter, node->first, !is_negated);
    case FILTER_TERM:
        return normalise_term(filter, node, is_negated);
    default:
        return normalise_joined(filter, node, is_negated);
    }
}

enum polarys_code filter_normalise(struct filter *filter, struct filter_node **out)
{
    *out = NULL;
    if (filter->root == NULL) {
        return POLARYS_OK;
    }
    *out = normalise(filter, filter->root, false);
    return *out == NULL ? POLARYS_NO_MEMORY : POLARYS_OK;
}
