/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read masks: what is kept of a document, and how.
 */
#include <string>
#include <vector>

#include "engine/document/document.h"
#include "engine/document/json_mask.h"
#include "tests/support/fault_alloc.h"

namespace {

std::string masked(const std::vector<const char *> &paths, const std::string &document)
{
    json_mask *mask = nullptr;
    EXPECT_EQ(POLARYS_OK, json_mask_create(paths.data(), paths.size(), &mask, nullptr));
    buffer to{};
    EXPECT_EQ(POLARYS_OK, json_mask_apply(mask, slice_make(document.data(), document.size()), &to));
    EXPECT_EQ(POLARYS_OK, json_check(buffer_slice(&to), nullptr));
    std::string text(reinterpret_cast<const char *>(to.data), to.size);
    buffer_deinit(&to);
    json_mask_destroy(mask);
    return text;
}

} // namespace

TEST(JsonMask, KeepsTheMembersNamedWordForWord)
{
    const std::string document =
        " { \"a\" : 1.50 , \"b\":{\"c\":[1, 2],\"d\":\"x\"}, \"e f\":null } ";
    EXPECT_EQ("{\"a\":1.50}", masked({"a"}, document));
    EXPECT_EQ("{\"a\":1.50,\"e f\":null}", masked({"`e f`", "a"}, document));
    EXPECT_EQ("{\"b\":{\"c\":[1, 2],\"d\":\"x\"}}", masked({"b"}, document));
    EXPECT_EQ("{\"b\":{\"c\":[1, 2]}}", masked({"b.c"}, document));
    EXPECT_EQ("{\"b\":{\"c\":[1, 2],\"d\":\"x\"}}", masked({"b.c", "b"}, document));
    EXPECT_EQ("{\"b\":{\"c\":[1, 2],\"d\":\"x\"}}", masked({"b", "b.c"}, document));
}

TEST(JsonMask, KeepsTheWayToWhatIsNotThere)
{
    EXPECT_EQ("{}", masked({"x"}, "{\"a\":1}"));
    EXPECT_EQ("{\"a\":{}}", masked({"a.x"}, "{\"a\":{\"b\":1}}"));
    EXPECT_EQ("{}", masked({"a.x"}, "{\"a\":1}"));
}

TEST(JsonMask, GoesIntoTheObjectsOfAnArray)
{
    EXPECT_EQ("{\"a\":[{\"b\":1},{},{\"b\":3}]}",
              masked({"a.b"}, "{\"a\":[{\"b\":1,\"c\":2},7,{\"c\":1},[{\"b\":9}],{\"b\":3}]}"));
    EXPECT_EQ("{\"a\":[]}", masked({"a.b"}, "{\"a\":[]}"));
}

TEST(JsonMask, FindsNamesHoweverTheyAreEscaped)
{
    EXPECT_EQ("{\"\\u0061\":1}", masked({"a"}, "{\"\\u0061\":1,\"b\":2}"));
}

TEST(JsonMask, GivesAnEmptyObjectForWhatIsNone)
{
    EXPECT_EQ("{}", masked({"a"}, "5"));
    EXPECT_EQ("{}", masked({"a"}, "[{\"a\":1}]"));
}

TEST(JsonMask, RefusesBadPaths)
{
    for (const char *path : {"", "a.", "a b", "`a", "."}) {
        json_mask *mask = nullptr;
        polarys_error error{};
        EXPECT_EQ(POLARYS_BAD_ARGUMENT, json_mask_create(&path, 1, &mask, &error)) << path;
        EXPECT_EQ(nullptr, mask);
        EXPECT_STREQ("read_mask", polarys_error_detail_find(&error, "field"));
    }
    std::vector<const char *> many(JSON_MASK_PATHS_MAX + 1, "a");
    json_mask *mask = nullptr;
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, json_mask_create(many.data(), many.size(), &mask, nullptr));
}

TEST(JsonMask, FailsCleanlyWithoutMemory)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    const char *const paths[] = {"a.b", "c"};
    bool is_over = false;
    for (uint64_t at = 1; at < 100 && !is_over; at++) {
        fault_alloc_fail_at(at);
        json_mask *mask = nullptr;
        buffer to{};
        polarys_code code = json_mask_create(paths, 2, &mask, nullptr);
        if (code == POLARYS_OK) {
            code = json_mask_apply(mask, slice_from_text("{\"\\u0061\":{\"b\":1},\"c\":2}"), &to);
        }
        is_over = fault_alloc_disarm() == 0;
        EXPECT_EQ(is_over ? POLARYS_OK : POLARYS_NO_MEMORY, code) << at;
        buffer_deinit(&to);
        json_mask_destroy(mask);
    }
    EXPECT_TRUE(is_over);
}
