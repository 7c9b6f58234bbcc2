/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches under real threads, on the real file system: writers, watchers that come and go, and flushes at once.
 */
#include <condition_variable>
#include <mutex>
#include <thread>

#include "engine/engine_watch.h"
#include "tests/support/engine/test_store.h"
#include "tests/support/temp_dir.h"

using test_store::bytes_of;
using test_store::json_of;
using test_store::text_of;

namespace {

constexpr int writers = 3;
constexpr int writes = 300;

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

class WatchThreads : public ::testing::Test {
  protected:
    void SetUp() override
    {
        polarys_error_clear(&error);
        polarys_log_level_set(POLARYS_LOG_OFF);
        key_path = std::string(dir.path()) + "/master.key";
        ASSERT_EQ(POLARYS_OK, polarys_master_key_generate(key_path.c_str(), &error));
        polarys_db_options_init(&options);
        options.master_key_file = key_path.c_str();
        options.memory_limit = 32 << 20;
        options.memtable_bytes = 256 << 10;
        options.wal_segment_bytes = 1 << 20;
        options.disk_reserve_bytes = 0;
        ASSERT_EQ(POLARYS_OK, polarys_db_open((std::string(dir.path()) + "/store").c_str(),
                                              &options, &db, &error))
            << error.message;
        ASSERT_EQ(POLARYS_OK, polarys_table_create(db, nullptr, "t", nullptr, nullptr, &error));
    }
    void TearDown() override
    {
        EXPECT_EQ(POLARYS_OK, polarys_db_close(db, 0, &error)) << error.message;
        polarys_log_level_set(POLARYS_LOG_INFO);
    }

    /* Each writer writes 0, 1, 2, ... under its own key. */
    void write_all(int writer)
    {
        polarys_error err;
        polarys_error_clear(&err);
        std::string filler(600, '0');
        for (int i = 0; i < writes; i++) {
            std::string value = std::to_string(i) + "." + filler;
            polarys_value json = json_of(value);
            polarys_write_options write{};
            write.durability =
                i % 4 == 0 ? POLARYS_DURABILITY_ASYNC : POLARYS_DURABILITY_LOCAL_SYNC;
            ASSERT_EQ(POLARYS_OK,
                      polarys_db_put(db, nullptr, "t", bytes_of("w" + std::to_string(writer)),
                                     &json, &write, nullptr, &err))
                << err.message;
        }
    }

    /* Takes until every writer's last value was seen; leaves and comes back every `stay` events. */
    void watch_all(int stay, bool with_snapshot)
    {
        int next[writers] = {0};
        uint64_t version = with_snapshot ? 0 : 1;
        uint64_t last_event_version = 0;
        int finished = 0;
        while (finished < writers) {
            polarys_error err;
            polarys_error_clear(&err);
            bell wake;
            polarys_watch_options watch_options{};
            watch_options.table = "t";
            watch_options.from_version = version;
            watch_options.with_snapshot = with_snapshot && version == 0;
            polarys_watch *watch = nullptr;
            ASSERT_EQ(POLARYS_OK,
                      polarys_watch_open(db, &watch_options, bell::ring, &wake, &watch, &err))
                << err.message;
            for (int taken = 0; finished < writers && (stay == 0 || taken < stay);) {
                bool has_event = false;
                polarys_watch_event event{};
                ASSERT_EQ(POLARYS_OK, polarys_watch_next(watch, &has_event, &event, &err))
                    << err.message;
                if (!has_event) {
                    wake.wait();
                    continue;
                }
                taken += event.kind == POLARYS_WATCH_PUT ? 1 : 0;
                if (event.kind != POLARYS_WATCH_PUT && event.kind != POLARYS_WATCH_SNAPSHOT_PUT) {
                    continue;
                }
                int writer = text_of(event.key)[1] - '0';
                int value =
                    static_cast<int>(strtol(text_of(event.value.bytes).c_str(), nullptr, 10));
                if (event.kind == POLARYS_WATCH_SNAPSHOT_PUT) {
                    next[writer] = value;
                } else {
                    ASSERT_GT(event.version, last_event_version);
                    last_event_version = event.version;
                }
                ASSERT_EQ(next[writer], value) << "of writer " << writer;
                next[writer]++;
                finished += next[writer] == writes ? 1 : 0;
            }
            version = polarys_watch_resume_version(watch);
            polarys_watch_close(watch);
        }
    }

    scoped_temp_dir dir;
    std::string key_path;
    polarys_db_options options;
    polarys_db *db = nullptr;
    polarys_error error;
};

TEST_F(WatchThreads, MissesNothingWhileWritersWriteAndWatchersComeAndGo)
{
    std::vector<std::thread> threads;
    for (int stay : {0, 0, 7, 50, 200}) {
        threads.emplace_back([this, stay] { watch_all(stay, false); });
    }
    for (int writer = 0; writer < writers; writer++) {
        threads.emplace_back([this, writer] { write_all(writer); });
    }
    threads.emplace_back([this] {
        for (int i = 0; i < 5; i++) {
            polarys_error err;
            polarys_error_clear(&err);
            EXPECT_EQ(POLARYS_OK, polarys_db_flush(db, nullptr, &err)) << err.message;
        }
    });
    for (std::thread &each : threads) {
        each.join();
    }
}

TEST_F(WatchThreads, JoinsSnapshotsToChangesWhileWritersWrite)
{
    std::vector<std::thread> threads;
    for (int writer = 0; writer < writers; writer++) {
        threads.emplace_back([this, writer] { write_all(writer); });
    }
    for (int stay : {0, 30, 31}) {
        threads.emplace_back([this, stay] { watch_all(stay, true); });
    }
    for (std::thread &each : threads) {
        each.join();
    }
}

TEST_F(WatchThreads, OpensAndClosesManyAtOnce)
{
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
        threads.emplace_back([this, i] {
            polarys_error err;
            polarys_error_clear(&err);
            for (int round = 0; round < 100; round++) {
                polarys_watch_options watch_options{};
                watch_options.table = "t";
                watch_options.from_version = i % 2;
                watch_options.with_snapshot = i == 2;
                polarys_watch *watch = nullptr;
                ASSERT_EQ(POLARYS_OK,
                          polarys_watch_open(db, &watch_options, nullptr, nullptr, &watch, &err))
                    << err.message;
                bool has_event = false;
                polarys_watch_event event{};
                EXPECT_EQ(POLARYS_OK, polarys_watch_next(watch, &has_event, &event, &err));
                polarys_watch_close(watch);
            }
        });
    }
    threads.emplace_back([this] { write_all(0); });
    for (std::thread &each : threads) {
        each.join();
    }
}

} // namespace
