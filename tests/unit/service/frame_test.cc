// SPDX-License-Identifier: Apache-2.0
// Messages of streams while they are filled, and times in requests.
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/service/api_messages.h"

#include "service/rpc/frame.h"
#include "service/rpc/operation.h"

namespace {

void Put(frame *frame, size_t size)
{
    memset(frame->at, 'r', size);
    frame->at += size;
    frame->records++;
}

std::string Taken(frame *frame)
{
    grpc_slice slice = frame_take(frame);
    std::string bytes(reinterpret_cast<const char *>(GRPC_SLICE_START_PTR(slice)),
                      GRPC_SLICE_LENGTH(slice));
    grpc_slice_unref(slice);
    return bytes;
}

TEST(Frame, BeginsWithItsHeadOnce)
{
    frame frame = {};
    memcpy(frame.head, "head", 4);
    frame.head_size = 4;
    ASSERT_TRUE(frame_room_get(&frame, 3));
    Put(&frame, 3);
    EXPECT_EQ(Taken(&frame), "headrrr");
    frame_room_make(&frame, 0);
    EXPECT_EQ(Taken(&frame), "");
}

TEST(Frame, IsFullWhenTheNextRecordDoesNotFit)
{
    frame frame = {};
    size_t records = 0;
    while (frame_room_get(&frame, 1000)) {
        Put(&frame, 1000);
        records++;
        ASSERT_LT(records, 100u);
    }
    EXPECT_EQ(records, static_cast<size_t>(FRAME_FIRST_BYTES / 1000));
    EXPECT_EQ(frame.records, records);
    EXPECT_EQ(Taken(&frame).size(), records * 1000);
    ASSERT_TRUE(frame_room_get(&frame, 1000));
    EXPECT_EQ(frame.records, 0u);
    frame_release(&frame);
    frame_release(&frame);
}

TEST(Frame, TakesOneLargerRecordAlone)
{
    frame frame = {};
    const size_t large = FRAME_BYTES * 3;
    ASSERT_TRUE(frame_room_get(&frame, large));
    Put(&frame, large);
    EXPECT_FALSE(frame_room_get(&frame, 1));
    frame_room_make(&frame, POLARYS_CURSOR_BYTES_MAX);
    EXPECT_GE(static_cast<size_t>(GRPC_SLICE_END_PTR(frame.slice) - frame.at),
              static_cast<size_t>(POLARYS_CURSOR_BYTES_MAX));
    EXPECT_EQ(Taken(&frame).size(), large);
}

TEST(Frame, GrowsUpToItsBound)
{
    frame frame = {};
    for (int i = 0; i < 8; i++) {
        frame_room_make(&frame, 0);
        EXPECT_LE(frame.bytes, static_cast<size_t>(FRAME_BYTES));
        (void)Taken(&frame);
    }
    EXPECT_EQ(frame.bytes, static_cast<size_t>(FRAME_BYTES));
}

TEST(Frame, GrowsForTheRecordThatGoesBeyond)
{
    frame frame = {};
    memcpy(frame.head, "head", 4);
    frame.head_size = 4;
    frame_room_make(&frame, 10);
    Put(&frame, 10);
    EXPECT_FALSE(frame_is_full(&frame));
    frame_room_make(&frame, FRAME_BYTES);
    Put(&frame, FRAME_BYTES);
    EXPECT_TRUE(frame_is_full(&frame));
    const std::string bytes = Taken(&frame);
    EXPECT_EQ(bytes, "head" + std::string(10 + FRAME_BYTES, 'r'));
    EXPECT_FALSE(frame_is_full(&frame));
}

enum polarys_code TakeDuration(int64_t seconds, int32_t nanos, uint32_t *ms)
{
    polarys_error err = {};
    Google__Protobuf__Duration duration = GOOGLE__PROTOBUF__DURATION__INIT;
    duration.seconds = seconds;
    duration.nanos = nanos;
    polarys_code code = operation_duration_take(&duration, "timeout", 5000, ms, &err);
    if (code != POLARYS_OK) {
        EXPECT_STREQ(polarys_error_detail_find(&err, "field"), "timeout");
    }
    return code;
}

TEST(OperationDuration, IsTakenWithinItsLimits)
{
    uint32_t ms = 7;
    polarys_error err = {};
    EXPECT_EQ(operation_duration_take(nullptr, "timeout", 5000, &ms, &err), POLARYS_OK);
    EXPECT_EQ(ms, 0u);
    EXPECT_EQ(TakeDuration(0, 1000000, &ms), POLARYS_OK);
    EXPECT_EQ(ms, 1u);
    EXPECT_EQ(TakeDuration(5, 0, &ms), POLARYS_OK);
    EXPECT_EQ(ms, 5000u);
}

TEST(OperationDuration, IsRefusedBeyondThem)
{
    uint32_t ms;
    EXPECT_EQ(TakeDuration(0, 0, &ms), POLARYS_BAD_ARGUMENT);
    EXPECT_EQ(TakeDuration(0, 999999, &ms), POLARYS_BAD_ARGUMENT);
    EXPECT_EQ(TakeDuration(-1, 0, &ms), POLARYS_BAD_ARGUMENT);
    EXPECT_EQ(TakeDuration(1, -1, &ms), POLARYS_BAD_ARGUMENT);
    EXPECT_EQ(TakeDuration(1, 1000000000, &ms), POLARYS_BAD_ARGUMENT);
    EXPECT_EQ(TakeDuration(5, 1000000, &ms), POLARYS_BAD_ARGUMENT);
    EXPECT_EQ(TakeDuration(6, 0, &ms), POLARYS_BAD_ARGUMENT);
    EXPECT_EQ(TakeDuration(INT64_MAX, 999999999, &ms), POLARYS_BAD_ARGUMENT);
}

} // namespace
