/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One message of a stream while it is filled: the head in the first, records one after another,
 * something at the end. It goes out as it is, without a copy.
 *
 * A message holds up to FRAME_BYTES of records, or one larger alone; the first ones are small, so
 * that they come soon.
 */
#ifndef SERVICE_RPC_FRAME_H
#define SERVICE_RPC_FRAME_H

#include <grpc/slice.h>

#include "engine/engine_query.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FRAME_FIRST_BYTES = 16 << 10,
    FRAME_BYTES = 256 << 10,
    FRAME_HEAD_MAX = 512,
};

/* Belongs to one thread at a time. Zero-initialise. */
struct frame {
    uint8_t *at; /* where the next bytes go; NULL: none is begun */
    size_t records;
    grpc_slice slice;
    size_t bytes;     /* of records that this one may hold; 0: FRAME_FIRST_BYTES */
    size_t head_used; /* bytes of its head */
    uint8_t head[FRAME_HEAD_MAX];
    size_t head_size; /* of what the next message begins with */
};

/*
 * Room for one record of `size` bytes at frame->at, in a message that is begun where there is none.
 * False when it belongs into the next message: take this one first. The caller writes the bytes,
 * moves `at` and counts the record.
 */
bool frame_room_get(struct frame *frame, size_t size);
/* The same, in a message that grows as far as it has to; also for what closes a message. */
void frame_room_make(struct frame *frame, size_t size);
/* As many bytes of records are in it as it is to have. */
bool frame_is_full(const struct frame *frame);
/* The message, taken out of the frame. REQUIRES: one is begun. */
grpc_slice frame_take(struct frame *frame);
/* Drops a message that was begun. */
void frame_release(struct frame *frame);

#ifdef __cplusplus
}
#endif

#endif
