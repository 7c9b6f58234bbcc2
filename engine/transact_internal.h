/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single-shot transactions, for the files that build and run them.
 */
#ifndef ENGINE_TRANSACT_INTERNAL_H
#define ENGINE_TRANSACT_INTERNAL_H

#include "engine/batch_internal.h"
#include "engine/engine_txn.h"
#include "engine/txn/overlay.h"

enum {
    TRANSACT_ARENA_MAX = 2 * POLARYS_BATCH_BYTES_MAX,
    TRANSACT_BRANCHES = 2,
};

/* An operation as it was put in. A get has a key only. */
struct transact_step {
    enum polarys_transact_kind kind;
    struct batch_operation operation;
};

/* What a document was that a get found; keeps it alive. */
struct transact_found {
    struct db_found found;
    struct polarys_document document;
};

struct polarys_transact {
    /* Checks and copies what is put in; its operations are made anew by each attempt. */
    struct polarys_batch *batch;
    struct batch_array compares; /* struct batch_requirement */
    struct batch_array
        steps[TRANSACT_BRANCHES]; /* struct transact_step, by enum polarys_transact_branch */

    /* Made by each attempt. */
    struct arena arena;
    struct overlay overlay;
    uint64_t version; /* read */
    bool succeeded;
    struct polarys_transact_item *items;
    struct transact_found *found; /* one an item */
    size_t item_count;

    void (*done)(void *context, enum polarys_code code,
                 const struct polarys_transact_result *result, const struct polarys_error *err);
    void *done_context;
};

/* ---- transact_run.c ---- */

/* Lets go of what the last attempt found. */
void transact_attempt_release(struct polarys_transact *transact);

#endif
