/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces of a text around what a search finds in it.
 *
 * Invariant: pieces do not overlap, are cut between words only, and hold \x01 and \x02 as marks alone, always in
 * pairs.
 *
 * The text is analyzed again as it was for the index, so that what is marked is what was found: words and
 * prefixes wherever they are, the words of a phrase where the phrase is.
 */
#include "engine/search/search_internal.h"

#include <stdlib.h>

enum {
    MARK_START = 1,
    MARK_END = 2,
};

/* A word of the text. */
struct text_word {
    uint32_t start;
    uint32_t end;
    uint32_t term_offset;
    uint32_t term_size;
    bool is_found;
};

struct highlighting {
    const struct search_query *query;
    struct polarys_slice text;
    struct text_word *words;
    size_t word_count;
    size_t word_capacity;
    struct buffer terms;
};

static enum polarys_code note_word(void *context, const struct search_word *word)
{
    struct highlighting *highlighting = context;
    if (highlighting->word_count == SEARCH_DOCUMENT_WORDS_MAX) {
        return POLARYS_TOO_LARGE; /* such a document was refused by the index */
    }
    if (highlighting->word_count == highlighting->word_capacity) {
        size_t capacity = highlighting->word_capacity == 0 ? 64 : highlighting->word_capacity * 2;
        struct text_word *words = realloc(highlighting->words, capacity * sizeof(*words));
        if (words == NULL) {
            return POLARYS_NO_MEMORY;
        }
        highlighting->words = words;
        highlighting->word_capacity = capacity;
    }
    highlighting->words[highlighting->word_count] =
        (struct text_word){.start = (uint32_t)word->start,
                           .end = (uint32_t)word->end,
                           .term_offset = (uint32_t)highlighting->terms.size,
                           .term_size = (uint32_t)word->term.size};
    if (buffer_append_slice(&highlighting->terms, word->term) != POLARYS_OK) {
        return POLARYS_NO_MEMORY;
    }
    highlighting->word_count++;
    return POLARYS_OK;
}

/* ---- what is found ---- */

static struct polarys_slice term_of(const struct highlighting *highlighting, size_t index)
{
    const struct text_word *word = &highlighting->words[index];
    return slice_make(highlighting->terms.data + word->term_offset, word->term_size);
}

/* How many words from `index` on the leaf finds; 0: none. */
static size_t leaf_finds(const struct highlighting *highlighting, const struct search_node *leaf,
                         size_t index)
{
    if (leaf->kind == SEARCH_NODE_PREFIX) {
        return slice_starts_with(term_of(highlighting, index), leaf->terms[0]) ? 1 : 0;
    }
    if (leaf->term_count > highlighting->word_count - index) {
        return 0;
    }
    for (size_t i = 0; i < leaf->term_count; i++) {
        if (!slice_equal(term_of(highlighting, index + i), leaf->terms[i])) {
            return 0;
        }
    }
    return leaf->term_count;
}

static void node_mark(struct highlighting *highlighting, const struct search_node *node)
{
    if (node->is_excluded) {
        return;
    }
    for (const struct search_node *child = node->first; child != NULL; child = child->next) {
        node_mark(highlighting, child);
    }
    for (size_t i = 0; node->first == NULL && i < highlighting->word_count; i++) {
        size_t count = leaf_finds(highlighting, node, i);
        for (size_t j = 0; j < count; j++) {
            highlighting->words[i + j].is_found = true;
        }
    }
}

/* ---- pieces ---- */

/* The words [first, end) of a piece, around the found word at `found`. */
static void piece_choose(const struct highlighting *highlighting, size_t found, size_t from,
                         size_t *first, size_t *end)
{
    const struct text_word *words = highlighting->words;
    *first = found - from > SEARCH_HIGHLIGHT_WORDS ? found - SEARCH_HIGHLIGHT_WORDS : from;
    while (*first < found && words[found].end - words[*first].start > SEARCH_HIGHLIGHT_BYTES_MAX) {
        (*first)++;
    }
    *end = found + 1;
    size_t last_found = found;
    while (*end < highlighting->word_count && *end - last_found <= SEARCH_HIGHLIGHT_WORDS &&
           words[*end].end - words[*first].start <= SEARCH_HIGHLIGHT_BYTES_MAX) {
        last_found = words[*end].is_found ? *end : last_found;
        (*end)++;
    }
}

/* Appends [start, end) of the text without what would pass for a mark or an end. */
static enum polarys_code append_text(const struct highlighting *highlighting, struct buffer *to,
                                     size_t start, size_t end)
{
    enum polarys_code code = POLARYS_OK;
    while (start < end && code == POLARYS_OK) {
        size_t stop = start;
        while (stop < end && highlighting->text.data[stop] > MARK_END) {
            stop++;
        }
        code = buffer_append(to, highlighting->text.data + start, stop - start);
        start = stop + 1;
    }
    return code;
}

static enum polarys_code append_piece(const struct highlighting *highlighting, struct buffer *to,
                                      size_t first, size_t end)
{
    enum polarys_code code = POLARYS_OK;
    for (size_t i = first; i < end && code == POLARYS_OK; i++) {
        const struct text_word *word = &highlighting->words[i];
        size_t from = i == first ? word->start : highlighting->words[i - 1].end;
        bool opens = word->is_found && (i == first || !highlighting->words[i - 1].is_found);
        bool closes = word->is_found && (i + 1 == end || !highlighting->words[i + 1].is_found);
        code = append_text(highlighting, to, from, word->start);
        if (code == POLARYS_OK && opens) {
            code = buffer_append_byte(to, MARK_START);
        }
        if (code == POLARYS_OK) {
            code = append_text(highlighting, to, word->start, word->end);
        }
        if (code == POLARYS_OK && closes) {
            code = buffer_append_byte(to, MARK_END);
        }
    }
    return code == POLARYS_OK ? buffer_append_byte(to, 0) : code;
}

static enum polarys_code append_pieces(const struct highlighting *highlighting, struct buffer *to,
                                       size_t *count)
{
    size_t from = 0;
    for (size_t i = 0; i < highlighting->word_count && *count < SEARCH_HIGHLIGHTS_MAX; i++) {
        size_t first;
        size_t end;
        if (!highlighting->words[i].is_found) {
            continue;
        }
        piece_choose(highlighting, i, from, &first, &end);
        enum polarys_code code = append_piece(highlighting, to, first, end);
        if (code != POLARYS_OK) {
            return code;
        }
        (*count)++;
        from = end;
        i = end - 1;
    }
    return POLARYS_OK;
}

enum polarys_code search_highlight(const struct search_query *query, struct polarys_slice text,
                                   struct buffer *pieces, size_t *count, struct polarys_error *err)
{
    struct search_analyzer *analyzer;
    struct highlighting highlighting = {.query = query, .text = text};
    enum polarys_code code = search_analyzer_acquire(query->language, &analyzer, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = search_words_each(analyzer, text, note_word, &highlighting, err);
    search_analyzer_release(analyzer);
    if (code == POLARYS_OK) {
        node_mark(&highlighting, query->root);
        code = append_pieces(&highlighting, pieces, count);
    }
    free(highlighting.words);
    buffer_deinit(&highlighting.terms);
    return code == POLARYS_OK ? code
                              : polarys_fail(err, code, "no memory for pieces of a document");
}
