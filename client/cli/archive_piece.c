/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a piece: docs/formats/archive.md.
 *
 * Invariant: what archive_builder_end makes, archive_piece_read takes; a size or an offset that was read is
 * checked against what is there before it is used.
 */
#include "client/cli/archive_piece.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/parse.h"

enum {
    HEAD_FORMAT = 8,
    HEAD_STORE_ID = 16,
    HEAD_HISTORY_ID = 32,
    HEAD_SEGMENT_ID = 48,
    HEAD_TERM = 56,
    HEAD_START = 64,
    HEAD_END = 72,
    HEAD_TAG_BEFORE = 80,
    HEAD_TAG_AFTER = 96,
    HEAD_FIRST_VERSION = 112,
    HEAD_LAST_VERSION = 120,
    HEAD_KEY_ID = 128,
    HEAD_FRAME_COUNT = 132,
    HEAD_SENT_TIME = 136,
    HEAD_LOG_BYTES = 144,
    HEAD_ZEROS = 152,
    HEAD_PREVIOUS = 160,

    MAGIC_SIZE = 8,
    SEGMENT_DIGITS = 12,
    TERM_DIGITS = 20,
    OFFSET_DIGITS = 10,
    GENERATION_DIGITS = 20,
    KEYS_DIGEST_DIGITS = 16,
};

#define OFFSET_MAX UINT64_C(9999999999)
#define SEGMENT_ID_MAX UINT64_C(999999999999)

_Static_assert(HEAD_PREVIOUS + DIGEST_SIZE == ARCHIVE_HEAD_SIZE, "the digest ends the head");

static const uint8_t magic[MAGIC_SIZE] = {'P', 'L', 'R', 'S', 'A', 'R', 'C', 'P'};

static void number_put(uint8_t *to, uint64_t number, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        to[i] = (uint8_t)(number >> 8 * i);
    }
}

static uint64_t number_get(const uint8_t *from, int bytes)
{
    uint64_t number = 0;
    for (int i = 0; i < bytes; i++) {
        number |= (uint64_t)from[i] << 8 * i;
    }
    return number;
}

/* ---- names ---- */

void archive_name_make(const struct archive_place *place, char name[ARCHIVE_NAME_MAX])
{
    int size = snprintf(name, ARCHIVE_NAME_MAX,
                        ARCHIVE_LOG_PREFIX "%0*" PRIu64 "-%0*" PRIu64 "-%0*" PRIu64 "-%0*" PRIu64,
                        SEGMENT_DIGITS, place->segment_id, TERM_DIGITS, place->term, OFFSET_DIGITS,
                        place->start, OFFSET_DIGITS, place->end);
    POLARYS_ASSERT(size > 0 && size < ARCHIVE_NAME_MAX);
}

/* Exactly so many digits at *text, which moves behind them and behind `then` (NUL: it has to end there). */
static bool digits_take(const char **text, int digits, char then, uint64_t *number)
{
    char copy[TERM_DIGITS + 1];
    POLARYS_ASSERT(digits <= TERM_DIGITS);
    if (strlen(*text) < (size_t)digits || (*text)[digits] != then) {
        return false;
    }
    memcpy(copy, *text, (size_t)digits);
    copy[digits] = '\0';
    *text += digits + (then != '\0');
    return parse_number(copy, number);
}

bool archive_name_read(const char *name, struct archive_place *place)
{
    size_t prefix_size = strlen(ARCHIVE_LOG_PREFIX);
    const char *text = name + prefix_size;
    return strncmp(name, ARCHIVE_LOG_PREFIX, prefix_size) == 0 &&
           digits_take(&text, SEGMENT_DIGITS, '-', &place->segment_id) &&
           digits_take(&text, TERM_DIGITS, '-', &place->term) &&
           digits_take(&text, OFFSET_DIGITS, '-', &place->start) &&
           digits_take(&text, OFFSET_DIGITS, '\0', &place->end) && place->segment_id != 0 &&
           place->start < place->end;
}

bool archive_keys_name_make(struct polarys_slice keyring, uint64_t generation,
                            char name[ARCHIVE_NAME_MAX])
{
    uint8_t sum[DIGEST_SIZE];
    char text[DIGEST_TEXT_SIZE];
    struct digest digest = {0};
    digest_begin(&digest);
    digest_add(&digest, keyring.data, keyring.size);
    bool is_ok = digest_end(&digest, sum);
    digest_deinit(&digest);
    digest_text(text, sum, DIGEST_SIZE);
    int size = snprintf(name, ARCHIVE_NAME_MAX, ARCHIVE_KEYS_PREFIX "%0*" PRIu64 "-%.*s",
                        GENERATION_DIGITS, generation, KEYS_DIGEST_DIGITS, text);
    return is_ok && size > 0 && size < ARCHIVE_NAME_MAX;
}

