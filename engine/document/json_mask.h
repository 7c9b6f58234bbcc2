/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read masks: the members of a document that a caller asked for, as a new JSON text.
 *
 * Invariant: the result is checked JSON again; what is kept is kept word for word, in the order of the
 * document.
 */
#ifndef ENGINE_DOCUMENT_JSON_MASK_H
#define ENGINE_DOCUMENT_JSON_MASK_H

#include "engine/base/buffer.h"
#include "engine/document/json_value.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { JSON_MASK_PATHS_MAX = 256 };

struct json_mask;

/* Paths as json_path_init takes them; copied. Errors: BAD_ARGUMENT (detail "field": "read_mask"), NO_MEMORY. */
NODISCARD enum polarys_code json_mask_create(const char *const *paths, size_t count,
                                             struct json_mask **out, struct polarys_error *err);
void json_mask_destroy(struct json_mask *mask); /* accepts NULL */

/*
 * Appends an object with the members of `document` that the mask names. A path that goes on behind an object
 * keeps that object, empty where nothing in it is named; behind an array it keeps the array with its elements
 * that are objects, each masked; behind anything else nothing. A document that is no object gives {}.
 * `document` is checked JSON. Errors: NO_MEMORY.
 */
NODISCARD enum polarys_code json_mask_apply(const struct json_mask *mask,
                                            struct polarys_slice document, struct buffer *to);

#ifdef __cplusplus
}
#endif

#endif
