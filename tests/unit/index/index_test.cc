/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions, their records, the entries of documents, and the ranges that find them.
 */
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "engine/document/document.h"
#include "engine/index/index.h"
#include "tests/support/fault_alloc.h"

namespace {

polarys_slice bytes_of(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

std::string text_of(polarys_slice slice)
{
    return slice.size == 0 ? ""
                           : std::string(reinterpret_cast<const char *>(slice.data), slice.size);
}

class Index {
  public:
    Index(index_kind kind, const std::vector<const char *> &fields, bool is_unique = false)
    {
        index_spec spec{};
        spec.database_id = 1;
        spec.table_id = 5;
        spec.id = 9;
        spec.name = "i";
        spec.kind = kind;
        spec.state = INDEX_READY;
        spec.is_unique = is_unique;
        spec.fields = fields.data();
        spec.field_count = fields.size();
        EXPECT_EQ(POLARYS_OK, index_definition_create(&spec, &definition, &error)) << error.message;
    }
    ~Index()
    {
        index_definition_unref(definition);
    }
    Index(const Index &) = delete;
    Index &operator=(const Index &) = delete;

    struct Entry {
        std::string key;
        std::string value;
        bool is_unique;
    };
    std::vector<Entry> entries(const std::string &key, const std::string &json, bool is_json = true)
    {
        stored_value stored{};
        stored.is_json = is_json;
        stored.bytes = bytes_of(json);
        buffer to{};
        EXPECT_EQ(POLARYS_OK, stored_value_encode(&to, &stored));
        index_entries made{};
        code = index_entries_make(definition, bytes_of(key), buffer_slice(&to), &made, &error);
        std::vector<Entry> list;
        for (size_t i = 0; code == POLARYS_OK && i < made.count; i++) {
            list.push_back(
                {text_of(made.list[i].key), text_of(made.list[i].value), made.list[i].is_unique});
            EXPECT_TRUE(i == 0 || list[i - 1].key < list[i].key);
        }
        index_entries_deinit(&made);
        buffer_deinit(&to);
        return list;
    }

    index_definition *definition = nullptr;
    polarys_code code = POLARYS_OK;
    polarys_error error;
};

std::string prefix()
{
    return std::string("\0\0\0\1\0\0\0\x09", 8);
}

std::string encode(const std::string &json)
{
    json_value value =
        json.empty() ? json_value{JSON_MISSING, {nullptr, 0}} : json_value_make(bytes_of(json));
    buffer to{};
    EXPECT_EQ(POLARYS_OK, json_value_encode(&value, &to));
    std::string bytes = text_of(buffer_slice(&to));
    buffer_deinit(&to);
    return bytes;
}

TEST(IndexEntries, AreFieldsAndDocumentKey)
{
    Index index(INDEX_ORDERED, {"a", "b.c"});
    auto list = index.entries("key", R"({"a":1,"b":{"c":"x"}})");
    ASSERT_EQ(1u, list.size());
    EXPECT_EQ(prefix() + encode("1") + encode("\"x\"") + "key", list[0].key);
    EXPECT_EQ("", list[0].value);
    EXPECT_FALSE(list[0].is_unique);
    list = index.entries("key", "raw", false);
    ASSERT_EQ(1u, list.size());
    EXPECT_EQ(prefix() + encode("") + encode("") + "key", list[0].key);
}

TEST(IndexEntries, AnArrayHasOneForEachDifferentElement)
{
    Index index(INDEX_ORDERED, {"a"}, true);
    auto list = index.entries("k", R"({"a":[3,1,2,1.0,null,"1"]})");
    ASSERT_EQ(6u, list.size()); /* null, 1, 2, 3, "1", and the marker */
    EXPECT_EQ(prefix() + encode("null") + "k", list[0].key);
    EXPECT_FALSE(list[0].is_unique);
    EXPECT_EQ(prefix() + encode("1"), list[1].key);
    EXPECT_EQ("k", list[1].value);
    EXPECT_TRUE(list[1].is_unique);
    EXPECT_FALSE(list[5].is_unique);
    EXPECT_EQ(1u, index.entries("k", R"({"a":[]})").size());
}

TEST(IndexEntries, SeveralArraysGiveEveryCombination)
{
    Index index(INDEX_HASH, {"a", "b"});
    EXPECT_EQ(6u, index.entries("k", R"({"a":[1,2,1],"b":[1,2,3]})").size());
    std::string big = R"({"a":[0)";
    for (int i = 1; i < 101; i++) {
        big += "," + std::to_string(i);
    }
    std::string same = big;
    std::replace(same.begin(), same.end(), 'a', 'b');
    std::string both = big + "]," + same.substr(1) + "]}";
    EXPECT_TRUE(index.entries("k", both).empty());
    EXPECT_EQ(POLARYS_TOO_LARGE, index.code);
    EXPECT_STREQ("i", polarys_error_detail_find(&index.error, "index"));
    EXPECT_STREQ("10000", polarys_error_detail_find(&index.error, "limit"));
    EXPECT_STREQ("10201", polarys_error_detail_find(&index.error, "size"));
    EXPECT_EQ(101u, index.entries("k", big + "]}").size());
}

TEST(IndexEntries, AnArrayThatRepeatsItselfEndlesslyIsOneValue)
{
    Index index(INDEX_ORDERED, {"a"});
    std::string many = R"({"a":[1)";
    for (int i = 0; i < 400000; i++) {
        many += i % 2 == 0 ? ",1" : ",1.0";
    }
    EXPECT_EQ(1u, index.entries("k", many + "]}").size()) << index.error.message;
}

TEST(IndexEntries, ATooLongKeyIsCutAndKeptAsValue)
{
    Index index(INDEX_ORDERED, {"a"});
    std::string json = R"({"a":")" + std::string(2000, 'x') + "\"}";
    std::string one(4096, 'k');
    std::string other = one;
    other.back() = 'l';
    auto first = index.entries(one, json);
    auto second = index.entries(other, json);
    ASSERT_EQ(1u, first.size());
    ASSERT_EQ(1u, second.size());
    EXPECT_EQ(static_cast<size_t>(TREE_KEY_SIZE_MAX), first[0].key.size());
    EXPECT_NE(first[0].key, second[0].key);
    index_entry_view view;
    ASSERT_TRUE(index_entry_decode(index.definition, bytes_of(first[0].key),
                                   bytes_of(first[0].value), &view));
    EXPECT_EQ(one, text_of(view.document_key));
}

TEST(IndexEntries, AreTakenApartAgain)
{
    Index index(INDEX_ORDERED, {"a", "b"});
    auto list = index.entries("key", R"({"a":[1,"x"],"b":true})");
    ASSERT_EQ(3u, list.size());
    index_entry_view view;
    polarys_slice field;
    ASSERT_TRUE(index_entry_decode(index.definition, bytes_of(list[1].key), {}, &view));
    EXPECT_EQ("key", text_of(view.document_key));
    ASSERT_TRUE(index_entry_field(view.fields, 0, &field));
    EXPECT_EQ(encode("\"x\""), text_of(field));
    ASSERT_TRUE(index_entry_field(view.fields, 1, &field));
    EXPECT_EQ(encode("true"), text_of(field));
    EXPECT_FALSE(index_entry_field(view.fields, 2, &field));
    ASSERT_TRUE(index_entry_decode(index.definition, bytes_of(list[2].key), {}, &view));
    EXPECT_TRUE(view.is_marker);
    for (size_t size = 0; size < list[1].key.size() - 2; size++) {
        bool is_entry =
            index_entry_decode(index.definition, bytes_of(list[1].key.substr(0, size)), {}, &view);
        EXPECT_FALSE(is_entry && size < list[1].key.size() - 2) << size;
    }
    Index text(INDEX_TEXT, {"a"});
    EXPECT_FALSE(index_entry_decode(text.definition, bytes_of(list[1].key), {}, &view));
}

TEST(IndexEntries, LackOfMemoryIsAnErrorAndLeaksNothing)
{
    for (index_kind kind : {INDEX_HASH, INDEX_ORDERED, INDEX_TEXT}) {
        Index index(kind, {"a", "b"});
        bool was_whole = false;
        for (uint64_t nth = 1; nth < 400 && !was_whole; nth++) {
            index_entries made{};
            std::string stored = std::string("\1", 1) + R"({"a":[1,"\u0061b"],"b":"c d"})";
            fault_alloc_fail_at(nth);
            polarys_code code = index_entries_make(index.definition, bytes_of("k"),
                                                   bytes_of(stored), &made, &index.error);
            was_whole = fault_alloc_disarm() == 0;
            EXPECT_EQ(was_whole ? POLARYS_OK : POLARYS_NO_MEMORY, code) << nth;
            index_entries_deinit(&made);
        }
        EXPECT_TRUE(was_whole);
    }
}

TEST(IndexRecord, ComesBackAsItWas)
{
    const char *fields[] = {"a.`b c`", "d"};
    index_spec spec{};
    spec.database_id = 3;
    spec.table_id = 4;
    spec.id = 77;
    spec.name = "words";
    spec.kind = INDEX_TEXT;
    spec.state = INDEX_BUILDING;
    spec.fields = fields;
    spec.field_count = 2;
    spec.language = "german";
    spec.created_ms = 123456789;
    index_definition *index;
    polarys_error error;
    ASSERT_EQ(POLARYS_OK, index_definition_create(&spec, &index, &error)) << error.message;
    index_definition *failed;
    ASSERT_EQ(POLARYS_OK,
              index_definition_restate(index, INDEX_FAILED, "TOO_LARGE: why", &failed, &error));
    buffer record{};
    ASSERT_EQ(POLARYS_OK, index_record_encode(failed, &record));
    index_definition *again;
    ASSERT_EQ(POLARYS_OK, index_record_decode(3, 4, slice_from_text("words"), buffer_slice(&record),
                                              42, &again, &error));
    EXPECT_EQ(77u, again->id);
    EXPECT_EQ(INDEX_TEXT, again->kind);
    EXPECT_EQ(INDEX_FAILED, again->state);
    EXPECT_STREQ("TOO_LARGE: why", again->failure);
    EXPECT_STREQ("german", again->language);
    EXPECT_STREQ("a.`b c`", again->fields[0].text);
    EXPECT_EQ(2u, again->field_count);
    EXPECT_EQ(42u, again->created_version);
    EXPECT_EQ(123456789u, again->created_ms);
    index_definition_unref(again);
    uint32_t id = 0;
    index_state state = INDEX_READY;
    EXPECT_TRUE(index_record_peek(buffer_slice(&record), &id, &state));
    EXPECT_EQ(77u, id);
    EXPECT_EQ(INDEX_FAILED, state);
    EXPECT_FALSE(index_record_peek(slice_make(record.data, 24), &id, &state));
    /* Every cut, and every changed byte of the head, is refused or read as something that is valid. */
    for (size_t size = 0; size < record.size; size++) {
        std::vector<uint8_t> cut(record.data, record.data + size);
        EXPECT_EQ(POLARYS_CORRUPT,
                  index_record_decode(3, 4, slice_from_text("words"),
                                      slice_make(cut.data(), cut.size()), 42, &again, &error));
    }
    std::mt19937 random(1);
    for (int i = 0; i < 3000; i++) {
        std::vector<uint8_t> changed(record.data, record.data + record.size);
        changed[random() % changed.size()] ^= static_cast<uint8_t>(1 + random() % 255);
        polarys_code code =
            index_record_decode(3, 4, slice_from_text("words"),
                                slice_make(changed.data(), changed.size()), 42, &again, &error);
        EXPECT_TRUE(code == POLARYS_OK || code == POLARYS_CORRUPT);
        index_definition_unref(again);
    }
    buffer_deinit(&record);
    index_definition_unref(failed);
    index_definition_unref(index);
}

TEST(IndexName, IsMadeOfTableFieldsAndKind)
{
    const char *fields[] = {"a.b", "`c d`"};
    index_spec spec{};
    spec.kind = INDEX_HASH;
    spec.fields = fields;
    spec.field_count = 2;
    char name[INDEX_NAME_BYTES_MAX + 1];
    index_name_make("t", &spec, name);
    EXPECT_STREQ("t_a.b__c_d__hash", name);
    index_name_make(std::string(128, 't').c_str(), &spec, name);
    EXPECT_EQ(std::string(123, 't') + "_hash", name);
}

int compare(const std::string &x, const std::string &y)
{
    json_value left = json_value_make(bytes_of(x));
    json_value right = json_value_make(bytes_of(y));
    int order = 0;
    EXPECT_EQ(POLARYS_OK, json_value_compare(&left, &right, &order));
    return order;
}

/* A document {"a": …, "b": …} and its entry. */
struct Pair {
    std::string key;
    std::string a;
    std::string b;
};

/* One for every two of some values of all types. */
class IndexRange : public ::testing::Test {
  protected:
    void SetUp() override
    {
        for (const auto &a : values) {
            for (const auto &b : values) {
                auto list = index.entries("k", R"({"a":)" + a + R"(,"b":)" + b + "}");
                ASSERT_EQ(1u, list.size());
                all.push_back({list[0].key, a, b});
            }
        }
    }
    void TearDown() override
    {
        index_range_deinit(&range);
    }
    bool is_in_range(const Pair &pair) const
    {
        return slice_compare(buffer_slice(&range.start), bytes_of(pair.key)) <= 0 &&
               slice_compare(bytes_of(pair.key), buffer_slice(&range.end)) < 0;
    }
    void check_between(const std::string &a, const std::string &low, const std::string &high,
                       bool has_low, bool has_high)
    {
        json_value equal = json_value_make(bytes_of(a));
        index_bound from{!low.empty(), has_low, {}};
        index_bound to{!high.empty(), has_high, {}};
        from.value = from.is_given ? json_value_make(bytes_of(low)) : json_value{};
        to.value = to.is_given ? json_value_make(bytes_of(high)) : json_value{};
        ASSERT_EQ(POLARYS_OK, index_range_between(index.definition, &equal, 1, &from, &to, &range,
                                                  &index.error));
        for (const auto &each : all) {
            bool is_in = each.a == a;
            if (from.is_given || to.is_given) {
                is_in = is_in && json_value_make(bytes_of(each.b)).type == JSON_NUMBER;
            }
            if (is_in && from.is_given) {
                int order = compare(each.b, low);
                is_in = order > 0 || (order == 0 && has_low);
            }
            if (is_in && to.is_given) {
                int order = compare(each.b, high);
                is_in = order < 0 || (order == 0 && has_high);
            }
            EXPECT_EQ(is_in, is_in_range(each)) << each.b << " in " << low << ".." << high;
        }
    }
    const std::vector<std::string> values = {"null", "true", "-3",    "0",      "2",     "2.5",
                                             "10",   "\"\"", "\"a\"", "\"ab\"", "\"b\"", "{}"};
    Index index{INDEX_ORDERED, {"a", "b"}};
    std::vector<Pair> all;
    index_range range{};
};

TEST_F(IndexRange, FindsExactlyWhatLiesBetween)
{
    const char *bounds[] = {"", "-3", "2", "2.5", "99"};
    for (const auto &a : values) {
        for (const char *low : bounds) {
            for (const char *high : bounds) {
                for (int ends = 0; ends < 4; ends++) {
                    check_between(a, low, high, (ends & 1) != 0, (ends & 2) != 0);
                }
            }
        }
    }
}

TEST_F(IndexRange, FindsExactlyWhatIsEqualOrBeginsSo)
{
    for (const auto &a : values) {
        json_value equal = json_value_make(bytes_of(a));
        ASSERT_EQ(POLARYS_OK, index_range_equal(index.definition, &equal, 1, &range, &index.error));
        for (const auto &each : all) {
            EXPECT_EQ(each.a == a, is_in_range(each));
        }
        ASSERT_EQ(POLARYS_OK, index_range_prefix(index.definition, &equal, 1, slice_from_text("a"),
                                                 &range, &index.error));
        for (const auto &each : all) {
            EXPECT_EQ(each.a == a && each.b.substr(0, 2) == "\"a", is_in_range(each));
        }
    }
}

TEST(IndexRangeEnds, HashAnswersByAllFieldsOnly)
{
    Index index(INDEX_HASH, {"a", "b"});
    json_value both[] = {json_value_make(slice_from_text("1")),
                         json_value_make(slice_from_text("\"x\""))};
    index_range range{};
    EXPECT_EQ(POLARYS_BAD_ARGUMENT,
              index_range_equal(index.definition, both, 1, &range, &index.error));
    ASSERT_EQ(POLARYS_OK, index_range_equal(index.definition, both, 2, &range, &index.error));
    auto list = index.entries("k", R"({"a":1.0,"b":"\u0078"})");
    ASSERT_EQ(1u, list.size());
    EXPECT_EQ(0, slice_compare(buffer_slice(&range.start),
                               bytes_of(list[0].key.substr(0, range.start.size))));
    EXPECT_FALSE(index_range_is_empty(&range));
    index_range_deinit(&range);
}

TEST(IndexRangeEnds, ValuesLongerThanAnyKeyGiveEmptyRanges)
{
    Index index(INDEX_ORDERED, {"a"});
    std::string text = "\"" + std::string(10000, 'x') + "\"";
    json_value value = json_value_make(bytes_of(text));
    index_range range{};
    ASSERT_EQ(POLARYS_OK, index_range_equal(index.definition, &value, 1, &range, &index.error));
    EXPECT_TRUE(index_range_is_empty(&range));
    EXPECT_LE(range.start.size, static_cast<size_t>(TREE_KEY_SIZE_MAX));
    index_range_deinit(&range);
}

} // namespace
