/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of a search, parsed by descent:
 *
 *     search   = group { "OR" group }
 *     group    = item { [ "AND" ] item }
 *     item     = [ "-" ] ( "(" search ")" | '"' text '"' | word | word "*" )
 *
 * Invariant: every group has an item that is not excluded, and every leaf has a term; what holds neither
 * letter nor digit is left out as if it were not there.
 *
 * A word that analysis splits is a phrase. Every byte of the text comes from a user: depth, terms and size
 * are bounded.
 */
#include "engine/search/search_internal.h"

#include <stdlib.h>

#include "engine/base/assert.h"

enum { QUERY_MEMORY_MAX = 4 << 20 };

struct parser {
    struct polarys_slice text;
    size_t at;
    size_t depth;
    size_t term_count;
    struct search_analyzer *analyzer;
    struct search_query *query;
    struct polarys_error *err;
};

static enum polarys_code fail_at(struct parser *parser, size_t position, const char *expected)
{
    enum polarys_code code = polarys_fail(parser->err, POLARYS_BAD_FILTER,
                                          "the search lacks %s at byte %zu", expected, position);
    polarys_error_detail_set(parser->err, "position", "%zu", position);
    polarys_error_detail_set(parser->err, "expected", "%s", expected);
    return code;
}

static enum polarys_code fail_memory(struct parser *parser)
{
    return polarys_fail(parser->err, POLARYS_NO_MEMORY, "no memory for a search");
}

/* ---- bytes ---- */

static bool is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool ends_word(uint8_t byte)
{
    return is_space(byte) || byte == '"' || byte == '(' || byte == ')';
}

static void skip_space(struct parser *parser)
{
    while (parser->at < parser->text.size && is_space(parser->text.data[parser->at])) {
        parser->at++;
    }
}

/* Where the word at `at` ends. */
static size_t word_end(const struct parser *parser)
{
    size_t end = parser->at;
    while (end < parser->text.size && !ends_word(parser->text.data[end])) {
        end++;
    }
    return end;
}

/* Whether an operator stands here: a word of its own in capitals. */
static bool is_operator(const struct parser *parser, const char *name)
{
    struct polarys_slice word =
        slice_make(parser->text.data + parser->at, word_end(parser) - parser->at);
    return slice_equal(word, slice_from_text(name));
}

/* ---- nodes ---- */

static struct search_node *node_make(struct parser *parser, enum search_node_kind kind)
{
    struct search_node *node = arena_alloc(&parser->query->arena, sizeof(*node));
    if (node != NULL) {
        *node = (struct search_node){.kind = kind};
    }
    return node;
}

/* The terms of one piece of text, in the query's arena. */
struct term_list {
    struct parser *parser;
    struct polarys_slice terms[SEARCH_TERMS_MAX];
    size_t count;
    struct polarys_slice last_folded;
};

static enum polarys_code note_term(void *context, const struct search_word *word)
{
    struct term_list *list = context;
    struct parser *parser = list->parser;
    if (++parser->term_count > SEARCH_TERMS_MAX) {
        return polarys_fail(parser->err, POLARYS_TOO_LARGE, "a search has at most %d words",
                            SEARCH_TERMS_MAX);
    }
    POLARYS_ASSERT(list->count < SEARCH_TERMS_MAX);
    char *term = arena_copy(&parser->query->arena, word->term);
    char *folded = arena_copy(&parser->query->arena, word->folded);
    if (term == NULL || folded == NULL) {
        return fail_memory(parser);
    }
    list->terms[list->count++] = slice_make(term, word->term.size);
    list->last_folded = slice_make(folded, word->folded.size);
    return POLARYS_OK;
}

/* A leaf of `count` terms; NULL in *out for none. */
static enum polarys_code leaf_make(struct parser *parser, enum search_node_kind kind,
                                   const struct polarys_slice *terms, size_t count,
                                   struct search_node **out)
{
    *out = NULL;
    if (count == 0) {
        return POLARYS_OK;
    }
    struct search_node *node = node_make(parser, kind);
    struct polarys_slice *copy = arena_alloc(&parser->query->arena, count * sizeof(*copy));
    if (node == NULL || copy == NULL) {
        return fail_memory(parser);
    }
    memcpy(copy, terms, count * sizeof(*copy));
    node->terms = copy;
    node->term_count = count;
    *out = node;
    return POLARYS_OK;
}

