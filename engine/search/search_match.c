/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents that match a search, in id order: a tree of walks, each moved only as far as the others
 * need.
 *
 * Invariant: a valid node stands on a document that matches it, and has left none out that lies before.
 *
 * An AND is led by its rarest child: whoever stands behind is sought forward until all agree. All memory
 * of a tree is its nodes' own, bounded by the search's terms.
 */
#include "engine/search/search_internal.h"

#include <stdlib.h>

#include "engine/base/assert.h"

/* ---- phrases ---- */

/* Keeps of `at`, where the phrase's words so far end, what `positions` goes on. Both ascend. */
static size_t positions_chain(uint32_t *at, size_t at_count, const uint32_t *positions,
                              size_t position_count)
{
    size_t kept = 0;
    size_t j = 0;
    for (size_t i = 0; i < at_count; i++) {
        uint64_t wanted = (uint64_t)at[i] + 1;
        while (j < position_count && positions[j] < wanted) {
            j++;
        }
        if (j < position_count && positions[j] == wanted) {
            at[kept++] = positions[j];
        }
    }
    return kept;
}

/* Counts the phrase in the document that all its terms stand on. */
static enum polarys_code phrase_count(struct search_match *match)
{
    uint32_t *at = match->positions;
    uint32_t *positions = match->positions + SEARCH_POSITIONS_MAX;
    size_t at_count = 0;
    for (size_t i = 0; i < match->node->term_count; i++) {
        struct search_posting posting;
        size_t count;
        enum polarys_code code = search_postings_read(&match->postings[i], &posting);
        if (code != POLARYS_OK) {
            return code;
        }
        if (!search_positions_decode(&posting, i == 0 ? at : positions, &count)) {
            return search_walk_fail_corrupt(match->walk);
        }
        at_count = i == 0 ? count : positions_chain(at, at_count, positions, count);
        if (at_count == 0) {
            break;
        }
    }
    match->phrase_count = at_count;
    return POLARYS_OK;
}

/* Seeks the terms until they stand on one document. */
static enum polarys_code phrase_align(struct search_match *match, bool *is_aligned)
{
    struct search_postings *postings = match->postings;
    *is_aligned = false;
    for (size_t i = 1; i < match->node->term_count;) {
        enum polarys_code code = search_postings_seek(&postings[i], postings[0].id);
        if (code != POLARYS_OK || !postings[i].is_valid) {
            return code;
        }
        if (slice_equal(postings[i].id, postings[0].id)) {
            i++;
            continue;
        }
        code = search_postings_seek(&postings[0], postings[i].id);
        if (code != POLARYS_OK || !postings[0].is_valid) {
            return code;
        }
        i = 1;
    }
    *is_aligned = true;
    return POLARYS_OK;
}

/* From where the terms stand to the first document that has the phrase. */
static enum polarys_code phrase_find(struct search_match *match)
{
    match->is_valid = false;
    for (size_t i = 0; i < match->node->term_count; i++) {
        if (!match->postings[i].is_valid) {
            return POLARYS_OK;
        }
    }
    for (;;) {
        bool is_aligned;
        enum polarys_code code = phrase_align(match, &is_aligned);
        if (code != POLARYS_OK || !is_aligned) {
            return code;
        }
        code = phrase_count(match);
        if (code != POLARYS_OK) {
            return code;
        }
        if (match->phrase_count > 0) {
            match->is_valid = true;
            match->id = match->postings[0].id;
            return POLARYS_OK;
        }
        code = search_postings_next(&match->postings[0]);
        if (code != POLARYS_OK || !match->postings[0].is_valid) {
            return code;
        }
    }
}

/* ---- AND ---- */

/* Moves excluded children up to the document; *is_excluded when one stands on it. */
static enum polarys_code and_exclude(struct search_match *child, struct polarys_slice id,
                                     bool *is_excluded)
{
    *is_excluded = false;
    for (; child != NULL && !*is_excluded; child = child->next) {
        if (!child->is_valid) {
            continue;
        }
        enum polarys_code code = search_match_seek(child, id);
        if (code != POLARYS_OK) {
            return code;
        }
        *is_excluded = child->is_valid && slice_equal(child->id, id);
    }
    return POLARYS_OK;
}

/* From where the children stand to the first document of all that are wanted. *excluded: the first of the
 * others, or NULL. */
