/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of an archive, its state, and its pieces one by one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/archive_read.h"
#include "client/cli/parse.h"

enum { STATE_TEXT_MAX = 512, STATE_SUM_DIGITS = 64 };

/* ---- names ---- */

/* Room for one more; the array and its room as they are now. */
static void *array_grow(void *array, size_t count, size_t *room, size_t item_size)
{
    if (count < *room) {
        return array;
    }
    size_t more = *room == 0 ? 256 : *room * 2;
    void *grown = realloc(array, more * item_size);
    if (grown != NULL) {
        *room = more;
    }
    return grown;
}

static enum polarys_code entry_note(void *context, const char *name, uint64_t size,
                                    struct polarys_error *err)
{
    struct archive_index *index = context;
    struct archive_place place;
    if (!archive_name_read(name, &place)) {
        return polarys_fail(err, POLARYS_CORRUPT, "%s is no name of a piece", name);
    }
    void *grown = index->entry_count == ARCHIVE_ENTRIES_MAX
                      ? NULL
                      : array_grow(index->entries, index->entry_count, &index->entry_room,
                                   sizeof(*index->entries));
    if (grown == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for %zu pieces", index->entry_count);
    }
    index->entries = grown;
    index->entries[index->entry_count++] = place;
    index->stored_bytes += size;
    return POLARYS_OK;
}

static enum polarys_code keyring_note(void *context, const char *name, uint64_t size,
                                      struct polarys_error *err)
{
    struct archive_index *index = context;
    uint64_t generation;
    (void)size;
    if (!archive_keys_name_read(name, &generation)) {
        return polarys_fail(err, POLARYS_CORRUPT, "%s is no name of a keyring", name);
    }
    void *grown = index->keyring_count == ARCHIVE_KEYRINGS_MAX
                      ? NULL
                      : array_grow(index->keyrings, index->keyring_count, &index->keyring_room,
                                   sizeof(*index->keyrings));
    if (grown == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for %zu keyrings",
                            index->keyring_count);
    }
    index->keyrings = grown;
    struct archive_keyring *keyring = &index->keyrings[index->keyring_count++];
    keyring->generation = generation;
    (void)snprintf(keyring->name, sizeof(keyring->name), "%s", name);
    return POLARYS_OK;
}

enum polarys_code archive_index_load(struct objects *objects, uint64_t from_segment,
                                     struct archive_index *index, struct polarys_error *err)
{
    char after[ARCHIVE_NAME_MAX];
    const struct objects_visitor entries = {entry_note, index};
    const struct objects_visitor keyrings = {keyring_note, index};
    /* What comes behind every name of the segments before. */
    (void)snprintf(after, sizeof(after), ARCHIVE_LOG_PREFIX "%012" PRIu64, from_segment);
    enum polarys_code code = archive_state_load(objects, &index->state, err);
    if (code == POLARYS_OK) {
        code = objects_list(objects, ARCHIVE_LOG_PREFIX, from_segment == 0 ? NULL : after, &entries,
                            err);
    }
    if (code == POLARYS_OK) {
        code = objects_list(objects, ARCHIVE_KEYS_PREFIX, NULL, &keyrings, err);
    }
    return code;
}

void archive_index_deinit(struct archive_index *index)
{
    free(index->entries);
    free(index->keyrings);
    *index = (struct archive_index){.entries = NULL};
}

bool archive_index_has(const struct archive_index *index, const struct archive_place *place)
{
    for (size_t i = index->entry_count; i > 0; i--) {
        const struct archive_place *entry = &index->entries[i - 1];
        if (entry->segment_id == place->segment_id && entry->term == place->term &&
            entry->start == place->start && entry->end == place->end) {
            return true;
        }
    }
    return false;
}

size_t archive_group_end(const struct archive_index *index, size_t first)
{
    size_t end = first + 1;
    POLARYS_ASSERT(first < index->entry_count);
    while (end < index->entry_count &&
           index->entries[end].segment_id == index->entries[first].segment_id &&
           index->entries[end].term == index->entries[first].term) {
        end++;
    }
    return end;
}

/* ---- the state ---- */

/* `name value\n` at *text, which moves behind it. */
static bool line_take(const char **text, const char *name, uint64_t *number)
{
    char digits[24];
    size_t name_size = strlen(name);
    if (strncmp(*text, name, name_size) != 0 || (*text)[name_size] != ' ') {
        return false;
    }
    const char *value = *text + name_size + 1;
    size_t size = strcspn(value, "\n");
    if (value[size] != '\n' || size == 0 || size >= sizeof(digits)) {
        return false;
    }
    memcpy(digits, value, size);
    digits[size] = '\0';
    *text = value + size + 1;
    return parse_number(digits, number);
}

static void sum_of(const char *text, size_t size, char sum[DIGEST_TEXT_SIZE])
{
    uint8_t bytes[DIGEST_SIZE] = {0};
    struct digest digest = {0};
    digest_begin(&digest);
    digest_add(&digest, text, size);
    if (!digest_end(&digest, bytes)) {
        bytes[0] ^= 1; /* matches nothing: the state is only a hint */
    }
    digest_deinit(&digest);
    digest_text(sum, bytes, DIGEST_SIZE);
}

