/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line of an import file as a record.
 *
 * Without a key field a line is what export writes: {"key":…,"value":…}, {"key":…,"raw":BASE64}, with
 * key_base64 for a key that is no UTF-8, and expires_at where there is one.
 */
#ifndef CLIENT_CLI_IMPORT_LINE_H
#define CLIENT_CLI_IMPORT_LINE_H

#include "client/cli/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What is wrong with a line. */
struct import_fault {
    char reason[32]; /* "BAD_JSON" */
    char message[512];
    bool has_offset;
    uint64_t offset; /* bytes from the line's beginning */
};

/* Room that lines share, and what they are judged by. Zero-initialise; free with import_line_deinit. */
struct import_line {
    const char *key_field; /* NULL: lines as export writes them */
    uint64_t value_bytes_max;
    uint64_t now_ms; /* Unix time: what expired before it becomes a deletion */

    struct polarys_client_record record; /* borrows from the line and from below */
    bool is_delete;                      /* the document had expired */
    char key[POLARYS_KEY_BYTES_MAX + 2];
    uint8_t *raw;
    size_t raw_capacity;
};

/* Reads a line into line->record. False: `fault` is filled. */
bool import_line_read(struct import_line *line, const char *text, size_t size,
                      struct import_fault *fault);
void import_line_deinit(struct import_line *line);

#ifdef __cplusplus
}
#endif

#endif
