/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: one line a message, valid JSON whatever the message has, and a sink that can be
 * replaced. */
#include "engine/base/log.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "engine/base/log_line.h"

namespace {

std::string json_line(const std::string &message, const char *component = "wal")
{
    std::vector<char> line(LOG_LINE_MAX); /* on the heap, for the address sanitizer */
    size_t size = log_line_json(line.data(), UINT64_C(1700000000123), POLARYS_LOG_WARN, component,
                                message.c_str());
    return std::string(line.data(), size);
}

std::string wrapped(const std::string &message)
{
    return "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"warn\",\"component\":\"wal\","
           "\"message\":\"" +
           message + "\"}\n";
}

TEST(LogLine, HasTimeLevelComponentAndMessage)
{
    EXPECT_EQ(json_line("segment 12 is full"), wrapped("segment 12 is full"));
}

TEST(LogLine, EscapesWhatJsonCannotHold)
{
    EXPECT_EQ(json_line("a\"b\\c\n\t\x01\x7f"), wrapped("a\\\"b\\\\c\\u000a\\u0009\\u0001\\u007f"));
}

TEST(LogLine, KeepsUtf8AndReplacesWhatIsNot)
{
    EXPECT_EQ(json_line("\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82"),
              wrapped("\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82"));
    const std::string bad = "\xef\xbf\xbd";
    EXPECT_EQ(json_line("\xff"), wrapped(bad));
    EXPECT_EQ(json_line("\xc0\xaf"), wrapped(bad + bad)) << "overlong";
    EXPECT_EQ(json_line("\xe0\x80\x80"), wrapped(bad + bad + bad)) << "overlong";
    EXPECT_EQ(json_line("\xed\xa0\x80"), wrapped(bad + bad + bad)) << "a surrogate";
    EXPECT_EQ(json_line("\xf4\x90\x80\x80"), wrapped(bad + bad + bad + bad)) << "too large";
    EXPECT_EQ(json_line("x\xe2\x82"), wrapped("x" + bad + bad)) << "cut off";
}

TEST(LogLine, TheLongestMessageFitsHoweverItIsEscaped)
{
    std::string line = json_line(std::string(1023, '\x01'));
    EXPECT_EQ(line.size(), wrapped("").size() + 1023 * 6);
    EXPECT_EQ(line.substr(line.size() - 3), "\"}\n");
    line = json_line(std::string(5000, '\x01'), std::string(1000, '"').c_str());
    EXPECT_LE(line.size(), size_t{LOG_LINE_MAX});
    EXPECT_EQ(line.substr(line.size() - 9), "\\u0001\"}\n") << "cut between characters";
}

TEST(LogLine, TextIsForPeopleAndHoldsNoEscapeSequences)
{
    char line[LOG_LINE_MAX];
    size_t size = log_line_text(line, 0, POLARYS_LOG_ERROR, "sst", "bad \x1b[2J block");
    EXPECT_EQ(std::string(line, size), "1970-01-01T00:00:00.000Z error sst: bad ?[2J block\n");
}

struct captured {
    std::vector<std::string> lines;
    static void sink(void *context, enum polarys_log_level level, const char *component,
                     const char *message)
    {
        static_cast<captured *>(context)->lines.push_back(std::to_string(level) + component + ":" +
                                                          message);
    }
};

class Log : public testing::Test {
  protected:
    ~Log() override
    {
        polarys_log_sink_set(nullptr, nullptr);
        polarys_log_level_set(POLARYS_LOG_INFO);
    }
};

TEST_F(Log, MessagesBelowTheLevelAreNotMade)
{
    captured captured;
    polarys_log_sink_set(captured::sink, &captured);
    polarys_log(POLARYS_LOG_DEBUG, "wal", "one");
    polarys_log(POLARYS_LOG_INFO, "wal", "two %d", 2);
    polarys_log_level_set(POLARYS_LOG_OFF);
    EXPECT_EQ(polarys_log_level_get(), POLARYS_LOG_OFF);
    polarys_log(POLARYS_LOG_ERROR, "wal", "three");
    EXPECT_EQ(captured.lines, std::vector<std::string>{"1wal:two 2"});
}

TEST_F(Log, SinksGetOneLineOfAtMost1023Bytes)
{
    captured captured;
    polarys_log_sink_set(captured::sink, &captured);
    polarys_log(POLARYS_LOG_ERROR, "x", "a\nb\r\nc");
    polarys_log(POLARYS_LOG_ERROR, "x", "%s", std::string(5000, 'y').c_str());
    ASSERT_EQ(captured.lines.size(), 2u);
    EXPECT_EQ(captured.lines[0], "3x:a b  c");
    EXPECT_EQ(captured.lines[1].size(), 3u + 1023u);
}

TEST_F(Log, AReplacedSinkIsNotCalledAnyMore)
{
    std::thread writer([] {
        for (int i = 0; i < 2000; i++) {
            polarys_log(POLARYS_LOG_ERROR, "x", "%d", i);
        }
    });
    captured rest;
    for (int i = 0; i < 50; i++) {
        auto captured = std::make_unique<struct captured>();
        polarys_log_sink_set(captured::sink, captured.get());
        std::this_thread::yield();
        polarys_log_sink_set(captured::sink, &rest); /* the first one may be freed now */
    }
    writer.join();
    SUCCEED();
}

TEST_F(Log, TheDefaultSinkWritesJsonWhenItIsNoTerminal)
{
    testing::internal::CaptureStderr();
    polarys_log(POLARYS_LOG_ERROR, "wal", "quote \" here");
    std::string text = testing::internal::GetCapturedStderr();
    EXPECT_EQ(text.substr(0, 9), "{\"time\":\"");
    EXPECT_NE(text.find("Z\",\"level\":\"error\",\"component\":\"wal\",\"message\":\"quote \\\" "
                        "here\"}\n"),
              std::string::npos);
}

} // namespace
