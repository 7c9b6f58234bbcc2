/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of one document: their bytes, their order, their limits, and what is no entry.
 */
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "engine/search/search_posting.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/search/search_world.h"

namespace {
struct Entry {
    std::string key;
    std::string value;
};

std::string StringOf(polarys_slice slice)
{
    return std::string(reinterpret_cast<const char *>(slice.data), slice.size);
}

polarys_code Keep(void *context, polarys_slice key, polarys_slice value)
{
    static_cast<std::vector<Entry> *>(context)->push_back({StringOf(key), StringOf(value)});
    return POLARYS_OK;
}

std::vector<Entry> EntriesOf(const std::vector<std::string> &texts, const std::string &key = "k",
                             uint64_t expires_at_ms = 0)
{
    std::vector<Entry> entries;
    std::vector<polarys_slice> slices;
    polarys_error err = {};
    for (const auto &text : texts) {
        slices.push_back(SliceOf(text));
    }
    search_source source = {
        1, 2, SliceOf(key), expires_at_ms, "english", slices.data(), slices.size()};
    EXPECT_EQ(search_entries_make(&source, Keep, &entries, &err), POLARYS_OK) << err.message;
    return entries;
}

std::string Bytes(std::initializer_list<int> bytes)
{
    std::string text;
    for (int byte : bytes) {
        text.push_back(static_cast<char>(byte));
    }
    return text;
}

search_posting PostingOf(const Entry &entry)
{
    search_posting posting;
    EXPECT_TRUE(search_posting_decode(SliceOf(entry.value), &posting));
    return posting;
}

std::vector<uint32_t> PositionsOf(const Entry &entry)
{
    search_posting posting = PostingOf(entry);
    uint32_t positions[SEARCH_POSITIONS_MAX];
    size_t count = 0;
    EXPECT_TRUE(search_positions_decode(&posting, positions, &count));
    return std::vector<uint32_t>(positions, positions + count);
}
} // namespace

TEST(SearchEntries, HaveTheBytesOfTheFormat)
{
    std::vector<Entry> entries = EntriesOf({"run fox", "Running"}, "key");
    const std::string prefix = Bytes({0, 0, 0, 1, 0, 0, 0, 2});
    ASSERT_EQ(entries.size(), 3u);
    EXPECT_EQ(entries[0].key, prefix + Bytes({2}) + "key");
    EXPECT_EQ(entries[0].value, Bytes({3 << 2}));
    EXPECT_EQ(entries[1].key, prefix + Bytes({3}) + "fox" + Bytes({0}) + "key");
    EXPECT_EQ(entries[1].value, Bytes({3 << 2, 1, 1}));
    EXPECT_EQ(entries[2].key, prefix + Bytes({3}) + "run" + Bytes({0}) + "key");
    /* Position 2 lies between the texts. */
    EXPECT_EQ(entries[2].value, Bytes({3 << 2, 2, 0, 3}));
}

TEST(SearchEntries, KeepTheExpiryOfTheDocument)
{
    std::vector<Entry> entries = EntriesOf({"fox"}, "key", 0x0102030405060708);
    ASSERT_EQ(entries.size(), 2u);
    EXPECT_EQ(entries[1].value, Bytes({(1 << 2) | 1, 8, 7, 6, 5, 4, 3, 2, 1, 1, 0}));
    EXPECT_EQ(PostingOf(entries[1]).head.expires_at_ms, 0x0102030405060708u);
}

TEST(SearchEntries, AreNoneWithoutWords)
{
    EXPECT_TRUE(EntriesOf({}).empty());
    EXPECT_TRUE(EntriesOf({"", " -- ", "+"}).empty());
}

TEST(SearchEntries, AscendWithoutAKeyTwice)
{
    std::vector<Entry> entries = EntriesOf({"b a c a b", "ab aa a_b", "ä z é 東京 b"});
    for (size_t i = 1; i < entries.size(); i++) {
        EXPECT_LT(entries[i - 1].key, entries[i].key);
    }
}

TEST(SearchEntries, CountPositionsThroughTextsThatHoldNone)
{
    std::vector<Entry> entries = EntriesOf({"x", "", "--", "x"});
    EXPECT_EQ(PositionsOf(entries.back()), (std::vector<uint32_t>{0, 2}));
}

TEST(SearchEntries, CountAllButKeepBoundedPositions)
{
    std::string text;
    for (int i = 0; i < SEARCH_POSITIONS_MAX + 500; i++) {
        text += "fox ";
    }
    std::vector<Entry> entries = EntriesOf({text});
    ASSERT_EQ(entries.size(), 2u);
    EXPECT_EQ(PostingOf(entries[1]).count, SEARCH_POSITIONS_MAX + 500u);
    EXPECT_EQ(PositionsOf(entries[1]).size(), static_cast<size_t>(SEARCH_POSITIONS_MAX));
}

TEST(SearchEntries, HashKeysThatAreTooLong)
{
    std::string longest(USER_KEY_SIZE_MAX, 'x');
    std::string other = longest;
    other.back() = 'y';
    std::vector<Entry> entries = EntriesOf({"fox"}, longest);
    EXPECT_EQ(entries[1].key.size(), 9u + 3 + 1 + SEARCH_ID_SIZE_MAX);
    EXPECT_EQ(StringOf(PostingOf(entries[1]).head.document_key), longest);
    EXPECT_NE(EntriesOf({"fox"}, other)[1].key, entries[1].key);
    std::string just_fits(SEARCH_ID_SIZE_MAX - 1, 'x');
    EXPECT_EQ(PostingOf(EntriesOf({"fox"}, just_fits)[1]).head.document_key.size, 0u);
    std::string hashed(SEARCH_ID_SIZE_MAX, 'x');
    EXPECT_EQ(StringOf(PostingOf(EntriesOf({"fox"}, hashed)[1]).head.document_key), hashed);
}

