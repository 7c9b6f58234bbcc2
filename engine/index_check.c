/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares indexes with the documents of their table, at one version, in both directions: every entry that the
 * documents should have is looked for, and then every entry that there is has to be one of those.
 *
 * A document's entries have keys of their own, so as many entries as were found means that there is no other.
 * Only where there are more are they looked at one by one, to say where the first stray one is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/batch_internal.h"
#include "engine/index_internal.h"
#include "engine/search/search.h"

enum { CHECK_STOP_INTERVAL = 256, CHECK_LEASE_MS = SNAPSHOT_LEASE_MAX_MS };

struct check {
    struct polarys_db *db;
    const struct index_definition *index;
    uint64_t version;
    bool (*should_stop)(void *context);
    void *context;
    uint64_t step_count;
    struct index_entries entries;
    uint64_t found_count; /* entries that are there as they should be */
    uint64_t there_count; /* entries that are there */
    struct polarys_index_check_result *result;
};

static bool is_stopped(struct check *check)
{
    return ++check->step_count % CHECK_STOP_INTERVAL == 0 && check->should_stop != NULL &&
           check->should_stop(check->context);
}

static enum polarys_code fail_stopped(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_CANCELLED, "checking an index was stopped");
}

static void fault_note(struct check *check, const char *what, struct polarys_slice document_key)
{
    enum { SHOWN_MAX = 128 };
    char shown[SHOWN_MAX];
    if (check->result->first_fault[0] != '\0') {
        return;
    }
    batch_key_show(document_key, shown, sizeof(shown));
    (void)snprintf(check->result->first_fault, sizeof(check->result->first_fault),
                   "index \"%s\": %s document \"%s\"", check->index->name, what, shown);
}

/* Walks [start, end) as of the version; `each` is given every entry. */
static enum polarys_code walk(struct check *check, struct polarys_slice start,
                              struct polarys_slice end,
                              enum polarys_code (*each)(struct check *check,
                                                        const struct entry *entry,
                                                        struct polarys_error *err),
                              struct polarys_error *err)
{
    struct entry_iterator *iterator;
    enum polarys_code code =
        tree_iterator_create(check->db->tree, start, end, check->version,
                             TREE_READ_NO_FILL | TREE_READ_AHEAD, &iterator, err);
    if (code != POLARYS_OK) {
        return code;
    }
    entry_iterator_seek_first(iterator);
    while (iterator->is_valid && code == POLARYS_OK) {
        code = is_stopped(check) ? fail_stopped(err) : each(check, &iterator->entry, err);
        entry_iterator_next(iterator);
    }
    if (code == POLARYS_OK && iterator->code != POLARYS_OK) {
        code = iterator->code;
        if (err != NULL) {
            *err = iterator->error;
        }
    }
    entry_iterator_destroy(iterator);
    return code;
}

static struct polarys_slice user_key(struct polarys_slice tree_key)
{
    return slice_make(tree_key.data + TREE_KEY_PREFIX_SIZE, tree_key.size - TREE_KEY_PREFIX_SIZE);
}

/* ---- what should be there ---- */

static enum polarys_code document_check(struct check *check, const struct entry *document,
                                        struct polarys_error *err)
{
    struct polarys_slice key = user_key(document->key);
    enum polarys_code code =
        index_entries_make(check->index, key, document->value, &check->entries, err);
    check->result->document_count++;
    for (size_t i = 0; i < check->entries.count && code == POLARYS_OK; i++) {
        const struct index_entry *expected = &check->entries.list[i];
        struct tree_value value = {0};
        code = tree_get(check->db->tree, expected->key, check->version, TREE_READ_NO_FILL, &value,
                        err);
        bool is_there = code == POLARYS_OK && slice_equal(value.bytes, expected->value);
        check->found_count += is_there ? 1 : 0;
        if (!is_there && (code == POLARYS_OK || code == POLARYS_KEY_NOT_FOUND)) {
            check->result->missing_count++;
            fault_note(check, code == POLARYS_OK ? "a wrong entry for" : "no entry for", key);
            code = POLARYS_OK;
        }
        tree_value_release(&value);
    }
    return code;
}

/* ---- what is there ---- */

static bool is_statistics(const struct check *check, struct polarys_slice key)
{
    return check->index->kind == INDEX_TEXT && search_key_is_statistics(key);
}

static enum polarys_code entry_count(struct check *check, const struct entry *entry,
                                     struct polarys_error *err)
{
    (void)err;
    check->there_count += is_statistics(check, entry->key) ? 0 : 1;
    return POLARYS_OK;
}

static bool has_entry(const struct index_entries *entries, const struct entry *entry)
{
    for (size_t i = 0; i < entries->count; i++) {
        if (slice_equal(entries->list[i].key, entry->key)) {
            return slice_equal(entries->list[i].value, entry->value);
        }
    }
    return false;
}

