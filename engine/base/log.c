/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the process-wide log level and sink, and the default sink: one line a message on standard
 * error, by a single write(2), so that lines of several threads and processes do not mix. The
 * invariant is that no byte of a message can end a line early or leave its JSON string. It keeps
 * no file and rotates nothing.
 */
#include "engine/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/clock.h"
#include "engine/base/log_line.h"
#include "engine/base/mutex.h"

enum { LOG_MESSAGE_MAX = 1024 /* bytes, with NUL */ };

static _Atomic int level_now = POLARYS_LOG_INFO;

/* Guards the sink; held while the sink runs, so that a sink that was replaced is not running any
 * more. */
static struct mutex sink_mutex = {PTHREAD_MUTEX_INITIALIZER, MUTEX_RANK_LOG};
static void (*sink_now)(void *context, enum polarys_log_level level, const char *component,
                        const char *message);
static void *sink_context;

void polarys_log_sink_set(void (*sink)(void *context, enum polarys_log_level level,
                                       const char *component, const char *message),
                          void *context)
{
    mutex_lock(&sink_mutex);
    sink_now = sink;
    sink_context = context;
    mutex_unlock(&sink_mutex);
}

void polarys_log_level_set(enum polarys_log_level level)
{
    POLARYS_ASSERT(level <= POLARYS_LOG_OFF);
    atomic_store(&level_now, (int)level);
}

enum polarys_log_level polarys_log_level_get(void)
{
    return (enum polarys_log_level)atomic_load(&level_now);
}

/* Standard error, as far as it takes the line: a log that nobody reads must not stop the
 * program. */
static void line_write(const char *line, size_t size)
{
    ssize_t written;
    do {
        written = write(STDERR_FILENO, line, size);
    } while (written < 0 && errno == EINTR);
}

static void default_sink(enum polarys_log_level level, const char *component, const char *message)
{
    char line[LOG_LINE_MAX];
    uint64_t now_ms = clock_wall_ms(clock_system());
    size_t size = isatty(STDERR_FILENO) == 1
                      ? log_line_text(line, now_ms, level, component, message)
                      : log_line_json(line, now_ms, level, component, message);
    line_write(line, size);
}

static void message_dispatch(enum polarys_log_level level, const char *component,
                             const char *message)
{
    mutex_lock(&sink_mutex);
    bool is_default = sink_now == NULL;
    if (!is_default) {
        sink_now(sink_context, level, component, message);
    }
    mutex_unlock(&sink_mutex);
    if (is_default) {
        default_sink(level, component, message);
    }
}

void polarys_log(enum polarys_log_level level, const char *component, const char *format, ...)
{
    POLARYS_ASSERT(level < POLARYS_LOG_OFF);
    if ((int)level < atomic_load(&level_now)) {
        return;
    }
    char message[LOG_MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (wanted < 0) {
        return;
    }
    for (char *at = message; *at != '\0'; at++) {
        *at = *at == '\n' || *at == '\r' ? ' ' : *at;
    }
    message_dispatch(level, component, message);
}