bool archive_state_read(const char *text, size_t size, struct archive_state *state)
{
    char copy[STATE_TEXT_MAX];
    char sum[DIGEST_TEXT_SIZE];
    uint64_t format = 0;
    const char *at = copy;
    *state = (struct archive_state){.is_there = false};
    if (size >= sizeof(copy) || memchr(text, '\0', size) != NULL) {
        return false;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    struct archive_state read = {.is_there = true};
    bool is_good =
        line_take(&at, "polarys-archive", &format) && format == ARCHIVE_FORMAT &&
        line_take(&at, "segment", &read.last.segment_id) &&
        line_take(&at, "term", &read.last.term) && line_take(&at, "start", &read.last.start) &&
        line_take(&at, "end", &read.last.end) && line_take(&at, "version", &read.version) &&
        line_take(&at, "complete", &read.complete_unix_ms);
    if (!is_good) {
        return false;
    }
    sum_of(copy, (size_t)(at - copy), sum);
    is_good = strncmp(at, "sum ", 4) == 0 && strlen(at) == 4 + STATE_SUM_DIGITS + 1 &&
              memcmp(at + 4, sum, STATE_SUM_DIGITS) == 0 && at[4 + STATE_SUM_DIGITS] == '\n';
    if (is_good) {
        *state = read;
    }
    return is_good;
}

enum polarys_code archive_state_load(struct objects *objects, struct archive_state *state,
                                     struct polarys_error *err)
{
    struct objects_bytes bytes = {0};
    *state = (struct archive_state){.is_there = false};
    enum polarys_code code =
        objects_get(objects, ARCHIVE_STATE_NAME, 0, STATE_TEXT_MAX, &bytes, err);
    if (code == POLARYS_OK) {
        (void)archive_state_read((const char *)bytes.bytes, bytes.size, state);
    } else if (code == POLARYS_FILE_NOT_FOUND) {
        polarys_error_clear(err);
        code = POLARYS_OK;
    }
    free(bytes.bytes);
    return code;
}

enum polarys_code archive_state_store(struct objects *objects, const struct archive_state *state,
                                      struct polarys_error *err)
{
    char text[STATE_TEXT_MAX];
    char sum[DIGEST_TEXT_SIZE];
    int size = snprintf(text, sizeof(text),
                        "polarys-archive %d\nsegment %" PRIu64 "\nterm %" PRIu64 "\nstart %" PRIu64
                        "\nend %" PRIu64 "\nversion %" PRIu64 "\ncomplete %" PRIu64 "\n",
                        ARCHIVE_FORMAT, state->last.segment_id, state->last.term, state->last.start,
                        state->last.end, state->version, state->complete_unix_ms);
    POLARYS_ASSERT(size > 0 && size + STATE_SUM_DIGITS + 6 < (int)sizeof(text));
    sum_of(text, (size_t)size, sum);
    size += snprintf(text + size, sizeof(text) - (size_t)size, "sum %s\n", sum);
    return objects_put(objects, ARCHIVE_STATE_NAME, slice_make(text, (size_t)size), err);
}

/* ---- pieces ---- */

void archive_reader_deinit(struct archive_reader *reader)
{
    free(reader->bytes.bytes);
    reader->bytes = (struct objects_bytes){.bytes = NULL};
}

/* A piece that is not what its name says was put there by somebody. */
static enum polarys_code place_check(const struct archive_place *place,
                                     const struct archive_piece *piece, struct polarys_error *err)
{
    const struct archive_place *found = &piece->head.place;
    return found->segment_id == place->segment_id && found->term == place->term &&
                   found->start == place->start && found->end == place->end
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_CORRUPT, "it is another piece by its head");
}

static enum polarys_code piece_get(struct archive_reader *reader, const char *name, size_t size_max,
                                   struct polarys_error *err)
{
    enum polarys_code code = objects_get(reader->objects, name, 0, size_max, &reader->bytes, err);
    if (code == POLARYS_FILE_NOT_FOUND) {
        code = polarys_fail(err, POLARYS_CORRUPT, "it is missing");
    }
    return code;
}

enum polarys_code archive_reader_piece(struct archive_reader *reader,
                                       const struct archive_place *place,
                                       struct archive_piece *piece, struct polarys_error *err)
{
    char name[ARCHIVE_NAME_MAX];
    archive_name_make(place, name);
    enum polarys_code code = piece_get(reader, name, ARCHIVE_PIECE_BYTES_MAX + 1, err);
    if (code == POLARYS_OK) {
        code = archive_piece_read(slice_make(reader->bytes.bytes, reader->bytes.size), piece, err);
    }
    if (code == POLARYS_OK) {
        code = place_check(place, piece, err);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "piece %s", name);
}

enum polarys_code archive_reader_head(struct archive_reader *reader,
                                      const struct archive_place *place,
                                      struct archive_piece *piece, struct polarys_error *err)
{
    char name[ARCHIVE_NAME_MAX];
    size_t wanted = ARCHIVE_HEAD_SIZE + (place->start == 0 ? POLARYS_LOG_SEGMENT_HEADER_SIZE : 0);
    archive_name_make(place, name);
    *piece = (struct archive_piece){.has_segment = place->start == 0};
    enum polarys_code code = piece_get(reader, name, wanted, err);
    if (code == POLARYS_OK && reader->bytes.size < wanted) {
        code = polarys_fail(err, POLARYS_CORRUPT, "it was shortened");
    }
    if (code == POLARYS_OK) {
        code = archive_head_read(slice_make(reader->bytes.bytes, ARCHIVE_HEAD_SIZE), &piece->head,
                                 err);
    }
    if (code == POLARYS_OK) {
        code = place_check(place, piece, err);
    }
    if (code == POLARYS_OK && place->start == 0) {
        code = polarys_log_segment_read(
            slice_make(reader->bytes.bytes + ARCHIVE_HEAD_SIZE, POLARYS_LOG_SEGMENT_HEADER_SIZE),
            &piece->segment, err);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "piece %s", name);
}
