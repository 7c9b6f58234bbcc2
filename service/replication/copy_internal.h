/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the copy share: copy.c takes messages, copy_file.c writes.
 */
#ifndef SERVICE_REPLICATION_COPY_INTERNAL_H
#define SERVICE_REPLICATION_COPY_INTERNAL_H

#include <openssl/evp.h>

#include "service/replication/copy.h"

#ifdef __cplusplus
extern "C" {
#endif

struct copy_file {
    char path[COPY_PATH_MAX];
    uint64_t size;
    uint8_t sha256[COPY_SHA256_SIZE];
};

struct copy {
    const char *dir;
    const char *node;
    uint8_t id[COPY_ID_MAX];
    size_t id_size; /* 0: no manifest yet */
    struct copy_file *files;
    size_t file_count;
    uint64_t version;
    uint64_t bytes;

    size_t file_index; /* of the file that is being written; file_count: all are there */
    int fd;            /* of it; -1: not begun */
    uint64_t offset;   /* of it: bytes that are there */
    uint64_t bytes_done;
    bool has_end; /* the last message came */
    EVP_MD_CTX *digest;
};

/* Writes the next bytes of the file at file_index, and goes on to the next file when it is whole. Errors:
 * CORRUPT, BAD_MESSAGE, IO, DISK_LOW. */
NODISCARD enum polarys_code copy_bytes_take(struct copy *copy, struct polarys_slice bytes,
                                            struct polarys_error *err);
/* What is missing of the file at file_index is zeros: it is whole. Errors: as above. */
NODISCARD enum polarys_code copy_file_complete(struct copy *copy, struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
