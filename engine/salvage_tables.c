/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table files of a damaged store: which there are, what of each can be read, and which tables and indexes they hold.
 *
 * Invariant: after salvage_tables_read every block that cannot be read is among the losses, before anything that it
 * might have hidden is looked at.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/document/document.h"
#include "engine/salvage_internal.h"

/* ---- range deletes ---- */

enum polarys_code salvage_range_add(struct salvage *salvage,
                                    const struct range_delete *range_delete)
{
    if (salvage->range_count == salvage->range_capacity) {
        size_t capacity = salvage->range_capacity == 0 ? 64 : 2 * salvage->range_capacity;
        struct range_delete *ranges = realloc(salvage->ranges, capacity * sizeof(*ranges));
        if (ranges == NULL) {
            return POLARYS_NO_MEMORY;
        }
        salvage->ranges = ranges;
        salvage->range_capacity = capacity;
    }
    struct polarys_slice start = range_delete->start;
    struct polarys_slice end = range_delete->end;
    uint8_t *bytes = malloc(start.size + end.size + 1);
    if (bytes == NULL) {
        return POLARYS_NO_MEMORY;
    }
    memcpy(bytes, start.data, start.size);
    memcpy(bytes + start.size, end.data, end.size);
    salvage->ranges[salvage->range_count++] =
        (struct range_delete){.start = slice_make(bytes, start.size),
                              .end = slice_make(bytes + start.size, end.size),
                              .version = range_delete->version};
    if (range_delete->version > salvage->newest_version) {
        salvage->newest_version = range_delete->version;
    }
    return POLARYS_OK;
}

struct range_copy {
    struct salvage *salvage;
    enum polarys_code code;
};

static bool range_copy_each(void *context, const struct range_delete *range_delete)
{
    struct range_copy *copy = context;
    copy->code = salvage_range_add(copy->salvage, range_delete);
    return copy->code == POLARYS_OK;
}

/* ---- ids ---- */

/* The place of an id in the list, or where it belongs. */
static size_t id_place(const struct salvage_ids *ids, uint32_t database_id, uint32_t id,
                       bool *is_there)
{
    size_t low = 0;
    size_t high = ids->count;
    uint64_t wanted = (uint64_t)database_id << 32 | id;
    *is_there = false;
    POLARYS_ASSERT(ids->count == 0 || ids->list != NULL);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct salvage_id *at = &ids->list[middle];
        uint64_t found = (uint64_t)at->database_id << 32 | at->id;
        if (found < wanted) {
            low = middle + 1;
        } else {
            high = middle;
        }
        *is_there |= found == wanted;
    }
    return low;
}

const struct salvage_id *salvage_id_find(struct salvage *salvage, uint32_t database_id, uint32_t id)
{
    bool is_there;
    size_t place = id_place(&salvage->ids, database_id, id, &is_there);
    return is_there ? &salvage->ids.list[place] : NULL;
}

/* The record of an id, made if need be. NULL: no memory, or more ids than a store can have. */
static struct salvage_id *id_get(struct salvage_ids *ids, uint32_t database_id, uint32_t id)
{
    struct salvage_id *last = ids->last < ids->count ? &ids->list[ids->last] : NULL;
    if (last != NULL && last->database_id == database_id && last->id == id) {
        return last;
    }
    bool is_there;
    ids->last = id_place(ids, database_id, id, &is_there);
    if (is_there) {
        return &ids->list[ids->last];
    }
    if (ids->count == SALVAGE_IDS_MAX) {
        return NULL;
    }
    if (ids->count == ids->capacity) {
        size_t capacity = ids->capacity == 0 ? 64 : 2 * ids->capacity;
        struct salvage_id *list = realloc(ids->list, capacity * sizeof(*list));
        if (list == NULL) {
            return NULL;
        }
        ids->list = list;
        ids->capacity = capacity;
    }
    memmove(&ids->list[ids->last + 1], &ids->list[ids->last],
            (ids->count - ids->last) * sizeof(*ids->list));
    ids->count++;
    ids->list[ids->last] = (struct salvage_id){.database_id = database_id, .id = id};
    return &ids->list[ids->last];
}

static enum polarys_code entry_note(struct salvage *salvage, const struct entry *entry)
{
    struct stored_value value;
    if (entry->version > salvage->newest_version) {
        salvage->newest_version = entry->version;
    }
    if (entry->kind != ENTRY_PUT || entry->key.size < TREE_KEY_PREFIX_SIZE) {
        return POLARYS_OK;
    }
    struct salvage_id *id =
        id_get(&salvage->ids, get_u32_be(entry->key.data), get_u32_be(entry->key.data + 4));
    if (id == NULL) {
        return POLARYS_NO_MEMORY;
    }
    id->put_count++;
    id->strange_count += !stored_value_decode(entry->value, &value);
    return POLARYS_OK;
}

