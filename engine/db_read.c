/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading one document, and which versions may be read.
 *
 * Invariant: an answer is right as of its version, or there is none: compaction may have dropped what an
 * unleased version sees while the tree was searched, so its mark is looked at afterwards.
 */
#include "engine/engine_internal.h"

unsigned db_tree_flags(unsigned read_flags)
{
    unsigned flags = 0;
    flags |= (read_flags & POLARYS_READ_MEMORY_ONLY) != 0 ? TREE_READ_MEMORY_ONLY : 0;
    flags |= (read_flags & POLARYS_READ_NO_FILL) != 0 ? TREE_READ_NO_FILL : 0;
    return flags;
}

static enum polarys_code fail_future(uint64_t version, uint64_t newest, struct polarys_error *err)
{
    enum polarys_code code = polarys_fail(
        err, POLARYS_FUTURE_VERSION, "version %llu is not there yet", (unsigned long long)version);
    polarys_error_detail_set(err, "version", "%llu", (unsigned long long)newest);
    return code;
}

/* NOLINTNEXTLINE(readability-function-size): one look-up with all that it depends on */
enum polarys_code db_read_document(struct polarys_db *db, struct polarys_slice tree_key,
                                   uint64_t snapshot, bool is_newest, unsigned tree_flags,
                                   struct db_found *found, struct polarys_error *err)
{
    enum polarys_code code = tree_get(db->tree, tree_key, snapshot, tree_flags, &found->value, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (!stored_value_decode(found->value.bytes, &found->stored)) {
        return polarys_fail(err, POLARYS_CORRUPT, "a stored value has an unknown form");
    }
    if (found->stored.expires_at_ms != 0) {
        uint64_t now_ms = is_newest ? db_now_ms(db) : db_version_time_ms(db, snapshot);
        if (found->stored.expires_at_ms <= now_ms) {
            return POLARYS_KEY_NOT_FOUND;
        }
    }
    return POLARYS_OK;
}

void db_document_fill(struct polarys_db *db, const struct db_found *found,
                      struct polarys_document *document)
{
    document->value.kind = found->stored.is_json ? POLARYS_VALUE_JSON : POLARYS_VALUE_RAW;
    document->value.expires_at_ms = found->stored.expires_at_ms;
    document->value.bytes = found->stored.bytes;
    document->version = found->value.version;
    document->commit_time_unix_ms = db_version_time_ms(db, found->value.version);
    document->pins[0] = found->value.block;
    document->pins[1] = found->value.memtable;
}

void polarys_document_release(struct polarys_document *document)
{
    struct tree_value value = {.block = document->pins[0], .memtable = document->pins[1]};
    tree_value_release(&value);
    document->pins[0] = NULL;
    document->pins[1] = NULL;
    document->value.bytes = slice_make(NULL, 0);
}

enum polarys_code db_fail_not_found(struct polarys_error *err)
{
    /* By hand: formatting would cost more than the whole look-up. */
    if (err != NULL) {
        static const char message[] = "there is no such document";
        err->code = POLARYS_KEY_NOT_FOUND;
        err->retry_after_ms = 0;
        err->detail_count = 0;
        memcpy(err->message, message, sizeof(message));
    }
    return POLARYS_KEY_NOT_FOUND;
}

/* A read of an old version holds a lease of its own, which is granted within history and for versions that
 * somebody has leased. */
static enum polarys_code read_old(struct polarys_db *db, struct polarys_slice tree_key,
                                  const struct polarys_read_options *options,
                                  struct db_found *found, struct polarys_error *err)
{
    uint64_t lease_id;
    uint64_t snapshot;
    enum polarys_code code =
        polarys_snapshot_acquire(db, options->version, 0, &lease_id, &snapshot, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code =
        db_read_document(db, tree_key, snapshot, false, db_tree_flags(options->flags), found, err);
    snapshot_release(db->snapshots, lease_id);
    return code;
}

enum polarys_code db_read_newest(struct polarys_db *db, struct polarys_slice tree_key,
                                 unsigned tree_flags, uint64_t *snapshot, struct db_found *found,
                                 struct polarys_error *err)
{
    for (;;) {
        *snapshot = commit_published_version(db->commit);
        enum polarys_code code =
            db_read_document(db, tree_key, *snapshot, true, tree_flags, found, err);
        bool is_answer = code == POLARYS_OK || code == POLARYS_KEY_NOT_FOUND;
        /* Without a lease compaction may have dropped what this version sees, if there is a newer one. */
        if (!is_answer || *snapshot >= tree_history_start(db->tree)) {
            return code;
        }
        tree_value_release(&found->value);
        *found = (struct db_found){0};
    }
}

/* NOLINTNEXTLINE(readability-function-size): the embedded API names each thing by itself */
enum polarys_code polarys_db_get(struct polarys_db *db, const char *database, const char *table,
                                 struct polarys_slice key,
                                 const struct polarys_read_options *options,
                                 struct polarys_document *document, struct polarys_error *err)
{
    uint32_t database_id;
    uint32_t table_id;
    enum polarys_code code = db_database_find(db, database, &database_id, err);
    if (code == POLARYS_OK) {
        code = db_table_find(db, database_id, table, &table_id, NULL, err);
    }
    if (code == POLARYS_OK) {
        code = db_key_check(key, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    uint8_t tree_key[TREE_KEY_SIZE_MAX];
    tree_key_put_prefix(tree_key, database_id, table_id);
    memcpy(tree_key + TREE_KEY_PREFIX_SIZE, key.data, key.size);
    struct polarys_slice whole = slice_make(tree_key, TREE_KEY_PREFIX_SIZE + key.size);
    struct db_found found = {0};
    uint64_t newest;
    code = options != NULL && options->version != POLARYS_VERSION_NEWEST
               ? read_old(db, whole, options, &found, err)
               : db_read_newest(db, whole, options == NULL ? 0 : db_tree_flags(options->flags),
                                &newest, &found, err);
    if (code != POLARYS_OK) {
        tree_value_release(&found.value);
        return code == POLARYS_KEY_NOT_FOUND ? db_fail_not_found(err) : code;
    }
    db_document_fill(db, &found, document);
    return POLARYS_OK;
}

enum polarys_code polarys_snapshot_acquire(struct polarys_db *db, uint64_t version,
                                           uint64_t lease_ms, uint64_t *lease_id,
                                           uint64_t *leased_version, struct polarys_error *err)
{
    for (;;) {
        uint64_t newest = commit_published_version(db->commit);
        if (version > newest) {
            return fail_future(version, newest, err);
        }
        uint64_t wanted = version == POLARYS_VERSION_NEWEST ? newest : version;
        enum polarys_code code = snapshot_acquire(db->snapshots, wanted, lease_ms, lease_id, err);
        bool has_moved = code == POLARYS_HISTORY_PRUNED && version == POLARYS_VERSION_NEWEST &&
                         commit_published_version(db->commit) != newest;
        if (!has_moved) {
            *leased_version = code == POLARYS_OK ? wanted : 0;
            return code;
        }
    }
}

enum polarys_code polarys_snapshot_renew(struct polarys_db *db, uint64_t lease_id,
                                         uint64_t lease_ms, struct polarys_error *err)
{
    return snapshot_renew(db->snapshots, lease_id, lease_ms, err);
}

void polarys_snapshot_release(struct polarys_db *db, uint64_t lease_id)
{
    snapshot_release(db->snapshots, lease_id);
}

uint64_t polarys_db_version(const struct polarys_db *db)
{
    return commit_published_version(db->commit);
}

uint64_t polarys_db_durable_version(const struct polarys_db *db)
{
    return commit_durable_version(db->commit);
}

const uint8_t *polarys_db_store_id(const struct polarys_db *db)
{
    return keyring_store_id(db->keyring);
}
