/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets: the events of one table, decoded once, shared by all who watch it.
 *
 * Invariant: a packet holds whole commits, so who has given a packet has given whole commits. It is charged to
 * the memory limit once, however many watches hold it.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/watch_internal.h"

void watch_builder_deinit(struct watch_builder *builder)
{
    buffer_deinit(&builder->items);
    buffer_deinit(&builder->data);
}

static enum polarys_code fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the events of a watch");
}

/* Appends the item and its bytes, or nothing. */
static enum polarys_code item_append(struct watch_builder *builder, struct watch_item *item,
                                     struct polarys_slice key, struct polarys_slice value,
                                     struct polarys_error *err)
{
    item->key_at = builder->data.size;
    item->key_size = (uint32_t)key.size;
    item->value_at = builder->data.size + key.size;
    item->value_size = (uint32_t)value.size;
    if (buffer_reserve(&builder->data, key.size + value.size) != POLARYS_OK ||
        buffer_append(&builder->items, item, sizeof(*item)) != POLARYS_OK) {
        return fail_memory(err);
    }
    enum polarys_code code = buffer_append_slice(&builder->data, key);
    if (code == POLARYS_OK) {
        code = buffer_append_slice(&builder->data, value);
    }
    POLARYS_ASSERT(code == POLARYS_OK); /* reserved */
    return POLARYS_OK;
}

static struct polarys_slice user_key(struct polarys_slice tree_key)
{
    POLARYS_ASSERT(tree_key.size >= TREE_KEY_PREFIX_SIZE);
    return slice_make(tree_key.data + TREE_KEY_PREFIX_SIZE, tree_key.size - TREE_KEY_PREFIX_SIZE);
}

/* True when the range goes to the end of its table: its end is a place in another one. */
static bool is_open_ended(const struct entry *range)
{
    return memcmp(range->key.data, range->value.data, TREE_KEY_PREFIX_SIZE) != 0;
}

bool watch_commit_drops(const struct entry *operations, size_t operation_count)
{
    uint64_t catalog = watch_table_ref(SYSTEM_DATABASE_ID, SYSTEM_TABLE_CATALOG);
    for (size_t i = 0; i < operation_count; i++) {
        if (operations[i].kind == ENTRY_DELETE && get_u64_be(operations[i].key.data) == catalog) {
            return true;
        }
    }
    return false;
}

static enum polarys_code add_put(struct watch_builder *builder, struct watch_item *item,
                                 const struct entry *operation, struct polarys_error *err)
{
    struct stored_value stored;
    if (!stored_value_decode(operation->value, &stored)) {
        return polarys_fail(err, POLARYS_CORRUPT, "a value in the log has an unknown form");
    }
    item->kind = POLARYS_WATCH_PUT;
    item->is_json = stored.is_json;
    item->expires_at_ms = stored.expires_at_ms;
    return item_append(builder, item, user_key(operation->key), stored.bytes, err);
}

static enum polarys_code add_range(struct watch_builder *builder, struct watch_item *item,
                                   const struct entry *operation, bool is_drop,
                                   struct polarys_error *err)
{
    struct polarys_slice start = user_key(operation->key);
    bool is_open = is_open_ended(operation);
    struct polarys_slice end = is_open ? slice_make(NULL, 0) : user_key(operation->value);
    /* A drop is the delete of a catalogue record and of everything in the table. */
    item->kind = is_drop && is_open && start.size == 0 ? POLARYS_WATCH_TABLE_DROPPED
                                                       : POLARYS_WATCH_DELETE_RANGE;
    return item_append(builder, item, start, end, err);
}

enum polarys_code watch_builder_add(struct watch_builder *builder, uint64_t version,
                                    uint64_t time_unix_ms, const struct entry *operation,
                                    bool is_drop, struct polarys_error *err)
{
    struct watch_item item = {.version = version, .time_unix_ms = time_unix_ms};
    enum polarys_code code;
    POLARYS_ASSERT(version >= builder->last_version);
    switch (operation->kind) {
    case ENTRY_PUT:
        code = add_put(builder, &item, operation, err);
        break;
    case ENTRY_RANGE_DELETE:
        code = add_range(builder, &item, operation, is_drop, err);
        break;
    default:
        item.kind = POLARYS_WATCH_DELETE;
        code = item_append(builder, &item, user_key(operation->key), slice_make(NULL, 0), err);
    }
    if (code == POLARYS_OK) {
        builder->last_version = version;
    }
    return code;
}

enum polarys_code watch_builder_add_document(struct watch_builder *builder,
                                             const struct polarys_document *document,
                                             struct polarys_error *err)
{
    struct watch_item item = {.version = document->version,
                              .time_unix_ms = document->commit_time_unix_ms,
                              .expires_at_ms = document->value.expires_at_ms,
                              .kind = POLARYS_WATCH_SNAPSHOT_PUT,
                              .is_json = document->value.kind == POLARYS_VALUE_JSON};
    return item_append(builder, &item, document->key, document->value.bytes, err);
}

enum polarys_code watch_builder_add_snapshot_end(struct watch_builder *builder, uint64_t version,
                                                 uint64_t time_unix_ms, struct polarys_error *err)
{
    struct watch_item item = {
        .version = version, .time_unix_ms = time_unix_ms, .kind = POLARYS_WATCH_SNAPSHOT_END};
    return item_append(builder, &item, slice_make(NULL, 0), slice_make(NULL, 0), err);
}

enum polarys_code watch_builder_seal(struct watch_builder *builder,
                                     atomic_uint_fast64_t *memory_bytes, struct watch_packet **out,
                                     struct polarys_error *err)
{
    POLARYS_ASSERT(builder->items.size > 0);
    *out = NULL;
    struct watch_packet *packet = malloc(sizeof(*packet));
    if (packet == NULL) {
        return fail_memory(err);
    }
    atomic_init(&packet->reference_count, 1);
    packet->memory_bytes = memory_bytes;
    packet->last_version = builder->last_version;
    packet->item_count = builder->items.size / sizeof(struct watch_item);
    packet->items = (struct watch_item *)(void *)builder->items.data;
    packet->data = builder->data.data;
    packet->charged_bytes = sizeof(*packet) + builder->items.capacity + builder->data.capacity;
    atomic_fetch_add(memory_bytes, packet->charged_bytes);
    builder->items = (struct buffer){0};
    builder->data = (struct buffer){0};
    builder->last_version = 0;
    *out = packet;
    return POLARYS_OK;
}

void watch_packet_unref(struct watch_packet *packet)
{
    if (packet == NULL) {
        return;
    }
    unsigned before = atomic_fetch_sub(&packet->reference_count, 1);
    POLARYS_ASSERT(before > 0);
    if (before == 1) {
        atomic_fetch_sub(packet->memory_bytes, packet->charged_bytes);
        free(packet->items);
        free(packet->data);
        free(packet);
    }
}