/* ---- one file ---- */

/* Whether an earlier walk has noted it, or more. NULL: the keys of what is lost are unknown. */
static bool is_noted(const struct salvage_source *source, const struct polarys_slice *start,
                     const struct polarys_slice *end)
{
    for (size_t i = source->loss_first; i < source->loss_end; i++) {
        const struct salvage_loss *noted = &source->salvage->losses[i];
        if (noted->kind == POLARYS_SALVAGE_TABLE_BLOCKS &&
            (!noted->has_keys ||
             (start != NULL && slice_compare(buffer_slice(&noted->start), *start) <= 0 &&
              slice_compare(*end, buffer_slice(&noted->end)) <= 0))) {
            return true;
        }
    }
    return false;
}

enum polarys_code salvage_source_loss(void *context, const struct table_loss *loss)
{
    struct salvage_source *source = context;
    struct salvage *salvage = source->salvage;
    bool has_keys = source->has_keys && loss->end.size > 0;
    const struct polarys_slice *start = has_keys ? &loss->start : NULL;
    const struct polarys_slice *end = has_keys ? &loss->end : NULL;
    POLARYS_ASSERT(!loss->is_range_deletes); /* these are read when a file is opened */
    if (source->is_scratch) {
        return salvage_scratch_loss(salvage, loss);
    }
    if (is_noted(source, start, end)) {
        return POLARYS_OK;
    }
    const struct table_meta *meta = table_salvage_meta(source->table);
    struct salvage_loss noted = {.kind = POLARYS_SALVAGE_TABLE_BLOCKS,
                                 .offset = loss->offset,
                                 .bytes = loss->bytes,
                                 .first_version = meta->oldest_version,
                                 .last_version = meta->newest_version == 0 ? VERSION_MAX
                                                                           : meta->newest_version};
    table_file_name(noted.file, meta->file_id);
    (void)snprintf(noted.cause, sizeof(noted.cause), "%.255s", loss->cause);
    salvage->is_cover_stale = true;
    return salvage_loss_note(salvage, &noted, start, end);
}

/* A file that cannot be read at all. */
static enum polarys_code file_lost(struct salvage *salvage, uint64_t file_id,
                                   const struct table_meta *meta, const char *cause)
{
    struct salvage_loss loss = {.kind = POLARYS_SALVAGE_TABLE_FILE,
                                .first_version = meta == NULL ? 1 : meta->oldest_version,
                                .last_version = meta == NULL ? VERSION_MAX : meta->newest_version};
    table_file_name(loss.file, file_id);
    (void)snprintf(loss.cause, sizeof(loss.cause), "%.255s", cause);
    struct polarys_slice start =
        meta == NULL ? slice_make(NULL, 0) : buffer_slice(&meta->smallest_key);
    struct polarys_slice end =
        meta == NULL ? slice_make(NULL, 0) : buffer_slice(&meta->largest_key);
    return salvage_loss_note(salvage, &loss, meta == NULL ? NULL : &start,
                             meta == NULL ? NULL : &end);
}

enum polarys_code salvage_source_add(struct salvage *salvage, struct table *take_table,
                                     bool is_scratch, struct polarys_error *err)
{
    const struct table_meta *meta = table_salvage_meta(take_table);
    struct range_copy copy = {.salvage = salvage};
    size_t count = salvage->source_count;
    POLARYS_ASSERT(count < SALVAGE_SOURCES_MAX);
    if ((count & (count - 1)) == 0) {
        struct salvage_source *sources =
            realloc(salvage->sources, (count == 0 ? 1 : 2 * count) * sizeof(*sources));
        if (sources == NULL) {
            table_close(take_table);
            return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for another table file");
        }
        salvage->sources = sources;
    }
    salvage->sources[salvage->source_count++] = (struct salvage_source){
        .salvage = salvage,
        .table = take_table,
        .is_scratch = is_scratch,
        .has_keys = meta->largest_key.size > 0,
        .loss_first = salvage->loss_count,
        .loss_end = salvage->loss_count,
    };
    table_range_deletes_each(take_table, range_copy_each, &copy);
    return copy.code == POLARYS_OK ? POLARYS_OK
                                   : polarys_fail(err, copy.code, "no memory for range deletes");
}

/* Losses that opening finds, before there is a source. */
struct opening {
    struct salvage *salvage;
    uint64_t file_id;
    const struct table_meta *meta;
};

