/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AdminService.Switchover and Demote. On executor threads.
 */
#include "polarys/v1/admin.pb-c.h"
#include "service/replication/handover.h"
#include "service/rpc/handlers.h"
#include "service/rpc/operation.h"
#include "service/rpc/replication_message.h"
#include "service/rpc/response.h"

/* A replica has nothing to hand over. */
static enum polarys_code primary_check(const struct server *server, struct polarys_error *err)
{
    if (follower_is_following(server->follower)) {
        return polarys_fail(err, POLARYS_NOT_PRIMARY,
                            "this node is a replica: ask the primary to hand over");
    }
    return server->handover != NULL ? POLARYS_OK
                                    : polarys_fail(err, POLARYS_DRAINING, "the node is starting");
}

void admin_switchover(struct call *call)
{
    const Polarys__V1__SwitchoverRequest *request = call->request;
    struct server *server = call->server;
    char name[POLARYS_NAME_BYTES_MAX + 1];
    struct handover_result result;
    enum polarys_code code = replication_name_take(&request->name, "name", name, &call->error);
    if (code == POLARYS_OK) {
        code = primary_check(server, &call->error);
    }
    if (code == POLARYS_OK) {
        code = handover_switch(server->handover, name, call->end_ns, &result, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__SwitchoverResponse response = POLARYS__V1__SWITCHOVER_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    response.header = &header;
    response.term = result.term;
    response.version = result.version;
    response.primary_address =
        (ProtobufCBinaryData){strlen(result.primary), (uint8_t *)result.primary};
    call_reply(call, response_pack(&response.base));
}

static enum polarys_code address_take(const ProtobufCBinaryData *from, char *address,
                                      struct polarys_error *err)
{
    char host[CONFIG_TEXT_MAX];
    uint16_t port = 0;
    if (from->len == 0 || from->len >= CONFIG_TEXT_MAX || from->len >= POLARYS_MEMBER_ADDRESS_MAX ||
        memchr(from->data, '\0', from->len) != NULL) {
        return operation_bad(err, "primary_address", "must be HOST:PORT");
    }
    memcpy(address, from->data, from->len);
    address[from->len] = '\0';
    if (config_address_split(address, host, &port, err) != POLARYS_OK || host[0] == '\0' ||
        port == 0) {
        polarys_error_clear(err);
        return operation_bad(err, "primary_address", "must be HOST:PORT");
    }
    return POLARYS_OK;
}

void admin_demote(struct call *call)
{
    const Polarys__V1__DemoteRequest *request = call->request;
    struct server *server = call->server;
    char address[POLARYS_MEMBER_ADDRESS_MAX];
    struct handover_result result;
    enum polarys_code code = address_take(&request->primary_address, address, &call->error);
    if (code == POLARYS_OK) {
        code = primary_check(server, &call->error);
    }
    if (code == POLARYS_OK) {
        code = handover_demote(server->handover, address, &result, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__DemoteResponse response = POLARYS__V1__DEMOTE_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    response.header = &header;
    response.term = result.term;
    response.version = result.version;
    call_reply(call, response_pack(&response.base));
}
