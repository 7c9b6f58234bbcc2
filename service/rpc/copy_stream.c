/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ReplicationService.Bootstrap and BackupService.StreamBackup: the list of a copy's files, then their bytes,
 * then where its log ends. Both answer with the same fields, but for the files that a backup leaves out
 * because an earlier one holds them.
 *
 * All reading is done on executor threads, a message at a time; the next one is read when the transport has
 * taken the last. Between two messages the call holds nothing but an open file.
 *
 * Invariant: the copy is used as long as the call lives, so that it does not go away from under it, and
 * counts as sent only when its last message went out.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "polarys/v1/backup.pb-c.h"
#include "polarys/v1/replication.pb-c.h"
#include "service/proto/wire.h"
#include "service/rpc/copy_store.h"
#include "service/rpc/handlers.h"
#include "service/rpc/operation.h"
#include "service/rpc/response.h"
#include "service/rpc/stop.h"
#include "service/server/check.h"
#include "service/server/timing.h"

enum {
    MESSAGE_PIECES = 3, /* number of the field, in both answers */
    PIECE_PATH = 1,
    PIECE_OFFSET = 2,
    PIECE_DATA = 3,

    MESSAGE_DATA_BYTES = 1 << 20,          /* of files, in one message */
    PIECE_HEAD_BYTES = COPY_PATH_MAX + 64, /* what one piece takes besides its bytes */
    MESSAGE_PIECES_MAX = 64,
    MESSAGE_BYTES = MESSAGE_DATA_BYTES + MESSAGE_PIECES_MAX * PIECE_HEAD_BYTES,
};

/* What is asked for, of either request. */
struct copy_wanted {
    struct polarys_slice copy_id;
    struct polarys_slice file;
    uint64_t offset;
    Polarys__V1__CopyFile *const *base_files;
    size_t base_count;
};

/* In the call's arena; call->state. Of whoever has the call. */
struct copy_stream {
    struct copy_wanted wanted;
    struct copy *copy; /* NULL: not open yet */
    bool *is_left_out; /* of each file; malloc'd; NULL: none is */
    size_t file;       /* the next bytes are this one's */
    uint64_t offset;
    int descriptor; /* of that file; -1: not open */
    bool has_begun; /* the list went out */
    bool is_sent;
    bool is_last; /* the message in hand ends the stream */
    grpc_slice message;
    bool has_message;
    enum polarys_code code; /* of the executor's work; call->error says more */
};

static void stream_release(struct call *call)
{
    struct copy_stream *stream = call->state;
    if (stream->descriptor >= 0) {
        (void)close(stream->descriptor);
    }
    if (stream->has_message) {
        grpc_slice_unref(stream->message);
    }
    free(stream->is_left_out);
    copy_store_release(call->server->copies, stream->copy, stream->is_sent, timing_now_ns());
    stream->copy = NULL;
}

/* ---- opening: on the executor ---- */

static bool is_same_file(const struct copy_file *file, const Polarys__V1__CopyFile *base)
{
    return base->size == file->size && base->sha256.len == COPY_DIGEST_SIZE &&
           memcmp(base->sha256.data, file->sha256, COPY_DIGEST_SIZE) == 0;
}

static enum polarys_code base_compare(struct copy_stream *stream, struct polarys_error *err)
{
    const struct copy_files *files = &stream->copy->files;
    if (stream->wanted.base_count == 0) {
        return POLARYS_OK;
    }
    stream->is_left_out = calloc(files->count + 1, sizeof(*stream->is_left_out));
    if (stream->is_left_out == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to compare the files of a backup");
    }
    for (size_t i = 0; i < stream->wanted.base_count; i++) {
        const Polarys__V1__CopyFile *base = stream->wanted.base_files[i];
        long at = copy_files_find(files, slice_make(base->path.data, base->path.len));
        if (at >= 0 && is_same_file(&files->list[at], base)) {
            stream->is_left_out[at] = true;
        }
    }
    return POLARYS_OK;
}

/* Where to go on. */
static enum polarys_code place_find(struct copy_stream *stream, struct polarys_error *err)
{
    if (stream->wanted.file.size == 0) {
        return stream->wanted.offset == 0 ? POLARYS_OK
                                          : operation_bad(err, "offset", "needs a file");
    }
    long at = copy_files_find(&stream->copy->files, stream->wanted.file);
    if (at < 0) {
        return operation_bad(err, "file", "is none of the copy's files");
    }
    if (stream->wanted.offset > stream->copy->files.list[at].size) {
        return operation_bad(err, "offset", "lies behind the end of the file");
    }
    stream->file = (size_t)at;
    stream->offset = stream->wanted.offset;
    return POLARYS_OK;
}

