/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One buffer that grows to the longest line.
 */
#include "client/cli/line_reader.h"

#include <stdlib.h>
#include <string.h>

#include "client/assert.h"

enum { LINE_READER_BYTES_FIRST = 1 << 18 };

void line_reader_init(struct line_reader *reader, FILE *from)
{
    POLARYS_ASSERT(from != NULL);
    memset(reader, 0, sizeof(*reader));
    reader->from = from;
}

void line_reader_deinit(struct line_reader *reader)
{
    free(reader->bytes);
    memset(reader, 0, sizeof(*reader));
}

/* Makes room behind `end` and reads some more. */
static enum line_event more_read(struct line_reader *reader)
{
    POLARYS_ASSERT(reader->start <= reader->end);
    POLARYS_ASSERT(reader->end <= reader->capacity);
    if (reader->bytes != NULL && reader->start > 0) {
        memmove(reader->bytes, reader->bytes + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
    }
    if (reader->end == reader->capacity) {
        size_t capacity = reader->capacity == 0 ? LINE_READER_BYTES_FIRST : reader->capacity * 2;
        if (reader->end > LINE_BYTES_MAX) {
            return LINE_TOO_LONG;
        }
        char *grown = realloc(reader->bytes, capacity);
        if (grown == NULL) {
            return LINE_NO_MEMORY;
        }
        reader->bytes = grown;
        reader->capacity = capacity;
    }
    size_t got =
        fread(reader->bytes + reader->end, 1, reader->capacity - reader->end, reader->from);
    reader->end += got;
    if (got == 0) {
        reader->is_at_end = true;
        return ferror(reader->from) != 0 ? LINE_IO : LINE_END;
    }
    return LINE_READ;
}

enum line_event line_reader_next(struct line_reader *reader, const char **line, size_t *size)
{
    size_t searched = 0;

    POLARYS_ASSERT(line != NULL && size != NULL);
    POLARYS_ASSERT(reader->start <= reader->end);
    for (;;) {
        size_t held = reader->end - reader->start;
        const char *start = reader->bytes == NULL ? "" : reader->bytes + reader->start;
        const char *found = NULL;
        if (reader->bytes != NULL && held > searched) {
            found = memchr(start + searched, '\n', held - searched);
        }
        if (found != NULL || (reader->is_at_end && held > 0)) {
            *line = start;
            *size = found != NULL ? (size_t)(found - start) : held;
            reader->start += *size + (found != NULL);
            reader->read_bytes += *size + (found != NULL);
            reader->line_number++;
            return *size > LINE_BYTES_MAX ? LINE_TOO_LONG : LINE_READ;
        }
        searched = held;
        enum line_event event = reader->is_at_end ? LINE_END : more_read(reader);
        if (event == LINE_TOO_LONG) {
            reader->line_number++;
        }
        if (event != LINE_READ && (event != LINE_END || reader->end == reader->start)) {
            return event;
        }
    }
}
