/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the parsers of this folder: reading names, words and values off the text of a filter or an order.
 *
 * Invariant: nothing here reads past `end`, whatever the bytes are. What could not be read leaves the
 * cursor where it was, or at the fault.
 */
#ifndef ENGINE_QUERY_FILTER_SCAN_H
#define ENGINE_QUERY_FILTER_SCAN_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct filter_cursor {
    const uint8_t *begin;
    const uint8_t *at;
    const uint8_t *end;
};

struct filter_cursor filter_cursor_make(struct polarys_slice text);
void filter_skip_space(struct filter_cursor *cursor);
static inline size_t filter_position(const struct filter_cursor *cursor)
{
    return (size_t)(cursor->at - cursor->begin);
}
/* Letters, digits and '_'. */
bool filter_is_name_byte(uint8_t byte);
/* Takes the word `word` (upper case) whatever its case, if it stands here and ends here. */
bool filter_take_word(struct filter_cursor *cursor, const char *word);
bool filter_take_byte(struct filter_cursor *cursor, char byte);
/* Takes a path: names joined by dots. False with the cursor at the fault; *expected says what was missing
 * there, static text. */
bool filter_take_path(struct filter_cursor *cursor, struct polarys_slice *path,
                      const char **expected);
/* Takes a number as JSON writes them. False when there is none. */
bool filter_take_number(struct filter_cursor *cursor, struct polarys_slice *text);

/* A string as it was read: characters in the arena. */
struct filter_string {
    struct polarys_slice text;
    bool is_open_start; /* begins with a wildcard that is not escaped */
    bool is_open_end;   /* ends with one; both are true of "*" alone */
};
/* REQUIRES: at a quote, double or single. Errors: BAD_FILTER without a message, with the cursor at the
 * fault and *expected set; NO_MEMORY. */
NODISCARD enum polarys_code filter_take_string(struct filter_cursor *cursor, struct arena *arena,
                                               struct filter_string *string, const char **expected);

#ifdef __cplusplus
}
#endif

#endif