static enum polarys_code stream_open(struct call *call, struct copy_stream *stream)
{
    struct copy_store *store = call->server->copies;
    struct copy_stop stop = {stop_is_wanted, call};
    enum polarys_code code =
        stream->wanted.copy_id.size == 0
            ? copy_store_make(store, timing_now_ns(), &stop, &stream->copy, &call->error)
            : copy_store_acquire(store, stream->wanted.copy_id, &stream->copy, &call->error);
    if (code == POLARYS_OK) {
        code = place_find(stream, &call->error);
    }
    return code == POLARYS_OK ? base_compare(stream, &call->error) : code;
}

/* ---- messages: on the executor ---- */

static ProtobufCBinaryData binary_of(const void *bytes, size_t size)
{
    ProtobufCBinaryData binary = {size, (uint8_t *)(uintptr_t)bytes};
    return binary;
}

static void message_set(struct copy_stream *stream, grpc_slice take_message)
{
    SERVICE_ASSERT(!stream->has_message);
    stream->message = take_message;
    stream->has_message = true;
}

/* The first message: the list of all files. */
static enum polarys_code list_pack(struct call *call, struct copy_stream *stream)
{
    const struct copy *copy = stream->copy;
    size_t count = copy->files.count;
    Polarys__V1__BootstrapResponse response = POLARYS__V1__BOOTSTRAP_RESPONSE__INIT;
    Polarys__V1__CopyManifest manifest = POLARYS__V1__COPY_MANIFEST__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    Polarys__V1__CopyFile *files = calloc(count + 1, sizeof(*files));
    Polarys__V1__CopyFile **pointers = calloc(count + 1, sizeof(*pointers));
    if (files == NULL || pointers == NULL) {
        free(files);
        free(pointers);
        return polarys_fail(&call->error, POLARYS_NO_MEMORY, "no memory for the list of files");
    }
    for (size_t i = 0; i < count; i++) {
        const struct copy_file *file = &copy->files.list[i];
        polarys__v1__copy_file__init(&files[i]);
        files[i].path = binary_of(file->path, strlen(file->path));
        files[i].size = file->size;
        files[i].sha256 = binary_of(file->sha256, COPY_DIGEST_SIZE);
        pointers[i] = &files[i];
    }
    response_header_fill(call->server, copy->end.version, token, &header);
    manifest.copy_id = binary_of(copy->id, COPY_ID_SIZE);
    manifest.files = pointers;
    manifest.n_files = count;
    manifest.version = copy->end.version;
    response.header = &header;
    response.manifest = &manifest;
    message_set(stream, response_pack(&response.base));
    free(files);
    free(pointers);
    return POLARYS_OK;
}

static void end_pack(struct copy_stream *stream)
{
    const struct polarys_log_position *end = &stream->copy->end;
    Polarys__V1__BootstrapResponse response = POLARYS__V1__BOOTSTRAP_RESPONSE__INIT;
    Polarys__V1__LogPosition position = POLARYS__V1__LOG_POSITION__INIT;
    position.segment_id = end->segment_id;
    position.offset = end->offset;
    position.tag = binary_of(end->tag, sizeof(end->tag));
    position.version = end->version;
    response.end = &position;
    message_set(stream, response_pack(&response.base));
    stream->is_last = true;
}

static enum polarys_code file_open(struct copy_stream *stream, struct polarys_error *err)
{
    char path[PATH_MAX];
    const char *name = stream->copy->files.list[stream->file].path;
    int size = snprintf(path, sizeof(path), "%s/%s", stream->copy->dir, name);
    SERVICE_ASSERT(stream->descriptor < 0);
    if (size < 0 || (size_t)size >= sizeof(path)) {
        return polarys_fail(err, POLARYS_IO, "the path of %s is too long", name);
    }
    stream->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return stream->descriptor >= 0 ? POLARYS_OK
                                   : polarys_fail_errno(err, errno, "open %s of a copy", name);
}