bool archive_keys_name_read(const char *name, uint64_t *generation)
{
    size_t prefix_size = strlen(ARCHIVE_KEYS_PREFIX);
    const char *text = name + prefix_size;
    uint8_t sum[KEYS_DIGEST_DIGITS / 2];
    size_t size = sizeof(sum);
    return strncmp(name, ARCHIVE_KEYS_PREFIX, prefix_size) == 0 &&
           digits_take(&text, GENERATION_DIGITS, '-', generation) &&
           strlen(text) == KEYS_DIGEST_DIGITS && parse_hex(text, sum, &size);
}

/* ---- the head ---- */

static void head_put(const struct archive_head *head, uint8_t to[ARCHIVE_HEAD_SIZE])
{
    memset(to, 0, ARCHIVE_HEAD_SIZE);
    memcpy(to, magic, MAGIC_SIZE);
    number_put(to + HEAD_FORMAT, ARCHIVE_FORMAT, 4);
    memcpy(to + HEAD_STORE_ID, head->store_id, POLARYS_ID_SIZE);
    memcpy(to + HEAD_HISTORY_ID, head->history_id, POLARYS_ID_SIZE);
    number_put(to + HEAD_SEGMENT_ID, head->place.segment_id, 8);
    number_put(to + HEAD_TERM, head->place.term, 8);
    number_put(to + HEAD_START, head->place.start, 8);
    number_put(to + HEAD_END, head->place.end, 8);
    memcpy(to + HEAD_TAG_BEFORE, head->tag_before, POLARYS_LOG_TAG_SIZE);
    memcpy(to + HEAD_TAG_AFTER, head->tag_after, POLARYS_LOG_TAG_SIZE);
    number_put(to + HEAD_FIRST_VERSION, head->first_version, 8);
    number_put(to + HEAD_LAST_VERSION, head->last_version, 8);
    number_put(to + HEAD_KEY_ID, head->key_id, 4);
    number_put(to + HEAD_FRAME_COUNT, head->frame_count, 4);
    number_put(to + HEAD_SENT_TIME, head->sent_unix_ms, 8);
    number_put(to + HEAD_LOG_BYTES, head->log_bytes, 8);
    memcpy(to + HEAD_PREVIOUS, head->previous, DIGEST_SIZE);
}

static void head_get(const uint8_t *from, struct archive_head *head)
{
    *head = (struct archive_head){
        .place = {.segment_id = number_get(from + HEAD_SEGMENT_ID, 8),
                  .term = number_get(from + HEAD_TERM, 8),
                  .start = number_get(from + HEAD_START, 8),
                  .end = number_get(from + HEAD_END, 8)},
        .first_version = number_get(from + HEAD_FIRST_VERSION, 8),
        .last_version = number_get(from + HEAD_LAST_VERSION, 8),
        .key_id = (uint32_t)number_get(from + HEAD_KEY_ID, 4),
        .frame_count = (uint32_t)number_get(from + HEAD_FRAME_COUNT, 4),
        .sent_unix_ms = number_get(from + HEAD_SENT_TIME, 8),
        .log_bytes = number_get(from + HEAD_LOG_BYTES, 8),
    };
    memcpy(head->store_id, from + HEAD_STORE_ID, POLARYS_ID_SIZE);
    memcpy(head->history_id, from + HEAD_HISTORY_ID, POLARYS_ID_SIZE);
    memcpy(head->tag_before, from + HEAD_TAG_BEFORE, POLARYS_LOG_TAG_SIZE);
    memcpy(head->tag_after, from + HEAD_TAG_AFTER, POLARYS_LOG_TAG_SIZE);
    memcpy(head->previous, from + HEAD_PREVIOUS, DIGEST_SIZE);
}

static bool place_is_valid(const struct archive_place *place)
{
    return place->segment_id != 0 && place->segment_id <= SEGMENT_ID_MAX &&
           place->start < place->end && place->end <= OFFSET_MAX &&
           place->start % POLARYS_LOG_SEGMENT_HEADER_SIZE == 0 &&
           place->end % POLARYS_LOG_SEGMENT_HEADER_SIZE == 0;
}

enum polarys_code archive_head_read(struct polarys_slice bytes, struct archive_head *head,
                                    struct polarys_error *err)
{
    if (bytes.size < ARCHIVE_HEAD_SIZE || memcmp(bytes.data, magic, MAGIC_SIZE) != 0) {
        return polarys_fail(err, POLARYS_CORRUPT, "it does not begin as a piece of an archive");
    }
    uint64_t format = number_get(bytes.data + HEAD_FORMAT, 4);
    if (format != ARCHIVE_FORMAT) {
        return polarys_fail(err, POLARYS_UNSUPPORTED_FORMAT,
                            "it has format %" PRIu64 ", this program reads %d", format,
                            ARCHIVE_FORMAT);
    }
    head_get(bytes.data, head);
    if (!place_is_valid(&head->place) || number_get(bytes.data + HEAD_FORMAT + 4, 4) != 0 ||
        number_get(bytes.data + HEAD_ZEROS, 8) != 0) {
        return polarys_fail(err, POLARYS_CORRUPT, "its head makes no sense");
    }
    return POLARYS_OK;
}

