/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths to the members of documents: names joined by dots, unusual ones in backticks.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/document/json_internal.h"

static bool is_bare(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '_';
}

/* One name off the cursor. False when there is none. */
static bool name_take(struct cursor *from, struct polarys_slice *name)
{
    const uint8_t *at = from->at;
    if (at == from->end) {
        return false;
    }
    if (*at == '`') {
        at++;
        const uint8_t *close = at == from->end ? NULL : memchr(at, '`', (size_t)(from->end - at));
        if (close == NULL) {
            return false;
        }
        *name = slice_make(at, (size_t)(close - at));
        from->at = close + 1;
        return true;
    }
    while (at < from->end && is_bare(*at)) {
        at++;
    }
    *name = slice_make(from->at, (size_t)(at - from->at));
    from->at = at;
    return name->size > 0;
}

size_t json_path_scan(struct polarys_slice text)
{
    struct cursor rest = cursor_make(text);
    struct polarys_slice name;
    const uint8_t *end = rest.at;
    while (name_take(&rest, &name)) {
        end = rest.at;
        if (rest.at == rest.end || *rest.at != '.') {
            break;
        }
        rest.at++;
    }
    return text.size == 0 ? 0 : (size_t)(end - text.data);
}

static bool is_utf8(struct polarys_slice text)
{
    const uint8_t *at = text.data;
    const uint8_t *end = at + text.size;
    while (at < end) {
        const uint8_t *next = *at < 0x80 ? at + 1 : json_scan_utf8(at, end);
        if (next == NULL || *at == '\0') {
            return false;
        }
        at = next;
    }
    return true;
}

static enum polarys_code fail_path(struct polarys_slice text, const char *why,
                                   struct polarys_error *err)
{
    enum { SHOWN_MAX = 64 };
    char shown[SHOWN_MAX + 1] = "";
    if (text.size > 0 && text.size <= SHOWN_MAX && is_utf8(text)) {
        memcpy(shown, text.data, text.size);
        shown[text.size] = '\0';
    }
    enum polarys_code code =
        polarys_fail(err, POLARYS_BAD_ARGUMENT, "the path \"%s\" of a field %s", shown, why);
    polarys_error_detail_set(err, "field", "%s", shown);
    return code;
}

/* Fills `names` (may be NULL) and counts. False when the text is no path. */
static bool names_take(struct polarys_slice text, struct polarys_slice *names, size_t *count)
{
    struct cursor rest = cursor_make(text);
    for (*count = 0; *count < JSON_PATH_NAMES_MAX;) {
        struct polarys_slice name;
        if (!name_take(&rest, &name)) {
            return false;
        }
        if (names != NULL) {
            names[*count] = name;
        }
        (*count)++;
        if (rest.at == rest.end) {
            return true;
        }
        if (*rest.at++ != '.') {
            return false;
        }
    }
    return false;
}

enum polarys_code json_path_init(struct json_path *path, struct polarys_slice text,
                                 struct polarys_error *err)
{
    *path = (struct json_path){0};
    if (text.size == 0 || text.size > JSON_PATH_BYTES_MAX) {
        return fail_path(slice_make(NULL, 0),
                         text.size == 0 ? "is empty" : "is longer than 1024 bytes", err);
    }
    if (!is_utf8(text)) {
        return fail_path(text, "is not UTF-8", err);
    }
    size_t count;
    if (!names_take(text, NULL, &count)) {
        return fail_path(text,
                         "is malformed: up to 100 names joined by '.', names with other characters "
                         "than letters, digits and '_' in backticks",
                         err);
    }
    path->text = malloc(text.size + 1);
    path->names = malloc(count * sizeof(*path->names));
    if (path->text == NULL || path->names == NULL) {
        json_path_deinit(path);
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a path");
    }
    memcpy(path->text, text.data, text.size);
    path->text[text.size] = '\0';
    path->text_size = text.size;
    bool is_path = names_take(slice_make(path->text, text.size), path->names, &path->name_count);
    POLARYS_ASSERT(is_path);
    return POLARYS_OK;
}

void json_path_deinit(struct json_path *path)
{
    free(path->names);
    free(path->text);
    *path = (struct json_path){0};
}
