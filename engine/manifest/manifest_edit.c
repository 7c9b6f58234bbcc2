/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encoding of edits and of whole states: fields of {tag, length, body} (docs/formats/manifest.md).
 *
 * Invariant: decoding trusts nothing, not even authenticated bytes: every count, level and key size is
 * checked against its limit, and a field that is not known refuses the whole record.
 */
#include "engine/manifest/manifest_internal.h"

#include <stdlib.h>

enum field_tag {
    FIELD_SNAPSHOT = 1,
    FIELD_ADDED = 2,
    FIELD_REMOVED = 3,
    FIELD_FLUSHED = 4,
    FIELD_HISTORY_START = 5,
    FIELD_ORIGIN = 6,
    FIELD_CLEAN = 7,
    FIELD_NEXT_FILE_ID = 8,
    FIELD_TIME = 9,
};

void manifest_edit_deinit(struct manifest_edit *edit)
{
    for (size_t i = 0; i < edit->added_count; i++) {
        table_meta_deinit(&edit->added[i].meta);
    }
    free(edit->added);
    free(edit->removed);
    memset(edit, 0, sizeof(*edit));
}

void manifest_record_deinit(struct manifest_record *record)
{
    manifest_edit_deinit(&record->edit);
    free(record->times);
    memset(record, 0, sizeof(*record));
}

/* ---- encoding ---- */

/* Appends one field whose body is `body`. */
static enum polarys_code append_field(struct buffer *bytes, enum field_tag tag,
                                      const struct buffer *body)
{
    enum polarys_code code = buffer_append_varint(bytes, (uint64_t)tag);
    if (code != POLARYS_OK) {
        return code;
    }
    return buffer_append_sized(bytes, buffer_slice(body));
}

/* Appends one field made of `count` varints. */
static enum polarys_code append_numbers(struct buffer *bytes, enum field_tag tag,
                                        const uint64_t *numbers, size_t count)
{
    struct buffer body = {0};
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < count && code == POLARYS_OK; i++) {
        code = buffer_append_varint(&body, numbers[i]);
    }
    if (code == POLARYS_OK) {
        code = append_field(bytes, tag, &body);
    }
    buffer_deinit(&body);
    return code;
}

static enum polarys_code append_added(struct buffer *bytes, uint32_t level,
                                      const struct table_meta *meta)
{
    const uint64_t numbers[] = {level,
                                meta->file_id,
                                meta->file_bytes,
                                meta->entry_count,
                                meta->delete_count,
                                meta->range_delete_count,
                                meta->oldest_version,
                                meta->newest_version,
                                meta->raw_bytes,
                                meta->key_id};
    struct buffer body = {0};
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && code == POLARYS_OK; i++) {
        code = buffer_append_varint(&body, numbers[i]);
    }
    if (code == POLARYS_OK) {
        code = buffer_append(&body, meta->footer_tag, AEAD_TAG_SIZE);
    }
    if (code == POLARYS_OK) {
        code = buffer_append_sized(&body, buffer_slice(&meta->smallest_key));
    }
    if (code == POLARYS_OK) {
        code = buffer_append_sized(&body, buffer_slice(&meta->largest_key));
    }
    if (code == POLARYS_OK) {
        code = append_field(bytes, FIELD_ADDED, &body);
    }
    buffer_deinit(&body);
    return code;
}

static enum polarys_code append_origin(struct buffer *bytes,
                                       const uint8_t history_id[HISTORY_ID_SIZE], uint64_t term,
                                       uint64_t first_version)
{
    struct buffer body = {0};
    enum polarys_code code = buffer_append(&body, history_id, HISTORY_ID_SIZE);
    if (code == POLARYS_OK) {
        code = buffer_append_varint(&body, term);
    }
    if (code == POLARYS_OK) {
        code = buffer_append_varint(&body, first_version);
    }
    if (code == POLARYS_OK) {
        code = append_field(bytes, FIELD_ORIGIN, &body);
    }
    buffer_deinit(&body);
    return code;
}

