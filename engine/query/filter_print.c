/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters as text again, for plans. What is printed parses to the same filter.
 */
#include "engine/query/filter.h"

static enum polarys_code put_text(struct buffer *to, const char *text)
{
    return buffer_append(to, text, strlen(text));
}

/* One character of a string, escaped where it has to be. */
static enum polarys_code put_byte(struct buffer *to, uint8_t byte, bool is_edge)
{
    static const char hex[] = "0123456789abcdef";
    if (byte == '"' || byte == '\\' || (byte == '*' && is_edge)) {
        const uint8_t escaped[2] = {'\\', byte};
        return buffer_append(to, escaped, sizeof(escaped));
    }
    if (byte < 0x20) {
        const uint8_t escaped[6] = {
            '\\', 'u', '0', '0', (uint8_t)hex[byte >> 4], (uint8_t)hex[byte & 15]};
        return buffer_append(to, escaped, sizeof(escaped));
    }
    return buffer_append_byte(to, byte);
}

static enum polarys_code put_string(struct buffer *to, const struct filter_term *term,
                                    struct polarys_slice text)
{
    enum polarys_code code = put_text(to, term->is_open_start ? "\"*" : "\"");
    for (size_t i = 0; i < text.size && code == POLARYS_OK; i++) {
        code = put_byte(to, text.data[i], i == 0 || i + 1 == text.size);
    }
    return code == POLARYS_OK ? put_text(to, term->is_open_end ? "*\"" : "\"") : code;
}

static enum polarys_code put_literal(struct buffer *to, const struct filter_term *term,
                                     const struct filter_literal *literal)
{
    return literal->value.type == JSON_STRING ? put_string(to, term, literal->characters)
                                              : buffer_append_slice(to, literal->value.text);
}

enum polarys_code filter_print_term(const struct filter_term *term, struct buffer *to)
{
    static const char *const operators[] = {
        [FILTER_EQUAL] = " = ",       [FILTER_NOT_EQUAL] = " != ", [FILTER_LESS] = " < ",
        [FILTER_LESS_EQUAL] = " <= ", [FILTER_GREATER] = " > ",    [FILTER_GREATER_EQUAL] = " >= ",
        [FILTER_HAS] = ":",           [FILTER_PRESENT] = ":*",     [FILTER_IN] = " IN (",
        [FILTER_MATCH] = " = ",       [FILTER_NOT_MATCH] = " != ",
    };
    enum polarys_code code = buffer_append_slice(to, term->path);
    if (code == POLARYS_OK) {
        code = put_text(to, operators[term->relation]);
    }
    for (size_t i = 0; i < term->literal_count && code == POLARYS_OK; i++) {
        code = put_text(to, i == 0 ? "" : ", ");
        if (code == POLARYS_OK) {
            code = put_literal(to, term, &term->literals[i]);
        }
    }
    if (code == POLARYS_OK && term->relation == FILTER_IN) {
        code = put_text(to, ")");
    }
    return code;
}

static enum polarys_code print_child(const struct filter_node *node, struct buffer *to)
{
    bool is_group = node->kind == FILTER_AND || node->kind == FILTER_OR;
    enum polarys_code code = put_text(to, is_group ? "(" : "");
    if (code == POLARYS_OK) {
        code = filter_print(node, to);
    }
    return code == POLARYS_OK ? put_text(to, is_group ? ")" : "") : code;
}

enum polarys_code filter_print(const struct filter_node *node, struct buffer *to)
{
    if (node == NULL) {
        return put_text(to, "everything");
    }
    if (node->kind == FILTER_TERM) {
        return filter_print_term(node->term, to);
    }
    enum polarys_code code = put_text(to, node->kind == FILTER_NOT ? "NOT " : "");
    for (const struct filter_node *each = node->first; each != NULL && code == POLARYS_OK;
         each = each->next) {
        code = print_child(each, to);
        if (code == POLARYS_OK && each->next != NULL) {
            code = put_text(to, node->kind == FILTER_AND ? " AND " : " OR ");
        }
    }
    return code;
}
