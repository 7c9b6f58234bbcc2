/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building a table file: entries fill data blocks, finished data blocks are listed in an index partition,
 * finished partitions, each with the filter of its keys, in the top index.
 *
 * A data block's index entry waits until the next key is known: its separator then is the shortest key
 * that is not below the block's last and below the next block's first. Every reader relies on
 * that: what is at or before a separator and after the one before is in that one block, or nowhere.
 */
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/checksum.h"
#include "engine/sst/block.h"
#include "engine/sst/filter.h"
#include "engine/sst/table_properties.h"
#include "engine/sst/table_writer.h"

struct table_builder {
    struct table_builder_options options;
    struct table_writer *writer;
    struct table_meta meta;
    struct table_footer footer;
    bool is_finished;

    struct block_builder data;
    struct block_builder index; /* of the partition being filled */
    struct block_builder top;
    struct buffer payload;   /* scratch */
    struct buffer separator; /* scratch */
    struct buffer last_key;
    uint64_t last_version;

    /* A written data block whose index entry waits for the next key. */
    bool has_waiting;
    struct table_handle waiting;

    struct buffer hashes; /* uint64_t of the partition's distinct keys */
    struct buffer ranges; /* struct range_delete, bounds as offsets into range_bytes until finish */
    struct buffer range_bytes;
};

static enum polarys_code out_of_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "table builder: out of memory");
}

enum polarys_code table_builder_create(const struct table_env *env,
                                       const struct table_builder_options *options,
                                       struct table_builder **out, struct polarys_error *err)
{
    POLARYS_ASSERT(options->block_bytes >= TABLE_BLOCK_BYTES_MIN &&
                   options->block_bytes <= TABLE_BLOCK_BYTES_MAX);
    *out = NULL;
    struct table_builder *builder = calloc(1, sizeof(*builder));
    if (builder == NULL) {
        return out_of_memory(err);
    }
    builder->options = *options;
    enum polarys_code code =
        table_writer_create(env, options->file_id, options->zstd_level, &builder->writer, err);
    if (code != POLARYS_OK) {
        table_builder_destroy(builder);
        return polarys_wrap(err, code, "create table %012llx",
                            (unsigned long long)options->file_id);
    }
    builder->meta.file_id = options->file_id;
    builder->meta.key_id = table_writer_key_id(builder->writer);
    *out = builder;
    return POLARYS_OK;
}

void table_builder_destroy(struct table_builder *builder)
{
    if (builder == NULL) {
        return;
    }
    table_writer_destroy(builder->writer);
    table_meta_deinit(&builder->meta);
    block_builder_deinit(&builder->data);
    block_builder_deinit(&builder->index);
    block_builder_deinit(&builder->top);
    buffer_deinit(&builder->payload);
    buffer_deinit(&builder->separator);
    buffer_deinit(&builder->last_key);
    buffer_deinit(&builder->hashes);
    buffer_deinit(&builder->ranges);
    buffer_deinit(&builder->range_bytes);
    free(builder);
}

static enum polarys_code set_buffer(struct buffer *buffer, struct polarys_slice bytes)
{
    buffer_clear(buffer);
    return buffer_append_slice(buffer, bytes);
}

/* Finishes a block and writes it. */
static enum polarys_code write_block(struct table_builder *builder, struct block_builder *block,
                                     enum table_block_kind kind, struct table_handle *handle,
                                     struct polarys_error *err)
{
    if (block_builder_finish(block, &builder->payload) != POLARYS_OK) {
        return out_of_memory(err);
    }
    return table_writer_block(builder->writer, kind, buffer_slice(&builder->payload), handle, err);
}

/*
 * The separator between the last entry and `next` (NULL at the end), into builder->separator; returns its
 * version. Where both have one key the last entry itself separates; else version 0, the last of its key.
 */
static enum polarys_code make_separator(struct table_builder *builder, const struct entry *next,
                                        uint64_t *version)
{
    struct polarys_slice last = buffer_slice(&builder->last_key);
    *version = 0;
    if (next == NULL) {
        return set_buffer(&builder->separator, last);
    }
    size_t end = last.size < next->key.size ? last.size : next->key.size;
    size_t shared = 0;
    while (shared < end && last.data[shared] == next->key.data[shared]) {
        shared++;
    }
    if (shared == last.size && shared == next->key.size) {
        *version = builder->last_version;
    }
    /* One byte more than is shared, raised by one, is above the last key; take it if it stays below the
     * next and is shorter. */
    if (shared < end && shared + 1 < last.size && last.data[shared] + 1 < next->key.data[shared]) {
        enum polarys_code code = set_buffer(&builder->separator, slice_make(last.data, shared + 1));
        if (code == POLARYS_OK) {
            builder->separator.data[shared]++;
        }
        return code;
    }
    return set_buffer(&builder->separator, last);
}