static enum polarys_code bytes_read(struct copy_stream *stream, uint8_t *to, size_t size,
                                    struct polarys_error *err)
{
    const char *name = stream->copy->files.list[stream->file].path;
    size_t done = 0;
    while (done < size) {
        ssize_t got =
            pread(stream->descriptor, to + done, size - done, (off_t)(stream->offset + done));
        if (got < 0 && errno != EINTR) {
            return polarys_fail_errno(err, errno, "read %s of a copy", name);
        }
        if (got == 0) {
            return polarys_fail(err, POLARYS_CORRUPT, "%s of a copy has become shorter", name);
        }
        done += got > 0 ? (size_t)got : 0;
    }
    return POLARYS_OK;
}

/* A piece of `size` bytes of the file in hand, put at *at. */
static enum polarys_code piece_put(struct copy_stream *stream, size_t size, uint8_t **at,
                                   struct polarys_error *err)
{
    const struct copy_file *file = &stream->copy->files.list[stream->file];
    struct polarys_slice path = slice_make(file->path, strlen(file->path));
    size_t body = wire_block_size(PIECE_PATH, path.size) +
                  wire_uint_size(PIECE_OFFSET, stream->offset) + wire_bytes_size(PIECE_DATA, size);
    uint8_t *to = wire_block_open(*at, MESSAGE_PIECES, body);
    to = wire_block_put(to, PIECE_PATH, path);
    to = wire_uint_put(to, PIECE_OFFSET, stream->offset);
    if (size > 0) {
        to = wire_block_open(to, PIECE_DATA, size);
        enum polarys_code code = bytes_read(stream, to, size, err);
        if (code != POLARYS_OK) {
            return code;
        }
    }
    *at = to + size;
    return POLARYS_OK;
}

static void file_done(struct copy_stream *stream)
{
    if (stream->descriptor >= 0) {
        (void)close(stream->descriptor);
        stream->descriptor = -1;
    }
    stream->file++;
    stream->offset = 0;
}

/* Goes on to the next file that has anything to send. False: there is none. */
static bool file_find(struct copy_stream *stream)
{
    const struct copy_files *files = &stream->copy->files;
    while (stream->file < files->count) {
        const struct copy_file *file = &files->list[stream->file];
        bool is_left_out = stream->is_left_out != NULL && stream->is_left_out[stream->file];
        /* A file of nothing but zeros is sent as one empty piece. */
        if (!is_left_out && (stream->offset < file->data_size || stream->offset == 0)) {
            return true;
        }
        file_done(stream);
    }
    return false;
}

/* Puts pieces into `bytes` until it is full or there is nothing more; *at is behind them then. */
static enum polarys_code pieces_fill(struct copy_stream *stream, uint8_t **at,
                                     struct polarys_error *err)
{
    size_t room = MESSAGE_DATA_BYTES;
    enum polarys_code code = POLARYS_OK;
    for (int i = 0; i < MESSAGE_PIECES_MAX && room > 0 && code == POLARYS_OK; i++) {
        if (!file_find(stream)) {
            break;
        }
        const struct copy_file *file = &stream->copy->files.list[stream->file];
        uint64_t left = file->data_size - stream->offset;
        size_t size = left < room ? (size_t)left : room;
        code = stream->descriptor < 0 ? file_open(stream, err) : POLARYS_OK;
        if (code == POLARYS_OK) {
            code = piece_put(stream, size, at, err);
        }
        if (code == POLARYS_OK) {
            room -= size;
            stream->offset += size;
            if (stream->offset >= file->data_size) {
                file_done(stream);
            }
        }
    }
    return code;
}

static enum polarys_code pieces_pack(struct call *call, struct copy_stream *stream)
{
    if (!file_find(stream)) {
        end_pack(stream);
        return POLARYS_OK;
    }
    grpc_slice whole = grpc_slice_malloc(MESSAGE_BYTES);
    uint8_t *at = GRPC_SLICE_START_PTR(whole);
    enum polarys_code code = pieces_fill(stream, &at, &call->error);
    if (code == POLARYS_OK) {
        SERVICE_ASSERT(at <= GRPC_SLICE_END_PTR(whole));
        message_set(stream, grpc_slice_sub(whole, 0, (size_t)(at - GRPC_SLICE_START_PTR(whole))));
    }
    grpc_slice_unref(whole);
    return code;
}

