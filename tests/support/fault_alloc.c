/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the wrapped allocation functions. The real ones are weak here, so that a program that is
 * linked without --wrap still links, and fault_alloc_is_linked says no.
 */
#include "tests/support/fault_alloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

/* The linker's --wrap decides these names. */
/* NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming) */
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);

__attribute__((weak)) void *__real_malloc(size_t size);
__attribute__((weak)) void *__real_calloc(size_t count, size_t size);
__attribute__((weak)) void *__real_realloc(void *memory, size_t size);
__attribute__((weak)) void *__real_aligned_alloc(size_t alignment, size_t size);
__attribute__((weak)) char *__real_strdup(const char *text);
__attribute__((weak)) char *__real_strndup(const char *text, size_t size);

static _Atomic uint64_t countdown; /* 0: disarmed */
static _Atomic bool is_sticky;
static _Atomic uint64_t failed_count;

/* Whether this allocation is to fail; sets errno then, as malloc does. */
static bool is_failing(void)
{
    uint64_t left = atomic_load(&countdown);
    while (left > 1 && !atomic_compare_exchange_weak(&countdown, &left, left - 1)) {
    }
    if (left != 1) {
        return false;
    }
    if (!atomic_load(&is_sticky) && !atomic_compare_exchange_strong(&countdown, &left, 0)) {
        return false; /* another thread's allocation was it */
    }
    atomic_fetch_add(&failed_count, 1);
    errno = ENOMEM;
    return true;
}

static void arm(uint64_t n, bool sticky)
{
    atomic_store(&failed_count, 0);
    atomic_store(&is_sticky, sticky);
    atomic_store(&countdown, n);
}

void fault_alloc_fail_at(uint64_t n)
{
    arm(n, false);
}

void fault_alloc_fail_from(uint64_t n)
{
    arm(n, true);
}

uint64_t fault_alloc_disarm(void)
{
    atomic_store(&countdown, 0);
    return atomic_load(&failed_count);
}

bool fault_alloc_is_linked(void)
{
    return __real_malloc != NULL && __real_calloc != NULL && __real_realloc != NULL;
}

void *__wrap_malloc(size_t size)
{
    return is_failing() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_failing() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return is_failing() ? NULL : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return is_failing() ? NULL : __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text)
{
    return is_failing() ? NULL : __real_strdup(text);
}

char *__wrap_strndup(const char *text, size_t size)
{
    return is_failing() ? NULL : __real_strndup(text, size);
}
/* NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming) */
