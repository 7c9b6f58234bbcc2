/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delayed tasks, earliest first: a pairing heap linked through the tasks themselves, so that it
 * never allocates. For implementations of the executor.
 */
#ifndef ENGINE_BASE_TASK_HEAP_H
#define ENGINE_BASE_TASK_HEAP_H

#include "engine/base/executor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* *heap is NULL when empty, else the task with the least due_ns. One thread at a time. O(1). */
void task_heap_push(struct task **heap, struct task *task);

/* Takes out the earliest task; those of equal time come in any order. O(log n) amortised.
 * REQUIRES: *heap is not NULL. */
struct task *task_heap_pop(struct task **heap);

#ifdef __cplusplus
}
#endif

#endif
