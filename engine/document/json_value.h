/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typed JSON values, the paths that name them in documents, their order, and bytes that sort as they do.
 *
 * Indexes, filters and sorting share this file, so that an answer from an index is the answer of looking at
 * every document. The order is total: missing < null < false < true < numbers < strings < arrays < objects;
 * numbers by value at any length, strings by the UTF-8 bytes of their characters, arrays element by element,
 * objects by their members in order of names.
 *
 * Invariant: values and documents that come in here were checked by json_check before. Nothing is copied:
 * a value borrows the text it was found in.
 */
#ifndef ENGINE_DOCUMENT_JSON_VALUE_H
#define ENGINE_DOCUMENT_JSON_VALUE_H

#include "engine/base/buffer.h"
#include "engine/base/coding.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    JSON_PATH_BYTES_MAX = 1024,
    JSON_PATH_NAMES_MAX = 100,
    JSON_PATHS_MAX = 2048, /* of one set */
};

/* In their order. */
enum json_type {
    JSON_MISSING,
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* Plain data. `text` is the value as it stands in the document, a string with its quotes; empty when the
 * value is missing. Borrowed. */
struct json_value {
    enum json_type type;
    struct polarys_slice text;
};

/* The value of checked text, space around it trimmed. */
struct json_value json_value_make(struct polarys_slice text);

/* ---- paths ---- */

/*
 * A parsed path: names joined by '.'. A name is one or more letters (ASCII), digits and '_'; any other one
 * stands in backticks, which it cannot contain. Owned; zero-initialise.
 */
struct json_path {
    struct polarys_slice *names; /* unescaped characters; in the memory of `text` */
    size_t name_count;
    char *text; /* as given, NUL-terminated */
    size_t text_size;
};

/* Errors: BAD_ARGUMENT (detail "field": the path; empty, malformed, too long, too deep, not UTF-8),
 * NO_MEMORY. Nothing is held then. */
NODISCARD enum polarys_code json_path_init(struct json_path *path, struct polarys_slice text,
                                           struct polarys_error *err);
void json_path_deinit(struct json_path *path);

/*
 * How long a path is at the start of `text`, which may go on with anything else: for parsers of languages that
 * hold paths. 0 when there is none (also where backticks do not close).
 */
size_t json_path_scan(struct polarys_slice text);

/* A set of paths, for extracting all of them in one walk. Immutable once made: any thread. */
struct json_paths;

/* Path i of the set is paths[i]; the same path may occur twice. The set keeps no reference to them.
 * Errors: BAD_ARGUMENT (more than JSON_PATHS_MAX), NO_MEMORY. */
NODISCARD enum polarys_code json_paths_create(const struct json_path *paths, size_t count,
                                              struct json_paths **out, struct polarys_error *err);
void json_paths_destroy(struct json_paths *paths); /* accepts NULL */
size_t json_paths_count(const struct json_paths *paths);

enum json_match_kind {
    JSON_MATCH_VALUE, /* a value of the path */
    JSON_MATCH_ARRAY, /* the whole array at the path's end; its elements follow, each as a VALUE */
};

/*
 * Walks the document once and gives the values of every path, path by path in no particular order, those of
 * one path in the order of the text.
 *
 * Where an array is met on the way, the rest of the path is looked for in each element that is an object (in
 * an array inside an array it is not). Where the path ends at an array it is told whole, as JSON_MATCH_ARRAY,
 * then each element as a value of its own; an array inside it is one value. A path that comes to no value at
 * all (nothing there, or only empty arrays) gives one value of type JSON_MISSING. So every path of the set
 * gives at least one JSON_MATCH_VALUE, unless `match` ended the walk.
 *
 * `match` is told each; `path` is the index in the set; false ends the walk. `document` is checked JSON.
 * Allocates nothing. Any thread. Returns false when `match` ended the walk.
 */
bool json_paths_extract(const struct json_paths *paths, struct polarys_slice document,
                        bool (*match)(void *context, size_t path, enum json_match_kind kind,
                                      struct json_value value),
                        void *context);

/* ---- order ---- */

/* *order: negative, zero or positive. Equal exactly when json_field_equals finds the values equal. Errors:
 * NO_MEMORY (only numbers with exponents of more than 17 digits, arrays and objects allocate). */
NODISCARD enum polarys_code json_value_compare(const struct json_value *a,
                                               const struct json_value *b, int *order);

/* True for a string whose characters begin with the bytes of `prefix`. */
bool json_string_starts_with(const struct json_value *value, struct polarys_slice prefix);
/* The characters of a string: a part of its text when nothing is escaped, else unescaped at the end of
 * `scratch`, and borrowed until that changes. REQUIRES: a string. Errors: NO_MEMORY. */
NODISCARD enum polarys_code json_string_text(const struct json_value *value, struct buffer *scratch,
                                             struct polarys_slice *text);
/* The closest double; infinite where there is none. REQUIRES: a number. For estimates only. */
double json_number_approximate(const struct json_value *value);

/* ---- bytes that sort ---- */

/*
 * Appends the encoding of a value. Of two values the order of their bytes (memcmp, a prefix first) is their
 * order, and equal values have the same bytes: 1, 1.0 and 10e-1; "a" and "\u0061". No encoding is a
 * prefix of another, so encodings may be put one behind the other. docs/formats/index.md. Errors: NO_MEMORY.
 */
NODISCARD enum polarys_code json_value_encode(const struct json_value *value, struct buffer *to);
/* A string of these characters, as json_value_encode gives it. */
NODISCARD enum polarys_code json_string_encode(struct polarys_slice characters, struct buffer *to);
/* What the encodings of all strings that begin with these characters begin with. */
NODISCARD enum polarys_code json_string_encode_prefix(struct polarys_slice characters,
                                                      struct buffer *to);
/* Values of one type, and of no other, have encodings in [*first, *beyond). Both are single bytes. The
 * numbers are one type here, as are true, and false. */
void json_type_bounds(enum json_type type, uint8_t *first, uint8_t *beyond);

/* Takes one encoding off the cursor. False when the bytes are none. */
bool json_encoded_take(struct cursor *from, struct polarys_slice *encoded);
/* The type of an encoding; false when its first byte is no type's. */
bool json_encoded_type(struct polarys_slice encoded, enum json_type *type);
#ifdef __cplusplus
}
#endif

#endif
