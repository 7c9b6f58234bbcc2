/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of a file, one after the other, each up to LINE_BYTES_MAX.
 */
#ifndef CLIENT_CLI_LINE_READER_H
#define CLIENT_CLI_LINE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LINE_BYTES_MAX = 40 << 20 };

struct line_reader {
    FILE *from; /* borrowed */
    char *bytes;
    size_t capacity;
    size_t start; /* of what is not handed out */
    size_t end;
    bool is_at_end;
    uint64_t line_number; /* of the line last handed out, from 1 */
    uint64_t read_bytes;  /* up to the end of that line */
};

enum line_event {
    LINE_READ,
    LINE_END,
    LINE_TOO_LONG,
    LINE_NO_MEMORY,
    LINE_IO, /* errno */
};

void line_reader_init(struct line_reader *reader, FILE *from);
void line_reader_deinit(struct line_reader *reader);
/* The next line without its line break, borrowed until the next call. The last may lack its line break. */
enum line_event line_reader_next(struct line_reader *reader, const char **line, size_t *size);

#ifdef __cplusplus
}
#endif

#endif
