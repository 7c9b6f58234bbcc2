/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preparing a batch: everything that has to be read is read at one version and joins the read set, the
 * operations are reduced, and the commit is encoded. The commit path then only has to check that nothing
 * that was read has changed.
 */
#include <string.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "engine/batch_internal.h"

/* Lies in the record of a request id beside the count of what was affected. */
#define ANSWER_FLAG (UINT64_C(1) << 63)

static enum polarys_code fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to prepare a batch");
}

enum polarys_code batch_read_key_add(struct polarys_batch *batch, struct polarys_slice key,
                                     struct polarys_error *err)
{
    struct polarys_slice *slot = batch_array_next(&batch->read_keys, sizeof(*slot));
    if (slot == NULL) {
        return fail_memory(err);
    }
    *slot = key;
    batch->read_keys.count++;
    return POLARYS_OK;
}

enum polarys_code batch_look(struct polarys_batch *batch, struct polarys_slice tree_key,
                             unsigned tree_flags, struct db_found *found, struct polarys_error *err)
{
    enum polarys_code code = batch_read_key_add(batch, tree_key, err);
    if (code != POLARYS_OK) {
        return code;
    }
    /* Should compaction have dropped what this version sees, then because something newer is there, and
     * validation finds that. */
    return db_read_document(batch->db, tree_key, batch->read_version, true, tree_flags, found, err);
}

static enum polarys_code check_version(const struct polarys_precondition *condition,
                                       uint64_t version, struct polarys_error *err)
{
    if (version == condition->version) {
        return POLARYS_OK;
    }
    enum polarys_code code =
        polarys_fail(err, POLARYS_VERSION_MISMATCH, "the document's version is %llu, not %llu",
                     (unsigned long long)version, (unsigned long long)condition->version);
    polarys_error_detail_set(err, "version", "%llu", (unsigned long long)version);
    return code;
}

static enum polarys_code check_field(const struct polarys_precondition *condition,
                                     const struct stored_value *stored, struct polarys_error *err)
{
    bool is_equal = false;
    enum polarys_code code = POLARYS_OK;
    if (stored->is_json) {
        code =
            json_field_equals(stored->bytes, condition->field, condition->expected, &is_equal, err);
    }
    if (code != POLARYS_OK || is_equal) {
        return code;
    }
    struct polarys_slice field = condition->field;
    code = polarys_fail(err, POLARYS_FIELD_MISMATCH, "field \"%.*s\" has another value",
                        (int)(field.size < 64 ? field.size : 64), (const char *)field.data);
    polarys_error_detail_set(err, "field", "%.*s", (int)(field.size < 128 ? field.size : 128),
                             (const char *)field.data);
    return code;
}

enum polarys_code batch_check_condition(const struct polarys_precondition *condition,
                                        const struct stored_value *stored, uint64_t version,
                                        struct polarys_error *err)
{
    switch (condition->kind) {
    case POLARYS_PRECONDITION_MUST_EXIST:
        return stored != NULL ? POLARYS_OK
                              : polarys_fail(err, POLARYS_KEY_NOT_FOUND,
                                             "precondition: the document does not exist");
    case POLARYS_PRECONDITION_MUST_NOT_EXIST:
        return stored == NULL
                   ? POLARYS_OK
                   : polarys_fail(err, POLARYS_KEY_EXISTS, "precondition: the document exists");
    case POLARYS_PRECONDITION_VERSION_EQUALS:
        return check_version(condition, stored == NULL ? 0 : version, err);
    default:
        return stored != NULL ? check_field(condition, stored, err)
                              : polarys_fail(err, POLARYS_FIELD_MISMATCH,
                                             "precondition: the document does not exist");
    }
}

