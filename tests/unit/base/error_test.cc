/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: codes have names, messages grow outwards, and nothing is ever left without its NUL. */
#include "engine/base/error.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <string>

namespace {

class Error : public testing::Test {
  protected:
    Error()
    {
        polarys_error_clear(&err);
    }
    struct polarys_error err;
};

TEST_F(Error, FailFillsCodeAndMessage)
{
    EXPECT_EQ(polarys_fail(&err, POLARYS_BAD_KEY, "key of %d bytes", 5000), POLARYS_BAD_KEY);
    EXPECT_EQ(err.code, POLARYS_BAD_KEY);
    EXPECT_STREQ(err.message, "key of 5000 bytes");
}

TEST_F(Error, EveryCallAcceptsNoErrorToFill)
{
    EXPECT_EQ(polarys_fail(nullptr, POLARYS_IO, "x"), POLARYS_IO);
    EXPECT_EQ(polarys_wrap(nullptr, POLARYS_IO, "x"), POLARYS_IO);
    EXPECT_EQ(polarys_fail_errno(nullptr, ENOSPC, "x"), POLARYS_DISK_LOW);
    polarys_error_detail_set(nullptr, "limit", "1");
    polarys_error_clear(nullptr);
    EXPECT_EQ(polarys_error_detail_find(nullptr, "limit"), nullptr);
}

TEST_F(Error, WrapPrefixesOutermostFirst)
{
    (void)polarys_fail(&err, POLARYS_CORRUPT, "bad checksum");
    (void)polarys_wrap(&err, POLARYS_CORRUPT, "frame at byte %d", 4096);
    EXPECT_EQ(polarys_wrap(&err, POLARYS_IO, "open store data"), POLARYS_IO);
    EXPECT_STREQ(err.message, "open store data: frame at byte 4096: bad checksum");
    EXPECT_EQ(err.code, POLARYS_IO);
}

TEST_F(Error, WrapOfAnEmptyMessageAddsNoColon)
{
    (void)polarys_wrap(&err, POLARYS_IO, "open");
    EXPECT_STREQ(err.message, "open");
}

TEST_F(Error, WrapKeepsDetails)
{
    (void)polarys_fail(&err, POLARYS_TOO_LARGE, "big");
    polarys_error_detail_set(&err, "limit", "%d", 42);
    (void)polarys_wrap(&err, POLARYS_TOO_LARGE, "put");
    EXPECT_STREQ(polarys_error_detail_find(&err, "limit"), "42");
}

TEST_F(Error, FailDropsEarlierDetailsAndRetryTime)
{
    (void)polarys_fail(&err, POLARYS_WRITE_STALL, "one");
    polarys_error_detail_set(&err, "limit", "42");
    err.retry_after_ms = 7;
    (void)polarys_fail(&err, POLARYS_IO, "two");
    EXPECT_EQ(polarys_error_detail_find(&err, "limit"), nullptr);
    EXPECT_EQ(err.retry_after_ms, 0u);
}

TEST_F(Error, ItsOwnMessageMayBeAnArgument)
{
    (void)polarys_fail(&err, POLARYS_IO, "inner");
    (void)polarys_fail(&err, POLARYS_IO, "outer (%s)", err.message);
    EXPECT_STREQ(err.message, "outer (inner)");
}

TEST_F(Error, LongMessagesAreCutAtTheEnd)
{
    std::string text(2000, 'x');
    (void)polarys_fail(&err, POLARYS_IO, "%s", text.c_str());
    EXPECT_EQ(strlen(err.message), size_t{POLARYS_ERROR_MESSAGE_MAX - 1});
    (void)polarys_wrap(&err, POLARYS_IO, "outer");
    EXPECT_EQ(std::string(err.message).substr(0, 9), "outer: xx");
    EXPECT_EQ(strlen(err.message), size_t{POLARYS_ERROR_MESSAGE_MAX - 1});
}

TEST_F(Error, CutsNeverSplitACharacter)
{
    const char *const characters[] = {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x99\x82"};
    for (const char *character : characters) {
        for (size_t lead = 0; lead < 5; lead++) {
            std::string text(lead, 'x');
            while (text.size() < 600) {
                text += character;
            }
            (void)polarys_fail(&err, POLARYS_IO, "%s", text.c_str());
            size_t size = strlen(err.message);
            EXPECT_EQ((size - lead) % strlen(character), 0u) << character << lead;
            EXPECT_GT(size + 4, size_t{POLARYS_ERROR_MESSAGE_MAX - 1});
        }
    }
}

TEST_F(Error, ErrnosBecomeCodesWithTheirText)
{
    EXPECT_EQ(polarys_fail_errno(&err, ENOENT, "open %s", "/x"), POLARYS_FILE_NOT_FOUND);
    EXPECT_STREQ(err.message, "open /x: No such file or directory");
    EXPECT_EQ(polarys_fail_errno(&err, EDQUOT, "w"), POLARYS_DISK_LOW);
    EXPECT_EQ(polarys_fail_errno(&err, ENOSPC, "w"), POLARYS_DISK_LOW);
    EXPECT_EQ(polarys_fail_errno(&err, ENOMEM, "w"), POLARYS_NO_MEMORY);
    EXPECT_EQ(polarys_fail_errno(&err, EIO, "w"), POLARYS_IO);
    EXPECT_EQ(polarys_fail_errno(&err, EACCES, "w"), POLARYS_IO);
}

TEST_F(Error, DetailsAreReplacedByNameAndAFifthIsDropped)
{
    for (const char *name : {"a", "b", "c", "d", "e"}) {
        polarys_error_detail_set(&err, name, "1");
    }
    polarys_error_detail_set(&err, "d", "2");
    EXPECT_EQ(err.detail_count, 4u);
    EXPECT_STREQ(polarys_error_detail_find(&err, "d"), "2");
    EXPECT_EQ(polarys_error_detail_find(&err, "e"), nullptr);
}

TEST_F(Error, LongDetailValuesAreCut)
{
    polarys_error_detail_set(&err, "key", "%s", std::string(1000, 'k').c_str());
    EXPECT_EQ(strlen(polarys_error_detail_find(&err, "key")),
              size_t{POLARYS_ERROR_DETAIL_VALUE_MAX - 1});
}

TEST(CodeName, EveryCodeHasItsOwn)
{
    std::set<std::string> names;
    for (int code = 0; code < POLARYS_CODE_COUNT; code++) {
        ASSERT_NE(polarys_code_name(static_cast<enum polarys_code>(code)), nullptr) << code;
        names.insert(polarys_code_name(static_cast<enum polarys_code>(code)));
    }
    EXPECT_EQ(names.size(), size_t{POLARYS_CODE_COUNT});
    EXPECT_STREQ(polarys_code_name(POLARYS_WOULD_BLOCK), "WOULD_BLOCK");
    EXPECT_STREQ(polarys_code_name(POLARYS_CODE_COUNT), "UNKNOWN");
}

TEST(ErrorDeath, FailingWithOkIsABug)
{
    EXPECT_DEATH((void)polarys_fail(nullptr, POLARYS_OK, "x"), "assertion failed: code");
}

} // namespace
