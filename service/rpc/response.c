/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encodes headers, documents and times. Each pair of functions must agree: what ..._size says is
 * what ..._put writes, which the callers assert on the whole message.
 */
#include "service/rpc/response.h"

#include "service/proto/wire.h"
#include "service/replication/follower.h"
#include "service/replication/group.h"
#include "service/rpc/consistency.h"
#include "service/server/check.h"

enum {
    HEADER_STORE_ID = 1,
    HEADER_HISTORY_ID = 2,
    HEADER_NODE = 3,
    HEADER_TERM = 4,
    HEADER_VERSION = 5,
    HEADER_STABLE_VERSION = 6,
    HEADER_TOKEN = 7,

    DOCUMENT_KEY = 1,
    DOCUMENT_VALUE = 2,
    DOCUMENT_VERSION = 3,
    DOCUMENT_EXPIRE_TIME = 4,
    DOCUMENT_COMMIT_TIME = 5,

    VALUE_JSON = 1,
    VALUE_RAW = 2,

    TIME_SECONDS = 1,
    TIME_NANOS = 2,

    COMMIT_HEADER = 1,
    COMMIT_VERSION = 2,
};

/* Of what is on stable storage here, what no failover takes back. */
static uint64_t stable_version(const struct server *server, uint64_t durable)
{
    uint64_t stable = follower_is_following(server->follower)
                          ? follower_stable_version(server->follower, durable)
                          : group_stable_version(server->group);
    return stable < durable ? stable : durable; /* it may have grown meanwhile */
}

static void token_make(const struct server *server, uint64_t seen, uint8_t *bytes)
{
    struct consistency_token token;
    memcpy(token.history_id, polarys_db_history_id(server->db), POLARYS_ID_SIZE);
    token.version = seen;
    consistency_token_encode(&token, bytes);
}

void response_header_make(const struct server *server, uint64_t seen,
                          struct response_header *header)
{
    uint8_t token[SERVER_TOKEN_SIZE];
    token_make(server, seen, token);
    const struct polarys_db *db = server->db;
    uint64_t durable = polarys_db_durable_version(db);
    struct polarys_slice node = slice_from_text(server->config->node_name);
    SERVICE_ASSERT(node.size <= POLARYS_NAME_BYTES_MAX);
    /* cppcheck-suppress ctuuninitvar; it is filled here */
    uint8_t *at = header->bytes;
    at = wire_bytes_put(at, HEADER_STORE_ID, slice_make(polarys_db_store_id(db), POLARYS_ID_SIZE));
    at = wire_bytes_put(at, HEADER_HISTORY_ID,
                        slice_make(polarys_db_history_id(db), POLARYS_ID_SIZE));
    at = wire_bytes_put(at, HEADER_NODE, node);
    at = wire_uint_put(at, HEADER_TERM, polarys_db_term(db));
    at = wire_uint_put(at, HEADER_VERSION, durable);
    at = wire_uint_put(at, HEADER_STABLE_VERSION, stable_version(server, durable));
    at = wire_bytes_put(at, HEADER_TOKEN, slice_make(token, sizeof(token)));
    header->size = (size_t)(at - header->bytes);
    SERVICE_ASSERT(header->size <= sizeof(header->bytes));
}

static ProtobufCBinaryData binary_borrow(const void *data, size_t size)
{
    ProtobufCBinaryData binary = {size, (uint8_t *)(uintptr_t)data};
    return binary;
}

void response_header_fill(const struct server *server, uint64_t seen, uint8_t *token,
                          Polarys__V1__ResponseHeader *header)
{
    polarys__v1__response_header__init(header);
    token_make(server, seen, token);
    header->store_id = binary_borrow(polarys_db_store_id(server->db), POLARYS_ID_SIZE);
    header->history_id = binary_borrow(polarys_db_history_id(server->db), POLARYS_ID_SIZE);
    header->node = binary_borrow(server->config->node_name, strlen(server->config->node_name));
    header->term = polarys_db_term(server->db);
    header->version = polarys_db_durable_version(server->db);
    header->stable_version = stable_version(server, header->version);
    header->token = binary_borrow(token, SERVER_TOKEN_SIZE);
}

/* `seen` is for the token. */
static grpc_slice commit_encode(const struct server *server, uint64_t seen, uint64_t version)
{
    struct response_header header;
    response_header_make(server, seen, &header);
    size_t size =
        wire_block_size(COMMIT_HEADER, header.size) + wire_uint_size(COMMIT_VERSION, version);
    grpc_slice slice = grpc_slice_malloc(size);
    uint8_t *at = GRPC_SLICE_START_PTR(slice);
    at = wire_block_put(at, COMMIT_HEADER, slice_make(header.bytes, header.size));
    at = wire_uint_put(at, COMMIT_VERSION, version);
    SERVICE_ASSERT(at == GRPC_SLICE_END_PTR(slice));
    return slice;
}

