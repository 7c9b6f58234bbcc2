/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of ReplicationService taken apart, and its answers put together: see replication_message.h.
 */
#include "service/rpc/replication_message.h"

#include <inttypes.h>

#include "service/proto/wire.h"
#include "service/rpc/operation.h"
#include "service/server/check.h"

enum {
    TAIL_HEADER = 1,
    TAIL_PIECES = 2,
    TAIL_COMMITS = 3,
    TAIL_END = 4,
    TAIL_BEHIND_BYTES = 5,
    TAIL_SEND_TIME = 6,
    TAIL_STABLE_VERSION = 7,
    TAIL_END_BYTES_MAX = 160, /* of the fields from TAIL_END on */

    PIECE_SEGMENT_ID = 1,
    PIECE_OFFSET = 2,
    PIECE_DATA = 3,
    PIECE_CONTINUED = 4,

    POSITION_SEGMENT_ID = 1,
    POSITION_OFFSET = 2,
    POSITION_TAG = 3,
    POSITION_VERSION = 4,
};

/* ---- requests ---- */

enum polarys_code replication_position_take(const Polarys__V1__LogPosition *from, const char *field,
                                            struct polarys_log_position *position,
                                            struct polarys_error *err)
{
    *position = (struct polarys_log_position){.segment_id = 0};
    if (from == NULL || (from->segment_id == 0 && from->offset == 0 && from->tag.len == 0)) {
        return POLARYS_OK;
    }
    if (from->segment_id == 0 || from->tag.len != POLARYS_LOG_TAG_SIZE) {
        return operation_bad(err, field, "must have a segment and a tag of 16 bytes, or nothing");
    }
    position->segment_id = from->segment_id;
    position->offset = from->offset;
    position->version = from->version;
    memcpy(position->tag, from->tag.data, POLARYS_LOG_TAG_SIZE);
    return POLARYS_OK;
}

void replication_position_fill(const struct polarys_log_position *from,
                               Polarys__V1__LogPosition *position)
{
    polarys__v1__log_position__init(position);
    position->segment_id = from->segment_id;
    position->offset = from->offset;
    position->tag = (ProtobufCBinaryData){POLARYS_LOG_TAG_SIZE, (uint8_t *)(uintptr_t)from->tag};
    position->version = from->version;
}

enum polarys_code replication_name_take(const ProtobufCBinaryData *from, const char *field,
                                        char name[POLARYS_NAME_BYTES_MAX + 1],
                                        struct polarys_error *err)
{
    if (!polarys_name_is_valid((const char *)from->data, from->len)) {
        (void)polarys_fail(
            err, POLARYS_BAD_NAME,
            "%s must be a letter and up to 127 more letters, digits, '_', '.' or '-'", field);
        polarys_error_detail_set(err, "field", "%s", field);
        return POLARYS_BAD_NAME;
    }
    memcpy(name, from->data, from->len);
    name[from->len] = '\0';
    return POLARYS_OK;
}

enum polarys_code replication_kind_take(Polarys__V1__FollowerKind from,
                                        enum polarys_slot_kind *kind, struct polarys_error *err)
{
    switch (from) {
    case POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_UNSPECIFIED:
        *kind = POLARYS_SLOT_REPLICA;
        return POLARYS_OK;
    case POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_OBSERVER:
        *kind = POLARYS_SLOT_OBSERVER;
        return POLARYS_OK;
    case POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_ARCHIVE:
        *kind = POLARYS_SLOT_ARCHIVE;
        return POLARYS_OK;
    default:
        return operation_bad(err, "kind", "is not one that is known");
    }
}

static enum polarys_code store_check(const struct server *server,
                                     const Polarys__V1__HandshakeRequest *from,
                                     struct polarys_error *err)
{
    uint64_t term = polarys_db_term(server->db);
    if ((from->store_id.len != 0 && from->store_id.len != POLARYS_ID_SIZE) ||
        (from->history_id.len != 0 && from->history_id.len != POLARYS_ID_SIZE)) {
        return operation_bad(err, "store_id", "and history_id must have 16 bytes, or none");
    }
    if (from->store_id.len != 0 &&
        memcmp(from->store_id.data, polarys_db_store_id(server->db), POLARYS_ID_SIZE) != 0) {
        return polarys_fail(err, POLARYS_WRONG_STORE, "the node holds another store");
    }
    if (from->highest_term > term) {
        (void)polarys_fail(err, POLARYS_NOT_PRIMARY,
                           "term %" PRIu64 " has been seen, this node is of term %" PRIu64,
                           from->highest_term, term);
        polarys_error_detail_set(err, "term", "%" PRIu64, term);
        return POLARYS_NOT_PRIMARY;
    }
    return POLARYS_OK;
}

