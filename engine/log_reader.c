/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers of the sealed log: see engine_log.h.
 *
 * Invariant: nothing behind the feed's durable end is read, and a reader that is asked to wait is woken by the first
 * frame behind the end that it saw: the end's version is taken with the end, for versions jump where no frame is.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/engine_log.h"
#include "engine/wal/wal_sealed.h"

_Static_assert((int)POLARYS_LOG_PART_BYTES_MAX == (int)WAL_SEALED_PART_BYTES_MAX, "parts");

struct polarys_log_reader {
    struct polarys_db *db;
    struct feed_reader *watcher;
    struct wal_sealed sealed;
    struct wal_position until; /* the durable end that was looked at last */
    uint64_t until_version;
};

enum polarys_code polarys_log_reader_open(struct polarys_db *db,
                                          const struct polarys_log_position *from,
                                          struct polarys_log_reader **out,
                                          struct polarys_error *err)
{
    struct wal_position at = {.segment_id = from->segment_id, .offset = from->offset};
    enum polarys_code code;
    *out = NULL;
    memcpy(at.tag, from->tag, AEAD_TAG_SIZE);
    if (atomic_load(&db->is_closing)) {
        return polarys_fail(err, POLARYS_DRAINING, "the store is being closed");
    }
    struct polarys_log_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to read the log");
    }
    reader->db = db;
    feed_end_get(db->feed, &reader->until, &reader->until_version);
    code = feed_watcher_open(db->feed, &reader->watcher, err);
    if (code == POLARYS_OK) {
        code = wal_sealed_open(&reader->sealed, db->wal, &at, &reader->until, reader->until_version,
                               err);
    }
    if (code != POLARYS_OK) {
        polarys_log_reader_close(reader);
        return code;
    }
    *out = reader;
    return POLARYS_OK;
}

void polarys_log_reader_close(struct polarys_log_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    feed_reader_close(reader->watcher);
    wal_sealed_pause(&reader->sealed);
    free(reader);
}

enum polarys_code polarys_log_reader_next(struct polarys_log_reader *reader,
                                          struct polarys_log_part *part, bool *has_part,
                                          struct polarys_error *err)
{
    struct wal_sealed_part found;
    enum polarys_code code =
        wal_sealed_next(&reader->sealed, &reader->until, &found, has_part, err);
    if (code == POLARYS_OK && !*has_part) {
        feed_end_get(reader->db->feed, &reader->until, &reader->until_version);
        code = wal_sealed_next(&reader->sealed, &reader->until, &found, has_part, err);
    }
    if (code == POLARYS_OK && *has_part) {
        *part = (struct polarys_log_part){.segment_id = found.segment_id,
                                          .offset = found.offset,
                                          .bytes = found.bytes,
                                          .is_continued = found.is_continued};
    }
    return code;
}

static void position_fill(struct polarys_log_position *position, const struct wal_position *from,
                          uint64_t version)
{
    *position = (struct polarys_log_position){
        .segment_id = from->segment_id, .offset = from->offset, .version = version};
    memcpy(position->tag, from->tag, POLARYS_LOG_TAG_SIZE);
}

void polarys_log_reader_position(const struct polarys_log_reader *reader,
                                 struct polarys_log_position *position)
{
    position_fill(position, &reader->sealed.at, reader->sealed.version);
}

void polarys_log_reader_pause(struct polarys_log_reader *reader)
{
    wal_sealed_pause(&reader->sealed);
}

bool polarys_log_reader_wait(struct polarys_log_reader *reader, void (*ready)(void *context),
                             void *context)
{
    return feed_watcher_wait(reader->watcher, reader->until_version, ready, context);
}

/* ---- the log as a whole ---- */

void polarys_log_durable_position(struct polarys_db *db, struct polarys_log_position *position)
{
    struct wal_position end;
    uint64_t version;
    feed_end_get(db->feed, &end, &version);
    position_fill(position, &end, version);
}

uint64_t polarys_log_earliest_segment(struct polarys_db *db)
{
    struct wal_stats stats;
    wal_stats_get(db->wal, &stats);
    return stats.oldest_segment_id;
}

uint64_t polarys_log_bytes_between(struct polarys_db *db, const struct polarys_log_position *from,
                                   const struct polarys_log_position *to)
{
    struct wal_position start = {.segment_id = from->segment_id, .offset = from->offset};
    struct wal_position end = {.segment_id = to->segment_id, .offset = to->offset};
    return wal_bytes_between(db->wal, &start, &end);
}

void polarys_log_keep_from(struct polarys_db *db, uint64_t segment_id)
{
    uint64_t pin_id;
    wal_keep_from(db->wal, WAL_KEEPER_CALLER, segment_id);
    /* A segment that was on its way out is gone afterwards. */
    wal_pin(db->wal, segment_id, &pin_id);
    wal_unpin(db->wal, pin_id);
    db_prune_want(db);
}

enum polarys_code polarys_db_keyring(struct polarys_db *db, uint8_t **bytes, size_t *size,
                                     struct polarys_error *err)
{
    char path[VFS_PATH_MAX];
    struct buffer content = {0};
    *bytes = NULL;
    *size = 0;
    enum polarys_code code = vfs_path_join(path, db->dir, "keyring", err);
    if (code == POLARYS_OK) {
        code = vfs_read_file(db->vfs, path, POLARYS_KEYRING_BYTES_MAX, &content, err);
    }
    if (code != POLARYS_OK) {
        buffer_deinit(&content);
        return polarys_wrap(err, code, "read the keyring");
    }
    *bytes = content.data;
    *size = content.size;
    return POLARYS_OK;
}