static enum polarys_code words_make(struct parser *parser, const struct term_list *list,
                                    size_t count, struct search_node **out)
{
    return leaf_make(parser, count > 1 ? SEARCH_NODE_PHRASE : SEARCH_NODE_TERM, list->terms, count,
                     out);
}

/* The last term becomes a prefix: its stem where that begins the word, for the index has stems only. */
static enum polarys_code prefix_make(struct parser *parser, const struct term_list *list,
                                     struct search_node **out)
{
    struct polarys_slice prefix = list->terms[list->count - 1];
    if (!slice_starts_with(list->last_folded, prefix)) {
        prefix = list->last_folded;
    }
    enum polarys_code code = leaf_make(parser, SEARCH_NODE_PREFIX, &prefix, 1, out);
    if (code != POLARYS_OK || list->count == 1) {
        return code;
    }
    struct search_node *words;
    struct search_node *both = node_make(parser, SEARCH_NODE_AND);
    code = words_make(parser, list, list->count - 1, &words);
    if (code != POLARYS_OK || both == NULL) {
        return code != POLARYS_OK ? code : fail_memory(parser);
    }
    POLARYS_ASSERT(words != NULL && *out != NULL);
    both->first = words;
    words->next = *out;
    *out = both;
    return POLARYS_OK;
}

/* ---- items ---- */

static enum polarys_code parse_phrase(struct parser *parser, struct search_node **out)
{
    const uint8_t *start = parser->text.data + parser->at + 1;
    size_t left = parser->text.size - parser->at - 1;
    const uint8_t *quote = left == 0 ? NULL : memchr(start, '"', left);
    if (quote == NULL) {
        return fail_at(parser, parser->text.size, "a closing \"");
    }
    struct term_list list = {.parser = parser};
    enum polarys_code code =
        search_words_each(parser->analyzer, slice_make(start, (size_t)(quote - start)), note_term,
                          &list, parser->err);
    parser->at = (size_t)(quote - parser->text.data) + 1;
    return code == POLARYS_OK ? words_make(parser, &list, list.count, out) : code;
}

static enum polarys_code parse_word(struct parser *parser, struct search_node **out)
{
    size_t start = parser->at;
    size_t end = word_end(parser);
    parser->at = end;
    while (end > start && parser->text.data[end - 1] == '*') {
        end--;
    }
    bool is_prefix = end < parser->at;
    if (is_prefix && end == start) {
        return fail_at(parser, start, "a word before *");
    }
    struct term_list list = {.parser = parser};
    enum polarys_code code =
        search_words_each(parser->analyzer, slice_make(parser->text.data + start, end - start),
                          note_term, &list, parser->err);
    if (code != POLARYS_OK) {
        return code;
    }
    return is_prefix && list.count > 0 ? prefix_make(parser, &list, out)
                                       : words_make(parser, &list, list.count, out);
}

static enum polarys_code parse_search(struct parser *parser, struct search_node **out);

static enum polarys_code parse_parentheses(struct parser *parser, struct search_node **out)
{
    if (parser->depth == SEARCH_DEPTH_MAX) {
        return fail_at(parser, parser->at, "fewer parentheses");
    }
    parser->depth++;
    parser->at++;
    enum polarys_code code = parse_search(parser, out);
    parser->depth--;
    if (code != POLARYS_OK) {
        return code;
    }
    if (parser->at == parser->text.size) {
        return fail_at(parser, parser->at, "a closing )");
    }
    POLARYS_ASSERT(parser->text.data[parser->at] == ')');
    parser->at++;
    return POLARYS_OK;
}

/* *out is NULL for what holds no word. REQUIRES: not at the end, at a space or at ')'. */
static enum polarys_code parse_item(struct parser *parser, struct search_node **out)
{
    *out = NULL;
    bool is_excluded = parser->text.data[parser->at] == '-';
    parser->at += is_excluded ? 1 : 0;
    if (parser->at == parser->text.size || is_space(parser->text.data[parser->at]) ||
        parser->text.data[parser->at] == ')') {
        return POLARYS_OK; /* a dash by itself is no word */
    }
    enum polarys_code code;
    switch (parser->text.data[parser->at]) {
    case '(':
        code = parse_parentheses(parser, out);
        break;
    case '"':
        code = parse_phrase(parser, out);
        break;
    default:
        code = parse_word(parser, out);
        break;
    }
    if (code == POLARYS_OK && *out != NULL) {
        (*out)->is_excluded = is_excluded;
    }
    return code;
}

