/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of a text index with any bytes, as a damaged or hostile store would hold them: searches and gathering
 * answer, or say CORRUPT. The input is a list of entries: a tag, a sized rest of the key, a sized value.
 */
#include "engine/base/assert.h"
#include "engine/search/search_posting.h"
#include "engine/search/search_query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum polarys_code ignore(void *context, struct polarys_slice key, struct polarys_slice value)
{
    (void)context;
    (void)value;
    POLARYS_ASSERT(search_key_is_statistics(key));
    return POLARYS_OK;
}

static void search(const char *text, const struct search_view *view)
{
    struct search_options options = {.database_id = 1, .index_id = 2, .top_max = 2, .judged_ms = 1};
    struct search_query *query;
    struct search_collector *collector;
    enum polarys_code code = search_query_parse(slice_from_text(text), "none", &query, NULL);
    POLARYS_ASSERT(code == POLARYS_OK);
    code = search_collector_create(query, &options, view, &collector, NULL);
    if (code == POLARYS_OK) {
        const struct search_top *tops;
        code = search_collector_run(collector, view, NULL);
        (void)search_collector_finish(collector, &tops);
        search_collector_destroy(collector);
    }
    POLARYS_ASSERT(code == POLARYS_OK || code == POLARYS_CORRUPT);
    search_query_destroy(query);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor cursor = {data, data + size};
    struct polarys_slice tag;
    struct polarys_slice rest;
    struct polarys_slice value;
    struct search_memory *memory;
    enum polarys_code code = search_memory_create(&memory, NULL);
    POLARYS_ASSERT(code == POLARYS_OK);
    while (cursor_take_bytes(&cursor, 1, &tag) && cursor_take_sized(&cursor, &rest) &&
           cursor_take_sized(&cursor, &value) && rest.size <= TREE_KEY_SIZE_MAX - 9) {
        uint8_t key[TREE_KEY_SIZE_MAX];
        size_t key_size = search_key_put_prefix(key, 1, 2, tag.data[0] % 5);
        if (rest.size > 0) {
            memcpy(key + key_size, rest.data, rest.size);
        }
        code = search_memory_put(memory, slice_make(key, key_size + rest.size), value);
        POLARYS_ASSERT(code == POLARYS_OK);
    }
    struct search_view view = search_memory_view(memory);
    search("a", &view);
    search("\"a b\" -c", &view);
    search("a* OR b", &view);
    struct search_gathering gathering = {.database_id = 1, .index_id = 2, .emit = ignore};
    code = search_statistics_gather(&gathering, &view, NULL);
    POLARYS_ASSERT(code == POLARYS_OK || code == POLARYS_CORRUPT);
    search_memory_destroy(memory);
    return 0;
}