/* ---- reading a whole one ---- */

static enum polarys_code piece_bad(struct polarys_error *err, const char *what)
{
    return polarys_fail(err, POLARYS_CORRUPT, "%s", what);
}

static enum polarys_code digest_check(struct polarys_slice bytes, uint8_t sum[DIGEST_SIZE],
                                      struct polarys_error *err)
{
    struct digest digest = {0};
    size_t size = bytes.size - DIGEST_SIZE;
    digest_begin(&digest);
    digest_add(&digest, bytes.data, size);
    bool is_ok = digest_end(&digest, sum);
    digest_deinit(&digest);
    if (!is_ok) {
        return polarys_fail(err, POLARYS_BUG, "SHA-256 failed");
    }
    return memcmp(sum, bytes.data + size, DIGEST_SIZE) == 0
               ? POLARYS_OK
               : piece_bad(err, "it was altered: its digest is another");
}

/* The header block at the beginning of the log. */
static enum polarys_code segment_take(struct archive_piece *piece, struct archive_head *found,
                                      struct polarys_error *err)
{
    const struct archive_head *head = &piece->head;
    if (piece->log.size < POLARYS_LOG_SEGMENT_HEADER_SIZE) {
        return piece_bad(err, "the segment's header is cut off");
    }
    enum polarys_code code = polarys_log_segment_read(
        slice_make(piece->log.data, POLARYS_LOG_SEGMENT_HEADER_SIZE), &piece->segment, err);
    if (code != POLARYS_OK) {
        return code;
    }
    const struct polarys_log_segment *segment = &piece->segment;
    if (segment->segment_id != head->place.segment_id || segment->term != head->place.term ||
        segment->key_id != head->key_id ||
        memcmp(segment->store_id, head->store_id, POLARYS_ID_SIZE) != 0 ||
        memcmp(segment->history_id, head->history_id, POLARYS_ID_SIZE) != 0) {
        return piece_bad(err, "its head says otherwise than the segment's header");
    }
    piece->has_segment = true;
    found->place.end = POLARYS_LOG_SEGMENT_HEADER_SIZE;
    memcpy(found->tag_after, segment->tag, POLARYS_LOG_TAG_SIZE);
    return POLARYS_OK;
}

/* What a frame adds to a head. */
static enum polarys_code frame_note(struct archive_head *head,
                                    const struct polarys_log_frame *frame,
                                    struct polarys_error *err)
{
    if (memcmp(frame->previous_tag, head->tag_after, POLARYS_LOG_TAG_SIZE) != 0) {
        return polarys_fail(err, POLARYS_HISTORY_DIVERGED,
                            "a frame is not chained to the one before it");
    }
    if (frame->first_version <= head->last_version ||
        head->place.end + frame->stored_size > OFFSET_MAX) {
        return piece_bad(err, "a frame's versions or place make no sense");
    }
    head->first_version = head->frame_count == 0 ? frame->first_version : head->first_version;
    head->last_version = frame->first_version + frame->commit_count - 1;
    memcpy(head->tag_after, frame->tag, POLARYS_LOG_TAG_SIZE);
    head->place.end += frame->stored_size;
    head->frame_count++;
    return POLARYS_OK;
}

static enum polarys_code frames_check(struct archive_piece *piece, struct polarys_error *err)
{
    const struct archive_head *head = &piece->head;
    struct archive_head found = {.place = {.end = head->place.start}};
    struct polarys_slice left = piece->log;
    memcpy(found.tag_after, head->tag_before, POLARYS_LOG_TAG_SIZE);
    enum polarys_code code = POLARYS_OK;
    if (head->place.start == 0) {
        code = segment_take(piece, &found, err);
        size_t taken = code == POLARYS_OK ? POLARYS_LOG_SEGMENT_HEADER_SIZE : 0;
        left = slice_make(left.data + taken, left.size - taken);
    }
    while (code == POLARYS_OK && left.size > 0) {
        struct polarys_log_frame frame;
        code = polarys_log_frame_read(left, head->place.segment_id, &frame, err);
        if (code == POLARYS_OK) {
            code = frame_note(&found, &frame, err);
        }
        if (code == POLARYS_OK) {
            left = slice_make(left.data + frame.size, left.size - frame.size);
        }
    }
    if (code != POLARYS_OK) {
        return code == POLARYS_HISTORY_DIVERGED ? polarys_wrap(err, POLARYS_CORRUPT, "altered")
                                                : code;
    }
    bool is_same = found.place.end == head->place.end && found.frame_count == head->frame_count &&
                   found.first_version == head->first_version &&
                   (found.frame_count == 0 || found.last_version == head->last_version) &&
                   memcmp(found.tag_after, head->tag_after, POLARYS_LOG_TAG_SIZE) == 0;
    return is_same ? POLARYS_OK : piece_bad(err, "its head says otherwise than its frames");
}

