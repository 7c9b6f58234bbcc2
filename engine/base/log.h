/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines: one JSON object a line (text when the sink is a terminal), behind a sink that the host
 * program sets. Secrets and user values are never logged.
 */
#ifndef ENGINE_BASE_LOG_H
#define ENGINE_BASE_LOG_H

#include "engine/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

enum polarys_log_level {
    POLARYS_LOG_DEBUG,
    POLARYS_LOG_INFO,
    POLARYS_LOG_WARN,
    POLARYS_LOG_ERROR,
    POLARYS_LOG_OFF,
};

/*
 * Sets the process-wide sink; NULL restores the default, which writes JSON lines to standard error. `sink`
 * is called with one whole message (no newline, NUL-terminated) from any thread and must not call back.
 */
POLARYS_API void polarys_log_sink_set(void (*sink)(void *context, enum polarys_log_level level,
                                                   const char *component, const char *message),
                                      void *context);
POLARYS_API void polarys_log_level_set(enum polarys_log_level level);
POLARYS_API enum polarys_log_level polarys_log_level_get(void);

/* Messages longer than 1,023 bytes are cut. Any thread. `component`: a module name, static storage. */
POLARYS_API void polarys_log(enum polarys_log_level level, const char *component,
                             const char *format, ...) POLARYS_PRINTF(3, 4);

#ifdef __cplusplus
}
#endif

#endif