static enum polarys_code and_align(struct search_match *match, struct search_match **excluded,
                                   bool *is_aligned)
{
    struct search_match *lead = match->first;
    *is_aligned = false;
    if (!lead->is_valid) {
        return POLARYS_OK;
    }
    for (*excluded = lead->next; *excluded != NULL && !(*excluded)->node->is_excluded;) {
        struct search_match *child = *excluded;
        enum polarys_code code = child->is_valid ? search_match_seek(child, lead->id) : POLARYS_OK;
        if (code != POLARYS_OK || !child->is_valid) {
            return code;
        }
        if (slice_equal(child->id, lead->id)) {
            *excluded = child->next;
            continue;
        }
        code = search_match_seek(lead, child->id);
        if (code != POLARYS_OK || !lead->is_valid) {
            return code;
        }
        *excluded = lead->next;
    }
    *is_aligned = true;
    return POLARYS_OK;
}

static enum polarys_code and_find(struct search_match *match)
{
    match->is_valid = false;
    for (;;) {
        bool is_aligned;
        bool is_excluded;
        struct search_match *excluded;
        enum polarys_code code = and_align(match, &excluded, &is_aligned);
        if (code != POLARYS_OK || !is_aligned) {
            return code;
        }
        code = and_exclude(excluded, match->first->id, &is_excluded);
        if (code != POLARYS_OK) {
            return code;
        }
        if (!is_excluded) {
            match->is_valid = true;
            match->id = match->first->id;
            return POLARYS_OK;
        }
        code = search_match_next(match->first);
        if (code != POLARYS_OK) {
            return code;
        }
    }
}

/* ---- OR ---- */

static void or_find(struct search_match *match)
{
    match->is_valid = false;
    for (struct search_match *child = match->first; child != NULL; child = child->next) {
        if (child->is_valid && (!match->is_valid || slice_compare(child->id, match->id) < 0)) {
            match->is_valid = true;
            match->id = child->id;
            match->owner = child;
        }
    }
}

static enum polarys_code or_next(struct search_match *match)
{
    struct search_match *owner = match->owner;
    for (struct search_match *child = match->first; child != NULL; child = child->next) {
        if (child == owner || !child->is_valid || !slice_equal(child->id, match->id)) {
            continue;
        }
        enum polarys_code code = search_match_next(child);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    /* Last, for the id compared with is its own. */
    enum polarys_code code = search_match_next(owner);
    or_find(match);
    return code;
}

static enum polarys_code or_seek(struct search_match *match, struct polarys_slice id)
{
    for (struct search_match *child = match->first; child != NULL; child = child->next) {
        enum polarys_code code = child->is_valid ? search_match_seek(child, id) : POLARYS_OK;
        if (code != POLARYS_OK) {
            return code;
        }
    }
    or_find(match);
    return POLARYS_OK;
}

/* ---- moves ---- */

static void list_note(struct search_match *match)
{
    match->is_valid = match->list_at < match->list->count;
    if (match->is_valid) {
        match->id = match->list->items[match->list_at].id;
    }
}

/* By halves: a prefix's list lies in memory. */
static void list_seek(struct search_match *match, struct polarys_slice id)
{
    size_t first = match->list_at;
    size_t end = match->list->count;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (slice_compare(match->list->items[middle].id, id) < 0) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    match->list_at = first;
    list_note(match);
}

static void term_note(struct search_match *match)
{
    match->is_valid = match->postings[0].is_valid;
    match->id = match->postings[0].id;
}

enum polarys_code search_match_next(struct search_match *match)
{
    POLARYS_ASSERT(match->is_valid);
    enum polarys_code code = POLARYS_OK;
    switch (match->node->kind) {
    case SEARCH_NODE_TERM:
        code = search_postings_next(&match->postings[0]);
        term_note(match);
        break;
    case SEARCH_NODE_PHRASE:
        code = search_postings_next(&match->postings[0]);
        code = code == POLARYS_OK ? phrase_find(match) : code;
        break;
    case SEARCH_NODE_PREFIX:
        match->list_at++;
        list_note(match);
        break;
    case SEARCH_NODE_AND:
        code = search_match_next(match->first);
        code = code == POLARYS_OK ? and_find(match) : code;
        break;
    case SEARCH_NODE_OR:
        code = or_next(match);
        break;
    }
    return code;
}

enum polarys_code search_match_seek(struct search_match *match, struct polarys_slice id)
{
    POLARYS_ASSERT(match->is_valid);
    if (slice_compare(match->id, id) >= 0) {
        return POLARYS_OK;
    }
    enum polarys_code code = POLARYS_OK;
    switch (match->node->kind) {
    case SEARCH_NODE_TERM:
        code = search_postings_seek(&match->postings[0], id);
        term_note(match);
        break;
    case SEARCH_NODE_PHRASE:
        code = search_postings_seek(&match->postings[0], id);
        code = code == POLARYS_OK ? phrase_find(match) : code;
        break;
    case SEARCH_NODE_PREFIX:
        list_seek(match, id);
        break;
    case SEARCH_NODE_AND:
        code = search_match_seek(match->first, id);
        code = code == POLARYS_OK ? and_find(match) : code;
        break;
    case SEARCH_NODE_OR:
        code = or_seek(match, id);
        break;
    }
    return code;
}

/* ---- building ---- */

static enum polarys_code words_open(struct search_match *match)
{
    const struct search_node *node = match->node;
    match->postings = calloc(node->term_count, sizeof(*match->postings));
    if (match->postings == NULL) {
        return search_walk_fail_memory(match->walk);
    }
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < node->term_count && code == POLARYS_OK; i++) {
        code = search_postings_init(&match->postings[i], match->walk, node->terms[i]);
    }
    if (code != POLARYS_OK || node->kind == SEARCH_NODE_TERM) {
        term_note(match);
        return code;
    }
    match->positions = malloc(2 * SEARCH_POSITIONS_MAX * sizeof(*match->positions));
    return match->positions == NULL ? search_walk_fail_memory(match->walk) : phrase_find(match);
}

