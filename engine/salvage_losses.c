/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What could not be read: kept while the damaged store is read, looked up for each document that comes back, and told
 * at the end in the names of tables.
 *
 * Invariant: a loss is never dropped; where there are too many, those of a file are joined, keys and versions with them.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "engine/salvage_internal.h"

static const char *const kind_names[] = {
    [POLARYS_SALVAGE_MANIFEST] = "manifest",
    [POLARYS_SALVAGE_TABLE_FILE] = "table_file",
    [POLARYS_SALVAGE_TABLE_BLOCKS] = "table_blocks",
    [POLARYS_SALVAGE_RANGE_DELETES] = "range_deletes",
    [POLARYS_SALVAGE_LOG_SEGMENT] = "log_segment",
    [POLARYS_SALVAGE_LOG_FRAMES] = "log_frames",
    [POLARYS_SALVAGE_CATALOG] = "catalog",
};

const char *polarys_salvage_kind_name(enum polarys_salvage_kind kind)
{
    POLARYS_ASSERT((size_t)kind < sizeof(kind_names) / sizeof(kind_names[0]));
    return kind_names[kind];
}

static enum polarys_code keys_copy(struct salvage_loss *loss, const struct polarys_slice *start,
                                   const struct polarys_slice *end)
{
    loss->start = (struct buffer){0};
    loss->end = (struct buffer){0};
    loss->end_exclusive = NULL;
    loss->has_keys = start != NULL;
    if (start == NULL) {
        return POLARYS_OK;
    }
    enum polarys_code code = buffer_append_slice(&loss->start, *start);
    if (code == POLARYS_OK) {
        code = buffer_append_slice(&loss->end, *end);
    }
    if (code != POLARYS_OK) {
        buffer_deinit(&loss->start);
        buffer_deinit(&loss->end);
    }
    return code;
}

/* Whether the loss goes on where the last one of the same file ended: neighbours are one place. */
static bool is_continued(const struct salvage_loss *last, const struct salvage_loss *loss,
                         const struct polarys_slice *start)
{
    return last->kind == loss->kind && strcmp(last->file, loss->file) == 0 && last->has_keys &&
           start != NULL && !last->is_harmless && loss->kind == POLARYS_SALVAGE_TABLE_BLOCKS &&
           slice_equal(buffer_slice(&last->end), *start);
}

static enum polarys_code loss_join(struct salvage_loss *last, const struct salvage_loss *loss,
                                   const struct polarys_slice *end)
{
    uint64_t end_offset = loss->offset + loss->bytes;
    if (loss->offset >= last->offset && end_offset > last->offset + last->bytes) {
        last->bytes = end_offset - last->offset;
    }
    last->first_version =
        loss->first_version < last->first_version ? loss->first_version : last->first_version;
    last->last_version =
        loss->last_version > last->last_version ? loss->last_version : last->last_version;
    if (end == NULL || !last->has_keys) {
        last->has_keys = false;
        return POLARYS_OK;
    }
    buffer_clear(&last->end);
    return buffer_append_slice(&last->end, *end);
}

enum polarys_code salvage_loss_note(struct salvage *salvage, const struct salvage_loss *loss,
                                    const struct polarys_slice *start,
                                    const struct polarys_slice *end)
{
    struct salvage_loss *last =
        salvage->loss_count == 0 ? NULL : &salvage->losses[salvage->loss_count - 1];
    POLARYS_ASSERT((start == NULL) == (end == NULL));
    if (last != NULL &&
        (is_continued(last, loss, start) || salvage->loss_count == POLARYS_SALVAGE_LOSSES_MAX)) {
        bool is_full =
            salvage->loss_count == POLARYS_SALVAGE_LOSSES_MAX && !is_continued(last, loss, start);
        /* The last one then stands for all that follow, whatever their keys. */
        return loss_join(last, loss, is_full ? NULL : end);
    }
    if ((salvage->loss_count & (salvage->loss_count - 1)) == 0) {
        size_t capacity = salvage->loss_count == 0 ? 1 : 2 * salvage->loss_count;
        struct salvage_loss *losses = realloc(salvage->losses, capacity * sizeof(*losses));
        if (losses == NULL) {
            return POLARYS_NO_MEMORY;
        }
        salvage->losses = losses;
    }
    POLARYS_ASSERT(salvage->losses != NULL);
    struct salvage_loss *kept = &salvage->losses[salvage->loss_count];
    *kept = *loss;
    enum polarys_code code = keys_copy(kept, start, end);
    salvage->loss_count += code == POLARYS_OK;
    return code;
}

