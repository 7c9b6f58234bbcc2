/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows in three formats.
 */
#include "client/cli/output.h"

#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/text.h"

struct output *output_create(struct cli *cli)
{
    struct output *output = calloc(1, sizeof(*output));

    POLARYS_ASSERT(cli->out != NULL);
    if (output == NULL) {
        (void)cli_fail(cli, "NO_MEMORY", "no memory for rows");
        return NULL;
    }
    output->to = cli->out;
    output->format = cli->settings.format;
    output->is_expanded = cli->is_expanded;
    return output;
}

static void marked_cell_write(FILE *to, const struct output_field *field)
{
    const char *const *texts = field->data;

    POLARYS_ASSERT(field->kind == FIELD_MARKED);
    for (size_t i = 0; i < field->size; i++) {
        (void)fputs(i == 0 ? "" : " ... ", to);
        text_marked_write(to, texts[i], field->number != 0);
    }
}

/* The cell as people read it. */
static void cell_write(FILE *to, const struct output_field *field)
{
    switch (field->kind) {
    case FIELD_TEXT:
    case FIELD_KEY:
    case FIELD_BYTES:
        text_printable_write(to, field->data, field->size);
        break;
    case FIELD_JSON:
        text_json_line_write(to, field->data, field->size);
        break;
    case FIELD_MARKED:
        marked_cell_write(to, field);
        break;
    case FIELD_HEX:
        text_hex_write(to, field->data, field->size);
        break;
    case FIELD_NUMBER:
        (void)fprintf(to, "%llu", (unsigned long long)field->number);
        break;
    case FIELD_REAL:
        (void)fprintf(to, "%.2f", field->real);
        break;
    case FIELD_BOOL:
        (void)fputs(field->number != 0 ? "yes" : "no", to);
        break;
    case FIELD_TIME:
        if (field->number == 0) {
            (void)putc('-', to);
        } else {
            text_time_write(to, field->number);
        }
        break;
    }
}

static void json_base64_write(FILE *to, const struct output_field *field)
{
    (void)putc('"', to);
    text_base64_write(to, field->data, field->size);
    (void)putc('"', to);
}

static void json_texts_write(FILE *to, const struct output_field *field)
{
    const char *const *texts = field->data;

    POLARYS_ASSERT(field->kind == FIELD_MARKED);
    for (size_t i = 0; i < field->size; i++) {
        (void)putc(i == 0 ? '[' : ',', to);
        text_json_string_write(to, texts[i], strlen(texts[i]));
    }
    (void)fputs(field->size == 0 ? "[]" : "]", to);
}

/* "name":value. */
static void json_member_write(FILE *to, const struct output_field *field)
{
    bool is_text = field->kind != FIELD_KEY || text_is_utf8(field->data, field->size);

    (void)fprintf(to, "\"%s%s\":", field->kind == FIELD_BYTES ? "raw" : field->name,
                  is_text ? "" : "_base64");
    switch (field->kind) {
    case FIELD_KEY:
    case FIELD_TEXT:
        if (is_text) {
            text_json_string_write(to, field->data, field->size);
        } else {
            json_base64_write(to, field);
        }
        break;
    case FIELD_BYTES:
        json_base64_write(to, field);
        break;
    case FIELD_MARKED:
        json_texts_write(to, field);
        break;
    case FIELD_BOOL:
        (void)fputs(field->number != 0 ? "true" : "false", to);
        break;
    case FIELD_HEX:
    case FIELD_TIME:
        (void)putc('"', to);
        cell_write(to, field);
        (void)putc('"', to);
        break;
    case FIELD_NUMBER:
    case FIELD_REAL:
    case FIELD_JSON:
        cell_write(to, field);
        break;
    }
}

void output_json_line(FILE *to, const struct output_field *fields, size_t count)
{
    const char *separator = "";
    (void)putc('{', to);
    for (size_t i = 0; i < count; i++) {
        if (fields[i].kind == FIELD_TIME && fields[i].number == 0) {
            continue;
        }
        (void)fputs(separator, to);
        json_member_write(to, &fields[i]);
        separator = ",";
    }
    (void)fputs("}\n", to);
}

/* The value alone where there is one, all fields otherwise. */
static void raw_row_write(const struct output *output, const struct output_field *fields,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fields[i].kind == FIELD_JSON || fields[i].kind == FIELD_BYTES) {
            (void)fwrite(fields[i].data, 1, fields[i].size, output->to);
            if (output->has_line_ends) {
                (void)putc('\n', output->to);
            }
            return;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            (void)putc('\t', output->to);
        }
        if (fields[i].kind == FIELD_KEY) {
            (void)fwrite(fields[i].data, 1, fields[i].size, output->to);
        } else {
            cell_write(output->to, &fields[i]);
        }
    }
    (void)putc('\n', output->to);
}

static void expanded_row_write(struct output *output, const struct output_field *fields,
                               size_t count)
{
    size_t width = 0;
    for (size_t i = 0; i < count; i++) {
        width = strlen(fields[i].name) > width ? strlen(fields[i].name) : width;
    }
    (void)fprintf(output->to, "[%llu]\n", (unsigned long long)output->rows_written + 1);
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(output->to, "%-*s  ", (int)width, fields[i].name);
        cell_write(output->to, &fields[i]);
        (void)putc('\n', output->to);
    }
}

/* One line of cells; the last has no blanks behind it. */
static void line_write(const struct output *output, char *const *cells)
{
    for (size_t i = 0; i < output->field_count; i++) {
        const char *cell = cells[i] != NULL ? cells[i] : "";
        (void)fputs(cell, output->to);
        if (i + 1 < output->field_count) {
            size_t columns = text_columns(cell);
            size_t width = output->widths[i];
            (void)fprintf(output->to, "%*s", (int)((columns < width ? width - columns : 0) + 2),
                          "");
        }
    }
    (void)putc('\n', output->to);
}

