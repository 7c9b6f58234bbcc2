/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assertions of the client: conditions that only a bug in this program, or in the one that calls it, can
 * break. They stay on in release builds. What comes from a server or from a user is never asserted on.
 *
 * libpolarys links nothing of the engine, so it ends the process by itself; no file includes both this and
 * the engine's header of the same kind.
 */
#ifndef CLIENT_ASSERT_H
#define CLIENT_ASSERT_H

#ifdef __cplusplus
extern "C" {
#endif

/* Says which condition does not hold on standard error and ends the process with SIGABRT. */
__attribute__((noreturn, cold)) void client_assert_failed(const char *condition, const char *file,
                                                          int line, const char *function);

#define POLARYS_ASSERT(condition)                                                                  \
    ((condition) ? (void)0 : client_assert_failed(#condition, __FILE__, __LINE__, __func__))

#ifdef __cplusplus
}
#endif

#endif
