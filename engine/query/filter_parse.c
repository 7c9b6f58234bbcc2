/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of filters: recursive descent over the grammar of docs/query.md. OR binds loosest, then AND,
 * then NOT and '-'.
 */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/query/filter.h"
#include "engine/query/filter_scan.h"

enum { ARENA_BYTES_MAX = 16 << 20 };

struct parser {
    struct filter_cursor cursor;
    struct filter *filter;
    struct polarys_error *err;
    size_t depth;
    size_t value_count;
    size_t term_capacity;
    size_t path_capacity;
    struct polarys_slice *paths;
};

static enum polarys_code parse_or(struct parser *parser, struct filter_node **out);

static enum polarys_code fail(struct parser *parser, const char *expected)
{
    size_t position = filter_position(&parser->cursor);
    polarys_fail(parser->err, POLARYS_BAD_FILTER, "filter: %s is expected at byte %zu", expected,
                 position);
    polarys_error_detail_set(parser->err, "position", "%zu", position);
    polarys_error_detail_set(parser->err, "expected", "%s", expected);
    return POLARYS_BAD_FILTER;
}

static enum polarys_code fail_memory(struct parser *parser)
{
    return polarys_fail(parser->err, POLARYS_NO_MEMORY, "no memory for a filter");
}

static struct filter_node *node_create(struct parser *parser, enum filter_kind kind)
{
    struct filter_node *node = arena_alloc(&parser->filter->arena, sizeof(*node));
    if (node != NULL) {
        *node = (struct filter_node){.kind = kind};
    }
    return node;
}

/* An array of the arena with room for one element more; NULL when there is no memory. */
static void *array_grow(struct arena *arena, const void *old, size_t count, size_t *capacity,
                        size_t element_size)
{
    if (count < *capacity) {
        return (void *)old;
    }
    size_t wanted = *capacity == 0 ? 8 : *capacity * 2;
    void *grown = arena_alloc(arena, wanted * element_size);
    if (grown != NULL) {
        *capacity = wanted;
        if (count > 0) {
            POLARYS_ASSERT(old != NULL);
            memcpy(grown, old, count * element_size);
        }
    }
    return grown;
}

static bool path_add(struct parser *parser, struct filter_term *term)
{
    struct filter *filter = parser->filter;
    for (size_t i = 0; i < filter->path_count; i++) {
        if (slice_equal(filter->paths[i], term->path)) {
            term->field = i;
            return true;
        }
    }
    parser->paths = array_grow(&filter->arena, parser->paths, filter->path_count,
                               &parser->path_capacity, sizeof(*parser->paths));
    filter->paths = parser->paths;
    if (parser->paths == NULL) {
        return false;
    }
    term->field = filter->path_count;
    parser->paths[filter->path_count++] = term->path;
    return true;
}

static enum polarys_code term_add(struct parser *parser, struct filter_term *term,
                                  struct filter_node **out)
{
    struct filter *filter = parser->filter;
    filter->terms = array_grow(&filter->arena, filter->terms, filter->term_count,
                               &parser->term_capacity, sizeof(struct filter_term *));
    struct filter_term *kept = arena_alloc(&filter->arena, sizeof(*kept));
    struct filter_node *node = node_create(parser, FILTER_TERM);
    if (filter->terms == NULL || kept == NULL || node == NULL || !path_add(parser, term)) {
        return fail_memory(parser);
    }
    term->index = filter->term_count;
    *kept = *term;
    filter->terms[filter->term_count++] = kept;
    node->term = kept;
    *out = node;
    return POLARYS_OK;
}

static bool take_constant(struct filter_cursor *cursor, struct json_value *value)
{
    if (filter_take_word(cursor, "NULL")) {
        *value = json_value_make(slice_from_text("null"));
        return true;
    }
    if (filter_take_word(cursor, "TRUE")) {
        *value = json_value_make(slice_from_text("true"));
        return true;
    }
    *value = json_value_make(slice_from_text("false"));
    return filter_take_word(cursor, "FALSE");
}