static enum polarys_code append_clean(struct buffer *bytes, const struct wal_position *position,
                                      uint64_t version)
{
    struct buffer body = {0};
    enum polarys_code code = buffer_append_varint(&body, position->segment_id);
    if (code == POLARYS_OK) {
        code = buffer_append_varint(&body, position->offset);
    }
    if (code == POLARYS_OK) {
        code = buffer_append(&body, position->tag, AEAD_TAG_SIZE);
    }
    if (code == POLARYS_OK) {
        code = buffer_append_varint(&body, version);
    }
    if (code == POLARYS_OK) {
        code = append_field(bytes, FIELD_CLEAN, &body);
    }
    buffer_deinit(&body);
    return code;
}

static enum polarys_code append_files(const struct manifest_edit *edit, struct buffer *bytes)
{
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < edit->removed_count && code == POLARYS_OK; i++) {
        const uint64_t numbers[] = {edit->removed[i].level, edit->removed[i].file_id};
        code = append_numbers(bytes, FIELD_REMOVED, numbers, 2);
    }
    for (size_t i = 0; i < edit->added_count && code == POLARYS_OK; i++) {
        code = append_added(bytes, edit->added[i].level, &edit->added[i].meta);
    }
    return code;
}

enum polarys_code manifest_edit_encode(const struct manifest_edit *edit, struct buffer *bytes)
{
    enum polarys_code code = append_files(edit, bytes);
    if (code == POLARYS_OK && edit->has_flushed_version) {
        const uint64_t numbers[] = {edit->flushed_version, edit->flushed_time.version,
                                    edit->flushed_time.time_unix_ms};
        code = append_numbers(bytes, FIELD_FLUSHED, numbers, 3);
    }
    if (code == POLARYS_OK && edit->has_history_start) {
        code = append_numbers(bytes, FIELD_HISTORY_START, &edit->history_start, 1);
    }
    if (code == POLARYS_OK && edit->has_origin) {
        code = append_origin(bytes, edit->history_id, edit->term, edit->first_version);
    }
    if (code == POLARYS_OK && edit->has_clean) {
        code = append_clean(bytes, &edit->clean_position, edit->clean_version);
    }
    return code;
}

static enum polarys_code append_times(const struct manifest_state *state, struct buffer *bytes)
{
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < state->time_count && code == POLARYS_OK; i++) {
        const uint64_t numbers[] = {state->times[i].version, state->times[i].time_unix_ms};
        code = append_numbers(bytes, FIELD_TIME, numbers, 2);
    }
    return code;
}

enum polarys_code manifest_state_encode(const struct manifest_state *state, bool with_clean,
                                        struct buffer *bytes)
{
    struct manifest_edit edit = {0};
    edit.has_flushed_version = true;
    edit.flushed_version = state->flushed_version;
    edit.has_history_start = true;
    edit.history_start = state->history_start;
    edit.has_origin = true;
    memcpy(edit.history_id, state->history_id, HISTORY_ID_SIZE);
    edit.term = state->term;
    edit.first_version = state->origin_version;
    edit.has_clean = with_clean && state->is_clean;
    edit.clean_position = state->clean_position;
    edit.clean_version = state->clean_version;

    enum polarys_code code = append_numbers(bytes, FIELD_SNAPSHOT, NULL, 0);
    for (uint32_t level = 0; level < MANIFEST_LEVELS; level++) {
        for (size_t i = 0; i < state->level_counts[level] && code == POLARYS_OK; i++) {
            code = append_added(bytes, level, &state->levels[level][i]);
        }
    }
    if (code == POLARYS_OK) {
        code = append_numbers(bytes, FIELD_NEXT_FILE_ID, &state->next_file_id, 1);
    }
    if (code == POLARYS_OK) {
        code = append_times(state, bytes);
    }
    return code == POLARYS_OK ? manifest_edit_encode(&edit, bytes) : code;
}

/* ---- decoding ---- */

static bool take_numbers(struct cursor *body, uint64_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!cursor_take_varint(body, &numbers[i])) {
            return false;
        }
    }
    return true;
}

