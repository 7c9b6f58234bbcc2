/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating and dropping indexes and moving them from state to state, as changes of the catalogue; and what
 * becomes of the indexes of a table that is dropped or emptied.
 *
 * Invariant: an index's record, its entries and what else is kept of it go in one commit.
 */
#include <string.h>

#include "engine/catalog_change.h"
#include "engine/index_state.h"

_Static_assert((int)POLARYS_INDEX_HASH == (int)INDEX_HASH &&
                   (int)POLARYS_INDEX_ORDERED == (int)INDEX_ORDERED &&
                   (int)POLARYS_INDEX_TEXT == (int)INDEX_TEXT,
               "kinds of indexes");
_Static_assert((int)POLARYS_INDEX_STATE_BUILDING == (int)INDEX_BUILDING &&
                   (int)POLARYS_INDEX_STATE_READY == (int)INDEX_READY &&
                   (int)POLARYS_INDEX_FAILED == (int)INDEX_FAILED,
               "states of indexes");
_Static_assert((int)POLARYS_INDEX_FIELDS_MAX == (int)INDEX_FIELDS_MAX &&
                   (int)POLARYS_FIELD_PATH_BYTES_MAX == (int)JSON_PATH_BYTES_MAX &&
                   (int)POLARYS_INDEX_ENTRIES_MAX == (int)INDEX_ENTRIES_MAX &&
                   (int)POLARYS_INDEX_KEY_BYTES_MAX == (int)INDEX_FIELDS_ENCODED_MAX &&
                   (int)POLARYS_NAME_BYTES_MAX == (int)INDEX_NAME_BYTES_MAX,
               "limits of indexes");

static enum polarys_code put_index_record(struct change *change,
                                          const struct index_definition *index,
                                          struct polarys_error *err)
{
    struct catalog_record record;
    struct buffer value = {0};
    catalog_record_index_key(&record, index);
    enum polarys_code code =
        index_record_encode(index, &value) == POLARYS_OK
            ? batch_add_system(change->batch, ENTRY_PUT, catalog_record_key(&record),
                               buffer_slice(&value), err)
            : change_fail_memory(err);
    buffer_deinit(&value);
    return code;
}

/* Its progress, statistics and the like. */
static enum polarys_code delete_states(struct change *change, uint32_t id,
                                       struct polarys_error *err)
{
    uint8_t start[INDEX_STATE_KEY_SIZE];
    uint8_t end[INDEX_STATE_KEY_SIZE];
    size_t size = index_state_bounds(id, start, end);
    return batch_add_system(change->batch, ENTRY_RANGE_DELETE, slice_make(start, size),
                            slice_make(end, size), err);
}

static enum polarys_code delete_progress(struct change *change, uint32_t id,
                                         struct polarys_error *err)
{
    uint8_t key[INDEX_STATE_KEY_SIZE];
    size_t size = index_state_key(key, id, INDEX_STATE_PROGRESS);
    return batch_add_system(change->batch, ENTRY_DELETE, slice_make(key, size), slice_make(NULL, 0),
                            err);
}

static enum polarys_code delete_index(struct change *change, const struct index_definition *index,
                                      struct polarys_error *err)
{
    struct catalog_record record;
    catalog_record_index_key(&record, index);
    enum polarys_code code = batch_add_system(
        change->batch, ENTRY_DELETE, catalog_record_key(&record), slice_make(NULL, 0), err);
    if (code == POLARYS_OK) {
        code = change_delete_keyspace(change, index->database_id, index->id, err);
    }
    return code == POLARYS_OK ? delete_states(change, index->id, err) : code;
}

enum polarys_code change_drop_table_indexes(struct change *change, uint32_t table_id,
                                            struct polarys_error *err)
{
    size_t count;
    struct index_definition *const *indexes =
        catalog_table_indexes(change->before, table_id, &count);
    enum polarys_code code = delete_states(change, table_id, err);
    for (size_t i = 0; i < count && code == POLARYS_OK; i++) {
        code = delete_index(change, indexes[i], err);
    }
    return code;
}

enum polarys_code change_empty_table_indexes(struct change *change, uint32_t table_id,
                                             struct polarys_error *err)
{
    size_t count;
    struct index_definition *const *indexes =
        catalog_table_indexes(change->before, table_id, &count);
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < count && code == POLARYS_OK; i++) {
        code = change_delete_keyspace(change, indexes[i]->database_id, indexes[i]->id, err);
    }
    return code;
}

/* ---- create ---- */

