/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storing the log: see archive_writer.h. The order of effects is keyring, segment, frames, and only then whoever asks is told;
 * the state comes after all of them, for it is a hint, but before a rewind, after which it would mislead.
 */
#include "client/cli/archive_writer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"

enum { STATE_PIECES = 256 }; /* stored between two states at most */

/* ---- opening ---- */

/* The newest piece: of the highest term, and of that the one that ends last. */
static const struct archive_place *newest_find(const struct archive_index *index)
{
    const struct archive_place *newest = NULL;
    for (size_t i = 0; i < index->entry_count; i++) {
        const struct archive_place *place = &index->entries[i];
        if (newest == NULL || place->term > newest->term ||
            (place->term == newest->term &&
             (place->segment_id > newest->segment_id ||
              (place->segment_id == newest->segment_id && place->end > newest->end)))) {
            newest = place;
        }
    }
    return newest;
}

/* The next piece follows this one, at its end. */
static void next_set(struct archive_writer *writer, const struct archive_head *head,
                     const uint8_t digest[DIGEST_SIZE])
{
    writer->next = *head;
    writer->next.place.start = head->place.end;
    memcpy(writer->next.tag_before, head->tag_after, POLARYS_LOG_TAG_SIZE);
    memcpy(writer->next.previous, digest, DIGEST_SIZE);
    writer->has_run = true;
    writer->has_store = true;
    writer->state.last = head->place;
    writer->state.version = head->last_version;
    writer->state.is_there = true;
}

static enum polarys_code newest_take(struct archive_writer *writer,
                                     const struct archive_place *newest, struct polarys_error *err)
{
    struct archive_reader reader = {.objects = writer->objects};
    struct archive_piece piece;
    enum polarys_code code = archive_reader_piece(&reader, newest, &piece, err);
    if (code == POLARYS_OK) {
        next_set(writer, &piece.head, piece.digest);
        writer->highest_term = newest->term;
    }
    archive_reader_deinit(&reader);
    return code;
}

static enum polarys_code keyring_open(struct archive_writer *writer,
                                      const struct archive_index *index, struct polarys_error *err)
{
    struct polarys_keyring_summary summary;
    if (index->keyring_count == 0) {
        return POLARYS_OK;
    }
    const char *name = index->keyrings[index->keyring_count - 1].name;
    enum polarys_code code =
        objects_get(writer->objects, name, 0, OBJECTS_GET_BYTES_MAX, &writer->keyring, err);
    if (code == POLARYS_OK) {
        code = polarys_keyring_read(slice_make(writer->keyring.bytes, writer->keyring.size),
                                    &summary, err);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "keyring %s", name);
}

enum polarys_code archive_writer_open(struct archive_writer *writer, struct objects *objects,
                                      struct polarys_error *err)
{
    struct archive_index index = {.entries = NULL};
    writer->objects = objects;
    enum polarys_code code = archive_state_load(objects, &writer->state, err);
    if (code == POLARYS_OK) {
        code = archive_index_load(objects, writer->state.last.segment_id, &index, err);
    }
    if (code == POLARYS_OK && index.entry_count == 0 && writer->state.last.segment_id != 0) {
        code = polarys_fail(err, POLARYS_CORRUPT,
                            "the archive says that it holds segment %" PRIu64
                            ", and no piece of it is there",
                            writer->state.last.segment_id);
    }
    const struct archive_place *newest = code == POLARYS_OK ? newest_find(&index) : NULL;
    if (newest != NULL) {
        code = newest_take(writer, newest, err);
    }
    if (code == POLARYS_OK) {
        code = keyring_open(writer, &index, err);
    }
    archive_index_deinit(&index);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "open the archive");
}

void archive_writer_deinit(struct archive_writer *writer)
{
    free(writer->builder.bytes.bytes);
    free(writer->keyring.bytes);
    *writer = (struct archive_writer){.objects = NULL};
}

/* ---- places ---- */

