/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive, archive list, archive verify.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/archive_check.h"
#include "client/cli/archive_follow.h"
#include "client/cli/command.h"
#include "client/cli/files.h"
#include "client/cli/output.h"
#include "client/cli/parse.h"
#include "client/cli/stop_signal.h"

enum { INTERVAL_DEFAULT_MS = 1000, INTERVAL_MIN_MS = 10, INTERVAL_MAX_MS = 3600000 };

static enum cli_status order_take(struct cli *cli, const struct arguments *arguments,
                                  struct archive_order *order)
{
    const char *name = arguments->values[OPTION_NODE_NAME];
    const char *interval = arguments->values[OPTION_PIECE_INTERVAL];
    uint64_t interval_ms = INTERVAL_DEFAULT_MS;
    order->name = name == NULL ? "archive" : name;
    order->until_caught_up = arguments_has(arguments, OPTION_UNTIL_CAUGHT_UP);
    order->stop = &stop_signal_asked;
    if (interval != NULL && (!parse_duration_ms(interval, &interval_ms) ||
                             interval_ms < INTERVAL_MIN_MS || interval_ms > INTERVAL_MAX_MS)) {
        return cli_usage(cli, "--piece-interval is '%s', not a duration from 10ms to 1h", interval);
    }
    order->interval_ms = (uint32_t)interval_ms;
    return arguments_retry_for(cli, arguments, &order->retry_ms);
}

static enum cli_status archived_print(struct cli *cli, const char *location,
                                      const struct archive_writer *writer)
{
    struct output *output = output_create(cli);
    struct polarys_log_position at = {.segment_id = 0};
    if (output == NULL) {
        return CLI_FAILED;
    }
    if (writer->has_run) {
        archive_writer_durable(writer, &at);
    }
    const struct output_field fields[] = {
        field_text("archive", location, strlen(location)),
        field_number("version", at.version),
        field_number("segment", at.segment_id),
        field_number("offset", at.offset),
        field_number("stored_pieces", writer->piece_count),
        field_number("stored_bytes", writer->stored_bytes),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
    return output_finish(output, cli, CLI_DONE);
}

static enum cli_status archive_run(struct cli *cli, const struct archive_order *order,
                                   const struct objects_options *options)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct archive_writer writer = {.objects = NULL};
    struct objects *objects = NULL;
    int lock = -1;
    enum cli_status status = CLI_DONE;
    if (objects_open(options, true, &objects, &err) != POLARYS_OK) {
        return cli_fail_engine(cli, &err);
    }
    if (!objects_is_remote(options->location)) { /* a bucket knows no locks */
        status = files_lock(cli, options->location, "archives into", &lock);
    }
    if (status == CLI_DONE && archive_writer_open(&writer, objects, &err) != POLARYS_OK) {
        status = cli_fail_engine(cli, &err);
    }
    if (status == CLI_DONE) {
        status = archive_follow(cli, order, &writer);
    }
    if (status == CLI_DONE) {
        status = archived_print(cli, options->location, &writer);
    }
    archive_writer_deinit(&writer);
    objects_close(objects);
    if (lock >= 0) {
        (void)close(lock);
    }
    return status;
}

enum cli_status command_archive(struct cli *cli, const struct arguments *arguments)
{
    const struct objects_options options = {.location = arguments->positionals[0],
                                            .s3_endpoint = arguments->values[OPTION_S3_ENDPOINT],
                                            .stop = &stop_signal_asked};
    struct archive_order order = {.name = NULL};
    struct stop_signal before;
    enum cli_status status = order_take(cli, arguments, &order);
    if (status != CLI_DONE) {
        return status;
    }
    stop_signal_watch(&before);
    status = archive_run(cli, &order, &options);
    stop_signal_restore(&before);
    return status;
}