/* Says which document an entry is of that should not be there. */
static enum polarys_code entry_check(struct check *check, const struct entry *entry,
                                     struct polarys_error *err)
{
    struct index_entry_view view;
    if (check->result->first_fault[0] != '\0') {
        return POLARYS_OK;
    }
    if (!index_entry_decode(check->index, entry->key, entry->value, &view)) {
        fault_note(check, "an entry that is not readable, of", user_key(entry->key));
        return POLARYS_OK;
    }
    uint8_t key[TREE_KEY_SIZE_MAX];
    tree_key_put_prefix(key, check->index->database_id, check->index->table_id);
    memcpy(key + TREE_KEY_PREFIX_SIZE, view.document_key.data, view.document_key.size);
    struct tree_value value = {0};
    enum polarys_code code =
        tree_get(check->db->tree, slice_make(key, TREE_KEY_PREFIX_SIZE + view.document_key.size),
                 check->version, TREE_READ_NO_FILL, &value, err);
    bool is_right = false;
    if (code == POLARYS_OK) {
        code =
            index_entries_make(check->index, view.document_key, value.bytes, &check->entries, err);
        is_right = code == POLARYS_OK && has_entry(&check->entries, entry);
    }
    tree_value_release(&value);
    if (code == POLARYS_OK || code == POLARYS_KEY_NOT_FOUND) {
        if (!is_right) {
            fault_note(check, "a stray entry of", view.document_key);
        }
        code = POLARYS_OK;
    }
    return code;
}

/* ---- one index ---- */

static enum polarys_code index_check(struct check *check, struct polarys_error *err)
{
    uint8_t start[TREE_KEY_PREFIX_SIZE];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    const struct index_definition *index = check->index;
    table_bounds(index->database_id, index->table_id, start, end);
    check->found_count = 0;
    check->there_count = 0;
    enum polarys_code code = walk(check, slice_make(start, sizeof(start)),
                                  slice_make(end, sizeof(end)), document_check, err);
    index_bounds(index->database_id, index->id, start, end);
    struct polarys_slice first = slice_make(start, sizeof(start));
    struct polarys_slice beyond = slice_make(end, sizeof(end));
    if (code == POLARYS_OK) {
        code = walk(check, first, beyond, entry_count, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    check->result->entry_count += check->there_count;
    POLARYS_ASSERT(check->there_count >= check->found_count);
    check->result->stray_count += check->there_count - check->found_count;
    if (check->there_count > check->found_count && index->kind != INDEX_TEXT) {
        code = walk(check, first, beyond, entry_check, err);
    }
    if (code == POLARYS_OK && check->there_count > check->found_count) {
        /* Of a text index an entry does not tell its document in words. */
        fault_note(check, "stray entries", slice_make(NULL, 0));
    }
    return code;
}

static enum polarys_code check_ready(const struct index_definition *index,
                                     struct polarys_error *err)
{
    if (index->state == INDEX_READY) {
        return POLARYS_OK;
    }
    enum polarys_code code =
        polarys_fail(err, POLARYS_INDEX_BUILDING, "index \"%s\" is %s", index->name,
                     index->state == INDEX_BUILDING ? "being built" : "not built");
    polarys_error_detail_set(err, "index", "%s", index->name);
    return code;
}

/* An index that was not READY at the version has not all its entries there: one that was named fails. */
static enum polarys_code index_check_if_ready(struct check *check, bool is_named,
                                              struct polarys_error *err)
{
    const struct index_definition *index = check->index;
    bool is_ready = false;
    enum polarys_code code =
        db_index_was_ready(check->db, index, check->version, 0, &is_ready, err);
    if (code == POLARYS_OK && is_ready) {
        return index_check(check, err);
    }
    if (code == POLARYS_OK && is_named) {
        code =
            polarys_fail(err, POLARYS_INDEX_BUILDING, "index \"%s\" was not ready at version %llu",
                         index->name, (unsigned long long)check->version);
        polarys_error_detail_set(err, "index", "%s", index->name);
    }
    return code;
}

/* NOLINTNEXTLINE(readability-function-size): the embedded API names each thing by itself */
enum polarys_code polarys_index_check(struct polarys_db *db, const char *database,
                                      const char *table, const char *index,
                                      bool (*should_stop)(void *context), void *context,
                                      struct polarys_index_check_result *check,
                                      struct polarys_error *err)
{
    struct check work = {.db = db, .should_stop = should_stop, .context = context, .result = check};
    struct db_indexes found = {0};
    uint64_t lease_id = 0;
    *check = (struct polarys_index_check_result){0};
    enum polarys_code code = polarys_snapshot_acquire(db, POLARYS_VERSION_NEWEST, CHECK_LEASE_MS,
                                                      &lease_id, &work.version, err);
    if (code == POLARYS_OK) {
        code = db_indexes_find(db, database, table, &found, err);
    }
    const struct index_definition *named = NULL;
    if (code == POLARYS_OK && index != NULL) {
        named = catalog_find_index(found.catalog, found.table_id, slice_from_text(index));
        code = named == NULL ? polarys_fail(err, POLARYS_INDEX_NOT_FOUND,
                                            "table \"%s\" has no index \"%.128s\"", table, index)
                             : check_ready(named, err);
    }
    for (size_t i = 0; i < found.count && code == POLARYS_OK; i++) {
        work.index = found.list[i];
        if (named == NULL ? work.index->state == INDEX_READY : work.index == named) {
            code = index_check_if_ready(&work, named != NULL, err);
        }
    }
    if (lease_id != 0) {
        snapshot_release(db->snapshots, lease_id);
    }
    index_entries_deinit(&work.entries);
    catalog_release(found.catalog);
    return code;
}