/* Room for one element more in an array that doubles. False without memory. */
static bool grow(void **array, size_t count, size_t element_size)
{
    if (count != 0 && (count & (count - 1)) != 0) {
        return true;
    }
    void *bigger = realloc(*array, (count == 0 ? 1 : 2 * count) * element_size);
    if (bigger == NULL) {
        return false;
    }
    *array = bigger;
    return true;
}

static enum polarys_code copy_key(struct buffer *to, struct polarys_slice key)
{
    return buffer_append_slice(to, key);
}

/* Fills meta from the fields after the level. CORRUPT when they make no sense. */
static enum polarys_code decode_meta(struct cursor *body, struct table_meta *meta)
{
    uint64_t numbers[9];
    struct polarys_slice tag;
    struct polarys_slice smallest;
    struct polarys_slice largest;
    if (!take_numbers(body, numbers, 9) || !cursor_take_bytes(body, AEAD_TAG_SIZE, &tag) ||
        !cursor_take_sized(body, &smallest) || !cursor_take_sized(body, &largest) ||
        cursor_left(body) != 0) {
        return POLARYS_CORRUPT;
    }
    if (numbers[0] == 0 || numbers[8] > UINT32_MAX || smallest.size > TREE_KEY_SIZE_MAX ||
        largest.size > TREE_KEY_SIZE_MAX + 1 || slice_compare(smallest, largest) > 0 ||
        numbers[5] > numbers[6] || numbers[3] > numbers[2]) {
        return POLARYS_CORRUPT;
    }
    meta->file_id = numbers[0];
    meta->file_bytes = numbers[1];
    meta->entry_count = numbers[2];
    meta->delete_count = numbers[3];
    meta->range_delete_count = numbers[4];
    meta->oldest_version = numbers[5];
    meta->newest_version = numbers[6];
    meta->raw_bytes = numbers[7];
    meta->key_id = (uint32_t)numbers[8];
    memcpy(meta->footer_tag, tag.data, AEAD_TAG_SIZE);
    enum polarys_code code = copy_key(&meta->smallest_key, smallest);
    return code == POLARYS_OK ? copy_key(&meta->largest_key, largest) : code;
}

static enum polarys_code decode_added(struct cursor *body, struct manifest_edit *edit)
{
    uint64_t level;
    if (edit->added_count >= MANIFEST_EDIT_FILES_MAX || !cursor_take_varint(body, &level) ||
        level >= MANIFEST_LEVELS) {
        return POLARYS_CORRUPT;
    }
    if (!grow((void **)&edit->added, edit->added_count, sizeof(edit->added[0]))) {
        return POLARYS_NO_MEMORY;
    }
    struct manifest_added *added = &edit->added[edit->added_count++];
    memset(added, 0, sizeof(*added));
    added->level = (uint32_t)level;
    return decode_meta(body, &added->meta);
}

static enum polarys_code decode_removed(struct cursor *body, struct manifest_edit *edit)
{
    uint64_t numbers[2];
    if (edit->removed_count >= MANIFEST_EDIT_FILES_MAX || !take_numbers(body, numbers, 2) ||
        cursor_left(body) != 0 || numbers[0] >= MANIFEST_LEVELS) {
        return POLARYS_CORRUPT;
    }
    if (!grow((void **)&edit->removed, edit->removed_count, sizeof(edit->removed[0]))) {
        return POLARYS_NO_MEMORY;
    }
    struct manifest_removed *removed = &edit->removed[edit->removed_count++];
    removed->level = (uint32_t)numbers[0];
    removed->file_id = numbers[1];
    return POLARYS_OK;
}

static enum polarys_code decode_time(struct cursor *body, struct manifest_record *record)
{
    uint64_t numbers[2];
    if (record->time_count >= MANIFEST_TIMES_MAX || !take_numbers(body, numbers, 2) ||
        cursor_left(body) != 0) {
        return POLARYS_CORRUPT;
    }
    if (record->time_count > 0 && record->times[record->time_count - 1].version >= numbers[0]) {
        return POLARYS_CORRUPT;
    }
    if (!grow((void **)&record->times, record->time_count, sizeof(record->times[0]))) {
        return POLARYS_NO_MEMORY;
    }
    record->times[record->time_count].version = numbers[0];
    record->times[record->time_count].time_unix_ms = numbers[1];
    record->time_count++;
    return POLARYS_OK;
}

