/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the calls of ReplicationService have in common on the wire: positions, who asks, slots, and the messages of a
 * tail, which are encoded by hand straight into what is sent.
 */
#ifndef SERVICE_RPC_REPLICATION_MESSAGE_H
#define SERVICE_RPC_REPLICATION_MESSAGE_H

#include <grpc/slice.h>

#include "engine/engine_slots.h"
#include "polarys/v1/replication.pb-c.h"
#include "service/rpc/response.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A node that follows, as it introduces itself. */
struct replication_peer {
    char name[POLARYS_NAME_BYTES_MAX + 1];
    enum polarys_slot_kind kind;
    char address[POLARYS_MEMBER_ADDRESS_MAX]; /* HOST:PORT; "" */
    bool has_position;
    struct polarys_log_position position; /* all zero where there is none */
};

/* Unset is all zero. Errors: BAD_ARGUMENT of `field`. */
NODISCARD enum polarys_code replication_position_take(const Polarys__V1__LogPosition *from,
                                                      const char *field,
                                                      struct polarys_log_position *position,
                                                      struct polarys_error *err);
/* Borrows the tag of `from`. */
void replication_position_fill(const struct polarys_log_position *from,
                               Polarys__V1__LogPosition *position);
/* A name of a node or a slot. Errors: BAD_NAME of `field`. */
NODISCARD enum polarys_code replication_name_take(const ProtobufCBinaryData *from,
                                                  const char *field,
                                                  char name[POLARYS_NAME_BYTES_MAX + 1],
                                                  struct polarys_error *err);
/* Errors: BAD_ARGUMENT of `kind`. */
NODISCARD enum polarys_code replication_kind_take(Polarys__V1__FollowerKind from,
                                                  enum polarys_slot_kind *kind,
                                                  struct polarys_error *err);
/* Checks all but whether the log can be read from there. Errors: BAD_NAME (a replica with the name of this node too),
 * BAD_ARGUMENT, WRONG_STORE, NOT_PRIMARY (detail "term"). */
NODISCARD enum polarys_code replication_peer_take(const struct server *server,
                                                  const Polarys__V1__HandshakeRequest *from,
                                                  struct replication_peer *peer,
                                                  struct polarys_error *err);

/* A node has come that has seen a higher term than this one, of the same store: this node, where it follows nobody, is
 * fenced. Writes a file. */
void replication_term_heed(struct server *server, const Polarys__V1__HandshakeRequest *from);

/* A Slot for protobuf-c; points into `info` and itself. */
struct replication_slot {
    Polarys__V1__Slot message;
    Polarys__V1__LogPosition position;
    Google__Protobuf__Timestamp active_time;
};
void replication_slot_fill(const struct polarys_slot_info *info, struct replication_slot *slot);

enum {
    TAIL_FILL_BYTES = 512 << 10, /* a message with so much takes nothing more */
    TAIL_MESSAGE_FIRST_BYTES = 8 << 10,
};

/* A TailLogResponse that is being put together. Zeroed: empty. */
struct tail_message {
    grpc_slice slice;
    uint8_t *at; /* NULL: there is no slice yet */
    size_t item_count;
};

/* What stands at the end of each. */
struct tail_end {
    struct polarys_log_position end;
    uint64_t behind_bytes;
    uint64_t send_unix_ms;
    uint64_t stable_version;
};

void tail_message_header(struct tail_message *message, const struct response_header *header);
void tail_message_part(struct tail_message *message, const struct polarys_log_part *part);
/* A LogCommit, or a part of one, that was encoded before. */
void tail_message_commit(struct tail_message *message, struct polarys_slice commit);
size_t tail_message_size(const struct tail_message *message);
/* Hands it over with its end; the message is empty then. */
grpc_slice tail_message_take(struct tail_message *message, const struct tail_end *end);
/* Accepts an empty one. */
void tail_message_deinit(struct tail_message *message);

#ifdef __cplusplus
}
#endif

#endif
