/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoded tails: commits of the log in plain, encoded by hand. A commit that is larger than a message goes on in the next;
 * everything here runs on executor threads but closing and pausing.
 */
#include <stdlib.h>

#include "service/proto/wire.h"
#include "service/rpc/replication_tail.h"
#include "service/server/check.h"
#include "service/server/server.h"

enum {
    COMMIT_VERSION = 1,
    COMMIT_TIME = 2,
    COMMIT_CHANGES = 3,
    COMMIT_CONTINUED = 4,

    CHANGE_DATABASE = 1,
    CHANGE_TABLE = 2,
    CHANGE_KEY = 3,
    CHANGE_PUT = 4,
    CHANGE_DELETE = 5,
    CHANGE_DELETE_RANGE = 6,

    PUT_VALUE = 1,
    PUT_EXPIRE_TIME = 2,
    RANGE_START = 1,
    RANGE_END = 2,

    COMMIT_ENDS_BYTES = 64, /* all fields of a commit but its changes */
};

struct tail_commits {
    struct polarys_log_changes *changes;
    struct polarys_log_commit commit; /* that is being put into messages */
    size_t next_change;
    bool has_commit;
    uint64_t version; /* of the last commit that is in messages whole */

    uint8_t *bytes; /* a LogCommit, but for its length */
    size_t size;
    size_t capacity;
};

/* The version behind which a decoded tail begins. */
static enum polarys_code version_find(struct tail_stream *stream, uint64_t *version,
                                      struct polarys_error *err)
{
    struct polarys_log_reader *reader = NULL;
    *version = stream->from_version;
    if (!stream->peer.has_position) {
        return POLARYS_OK;
    }
    enum polarys_code code =
        polarys_log_reader_open(stream->call->server->db, &stream->peer.position, &reader, err);
    if (code == POLARYS_OK) {
        polarys_log_reader_position(reader, &stream->sent);
        *version = stream->sent.version;
    }
    polarys_log_reader_close(reader);
    return code;
}

enum polarys_code tail_commits_open(struct tail_stream *stream, struct polarys_error *err)
{
    struct tail_commits *commits = calloc(1, sizeof(*commits));
    if (commits == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to decode the log");
    }
    struct polarys_db *db = stream->call->server->db;
    if (!stream->peer.has_position) {
        /* How far behind it is, in bytes, is not known without a position. */
        polarys_log_durable_position(db, &stream->sent);
    }
    enum polarys_code code = version_find(stream, &commits->version, err);
    if (code == POLARYS_OK) {
        code = polarys_log_changes_open(db, commits->version, &commits->changes, err);
    }
    if (code != POLARYS_OK) {
        tail_commits_close(commits);
        return code;
    }
    stream->commits = commits;
    return POLARYS_OK;
}

void tail_commits_close(struct tail_commits *commits)
{
    if (commits == NULL) {
        return;
    }
    polarys_log_changes_close(commits->changes);
    free(commits->bytes);
    free(commits);
}

void tail_commits_pause(struct tail_commits *commits)
{
    polarys_log_changes_pause(commits->changes);
}

bool tail_commits_wait(struct tail_commits *commits, void (*ready)(void *context), void *context)
{
    return polarys_log_changes_wait(commits->changes, ready, context);
}

/* ---- encoding ---- */

static uint32_t kind_field(const struct polarys_log_change *change)
{
    switch (change->kind) {
    case POLARYS_WATCH_PUT:
        return CHANGE_PUT;
    case POLARYS_WATCH_DELETE:
        return CHANGE_DELETE;
    default:
        return CHANGE_DELETE_RANGE; /* a dropped table is all its keys */
    }
}

static size_t kind_size(const struct polarys_log_change *change)
{
    switch (kind_field(change)) {
    case CHANGE_PUT:
        return response_value_size(PUT_VALUE, &change->value) +
               response_time_size(PUT_EXPIRE_TIME, change->value.expires_at_ms);
    case CHANGE_DELETE_RANGE:
        return wire_bytes_size(RANGE_START, change->key.size) +
               wire_bytes_size(RANGE_END, change->end_key.size);
    default:
        return 0;
    }
}

static size_t key_size(const struct polarys_log_change *change)
{
    return kind_field(change) == CHANGE_DELETE_RANGE ? 0 : change->key.size;
}

static size_t change_size(const struct polarys_log_change *change)
{
    return wire_bytes_size(CHANGE_DATABASE, strlen(change->database)) +
           wire_bytes_size(CHANGE_TABLE, strlen(change->table)) +
           wire_bytes_size(CHANGE_KEY, key_size(change)) +
           wire_block_size(kind_field(change), kind_size(change));
}

