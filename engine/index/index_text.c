/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of a document in a text index: the strings of its fields go to engine/search, which makes terms
 * and entries of them.
 */
#include <stdlib.h>

#include "engine/document/document.h"
#include "engine/index/index_internal.h"
#include "engine/search/search.h"

/* A string of a field, where its characters lie in `characters`. */
struct text_piece {
    size_t field;
    size_t number; /* in the order found */
    size_t offset;
    size_t size;
};

struct text_gather {
    struct text_piece *pieces;
    size_t count;
    size_t capacity;
    struct buffer characters;
    bool is_out_of_memory;
};

static bool piece_add(struct text_gather *gather, size_t field, const struct json_value *value)
{
    if (gather->count == gather->capacity) {
        size_t capacity = gather->capacity == 0 ? 8 : 2 * gather->capacity;
        struct text_piece *pieces = realloc(gather->pieces, capacity * sizeof(*pieces));
        if (pieces == NULL) {
            return false;
        }
        gather->pieces = pieces;
        gather->capacity = capacity;
    }
    struct polarys_slice text;
    struct buffer scratch = {0};
    size_t offset = gather->characters.size;
    enum polarys_code code = json_string_text(value, &scratch, &text);
    if (code == POLARYS_OK) {
        code = buffer_append_slice(&gather->characters, text);
    }
    buffer_deinit(&scratch);
    if (code != POLARYS_OK) {
        return false;
    }
    gather->pieces[gather->count] =
        (struct text_piece){field, gather->count, offset, gather->characters.size - offset};
    gather->count++;
    return true;
}

static bool gather_text(void *context, size_t path, enum json_match_kind kind,
                        struct json_value value)
{
    struct text_gather *gather = context;
    if (kind == JSON_MATCH_VALUE && value.type == JSON_STRING) {
        gather->is_out_of_memory = !piece_add(gather, path, &value);
    }
    return !gather->is_out_of_memory;
}

static int piece_order(const void *a, const void *b)
{
    const struct text_piece *left = a;
    const struct text_piece *right = b;
    if (left->field != right->field) {
        return left->field < right->field ? -1 : 1;
    }
    return (left->number > right->number) - (left->number < right->number);
}

/* Keys and values come one behind the other in bytes, which may move: entries get their addresses at the
 * end. */
static enum polarys_code emit_entry(void *context, struct polarys_slice key,
                                    struct polarys_slice value)
{
    struct index_entries *entries = context;
    if (index_entries_reserve(entries, entries->count + 1) != POLARYS_OK ||
        buffer_append_slice(&entries->bytes, key) != POLARYS_OK ||
        buffer_append_slice(&entries->bytes, value) != POLARYS_OK) {
        return POLARYS_NO_MEMORY;
    }
    entries->list[entries->count++] = (struct index_entry){.key = slice_make(NULL, key.size),
                                                           .value = slice_make(NULL, value.size)};
    return POLARYS_OK;
}

static void entries_address(struct index_entries *entries)
{
    size_t at = 0;
    for (size_t i = 0; i < entries->count; i++) {
        struct index_entry *entry = &entries->list[i];
        entry->key.data = entries->bytes.data + at;
        at += entry->key.size;
        entry->value.data = entries->bytes.data + at;
        at += entry->value.size;
    }
    POLARYS_ASSERT(at == entries->bytes.size);
}

static enum polarys_code pieces_index(const struct index_definition *index,
                                      struct polarys_slice document_key,
                                      const struct stored_value *document,
                                      struct text_gather *gather, struct index_entries *entries,
                                      struct polarys_error *err)
{
    struct polarys_slice *texts = malloc(gather->count * sizeof(*texts));
    if (texts == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for entries of an index");
    }
    qsort(gather->pieces, gather->count, sizeof(*gather->pieces), piece_order);
    for (size_t i = 0; i < gather->count; i++) {
        texts[i] = slice_make(gather->characters.size == 0
                                  ? NULL
                                  : gather->characters.data + gather->pieces[i].offset,
                              gather->pieces[i].size);
    }
    struct search_source source = {
        .database_id = index->database_id,
        .index_id = index->id,
        .document_key = document_key,
        .expires_at_ms = document->expires_at_ms,
        .language = index->language,
        .texts = texts,
        .text_count = gather->count,
    };
    enum polarys_code code = search_entries_make(&source, emit_entry, entries, err);
    free(texts);
    if (code != POLARYS_OK) {
        code = polarys_wrap(err, code, "index \"%s\"", index->name);
        polarys_error_detail_set(err, "index", "%s", index->name);
    }
    return code;
}

enum polarys_code index_text_entries_make(const struct index_definition *index,
                                          struct polarys_slice document_key,
                                          const struct stored_value *document,
                                          struct index_entries *entries, struct polarys_error *err)
{
    struct text_gather gather = {0};
    enum polarys_code code = POLARYS_OK;
    if (document->is_json) {
        (void)json_paths_extract(index->paths, document->bytes, gather_text, &gather);
    }
    if (gather.is_out_of_memory) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for entries of an index");
    }
    if (code == POLARYS_OK && gather.count > 0) {
        code = pieces_index(index, document_key, document, &gather, entries, err);
    }
    free(gather.pieces);
    buffer_deinit(&gather.characters);
    entries_address(entries);
    return code;
}