static void header_write(const struct output *output)
{
    for (size_t i = 0; i < output->field_count; i++) {
        for (const char *c = output->names[i]; *c != '\0'; c++) {
            (void)putc(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c == '_' ? ' ' : *c, output->to);
        }
        if (i + 1 < output->field_count) {
            size_t pad = output->widths[i] + 2 - strlen(output->names[i]);
            (void)fprintf(output->to, "%*s", (int)pad, "");
        }
    }
    (void)putc('\n', output->to);
}

/* Finds the widths if there are none yet, then writes and forgets the rows held. */
static void held_write(struct output *output)
{
    POLARYS_ASSERT(output->row_count <= OUTPUT_ROWS_HELD);
    POLARYS_ASSERT(output->field_count <= OUTPUT_FIELDS_MAX);
    if (output->row_count == 0) {
        return;
    }
    if (!output->has_widths) {
        for (size_t i = 0; i < output->field_count; i++) {
            output->widths[i] = output->names[i] != NULL ? strlen(output->names[i]) : 0;
        }
        for (size_t i = 0; i < output->row_count * output->field_count; i++) {
            size_t columns = output->cells[i] != NULL ? text_columns(output->cells[i]) : 0;
            size_t *width = &output->widths[i % output->field_count];
            *width = columns > *width ? columns : *width;
        }
        output->has_widths = true;
        header_write(output);
    }
    for (size_t row = 0; row < output->row_count; row++) {
        line_write(output, output->cells + row * output->field_count);
    }
    for (size_t i = 0; i < output->row_count * output->field_count; i++) {
        free(output->cells[i]);
        output->cells[i] = NULL;
    }
    output->row_count = 0;
    output->held_bytes = 0;
}

static void table_row_hold(struct output *output, const struct output_field *fields, size_t count)
{
    POLARYS_ASSERT(count <= OUTPUT_FIELDS_MAX);
    POLARYS_ASSERT(output->row_count < OUTPUT_ROWS_HELD);
    POLARYS_ASSERT(output->row_count == 0 || output->field_count == count);
    output->field_count = count;
    for (size_t i = 0; i < count; i++) {
        char *cell = NULL;
        size_t size = 0;
        output->names[i] = fields[i].name;
        FILE *memory = open_memstream(&cell, &size);
        if (memory == NULL) {
            output->has_failed = true;
            continue;
        }
        cell_write(memory, &fields[i]);
        output->has_failed |= fclose(memory) != 0;
        output->cells[output->row_count * count + i] = cell;
        output->held_bytes += size;
    }
    output->row_count++;
    if (output->has_widths || output->row_count == OUTPUT_ROWS_HELD ||
        output->held_bytes > OUTPUT_BYTES_HELD_MAX) {
        held_write(output);
    }
}

void output_row(struct output *output, const struct output_field *fields, size_t count)
{
    POLARYS_ASSERT(fields != NULL && count > 0);
    if (output->format == OUTPUT_JSON) {
        output_json_line(output->to, fields, count);
    } else if (output->format == OUTPUT_RAW) {
        raw_row_write(output, fields, count);
    } else if (output->is_expanded) {
        expanded_row_write(output, fields, count);
    } else {
        table_row_hold(output, fields, count);
    }
    output->rows_written++;
}

enum cli_status output_finish(struct output *take_output, struct cli *cli, enum cli_status status)
{
    POLARYS_ASSERT(take_output != NULL);
    held_write(take_output);
    bool has_failed = take_output->has_failed;
    free(take_output);
    return has_failed ? cli_fail(cli, "NO_MEMORY", "no memory for a row") : status;
}

struct output_field field_value(const struct polarys_client_document *document)
{
    return (struct output_field){"value",
                                 document->kind == POLARYS_CLIENT_RAW ? FIELD_BYTES : FIELD_JSON,
                                 document->value,
                                 document->value_size,
                                 0,
                                 0};
}

void output_document(struct output *output, const struct polarys_client_document *document,
                     bool is_keys_only)
{
    struct output_field fields[5];
    size_t count = 0;

    fields[count++] =
        (struct output_field){"key", FIELD_KEY, document->key, document->key_size, 0, 0};
    fields[count++] = field_number("version", document->version);
    if (output->format == OUTPUT_JSON || output->is_expanded) {
        fields[count++] = field_time("commit_time", document->commit_time_ms);
        fields[count++] = field_time("expires_at", document->expires_at_ms);
    }
    if (is_keys_only && output->format == OUTPUT_RAW) {
        count = 1;
    } else if (!is_keys_only) {
        fields[count++] = field_value(document);
    }
    output_row(output, fields, count);
}

enum cli_status output_result(struct cli *cli, const struct polarys_client_result *result)
{
    struct output *output = output_create(cli);
    if (output == NULL) {
        return CLI_FAILED;
    }
    const struct output_field fields[] = {
        field_number("version", result->version),
        {"token", FIELD_HEX, result->token, result->token_size, 0, 0},
    };
    output_row(output, fields, 2);
    return output_finish(output, cli, CLI_DONE);
}

void output_record_members(FILE *to, const struct polarys_client_document *document)
{
    struct output_field key = {"key", FIELD_KEY, document->key, document->key_size, 0, 0};
    struct output_field value = field_value(document);
    struct output_field expiry = field_time("expires_at", document->expires_at_ms);

    json_member_write(to, &key);
    (void)putc(',', to);
    json_member_write(to, &value);
    if (document->expires_at_ms != 0) {
        (void)putc(',', to);
        json_member_write(to, &expiry);
    }
}
