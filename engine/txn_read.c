/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading within a transaction: through its own writes into the store, at the version that the level asks
 * for, and into the read set.
 *
 * Invariant: what the commit has to validate is in the read set before the caller sees it.
 */
#include <string.h>

#include "engine/txn_internal.h"

enum polarys_code txn_key_make(struct polarys_txn *txn, const char *table, struct polarys_slice key,
                               uint8_t bytes[TREE_KEY_SIZE_MAX], struct polarys_slice *tree_key,
                               struct polarys_error *err)
{
    uint32_t table_id;
    enum polarys_code code = db_table_find(txn->db, txn->database_id, table, &table_id, NULL, err);
    if (code == POLARYS_OK) {
        code = db_key_check(key, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    tree_key_put_prefix(bytes, txn->database_id, table_id);
    memcpy(bytes + TREE_KEY_PREFIX_SIZE, key.data, key.size);
    *tree_key = slice_make(bytes, TREE_KEY_PREFIX_SIZE + key.size);
    return POLARYS_OK;
}

enum polarys_code txn_snapshot_take(struct polarys_txn *txn, struct polarys_error *err)
{
    if (txn->reads_newest || txn->snapshot != 0) {
        return POLARYS_OK;
    }
    uint64_t lease_id;
    uint64_t snapshot;
    enum polarys_code code = polarys_snapshot_acquire(
        txn->db, POLARYS_VERSION_NEWEST, txn->timeout_ns / 1000000 + TXN_LEASE_MARGIN_MS, &lease_id,
        &snapshot, err);
    if (code != POLARYS_OK) {
        return code;
    }
    txn->judged_ms = db_now_ms(txn->db);
    mutex_lock(&txn->mutex);
    txn->snapshot = snapshot;
    txn->lease_id = lease_id;
    mutex_unlock(&txn->mutex);
    return POLARYS_OK;
}

uint64_t polarys_txn_version(struct polarys_txn *txn)
{
    mutex_lock(&txn->mutex);
    uint64_t version = txn->snapshot;
    mutex_unlock(&txn->mutex);
    return version;
}

/* ---- the read set ---- */

static enum polarys_code check_room_locked(const struct polarys_txn *txn, struct polarys_error *err)
{
    if (txn->phase != TXN_OPEN) {
        return txn_fail_over(txn, err);
    }
    if (txn->reads.key_count + txn->reads.range_count < POLARYS_TXN_READS_MAX) {
        return POLARYS_OK;
    }
    enum polarys_code code =
        polarys_fail(err, POLARYS_TOO_LARGE, "a transaction reads at most %d keys and ranges",
                     POLARYS_TXN_READS_MAX);
    polarys_error_detail_set(err, "limit", "%d", POLARYS_TXN_READS_MAX);
    return code;
}

/* Charges what the read set has come to. */
static enum polarys_code charge_reads_locked(struct polarys_txn *txn, struct polarys_error *err)
{
    if (txn->reads.bytes <= txn->reads_charged) {
        return POLARYS_OK;
    }
    uint64_t wanted = txn->reads.bytes + TXN_CHARGE_STEP - txn->reads_charged;
    enum polarys_code code = txns_charge(txn, wanted, err);
    txn->reads_charged += code == POLARYS_OK ? wanted : 0;
    return code;
}

enum polarys_code txn_note_key(struct polarys_txn *txn, struct polarys_slice tree_key,
                               uint64_t version, uint64_t read_version, struct polarys_error *err)
{
    mutex_lock(&txn->mutex);
    enum polarys_code code = check_room_locked(txn, err);
    if (code == POLARYS_OK) {
        code = read_set_note_key(&txn->reads, tree_key, version, read_version, err);
    }
    if (code == POLARYS_OK) {
        code = charge_reads_locked(txn, err);
    }
    mutex_unlock(&txn->mutex);
    return code;
}

/* Keeps the version of a range readable, for the check at the commit. Where no lease is left the history
 * window has to do. */
static void range_version_keep_locked(struct polarys_txn *txn, uint64_t version)
{
    if (version == txn->snapshot || txn->range_lease_count == TXN_RANGE_LEASES_MAX) {
        return;
    }
    for (size_t i = 0; i < txn->range_lease_count; i++) {
        if (txn->range_lease_versions[i] == version) {
            return;
        }
    }
    uint64_t lease_ms = txn->timeout_ns / 1000000 + TXN_LEASE_MARGIN_MS;
    uint64_t lease_id;
    if (snapshot_acquire(txn->db->snapshots, version, lease_ms, &lease_id, NULL) == POLARYS_OK) {
        txn->range_leases[txn->range_lease_count] = lease_id;
        txn->range_lease_versions[txn->range_lease_count++] = version;
    }
}

enum polarys_code txn_note_range(struct polarys_txn *txn, struct commit_range range,
                                 uint64_t read_version, struct polarys_error *err)
{
    atomic_store_explicit(&txn->used_ns, clock_monotonic_ns(txn->db->clock), memory_order_relaxed);
    mutex_lock(&txn->mutex);
    enum polarys_code code = check_room_locked(txn, err);
    if (code == POLARYS_OK) {
        range_version_keep_locked(txn, read_version);
        code = read_set_note_range(&txn->reads, range, read_version, err);
    }
    if (code == POLARYS_OK) {
        code = charge_reads_locked(txn, err);
    }
    mutex_unlock(&txn->mutex);
    return code;
}

/* ---- looking ---- */

void txn_seen_release(struct txn_seen *seen)
{
    tree_value_release(&seen->found.value);
    *seen = (struct txn_seen){0};
}

/* At the snapshot. Expiry is judged as of when that was taken, so that nothing vanishes within. */
static enum polarys_code read_snapshot(struct polarys_txn *txn, struct polarys_slice tree_key,
                                       unsigned tree_flags, struct db_found *found,
                                       struct polarys_error *err)
{
    enum polarys_code code =
        tree_get(txn->db->tree, tree_key, txn->snapshot, tree_flags, &found->value, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (!stored_value_decode(found->value.bytes, &found->stored)) {
        return polarys_fail(err, POLARYS_CORRUPT, "a stored value has an unknown form");
    }
    bool is_expired =
        found->stored.expires_at_ms != 0 && found->stored.expires_at_ms <= txn->judged_ms;
    return is_expired ? POLARYS_KEY_NOT_FOUND : POLARYS_OK;
}

static enum polarys_code look_in_store(struct polarys_txn *txn, struct polarys_slice tree_key,
                                       unsigned flags, struct db_found *found,
                                       uint64_t *read_version, struct polarys_error *err)
{
    unsigned tree_flags = db_tree_flags(flags);
    if (txn->reads_newest) {
        return db_read_newest(txn->db, tree_key, tree_flags, read_version, found, err);
    }
    *read_version = txn->snapshot;
    return read_snapshot(txn, tree_key, tree_flags, found, err);
}

enum polarys_code txn_look(struct polarys_txn *txn, struct polarys_slice tree_key, bool is_required,
                           unsigned flags, struct txn_seen *seen, struct polarys_error *err)
{
    struct polarys_slice own;
    enum overlay_answer answer = overlay_find(&txn->overlay, tree_key, &own);
    if (answer != OVERLAY_UNTOUCHED) {
        seen->is_own = true;
        seen->is_found = answer == OVERLAY_PUT;
        bool is_readable = !seen->is_found || stored_value_decode(own, &seen->found.stored);
        POLARYS_ASSERT(is_readable);
        return POLARYS_OK;
    }
    enum polarys_code code = txn_snapshot_take(txn, err);
    if (code != POLARYS_OK) {
        return code;
    }
    uint64_t read_version;
    code = look_in_store(txn, tree_key, flags, &seen->found, &read_version, err);
    seen->is_found = code == POLARYS_OK;
    code = code == POLARYS_KEY_NOT_FOUND ? POLARYS_OK : code;
    if (code == POLARYS_OK && (txn->notes_reads || is_required)) {
        uint64_t version = seen->is_found ? seen->found.value.version : 0;
        code = txn_note_key(txn, tree_key, version, read_version, err);
    }
    if (code == POLARYS_OK) {
        (void)__atomic_fetch_add(&txn->work, 1, __ATOMIC_RELAXED);
        return POLARYS_OK;
    }
    txn_seen_release(seen);
    return code;
}

/* ---- get ---- */

static void document_fill(struct polarys_txn *txn, struct txn_seen *seen,
                          struct polarys_document *document)
{
    if (!seen->is_own) {
        db_document_fill(txn->db, &seen->found, document);
        return;
    }
    document->value.kind = seen->found.stored.is_json ? POLARYS_VALUE_JSON : POLARYS_VALUE_RAW;
    document->value.expires_at_ms = seen->found.stored.expires_at_ms;
    document->value.bytes = seen->found.stored.bytes;
    document->version = 0;
    document->commit_time_unix_ms = 0;
    document->pins[0] = NULL;
    document->pins[1] = NULL;
}

/* NOLINTNEXTLINE(readability-function-size): the embedded API names each thing by itself */
enum polarys_code polarys_txn_get(struct polarys_txn *txn, const char *table,
                                  struct polarys_slice key, bool for_update, unsigned flags,
                                  struct polarys_document *document, struct polarys_error *err)
{
    uint8_t bytes[TREE_KEY_SIZE_MAX];
    struct polarys_slice tree_key;
    struct txn_seen seen = {0};
    enum polarys_code code = txn_enter(txn, flags, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = txn_key_make(txn, table, key, bytes, &tree_key, err);
    if (code == POLARYS_OK) {
        code = txn_lock_for_read(txn, tree_key, for_update, flags, err);
    }
    if (code == POLARYS_OK) {
        code = txn_look(txn, tree_key, for_update, flags, &seen, err);
    }
    if (code == POLARYS_OK && seen.is_found) {
        document_fill(txn, &seen, document);
    } else if (code == POLARYS_OK) {
        txn_seen_release(&seen);
        code = db_fail_not_found(err);
    }
    return txn_leave_with(txn, code);
}
