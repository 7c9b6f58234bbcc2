/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing within a transaction: an operation of its batch, and its effect in the overlay.
 *
 * Invariant: batch and overlay tell the same story: an operation is in both, or was not done.
 */
#include <string.h>

#include "engine/txn_internal.h"

/* One write on its way. */
struct txn_write {
    struct polarys_txn *txn;
    const char *table;
    struct polarys_slice key;
    struct polarys_slice tree_key;
    unsigned flags;
    size_t operations_before;
    size_t batch_bytes_before;
    uint8_t bytes[TREE_KEY_SIZE_MAX];
};

static enum polarys_code enter_to_write(struct polarys_txn *txn, unsigned flags,
                                        struct polarys_error *err)
{
    enum polarys_code code = txn_enter(txn, flags, err);
    if (code == POLARYS_OK && txn->is_read_only) {
        txn_leave(txn);
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "the transaction is for reading only");
    }
    return code;
}

/* Enters, finds the tree key and locks it. Leaves again on failure. */
static enum polarys_code write_begin(struct txn_write *write, struct polarys_error *err)
{
    struct polarys_txn *txn = write->txn;
    enum polarys_code code = enter_to_write(txn, write->flags, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = txn_key_make(txn, write->table, write->key, write->bytes, &write->tree_key, err);
    if (code == POLARYS_OK) {
        code = txn_lock_for_write(txn, write->tree_key, write->flags, err);
    }
    if (code == POLARYS_OK) {
        code = txn_snapshot_take(txn, err);
    }
    if (code != POLARYS_OK) {
        return txn_leave_with(txn, code);
    }
    write->operations_before = txn->batch->operations.count;
    write->batch_bytes_before = txn->batch->bytes;
    return POLARYS_OK;
}

static struct batch_operation *newest_operation(struct polarys_txn *txn)
{
    POLARYS_ASSERT(txn->batch->operations.count > 0);
    return &batch_operations(txn->batch)[txn->batch->operations.count - 1];
}

/* Charges what was written, or takes the operation back, and leaves. */
static enum polarys_code write_end(struct txn_write *write, enum polarys_code code)
{
    struct polarys_txn *txn = write->txn;
    struct polarys_batch *batch = txn->batch;
    if (code == POLARYS_OK) {
        atomic_store_explicit(&txn->write_count, batch->operations.count, memory_order_relaxed);
        (void)__atomic_fetch_add(&txn->work, 1, __ATOMIC_RELAXED);
    } else if (batch->operations.count > write->operations_before) {
        if (newest_operation(txn)->kind == BATCH_DELETE_RANGE) {
            batch->range_count--;
        }
        batch->operations.count = write->operations_before;
        batch->bytes = write->batch_bytes_before;
    }
    return txn_leave_with(txn, code);
}

/* What one more operation of `bytes` takes is charged before it is made: then nothing has to be undone. */
static enum polarys_code charge_ahead(struct polarys_txn *txn, size_t bytes,
                                      struct polarys_error *err)
{
    return txn_charge_more(txn, bytes + 4 * (size_t)BATCH_OVERHEAD_BYTES, err);
}

enum polarys_code polarys_txn_put(struct polarys_txn *txn, const char *table,
                                  struct polarys_slice key, const struct polarys_value *value,
                                  unsigned flags, struct polarys_error *err)
{
    struct txn_write write = {.txn = txn, .table = table, .key = key, .flags = flags};
    enum polarys_code code = write_begin(&write, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = charge_ahead(txn, key.size + value->bytes.size, err);
    if (code == POLARYS_OK) {
        code = polarys_batch_put(txn->batch, table, key, value, err);
    }
    if (code == POLARYS_OK) {
        const struct batch_operation *operation = newest_operation(txn);
        code = overlay_put(&txn->overlay, operation->key, operation->value, err);
    }
    return write_end(&write, code);
}

enum polarys_code polarys_txn_delete(struct polarys_txn *txn, const char *table,
                                     struct polarys_slice key, unsigned flags, bool *existed,
                                     struct polarys_error *err)
{
    struct txn_write write = {.txn = txn, .table = table, .key = key, .flags = flags};
    struct txn_seen seen = {0};
    enum polarys_code code = write_begin(&write, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (existed != NULL) {
        code = txn_look(txn, write.tree_key, false, flags, &seen, err);
        *existed = code == POLARYS_OK && seen.is_found;
        txn_seen_release(&seen);
    }
    if (code == POLARYS_OK) {
        code = charge_ahead(txn, key.size, err);
    }
    if (code == POLARYS_OK) {
        code = polarys_batch_delete(txn->batch, table, key, false, err);
    }
    if (code == POLARYS_OK) {
        code = overlay_delete(&txn->overlay, newest_operation(txn)->key, err);
    }
    return write_end(&write, code);
}

/* Merges the patch of the newest operation into what was seen. */
static enum polarys_code update_apply(struct polarys_txn *txn, const struct txn_seen *seen,
                                      struct polarys_error *err)
{
    struct batch_operation *operation = newest_operation(txn);
    struct batch_merged merged;
    enum polarys_code code =
        batch_merge(operation, seen->is_found ? &seen->found.stored : NULL,
                    txn->db->settings.value_bytes_max, &txn->arena, &merged, err);
    if (code == POLARYS_OK) {
        code = charge_ahead(txn, merged.value.size, err);
    }
    if (code == POLARYS_OK) {
        code = overlay_put(&txn->overlay, operation->key, merged.value, err);
    }
    if (code != POLARYS_OK || txn->isolation == POLARYS_ISOLATION_READ_COMMITTED) {
        return code; /* the commit merges again, into what it finds */
    }
    operation->kind = BATCH_PUT;
    operation->value = merged.value;
    operation->expires_at_ms = merged.expires_at_ms;
    return POLARYS_OK;
}

enum polarys_code polarys_txn_update(struct polarys_txn *txn, const char *table,
                                     struct polarys_slice key, const struct polarys_value *patch,
                                     unsigned flags, struct polarys_error *err)
{
    struct txn_write write = {.txn = txn, .table = table, .key = key, .flags = flags};
    struct txn_seen seen = {0};
    enum polarys_code code = write_begin(&write, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = txn_look(txn, write.tree_key, false, flags, &seen, err);
    if (code == POLARYS_OK) {
        code = charge_ahead(txn, key.size + patch->bytes.size, err);
    }
    if (code == POLARYS_OK) {
        code =
            polarys_batch_update(txn->batch, table, key, patch->bytes, patch->expires_at_ms, err);
    }
    if (code == POLARYS_OK) {
        code = update_apply(txn, &seen, err);
    }
    txn_seen_release(&seen);
    return write_end(&write, code);
}

static enum polarys_code lock_newest_range(struct txn_write *write, struct polarys_error *err)
{
    struct polarys_txn *txn = write->txn;
    const struct batch_operation *operation = newest_operation(txn);
    struct commit_range range = {operation->key, operation->value};
    enum polarys_code code = txn_lock_range_for_write(txn, range, write->flags, err);
    if (code == POLARYS_OK) {
        code = txn_snapshot_take(txn, err);
    }
    return code == POLARYS_OK ? overlay_delete_range(&txn->overlay, range, err) : code;
}

enum polarys_code polarys_txn_delete_range(struct polarys_txn *txn, const char *table,
                                           struct polarys_slice start, struct polarys_slice end,
                                           unsigned flags, struct polarys_error *err)
{
    struct txn_write write = {.txn = txn, .flags = flags};
    enum polarys_code code = enter_to_write(txn, flags, err);
    if (code != POLARYS_OK) {
        return code;
    }
    write.operations_before = txn->batch->operations.count;
    write.batch_bytes_before = txn->batch->bytes;
    code = charge_ahead(txn, start.size + end.size, err);
    if (code == POLARYS_OK) {
        code = polarys_batch_delete_range(txn->batch, table, start, end, err);
    }
    if (code == POLARYS_OK) {
        code = lock_newest_range(&write, err);
    }
    return write_end(&write, code);
}

enum polarys_code polarys_txn_require(struct polarys_txn *txn, const char *table,
                                      struct polarys_slice key,
                                      const struct polarys_precondition *precondition,
                                      unsigned flags, struct polarys_error *err)
{
    uint8_t bytes[TREE_KEY_SIZE_MAX];
    struct polarys_slice tree_key;
    struct txn_seen seen = {0};
    enum polarys_code code = txn_enter(txn, flags, err);
    if (code != POLARYS_OK) {
        return code;
    }
    size_t requirements_before = txn->batch->requirements.count;
    size_t batch_bytes_before = txn->batch->bytes;
    code = txn_key_make(txn, table, key, bytes, &tree_key, err);
    if (code == POLARYS_OK) {
        code = txn_lock_for_read(txn, tree_key, false, flags, err);
    }
    if (code == POLARYS_OK) {
        code = txn_look(txn, tree_key, false, flags, &seen, err);
    }
    if (code == POLARYS_OK) {
        code = charge_ahead(txn, key.size + precondition->field.size + precondition->expected.size,
                            err);
    }
    if (code == POLARYS_OK) {
        /* Also checks the condition itself. */
        code = polarys_batch_require(txn->batch, table, key, precondition, err);
    }
    if (code == POLARYS_OK) {
        code = batch_check_condition(precondition, seen.is_found ? &seen.found.stored : NULL,
                                     seen.found.value.version, err);
    }
    if (code != POLARYS_OK || seen.is_own) {
        /* What the transaction wrote itself stays as it was checked. */
        txn->batch->requirements.count = requirements_before;
        txn->batch->bytes = batch_bytes_before;
    }
    txn_seen_release(&seen);
    return txn_leave_with(txn, code);
}
