/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many documents and words an index has, and in how many documents a term is.
 *
 * Invariant: what a search reads here depends on the entries of its version alone: gathered records are
 * entries like any other, and where there is none, everything is counted.
 *
 * Counting costs a walk, so common terms and the totals of large indexes are gathered now and then and are
 * as exact as the last gathering; rare terms are always counted.
 */
#include "engine/search/search_internal.h"

/* ---- reading ---- */

/* Walks [start, end) of the index and gives each entry to `each`. */
static enum polarys_code walk_range(
    struct search_walk *walk, struct polarys_slice start, struct polarys_slice end,
    enum polarys_code (*each)(void *context, const struct entry *entry), void *context)
{
    struct entry_iterator *iterator;
    enum polarys_code code =
        walk->view->iterate(walk->view->context, start, end, &iterator, walk->err);
    if (code != POLARYS_OK) {
        return code;
    }
    entry_iterator_seek_first(iterator);
    while (code == POLARYS_OK && iterator->is_valid) {
        code = each(context, &iterator->entry);
        if (code == POLARYS_OK) {
            code = search_walk_step(walk);
        }
        if (code == POLARYS_OK) {
            entry_iterator_next(iterator);
        }
    }
    if (code == POLARYS_OK && iterator->code != POLARYS_OK) {
        code = iterator->code;
        if (walk->err != NULL) {
            *walk->err = iterator->error;
        }
    }
    entry_iterator_destroy(iterator);
    return code;
}

struct record_reading {
    struct search_walk *walk;
    bool is_found;
    struct search_totals totals; /* of a frequency: document_count alone */
};

static enum polarys_code read_totals(void *context, const struct entry *entry)
{
    struct record_reading *reading = context;
    struct cursor cursor = cursor_make(entry->value);
    if (entry->key.size != SEARCH_PREFIX_SIZE ||
        !cursor_take_varint(&cursor, &reading->totals.document_count) ||
        !cursor_take_varint(&cursor, &reading->totals.word_count) || cursor_left(&cursor) != 0 ||
        reading->totals.word_count < reading->totals.document_count) {
        return search_walk_fail_corrupt(reading->walk);
    }
    reading->totals.gathered_version = entry->version;
    reading->is_found = true;
    return POLARYS_OK;
}

static enum polarys_code read_frequency(void *context, const struct entry *entry)
{
    struct record_reading *reading = context;
    struct cursor cursor = cursor_make(entry->value);
    if (!cursor_take_varint(&cursor, &reading->totals.document_count) ||
        cursor_left(&cursor) != 0) {
        return search_walk_fail_corrupt(reading->walk);
    }
    reading->is_found = true;
    return POLARYS_OK;
}

/* ---- counting ---- */

struct counting {
    struct search_walk *walk;
    struct search_totals totals;
};

static enum polarys_code count_length(void *context, const struct entry *entry)
{
    struct counting *counting = context;
    struct search_document_head head;
    struct cursor cursor = cursor_make(entry->value);
    if (!search_head_decode(&cursor, &head) || cursor_left(&cursor) != 0) {
        return search_walk_fail_corrupt(counting->walk);
    }
    counting->totals.document_count++;
    counting->totals.word_count += head.length;
    return POLARYS_OK;
}

static enum polarys_code count_posting(void *context, const struct entry *entry)
{
    struct counting *counting = context;
    (void)entry;
    counting->totals.document_count++;
    return POLARYS_OK;
}

static enum polarys_code totals_count(struct search_walk *walk, struct search_totals *totals)
{
    struct counting counting = {.walk = walk};
    uint8_t start[SEARCH_PREFIX_SIZE];
    uint8_t end[SEARCH_PREFIX_SIZE];
    const struct search_options *options = walk->options;
    size_t size =
        search_key_put_prefix(start, options->database_id, options->index_id, SEARCH_TAG_LENGTH);
    search_key_put_prefix(end, options->database_id, options->index_id, SEARCH_TAG_LENGTH + 1);
    enum polarys_code code =
        walk_range(walk, slice_make(start, size), slice_make(end, size), count_length, &counting);
    *totals = counting.totals;
    return code;
}

