/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills messages of streams. How much a message may hold and how much memory it has are two things:
 * most messages are one small document, and memory that malloc has to search for costs more than the
 * document. So it begins small and doubles.
 */
#include "service/rpc/frame.h"

#include "service/server/check.h"

enum { FRAME_MEMORY_MIN = 960 /* with the slice's own header what malloc keeps at hand */ };

static size_t frame_used(const struct frame *frame)
{
    return (size_t)(frame->at - GRPC_SLICE_START_PTR(frame->slice));
}

static void frame_make(struct frame *frame, size_t size)
{
    if (frame->bytes == 0) {
        frame->bytes = FRAME_FIRST_BYTES;
    }
    SERVICE_ASSERT(frame->head_size <= FRAME_HEAD_MAX);
    size_t room = frame->head_size + size;
    /* A stream that goes on fills what it may. */
    size_t least = frame->bytes > FRAME_FIRST_BYTES ? frame->bytes : FRAME_MEMORY_MIN;
    frame->slice = grpc_slice_malloc(room > least ? room : least);
    frame->at = GRPC_SLICE_START_PTR(frame->slice);
    memcpy(frame->at, frame->head, frame->head_size);
    frame->at += frame->head_size;
    frame->head_used = frame->head_size;
    frame->head_size = 0;
    frame->records = 0;
}

void frame_room_make(struct frame *frame, size_t size)
{
    if (frame->at == NULL) {
        frame_make(frame, size);
    }
    size_t used = frame_used(frame);
    size_t capacity = GRPC_SLICE_LENGTH(frame->slice);
    SERVICE_ASSERT(used <= capacity);
    if (size <= capacity - used) {
        return;
    }
    grpc_slice larger = grpc_slice_malloc(size > capacity ? used + size : 2 * capacity);
    memcpy(GRPC_SLICE_START_PTR(larger), GRPC_SLICE_START_PTR(frame->slice), used);
    grpc_slice_unref(frame->slice);
    frame->slice = larger;
    frame->at = GRPC_SLICE_START_PTR(larger) + used;
}

bool frame_room_get(struct frame *frame, size_t size)
{
    if (frame->at != NULL && frame_used(frame) - frame->head_used + size > frame->bytes) {
        return false;
    }
    frame_room_make(frame, size);
    return true;
}

bool frame_is_full(const struct frame *frame)
{
    if (frame->at == NULL) {
        return false;
    }
    return frame_used(frame) - frame->head_used >= frame->bytes;
}

grpc_slice frame_take(struct frame *frame)
{
    SERVICE_ASSERT(frame->at != NULL && frame->at <= GRPC_SLICE_END_PTR(frame->slice));
    grpc_slice used = grpc_slice_sub(frame->slice, 0, frame_used(frame));
    grpc_slice_unref(frame->slice);
    frame->at = NULL;
    frame->bytes = frame->bytes * 4 > FRAME_BYTES ? FRAME_BYTES : frame->bytes * 4;
    return used;
}

void frame_release(struct frame *frame)
{
    if (frame->at != NULL) {
        grpc_slice_unref(frame->slice);
        frame->at = NULL;
    }
}
