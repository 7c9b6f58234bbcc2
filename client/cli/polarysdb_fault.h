/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with files of the Go program PolarysDB: a reason in capitals and a message that names the file,
 * the place in it and what to do.
 */
#ifndef CLIENT_CLI_POLARYSDB_FAULT_H
#define CLIENT_CLI_POLARYSDB_FAULT_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reasons, as `polarys: REASON: ...` shows them. */
#define POLARYSDB_CORRUPT "DATA_LOSS/CORRUPT"
#define POLARYSDB_TAMPERED "DATA_LOSS/TAMPERED"
#define POLARYSDB_UNSUPPORTED "FAILED_PRECONDITION/UNSUPPORTED_FORMAT"
#define POLARYSDB_BAD_JSON "INVALID_ARGUMENT/BAD_JSON"
#define POLARYSDB_BAD_NAME "INVALID_ARGUMENT/BAD_NAME"
#define POLARYSDB_BAD_KEY "INVALID_ARGUMENT/BAD_KEY"
#define POLARYSDB_TOO_LARGE "INVALID_ARGUMENT/TOO_LARGE"
#define POLARYSDB_NO_MEMORY "NO_MEMORY"
#define POLARYSDB_NOT_FOUND "FILE_NOT_FOUND"
#define POLARYSDB_IO "IO"

/* Plain data. */
struct polarysdb_fault {
    char reason[64];
    char message[1536];
};

/* Fills `fault`. Always false, to be returned. */
bool polarysdb_fault_set(struct polarysdb_fault *fault, const char *reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* "no memory for `what`". Always false. */
bool polarysdb_fault_memory(struct polarysdb_fault *fault, const char *what);
/* What errno says about `path`. Always false. */
bool polarysdb_fault_errno(struct polarysdb_fault *fault, const char *path);

#ifdef __cplusplus
}
#endif

#endif
