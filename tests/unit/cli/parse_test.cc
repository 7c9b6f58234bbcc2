/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/parse.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace {

TEST(Parse, NumbersAreDigitsFromEndToEnd)
{
    uint64_t number = 7;
    EXPECT_TRUE(parse_number("0", &number));
    EXPECT_EQ(number, 0u);
    EXPECT_TRUE(parse_number("18446744073709551615", &number));
    EXPECT_EQ(number, UINT64_MAX);
    for (const char *text :
         {"", " 1", "1 ", "-1", "+1", "1e3", "0x10", "18446744073709551616", "1a"}) {
        EXPECT_FALSE(parse_number(text, &number)) << text;
    }
}

TEST(Parse, NumbersKeepToTheirBounds)
{
    uint64_t number;
    EXPECT_TRUE(parse_number_between("5", 5, 5, &number));
    EXPECT_FALSE(parse_number_between("4", 5, 9, &number));
    EXPECT_FALSE(parse_number_between("10", 5, 9, &number));
}

TEST(Parse, DurationsHaveUnits)
{
    struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"500ms", 500},  {"10s", 10000},    {"10", 10000}, {"5m", 300000},
                {"2h", 7200000}, {"7d", 604800000}, {"0s", 0}};
    for (auto &each : good) {
        uint64_t ms = 1;
        EXPECT_TRUE(parse_duration_ms(each.text, &ms)) << each.text;
        EXPECT_EQ(ms, each.ms) << each.text;
    }
    uint64_t ms;
    for (const char *text :
         {"", "s", "1w", "1 s", "-1s", "1.5s", "99999999999999999999s", "40000d", "1mss"}) {
        EXPECT_FALSE(parse_duration_ms(text, &ms)) << text;
    }
}

TEST(Parse, HexNeedsPairsThatFit)
{
    uint8_t bytes[4];
    size_t size = sizeof(bytes);
    ASSERT_TRUE(parse_hex("00fFa1", bytes, &size));
    EXPECT_EQ(size, 3u);
    EXPECT_EQ(memcmp(bytes, "\x00\xff\xa1", 3), 0);
    for (const char *text : {"", "0", "0g", "0011223344"}) {
        size = sizeof(bytes);
        EXPECT_FALSE(parse_hex(text, bytes, &size)) << text;
    }
}

TEST(Parse, NamesOfLevelsAndFormats)
{
    enum polarys_client_durability durability;
    enum output_format format;
    EXPECT_TRUE(parse_durability("quorum-applied", &durability));
    EXPECT_EQ(durability, POLARYS_CLIENT_QUORUM_APPLIED);
    EXPECT_TRUE(parse_durability("async", &durability));
    EXPECT_EQ(durability, POLARYS_CLIENT_ASYNC);
    EXPECT_FALSE(parse_durability("ASYNC", &durability));
    EXPECT_TRUE(parse_format("raw", &format));
    EXPECT_EQ(format, OUTPUT_RAW);
    EXPECT_FALSE(parse_format("yaml", &format));
}

TEST(Parse, ConsistencyLevels)
{
    struct cli_settings settings;
    memset(&settings, 0, sizeof(settings));
    EXPECT_TRUE(parse_consistency("stable", &settings));
    EXPECT_EQ(settings.read.consistency, POLARYS_CLIENT_STABLE);
    EXPECT_TRUE(parse_consistency("version=42", &settings));
    EXPECT_EQ(settings.read.consistency, POLARYS_CLIENT_SNAPSHOT);
    EXPECT_EQ(settings.read.version, 42u);
    EXPECT_TRUE(parse_consistency("max-staleness=250ms", &settings));
    EXPECT_EQ(settings.read.staleness_ms, 250u);
    EXPECT_TRUE(parse_consistency("at-least=0a0b", &settings));
    EXPECT_EQ(settings.read.token_size, 2u);
    EXPECT_EQ(settings.token[1], 0x0b);
    EXPECT_TRUE(parse_consistency("strong", &settings));
    EXPECT_EQ(settings.read.consistency, POLARYS_CLIENT_STRONG);
    EXPECT_TRUE(parse_consistency("session", &settings));
    EXPECT_EQ(settings.read.consistency, POLARYS_CLIENT_SESSION);
    EXPECT_TRUE(parse_consistency("local", &settings));
    for (const char *text : {"", "weak", "version", "version=", "version=x",
                             "at-least=", "at-least=0", "max-staleness=", "strong=1"}) {
        EXPECT_FALSE(parse_consistency(text, &settings)) << text;
    }
}

TEST(Parse, TimesAreDaysThatExist)
{
    uint64_t ms;
    EXPECT_TRUE(parse_time_ms("1970-01-01T00:00:00Z", &ms));
    EXPECT_EQ(ms, 0u);
    EXPECT_TRUE(parse_time_ms("2026-01-02T03:04:05.678Z", &ms));
    EXPECT_EQ(ms, 1767323045678u);
    EXPECT_TRUE(parse_time_ms("2026-01-02T03:04:05.6789Z", &ms));
    EXPECT_EQ(ms, 1767323045678u);
    for (const char *text : {"", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04:05.Z",
                             "2026-02-31T00:00:00Z", "2026-01-02T25:00:00Z", "1969-12-31T23:59:59Z",
                             "2026-01-02T03:04:05Zx", "2026-01-02T03:04:05+01:00"}) {
        EXPECT_FALSE(parse_time_ms(text, &ms)) << text;
    }
}

TEST(Parse, LoopbackIsKnownByItsAddress)
{
    for (const char *text :
         {"127.0.0.1:7480", "127.1.2.3:1", "localhost:7480", "[::1]:7480", "unix:/run/p"}) {
        EXPECT_TRUE(parse_endpoint_is_loopback(text)) << text;
    }
    for (const char *text :
         {"10.0.0.1:7480", "db:7480", "127.example.org:7480", "localhost.example.org:1", ""}) {
        EXPECT_FALSE(parse_endpoint_is_loopback(text)) << text;
    }
}

} // namespace
