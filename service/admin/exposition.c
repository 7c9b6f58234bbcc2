/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the buffer of one page of metrics. After a failure it stays failed, so that its user checks
 * once.
 */
#include "service/admin/exposition.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINE_MAX_BYTES = 1024, ROOM_FIRST = 16 << 10 };

void exposition_deinit(struct exposition *out)
{
    free(out->text);
    *out = (struct exposition){0};
}

static bool room_make(struct exposition *out)
{
    if (out->room - out->size >= LINE_MAX_BYTES) {
        return true;
    }
    size_t room = out->room == 0 ? ROOM_FIRST : out->room * 2;
    char *text = room > EXPOSITION_BYTES_MAX ? NULL : realloc(out->text, room);
    if (text == NULL) {
        out->is_failed = true;
        return false;
    }
    out->text = text;
    out->room = room;
    return true;
}

__attribute__((format(printf, 2, 3))) static void line_add(struct exposition *out,
                                                           const char *format, ...)
{
    if (out->is_failed || !room_make(out)) {
        return;
    }
    va_list list;
    va_start(list, format);
    int size = vsnprintf(out->text + out->size, LINE_MAX_BYTES, format, list);
    va_end(list);
    if (size < 0 || size >= LINE_MAX_BYTES) {
        out->text[out->size] = '\0';
        out->is_failed = true;
        return;
    }
    out->size += (size_t)size;
}

void exposition_family(struct exposition *out, const char *name, const char *type, const char *help)
{
    line_add(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void exposition_number(struct exposition *out, const char *name, const char *labels, uint64_t value)
{
    if (labels == NULL) {
        line_add(out, "%s %" PRIu64 "\n", name, value);
    } else {
        line_add(out, "%s{%s} %" PRIu64 "\n", name, labels, value);
    }
}

void exposition_seconds(struct exposition *out, const char *name, const char *labels, uint64_t ns)
{
    const uint64_t second = 1000000000;
    if (labels == NULL) {
        line_add(out, "%s %" PRIu64 ".%09" PRIu64 "\n", name, ns / second, ns % second);
    } else {
        line_add(out, "%s{%s} %" PRIu64 ".%09" PRIu64 "\n", name, labels, ns / second, ns % second);
    }
}

void exposition_gauge(struct exposition *out, const char *name, const char *help, uint64_t value)
{
    exposition_family(out, name, "gauge", help);
    exposition_number(out, name, NULL, value);
}

void exposition_counter(struct exposition *out, const char *name, const char *help, uint64_t value)
{
    exposition_family(out, name, "counter", help);
    exposition_number(out, name, NULL, value);
}
