/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fills messages of streams. The invariant: FRAME_TAIL_MAX bytes are free behind `at` at all times,
 * so that a message can be closed whenever that is needed.
 */
#include "service/rpc/frame.h"

#include "service/server/check.h"

static void frame_make(struct frame *frame, size_t size)
{
    if (frame->bytes == 0) {
        frame->bytes = FRAME_FIRST_BYTES;
    }
    size_t room = size > frame->bytes ? size : frame->bytes;
    SERVICE_ASSERT(frame->head_size <= FRAME_HEAD_MAX);
    frame->slice = grpc_slice_malloc(frame->head_size + room + FRAME_TAIL_MAX);
    frame->at = GRPC_SLICE_START_PTR(frame->slice);
    memcpy(frame->at, frame->head, frame->head_size);
    frame->at += frame->head_size;
    frame->head_used = frame->head_size;
    frame->head_size = 0;
    frame->records = 0;
}

bool frame_room_get(struct frame *frame, size_t size)
{
    if (frame->at == NULL) {
        frame_make(frame, size);
        return true;
    }
    size_t free_bytes = (size_t)(GRPC_SLICE_END_PTR(frame->slice) - frame->at);
    SERVICE_ASSERT(free_bytes >= FRAME_TAIL_MAX);
    return size <= free_bytes - FRAME_TAIL_MAX;
}

void frame_room_make(struct frame *frame, size_t size)
{
    if (frame_room_get(frame, size)) {
        return;
    }
    size_t used = (size_t)(frame->at - GRPC_SLICE_START_PTR(frame->slice));
    grpc_slice larger = grpc_slice_malloc(used + size + FRAME_TAIL_MAX);
    memcpy(GRPC_SLICE_START_PTR(larger), GRPC_SLICE_START_PTR(frame->slice), used);
    grpc_slice_unref(frame->slice);
    frame->slice = larger;
    frame->at = GRPC_SLICE_START_PTR(larger) + used;
}

bool frame_is_full(const struct frame *frame)
{
    if (frame->at == NULL) {
        return false;
    }
    size_t used = (size_t)(frame->at - GRPC_SLICE_START_PTR(frame->slice));
    return used - frame->head_used >= frame->bytes;
}

void frame_begin(struct frame *frame)
{
    if (frame->at == NULL) {
        frame_make(frame, 0);
    }
}

grpc_slice frame_take(struct frame *frame)
{
    SERVICE_ASSERT(frame->at != NULL && frame->at <= GRPC_SLICE_END_PTR(frame->slice));
    size_t size = (size_t)(frame->at - GRPC_SLICE_START_PTR(frame->slice));
    grpc_slice used = grpc_slice_sub(frame->slice, 0, size);
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