static enum polarys_code make_index(struct change *change, const struct catalog_table *table,
                                    struct polarys_error *err)
{
    const struct polarys_index_options *options = change->index_options;
    struct index_spec spec = {
        .database_id = table->database_id,
        .table_id = table->id,
        .id = change->after->next_table_id,
        .name = change->index_name,
        .kind = (enum index_kind)options->kind,
        .state = INDEX_BUILDING,
        .is_unique = options->is_unique,
        .fields = options->fields,
        .field_count = options->field_count,
        .language = options->language,
        .created_ms = db_now_ms(change->db),
    };
    if (options->name != NULL && options->name[0] != '\0') {
        enum polarys_code code = change_check_name("index", options->name, err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    return index_definition_create(&spec, &change->made_index, err);
}

static enum polarys_code check_room(const struct change *change, uint32_t table_id,
                                    struct polarys_error *err)
{
    size_t count;
    (void)catalog_table_indexes(change->before, table_id, &count);
    if (count >= POLARYS_INDEXES_PER_TABLE_MAX) {
        enum polarys_code code =
            polarys_fail(err, POLARYS_BAD_ARGUMENT, "a table has at most %d indexes",
                         POLARYS_INDEXES_PER_TABLE_MAX);
        polarys_error_detail_set(err, "limit", "%d", POLARYS_INDEXES_PER_TABLE_MAX);
        return code;
    }
    return change->before->index_count < CATALOG_INDEXES_MAX
               ? POLARYS_OK
               : change_fail_limit("indexes", CATALOG_INDEXES_MAX, err);
}

enum polarys_code change_create_index(struct change *change, struct polarys_error *err)
{
    const struct catalog_table *table;
    enum polarys_code code = change_find_table(change, &table, err);
    if (code == POLARYS_OK) {
        code = check_room(change, table->id, err);
    }
    if (code == POLARYS_OK) {
        code = change_make_after(change, err);
    }
    if (code == POLARYS_OK) {
        code = make_index(change, table, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    struct index_definition *index = change->made_index;
    bool exists =
        catalog_find_index(change->before, table->id, slice_from_text(index->name)) != NULL;
    if (exists) {
        code = polarys_fail(err, POLARYS_INDEX_EXISTS, "table \"%s\" has an index \"%s\"",
                            table->name, index->name);
        index_definition_unref(index);
        change->made_index = NULL;
        return code;
    }
    change->after->next_table_id++;
    if (catalog_add_index(change->after, index) != POLARYS_OK) {
        change->made_index = NULL;
        return change_fail_memory(err);
    }
    code = put_index_record(change, index, err);
    return code == POLARYS_OK ? change_put_counters(change, err) : code;
}

/* ---- drop, restate ---- */

enum polarys_code change_drop_index(struct change *change, struct polarys_error *err)
{
    const struct catalog_table *table;
    enum polarys_code code = change_find_table(change, &table, err);
    if (code != POLARYS_OK) {
        return code;
    }
    const struct index_definition *index =
        catalog_find_index(change->before, table->id, slice_from_text(change->index));
    if (index == NULL) {
        return polarys_fail(err, POLARYS_INDEX_NOT_FOUND, "table \"%s\" has no index \"%.128s\"",
                            table->name, change->index);
    }
    code = delete_index(change, index, err);
    if (code == POLARYS_OK) {
        code = change_make_after(change, err);
    }
    if (code == POLARYS_OK) {
        catalog_remove_index(change->after, index->id);
    }
    return code;
}

enum polarys_code change_restate_index(struct change *change, struct polarys_error *err)
{
    const struct index_definition *before = change->restated;
    const struct index_definition *now =
        catalog_find_index(change->before, before->table_id, slice_from_text(before->name));
    if (now == NULL || now->id != before->id || now->state != before->state) {
        return polarys_fail(err, POLARYS_INDEX_NOT_FOUND, "index \"%s\" was dropped meanwhile",
                            before->name);
    }
    enum polarys_code code = change_make_after(change, err);
    if (code == POLARYS_OK) {
        code =
            index_definition_restate(now, change->state, change->failure, &change->made_index, err);
    }
    if (code == POLARYS_OK) {
        code = put_index_record(change, change->made_index, err);
    }
    if (code != POLARYS_OK) {
        index_definition_unref(change->made_index);
        change->made_index = NULL;
        return code;
    }
    if (change->state == INDEX_FAILED) {
        /* What was built is of no use to anybody, and nobody maintains it any more. */
        code = change_delete_keyspace(change, now->database_id, now->id, err);
    }
    if (code == POLARYS_OK) {
        code = delete_progress(change, now->id, err);
    }
    catalog_remove_index(change->after, now->id);
    if (catalog_add_index(change->after, change->made_index) != POLARYS_OK) {
        change->made_index = NULL;
        return change_fail_memory(err);
    }
    return code;
}