/* The characters as JSON text, as values of documents are. False when there is no memory. */
static bool string_make(struct arena *arena, struct filter_literal *literal)
{
    static const char hex[] = "0123456789abcdef";
    struct polarys_slice from = literal->characters;
    uint8_t *text = arena_alloc(arena, from.size * 6 + 2);
    if (text == NULL) {
        return false;
    }
    size_t size = 0;
    text[size++] = '"';
    for (size_t i = 0; i < from.size; i++) {
        uint8_t byte = from.data[i];
        if (byte < 0x20) {
            const uint8_t escape[6] = {
                '\\', 'u', '0', '0', (uint8_t)hex[byte >> 4], (uint8_t)hex[byte & 15],
            };
            memcpy(text + size, escape, sizeof(escape));
            size += sizeof(escape);
            continue;
        }
        if (byte == '"' || byte == '\\') {
            text[size++] = '\\';
        }
        text[size++] = byte;
    }
    text[size++] = '"';
    literal->value = (struct json_value){JSON_STRING, slice_make(text, size)};
    return true;
}

/* One value. `string` tells where a string's wildcards are. */
static enum polarys_code take_literal(struct parser *parser, struct filter_literal *literal,
                                      struct filter_string *string)
{
    static const char expected_value[] =
        "a value (a string in quotes, a number, true, false or null)";
    struct filter_cursor *cursor = &parser->cursor;
    filter_skip_space(cursor);
    *literal = (struct filter_literal){0};
    *string = (struct filter_string){0};
    if (parser->value_count == FILTER_TERMS_MAX) {
        return fail(parser, "an end to the filter (1000 values are the limit)");
    }
    parser->value_count++;
    if (cursor->at < cursor->end && (*cursor->at == '"' || *cursor->at == '\'')) {
        const char *expected = NULL;
        enum polarys_code code =
            filter_take_string(cursor, &parser->filter->arena, string, &expected);
        if (code == POLARYS_BAD_FILTER) {
            return fail(parser, expected);
        }
        literal->characters = string->text;
        bool is_made = code == POLARYS_OK && string_make(&parser->filter->arena, literal);
        return is_made ? POLARYS_OK : fail_memory(parser);
    }
    if (take_constant(cursor, &literal->value)) {
        return POLARYS_OK;
    }
    literal->value.type = JSON_NUMBER;
    return filter_take_number(cursor, &literal->value.text) ? POLARYS_OK
                                                            : fail(parser, expected_value);
}

/* A string with wildcards compared by = or != becomes a pattern. */
static void pattern_make(struct filter_term *term, struct filter_literal *literal,
                         const struct filter_string *string)
{
    bool is_pattern = literal->value.type == JSON_STRING &&
                      (string->is_open_start || string->is_open_end) &&
                      (term->relation == FILTER_EQUAL || term->relation == FILTER_NOT_EQUAL);
    if (!is_pattern) {
        return;
    }
    term->relation = term->relation == FILTER_EQUAL ? FILTER_MATCH : FILTER_NOT_MATCH;
    term->is_open_start = string->is_open_start;
    term->is_open_end = string->is_open_end;
    size_t size = literal->characters.size;
    size_t skip = string->is_open_start ? 1 : 0;
    size_t cut = string->is_open_end && size > skip ? 1 : 0;
    literal->characters = slice_make(literal->characters.data + skip, size - skip - cut);
    term->is_open_end = term->is_open_end || size == 1;
}

static enum polarys_code parse_list(struct parser *parser, struct filter_term *term)
{
    struct filter_cursor *cursor = &parser->cursor;
    struct arena *arena = &parser->filter->arena;
    filter_skip_space(cursor);
    if (!filter_take_byte(cursor, '(')) {
        return fail(parser, "( and values");
    }
    struct filter_literal *list = NULL;
    size_t capacity = 0;
    do {
        struct filter_string string;
        list = array_grow(arena, list, term->literal_count, &capacity, sizeof(*list));
        if (list == NULL) {
            return fail_memory(parser);
        }
        enum polarys_code code = take_literal(parser, &list[term->literal_count], &string);
        if (code != POLARYS_OK) {
            return code;
        }
        term->literal_count++;
        filter_skip_space(cursor);
    } while (filter_take_byte(cursor, ','));
    term->literals = list;
    return filter_take_byte(cursor, ')') ? POLARYS_OK : fail(parser, ", or )");
}

