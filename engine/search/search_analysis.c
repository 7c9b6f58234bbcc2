/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words and terms: ICU finds and folds the words, Snowball stems them.
 *
 * Invariant: breaks are found in the text as it is, and only single words are folded, so that positions in
 * the text stay known and a word alone folds as the word in a text.
 *
 * Analyzers are kept in a few slots of the process: opening ICU's break iterator takes some 50 µs, which
 * the index maintenance of every single write would pay.
 */
#include "engine/search/search_analysis.h"

#include <libstemmer.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unicode/ubrk.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>
#include <unicode/utf8.h>

#include "engine/base/assert.h"

enum {
    ANALYZER_SLOTS = 16,
    /* A slot keeps no more memory than this for later texts. */
    ANALYZER_KEEP_UNITS = 256 << 10,
    /* Units of a word that are looked at; a term is cut to SEARCH_TERM_BYTES_MAX later. */
    WORD_UNITS_MAX = 256,
    /* NFKC_Casefold makes at most 18 units of one. */
    FOLDED_UNITS_MAX = WORD_UNITS_MAX * 18,
    /* Below this, what Unicode calls pictographs are signs such as © and ™. */
    EMOJI_MIN = 0x2300,
    TYPOGRAPHIC_APOSTROPHE = 0x2019,
};

struct search_analyzer {
    char language[SEARCH_LANGUAGE_BYTES_MAX + 1];
    UBreakIterator *breaks;
    const UNormalizer2 *folding; /* ICU's own: never freed */
    struct sb_stemmer *stemmer;  /* NULL: none */
    UChar *units;                /* of the text, UTF-16 */
    size_t unit_capacity;
    UChar folded[FOLDED_UNITS_MAX];
    uint8_t term[SEARCH_TERM_BYTES_MAX];
    uint8_t stem[SEARCH_TERM_BYTES_MAX];
};

/* Analyzers that nobody uses. Taken and put back by exchange: whoever gets one has it alone. */
static _Atomic(struct search_analyzer *) analyzer_slots[ANALYZER_SLOTS];

/* ---- life ---- */

bool search_language_is_known(const char *language)
{
    if (strcmp(language, "none") == 0) {
        return true;
    }
    for (const char **name = sb_stemmer_list(); *name != NULL; name++) {
        if (strcmp(*name, language) == 0 && strlen(language) <= SEARCH_LANGUAGE_BYTES_MAX) {
            return true;
        }
    }
    return false;
}

static void analyzer_destroy(struct search_analyzer *analyzer)
{
    if (analyzer == NULL) {
        return;
    }
    if (analyzer->breaks != NULL) {
        ubrk_close(analyzer->breaks);
    }
    sb_stemmer_delete(analyzer->stemmer);
    free(analyzer->units);
    free(analyzer);
}

static enum polarys_code analyzer_create(const char *language, struct search_analyzer **out,
                                         struct polarys_error *err)
{
    UErrorCode status = U_ZERO_ERROR;
    enum polarys_code code = POLARYS_NO_MEMORY;
    struct search_analyzer *analyzer = calloc(1, sizeof(*analyzer));
    if (analyzer == NULL) {
        return polarys_fail(err, code, "no memory to analyze text");
    }
    memcpy(analyzer->language, language, strlen(language) + 1);
    analyzer->folding = unorm2_getNFKCCasefoldInstance(&status);
    analyzer->breaks = ubrk_open(UBRK_WORD, "", NULL, 0, &status);
    if (U_FAILURE(status)) {
        code = status == U_MEMORY_ALLOCATION_ERROR ? POLARYS_NO_MEMORY : POLARYS_IO;
        polarys_fail(err, code, "cannot break text into words: %s", u_errorName(status));
        goto fail;
    }
    if (strcmp(language, "none") != 0) {
        analyzer->stemmer = sb_stemmer_new(language, "UTF_8");
        if (analyzer->stemmer == NULL) {
            polarys_fail(err, code, "no memory to stem words");
            goto fail;
        }
    }
    *out = analyzer;
    return POLARYS_OK;

fail:
    analyzer_destroy(analyzer);
    return code;
}

