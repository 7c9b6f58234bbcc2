/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of a follower: it introduces itself, sees to its slot, and tails.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "service/replication/follower_internal.h"
#include "service/server/check.h"

#define REPLICATION "/polarys.v1.ReplicationService/"
#define KEYRING_FILE "keyring"

static ProtobufCBinaryData binary_of(const void *data, size_t size)
{
    ProtobufCBinaryData binary = {size, (uint8_t *)(uintptr_t)data};
    return binary;
}

static ProtobufCBinaryData text_of(const char *text)
{
    return binary_of(text, strlen(text));
}

void follower_position_fill(const struct polarys_log_position *at,
                            Polarys__V1__LogPosition *position)
{
    polarys__v1__log_position__init(position);
    position->segment_id = at->segment_id;
    position->offset = at->offset;
    position->tag = binary_of(at->tag, sizeof(at->tag));
    position->version = at->version;
}

static Polarys__V1__FollowerKind kind_of(const struct follower *follower)
{
    return follower->config->is_observer ? POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_OBSERVER
                                         : POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_UNSPECIFIED;
}

void follower_node_fill(const struct follower *follower, const struct polarys_log_position *at,
                        Polarys__V1__LogPosition *position, Polarys__V1__HandshakeRequest *node)
{
    uint64_t term = polarys_db_term(follower->db);
    polarys__v1__handshake_request__init(node);
    follower_position_fill(at, position);
    node->node = text_of(follower->config->node_name);
    node->kind = kind_of(follower);
    node->store_id = binary_of(polarys_db_store_id(follower->db), POLARYS_ID_SIZE);
    node->history_id = binary_of(polarys_db_history_id(follower->db), POLARYS_ID_SIZE);
    /* What is taken over before a promotion is of terms that this node has sealed. */
    bool is_sealed = follower->catch_up_to == NULL && follower->role.term > term;
    node->highest_term = is_sealed ? follower->role.term : term;
    node->position = position;
    node->address = text_of(follower->address);
}

enum polarys_code follower_term_note(struct follower *follower, uint64_t term,
                                     struct polarys_error *err)
{
    if (term <= follower->role.term) {
        return POLARYS_OK;
    }
    follower->role.term = term;
    enum polarys_code code = role_write(follower->config->data_dir, &follower->role, err);
    follower->is_local_error |= code != POLARYS_OK;
    (void)pthread_mutex_lock(&follower->mutex);
    follower->highest_term = term;
    (void)pthread_mutex_unlock(&follower->mutex);
    return code;
}

static void primary_note(struct follower *follower, const ProtobufCBinaryData *address)
{
    (void)pthread_mutex_lock(&follower->mutex);
    if (address->len > 0 && address->len < sizeof(follower->primary)) {
        memcpy(follower->primary, address->data, address->len);
        follower->primary[address->len] = '\0';
    } else {
        memcpy(follower->primary, follower->follows, sizeof(follower->primary));
    }
    (void)pthread_mutex_unlock(&follower->mutex);
}

/* *response is in the arena. */
static enum polarys_code handshake(struct follower *follower,
                                   Polarys__V1__HandshakeResponse **response,
                                   struct polarys_error *err)
{
    struct polarys_log_position at;
    Polarys__V1__LogPosition position;
    Polarys__V1__HandshakeRequest request;
    const struct peer_call call = {.method = REPLICATION "Handshake",
                                   .request = &request.base,
                                   .response = &polarys__v1__handshake_response__descriptor,
                                   .timeout_ms = FOLLOWER_UNARY_MS};
    polarys_log_position_get(follower->db, &at);
    follower_node_fill(follower, &at, &position, &request);
    proto_arena_reset(&follower->arena);
    enum polarys_code code =
        peer_unary(follower->tail_peer, &call, &follower->arena, (void **)response, err);
    if (code != POLARYS_OK) {
        return code;
    }
    const Polarys__V1__ResponseHeader *header = (*response)->header;
    if (header == NULL || header->store_id.len != POLARYS_ID_SIZE) {
        return polarys_fail(err, POLARYS_BAD_MESSAGE, "a handshake without a header");
    }
    if (memcmp(header->store_id.data, polarys_db_store_id(follower->db), POLARYS_ID_SIZE) != 0) {
        return polarys_fail(err, POLARYS_WRONG_STORE, "%s has another store than this node",
                            follower->follows);
    }
    if (header->term < request.highest_term) {
        polarys_fail(err, POLARYS_NOT_PRIMARY,
                     "%s is at term %" PRIu64 " and this node has seen %" PRIu64
                     ": another primary has taken over",
                     follower->follows, header->term, request.highest_term);
        return POLARYS_NOT_PRIMARY;
    }
    follower->session_term = header->term;
    follower->is_of_primary = (*response)->primary_address.len == 0;
    primary_note(follower, &(*response)->primary_address);
    return follower_term_note(follower, header->term, err);
}

