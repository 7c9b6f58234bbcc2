/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building batches: each operation is checked, its table found, its bytes copied. Nothing is read and
 * nothing is decided here; that is done when the batch is prepared.
 *
 * A batch of a few small operations allocates nothing once it has been used before.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/batch_internal.h"

/* A batch's own limits come first: this bounds what they and the ends of blocks take together. */
enum {
    BATCH_ARENA_BUDGET = 2 * POLARYS_BATCH_BYTES_MAX + POLARYS_BATCH_OPERATIONS_MAX * 64,
    BATCH_ARENA_SLACK = 64, /* at most what a block of an arena takes beside what is asked for */
};

static struct batch_array array_inline(void *items, size_t capacity)
{
    struct batch_array array = {.items = items, .capacity = capacity};
    return array;
}

static void array_deinit(struct batch_array *array)
{
    if (array->is_heap) {
        free(array->items);
    }
}

void *batch_array_next(struct batch_array *array, size_t item_size)
{
    if (array->count == array->capacity) {
        size_t capacity = array->capacity == 0 ? BATCH_INLINE : 2 * array->capacity;
        void *grown = realloc(array->is_heap ? array->items : NULL, capacity * item_size);
        if (grown == NULL) {
            return NULL;
        }
        if (!array->is_heap && array->count > 0) {
            memcpy(grown, array->items, array->count * item_size);
        }
        array->items = grown;
        array->capacity = capacity;
        array->is_heap = true;
    }
    return (uint8_t *)array->items + array->count * item_size;
}

static enum polarys_code fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a batch");
}

enum polarys_code batch_fail_arena(const struct arena *arena, size_t size,
                                   struct polarys_error *err)
{
    if (arena->budget_max - arena->total >= size + BATCH_ARENA_SLACK) {
        return fail_memory(err);
    }
    enum polarys_code code =
        polarys_fail(err, POLARYS_TOO_LARGE, "what one batch copies takes more than %zu bytes",
                     arena->budget_max);
    polarys_error_detail_set(err, "limit", "%zu", arena->budget_max);
    return code;
}

static enum polarys_code fail_copy(const struct polarys_batch *batch, size_t size,
                                   struct polarys_error *err)
{
    return batch_fail_arena(&batch->arena, size, err);
}

enum polarys_code polarys_batch_create(struct polarys_db *db, const char *database,
                                       struct polarys_batch **out, struct polarys_error *err)
{
    *out = NULL;
    struct polarys_batch *batch = malloc(sizeof(*batch));
    if (batch == NULL) {
        return fail_memory(err);
    }
    /* What is large is left as it is: the inline arrays and the error. */
    memset(batch, 0, offsetof(struct polarys_batch, error));
    polarys_error_clear(&batch->error);
    batch->db = db;
    arena_init(&batch->arena, BATCH_ARENA_BUDGET);
    arena_init(&batch->made, BATCH_ARENA_BUDGET);
    batch->operations = array_inline(batch->operations_inline, BATCH_INLINE);
    batch->requirements = array_inline(batch->requirements_inline, 1);
    batch->tables = array_inline(batch->tables_inline, 2);
    batch->effects = array_inline(batch->effects_inline, BATCH_INLINE);
    batch->entries = array_inline(batch->entries_inline, 2 * (size_t)BATCH_INLINE);
    batch->read_keys = array_inline(batch->read_keys_inline, BATCH_INLINE);
    enum polarys_code code = polarys_batch_reset(batch, database, err);
    if (code != POLARYS_OK) {
        polarys_batch_destroy(batch);
        return code;
    }
    *out = batch;
    return POLARYS_OK;
}

void polarys_batch_destroy(struct polarys_batch *batch)
{
    if (batch == NULL) {
        return;
    }
    POLARYS_ASSERT(!batch->is_submitted);
    array_deinit(&batch->operations);
    array_deinit(&batch->requirements);
    array_deinit(&batch->tables);
    array_deinit(&batch->own_read_keys);
    array_deinit(&batch->own_read_ranges);
    array_deinit(&batch->effects);
    array_deinit(&batch->ranges);
    array_deinit(&batch->entries);
    array_deinit(&batch->read_keys);
    array_deinit(&batch->read_ranges);
    array_deinit(&batch->index_changes);
    buffer_deinit(&batch->encoded);
    arena_deinit(&batch->arena);
    arena_deinit(&batch->made);
    free(batch);
}

