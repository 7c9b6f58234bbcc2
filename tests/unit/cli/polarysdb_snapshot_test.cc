/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/polarysdb_snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/cli/polarysdb_files.h"

namespace {

using namespace go_files;
using testing::HasSubstr;

/* The value of the only key. */
std::string Value(const std::string &json)
{
    Loaded loaded = LoadBytes("{\"t\":{\"k\":" + json + "}}");
    return loaded.is_read ? loaded.tables["t"]["k"] : loaded.reason + ": " + loaded.message;
}

TEST(GoSnapshot, KeepsValuesWordForWord)
{
    for (const char *json :
         {"null", "true", "false", "0", "-0", "1.50", "1E400", "-1e-400", "18446744073709551616",
          "0.1000000000000000055511151231257827021181583404541015625", R"("")",
          R"("\ud83d\ude00\/")", "\"\xf0\x9f\x98\x80\"", R"("a\"b\\")", "[]", "{}",
          R"([[],[{}],{"a":[1,2.0]}])", R"({"b":1,"a":{"c":"} ] \" , :"}})"}) {
        EXPECT_EQ(Value(json), json);
    }
}

TEST(GoSnapshot, LeavesOutWhiteSpaceBetweenTokensOnly)
{
    EXPECT_EQ(Value(" {\n\t\"a b\" : [ 1 ,\r\n 2 ] , \"c\" : \" x \\\" y \" } \n"),
              R"({"a b":[1,2],"c":" x \" y "})");
    EXPECT_EQ(Value(" 1.0 \n"), "1.0");
    EXPECT_EQ(Value("\"\\\\\" "), "\"\\\\\"");
}

TEST(GoSnapshot, TakesTablesAndKeysOfAnyText)
{
    Loaded loaded =
        LoadBytes(" { \"\\u003c\\u00e9\" : { \"a\\n\\u0000\" : 1 , \"\" : 2 } , \"\" : { } } ");
    ASSERT_TRUE(loaded.is_read) << loaded.message;
    EXPECT_EQ(loaded.tables["<\xc3\xa9"], (Table{{std::string("a\n\0", 3), "1"}, {"", "2"}}));
    EXPECT_EQ(loaded.tables.count(""), 1u);
    EXPECT_TRUE(LoadBytes("{}").is_read);
}

TEST(GoSnapshot, TakesADocumentAsDeepAsTheServerTakesIt)
{
    std::string deepest = std::string(100, '[') + std::string(100, ']');
    EXPECT_EQ(Value(deepest), deepest);
    EXPECT_THAT(Value("[" + deepest + "]"), HasSubstr("too deep"));
    /* Far deeper than any stack. */
    EXPECT_THAT(Value(std::string(1000000, '[') + std::string(1000000, ']')),
                HasSubstr("BAD_JSON"));
}

TEST(GoSnapshot, RefusesWhatIsNoObjectOfTables)
{
    for (const char *json : {R"({"t":null})", R"({"t":1})", R"({"t":"x"})", R"({"t":[]})",
                             R"({"t":[{"k":1}]})", R"({"a":{"k":1},"t":true})"}) {
        Loaded loaded = LoadBytes(json);
        EXPECT_FALSE(loaded.is_read) << json;
        EXPECT_THAT(loaded.message, HasSubstr("a table is null or no object of keys")) << json;
        EXPECT_THAT(loaded.message, HasSubstr("file: byte ")) << json;
    }
    for (const char *json : {"[]", "null", "1", "\"x\""}) {
        EXPECT_FALSE(LoadBytes(Seal(json)).is_read) << json;
        EXPECT_FALSE(LoadBytes(json).is_read) << json;
    }
}

TEST(GoSnapshot, RefusesWhatIsNoJson)
{
    for (const char *json :
         {"{", "{\"t\":{\"k\":1}", "{\"t\":{\"k\":}}", "{\"t\":{\"k\" 1}}", "{\"t\":{\"k\":1,}}",
          "{\"t\":{\"k\":1}} x", "{\"t\":{\"k\":1}}{}", "{t:{}}", "{\"t\":{\"k\":01}}",
          "{\"t\":{\"k\":nul}}", "{\"t\":{\"k\":'x'}}", "{\"t\":{\"k\":\"\x01\"}}",
          "{\"t\":{\"k\":\"\\x\"}}", "{\"t\":{\"k\":1.}}", "{\"t\":{\"k\":NaN}}",
          "{\"t\":{\"k\":[1,]}}", "{\"t\":{\"k\":{\"a\"}}}", "{\"t\":{\"k\":[1}}}"}) {
        Loaded loaded = LoadBytes(Seal(json));
        EXPECT_FALSE(loaded.is_read) << json;
        EXPECT_EQ(loaded.reason, "INVALID_ARGUMENT/BAD_JSON") << json;
        EXPECT_THAT(loaded.message, HasSubstr("decrypted text")) << json;
    }
}

