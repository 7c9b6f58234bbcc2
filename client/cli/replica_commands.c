/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replica list, replica promote, slot list, slot drop.
 */
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/output.h"
#include "client/cli/parse.h"
#include "client/cli/rpc.h"
#include "client/endpoint.h"
#include "polarys/v1/admin.pb-c.h"
#include "polarys/v1/replication.pb-c.h"

enum { PROMOTE_TIMEOUT_MS = 90000 };

static struct output_field field_name_of(const char *name, const char *text)
{
    return field_text(name, text, strlen(text));
}

static const char *kind_name(Polarys__V1__FollowerKind kind)
{
    switch (kind) {
    case POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_UNSPECIFIED:
        return "replica";
    case POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_OBSERVER:
        return "observer";
    case POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_ARCHIVE:
        return "archive";
    default:
        return "?";
    }
}

static const char *state_name(Polarys__V1__SlotState state)
{
    switch (state) {
    case POLARYS__V1__SLOT_STATE__SLOT_STATE_RESERVED:
        return "reserved";
    case POLARYS__V1__SLOT_STATE__SLOT_STATE_EXTENDED:
        return "extended";
    case POLARYS__V1__SLOT_STATE__SLOT_STATE_LOST:
        return "lost";
    default:
        return "?";
    }
}

static uint64_t time_ms(const Google__Protobuf__Timestamp *time)
{
    return time == NULL || time->seconds < 0
               ? 0
               : (uint64_t)time->seconds * 1000 + (uint64_t)time->nanos / 1000000;
}

static void slot_print(struct output *output, const Polarys__V1__Slot *slot)
{
    const struct output_field fields[] = {
        field_text("name", slot->name.data, slot->name.len),
        field_name_of("kind", kind_name(slot->kind)),
        field_name_of("state", state_name(slot->state)),
        field_bool("active", slot->is_active),
        field_number("behind_versions", slot->behind_versions),
        field_number("behind_bytes", slot->behind_bytes),
        field_number("applied_version", slot->applied_version),
        field_number("durable_version", slot->position == NULL ? 0 : slot->position->version),
        field_number("bytes_max", slot->bytes_max),
        field_time("active_time", time_ms(slot->active_time)),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
}

static enum cli_status slots_list(struct cli *cli, bool only_replicas)
{
    Polarys__V1__ListSlotsRequest request = POLARYS__V1__LIST_SLOTS_REQUEST__INIT;
    const struct rpc rpc = {"/polarys.v1.ReplicationService/ListSlots", &request.base,
                            &polarys__v1__list_slots_response__descriptor, CLI_TIMEOUT_DEFAULT_MS,
                            true};
    enum cli_status status;

    Polarys__V1__ListSlotsResponse *response =
        (Polarys__V1__ListSlotsResponse *)rpc_invoke(cli, &rpc, &status);
    if (response == NULL) {
        return status;
    }
    struct output *output = output_create(cli);
    for (size_t i = 0; output != NULL && i < response->n_slots; i++) {
        if (!only_replicas ||
            response->slots[i]->kind != POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_ARCHIVE) {
            slot_print(output, response->slots[i]);
        }
    }
    polarys__v1__list_slots_response__free_unpacked(response, NULL);
    return output == NULL ? CLI_FAILED : output_finish(output, cli, CLI_DONE);
}

enum cli_status command_replica_list(struct cli *cli, const struct arguments *arguments)
{
    (void)arguments;
    return slots_list(cli, true);
}

enum cli_status command_slot_list(struct cli *cli, const struct arguments *arguments)
{
    (void)arguments;
    return slots_list(cli, false);
}

enum cli_status command_slot_drop(struct cli *cli, const struct arguments *arguments)
{
    Polarys__V1__DropSlotRequest request = POLARYS__V1__DROP_SLOT_REQUEST__INIT;
    const struct rpc rpc = {"/polarys.v1.ReplicationService/DropSlot", &request.base,
                            &polarys__v1__drop_slot_response__descriptor, CLI_TIMEOUT_DEFAULT_MS,
                            false};
    enum cli_status status;

    request.slot.data = (uint8_t *)arguments->positionals[0];
    request.slot.len = strlen(arguments->positionals[0]);
    ProtobufCMessage *response = rpc_invoke(cli, &rpc, &status);
    if (response == NULL) {
        return status;
    }
    protobuf_c_message_free_unpacked(response, NULL);
    struct output *output = output_create(cli);
    if (output == NULL) {
        return CLI_FAILED;
    }
    const struct output_field field = field_bool("dropped", true);
    output_row(output, &field, 1);
    return output_finish(output, cli, CLI_DONE);
}

enum cli_status command_replica_promote(struct cli *cli, const struct arguments *arguments)
{
    Polarys__V1__PromoteRequest request = POLARYS__V1__PROMOTE_REQUEST__INIT;
    const struct rpc rpc = {"/polarys.v1.AdminService/Promote", &request.base,
                            &polarys__v1__promote_response__descriptor, PROMOTE_TIMEOUT_MS, false};
    enum cli_status status;

    if (arguments->positional_count > 0 &&
        !parse_number_between(arguments->positionals[0], 1, INT64_MAX, &request.term)) {
        return cli_usage(cli, "the term is '%s', not a number above 0", arguments->positionals[0]);
    }
    if (client_endpoint_count(cli->settings.endpoint) > 1) {
        return cli_usage(cli, "--endpoint names several nodes: give the one to promote");
    }
    request.allow_data_loss = arguments_has(arguments, OPTION_ALLOW_DATA_LOSS);
    Polarys__V1__PromoteResponse *response =
        (Polarys__V1__PromoteResponse *)rpc_invoke(cli, &rpc, &status);
    if (response == NULL) {
        return status;
    }
    const struct output_field fields[] = {
        field_number("term", response->term),
        field_number("version", response->version),
        field_number("lost_versions", response->lost_versions),
    };
    polarys__v1__promote_response__free_unpacked(response, NULL);
    struct output *output = output_create(cli);
    if (output == NULL) {
        return CLI_FAILED;
    }
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
    return output_finish(output, cli, CLI_DONE);
}