static enum polarys_code slot_call(struct follower *follower, const struct peer_call *call,
                                   void **response, struct polarys_error *err)
{
    proto_arena_reset(&follower->arena);
    return peer_unary(follower->tail_peer, call, &follower->arena, response, err);
}

/* One that lost its log is made anew: the handshake said that the log from here on is there. */
static enum polarys_code slot_drop(struct follower *follower, struct polarys_error *err)
{
    Polarys__V1__DropSlotRequest request = POLARYS__V1__DROP_SLOT_REQUEST__INIT;
    void *response;
    const struct peer_call call = {.method = REPLICATION "DropSlot",
                                   .request = &request.base,
                                   .response = &polarys__v1__drop_slot_response__descriptor,
                                   .timeout_ms = FOLLOWER_UNARY_MS};
    request.slot = text_of(follower->config->node_name);
    return slot_call(follower, &call, &response, err);
}

static enum polarys_code slot_create(struct follower *follower, bool *is_lost,
                                     struct polarys_error *err)
{
    struct polarys_log_position at;
    Polarys__V1__LogPosition position;
    Polarys__V1__CreateSlotRequest request = POLARYS__V1__CREATE_SLOT_REQUEST__INIT;
    Polarys__V1__CreateSlotResponse *response;
    const struct peer_call call = {.method = REPLICATION "CreateSlot",
                                   .request = &request.base,
                                   .response = &polarys__v1__create_slot_response__descriptor,
                                   .timeout_ms = FOLLOWER_UNARY_MS};
    polarys_log_position_get(follower->db, &at);
    follower_position_fill(&at, &position);
    request.slot = text_of(follower->config->node_name);
    request.kind = kind_of(follower);
    request.position = &position;
    enum polarys_code code = slot_call(follower, &call, (void **)&response, err);
    *is_lost = code == POLARYS_OK && response->slot != NULL &&
               response->slot->state == POLARYS__V1__SLOT_STATE__SLOT_STATE_LOST;
    return code;
}

/* *has_slot is false where the other node, which follows too, keeps none. */
static enum polarys_code slot_get(struct follower *follower, bool *has_slot,
                                  struct polarys_error *err)
{
    bool is_lost;
    enum polarys_code code = slot_create(follower, &is_lost, err);
    if (code == POLARYS_OK && is_lost) {
        code = slot_drop(follower, err);
        if (code == POLARYS_OK || code == POLARYS_SLOT_NOT_FOUND) {
            polarys_error_clear(err);
            code = slot_create(follower, &is_lost, err);
        }
    }
    *has_slot = code == POLARYS_OK;
    if (code == POLARYS_NOT_PRIMARY || code == POLARYS_UNIMPLEMENTED) {
        polarys_error_clear(err);
        return POLARYS_OK;
    }
    return code;
}