static enum polarys_code address_take(ProtobufCBinaryData from, const char *field, char *to,
                                      struct polarys_error *err)
{
    if (from.len >= POLARYS_MEMBER_ADDRESS_MAX) {
        return operation_bad(err, field, "is longer than an address may be");
    }
    if (from.len > 0) {
        memcpy(to, from.data, from.len);
    }
    to[from.len] = '\0';
    return POLARYS_OK;
}

enum polarys_code replication_peer_take(const struct server *server,
                                        const Polarys__V1__HandshakeRequest *from,
                                        struct replication_peer *peer, struct polarys_error *err)
{
    *peer = (struct replication_peer){.has_position = from->position != NULL};
    enum polarys_code code = replication_name_take(&from->node, "node", peer->name, err);
    if (code == POLARYS_OK) {
        code = replication_kind_take(from->kind, &peer->kind, err);
    }
    if (code == POLARYS_OK) {
        code = replication_position_take(from->position, "position", &peer->position, err);
    }
    if (code == POLARYS_OK) {
        code = address_take(from->address, "address", peer->address, err);
    }
    if (code == POLARYS_OK && peer->kind == POLARYS_SLOT_REPLICA &&
        strcmp(peer->name, server->config->node_name) == 0) {
        (void)polarys_fail(err, POLARYS_BAD_NAME,
                           "%s is the name of the node that is followed: give each node of a group "
                           "its own --node-name",
                           peer->name);
        polarys_error_detail_set(err, "field", "node");
        code = POLARYS_BAD_NAME;
    }
    return code == POLARYS_OK ? store_check(server, from, err) : code;
}

/* ---- answers ---- */

static Polarys__V1__FollowerKind kind_of(enum polarys_slot_kind kind)
{
    switch (kind) {
    case POLARYS_SLOT_OBSERVER:
        return POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_OBSERVER;
    case POLARYS_SLOT_ARCHIVE:
        return POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_ARCHIVE;
    default:
        return POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_UNSPECIFIED;
    }
}

static Polarys__V1__SlotState state_of(enum polarys_slot_state state)
{
    switch (state) {
    case POLARYS_SLOT_EXTENDED:
        return POLARYS__V1__SLOT_STATE__SLOT_STATE_EXTENDED;
    case POLARYS_SLOT_LOST:
        return POLARYS__V1__SLOT_STATE__SLOT_STATE_LOST;
    default:
        return POLARYS__V1__SLOT_STATE__SLOT_STATE_RESERVED;
    }
}

void replication_slot_fill(const struct polarys_slot_info *info, struct replication_slot *slot)
{
    polarys__v1__slot__init(&slot->message);
    replication_position_fill(&info->position, &slot->position);
    response_time_fill(info->active_time_unix_ms, &slot->active_time);
    slot->message.name =
        (ProtobufCBinaryData){strlen(info->name), (uint8_t *)(uintptr_t)info->name};
    slot->message.position = &slot->position;
    slot->message.state = state_of(info->state);
    slot->message.behind_bytes = info->behind_bytes;
    slot->message.behind_versions = info->behind_versions;
    slot->message.applied_version = info->applied_version;
    slot->message.is_active = info->is_active;
    slot->message.active_time = &slot->active_time;
    slot->message.kind = kind_of(info->kind);
    slot->message.bytes_max = info->bytes_max;
}

size_t tail_message_size(const struct tail_message *message)
{
    return message->at == NULL ? 0 : (size_t)(message->at - GRPC_SLICE_START_PTR(message->slice));
}

