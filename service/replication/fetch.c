/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes the messages of a Bootstrap: the manifest, checked before anything is written, then pieces in the
 * order of its files, each of which has to go on exactly where the last one ended.
 */
#include "service/replication/fetch.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "polarys/v1/replication.pb-c.h"
#include "service/replication/fetch_internal.h"
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
    static const char *const kept[] = {ROLE_FILE,    "role.tmp",   "LOCK",
                                       "master.key", "diverged-*", "bootstrap.*",
                                       "slots*",     "copies",     "checkpoints"};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (first_name_is(path, size, kept[i])) {
            return true;
        }
    }
    return false;
}

bool fetch_path_is_safe(const char *path, size_t size)
{
    size_t name_start = 0;
    unsigned depth = 0;
    if (size == 0 || size >= FETCH_PATH_MAX || is_name_of_node(path, size)) {
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

enum polarys_code fetch_create(const char *dir, const char *node, struct fetch **out,
                               struct polarys_error *err)
{
    *out = NULL;
    struct fetch *fetch = calloc(1, sizeof(*fetch));
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    if (fetch == NULL || digest == NULL) {
        free(fetch);
        EVP_MD_CTX_free(digest);
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to fetch a copy");
    }
    *fetch = (struct fetch){.dir = dir, .node = node, .fd = -1, .digest = digest};
    *out = fetch;
    return POLARYS_OK;
}

void fetch_destroy(struct fetch *fetch)
{
    if (fetch == NULL) {
        return;
    }
    if (fetch->fd >= 0) {
        (void)close(fetch->fd);
    }
    EVP_MD_CTX_free(fetch->digest);
    free(fetch->files);
    free(fetch);
}

void fetch_progress_get(const struct fetch *fetch, struct fetch_progress *progress)
{
    *progress = (struct fetch_progress){.files = fetch->file_count,
                                        .files_done = fetch->file_index,
                                        .bytes = fetch->bytes,
                                        .bytes_done = fetch->bytes_done,
                                        .version = fetch->version};
}

/* ---- the manifest ---- */

static enum polarys_code manifest_bad(struct polarys_error *err, const char *what)
{
    return polarys_fail(err, POLARYS_BAD_MESSAGE, "the list of files of the copy: %s", what);
}

static enum polarys_code file_take(const Polarys__V1__CopyFile *from, struct fetch_file *to,
                                   struct polarys_error *err)
{
    if (!fetch_path_is_safe((const char *)from->path.data, from->path.len)) {
        return manifest_bad(err, "a path in it leads out of the directory, or is not its to write");
    }
    if (from->sha256.len != FETCH_SHA256_SIZE || from->size > (uint64_t)INT64_MAX) {
        return manifest_bad(err, "a length or digest in it makes no sense");
    }
    memcpy(to->path, from->path.data, from->path.len);
    to->path[from->path.len] = '\0';
    memcpy(to->sha256, from->sha256.data, FETCH_SHA256_SIZE);
    to->size = from->size;
    return POLARYS_OK;
}

static enum polarys_code room_check(const struct fetch *fetch, struct polarys_error *err)
{
    struct statvfs status;
    if (statvfs(fetch->dir, &status) != 0) {
        return polarys_fail_errno(err, errno, "look at the file system of %s", fetch->dir);
    }
    uint64_t free_bytes = (uint64_t)status.f_bavail * status.f_frsize;
    if (fetch->bytes <= free_bytes) {
        return POLARYS_OK;
    }
    return polarys_fail(err, POLARYS_DISK_LOW,
                        "the copy has %" PRIu64 " bytes, and %s has room for %" PRIu64,
                        fetch->bytes, fetch->dir, free_bytes);
}

static enum polarys_code manifest_take(struct fetch *fetch,
                                       const Polarys__V1__CopyManifest *manifest,
                                       struct polarys_error *err)
{
    if (fetch->id_size != 0) {
        /* Gone on with: the list is the one that is known. */
        return manifest->copy_id.len == fetch->id_size &&
                       memcmp(manifest->copy_id.data, fetch->id, fetch->id_size) == 0
                   ? POLARYS_OK
                   : manifest_bad(err, "another copy than the one that was begun");
    }
    if (manifest->copy_id.len == 0 || manifest->copy_id.len > FETCH_ID_MAX ||
        manifest->n_files == 0 || manifest->n_files > FETCH_FILES_MAX) {
        return manifest_bad(err, "it has no name, no files or too many");
    }
    fetch->files = calloc(manifest->n_files, sizeof(*fetch->files));
    if (fetch->files == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a list of %zu files",
                            manifest->n_files);
    }
    for (size_t i = 0; i < manifest->n_files; i++) {
        enum polarys_code code = file_take(manifest->files[i], &fetch->files[i], err);
        if (code != POLARYS_OK) {
            return code;
        }
        fetch->bytes += fetch->files[i].size;
    }
    fetch->file_count = manifest->n_files;
    fetch->version = manifest->version;
    memcpy(fetch->id, manifest->copy_id.data, manifest->copy_id.len);
    fetch->id_size = manifest->copy_id.len;
    return room_check(fetch, err);
}

/* ---- pieces ---- */

static bool is_of_file(const Polarys__V1__FilePiece *piece, const struct fetch_file *file)
{
    return piece->path.len == strlen(file->path) &&
           memcmp(piece->path.data, file->path, piece->path.len) == 0;
}

static enum polarys_code piece_take(struct fetch *fetch, const Polarys__V1__FilePiece *piece,
                                    struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    if (fetch->id_size == 0) {
        return polarys_fail(err, POLARYS_BAD_MESSAGE, "a piece of a file before the list of files");
    }
    /* Zeros at the end of a file are not sent: another file's piece tells that it was all. */
    while (code == POLARYS_OK && fetch->file_index < fetch->file_count &&
           !is_of_file(piece, &fetch->files[fetch->file_index])) {
        code = fetch_file_complete(fetch, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (fetch->file_index == fetch->file_count || piece->offset != fetch->offset) {
        return polarys_fail(err, POLARYS_BAD_MESSAGE,
                            "a piece of the copy is not the one that comes next");
    }
    return piece->data.len == 0
               ? POLARYS_OK
               : fetch_bytes_take(fetch, slice_make(piece->data.data, piece->data.len), err);
}

static enum polarys_code message_take(struct fetch *fetch,
                                      const Polarys__V1__BootstrapResponse *message,
                                      struct polarys_error *err)
{
    enum polarys_code code = POLARYS_OK;
    if (message->manifest != NULL) {
        code = manifest_take(fetch, message->manifest, err);
    }
    for (size_t i = 0; i < message->n_pieces && code == POLARYS_OK; i++) {
        code = piece_take(fetch, message->pieces[i], err);
    }
    fetch->has_end |= code == POLARYS_OK && message->end != NULL;
    return code;
}

static enum polarys_code stream_take(struct fetch *fetch, struct peer_stream *stream,
                                     struct proto_arena *arena, struct polarys_error *err)
{
    for (;;) {
        struct peer_received received;
        proto_arena_reset(arena);
        enum polarys_code code =
            peer_stream_receive(stream, FETCH_SILENCE_MS, arena, &received, err);
        if (code == POLARYS_OK && received.event == PEER_MESSAGE) {
            code = message_take(fetch, received.message, err);
        } else if (code == POLARYS_OK && received.event == PEER_IDLE) {
            code = polarys_fail(err, POLARYS_WAIT_TIMEOUT, "nothing came for %d s",
                                FETCH_SILENCE_MS / 1000);
        }
        if (code != POLARYS_OK || received.event == PEER_ENDED) {
            return code;
        }
    }
}

static void request_fill(const struct fetch *fetch, Polarys__V1__BootstrapRequest *request)
{
    polarys__v1__bootstrap_request__init(request);
    request->node.data = (uint8_t *)(uintptr_t)fetch->node;
    request->node.len = strlen(fetch->node);
    if (fetch->id_size == 0) {
        return;
    }
    SERVICE_ASSERT(fetch->file_index < fetch->file_count);
    const char *path = fetch->files[fetch->file_index].path;
    request->copy_id.data = (uint8_t *)(uintptr_t)fetch->id;
    request->copy_id.len = fetch->id_size;
    request->file.data = (uint8_t *)(uintptr_t)path;
    request->file.len = strlen(path);
    request->offset = fetch->offset;
}

enum polarys_code fetch_run(struct fetch *fetch, struct peer *peer, struct proto_arena *arena,
                            struct polarys_error *err)
{
    Polarys__V1__BootstrapRequest request;
    struct peer_stream *stream = NULL;
    if (fetch->id_size != 0 && fetch->file_index == fetch->file_count) {
        return POLARYS_OK;
    }
    request_fill(fetch, &request);
    const struct peer_call call = {.method = "/polarys.v1.ReplicationService/Bootstrap",
                                   .request = &request.base,
                                   .response = &polarys__v1__bootstrap_response__descriptor,
                                   .is_only_request = true};
    enum polarys_code code = peer_stream_open(peer, &call, &stream, err);
    if (code == POLARYS_OK) {
        code = stream_take(fetch, stream, arena, err);
    }
    peer_stream_close(stream);
    if (code == POLARYS_OK && (fetch->id_size == 0 || !fetch->has_end)) {
        code = polarys_fail(err, POLARYS_BAD_MESSAGE, "the copy ended before its last message");
    }
    while (code == POLARYS_OK && fetch->file_index < fetch->file_count) {
        code = fetch_file_complete(fetch, err);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "fetch a copy of the store");
}
