/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the log under real threads, on the real file system: writers, a follower that keeps up, one that comes and
 * goes, and flushes that let segments go, all at once.
 */
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "engine/engine_log.h"
#include "tests/support/engine/test_store.h"
#include "tests/support/temp_dir.h"

using test_store::bytes_of;
using test_store::raw_of;
using test_store::text_of;

namespace {

constexpr int writers = 3;
constexpr int writes = 200;

/* Waits for `ready` without polling. */
class bell {
  public:
    static void ring(void *context)
    {
        bell *self = static_cast<bell *>(context);
        std::lock_guard<std::mutex> guard(self->mutex);
        self->has_rung = true;
        self->condition.notify_all();
    }
    void wait()
    {
        std::unique_lock<std::mutex> guard(mutex);
        condition.wait(guard, [this] { return has_rung; });
        has_rung = false;
    }

  private:
    std::mutex mutex;
    std::condition_variable condition;
    bool has_rung = false;
};

class LogReaderThreads : public ::testing::Test {
  protected:
    void SetUp() override
    {
        polarys_error_clear(&error);
        polarys_log_level_set(POLARYS_LOG_OFF);
        base = dir.path();
        key_path = base + "/master.key";
        ASSERT_EQ(POLARYS_OK, polarys_master_key_generate(key_path.c_str(), &error));
        polarys_db_options_init(&options);
        options.master_key_file = key_path.c_str();
        options.memory_limit = 32 << 20;
        options.memtable_bytes = 256 << 10;
        options.wal_segment_bytes = 1 << 20;
        options.disk_reserve_bytes = 0;
        options.history_keep_bytes = 1 << 20;
        ASSERT_EQ(POLARYS_OK,
                  polarys_db_open((base + "/store").c_str(), &options, &primary, &error))
            << error.message;
        ASSERT_EQ(POLARYS_OK,
                  polarys_table_create(primary, nullptr, "t", nullptr, nullptr, &error));
        uint64_t version = 0;
        for (const char *name : {"/near", "/far"}) {
            ASSERT_EQ(POLARYS_OK,
                      polarys_db_checkpoint(primary, (base + name).c_str(), &version, &error))
                << error.message;
        }
        options.is_follower = true;
        ASSERT_EQ(POLARYS_OK, polarys_db_open((base + "/near").c_str(), &options, &near_, &error))
            << error.message;
        ASSERT_EQ(POLARYS_OK, polarys_db_open((base + "/far").c_str(), &options, &far_, &error))
            << error.message;
        polarys_log_position at{};
        polarys_log_position_get(far_, &at);
        near_segment = far_segment = at.segment_id;
        polarys_log_keep_from(primary, at.segment_id);
    }
    void TearDown() override
    {
        for (polarys_db *db : {near_, far_, primary}) {
            EXPECT_EQ(POLARYS_OK, polarys_db_close(db, 0, &error)) << error.message;
        }
        polarys_log_level_set(POLARYS_LOG_INFO);
    }

    void write_all(int writer)
    {
        polarys_error err;
        polarys_error_clear(&err);
        std::string filler(3000, 'x');
        for (int i = 0; i < writes; i++) {
            std::string text = std::to_string(i) + filler;
            polarys_value value = raw_of(text);
            polarys_write_options write{};
            write.durability =
                i % 3 == 0 ? POLARYS_DURABILITY_ASYNC : POLARYS_DURABILITY_LOCAL_SYNC;
            std::string key = std::to_string(writer) + "." + std::to_string(i % 20);
            ASSERT_EQ(POLARYS_OK, polarys_db_put(primary, nullptr, "t", bytes_of(key), &value,
                                                 &write, nullptr, &err))
                << err.message;
        }
    }

    /* Gives `follower` whole pieces until it has `version`; opens anew every `stay` pieces. */
    void follow(polarys_db *follower, int stay)
    {
        polarys_error err;
        polarys_error_clear(&err);
        bool is_over = false;
        while (!is_over) {
            bell wake;
            polarys_log_reader *reader = nullptr;
            polarys_log_position at{};
            polarys_log_position_get(follower, &at);
            ASSERT_EQ(POLARYS_OK, polarys_log_reader_open(primary, &at, &reader, &err))
                << err.message;
            for (int taken = 0; stay == 0 || taken < stay; taken++) {
                polarys_log_part part{};
                bool has_part = false;
                ASSERT_EQ(POLARYS_OK, polarys_log_reader_next(reader, &part, &has_part, &err))
                    << err.message;
                if (!has_part) {
                    ASSERT_EQ(POLARYS_OK, polarys_replica_sync(follower, &at, &err)) << err.message;
                    (follower == far_ ? far_segment : near_segment) = at.segment_id;
                    polarys_log_keep_from(primary, std::min<uint64_t>(near_segment, far_segment));
                    is_over = last_version != 0 && at.version >= last_version;
                    if (is_over) {
                        break;
                    }
                    if (polarys_log_reader_wait(reader, bell::ring, &wake)) {
                        wake.wait();
                    }
                    continue;
                }
                ASSERT_FALSE(part.is_continued);
                polarys_code code = part.offset == 0
                                        ? polarys_replica_segment(follower, part.bytes, &err)
                                        : polarys_replica_frame(follower, part.bytes, &err);
                ASSERT_EQ(POLARYS_OK, code) << err.message;
            }
            polarys_log_reader_close(reader);
            ASSERT_EQ(POLARYS_OK, polarys_replica_sync(follower, nullptr, &err)) << err.message;
        }
    }

    scoped_temp_dir dir;
    std::string base;
    std::string key_path;
    polarys_db_options options;
    polarys_db *primary = nullptr;
    polarys_db *near_ = nullptr;
    polarys_db *far_ = nullptr;
    polarys_error error;
    std::atomic<uint64_t> last_version{0};
    std::atomic<uint64_t> near_segment{0};
    std::atomic<uint64_t> far_segment{0};
};

TEST_F(LogReaderThreads, FollowersHaveWhatWasWritten)
{
    std::vector<std::thread> threads;
    std::thread near_thread([this] { follow(near_, 0); });
    std::thread far_thread([this] { follow(far_, 23); });
    for (int i = 0; i < writers; i++) {
        threads.emplace_back([this, i] { write_all(i); });
    }
    threads.emplace_back([this] {
        polarys_error err;
        for (int i = 0; i < 5; i++) {
            EXPECT_EQ(POLARYS_OK, polarys_db_flush(primary, nullptr, &err)) << err.message;
        }
    });
    for (std::thread &thread : threads) {
        thread.join();
    }
    std::string text = "end";
    polarys_value value = raw_of(text);
    polarys_write_result result{};
    ASSERT_EQ(POLARYS_OK, polarys_db_put(primary, nullptr, "t", bytes_of("almost"), &value, nullptr,
                                         &result, &error));
    /* The last frame wakes who waits, and is the one that all of them wait for. */
    last_version = result.version + 1;
    ASSERT_EQ(POLARYS_OK, polarys_db_put(primary, nullptr, "t", bytes_of("end"), &value, nullptr,
                                         nullptr, &error));
    near_thread.join();
    far_thread.join();
    for (polarys_db *follower : {near_, far_}) {
        EXPECT_EQ(polarys_db_version(primary), polarys_db_version(follower));
        polarys_log_position ours{};
        polarys_log_position theirs{};
        polarys_log_durable_position(primary, &ours);
        polarys_log_position_get(follower, &theirs);
        EXPECT_EQ(0, memcmp(&ours, &theirs, sizeof(ours)));
    }
}

} // namespace