static enum polarys_code decode_origin(struct cursor *body, struct manifest_edit *edit)
{
    struct polarys_slice id;
    uint64_t numbers[2];
    if (!cursor_take_bytes(body, HISTORY_ID_SIZE, &id) || !take_numbers(body, numbers, 2) ||
        cursor_left(body) != 0) {
        return POLARYS_CORRUPT;
    }
    edit->has_origin = true;
    memcpy(edit->history_id, id.data, HISTORY_ID_SIZE);
    edit->term = numbers[0];
    edit->first_version = numbers[1];
    return POLARYS_OK;
}

static enum polarys_code decode_clean(struct cursor *body, struct manifest_edit *edit)
{
    uint64_t numbers[2];
    struct polarys_slice tag;
    if (!take_numbers(body, numbers, 2) || !cursor_take_bytes(body, AEAD_TAG_SIZE, &tag) ||
        !cursor_take_varint(body, &edit->clean_version) || cursor_left(body) != 0) {
        return POLARYS_CORRUPT;
    }
    edit->has_clean = true;
    edit->clean_position.segment_id = numbers[0];
    edit->clean_position.offset = numbers[1];
    memcpy(edit->clean_position.tag, tag.data, AEAD_TAG_SIZE);
    return POLARYS_OK;
}

/* A field that is `count` numbers and nothing else. */
static enum polarys_code decode_numbers(struct cursor *body, uint64_t *numbers, size_t count)
{
    return take_numbers(body, numbers, count) && cursor_left(body) == 0 ? POLARYS_OK
                                                                        : POLARYS_CORRUPT;
}

static enum polarys_code decode_field(uint64_t tag, struct cursor *body,
                                      struct manifest_record *record)
{
    struct manifest_edit *edit = &record->edit;
    uint64_t numbers[3] = {0};
    enum polarys_code code;
    switch (tag) {
    case FIELD_SNAPSHOT:
        record->is_snapshot = true;
        return decode_numbers(body, numbers, 0);
    case FIELD_ADDED:
        return decode_added(body, edit);
    case FIELD_REMOVED:
        return decode_removed(body, edit);
    case FIELD_FLUSHED:
        code = decode_numbers(body, numbers, 3);
        edit->has_flushed_version = true;
        edit->flushed_version = numbers[0];
        edit->flushed_time.version = numbers[1];
        edit->flushed_time.time_unix_ms = numbers[2];
        return code;
    case FIELD_HISTORY_START:
        edit->has_history_start = true;
        return decode_numbers(body, &edit->history_start, 1);
    case FIELD_ORIGIN:
        return decode_origin(body, edit);
    case FIELD_CLEAN:
        return decode_clean(body, edit);
    case FIELD_NEXT_FILE_ID:
        return decode_numbers(body, &record->next_file_id, 1);
    case FIELD_TIME:
        return decode_time(body, record);
    default:
        return POLARYS_UNSUPPORTED_FORMAT;
    }
}

enum polarys_code manifest_record_decode(struct polarys_slice bytes, struct manifest_record *record,
                                         struct polarys_error *err)
{
    struct cursor cursor = cursor_make(bytes);
    enum polarys_code code = POLARYS_OK;
    uint64_t tag = 0;
    memset(record, 0, sizeof(*record));
    while (cursor_left(&cursor) > 0 && code == POLARYS_OK) {
        struct polarys_slice body;
        if (!cursor_take_varint(&cursor, &tag) || !cursor_take_sized(&cursor, &body)) {
            code = POLARYS_CORRUPT;
        } else {
            struct cursor field = cursor_make(body);
            code = decode_field(tag, &field, record);
        }
    }
    if (code == POLARYS_OK) {
        return POLARYS_OK;
    }
    manifest_record_deinit(record);
    return polarys_fail(err, code,
                        "decode manifest record: field %llu of the record cannot be read",
                        (unsigned long long)tag);
}
