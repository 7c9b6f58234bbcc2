/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes the messages of a Bootstrap: the manifest, checked before anything is written, then pieces in the
 * order of its files, each of which has to go on exactly where the last one ended.
 */
#include "service/replication/copy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "polarys/v1/replication.pb-c.h"
#include "service/replication/copy_internal.h"
#include "service/replication/role.h"
#include "service/server/check.h"

/* True when the first name of the path is `name`, or begins so where it ends in '*'. */
static bool first_name_is(const char *path, size_t size, const char *name)
{
    size_t name_size = strlen(name);
    bool is_prefix = name[name_size - 1] == '*';
    name_size -= is_prefix;
    return size >= name_size && memcmp(path, name, name_size) == 0 &&
           (is_prefix || size == name_size || path[name_size] == '/');
}

static bool is_name_of_node(const char *path, size_t size)
{
    static const char *const kept[] = {ROLE_FILE,    "role.tmp",    "LOCK",  "master.key",
                                       "diverged-*", "bootstrap.*", "slots*"};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (first_name_is(path, size, kept[i])) {
            return true;
        }
    }
    return false;
}

bool copy_path_is_safe(const char *path, size_t size)
{
    size_t name_start = 0;
    unsigned depth = 0;
    if (size == 0 || size >= COPY_PATH_MAX || is_name_of_node(path, size)) {
        return false;
    }
    for (size_t i = 0; i <= size; i++) {
        if (i < size && path[i] != '/') {
            if ((unsigned char)path[i] <= ' ' || (unsigned char)path[i] >= 0x7f ||
                path[i] == '\\') {
                return false;
            }
            continue;
        }
        /* No name is empty, "." or "..", nor hidden. */
        size_t name_size = i - name_start;
        if (name_size == 0 || name_size > FILES_NAME_MAX || path[name_start] == '.' ||
            ++depth > FILES_DEPTH_MAX) {
            return false;
        }
        name_start = i + 1;
    }
    return true;
}

enum polarys_code copy_create(const char *dir, const char *node, struct copy **out,
                              struct polarys_error *err)
{
    *out = NULL;
    struct copy *copy = calloc(1, sizeof(*copy));
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    if (copy == NULL || digest == NULL) {
        free(copy);
        EVP_MD_CTX_free(digest);
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to fetch a copy");
    }
    *copy = (struct copy){.dir = dir, .node = node, .fd = -1, .digest = digest};
    *out = copy;
    return POLARYS_OK;
}

void copy_destroy(struct copy *copy)
{
    if (copy == NULL) {
        return;
    }
    if (copy->fd >= 0) {
        (void)close(copy->fd);
    }
    EVP_MD_CTX_free(copy->digest);
    free(copy->files);
    free(copy);
}

void copy_progress_get(const struct copy *copy, struct copy_progress *progress)
{
    *progress = (struct copy_progress){.files = copy->file_count,
                                       .files_done = copy->file_index,
                                       .bytes = copy->bytes,
                                       .bytes_done = copy->bytes_done,
                                       .version = copy->version};
}

/* ---- the manifest ---- */

static enum polarys_code manifest_bad(struct polarys_error *err, const char *what)
{
    return polarys_fail(err, POLARYS_BAD_MESSAGE, "the list of files of the copy: %s", what);
}

static enum polarys_code file_take(const Polarys__V1__CopyFile *from, struct copy_file *to,
                                   struct polarys_error *err)
{
    if (!copy_path_is_safe((const char *)from->path.data, from->path.len)) {
        return manifest_bad(err, "a path in it leads out of the directory, or is not its to write");
    }
    if (from->sha256.len != COPY_SHA256_SIZE || from->size > (uint64_t)INT64_MAX) {
        return manifest_bad(err, "a length or digest in it makes no sense");
    }
    memcpy(to->path, from->path.data, from->path.len);
    to->path[from->path.len] = '\0';
    memcpy(to->sha256, from->sha256.data, COPY_SHA256_SIZE);
    to->size = from->size;
    return POLARYS_OK;
}

static enum polarys_code room_check(const struct copy *copy, struct polarys_error *err)
{
    struct statvfs status;
    if (statvfs(copy->dir, &status) != 0) {
        return polarys_fail_errno(err, errno, "look at the file system of %s", copy->dir);
    }
    uint64_t free_bytes = (uint64_t)status.f_bavail * status.f_frsize;
    if (copy->bytes <= free_bytes) {
        return POLARYS_OK;
    }
    return polarys_fail(err, POLARYS_DISK_LOW,
                        "the copy has %" PRIu64 " bytes, and %s has room for %" PRIu64, copy->bytes,
                        copy->dir, free_bytes);
}

