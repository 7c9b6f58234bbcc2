/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One ordered walk over everything that could be read.
 *
 * Files that do not overlap are walked one after another: they make a chain, and there are only as many chains as files
 * overlap anywhere, however many files there are.
 */
#include <stdlib.h>

#include "engine/base/merge_iterator.h"
#include "engine/salvage_internal.h"

struct chain {
    struct entry_iterator base;
    struct salvage_source **sources;
    size_t count;
    size_t at; /* of the source whose walk is open; count: none */
    struct entry_iterator *walk;
};

static struct chain *from_base(struct entry_iterator *base)
{
    return (struct chain *)base;
}

/* Opens the walk of the file at `at`, at its beginning; the base has the error of a failure. REQUIRES: none is open. */
static bool chain_open(struct chain *chain)
{
    struct salvage_source *source = chain->sources[chain->at];
    struct table_loss_visitor visitor = {.loss = salvage_source_loss, .context = source};
    struct entry_iterator *walk;
    chain->base.code =
        table_salvage_iterator_create(source->table, &visitor, &walk, &chain->base.error);
    if (chain->base.code != POLARYS_OK) {
        return false;
    }
    entry_iterator_seek_first(walk);
    chain->walk = walk;
    return true;
}

/* Takes over where the open walk stands, going on to the next file at its end. */
static void chain_settle(struct chain *chain)
{
    while (chain->walk != NULL && !chain->walk->is_valid && chain->walk->code == POLARYS_OK) {
        entry_iterator_destroy(chain->walk);
        chain->walk = NULL;
        chain->at++;
        if (chain->at == chain->count) {
            break;
        }
        if (!chain_open(chain)) {
            break;
        }
    }
    chain->base.is_valid = chain->walk != NULL && chain->walk->is_valid;
    if (chain->base.is_valid) {
        chain->base.entry = chain->walk->entry;
    } else if (chain->walk != NULL) {
        chain->base.code = chain->walk->code;
        chain->base.error = chain->walk->error;
    }
}

static void chain_seek_first(struct entry_iterator *base)
{
    struct chain *chain = from_base(base);
    entry_iterator_destroy(chain->walk);
    chain->walk = NULL;
    chain->at = 0;
    base->is_valid = false;
    if (chain_open(chain)) {
        chain_settle(chain);
    }
}

static void chain_next(struct entry_iterator *base)
{
    struct chain *chain = from_base(base);
    POLARYS_ASSERT(chain->walk != NULL);
    entry_iterator_next(chain->walk);
    chain_settle(chain);
}

static void chain_seek(struct entry_iterator *base, struct polarys_slice key, uint64_t version)
{
    chain_seek_first(base);
    while (base->is_valid &&
           entry_compare(base->entry.key, base->entry.version, key, version) < 0) {
        chain_next(base);
    }
}

static void chain_backward(struct entry_iterator *base)
{
    base->is_valid = false;
    base->code = polarys_fail(&base->error, POLARYS_BUG, "a salvage walk goes forward only");
}

static void chain_destroy(struct entry_iterator *base)
{
    struct chain *chain = from_base(base);
    entry_iterator_destroy(chain->walk);
    free(chain->sources);
    free(chain);
}

static const struct entry_iterator_vtable chain_vtable = {
    .seek = chain_seek,
    .seek_first = chain_seek_first,
    .seek_last = chain_backward,
    .next = chain_next,
    .previous = chain_backward,
    .destroy = chain_destroy,
};

static struct chain *chain_create(size_t capacity)
{
    struct chain *chain = calloc(1, sizeof(*chain));
    struct salvage_source **sources = calloc(capacity, sizeof(struct salvage_source *));
    if (chain == NULL || sources == NULL) {
        free(chain);
        free(sources);
        return NULL;
    }
    chain->base.vtable = &chain_vtable;
    chain->sources = sources;
    return chain;
}

/* Files whose keys are unknown stand last. */
static int source_compare(const void *a, const void *b)
{
    const struct salvage_source *left = *(struct salvage_source *const *)a;
    const struct salvage_source *right = *(struct salvage_source *const *)b;
    if (left->has_keys != right->has_keys) {
        return left->has_keys ? -1 : 1;
    }
    return slice_compare(buffer_slice(&table_salvage_meta(left->table)->smallest_key),
                         buffer_slice(&table_salvage_meta(right->table)->smallest_key));
}

