/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Creating and dropping databases and tables; the steps of any change of the catalogue.
 *
 * One change runs at a time. It is an ordinary commit that raises the schema version, so every commit that
 * was prepared before it and validated after it conflicts and looks again. Between its validation and the
 * moment the new catalogue is published, such commits wait here instead of conflicting over and over.
 */
#include "engine/catalog_change.h"

#include <stdlib.h>
#include <string.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

/* ---- one at a time ---- */

static uint64_t catalog_version_now(struct polarys_db *db)
{
    unsigned stripe;
    uint64_t version = catalog_enter(&db->catalog, &stripe)->version;
    catalog_leave(&db->catalog, stripe);
    return version;
}

static void change_begin(struct polarys_db *db)
{
    mutex_lock(&db->schema_mutex);
    while (db->is_schema_changing) {
        (void)executor_wait(db->executor, &db->schema_condition, &db->schema_mutex, DB_TICK_NS);
    }
    db->is_schema_changing = true;
    mutex_unlock(&db->schema_mutex);
}

static void change_end(struct polarys_db *db)
{
    mutex_lock(&db->schema_mutex);
    db->is_schema_changing = false;
    struct polarys_batch *waiter = db->schema_waiters;
    db->schema_waiters = NULL;
    condition_broadcast(&db->schema_condition);
    mutex_unlock(&db->schema_mutex);
    while (waiter != NULL) {
        struct polarys_batch *next = waiter->next_waiter;
        batch_resume(waiter);
        waiter = next;
    }
}

/* True when a change was validated whose catalogue is not published yet. REQUIRES: schema_mutex. */
static bool is_schema_ahead_locked(struct polarys_db *db)
{
    return db->is_schema_changing && commit_schema_version(db->commit) > catalog_version_now(db);
}

bool db_schema_park(struct polarys_db *db, struct polarys_batch *batch)
{
    mutex_lock(&db->schema_mutex);
    bool is_ahead = is_schema_ahead_locked(db);
    if (is_ahead) {
        batch->next_waiter = db->schema_waiters;
        db->schema_waiters = batch;
    }
    mutex_unlock(&db->schema_mutex);
    return is_ahead;
}

void db_schema_wait(struct polarys_db *db)
{
    mutex_lock(&db->schema_mutex);
    while (is_schema_ahead_locked(db)) {
        (void)executor_wait(db->executor, &db->schema_condition, &db->schema_mutex, DB_TICK_NS);
    }
    mutex_unlock(&db->schema_mutex);
}

/* ---- what a change writes ---- */

enum polarys_code change_fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to change the catalogue");
}

enum polarys_code change_check_name(const char *kind, const char *name, struct polarys_error *err)
{
    if (name != NULL && polarys_name_is_valid(name, strnlen(name, POLARYS_NAME_BYTES_MAX + 1))) {
        return POLARYS_OK;
    }
    return polarys_fail(err, POLARYS_BAD_NAME,
                        "the name of a %s is a letter and up to 127 more letters, digits, '_', "
                        "'.' or '-'",
                        kind);
}

enum polarys_code change_fail_limit(const char *what, int limit, struct polarys_error *err)
{
    enum polarys_code code =
        polarys_fail(err, POLARYS_TOO_LARGE, "there are %d %s already: no more fit", limit, what);
    polarys_error_detail_set(err, "limit", "%d", limit);
    return code;
}

static enum polarys_code put_record(struct change *change, const struct catalog_record *record,
                                    struct polarys_error *err)
{
    return batch_add_system(change->batch, ENTRY_PUT, catalog_record_key(record),
                            catalog_record_value(record), err);
}

static enum polarys_code delete_record(struct change *change, const struct catalog_record *record,
                                       struct polarys_error *err)
{
    return batch_add_system(change->batch, ENTRY_DELETE, catalog_record_key(record),
                            slice_make(NULL, 0), err);
}

