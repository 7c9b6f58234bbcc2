// SPDX-License-Identifier: Apache-2.0
// The arena's limits, the hand-written wire format, and UTF-8.
#include <gtest/gtest.h>

#include <string>

#include "service/proto/arena.h"
#include "service/proto/utf8.h"
#include "service/proto/wire.h"
#include "tests/unit/service/api_messages.h"

namespace {

class ArenaTest : public ::testing::Test {
  protected:
    ArenaTest()
    {
        memory_.limit = 1 << 20;
        proto_arena_init(&arena_, &memory_);
    }
    ~ArenaTest() override
    {
        proto_arena_deinit(&arena_);
        EXPECT_EQ(proto_memory_used(&memory_), 0u);
    }
    void *Unpack(const std::string &bytes, const ProtobufCMessageDescriptor *descriptor)
    {
        return proto_arena_unpack(&arena_, descriptor, slice_make(bytes.data(), bytes.size()),
                                  &err_);
    }

    proto_memory memory_ = {0, 0};
    proto_arena arena_;
    polarys_error err_ = {};
};

std::string PutBytes(size_t value_size)
{
    std::string value(value_size, 'v');
    Polarys__V1__Value message;
    polarys__v1__value__init(&message);
    message.kind_case = POLARYS__V1__VALUE__KIND_RAW;
    message.raw = {value.size(), reinterpret_cast<uint8_t *>(value.data())};
    Polarys__V1__PutRequest request = POLARYS__V1__PUT_REQUEST__INIT;
    request.value = &message;
    std::string bytes(polarys__v1__put_request__get_packed_size(&request), '\0');
    polarys__v1__put_request__pack(&request, reinterpret_cast<uint8_t *>(bytes.data()));
    return bytes;
}

TEST_F(ArenaTest, UnpacksAMessage)
{
    auto *request = static_cast<Polarys__V1__PutRequest *>(
        Unpack(PutBytes(1000), &polarys__v1__put_request__descriptor));
    ASSERT_NE(request, nullptr);
    ASSERT_NE(request->value, nullptr);
    EXPECT_EQ(request->value->raw.len, 1000u);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(request) % 16, 0u);
}

TEST_F(ArenaTest, UnpacksNothingAsAnEmptyMessage)
{
    EXPECT_NE(Unpack("", &polarys__v1__put_request__descriptor), nullptr);
}

TEST_F(ArenaTest, RefusesMalformedBytes)
{
    EXPECT_EQ(Unpack("\xff\xff\xff", &polarys__v1__put_request__descriptor), nullptr);
    EXPECT_EQ(err_.code, POLARYS_BAD_MESSAGE);
}

TEST_F(ArenaTest, RefusesEveryCutOfAMessage)
{
    std::string whole = PutBytes(50);
    for (size_t size = 1; size < whole.size(); size++) {
        err_.code = POLARYS_OK;
        if (Unpack(whole.substr(0, size), &polarys__v1__put_request__descriptor) == nullptr) {
            EXPECT_EQ(err_.code, POLARYS_BAD_MESSAGE);
        }
        proto_arena_reset(&arena_);
    }
}

TEST_F(ArenaTest, RefusesAMessageThatBlowsUp)
{
    memory_.limit = 1 << 30;
    // 40,000 empty operations: 2 bytes each on the wire, more than a hundred in memory.
    std::string bytes;
    for (int i = 0; i < 40000; i++) {
        bytes += std::string("\x1a\x00", 2);
    }
    EXPECT_EQ(Unpack(bytes, &polarys__v1__batch_write_request__descriptor), nullptr);
    EXPECT_EQ(err_.code, POLARYS_BAD_MESSAGE);
    EXPECT_NE(polarys_error_detail_find(&err_, "limit"), nullptr);
}

TEST_F(ArenaTest, RefusesWhenWhatAllCallsShareIsUsedUp)
{
    memory_.limit = 64 << 10;
    EXPECT_EQ(Unpack(PutBytes(100000), &polarys__v1__put_request__descriptor), nullptr);
    EXPECT_EQ(err_.code, POLARYS_MEMORY_LIMIT);
    EXPECT_NE(err_.retry_after_ms, 0u);
    proto_arena_reset(&arena_);
    EXPECT_NE(Unpack(PutBytes(100), &polarys__v1__put_request__descriptor), nullptr);
}

TEST_F(ArenaTest, ResetKeepsOneSmallChunk)
{
    ASSERT_NE(Unpack(PutBytes(300000), &polarys__v1__put_request__descriptor), nullptr);
    EXPECT_GT(proto_memory_used(&memory_), 300000u);
    proto_arena_reset(&arena_);
    EXPECT_LE(proto_memory_used(&memory_), static_cast<uint64_t>(PROTO_ARENA_FIRST_BYTES));
}

TEST_F(ArenaTest, ResetGivesTheSameMemoryAgain)
{
    void *first = proto_arena_alloc(&arena_, 100);
    proto_arena_reset(&arena_);
    EXPECT_EQ(proto_arena_alloc(&arena_, 100), first);
}

TEST_F(ArenaTest, RefusesMoreThanAnyRequestMayHave)
{
    EXPECT_EQ(proto_arena_alloc(&arena_, SIZE_MAX - 4), nullptr);
    EXPECT_EQ(arena_.failure, PROTO_ARENA_BUDGET);
}