/* Whether all of `source` comes behind the last file of the chain. */
static bool chain_takes(const struct chain *chain, const struct salvage_source *source)
{
    const struct salvage_source *last = chain->sources[chain->count - 1];
    return last->has_keys && source->has_keys &&
           slice_compare(buffer_slice(&table_salvage_meta(last->table)->largest_key),
                         buffer_slice(&table_salvage_meta(source->table)->smallest_key)) < 0;
}

/* Puts the sorted files into chains. *count is set on failure too. */
static enum polarys_code chains_make(struct salvage_source **sorted, size_t source_count,
                                     struct entry_iterator **chains, size_t *count,
                                     struct polarys_error *err)
{
    *count = 0;
    for (size_t i = 0; i < source_count; i++) {
        size_t at = 0;
        while (at < *count && !chain_takes(from_base(chains[at]), sorted[i])) {
            at++;
        }
        if (at == MERGE_ITERATOR_CHILDREN_MAX) {
            return polarys_fail(err, POLARYS_TOO_LARGE,
                                "more than %d table files overlap in one place",
                                MERGE_ITERATOR_CHILDREN_MAX);
        }
        if (at == *count) {
            struct chain *chain = chain_create(source_count);
            if (chain == NULL) {
                return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to merge table files");
            }
            chains[(*count)++] = &chain->base;
        }
        struct chain *chain = from_base(chains[at]);
        chain->sources[chain->count++] = sorted[i];
    }
    return POLARYS_OK;
}

enum polarys_code salvage_merge_create(struct salvage *salvage, struct entry_iterator **out,
                                       struct polarys_error *err)
{
    size_t source_count = salvage->source_count;
    size_t count = 0;
    *out = NULL;
    struct salvage_source **sorted = calloc(source_count + 1, sizeof(struct salvage_source *));
    struct entry_iterator **chains =
        calloc(MERGE_ITERATOR_CHILDREN_MAX, sizeof(struct entry_iterator *));
    enum polarys_code code = POLARYS_OK;
    if (sorted == NULL || chains == NULL) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory to merge table files");
        goto done;
    }
    for (size_t i = 0; i < source_count; i++) {
        sorted[i] = &salvage->sources[i];
    }
    qsort(sorted, source_count, sizeof(struct salvage_source *), source_compare);
    code = chains_make(sorted, source_count, chains, &count, err);
    if (code == POLARYS_OK) {
        code = merge_iterator_create(chains, count, out, err); /* takes the chains */
        count = 0;
    }

done:
    for (size_t i = 0; i < count; i++) {
        entry_iterator_destroy(chains[i]);
    }
    free(sorted);
    free(chains);
    return code;
}

bool salvage_merge_next(struct salvage *salvage, struct entry_iterator *merge, struct buffer *key,
                        enum polarys_code *code, struct polarys_error *err)
{
    *code = POLARYS_OK;
    while (merge->is_valid) {
        const struct entry *entry = &merge->entry;
        bool is_older = key->size > 0 && slice_equal(buffer_slice(key), entry->key);
        if (!is_older) {
            buffer_clear(key);
            *code = buffer_append_slice(key, entry->key);
            if (*code != POLARYS_OK) {
                (void)polarys_fail(err, *code, "no memory for a key");
                return false;
            }
            uint64_t deleted =
                salvage->range_index == NULL
                    ? 0
                    : range_delete_index_find(salvage->range_index, entry->key, VERSION_MAX);
            if (entry->kind == ENTRY_PUT && entry->version >= deleted &&
                entry->key.size >= TREE_KEY_PREFIX_SIZE) {
                return true;
            }
        }
        entry_iterator_next(merge);
    }
    if (merge->code != POLARYS_OK) {
        bool is_scratch = merge->error.message[0] == '\0' && salvage->scratch_cause[0] != '\0';
        *code = is_scratch
                    ? polarys_fail(err, merge->code, "a scratch file: %s", salvage->scratch_cause)
                    : polarys_fail(err, merge->code, "%s", merge->error.message);
    }
    return false;
}
