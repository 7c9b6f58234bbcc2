/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages that a bulk write answers with. An acknowledgement of a committed batch is written
 * by hand: there is one for every batch.
 */
#include "service/errors/error_table.h"
#include "service/proto/utf8.h"
#include "service/proto/wire.h"
#include "service/rpc/bulk_stream.h"
#include "service/rpc/response.h"
#include "service/server/check.h"

enum { ANSWER_ACK = 2, ACK_NUMBER = 1, ACK_VERSION = 2, METADATA_MAX = POLARYS_ERROR_DETAILS_MAX };

static ProtobufCBinaryData binary_borrow(const void *data, size_t size)
{
    ProtobufCBinaryData binary = {size, (uint8_t *)(uintptr_t)data};
    return binary;
}

grpc_slice bulk_answer_opened(const struct bulk_stream *stream)
{
    const struct server *server = stream->call->server;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    Polarys__V1__WriteOpened opened = POLARYS__V1__WRITE_OPENED__INIT;
    opened.header = &header;
    opened.session_id = binary_borrow(bulk_session_id(stream->session), BULK_SESSION_ID_SIZE);
    opened.last_number = stream->last_number;
    opened.window_bytes = server->config->bulk_window_bytes;
    Polarys__V1__WriteResponse response;
    polarys__v1__write_response__init(&response);
    response.message_case = POLARYS__V1__WRITE_RESPONSE__MESSAGE_OPENED;
    response.opened = &opened;
    return response_pack(&response.base);
}

grpc_slice bulk_answer_committed(uint64_t number, uint64_t version)
{
    size_t body =
        wire_uint_size(ACK_NUMBER, number) + wire_tag_size(ACK_VERSION) + wire_varint_size(version);
    grpc_slice slice = grpc_slice_malloc(wire_block_size(ANSWER_ACK, body));
    uint8_t *at = GRPC_SLICE_START_PTR(slice);
    at = wire_block_open(at, ANSWER_ACK, body);
    at = wire_uint_put(at, ACK_NUMBER, number);
    /* In a oneof also a 0 is written. */
    at = wire_varint_put(wire_tag_put(at, ACK_VERSION, WIRE_VARINT), version);
    SERVICE_ASSERT(at == GRPC_SLICE_END_PTR(slice));
    return slice;
}

static void retry_fill(const struct polarys_error *err, Google__Protobuf__Duration *delay,
                       Polarys__V1__ErrorStatus *status)
{
    const struct error_rule *rule = error_rule_get(err->code);
    uint32_t ms = err->retry_after_ms != 0 ? err->retry_after_ms : rule->retry_after_ms;
    google__protobuf__duration__init(delay);
    if (ms != 0) {
        delay->seconds = ms / 1000;
        delay->nanos = (int32_t)(ms % 1000) * 1000000;
        status->retry_delay = delay;
    }
}

grpc_slice bulk_answer_refused(uint64_t number, const struct polarys_error *from)
{
    struct polarys_error err = *from;
    utf8_scrub(err.message);
    Polarys__V1__ErrorStatus status = POLARYS__V1__ERROR_STATUS__INIT;
    Polarys__V1__ErrorMetadata entries[METADATA_MAX];
    Polarys__V1__ErrorMetadata *pointers[METADATA_MAX];
    Google__Protobuf__Duration delay;
    status.code = (uint32_t)error_rule_get(err.code)->status;
    status.reason = binary_borrow(polarys_code_name(err.code), strlen(polarys_code_name(err.code)));
    status.message = binary_borrow(err.message, strlen(err.message));
    for (uint32_t i = 0; i < err.detail_count; i++) {
        utf8_scrub(err.details[i].value);
        polarys__v1__error_metadata__init(&entries[i]);
        entries[i].key = binary_borrow(err.details[i].name, strlen(err.details[i].name));
        entries[i].value = binary_borrow(err.details[i].value, strlen(err.details[i].value));
        pointers[i] = &entries[i];
    }
    status.n_metadata = err.detail_count;
    status.metadata = pointers;
    retry_fill(&err, &delay, &status);

    Polarys__V1__WriteAck ack = POLARYS__V1__WRITE_ACK__INIT;
    ack.number = number;
    ack.result_case = POLARYS__V1__WRITE_ACK__RESULT_ERROR;
    ack.error = &status;
    Polarys__V1__WriteResponse response;
    polarys__v1__write_response__init(&response);
    response.message_case = POLARYS__V1__WRITE_RESPONSE__MESSAGE_ACK;
    response.ack = &ack;
    return response_pack(&response.base);
}

grpc_slice bulk_answer_closed(const struct bulk_stream *stream)
{
    const struct server *server = stream->call->server;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    Polarys__V1__WriteClosed closed = POLARYS__V1__WRITE_CLOSED__INIT;
    closed.header = &header;
    closed.version = stream->last_version;
    closed.last_number = stream->last_number;
    Polarys__V1__WriteResponse response;
    polarys__v1__write_response__init(&response);
    response.message_case = POLARYS__V1__WRITE_RESPONSE__MESSAGE_CLOSED;
    response.closed = &closed;
    return response_pack(&response.base);
}
