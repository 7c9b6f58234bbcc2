/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conversions between the client's plain structs and the generated messages.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"

void client_value_fill(Polarys__V1__Value *message, enum polarys_client_value_kind kind,
                       const void *value, size_t value_size)
{
    POLARYS_ASSERT(value != NULL || value_size == 0);
    polarys__v1__value__init(message);
    if (kind == POLARYS_CLIENT_RAW) {
        message->kind_case = POLARYS__V1__VALUE__KIND_RAW;
        message->raw = client_bytes(value, value_size);
    } else {
        message->kind_case = POLARYS__V1__VALUE__KIND_JSON;
        message->json = client_bytes(value, value_size);
    }
}

void client_range_fill(Polarys__V1__KeyRange *message, const struct polarys_client_range *range)
{
    POLARYS_ASSERT(range != NULL);
    polarys__v1__key_range__init(message);
    message->start_key = client_bytes(range->start, range->start_size);
    message->end_key = client_bytes(range->end, range->end_size);
    message->prefix = client_bytes(range->prefix, range->prefix_size);
}

enum client_place client_read_place(const struct polarys_client_read *read)
{
    bool is_strong =
        read == NULL || read->txn != NULL || read->consistency == POLARYS_CLIENT_STRONG;
    return is_strong ? CLIENT_PLACE_PRIMARY : CLIENT_PLACE_READ;
}

/* No older than what this client has seen; before it has seen anything whatever a node has will do. */
static void session_fill(struct client_consistency *room, struct polarys_client *client)
{
    size_t size = client_session_token(client, room->token);

    room->is_session = size > 0;
    if (size == 0) {
        room->message.level_case = POLARYS__V1__CONSISTENCY__LEVEL_LOCAL;
        room->message.local = 1;
        return;
    }
    room->message.level_case = POLARYS__V1__CONSISTENCY__LEVEL_AT_LEAST;
    room->message.at_least = client_bytes(room->token, size);
}

void client_consistency_reset(struct client_consistency *room, struct polarys_client *client)
{
    POLARYS_ASSERT(room->is_session);
    POLARYS_ASSERT(room->message.level_case == POLARYS__V1__CONSISTENCY__LEVEL_AT_LEAST);
    client_session_forget(client, room->token, room->message.at_least.len);
    room->message.at_least = client_bytes(NULL, 0);
    room->message.level_case = POLARYS__V1__CONSISTENCY__LEVEL_STRONG;
    room->message.strong = 1;
    room->is_session = false;
    room->place = CLIENT_PLACE_PRIMARY;
}

Polarys__V1__Consistency *client_consistency_fill(struct client_consistency *room,
                                                  struct polarys_client *client,
                                                  const struct polarys_client_read *read)
{
    POLARYS_ASSERT(room != NULL);
    room->place = client_read_place(read);
    room->is_session = false;
    if (room->place == CLIENT_PLACE_PRIMARY) {
        return NULL;
    }
    polarys__v1__consistency__init(&room->message);
    google__protobuf__duration__init(&room->staleness);
    switch (read->consistency) {
    case POLARYS_CLIENT_STABLE:
        room->message.level_case = POLARYS__V1__CONSISTENCY__LEVEL_STABLE;
        room->message.stable = 1;
        break;
    case POLARYS_CLIENT_AT_LEAST:
        room->message.level_case = POLARYS__V1__CONSISTENCY__LEVEL_AT_LEAST;
        room->message.at_least = client_bytes(read->token, read->token_size);
        break;
    case POLARYS_CLIENT_SNAPSHOT:
        room->message.level_case = POLARYS__V1__CONSISTENCY__LEVEL_SNAPSHOT;
        room->message.snapshot = read->version;
        break;
    case POLARYS_CLIENT_MAX_STALENESS:
        room->staleness.seconds = (int64_t)(read->staleness_ms / 1000);
        room->staleness.nanos = (int32_t)(read->staleness_ms % 1000) * 1000000;
        room->message.level_case = POLARYS__V1__CONSISTENCY__LEVEL_MAX_STALENESS;
        room->message.max_staleness = &room->staleness;
        break;
    case POLARYS_CLIENT_SESSION:
        session_fill(room, client);
        break;
    case POLARYS_CLIENT_LOCAL:
    case POLARYS_CLIENT_STRONG:
        room->message.level_case = POLARYS__V1__CONSISTENCY__LEVEL_LOCAL;
        room->message.local = 1;
        break;
    }
    return &room->message;
}

Polarys__V1__Precondition *client_precondition_fill(struct client_precondition *room,
                                                    const struct polarys_client_write *write)
{
    POLARYS_ASSERT(room != NULL);
    POLARYS_ASSERT(write != NULL);
    polarys__v1__precondition__init(&room->message);
    polarys__v1__field_equals__init(&room->field);
    switch (write->precondition) {
    case POLARYS_CLIENT_NO_PRECONDITION:
        return NULL;
    case POLARYS_CLIENT_MUST_EXIST:
        room->message.condition_case = POLARYS__V1__PRECONDITION__CONDITION_MUST_EXIST;
        room->message.must_exist = 1;
        break;
    case POLARYS_CLIENT_MUST_NOT_EXIST:
        room->message.condition_case = POLARYS__V1__PRECONDITION__CONDITION_MUST_NOT_EXIST;
        room->message.must_not_exist = 1;
        break;
    case POLARYS_CLIENT_VERSION_EQUALS:
        room->message.condition_case = POLARYS__V1__PRECONDITION__CONDITION_VERSION_EQUALS;
        room->message.version_equals = write->precondition_version;
        break;
    case POLARYS_CLIENT_FIELD_EQUALS:
        room->field.path = client_text(write->precondition_field);
        room->field.json_value = client_text(write->precondition_json);
        room->message.condition_case = POLARYS__V1__PRECONDITION__CONDITION_FIELD_EQUALS;
        room->message.field_equals = &room->field;
        break;
    }
    return &room->message;
}