/* Opens the place that a command names, and reads the names in it. */
static enum cli_status index_open(struct cli *cli, const struct arguments *arguments,
                                  struct objects **objects, struct archive_index *index)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    const struct objects_options options = {.location = arguments->positionals[0],
                                            .s3_endpoint = arguments->values[OPTION_S3_ENDPOINT]};
    enum polarys_code code = objects_open(&options, false, objects, &err);
    if (code == POLARYS_OK) {
        code = archive_index_load(*objects, 0, index, &err);
    }
    return code == POLARYS_OK ? CLI_DONE : cli_fail_engine(cli, &err);
}

static void run_print(void *context, const struct archive_span *span)
{
    const char *state = span->has_gap_before ? "gap before" : "whole";
    const struct output_field fields[] = {
        field_number("from_version", span->from_version),
        field_number("to_version", span->to_version),
        field_time("from_time", span->from_unix_ms),
        field_time("to_time", span->to_unix_ms),
        field_number("from_segment", span->from_segment),
        field_number("to_segment", span->to_segment),
        field_number("term", span->term),
        field_number("pieces", span->piece_count),
        field_text("state", state, strlen(state)),
    };
    output_row(context, fields, sizeof(fields) / sizeof(fields[0]));
}

enum cli_status command_archive_list(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct objects *objects = NULL;
    struct archive_index index = {.entries = NULL};
    enum cli_status status = index_open(cli, arguments, &objects, &index);
    struct output *output = status == CLI_DONE ? output_create(cli) : NULL;
    if (output != NULL) {
        struct archive_reader reader = {.objects = objects};
        if (archive_spans_visit(&reader, &index, run_print, output, &err) != POLARYS_OK) {
            status = cli_fail_engine(cli, &err);
        }
        archive_reader_deinit(&reader);
        status = output_finish(output, cli, status);
    } else if (status == CLI_DONE) {
        status = CLI_FAILED;
    }
    archive_index_deinit(&index);
    objects_close(objects);
    return status;
}

static void trouble_print(void *context, const struct polarys_error *err)
{
    (void)cli_fail_engine(context, err);
}

static enum cli_status verified_print(struct cli *cli, const char *location,
                                      const struct archive_verdict *verdict)
{
    struct output *output = output_create(cli);
    if (output == NULL) {
        return CLI_FAILED;
    }
    const struct output_field fields[] = {
        field_text("archive", location, strlen(location)),
        field_number("pieces", verdict->piece_count),
        field_number("keyrings", verdict->keyring_count),
        field_number("frames", verdict->frame_count),
        field_number("bytes", verdict->log_bytes),
        field_number("runs", verdict->run_count),
        field_number("to_version", verdict->to_version),
        field_time("complete_time", verdict->complete_unix_ms),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
    return output_finish(output, cli, CLI_DONE);
}

enum cli_status command_archive_verify(struct cli *cli, const struct arguments *arguments)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct objects *objects = NULL;
    struct archive_index index = {.entries = NULL};
    struct archive_verdict verdict = {.piece_count = 0};
    const char *location = arguments->positionals[0];
    enum cli_status status = index_open(cli, arguments, &objects, &index);
    if (status == CLI_DONE) {
        struct archive_reader reader = {.objects = objects};
        const struct archive_complaints complaints = {trouble_print, cli};
        if (archive_verify(&reader, &index, &complaints, &verdict, &err) != POLARYS_OK) {
            status = cli_fail_engine(cli, &err);
        }
        archive_reader_deinit(&reader);
    }
    if (status == CLI_DONE && verdict.trouble_count > 0) {
        status = cli_fail(cli, "DATA_LOSS/CORRUPT", "%llu trouble%s found in %s",
                          (unsigned long long)verdict.trouble_count,
                          verdict.trouble_count == 1 ? " was" : "s were", location);
    }
    if (status == CLI_DONE) {
        status = verified_print(cli, location, &verdict);
    }
    archive_index_deinit(&index);
    objects_close(objects);
    return status;
}
