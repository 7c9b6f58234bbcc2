/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading one segment file: see wal_reader.h.
 *
 * The file comes in large pieces, so small frames cost no system call each, and a frame is decrypted where
 * it lies. Every frame is authenticated, those that the caller will skip too: their headers say which
 * versions they hold.
 */
#include "engine/wal/wal_reader.h"

#include <inttypes.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/internal_key.h"

void wal_reader_close(struct wal_reader *reader)
{
    vfs_close(reader->file, NULL);
    aead_key_deinit(&reader->key);
    free(reader->window);
    memset(reader, 0, sizeof(*reader));
}

/* Grows the window to `size` bytes, keeping what is in it. */
static enum polarys_code window_grow(struct wal_reader *reader, size_t size,
                                     struct polarys_error *err)
{
    if (size <= reader->window_capacity) {
        return POLARYS_OK;
    }
    uint8_t *window = realloc(reader->window, size);
    if (window == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to read %zu bytes of the log", size);
    }
    reader->window = window;
    reader->window_capacity = size;
    return POLARYS_OK;
}

/* Makes [offset, offset + size) of the file readable at `*bytes`. REQUIRES: it lies within the file. */
static enum polarys_code window_get(struct wal_reader *reader, uint64_t offset, size_t size,
                                    uint8_t **bytes, struct polarys_error *err)
{
    POLARYS_ASSERT(offset + size <= reader->file_bytes);
    uint64_t window_end = reader->window_start + reader->window_size;
    if (offset >= reader->window_start && offset + size <= window_end) {
        *bytes = reader->window + (offset - reader->window_start);
        return POLARYS_OK;
    }
    uint64_t left = reader->file_bytes - offset;
    size_t wanted = left < WAL_READ_CHUNK_BYTES ? (size_t)left : WAL_READ_CHUNK_BYTES;
    wanted = size > wanted ? size : wanted;
    enum polarys_code code = window_grow(reader, wanted, err);
    if (code != POLARYS_OK) {
        return code;
    }
    size_t kept = 0;
    if (offset >= reader->window_start && offset < window_end) {
        kept = (size_t)(window_end - offset);
        memmove(reader->window, reader->window + (offset - reader->window_start), kept);
    }
    reader->window_start = offset;
    reader->window_size = kept;
    code = vfs_read_exact(reader->file, offset + kept, reader->window + kept, wanted - kept, err);
    if (code != POLARYS_OK && reader->is_lenient && size > kept && wanted > size) {
        /* A bad place further on must not hide what can be read here. */
        wanted = size;
        polarys_error_clear(err);
        code =
            vfs_read_exact(reader->file, offset + kept, reader->window + kept, wanted - kept, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    reader->window_size = wanted;
    *bytes = reader->window;
    return POLARYS_OK;
}

static enum polarys_code header_authenticate(struct wal_reader *reader, const uint8_t *block,
                                             struct keyring *keyring, struct polarys_error *err)
{
    if (memcmp(reader->header.store_id, keyring_store_id(keyring), STORE_ID_SIZE) != 0) {
        return polarys_fail(err, POLARYS_WRONG_STORE, "the segment belongs to another store");
    }
    enum polarys_code code = wal_segment_key(keyring, &reader->header, &reader->key, err);
    if (code != POLARYS_OK) {
        return code;
    }
    reader->has_key = true;
    code = aead_open(&reader->key, WAL_ORDINAL_HEADER, wal_header_sealed(block),
                     slice_make(NULL, 0), reader->header.tag, NULL, err);
    return code == POLARYS_OK ? POLARYS_OK : polarys_wrap(err, code, "segment header");
}

static void place_first(struct wal_reader *reader)
{
    const struct wal_header *header = &reader->header;
    reader->offset = WAL_SEGMENT_HEADER_SIZE;
    reader->ordinal = WAL_ORDINAL_FIRST;
    memcpy(reader->tag, header->tag, AEAD_TAG_SIZE);
    reader->version_min = header->first_version;
    reader->info.segment_id = header->segment_id;
    reader->info.first_version = header->first_version;
    reader->info.term = header->term;
    memcpy(reader->info.history_id, header->history_id, HISTORY_ID_SIZE);
    reader->info.key_id = header->key_id;
    reader->info.valid_bytes = WAL_SEGMENT_HEADER_SIZE;
}

enum polarys_code wal_reader_open(struct wal_reader *reader, struct vfs *vfs, const char *path,
                                  struct keyring *keyring, struct polarys_error *err)
{
    uint8_t *block = NULL;
    reader->path = path;
    enum polarys_code code = vfs_open(vfs, path, VFS_READ, &reader->file, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = vfs_file_size(reader->file, &reader->file_bytes, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    if (reader->file_bytes < WAL_SEGMENT_HEADER_SIZE ||
        reader->file_bytes > (uint64_t)WAL_FILE_SIZE_MAX) {
        code = polarys_fail(err, POLARYS_CORRUPT, "no log segment has %" PRIu64 " bytes",
                            reader->file_bytes);
        goto fail;
    }
    code = window_get(reader, 0, WAL_SEGMENT_HEADER_SIZE, &block, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = wal_header_take(block, &reader->header, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    if (keyring != NULL) {
        code = header_authenticate(reader, block, keyring, err);
        if (code != POLARYS_OK) {
            goto fail;
        }
    }
    place_first(reader);
    return POLARYS_OK;

fail:
    wal_reader_close(reader);
    return polarys_wrap(err, code, "log segment %s", path);
}

/* A whole frame by its checksum, at `offset`; false when there is none. */
static enum polarys_code frame_load(struct wal_reader *reader, uint64_t offset,
                                    struct wal_frame_header *header, uint8_t **bytes,
                                    bool *is_whole, struct polarys_error *err)
{
    *is_whole = false;
    if (offset + WAL_FRAME_OVERHEAD > reader->file_bytes) {
        return POLARYS_OK;
    }
    enum polarys_code code = window_get(reader, offset, WAL_FRAME_HEADER_SIZE, bytes, err);
    if (code != POLARYS_OK || !wal_frame_header_take(*bytes, reader->header.segment_id, header)) {
        return code;
    }
    size_t size = header->payload_size + WAL_FRAME_OVERHEAD;
    uint64_t left = reader->file_bytes - offset;
    reader->torn_bytes = left < wal_frame_stored_size(header->payload_size)
                             ? left
                             : wal_frame_stored_size(header->payload_size);
    if (size > left) {
        return POLARYS_OK;
    }
    code = window_get(reader, offset, size, bytes, err);
    *is_whole = code == POLARYS_OK && wal_frame_checksum_matches(*bytes, header->payload_size);
    return code;
}

static enum polarys_code frame_decrypt(struct wal_reader *reader,
                                       const struct wal_frame_header *header, uint8_t *bytes,
                                       struct polarys_error *err)
{
    uint8_t *payload = bytes + WAL_FRAME_HEADER_SIZE;
    return aead_open(&reader->key, header->ordinal, wal_frame_sealed(bytes),
                     slice_make(payload, header->payload_size), payload + header->payload_size,
                     payload, err);
}

/* Whether a whole frame is the one that belongs here. */
static bool frame_is_next(const struct wal_reader *reader, const struct wal_frame_header *header)
{
    return header->ordinal == reader->ordinal &&
           memcmp(header->previous_tag, reader->tag, AEAD_TAG_SIZE) == 0 &&
           header->synced_offset <= reader->offset && header->commit_count >= 1 &&
           header->first_version >= reader->version_min &&
           header->first_version <= VERSION_MAX - header->commit_count;
}

static enum polarys_code fail_at(struct wal_reader *reader, enum polarys_code code,
                                 const char *what, struct polarys_error *err)
{
    (void)polarys_wrap(err, code, "log segment %s: frame at byte %" PRIu64 " %s", reader->path,
                       reader->offset, what);
    return code;
}

/*
 * Judges a whole frame that does not belong where it is. A segment holds at each place what one life of it
 * wrote there or what an earlier life left; earlier lives had other segment ids, so an authentic frame of
 * this one in a wrong place was moved.
 */
static enum polarys_code frame_misplaced(struct wal_reader *reader,
                                         const struct wal_frame_header *header, uint8_t *bytes,
                                         struct polarys_error *err)
{
    if (reader->has_key) {
        enum polarys_code code = frame_decrypt(reader, header, bytes, err);
        if (code == POLARYS_TAMPERED) {
            reader->window_size = 0; /* what failed to decrypt was wiped */
            polarys_error_clear(err);
            return POLARYS_OK;
        }
        if (code != POLARYS_OK) {
            return code;
        }
    }
    polarys_error_clear(err);
    (void)polarys_fail(err, POLARYS_CORRUPT, "it is frame %" PRIu32 ", frame %" PRIu64 " was due",
                       header->ordinal, reader->ordinal);
    return fail_at(reader, POLARYS_CORRUPT, "does not follow the one before it", err);
}

/* Moves the place behind the frame and describes it. */
static void frame_accept(struct wal_reader *reader, const struct wal_frame_header *header,
                         const uint8_t *bytes, struct wal_frame *frame)
{
    const uint8_t *tag = bytes + WAL_FRAME_HEADER_SIZE + header->payload_size;
    frame->first_version = header->first_version;
    frame->commit_count = header->commit_count;
    frame->flags = header->flags;
    frame->offset = reader->offset;
    frame->payload =
        slice_make(bytes + WAL_FRAME_HEADER_SIZE, reader->has_key ? header->payload_size : 0);
    reader->offset += wal_frame_stored_size(header->payload_size);
    reader->ordinal++;
    reader->version_min = header->first_version + header->commit_count;
    memcpy(reader->tag, tag, AEAD_TAG_SIZE);
    reader->info.valid_bytes = reader->offset;
    reader->torn_bytes = 0;
    frame->position.segment_id = header->segment_id;
    frame->position.offset = reader->offset;
    memcpy(frame->position.tag, tag, AEAD_TAG_SIZE);
    frame->segment = &reader->info;
}

enum polarys_code wal_reader_next(struct wal_reader *reader, struct wal_frame *frame,
                                  bool *has_frame, struct polarys_error *err)
{
    struct wal_frame_header header;
    uint8_t *bytes = NULL;
    bool is_whole = false;
    *has_frame = false;
    enum polarys_code code = frame_load(reader, reader->offset, &header, &bytes, &is_whole, err);
    if (code != POLARYS_OK) {
        return fail_at(reader, code, "cannot be read", err);
    }
    if (!is_whole) {
        return POLARYS_OK;
    }
    if (!frame_is_next(reader, &header)) {
        return frame_misplaced(reader, &header, bytes, err);
    }
    if (reader->has_key) {
        code = frame_decrypt(reader, &header, bytes, err);
        if (code != POLARYS_OK) {
            return fail_at(reader, code, "cannot be opened", err);
        }
    }
    frame_accept(reader, &header, bytes, frame);
    *has_frame = true;
    return POLARYS_OK;
}

/* Whether a good frame at `offset` shows that the place where the walk ended had been synced. */
static enum polarys_code evidence_check(struct wal_reader *reader, uint64_t offset,
                                        bool *is_evidence, struct polarys_error *err)
{
    struct wal_frame_header header;
    uint8_t *bytes = NULL;
    uint64_t torn_bytes = reader->torn_bytes;
    enum polarys_code code = frame_load(reader, offset, &header, &bytes, is_evidence, err);
    reader->torn_bytes = torn_bytes;
    if (code != POLARYS_OK || !*is_evidence) {
        return code;
    }
    *is_evidence = header.ordinal > reader->ordinal && header.synced_offset > reader->offset &&
                   header.synced_offset <= offset;
    if (!*is_evidence || !reader->has_key) {
        return POLARYS_OK;
    }
    code = frame_decrypt(reader, &header, bytes, err);
    if (code == POLARYS_TAMPERED) {
        reader->window_size = 0;
        *is_evidence = false;
        polarys_error_clear(err);
        code = POLARYS_OK;
    }
    return code;
}

enum polarys_code wal_reader_find_evidence(struct wal_reader *reader, bool *is_found,
                                           uint64_t *found_offset, struct polarys_error *err)
{
    *is_found = false;
    uint64_t offset = reader->offset + WAL_BLOCK_SIZE;
    while (!*is_found && offset + WAL_FRAME_OVERHEAD <= reader->file_bytes) {
        enum polarys_code code = evidence_check(reader, offset, is_found, err);
        if (code != POLARYS_OK) {
            return fail_at(reader, code, "is followed by bytes that cannot be read", err);
        }
        *found_offset = offset;
        offset += WAL_BLOCK_SIZE;
    }
    return POLARYS_OK;
}

/* Whether an authentic frame of the segment that may follow stands at `offset`; the reader goes on there. */
static enum polarys_code resume_check(struct wal_reader *reader, uint64_t offset, bool *is_found,
                                      struct polarys_error *err)
{
    struct wal_frame_header header;
    uint8_t *bytes = NULL;
    bool is_whole = false;
    uint64_t torn_bytes = reader->torn_bytes;
    enum polarys_code code = frame_load(reader, offset, &header, &bytes, &is_whole, err);
    reader->torn_bytes = torn_bytes;
    if (code != POLARYS_OK || !is_whole || header.ordinal < reader->ordinal ||
        header.synced_offset > offset || header.first_version < reader->version_min) {
        return code;
    }
    code = frame_decrypt(reader, &header, bytes, err);
    reader->window_size = 0; /* decrypted in place, or wiped */
    if (code == POLARYS_OK) {
        *is_found = true;
        reader->offset = offset;
        reader->ordinal = header.ordinal;
        memcpy(reader->tag, header.previous_tag, AEAD_TAG_SIZE);
    }
    return code == POLARYS_TAMPERED ? POLARYS_OK : code;
}

enum polarys_code wal_reader_resume(struct wal_reader *reader, uint64_t limit, bool *is_found,
                                    struct polarys_error *err)
{
    POLARYS_ASSERT(reader->has_key);
    *is_found = false;
    uint64_t end = limit == 0 || limit > reader->file_bytes ? reader->file_bytes : limit;
    /* A later frame may stand in this very place; judging it may have decrypted it where it lies. */
    reader->window_size = 0;
    uint64_t offset = reader->offset;
    for (; !*is_found && offset + WAL_FRAME_OVERHEAD <= end; offset += WAL_BLOCK_SIZE) {
        enum polarys_code code = resume_check(reader, offset, is_found, err);
        if (code != POLARYS_OK && code != POLARYS_IO) {
            return fail_at(reader, code, "is followed by bytes that cannot be read", err);
        }
        reader->has_unread = reader->has_unread || code == POLARYS_IO;
        polarys_error_clear(err);
    }
    return POLARYS_OK;
}