static void position_fill(const struct archive_place *place, uint64_t offset, const uint8_t *tag,
                          uint64_t version, struct polarys_log_position *position)
{
    *position = (struct polarys_log_position){
        .segment_id = place->segment_id, .offset = offset, .version = version};
    memcpy(position->tag, tag, POLARYS_LOG_TAG_SIZE);
}

void archive_writer_durable(const struct archive_writer *writer,
                            struct polarys_log_position *position)
{
    POLARYS_ASSERT(writer->has_run);
    position_fill(&writer->next.place, writer->next.place.start, writer->next.tag_before,
                  writer->next.last_version, position);
}

void archive_writer_taken(const struct archive_writer *writer,
                          struct polarys_log_position *position)
{
    const struct archive_head *head = &writer->builder.head;
    if (!writer->builder.has_log) {
        archive_writer_durable(writer, position);
        return;
    }
    position_fill(&head->place, head->place.end, head->tag_after, head->last_version, position);
}

static void log_forget(struct archive_writer *writer)
{
    writer->builder.has_log = false;
    writer->is_sealed = false;
}

static enum polarys_code store_check(const struct archive_writer *writer,
                                     const uint8_t store_id[POLARYS_ID_SIZE],
                                     struct polarys_error *err)
{
    return !writer->has_store || memcmp(writer->next.store_id, store_id, POLARYS_ID_SIZE) == 0
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_WRONG_STORE, "the archive is another store's");
}

enum polarys_code archive_writer_run_begin(struct archive_writer *writer,
                                           const struct archive_run *run, struct polarys_error *err)
{
    enum polarys_code code = store_check(writer, run->store_id, err);
    if (code != POLARYS_OK) {
        return code;
    }
    log_forget(writer);
    writer->next = (struct archive_head){.place = {.segment_id = run->at.segment_id,
                                                   .term = run->at.segment_id == 0 ? 0 : run->term,
                                                   .start = run->at.offset},
                                         .last_version = run->at.version};
    memcpy(writer->next.store_id, run->store_id, POLARYS_ID_SIZE);
    memcpy(writer->next.history_id, run->history_id, POLARYS_ID_SIZE);
    memcpy(writer->next.tag_before, run->at.tag, POLARYS_LOG_TAG_SIZE);
    writer->has_run = true;
    writer->has_store = true;
    writer->highest_term = writer->next.place.term > writer->highest_term ? writer->next.place.term
                                                                          : writer->highest_term;
    return POLARYS_OK;
}

/* Where in the piece the last frame ends at or before the offset. */
static enum polarys_code piece_cut(const struct archive_piece *piece, uint64_t offset,
                                   struct archive_head *head, struct polarys_error *err)
{
    struct polarys_slice left = piece->log;
    struct polarys_log_frame frame;
    enum polarys_code code = POLARYS_OK;
    *head = piece->head;
    head->place.end = head->place.start;
    memcpy(head->tag_after, head->tag_before, POLARYS_LOG_TAG_SIZE);
    head->last_version =
        piece->head.first_version == 0 ? piece->head.last_version : piece->head.first_version - 1;
    if (piece->has_segment) {
        head->place.end = POLARYS_LOG_SEGMENT_HEADER_SIZE;
        memcpy(head->tag_after, piece->segment.tag, POLARYS_LOG_TAG_SIZE);
        left = slice_make(left.data + POLARYS_LOG_SEGMENT_HEADER_SIZE,
                          left.size - POLARYS_LOG_SEGMENT_HEADER_SIZE);
    }
    while (left.size > 0) {
        code = polarys_log_frame_read(left, head->place.segment_id, &frame, err);
        if (code != POLARYS_OK || head->place.end + frame.stored_size > offset) {
            break;
        }
        head->place.end += frame.stored_size;
        head->last_version = frame.first_version + frame.commit_count - 1;
        memcpy(head->tag_after, frame.tag, POLARYS_LOG_TAG_SIZE);
        left = slice_make(left.data + frame.size, left.size - frame.size);
    }
    return code;
}

