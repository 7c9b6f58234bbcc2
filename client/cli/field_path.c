/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A name stands in backticks when it holds anything but letters, digits and '_'.
 */
#include "client/cli/field_path.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/assert.h"

static bool is_plain(const char *name, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_')) {
            return false;
        }
    }
    return size > 0;
}

/* Writes one name; returns what follows it. An empty one is left for the server to refuse. */
static char *name_write(char *to, const char *name, size_t size)
{
    bool is_quoted = size > 0 && !is_plain(name, size);

    if (is_quoted) {
        *to++ = '`';
    }
    memcpy(to, name, size);
    to += size;
    if (is_quoted) {
        *to++ = '`';
    }
    return to;
}

char *field_path_quote(const char *field, size_t size)
{
    enum { QUOTES_A_BYTE_MAX = 3 }; /* a byte that is a name by itself, and its two backticks */
    char *path = malloc(size * QUOTES_A_BYTE_MAX + 1);
    char *to = path;

    POLARYS_ASSERT(field != NULL);
    if (path == NULL) {
        return NULL;
    }
    if (memchr(field, '`', size) != NULL) {
        memcpy(path, field, size);
        path[size] = '\0';
        return path;
    }
    for (size_t start = 0; start < size;) {
        const char *dot = memchr(field + start, '.', size - start);
        size_t length = dot == NULL ? size - start : (size_t)(dot - field) - start;
        to = name_write(to, field + start, length);
        start += length;
        if (start < size) {
            *to++ = field[start++];
        }
    }
    *to = '\0';
    POLARYS_ASSERT((size_t)(to - path) <= size * QUOTES_A_BYTE_MAX);
    return path;
}

/* The next piece of `*at` up to a comma outside backticks, blanks around it left out. False at the end. */
static bool piece_next(const char **at, const char **piece, size_t *size)
{
    const char *start = *at;
    const char *end = start;
    bool is_quoted = false;

    if (start == NULL) {
        return false;
    }
    while (*end != '\0' && (is_quoted || *end != ',')) {
        is_quoted ^= *end == '`';
        end++;
    }
    *at = *end == ',' ? end + 1 : NULL;
    while (start < end && *start == ' ') {
        start++;
    }
    while (end > start && end[-1] == ' ') {
        end--;
    }
    *piece = start;
    *size = (size_t)(end - start);
    return true;
}

enum cli_status field_paths_read(struct cli *cli, const char *option, const char *text,
                                 struct field_paths *paths)
{
    const char *piece;
    size_t size;

    POLARYS_ASSERT(paths->count == 0);
    while (piece_next(&text, &piece, &size)) {
        if (size == 0) {
            return cli_usage(cli, "%s: a field is missing between commas", option);
        }
        if (paths->count == FIELD_PATHS_MAX) {
            return cli_usage(cli, "%s: at most %d fields", option, FIELD_PATHS_MAX);
        }
        paths->paths[paths->count] = field_path_quote(piece, size);
        if (paths->paths[paths->count] == NULL) {
            return cli_fail(cli, "NO_MEMORY", "no memory for fields");
        }
        paths->count++;
    }
    return CLI_DONE;
}

void field_paths_deinit(struct field_paths *paths)
{
    POLARYS_ASSERT(paths->count <= FIELD_PATHS_MAX);
    for (size_t i = 0; i < paths->count; i++) {
        free((char *)paths->paths[i]);
    }
    paths->count = 0;
}

/* Bytes of the direction at the end of a piece, with the blanks in front of it; 0 when there is none. */
static size_t direction_size(const char *piece, size_t size)
{
    static const char *const directions[] = {"asc", "desc"};
    for (size_t i = 0; i < sizeof(directions) / sizeof(directions[0]); i++) {
        size_t length = strlen(directions[i]);
        if (size > length + 1 && strncasecmp(piece + size - length, directions[i], length) == 0 &&
            piece[size - length - 1] == ' ') {
            while (length < size && piece[size - length - 1] == ' ') {
                length++;
            }
            return length;
        }
    }
    return 0;
}

/* True for a bare name with a blank in it: quoted as it is, a slip in the direction would be taken for a field that no
 * document has. */
static bool direction_is_wrong(const char *piece, size_t size)
{
    POLARYS_ASSERT(size > 0);
    return direction_size(piece, size) == 0 && memchr(piece, ' ', size) != NULL &&
           memchr(piece, '`', size) == NULL;
}

/* Writes one piece of an order with its path quoted. False: no memory. */
static bool order_piece_write(FILE *to, const char *separator, const char *piece, size_t size)
{
    size_t tail = direction_size(piece, size);
    char *path = field_path_quote(piece, size - tail);
    bool is_ok = path != NULL;

    POLARYS_ASSERT(tail < size);
    if (is_ok) {
        (void)fprintf(to, "%s%s%.*s", separator, path, (int)tail, piece + size - tail);
    }
    free(path);
    return is_ok;
}

enum cli_status field_order_read(struct cli *cli, const char *text, char **order)
{
    const char *piece;
    const char *separator = "";
    size_t size;
    size_t order_size = 0;
    bool is_ok = true;
    bool is_whole = true;
    FILE *memory = open_memstream(order, &order_size);

    if (memory == NULL) {
        *order = NULL;
        return cli_fail(cli, "NO_MEMORY", "no memory for an order");
    }
    while (is_ok && is_whole && piece_next(&text, &piece, &size)) {
        is_whole = size > 0;
        if (is_whole && direction_is_wrong(piece, size)) {
            (void)fclose(memory);
            free(*order);
            *order = NULL;
            return cli_usage(cli,
                             "--order-by: '%.*s' does not end in asc or desc; a name with a blank "
                             "in it stands in backticks",
                             (int)(size < 64 ? size : 64), piece);
        }
        is_ok = !is_whole || order_piece_write(memory, separator, piece, size);
        separator = ", ";
    }
    is_ok = fclose(memory) == 0 && is_ok;
    if (is_ok && is_whole) {
        return CLI_DONE;
    }
    free(*order);
    *order = NULL;
    return is_ok ? cli_usage(cli, "--order-by: a field is missing between commas")
                 : cli_fail(cli, "NO_MEMORY", "no memory for an order");
}