TEST(GoSnapshot, RefusesWhatTheServerWouldRefuseAndNamesIt)
{
    EXPECT_THAT(Value(R"({"a":1,"a":2})"), HasSubstr("table \"t\", key \"k\""));
    EXPECT_FALSE(LoadBytes(Seal("{\"t\":{\"k\":\"\xed\xa0\x80\"}}")).is_read);
    EXPECT_FALSE(LoadBytes(Seal("{\"t\":{\"\xff\":1}}")).is_read);
}

TEST(GoSnapshot, RefusesTablesAndKeysThatStandTwice)
{
    EXPECT_THAT(LoadBytes(R"({"t":{"a":1},"u":{},"t":{"b":2}})").message,
                HasSubstr("a table stands there twice"));
    EXPECT_THAT(LoadBytes(R"({"t":{"a":1,"b":2,"\u0061":3}})").message,
                HasSubstr("the key \"a\" stands twice in the table \"t\""));
}

/* ---- containers ---- */

TEST(GoContainer, SaysWhatIsWrongWithAPythonFile)
{
    const std::string good = PythonFile(R"({"t":{"k":1}})");
    EXPECT_TRUE(LoadBytes(good).is_read);
    Loaded newer = LoadBytes(PythonFile("{}", 2));
    EXPECT_EQ(newer.reason, "FAILED_PRECONDITION/UNSUPPORTED_FORMAT");
    EXPECT_THAT(newer.message, HasSubstr("offset 4: version 2"));
    std::string altered = good;
    altered[8] ^= 1;
    EXPECT_THAT(LoadBytes(altered).message, HasSubstr("offset 8: the checksum"));
    EXPECT_THAT(LoadBytes(good.substr(0, 10)).message, HasSubstr("cut short"));
    EXPECT_THAT(LoadBytes(good.substr(0, 30)).message, HasSubstr("offset 12"));
    EXPECT_THAT(LoadBytes(good, {kOtherHex}).message, HasSubstr("from offset 12 cannot be opened"));
}

TEST(GoContainer, RefusesEmptyAndForeignFiles)
{
    EXPECT_THAT(LoadBytes("").message, HasSubstr("cut short"));
    EXPECT_FALSE(LoadBytes(std::string(27, 'x')).is_read);
    EXPECT_FALSE(LoadBytes("SQLite format 3 and what else follows").is_read);
    EXPECT_FALSE(LoadBytes(Seal("")).is_read);
}

TEST(GoKeys, AreSixtyFourHexadecimalDigits)
{
    struct polarysdb_keys keys = {};
    const std::string hex = kKeyHex;
    EXPECT_TRUE(polarysdb_keys_add(&keys, ("0x" + hex).c_str()));
    EXPECT_FALSE(polarysdb_keys_add(&keys, hex.substr(2).c_str()));
    EXPECT_FALSE(polarysdb_keys_add(&keys, (hex + "00").c_str()));
    EXPECT_FALSE(polarysdb_keys_add(&keys, ("g" + hex.substr(1)).c_str()));
    EXPECT_FALSE(polarysdb_keys_add(&keys, ""));
    EXPECT_FALSE(keys.has_zero_key);
    EXPECT_TRUE(polarysdb_keys_add(&keys, kZeroHex));
    EXPECT_TRUE(keys.has_zero_key);
    EXPECT_EQ(keys.count, 2u);
    while (keys.count < POLARYSDB_KEYS_MAX) {
        EXPECT_TRUE(polarysdb_keys_add(&keys, kKeyHex));
    }
    EXPECT_FALSE(polarysdb_keys_add(&keys, kKeyHex));
    polarysdb_keys_deinit(&keys);
    EXPECT_EQ(keys.count, 0u);
    EXPECT_EQ(keys.keys[0][0], 0);
}

} // namespace
