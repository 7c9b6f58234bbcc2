/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a snapshot, backup or export of the Go program, or of its Python sister, to the JSON text in it: sealed in
 * one piece, sealed behind the header of older Python versions, or plain.
 */
#ifndef CLIENT_CLI_POLARYSDB_CONTAINER_H
#define CLIENT_CLI_POLARYSDB_CONTAINER_H

#include "client/cli/polarysdb_crypto.h"
#include "client/cli/polarysdb_file.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { POLARYSDB_PYTHON_HEADER_SIZE = 12 };

/* JSON text that nobody has judged yet. */
struct polarysdb_text {
    char *bytes; /* malloc'd */
    size_t size;
    bool is_plain; /* it stands in the file as it is: offsets are the file's */
};

/* Fills *text, to be freed by the caller. Plain text is taken only where it may be: in place of a snapshot or
 * backup it would be somebody else's. False: `fault` is filled and nothing is held. */
bool polarysdb_container_open(const struct polarysdb_file *file, const struct polarysdb_keys *keys,
                              bool may_be_plain, struct polarysdb_text *text,
                              struct polarysdb_fault *fault);

#ifdef __cplusplus
}
#endif

#endif
