/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bulk writer's state, shared by its record side (bulk.c) and its stream side (bulk_stream.c).
 *
 * Invariant: a batch is kept, encoded, from the moment it is cut until its acknowledgement, so a session
 * that broke can be opened again and goes on behind the last number that the server has.
 */
#ifndef CLIENT_BULK_INTERNAL_H
#define CLIENT_BULK_INTERNAL_H

#include "client/client_internal.h"
#include "polarys/v1/bulk.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    BULK_BATCH_RECORDS_DEFAULT = 500,
    BULK_BATCH_BYTES_DEFAULT = 256 << 10,
    BULK_BATCH_BYTES_MAX = 1 << 20,
    BULK_RECONNECT_DEFAULT_MS = 10000,
    BULK_RECONNECT_PAUSE_MS = 100,
    BULK_ANSWER_MS = 30000, /* the longest wait for any answer of a live server */
    BULK_HEAD_MAX = 32,     /* room for what stands before the records of a batch */
};

/* A batch that is not acknowledged. */
struct bulk_batch {
    struct bulk_batch *next;
    uint8_t *bytes; /* BULK_HEAD_MAX bytes of room, then the records as fields of a WriteBatch */
    size_t size;    /* room and records */
    size_t start;   /* where the WriteRequest begins, within the room */
    uint64_t number;
    uint64_t record_count;
    uint64_t record_bytes;
    bool is_sent; /* on the present stream */
};

struct polarys_client_bulk {
    struct polarys_client *client;
    struct polarys_client_bulk_options options; /* strings owned */

    /* The batch being filled, laid out like bulk_batch.bytes; NULL when nothing is. */
    uint8_t *filling;
    size_t filling_size;
    size_t filling_capacity;
    uint64_t filling_records;
    uint64_t filling_bytes;

    /* Cut, in number order. */
    struct bulk_batch *first;
    struct bulk_batch *last;
    uint64_t last_number; /* of the newest batch cut */

    /* The session. */
    struct client_way way;
    struct client_target target;
    struct transport_stream *stream;
    uint8_t session_id[16];
    bool has_session;
    uint64_t window_bytes;
    uint64_t sent_bytes; /* sent and not acknowledged */
    uint64_t acked_number;
    uint64_t acked_records;
    uint64_t acked_bytes;
    uint64_t trouble_since_ms; /* of the first failure after the last progress; 0: none */

    bool has_failed;
    struct polarys_client_error failure;
};

/* Gives a batch its number and writes the head before its records. */
void bulk_batch_number(struct bulk_batch *batch, uint64_t number);

/* Sends what the window allows; waits for acknowledgements until `until_idle` (nothing unacknowledged) or
 * only until the newest batch is on its way. Reconnects. False: has_failed is set. */
bool bulk_pump(struct polarys_client_bulk *bulk, bool until_idle);
/* Ends the session politely. REQUIRES: a stream, nothing unacknowledged. */
void bulk_session_close(struct polarys_client_bulk *bulk);

/* Marks the writer as failed with `err`; returns false. */
bool bulk_fail(struct polarys_client_bulk *bulk, const struct polarys_client_error *err);

#ifdef __cplusplus
}
#endif

#endif