void batch_clear(struct polarys_batch *batch)
{
    POLARYS_ASSERT(!batch->is_submitted);
    arena_reset(&batch->arena);
    batch->operations.count = 0;
    batch->requirements.count = 0;
    batch->tables.count = 0;
    batch->own_read_keys.count = 0;
    batch->own_read_ranges.count = 0;
    batch->bytes = 0;
    batch->range_count = 0;
    batch->changes_schema = false;
    batch->is_system = false;
    batch->has_logical_hash = false;
    batch->has_own_read_version = false;
    batch->has_own_schema_version = false;
    batch->catalog_version = UINT64_MAX;
}

enum polarys_code polarys_batch_reset(struct polarys_batch *batch, const char *database,
                                      struct polarys_error *err)
{
    batch_clear(batch);
    enum polarys_code code = db_database_find(batch->db, database, &batch->database_id, err);
    if (code == POLARYS_OK) {
        const char *name = db_database_name(database);
        memcpy(batch->database, name, strlen(name) + 1);
    }
    return code;
}

/* The id of `name`, found once a batch. */
static enum polarys_code batch_table(struct polarys_batch *batch, const char *name, uint32_t *id,
                                     struct polarys_error *err)
{
    name = name == NULL ? "" : name;
    size_t size = strnlen(name, POLARYS_NAME_BYTES_MAX + 1);
    const struct batch_table *tables = batch->tables.items;
    for (size_t i = batch->tables.count; i > 0; i--) {
        if (tables[i - 1].name_size == size && memcmp(tables[i - 1].name, name, size) == 0) {
            *id = tables[i - 1].id;
            return POLARYS_OK;
        }
    }
    uint64_t catalog_version;
    enum polarys_code code =
        db_table_find(batch->db, batch->database_id, name, id, &catalog_version, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (batch->tables.count == BATCH_TABLES_MAX) {
        code = polarys_fail(err, POLARYS_TOO_LARGE, "a batch touches at most %d tables",
                            BATCH_TABLES_MAX);
        polarys_error_detail_set(err, "limit", "%d", BATCH_TABLES_MAX);
        return code;
    }
    struct batch_table *table = batch_array_next(&batch->tables, sizeof(*table));
    if (table == NULL) {
        return fail_memory(err);
    }
    table->id = *id;
    table->name_size = size;
    memcpy(table->name, name, size);
    table->name[size] = '\0';
    batch->tables.count++;
    if (catalog_version < batch->catalog_version) {
        batch->catalog_version = catalog_version;
    }
    return POLARYS_OK;
}

/* Checks the limits for one operation more of `bytes`. */
static enum polarys_code batch_check_room(const struct polarys_batch *batch, size_t bytes,
                                          struct polarys_error *err)
{
    size_t count = batch->operations.count + batch->requirements.count;
    if (count >= POLARYS_BATCH_OPERATIONS_MAX) {
        enum polarys_code code =
            polarys_fail(err, POLARYS_TOO_LARGE, "a batch holds at most %d operations",
                         POLARYS_BATCH_OPERATIONS_MAX);
        polarys_error_detail_set(err, "limit", "%d", POLARYS_BATCH_OPERATIONS_MAX);
        polarys_error_detail_set(err, "size", "%zu", count + 1);
        return code;
    }
    if (bytes > POLARYS_BATCH_BYTES_MAX - batch->bytes) {
        enum polarys_code code = polarys_fail(
            err, POLARYS_TOO_LARGE, "a batch holds at most %d bytes", POLARYS_BATCH_BYTES_MAX);
        polarys_error_detail_set(err, "limit", "%d", POLARYS_BATCH_BYTES_MAX);
        polarys_error_detail_set(err, "size", "%zu", batch->bytes + bytes);
        return code;
    }
    return POLARYS_OK;
}

/* A tree key in the arena; NULL data for lack of memory. */
static struct polarys_slice make_key(struct polarys_batch *batch, uint32_t table_id,
                                     struct polarys_slice key)
{
    uint8_t *bytes = arena_alloc(&batch->arena, TREE_KEY_PREFIX_SIZE + key.size);
    if (bytes == NULL) {
        return slice_make(NULL, 0);
    }
    tree_key_put_prefix(bytes, batch->database_id, table_id);
    if (key.size > 0) {
        memcpy(bytes + TREE_KEY_PREFIX_SIZE, key.data, key.size);
    }
    return slice_make(bytes, TREE_KEY_PREFIX_SIZE + key.size);
}

static struct polarys_slice copy_bytes(struct polarys_batch *batch, struct polarys_slice bytes)
{
    return slice_make(arena_copy(&batch->arena, bytes), bytes.size);
}

/* Table, key and limits of an operation on one key; `bytes` beside the key's. */
static enum polarys_code begin_operation(struct polarys_batch *batch, const char *table,
                                         struct polarys_slice key, size_t bytes,
                                         struct batch_operation **operation,
                                         struct polarys_error *err)
{
    POLARYS_ASSERT(!batch->is_submitted);
    uint32_t table_id;
    enum polarys_code code = batch_table(batch, table, &table_id, err);
    if (code == POLARYS_OK) {
        code = db_key_check(key, err);
    }
    if (code == POLARYS_OK) {
        code = batch_check_room(batch, key.size + bytes + BATCH_OVERHEAD_BYTES, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    *operation = batch_array_next(&batch->operations, sizeof(**operation));
    if (*operation == NULL) {
        return fail_memory(err);
    }
    **operation = (struct batch_operation){.key = make_key(batch, table_id, key)};
    return (*operation)->key.data == NULL ? fail_memory(err) : POLARYS_OK;
}

static void end_operation(struct polarys_batch *batch, const struct batch_operation *operation)
{
    batch->bytes +=
        operation->key.size - TREE_KEY_PREFIX_SIZE + operation->value.size + BATCH_OVERHEAD_BYTES;
    batch->operations.count++;
}

static enum polarys_code check_value_size(const struct polarys_batch *batch, size_t size,
                                          struct polarys_error *err)
{
    uint32_t limit = batch->db->settings.value_bytes_max;
    if (size <= limit) {
        return POLARYS_OK;
    }
    enum polarys_code code =
        polarys_fail(err, POLARYS_TOO_LARGE, "a value has at most %u bytes, not %zu", limit, size);
    polarys_error_detail_set(err, "limit", "%u", limit);
    polarys_error_detail_set(err, "size", "%zu", size);
    return code;
}

static enum polarys_code check_expiry(struct polarys_batch *batch, uint64_t expires_at_ms,
                                      struct polarys_error *err)
{
    if (expires_at_ms == 0 || expires_at_ms > clock_wall_ms(batch->db->clock)) {
        return POLARYS_OK;
    }
    enum polarys_code code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "expires_at lies in the past");
    polarys_error_detail_set(err, "field", "expires_at");
    return code;
}

static enum polarys_code check_value(struct polarys_batch *batch, const struct polarys_value *value,
                                     struct polarys_error *err)
{
    enum polarys_code code = check_value_size(batch, value->bytes.size, err);
    if (code == POLARYS_OK) {
        code = check_expiry(batch, value->expires_at_ms, err);
    }
    if (code != POLARYS_OK || value->kind == POLARYS_VALUE_RAW) {
        return code;
    }
    if (value->kind != POLARYS_VALUE_JSON) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "unknown kind of value");
    }
    return json_check(value->bytes, err);
}

