/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each piece names the one before it by its digest, so one that is missing is missed by the next; the last is missed by
 * the state.
 */
#include "client/cli/archive_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"

/* ---- spans ---- */

/* Whether log of the index, before the group that begins at `first`, reaches its beginning. */
static bool is_continued(const struct archive_index *index, size_t first,
                         const struct archive_piece *piece)
{
    const struct polarys_log_position *named = &piece->segment.predecessor;
    for (size_t i = first; i > 0 && piece->has_segment; i--) {
        const struct archive_place *place = &index->entries[i - 1];
        if (place->segment_id == named->segment_id && place->start < named->offset &&
            place->end >= named->offset) {
            return true;
        }
    }
    return false;
}

/* One past the last entry from `first` on that follows without a hole; *last is the one that reaches farthest. */
static size_t whole_end(const struct archive_index *index, size_t first, size_t *last)
{
    size_t end = archive_group_end(index, first);
    size_t i = first + 1;
    *last = first;
    while (i < end && index->entries[i].start <= index->entries[*last].end) {
        *last = index->entries[i].end > index->entries[*last].end ? i : *last;
        i++;
    }
    return i;
}

/* The version of the first commit in the piece, or behind it when it holds none. */
static uint64_t version_from(const struct archive_head *head)
{
    return head->first_version != 0 ? head->first_version : head->last_version + 1;
}

static enum polarys_code span_add(struct archive_reader *reader, const struct archive_index *index,
                                  size_t last, struct archive_span *span, struct polarys_error *err)
{
    struct archive_piece piece;
    enum polarys_code code = archive_reader_head(reader, &index->entries[last], &piece, err);
    if (code == POLARYS_OK) {
        span->to_segment = piece.head.place.segment_id;
        span->to_version = piece.head.last_version;
        span->to_unix_ms = piece.head.sent_unix_ms;
        span->term = piece.head.place.term > span->term ? piece.head.place.term : span->term;
    }
    return code;
}

enum polarys_code archive_spans_visit(struct archive_reader *reader,
                                      const struct archive_index *index,
                                      void (*visit)(void *context, const struct archive_span *span),
                                      void *context, struct polarys_error *err)
{
    struct archive_span span = {.piece_count = 0};
    enum polarys_code code = POLARYS_OK;
    for (size_t first = 0; first < index->entry_count && code == POLARYS_OK;) {
        struct archive_piece piece;
        size_t last;
        size_t end = whole_end(index, first, &last);
        code = archive_reader_head(reader, &index->entries[first], &piece, err);
        if (code != POLARYS_OK) {
            break;
        }
        if (span.piece_count == 0 || !is_continued(index, first, &piece)) {
            bool has_older = span.piece_count > 0;
            if (has_older) {
                visit(context, &span);
            }
            span = (struct archive_span){.from_version = version_from(&piece.head),
                                         .from_unix_ms = piece.head.sent_unix_ms,
                                         .from_segment = piece.head.place.segment_id,
                                         .has_gap_before = has_older};
        }
        span.piece_count += end - first;
        code = span_add(reader, index, last, &span, err);
        first = end;
    }
    if (code == POLARYS_OK && span.piece_count > 0) {
        visit(context, &span);
    }
    return code;
}

/* ---- verify ---- */

/* A check under way. */
struct check {
    struct archive_reader *reader;
    const struct archive_index *index;
    const struct archive_complaints *complaints;
    struct archive_verdict *verdict;
    uint8_t (*digests)[DIGEST_SIZE]; /* of the pieces that are good, in their order */
    size_t digest_count;
    uint32_t *key_ids; /* that segments name */
    size_t key_id_count;
};

static void trouble_tell(struct check *check, const struct polarys_error *err)
{
    check->complaints->tell(check->complaints->context, err);
    check->verdict->trouble_count++;
}

/* Trouble with what is stored is told; everything else ends the check. */
static enum polarys_code code_judge(struct check *check, enum polarys_code code,
                                    struct polarys_error *err)
{
    if (code != POLARYS_CORRUPT && code != POLARYS_UNSUPPORTED_FORMAT) {
        return code;
    }
    trouble_tell(check, err);
    polarys_error_clear(err);
    return POLARYS_OK;
}

static bool has_digest(const struct check *check, const uint8_t digest[DIGEST_SIZE])
{
    for (size_t i = check->digest_count; i > 0; i--) {
        if (memcmp(check->digests[i - 1], digest, DIGEST_SIZE) == 0) {
            return true;
        }
    }
    return false;
}

static void key_id_note(struct check *check, uint32_t key_id)
{
    for (size_t i = check->key_id_count; i > 0; i--) {
        if (check->key_ids[i - 1] == key_id) {
            return;
        }
    }
    check->key_ids[check->key_id_count++] = key_id;
}

