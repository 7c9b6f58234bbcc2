/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building single-shot transactions. A batch does the checking and copying: what it has taken in is moved
 * to the branch that it belongs to, so all of a transaction shares the batch's memory, tables and limits.
 */
#include <stdlib.h>

#include "engine/transact_internal.h"

enum polarys_code polarys_transact_create(struct polarys_db *db, const char *database,
                                          struct polarys_transact **out, struct polarys_error *err)
{
    *out = NULL;
    struct polarys_transact *transact = calloc(1, sizeof(*transact));
    if (transact == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a transaction");
    }
    arena_init(&transact->arena, TRANSACT_ARENA_MAX);
    enum polarys_code code = polarys_batch_create(db, database, &transact->batch, err);
    if (code != POLARYS_OK) {
        polarys_transact_destroy(transact);
        return code;
    }
    *out = transact;
    return POLARYS_OK;
}

static void array_free(struct batch_array *array)
{
    if (array->is_heap) {
        free(array->items);
    }
}

void polarys_transact_destroy(struct polarys_transact *transact)
{
    if (transact == NULL) {
        return;
    }
    transact_attempt_release(transact);
    polarys_batch_destroy(transact->batch);
    array_free(&transact->compares);
    for (size_t i = 0; i < TRANSACT_BRANCHES; i++) {
        array_free(&transact->steps[i]);
    }
    arena_deinit(&transact->arena);
    free(transact);
}

static enum polarys_code check_count(const struct polarys_transact *transact,
                                     struct polarys_error *err)
{
    size_t count = transact->compares.count + transact->steps[0].count + transact->steps[1].count;
    if (count < POLARYS_TRANSACT_OPERATIONS_MAX) {
        return POLARYS_OK;
    }
    enum polarys_code code =
        polarys_fail(err, POLARYS_TOO_LARGE, "a single-shot transaction has at most %d operations",
                     POLARYS_TRANSACT_OPERATIONS_MAX);
    polarys_error_detail_set(err, "limit", "%d", POLARYS_TRANSACT_OPERATIONS_MAX);
    return code;
}

static enum polarys_code fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a transaction");
}

enum polarys_code polarys_transact_compare(struct polarys_transact *transact, const char *table,
                                           struct polarys_slice key,
                                           const struct polarys_precondition *precondition,
                                           struct polarys_error *err)
{
    struct polarys_batch *batch = transact->batch;
    enum polarys_code code = check_count(transact, err);
    if (code == POLARYS_OK) {
        code = polarys_batch_require(batch, table, key, precondition, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    POLARYS_ASSERT(batch->requirements.count == 1);
    batch->requirements.count = 0;
    struct batch_requirement *compare = batch_array_next(&transact->compares, sizeof(*compare));
    if (compare == NULL) {
        return fail_memory(err);
    }
    *compare = *(const struct batch_requirement *)batch->requirements.items;
    transact->compares.count++;
    return POLARYS_OK;
}

/* Lets the batch check and copy the operation. A get goes as a delete, of which the key is kept. */
static enum polarys_code take_in(struct polarys_batch *batch,
                                 const struct polarys_transact_operation *operation,
                                 struct polarys_error *err)
{
    const struct polarys_transact_operation *o = operation;
    switch (o->kind) {
    case POLARYS_TRANSACT_PUT:
        return polarys_batch_put(batch, o->table, o->key, &o->value, err);
    case POLARYS_TRANSACT_GET:
    case POLARYS_TRANSACT_DELETE: /* told apart by must_look where the request is hashed */
        return polarys_batch_delete(batch, o->table, o->key, o->kind == POLARYS_TRANSACT_GET, err);
    case POLARYS_TRANSACT_UPDATE:
        return polarys_batch_update(batch, o->table, o->key, o->value.bytes,
                                    o->update_expires_at_ms, err);
    case POLARYS_TRANSACT_DELETE_RANGE:
        return polarys_batch_delete_range(batch, o->table, o->key, o->end, err);
    default:
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "unknown kind of operation");
    }
}

enum polarys_code polarys_transact_add(struct polarys_transact *transact,
                                       enum polarys_transact_branch branch,
                                       const struct polarys_transact_operation *operation,
                                       struct polarys_error *err)
{
    struct polarys_batch *batch = transact->batch;
    if (branch != POLARYS_TRANSACT_THEN && branch != POLARYS_TRANSACT_ELSE) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "unknown branch");
    }
    enum polarys_code code = check_count(transact, err);
    if (code == POLARYS_OK) {
        batch->operations.count = 0; /* those of an earlier attempt are made anew */
        code = take_in(batch, operation, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    POLARYS_ASSERT(batch->operations.count == 1);
    batch->operations.count = 0;
    struct batch_array *steps = &transact->steps[branch];
    struct transact_step *step = batch_array_next(steps, sizeof(*step));
    if (step == NULL) {
        return fail_memory(err);
    }
    step->kind = operation->kind;
    step->operation = batch_operations(batch)[0];
    steps->count++;
    return POLARYS_OK;
}