TEST(SearchEntries, RefuseDocumentsOfTooManyWords)
{
    std::string text;
    for (int i = 0; i <= SEARCH_DOCUMENT_TERMS_MAX; i++) {
        text += std::to_string(i) + " ";
    }
    polarys_slice slice = SliceOf(text);
    search_source source = {1, 2, slice_from_text("k"), 0, "none", &slice, 1};
    std::vector<Entry> entries;
    polarys_error err = {};
    EXPECT_EQ(search_entries_make(&source, Keep, &entries, &err), POLARYS_TOO_LARGE);
}

TEST(SearchEntries, PassOnWhatTheReceiverFails)
{
    polarys_slice slice = slice_from_text("a b");
    search_source source = {1, 2, slice_from_text("k"), 0, "none", &slice, 1};
    int calls = 0;
    auto fail = [](void *context, polarys_slice, polarys_slice) {
        return ++*static_cast<int *>(context) == 2 ? POLARYS_DISK_LOW : POLARYS_OK;
    };
    EXPECT_EQ(search_entries_make(&source, fail, &calls, nullptr), POLARYS_DISK_LOW);
    EXPECT_EQ(calls, 2);
}

TEST(SearchEntries, FailCleanlyWithoutMemory)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    std::string text = "a ä long enough text to need words " + std::string(3000, 'x');
    for (int i = 0; i < 200; i++) {
        text += " w" + std::to_string(i);
    }
    polarys_slice slice = SliceOf(text);
    search_source source = {1, 2, slice_from_text("k"), 0, "english", &slice, 1};
    for (uint64_t n = 1;; n++) {
        int count = 0;
        auto emit = [](void *context, polarys_slice, polarys_slice) {
            ++*static_cast<int *>(context);
            return POLARYS_OK;
        };
        fault_alloc_fail_at(n);
        polarys_code code = search_entries_make(&source, emit, &count, nullptr);
        if (fault_alloc_disarm() == 0) {
            EXPECT_EQ(code, POLARYS_OK);
            EXPECT_GT(n, 3u);
            break;
        }
        EXPECT_EQ(code, POLARYS_NO_MEMORY);
    }
}

TEST(SearchPosting, RefusesWhatIsNone)
{
    search_posting posting;
    uint32_t positions[SEARCH_POSITIONS_MAX];
    size_t count;
    const std::string bad[] = {
        "",                               /* nothing */
        Bytes({0, 1, 0}),                 /* a document without words */
        Bytes({2 << 2}),                  /* no count */
        Bytes({2 << 2, 0}),               /* never there */
        Bytes({2 << 2, 3, 0, 1, 1}),      /* oftener than there are words */
        Bytes({(2 << 2) | 1, 1, 2}),      /* half an expiry */
        Bytes({(2 << 2) | 2, 1, 'k', 1}), /* a key that needs no hash */
        Bytes({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}),
    };
    for (const auto &value : bad) {
        EXPECT_FALSE(search_posting_decode(SliceOf(value), &posting))
            << testing::PrintToString(value);
    }
    std::string too_long =
        Bytes({(2 << 2) | 2, 0x81, 0x20}) + std::string(4097, 'k') + Bytes({1, 0});
    EXPECT_FALSE(search_posting_decode(SliceOf(too_long), &posting));
    too_long[1] = static_cast<char>(0x80); /* one byte less: the longest key there is */
    too_long.erase(3, 1);
    EXPECT_TRUE(search_posting_decode(SliceOf(too_long), &posting));
    const std::string bad_positions[] = {
        Bytes({2 << 2, 2, 0}),       /* too few */
        Bytes({2 << 2, 2, 0, 0}),    /* one twice */
        Bytes({2 << 2, 1, 0, 7}),    /* too many */
        Bytes({2 << 2, 2, 1, 0x80}), /* half a number */
        Bytes({2 << 2, 2, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}),
    };
    for (const auto &value : bad_positions) {
        ASSERT_TRUE(search_posting_decode(SliceOf(value), &posting));
        EXPECT_FALSE(search_positions_decode(&posting, positions, &count))
            << testing::PrintToString(value);
    }
}

TEST(SearchPosting, SplitsOnlyWholeKeys)
{
    polarys_slice term;
    polarys_slice id;
    const std::string prefix(9, 'p');
    const std::string whole = prefix + Bytes({'a', 0, 'k', 0, 'k'});
    ASSERT_TRUE(search_posting_key_split(SliceOf(whole), &term, &id));
    EXPECT_EQ(StringOf(term), "a");
    EXPECT_EQ(StringOf(id), Bytes({'k', 0, 'k'}));
    for (const auto &rest : {Bytes({}), Bytes({'a'}), Bytes({0, 'k'}), Bytes({'a', 0})}) {
        const std::string key = prefix + rest;
        EXPECT_FALSE(search_posting_key_split(SliceOf(key), &term, &id));
    }
}