static bool take_operator(struct filter_cursor *cursor, enum filter_relation *relation)
{
    static const struct {
        const char *text;
        enum filter_relation relation;
    } operators[] = {
        {"!=", FILTER_NOT_EQUAL}, {"<=", FILTER_LESS_EQUAL}, {">=", FILTER_GREATER_EQUAL},
        {"=", FILTER_EQUAL},      {"<", FILTER_LESS},        {">", FILTER_GREATER},
        {":", FILTER_HAS},
    };
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        size_t size = strlen(operators[i].text);
        if ((size_t)(cursor->end - cursor->at) >= size &&
            memcmp(cursor->at, operators[i].text, size) == 0) {
            cursor->at += size;
            *relation = operators[i].relation;
            return true;
        }
    }
    return false;
}

static enum polarys_code parse_value(struct parser *parser, struct filter_term *term)
{
    filter_skip_space(&parser->cursor);
    if (term->relation == FILTER_HAS && filter_take_byte(&parser->cursor, '*')) {
        term->relation = FILTER_PRESENT;
        return POLARYS_OK;
    }
    struct filter_literal *literal = arena_alloc(&parser->filter->arena, sizeof(*literal));
    if (literal == NULL) {
        return fail_memory(parser);
    }
    struct filter_string string;
    struct filter_cursor start = parser->cursor;
    enum polarys_code code = take_literal(parser, literal, &string);
    if (code != POLARYS_OK) {
        return code;
    }
    bool is_comparison = term->relation >= FILTER_LESS && term->relation <= FILTER_GREATER_EQUAL;
    if (is_comparison && literal->value.type < JSON_NUMBER) {
        parser->cursor = start;
        return fail(parser, "a number or a string");
    }
    pattern_make(term, literal, &string);
    term->literals = literal;
    term->literal_count = 1;
    return POLARYS_OK;
}

/* A keyword stands where a field name should; a field of such a name is written in backticks. */
static bool is_at_keyword(const struct filter_cursor *cursor)
{
    struct filter_cursor ahead = *cursor;
    return filter_take_word(&ahead, "AND") || filter_take_word(&ahead, "OR") ||
           filter_take_word(&ahead, "IN");
}

static enum polarys_code parse_condition(struct parser *parser, struct filter_node **out)
{
    struct filter_cursor *cursor = &parser->cursor;
    struct filter_term term = {0};
    const char *expected = NULL;
    if (parser->filter->term_count == FILTER_TERMS_MAX) {
        return fail(parser, "an end to the filter (1000 conditions are the limit)");
    }
    bool is_path_start =
        cursor->at < cursor->end && (filter_is_name_byte(*cursor->at) || *cursor->at == '`');
    if (!is_path_start || is_at_keyword(cursor)) {
        return fail(parser, "a condition");
    }
    size_t start = filter_position(cursor);
    if (!filter_take_path(cursor, &term.path, &expected)) {
        return fail(parser, expected);
    }
    struct json_path path = {0};
    enum polarys_code code = json_path_init(&path, term.path, NULL);
    json_path_deinit(&path);
    if (code != POLARYS_OK) {
        cursor->at = cursor->begin + start;
        return code == POLARYS_NO_MEMORY
                   ? fail_memory(parser)
                   : fail(parser, "a path of at most 1024 bytes and 100 names, in UTF-8");
    }
    filter_skip_space(cursor);
    if (filter_take_word(cursor, "IN")) {
        term.relation = FILTER_IN;
        code = parse_list(parser, &term);
    } else if (take_operator(cursor, &term.relation)) {
        code = parse_value(parser, &term);
    } else {
        return fail(parser, "an operator (= != < <= > >= : or IN)");
    }
    return code == POLARYS_OK ? term_add(parser, &term, out) : code;
}

