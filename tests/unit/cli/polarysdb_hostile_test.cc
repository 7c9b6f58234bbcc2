/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damaged and altered files: never a crash, and never another document than the real file holds where a seal or
 * a checksum can tell.
 */
#include <gtest/gtest.h>

#include "tests/support/fault_alloc.h"
#include "tests/unit/cli/polarysdb_files.h"

namespace {

using namespace go_files;

struct RealFile {
    const char *name;
    const char *as; /* the name that it is read under */
};

const RealFile kFiles[] = {
    {"v1.1.0/polarysdb.wal", "polarysdb.wal"}, {"v1.1.0/state/state.rdb", "state.rdb"},
    {"v2.1.0/polarysdb.wal", "polarysdb.wal"}, {"v2.1.0/state/state.rdb", "state.rdb"},
    {"v2.1.0/export.enc", "export.enc"},       {"v2.1.0/export.json", "export.json"}};

class Hostile : public testing::TestWithParam<RealFile> {
  protected:
    Hostile() : whole(Read(Real(GetParam().name)))
    {
        path = std::string(scratch.path()) + "/" + GetParam().as;
    }
    Loaded LoadAltered(const std::string &bytes)
    {
        Write(path, bytes);
        return Load(path);
    }
    bool IsLog() const
    {
        return std::string(GetParam().as) == "polarysdb.wal";
    }
    bool IsPlain() const
    {
        return std::string(GetParam().as) == "export.json";
    }
    scoped_temp_dir scratch;
    std::string whole;
    std::string path;
};

/* Where the entries of a log end. */
std::vector<size_t> EntryEnds(const std::string &log)
{
    std::vector<size_t> ends = {0};
    while (ends.back() < log.size()) {
        const unsigned char *at = (const unsigned char *)log.data() + ends.back();
        ends.push_back(ends.back() + 8 + (at[0] | (size_t)at[1] << 8 | (size_t)at[2] << 16));
    }
    EXPECT_EQ(ends.back(), log.size());
    return ends;
}

TEST_P(Hostile, IsRefusedWhereverItIsCut)
{
    std::vector<size_t> ends = {whole.size()};
    if (IsLog()) {
        ends = EntryEnds(whole);
    }
    for (size_t size = 0; size <= whole.size(); size++) {
        Loaded loaded = LoadAltered(whole.substr(0, size));
        bool is_end = std::find(ends.begin(), ends.end(), size) != ends.end();
        EXPECT_EQ(loaded.is_read, is_end) << size << ": " << loaded.message;
        if (!is_end) {
            EXPECT_NE(loaded.message.find(path), std::string::npos) << loaded.message;
        }
    }
}

TEST_P(Hostile, IsRefusedWhicheverByteIsFlipped)
{
    static const unsigned char flips[] = {0x01, 0x80, 0xff};
    for (size_t i = 0; i < whole.size(); i++) {
        std::string altered = whole;
        altered[i] = (char)(altered[i] ^ flips[i % 3]);
        Loaded loaded = LoadAltered(altered);
        /* Plain text has nothing that could tell; it must only not crash. */
        EXPECT_TRUE(IsPlain() || !loaded.is_read) << i;
        if (!loaded.is_read) {
            EXPECT_NE(loaded.message.find(path), std::string::npos) << loaded.message;
        }
    }
}

TEST_P(Hostile, IsRefusedWithBytesBehindIt)
{
    for (const std::string &more :
         {std::string(1, '\0'), std::string(64, '\0'), std::string("{}"), std::string(100, 'x')}) {
        EXPECT_FALSE(LoadAltered(whole + more).is_read) << testing::PrintToString(more);
    }
}

TEST_P(Hostile, FailsCleanlyAtEveryAllocation)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    Loaded expected = Load(Real(GetParam().name));
    ASSERT_TRUE(expected.is_read);
    Write(path, whole);
    for (uint64_t n = 1;; n++) {
        struct polarysdb_source source = {};
        struct polarysdb_fault fault = {};
        ASSERT_TRUE(polarysdb_keys_add(&source.keys, kKeyHex));
        fault_alloc_fail_at(n);
        bool is_read = polarysdb_source_read(&source, path.c_str(), &fault);
        bool has_failed = fault_alloc_disarm() != 0;
        EXPECT_TRUE(is_read || has_failed) << n;
        if (!is_read) {
            EXPECT_STREQ(fault.reason, "NO_MEMORY") << n << ": " << fault.message;
        }
        polarysdb_source_deinit(&source);
        ASSERT_LT(n, 10000u);
        if (!has_failed) {
            break;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(RealFiles, Hostile, testing::ValuesIn(kFiles),
                         [](const testing::TestParamInfo<RealFile> &real) {
                             std::string name = real.param.name;
                             std::replace_if(
                                 name.begin(), name.end(), [](char c) { return !isalnum(c); }, '_');
                             return name;
                         });

} // namespace
