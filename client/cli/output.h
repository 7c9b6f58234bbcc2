/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows on standard output, in the format that was asked for: columns, one JSON object a line, or raw.
 *
 * Columns need widths, so the first rows are kept until there are OUTPUT_ROWS_HELD of them or the end;
 * later rows keep to the widths of those.
 */
#ifndef CLIENT_CLI_OUTPUT_H
#define CLIENT_CLI_OUTPUT_H

#include "client/cli/cli.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    OUTPUT_FIELDS_MAX = 16,
    OUTPUT_ROWS_HELD = 200,
    OUTPUT_BYTES_HELD_MAX = 1 << 20,
};

enum output_field_kind {
    FIELD_TEXT,   /* data, size: bytes shown as text */
    FIELD_KEY,    /* as TEXT; JSON's member is NAME_base64 when it is no UTF-8 */
    FIELD_HEX,    /* data, size */
    FIELD_NUMBER, /* number */
    FIELD_REAL,   /* real, with two digits behind the point */
    FIELD_BOOL,   /* number */
    FIELD_TIME,   /* number: Unix milliseconds; 0 leaves it out of JSON and shows "-" */
    FIELD_JSON,   /* data, size: a value as stored */
    FIELD_BYTES,  /* data, size: a raw value as stored; JSON's member is base64 and named "raw" */
    FIELD_MARKED, /* data: const char *const *, size of them: texts with marks between \x01 and \x02;
                     the last field of its row. number: marks are shown in colour */
};

/* One cell. Borrows. */
struct output_field {
    const char *name;
    enum output_field_kind kind;
    const void *data;
    size_t size;
    uint64_t number;
    double real;
};

struct output {
    FILE *to;
    enum output_format format;
    bool is_expanded;
    bool has_line_ends; /* raw: a line break after each value, where there may be many */

    /* Rows that wait for their widths: row_count * field_count cells, each malloc'd. */
    char *cells[OUTPUT_ROWS_HELD * OUTPUT_FIELDS_MAX];
    const char *names[OUTPUT_FIELDS_MAX];
    size_t field_count;
    size_t row_count;
    size_t held_bytes;
    size_t widths[OUTPUT_FIELDS_MAX];
    bool has_widths;
    bool has_failed; /* no memory for a cell */
    uint64_t rows_written;
};

/* Everything goes to cli's standard output, in its settings' format. NULL, reported: no memory. */
struct output *output_create(struct cli *cli);
/* One row; every row of an output has the same fields. */
void output_row(struct output *output, const struct output_field *fields, size_t count);
/* Writes what is held and frees. Returns `status`, or CLI_FAILED, reported, when memory ran out. */
enum cli_status output_finish(struct output *take_output, struct cli *cli, enum cli_status status);

/* A document as a row: key, version, value (unless keys only), and its times in JSON. */
void output_document(struct output *output, const struct polarys_client_document *document,
                     bool is_keys_only);
/* A document's value; borrows. */
struct output_field field_value(const struct polarys_client_document *document);
/* What a write did, as a row of its own. */
enum cli_status output_result(struct cli *cli, const struct polarys_client_result *result);

/* Writes the fields as one JSON object on a line of its own, for what is no row of an output. */
void output_json_line(FILE *to, const struct output_field *fields, size_t count);

/* Writes the members of a record that import reads again, without braces. */
void output_record_members(FILE *to, const struct polarys_client_document *document);

static inline struct output_field field_text(const char *name, const void *data, size_t size)
{
    struct output_field field = {name, FIELD_TEXT, data, size, 0, 0};
    return field;
}

static inline struct output_field field_number(const char *name, uint64_t number)
{
    struct output_field field = {name, FIELD_NUMBER, NULL, 0, number, 0};
    return field;
}

static inline struct output_field field_time(const char *name, uint64_t unix_ms)
{
    struct output_field field = {name, FIELD_TIME, NULL, 0, unix_ms, 0};
    return field;
}

static inline struct output_field field_real(const char *name, double real)
{
    struct output_field field = {name, FIELD_REAL, NULL, 0, 0, real};
    return field;
}

static inline struct output_field field_bool(const char *name, bool is_true)
{
    struct output_field field = {name, FIELD_BOOL, NULL, 0, is_true, 0};
    return field;
}

#ifdef __cplusplus
}
#endif

#endif
