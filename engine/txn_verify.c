/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The precise check of a commit that the log role refused. The memtables answer for what was written since
 * the last flush and no further, so a refusal may be false; here the tree is asked, which knows.
 *
 * Invariant: what passes at version V was at V just as the transaction saw it. A commit submitted with
 * read_version V is then as good as one whose every read happened at V.
 */
#include <string.h>

#include "engine/txn_internal.h"

/* ---- naming what changed ---- */

static bool is_text(struct polarys_slice key)
{
    for (size_t i = 0; i < key.size; i++) {
        if (key.data[i] < 0x20 || key.data[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

/* The key as text where it is printable ASCII, else in hex; cut to what a detail holds. */
static void key_describe(struct polarys_slice key, char to[POLARYS_ERROR_DETAIL_VALUE_MAX])
{
    static const char digits[] = "0123456789abcdef";
    size_t room = POLARYS_ERROR_DETAIL_VALUE_MAX - 1;
    size_t size = 0;
    if (is_text(key)) {
        size = key.size < room ? key.size : room;
        memcpy(to, key.data, size);
    } else {
        for (size_t i = 0; i < key.size && size + 2 <= room; i++) {
            to[size++] = digits[key.data[i] >> 4];
            to[size++] = digits[key.data[i] & 15];
        }
    }
    to[size] = '\0';
}

static void table_describe(struct polarys_db *db, uint32_t database_id, uint32_t table_id,
                           char to[POLARYS_NAME_BYTES_MAX + 1])
{
    unsigned stripe;
    size_t first;
    const struct catalog *catalog = catalog_enter(&db->catalog, &stripe);
    size_t count = catalog_database_tables(catalog, database_id, &first);
    to[0] = '\0';
    for (size_t i = first; i < first + count; i++) {
        if (catalog->tables[i].id == table_id) {
            memcpy(to, catalog->tables[i].name, sizeof(catalog->tables[i].name));
        }
    }
    catalog_leave(&db->catalog, stripe);
}

enum polarys_code txn_fail_conflict(struct polarys_db *db, struct polarys_slice tree_key,
                                    struct polarys_error *err)
{
    char table[POLARYS_NAME_BYTES_MAX + 1];
    char key[POLARYS_ERROR_DETAIL_VALUE_MAX];
    POLARYS_ASSERT(tree_key.size >= TREE_KEY_PREFIX_SIZE);
    table_describe(db, get_u32_be(tree_key.data), get_u32_be(tree_key.data + 4), table);
    key_describe(
        slice_make(tree_key.data + TREE_KEY_PREFIX_SIZE, tree_key.size - TREE_KEY_PREFIX_SIZE),
        key);
    enum polarys_code code =
        polarys_fail(err, POLARYS_TXN_CONFLICT,
                     "another commit changed key \"%s\" of table \"%s\" meanwhile", key, table);
    polarys_error_detail_set(err, "table", "%s", table);
    polarys_error_detail_set(err, "key", "%s", key);
    return code;
}

/* ---- keys ---- */

/* What a key has at a version: 0 when there is no document. *is_expired: by now there is none. */
/* NOLINTNEXTLINE(readability-function-size): seven parameters, and each is one thing */
static enum polarys_code version_at(struct polarys_db *db, struct polarys_slice tree_key,
                                    uint64_t snapshot, unsigned tree_flags, uint64_t *version,
                                    bool *is_expired, struct polarys_error *err)
{
    struct tree_value value = {0};
    struct stored_value stored;
    *version = 0;
    *is_expired = false;
    enum polarys_code code = tree_get(db->tree, tree_key, snapshot, tree_flags, &value, err);
    if (code == POLARYS_KEY_NOT_FOUND) {
        return POLARYS_OK;
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (stored_value_decode(value.bytes, &stored)) {
        *version = value.version;
        *is_expired = stored.expires_at_ms != 0 && stored.expires_at_ms <= db_now_ms(db);
    } else {
        code = polarys_fail(err, POLARYS_CORRUPT, "a stored value has an unknown form");
    }
    tree_value_release(&value);
    return code;
}

/* Absent stays absent when what is there has expired and nobody has swept it yet. */
static bool is_same(uint64_t seen, uint64_t now, bool is_expired)
{
    return seen == now || (seen == 0 && is_expired);
}

static enum polarys_code verify_key(struct polarys_txn *txn, struct polarys_slice tree_key,
                                    uint64_t seen, uint64_t version, unsigned tree_flags,
                                    struct polarys_error *err)
{
    uint64_t now;
    bool is_expired;
    enum polarys_code code =
        version_at(txn->db, tree_key, version, tree_flags, &now, &is_expired, err);
    if (code != POLARYS_OK || is_same(seen, now, is_expired)) {
        return code;
    }
    return txn_fail_conflict(txn->db, tree_key, err);
}

enum polarys_code txn_verify_written(struct polarys_txn *txn, struct polarys_slice tree_key,
                                     uint64_t version, unsigned tree_flags,
                                     struct polarys_error *err)
{
    uint64_t seen;
    bool was_expired;
    enum polarys_code code =
        version_at(txn->db, tree_key, txn->snapshot, tree_flags, &seen, &was_expired, err);
    if (was_expired) {
        seen = 0; /* whether it was swept since makes no difference */
    }
    return code == POLARYS_OK ? verify_key(txn, tree_key, seen, version, tree_flags, err) : code;
}

static enum polarys_code verify_keys(struct polarys_txn *txn, uint64_t version, unsigned tree_flags,
                                     struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < txn->reads.key_count && code == POLARYS_OK; i++) {
        const struct read_key *noted = &txn->reads.keys[i];
        code = verify_key(txn, noted->key, noted->version, version, tree_flags, err);
    }
    if (!txn_validates_writes(txn)) {
        return code;
    }
    for (const struct overlay_entry *entry = overlay_first(&txn->overlay);
         entry != NULL && code == POLARYS_OK; entry = entry->next[0]) {
        if (read_set_find(&txn->reads, entry->key) == NULL) {
            code = txn_verify_written(txn, entry->key, version, tree_flags, err);
        }
    }
    return code;
}

/* ---- ranges ---- */

/* One of the two walks over a range. */
struct range_walk {
    struct polarys_db *db;
    struct entry_iterator *iterator;
    uint64_t now_ms;
    bool has_documents; /* false: entries of an index, whose values are anything and never expire */
};

/* Whether the range is one of a table. Of one that was dropped meanwhile nothing is left to compare with. */
static bool is_of_table(struct polarys_db *db, struct commit_range range)
{
    unsigned stripe;
    size_t first;
    POLARYS_ASSERT(range.start.size >= TREE_KEY_PREFIX_SIZE);
    uint32_t table_id = get_u32_be(range.start.data + 4);
    bool is_table = false;
    const struct catalog *catalog = catalog_enter(&db->catalog, &stripe);
    size_t count = catalog_database_tables(catalog, get_u32_be(range.start.data), &first);
    for (size_t i = first; i < first + count && !is_table; i++) {
        is_table = catalog->tables[i].id == table_id;
    }
    catalog_leave(&db->catalog, stripe);
    return is_table;
}

/* On to the first document at or behind where it stands that has not expired. */
static enum polarys_code walk_settle(struct range_walk *walk, struct polarys_error *err)
{
    struct entry_iterator *iterator = walk->iterator;
    while (iterator->is_valid) {
        struct stored_value stored;
        if (!walk->has_documents) {
            return POLARYS_OK;
        }
        if (!stored_value_decode(iterator->entry.value, &stored)) {
            return polarys_fail(err, POLARYS_CORRUPT, "a stored value has an unknown form");
        }
        if (stored.expires_at_ms == 0 || stored.expires_at_ms > walk->now_ms) {
            return POLARYS_OK;
        }
        entry_iterator_next(iterator);
    }
    if (iterator->code != POLARYS_OK && iterator->code != POLARYS_WOULD_BLOCK && err != NULL) {
        *err = iterator->error;
    }
    return iterator->code;
}

static enum polarys_code walk_begin(struct range_walk *walk, struct commit_range range,
                                    uint64_t version, unsigned tree_flags,
                                    struct polarys_error *err)
{
    enum polarys_code code =
        tree_iterator_create(walk->db->tree, range.start, range.end, version,
                             tree_flags | TREE_READ_NO_FILL, &walk->iterator, err);
    if (code != POLARYS_OK) {
        return code;
    }
    entry_iterator_seek_first(walk->iterator);
    return walk_settle(walk, err);
}

static enum polarys_code walk_next(struct range_walk *walk, struct polarys_error *err)
{
    entry_iterator_next(walk->iterator);
    return walk_settle(walk, err);
}

/* Goes on in both while they agree. */
static enum polarys_code walk_both(struct range_walk *before, struct range_walk *after,
                                   struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    while (code == POLARYS_OK && before->iterator->is_valid && after->iterator->is_valid) {
        const struct entry *was = &before->iterator->entry;
        const struct entry *is = &after->iterator->entry;
        int order = slice_compare(was->key, is->key);
        if (order != 0 || was->version != is->version) {
            return txn_fail_conflict(before->db, order <= 0 ? was->key : is->key, err);
        }
        code = walk_next(before, err);
        if (code == POLARYS_OK) {
            code = walk_next(after, err);
        }
    }
    if (code == POLARYS_OK && before->iterator->is_valid) {
        return txn_fail_conflict(before->db, before->iterator->entry.key, err);
    }
    if (code == POLARYS_OK && after->iterator->is_valid) {
        return txn_fail_conflict(after->db, after->iterator->entry.key, err);
    }
    return code;
}

static enum polarys_code verify_range(struct polarys_txn *txn, struct commit_range range,
                                      uint64_t seen_version, uint64_t version, unsigned tree_flags,
                                      struct polarys_error *err)
{
    /* Both by the same clock: what expired meanwhile is missing on both sides, swept or not. */
    uint64_t now_ms = db_now_ms(txn->db);
    bool has_documents = is_of_table(txn->db, range);
    struct range_walk before = {.db = txn->db, .now_ms = now_ms, .has_documents = has_documents};
    struct range_walk after = before;
    enum polarys_code code = walk_begin(&before, range, seen_version, tree_flags, err);
    if (code == POLARYS_OK) {
        code = walk_begin(&after, range, version, tree_flags, err);
    }
    if (code == POLARYS_OK) {
        code = walk_both(&before, &after, err);
    }
    entry_iterator_destroy(before.iterator);
    entry_iterator_destroy(after.iterator);
    return code;
}

/* A version that nothing keeps readable any more cannot be compared with. */
static enum polarys_code check_readable(struct polarys_txn *txn, uint64_t seen_version,
                                        struct polarys_error *err)
{
    uint64_t lease_id;
    enum polarys_code code = snapshot_acquire(txn->db->snapshots, seen_version, 0, &lease_id, NULL);
    if (code == POLARYS_OK) {
        snapshot_release(txn->db->snapshots, lease_id);
    }
    return code != POLARYS_HISTORY_PRUNED
               ? POLARYS_OK
               : polarys_fail(
                     err, POLARYS_TXN_TOO_OLD,
                     "what the transaction read at version %llu cannot be checked any more",
                     (unsigned long long)seen_version);
}

static enum polarys_code verify_ranges(struct polarys_txn *txn, uint64_t version,
                                       unsigned tree_flags, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < txn->reads.range_count && code == POLARYS_OK; i++) {
        const struct read_range *noted = &txn->reads.ranges[i];
        struct commit_range range = {buffer_slice(&noted->start), buffer_slice(&noted->end)};
        if (noted->version == version) {
            continue;
        }
        code = verify_range(txn, range, noted->version, version, tree_flags, err);
        /* Asked afterwards: it may have been dropped while it was walked. */
        enum polarys_code readable = check_readable(txn, noted->version, err);
        code = readable != POLARYS_OK ? readable : code;
    }
    if (!txn_validates_writes(txn)) {
        return code;
    }
    for (size_t i = 0; i < txn->overlay.range_count && code == POLARYS_OK; i++) {
        code = verify_range(txn, txn->overlay.ranges[i], txn->snapshot, version, tree_flags, err);
    }
    return code;
}

enum polarys_code txn_verify(struct polarys_txn *txn, uint64_t version, unsigned tree_flags,
                             struct polarys_error *err)
{
    enum polarys_code code = verify_keys(txn, version, tree_flags, err);
    return code == POLARYS_OK ? verify_ranges(txn, version, tree_flags, err) : code;
}
