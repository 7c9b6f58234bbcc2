/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log segment for people: one line of JSON for each frame. Without a key only what is not sealed is
 * shown; values never are.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/wal/log_batch.h"

enum { INSPECT_KEY_BYTES_MAX = 64 }; /* of a key that are shown */

struct inspector {
    bool (*each)(void *context, const char *line);
    void *context;
    bool with_keys;
    bool has_payload;
    bool is_stopped;
    struct buffer line;
    const struct wal_frame *frame;
    uint64_t time_unix_ms;
};

static enum polarys_code line_append(struct buffer *line, const char *format, ...)
    POLARYS_PRINTF(2, 3);

static enum polarys_code line_append(struct buffer *line, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    POLARYS_ASSERT(size >= 0 && (size_t)size < sizeof(text));
    return buffer_append(line, text, (size_t)size);
}

static enum polarys_code hex_append(struct buffer *line, struct polarys_slice bytes)
{
    size_t shown = bytes.size < INSPECT_KEY_BYTES_MAX ? bytes.size : (size_t)INSPECT_KEY_BYTES_MAX;
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < shown && code == POLARYS_OK; i++) {
        code = line_append(line, "%02x", bytes.data[i]);
    }
    return code == POLARYS_OK && shown < bytes.size ? line_append(line, "...") : code;
}

static const char *kind_name(enum entry_kind kind)
{
    return kind == ENTRY_PUT ? "put" : kind == ENTRY_DELETE ? "delete" : "range_delete";
}

static enum polarys_code append_operation(struct inspector *inspector,
                                          const struct entry *operation, bool is_first)
{
    const uint8_t *key = operation->key.data;
    enum polarys_code code =
        line_append(&inspector->line,
                    "%s{\"kind\":\"%s\",\"database_id\":%" PRIu32 ",\"table_id\":%" PRIu32
                    ",\"value_bytes\":%zu",
                    is_first ? "" : ",", kind_name(operation->kind), get_u32_be(key),
                    get_u32_be(key + 4), operation->value.size);
    if (code == POLARYS_OK && inspector->with_keys) {
        code = line_append(&inspector->line, ",\"key_hex\":\"");
        if (code == POLARYS_OK) {
            code = hex_append(
                &inspector->line,
                slice_make(key + TREE_KEY_PREFIX_SIZE, operation->key.size - TREE_KEY_PREFIX_SIZE));
        }
        if (code == POLARYS_OK) {
            code = line_append(&inspector->line, "\"");
        }
    }
    return code == POLARYS_OK ? line_append(&inspector->line, "}") : code;
}

static enum polarys_code append_commit(void *context, uint32_t index, uint64_t time_unix_ms,
                                       const struct entry *operations, size_t operation_count,
                                       struct polarys_error *err)
{
    struct inspector *inspector = context;
    inspector->time_unix_ms = time_unix_ms;
    enum polarys_code code =
        line_append(&inspector->line, "%s{\"version\":%" PRIu64 ",\"operations\":[",
                    index == 0 ? "" : ",", inspector->frame->first_version + index);
    for (size_t i = 0; i < operation_count && code == POLARYS_OK; i++) {
        code = append_operation(inspector, &operations[i], i == 0);
    }
    if (code == POLARYS_OK) {
        code = line_append(&inspector->line, "]}");
    }
    return code == POLARYS_OK ? code : polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a line");
}

static enum polarys_code append_payload(struct inspector *inspector, struct polarys_error *err)
{
    struct log_batch_visitor visitor = {.commit = append_commit, .context = inspector};
    enum polarys_code code = line_append(&inspector->line, ",\"commits\":[");
    if (code == POLARYS_OK) {
        code = log_batch_decode(inspector->frame->payload, inspector->frame->commit_count, &visitor,
                                err);
    }
    if (code == POLARYS_OK) {
        code =
            line_append(&inspector->line, "],\"time_unix_ms\":%" PRIu64, inspector->time_unix_ms);
    }
    return code;
}

static enum polarys_code inspect_frame(void *context, const struct wal_frame *frame,
                                       struct polarys_error *err)
{
    struct inspector *inspector = context;
    inspector->frame = frame;
    inspector->time_unix_ms = 0;
    buffer_clear(&inspector->line);
    enum polarys_code code = line_append(
        &inspector->line,
        "{\"segment\":%" PRIu64 ",\"offset\":%" PRIu64 ",\"bytes\":%" PRIu64
        ",\"first_version\":%" PRIu64 ",\"commit_count\":%" PRIu32 ",\"term\":%" PRIu64
        ",\"flags\":%" PRIu32,
        frame->segment->segment_id, frame->offset, frame->position.offset - frame->offset,
        frame->first_version, frame->commit_count, frame->segment->term, frame->flags);
    if (code == POLARYS_OK && inspector->has_payload) {
        code = append_payload(inspector, err);
    }
    if (code == POLARYS_OK) {
        code = buffer_append(&inspector->line, "}", 2); /* with its NUL */
    }
    if (code != POLARYS_OK) {
        return code;
    }
    inspector->is_stopped =
        !inspector->each(inspector->context, (const char *)inspector->line.data);
    return inspector->is_stopped ? POLARYS_CANCELLED : POLARYS_OK;
}

/* The store's directory is that of the log's directory. */
static enum polarys_code keyring_of_segment(const char *path, const char *master_key_file,
                                            struct keyring **keyring, struct polarys_error *err)
{
    char dir[VFS_PATH_MAX];
    size_t size = strlen(path);
    if (size >= VFS_PATH_MAX - 8) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "the path is too long");
    }
    while (size > 0 && path[size - 1] != '/') {
        size--;
    }
    (void)snprintf(dir, sizeof(dir), "%.*s..", (int)size, path);
    struct master_key key;
    enum polarys_code code = master_key_read_file(vfs_posix(), master_key_file, &key, err);
    if (code == POLARYS_OK) {
        struct keyring_options options = {.vfs = vfs_posix(),
                                          .dir = dir,
                                          .random = random_system(),
                                          .clock = clock_system(),
                                          .master_keys = &key,
                                          .master_key_count = 1};
        code = keyring_open(&options, keyring, err);
    }
    master_key_wipe(&key);
    return code;
}

enum polarys_code polarys_log_inspect(const char *path, const char *master_key_file, bool with_keys,
                                      bool (*each)(void *context, const char *line), void *context,
                                      struct polarys_error *err)
{
    struct keyring *keyring = NULL;
    struct wal_segment_info info;
    struct inspector inspector = {.each = each, .context = context, .with_keys = with_keys};
    struct wal_visitor visitor = {.frame = inspect_frame, .context = &inspector};
    enum polarys_code code = POLARYS_OK;
    if (master_key_file != NULL) {
        code = keyring_of_segment(path, master_key_file, &keyring, err);
    }
    if (code == POLARYS_OK) {
        inspector.has_payload = keyring != NULL;
        code = wal_inspect_file(vfs_posix(), path, keyring, &visitor, &info, err);
    }
    keyring_close(keyring);
    buffer_deinit(&inspector.line);
    if (inspector.is_stopped) {
        polarys_error_clear(err);
        return POLARYS_OK;
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "inspect %.200s", path);
}