enum polarys_code search_totals_read(struct search_walk *walk, struct search_totals *totals)
{
    struct record_reading reading = {.walk = walk};
    uint8_t start[SEARCH_PREFIX_SIZE];
    uint8_t end[SEARCH_PREFIX_SIZE];
    const struct search_options *options = walk->options;
    size_t size =
        search_key_put_prefix(start, options->database_id, options->index_id, SEARCH_TAG_TOTALS);
    search_key_put_prefix(end, options->database_id, options->index_id, SEARCH_TAG_FREQUENCY);
    enum polarys_code code =
        walk_range(walk, slice_make(start, size), slice_make(end, size), read_totals, &reading);
    if (code != POLARYS_OK || !reading.is_found) {
        return code != POLARYS_OK ? code : totals_count(walk, totals);
    }
    *totals = reading.totals;
    return POLARYS_OK;
}

/* The key of a term's gathered frequency; room for SEARCH_PREFIX_SIZE + SEARCH_TERM_BYTES_MAX + 1. */
static size_t frequency_key_put(uint8_t *to, uint32_t database_id, uint32_t index_id,
                                struct polarys_slice term)
{
    size_t size = search_key_put_prefix(to, database_id, index_id, SEARCH_TAG_FREQUENCY);
    memcpy(to + size, term.data, term.size);
    return size + term.size;
}

enum polarys_code search_frequency_read(struct search_walk *walk, struct polarys_slice term,
                                        uint64_t *frequency)
{
    const struct search_options *options = walk->options;
    struct record_reading reading = {.walk = walk};
    struct counting counting = {.walk = walk};
    uint8_t start[SEARCH_PREFIX_SIZE + SEARCH_TERM_BYTES_MAX + 1];
    uint8_t end[sizeof(start)];
    /* The end is the next key there could be. */
    size_t size = frequency_key_put(start, options->database_id, options->index_id, term);
    memcpy(end, start, size);
    end[size] = 0;
    enum polarys_code code = walk_range(walk, slice_make(start, size), slice_make(end, size + 1),
                                        read_frequency, &reading);
    *frequency = reading.totals.document_count;
    if (code != POLARYS_OK || reading.is_found) {
        return code;
    }
    struct search_range range;
    search_range_of_term(options->database_id, options->index_id, term, &range);
    code = walk_range(walk, search_range_start(&range), search_range_end(&range), count_posting,
                      &counting);
    *frequency = counting.totals.document_count;
    return code;
}

/* ---- gathering ---- */

/* Statistics of an index under way: the records there are, and those that there should be, both in order. */
struct statistics {
    const struct search_gathering *gathering;
    struct search_walk *walk;
    struct search_totals totals;
    uint8_t term[SEARCH_TERM_BYTES_MAX]; /* whose postings come by */
    size_t term_size;
    uint64_t term_count;
    struct buffer wanted; /* sized term, varint frequency, in term order */
    struct cursor wanted_left;
    struct polarys_slice wanted_term;
    uint64_t wanted_count;
    bool has_wanted;
};

static enum polarys_code emit_failed(struct statistics *statistics, enum polarys_code code)
{
    return code == POLARYS_OK
               ? code
               : polarys_wrap(statistics->walk->err, code, "write statistics of a text index");
}

/* Keeps the frequency of the term whose postings have come by, when it is common. */
static enum polarys_code term_end(struct statistics *statistics)
{
    enum polarys_code code = POLARYS_OK;
    if (statistics->term_count >= SEARCH_FREQUENCY_MIN) {
        code = buffer_append_sized(&statistics->wanted,
                                   slice_make(statistics->term, statistics->term_size));
        code = code == POLARYS_OK
                   ? buffer_append_varint(&statistics->wanted, statistics->term_count)
                   : code;
    }
    statistics->term_count = 0;
    return code == POLARYS_OK ? code : search_walk_fail_memory(statistics->walk);
}

static enum polarys_code gather_posting(void *context, const struct entry *entry)
{
    struct statistics *statistics = context;
    struct polarys_slice term;
    struct polarys_slice id;
    if (!search_posting_key_split(entry->key, &term, &id) || term.size > SEARCH_TERM_BYTES_MAX) {
        return search_walk_fail_corrupt(statistics->walk);
    }
    if (!slice_equal(term, slice_make(statistics->term, statistics->term_size))) {
        enum polarys_code code = term_end(statistics);
        if (code != POLARYS_OK) {
            return code;
        }
        memcpy(statistics->term, term.data, term.size);
        statistics->term_size = term.size;
    }
    statistics->term_count++;
    return POLARYS_OK;
}

static void wanted_take(struct statistics *statistics)
{
    statistics->has_wanted =
        cursor_take_sized(&statistics->wanted_left, &statistics->wanted_term) &&
        cursor_take_varint(&statistics->wanted_left, &statistics->wanted_count);
}

