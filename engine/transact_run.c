/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running single-shot transactions. Each attempt reads everything at one version, decides on the branch,
 * works out what it writes, and leaves a batch that the commit path validates against all that was read.
 *
 * Invariant: an attempt depends on nothing but what it put into own_read_keys, so one that commits was true
 * as of its commit. It is the batch that tries again, in turns with others where it keeps conflicting, and
 * on the executor where files have to be read.
 */
#include <string.h>

#include "engine/transact_internal.h"

static enum polarys_code fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to do a transaction");
}

void transact_attempt_release(struct polarys_transact *transact)
{
    for (size_t i = 0; i < transact->item_count; i++) {
        tree_value_release(&transact->found[i].found.value);
    }
    transact->item_count = 0;
    transact->items = NULL;
    transact->found = NULL;
}

/* ---- reading ---- */

/* As of the attempt's version; not found is no error. */
static enum polarys_code read_store(struct polarys_transact *transact, struct polarys_slice key,
                                    unsigned tree_flags, struct db_found *found, bool *is_found,
                                    struct polarys_error *err)
{
    struct polarys_batch *batch = transact->batch;
    *is_found = false;
    enum polarys_code code = batch_borrow_read_key(batch, key, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = db_read_document(batch->db, key, transact->version, true, tree_flags, found, err);
    *is_found = code == POLARYS_OK;
    return code == POLARYS_KEY_NOT_FOUND ? POLARYS_OK : code;
}

/* Through what the branch has written so far. */
static enum polarys_code look(struct polarys_transact *transact, struct polarys_slice key,
                              unsigned tree_flags, struct db_found *found, bool *is_found,
                              struct polarys_error *err)
{
    struct polarys_slice own;
    enum overlay_answer answer = overlay_find(&transact->overlay, key, &own);
    if (answer == OVERLAY_UNTOUCHED) {
        return read_store(transact, key, tree_flags, found, is_found, err);
    }
    *is_found = answer == OVERLAY_PUT;
    bool is_readable = !*is_found || stored_value_decode(own, &found->stored);
    POLARYS_ASSERT(is_readable);
    return POLARYS_OK;
}

static bool is_mismatch(enum polarys_code code)
{
    return code == POLARYS_KEY_NOT_FOUND || code == POLARYS_KEY_EXISTS ||
           code == POLARYS_VERSION_MISMATCH || code == POLARYS_FIELD_MISMATCH;
}

static enum polarys_code compare_all(struct polarys_transact *transact, unsigned tree_flags,
                                     struct polarys_error *err)
{
    const struct batch_requirement *compares = transact->compares.items;
    transact->succeeded = true;
    for (size_t i = 0; i < transact->compares.count && transact->succeeded; i++) {
        struct db_found found = {0};
        bool is_found;
        enum polarys_code code =
            read_store(transact, compares[i].key, tree_flags, &found, &is_found, err);
        if (code == POLARYS_OK) {
            code = batch_check_condition(&compares[i].condition, is_found ? &found.stored : NULL,
                                         found.value.version, NULL);
            transact->succeeded = code == POLARYS_OK;
            code = is_mismatch(code) ? POLARYS_OK : code;
        }
        tree_value_release(&found.value);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    return POLARYS_OK;
}

/* ---- doing ---- */

static enum polarys_code operation_add(struct polarys_transact *transact,
                                       const struct batch_operation *operation,
                                       struct polarys_error *err)
{
    struct batch_array *operations = &transact->batch->operations;
    struct batch_operation *slot = batch_array_next(operations, sizeof(*slot));
    if (slot == NULL) {
        return fail_memory(err);
    }
    *slot = *operation;
    operations->count++;
    return POLARYS_OK;
}

static void item_fill(struct polarys_transact *transact, struct transact_found *kept,
                      struct polarys_transact_item *item)
{
    struct polarys_batch *batch = transact->batch;
    if (kept->found.value.version != 0) {
        db_document_fill(batch->db, &kept->found, &kept->document);
    } else { /* the branch's own */
        kept->document.value.kind =
            kept->found.stored.is_json ? POLARYS_VALUE_JSON : POLARYS_VALUE_RAW;
        kept->document.value.expires_at_ms = kept->found.stored.expires_at_ms;
        kept->document.value.bytes = kept->found.stored.bytes;
    }
    item->document = &kept->document;
}

/* The update as a put of what it comes to. */
static enum polarys_code update_do(struct polarys_transact *transact,
                                   const struct batch_operation *update,
                                   const struct stored_value *base, struct polarys_error *err)
{
    struct batch_operation put = *update;
    struct batch_merged merged;
    enum polarys_code code =
        batch_merge(update, base, transact->batch->db->settings.value_bytes_max, &transact->arena,
                    &merged, err);
    if (code != POLARYS_OK) {
        return code;
    }
    put.kind = BATCH_PUT;
    put.value = merged.value;
    put.expires_at_ms = merged.expires_at_ms;
    code = overlay_put(&transact->overlay, put.key, put.value, err);
    return code == POLARYS_OK ? operation_add(transact, &put, err) : code;
}

static enum polarys_code write_do(struct polarys_transact *transact,
                                  const struct batch_operation *operation,
                                  struct polarys_error *err)
{
    enum polarys_code code;
    if (operation->kind == BATCH_PUT) {
        code = overlay_put(&transact->overlay, operation->key, operation->value, err);
    } else if (operation->kind == BATCH_DELETE) {
        code = overlay_delete(&transact->overlay, operation->key, err);
    } else {
        struct commit_range range = {operation->key, operation->value};
        code = overlay_delete_range(&transact->overlay, range, err);
    }
    return code == POLARYS_OK ? operation_add(transact, operation, err) : code;
}

static enum polarys_code step_do(struct polarys_transact *transact,
                                 const struct transact_step *step, size_t at, unsigned tree_flags,
                                 struct polarys_error *err)
{
    struct polarys_transact_item *item = &transact->items[at];
    struct transact_found *kept = &transact->found[at];
    enum polarys_code code = POLARYS_OK;
    bool looks = step->kind == POLARYS_TRANSACT_GET || step->kind == POLARYS_TRANSACT_DELETE ||
                 step->kind == POLARYS_TRANSACT_UPDATE;
    if (looks) {
        code = look(transact, step->operation.key, tree_flags, &kept->found, &item->is_found, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (step->kind == POLARYS_TRANSACT_GET) {
        if (item->is_found) {
            item_fill(transact, kept, item);
        }
        return POLARYS_OK;
    }
    return step->kind == POLARYS_TRANSACT_UPDATE
               ? update_do(transact, &step->operation, item->is_found ? &kept->found.stored : NULL,
                           err)
               : write_do(transact, &step->operation, err);
}

static enum polarys_code branch_do(struct polarys_transact *transact, unsigned tree_flags,
                                   struct polarys_error *err)
{
    const struct batch_array *steps =
        &transact->steps[transact->succeeded ? POLARYS_TRANSACT_THEN : POLARYS_TRANSACT_ELSE];
    const struct transact_step *list = steps->items;
    size_t count = steps->count;
    if (count == 0) {
        return POLARYS_OK;
    }
    transact->items = arena_alloc(&transact->arena, count * sizeof(*transact->items));
    transact->found = arena_alloc(&transact->arena, count * sizeof(*transact->found));
    if (transact->items == NULL || transact->found == NULL) {
        return fail_memory(err);
    }
    memset(transact->items, 0, count * sizeof(*transact->items));
    memset(transact->found, 0, count * sizeof(*transact->found));
    transact->item_count = count;
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < count && code == POLARYS_OK; i++) {
        code = step_do(transact, &list[i], i, tree_flags, err);
    }
    return code;
}

static enum polarys_code attempt_once(struct polarys_transact *transact, unsigned tree_flags,
                                      struct polarys_error *err)
{
    struct polarys_batch *batch = transact->batch;
    transact_attempt_release(transact);
    arena_reset(&transact->arena);
    overlay_init(&transact->overlay, &transact->arena);
    batch->operations.count = 0;
    batch->own_read_keys.count = 0;
    transact->version = commit_published_version(batch->db->commit);
    enum polarys_code code = compare_all(transact, tree_flags, err);
    return code == POLARYS_OK ? branch_do(transact, tree_flags, err) : code;
}

/* polarys_batch.begin_attempt. */
static enum polarys_code begin_attempt(struct polarys_batch *batch, unsigned tree_flags,
                                       struct polarys_error *err)
{
    struct polarys_transact *transact = batch->owner;
    for (;;) {
        enum polarys_code code = attempt_once(transact, tree_flags, err);
        if (code != POLARYS_OK) {
            return code;
        }
        /* A commit is validated. What only reads has no commit: without a lease compaction may have dropped
         * what its version saw. */
        if (batch->operations.count > 0 ||
            transact->version >= tree_history_start(batch->db->tree)) {
            break;
        }
    }
    batch->read_version = transact->version;
    batch->has_own_read_version = true;
    batch->writes_nothing = batch->operations.count == 0;
    batch->answer_flag = !transact->succeeded;
    return POLARYS_OK;
}

/* ---- the way ---- */

/* What the request is, for its request id: all of it, whichever branch is done. The branches are laid out as
 * one list of operations, each ended by one that no caller can put in. */
static enum polarys_code hash_all(struct polarys_transact *transact, struct polarys_error *err)
{
    static const struct batch_operation end = {.kind = BATCH_DELETE_RANGE};
    struct polarys_batch *batch = transact->batch;
    enum polarys_code code = POLARYS_OK;
    batch->has_logical_hash = false;
    batch->operations.count = 0;
    for (size_t branch = 0; branch < TRANSACT_BRANCHES; branch++) {
        const struct transact_step *steps = transact->steps[branch].items;
        for (size_t i = 0; i < transact->steps[branch].count && code == POLARYS_OK; i++) {
            code = operation_add(transact, &steps[i].operation, err);
        }
        if (code == POLARYS_OK) {
            code = operation_add(transact, &end, err);
        }
    }
    struct batch_array requirements = batch->requirements;
    batch->requirements = transact->compares;
    batch_hash(batch, batch->logical_hash);
    batch->requirements = requirements;
    batch->operations.count = 0;
    batch->has_logical_hash = true;
    return code;
}

static void batch_done(void *context, enum polarys_code code,
                       const struct polarys_write_result *result, const struct polarys_error *err)
{
    struct polarys_transact *transact = context;
    struct polarys_transact_result answer = {.write = *result};
    if (code == POLARYS_OK) {
        answer.succeeded = !transact->batch->answer_flag;
    }
    if (code == POLARYS_OK && !result->is_replayed) {
        answer.items = transact->items;
        answer.item_count = transact->item_count;
    }
    transact->done(transact->done_context, code, &answer, err);
}

void polarys_transact_submit(struct polarys_transact *transact,
                             const struct polarys_write_options *options,
                             void (*done)(void *context, enum polarys_code code,
                                          const struct polarys_transact_result *result,
                                          const struct polarys_error *err),
                             void *context)
{
    struct polarys_batch *batch = transact->batch;
    transact->done = done;
    transact->done_context = context;
    batch->begin_attempt = begin_attempt;
    batch->owner = transact;
    struct polarys_error err = POLARYS_ERROR_INIT;
    enum polarys_code code = POLARYS_OK;
    if (options != NULL && options->has_request_id) {
        code = hash_all(transact, &err);
    }
    if (code != POLARYS_OK) {
        struct polarys_transact_result nothing = {0};
        done(context, code, &nothing, &err);
        return;
    }
    polarys_batch_submit(batch, options, batch_done, transact);
}