grpc_slice response_commit(const struct server *server, uint64_t version)
{
    return commit_encode(server, version, version);
}

grpc_slice response_uncommitted(const struct server *server)
{
    return commit_encode(server, polarys_db_version(server->db), 0);
}

grpc_slice response_pack(const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    grpc_slice slice = grpc_slice_malloc(size);
    size_t packed = protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    SERVICE_ASSERT(packed == size);
    return slice;
}

static size_t time_body_size(uint64_t unix_ms)
{
    return wire_uint_size(TIME_SECONDS, unix_ms / 1000) +
           wire_uint_size(TIME_NANOS, unix_ms % 1000 * 1000000);
}

size_t response_time_size(uint32_t field, uint64_t unix_ms)
{
    return unix_ms == 0 ? 0 : wire_block_size(field, time_body_size(unix_ms));
}

uint8_t *response_time_put(uint8_t *at, uint32_t field, uint64_t unix_ms)
{
    if (unix_ms == 0) {
        return at;
    }
    at = wire_block_open(at, field, time_body_size(unix_ms));
    at = wire_uint_put(at, TIME_SECONDS, unix_ms / 1000);
    return wire_uint_put(at, TIME_NANOS, unix_ms % 1000 * 1000000);
}

void response_time_fill(uint64_t unix_ms, Google__Protobuf__Timestamp *time)
{
    google__protobuf__timestamp__init(time);
    time->seconds = (int64_t)(unix_ms / 1000);
    time->nanos = (int32_t)(unix_ms % 1000 * 1000000);
}

void response_duration_fill(uint64_t ns, Google__Protobuf__Duration *duration)
{
    google__protobuf__duration__init(duration);
    duration->seconds = (int64_t)(ns / 1000000000);
    duration->nanos = (int32_t)(ns % 1000000000);
}

static uint32_t value_field(const struct polarys_value *value)
{
    return value->kind == POLARYS_VALUE_JSON ? VALUE_JSON : VALUE_RAW;
}

size_t response_value_size(uint32_t field, const struct polarys_value *value)
{
    return wire_block_size(field, wire_block_size(value_field(value), value->bytes.size));
}

uint8_t *response_value_put(uint8_t *at, uint32_t field, const struct polarys_value *value)
{
    at = wire_block_open(at, field, wire_block_size(value_field(value), value->bytes.size));
    return wire_block_put(at, value_field(value), value->bytes);
}

static size_t document_body_size(const struct polarys_document *document, bool has_value)
{
    return wire_bytes_size(DOCUMENT_KEY, document->key.size) +
           (has_value ? response_value_size(DOCUMENT_VALUE, &document->value) : 0) +
           wire_uint_size(DOCUMENT_VERSION, document->version) +
           response_time_size(DOCUMENT_EXPIRE_TIME, document->value.expires_at_ms) +
           response_time_size(DOCUMENT_COMMIT_TIME, document->commit_time_unix_ms);
}

size_t response_document_size(uint32_t field, const struct polarys_document *document,
                              bool has_value)
{
    return wire_block_size(field, document_body_size(document, has_value));
}

uint8_t *response_document_put(uint8_t *at, uint32_t field, const struct polarys_document *document,
                               bool has_value)
{
    at = wire_block_open(at, field, document_body_size(document, has_value));
    at = wire_bytes_put(at, DOCUMENT_KEY, document->key);
    if (has_value) {
        at = response_value_put(at, DOCUMENT_VALUE, &document->value);
    }
    at = wire_uint_put(at, DOCUMENT_VERSION, document->version);
    at = response_time_put(at, DOCUMENT_EXPIRE_TIME, document->value.expires_at_ms);
    return response_time_put(at, DOCUMENT_COMMIT_TIME, document->commit_time_unix_ms);
}

enum polarys_code response_time_take(const Google__Protobuf__Timestamp *time, const char *field,
                                     uint64_t *unix_ms, struct polarys_error *err)
{
    const int64_t seconds_max =
        INT64_C(253402300799); /* the end of the year 9999, as Timestamp has it */
    *unix_ms = 0;
    if (time == NULL) {
        return POLARYS_OK;
    }
    if (time->seconds < 0 || time->seconds > seconds_max || time->nanos < 0 ||
        time->nanos > 999999999 || (time->seconds == 0 && time->nanos < 1000000)) {
        polarys_fail(err, POLARYS_BAD_ARGUMENT, "`%s`: not a time between the years 1970 and 9999",
                     field);
        polarys_error_detail_set(err, "field", "%s", field);
        return POLARYS_BAD_ARGUMENT;
    }
    *unix_ms = (uint64_t)time->seconds * 1000 + (uint64_t)time->nanos / 1000000;
    return POLARYS_OK;
}
