/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of searches, and texts to be indexed, which both come from users: any bytes give a search or
 * BAD_FILTER at a place within the text; a search runs; entries ascend; highlights are well-formed.
 */
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/search/search_query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Entries on their way into memory, watched for their order. */
struct watch {
    struct search_memory *memory;
    struct buffer last;
};

static enum polarys_code watch_put(void *context, struct polarys_slice key,
                                   struct polarys_slice value)
{
    struct watch *watch = context;
    POLARYS_ASSERT(slice_compare(buffer_slice(&watch->last), key) < 0);
    buffer_clear(&watch->last);
    enum polarys_code code = buffer_append_slice(&watch->last, key);
    return code == POLARYS_OK ? search_memory_put(watch->memory, key, value) : code;
}

static struct search_memory *index_text(struct polarys_slice text)
{
    static const char *const keys[] = {"a", "b"};
    struct search_memory *memory;
    enum polarys_code code = search_memory_create(&memory, NULL);
    POLARYS_ASSERT(code == POLARYS_OK);
    for (size_t i = 0; i < 2; i++) {
        struct watch watch = {.memory = memory};
        /* Once as it is, once cut in two. */
        struct polarys_slice texts[2] = {slice_make(text.data, text.size / (i + 1)),
                                         slice_make(text.data + text.size / 2, text.size / 2)};
        struct search_source source = {1, 2, slice_from_text(keys[i]), 0, "english", texts, i + 1};
        code = search_entries_make(&source, watch_put, &watch, NULL);
        POLARYS_ASSERT(code == POLARYS_OK);
        buffer_deinit(&watch.last);
    }
    return memory;
}

static void search(const struct search_query *query, struct search_memory *memory)
{
    struct search_view view = search_memory_view(memory);
    struct search_options options = {.database_id = 1, .index_id = 2, .top_max = 1};
    struct search_collector *collector;
    enum polarys_code code = search_collector_create(query, &options, &view, &collector, NULL);
    if (code == POLARYS_OK) {
        const struct search_top *tops;
        code = search_collector_run(collector, &view, NULL);
        POLARYS_ASSERT(search_collector_finish(collector, &tops) <= 1);
        POLARYS_ASSERT(search_collector_total(collector) <= 2);
        search_collector_destroy(collector);
    }
    POLARYS_ASSERT(code == POLARYS_OK || code == POLARYS_MEMORY_LIMIT);
}

static void highlight(const struct search_query *query, struct polarys_slice text)
{
    struct buffer pieces = {0};
    size_t count = 0;
    size_t piece_count = 0;
    bool is_open = false;
    enum polarys_code code = search_highlight(query, text, &pieces, &count, NULL);
    POLARYS_ASSERT(code == POLARYS_OK && count <= SEARCH_HIGHLIGHTS_MAX);
    for (size_t i = 0; i < pieces.size; i++) {
        POLARYS_ASSERT(pieces.data[i] > 2 || is_open == (pieces.data[i] == 2));
        is_open = pieces.data[i] == 1 || (is_open && pieces.data[i] != 2);
        piece_count += pieces.data[i] == 0 ? 1 : 0;
    }
    POLARYS_ASSERT(piece_count == count);
    buffer_deinit(&pieces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t nothing[1];
    struct polarys_slice text = slice_make(size == 0 ? nothing : data, size);
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct search_query *query;
    enum polarys_code code = search_query_parse(text, "english", &query, &err);
    if (code == POLARYS_BAD_FILTER) {
        const char *position = polarys_error_detail_find(&err, "position");
        POLARYS_ASSERT(position != NULL);
        POLARYS_ASSERT(strtoull(position, NULL, 10) <= size);
        return 0;
    }
    POLARYS_ASSERT(code == POLARYS_OK || code == POLARYS_TOO_LARGE);
    if (code != POLARYS_OK) {
        return 0;
    }
    struct search_memory *memory = index_text(text);
    search(query, memory);
    highlight(query, text);
    search_memory_destroy(memory);
    search_query_destroy(query);
    return 0;
}
