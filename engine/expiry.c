/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents that expire: at which time they are judged, the index of expiry times, and the sweeper.
 *
 * Invariant: only a logged delete removes data. A document that expires has an index entry from the
 * same commit on; an entry whose document was overwritten or deleted since is stale, which the sweeper
 * finds out, and costs nothing but its bytes until then.
 */
#include <xxhash.h>

#include "engine/batch_internal.h"
#include "engine/request_ids.h"

enum {
    EXPIRY_TIME_SIZE = 8,
    EXPIRY_HASH_SIZE = 16,
    /* A tree key up to this size stands in the entry's key whole. */
    EXPIRY_WHOLE_KEY_MAX = TREE_KEY_SIZE_MAX - TREE_KEY_PREFIX_SIZE - EXPIRY_TIME_SIZE,
    EXPIRY_CUT_KEY_SIZE = EXPIRY_WHOLE_KEY_MAX - EXPIRY_HASH_SIZE,
};

uint64_t db_now_ms(struct polarys_db *db)
{
    uint64_t committed_ms = commit_published_time_ms(db->commit);
    uint64_t now_ms = clock_wall_ms(db->clock);
    return committed_ms > now_ms ? committed_ms : now_ms;
}

uint64_t db_version_time_ms(struct polarys_db *db, uint64_t version)
{
    return snapshots_time_of(db->snapshots, version);
}

size_t expiry_entry_make(uint8_t *to, uint64_t expires_at_ms, struct polarys_slice tree_key,
                         struct polarys_slice *value)
{
    tree_key_put_prefix(to, SYSTEM_DATABASE_ID, SYSTEM_TABLE_EXPIRY);
    size_t size = TREE_KEY_PREFIX_SIZE;
    put_u64_be(to + size, expires_at_ms);
    size += EXPIRY_TIME_SIZE;
    if (tree_key.size <= EXPIRY_WHOLE_KEY_MAX) {
        memcpy(to + size, tree_key.data, tree_key.size);
        *value = slice_make(NULL, 0);
        return size + tree_key.size;
    }
    XXH128_canonical_t hash;
    XXH128_canonicalFromHash(&hash, XXH3_128bits(tree_key.data, tree_key.size));
    memcpy(to + size, tree_key.data, EXPIRY_CUT_KEY_SIZE);
    size += EXPIRY_CUT_KEY_SIZE;
    memcpy(to + size, hash.digest, EXPIRY_HASH_SIZE);
    *value = tree_key;
    return size + EXPIRY_HASH_SIZE;
}

/* One pass of the sweeper. */
struct sweep {
    struct polarys_db *db;
    struct polarys_batch *batch;
    uint64_t now_ms;
    uint64_t entries_max; /* in one commit */
    uint64_t entry_count;
    uint64_t document_count;
    uint64_t request_id_count;
};

static bool is_request_id(struct polarys_slice tree_key)
{
    return get_u32_be(tree_key.data) == SYSTEM_DATABASE_ID &&
           get_u32_be(tree_key.data + 4) == SYSTEM_TABLE_REQUEST_IDS;
}

/* Deletes the entry, and its document when that is the one that has expired. */
static enum polarys_code sweep_entry(struct sweep *sweep, uint64_t snapshot,
                                     const struct entry *entry, struct polarys_error *err)
{
    size_t head_size = TREE_KEY_PREFIX_SIZE + EXPIRY_TIME_SIZE;
    if (entry->key.size < head_size + TREE_KEY_PREFIX_SIZE) {
        return polarys_fail(err, POLARYS_CORRUPT, "an entry of the expiry index is too short");
    }
    uint64_t expires_at_ms = get_u64_be(entry->key.data + TREE_KEY_PREFIX_SIZE);
    struct polarys_slice tree_key = entry->value.size > 0 ? entry->value
                                                          : slice_make(entry->key.data + head_size,
                                                                       entry->key.size - head_size);
    struct tree_value value = {0};
    struct stored_value stored;
    enum polarys_code code =
        tree_get(sweep->db->tree, tree_key, snapshot, TREE_READ_NO_FILL, &value, err);
    if (code != POLARYS_OK && code != POLARYS_KEY_NOT_FOUND) {
        return code;
    }
    bool is_due = code == POLARYS_OK && stored_value_decode(value.bytes, &stored) &&
                  stored.expires_at_ms == expires_at_ms;
    tree_value_release(&value);
    code = batch_add_system(sweep->batch, ENTRY_DELETE, entry->key, slice_make(NULL, 0), err);
    if (code == POLARYS_OK) {
        /* The same document put again with the same expiry writes the entry anew: that one must stay. */
        code = batch_add_read_key(sweep->batch, entry->key, err);
    }
    if (code == POLARYS_OK && is_due) {
        code = batch_add_system(sweep->batch, ENTRY_DELETE, tree_key, slice_make(NULL, 0), err);
        if (code == POLARYS_OK) {
            code = batch_add_read_key(sweep->batch, tree_key, err);
        }
        sweep->request_id_count += is_request_id(tree_key) ? 1 : 0;
        sweep->document_count += is_request_id(tree_key) ? 0 : 1;
    }
    sweep->entry_count++;
    return code;
}

