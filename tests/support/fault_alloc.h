/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes allocations of this project's own objects fail. The linker's --wrap leads every malloc,
 * calloc, realloc, aligned_alloc, strdup and strndup that these objects call through here; calls
 * made inside shared libraries (libcrypto, libstdc++'s operator new) are not touched, so Google
 * Test itself never fails. It works with every sanitizer, because the real allocator still serves
 * what does not fail.
 *
 * Test programs are linked with
 *
 *   -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=aligned_alloc,--wrap=strdup
 *   -Wl,--wrap=strndup
 *
 * The usual loop:
 *
 *   for (uint64_t n = 1;; n++) {
 *       fault_alloc_fail_at(n);
 *       ... the call under test: it succeeds, or fails with NO_MEMORY and leaks nothing ...
 *       if (fault_alloc_disarm() == 0) {
 *           break;
 *       }
 *   }
 */
#ifndef TESTS_SUPPORT_FAULT_ALLOC_H
#define TESTS_SUPPORT_FAULT_ALLOC_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The n-th allocation from now (1: the next) fails. All threads count together. */
void fault_alloc_fail_at(uint64_t n);

/* As fail_at, and so does every later one. */
void fault_alloc_fail_from(uint64_t n);

/* Ends it and returns how many allocations have failed since it was armed. */
uint64_t fault_alloc_disarm(void);

/* Whether the program is linked so that this works; tests assert it, for else they would pass in
 * vain. */
bool fault_alloc_is_linked(void);

#ifdef __cplusplus
}
#endif

#endif
