/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk over the postings of one term.
 *
 * Invariant: every posting it stands on lies within the term's keys and has an id; its value is looked at
 * only when asked for, since most postings of a common term are passed by.
 *
 * A posting is about 30 bytes in a block of 16 KiB, so the next one that is wanted is often near: a few
 * steps are tried before a seek, which costs as much as some 16 of them.
 */
#include "engine/search/search_internal.h"

#include "engine/base/assert.h"

enum { POSTINGS_STEPS_MAX = 16 };

enum polarys_code search_walk_step(struct search_walk *walk)
{
    walk->step_count++;
    if (walk->step_count % SEARCH_STOP_INTERVAL == 0 && walk->options->should_stop != NULL &&
        walk->options->should_stop(walk->options->context)) {
        return polarys_fail(walk->err, POLARYS_CANCELLED, "the search was stopped");
    }
    return POLARYS_OK;
}

enum polarys_code search_walk_fail_corrupt(struct search_walk *walk)
{
    return polarys_fail(walk->err, POLARYS_CORRUPT, "an entry of text index %u has an unknown form",
                        walk->options->index_id);
}

enum polarys_code search_walk_fail_memory(struct search_walk *walk)
{
    return polarys_fail(walk->err, POLARYS_NO_MEMORY, "no memory for a search");
}

/* Takes over where the iterator stands. */
static enum polarys_code postings_note(struct search_postings *postings)
{
    const struct entry_iterator *iterator = postings->iterator;
    postings->is_valid = iterator->is_valid;
    if (!iterator->is_valid) {
        if (iterator->code != POLARYS_OK && postings->walk->err != NULL) {
            *postings->walk->err = iterator->error;
        }
        return iterator->code;
    }
    POLARYS_ASSERT(iterator->entry.key.size >= postings->range.start_size);
    postings->id = slice_make(iterator->entry.key.data + postings->range.start_size,
                              iterator->entry.key.size - postings->range.start_size);
    if (postings->id.size == 0 || postings->id.size > SEARCH_ID_SIZE_MAX) {
        return search_walk_fail_corrupt(postings->walk);
    }
    return search_walk_step(postings->walk);
}

enum polarys_code search_postings_init(struct search_postings *postings, struct search_walk *walk,
                                       struct polarys_slice term)
{
    postings->walk = walk;
    search_range_of_term(walk->options->database_id, walk->options->index_id, term,
                         &postings->range);
    enum polarys_code code =
        walk->view->iterate(walk->view->context, search_range_start(&postings->range),
                            search_range_end(&postings->range), &postings->iterator, walk->err);
    if (code != POLARYS_OK) {
        return code;
    }
    entry_iterator_seek_first(postings->iterator);
    return postings_note(postings);
}

void search_postings_deinit(struct search_postings *postings)
{
    entry_iterator_destroy(postings->iterator);
    postings->iterator = NULL;
    postings->is_valid = false;
}

enum polarys_code search_postings_next(struct search_postings *postings)
{
    POLARYS_ASSERT(postings->is_valid);
    entry_iterator_next(postings->iterator);
    return postings_note(postings);
}

enum polarys_code search_postings_seek(struct search_postings *postings, struct polarys_slice id)
{
    POLARYS_ASSERT(postings->is_valid);
    POLARYS_ASSERT(id.size > 0 && id.size <= SEARCH_ID_SIZE_MAX);
    for (unsigned i = 0; i < POSTINGS_STEPS_MAX; i++) {
        if (!postings->is_valid || slice_compare(postings->id, id) >= 0) {
            return POLARYS_OK;
        }
        enum polarys_code code = search_postings_next(postings);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    if (!postings->is_valid || slice_compare(postings->id, id) >= 0) {
        return POLARYS_OK;
    }
    uint8_t key[SEARCH_KEY_SIZE_MAX];
    memcpy(key, postings->range.start, postings->range.start_size);
    memcpy(key + postings->range.start_size, id.data, id.size);
    entry_iterator_seek(postings->iterator, slice_make(key, postings->range.start_size + id.size),
                        VERSION_MAX);
    return postings_note(postings);
}

enum polarys_code search_postings_read(const struct search_postings *postings,
                                       struct search_posting *posting)
{
    POLARYS_ASSERT(postings->is_valid);
    bool is_posting =
        search_posting_decode(postings->iterator->entry.value, posting) &&
        search_id_is_hashed(postings->id.size) == (posting->head.document_key.size > 0);
    return is_posting ? POLARYS_OK : search_walk_fail_corrupt(postings->walk);
}