static void piece_note(struct check *check, const struct archive_piece *piece)
{
    static const uint8_t none[DIGEST_SIZE];
    char name[ARCHIVE_NAME_MAX];
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct archive_verdict *verdict = check->verdict;
    const struct archive_head *head = &piece->head;
    if (memcmp(head->previous, none, DIGEST_SIZE) == 0) {
        verdict->run_count++;
    } else if (!has_digest(check, head->previous)) {
        archive_name_make(&head->place, name);
        (void)polarys_fail(&err, POLARYS_CORRUPT,
                           "the piece before %s is missing, or is not as it was", name);
        trouble_tell(check, &err);
    }
    memcpy(check->digests[check->digest_count++], piece->digest, DIGEST_SIZE);
    if (head->key_id != 0) {
        key_id_note(check, head->key_id);
    }
    verdict->piece_count++;
    verdict->frame_count += head->frame_count;
    verdict->log_bytes += head->log_bytes;
    verdict->to_version =
        head->last_version > verdict->to_version ? head->last_version : verdict->to_version;
}

static enum polarys_code pieces_check(struct check *check, struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < check->index->entry_count && code == POLARYS_OK; i++) {
        struct archive_piece piece;
        code = archive_reader_piece(check->reader, &check->index->entries[i], &piece, err);
        if (code == POLARYS_OK) {
            piece_note(check, &piece);
        } else {
            code = code_judge(check, code, err);
        }
    }
    return code;
}

/* Forgets the data keys that the keyring has. */
static void key_ids_find(struct check *check, struct polarys_slice keyring)
{
    for (size_t i = check->key_id_count; i > 0; i--) {
        if (polarys_keyring_has(keyring, check->key_ids[i - 1])) {
            check->key_ids[i - 1] = check->key_ids[--check->key_id_count];
        }
    }
}

static enum polarys_code keyring_check(struct check *check, const struct archive_keyring *keyring,
                                       struct objects_bytes *bytes, struct polarys_error *err)
{
    char name[ARCHIVE_NAME_MAX];
    struct polarys_keyring_summary summary;
    enum polarys_code code =
        objects_get(check->reader->objects, keyring->name, 0, OBJECTS_GET_BYTES_MAX, bytes, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct polarys_slice all = slice_make(bytes->bytes, bytes->size);
    code = polarys_keyring_read(all, &summary, err);
    if (code == POLARYS_OK && (!archive_keys_name_make(all, summary.generation, name) ||
                               strcmp(name, keyring->name) != 0)) {
        code = polarys_fail(err, POLARYS_CORRUPT, "its digest is another");
    }
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "keyring %s was altered", keyring->name);
    }
    check->verdict->keyring_count++;
    key_ids_find(check, all);
    return POLARYS_OK;
}

static enum polarys_code keyrings_check(struct check *check, struct polarys_error *err)
{
    struct objects_bytes bytes = {0};
    enum polarys_code code = POLARYS_OK;
    for (size_t i = check->index->keyring_count; i > 0 && code == POLARYS_OK; i--) {
        code = keyring_check(check, &check->index->keyrings[i - 1], &bytes, err);
        code = code == POLARYS_OK ? code : code_judge(check, code, err);
    }
    free(bytes.bytes);
    for (size_t i = 0; i < check->key_id_count && code == POLARYS_OK; i++) {
        struct polarys_error missing = POLARYS_ERROR_INIT;
        (void)polarys_fail(&missing, POLARYS_CORRUPT,
                           "no keyring here has data key %" PRIu32 ", which segments name",
                           check->key_ids[i]);
        trouble_tell(check, &missing);
    }
    return code;
}

static void state_check(struct check *check)
{
    const struct archive_state *state = &check->index->state;
    struct polarys_error err = POLARYS_ERROR_INIT;
    char name[ARCHIVE_NAME_MAX];
    check->verdict->complete_unix_ms = state->complete_unix_ms;
    if (state->last.segment_id == 0 || archive_index_has(check->index, &state->last)) {
        return;
    }
    archive_name_make(&state->last, name);
    (void)polarys_fail(&err, POLARYS_CORRUPT,
                       "piece %s: it is missing, and the archive's state names it", name);
    trouble_tell(check, &err);
}

enum polarys_code archive_verify(struct archive_reader *reader, const struct archive_index *index,
                                 const struct archive_complaints *complaints,
                                 struct archive_verdict *verdict, struct polarys_error *err)
{
    struct check check = {
        .reader = reader, .index = index, .complaints = complaints, .verdict = verdict};
    *verdict = (struct archive_verdict){.piece_count = 0};
    check.digests = calloc(index->entry_count + 1, sizeof(*check.digests));
    check.key_ids = calloc(index->entry_count + 1, sizeof(*check.key_ids));
    enum polarys_code code =
        check.digests != NULL && check.key_ids != NULL
            ? pieces_check(&check, err)
            : polarys_fail(err, POLARYS_NO_MEMORY, "no memory for %zu pieces", index->entry_count);
    if (code == POLARYS_OK) {
        state_check(&check);
        code = keyrings_check(&check, err);
    }
    free(check.digests);
    free(check.key_ids);
    return code;
}
