/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the copy share: fetch.c takes messages, fetch_file.c writes.
 */
#ifndef SERVICE_REPLICATION_FETCH_INTERNAL_H
#define SERVICE_REPLICATION_FETCH_INTERNAL_H

#include <openssl/evp.h>

#include "service/replication/fetch.h"

#ifdef __cplusplus
extern "C" {
#endif

struct fetch_file {
    char path[FETCH_PATH_MAX];
    uint64_t size;
    uint8_t sha256[FETCH_SHA256_SIZE];
};

struct fetch {
    const char *dir;
    const char *node;
    uint8_t id[FETCH_ID_MAX];
    size_t id_size; /* 0: no manifest yet */
    struct fetch_file *files;
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
NODISCARD enum polarys_code fetch_bytes_take(struct fetch *fetch, struct polarys_slice bytes,
                                             struct polarys_error *err);
/* What is missing of the file at file_index is zeros: it is whole. Errors: as above. */
NODISCARD enum polarys_code fetch_file_complete(struct fetch *fetch, struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