static enum polarys_code manifest_take(struct copy *copy, const Polarys__V1__CopyManifest *manifest,
                                       struct polarys_error *err)
{
    if (copy->id_size != 0) {
        /* Gone on with: the list is the one that is known. */
        return manifest->copy_id.len == copy->id_size &&
                       memcmp(manifest->copy_id.data, copy->id, copy->id_size) == 0
                   ? POLARYS_OK
                   : manifest_bad(err, "another copy than the one that was begun");
    }
    if (manifest->copy_id.len == 0 || manifest->copy_id.len > COPY_ID_MAX ||
        manifest->n_files == 0 || manifest->n_files > COPY_FILES_MAX) {
        return manifest_bad(err, "it has no name, no files or too many");
    }
    copy->files = calloc(manifest->n_files, sizeof(*copy->files));
    if (copy->files == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a list of %zu files",
                            manifest->n_files);
    }
    for (size_t i = 0; i < manifest->n_files; i++) {
        enum polarys_code code = file_take(manifest->files[i], &copy->files[i], err);
        if (code != POLARYS_OK) {
            return code;
        }
        copy->bytes += copy->files[i].size;
    }
    copy->file_count = manifest->n_files;
    copy->version = manifest->version;
    memcpy(copy->id, manifest->copy_id.data, manifest->copy_id.len);
    copy->id_size = manifest->copy_id.len;
    return room_check(copy, err);
}

/* ---- pieces ---- */

static bool is_of_file(const Polarys__V1__FilePiece *piece, const struct copy_file *file)
{
    return piece->path.len == strlen(file->path) &&
           memcmp(piece->path.data, file->path, piece->path.len) == 0;
}

static enum polarys_code piece_take(struct copy *copy, const Polarys__V1__FilePiece *piece,
                                    struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    if (copy->id_size == 0) {
        return polarys_fail(err, POLARYS_BAD_MESSAGE, "a piece of a file before the list of files");
    }
    /* Zeros at the end of a file are not sent: another file's piece tells that it was all. */
    while (code == POLARYS_OK && copy->file_index < copy->file_count &&
           !is_of_file(piece, &copy->files[copy->file_index])) {
        code = copy_file_complete(copy, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (copy->file_index == copy->file_count || piece->offset != copy->offset) {
        return polarys_fail(err, POLARYS_BAD_MESSAGE,
                            "a piece of the copy is not the one that comes next");
    }
    return piece->data.len == 0
               ? POLARYS_OK
               : copy_bytes_take(copy, slice_make(piece->data.data, piece->data.len), err);
}

static enum polarys_code message_take(struct copy *copy,
                                      const Polarys__V1__BootstrapResponse *message,
                                      struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    if (message->manifest != NULL) {
        code = manifest_take(copy, message->manifest, err);
    }
    for (size_t i = 0; i < message->n_pieces && code == POLARYS_OK; i++) {
        code = piece_take(copy, message->pieces[i], err);
    }
    copy->has_end |= code == POLARYS_OK && message->end != NULL;
    return code;
}

static enum polarys_code stream_take(struct copy *copy, struct peer_stream *stream,
                                     struct proto_arena *arena, struct polarys_error *err)
{
    for (;;) {
        struct peer_received received;
        proto_arena_reset(arena);
        enum polarys_code code =
            peer_stream_receive(stream, COPY_SILENCE_MS, arena, &received, err);
        if (code == POLARYS_OK && received.event == PEER_MESSAGE) {
            code = message_take(copy, received.message, err);
        } else if (code == POLARYS_OK && received.event == PEER_IDLE) {
            code = polarys_fail(err, POLARYS_WAIT_TIMEOUT, "nothing came for %d s",
                                COPY_SILENCE_MS / 1000);
        }
        if (code != POLARYS_OK || received.event == PEER_ENDED) {
            return code;
        }
    }
}

static void request_fill(const struct copy *copy, Polarys__V1__BootstrapRequest *request)
{
    polarys__v1__bootstrap_request__init(request);
    request->node.data = (uint8_t *)(uintptr_t)copy->node;
    request->node.len = strlen(copy->node);
    if (copy->id_size == 0) {
        return;
    }
    SERVICE_ASSERT(copy->file_index < copy->file_count);
    const char *path = copy->files[copy->file_index].path;
    request->copy_id.data = (uint8_t *)(uintptr_t)copy->id;
    request->copy_id.len = copy->id_size;
    request->file.data = (uint8_t *)(uintptr_t)path;
    request->file.len = strlen(path);
    request->offset = copy->offset;
}

enum polarys_code copy_fetch(struct copy *copy, struct peer *peer, struct proto_arena *arena,
                             struct polarys_error *err)
{
    Polarys__V1__BootstrapRequest request;
    struct peer_stream *stream = NULL;
    if (copy->id_size != 0 && copy->file_index == copy->file_count) {
        return POLARYS_OK;
    }
    request_fill(copy, &request);
    const struct peer_call call = {.method = "/polarys.v1.ReplicationService/Bootstrap",
                                   .request = &request.base,
                                   .response = &polarys__v1__bootstrap_response__descriptor,
                                   .is_only_request = true};
    enum polarys_code code = peer_stream_open(peer, &call, &stream, err);
    if (code == POLARYS_OK) {
        code = stream_take(copy, stream, arena, err);
    }
    peer_stream_close(stream);
    if (code == POLARYS_OK && (copy->id_size == 0 || !copy->has_end)) {
        code = polarys_fail(err, POLARYS_BAD_MESSAGE, "the copy ended before its last message");
    }
    while (code == POLARYS_OK && copy->file_index < copy->file_count) {
        code = copy_file_complete(copy, err);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "fetch a copy of the store");
}
