/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements and views: what scans and queries see of a transaction, and what they leave in it.
 *
 * A view borrows the bytes of the transaction's arena, which only grows while there is a reference; the
 * list of its entries is its own, since later writes change the overlay's.
 */
#include "engine/txn_statement.h"

#include <stdlib.h>
#include <string.h>

#include "engine/txn_internal.h"

/* Keeps the version readable until the end of the statement, which may come after the transaction's. */
static enum polarys_code version_lease(struct polarys_txn *txn, uint64_t version,
                                       struct txn_statement *statement, struct polarys_error *err)
{
    return polarys_snapshot_acquire(txn->db, version,
                                    txn->timeout_ns / 1000000 + TXN_LEASE_MARGIN_MS,
                                    &statement->lease_id, &statement->version, err);
}

enum polarys_code txn_statement_begin(struct polarys_txn *txn, struct commit_range range,
                                      unsigned flags, struct txn_statement *statement,
                                      struct polarys_error *err)
{
    *statement = (struct txn_statement){0};
    if (txn == NULL) {
        return POLARYS_OK;
    }
    POLARYS_ASSERT(range.start.size >= TREE_KEY_PREFIX_SIZE);
    enum polarys_code code = txn_enter(txn, flags, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = txn_lock_range_for_read(txn, range, flags, err);
    if (code == POLARYS_OK) {
        code = txn_snapshot_take(txn, err);
    }
    if (code == POLARYS_OK) {
        uint64_t version = txn->reads_newest ? POLARYS_VERSION_NEWEST : txn->snapshot;
        code = version_lease(txn, version, statement, err);
    }
    if (code == POLARYS_OK) {
        statement->txn = txn;
        statement->database_id = txn->database_id;
        statement->notes_reads = txn->notes_reads;
        statement->judged_ms = txn->reads_newest ? 0 : txn->judged_ms;
        txn_ref(txn);
    }
    return txn_leave_with(txn, code);
}

void txn_statement_end(struct txn_statement *statement)
{
    struct polarys_txn *txn = statement->txn;
    if (txn == NULL) {
        return;
    }
    if (statement->lease_id != 0) {
        snapshot_release(txn->db->snapshots, statement->lease_id);
    }
    txn_unref(txn);
    *statement = (struct txn_statement){0};
}

uint64_t txn_statement_take_lease(struct txn_statement *statement)
{
    uint64_t lease_id = 0;
    if (statement->txn != NULL && statement->txn->reads_newest) {
        lease_id = statement->lease_id;
        statement->lease_id = 0;
    }
    return lease_id;
}

enum polarys_code txn_statement_version_set(struct txn_statement *statement, uint64_t version,
                                            struct polarys_error *err)
{
    struct polarys_txn *txn = statement->txn;
    struct txn_statement leased = {0};
    POLARYS_ASSERT(txn != NULL);
    if (version == statement->version) {
        return POLARYS_OK;
    }
    enum polarys_code code = POLARYS_CURSOR_EXPIRED;
    if (txn->reads_newest) {
        code = version_lease(txn, version, &leased, err);
    }
    if (code == POLARYS_OK) {
        snapshot_release(txn->db->snapshots, statement->lease_id);
        statement->lease_id = leased.lease_id;
        statement->version = leased.version;
    } else if (code != POLARYS_TOO_MANY_CALLS) {
        code = polarys_fail(err, POLARYS_CURSOR_EXPIRED,
                            "version %llu is not one that the transaction can read",
                            (unsigned long long)version);
    }
    return code;
}

enum polarys_code txn_statement_keep(const struct txn_statement *statement,
                                     struct polarys_error *err)
{
    struct polarys_txn *txn = statement->txn;
    enum polarys_code code = POLARYS_OK;
    if (txn == NULL) {
        return POLARYS_OK;
    }
    uint64_t now_ns = clock_monotonic_ns(txn->db->clock);
    mutex_lock(&txn->mutex);
    const char *reason = txn_due_reason(txn, now_ns);
    if (txn->phase != TXN_OPEN) {
        code = txn_fail_over(txn, err);
    } else if (reason != NULL) {
        code = polarys_fail(err, POLARYS_TXN_NOT_FOUND, "the transaction is over: %s", reason);
    } else {
        atomic_store_explicit(&txn->used_ns, now_ns, memory_order_relaxed);
    }
    mutex_unlock(&txn->mutex);
    return code;
}

enum polarys_code txn_statement_note_key(struct txn_statement *statement,
                                         struct polarys_slice tree_key, uint64_t version,
                                         struct polarys_error *err)
{
    if (!statement->notes_reads) {
        return POLARYS_OK;
    }
    (void)__atomic_fetch_add(&statement->txn->work, 1, __ATOMIC_RELAXED);
    return txn_note_key(statement->txn, tree_key, version, statement->version, err);
}

enum polarys_code txn_statement_note_range(struct txn_statement *statement,
                                           struct commit_range range, struct polarys_error *err)
{
    if (!statement->notes_reads) {
        return POLARYS_OK;
    }
    (void)__atomic_fetch_add(&statement->txn->work, 1, __ATOMIC_RELAXED);
    return txn_note_range(statement->txn, range, statement->version, err);
}

/* ---- views ---- */

static size_t count_entries(const struct overlay_entry *entry, struct polarys_slice prefix)
{
    size_t count = 0;
    for (; entry != NULL && slice_starts_with(entry->key, prefix); entry = entry->next[0]) {
        count++;
    }
    return count;
}

static size_t count_ranges(const struct overlay *overlay, struct polarys_slice prefix)
{
    size_t count = 0;
    for (size_t i = 0; i < overlay->range_count; i++) {
        count += slice_starts_with(overlay->ranges[i].start, prefix) ? 1 : 0;
    }
    return count;
}

static void view_fill(const struct overlay *overlay, const struct overlay_entry *entry,
                      struct polarys_slice prefix, struct txn_view *view)
{
    struct txn_view_entry *entries = (struct txn_view_entry *)(void *)(view + 1);
    struct commit_range *ranges = (struct commit_range *)(void *)(entries + view->entry_count);
    for (size_t i = 0; i < view->entry_count; i++, entry = entry->next[0]) {
        entries[i] = (struct txn_view_entry){entry->key, entry->value, entry->is_delete};
    }
    size_t count = 0;
    for (size_t i = 0; i < overlay->range_count; i++) {
        if (slice_starts_with(overlay->ranges[i].start, prefix)) {
            ranges[count++] = overlay->ranges[i];
        }
    }
    POLARYS_ASSERT(count == view->range_count);
    view->entries = entries;
    view->ranges = ranges;
}

/* REQUIRES: the call is inside. */
static enum polarys_code view_make(struct polarys_txn *txn, uint32_t table_id,
                                   struct txn_view **out, struct polarys_error *err)
{
    uint8_t bytes[TREE_KEY_PREFIX_SIZE];
    tree_key_put_prefix(bytes, txn->database_id, table_id);
    struct polarys_slice prefix = slice_make(bytes, sizeof(bytes));
    const struct overlay_entry *first = overlay_seek(&txn->overlay, prefix);
    size_t entry_count = count_entries(first, prefix);
    size_t range_count = count_ranges(&txn->overlay, prefix);
    if (entry_count == 0 && range_count == 0) {
        return POLARYS_OK;
    }
    struct txn_view *view = malloc(sizeof(*view) + entry_count * sizeof(struct txn_view_entry) +
                                   range_count * sizeof(struct commit_range));
    if (view == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a view of a transaction");
    }
    *view = (struct txn_view){.entry_count = entry_count, .range_count = range_count, .txn = txn};
    view_fill(&txn->overlay, first, prefix, view);
    txn_ref(txn);
    *out = view;
    return POLARYS_OK;
}

enum polarys_code txn_view_create(struct txn_statement *statement, uint32_t table_id,
                                  unsigned flags, struct txn_view **out, struct polarys_error *err)
{
    struct polarys_txn *txn = statement->txn;
    *out = NULL;
    if (txn == NULL) {
        return POLARYS_OK;
    }
    enum polarys_code code = txn_enter(txn, flags, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = view_make(txn, table_id, out, err);
    txn_leave(txn);
    return code;
}

void txn_view_destroy(struct txn_view *view)
{
    if (view != NULL) {
        txn_unref(view->txn);
        free(view);
    }
}

size_t txn_view_seek(const struct txn_view *view, struct polarys_slice tree_key)
{
    size_t low = 0;
    size_t high = view == NULL ? 0 : view->entry_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(view->entries[middle].key, tree_key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool txn_view_touches(const struct txn_view *view, struct polarys_slice tree_key)
{
    if (view == NULL) {
        return false;
    }
    size_t at = txn_view_seek(view, tree_key);
    if (at < view->entry_count && slice_equal(view->entries[at].key, tree_key)) {
        return true;
    }
    for (size_t i = 0; i < view->range_count; i++) {
        if (commit_range_holds(&view->ranges[i], tree_key)) {
            return true;
        }
    }
    return false;
}
