/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ReplicationService but for its streams: who may go on from where it is, and slots. On executor threads.
 */
#include <stdlib.h>

#include "service/replication/follower.h"
#include "service/rpc/handlers.h"
#include "service/rpc/replication_message.h"

/* The durable log as it is now. */
static enum polarys_code position_verify(struct polarys_db *db, const struct replication_peer *peer,
                                         struct polarys_error *err)
{
    struct polarys_log_reader *reader = NULL;
    if (!peer->has_position) {
        return POLARYS_OK;
    }
    enum polarys_code code = polarys_log_reader_open(db, &peer->position, &reader, err);
    polarys_log_reader_close(reader);
    return code;
}

void replication_handshake(struct call *call)
{
    struct server *server = call->server;
    struct replication_peer peer;
    uint8_t *keyring = NULL;
    size_t keyring_size = 0;
    enum polarys_code code = replication_peer_take(server, call->request, &peer, &call->error);
    if (code == POLARYS_NOT_PRIMARY) {
        replication_term_heed(server, call->request);
    }
    if (code == POLARYS_OK) {
        code = position_verify(server->db, &peer, &call->error);
    }
    if (code == POLARYS_OK) {
        code = polarys_db_keyring(server->db, &keyring, &keyring_size, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__HandshakeResponse response = POLARYS__V1__HANDSHAKE_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    Polarys__V1__LogPosition end_message;
    struct polarys_log_position end;
    char primary[CONFIG_TEXT_MAX] = "";
    uint8_t token[SERVER_TOKEN_SIZE];
    if (follower_is_following(server->follower)) {
        follower_primary_get(server->follower, primary);
    }
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    polarys_log_durable_position(server->db, &end);
    replication_position_fill(&end, &end_message);
    response.header = &header;
    response.keyring = (ProtobufCBinaryData){keyring_size, keyring};
    response.end = &end_message;
    response.primary_address = (ProtobufCBinaryData){strlen(primary), (uint8_t *)primary};
    response.earliest_segment = polarys_log_earliest_segment(server->db);
    grpc_slice packed = response_pack(&response.base);
    free(keyring);
    call_reply(call, packed);
}

void replication_create_slot(struct call *call)
{
    const Polarys__V1__CreateSlotRequest *request = call->request;
    struct server *server = call->server;
    char name[POLARYS_NAME_BYTES_MAX + 1];
    enum polarys_slot_kind kind = POLARYS_SLOT_REPLICA;
    struct polarys_log_position position;
    struct polarys_slot_info info;
    enum polarys_code code = replication_name_take(&request->slot, "slot", name, &call->error);
    if (code == POLARYS_OK) {
        code = replication_kind_take(request->kind, &kind, &call->error);
    }
    if (code == POLARYS_OK) {
        code = replication_position_take(request->position, "position", &position, &call->error);
    }
    if (code == POLARYS_OK) {
        code =
            polarys_slot_create(server->db, name, kind, request->bytes_max,
                                request->position == NULL ? NULL : &position, &info, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__CreateSlotResponse response = POLARYS__V1__CREATE_SLOT_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    struct replication_slot slot;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    replication_slot_fill(&info, &slot);
    response.header = &header;
    response.slot = &slot.message;
    call_reply(call, response_pack(&response.base));
}

/* What ListSlots puts together; too much for a stack that may be small. */
struct slot_list {
    struct polarys_slot_info infos[POLARYS_SLOTS_MAX];
    struct replication_slot slots[POLARYS_SLOTS_MAX];
    Polarys__V1__Slot *pointers[POLARYS_SLOTS_MAX];
};

void replication_list_slots(struct call *call)
{
    struct server *server = call->server;
    struct slot_list *list = calloc(1, sizeof(*list));
    if (list == NULL) {
        call_fail_own(call, polarys_fail(&call->error, POLARYS_NO_MEMORY, "no memory for slots"));
        return;
    }
    Polarys__V1__ListSlotsResponse response = POLARYS__V1__LIST_SLOTS_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    response.header = &header;
    response.n_slots = polarys_slot_list(server->db, list->infos);
    response.slots = list->pointers;
    for (size_t i = 0; i < response.n_slots; i++) {
        replication_slot_fill(&list->infos[i], &list->slots[i]);
        list->pointers[i] = &list->slots[i].message;
    }
    grpc_slice packed = response_pack(&response.base);
    free(list);
    call_reply(call, packed);
}

void replication_drop_slot(struct call *call)
{
    const Polarys__V1__DropSlotRequest *request = call->request;
    struct server *server = call->server;
    char name[POLARYS_NAME_BYTES_MAX + 1];
    enum polarys_code code = replication_name_take(&request->slot, "slot", name, &call->error);
    if (code == POLARYS_OK) {
        code = polarys_slot_drop(server->db, name, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__DropSlotResponse response = POLARYS__V1__DROP_SLOT_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    response.header = &header;
    call_reply(call, response_pack(&response.base));
}