/* Writes the filter and the index of the partition and lists it in the top index under `separator`. */
static enum polarys_code finish_partition(struct table_builder *builder,
                                          const struct entry *separator, struct polarys_error *err)
{
    struct table_handle filter;
    struct table_handle index;
    enum polarys_code code = filter_build((const uint64_t *)(void *)builder->hashes.data,
                                          builder->hashes.size / sizeof(uint64_t),
                                          TABLE_FILTER_BITS_PER_KEY, &builder->payload);
    if (code != POLARYS_OK) {
        return out_of_memory(err);
    }
    buffer_clear(&builder->hashes);
    code = table_writer_block(builder->writer, TABLE_BLOCK_FILTER, buffer_slice(&builder->payload),
                              &filter, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = write_block(builder, &builder->index, TABLE_BLOCK_INDEX, &index, err);
    if (code != POLARYS_OK) {
        return code;
    }
    uint8_t value[2 * TABLE_HANDLE_SIZE_MAX];
    size_t size = table_handle_put(value, &index);
    size += table_handle_put(value + size, &filter);
    struct entry entry = *separator;
    entry.value = slice_make(value, size);
    builder->footer.partition_count++;
    return block_builder_add(&builder->top, &entry) == POLARYS_OK ? POLARYS_OK : out_of_memory(err);
}

/* Lists the waiting data block in the index, now that the entry after it (NULL at the end) is known. */
static enum polarys_code list_waiting(struct table_builder *builder, const struct entry *next,
                                      struct polarys_error *err)
{
    if (!builder->has_waiting) {
        return POLARYS_OK;
    }
    builder->has_waiting = false;
    struct entry separator = {.kind = ENTRY_PUT};
    if (make_separator(builder, next, &separator.version) != POLARYS_OK) {
        return out_of_memory(err);
    }
    uint8_t value[TABLE_HANDLE_SIZE_MAX];
    separator.key = buffer_slice(&builder->separator);
    separator.value = slice_make(value, table_handle_put(value, &builder->waiting));
    if (block_builder_add(&builder->index, &separator) != POLARYS_OK) {
        return out_of_memory(err);
    }
    if (next == NULL || block_builder_size(&builder->index) >= builder->options.block_bytes) {
        return finish_partition(builder, &separator, err);
    }
    return POLARYS_OK;
}

static enum polarys_code finish_data_block(struct table_builder *builder, struct polarys_error *err)
{
    POLARYS_ASSERT(!builder->has_waiting);
    enum polarys_code code =
        write_block(builder, &builder->data, TABLE_BLOCK_DATA, &builder->waiting, err);
    if (code == POLARYS_OK) {
        builder->has_waiting = true;
        builder->footer.data_block_count++;
    }
    return code;
}

static void count_version(struct table_meta *meta, uint64_t version)
{
    if (meta->oldest_version == 0 || version < meta->oldest_version) {
        meta->oldest_version = version;
    }
    if (version > meta->newest_version) {
        meta->newest_version = version;
    }
}

static void count_entry(struct table_meta *meta, const struct entry *entry)
{
    meta->entry_count++;
    meta->delete_count += entry->kind == ENTRY_DELETE;
    meta->raw_bytes += entry->key.size + entry->value.size;
    count_version(meta, entry->version);
}

/* Notes the key for the filter and for the next separator. */
static enum polarys_code note_key(struct table_builder *builder, const struct entry *entry)
{
    bool is_first = builder->hashes.size == 0;
    builder->last_version = entry->version;
    if (!is_first && slice_equal(buffer_slice(&builder->last_key), entry->key)) {
        return POLARYS_OK;
    }
    uint64_t hash = checksum_hash64(entry->key);
    enum polarys_code code = buffer_append(&builder->hashes, &hash, sizeof(hash));
    if (code == POLARYS_OK && builder->meta.entry_count == 0) {
        code = set_buffer(&builder->meta.smallest_key, entry->key);
    }
    return code == POLARYS_OK ? set_buffer(&builder->last_key, entry->key) : code;
}

enum polarys_code table_builder_add(struct table_builder *builder, const struct entry *entry,
                                    struct polarys_error *err)
{
    POLARYS_ASSERT(!builder->is_finished && entry->version != 0);
    POLARYS_ASSERT(builder->meta.entry_count == 0 ||
                   entry_compare(buffer_slice(&builder->last_key), builder->last_version,
                                 entry->key, entry->version) < 0);
    POLARYS_ASSERT(entry->value.size <= TABLE_VALUE_BYTES_MAX);
    enum polarys_code code = POLARYS_OK;
    if (builder->data.entry_count > 0 && entry->value.size >= builder->options.block_bytes) {
        /* A large value gets a block of its own: its neighbours are then read without it. */
        code = finish_data_block(builder, err);
    }
    if (code == POLARYS_OK) {
        code = list_waiting(builder, entry, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (note_key(builder, entry) != POLARYS_OK ||
        block_builder_add(&builder->data, entry) != POLARYS_OK) {
        return out_of_memory(err);
    }
    count_entry(&builder->meta, entry);
    if (block_builder_size(&builder->data) >= builder->options.block_bytes) {
        code = finish_data_block(builder, err);
    }
    return code;
}

enum polarys_code table_builder_add_range_delete(struct table_builder *builder,
                                                 const struct range_delete *range_delete,
                                                 struct polarys_error *err)
{
    POLARYS_ASSERT(!builder->is_finished && range_delete->version != 0);
    POLARYS_ASSERT(range_delete->start.size <= TREE_KEY_SIZE_MAX &&
                   range_delete->end.size <= TREE_KEY_SIZE_MAX);
    if (builder->meta.range_delete_count == RANGE_DELETE_INDEX_MAX) {
        return polarys_fail(err, POLARYS_TOO_LARGE, "more than %d range deletes in one table",
                            RANGE_DELETE_INDEX_MAX);
    }
    if (buffer_append(&builder->ranges, range_delete, sizeof(*range_delete)) != POLARYS_OK ||
        buffer_append_slice(&builder->range_bytes, range_delete->start) != POLARYS_OK ||
        buffer_append_slice(&builder->range_bytes, range_delete->end) != POLARYS_OK) {
        return out_of_memory(err);
    }
    builder->meta.range_delete_count++;
    builder->meta.raw_bytes += range_delete->start.size + range_delete->end.size;
    count_version(&builder->meta, range_delete->version);
    return POLARYS_OK;
}

uint64_t table_builder_bytes(const struct table_builder *builder)
{
    return table_writer_bytes(builder->writer) + block_builder_size(&builder->data);
}

/* Widens the key bounds by a range delete. */
static enum polarys_code widen(struct table_meta *meta, const struct range_delete *range,
                               bool is_first)
{
    enum polarys_code code = POLARYS_OK;
    if (is_first || slice_compare(range->start, buffer_slice(&meta->smallest_key)) < 0) {
        code = set_buffer(&meta->smallest_key, range->start);
    }
    if (code == POLARYS_OK &&
        (is_first || slice_compare(range->end, buffer_slice(&meta->largest_key)) > 0)) {
        code = set_buffer(&meta->largest_key, range->end);
    }
    return code;
}

/* Writes the range deletes. Their bounds lie one after the other in range_bytes. */
static enum polarys_code finish_ranges(struct table_builder *builder, struct polarys_error *err)
{
    struct table_meta *meta = &builder->meta;
    struct range_delete *list = (struct range_delete *)(void *)builder->ranges.data;
    size_t count = builder->ranges.size / sizeof(*list);
    const uint8_t *at = builder->range_bytes.data;
    if (set_buffer(&meta->largest_key, buffer_slice(&builder->last_key)) != POLARYS_OK) {
        return out_of_memory(err);
    }
    for (size_t i = 0; i < count; i++) {
        list[i].start.data = at;
        list[i].end.data = at + list[i].start.size;
        at += list[i].start.size + list[i].end.size;
        if (widen(meta, &list[i], i == 0 && meta->entry_count == 0) != POLARYS_OK) {
            return out_of_memory(err);
        }
    }
    if (count == 0) {
        return POLARYS_OK;
    }
    buffer_clear(&builder->payload);
    if (range_deletes_encode(list, count, &builder->payload) != POLARYS_OK) {
        return out_of_memory(err);
    }
    return table_writer_block(builder->writer, TABLE_BLOCK_RANGE_DELETES,
                              buffer_slice(&builder->payload), &builder->footer.range_deletes, err);
}

static enum polarys_code finish_index(struct table_builder *builder, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    if (builder->data.entry_count > 0) {
        code = finish_data_block(builder, err);
    }
    if (code == POLARYS_OK) {
        code = list_waiting(builder, NULL, err);
    }
    if (code == POLARYS_OK && builder->top.entry_count > 0) {
        code = write_block(builder, &builder->top, TABLE_BLOCK_TOP_INDEX,
                           &builder->footer.top_index, err);
    }
    return code;
}

enum polarys_code table_builder_finish(struct table_builder *builder, struct table_meta *meta,
                                       struct polarys_error *err)
{
    POLARYS_ASSERT(!builder->is_finished);
    builder->is_finished = true;
    *meta = (struct table_meta){0};
    enum polarys_code code = finish_index(builder, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = finish_ranges(builder, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    buffer_clear(&builder->payload);
    if (table_properties_encode(&builder->meta, &builder->options, &builder->payload) !=
        POLARYS_OK) {
        code = out_of_memory(err);
        goto fail;
    }
    code = table_writer_block(builder->writer, TABLE_BLOCK_PROPERTIES,
                              buffer_slice(&builder->payload), &builder->footer.properties, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = table_writer_finish(builder->writer, &builder->footer, builder->meta.footer_tag, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    builder->meta.file_bytes = table_writer_bytes(builder->writer);
    *meta = builder->meta;
    builder->meta = (struct table_meta){0};
    return POLARYS_OK;

fail:
    return polarys_wrap(err, code, "finish table %012llx",
                        (unsigned long long)builder->options.file_id);
}