/* Room for `size` bytes more, and for what stands at the end. */
static void room_make(struct tail_message *message, size_t size)
{
    size_t used = tail_message_size(message);
    size_t wanted = used + size + TAIL_END_BYTES_MAX;
    if (message->at != NULL && wanted <= GRPC_SLICE_LENGTH(message->slice)) {
        return;
    }
    size_t capacity = 2 * used > wanted ? 2 * used : wanted;
    capacity = capacity > TAIL_MESSAGE_FIRST_BYTES ? capacity : (size_t)TAIL_MESSAGE_FIRST_BYTES;
    grpc_slice larger = grpc_slice_malloc(capacity);
    if (message->at != NULL) {
        memcpy(GRPC_SLICE_START_PTR(larger), GRPC_SLICE_START_PTR(message->slice), used);
        grpc_slice_unref(message->slice);
    }
    message->slice = larger;
    message->at = GRPC_SLICE_START_PTR(larger) + used;
}

void tail_message_header(struct tail_message *message, const struct response_header *header)
{
    room_make(message, wire_block_size(TAIL_HEADER, header->size));
    message->at = wire_block_put(message->at, TAIL_HEADER, slice_make(header->bytes, header->size));
}

void tail_message_part(struct tail_message *message, const struct polarys_log_part *part)
{
    size_t size = wire_uint_size(PIECE_SEGMENT_ID, part->segment_id) +
                  wire_uint_size(PIECE_OFFSET, part->offset) +
                  wire_bytes_size(PIECE_DATA, part->bytes.size) +
                  wire_uint_size(PIECE_CONTINUED, part->is_continued);
    room_make(message, wire_block_size(TAIL_PIECES, size));
    uint8_t *at = wire_block_open(message->at, TAIL_PIECES, size);
    uint8_t *end = at + size;
    at = wire_uint_put(at, PIECE_SEGMENT_ID, part->segment_id);
    at = wire_uint_put(at, PIECE_OFFSET, part->offset);
    at = wire_bytes_put(at, PIECE_DATA, part->bytes);
    at = wire_uint_put(at, PIECE_CONTINUED, part->is_continued);
    SERVICE_ASSERT(at == end);
    message->at = at;
    message->item_count++;
}

void tail_message_commit(struct tail_message *message, struct polarys_slice commit)
{
    room_make(message, wire_block_size(TAIL_COMMITS, commit.size));
    message->at = wire_block_put(message->at, TAIL_COMMITS, commit);
    message->item_count++;
}

static uint8_t *position_put(uint8_t *at, uint32_t field,
                             const struct polarys_log_position *position)
{
    size_t size = wire_uint_size(POSITION_SEGMENT_ID, position->segment_id) +
                  wire_uint_size(POSITION_OFFSET, position->offset) +
                  wire_bytes_size(POSITION_TAG, POLARYS_LOG_TAG_SIZE) +
                  wire_uint_size(POSITION_VERSION, position->version);
    at = wire_block_open(at, field, size);
    at = wire_uint_put(at, POSITION_SEGMENT_ID, position->segment_id);
    at = wire_uint_put(at, POSITION_OFFSET, position->offset);
    at = wire_bytes_put(at, POSITION_TAG, slice_make(position->tag, POLARYS_LOG_TAG_SIZE));
    return wire_uint_put(at, POSITION_VERSION, position->version);
}

grpc_slice tail_message_take(struct tail_message *message, const struct tail_end *end)
{
    room_make(message, 0);
    uint8_t *at = position_put(message->at, TAIL_END, &end->end);
    at = wire_uint_put(at, TAIL_BEHIND_BYTES, end->behind_bytes);
    at = response_time_put(at, TAIL_SEND_TIME, end->send_unix_ms);
    at = wire_uint_put(at, TAIL_STABLE_VERSION, end->stable_version);
    SERVICE_ASSERT(at - message->at <= TAIL_END_BYTES_MAX);
    size_t size = (size_t)(at - GRPC_SLICE_START_PTR(message->slice));
    grpc_slice whole = message->slice;
    *message = (struct tail_message){.at = NULL};
    if (size < GRPC_SLICE_LENGTH(whole)) {
        grpc_slice sent = grpc_slice_sub_no_ref(whole, 0, size);
        return sent;
    }
    return whole;
}

void tail_message_deinit(struct tail_message *message)
{
    if (message->at != NULL) {
        grpc_slice_unref(message->slice);
    }
    *message = (struct tail_message){.at = NULL};
}
