/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame that all changes share: a request id goes out with the request, header and version come back.
 *
 * Invariant: a change is repeated only under a request id, or when repeating it leaves the same documents.
 */
#include <stddef.h>
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "polarys/v1/kv.pb-c.h"
#include "polarys/v1/table.pb-c.h"

/* The head that the answers to all changes share: header, then version. */
struct change_answer {
    ProtobufCMessage base;
    Polarys__V1__ResponseHeader *header;
    uint64_t version;
};
#define CHANGE_ANSWER_CHECK(type)                                                                  \
    _Static_assert(offsetof(type, header) == offsetof(struct change_answer, header) &&             \
                       offsetof(type, version) == offsetof(struct change_answer, version),         \
                   "an answer of another shape")
CHANGE_ANSWER_CHECK(Polarys__V1__PutResponse);
CHANGE_ANSWER_CHECK(Polarys__V1__UpdateResponse);
CHANGE_ANSWER_CHECK(Polarys__V1__DeleteResponse);
CHANGE_ANSWER_CHECK(Polarys__V1__DeleteRangeResponse);
CHANGE_ANSWER_CHECK(Polarys__V1__BatchWriteResponse);
CHANGE_ANSWER_CHECK(Polarys__V1__CreateTableResponse);
CHANGE_ANSWER_CHECK(Polarys__V1__DropTableResponse);
CHANGE_ANSWER_CHECK(Polarys__V1__TruncateTableResponse);
CHANGE_ANSWER_CHECK(Polarys__V1__CreateDatabaseResponse);
CHANGE_ANSWER_CHECK(Polarys__V1__DropDatabaseResponse);
CHANGE_ANSWER_CHECK(Polarys__V1__DropIndexResponse);

void client_request_id_choose(struct client_request_id *id, const struct polarys_client *client,
                              const uint8_t *given)
{
    id->is_set = given != NULL;
    if (given != NULL) {
        memcpy(id->bytes, given, sizeof(id->bytes));
    } else if (client->options.makes_request_ids) {
        client_request_id_make(id);
    }
}

void client_request_id_make(struct client_request_id *id)
{
    id->is_set = client_random(id->bytes, sizeof(id->bytes));
}

bool client_change_invoke(struct polarys_client *client, struct client_change *change,
                          struct polarys_client_result *result, struct polarys_client_error *err)
{
    struct client_request_id *id = change->id;

    POLARYS_ASSERT(change->id_field != NULL);
    POLARYS_ASSERT(change->id_field->len == 0); /* it is set here and nowhere else */
    *change->id_field = client_bytes(id->bytes, id->is_set ? sizeof(id->bytes) : 0);
    if (id->is_set) {
        change->call.repeat = CLIENT_REPEAT_ALWAYS;
    }
    ProtobufCMessage *response = client_invoke(client, &change->call, err);
    if (response == NULL) {
        return false;
    }
    const struct change_answer *answer = (const struct change_answer *)response;
    client_result_fill(result, answer->header, answer->version);
    protobuf_c_message_free_unpacked(response, NULL);
    return true;
}
