/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the files of document/: scanning of JSON tokens, and a walk over text that was checked before.
 *
 * Invariant: the json_scan_ functions accept any bytes and never read past `end`; everything below the
 * line "checked text" relies on json_check having accepted the text.
 */
#ifndef ENGINE_DOCUMENT_JSON_INTERNAL_H
#define ENGINE_DOCUMENT_JSON_INTERNAL_H

#include "engine/base/assert.h"
#include "engine/document/document.h"
#include "engine/document/json_value.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One character of two to four bytes at `at` (RFC 3629): the byte behind it, or NULL. REQUIRES: at < end, a
 * byte above ASCII. */
const uint8_t *json_scan_utf8(const uint8_t *at, const uint8_t *end);

/* Where scanning stopped and why; `why` is static text. */
struct json_fault {
    const uint8_t *at;
    const char *why;
};

static inline const uint8_t *json_skip_space(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) {
        at++;
    }
    return at;
}

/* `at` is behind the opening quote. Returns the closing quote, or NULL with *fault filled. *has_escape
 * says whether a backslash occurs. */
const uint8_t *json_scan_string(const uint8_t *at, const uint8_t *end, bool *has_escape,
                                struct json_fault *fault);
/* `at` is a digit or '-'. Returns the first byte behind the number, or NULL with *fault filled. */
const uint8_t *json_scan_number(const uint8_t *at, const uint8_t *end, struct json_fault *fault);
/* true, false or null at `at`. Returns the first byte behind it, or NULL with *fault filled. */
const uint8_t *json_scan_word(const uint8_t *at, const uint8_t *end, struct json_fault *fault);

/* ---- checked text ---- */

/* The value of checked text: without the space around it. */
struct polarys_slice json_value_trim(struct polarys_slice text);
/* REQUIRES: `value` is trimmed. */
enum json_type json_value_type(struct polarys_slice value);

/* The closing quote of the string whose opening quote is at `at`. */
const uint8_t *json_string_close(const uint8_t *at, const uint8_t *end);
/* Says also whether a backslash occurs. */
const uint8_t *json_string_close_noting(const uint8_t *at, const uint8_t *end, bool *has_escape);
/* The byte behind the value that begins at `at`. */
const uint8_t *json_value_end(const uint8_t *at, const uint8_t *end);
/* The byte behind the object or array inside which `at` is, not inside a string. */
const uint8_t *json_container_end(const uint8_t *at, const uint8_t *end);

/* A walk over the members of an object or the elements of an array. Embedded. */
struct json_walk {
    const uint8_t *at;
    const uint8_t *end;
    bool is_object;
};

/* REQUIRES: `value` is a trimmed object or array. */
struct json_walk json_walk_start(struct polarys_slice value);
/* The next element; false at the end. Borrowed: slices of the text. `name` is what stands between the
 * quotes, escapes included; empty for arrays. `value` is trimmed. */
bool json_walk_next(struct json_walk *walk, struct polarys_slice *name,
                    struct polarys_slice *value);

/*
 * Appends the characters of what stands between two quotes. An escaped surrogate without its partner
 * becomes the three bytes that UTF-8 forbids, so that different strings stay different. Errors:
 * NO_MEMORY.
 */
NODISCARD enum polarys_code json_unescape(struct polarys_slice raw, struct buffer *to);
/* The characters of `raw`: itself when nothing is escaped, else unescaped at the end of `scratch`.
 * Borrowed from either, until `scratch` changes. Errors: NO_MEMORY. */
NODISCARD enum polarys_code json_text(struct polarys_slice raw, struct buffer *scratch,
                                      struct polarys_slice *text);
bool json_has_escape(struct polarys_slice raw);
/* The next 1 to 4 bytes of the characters of what stands between two quotes: those of an escape, or one byte
 * that stands for itself. Moves *at behind what they came from. REQUIRES: *at < end. */
size_t json_character_take(const uint8_t **at, const uint8_t *end, uint8_t bytes[4]);

/* One member of an object, its name in plain characters. */
struct json_member {
    struct polarys_slice name;     /* unescaped */
    struct polarys_slice raw_name; /* as it stands between the quotes */
    struct polarys_slice value;    /* trimmed */
    bool is_used;                  /* the caller's */
};

/* The members of an object in the order of the text, and by name. Owned; zero-initialise. */
struct json_members {
    struct json_member *list;
    struct json_member **by_name; /* sorted */
    size_t count;
    struct buffer names; /* the unescaped ones */
};

/* REQUIRES: `object` is trimmed. Errors: NO_MEMORY (then nothing is held). */
NODISCARD enum polarys_code json_members_init(struct json_members *members,
                                              struct polarys_slice object);
void json_members_deinit(struct json_members *members);
/* NULL when there is none. Borrowed. */
struct json_member *json_members_find(const struct json_members *members,
                                      struct polarys_slice name);

/* ± 0.d1d2…dn × 10^e, d1 and dn not zero: one form for each value. Borrows the text. */
struct json_decimal {
    bool is_negative;
    /* d1 to dn, with a point somewhere inside, which is skipped when reading; none for zero. */
    const uint8_t *digits;
    const uint8_t *digits_end;
    int64_t shift; /* to be added to the written exponent */
    bool is_exponent_negative;
    struct polarys_slice exponent; /* as written, digits without leading zeros */
};
struct json_decimal json_decimal_parse(struct polarys_slice text);
/* Appends the magnitude of e in decimal digits without leading zeros, none for 0. Errors: NO_MEMORY. */
NODISCARD enum polarys_code json_decimal_exponent(const struct json_decimal *decimal,
                                                  struct buffer *to, bool *is_negative);

/* The order of two number texts, at any length. Errors: NO_MEMORY. */
NODISCARD enum polarys_code json_number_compare(struct polarys_slice a, struct polarys_slice b,
                                                int *order);
/* Two number texts have the same value, at any length. Errors: NO_MEMORY. */
NODISCARD enum polarys_code json_number_equals(struct polarys_slice a, struct polarys_slice b,
                                               bool *is_equal);
/* Two trimmed values are equal as JSON. Errors: NO_MEMORY. */
NODISCARD enum polarys_code json_value_equals(struct polarys_slice a, struct polarys_slice b,
                                              bool *is_equal);

#ifdef __cplusplus
}
#endif

#endif