enum polarys_code search_analyzer_acquire(const char *language, struct search_analyzer **out,
                                          struct polarys_error *err)
{
    *out = NULL;
    if (!search_language_is_known(language)) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "there is no language \"%.40s\"", language);
    }
    for (size_t i = 0; i < ANALYZER_SLOTS; i++) {
        struct search_analyzer *analyzer = atomic_exchange(&analyzer_slots[i], NULL);
        if (analyzer != NULL && strcmp(analyzer->language, language) == 0) {
            *out = analyzer;
            return POLARYS_OK;
        }
        search_analyzer_release(analyzer);
    }
    return analyzer_create(language, out, err);
}

void search_analyzer_release(struct search_analyzer *analyzer)
{
    if (analyzer == NULL) {
        return;
    }
    if (analyzer->unit_capacity > ANALYZER_KEEP_UNITS) {
        free(analyzer->units);
        analyzer->units = NULL;
        analyzer->unit_capacity = 0;
    }
    for (size_t i = 0; i < ANALYZER_SLOTS; i++) {
        struct search_analyzer *expected = NULL;
        if (atomic_compare_exchange_strong(&analyzer_slots[i], &expected, analyzer)) {
            return;
        }
    }
    analyzer_destroy(analyzer);
}

/* ---- one word ---- */

/* The size of the longest prefix within `max` bytes that cuts no character and holds no NUL. */
static size_t term_cut(const uint8_t *bytes, size_t size, size_t max)
{
    const uint8_t *nul = memchr(bytes, 0, size);
    size_t cut = nul == NULL ? size : (size_t)(nul - bytes);
    if (cut <= max) {
        return cut;
    }
    cut = max;
    while (cut > 0 && U8_IS_TRAIL(bytes[cut])) {
        cut--;
    }
    return cut;
}

/* Writes the units as UTF-8 into analyzer->term, whole characters only. Returns the size. */
/* NOLINTNEXTLINE(readability-function-size): what ICU's macros hold is counted too */
static size_t term_from_units(struct search_analyzer *analyzer, const UChar *units, int32_t count)
{
    size_t size = 0;
    int32_t at = 0;
    while (at < count) {
        UChar32 character;
        U16_NEXT(units, at, count, character);
        if (U_IS_SURROGATE(character)) {
            character = 0xfffd;
        } else if (character == TYPOGRAPHIC_APOSTROPHE) {
            character = '\''; /* the only one that stemmers know */
        }
        size_t length = (size_t)U8_LENGTH(character);
        if (character == 0 || size + length > SEARCH_TERM_BYTES_MAX) {
            break;
        }
        U8_APPEND_UNSAFE(analyzer->term, size, character);
    }
    return size;
}

/* Folds the word into analyzer->term. Returns its size, 0 when nothing of it is left. */
static size_t word_fold(struct search_analyzer *analyzer, const UChar *word, int32_t count)
{
    if (count > WORD_UNITS_MAX) {
        count = WORD_UNITS_MAX;
        count -= U16_IS_LEAD(word[count - 1]) ? 1 : 0;
    }
    size_t size = 0;
    int32_t i = 0;
    /* ASCII folds to lower case, which is most words of most texts. */
    for (; i < count && word[i] < 0x80 && size < SEARCH_TERM_BYTES_MAX; i++) {
        UChar unit = word[i];
        analyzer->term[size++] = (uint8_t)(unit >= 'A' && unit <= 'Z' ? unit + 0x20 : unit);
    }
    if (i == count || size == SEARCH_TERM_BYTES_MAX) {
        return term_cut(analyzer->term, size, SEARCH_TERM_BYTES_MAX);
    }
    UErrorCode status = U_ZERO_ERROR;
    int32_t folded_count = unorm2_normalize(analyzer->folding, word, count, analyzer->folded,
                                            FOLDED_UNITS_MAX, &status);
    if (U_FAILURE(status)) {
        return 0;
    }
    return term_from_units(analyzer, analyzer->folded, folded_count);
}

static enum polarys_code word_stem(struct search_analyzer *analyzer, struct search_word *word,
                                   struct polarys_error *err)
{
    word->term = word->folded;
    if (analyzer->stemmer == NULL) {
        return POLARYS_OK;
    }
    const sb_symbol *stem =
        sb_stemmer_stem(analyzer->stemmer, word->folded.data, (int)word->folded.size);
    if (stem == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to stem a word");
    }
    size_t size =
        term_cut(stem, (size_t)sb_stemmer_length(analyzer->stemmer), SEARCH_TERM_BYTES_MAX);
    if (size > 0) {
        memcpy(analyzer->stem, stem, size);
        word->term = slice_make(analyzer->stem, size);
    }
    return POLARYS_OK;
}

