/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of the Go program, whole in memory: its snapshots are sealed in one piece, so there is no other way.
 */
#ifndef CLIENT_CLI_POLARYSDB_FILE_H
#define CLIENT_CLI_POLARYSDB_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "client/cli/polarysdb_fault.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The Go program holds all of its data in memory too, so no store of its is larger than a machine. */
#define POLARYSDB_FILE_BYTES_MAX ((uint64_t)16 << 30)

/* Zero-initialise; free with polarysdb_file_deinit. */
struct polarysdb_file {
    char *path;
    uint8_t *bytes; /* malloc'd, not NULL once read */
    size_t size;
    int64_t modified_ns; /* Unix time of the last change of its content */
};

/* Reads a regular file. False: `fault` is filled and nothing is held. */
bool polarysdb_file_read(struct polarysdb_file *file, const char *path,
                         struct polarysdb_fault *fault);
void polarysdb_file_deinit(struct polarysdb_file *file);

#ifdef __cplusplus
}
#endif

#endif