enum polarys_code change_put_counters(struct change *change, struct polarys_error *err)
{
    struct catalog_record record;
    catalog_record_counters(&record, change->after->next_database_id, change->after->next_table_id);
    return put_record(change, &record, err);
}

enum polarys_code change_delete_keyspace(struct change *change, uint32_t database_id, uint32_t id,
                                         struct polarys_error *err)
{
    uint8_t start[TREE_KEY_PREFIX_SIZE];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    table_bounds(database_id, id, start, end);
    return batch_add_system(change->batch, ENTRY_RANGE_DELETE, slice_make(start, sizeof(start)),
                            slice_make(end, sizeof(end)), err);
}

/* Record, documents and indexes of a table that goes. */
static enum polarys_code delete_table(struct change *change, const struct catalog_table *table,
                                      struct polarys_error *err)
{
    struct catalog_record record;
    catalog_record_table(&record, table);
    enum polarys_code code = delete_record(change, &record, err);
    if (code == POLARYS_OK) {
        code = change_delete_keyspace(change, table->database_id, table->id, err);
    }
    return code == POLARYS_OK ? change_drop_table_indexes(change, table->id, err) : code;
}

/* ---- the changes ---- */

static const struct catalog_database *database_of(const struct change *change)
{
    return catalog_find_database(change->before, slice_from_text(change->database));
}

static enum polarys_code find_database(const struct change *change,
                                       const struct catalog_database **database,
                                       struct polarys_error *err)
{
    *database = database_of(change);
    if (*database != NULL) {
        return POLARYS_OK;
    }
    enum polarys_code code = change_check_name("database", change->database, err);
    return code != POLARYS_OK ? code
                              : polarys_fail(err, POLARYS_DATABASE_NOT_FOUND,
                                             "there is no database \"%s\"", change->database);
}

