/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assertions: conditions that only a bug in this program can break. They stay on in release builds.
 * Data from disk, wire or user is never asserted on.
 */
#ifndef ENGINE_BASE_ASSERT_H
#define ENGINE_BASE_ASSERT_H

#ifdef __cplusplus
extern "C" {
#endif

/* Prints the condition with a stack trace on standard error and ends the process with SIGABRT. */
__attribute__((noreturn, cold)) void polarys_assert_failed(const char *condition, const char *file,
                                                           int line, const char *function);

#define POLARYS_ASSERT(condition)                                                                  \
    ((condition) ? (void)0 : polarys_assert_failed(#condition, __FILE__, __LINE__, __func__))

#ifdef __cplusplus
}
#endif

#endif
