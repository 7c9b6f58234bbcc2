/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGTERM and SIGINT while a command runs that has no end of its own: they are noted, and the command ends when it next
 * looks. One such command runs at a time; handlers are put back when it ends, for the shell goes on.
 */
#ifndef CLIENT_CLI_STOP_SIGNAL_H
#define CLIENT_CLI_STOP_SIGNAL_H

#include <signal.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Other than 0 once a signal has asked for the end. */
extern volatile sig_atomic_t stop_signal_asked;

/* The handlers as they were. */
struct stop_signal {
    struct sigaction terminate;
    struct sigaction interrupt;
};

/* Forgets earlier signals and notes those to come. */
void stop_signal_watch(struct stop_signal *before);
void stop_signal_restore(const struct stop_signal *before);

#ifdef __cplusplus
}
#endif

#endif