enum polarys_code change_find_table(const struct change *change, const struct catalog_table **table,
                                    struct polarys_error *err)
{
    const struct catalog_database *database;
    enum polarys_code code = find_database(change, &database, err);
    if (code == POLARYS_OK) {
        code = change_check_name("table", change->table, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    *table = catalog_find_table(change->before, database->id, slice_from_text(change->table));
    return *table != NULL ? POLARYS_OK
                          : polarys_fail(err, POLARYS_TABLE_NOT_FOUND, "there is no table \"%s\"",
                                         change->table);
}

enum polarys_code change_make_after(struct change *change, struct polarys_error *err)
{
    change->after = catalog_copy(change->before);
    return change->after == NULL ? change_fail_memory(err) : POLARYS_OK;
}

static enum polarys_code create_database(struct change *change, struct polarys_error *err)
{
    enum polarys_code code = change_check_name("database", change->database, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (database_of(change) != NULL) {
        return polarys_fail(err, POLARYS_DATABASE_EXISTS, "database \"%s\" exists",
                            change->database);
    }
    if (change->before->database_count >= CATALOG_DATABASES_MAX) {
        return change_fail_limit("databases", CATALOG_DATABASES_MAX, err);
    }
    code = change_make_after(change, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct catalog_database *database = &change->made_database;
    database->id = change->after->next_database_id++;
    database->created_ms = db_now_ms(change->db);
    memcpy(database->name, change->database, strlen(change->database) + 1);
    struct catalog_record record;
    catalog_record_database(&record, database);
    code = put_record(change, &record, err);
    if (code == POLARYS_OK && catalog_add_database(change->after, database) != POLARYS_OK) {
        code = change_fail_memory(err);
    }
    return code == POLARYS_OK ? change_put_counters(change, err) : code;
}

static enum polarys_code drop_database(struct change *change, struct polarys_error *err)
{
    const struct catalog_database *database;
    enum polarys_code code = find_database(change, &database, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (database->id == DEFAULT_DATABASE_ID) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "the database \"default\" cannot be dropped");
    }
    struct catalog_record record;
    size_t first;
    size_t count = catalog_database_tables(change->before, database->id, &first);
    for (size_t i = first; i < first + count && code == POLARYS_OK; i++) {
        code = delete_table(change, &change->before->tables[i], err);
    }
    catalog_record_database(&record, database);
    if (code == POLARYS_OK) {
        code = delete_record(change, &record, err);
    }
    if (code == POLARYS_OK) {
        code = change_make_after(change, err);
    }
    if (code == POLARYS_OK) {
        catalog_remove_database(change->after, database->id);
    }
    return code;
}

static enum polarys_code create_table(struct change *change, struct polarys_error *err)
{
    const struct catalog_database *database;
    enum polarys_code code = find_database(change, &database, err);
    if (code == POLARYS_OK) {
        code = change_check_name("table", change->table, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (catalog_find_table(change->before, database->id, slice_from_text(change->table)) != NULL) {
        return polarys_fail(err, POLARYS_TABLE_EXISTS, "table \"%s\" exists", change->table);
    }
    size_t first;
    if (change->before->table_count >= CATALOG_TABLES_MAX) {
        return change_fail_limit("tables", CATALOG_TABLES_MAX, err);
    }
    if (catalog_database_tables(change->before, database->id, &first) >=
        CATALOG_DATABASE_TABLES_MAX) {
        return change_fail_limit("tables in the database", CATALOG_DATABASE_TABLES_MAX, err);
    }
    code = change_make_after(change, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct catalog_table *table = &change->made_table;
    table->database_id = database->id;
    table->id = change->after->next_table_id++;
    table->created_ms = db_now_ms(change->db);
    memcpy(table->name, change->table, strlen(change->table) + 1);
    struct catalog_record record;
    catalog_record_table(&record, table);
    code = put_record(change, &record, err);
    if (code == POLARYS_OK && catalog_add_table(change->after, table) != POLARYS_OK) {
        code = change_fail_memory(err);
    }
    return code == POLARYS_OK ? change_put_counters(change, err) : code;
}

static enum polarys_code drop_table(struct change *change, struct polarys_error *err)
{
    const struct catalog_table *table;
    enum polarys_code code = change_find_table(change, &table, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = delete_table(change, table, err);
    if (code == POLARYS_OK) {
        code = change_make_after(change, err);
    }
    if (code == POLARYS_OK) {
        catalog_remove_table(change->after, table->id);
    }
    return code;
}

static enum polarys_code truncate_table(struct change *change, struct polarys_error *err)
{
    const struct catalog_table *table;
    enum polarys_code code = change_find_table(change, &table, err);
    if (code == POLARYS_OK) {
        code = change_delete_keyspace(change, table->database_id, table->id, err);
    }
    return code == POLARYS_OK ? change_empty_table_indexes(change, table->id, err) : code;
}

static enum polarys_code change_build(struct change *change, struct polarys_error *err)
{
    switch (change->kind) {
    case CHANGE_CREATE_DATABASE:
        return create_database(change, err);
    case CHANGE_DROP_DATABASE:
        return drop_database(change, err);
    case CHANGE_CREATE_TABLE:
        return create_table(change, err);
    case CHANGE_DROP_TABLE:
        return drop_table(change, err);
    case CHANGE_CREATE_INDEX:
        return change_create_index(change, err);
    case CHANGE_DROP_INDEX:
        return change_drop_index(change, err);
    case CHANGE_RESTATE_INDEX:
        return change_restate_index(change, err);
    default:
        return truncate_table(change, err);
    }
}

static void hash_text(XXH3_state_t *state, const char *text)
{
    /* With its NUL, and NULL unlike "", so that no two requests come to the same bytes. */
    uint8_t is_given = text != NULL;
    (void)XXH3_128bits_update(state, &is_given, 1);
    if (text != NULL) {
        (void)XXH3_128bits_update(state, text, strlen(text) + 1);
    }
}

static void hash_index_options(XXH3_state_t *state, const struct polarys_index_options *index)
{
    uint64_t facts[3] = {(uint64_t)index->kind, index->is_unique, index->field_count};
    (void)XXH3_128bits_update(state, facts, sizeof(facts));
    hash_text(state, index->name);
    hash_text(state, index->language);
    for (size_t i = 0; i < index->field_count && i < POLARYS_INDEX_FIELDS_MAX; i++) {
        hash_text(state, index->fields[i]);
    }
}

/* What a change of indexes names beside database and table. */
static XXH128_hash_t hash_index(const struct change *change)
{
    XXH3_state_t state;
    (void)XXH3_128bits_reset(&state);
    hash_text(&state, change->index);
    if (change->index_options != NULL) {
        hash_index_options(&state, change->index_options);
    }
    return XXH3_128bits_digest(&state);
}

/* The request as the caller put it: ids that are given out must not make a repetition look different. */
static void change_hash(struct change *change)
{
    uint64_t seed = (uint64_t)change->kind;
    XXH128_hash_t hash = XXH3_128bits_withSeed(change->database, strlen(change->database), seed);
    if (change->table != NULL) {
        XXH128_hash_t table = XXH3_128bits_withSeed(change->table, strlen(change->table), seed);
        hash.low64 ^= table.low64 * 3;
        hash.high64 ^= table.high64 * 3;
    }
    if (change->index != NULL || change->index_options != NULL) {
        XXH128_hash_t index = hash_index(change);
        hash.low64 ^= index.low64 * 5;
        hash.high64 ^= index.high64 * 5;
    }
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, hash);
    memcpy(change->batch->logical_hash, canonical.digest, REQUEST_HASH_SIZE);
    change->batch->has_logical_hash = true;
}

/* A repeated request gets its answer before anything is found to exist already. */
static enum polarys_code find_answer(struct change *change,
                                     const struct polarys_write_options *options,
                                     struct request_answer *answer, struct polarys_error *err)
{
    *answer = (struct request_answer){0};
    if (options == NULL || !options->has_request_id) {
        return POLARYS_OK;
    }
    uint8_t key[REQUEST_KEY_SIZE_MAX];
    const char *principal = options->principal == NULL ? "" : options->principal;
    if (strlen(principal) > REQUEST_PRINCIPAL_BYTES_MAX) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "a principal has at most %d bytes",
                            REQUEST_PRINCIPAL_BYTES_MAX);
    }
    /* Under the system's own id: the database need not exist, or not any more. */
    size_t size =
        request_id_key(key, SYSTEM_DATABASE_ID, options->request_id, slice_from_text(principal));
    enum polarys_code code =
        request_id_find(change->db, slice_make(key, size), change->batch->logical_hash,
                        commit_published_version(change->db->commit), 0, answer, err);
    if (code == POLARYS_OK && answer->is_found) {
        code = commit_sync(change->db->commit, err);
    }
    return code;
}

/* Notes in the new catalogue which version made what is new in it. */
static void version_note(struct change *change, uint64_t version)
{
    struct catalog *after = change->after;
    for (size_t i = 0; i < after->database_count; i++) {
        if (after->databases[i].id == change->made_database.id) {
            after->databases[i].created_version = version;
        }
    }
    for (size_t i = 0; i < after->table_count; i++) {
        if (after->tables[i].id == change->made_table.id) {
            after->tables[i].created_version = version;
        }
    }
    if (change->made_index != NULL && change->made_index->created_version == 0) {
        change->made_index->created_version = version;
    }
    after->version = version;
}

/* The new catalogue is whole before the commit, so nothing can fail between it and the publication. */
static enum polarys_code change_commit(struct change *change,
                                       const struct polarys_write_options *options,
                                       struct polarys_write_result *result,
                                       struct polarys_error *err)
{
    if (change->after != NULL && catalog_index(change->after) != POLARYS_OK) {
        return change_fail_memory(err);
    }
    change->batch->changes_schema = change->after != NULL;
    enum polarys_code code = polarys_batch_commit(change->batch, options, result, err);
    if (code == POLARYS_OK && change->after != NULL && !result->is_replayed) {
        version_note(change, result->version);
        catalog_holder_publish(&change->db->catalog, change->after);
        change->after = NULL;
    }
    return code;
}

static enum polarys_code change_run_held(struct change *change,
                                         const struct polarys_write_options *options,
                                         struct polarys_write_result *result,
                                         struct polarys_error *err)
{
    struct request_answer answer;
    enum polarys_code code = polarys_batch_create(change->db, NULL, &change->batch, err);
    if (code != POLARYS_OK) {
        return code;
    }
    change->batch->database_id = SYSTEM_DATABASE_ID;
    change_hash(change);
    code = find_answer(change, options, &answer, err);
    if (code == POLARYS_OK && answer.is_found) {
        *result = (struct polarys_write_result){
            .version = answer.version, .is_replayed = true, .affected = answer.affected};
        return POLARYS_OK;
    }
    if (code == POLARYS_OK) {
        code = change_build(change, err);
    }
    return code == POLARYS_OK ? change_commit(change, options, result, err) : code;
}

enum polarys_code change_run(struct change *change, const struct polarys_write_options *options,
                             struct polarys_write_result *result, struct polarys_error *err)
{
    struct polarys_db *db = change->db;
    struct polarys_write_result ignored = {0};
    result = result == NULL ? &ignored : result;
    change_begin(db);
    struct catalog *before = catalog_acquire(&db->catalog);
    change->before = before;
    enum polarys_code code = change_run_held(change, options, result, err);
    polarys_batch_destroy(change->batch);
    catalog_destroy(change->after);
    catalog_release(before);
    change_end(db);
    return code;
}

/* NOLINTNEXTLINE(readability-function-size): what a change names, and where its outcome goes */
static enum polarys_code change_table(struct polarys_db *db, enum change_kind kind,
                                      const char *database, const char *table,
                                      const struct polarys_write_options *options,
                                      struct polarys_write_result *result,
                                      struct polarys_error *err)
{
    struct change change = {
        .db = db, .kind = kind, .database = db_database_name(database), .table = table};
    return change_run(&change, options, result, err);
}

enum polarys_code polarys_database_create(struct polarys_db *db, const char *database,
                                          const struct polarys_write_options *options,
                                          struct polarys_write_result *result,
                                          struct polarys_error *err)
{
    return change_table(db, CHANGE_CREATE_DATABASE, database, NULL, options, result, err);
}

enum polarys_code polarys_database_drop(struct polarys_db *db, const char *database,
                                        const struct polarys_write_options *options,
                                        struct polarys_write_result *result,
                                        struct polarys_error *err)
{
    return change_table(db, CHANGE_DROP_DATABASE, database, NULL, options, result, err);
}

/* A table's name stands for itself in the request's hash, so it must not be NULL. */
static const char *table_or_empty(const char *table)
{
    return table == NULL ? "" : table;
}

enum polarys_code polarys_table_create(struct polarys_db *db, const char *database,
                                       const char *table,
                                       const struct polarys_write_options *options,
                                       struct polarys_write_result *result,
                                       struct polarys_error *err)
{
    return change_table(db, CHANGE_CREATE_TABLE, database, table_or_empty(table), options, result,
                        err);
}

enum polarys_code polarys_table_drop(struct polarys_db *db, const char *database, const char *table,
                                     const struct polarys_write_options *options,
                                     struct polarys_write_result *result, struct polarys_error *err)
{
    return change_table(db, CHANGE_DROP_TABLE, database, table_or_empty(table), options, result,
                        err);
}

enum polarys_code polarys_table_truncate(struct polarys_db *db, const char *database,
                                         const char *table,
                                         const struct polarys_write_options *options,
                                         struct polarys_write_result *result,
                                         struct polarys_error *err)
{
    return change_table(db, CHANGE_TRUNCATE_TABLE, database, table_or_empty(table), options, result,
                        err);
}