static enum polarys_code leaf_open(struct search_match *match, const struct search_leaf **leaf,
                                   bool are_lists_valid)
{
    match->leaf = (*leaf)++;
    POLARYS_ASSERT(match->leaf->node == match->node);
    match->document_count = match->leaf->document_count;
    if (match->node->kind != SEARCH_NODE_PREFIX) {
        return words_open(match);
    }
    match->list = are_lists_valid ? &match->leaf->list : &match->own_list;
    enum polarys_code code =
        are_lists_valid ? POLARYS_OK
                        : search_list_init(&match->own_list, match->walk, match->node->terms[0]);
    list_note(match);
    return code;
}

/* Puts the child where an AND wants it: the wanted ones first, the rarest of them in front. */
static void child_insert(struct search_match *match, struct search_match *child)
{
    struct search_match **link = &match->first;
    bool is_ordered = match->node->kind == SEARCH_NODE_AND;
    while (*link != NULL) {
        bool is_before = (*link)->node->is_excluded == child->node->is_excluded
                             ? child->document_count < (*link)->document_count
                             : (*link)->node->is_excluded;
        if (is_ordered && is_before) {
            break;
        }
        link = &(*link)->next;
    }
    child->next = *link;
    *link = child;
}

/* The match of a child's count with the counts of those before. */
static void count_join(struct search_match *match, const struct search_match *child, bool is_first)
{
    if (match->node->kind == SEARCH_NODE_OR) {
        match->document_count += child->document_count;
    } else if (!child->node->is_excluded &&
               (is_first || child->document_count < match->document_count)) {
        match->document_count = child->document_count;
    }
}

static enum polarys_code children_open(struct search_match *match, const struct search_leaf **leaf,
                                       bool are_lists_valid)
{
    bool is_first = true;
    for (const struct search_node *node = match->node->first; node != NULL; node = node->next) {
        struct search_match *child;
        enum polarys_code code =
            search_match_create(match->walk, node, leaf, are_lists_valid, &child);
        if (code != POLARYS_OK) {
            return code;
        }
        POLARYS_ASSERT(child != NULL);
        count_join(match, child, is_first);
        is_first = is_first && node->is_excluded;
        child_insert(match, child);
    }
    if (match->node->kind == SEARCH_NODE_OR) {
        or_find(match);
        return POLARYS_OK;
    }
    POLARYS_ASSERT(!match->first->node->is_excluded);
    return and_find(match);
}

enum polarys_code search_match_create(struct search_walk *walk, const struct search_node *node,
                                      const struct search_leaf **leaf, bool are_lists_valid,
                                      struct search_match **out)
{
    *out = NULL;
    struct search_match *match = calloc(1, sizeof(*match));
    if (match == NULL) {
        return search_walk_fail_memory(walk);
    }
    match->node = node;
    match->walk = walk;
    enum polarys_code code = node->first == NULL ? leaf_open(match, leaf, are_lists_valid)
                                                 : children_open(match, leaf, are_lists_valid);
    if (code != POLARYS_OK) {
        search_match_destroy(match);
        return code;
    }
    *out = match;
    return POLARYS_OK;
}

void search_match_destroy(struct search_match *match)
{
    if (match == NULL) {
        return;
    }
    while (match->first != NULL) {
        struct search_match *child = match->first;
        match->first = child->next;
        search_match_destroy(child);
    }
    for (size_t i = 0; match->postings != NULL && i < match->node->term_count; i++) {
        search_postings_deinit(&match->postings[i]);
    }
    free(match->postings);
    free(match->positions);
    search_list_deinit(&match->own_list);
    free(match);
}