static enum polarys_code opening_loss(void *context, const struct table_loss *loss)
{
    const struct opening *opening = context;
    const struct table_meta *meta = opening->meta;
    struct salvage_loss noted = {.kind = loss->is_range_deletes ? POLARYS_SALVAGE_RANGE_DELETES
                                                                : POLARYS_SALVAGE_TABLE_BLOCKS,
                                 .offset = loss->offset,
                                 .bytes = loss->bytes,
                                 .first_version = meta == NULL ? 1 : meta->oldest_version,
                                 .last_version = meta == NULL ? VERSION_MAX : meta->newest_version};
    table_file_name(noted.file, opening->file_id);
    (void)snprintf(noted.cause, sizeof(noted.cause), "%.255s", loss->cause);
    bool has_keys = loss->end.size > 0;
    return salvage_loss_note(opening->salvage, &noted, has_keys ? &loss->start : NULL,
                             has_keys ? &loss->end : NULL);
}

enum polarys_code salvage_source_read(struct salvage *salvage, size_t index,
                                      struct polarys_error *err)
{
    POLARYS_ASSERT(index < salvage->source_count);
    struct entry_iterator *walk;
    struct salvage_source *source = &salvage->sources[index];
    struct table_loss_visitor visitor = {.loss = salvage_source_loss, .context = source};
    enum polarys_code code = table_salvage_iterator_create(source->table, &visitor, &walk, err);
    if (code != POLARYS_OK) {
        return code;
    }
    entry_iterator_seek_first(walk);
    while (walk->is_valid && code == POLARYS_OK) {
        code = entry_note(salvage, &walk->entry);
        entry_iterator_next(walk);
    }
    source->loss_end = salvage->loss_count;
    code = code == POLARYS_OK ? walk->code : code;
    entry_iterator_destroy(walk);
    if (code == POLARYS_IO) {
        return polarys_fail(err, code, "a scratch file: %s", salvage->scratch_cause);
    }
    return code == POLARYS_OK ? code : polarys_fail(err, code, "no memory to read a table file");
}

static enum polarys_code file_read(struct salvage *salvage, uint64_t file_id,
                                   const struct table_meta *meta, struct polarys_error *err)
{
    struct polarys_error cause = POLARYS_ERROR_INIT;
    struct opening opening = {.salvage = salvage, .file_id = file_id, .meta = meta};
    struct table_loss_visitor visitor = {.loss = opening_loss, .context = &opening};
    struct table *table;
    enum polarys_code code =
        table_salvage_open(&salvage->env, file_id, meta, &visitor, &table, &cause);
    if (table_is_damage(code) || code == POLARYS_UNSUPPORTED_FORMAT) {
        code = file_lost(salvage, file_id, meta, cause.message);
        return code == POLARYS_OK ? code : polarys_fail(err, code, "no memory for a loss");
    }
    if (code != POLARYS_OK) {
        return polarys_fail(err, code, "%s", cause.message);
    }
    salvage->result->table_file_count++;
    code = salvage_source_add(salvage, table, false, err);
    return code == POLARYS_OK ? salvage_source_read(salvage, salvage->source_count - 1, err) : code;
}

/* ---- all files ---- */

struct file_list {
    uint64_t *ids;
    size_t count;
    bool has_no_memory;
};

static void file_note(void *context, const char *name)
{
    struct file_list *list = context;
    uint64_t id;
    if (!table_file_name_parse(name, &id) || list->count == SALVAGE_SOURCES_MAX) {
        return;
    }
    if ((list->count & (list->count - 1)) == 0) {
        uint64_t *ids = realloc(list->ids, (list->count == 0 ? 1 : 2 * list->count) * sizeof(*ids));
        if (ids == NULL) {
            list->has_no_memory = true;
            return;
        }
        list->ids = ids;
    }
    list->ids[list->count++] = id;
}

static bool state_names(const struct manifest_state *state, uint64_t file_id)
{
    for (size_t level = 0; state != NULL && level < MANIFEST_LEVELS; level++) {
        for (size_t i = 0; i < state->level_counts[level]; i++) {
            if (state->levels[level][i].file_id == file_id) {
                return true;
            }
        }
    }
    return false;
}

/* Files that no manifest names, each at its own word. */
static enum polarys_code unnamed_read(struct salvage *salvage, const struct manifest_state *state,
                                      struct polarys_error *err)
{
    struct file_list list = {0};
    enum polarys_code code = vfs_list_dir(salvage->vfs, salvage->dir, file_note, &list, err);
    if (code == POLARYS_OK && list.has_no_memory) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the names of files");
    }
    for (size_t i = 0; i < list.count && code == POLARYS_OK; i++) {
        if (!state_names(state, list.ids[i])) {
            code = file_read(salvage, list.ids[i], NULL, err);
        }
    }
    free(list.ids);
    return code;
}

