/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this client has seen: the token of the newest answer, for reads that must not be older, and the term, which tells
 * of a new primary.
 *
 * Invariant: the token never goes back. Versions are compared within a term only: those of a later term are newer,
 * whatever their numbers. The version is the token's own: the header's is that of the node's storage, which may be ahead
 * of what the answer saw, and behind it.
 */
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"

enum {
    /* The only form of a token so far: it, 16 bytes of a history's id, 8 of a version, a check sum. */
    TOKEN_FORMAT = 1,
    TOKEN_VERSION_AT = 17,
    TOKEN_SIZE = 26,
};

/* What the answer saw; of tokens in a form that a later server made, what was durable there then. */
static uint64_t token_version(const Polarys__V1__ResponseHeader *header)
{
    const ProtobufCBinaryData *token = &header->token;
    uint64_t version = 0;

    POLARYS_ASSERT(token->data != NULL);
    if (token->len != TOKEN_SIZE || token->data[0] != TOKEN_FORMAT) {
        return header->version;
    }
    for (size_t i = 0; i < sizeof(version); i++) {
        version |= (uint64_t)token->data[TOKEN_VERSION_AT + i] << (8 * i);
    }
    return version;
}

const Polarys__V1__ResponseHeader *client_header_find(const ProtobufCMessage *message)
{
    POLARYS_ASSERT(message != NULL);
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, "header");
    if (field == NULL || field->descriptor != &polarys__v1__response_header__descriptor) {
        return NULL;
    }
    POLARYS_ASSERT(field->label != PROTOBUF_C_LABEL_REPEATED);
    return *(Polarys__V1__ResponseHeader *const *)((const char *)message + field->offset);
}

void client_session_note(struct polarys_client *client, uint32_t node,
                         const Polarys__V1__ResponseHeader *header)
{
    struct client_session *session = &client->session;

    if (header == NULL) {
        return;
    }
    client_route_heard(client, node, header->term);
    if (header->token.len == 0 || header->token.len > CLIENT_TOKEN_BYTES_MAX) {
        return;
    }
    uint64_t version = token_version(header);
    pthread_mutex_lock(&client->mutex);
    POLARYS_ASSERT(session->token_size <= CLIENT_TOKEN_BYTES_MAX);
    bool is_newer = session->token_size == 0 || header->term > session->term ||
                    (header->term == session->term && version > session->version);
    if (is_newer) {
        session->term = header->term;
        session->version = version;
        session->token_size = header->token.len;
        memcpy(session->token, header->token.data, header->token.len);
    }
    pthread_mutex_unlock(&client->mutex);
}

size_t client_session_token(struct polarys_client *client, uint8_t token[CLIENT_TOKEN_BYTES_MAX])
{
    POLARYS_ASSERT(token != NULL);
    pthread_mutex_lock(&client->mutex);
    size_t size = client->session.token_size;
    memcpy(token, client->session.token, size);
    pthread_mutex_unlock(&client->mutex);
    return size;
}

void client_session_forget(struct polarys_client *client, const void *token, size_t size)
{
    struct client_session *session = &client->session;

    POLARYS_ASSERT(size > 0);
    pthread_mutex_lock(&client->mutex);
    if (session->token_size == size && memcmp(session->token, token, size) == 0) {
        memset(session, 0, sizeof(*session));
    }
    pthread_mutex_unlock(&client->mutex);
}