static enum polarys_code sweep_gather(struct sweep *sweep, uint64_t snapshot,
                                      struct polarys_error *err)
{
    uint8_t start[TREE_KEY_PREFIX_SIZE];
    uint8_t end[TREE_KEY_PREFIX_SIZE + EXPIRY_TIME_SIZE];
    tree_key_put_prefix(start, SYSTEM_DATABASE_ID, SYSTEM_TABLE_EXPIRY);
    tree_key_put_prefix(end, SYSTEM_DATABASE_ID, SYSTEM_TABLE_EXPIRY);
    put_u64_be(end + TREE_KEY_PREFIX_SIZE, sweep->now_ms + 1);
    struct entry_iterator *iterator;
    enum polarys_code code = tree_iterator_create(sweep->db->tree, slice_make(start, sizeof(start)),
                                                  slice_make(end, sizeof(end)), snapshot,
                                                  TREE_READ_NO_FILL, &iterator, err);
    if (code != POLARYS_OK) {
        return code;
    }
    entry_iterator_seek_first(iterator);
    while (iterator->is_valid && sweep->entry_count < sweep->entries_max && code == POLARYS_OK) {
        code = sweep_entry(sweep, snapshot, &iterator->entry, err);
        entry_iterator_next(iterator);
    }
    if (code == POLARYS_OK && iterator->code != POLARYS_OK) {
        *err = iterator->error;
        code = iterator->code;
    }
    entry_iterator_destroy(iterator);
    return code;
}

/* True when there may be more to sweep. */
static bool sweep_once(struct sweep *sweep)
{
    struct polarys_db *db = sweep->db;
    struct polarys_error err = POLARYS_ERROR_INIT;
    POLARYS_ASSERT(sweep->entries_max > 0);
    batch_clear(sweep->batch);
    sweep->entry_count = 0;
    sweep->document_count = 0;
    sweep->request_id_count = 0;
    uint64_t snapshot = commit_published_version(db->commit);
    enum polarys_code code = sweep_gather(sweep, snapshot, &err);
    if (code == POLARYS_OK && sweep->entry_count > 0) {
        code = batch_commit_system(sweep->batch, snapshot, &err);
        if (code == POLARYS_OK) {
            atomic_fetch_add(&db->expired_count, sweep->document_count);
            request_ids_note_swept(db, sweep->request_id_count);
            return sweep->entry_count == sweep->entries_max;
        }
        if (code == POLARYS_TOO_LARGE && sweep->entry_count > 1) {
            /* Their entries in indexes go with the documents, and may be any number. */
            sweep->entries_max = sweep->entry_count / 2;
            return true;
        }
    }
    if (code != POLARYS_OK && code != POLARYS_TXN_CONFLICT && !atomic_load(&db->is_closing)) {
        polarys_log(POLARYS_LOG_WARN, "store", "delete expired documents: %s", err.message);
    }
    return false;
}

void expiry_sweep(struct polarys_db *db)
{
    struct sweep sweep = {.db = db, .now_ms = db_now_ms(db), .entries_max = DB_EXPIRY_BATCH_MAX};
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (polarys_batch_create(db, NULL, &sweep.batch, &err) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "store", "delete expired documents: %s", err.message);
        return;
    }
    while (!atomic_load(&db->is_closing) && sweep_once(&sweep)) {
        /* A burst that expired together is worked off in one go, batch by batch. */
    }
    polarys_batch_destroy(sweep.batch);
}
