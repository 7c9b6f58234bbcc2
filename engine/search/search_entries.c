/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of one document: its words gathered, sorted, and written one entry a term.
 *
 * Invariant: a document's positions ascend, and the first word of a text lies two behind the last of the text
 * before, so no phrase spans both.
 */
#include "engine/search/search_posting.h"

#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/search/search_analysis.h"

/* One word of the document. */
struct gathered_word {
    uint32_t offset; /* of its term in the bytes gathered */
    uint32_t size;
    uint32_t position;
};

struct gathering {
    struct buffer bytes;
    struct gathered_word *words;
    size_t word_count;
    size_t word_capacity;
    uint32_t position; /* of the next word */
    struct polarys_error *err;
};

static enum polarys_code gather_word(void *context, const struct search_word *word)
{
    struct gathering *gathering = context;
    if (gathering->word_count == SEARCH_DOCUMENT_WORDS_MAX) {
        return polarys_fail(gathering->err, POLARYS_TOO_LARGE,
                            "a document has more than %d words to index",
                            SEARCH_DOCUMENT_WORDS_MAX);
    }
    if (gathering->word_count == gathering->word_capacity) {
        size_t capacity = gathering->word_capacity == 0 ? 64 : gathering->word_capacity * 2;
        struct gathered_word *words = realloc(gathering->words, capacity * sizeof(*words));
        if (words == NULL) {
            return polarys_fail(gathering->err, POLARYS_NO_MEMORY, "no memory to index text");
        }
        gathering->words = words;
        gathering->word_capacity = capacity;
    }
    struct gathered_word *added = &gathering->words[gathering->word_count];
    added->offset = (uint32_t)gathering->bytes.size;
    added->size = (uint32_t)word->term.size;
    added->position = gathering->position++;
    if (buffer_append_slice(&gathering->bytes, word->term) != POLARYS_OK) {
        return polarys_fail(gathering->err, POLARYS_NO_MEMORY, "no memory to index text");
    }
    gathering->word_count++;
    return POLARYS_OK;
}

static struct polarys_slice word_term(const struct gathering *gathering,
                                      const struct gathered_word *word)
{
    return slice_make(gathering->bytes.data + word->offset, word->size);
}

/* Terms ascending, positions ascending within. */
static int word_order(const void *a, const void *b, void *context)
{
    const struct gathered_word *left = a;
    const struct gathered_word *right = b;
    int order = slice_compare(word_term(context, left), word_term(context, right));
    return order != 0 ? order
                      : (left->position > right->position) - (left->position < right->position);
}

/* One posting: the words [first, end) have one term. */
static enum polarys_code posting_encode(const struct gathering *gathering, size_t first, size_t end,
                                        struct buffer *value)
{
    uint32_t previous = 0;
    enum polarys_code code = buffer_append_varint(value, end - first);
    for (size_t i = first; i < end && i - first < SEARCH_POSITIONS_MAX && code == POLARYS_OK; i++) {
        uint32_t position = gathering->words[i].position;
        code = buffer_append_varint(value, position - previous);
        previous = position;
    }
    return code;
}

/* How the entries of one document are made, once its words are gathered. */
struct entry_making {
    const struct search_source *source;
    struct gathering *gathering;
    struct buffer value; /* begins with the head */
    size_t head_size;
    uint8_t id[SEARCH_ID_SIZE_MAX];
    size_t id_size;
    uint8_t key[SEARCH_KEY_SIZE_MAX];
    enum polarys_code (*emit)(void *context, struct polarys_slice key, struct polarys_slice value);
    void *context;
};

static enum polarys_code emit_length(struct entry_making *making)
{
    size_t size = search_key_put_prefix(making->key, making->source->database_id,
                                        making->source->index_id, SEARCH_TAG_LENGTH);
    memcpy(making->key + size, making->id, making->id_size);
    return making->emit(making->context, slice_make(making->key, size + making->id_size),
                        buffer_slice(&making->value));
}

static enum polarys_code emit_posting(struct entry_making *making, size_t first, size_t end,
                                      struct polarys_error *err)
{
    const struct gathering *gathering = making->gathering;
    making->value.size = making->head_size;
    if (posting_encode(gathering, first, end, &making->value) != POLARYS_OK) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to index text");
    }
    size_t size =
        search_key_put_term(making->key, making->source->database_id, making->source->index_id,
                            word_term(gathering, &gathering->words[first]));
    memcpy(making->key + size, making->id, making->id_size);
    return making->emit(making->context, slice_make(making->key, size + making->id_size),
                        buffer_slice(&making->value));
}

static enum polarys_code entries_emit(struct entry_making *making, struct polarys_error *err)
{
    const struct gathering *gathering = making->gathering;
    struct search_document_head head = {.length = (uint32_t)gathering->word_count,
                                        .expires_at_ms = making->source->expires_at_ms};
    making->id_size = search_id_put(making->id, making->source->document_key);
    if (search_id_is_hashed(making->id_size)) {
        head.document_key = making->source->document_key;
    }
    if (search_head_encode(&making->value, &head) != POLARYS_OK) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to index text");
    }
    making->head_size = making->value.size;
    enum polarys_code code = emit_length(making);
    size_t term_count = 0;
    for (size_t first = 0; first < gathering->word_count && code == POLARYS_OK;) {
        struct polarys_slice term = word_term(gathering, &gathering->words[first]);
        size_t end = first + 1;
        while (end < gathering->word_count &&
               slice_equal(word_term(gathering, &gathering->words[end]), term)) {
            end++;
        }
        if (++term_count > SEARCH_DOCUMENT_TERMS_MAX) {
            return polarys_fail(err, POLARYS_TOO_LARGE,
                                "a document has more than %d different words to index",
                                SEARCH_DOCUMENT_TERMS_MAX);
        }
        code = emit_posting(making, first, end, err);
        first = end;
    }
    return code;
}

static enum polarys_code texts_gather(const struct search_source *source,
                                      struct gathering *gathering, struct polarys_error *err)
{
    struct search_analyzer *analyzer;
    enum polarys_code code = search_analyzer_acquire(source->language, &analyzer, err);
    for (size_t i = 0; i < source->text_count && code == POLARYS_OK; i++) {
        size_t count = gathering->word_count;
        code = search_words_each(analyzer, source->texts[i], gather_word, gathering, err);
        gathering->position += gathering->word_count > count ? 1 : 0;
    }
    search_analyzer_release(analyzer);
    return code;
}

enum polarys_code search_entries_make(const struct search_source *source,
                                      enum polarys_code (*emit)(void *context,
                                                                struct polarys_slice key,
                                                                struct polarys_slice value),
                                      void *context, struct polarys_error *err)
{
    POLARYS_ASSERT(source->document_key.size > 0 && source->document_key.size <= USER_KEY_SIZE_MAX);
    struct gathering gathering = {.err = err};
    struct entry_making making = {
        .source = source, .gathering = &gathering, .emit = emit, .context = context};
    enum polarys_code code = texts_gather(source, &gathering, err);
    if (code == POLARYS_OK && gathering.word_count > 0) {
        qsort_r(gathering.words, gathering.word_count, sizeof(*gathering.words), word_order,
                &gathering);
        code = entries_emit(&making, err);
    }
    buffer_deinit(&making.value);
    buffer_deinit(&gathering.bytes);
    free(gathering.words);
    return code;
}
