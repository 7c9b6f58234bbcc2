/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking JSON text that polarys_json_check has accepted: what the members of an object are, and whether a
 * statement's JSON is complete.
 */
#ifndef CLIENT_CLI_JSON_TEXT_H
#define CLIENT_CLI_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A place in an object's text. Borrows. */
struct object_walk {
    const char *at;
    const char *end;
};

/* One member: its name without quotes, escapes as written, and its value word for word. Borrowed from the
 * text. */
struct object_member {
    const char *name;
    size_t name_size;
    const char *value;
    size_t value_size;
};

/* Begins in front of the first member. False when the text is no object. REQUIRES: checked JSON. */
bool object_walk_init(struct object_walk *walk, const char *text, size_t size);
/* The next member; false at the end. */
bool object_walk_next(struct object_walk *walk, struct object_member *member);

/* The same for the elements of an array. */
bool array_walk_init(struct object_walk *walk, const char *text, size_t size);
/* The next element, word for word; false at the end. */
bool array_walk_next(struct object_walk *walk, const char **value, size_t *value_size);

/* Where the object, array or string that begins at text[0] ends: the bytes up to and with its last one; 0
 * when it goes on behind `size`. Any text. */
size_t json_text_end(const char *text, size_t size);

#ifdef __cplusplus
}
#endif

#endif
