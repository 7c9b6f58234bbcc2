/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Committing a transaction: its batch goes the way of every batch, with what it read and wrote to be
 * validated against the version that it read.
 *
 * Invariant: the first attempt is validated by the log role alone, as of the snapshot. Where that refuses,
 * truly or because the memtables no longer reach back so far, the tree is asked (txn_verify) at a newer
 * version, which then takes the snapshot's place. So a transaction never fails because others write much.
 */
#include <string.h>

#include "engine/txn_internal.h"

/* ---- what is validated ---- */

static enum polarys_code list_reads(struct polarys_txn *txn, struct polarys_error *err)
{
    struct polarys_batch *batch = txn->batch;
    enum polarys_code code = POLARYS_OK;
    POLARYS_ASSERT(batch->own_read_keys.count == 0 && batch->own_read_ranges.count == 0);
    for (size_t i = 0; i < txn->reads.key_count && code == POLARYS_OK; i++) {
        code = batch_borrow_read_key(batch, txn->reads.keys[i].key, err);
    }
    for (size_t i = 0; i < txn->reads.range_count && code == POLARYS_OK; i++) {
        const struct read_range *noted = &txn->reads.ranges[i];
        struct commit_range range = {buffer_slice(&noted->start), buffer_slice(&noted->end)};
        code = batch_borrow_read_range(batch, range, err);
    }
    return code;
}

static enum polarys_code list_writes(struct polarys_txn *txn, struct polarys_error *err)
{
    struct polarys_batch *batch = txn->batch;
    enum polarys_code code = POLARYS_OK;
    for (const struct overlay_entry *entry = overlay_first(&txn->overlay);
         entry != NULL && code == POLARYS_OK; entry = entry->next[0]) {
        if (read_set_find(&txn->reads, entry->key) == NULL) {
            code = batch_borrow_read_key(batch, entry->key, err);
        }
    }
    for (size_t i = 0; i < txn->overlay.range_count && code == POLARYS_OK; i++) {
        code = batch_borrow_read_range(batch, txn->overlay.ranges[i], err);
    }
    return code;
}

/* True when the version that the first attempt is validated from is known without asking the tree. */
static bool knows_first_version(const struct polarys_txn *txn, uint64_t *version)
{
    if (!txn->reads_newest) {
        POLARYS_ASSERT(txn->snapshot != 0); /* the first write took it */
        *version = txn->snapshot;
        return true;
    }
    /* Nothing that was read later than the oldest read can have changed, if nothing did since that. */
    if (txn->notes_reads && !read_set_is_empty(&txn->reads)) {
        *version = txn->reads.oldest_version;
        return true;
    }
    return false;
}

/* polarys_batch.begin_attempt. */
static enum polarys_code begin_attempt(struct polarys_batch *batch, unsigned tree_flags,
                                       struct polarys_error *err)
{
    struct polarys_txn *txn = batch->owner;
    POLARYS_ASSERT(txn->phase == TXN_COMMITTING);
    if (!txn->has_listed_reads) {
        enum polarys_code code = list_reads(txn, err);
        if (code == POLARYS_OK && txn_validates_writes(txn)) {
            code = list_writes(txn, err);
        }
        if (code != POLARYS_OK) {
            return code;
        }
        txn->has_listed_reads = true;
    }
    batch->has_own_read_version = true;
    if (batch->conflict_count == 0 && txn_has_writes(txn) &&
        knows_first_version(txn, &batch->read_version)) {
        return POLARYS_OK;
    }
    /* The snapshot is compared with: it has to be readable still. */
    if (txn->lease_id != 0 && snapshot_renew(txn->db->snapshots, txn->lease_id, TXN_LEASE_MARGIN_MS,
                                             NULL) != POLARYS_OK) {
        return polarys_fail(err, POLARYS_TXN_TOO_OLD, "the snapshot of the transaction is gone");
    }
    uint64_t version = commit_published_version(txn->db->commit);
    enum polarys_code code = txn_verify(txn, version, tree_flags, err);
    batch->read_version = version;
    return code;
}

/* ---- the way ---- */