static enum polarys_code named_read(struct salvage *salvage, const struct manifest_state *state,
                                    struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    for (size_t level = 0; level < MANIFEST_LEVELS && code == POLARYS_OK; level++) {
        for (size_t i = 0; i < state->level_counts[level] && code == POLARYS_OK; i++) {
            const struct table_meta *meta = &state->levels[level][i];
            code = file_read(salvage, meta->file_id, meta, err);
        }
    }
    return code;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* What the manifest says about the log and the versions in it. */
static void state_take(struct salvage *salvage, const struct manifest_state *state)
{
    uint64_t known = larger(state->flushed_version, state->is_clean ? state->clean_version : 0);
    uint64_t origin = state->origin_version;
    uint64_t left_out = origin > known + 1 ? origin - 1 - known : 0;
    if (left_out == DB_VERSION_JUMP ||
        (left_out % DB_VERSION_JUMP_PROMOTION == 0 &&
         left_out / DB_VERSION_JUMP_PROMOTION <= DB_TERMS_JUMPED_MAX)) {
        known += left_out; /* when the store was opened, or promoted */
    }
    salvage->has_manifest = true;
    salvage->needed_from = known;
    salvage->term = larger(salvage->term, state->term);
    salvage->newest_version = larger(salvage->newest_version, state->flushed_version);
    if (state->time_count > 0) {
        salvage->time_max_ms = state->times[state->time_count - 1].time_unix_ms;
    }
    salvage->log_segment_named = state->is_clean ? state->clean_position.segment_id : 0;
    salvage->origin_version = state->origin_version;
    salvage->is_clean = state->is_clean;
}

/* The manifest was found without CURRENT: a store has one manifest but for moments, so nothing is in doubt. */
static enum polarys_code current_lost(struct salvage *salvage)
{
    struct salvage_loss loss = {.kind = POLARYS_SALVAGE_MANIFEST,
                                .is_harmless = true,
                                .file = "CURRENT",
                                .cause =
                                    "it names no manifest; the newest manifest file was taken"};
    return salvage_loss_note(salvage, &loss, NULL, NULL);
}

static enum polarys_code manifest_lost(struct salvage *salvage, const char *file, const char *cause)
{
    struct salvage_loss loss = {
        .kind = POLARYS_SALVAGE_MANIFEST, .first_version = 1, .last_version = UINT64_MAX};
    (void)snprintf(loss.file, sizeof(loss.file), "%s", file);
    (void)snprintf(loss.cause, sizeof(loss.cause), "%.255s", cause);
    salvage->takes_unnamed = true;
    return salvage_loss_note(salvage, &loss, NULL, NULL);
}

enum polarys_code salvage_tables_read(struct salvage *salvage, struct polarys_error *err)
{
    struct polarys_error cause = POLARYS_ERROR_INIT;
    struct manifest_options options = {.vfs = salvage->vfs,
                                       .dir = salvage->dir,
                                       .keyring = salvage->keyring,
                                       .random = random_system()};
    struct manifest_salvage found;
    struct manifest *manifest = NULL;
    const struct manifest_state *state = NULL;
    enum polarys_code code = manifest_open_salvage(&options, &manifest, &found, &cause);
    if (code == POLARYS_NO_MEMORY) {
        return polarys_fail(err, code, "%s", cause.message);
    }
    if (code != POLARYS_OK) {
        const char *file = polarys_error_detail_find(&cause, "file");
        code = manifest_lost(salvage, file == NULL ? "CURRENT" : file, cause.message);
    } else {
        state = manifest_state_get(manifest);
        state_take(salvage, state);
        code = found.is_torn
                   ? manifest_lost(salvage, "MANIFEST", "its last record is damaged or torn")
               : !found.has_current ? current_lost(salvage)
                                    : POLARYS_OK;
        if (code == POLARYS_OK) {
            code = named_read(salvage, state, err);
        }
    }
    if (code == POLARYS_OK && salvage->takes_unnamed) {
        code = unnamed_read(salvage, state, err);
    }
    manifest_close(manifest);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "read table files");
}

void salvage_sources_deinit(struct salvage *salvage)
{
    for (size_t i = 0; i < salvage->source_count; i++) {
        table_close(salvage->sources[i].table);
    }
    free(salvage->sources);
    for (size_t i = 0; i < salvage->range_count; i++) {
        free((void *)(uintptr_t)salvage->ranges[i].start.data);
    }
    free(salvage->ranges);
    range_delete_index_destroy(salvage->range_index);
    free(salvage->ids.list);
}
