/* SPDX-License-Identifier: Apache-2.0 */
/* Table files are closed and opened again within a bound, and nobody who reads notices. */
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/support/fault_alloc.h"
#include "tests/unit/sst/table_fixture.h"

namespace sst_test {
namespace {

class TableFiles : public ::testing::Test {
  protected:
    static constexpr size_t table_count = 8;
    static constexpr uint64_t keys_a_table = 200;

    void start(size_t open_max)
    {
        polarys_error err = {};
        ASSERT_EQ(POLARYS_OK, table_files_create(open_max, &files, &err)) << err.message;
        w.env.files = files;
        for (size_t i = 0; i < table_count; i++) {
            Model model;
            for (uint64_t n = 0; n < keys_a_table; n++) {
                model[{number_key(n), 1}] = {ENTRY_PUT, value_of(i, n)};
            }
            w.build(i + 1, model, {}, &metas[i]);
            tables[i] = w.open(metas[i]);
        }
    }
    void TearDown() override
    {
        for (table *each : tables) {
            table_close(each);
        }
        EXPECT_EQ(0u, files == nullptr ? 0 : stats().open_count);
        table_files_destroy(files);
    }
    static std::string value_of(size_t table, uint64_t number)
    {
        return "table " + std::to_string(table) + " key " + std::to_string(number);
    }
    /* Past the cache, so that each walk reads the file. */
    polarys_code walk(size_t i, uint64_t *count)
    {
        entry_iterator *iterator = nullptr;
        polarys_error err = {};
        *count = 0;
        polarys_code code = table_iterator_create(tables[i], TABLE_READ_NO_FILL, &iterator, &err);
        if (code != POLARYS_OK) {
            return code;
        }
        for (entry_iterator_seek_first(iterator); iterator->is_valid;
             entry_iterator_next(iterator)) {
            EXPECT_EQ(value_of(i, *count), text_of(iterator->entry.value));
            ++*count;
        }
        code = iterator->code;
        entry_iterator_destroy(iterator);
        return code;
    }
    table_files_stats stats()
    {
        table_files_stats result;
        table_files_stats_get(files, &result);
        return result;
    }
    World w{64 << 10};
    Meta metas[table_count];
    table *tables[table_count] = {};
    table_files *files = nullptr;
};

TEST_F(TableFiles, StayOpenUpToTheBound)
{
    start(table_count);
    EXPECT_EQ(table_count, stats().open_count);
    uint64_t count;
    for (size_t i = 0; i < table_count; i++) {
        ASSERT_EQ(POLARYS_OK, walk(i, &count));
        EXPECT_EQ(keys_a_table, count);
    }
    EXPECT_EQ(0u, stats().reopened_count);
}

TEST_F(TableFiles, AreClosedBeyondTheBoundAndOpenedAgain)
{
    start(2);
    EXPECT_EQ(2u, stats().open_count);
    uint64_t count;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < table_count; i++) {
            ASSERT_EQ(POLARYS_OK, walk(i, &count));
            EXPECT_EQ(keys_a_table, count);
            EXPECT_EQ(2u, stats().open_count);
        }
    }
    EXPECT_EQ(3 * table_count, stats().reopened_count) << "in turn, none of them is there any more";
}

TEST_F(TableFiles, CloseTheOneThatWasReadFromTheLongestAgo)
{
    start(2); /* 6 and 7 are open */
    uint64_t count;
    ASSERT_EQ(POLARYS_OK, walk(6, &count));
    ASSERT_EQ(POLARYS_OK, walk(0, &count)); /* 7 goes */
    EXPECT_EQ(1u, stats().reopened_count);
    ASSERT_EQ(POLARYS_OK, walk(6, &count));
    EXPECT_EQ(1u, stats().reopened_count);
    ASSERT_EQ(POLARYS_OK, walk(7, &count));
    EXPECT_EQ(2u, stats().reopened_count);
}

TEST_F(TableFiles, ReportAFileThatCannotBeOpenedAgain)
{
    start(1);
    uint64_t count;
    sim_disk_settle(w.disk);
    char name[VFS_NAME_MAX];
    table_file_name(name, 1);
    std::string path = std::string("/db/") + name;
    ASSERT_TRUE(sim_disk_file_copy(w.disk, path.c_str(), "/db/kept"));
    ASSERT_TRUE(sim_disk_file_remove(w.disk, path.c_str()));
    EXPECT_EQ(POLARYS_FILE_NOT_FOUND, walk(0, &count));
    ASSERT_TRUE(sim_disk_file_copy(w.disk, "/db/kept", path.c_str()));
    EXPECT_EQ(POLARYS_OK, walk(0, &count)) << "a failure is not for good";
    EXPECT_EQ(1u, stats().open_count);
}

TEST_F(TableFiles, DoNotTrustAnotherFileUnderTheSameName)
{
    start(1);
    sim_disk_settle(w.disk);
    char one[VFS_NAME_MAX];
    char two[VFS_NAME_MAX];
    table_file_name(one, 1);
    table_file_name(two, 2);
    ASSERT_TRUE(sim_disk_file_copy(w.disk, (std::string("/db/") + two).c_str(),
                                   (std::string("/db/") + one).c_str()));
    uint64_t count;
    EXPECT_EQ(POLARYS_TAMPERED, walk(0, &count));
    EXPECT_EQ(0u, count);
}

TEST_F(TableFiles, SurviveEveryFailedOpenAndRead)
{
    start(1);
    for (uint64_t n = 1;; n++) {
        uint64_t count;
        sim_disk_fail_at(w.disk, n, SIM_FAULT_EIO);
        polarys_code first = walk(0, &count);
        polarys_code second = walk(1, &count);
        uint64_t shown = sim_disk_fault_count(w.disk);
        sim_disk_fail_at(w.disk, 0, SIM_FAULT_EIO);
        ASSERT_EQ(POLARYS_OK, walk(0, &count)) << n;
        ASSERT_EQ(keys_a_table, count);
        ASSERT_LE(stats().open_count, 1u);
        if (shown == 0) {
            EXPECT_EQ(POLARYS_OK, first);
            EXPECT_EQ(POLARYS_OK, second);
            break;
        }
    }
}

TEST_F(TableFiles, NeedMemoryOnlyToBegin)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    polarys_error err = {};
    table_files *none = nullptr;
    fault_alloc_fail_at(1);
    EXPECT_EQ(POLARYS_NO_MEMORY, table_files_create(4, &none, &err));
    (void)fault_alloc_disarm();
    EXPECT_EQ(nullptr, none);
}

TEST_F(TableFiles, ManyThreadsReadFilesThatAreClosedAndOpenedBesideThem)
{
    start(2);
    std::atomic<uint64_t> walked{0};
    std::vector<std::thread> threads;
    for (size_t t = 0; t < 4; t++) {
        threads.emplace_back([this, t, &walked] {
            for (size_t i = 0; i < 60; i++) {
                uint64_t count = 0;
                EXPECT_EQ(POLARYS_OK, walk((i * (t + 1) + t) % table_count, &count));
                EXPECT_EQ(keys_a_table, count);
                walked++;
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(240u, walked);
    EXPECT_LE(stats().open_count, 2u);
    EXPECT_GT(stats().reopened_count, 10u);
}

} // namespace
} // namespace sst_test
