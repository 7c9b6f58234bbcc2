/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexes for callers: made, dropped, listed, waited for.
 */
#include <string.h>

#include "engine/catalog_change.h"
#include "engine/index_build.h"
#include "engine/index_internal.h"

/* The name that the index will have, when the options make sense as far as that. */
static void name_set(struct change *change)
{
    const struct polarys_index_options *index = change->index_options;
    if (index->name != NULL && index->name[0] != '\0') {
        size_t size = strnlen(index->name, POLARYS_NAME_BYTES_MAX);
        memcpy(change->index_name, index->name, size);
        return;
    }
    struct index_spec spec = {
        .kind = (enum index_kind)index->kind,
        .fields = index->fields,
        .field_count = index->field_count,
    };
    bool is_whole = index->field_count <= POLARYS_INDEX_FIELDS_MAX;
    for (size_t i = 0; is_whole && i < index->field_count; i++) {
        is_whole = index->fields[i] != NULL;
    }
    if (is_whole) {
        index_name_make(change->table, &spec, change->index_name);
    }
}

/* NOLINTNEXTLINE(readability-function-size): the embedded API names each thing by itself */
enum polarys_code polarys_index_create(struct polarys_db *db, const char *database,
                                       const char *table, const struct polarys_index_options *index,
                                       const struct polarys_write_options *options,
                                       char *index_name, struct polarys_write_result *result,
                                       struct polarys_error *err)
{
    struct change change = {
        .db = db,
        .kind = CHANGE_CREATE_INDEX,
        .database = db_database_name(database),
        .table = table == NULL ? "" : table,
        .index_options = index,
    };
    name_set(&change);
    enum polarys_code code = change_run(&change, options, result, err);
    if (code == POLARYS_OK) {
        if (index_name != NULL) {
            memcpy(index_name, change.index_name, sizeof(change.index_name));
        }
        index_build_kick(db);
    }
    return code;
}

/* NOLINTNEXTLINE(readability-function-size): seven parameters, and each is one thing */
enum polarys_code polarys_index_drop(struct polarys_db *db, const char *database, const char *table,
                                     const char *index, const struct polarys_write_options *options,
                                     struct polarys_write_result *result, struct polarys_error *err)
{
    struct change change = {
        .db = db,
        .kind = CHANGE_DROP_INDEX,
        .database = db_database_name(database),
        .table = table == NULL ? "" : table,
        .index = index == NULL ? "" : index,
    };
    enum polarys_code code = change_run(&change, options, result, err);
    db_event_signal(db); /* whoever waits for it */
    return code;
}

/* ---- looking ---- */

static enum polarys_code fail_no_index(const char *table, const char *index,
                                       struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_INDEX_NOT_FOUND, "table \"%s\" has no index \"%.128s\"", table,
                        index);
}