static enum polarys_code wanted_emit(struct statistics *statistics)
{
    uint8_t key[SEARCH_PREFIX_SIZE + SEARCH_TERM_BYTES_MAX + 1];
    uint8_t value[VARINT64_SIZE_MAX];
    const struct search_gathering *gathering = statistics->gathering;
    size_t size = frequency_key_put(key, gathering->database_id, gathering->index_id,
                                    statistics->wanted_term);
    enum polarys_code code =
        gathering->emit(gathering->context, slice_make(key, size),
                        slice_make(value, put_varint(value, statistics->wanted_count)));
    wanted_take(statistics);
    return emit_failed(statistics, code);
}

/* A record that is there: those wanted before it are new, and it goes when it is not wanted itself. */
static enum polarys_code compare_record(void *context, const struct entry *entry)
{
    struct statistics *statistics = context;
    const struct search_gathering *gathering = statistics->gathering;
    struct polarys_slice term =
        slice_make(entry->key.data + SEARCH_PREFIX_SIZE, entry->key.size - SEARCH_PREFIX_SIZE);
    while (statistics->has_wanted && slice_compare(statistics->wanted_term, term) < 0) {
        enum polarys_code code = wanted_emit(statistics);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    if (!statistics->has_wanted || !slice_equal(statistics->wanted_term, term)) {
        return emit_failed(statistics,
                           gathering->emit(gathering->context, entry->key, slice_make(NULL, 0)));
    }
    struct cursor cursor = cursor_make(entry->value);
    uint64_t count;
    if (cursor_take_varint(&cursor, &count) && count == statistics->wanted_count) {
        wanted_take(statistics); /* it is as it should be */
        return POLARYS_OK;
    }
    return wanted_emit(statistics);
}

static enum polarys_code totals_emit(struct statistics *statistics)
{
    uint8_t key[SEARCH_PREFIX_SIZE];
    uint8_t value[2 * VARINT64_SIZE_MAX];
    const struct search_gathering *gathering = statistics->gathering;
    size_t size = put_varint(value, statistics->totals.document_count);
    size += put_varint(value + size, statistics->totals.word_count);
    search_key_put_prefix(key, gathering->database_id, gathering->index_id, SEARCH_TAG_TOTALS);
    return emit_failed(statistics, gathering->emit(gathering->context, slice_make(key, sizeof(key)),
                                                   slice_make(value, size)));
}

/* The entries of one tag. */
static enum polarys_code walk_tag(struct statistics *statistics, enum search_tag tag,
                                  enum polarys_code (*each)(void *context,
                                                            const struct entry *entry))
{
    const struct search_gathering *gathering = statistics->gathering;
    uint8_t start[SEARCH_PREFIX_SIZE];
    uint8_t end[SEARCH_PREFIX_SIZE];
    search_key_put_prefix(start, gathering->database_id, gathering->index_id, tag);
    search_key_put_prefix(end, gathering->database_id, gathering->index_id, tag);
    end[SEARCH_TAG_OFFSET]++;
    return walk_range(statistics->walk, slice_make(start, sizeof(start)),
                      slice_make(end, sizeof(end)), each, statistics);
}

enum polarys_code search_statistics_gather(const struct search_gathering *gathering,
                                           const struct search_view *view,
                                           struct polarys_error *err)
{
    struct search_options options = {.database_id = gathering->database_id,
                                     .index_id = gathering->index_id,
                                     .should_stop = gathering->should_stop,
                                     .context = gathering->context};
    struct search_walk walk = {.view = view, .options = &options, .err = err};
    struct statistics statistics = {.gathering = gathering, .walk = &walk};
    enum polarys_code code = totals_count(&walk, &statistics.totals);
    if (code == POLARYS_OK) {
        code = walk_tag(&statistics, SEARCH_TAG_POSTING, gather_posting);
    }
    if (code == POLARYS_OK) {
        code = term_end(&statistics);
    }
    if (code == POLARYS_OK) {
        code = totals_emit(&statistics);
    }
    statistics.wanted_left = cursor_make(buffer_slice(&statistics.wanted));
    wanted_take(&statistics);
    if (code == POLARYS_OK) {
        code = walk_tag(&statistics, SEARCH_TAG_FREQUENCY, compare_record);
    }
    while (code == POLARYS_OK && statistics.has_wanted) {
        code = wanted_emit(&statistics);
    }
    buffer_deinit(&statistics.wanted);
    return code;
}
