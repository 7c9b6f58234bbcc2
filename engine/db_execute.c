/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work of callers that may block: on threads that neither flush nor compaction need, so that it may wait
 * for either.
 */
#include <stdlib.h>

#include "engine/engine_internal.h"

struct execution {
    struct task task;
    struct polarys_db *db;
    void (*function)(void *context);
    void *context;
};

static void execution_run(struct task *task)
{
    struct execution *execution = (struct execution *)task;
    struct polarys_db *db = execution->db;
    execution->function(execution->context);
    free(execution);
    /* The closer polls this: nothing may follow. */
    atomic_fetch_sub(&db->pending_count, 1);
}

enum polarys_code polarys_db_execute(struct polarys_db *db, void (*function)(void *context),
                                     void *context, struct polarys_error *err)
{
    struct execution *execution = malloc(sizeof(*execution));
    if (execution == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a task");
    }
    atomic_fetch_add(&db->pending_count, 1);
    if (atomic_load(&db->is_closing)) {
        atomic_fetch_sub(&db->pending_count, 1);
        free(execution);
        return polarys_fail(err, POLARYS_DRAINING, "the store is being closed");
    }
    execution->task.run = execution_run;
    execution->db = db;
    execution->function = function;
    execution->context = context;
    executor_submit(db->call_executor, EXECUTOR_READ, &execution->task);
    return POLARYS_OK;
}