enum polarys_code db_indexes_find(struct polarys_db *db, const char *database, const char *table,
                                  struct db_indexes *found, struct polarys_error *err)
{
    *found = (struct db_indexes){0};
    uint32_t database_id;
    uint32_t table_id;
    enum polarys_code code = db_database_find(db, database, &database_id, err);
    if (code == POLARYS_OK) {
        code = db_table_find(db, database_id, table, &table_id, NULL, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    found->database_id = database_id;
    found->table_id = table_id;
    found->catalog = catalog_acquire(&db->catalog);
    found->list = catalog_table_indexes(found->catalog, table_id, &found->count);
    return POLARYS_OK;
}

enum polarys_code db_index_find(struct polarys_db *db, const char *database, const char *table,
                                const char *index, struct index_definition **out,
                                struct polarys_error *err)
{
    struct db_indexes found;
    *out = NULL;
    enum polarys_code code = db_indexes_find(db, database, table, &found, err);
    if (code != POLARYS_OK) {
        return code;
    }
    index = index == NULL ? "" : index;
    struct index_definition *definition =
        catalog_find_index(found.catalog, found.table_id, slice_from_text(index));
    if (definition != NULL) {
        *out = index_definition_ref(definition);
    } else {
        code = fail_no_index(table, index, err);
    }
    catalog_release(found.catalog);
    return code;
}

/* READY is the last state of an index before it is dropped, so what is known of one version holds until then. */
bool db_index_is_known_ready(struct polarys_db *db, const struct catalog *catalog,
                             const struct index_definition *index, uint64_t version)
{
    uint64_t ready_version = __atomic_load_n(&index->ready_version, __ATOMIC_RELAXED);
    POLARYS_ASSERT(index->state == INDEX_READY);
    return ready_version != 0 && version >= ready_version &&
           catalog->version >= commit_announced_schema_version(db->commit);
}

enum polarys_code db_index_was_ready(struct polarys_db *db, const struct index_definition *index,
                                     uint64_t version, unsigned tree_flags, bool *is_ready,
                                     struct polarys_error *err)
{
    struct catalog_record record;
    struct tree_value value = {0};
    *is_ready = false;
    catalog_record_index_key(&record, index);
    enum polarys_code code =
        tree_get(db->tree, catalog_record_key(&record), version, tree_flags, &value, err);
    if (code == POLARYS_OK) {
        uint32_t id = 0;
        enum index_state state = INDEX_FAILED;
        if (!index_record_peek(value.bytes, &id, &state)) {
            code = polarys_fail(err, POLARYS_CORRUPT, "the record of index \"%s\" is not readable",
                                index->name);
        }
        *is_ready = code == POLARYS_OK && id == index->id && state == INDEX_READY;
    }
    tree_value_release(&value);
    return code == POLARYS_KEY_NOT_FOUND ? POLARYS_OK : code;
}

static void info_fill(struct polarys_db *db, const struct index_definition *index,
                      const char *fields[POLARYS_INDEX_FIELDS_MAX], struct polarys_index_info *info)
{
    for (size_t i = 0; i < index->field_count; i++) {
        fields[i] = index->fields[i].text;
    }
    *info = (struct polarys_index_info){
        .index_id = index->id,
        .kind = (enum polarys_index_kind)index->kind,
        .state = (enum polarys_index_state)index->state,
        .is_unique = index->is_unique,
        .field_count = index->field_count,
        .fields = fields,
        .language = index->language,
        .failure = index->failure,
        .created_version = index->created_version,
    };
    memcpy(info->index, index->name, sizeof(info->index));
    if (index->state == INDEX_BUILDING && atomic_load(&db->builder.shown_index_id) == index->id) {
        info->documents_indexed = atomic_load(&db->builder.shown_document_count);
    }
    struct index_statistics *statistics = db_statistics_get(db, index->id);
    if (statistics != NULL) {
        info->entry_count = statistics->entry_count;
        info->distinct_count = statistics->distinct_count;
        index_statistics_unref(statistics);
    }
    if (index->state == INDEX_BUILDING) {
        statistics = db_statistics_get(db, index->table_id);
        uint64_t documents = statistics == NULL ? 0 : statistics->entry_count;
        info->documents_estimated =
            documents > info->documents_indexed ? documents : info->documents_indexed;
        index_statistics_unref(statistics);
    }
}

enum polarys_code polarys_index_list(struct polarys_db *db, const char *database, const char *table,
                                     bool (*each)(void *context,
                                                  const struct polarys_index_info *info),
                                     void *context, struct polarys_error *err)
{
    struct db_indexes found;
    enum polarys_code code = db_indexes_find(db, database, table, &found, err);
    if (code != POLARYS_OK) {
        return code;
    }
    for (size_t i = 0; i < found.count; i++) {
        const char *fields[POLARYS_INDEX_FIELDS_MAX];
        struct polarys_index_info info;
        info_fill(db, found.list[i], fields, &info);
        if (!each(context, &info)) {
            break;
        }
    }
    catalog_release(found.catalog);
    return POLARYS_OK;
}

/* ---- waiting ---- */

/* The error that made it FAILED: its code's name stands before the message. */
static enum polarys_code fail_as_built(const struct index_definition *index,
                                       struct polarys_error *err)
{
    const char *message = strstr(index->failure, ": ");
    size_t size = message == NULL ? 0 : (size_t)(message - index->failure);
    enum polarys_code code = POLARYS_CORRUPT;
    for (int i = POLARYS_OK + 1; i < POLARYS_CODE_COUNT; i++) {
        const char *name = polarys_code_name((enum polarys_code)i);
        if (strlen(name) == size && memcmp(name, index->failure, size) == 0) {
            code = (enum polarys_code)i;
        }
    }
    code = polarys_fail(err, code, "index \"%s\" could not be built: %s", index->name,
                        message == NULL ? index->failure : message + 2);
    polarys_error_detail_set(err, "index", "%s", index->name);
    return code;
}

/* *is_over: there is nothing more to wait for. */
static enum polarys_code wait_look(struct polarys_db *db, const struct index_definition *wanted,
                                   bool *is_over, struct polarys_error *err)
{
    struct catalog *catalog = catalog_acquire(&db->catalog);
    const struct index_definition *index =
        catalog_find_index(catalog, wanted->table_id, slice_from_text(wanted->name));
    enum polarys_code code = POLARYS_OK;
    *is_over = true;
    if (index == NULL || index->id != wanted->id) {
        code = polarys_fail(err, POLARYS_INDEX_NOT_FOUND, "index \"%s\" was dropped", wanted->name);
    } else if (index->state == INDEX_FAILED) {
        code = fail_as_built(index, err);
    } else if (index->state == INDEX_BUILDING) {
        *is_over = false;
    }
    catalog_release(catalog);
    return code;
}

enum polarys_code polarys_index_wait(struct polarys_db *db, const char *database, const char *table,
                                     const char *index, uint32_t timeout_ms,
                                     struct polarys_error *err)
{
    struct index_definition *wanted;
    enum polarys_code code = db_index_find(db, database, table, index, &wanted, err);
    if (code != POLARYS_OK) {
        return code;
    }
    uint64_t deadline_ns =
        timeout_ms == 0 ? 0 : clock_monotonic_ns(db->clock) + timeout_ms * UINT64_C(1000000);
    for (;;) {
        bool is_over;
        code = wait_look(db, wanted, &is_over, err);
        if (is_over) {
            break;
        }
        if (atomic_load(&db->is_closing)) {
            code = polarys_fail(err, POLARYS_DRAINING, "the store is being closed");
            break;
        }
        if (deadline_ns != 0 && clock_monotonic_ns(db->clock) >= deadline_ns) {
            code = polarys_fail(err, POLARYS_WAIT_TIMEOUT, "index \"%s\" is not built yet",
                                wanted->name);
            break;
        }
        db_event_wait(db, DB_TICK_NS / 10);
    }
    index_definition_unref(wanted);
    return code;
}