static void batch_set_up(struct polarys_txn *txn)
{
    struct polarys_batch *batch = txn->batch;
    batch->owner = txn;
    batch->begin_attempt = begin_attempt;
    batch->is_txn = true;
    batch->holds_locks = txn->is_pessimistic;
    batch->writes_nothing = !txn_has_writes(txn);
    batch->has_record = txn_has_writes(txn);
    memcpy(batch->record_id, txn->id, sizeof(batch->record_id));
    batch->record_principal = txn->principal;
}

/* True when what was read is known to have been there all at one version, and nothing is written. */
static bool has_nothing_to_do(const struct polarys_txn *txn)
{
    bool reads_are_whole =
        !txn->reads_newest || !txn->notes_reads || read_set_is_empty(&txn->reads);
    return !txn_has_writes(txn) && reads_are_whole;
}

static void result_of_reading(const struct polarys_txn *txn, struct polarys_write_result *result)
{
    uint64_t version =
        txn->snapshot != 0 ? txn->snapshot : commit_published_version(txn->db->commit);
    *result = (struct polarys_write_result){
        .version = version,
        .time_unix_ms = db_version_time_ms(txn->db, version),
    };
}

static enum polarys_code enter_to_commit(struct polarys_txn *txn, unsigned flags,
                                         struct polarys_error *err)
{
    enum polarys_code code = txn_enter(txn, flags, err);
    if (code != POLARYS_OK) {
        return code;
    }
    mutex_lock(&txn->mutex);
    txn->phase = TXN_COMMITTING;
    if (txn->waiter_count > 0) {
        condition_broadcast(&txn->condition); /* they hear that it is over */
    }
    mutex_unlock(&txn->mutex);
    return POLARYS_OK;
}

static void end_commit(struct polarys_txn *txn, enum polarys_code code)
{
    bool is_committed = code == POLARYS_OK;
    POLARYS_ASSERT(txn->phase == TXN_COMMITTING);
    bool has_record = is_committed && txn_has_writes(txn);
    txn_end(txn, is_committed ? POLARYS_TXN_COMMITTED : POLARYS_TXN_ABORTED, has_record,
            is_committed ? "it was committed" : "its commit failed");
}

enum polarys_code polarys_txn_commit(struct polarys_txn *txn,
                                     const struct polarys_write_options *options,
                                     struct polarys_write_result *result, struct polarys_error *err)
{
    struct polarys_write_result unwanted = {0};
    result = result == NULL ? &unwanted : result;
    *result = (struct polarys_write_result){0};
    enum polarys_code code = enter_to_commit(txn, 0, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (has_nothing_to_do(txn)) {
        result_of_reading(txn, result);
    } else {
        batch_set_up(txn);
        code = polarys_batch_commit(txn->batch, options, result, err);
    }
    end_commit(txn, code);
    return code;
}

static void submitted_done(void *context, enum polarys_code code,
                           const struct polarys_write_result *result,
                           const struct polarys_error *err)
{
    struct polarys_txn *txn = context;
    end_commit(txn, code);
    txn->done(txn->done_context, code, result, err);
}

void polarys_txn_submit(struct polarys_txn *txn, const struct polarys_write_options *options,
                        void (*done)(void *context, enum polarys_code code,
                                     const struct polarys_write_result *result,
                                     const struct polarys_error *err),
                        void *context)
{
    struct polarys_write_result result = {0};
    struct polarys_error err = POLARYS_ERROR_INIT;
    enum polarys_code code = enter_to_commit(txn, POLARYS_READ_MEMORY_ONLY, &err);
    if (code == POLARYS_WOULD_BLOCK) {
        code = polarys_fail(&err, code, "another call of the transaction is under way");
    }
    if (code != POLARYS_OK) {
        done(context, code, &result, &err);
        return;
    }
    if (has_nothing_to_do(txn)) {
        result_of_reading(txn, &result);
        end_commit(txn, POLARYS_OK);
        done(context, POLARYS_OK, &result, &err);
        return;
    }
    txn->done = done;
    txn->done_context = context;
    batch_set_up(txn);
    polarys_batch_submit(txn->batch, options, submitted_done, txn);
}
