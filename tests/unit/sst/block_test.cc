// SPDX-License-Identifier: Apache-2.0
// The payload of sorted blocks: round trips, and bytes that are none.
#include "engine/sst/block.h"

#include "tests/support/fault_alloc.h"
#include "tests/unit/sst/table_fixture.h"

namespace sst_test {
namespace {

std::string payload_of(const Model &model)
{
    block_builder builder = {};
    for (const auto &[at, stored] : model) {
        entry each = {slice(at.key), slice(stored.value), at.version, stored.kind};
        EXPECT_EQ(POLARYS_OK, block_builder_add(&builder, &each));
    }
    size_t size = block_builder_size(&builder);
    buffer payload = {};
    EXPECT_EQ(POLARYS_OK, block_builder_finish(&builder, &payload));
    EXPECT_GE(payload.size, size);
    EXPECT_LE(payload.size, size + TREE_KEY_SIZE_MAX);
    std::string bytes = text_of(buffer_slice(&payload));
    buffer_deinit(&payload);
    block_builder_deinit(&builder);
    return bytes;
}

struct Cursor : block_cursor {
    Cursor() : block_cursor()
    {
    }
    ~Cursor()
    {
        block_cursor_deinit(this);
    }
    Cursor(const Cursor &) = delete;
    Cursor &operator=(const Cursor &) = delete;
};

void expect_entry(const Cursor &cursor, Model::const_iterator at)
{
    ASSERT_EQ(at->first.key, text_of(cursor.entry.key));
    ASSERT_EQ(at->first.version, cursor.entry.version);
    ASSERT_EQ(at->second.value, text_of(cursor.entry.value));
    ASSERT_EQ(at->second.kind, cursor.entry.kind);
}

TEST(Block, IsWalkedAndSearchedAsASortedMap)
{
    sim_random random;
    sim_random_init(&random, sim_seed(21));
    for (int round = 0; round < 60; round++) {
        SCOPED_TRACE(round);
        Model model = random_model(&random, 1 + sim_random_below(&random, 120), 8, 40);
        std::string payload = payload_of(model);
        block_view view;
        ASSERT_TRUE(block_view_init(&view, slice(payload)));
        EXPECT_EQ(model.size(), view.entry_count);
        Cursor cursor;
        block_cursor_set(&cursor, &view);
        block_result result = block_cursor_first(&cursor);
        for (auto at = model.cbegin(); at != model.cend(); ++at) {
            ASSERT_EQ(BLOCK_FOUND, result);
            ASSERT_NO_FATAL_FAILURE(expect_entry(cursor, at));
            result = block_cursor_next(&cursor);
        }
        EXPECT_EQ(BLOCK_END, result);
        result = block_cursor_last(&cursor);
        for (auto at = model.cend(); at != model.cbegin();) {
            ASSERT_EQ(BLOCK_FOUND, result);
            ASSERT_NO_FATAL_FAILURE(expect_entry(cursor, --at));
            result = block_cursor_previous(&cursor);
        }
        EXPECT_EQ(BLOCK_END, result);
        for (int probe = 0; probe < 200; probe++) {
            std::string key = hard_key(&random, 8);
            uint64_t version = sim_random_below(&random, 42);
            auto at = model.lower_bound({key, version});
            entry found;
            result = block_find(&view, slice(key), version, &found);
            ASSERT_EQ(at == model.end() ? BLOCK_END : BLOCK_FOUND, result);
            ASSERT_EQ(result, block_cursor_seek(&cursor, slice(key), version));
            if (result == BLOCK_FOUND) {
                ASSERT_NO_FATAL_FAILURE(expect_entry(cursor, at));
                ASSERT_EQ(at->first.version, found.version);
                ASSERT_EQ(at->second.value, text_of(found.value));
                ASSERT_EQ(at->first.key == key, found.key.size != 0);
            }
        }
    }
}

TEST(Block, HoldsAnyVersions)
{
    Model model;
    for (uint64_t version :
         {uint64_t{0}, uint64_t{1}, uint64_t{1} << 63, VERSION_MAX, UINT64_MAX}) {
        model[{"samesamesame", version}] = {ENTRY_PUT, std::to_string(version)};
    }
    std::string payload = payload_of(model);
    block_view view;
    ASSERT_TRUE(block_view_init(&view, slice(payload)));
    Cursor cursor;
    block_cursor_set(&cursor, &view);
    for (auto at = model.cbegin(); at != model.cend(); ++at) {
        ASSERT_EQ(BLOCK_FOUND, block_cursor_seek(&cursor, slice(at->first.key), at->first.version));
        ASSERT_NO_FATAL_FAILURE(expect_entry(cursor, at));
    }
}

// Every operation, on whatever bytes: nothing outside them is read and every walk ends.
void exercise(const std::string &payload)
{
    // An exact heap copy, so that the address sanitizer sees one byte too far.
    std::vector<uint8_t> bytes(payload.begin(), payload.end());
    bytes.shrink_to_fit();
    block_view view;
    if (!block_view_init(&view, slice_make(bytes.data(), bytes.size()))) {
        return;
    }
    Cursor cursor;
    block_cursor_set(&cursor, &view);
    uint64_t sum = 0;
    block_result result = block_cursor_first(&cursor);
    for (size_t i = 0; result == BLOCK_FOUND; i++) {
        ASSERT_LE(i, bytes.size());
        sum += cursor.entry.value.size == 0 ? 0 : cursor.entry.value.data[0];
        result = block_cursor_next(&cursor);
    }
    result = block_cursor_last(&cursor);
    for (size_t i = 0; result == BLOCK_FOUND; i++) {
        ASSERT_LE(i, bytes.size() * 2);
        sum += cursor.entry.key.data[cursor.entry.key.size - 1];
        result = block_cursor_previous(&cursor);
    }
    for (const char *key : {"", "\0\0\0\1\0\0\0\3a", "key", "\xff\xff\xff"}) {
        entry found = {};
        if (block_find(&view, slice_from_text(key), 7, &found) == BLOCK_FOUND) {
            sum += found.value.size == 0 ? 0 : found.value.data[found.value.size - 1];
        }
        if (block_cursor_seek(&cursor, slice_from_text(key), 7) == BLOCK_FOUND) {
            result = block_cursor_previous(&cursor);
            result = block_cursor_seek(&cursor, slice_from_text(key), 3);
        }
    }
    EXPECT_NE(UINT64_MAX, sum);
}

TEST(Block, SurvivesAnyFlipAndCut)
{
    sim_random random;
    sim_random_init(&random, sim_seed(22));
    Model model = random_model(&random, 50, 8, 9);
    std::string payload = payload_of(model);
    for (size_t size = 0; size < payload.size(); size++) {
        ASSERT_NO_FATAL_FAILURE(exercise(payload.substr(0, size)));
    }
    for (size_t at = 0; at < payload.size(); at++) {
        for (int value : {0, 1, 0x7f, 0x80, 0xff, payload[at] ^ 1}) {
            std::string bad = payload;
            bad[at] = static_cast<char>(value);
            ASSERT_NO_FATAL_FAILURE(exercise(bad));
        }
    }
    for (int i = 0; i < 3000; i++) {
        std::string bad = payload;
        for (uint64_t flips = 1 + sim_random_below(&random, 20); flips > 0; flips--) {
            bad[sim_random_below(&random, bad.size())] =
                static_cast<char>(sim_random_next(&random));
        }
        ASSERT_NO_FATAL_FAILURE(exercise(bad));
    }
}

TEST(Block, RefusesPayloadsThatAreNone)
{
    block_view view;
    EXPECT_FALSE(block_view_init(&view, slice_make(nullptr, 0)));
    std::string zeros(100, '\0');
    EXPECT_FALSE(block_view_init(&view, slice(zeros)));
    std::string ones(100, '\xff');
    EXPECT_FALSE(block_view_init(&view, slice(ones)));
}

TEST(Block, ReportsFailedAllocations)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    entry each = {slice_from_text("some key"), slice_from_text("value"), 1, ENTRY_PUT};
    uint64_t n = 1;
    for (;; n++) {
        block_builder builder = {};
        buffer payload = {};
        fault_alloc_fail_at(n);
        polarys_code code = block_builder_add(&builder, &each);
        if (code == POLARYS_OK) {
            code = block_builder_finish(&builder, &payload);
        }
        uint64_t failed = fault_alloc_disarm();
        EXPECT_EQ(failed != 0 ? POLARYS_NO_MEMORY : POLARYS_OK, code);
        block_builder_deinit(&builder);
        buffer_deinit(&payload);
        if (failed == 0) {
            break;
        }
    }
    EXPECT_GT(n, 5u);
    std::string payload =
        payload_of({{{"some key", 1}, {ENTRY_PUT, "v"}}, {{"some key2", 1}, {ENTRY_PUT, "v"}}});
    block_view view;
    ASSERT_TRUE(block_view_init(&view, slice(payload)));
    for (int move = 0; move < 3; move++) {
        Cursor cursor;
        block_cursor_set(&cursor, &view);
        fault_alloc_fail_at(1);
        block_result result = move == 0 ? block_cursor_first(&cursor)
                              : move == 1
                                  ? block_cursor_last(&cursor)
                                  : block_cursor_seek(&cursor, slice_from_text("some key2"), 1);
        EXPECT_EQ(1u, fault_alloc_disarm());
        EXPECT_EQ(BLOCK_NO_MEMORY, result);
    }
}

} // namespace
} // namespace sst_test