static uint8_t *change_put(uint8_t *at, const struct polarys_log_change *change)
{
    at = wire_bytes_put(at, CHANGE_DATABASE, slice_from_text(change->database));
    at = wire_bytes_put(at, CHANGE_TABLE, slice_from_text(change->table));
    at = wire_bytes_put(at, CHANGE_KEY, slice_make(change->key.data, key_size(change)));
    at = wire_block_open(at, kind_field(change), kind_size(change));
    if (kind_field(change) == CHANGE_PUT) {
        at = response_value_put(at, PUT_VALUE, &change->value);
        at = response_time_put(at, PUT_EXPIRE_TIME, change->value.expires_at_ms);
    } else if (kind_field(change) == CHANGE_DELETE_RANGE) {
        at = wire_bytes_put(at, RANGE_START, change->key);
        at = wire_bytes_put(at, RANGE_END, change->end_key);
    }
    return at;
}

static enum polarys_code bytes_reserve(struct tail_commits *commits, size_t more,
                                       struct polarys_error *err)
{
    size_t wanted = commits->size + more;
    if (wanted <= commits->capacity) {
        return POLARYS_OK;
    }
    size_t capacity = 2 * commits->capacity > wanted ? 2 * commits->capacity : wanted;
    uint8_t *bytes = realloc(commits->bytes, capacity);
    if (bytes == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a commit of the log");
    }
    commits->bytes = bytes;
    commits->capacity = capacity;
    return POLARYS_OK;
}

/* Changes of the commit, until it is at its end or has TAIL_FILL_BYTES. */
static enum polarys_code changes_put(struct tail_commits *commits, struct polarys_error *err)
{
    while (commits->next_change < commits->commit.change_count && commits->size < TAIL_FILL_BYTES) {
        struct polarys_log_change change;
        polarys_log_changes_get(commits->changes, commits->next_change, &change);
        size_t size = change_size(&change);
        enum polarys_code code =
            bytes_reserve(commits, wire_block_size(COMMIT_CHANGES, size) + COMMIT_ENDS_BYTES, err);
        if (code != POLARYS_OK) {
            return code;
        }
        uint8_t *at = wire_block_open(commits->bytes + commits->size, COMMIT_CHANGES, size);
        uint8_t *end = at + size;
        at = change_put(at, &change);
        SERVICE_ASSERT(at == end);
        commits->size = (size_t)(at - commits->bytes);
        commits->next_change++;
    }
    return POLARYS_OK;
}

/* The commit under way, or a part of it, into the message. */
static enum polarys_code commit_put(struct tail_stream *stream, struct polarys_error *err)
{
    struct tail_commits *commits = stream->commits;
    commits->size = 0;
    enum polarys_code code = bytes_reserve(commits, COMMIT_ENDS_BYTES, err);
    if (code != POLARYS_OK) {
        return code;
    }
    uint8_t *at = wire_uint_put(commits->bytes, COMMIT_VERSION, commits->commit.version);
    at = response_time_put(at, COMMIT_TIME, commits->commit.time_unix_ms);
    commits->size = (size_t)(at - commits->bytes);
    size_t first = commits->next_change;
    code = changes_put(commits, err);
    if (code != POLARYS_OK) {
        commits->next_change = first;
        return code;
    }
    bool is_continued = commits->next_change < commits->commit.change_count;
    at = wire_uint_put(commits->bytes + commits->size, COMMIT_CONTINUED, is_continued);
    commits->size = (size_t)(at - commits->bytes);
    SERVICE_ASSERT(commits->size <= commits->capacity);
    tail_message_commit(&stream->message, slice_make(commits->bytes, commits->size));
    commits->has_commit = is_continued;
    return POLARYS_OK;
}

enum polarys_code tail_commits_fill(struct tail_stream *stream, bool *is_at_end,
                                    struct polarys_error *err)
{
    struct tail_commits *commits = stream->commits;
    *is_at_end = false;
    while (tail_message_size(&stream->message) < TAIL_FILL_BYTES) {
        enum polarys_code code = POLARYS_OK;
        bool has_next = true;
        if (!commits->has_commit) {
            code = polarys_log_changes_next(commits->changes, &commits->commit, &has_next, err);
            commits->next_change = 0;
            commits->has_commit = code == POLARYS_OK && has_next;
        }
        if (code != POLARYS_OK || !has_next) {
            *is_at_end = code == POLARYS_OK;
            return code;
        }
        code = commit_put(stream, err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    return POLARYS_OK;
}
