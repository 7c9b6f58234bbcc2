/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a whole file. A file that grows or shrinks meanwhile belongs to a program that still runs, which is
 * refused: what would be read is no state that ever was.
 */
#include "client/cli/polarysdb_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/assert.h"

enum { READ_BYTES_MAX = 1 << 30 };

static bool size_judge(const struct stat *info, const char *path, struct polarysdb_fault *fault)
{
    if (!S_ISREG(info->st_mode)) {
        return polarysdb_fault_set(fault, POLARYSDB_IO, "%s: this is no regular file", path);
    }
    if (info->st_size < 0 || (uint64_t)info->st_size > POLARYSDB_FILE_BYTES_MAX) {
        return polarysdb_fault_set(
            fault, POLARYSDB_TOO_LARGE, "%s: a file of %lld bytes; at most %llu are taken", path,
            (long long)info->st_size, (unsigned long long)POLARYSDB_FILE_BYTES_MAX);
    }
    return true;
}

/* Reads file->size bytes, and that nothing follows them. */
static bool bytes_read(int descriptor, struct polarysdb_file *file, struct polarysdb_fault *fault)
{
    size_t done = 0;
    uint8_t behind;

    POLARYS_ASSERT(file->bytes != NULL);
    while (done < file->size) {
        size_t left = file->size - done;
        ssize_t count = read(descriptor, file->bytes + done,
                             left < READ_BYTES_MAX ? left : (size_t)READ_BYTES_MAX);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return polarysdb_fault_errno(fault, file->path);
        }
        if (count == 0) {
            break;
        }
        done += (size_t)count;
    }
    if (done < file->size || read(descriptor, &behind, 1) != 0) {
        return polarysdb_fault_set(fault, POLARYSDB_IO,
                                   "%s: changes while it is read; stop the program that writes it",
                                   file->path);
    }
    return true;
}

static bool descriptor_read(int descriptor, struct polarysdb_file *file,
                            struct polarysdb_fault *fault)
{
    struct stat info;

    if (fstat(descriptor, &info) != 0) {
        return polarysdb_fault_errno(fault, file->path);
    }
    if (!size_judge(&info, file->path, fault)) {
        return false;
    }
    file->size = (size_t)info.st_size;
    file->modified_ns = (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
    file->bytes = malloc(file->size + 1);
    if (file->bytes == NULL) {
        return polarysdb_fault_memory(fault, "the content of a file");
    }
    return bytes_read(descriptor, file, fault);
}

bool polarysdb_file_read(struct polarysdb_file *file, const char *path,
                         struct polarysdb_fault *fault)
{
    POLARYS_ASSERT(file->path == NULL && file->bytes == NULL);
    /* Not blocking: a named pipe is refused, not waited for. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) {
        return polarysdb_fault_errno(fault, path);
    }
    file->path = strdup(path);
    bool is_read = file->path != NULL ? descriptor_read(descriptor, file, fault)
                                      : polarysdb_fault_memory(fault, "a file's name");
    (void)close(descriptor);
    if (!is_read) {
        polarysdb_file_deinit(file);
    }
    return is_read;
}

void polarysdb_file_deinit(struct polarysdb_file *file)
{
    free(file->path);
    free(file->bytes);
    memset(file, 0, sizeof(*file));
}
