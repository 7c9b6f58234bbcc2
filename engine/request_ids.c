/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of request ids: documents of a system table, with an expiry like any other
 * (docs/formats/catalog.md). The version of the answer is the record's own: both are of one commit.
 *
 * How many are remembered is kept in memory only: counted once after an open, then by what commits add
 * and the sweeper removes. Until it has been counted nothing is refused.
 */
#include "engine/request_ids.h"

#include <string.h>

#include "engine/base/coding.h"

enum { REQUEST_RECORD_FORMAT = 1 };

size_t request_id_key(uint8_t key[REQUEST_KEY_SIZE_MAX], uint32_t database_id,
                      const uint8_t id[POLARYS_REQUEST_ID_SIZE], struct polarys_slice principal)
{
    POLARYS_ASSERT(principal.size <= REQUEST_PRINCIPAL_BYTES_MAX);
    tree_key_put_prefix(key, SYSTEM_DATABASE_ID, SYSTEM_TABLE_REQUEST_IDS);
    size_t size = TREE_KEY_PREFIX_SIZE;
    put_u32_be(key + size, database_id);
    size += 4;
    memcpy(key + size, id, POLARYS_REQUEST_ID_SIZE);
    size += POLARYS_REQUEST_ID_SIZE;
    if (principal.size > 0) {
        memcpy(key + size, principal.data, principal.size);
    }
    return size + principal.size;
}

void request_record_put(uint8_t record[REQUEST_RECORD_SIZE], const uint8_t hash[REQUEST_HASH_SIZE],
                        uint64_t affected)
{
    record[0] = REQUEST_RECORD_FORMAT;
    memcpy(record + 1, hash, REQUEST_HASH_SIZE);
    put_u64_le(record + 1 + REQUEST_HASH_SIZE, affected);
}

static enum polarys_code record_read(const struct stored_value *stored,
                                     const uint8_t hash[REQUEST_HASH_SIZE],
                                     struct request_answer *answer, struct polarys_error *err)
{
    const uint8_t *record = stored->bytes.data;
    if (stored->bytes.size != REQUEST_RECORD_SIZE || record[0] != REQUEST_RECORD_FORMAT) {
        return polarys_fail(err, POLARYS_CORRUPT, "the record of a request id is not readable");
    }
    if (memcmp(record + 1, hash, REQUEST_HASH_SIZE) != 0) {
        return polarys_fail(err, POLARYS_REQUEST_ID_REUSED,
                            "this request id was used for another request");
    }
    answer->is_found = true;
    answer->affected = get_u64_le(record + 1 + REQUEST_HASH_SIZE);
    return POLARYS_OK;
}

/* NOLINTNEXTLINE(readability-function-size): one look-up with all that it depends on */
enum polarys_code request_id_find(struct polarys_db *db, struct polarys_slice key,
                                  const uint8_t hash[REQUEST_HASH_SIZE], uint64_t snapshot,
                                  unsigned tree_flags, struct request_answer *answer,
                                  struct polarys_error *err)
{
    struct tree_value value = {0};
    struct stored_value stored;
    *answer = (struct request_answer){0};
    enum polarys_code code = tree_get(db->tree, key, snapshot, tree_flags, &value, err);
    if (code == POLARYS_KEY_NOT_FOUND) {
        return POLARYS_OK;
    }
    if (code != POLARYS_OK) {
        return code;
    }
    answer->version = value.version;
    if (!stored_value_decode(value.bytes, &stored)) {
        code = polarys_fail(err, POLARYS_CORRUPT, "the record of a request id is not readable");
    } else if (stored.expires_at_ms != 0 && stored.expires_at_ms <= db_now_ms(db)) {
        answer->is_stale = true;
    } else {
        code = record_read(&stored, hash, answer, err);
    }
    tree_value_release(&value);
    return code;
}

enum polarys_code request_ids_allow(struct polarys_db *db, struct polarys_error *err)
{
    uint64_t limit = db->settings.request_ids_max;
    if (!atomic_load(&db->is_request_id_counted) || atomic_load(&db->request_id_count) < limit) {
        return POLARYS_OK;
    }
    enum polarys_code code =
        polarys_fail(err, POLARYS_MEMORY_LIMIT, "%llu request ids are remembered: no more fit",
                     (unsigned long long)limit);
    polarys_error_detail_set(err, "limit", "%llu", (unsigned long long)limit);
    polarys_error_detail_set(err, "field", "request_ids_max");
    if (err != NULL) {
        err->retry_after_ms = DB_RETRY_AFTER_MS;
    }
    return code;
}

static enum polarys_code count_records(struct polarys_db *db, uint64_t *count,
                                       struct polarys_error *err)
{
    uint8_t start[TREE_KEY_PREFIX_SIZE];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    struct entry_iterator *iterator;
    table_bounds(SYSTEM_DATABASE_ID, SYSTEM_TABLE_REQUEST_IDS, start, end);
    /* As of the open: what came since was counted when it was added. */
    enum polarys_code code = tree_iterator_create(
        db->tree, slice_make(start, sizeof(start)), slice_make(end, sizeof(end)),
        db->opened_version, TREE_READ_NO_FILL | TREE_READ_AHEAD, &iterator, err);
    if (code != POLARYS_OK) {
        return code;
    }
    entry_iterator_seek_first(iterator);
    while (iterator->is_valid && !atomic_load(&db->is_closing)) {
        (*count)++;
        entry_iterator_next(iterator);
    }
    code = iterator->code;
    if (code != POLARYS_OK) {
        *err = iterator->error;
    }
    entry_iterator_destroy(iterator);
    return code;
}

void request_ids_count_once(struct polarys_db *db)
{
    if (atomic_load(&db->is_request_id_counted)) {
        return;
    }
    struct polarys_error err = POLARYS_ERROR_INIT;
    uint64_t count = 0;
    enum polarys_code code = count_records(db, &count, &err);
    if (code != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "store", "count the request ids: %s", err.message);
        return;
    }
    atomic_fetch_add(&db->request_id_count, count);
    atomic_store(&db->is_request_id_counted, true);
}

void request_ids_note_added(struct polarys_db *db)
{
    atomic_fetch_add(&db->request_id_count, 1);
}

void request_ids_note_swept(struct polarys_db *db, uint64_t count)
{
    /* A record that was overwritten before it was counted may be swept twice: never below zero. */
    uint64_t before = atomic_load(&db->request_id_count);
    while (!atomic_compare_exchange_weak(&db->request_id_count, &before,
                                         before > count ? before - count : 0)) {
        /* `before` was loaded again. */
    }
}
