/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexes made and dropped while threads write, on the real file system: also under the thread sanitizer.
 */
#include <atomic>
#include <thread>

#include "tests/support/engine/test_index.h"
#include "tests/support/temp_dir.h"

using test_store::bytes_of;

namespace {

enum { WRITERS = 3, KEYS = 200, WRITES = 400 };

class IndexThreads : public ::testing::Test {
  protected:
    void SetUp() override
    {
        polarys_error_clear(&error);
        std::string key_path = std::string(dir.path()) + "/master.key";
        std::string store_path = std::string(dir.path()) + "/store";
        ASSERT_EQ(POLARYS_OK, polarys_master_key_generate(key_path.c_str(), &error));
        polarys_db_options options;
        polarys_db_options_init(&options);
        options.master_key_file = key_path.c_str();
        options.memory_limit = 32 << 20;
        options.memtable_bytes = 256 << 10;
        options.wal_segment_bytes = 1 << 20;
        options.disk_reserve_bytes = 0;
        options.history_keep_ms = 0;
        ASSERT_EQ(POLARYS_OK, polarys_db_open(store_path.c_str(), &options, &db, &error))
            << error.message;
        ASSERT_EQ(POLARYS_OK, polarys_table_create(db, nullptr, "t", nullptr, nullptr, &error));
    }
    void TearDown() override
    {
        if (db != nullptr) {
            EXPECT_EQ(POLARYS_OK, polarys_db_close(db, 0, &error)) << error.message;
        }
    }
    polarys_code create(const char *name, const char *field, bool is_unique)
    {
        polarys_index_options index{};
        index.name = name;
        index.fields = &field;
        index.field_count = 1;
        index.kind = POLARYS_INDEX_ORDERED;
        index.is_unique = is_unique;
        return polarys_index_create(db, nullptr, "t", &index, nullptr, nullptr, nullptr, &error);
    }
    void expect_clean()
    {
        polarys_index_check_result result{};
        ASSERT_EQ(POLARYS_OK,
                  polarys_index_check(db, nullptr, "t", nullptr, nullptr, nullptr, &result, &error))
            << error.message;
        EXPECT_EQ(0u, result.missing_count + result.stray_count) << result.first_fault;
    }

    scoped_temp_dir dir;
    polarys_db *db = nullptr;
    polarys_error error;
};

/* Puts and deletes; a document's "u" is its key's number, so an index on it is unique. */
void write_many(polarys_db *db, unsigned seed, std::atomic<unsigned> *failures)
{
    polarys_error err;
    polarys_error_clear(&err);
    polarys_write_options write{};
    write.durability = POLARYS_DURABILITY_ASYNC;
    for (unsigned i = 0; i < WRITES; i++) {
        seed = seed * 1103515245 + 12345;
        std::string n = std::to_string(seed / 65536 % KEYS);
        std::string json = R"({"u":)" + n + R"(,"v":[)" + std::to_string(i) + "," + n + "]}";
        polarys_value value = test_store::json_of(json);
        polarys_code code =
            i % 5 == 4
                ? polarys_db_delete(db, nullptr, "t", bytes_of(n), &write, nullptr, &err)
                : polarys_db_put(db, nullptr, "t", bytes_of(n), &value, &write, nullptr, &err);
        *failures += code == POLARYS_OK ? 0 : 1;
    }
}

TEST_F(IndexThreads, AreBuiltAndDroppedWhileOthersWrite)
{
    std::atomic<unsigned> failures{0};
    write_many(db, 99, &failures);
    std::vector<std::thread> writers;
    for (unsigned i = 0; i < WRITERS; i++) {
        writers.emplace_back(write_many, db, i, &failures);
    }
    for (int round = 0; round < 3; round++) {
        ASSERT_EQ(POLARYS_OK, create("v", "v", false)) << error.message;
        ASSERT_EQ(POLARYS_OK, create("u", "u", true)) << error.message;
        EXPECT_EQ(POLARYS_OK, polarys_index_wait(db, nullptr, "t", "v", 0, &error))
            << error.message;
        EXPECT_EQ(POLARYS_OK, polarys_index_wait(db, nullptr, "t", "u", 0, &error))
            << error.message;
        expect_clean();
        if (round < 2) {
            ASSERT_EQ(POLARYS_OK,
                      polarys_index_drop(db, nullptr, "t", "v", nullptr, nullptr, &error));
            ASSERT_EQ(POLARYS_OK,
                      polarys_index_drop(db, nullptr, "t", "u", nullptr, nullptr, &error));
        }
    }
    for (auto &writer : writers) {
        writer.join();
    }
    EXPECT_EQ(0u, failures.load());
    expect_clean();
    EXPECT_EQ(POLARYS_OK, polarys_table_analyze(db, nullptr, "t", &error)) << error.message;
}

/* Many want the same values: each is held by one document at most. */
TEST_F(IndexThreads, OnlyOneOfManyGetsAUniqueValue)
{
    ASSERT_EQ(POLARYS_OK, create("u", "u", true)) << error.message;
    ASSERT_EQ(POLARYS_OK, polarys_index_wait(db, nullptr, "t", "u", 0, &error)) << error.message;
    std::atomic<unsigned> won{0};
    std::atomic<unsigned> lost{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < WRITERS; thread++) {
        threads.emplace_back([this, thread, &won, &lost] {
            polarys_error err;
            for (int i = 0; i < 100; i++) {
                polarys_error_clear(&err);
                std::string key = "t" + std::to_string(thread) + "-" + std::to_string(i);
                std::string json = R"({"u":)" + std::to_string(i) + "}";
                polarys_value value = test_store::json_of(json);
                polarys_code code =
                    polarys_db_put(db, nullptr, "t", bytes_of(key), &value, nullptr, nullptr, &err);
                won += code == POLARYS_OK ? 1 : 0;
                lost += code == POLARYS_UNIQUE_VIOLATION ? 1 : 0;
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(100u, won.load());
    EXPECT_EQ(100u * (WRITERS - 1), lost.load());
    expect_clean();
}

} // namespace