static enum polarys_code tail(struct follower *follower, bool has_slot, struct polarys_error *err)
{
    struct polarys_log_position at;
    struct peer_stream *stream;
    Polarys__V1__LogPosition position;
    Polarys__V1__HandshakeRequest node;
    Google__Protobuf__Duration heartbeat = GOOGLE__PROTOBUF__DURATION__INIT;
    Polarys__V1__TailLogStart start = POLARYS__V1__TAIL_LOG_START__INIT;
    Polarys__V1__TailLogRequest request = POLARYS__V1__TAIL_LOG_REQUEST__INIT;
    const struct peer_call call = {.method = REPLICATION "TailLog",
                                   .request = &request.base,
                                   .response = &polarys__v1__tail_log_response__descriptor};
    polarys_log_position_get(follower->db, &at);
    follower_node_fill(follower, &at, &position, &node);
    follower->header_segment_id = at.segment_id;
    heartbeat.seconds = FOLLOWER_HEARTBEAT_MS / 1000;
    start.node = &node;
    start.heartbeat_interval = &heartbeat;
    if (has_slot) {
        start.slot = text_of(follower->config->node_name);
    }
    request.kind_case = POLARYS__V1__TAIL_LOG_REQUEST__KIND_START;
    request.start = &start;
    enum polarys_code code = peer_stream_open(follower->tail_peer, &call, &stream, err);
    if (code != POLARYS_OK) {
        return code;
    }
    polarys_log(POLARYS_LOG_INFO, "replica", "following %s from version %" PRIu64,
                follower->follows, at.version);
    code = follower_tail_run(follower, stream, err);
    peer_stream_close(stream);
    return code;
}

/* From a connection to its end. */
static enum polarys_code session_run(struct follower *follower, const char *address,
                                     struct polarys_error *err)
{
    Polarys__V1__HandshakeResponse *response;
    bool has_slot = false;
    enum polarys_code code = follower_peer_open(follower, address, &follower->tail_peer, err);
    if (code != POLARYS_OK) {
        return code;
    }
    (void)pthread_mutex_lock(&follower->mutex);
    follower->connection_count++;
    (void)pthread_mutex_unlock(&follower->mutex);
    code = handshake(follower, &response, err);
    if (code == POLARYS_OK && follower->catch_up_to == NULL) {
        code = slot_get(follower, &has_slot, err);
    }
    if (code == POLARYS_OK) {
        code = tail(follower, has_slot, err);
    }
    follower_peer_close(follower, &follower->tail_peer);
    proto_arena_reset(&follower->arena);
    follower->mark.is_set = false;
    return code;
}

enum polarys_code follower_session_run(struct follower *follower, struct polarys_error *err)
{
    if (follower_promotion_is_asked(follower) || follower_seal_is_asked(follower)) {
        return polarys_fail(err, POLARYS_CANCELLED, "asked to be promoted, or to seal a term");
    }
    return session_run(follower, follower->follows, err);
}

enum polarys_code follower_session_catch_up(struct follower *follower, const char *address,
                                            const struct polarys_log_position *to,
                                            struct polarys_error *err)
{
    follower->catch_up_to = to;
    enum polarys_code code = session_run(follower, address, err);
    follower->catch_up_to = NULL;
    return code;
}

enum polarys_code follower_keyring_install(struct follower *follower, bool *is_new,
                                           struct polarys_error *err)
{
    const char *dir = follower->config->data_dir;
    Polarys__V1__HandshakeResponse *response;
    char path[FILES_PATH_MAX];
    char *bytes = NULL;
    size_t size = 0;
    *is_new = false;
    enum polarys_code code =
        follower_peer_open(follower, follower->follows, &follower->tail_peer, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = handshake(follower, &response, err);
    if (code == POLARYS_OK) {
        code = files_join(path, dir, KEYRING_FILE, err);
    }
    if (code == POLARYS_OK) {
        code = files_read(path, &bytes, &size, err);
    }
    if (code == POLARYS_OK && response->keyring.len > 0 &&
        !slice_equal(slice_make(bytes, size),
                     slice_make(response->keyring.data, response->keyring.len))) {
        code = files_replace(dir, KEYRING_FILE,
                             slice_make(response->keyring.data, response->keyring.len), err);
        *is_new = code == POLARYS_OK;
    }
    free(bytes);
    follower_peer_close(follower, &follower->tail_peer);
    proto_arena_reset(&follower->arena);
    return code;
}
