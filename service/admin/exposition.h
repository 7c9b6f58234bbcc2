/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text in the exposition format of Prometheus (0.0.4), written into one growing buffer.
 */
#ifndef SERVICE_ADMIN_EXPOSITION_H
#define SERVICE_ADMIN_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { EXPOSITION_BYTES_MAX = 8 << 20 };

struct exposition {
    char *text; /* NUL-terminated; NULL before the first line */
    size_t size;
    size_t room;
    bool is_failed; /* no memory, or too long: what follows is dropped */
};

void exposition_deinit(struct exposition *out);
/* `# HELP` and `# TYPE`; type: "counter", "gauge" or "histogram". */
void exposition_family(struct exposition *out, const char *name, const char *type,
                       const char *help);
/* One sample. `labels`: NULL, or `a="b",c="d"` without braces. */
void exposition_number(struct exposition *out, const char *name, const char *labels,
                       uint64_t value);
void exposition_seconds(struct exposition *out, const char *name, const char *labels, uint64_t ns);
/* A family with one sample. */
void exposition_gauge(struct exposition *out, const char *name, const char *help, uint64_t value);
void exposition_counter(struct exposition *out, const char *name, const char *help, uint64_t value);

#ifdef __cplusplus
}
#endif

#endif
