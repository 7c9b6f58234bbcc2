/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server-info: rows of one shape, name, value, unit, description, for everything that GetServerInfo gives.
 */
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/output.h"
#include "client/cli/rpc.h"
#include "polarys/v1/admin.pb-c.h"

/* A row whose value is a text. */
static void text_row(struct output *output, const char *kind, const ProtobufCBinaryData *name,
                     const ProtobufCBinaryData *value)
{
    const struct output_field fields[] = {
        field_text("kind", kind, strlen(kind)),
        field_text("name", name->data, name->len),
        field_text("value", value->data, value->len),
        field_text("unit", "", 0),
        field_text("description", "", 0),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
}

static void server_row(struct output *output, const char *name, const ProtobufCBinaryData *value)
{
    ProtobufCBinaryData name_bytes = {strlen(name), (uint8_t *)name};
    text_row(output, "server", &name_bytes, value);
}

static void limit_row(struct output *output, const Polarys__V1__Limit *limit)
{
    const struct output_field fields[] = {
        field_text("kind", "limit", 5),
        field_text("name", limit->name.data, limit->name.len),
        field_number("value", limit->value),
        field_text("unit", limit->unit.data, limit->unit.len),
        field_text("description", limit->description.data, limit->description.len),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
}

static void format_row(struct output *output, const Polarys__V1__FormatVersion *format)
{
    char description[64];
    int size = snprintf(description, sizeof(description), "version written; reads %u and later",
                        format->oldest_readable_version);
    const struct output_field fields[] = {
        field_text("kind", "format", 6),
        field_text("name", format->name.data, format->name.len),
        field_number("value", format->version),
        field_text("unit", "", 0),
        field_text("description", description, (size_t)size),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
}

static void info_print(struct output *output, const Polarys__V1__GetServerInfoResponse *info)
{
    const ProtobufCBinaryData nothing = {0, NULL};

    server_row(output, "program_version", &info->program_version);
    server_row(output, "listen_address", &info->listen_address);
    if (info->header != NULL) {
        server_row(output, "node", &info->header->node);
    }
    for (size_t i = 0; i < info->n_formats; i++) {
        format_row(output, info->formats[i]);
    }
    for (size_t i = 0; i < info->n_features; i++) {
        text_row(output, "feature", &info->features[i], &nothing);
    }
    for (size_t i = 0; i < info->n_limits; i++) {
        limit_row(output, info->limits[i]);
    }
}

enum cli_status command_server_info(struct cli *cli, const struct arguments *arguments)
{
    Polarys__V1__GetServerInfoRequest request = POLARYS__V1__GET_SERVER_INFO_REQUEST__INIT;
    const struct rpc rpc = {"/polarys.v1.AdminService/GetServerInfo", &request.base,
                            &polarys__v1__get_server_info_response__descriptor,
                            CLI_TIMEOUT_DEFAULT_MS, true};
    enum cli_status status;

    (void)arguments;
    Polarys__V1__GetServerInfoResponse *info =
        (Polarys__V1__GetServerInfoResponse *)rpc_invoke(cli, &rpc, &status);
    if (info == NULL) {
        return status;
    }
    struct output *output = output_create(cli);
    status = CLI_FAILED;
    if (output != NULL) {
        info_print(output, info);
        status = output_finish(output, cli, CLI_DONE);
    }
    polarys__v1__get_server_info_response__free_unpacked(info, NULL);
    return status;
}
