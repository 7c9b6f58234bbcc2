/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of the process after a broken assertion. Takes no lock and allocates nothing.
 */
#include "client/assert.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

void client_assert_failed(const char *condition, const char *file, int line, const char *function)
{
    enum { STATUS_ABORTED = 128 + SIGABRT };
    char text[512];
    int size = snprintf(text, sizeof(text), "%s:%d: %s: assertion failed: %s\n", file, line,
                        function, condition);
    if (size > 0) {
        size_t kept = (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1;
        ssize_t written = write(STDERR_FILENO, text, kept);
        (void)written; /* there is nowhere left to report to */
    }
    (void)signal(SIGABRT, SIG_DFL);
    (void)raise(SIGABRT);
    _exit(STATUS_ABORTED); /* the signal was blocked */
}