Google__Protobuf__Timestamp *client_time_fill(Google__Protobuf__Timestamp *room, uint64_t unix_ms)
{
    POLARYS_ASSERT(room != NULL);
    if (unix_ms == 0) {
        return NULL;
    }
    google__protobuf__timestamp__init(room);
    room->seconds = (int64_t)(unix_ms / 1000);
    room->nanos = (int32_t)(unix_ms % 1000) * 1000000;
    return room;
}

uint64_t client_time_ms(const Google__Protobuf__Timestamp *time)
{
    if (time == NULL || time->seconds < 0 || time->nanos < 0) {
        return 0;
    }
    return (uint64_t)time->seconds * 1000 + (uint64_t)(time->nanos / 1000000);
}

ProtobufCBinaryData client_txn_field(const struct polarys_client_txn *txn)
{
    POLARYS_ASSERT(txn == NULL || !txn->is_over);
    return client_bytes(txn == NULL ? NULL : txn->id, txn == NULL ? 0 : sizeof(txn->id));
}

ProtobufCBinaryData client_database_field(const struct polarys_client_txn *txn,
                                          const char *database)
{
    return client_text(txn == NULL ? database : txn->database);
}

Polarys__V1__Durability client_durability(const struct polarys_client_txn *txn,
                                          enum polarys_client_durability durability)
{
    if (txn != NULL) {
        return POLARYS__V1__DURABILITY__DURABILITY_UNSPECIFIED;
    }
    switch (durability) {
    case POLARYS_CLIENT_ASYNC:
        return POLARYS__V1__DURABILITY__DURABILITY_ASYNC;
    case POLARYS_CLIENT_LOCAL_SYNC:
        return POLARYS__V1__DURABILITY__DURABILITY_LOCAL_SYNC;
    case POLARYS_CLIENT_QUORUM:
        return POLARYS__V1__DURABILITY__DURABILITY_QUORUM;
    case POLARYS_CLIENT_QUORUM_APPLIED:
        return POLARYS__V1__DURABILITY__DURABILITY_QUORUM_APPLIED;
    case POLARYS_CLIENT_DURABILITY_DEFAULT:
        break;
    }
    return POLARYS__V1__DURABILITY__DURABILITY_UNSPECIFIED;
}

void client_result_fill(struct polarys_client_result *result,
                        const Polarys__V1__ResponseHeader *header, uint64_t version)
{
    if (result == NULL) {
        return;
    }
    memset(result, 0, sizeof(*result));
    result->version = version;
    if (header != NULL && header->token.len > 0 && header->token.len <= sizeof(result->token)) {
        memcpy(result->token, header->token.data, header->token.len);
        result->token_size = header->token.len;
    }
}

void *client_copy(const void *bytes, size_t size)
{
    POLARYS_ASSERT(bytes != NULL || size == 0);
    uint8_t *copy = malloc(size + 1);
    if (copy != NULL) {
        if (size > 0) {
            memcpy(copy, bytes, size);
        }
        copy[size] = '\0';
    }
    return copy;
}

char *client_copy_text(const char *text)
{
    return client_copy(text, text == NULL ? 0 : strlen(text));
}

void client_document_borrow(struct polarys_client_document *to, const Polarys__V1__Document *from)
{
    POLARYS_ASSERT(to != NULL);
    POLARYS_ASSERT(from != NULL);
    memset(to, 0, sizeof(*to));
    to->key = from->key.data;
    to->key_size = from->key.len;
    if (from->value != NULL && from->value->kind_case == POLARYS__V1__VALUE__KIND_RAW) {
        to->kind = POLARYS_CLIENT_RAW;
        to->value = from->value->raw.data;
        to->value_size = from->value->raw.len;
    } else if (from->value != NULL && from->value->kind_case == POLARYS__V1__VALUE__KIND_JSON) {
        to->value = from->value->json.data;
        to->value_size = from->value->json.len;
    }
    to->version = from->version;
    to->expires_at_ms = client_time_ms(from->expire_time);
    to->commit_time_ms = client_time_ms(from->commit_time);
}

bool client_document_copy(struct polarys_client_document *to, const ProtobufCBinaryData *key,
                          const Polarys__V1__Value *value, uint64_t version,
                          const Google__Protobuf__Timestamp *expire_time,
                          const Google__Protobuf__Timestamp *commit_time)
{
    ProtobufCBinaryData bytes = {0, NULL};

    POLARYS_ASSERT(to != NULL);
    POLARYS_ASSERT(key != NULL);
    memset(to, 0, sizeof(*to));
    if (value != NULL && value->kind_case == POLARYS__V1__VALUE__KIND_RAW) {
        bytes = value->raw;
        to->kind = POLARYS_CLIENT_RAW;
    } else if (value != NULL && value->kind_case == POLARYS__V1__VALUE__KIND_JSON) {
        bytes = value->json;
    }
    to->key = client_copy(key->data, key->len);
    to->value = client_copy(bytes.data, bytes.len);
    if (to->key == NULL || to->value == NULL) {
        polarys_client_document_free(to);
        return false;
    }
    to->key_size = key->len;
    to->value_size = bytes.len;
    to->version = version;
    to->expires_at_ms = client_time_ms(expire_time);
    to->commit_time_ms = client_time_ms(commit_time);
    return true;
}

void polarys_client_document_free(struct polarys_client_document *document)
{
    POLARYS_ASSERT(document != NULL);
    free(document->key);
    free(document->value);
    memset(document, 0, sizeof(*document));
}