/* ---- the cover ---- */

static enum polarys_code cover_add(struct salvage_loss *loss, struct range_delete *cover)
{
    size_t size = loss->end.size;
    free(loss->end_exclusive);
    loss->end_exclusive = malloc(size + 1);
    if (loss->end_exclusive == NULL) {
        return POLARYS_NO_MEMORY;
    }
    if (size > 0) {
        memcpy(loss->end_exclusive, loss->end.data, size);
    }
    loss->end_exclusive[size] = 0;
    *cover = (struct range_delete){.start = buffer_slice(&loss->start),
                                   .end = slice_make(loss->end_exclusive, size + 1),
                                   .version = loss->last_version};
    return POLARYS_OK;
}

enum polarys_code salvage_cover_make(struct salvage *salvage, struct polarys_error *err)
{
    size_t count = 0;
    enum polarys_code code = POLARYS_OK;
    range_delete_index_destroy(salvage->cover);
    free(salvage->cover_list);
    salvage->cover = NULL;
    salvage->lost_everywhere = 0;
    salvage->cover_list = calloc(salvage->loss_count + 1, sizeof(*salvage->cover_list));
    if (salvage->cover_list == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the losses");
    }
    for (size_t i = 0; i < salvage->loss_count && code == POLARYS_OK; i++) {
        struct salvage_loss *loss = &salvage->losses[i];
        if (loss->is_harmless) {
            continue;
        }
        if (loss->has_keys) {
            code = cover_add(loss, &salvage->cover_list[count++]);
        } else if (loss->last_version > salvage->lost_everywhere) {
            salvage->lost_everywhere = loss->last_version;
        }
    }
    if (code == POLARYS_OK && count > 0) {
        code = range_delete_index_create(salvage->cover_list, count, &salvage->cover);
    }
    salvage->is_cover_stale = false;
    return code == POLARYS_OK ? code : polarys_fail(err, code, "no memory for the losses");
}

uint64_t salvage_lost_version(const struct salvage *salvage, struct polarys_slice key)
{
    uint64_t version =
        salvage->cover == NULL ? 0 : range_delete_index_find(salvage->cover, key, UINT64_MAX);
    return version > salvage->lost_everywhere ? version : salvage->lost_everywhere;
}

/* Whether the loss may concern a key of [start, end). */
static bool loss_touches(const struct salvage_loss *loss, struct polarys_slice start,
                         struct polarys_slice end)
{
    return !loss->is_harmless &&
           (!loss->has_keys || (slice_compare(buffer_slice(&loss->start), end) < 0 &&
                                slice_compare(start, buffer_slice(&loss->end)) <= 0));
}

static bool loss_touches_id(const struct salvage_loss *loss, uint32_t database_id, uint32_t id)
{
    uint8_t start[TREE_KEY_PREFIX_SIZE];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    table_bounds(database_id, id, start, end);
    return loss_touches(loss, slice_make(start, sizeof(start)), slice_make(end, sizeof(end)));
}

bool salvage_catalog_is_lost(const struct salvage *salvage)
{
    for (size_t i = 0; i < salvage->loss_count; i++) {
        if (loss_touches_id(&salvage->losses[i], SYSTEM_DATABASE_ID, SYSTEM_TABLE_CATALOG)) {
            return true;
        }
    }
    return false;
}

/* ---- the report ---- */

static const char *database_name(const struct catalog *catalog, uint32_t database_id)
{
    for (size_t i = 0; i < catalog->database_count; i++) {
        if (catalog->databases[i].id == database_id) {
            return catalog->databases[i].name;
        }
    }
    return "";
}

static void report_one(struct salvage *salvage, const struct polarys_salvage_loss *row)
{
    if (row->is_harmless) {
        salvage->result->harmless_count++;
    } else {
        salvage->result->loss_count++;
    }
    if (salvage->options->loss != NULL) {
        salvage->options->loss(salvage->options->context, row);
    }
}

