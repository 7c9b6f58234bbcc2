/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the heap of delayed tasks: a pairing heap (Fredman, Sedgewick, Sleator and Tarjan, 1986).
 * The invariant is that no task is due before its parent. A task's `child` is its first child,
 * `next` its next sibling.
 */
#include "engine/base/task_heap.h"

#include <stddef.h>

#include "engine/base/assert.h"

/* Joins two heaps, either of which may be empty; neither root has siblings. */
static struct task *heap_merge(struct task *a, struct task *b)
{
    if (a == NULL || b == NULL) {
        return a == NULL ? b : a;
    }
    POLARYS_ASSERT(a->next == NULL && b->next == NULL);
    struct task *first = b->due_ns < a->due_ns ? b : a;
    struct task *second = first == a ? b : a;
    second->next = first->child;
    first->child = second;
    return first;
}

void task_heap_push(struct task **heap, struct task *task)
{
    task->next = NULL;
    task->child = NULL;
    *heap = heap_merge(*heap, task);
}

/* Pairs neighbours from the left; the pairs come out as a list from the last to the first. */
static struct task *heap_pair_up(struct task *siblings)
{
    struct task *pairs = NULL;
    while (siblings != NULL) {
        struct task *a = siblings;
        struct task *b = a->next;
        siblings = b == NULL ? NULL : b->next;
        a->next = NULL;
        if (b != NULL) {
            b->next = NULL;
        }
        struct task *pair = heap_merge(a, b);
        pair->next = pairs;
        pairs = pair;
    }
    return pairs;
}

struct task *task_heap_pop(struct task **heap)
{
    struct task *task = *heap;
    POLARYS_ASSERT(task != NULL);
    struct task *pairs = heap_pair_up(task->child);
    struct task *rest = NULL;
    while (pairs != NULL) {
        struct task *following = pairs->next;
        pairs->next = NULL;
        rest = heap_merge(rest, pairs);
        pairs = following;
    }
    POLARYS_ASSERT(rest == NULL || rest->due_ns >= task->due_ns);
    task->child = NULL;
    *heap = rest;
    return task;
}