/* Whether what ICU calls no word is to be found all the same. */
static bool is_emoji(const UChar *units, int32_t count)
{
    int32_t at = 0;
    UChar32 character;
    U16_NEXT(units, at, count, character);
    return u_hasBinaryProperty(character, UCHAR_EMOJI_PRESENTATION) ||
           (character >= EMOJI_MIN && u_hasBinaryProperty(character, UCHAR_EXTENDED_PICTOGRAPHIC));
}

/* ---- a text ---- */

/* Fills analyzer->units. *is_ascii tells that units and bytes are one to one. */
/* NOLINTNEXTLINE(readability-function-size): what ICU's macros hold is counted too */
static enum polarys_code text_to_units(struct search_analyzer *analyzer, struct polarys_slice text,
                                       int32_t *unit_count, bool *is_ascii)
{
    if (text.size > analyzer->unit_capacity) {
        free(analyzer->units);
        analyzer->unit_capacity = 0;
        analyzer->units = malloc(text.size * sizeof(*analyzer->units));
        if (analyzer->units == NULL) {
            return POLARYS_NO_MEMORY;
        }
        analyzer->unit_capacity = text.size;
    }
    int32_t at = 0;
    int32_t count = 0;
    int32_t size = (int32_t)text.size;
    while (at < size) {
        UChar32 character;
        U8_NEXT_OR_FFFD(text.data, at, size, character);
        U16_APPEND_UNSAFE(analyzer->units, count, character);
    }
    *unit_count = count;
    *is_ascii = true;
    for (int32_t i = 0; i < size && *is_ascii; i++) {
        *is_ascii = text.data[i] < 0x80;
    }
    return POLARYS_OK;
}

/* A place in the text, in both counts. */
struct text_place {
    int32_t unit;
    int32_t byte;
};

/* Moves the place on to `unit`. */
/* NOLINTNEXTLINE(readability-function-size): what ICU's macros hold is counted too */
static void place_advance(struct text_place *place, struct polarys_slice text, int32_t unit)
{
    while (place->unit < unit) {
        UChar32 character;
        U8_NEXT_OR_FFFD(text.data, place->byte, (int32_t)text.size, character);
        place->unit += U16_LENGTH(character);
    }
}

enum polarys_code search_words_each(struct search_analyzer *analyzer, struct polarys_slice text,
                                    enum polarys_code (*each)(void *context,
                                                              const struct search_word *word),
                                    void *context, struct polarys_error *err)
{
    UErrorCode status = U_ZERO_ERROR;
    int32_t unit_count;
    bool is_ascii;
    if (text.size == 0) {
        return POLARYS_OK;
    }
    if (text.size > INT32_MAX) {
        return polarys_fail(err, POLARYS_TOO_LARGE, "a text is too long to analyze");
    }
    if (text_to_units(analyzer, text, &unit_count, &is_ascii) != POLARYS_OK) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to analyze text");
    }
    ubrk_setText(analyzer->breaks, analyzer->units, unit_count, &status);
    if (U_FAILURE(status)) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "cannot analyze text: %s", u_errorName(status));
    }
    struct text_place place = {0, 0};
    int32_t start = ubrk_first(analyzer->breaks);
    for (int32_t end = ubrk_next(analyzer->breaks); end != UBRK_DONE;
         start = end, end = ubrk_next(analyzer->breaks)) {
        POLARYS_ASSERT(start < end && end <= unit_count);
        const UChar *units = analyzer->units + start;
        if (ubrk_getRuleStatus(analyzer->breaks) < UBRK_WORD_NONE_LIMIT &&
            !is_emoji(units, end - start)) {
            continue;
        }
        struct search_word word = {.start = (size_t)start, .end = (size_t)end};
        word.folded = slice_make(analyzer->term, word_fold(analyzer, units, end - start));
        if (word.folded.size == 0) {
            continue;
        }
        if (!is_ascii) {
            place_advance(&place, text, start);
            word.start = (size_t)place.byte;
            place_advance(&place, text, end);
            word.end = (size_t)place.byte;
        }
        enum polarys_code code = word_stem(analyzer, &word, err);
        if (code == POLARYS_OK) {
            code = each(context, &word);
        }
        if (code != POLARYS_OK) {
            return code;
        }
    }
    return POLARYS_OK;
}
