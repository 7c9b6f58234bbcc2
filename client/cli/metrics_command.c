/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics: the admin port's /metrics, word for word, or as a JSON object a sample.
 */
#include <stdlib.h>
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/http.h"
#include "client/cli/text.h"

/* Writes labels, {a="b",c="d"}, as an object; they are quoted as JSON quotes but for their names. Returns
 * where they end. */
static const char *labels_write(FILE *to, const char *at, const char *end)
{
    bool is_first = true;

    (void)putc('{', to);
    while (at < end && *at != '}') {
        const char *equals = memchr(at, '=', (size_t)(end - at));
        size_t name_size = (size_t)((equals == NULL ? end : equals) - at);
        const char *value = at + name_size + 1;
        (void)fputs(is_first ? "" : ",", to);
        text_json_string_write(to, at, name_size);
        (void)putc(':', to);
        if (value >= end || *value != '"') {
            (void)fputs("\"\"", to);
            at = end;
            break;
        }
        const char *close = value + 1;
        while (close < end && *close != '"') {
            close += *close == '\\' ? 2 : 1;
        }
        close = close < end ? close : end - 1;
        (void)fwrite(value, 1, (size_t)(close - value), to);
        (void)putc('"', to);
        at = close + 1;
        at += at < end && *at == ',';
        is_first = false;
    }
    (void)putc('}', to);
    return at < end ? at + 1 : end;
}

/* One sample line of the exposition format as an object. */
static void sample_write(FILE *to, const char *line, size_t size)
{
    const char *end = line + size;
    size_t name_size = strcspn(line, "{ \n");
    const char *at = line + (name_size < size ? name_size : size);

    (void)fputs("{\"name\":", to);
    text_json_string_write(to, line, (size_t)(at - line));
    if (at < end && *at == '{') {
        (void)fputs(",\"labels\":", to);
        at = labels_write(to, at + 1, end);
    }
    while (at < end && *at == ' ') {
        at++;
    }
    size_t value_size = strcspn(at, " \n");
    if (value_size > (size_t)(end - at)) {
        value_size = (size_t)(end - at);
    }
    /* NaN and Inf are no JSON numbers. */
    bool is_number = value_size > 0 && strspn(at, "+-0123456789.eE") >= value_size && *at != '+';
    (void)fputs(",\"value\":", to);
    if (is_number) {
        (void)fwrite(at, 1, value_size, to);
    } else {
        text_json_string_write(to, at, value_size);
    }
    (void)fputs("}\n", to);
}

static void samples_write(FILE *to, const char *body)
{
    while (*body != '\0') {
        size_t size = strcspn(body, "\n");
        if (size > 0 && body[0] != '#') {
            sample_write(to, body, size);
        }
        body += size;
        body += *body == '\n';
    }
}

enum cli_status command_metrics(struct cli *cli, const struct arguments *arguments)
{
    struct http_response response;

    (void)arguments;
    enum cli_status status = http_get(cli, cli->settings.admin_endpoint, "/metrics", &response);
    if (status != CLI_DONE) {
        return status;
    }
    if (response.status != 200) {
        status = cli_fail(cli, response.status == 404 ? "NOT_FOUND" : "UNAVAILABLE",
                          "GET /metrics: HTTP status %d", response.status);
    } else if (cli->settings.format == OUTPUT_JSON) {
        samples_write(cli->out, response.body);
    } else {
        (void)fwrite(response.body, 1, response.body_size, cli->out);
    }
    free(response.bytes);
    return status;
}