/* NOT x, -x, (x), or a condition. */
static enum polarys_code parse_factor(struct parser *parser, struct filter_node **out)
{
    struct filter_cursor *cursor = &parser->cursor;
    filter_skip_space(cursor);
    bool is_group = cursor->at < cursor->end && *cursor->at == '(';
    struct filter_cursor start = *cursor;
    bool is_negation =
        !is_group && (filter_take_byte(cursor, '-') || filter_take_word(cursor, "NOT"));
    if (!is_group && !is_negation) {
        return parse_condition(parser, out);
    }
    if (parser->depth == FILTER_DEPTH_MAX) {
        *cursor = start;
        return fail(parser, "a condition (100 levels are the limit)");
    }
    parser->depth++;
    enum polarys_code code;
    if (is_negation) {
        struct filter_node *node = node_create(parser, FILTER_NOT);
        if (node == NULL) {
            return fail_memory(parser);
        }
        code = parse_factor(parser, &node->first);
        *out = node;
    } else {
        cursor->at++;
        code = parse_or(parser, out);
        filter_skip_space(cursor);
        if (code == POLARYS_OK && !filter_take_byte(cursor, ')')) {
            code = fail(parser, "AND, OR or )");
        }
    }
    parser->depth--;
    return code;
}

/* Operands joined by `word`, each parsed by `operand`. */
static enum polarys_code parse_joined(
    struct parser *parser, const char *word, enum filter_kind kind,
    enum polarys_code (*operand)(struct parser *, struct filter_node **), struct filter_node **out)
{
    struct filter_node *first = NULL;
    enum polarys_code code = operand(parser, &first);
    *out = first;
    struct filter_node *last = first;
    for (;;) {
        if (code != POLARYS_OK) {
            return code;
        }
        filter_skip_space(&parser->cursor);
        if (!filter_take_word(&parser->cursor, word)) {
            return POLARYS_OK;
        }
        if (last == first) {
            *out = node_create(parser, kind);
            if (*out == NULL) {
                return fail_memory(parser);
            }
            (*out)->first = first;
        }
        code = operand(parser, &last->next);
        last = last->next;
    }
}

static enum polarys_code parse_and(struct parser *parser, struct filter_node **out)
{
    return parse_joined(parser, "AND", FILTER_AND, parse_factor, out);
}

static enum polarys_code parse_or(struct parser *parser, struct filter_node **out)
{
    return parse_joined(parser, "OR", FILTER_OR, parse_and, out);
}

static enum polarys_code parse_all(struct parser *parser)
{
    filter_skip_space(&parser->cursor);
    if (parser->cursor.at == parser->cursor.end) {
        return POLARYS_OK;
    }
    enum polarys_code code = parse_or(parser, &parser->filter->root);
    if (code != POLARYS_OK) {
        return code;
    }
    filter_skip_space(&parser->cursor);
    if (parser->cursor.at < parser->cursor.end) {
        return fail(parser, "AND, OR or the end of the filter");
    }
    return POLARYS_OK;
}

enum polarys_code filter_parse(struct polarys_slice text, struct filter **out,
                               struct polarys_error *err)
{
    *out = NULL;
    struct parser parser = {.cursor = filter_cursor_make(text), .err = err};
    if (text.size > FILTER_BYTES_MAX) {
        parser.cursor.at += FILTER_BYTES_MAX;
        return fail(&parser, "the end of the filter (65536 bytes are the limit)");
    }
    parser.filter = calloc(1, sizeof(*parser.filter));
    if (parser.filter == NULL) {
        return fail_memory(&parser);
    }
    arena_init(&parser.filter->arena, ARENA_BYTES_MAX);
    const char *copy = arena_copy(&parser.filter->arena, text);
    parser.cursor = filter_cursor_make(slice_make(copy, text.size));
    enum polarys_code code = copy == NULL ? fail_memory(&parser) : parse_all(&parser);
    if (code != POLARYS_OK) {
        filter_destroy(parser.filter);
        return code;
    }
    *out = parser.filter;
    return POLARYS_OK;
}

void filter_destroy(struct filter *filter)
{
    if (filter != NULL) {
        arena_deinit(&filter->arena);
        free(filter);
    }
}
