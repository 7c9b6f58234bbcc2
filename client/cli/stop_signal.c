/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handler does nothing but note the wish: all else is not allowed in one.
 */
#include "client/cli/stop_signal.h"

#include <stddef.h>

volatile sig_atomic_t stop_signal_asked;

static void stop_ask(int number)
{
    (void)number;
    stop_signal_asked = 1;
}

void stop_signal_watch(struct stop_signal *before)
{
    struct sigaction action = {.sa_handler = stop_ask};
    stop_signal_asked = 0;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGTERM, &action, &before->terminate);
    (void)sigaction(SIGINT, &action, &before->interrupt);
}

void stop_signal_restore(const struct stop_signal *before)
{
    (void)sigaction(SIGTERM, &before->terminate, NULL);
    (void)sigaction(SIGINT, &before->interrupt, NULL);
}