/* The last piece that begins before the place in the archive, of the highest term there; NULL: none. */
static const struct archive_place *rewind_find(const struct archive_index *index,
                                               uint64_t segment_id, uint64_t offset)
{
    const struct archive_place *found = NULL;
    for (size_t i = 0; i < index->entry_count; i++) {
        const struct archive_place *place = &index->entries[i];
        bool is_before = place->segment_id < segment_id ||
                         (place->segment_id == segment_id && place->start < offset &&
                          offset >= POLARYS_LOG_SEGMENT_HEADER_SIZE);
        if (is_before && (found == NULL || place->term >= found->term)) {
            found = place;
        }
    }
    return found;
}

enum polarys_code archive_writer_rewind(struct archive_writer *writer, uint64_t segment_id,
                                        uint64_t offset, struct polarys_error *err)
{
    struct archive_index index = {.entries = NULL};
    struct archive_reader reader = {.objects = writer->objects};
    struct archive_piece piece;
    struct archive_head head;
    log_forget(writer);
    enum polarys_code code = archive_index_load(writer->objects, 0, &index, err);
    const struct archive_place *place =
        code == POLARYS_OK ? rewind_find(&index, segment_id, offset) : NULL;
    if (code == POLARYS_OK && place == NULL) {
        code =
            polarys_fail(err, POLARYS_HISTORY_DIVERGED,
                         "the archive holds nothing before offset %" PRIu64 " of segment %" PRIu64,
                         offset, segment_id);
    }
    if (code == POLARYS_OK) {
        code = archive_reader_piece(&reader, place, &piece, err);
    }
    if (code == POLARYS_OK) {
        code = piece_cut(&piece, place->segment_id == segment_id ? offset : UINT64_MAX, &head, err);
    }
    if (code == POLARYS_OK) {
        next_set(writer, &head, piece.digest);
        writer->state.last = *place;
        writer->state.complete_unix_ms = 0; /* of the log that was cut off */
        code = archive_writer_state(writer, 0, err);
    }
    archive_reader_deinit(&reader);
    archive_index_deinit(&index);
    return code;
}

/* ---- keyrings ---- */

bool archive_writer_has_key(const struct archive_writer *writer, uint32_t key_id)
{
    return writer->keyring.size > 0 &&
           polarys_keyring_has(slice_make(writer->keyring.bytes, writer->keyring.size), key_id);
}