/* The part of a tree key behind the prefix of the table; empty when the key lies outside of it. */
static struct polarys_slice key_within(const struct buffer *key, const struct catalog_table *table)
{
    uint8_t prefix[TREE_KEY_PREFIX_SIZE];
    tree_key_put_prefix(prefix, table->database_id, table->id);
    if (!slice_starts_with(buffer_slice(key), slice_make(prefix, sizeof(prefix)))) {
        return slice_make(NULL, 0);
    }
    return slice_make(key->data + sizeof(prefix), key->size - sizeof(prefix));
}

/* A row for each table that the loss touches; false when it touches none. */
static bool report_tables(struct salvage *salvage, const struct salvage_loss *loss,
                          struct polarys_salvage_loss *row)
{
    const struct catalog *catalog = salvage->catalog;
    bool is_any = false;
    for (size_t i = 0; i < catalog->table_count; i++) {
        const struct catalog_table *table = &catalog->tables[i];
        if (!loss_touches_id(loss, table->database_id, table->id)) {
            continue;
        }
        row->database = database_name(catalog, table->database_id);
        row->table = table->name;
        row->start = key_within(&loss->start, table);
        row->end = key_within(&loss->end, table);
        report_one(salvage, row);
        is_any = true;
    }
    row->database = NULL;
    row->table = NULL;
    row->start = slice_make(NULL, 0);
    row->end = slice_make(NULL, 0);
    return is_any;
}

/* Whether all keys of the loss belong to an index that is built anew, or to what the store keeps for itself. */
static bool is_harmless(const struct salvage *salvage, const struct salvage_loss *loss)
{
    if (loss->start.size < TREE_KEY_PREFIX_SIZE || loss->end.size < TREE_KEY_PREFIX_SIZE) {
        return false;
    }
    uint32_t start_database = get_u32_be(loss->start.data);
    uint32_t end_database = get_u32_be(loss->end.data);
    if (start_database == SYSTEM_DATABASE_ID && end_database == SYSTEM_DATABASE_ID) {
        return get_u32_be(loss->start.data + 4) > SYSTEM_TABLE_CATALOG;
    }
    uint32_t start_id = get_u32_be(loss->start.data + 4);
    uint32_t end_id = get_u32_be(loss->end.data + 4);
    bool has_start = false;
    bool has_end = false;
    for (size_t i = 0; i < salvage->catalog->index_count; i++) {
        has_start |= salvage->catalog->indexes[i]->id == start_id;
        has_end |= salvage->catalog->indexes[i]->id == end_id;
    }
    return start_database == end_database && has_start && has_end;
}

static void loss_report(struct salvage *salvage, const struct salvage_loss *loss)
{
    struct polarys_salvage_loss row = {.kind = loss->kind,
                                       .is_harmless = loss->is_harmless,
                                       .file = loss->file,
                                       .offset = loss->offset,
                                       .bytes = loss->bytes,
                                       .cause = loss->cause,
                                       .first_version = loss->first_version,
                                       .last_version = loss->last_version};
    if (!loss->has_keys) {
        report_one(salvage, &row);
        return;
    }
    bool is_any = report_tables(salvage, loss, &row);
    if (loss_touches_id(loss, SYSTEM_DATABASE_ID, SYSTEM_TABLE_CATALOG)) {
        row.kind = POLARYS_SALVAGE_CATALOG;
        report_one(salvage, &row);
        is_any = true;
    }
    if (!is_any) {
        /* With the whole catalogue known, they are of tables and indexes that were dropped. */
        row.is_harmless = !salvage->is_catalog_doubtful || is_harmless(salvage, loss);
        report_one(salvage, &row);
    }
}

void salvage_losses_report(struct salvage *salvage)
{
    POLARYS_ASSERT(salvage->catalog != NULL);
    for (size_t i = 0; i < salvage->loss_count; i++) {
        loss_report(salvage, &salvage->losses[i]);
    }
}

void salvage_losses_deinit(struct salvage *salvage)
{
    range_delete_index_destroy(salvage->cover);
    free(salvage->cover_list);
    for (size_t i = 0; i < salvage->loss_count; i++) {
        buffer_deinit(&salvage->losses[i].start);
        buffer_deinit(&salvage->losses[i].end);
        free(salvage->losses[i].end_exclusive);
    }
    free(salvage->losses);
}
