/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assertions of the service: conditions that only a bug in this program can break. They stay on in
 * release builds. What a client, a file or the network sends is never asserted on.
 */
#ifndef SERVICE_SERVER_CHECK_H
#define SERVICE_SERVER_CHECK_H

#ifdef __cplusplus
extern "C" {
#endif

/* Logs the condition and ends the process by a trap, which leaves a core where that is allowed. */
__attribute__((noreturn, cold)) void service_assert_failed(const char *condition, const char *file,
                                                           int line);

#define SERVICE_ASSERT(condition)                                                                  \
    ((condition) ? (void)0 : service_assert_failed(#condition, __FILE__, __LINE__))

#ifdef __cplusplus
}
#endif

#endif
