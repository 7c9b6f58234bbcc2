/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents: checking JSON (RFC 8259) word for word, merge patches (RFC 7386), field lookup, and the
 * bytes in which a document is stored as a value of the tree (docs/formats/value.md).
 *
 * Invariant: a JSON document is kept exactly as it was given; nothing here rewrites it but a merge patch.
 */
#ifndef ENGINE_DOCUMENT_DOCUMENT_H
#define ENGINE_DOCUMENT_DOCUMENT_H

#include "engine/base/buffer.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    JSON_DEPTH_MAX = 100,
    STORED_VALUE_HEADER_MAX = 9, /* flags, and 8 bytes of expiry when there is one */
};

/* Any top-level JSON type. Errors: BAD_JSON (detail "offset": byte position of the fault) for malformed
 * text, bad UTF-8, a NUL, duplicate names in one object, trailing bytes, depth past JSON_DEPTH_MAX;
 * NO_MEMORY. */
NODISCARD enum polarys_code json_check(struct polarys_slice text, struct polarys_error *err);

/* Appends the result of the merge patch. Members keep the target's order, new ones follow in the patch's.
 * Numbers keep their text. `target` may be empty (no document). Errors: BAD_JSON (either text),
 * NO_MEMORY. */
NODISCARD enum polarys_code json_merge_patch(struct polarys_slice target,
                                             struct polarys_slice patch, struct buffer *result,
                                             struct polarys_error *err);

/*
 * True when the member at `path` (names joined by '.'; in backticks a name may hold any characters) equals `expected` as JSON: numbers by value at any
 * length, strings by their characters, objects whatever the order of members. A missing member equals
 * nothing. Errors: BAD_JSON, BAD_ARGUMENT (empty path), NO_MEMORY.
 */
NODISCARD enum polarys_code json_field_equals(struct polarys_slice text, struct polarys_slice path,
                                              struct polarys_slice expected, bool *is_equal,
                                              struct polarys_error *err);

/* The text of the top-level string or number member `name`: a string's characters unescaped, a number's
 * text. *is_found false when it is missing or of another type. For import's key field. */
NODISCARD enum polarys_code json_member_text(struct polarys_slice text, struct polarys_slice name,
                                             struct buffer *value, bool *is_found,
                                             struct polarys_error *err);

struct stored_value {
    bool is_json;
    uint64_t expires_at_ms; /* Unix time; 0: never */
    struct polarys_slice bytes;
};

/* Appends header and bytes. Errors: NO_MEMORY. */
NODISCARD enum polarys_code stored_value_encode(struct buffer *to,
                                                const struct stored_value *value);
/* Borrows from `stored`. False when the bytes are no stored value. */
bool stored_value_decode(struct polarys_slice stored, struct stored_value *value);

#ifdef __cplusplus
}
#endif

#endif
