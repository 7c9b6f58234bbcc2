/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a copy as they are written: made, hashed on the way, compared and made durable.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "service/replication/fetch_internal.h"
#include "service/server/check.h"

enum { ZERO_BYTES = 64 << 10 };

static enum polarys_code file_begin(struct fetch *fetch, const struct fetch_file *file,
                                    struct polarys_error *err)
{
    char path[FILES_PATH_MAX];
    enum polarys_code code = files_make_parents(fetch->dir, file->path, err);
    if (code == POLARYS_OK) {
        code = files_join(path, fetch->dir, file->path, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    /* Exclusive: no file of the list may be another one under a second name. */
    fetch->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fetch->fd < 0) {
        return polarys_fail_errno(err, errno, "make %s", path);
    }
    fetch->offset = 0;
    return EVP_DigestInit_ex(fetch->digest, EVP_sha256(), NULL) == 1
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_NO_MEMORY, "begin a digest");
}

/* Closes the file in every case. */
static enum polarys_code file_end(struct fetch *fetch, const struct fetch_file *file,
                                  struct polarys_error *err)
{
    uint8_t sha256[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    int error = fsync(fetch->fd) == 0 ? 0 : errno;
    if (close(fetch->fd) != 0 && error == 0) {
        error = errno;
    }
    fetch->fd = -1;
    if (error != 0) {
        return polarys_fail_errno(err, error, "write %s", file->path);
    }
    if (EVP_DigestFinal_ex(fetch->digest, sha256, &size) != 1 || size != FETCH_SHA256_SIZE ||
        memcmp(sha256, file->sha256, FETCH_SHA256_SIZE) != 0) {
        return polarys_fail(err, POLARYS_CORRUPT,
                            "%s is not what its digest says: it was damaged on the way",
                            file->path);
    }
    fetch->file_index++;
    fetch->offset = 0;
    return POLARYS_OK;
}

static enum polarys_code bytes_write(const struct fetch *fetch, const struct fetch_file *file,
                                     struct polarys_slice bytes, struct polarys_error *err)
{
    size_t at = 0;
    while (at < bytes.size) {
        ssize_t written =
            pwrite(fetch->fd, bytes.data + at, bytes.size - at, (off_t)(fetch->offset + at));
        if (written < 0 && errno != EINTR) {
            return polarys_fail_errno(err, errno, "write %s", file->path);
        }
        at += written < 0 ? 0 : (size_t)written;
    }
    return POLARYS_OK;
}

enum polarys_code fetch_bytes_take(struct fetch *fetch, struct polarys_slice bytes,
                                   struct polarys_error *err)
{
    SERVICE_ASSERT(fetch->file_index < fetch->file_count);
    const struct fetch_file *file = &fetch->files[fetch->file_index];
    enum polarys_code code = fetch->fd < 0 ? file_begin(fetch, file, err) : POLARYS_OK;
    if (code != POLARYS_OK) {
        return code;
    }
    if (bytes.size > file->size - fetch->offset) {
        return polarys_fail(err, POLARYS_BAD_MESSAGE,
                            "%s is longer than the %" PRIu64 " bytes that were announced",
                            file->path, file->size);
    }
    if (bytes.size > 0) {
        code = bytes_write(fetch, file, bytes, err);
        if (code == POLARYS_OK && EVP_DigestUpdate(fetch->digest, bytes.data, bytes.size) != 1) {
            code = polarys_fail(err, POLARYS_NO_MEMORY, "digest %s", file->path);
        }
        if (code != POLARYS_OK) {
            return code;
        }
        fetch->offset += bytes.size;
        fetch->bytes_done += bytes.size;
    }
    return fetch->offset == file->size ? file_end(fetch, file, err) : POLARYS_OK;
}

enum polarys_code fetch_file_complete(struct fetch *fetch, struct polarys_error *err)
{
    static const uint8_t zeros[ZERO_BYTES];
    SERVICE_ASSERT(fetch->file_index < fetch->file_count);
    const struct fetch_file *file = &fetch->files[fetch->file_index];
    enum polarys_code code = fetch->fd < 0 ? file_begin(fetch, file, err) : POLARYS_OK;
    for (uint64_t at = fetch->offset; at < file->size && code == POLARYS_OK; at += ZERO_BYTES) {
        size_t size = file->size - at < ZERO_BYTES ? (size_t)(file->size - at) : (size_t)ZERO_BYTES;
        if (EVP_DigestUpdate(fetch->digest, zeros, size) != 1) {
            code = polarys_fail(err, POLARYS_NO_MEMORY, "digest %s", file->path);
        }
    }
    if (code == POLARYS_OK && ftruncate(fetch->fd, (off_t)file->size) != 0) {
        code = polarys_fail_errno(err, errno, "lengthen %s", file->path);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    fetch->bytes_done += file->size - fetch->offset;
    fetch->offset = file->size;
    return file_end(fetch, file, err);
}