static enum polarys_code message_make(struct call *call, struct copy_stream *stream)
{
    if (stop_is_wanted(call)) {
        return polarys_fail(&call->error, POLARYS_CANCELLED, "not wanted any more");
    }
    if (stream->has_begun) {
        return pieces_pack(call, stream);
    }
    enum polarys_code code = stream_open(call, stream);
    if (code == POLARYS_OK) {
        code = list_pack(call, stream);
    }
    stream->has_begun = code == POLARYS_OK;
    return code;
}

static void message_run(void *context)
{
    struct call *call = context;
    struct copy_stream *stream = call->state;
    stream->code = message_make(call, stream);
    call_post(call);
}

/* ---- on the worker ---- */

static void message_sent(struct call *call, bool is_ok)
{
    if (!is_ok) {
        __atomic_store_n(&call->is_cancelled, 1, __ATOMIC_RELAXED);
    }
    call_execute(call, message_run);
}

static void message_posted(struct call *call, bool is_ok)
{
    struct copy_stream *stream = call->state;
    (void)is_ok;
    SERVICE_ASSERT(!call->is_finishing);
    if (stream->code != POLARYS_OK) {
        call_fail_own(call, stop_explain(call, stream->code, "the copy"));
        return;
    }
    SERVICE_ASSERT(stream->has_message);
    stream->has_message = false;
    if (stream->is_last) {
        stream->is_sent = true;
        call_reply(call, stream->message);
        return;
    }
    call_send(call, stream->message, false, message_sent);
}

static enum polarys_code wanted_check(const struct copy_wanted *wanted, struct polarys_error *err)
{
    if (wanted->copy_id.size != 0 && wanted->copy_id.size != COPY_ID_SIZE) {
        return operation_bad(err, "copy_id", "must have 16 bytes, or none");
    }
    if (wanted->copy_id.size == 0 && (wanted->file.size != 0 || wanted->offset != 0)) {
        return operation_bad(err, "copy_id", "must be set to go on with a file");
    }
    return POLARYS_OK;
}

static void stream_begin(struct call *call, const struct copy_wanted *wanted)
{
    enum polarys_code code = wanted_check(wanted, &call->error);
    struct copy_stream *stream =
        code == POLARYS_OK ? proto_arena_alloc(&call->arena, sizeof(*stream)) : NULL;
    if (code == POLARYS_OK && stream == NULL) {
        code = polarys_fail(&call->error, POLARYS_MEMORY_LIMIT, "no memory for a copy's stream");
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    *stream = (struct copy_stream){.wanted = *wanted, .descriptor = -1};
    call->state = stream;
    call->released = stream_release;
    call_post_handler_set(call, message_posted);
    call_execute(call, message_run);
}

static struct polarys_slice slice_of(ProtobufCBinaryData binary)
{
    return slice_make(binary.data, binary.len);
}

void replication_bootstrap(struct call *call)
{
    const Polarys__V1__BootstrapRequest *request = call->request;
    struct copy_wanted wanted = {.copy_id = slice_of(request->copy_id),
                                 .file = slice_of(request->file),
                                 .offset = request->offset};
    if (!polarys_name_is_valid((const char *)request->node.data, request->node.len)) {
        call_fail_own(call, operation_bad(&call->error, "node", "must be the name of a node"));
        return;
    }
    stream_begin(call, &wanted);
}

/* That the earlier backup, if there is one, is of this store. */
static enum polarys_code base_check(const struct call *call, struct polarys_error *err)
{
    const Polarys__V1__StreamBackupRequest *request = call->request;
    ProtobufCBinaryData id = request->base_store_id;
    if (id.len != 0 && id.len != POLARYS_ID_SIZE) {
        return operation_bad(err, "base_store_id", "must have 16 bytes, or none");
    }
    if (id.len == 0) {
        return request->n_base_files == 0
                   ? POLARYS_OK
                   : operation_bad(err, "base_store_id", "must be set with files");
    }
    return memcmp(id.data, polarys_db_store_id(call->server->db), POLARYS_ID_SIZE) == 0
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_WRONG_STORE,
                              "the earlier backup is of another store: make a full one");
}

void backup_stream_backup(struct call *call)
{
    const Polarys__V1__StreamBackupRequest *request = call->request;
    struct copy_wanted wanted = {.copy_id = slice_of(request->copy_id),
                                 .file = slice_of(request->file),
                                 .offset = request->offset,
                                 .base_files = request->base_files,
                                 .base_count = request->n_base_files};
    enum polarys_code code = base_check(call, &call->error);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    stream_begin(call, &wanted);
}
