/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/polarysdb_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/cli/polarysdb_message.h"
#include "tests/unit/cli/polarysdb_files.h"

namespace {

using namespace go_files;
using testing::HasSubstr;

const char kInt7[] = "\x03"
                     "7";

TEST(GoLog, AppliesEntriesInTheirOrder)
{
    Loaded loaded = LoadBytes(
        SealedEntry(Message(1, "t", "")) + SealedEntry(Message(2, "t", "a", "\x02one", 9)) +
        SealedEntry(Message(3, "t", "a", "", 8)) + SealedEntry(Message(2, "t", "b", kInt7, 7)) +
        SealedEntry(Message(2, "t", "b", "\x02last", 6)));
    ASSERT_TRUE(loaded.is_read) << loaded.message;
    EXPECT_EQ(loaded.tables, (std::map<std::string, Table>{{"t", {{"b", "\"last\""}}}}));
}

TEST(GoLog, TakesAFileThatBothVersionsWrote)
{
    Loaded loaded =
        LoadBytes(Entry(Message(1, "t", "")) + Entry(Message(2, "t", "old", "\x01\x02")) +
                  SealedEntry(Message(2, "t", "new", "\x01\x02")));
    ASSERT_TRUE(loaded.is_read) << loaded.message;
    EXPECT_EQ(loaded.tables["t"], (Table{{"old", "\"\\u0001\\u0002\""}, {"new", "<\x02>"}}));
}

TEST(GoLog, RefusesAnEntryThatIsNotSealedBehindOneThatIs)
{
    const std::string log =
        SealedEntry(Message(2, "t", "a", kInt7)) + Entry(Message(2, "t", "a", "forged"));
    Loaded loaded = LoadBytes(log);
    EXPECT_FALSE(loaded.is_read);
    EXPECT_EQ(loaded.reason, "DATA_LOSS/TAMPERED");
    EXPECT_THAT(loaded.message, HasSubstr("is not encrypted although entries before it are"));
    /* A store whose key became zero writes that; then the zero key has to be named. */
    EXPECT_TRUE(LoadBytes(log, {kKeyHex, kZeroHex}).is_read);
}

TEST(GoLog, TakesTypedValuesOfAStoreWithAZeroKey)
{
    Loaded loaded = LoadBytes(Entry(Message(2, "t", "int", kInt7)) +
                                  Entry(Message(2, "t", "text",
                                                "\x02"
                                                "7")) +
                                  Entry(Message(2, "t", "untyped", "7")),
                              {kZeroHex});
    ASSERT_TRUE(loaded.is_read) << loaded.message;
    EXPECT_EQ(loaded.tables["t"], (Table{{"int", "7"}, {"text", "\"7\""}, {"untyped", "7"}}));
}

TEST(GoLog, RefusesEntriesThatNoVersionWrites)
{
    const std::string good = Message(2, "t", "k", kInt7);
    for (const std::string &message :
         {Message(0, "t", "k"), Message(4, "t", "k"), Message(1, "t", "k", "value"),
          good + Field(5, "transaction"), good + Field(7, "map"), good + Field(8, "new"),
          good + NumberField(6, 5), good + "\x80", NumberField(2, 5) + good, Field(2, "t"),
          Field(1, "x"), good + Varint(4 << 3 | 2) + Varint(1000), Message(2, "t", "k\xff", kInt7),
          Message(2, "t\xc0\x80", "k", kInt7),
          std::string("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
          Message(2, "t", "k", "\x08new type"), Message(2, "t", "k", "\x07{"),
          Message(2, "t", "k", "\x03x")}) {
        Loaded loaded = LoadBytes(SealedEntry(Message(1, "t", "")) + SealedEntry(message));
        EXPECT_FALSE(loaded.is_read) << testing::PrintToString(message);
        EXPECT_EQ(loaded.reason, "FAILED_PRECONDITION/UNSUPPORTED_FORMAT") << loaded.message;
        EXPECT_THAT(loaded.message, HasSubstr("file: the log entry at offset 43"))
            << loaded.message;
    }
}

TEST(GoLog, TakesAnEmptyTransactionAndNoTime)
{
    Loaded loaded = LoadBytes(SealedEntry(Message(2, "t", "k", kInt7, 0) + Field(5, "")));
    EXPECT_EQ(loaded.tables["t"], (Table{{"k", "7"}})) << loaded.message;
}

TEST(GoLog, MakesTheTableThatAWriteNames)
{
    EXPECT_EQ(LoadBytes(SealedEntry(Message(2, "t", "k", kInt7))).tables.count("t"), 1u);
    EXPECT_EQ(LoadBytes(SealedEntry(Message(3, "t", "k"))).tables.count("t"), 0u);
}

TEST(GoLog, KeepsKeysAndTablesOfAnyText)
{
    Loaded loaded = LoadBytes(SealedEntry(Message(2, "", "", kInt7)) +
                              SealedEntry(Message(2, std::string("a\0b", 3), "\xc3\xa9", kInt7)));
    ASSERT_TRUE(loaded.is_read) << loaded.message;
    EXPECT_EQ(loaded.tables[""], (Table{{"", "7"}}));
    EXPECT_EQ(loaded.tables[std::string("a\0b", 3)], (Table{{"\xc3\xa9", "7"}}));
}

TEST(GoLog, NamesTheOffsetOfDamageAndWhatToDo)
{
    const std::string first = SealedEntry(Message(2, "t", "a", kInt7));
    const std::string at = "log entry at offset " + std::to_string(first.size());
    const std::string second = SealedEntry(Message(2, "t", "b", kInt7));
    std::string altered = second;
    altered.back() ^= 1;
    for (const auto &[bytes, why] : std::vector<std::pair<std::string, std::string>>{
             {second.substr(0, 7), "ends within its header"},
             {second.substr(0, second.size() - 1), "ends within its data"},
             {altered, "checksum does not fit"},
             {std::string(64, '\0'), "length is not from 1 byte to 10 MiB"},
             {std::string(64, '\xff'), "length is not from 1 byte to 10 MiB"}}) {
        Loaded loaded = LoadBytes(first + bytes, {kKeyHex}, "polarysdb.wal");
        EXPECT_FALSE(loaded.is_read);
        EXPECT_EQ(loaded.reason, "DATA_LOSS/CORRUPT");
        EXPECT_THAT(loaded.message, HasSubstr(at));
        EXPECT_THAT(loaded.message, HasSubstr(why));
        EXPECT_THAT(loaded.message, HasSubstr("truncate -s " + std::to_string(first.size()) + " "));
    }
}

TEST(GoLog, RefusesASealThatWasAlteredUnderARightChecksum)
{
    std::string sealed = Seal(Message(2, "t", "k", kInt7));
    for (size_t i = 0; i < sealed.size(); i++) {
        sealed[i] ^= 0x40;
        Loaded loaded = LoadBytes(Entry(sealed), {kKeyHex}, "polarysdb.wal");
        EXPECT_FALSE(loaded.is_read) << i;
        EXPECT_EQ(loaded.reason, "DATA_LOSS/TAMPERED") << i;
        sealed[i] ^= 0x40;
    }
}

/* ---- messages by themselves ---- */

TEST(GoMessage, ReadsEveryField)
{
    const std::string bytes = Message(2, "table", "key", "value", UINT64_C(0xffffffffffffffff));
    struct polarysdb_message message;
    const char *why = nullptr;
    ASSERT_TRUE(
        polarysdb_message_read((const uint8_t *)bytes.data(), bytes.size(), &message, &why));
    EXPECT_EQ(message.operation, POLARYSDB_WRITE);
    EXPECT_EQ(std::string((const char *)message.table, message.table_size), "table");
    EXPECT_EQ(std::string((const char *)message.key, message.key_size), "key");
    EXPECT_EQ(std::string((const char *)message.value, message.value_size), "value");
    EXPECT_EQ(message.time_ns, -1);
}

TEST(GoMessage, IsRefusedWhereverItIsCut)
{
    const std::string whole = Message(2, "table", "key", "value", 12345);
    /* Cut behind a field it is whole again, but for the operation, which comes first. */
    const std::vector<size_t> ends = {2, 9, 14, 21, whole.size()};
    for (size_t size = 0; size <= whole.size(); size++) {
        /* Of a size of its own, so that reading behind it is found. */
        std::vector<uint8_t> bytes(whole.begin(), whole.begin() + (long)size);
        bytes.shrink_to_fit();
        struct polarysdb_message message;
        const char *why = nullptr;
        bool is_end = std::find(ends.begin(), ends.end(), size) != ends.end();
        static const uint8_t none = 0;
        EXPECT_EQ(polarysdb_message_read(size == 0 ? &none : bytes.data(), size, &message, &why),
                  is_end)
            << size;
        EXPECT_EQ(why == nullptr, is_end);
    }
}

} // namespace