__attribute__((noinline)) void *AllocDeep(proto_arena *arena, int depth)
{
    volatile char frame[4096];
    frame[0] = static_cast<char>(depth);
    void *result = depth == 0 ? proto_arena_alloc(arena, 16) : AllocDeep(arena, depth - 1);
    frame[1] = frame[0];
    return result;
}

TEST_F(ArenaTest, RefusesToAllocateDeepInTheStack)
{
    arena_.stack_base = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
    EXPECT_NE(AllocDeep(&arena_, 4), nullptr);
    EXPECT_EQ(AllocDeep(&arena_, 200), nullptr);
    EXPECT_EQ(arena_.failure, PROTO_ARENA_DEPTH);
}

TEST(Wire, SizesAgreeWithWhatIsWritten)
{
    for (unsigned shift = 0; shift < 64; shift++) {
        for (uint64_t value : {(UINT64_C(1) << shift) - 1, UINT64_C(1) << shift}) {
            uint8_t bytes[16];
            EXPECT_EQ(wire_varint_put(bytes, value) - bytes,
                      static_cast<ptrdiff_t>(wire_varint_size(value)));
            EXPECT_EQ(wire_uint_put(bytes, 5, value) - bytes,
                      static_cast<ptrdiff_t>(wire_uint_size(5, value)));
        }
    }
}

TEST(Wire, ReadsWhatItWrote)
{
    uint8_t bytes[64];
    uint8_t *at = wire_uint_put(bytes, 3, UINT64_MAX);
    at = wire_bytes_put(at, 200, slice_from_text("hello"));
    at = wire_bytes_put(at, 7, slice_make(nullptr, 0));
    at = wire_block_put(at, 8, slice_make(nullptr, 0));
    polarys_slice rest = slice_make(bytes, static_cast<size_t>(at - bytes));
    EXPECT_EQ(wire_bytes_find(rest, 200).size, 5u);
    wire_field field;
    bool is_malformed;
    ASSERT_TRUE(wire_field_next(&rest, &field, &is_malformed));
    EXPECT_EQ(field.number, 3u);
    EXPECT_EQ(field.value, UINT64_MAX);
    ASSERT_TRUE(wire_field_next(&rest, &field, &is_malformed));
    EXPECT_TRUE(slice_equal(field.bytes, slice_from_text("hello")));
    ASSERT_TRUE(wire_field_next(&rest, &field, &is_malformed));
    EXPECT_EQ(field.number, 8u);
    EXPECT_FALSE(wire_field_next(&rest, &field, &is_malformed));
    EXPECT_FALSE(is_malformed);
}

TEST(Wire, StopsAtMalformedFields)
{
    const std::string cases[] = {
        std::string("\x80", 1), // a tag without an end
        std::string("\x08", 1), // a number without a value
        std::string("\x0a\x05"
                    "abc",
                    5),                 // bytes beyond the end
        std::string("\x0b\x0c", 2),     // a group
        std::string("\x00\x00", 2),     // field 0
        std::string("\x09\x01\x02", 3), // half a fixed64
        std::string("\x0d\x01\x02", 3), // half a fixed32
        std::string("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13),
    };
    for (const std::string &bytes : cases) {
        polarys_slice rest = slice_make(bytes.data(), bytes.size());
        wire_field field;
        bool is_malformed = false;
        EXPECT_FALSE(wire_field_next(&rest, &field, &is_malformed));
        EXPECT_TRUE(is_malformed);
    }
}

TEST(Wire, SkipsFixedFields)
{
    const std::string bytes("\x0d\x01\x00\x00\x00\x11\x02\x00\x00\x00\x00\x00\x00\x00", 14);
    polarys_slice rest = slice_make(bytes.data(), bytes.size());
    wire_field field;
    bool is_malformed;
    ASSERT_TRUE(wire_field_next(&rest, &field, &is_malformed));
    EXPECT_EQ(field.value, 1u);
    ASSERT_TRUE(wire_field_next(&rest, &field, &is_malformed));
    EXPECT_EQ(field.value, 2u);
}

bool IsText(const std::string &text)
{
    return utf8_is_text(slice_make(text.data(), text.size()));
}

TEST(Utf8, AcceptsWellFormedText)
{
    EXPECT_TRUE(IsText(""));
    EXPECT_TRUE(IsText("plain"));
    EXPECT_TRUE(
        IsText("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"));
}

TEST(Utf8, RefusesWhatIsMalformed)
{
    const std::string cases[] = {
        "\x80",
        "\xc3",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xe2\x82",
        "\xe2\x28\xa1",
        "a\xff",
    };
    for (const std::string &text : cases) {
        EXPECT_FALSE(IsText(text)) << text.size();
    }
    EXPECT_FALSE(IsText(std::string("a\0b", 3)));
}

TEST(Utf8, ScrubReplacesBadBytesOnly)
{
    std::string text = "a\xff\xc3\xa4\xe2\x82";
    utf8_scrub(text.data());
    EXPECT_EQ(text, "a?\xc3\xa4??");
    EXPECT_TRUE(IsText(text));
}

} // namespace