enum polarys_code archive_piece_read(struct polarys_slice bytes, struct archive_piece *piece,
                                     struct polarys_error *err)
{
    *piece = (struct archive_piece){.has_segment = false};
    enum polarys_code code = archive_head_read(bytes, &piece->head, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (bytes.size < ARCHIVE_HEAD_SIZE + DIGEST_SIZE ||
        piece->head.log_bytes != bytes.size - ARCHIVE_HEAD_SIZE - DIGEST_SIZE) {
        return piece_bad(err, "it was shortened, or made longer");
    }
    piece->log = slice_make(bytes.data + ARCHIVE_HEAD_SIZE, (size_t)piece->head.log_bytes);
    code = digest_check(bytes, piece->digest, err);
    return code == POLARYS_OK ? frames_check(piece, err) : code;
}

/* ---- making one ---- */

enum polarys_code archive_builder_begin(struct archive_builder *builder,
                                        const struct archive_head *head, struct polarys_error *err)
{
    builder->head = *head;
    builder->head.place.end = head->place.start;
    builder->head.first_version = 0;
    builder->head.frame_count = 0;
    memcpy(builder->head.tag_after, head->tag_before, POLARYS_LOG_TAG_SIZE);
    builder->has_log = false;
    builder->bytes.size = 0;
    if (!objects_bytes_reserve(&builder->bytes, ARCHIVE_HEAD_SIZE)) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a piece");
    }
    builder->bytes.size = ARCHIVE_HEAD_SIZE;
    return POLARYS_OK;
}

static enum polarys_code bytes_add(struct archive_builder *builder, struct polarys_slice bytes,
                                   struct polarys_error *err)
{
    if (!objects_bytes_reserve(&builder->bytes, bytes.size)) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for %zu bytes of log", bytes.size);
    }
    memcpy(builder->bytes.bytes + builder->bytes.size, bytes.data, bytes.size);
    builder->bytes.size += bytes.size;
    builder->has_log = true;
    return POLARYS_OK;
}

enum polarys_code archive_builder_segment(struct archive_builder *builder,
                                          const struct polarys_log_segment *segment,
                                          struct polarys_slice block, struct polarys_error *err)
{
    POLARYS_ASSERT(!builder->has_log && builder->head.place.start == 0);
    enum polarys_code code = bytes_add(builder, block, err);
    if (code == POLARYS_OK) {
        builder->head.place.end = POLARYS_LOG_SEGMENT_HEADER_SIZE;
        memcpy(builder->head.tag_after, segment->tag, POLARYS_LOG_TAG_SIZE);
    }
    return code;
}

enum polarys_code archive_builder_frame(struct archive_builder *builder, struct polarys_slice bytes,
                                        struct polarys_error *err)
{
    struct polarys_log_frame frame;
    struct archive_head head = builder->head;
    enum polarys_code code =
        polarys_log_frame_read(bytes, builder->head.place.segment_id, &frame, err);
    if (code == POLARYS_OK && frame.size != bytes.size) {
        code = piece_bad(err, "more than a frame where one was sent");
    }
    if (code == POLARYS_OK) {
        code = frame_note(&head, &frame, err);
    }
    if (code == POLARYS_OK) {
        code = bytes_add(builder, bytes, err);
    }
    if (code == POLARYS_OK) {
        builder->head = head;
    }
    return code;
}

enum polarys_code archive_builder_end(struct archive_builder *builder, uint8_t sum[DIGEST_SIZE],
                                      struct polarys_error *err)
{
    struct digest digest = {0};
    POLARYS_ASSERT(builder->has_log);
    if (!objects_bytes_reserve(&builder->bytes, DIGEST_SIZE)) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a piece");
    }
    builder->head.log_bytes = builder->bytes.size - ARCHIVE_HEAD_SIZE;
    head_put(&builder->head, builder->bytes.bytes);
    digest_begin(&digest);
    digest_add(&digest, builder->bytes.bytes, builder->bytes.size);
    bool is_ok = digest_end(&digest, sum);
    digest_deinit(&digest);
    if (!is_ok) {
        return polarys_fail(err, POLARYS_BUG, "SHA-256 failed");
    }
    memcpy(builder->bytes.bytes + builder->bytes.size, sum, DIGEST_SIZE);
    builder->bytes.size += DIGEST_SIZE;
    return POLARYS_OK;
}