static enum polarys_code check_requirements(struct polarys_batch *batch, unsigned tree_flags,
                                            struct polarys_error *err)
{
    const struct batch_requirement *requirements = batch->requirements.items;
    for (size_t i = 0; i < batch->requirements.count; i++) {
        struct db_found found = {0};
        enum polarys_code code = batch_look(batch, requirements[i].key, tree_flags, &found, err);
        if (code == POLARYS_OK || code == POLARYS_KEY_NOT_FOUND) {
            code = batch_check_condition(&requirements[i].condition,
                                         code == POLARYS_OK ? &found.stored : NULL,
                                         found.value.version, err);
        }
        tree_value_release(&found.value);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    return POLARYS_OK;
}

static bool tables_have_indexes(const struct polarys_batch *batch, const struct catalog *catalog)
{
    const struct batch_table *tables = batch->tables.items;
    for (size_t i = 0; i < batch->tables.count; i++) {
        size_t count;
        (void)catalog_table_indexes(catalog, tables[i].id, &count);
        if (count > 0) {
            return true;
        }
    }
    /* A batch that names no tables may write any. */
    return batch->tables.count == 0;
}

/* The catalogue has changed since names were found: they have to mean the same still. */
static enum polarys_code check_tables(struct polarys_batch *batch, struct polarys_error *err)
{
    unsigned stripe;
    const struct catalog *catalog = catalog_enter(&batch->db->catalog, &stripe);
    const struct batch_table *tables = batch->tables.items;
    const struct batch_table *gone = NULL;
    batch->request.schema_version =
        batch->has_own_schema_version ? batch->own_schema_version : catalog->version;
    batch->may_have_indexes = catalog->index_count > 0 && tables_have_indexes(batch, catalog);
    if (catalog->version != batch->catalog_version) {
        for (size_t i = 0; i < batch->tables.count && gone == NULL; i++) {
            struct polarys_slice name = slice_make(tables[i].name, tables[i].name_size);
            const struct catalog_table *found =
                catalog_find_table(catalog, batch->database_id, name);
            gone = found == NULL || found->id != tables[i].id ? &tables[i] : NULL;
        }
    }
    catalog_leave(&batch->db->catalog, stripe);
    return gone == NULL ? POLARYS_OK
                        : polarys_fail(err, POLARYS_TABLE_NOT_FOUND,
                                       "table \"%s\" was dropped meanwhile", gone->name);
}

static void hash_slice(XXH3_state_t *state, struct polarys_slice bytes)
{
    uint64_t size = bytes.size;
    (void)XXH3_128bits_update(state, &size, sizeof(size));
    if (bytes.size > 0) {
        (void)XXH3_128bits_update(state, bytes.data, bytes.size);
    }
}

void batch_hash(const struct polarys_batch *batch, uint8_t hash[REQUEST_HASH_SIZE])
{
    if (batch->has_logical_hash) {
        memcpy(hash, batch->logical_hash, REQUEST_HASH_SIZE);
        return;
    }
    XXH3_state_t state;
    (void)XXH3_128bits_reset(&state);
    for (size_t i = 0; i < batch->operations.count; i++) {
        const struct batch_operation *operation = &batch_operations(batch)[i];
        /* Not the time of expiry: a client that asks for "in an hour" asks for another time when it
         * repeats itself. */
        struct polarys_slice value = operation->value;
        struct stored_value stored = {0};
        if (operation->kind == BATCH_PUT && stored_value_decode(value, &stored)) {
            value = stored.bytes;
        }
        uint8_t facts[4] = {(uint8_t)operation->kind, operation->must_look,
                            operation->expires_at_ms != 0, stored.is_json};
        (void)XXH3_128bits_update(&state, facts, sizeof(facts));
        hash_slice(&state, operation->key);
        hash_slice(&state, value);
    }
    const struct batch_requirement *requirements = batch->requirements.items;
    for (size_t i = 0; i < batch->requirements.count; i++) {
        uint64_t facts[2] = {(uint64_t)requirements[i].condition.kind + 16,
                             requirements[i].condition.version};
        (void)XXH3_128bits_update(&state, facts, sizeof(facts));
        hash_slice(&state, requirements[i].key);
        hash_slice(&state, requirements[i].condition.field);
        hash_slice(&state, requirements[i].condition.expected);
    }
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
    memcpy(hash, canonical.digest, REQUEST_HASH_SIZE);
}

struct polarys_slice batch_made_copy(struct polarys_batch *batch, const uint8_t *bytes, size_t size)
{
    uint8_t *copy = arena_alloc(&batch->made, size);
    if (copy != NULL) {
        memcpy(copy, bytes, size);
    }
    return slice_make(copy, size);
}

/* Looks for an earlier answer; on a new id *key is the record's key. */
static enum polarys_code look_for_answer(struct polarys_batch *batch, unsigned tree_flags,
                                         struct polarys_slice *key, uint8_t hash[REQUEST_HASH_SIZE],
                                         struct polarys_error *err)
{
    uint8_t bytes[REQUEST_KEY_SIZE_MAX];
    size_t size = request_id_key(bytes, batch->database_id, batch->options.request_id,
                                 slice_make(batch->principal, batch->principal_size));
    *key = batch_made_copy(batch, bytes, size);
    if (key->data == NULL) {
        return fail_memory(err);
    }
    enum polarys_code code = batch_read_key_add(batch, *key, err);
    if (code != POLARYS_OK) {
        return code;
    }
    batch_hash(batch, hash);
    struct request_answer answer;
    code = request_id_find(batch->db, *key, hash, batch->read_version, tree_flags, &answer, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (answer.is_found) {
        batch->is_replayed = true;
        batch->replayed_version = answer.version;
        batch->affected = answer.affected & ~ANSWER_FLAG;
        batch->answer_flag = (answer.affected & ANSWER_FLAG) != 0;
        return POLARYS_OK;
    }
    batch->adds_request_id = !answer.is_stale;
    return request_ids_allow(batch->db, err);
}

static enum polarys_code entry_add(struct polarys_batch *batch, enum entry_kind kind,
                                   struct polarys_slice key, struct polarys_slice value,
                                   struct polarys_error *err)
{
    struct entry *entry = batch_array_next(&batch->entries, sizeof(*entry));
    if (entry == NULL) {
        return fail_memory(err);
    }
    entry->kind = kind;
    entry->key = key;
    entry->value = value;
    entry->version = 0;
    batch->entries.count++;
    return POLARYS_OK;
}

static enum polarys_code expiry_entry_add(struct polarys_batch *batch, uint64_t expires_at_ms,
                                          struct polarys_slice tree_key, struct polarys_error *err)
{
    uint8_t bytes[EXPIRY_KEY_SIZE_MAX];
    struct polarys_slice value;
    size_t size = expiry_entry_make(bytes, expires_at_ms, tree_key, &value);
    struct polarys_slice key = batch_made_copy(batch, bytes, size);
    return key.data == NULL ? fail_memory(err) : entry_add(batch, ENTRY_PUT, key, value, err);
}

/* The record of the request id, and its own expiry. */
static enum polarys_code record_add(struct polarys_batch *batch, struct polarys_slice key,
                                    const uint8_t hash[REQUEST_HASH_SIZE],
                                    struct polarys_error *err)
{
    uint8_t record[REQUEST_RECORD_SIZE];
    request_record_put(record, hash, batch->affected | (batch->answer_flag ? ANSWER_FLAG : 0));
    struct stored_value stored = {
        .expires_at_ms = db_now_ms(batch->db) + batch->db->settings.request_id_keep_ms,
        .bytes = slice_make(record, sizeof(record)),
    };
    struct buffer to = {.capacity = STORED_VALUE_HEADER_MAX + sizeof(record)};
    to.data = arena_alloc(&batch->made, to.capacity);
    if (to.data == NULL || stored_value_encode(&to, &stored) != POLARYS_OK) {
        return fail_memory(err);
    }
    enum polarys_code code = entry_add(batch, ENTRY_PUT, key, buffer_slice(&to), err);
    return code == POLARYS_OK ? expiry_entry_add(batch, stored.expires_at_ms, key, err) : code;
}

/* The record under which a transaction's commit is found. Its id is random and committed once: nobody has to
 * look for an earlier one. */
static enum polarys_code txn_record_add(struct polarys_batch *batch, struct polarys_error *err)
{
    static const uint8_t no_hash[REQUEST_HASH_SIZE];
    uint8_t bytes[REQUEST_KEY_SIZE_MAX];
    size_t size = request_id_key(bytes, batch->database_id, batch->record_id,
                                 slice_from_text(batch->record_principal));
    struct polarys_slice key = batch_made_copy(batch, bytes, size);
    enum polarys_code code =
        key.data == NULL ? fail_memory(err) : request_ids_allow(batch->db, err);
    return code == POLARYS_OK ? record_add(batch, key, no_hash, err) : code;
}

static enum polarys_code effects_list(struct polarys_batch *batch, struct polarys_error *err)
{
    const struct commit_range *ranges = batch->ranges.items;
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < batch->ranges.count && code == POLARYS_OK; i++) {
        code = entry_add(batch, ENTRY_RANGE_DELETE, ranges[i].start, ranges[i].end, err);
    }
    for (size_t i = 0; i < batch->effects.count && code == POLARYS_OK; i++) {
        const struct batch_effect *effect = &batch_effects(batch)[i];
        if (effect->kind == EFFECT_DROPPED) {
            continue;
        }
        bool is_put = effect->kind == EFFECT_PUT;
        batch->has_put = batch->has_put || is_put;
        code = entry_add(batch, is_put ? ENTRY_PUT : ENTRY_DELETE, effect->key, effect->value, err);
        if (code == POLARYS_OK && is_put && effect->expires_at_ms != 0) {
            code = expiry_entry_add(batch, effect->expires_at_ms, effect->key, err);
        }
    }
    const struct entry *changes = batch->index_changes.items;
    for (size_t i = 0; i < batch->index_changes.count && code == POLARYS_OK; i++) {
        code = entry_add(batch, changes[i].kind, changes[i].key, changes[i].value, err);
    }
    return code;
}

static enum polarys_code made_reset(struct polarys_batch *batch, struct polarys_error *err)
{
    batch_uncharge(batch);
    arena_reset(&batch->made);
    batch->entries.count = 0;
    batch->read_keys.count = 0;
    batch->has_put = false;
    batch->is_replayed = false;
    batch->adds_request_id = false;
    batch->read_ranges.count = 0;
    batch->index_changes.count = 0;
    buffer_clear(&batch->encoded);
    const struct commit_range *ranges = batch->own_read_ranges.items;
    for (size_t i = 0; i < batch->own_read_ranges.count; i++) {
        struct commit_range *range = batch_array_next(&batch->read_ranges, sizeof(*range));
        if (range == NULL) {
            return fail_memory(err);
        }
        *range = ranges[i];
        batch->read_ranges.count++;
    }
    const struct polarys_slice *keys = batch->own_read_keys.items;
    for (size_t i = 0; i < batch->own_read_keys.count; i++) {
        enum polarys_code code = batch_read_key_add(batch, keys[i], err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    return POLARYS_OK;
}

void batch_uncharge(struct polarys_batch *batch)
{
    if (batch->charged_bytes > 0) {
        db_memory_give_back(batch->db, batch->charged_bytes);
        batch->charged_bytes = 0;
    }
}

/* Fills the request from what was made. */
static enum polarys_code request_make(struct polarys_batch *batch, struct polarys_error *err)
{
    if (batch->has_put && !batch->is_system) {
        enum polarys_code code = db_disk_allow_put(batch->db, err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    enum polarys_code code =
        log_commit_encode(&batch->encoded, batch->entries.items, batch->entries.count, err);
    if (code != POLARYS_OK) {
        return code;
    }
    uint64_t bytes = batch->bytes + batch->encoded.size;
    if (!batch->is_system) {
        code = db_memory_take(batch->db, bytes, err);
        if (code != POLARYS_OK) {
            return code;
        }
        batch->charged_bytes = bytes;
    }
    struct commit_request *request = &batch->request;
    request->operations = batch->entries.items;
    request->operation_count = batch->entries.count;
    request->encoded = buffer_slice(&batch->encoded);
    request->read_version = batch->read_version;
    request->read_keys = batch->read_keys.items;
    request->read_key_count = batch->read_keys.count;
    request->read_ranges = batch->read_ranges.items;
    request->read_range_count = batch->read_ranges.count;
    request->changes_schema = batch->changes_schema;
    request->durability =
        batch->options.durability == POLARYS_DURABILITY_ASYNC ? COMMIT_ASYNC : COMMIT_LOCAL_SYNC;
    request->deadline_ns = batch->options.deadline_ns;
    return POLARYS_OK;
}

enum polarys_code batch_prepare(struct polarys_batch *batch, unsigned tree_flags,
                                struct polarys_error *err)
{
    struct polarys_db *db = batch->db;
    POLARYS_ASSERT(batch->operations.count > 0 || batch->begin_attempt != NULL);
    if (atomic_load_explicit(&db->is_closing, memory_order_relaxed)) {
        return polarys_fail(err, POLARYS_DRAINING, "the store is being closed");
    }
    enum polarys_code code = POLARYS_OK;
    if (batch->begin_attempt != NULL) {
        code = batch->begin_attempt(batch, tree_flags, err);
    }
    if (code == POLARYS_OK) {
        code = made_reset(batch, err);
    }
    if (code == POLARYS_OK) {
        code = check_tables(batch, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (!batch->has_own_read_version) {
        batch->read_version = commit_published_version(db->commit);
    }
    struct polarys_slice record_key = {NULL, 0};
    uint8_t hash[REQUEST_HASH_SIZE];
    if (batch->options.has_request_id) {
        code = look_for_answer(batch, tree_flags, &record_key, hash, err);
        if (code != POLARYS_OK || batch->is_replayed) {
            return code;
        }
    }
    if (batch->writes_nothing) {
        return POLARYS_OK;
    }
    code = check_requirements(batch, tree_flags, err);
    if (code == POLARYS_OK) {
        code = batch_reduce(batch, tree_flags, err);
    }
    if (code == POLARYS_OK && batch->may_have_indexes) {
        code = batch_index(batch, tree_flags, err);
    }
    if (code == POLARYS_OK) {
        code = effects_list(batch, err);
    }
    if (code == POLARYS_OK && batch->options.has_request_id) {
        code = record_add(batch, record_key, hash, err);
    }
    if (code == POLARYS_OK && batch->has_record) {
        code = txn_record_add(batch, err);
    }
    return code == POLARYS_OK ? request_make(batch, err) : code;
}
