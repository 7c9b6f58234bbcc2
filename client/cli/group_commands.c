/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replica members, replica remove, replica switchover, replica demote.
 */
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/output.h"
#include "client/cli/rpc.h"
#include "client/endpoint.h"
#include "polarys/v1/admin.pb-c.h"
#include "polarys/v1/replication.pb-c.h"

enum { HANDOVER_TIMEOUT_MS = 60000 };

static ProtobufCBinaryData text_of(const char *text)
{
    ProtobufCBinaryData bytes = {strlen(text), (uint8_t *)(uintptr_t)text};
    return bytes;
}

static struct output_field field_name_of(const char *name, const char *text)
{
    return field_text(name, text, strlen(text));
}

/* One row, and the end. */
static enum cli_status row_print(struct cli *cli, const struct output_field *fields, size_t count)
{
    struct output *output = output_create(cli);
    if (output == NULL) {
        return CLI_FAILED;
    }
    output_row(output, fields, count);
    return output_finish(output, cli, CLI_DONE);
}

static const char *state_name(Polarys__V1__MemberState state)
{
    switch (state) {
    case POLARYS__V1__MEMBER_STATE__MEMBER_STATE_UNSPECIFIED:
        return "member";
    case POLARYS__V1__MEMBER_STATE__MEMBER_STATE_JOINING:
        return "joining";
    case POLARYS__V1__MEMBER_STATE__MEMBER_STATE_LEAVING:
        return "leaving";
    default:
        return "?";
    }
}

static void member_print(struct output *output, const Polarys__V1__Member *member)
{
    const struct output_field fields[] = {
        field_text("name", member->name.data, member->name.len),
        field_text("address", member->address.data, member->address.len),
        field_name_of("state", state_name(member->state)),
        field_bool("self", member->is_self),
        field_bool("active", member->is_active),
        field_number("durable_version", member->durable_version),
        field_number("applied_version", member->applied_version),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
}

enum cli_status command_replica_members(struct cli *cli, const struct arguments *arguments)
{
    Polarys__V1__ListMembersRequest request = POLARYS__V1__LIST_MEMBERS_REQUEST__INIT;
    const struct rpc rpc = {"/polarys.v1.ReplicationService/ListMembers", &request.base,
                            &polarys__v1__list_members_response__descriptor, CLI_TIMEOUT_DEFAULT_MS,
                            true};
    enum cli_status status;

    (void)arguments;
    Polarys__V1__ListMembersResponse *response =
        (Polarys__V1__ListMembersResponse *)rpc_invoke(cli, &rpc, &status);
    if (response == NULL) {
        return status;
    }
    struct output *output = output_create(cli);
    for (size_t i = 0; output != NULL && i < response->n_members; i++) {
        member_print(output, response->members[i]);
    }
    polarys__v1__list_members_response__free_unpacked(response, NULL);
    return output == NULL ? CLI_FAILED : output_finish(output, cli, CLI_DONE);
}

enum cli_status command_replica_remove(struct cli *cli, const struct arguments *arguments)
{
    Polarys__V1__RemoveMemberRequest request = POLARYS__V1__REMOVE_MEMBER_REQUEST__INIT;
    const struct rpc rpc = {"/polarys.v1.ReplicationService/RemoveMember", &request.base,
                            &polarys__v1__remove_member_response__descriptor,
                            CLI_TIMEOUT_DEFAULT_MS, false};
    enum cli_status status;

    request.name = text_of(arguments->positionals[0]);
    request.allow_data_loss = arguments_has(arguments, OPTION_ALLOW_DATA_LOSS);
    ProtobufCMessage *response = rpc_invoke(cli, &rpc, &status);
    if (response == NULL) {
        return status;
    }
    protobuf_c_message_free_unpacked(response, NULL);
    const struct output_field field = field_bool("removed", true);
    return row_print(cli, &field, 1);
}

enum cli_status command_replica_switchover(struct cli *cli, const struct arguments *arguments)
{
    Polarys__V1__SwitchoverRequest request = POLARYS__V1__SWITCHOVER_REQUEST__INIT;
    const struct rpc rpc = {"/polarys.v1.AdminService/Switchover", &request.base,
                            &polarys__v1__switchover_response__descriptor, HANDOVER_TIMEOUT_MS,
                            false};
    enum cli_status status;

    request.name = text_of(arguments->positionals[0]);
    Polarys__V1__SwitchoverResponse *response =
        (Polarys__V1__SwitchoverResponse *)rpc_invoke(cli, &rpc, &status);
    if (response == NULL) {
        return status;
    }
    const struct output_field fields[] = {
        field_number("term", response->term),
        field_number("version", response->version),
        field_text("primary", response->primary_address.data, response->primary_address.len),
    };
    status = row_print(cli, fields, sizeof(fields) / sizeof(fields[0]));
    polarys__v1__switchover_response__free_unpacked(response, NULL);
    return status;
}

enum cli_status command_replica_demote(struct cli *cli, const struct arguments *arguments)
{
    Polarys__V1__DemoteRequest request = POLARYS__V1__DEMOTE_REQUEST__INIT;
    const struct rpc rpc = {"/polarys.v1.AdminService/Demote", &request.base,
                            &polarys__v1__demote_response__descriptor, HANDOVER_TIMEOUT_MS, false};
    enum cli_status status;

    if (client_endpoint_count(cli->settings.endpoint) > 1) {
        return cli_usage(cli, "--endpoint names several nodes: give the one to demote");
    }
    request.primary_address = text_of(arguments->positionals[0]);
    Polarys__V1__DemoteResponse *response =
        (Polarys__V1__DemoteResponse *)rpc_invoke(cli, &rpc, &status);
    if (response == NULL) {
        return status;
    }
    const struct output_field fields[] = {
        field_number("term", response->term),
        field_number("version", response->version),
    };
    polarys__v1__demote_response__free_unpacked(response, NULL);
    return row_print(cli, fields, sizeof(fields) / sizeof(fields[0]));
}
