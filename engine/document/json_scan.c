/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens of JSON text (RFC 8259): strings with their UTF-8 and escapes, numbers, and the three words.
 *
 * Invariant: any bytes may come in and nothing past `end` is read. A fault names the first byte at which
 * the text stops being JSON; for an unfinished token that is the end of the text.
 */
#include "engine/document/json_internal.h"

#include <string.h>

static const uint8_t *fault_at(struct json_fault *fault, const uint8_t *at, const char *why)
{
    fault->at = at;
    fault->why = why;
    return NULL;
}

/* Nonzero when one of the eight bytes ends a run of plain characters: a quote, a backslash, a control
 * character or a byte above ASCII. Exact for "any", which is all that the caller asks. */
static uint64_t word_has_special(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t highs = UINT64_C(0x8080808080808080);
    uint64_t quote = word ^ (ones * '"');
    uint64_t backslash = word ^ (ones * '\\');
    return (((word - ones * 0x20) | (quote - ones) | (backslash - ones)) | word) & highs;
}

static const uint8_t *skip_plain(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        if (word_has_special(word) != 0) {
            break;
        }
        at += 8;
    }
    while (at < end && *at >= 0x20 && *at < 0x80 && *at != '"' && *at != '\\') {
        at++;
    }
    return at;
}

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* No overlong forms, no surrogates, none past U+10FFFF. */
const uint8_t *json_scan_utf8(const uint8_t *at, const uint8_t *end)
{
    size_t left = (size_t)(end - at);
    uint8_t first = at[0];
    if (first >= 0xc2 && first <= 0xdf) {
        return left >= 2 && is_continuation(at[1]) ? at + 2 : NULL;
    }
    if (left < 3 || !is_continuation(at[1]) || !is_continuation(at[2])) {
        return NULL;
    }
    if ((first & 0xf0) == 0xe0) {
        bool is_overlong = first == 0xe0 && at[1] < 0xa0;
        bool is_surrogate = first == 0xed && at[1] >= 0xa0;
        return is_overlong || is_surrogate ? NULL : at + 3;
    }
    if (first < 0xf0 || first > 0xf4 || left < 4 || !is_continuation(at[3])) {
        return NULL;
    }
    bool is_overlong = first == 0xf0 && at[1] < 0x90;
    bool is_too_high = first == 0xf4 && at[1] >= 0x90;
    return is_overlong || is_too_high ? NULL : at + 4;
}

static bool is_hex(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') ||
           (byte >= 'A' && byte <= 'F');
}

/* `at` is the backslash. */
static const uint8_t *skip_escape(const uint8_t *at, const uint8_t *end, struct json_fault *fault)
{
    at++;
    if (at == end) {
        return fault_at(fault, at, "the text ends inside a string");
    }
    if (*at == 'u') {
        for (int i = 0; i < 4; i++) {
            at++;
            if (at == end) {
                return fault_at(fault, at, "the text ends inside a string");
            }
            if (!is_hex(*at)) {
                return fault_at(fault, at, "\\u needs four hex digits");
            }
        }
        return at + 1;
    }
    if (*at == '\0' || strchr("\"\\/bfnrt", *at) == NULL) {
        return fault_at(fault, at, "unknown escape in a string");
    }
    return at + 1;
}

const uint8_t *json_scan_string(const uint8_t *at, const uint8_t *end, bool *has_escape,
                                struct json_fault *fault)
{
    *has_escape = false;
    for (;;) {
        at = skip_plain(at, end);
        if (at == end) {
            return fault_at(fault, at, "the text ends inside a string");
        }
        if (*at == '"') {
            return at;
        }
        if (*at == '\\') {
            *has_escape = true;
            at = skip_escape(at, end, fault);
            if (at == NULL) {
                return NULL;
            }
        } else if (*at >= 0x80) {
            const uint8_t *next = json_scan_utf8(at, end);
            if (next == NULL) {
                return fault_at(fault, at, "invalid UTF-8");
            }
            at = next;
        } else {
            return fault_at(fault, at, "control character in a string");
        }
    }
}

static bool is_digit(const uint8_t *at, const uint8_t *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

static const uint8_t *skip_digits(const uint8_t *at, const uint8_t *end)
{
    while (is_digit(at, end)) {
        at++;
    }
    return at;
}

const uint8_t *json_scan_number(const uint8_t *at, const uint8_t *end, struct json_fault *fault)
{
    if (at < end && *at == '-') {
        at++;
    }
    if (!is_digit(at, end)) {
        return fault_at(fault, at, "a number needs a digit here");
    }
    if (*at == '0') {
        at++;
        if (is_digit(at, end)) {
            return fault_at(fault, at, "a number must not begin with 0");
        }
    } else {
        at = skip_digits(at, end);
    }
    if (at < end && *at == '.') {
        at++;
        if (!is_digit(at, end)) {
            return fault_at(fault, at, "a number needs a digit here");
        }
        at = skip_digits(at, end);
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) {
            at++;
        }
        if (!is_digit(at, end)) {
            return fault_at(fault, at, "a number needs a digit here");
        }
        at = skip_digits(at, end);
    }
    return at;
}

const uint8_t *json_scan_word(const uint8_t *at, const uint8_t *end, struct json_fault *fault)
{
    const char *word = *at == 't' ? "true" : *at == 'f' ? "false" : "null";
    for (; *word != '\0'; word++, at++) {
        if (at == end || *at != (uint8_t)*word) {
            return fault_at(fault, at, "a value is expected");
        }
    }
    return at;
}
