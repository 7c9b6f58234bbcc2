/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the end of the process after a broken assertion. Nothing here takes a lock or allocates,
 * because the state of the program is not to be trusted any more.
 */
#include "engine/base/assert.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ASSERT_FRAMES_MAX = 64 };

void polarys_assert_failed(const char *condition, const char *file, int line, const char *function)
{
    char text[512];
    int size = snprintf(text, sizeof(text), "%s:%d: %s: assertion failed: %s\n", file, line,
                        function, condition);
    if (size > 0) {
        size_t kept = (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1;
        ssize_t written = write(STDERR_FILENO, text, kept);
        (void)written; /* there is nowhere left to report to */
    }
    void *frames[ASSERT_FRAMES_MAX];
    int frame_count = backtrace(frames, ASSERT_FRAMES_MAX);
    backtrace_symbols_fd(frames, frame_count, STDERR_FILENO);
    abort();
}
