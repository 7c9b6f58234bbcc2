/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of one log line. For log.c and its tests; everything else calls polarys_log.
 */
#ifndef ENGINE_BASE_LOG_LINE_H
#define ENGINE_BASE_LOG_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/log.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of the longest line: a message of 1,023 bytes each of which takes six, and what stands
 * around it. */
enum { LOG_LINE_MAX = 6 * 1024 + 512 };

/*
 * Writes {"time":,"level":,"component":,"message":} and a newline into `line` (LOG_LINE_MAX
 * bytes), not NUL-terminated, and returns the size. now_ms: wall time. Bytes that are not UTF-8
 * become U+FFFD; what does not fit is cut inside its string, so the line always parses.
 */
size_t log_line_json(char *line, uint64_t now_ms, enum polarys_log_level level,
                     const char *component, const char *message);

/* As log_line_json for people: "time LEVEL component: message"; control characters become '?'. */
size_t log_line_text(char *line, uint64_t now_ms, enum polarys_log_level level,
                     const char *component, const char *message);

#ifdef __cplusplus
}
#endif

#endif