enum polarys_code archive_writer_keyring(struct archive_writer *writer, struct polarys_slice bytes,
                                         struct polarys_error *err)
{
    struct polarys_keyring_summary summary;
    char name[ARCHIVE_NAME_MAX];
    if (slice_equal(bytes, slice_make(writer->keyring.bytes, writer->keyring.size))) {
        return POLARYS_OK;
    }
    enum polarys_code code = polarys_keyring_read(bytes, &summary, err);
    if (code == POLARYS_OK) {
        code = store_check(writer, summary.store_id, err);
    }
    if (code == POLARYS_OK && !archive_keys_name_make(bytes, summary.generation, name)) {
        code = polarys_fail(err, POLARYS_BUG, "SHA-256 failed");
    }
    if (code == POLARYS_OK) {
        code = objects_put(writer->objects, name, bytes, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    writer->keyring.size = 0;
    if (!objects_bytes_reserve(&writer->keyring, bytes.size)) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a keyring");
    }
    memcpy(writer->keyring.bytes, bytes.data, bytes.size);
    writer->keyring.size = bytes.size;
    return POLARYS_OK;
}

/* ---- log ---- */

static enum polarys_code segment_check(const struct archive_writer *writer,
                                       const struct polarys_log_segment *segment,
                                       struct polarys_error *err)
{
    struct polarys_log_position at;
    archive_writer_durable(writer, &at);
    enum polarys_code code = store_check(writer, segment->store_id, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (segment->term < writer->highest_term) {
        return polarys_fail(err, POLARYS_NOT_PRIMARY,
                            "segment %" PRIu64 " is of term %" PRIu64
                            " and the archive has seen %" PRIu64 ": another primary has taken over",
                            segment->segment_id, segment->term, writer->highest_term);
    }
    const struct polarys_log_position *named = &segment->predecessor;
    if (segment->segment_id <= at.segment_id || named->segment_id != at.segment_id ||
        named->offset != at.offset || memcmp(named->tag, at.tag, POLARYS_LOG_TAG_SIZE) != 0) {
        return polarys_fail(err, POLARYS_HISTORY_DIVERGED,
                            "segment %" PRIu64 " does not follow where the archive ends",
                            segment->segment_id);
    }
    return archive_writer_has_key(writer, segment->key_id)
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_FOLLOWER_LACKS_KEY,
                              "data key %" PRIu32 " of segment %" PRIu64 " is not in the keyring",
                              segment->key_id, segment->segment_id);
}

enum polarys_code archive_writer_segment(struct archive_writer *writer, struct polarys_slice block,
                                         struct polarys_error *err)
{
    struct polarys_log_segment segment;
    POLARYS_ASSERT(writer->has_run && !writer->builder.has_log);
    enum polarys_code code = polarys_log_segment_read(block, &segment, err);
    if (code == POLARYS_OK) {
        code = segment_check(writer, &segment, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    struct archive_head head = {
        .place = {.segment_id = segment.segment_id, .term = segment.term},
        .key_id = segment.key_id,
        .last_version = writer->next.last_version,
    };
    memcpy(head.store_id, segment.store_id, POLARYS_ID_SIZE);
    memcpy(head.history_id, segment.history_id, POLARYS_ID_SIZE);
    memcpy(head.previous, writer->next.previous, DIGEST_SIZE);
    code = archive_builder_begin(&writer->builder, &head, err);
    if (code == POLARYS_OK) {
        code = archive_builder_segment(&writer->builder, &segment, block, err);
    }
    if (code == POLARYS_OK) {
        writer->highest_term = segment.term;
    }
    return code;
}

enum polarys_code archive_writer_frame(struct archive_writer *writer, struct polarys_slice bytes,
                                       struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    POLARYS_ASSERT(writer->has_run && !writer->is_sealed);
    if (!writer->builder.has_log) {
        if (writer->next.place.segment_id == 0) {
            return polarys_fail(err, POLARYS_HISTORY_DIVERGED, "a frame before any segment");
        }
        code = archive_builder_begin(&writer->builder, &writer->next, err);
    }
    return code == POLARYS_OK ? archive_builder_frame(&writer->builder, bytes, err) : code;
}

bool archive_writer_has_log(const struct archive_writer *writer)
{
    return writer->builder.has_log;
}

bool archive_writer_is_full(const struct archive_writer *writer)
{
    return writer->builder.has_log && writer->builder.bytes.size >= ARCHIVE_PIECE_BYTES;
}

enum polarys_code archive_writer_store(struct archive_writer *writer, uint64_t sent_unix_ms,
                                       struct polarys_error *err)
{
    char name[ARCHIVE_NAME_MAX];
    enum polarys_code code = POLARYS_OK;
    if (!writer->builder.has_log) {
        return POLARYS_OK;
    }
    if (!writer->is_sealed) {
        writer->builder.head.sent_unix_ms = sent_unix_ms;
        code = archive_builder_end(&writer->builder, writer->digest, err);
        writer->is_sealed = code == POLARYS_OK;
    }
    if (code == POLARYS_OK) {
        archive_name_make(&writer->builder.head.place, name);
        code =
            objects_put(writer->objects, name,
                        slice_make(writer->builder.bytes.bytes, writer->builder.bytes.size), err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    writer->piece_count++;
    writer->stored_bytes += writer->builder.bytes.size;
    next_set(writer, &writer->builder.head, writer->digest);
    log_forget(writer);
    writer->has_state_due |= writer->piece_count % STATE_PIECES == 1;
    return POLARYS_OK;
}

enum polarys_code archive_writer_state(struct archive_writer *writer, uint64_t complete_unix_ms,
                                       struct polarys_error *err)
{
    struct archive_state state = writer->state;
    if (complete_unix_ms > state.complete_unix_ms) {
        state.complete_unix_ms = complete_unix_ms;
    }
    enum polarys_code code = archive_state_store(writer->objects, &state, err);
    if (code == POLARYS_OK) {
        writer->state = state;
        writer->has_state_due = false;
    }
    return code;
}