/* ---- groups ---- */

/* Items until OR, ')' or the end. */
static enum polarys_code parse_items(struct parser *parser, struct search_node *group,
                                     size_t *wanted_count)
{
    struct search_node **link = &group->first;
    bool is_operand_due = true;
    for (;;) {
        skip_space(parser);
        if (parser->at == parser->text.size || parser->text.data[parser->at] == ')' ||
            is_operator(parser, "OR")) {
            return is_operand_due && *wanted_count > 0 ? fail_at(parser, parser->at, "a word")
                                                       : POLARYS_OK;
        }
        if (is_operator(parser, "AND")) {
            if (is_operand_due) {
                return fail_at(parser, parser->at, "a word");
            }
            parser->at += strlen("AND");
            is_operand_due = true;
            continue;
        }
        struct search_node *item;
        enum polarys_code code = parse_item(parser, &item);
        if (code != POLARYS_OK) {
            return code;
        }
        is_operand_due = false;
        if (item != NULL) {
            *link = item;
            link = &item->next;
            *wanted_count += item->is_excluded ? 0 : 1;
        }
    }
}

static enum polarys_code parse_group(struct parser *parser, struct search_node **out)
{
    size_t wanted_count = 0;
    struct search_node *group = node_make(parser, SEARCH_NODE_AND);
    if (group == NULL) {
        return fail_memory(parser);
    }
    enum polarys_code code = parse_items(parser, group, &wanted_count);
    if (code != POLARYS_OK) {
        return code;
    }
    if (wanted_count == 0) {
        return fail_at(parser, parser->at,
                       group->first == NULL ? "a word" : "a word that is not excluded");
    }
    bool is_alone = group->first->next == NULL;
    *out = is_alone ? group->first : group;
    return POLARYS_OK;
}

/* Ends before ')' or at the end. */
static enum polarys_code parse_search(struct parser *parser, struct search_node **out)
{
    enum polarys_code code = parse_group(parser, out);
    struct search_node **link = NULL;
    while (code == POLARYS_OK && parser->at < parser->text.size && is_operator(parser, "OR")) {
        if (link == NULL) {
            struct search_node *either = node_make(parser, SEARCH_NODE_OR);
            if (either == NULL) {
                return fail_memory(parser);
            }
            either->first = *out;
            link = &(*out)->next;
            *out = either;
        }
        parser->at += strlen("OR");
        code = parse_group(parser, link);
        link = code == POLARYS_OK ? &(*link)->next : link;
    }
    return code;
}

/* ---- the whole ---- */

static enum polarys_code parse_whole(struct parser *parser)
{
    enum polarys_code code = parse_search(parser, &parser->query->root);
    if (code == POLARYS_OK && parser->at < parser->text.size) {
        return fail_at(parser, parser->at, "a ( before )");
    }
    return code;
}

enum polarys_code search_query_parse(struct polarys_slice text, const char *language,
                                     struct search_query **out, struct polarys_error *err)
{
    *out = NULL;
    struct parser parser = {.text = text, .err = err};
    if (text.size > SEARCH_TEXT_BYTES_MAX) {
        return polarys_fail(err, POLARYS_TOO_LARGE, "the text of a search has at most %d bytes",
                            SEARCH_TEXT_BYTES_MAX);
    }
    enum polarys_code code = search_analyzer_acquire(language, &parser.analyzer, err);
    if (code != POLARYS_OK) {
        return code;
    }
    parser.query = calloc(1, sizeof(*parser.query));
    if (parser.query == NULL) {
        code = fail_memory(&parser);
        goto done;
    }
    arena_init(&parser.query->arena, QUERY_MEMORY_MAX);
    memcpy(parser.query->language, language, strlen(language) + 1);
    code = parse_whole(&parser);

done:
    search_analyzer_release(parser.analyzer);
    if (code != POLARYS_OK) {
        search_query_destroy(parser.query);
        return code;
    }
    *out = parser.query;
    return POLARYS_OK;
}

void search_query_destroy(struct search_query *query)
{
    if (query != NULL) {
        arena_deinit(&query->arena);
        free(query);
    }
}
