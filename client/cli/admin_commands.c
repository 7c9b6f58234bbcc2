/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin flush, compact, checkpoint, drain, log-level.
 */
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/output.h"
#include "client/cli/parse.h"
#include "client/cli/rpc.h"
#include "polarys/v1/admin.pb-c.h"

enum { MAINTENANCE_TIMEOUT_MS = 3600000 };

static ProtobufCBinaryData bytes_of(const void *data, size_t size)
{
    ProtobufCBinaryData bytes = {size, (uint8_t *)data};
    return bytes;
}

static ProtobufCBinaryData text_of(const char *text)
{
    return bytes_of(text, strlen(text));
}

static enum cli_status row_print(struct cli *cli, const struct output_field *field)
{
    struct output *output = output_create(cli);
    if (output == NULL) {
        return CLI_FAILED;
    }
    output_row(output, field, 1);
    return output_finish(output, cli, CLI_DONE);
}

enum cli_status command_admin_flush(struct cli *cli, const struct arguments *arguments)
{
    Polarys__V1__FlushRequest request = POLARYS__V1__FLUSH_REQUEST__INIT;
    const struct rpc rpc = {"/polarys.v1.AdminService/Flush", &request.base,
                            &polarys__v1__flush_response__descriptor, MAINTENANCE_TIMEOUT_MS, true};
    enum cli_status status;

    (void)arguments;
    Polarys__V1__FlushResponse *response =
        (Polarys__V1__FlushResponse *)rpc_invoke(cli, &rpc, &status);
    if (response != NULL) {
        const struct output_field field =
            field_number("flushed_version", response->flushed_version);
        status = row_print(cli, &field);
        polarys__v1__flush_response__free_unpacked(response, NULL);
    }
    return status;
}

enum cli_status command_admin_compact(struct cli *cli, const struct arguments *arguments)
{
    Polarys__V1__CompactRequest request = POLARYS__V1__COMPACT_REQUEST__INIT;
    Polarys__V1__KeyRange key_range = POLARYS__V1__KEY_RANGE__INIT;
    const struct rpc rpc = {"/polarys.v1.AdminService/Compact", &request.base,
                            &polarys__v1__compact_response__descriptor, MAINTENANCE_TIMEOUT_MS,
                            true};
    struct polarys_client_range range;
    enum cli_status status;

    arguments_range(arguments, &range);
    bool has_range = range.prefix != NULL || range.start != NULL || range.end != NULL;
    if (has_range && arguments->positional_count == 0) {
        return cli_usage(cli, "a range needs a table");
    }
    key_range.start_key = bytes_of(range.start, range.start_size);
    key_range.end_key = bytes_of(range.end, range.end_size);
    key_range.prefix = bytes_of(range.prefix, range.prefix_size);
    request.database = text_of(cli->settings.database);
    if (arguments->positional_count > 0) {
        request.table = text_of(arguments->positionals[0]);
        request.range = has_range ? &key_range : NULL;
    }
    ProtobufCMessage *response = rpc_invoke(cli, &rpc, &status);
    if (response != NULL) {
        const struct output_field field = field_bool("compacted", true);
        protobuf_c_message_free_unpacked(response, NULL);
        status = row_print(cli, &field);
    }
    return status;
}

enum cli_status command_admin_checkpoint(struct cli *cli, const struct arguments *arguments)
{
    Polarys__V1__CheckpointRequest request = POLARYS__V1__CHECKPOINT_REQUEST__INIT;
    const struct rpc rpc = {"/polarys.v1.AdminService/Checkpoint", &request.base,
                            &polarys__v1__checkpoint_response__descriptor, MAINTENANCE_TIMEOUT_MS,
                            false};
    enum cli_status status;

    request.directory = text_of(arguments->positionals[0]);
    Polarys__V1__CheckpointResponse *response =
        (Polarys__V1__CheckpointResponse *)rpc_invoke(cli, &rpc, &status);
    if (response != NULL) {
        const struct output_field field = field_number("version", response->version);
        status = row_print(cli, &field);
        polarys__v1__checkpoint_response__free_unpacked(response, NULL);
    }
    return status;
}

enum cli_status command_admin_drain(struct cli *cli, const struct arguments *arguments)
{
    Polarys__V1__DrainRequest request = POLARYS__V1__DRAIN_REQUEST__INIT;
    Google__Protobuf__Duration grace = GOOGLE__PROTOBUF__DURATION__INIT;
    const struct rpc rpc = {"/polarys.v1.AdminService/Drain", &request.base,
                            &polarys__v1__drain_response__descriptor, CLI_TIMEOUT_DEFAULT_MS,
                            false};
    const char *text = arguments->values[OPTION_GRACE];
    uint64_t grace_ms;
    enum cli_status status;

    if (text != NULL) {
        if (!parse_duration_ms(text, &grace_ms)) {
            return cli_usage(cli, "--grace is '%s', not a duration such as 500ms, 5s or 1m", text);
        }
        grace.seconds = (int64_t)(grace_ms / 1000);
        grace.nanos = (int32_t)(grace_ms % 1000) * 1000000;
        request.grace = &grace;
    }
    ProtobufCMessage *response = rpc_invoke(cli, &rpc, &status);
    if (response != NULL) {
        const struct output_field field = field_bool("draining", true);
        protobuf_c_message_free_unpacked(response, NULL);
        status = row_print(cli, &field);
    }
    return status;
}

/* The names of the levels, in the order of the proto, from LOG_LEVEL_DEBUG. */
static const char *const level_names[] = {"debug", "info", "warn", "error"};
enum { LEVEL_COUNT = sizeof(level_names) / sizeof(level_names[0]) };

enum cli_status command_admin_log_level(struct cli *cli, const struct arguments *arguments)
{
    Polarys__V1__SetLogLevelRequest request = POLARYS__V1__SET_LOG_LEVEL_REQUEST__INIT;
    const struct rpc rpc = {"/polarys.v1.AdminService/SetLogLevel", &request.base,
                            &polarys__v1__set_log_level_response__descriptor,
                            CLI_TIMEOUT_DEFAULT_MS, true};
    enum cli_status status;
    int level = 0;

    while (level < LEVEL_COUNT && strcmp(level_names[level], arguments->positionals[0]) != 0) {
        level++;
    }
    if (level == LEVEL_COUNT) {
        return cli_usage(cli, "the level is '%s', not debug, info, warn or error",
                         arguments->positionals[0]);
    }
    request.level = (Polarys__V1__LogLevel)(level + 1);
    Polarys__V1__SetLogLevelResponse *response =
        (Polarys__V1__SetLogLevelResponse *)rpc_invoke(cli, &rpc, &status);
    if (response != NULL) {
        int previous = (int)response->previous_level - 1;
        const char *name = previous >= 0 && previous < LEVEL_COUNT ? level_names[previous] : "?";
        const struct output_field field = field_text("previous_level", name, strlen(name));
        status = row_print(cli, &field);
        polarys__v1__set_log_level_response__free_unpacked(response, NULL);
    }
    return status;
}