enum polarys_code polarys_batch_put(struct polarys_batch *batch, const char *table,
                                    struct polarys_slice key, const struct polarys_value *value,
                                    struct polarys_error *err)
{
    struct batch_operation *operation;
    enum polarys_code code = begin_operation(batch, table, key, value->bytes.size, &operation, err);
    if (code == POLARYS_OK) {
        code = check_value(batch, value, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    struct stored_value stored = {.is_json = value->kind == POLARYS_VALUE_JSON,
                                  .expires_at_ms = value->expires_at_ms,
                                  .bytes = value->bytes};
    /* A buffer over arena memory that is large enough never grows. */
    struct buffer to = {.capacity = STORED_VALUE_HEADER_MAX + value->bytes.size};
    to.data = arena_alloc(&batch->arena, to.capacity);
    if (to.data == NULL || stored_value_encode(&to, &stored) != POLARYS_OK) {
        return fail_memory(err);
    }
    operation->kind = BATCH_PUT;
    operation->value = buffer_slice(&to);
    operation->expires_at_ms = value->expires_at_ms;
    end_operation(batch, operation);
    return POLARYS_OK;
}

enum polarys_code polarys_batch_delete(struct polarys_batch *batch, const char *table,
                                       struct polarys_slice key, bool must_look,
                                       struct polarys_error *err)
{
    struct batch_operation *operation;
    enum polarys_code code = begin_operation(batch, table, key, 0, &operation, err);
    if (code == POLARYS_OK) {
        operation->kind = BATCH_DELETE;
        operation->must_look = must_look;
        end_operation(batch, operation);
    }
    return code;
}

enum polarys_code polarys_batch_update(struct polarys_batch *batch, const char *table,
                                       struct polarys_slice key, struct polarys_slice json_patch,
                                       uint64_t expires_at_ms, struct polarys_error *err)
{
    struct batch_operation *operation;
    enum polarys_code code = begin_operation(batch, table, key, json_patch.size, &operation, err);
    if (code == POLARYS_OK) {
        code = check_value_size(batch, json_patch.size, err);
    }
    if (code == POLARYS_OK && expires_at_ms != UINT64_MAX) {
        code = check_expiry(batch, expires_at_ms, err);
    }
    if (code == POLARYS_OK) {
        code = json_check(json_patch, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    operation->kind = BATCH_UPDATE;
    operation->value = copy_bytes(batch, json_patch);
    operation->expires_at_ms = expires_at_ms;
    if (operation->value.data == NULL) {
        return fail_memory(err);
    }
    end_operation(batch, operation);
    return POLARYS_OK;
}

static enum polarys_code check_range(const struct polarys_batch *batch, struct polarys_slice start,
                                     struct polarys_slice end, struct polarys_error *err)
{
    if (start.size > POLARYS_KEY_BYTES_MAX || end.size > POLARYS_KEY_BYTES_MAX) {
        return polarys_fail(err, POLARYS_BAD_KEY, "a bound of a range has at most %d bytes",
                            POLARYS_KEY_BYTES_MAX);
    }
    if (end.size > 0 && slice_compare(start, end) >= 0) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "the range ends before it starts");
    }
    if (batch->range_count >= BATCH_RANGE_DELETES_MAX) {
        enum polarys_code code =
            polarys_fail(err, POLARYS_TOO_LARGE, "a batch holds at most %d range deletes",
                         BATCH_RANGE_DELETES_MAX);
        polarys_error_detail_set(err, "limit", "%d", BATCH_RANGE_DELETES_MAX);
        return code;
    }
    return batch_check_room(batch, start.size + end.size + BATCH_OVERHEAD_BYTES, err);
}

enum polarys_code polarys_batch_delete_range(struct polarys_batch *batch, const char *table,
                                             struct polarys_slice start, struct polarys_slice end,
                                             struct polarys_error *err)
{
    POLARYS_ASSERT(!batch->is_submitted);
    uint32_t table_id;
    enum polarys_code code = batch_table(batch, table, &table_id, err);
    if (code == POLARYS_OK) {
        code = check_range(batch, start, end, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    struct batch_operation *operation = batch_array_next(&batch->operations, sizeof(*operation));
    if (operation == NULL) {
        return fail_memory(err);
    }
    /* To the end of the table is up to the first key of the next one. */
    *operation = (struct batch_operation){
        .kind = BATCH_DELETE_RANGE,
        .key = make_key(batch, table_id, start),
        .value = end.size > 0 ? make_key(batch, table_id, end) : make_key(batch, table_id + 1, end),
    };
    if (operation->key.data == NULL || operation->value.data == NULL) {
        return fail_memory(err);
    }
    end_operation(batch, operation);
    batch->range_count++;
    return POLARYS_OK;
}

static enum polarys_code check_condition(const struct polarys_precondition *condition,
                                         struct polarys_error *err)
{
    switch (condition->kind) {
    case POLARYS_PRECONDITION_MUST_EXIST:
    case POLARYS_PRECONDITION_MUST_NOT_EXIST:
    case POLARYS_PRECONDITION_VERSION_EQUALS:
        return POLARYS_OK;
    case POLARYS_PRECONDITION_FIELD_EQUALS:
        if (condition->field.size == 0 || condition->field.size > BATCH_FIELD_BYTES_MAX) {
            return polarys_fail(err, POLARYS_BAD_ARGUMENT, "the path of a field has 1 to %d bytes",
                                BATCH_FIELD_BYTES_MAX);
        }
        return json_check(condition->expected, err);
    default:
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "unknown kind of precondition");
    }
}

enum polarys_code polarys_batch_require(struct polarys_batch *batch, const char *table,
                                        struct polarys_slice key,
                                        const struct polarys_precondition *precondition,
                                        struct polarys_error *err)
{
    POLARYS_ASSERT(!batch->is_submitted);
    bool has_field = precondition->kind == POLARYS_PRECONDITION_FIELD_EQUALS;
    size_t bytes = key.size + BATCH_OVERHEAD_BYTES;
    bytes += has_field ? precondition->field.size + precondition->expected.size : 0;
    uint32_t table_id;
    enum polarys_code code = batch_table(batch, table, &table_id, err);
    if (code == POLARYS_OK) {
        code = db_key_check(key, err);
    }
    if (code == POLARYS_OK) {
        code = check_condition(precondition, err);
    }
    if (code == POLARYS_OK) {
        code = batch_check_room(batch, bytes, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    struct batch_requirement *requirement =
        batch_array_next(&batch->requirements, sizeof(*requirement));
    if (requirement == NULL) {
        return fail_memory(err);
    }
    requirement->key = make_key(batch, table_id, key);
    requirement->condition = *precondition;
    if (has_field) {
        requirement->condition.field = copy_bytes(batch, precondition->field);
        requirement->condition.expected = copy_bytes(batch, precondition->expected);
    }
    if (requirement->key.data == NULL ||
        (has_field && (requirement->condition.field.data == NULL ||
                       requirement->condition.expected.data == NULL))) {
        return fail_memory(err);
    }
    batch->bytes += bytes;
    batch->requirements.count++;
    return POLARYS_OK;
}

enum polarys_code batch_add_system(struct polarys_batch *batch, enum entry_kind kind,
                                   struct polarys_slice tree_key, struct polarys_slice value,
                                   struct polarys_error *err)
{
    struct batch_operation *operation = batch_array_next(&batch->operations, sizeof(*operation));
    if (operation == NULL) {
        return fail_memory(err);
    }
    *operation = (struct batch_operation){
        .kind = kind == ENTRY_PUT      ? BATCH_PUT
                : kind == ENTRY_DELETE ? BATCH_DELETE
                                       : BATCH_DELETE_RANGE,
        .is_put_system = true,
        .key = copy_bytes(batch, tree_key),
        .value = copy_bytes(batch, value),
    };
    if (operation->key.data == NULL || operation->value.data == NULL) {
        return fail_copy(batch, tree_key.size > value.size ? tree_key.size : value.size, err);
    }
    batch->is_system = true;
    end_operation(batch, operation);
    return POLARYS_OK;
}

enum polarys_code batch_add_read_key(struct polarys_batch *batch, struct polarys_slice tree_key,
                                     struct polarys_error *err)
{
    struct polarys_slice *key = batch_array_next(&batch->own_read_keys, sizeof(*key));
    struct polarys_slice copy = copy_bytes(batch, tree_key);
    if (key == NULL || copy.data == NULL) {
        return copy.data == NULL ? fail_copy(batch, tree_key.size, err) : fail_memory(err);
    }
    *key = copy;
    batch->own_read_keys.count++;
    return POLARYS_OK;
}

enum polarys_code batch_borrow_read_key(struct polarys_batch *batch, struct polarys_slice tree_key,
                                        struct polarys_error *err)
{
    struct polarys_slice *key = batch_array_next(&batch->own_read_keys, sizeof(*key));
    if (key == NULL) {
        return fail_memory(err);
    }
    *key = tree_key;
    batch->own_read_keys.count++;
    return POLARYS_OK;
}

enum polarys_code batch_borrow_read_range(struct polarys_batch *batch, struct commit_range range,
                                          struct polarys_error *err)
{
    struct commit_range *to = batch_array_next(&batch->own_read_ranges, sizeof(*to));
    if (to == NULL) {
        return fail_memory(err);
    }
    *to = range;
    batch->own_read_ranges.count++;
    return POLARYS_OK;
}

size_t polarys_batch_operation_count(const struct polarys_batch *batch)
{
    return batch->operations.count;
}

size_t polarys_batch_bytes(const struct polarys_batch *batch)
{
    return batch->bytes;
}
