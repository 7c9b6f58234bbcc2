/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From text to words: where they are, and the terms that they are indexed and sought under.
 *
 * Invariant: a word's term depends on the word and the language alone, so that texts and queries meet. What
 * counts as a word may depend on the words around it where a script has no spaces.
 *
 * Words are those of ICU's word breaks (Unicode Standard Annex 29, with dictionaries for scripts without
 * spaces) that hold a letter, digit or emoji. Each is folded by NFKC_Casefold and then stemmed by Snowball.
 */
#ifndef ENGINE_SEARCH_SEARCH_ANALYSIS_H
#define ENGINE_SEARCH_SEARCH_ANALYSIS_H

#include "engine/search/search.h"

#ifdef __cplusplus
extern "C" {
#endif

struct search_analyzer;

/*
 * An analyzer for `language`, of those that were given back or new: making one costs as much as many short
 * texts. One thread at a time. Errors: BAD_ARGUMENT (an unknown language), NO_MEMORY, IO (ICU lacks its data).
 */
NODISCARD enum polarys_code search_analyzer_acquire(const char *language,
                                                    struct search_analyzer **out,
                                                    struct polarys_error *err);
/* Accepts NULL. */
void search_analyzer_release(struct search_analyzer *analyzer);

struct search_word {
    struct polarys_slice term;   /* stemmed; 1 to SEARCH_TERM_BYTES_MAX bytes, none of them 0 */
    struct polarys_slice folded; /* before stemming; at most as long */
    size_t start;                /* bytes [start, end) of the text */
    size_t end;
};

/*
 * Calls `each` for every word of `text` in order; borrowed for the call. Another code than OK ends it and is
 * returned. Errors: NO_MEMORY, those of `each`.
 */
NODISCARD enum polarys_code search_words_each(
    struct search_analyzer *analyzer, struct polarys_slice text,
    enum polarys_code (*each)(void *context, const struct search_word *word), void *context,
    struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
