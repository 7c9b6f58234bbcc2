/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoded answers. What is sent often is written by hand straight into the slice that goes out; the
 * rest is packed by protobuf-c.
 */
#ifndef SERVICE_RPC_RESPONSE_H
#define SERVICE_RPC_RESPONSE_H

#include <grpc/slice.h>

#include "polarys/v1/common.pb-c.h"
#include "service/server/server.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RESPONSE_HEADER_MAX = 320 };

/* A ResponseHeader, encoded. */
struct response_header {
    uint8_t bytes[RESPONSE_HEADER_MAX];
    size_t size;
};

/* `seen`: the version that the answer shows; the token will ask for no older. */
void response_header_make(const struct server *server, uint64_t seen,
                          struct response_header *header);

/* The same for protobuf-c: points into `token` (SERVER_TOKEN_SIZE bytes) and the server. */
void response_header_fill(const struct server *server, uint64_t seen, uint8_t *token,
                          Polarys__V1__ResponseHeader *header);

/* {header = 1, version = 2}: Put, Update, Delete and their like. */
grpc_slice response_commit(const struct server *server, uint64_t version);

/* The same of a write within a transaction, which has no version yet. */
grpc_slice response_uncommitted(const struct server *server);

/* A packed message. */
grpc_slice response_pack(const ProtobufCMessage *message);

/* google.protobuf.Timestamp of Unix milliseconds, inside field `field`; nothing for 0. */
size_t response_time_size(uint32_t field, uint64_t unix_ms);
uint8_t *response_time_put(uint8_t *at, uint32_t field, uint64_t unix_ms);
/* The same for protobuf-c. */
void response_time_fill(uint64_t unix_ms, Google__Protobuf__Timestamp *time);
/* A Duration of nanoseconds. */
void response_duration_fill(uint64_t ns, Google__Protobuf__Duration *duration);

/* A Document inside field `field`, with tag and length. */
size_t response_document_size(uint32_t field, const struct polarys_document *document,
                              bool has_value);
uint8_t *response_document_put(uint8_t *at, uint32_t field, const struct polarys_document *document,
                               bool has_value);
/* A Value inside field `field`. */
size_t response_value_size(uint32_t field, const struct polarys_value *value);
uint8_t *response_value_put(uint8_t *at, uint32_t field, const struct polarys_value *value);

/* Unix milliseconds of a time in a request. Errors: BAD_ARGUMENT of `field` (before 1970, not a
 * time). */
NODISCARD enum polarys_code response_time_take(const Google__Protobuf__Timestamp *time,
                                               const char *field, uint64_t *unix_ms,
                                               struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
