/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows by way of an index, in the order of its entries.
 *
 * Invariant: a document comes once, at the first of its entries that the scan meets. Which that is follows
 * from the document alone, so nothing has to be remembered, and a cursor finds its place again.
 */
#include <stdlib.h>

#include "engine/query_internal.h"

struct index_source {
    struct query_source base; /* first */
    struct polarys_query *query;
    struct plan_scan *scan;
    bool is_reverse;
    size_t range; /* being read, or to be opened next; range_count: none (counting down too) */
    struct entry_iterator *iterator;
    bool is_at_entry;
    struct index_entries entries; /* of a document */
    struct buffer resume; /* tree key of the entry to go on behind; empty: from the beginning */
};

enum polarys_code query_range_open(struct polarys_query *query, struct polarys_slice start,
                                   struct polarys_slice end, bool is_reverse,
                                   struct entry_iterator **out, struct polarys_error *err)
{
    enum polarys_code code =
        tree_iterator_create(query->db->tree, start, end, query->snapshot,
                             db_tree_flags(query->flags) | TREE_READ_AHEAD, out, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (is_reverse) {
        entry_iterator_seek_last(*out);
    } else {
        entry_iterator_seek_first(*out);
    }
    return POLARYS_OK;
}

/* True when the key lies in one of the ranges. */
static bool is_in_ranges(const struct plan_scan *scan, struct polarys_slice key)
{
    size_t low = 0;
    size_t high = scan->range_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(buffer_slice(&scan->ranges[middle].end), key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < scan->range_count &&
           slice_compare(buffer_slice(&scan->ranges[low].start), key) <= 0;
}

/* The entry at which the scan gives the document. *key is empty when it has none. Borrowed until the next
 * call. */
static enum polarys_code first_entry(struct index_source *source, const struct query_row *row,
                                     struct polarys_slice *key, struct polarys_error *err)
{
    enum polarys_code code = index_entries_make(source->scan->index->definition, row->key,
                                                row->stored, &source->entries, err);
    *key = slice_make(NULL, 0);
    for (size_t i = 0; code == POLARYS_OK && i < source->entries.count; i++) {
        size_t at = source->is_reverse ? source->entries.count - 1 - i : i;
        if (is_in_ranges(source->scan, source->entries.list[at].key)) {
            *key = source->entries.list[at].key;
            return POLARYS_OK;
        }
    }
    return code;
}

/* Opens the current range, what was given before cut off. *is_open false when nothing is left of it. */
static enum polarys_code range_enter(struct index_source *source, bool *is_open,
                                     struct polarys_error *err)
{
    static const uint8_t zero[1] = {0};
    POLARYS_ASSERT(source->iterator == NULL && source->range < source->scan->range_count);
    const struct index_range *range = &source->scan->ranges[source->range];
    struct polarys_slice start = buffer_slice(&range->start);
    struct polarys_slice end = buffer_slice(&range->end);
    struct polarys_slice resume = buffer_slice(&source->resume);
    struct buffer behind = {0};
    enum polarys_code code = POLARYS_OK;
    if (resume.size > 0 && source->is_reverse) {
        end = slice_compare(resume, end) < 0 ? resume : end;
    } else if (resume.size > 0 && slice_compare(resume, start) >= 0) {
        code = buffer_append_slice(&behind, resume);
        code = code == POLARYS_OK ? buffer_append(&behind, zero, 1) : code;
        start = buffer_slice(&behind);
    }
    *is_open = code == POLARYS_OK && slice_compare(start, end) < 0;
    if (code != POLARYS_OK) {
        polarys_fail(err, code, "no memory for a query");
    } else if (*is_open) {
        code =
            query_range_open(source->query, start, end, source->is_reverse, &source->iterator, err);
    }
    buffer_deinit(&behind);
    return code;
}

static void range_leave(struct index_source *source)
{
    entry_iterator_destroy(source->iterator);
    source->iterator = NULL;
    source->is_at_entry = false;
    /* Counting down ends at SIZE_MAX, which is past every count. */
    source->range += source->is_reverse ? (size_t)-1 : 1;
}

/* On to the next entry of any range. */
static enum polarys_code entry_step(struct index_source *source, bool *has_entry,
                                    struct polarys_error *err)
{
    *has_entry = false;
    while (source->range < source->scan->range_count) {
        bool is_open = true;
        if (source->iterator == NULL) {
            enum polarys_code code = range_enter(source, &is_open, err);
            if (code != POLARYS_OK) {
                return code;
            }
        } else if (source->is_at_entry && source->is_reverse) {
            entry_iterator_previous(source->iterator);
        } else if (source->is_at_entry) {
            entry_iterator_next(source->iterator);
        }
        source->is_at_entry = is_open && source->iterator->is_valid;
        if (source->is_at_entry) {
            *has_entry = true;
            return POLARYS_OK;
        }
        if (is_open && source->iterator->code != POLARYS_OK) {
            if (err != NULL) {
                *err = source->iterator->error;
            }
            return source->iterator->code;
        }
        range_leave(source);
    }
    return POLARYS_OK;
}

static enum polarys_code fail_stray(const struct index_source *source, struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_CORRUPT,
                        "index \"%s\" has an entry of a document that is not there",
                        source->scan->index->definition->name);
}

static enum polarys_code index_next(struct query_source *base, struct query_row *row, bool *has_row,
                                    struct polarys_error *err)
{
    struct index_source *source = (struct index_source *)base;
    for (;;) {
        enum polarys_code code = entry_step(source, has_row, err);
        if (code != POLARYS_OK || !*has_row) {
            return code;
        }
        *has_row = false;
        source->scan->read++;
        const struct entry *entry = &source->iterator->entry;
        struct index_entry_view view;
        if (!index_entry_decode(source->scan->index->definition, entry->key, entry->value, &view)) {
            return polarys_fail(err, POLARYS_CORRUPT, "an entry of index \"%s\" makes no sense",
                                source->scan->index->definition->name);
        }
        code = query_fetch(source->query, view.document_key, row, err);
        if (code != POLARYS_OK) {
            return code == POLARYS_KEY_NOT_FOUND ? fail_stray(source, err) : code;
        }
        struct polarys_slice first = entry->key;
        if (source->scan->index->has_several && !source->scan->is_point) {
            code = first_entry(source, row, &first, err);
        }
        *has_row = code == POLARYS_OK && slice_equal(first, entry->key);
        if (code != POLARYS_OK || *has_row) {
            return code;
        }
        code = query_stop_ask(source->query, err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
}

static void index_destroy(struct query_source *base)
{
    struct index_source *source = (struct index_source *)base;
    entry_iterator_destroy(source->iterator);
    index_entries_deinit(&source->entries);
    buffer_deinit(&source->resume);
    free(source);
}

/* Goes on behind the entry at which the document was given. */
static enum polarys_code index_resume(struct index_source *source, struct polarys_slice after,
                                      struct polarys_error *err)
{
    struct query_row row;
    struct polarys_slice first = slice_make(NULL, 0);
    enum polarys_code code = query_fetch(source->query, after, &row, err);
    if (code == POLARYS_OK) {
        code = first_entry(source, &row, &first, err);
    }
    if (code == POLARYS_KEY_NOT_FOUND || (code == POLARYS_OK && first.size == 0)) {
        return polarys_fail(err, POLARYS_BAD_PAGE_TOKEN,
                            "the cursor names a document that the query does not give");
    }
    if (code == POLARYS_OK && buffer_append_slice(&source->resume, first) != POLARYS_OK) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a query");
    }
    return code;
}

enum polarys_code query_index_source_open(struct polarys_query *query, struct polarys_slice after,
                                          struct query_source **out, struct polarys_error *err)
{
    static const struct query_source_vtable vtable = {index_next, index_destroy};
    *out = NULL;
    struct index_source *source = calloc(1, sizeof(*source));
    if (source == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a query");
    }
    source->base.vtable = &vtable;
    source->query = query;
    source->scan = query->plan.scan;
    source->is_reverse = query->plan.is_reverse;
    source->range = source->is_reverse ? source->scan->range_count - 1 : 0;
    if (after.size > 0) {
        enum polarys_code code = index_resume(source, after, err);
        if (code != POLARYS_OK) {
            index_destroy(&source->base);
            return code;
        }
    }
    *out = &source->base;
    return POLARYS_OK;
}
