/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store from end to end on a simulated disk: opening, writing, reading, closing, crashing.
 */
#include "tests/support/engine/test_store.h"

using test_store::batch;
using test_store::bytes_of;
using test_store::json_of;
using test_store::raw_of;
using test_store::store;
using test_store::world;

namespace {

/* Opens a new store with a table "t". */
#define OPEN_STORE(name, surroundings)                                                             \
    store name(surroundings);                                                                      \
    ASSERT_EQ(POLARYS_OK, name.open()) << name.error.message;                                      \
    ASSERT_EQ(POLARYS_OK, name.create_table("t")) << name.error.message

} // namespace

TEST(Store, ReadsWhatWasPut)
{
    world w;
    OPEN_STORE(db, w);
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "{\"n\":1}")) << db.error.message;
    EXPECT_EQ(2u, db.result.version);
    EXPECT_EQ("{\"n\":1}", db.get("t", "a"));
    EXPECT_EQ(std::nullopt, db.get("t", "b"));
    ASSERT_EQ(POLARYS_OK, db.remove("t", "a"));
    EXPECT_EQ(std::nullopt, db.get("t", "a"));
}

TEST(Store, StartsAtVersionOne)
{
    world w;
    store db(w);
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    EXPECT_EQ(0u, polarys_db_version(db.db));
    ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    EXPECT_EQ(1u, db.result.version);
    EXPECT_EQ(1u, polarys_db_version(db.db));
    EXPECT_EQ(1u, polarys_db_durable_version(db.db));
}

TEST(Store, KeepsEverythingOverACleanCloseWithoutReplaying)
{
    world w;
    {
        OPEN_STORE(db, w);
        for (int i = 0; i < 100; i++) {
            ASSERT_EQ(POLARYS_OK, db.put("t", "k" + std::to_string(i), std::to_string(i)));
        }
        ASSERT_EQ(POLARYS_OK, db.close()) << db.error.message;
    }
    store db(w);
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    EXPECT_EQ(101u, polarys_db_version(db.db)) << "a clean open must not jump";
    EXPECT_EQ(100u, db.contents("t").size());
    EXPECT_EQ("42", db.get("t", "k42"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "more", "1"));
    EXPECT_EQ(102u, db.result.version);
}

TEST(Store, KeepsTheHistoryIdOverACleanCloseOnly)
{
    world w;
    OPEN_STORE(db, w);
    std::string first(reinterpret_cast<const char *>(polarys_db_history_id(db.db)), 16);
    std::string store_id(reinterpret_cast<const char *>(polarys_db_store_id(db.db)), 16);
    ASSERT_EQ(POLARYS_OK, db.close());
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    EXPECT_EQ(first, std::string(reinterpret_cast<const char *>(polarys_db_history_id(db.db)), 16));
    db.crash(SIM_CRASH_DROP_ALL);
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    EXPECT_NE(first, std::string(reinterpret_cast<const char *>(polarys_db_history_id(db.db)), 16));
    EXPECT_EQ(store_id,
              std::string(reinterpret_cast<const char *>(polarys_db_store_id(db.db)), 16));
}

TEST(Store, RecoversAcknowledgedWritesAfterACrashAndJumps)
{
    world w;
    OPEN_STORE(db, w);
    for (int i = 0; i < 50; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", "k" + std::to_string(i), std::to_string(i)));
    }
    uint64_t last = db.result.version;
    db.crash(SIM_CRASH_DROP_ALL);
    for (int round = 0; round < 3; round++) {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        EXPECT_GE(polarys_db_version(db.db), last + (1u << 20));
        EXPECT_EQ(50u, db.contents("t").size());
        last = polarys_db_version(db.db);
        db.crash(SIM_CRASH_DROP_ALL);
    }
}

TEST(Store, FirstOpenThatCrashedStillStartsAtOne)
{
    world w;
    store db(w);
    ASSERT_EQ(POLARYS_OK, db.open());
    db.crash(SIM_CRASH_DROP_ALL);
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    EXPECT_EQ(1u, db.result.version);
}

TEST(Store, RefusesASecondOpenerAndNamesTheHolder)
{
    world w;
    OPEN_STORE(db, w);
    store other(w);
    EXPECT_EQ(POLARYS_STORE_LOCKED, other.open());
    EXPECT_NE(nullptr, polarys_error_detail_find(&other.error, "pid"));
}

TEST(Store, RefusesADirectoryThatHoldsSomethingElse)
{
    world w;
    ASSERT_EQ(POLARYS_OK, vfs_make_dir(w.vfs(), "/store", nullptr));
    ASSERT_EQ(POLARYS_OK,
              vfs_replace_file(w.vfs(), "/store", "letters.txt", bytes_of("dear"), nullptr));
    store db(w);
    EXPECT_EQ(POLARYS_FILE_NOT_FOUND, db.open());
    EXPECT_NE(std::string::npos, std::string(db.error.message).find("letters.txt"))
        << db.error.message;
}

TEST(Store, DoesNotMakeAStoreUnlessAllowed)
{
    world w;
    polarys_db_options options = w.options();
    options.create_if_missing = false;
    store db(w, options);
    EXPECT_EQ(POLARYS_FILE_NOT_FOUND, db.open());
}

TEST(Store, RefusesTheWrongMasterKeyAndTouchesNothing)
{
    world w;
    {
        OPEN_STORE(db, w);
        ASSERT_EQ(POLARYS_OK, db.close());
    }
    ASSERT_EQ(POLARYS_OK,
              vfs_replace_file(w.vfs(), "/", "other.key", bytes_of(std::string(64, '8')), nullptr));
    polarys_db_options options = w.options();
    options.master_key_file = "/other.key";
    store wrong(w, options);
    EXPECT_EQ(POLARYS_WRONG_MASTER_KEY, wrong.open()) << wrong.error.message;
    store right(w);
    EXPECT_EQ(POLARYS_OK, right.open()) << right.error.message;
}

TEST(Store, NamesTheOptionThatIsWrong)
{
    world w;
    polarys_db_options options = w.options();
    options.executor_threads = 1;
    store db(w, options);
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, db.open());
    EXPECT_STREQ("executor_threads", polarys_error_detail_find(&db.error, "field"));
    options = w.options();
    options.memtable_bytes = 512 << 20;
    store large(w, options);
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, large.open());
    EXPECT_STREQ("memtable_bytes", polarys_error_detail_find(&large.error, "field"));
    options = w.options();
    options.master_key_file = nullptr;
    store keyless(w, options);
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, keyless.open());
}

TEST(Store, RefusesAStoreBelowMinVersion)
{
    world w;
    {
        OPEN_STORE(db, w);
        ASSERT_EQ(POLARYS_OK, db.close());
    }
    polarys_db_options options = w.options();
    options.min_version = 1000;
    store db(w, options);
    EXPECT_EQ(POLARYS_TAMPERED, db.open());
    options.min_version = 1;
    store again(w, options);
    EXPECT_EQ(POLARYS_OK, again.open()) << again.error.message;
}

TEST(Store, ReadsOldVersionsWithinHistory)
{
    world w;
    OPEN_STORE(db, w);
    std::vector<uint64_t> versions;
    for (int i = 0; i < 10; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", "k", std::to_string(i)));
        versions.push_back(db.result.version);
    }
    ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, nullptr));
    ASSERT_EQ(POLARYS_OK, polarys_db_compact(db.db, nullptr, nullptr, nullptr));
    for (int i = 0; i < 10; i++) {
        EXPECT_EQ(std::to_string(i), db.get("t", "k", versions[i]));
    }
    EXPECT_EQ(std::nullopt, db.get("t", "k", versions[0] - 1));
    EXPECT_EQ(POLARYS_FUTURE_VERSION, db.get_code("t", "k", versions.back() + 1));
    EXPECT_STREQ(std::to_string(versions.back()).c_str(),
                 polarys_error_detail_find(&db.error, "version"));
}

TEST(Store, CompactsOnlyTheRangeAskedFor)
{
    world w;
    polarys_db_options options = w.options();
    options.history_keep_ms = 0;
    store db(w, options);
    ASSERT_EQ(POLARYS_OK, db.open());
    ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    auto bottom_files = [&] {
        polarys_db_status status;
        EXPECT_EQ(POLARYS_OK, polarys_db_status_get(db.db, &status, nullptr));
        return status.levels[POLARYS_LEVELS - 1].file_count;
    };
    for (const char *key : {"a", "z"}) {
        ASSERT_EQ(POLARYS_OK, db.put("t", key, "1"));
        ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, nullptr));
    }
    ASSERT_EQ(0U, bottom_files());
    auto compact = [&](const char *start, const char *end) {
        return polarys_db_compact_range(db.db, nullptr, "t", slice_from_text(start),
                                        slice_from_text(end), &db.error);
    };
    ASSERT_EQ(POLARYS_OK, compact("m", "n"));
    EXPECT_EQ(0U, bottom_files());
    ASSERT_EQ(POLARYS_OK, compact("m", ""));
    EXPECT_EQ(1U, bottom_files());
    EXPECT_EQ("1", db.get("t", "a"));
    EXPECT_EQ("1", db.get("t", "z"));
    std::string long_key(POLARYS_KEY_BYTES_MAX + 1, 'k');
    EXPECT_EQ(POLARYS_BAD_KEY, compact(long_key.c_str(), ""));
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND,
              polarys_db_compact_range(db.db, nullptr, "none", slice_from_text("a"),
                                       slice_from_text("b"), &db.error));
}

TEST(Store, PrunesHistoryButNotWhatIsLeased)
{
    world w;
    polarys_db_options options = w.options();
    options.history_keep_ms = 0;
    store db(w, options);
    ASSERT_EQ(POLARYS_OK, db.open());
    ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "k", "1"));
    uint64_t lease_id;
    uint64_t leased;
    ASSERT_EQ(POLARYS_OK, polarys_snapshot_acquire(db.db, 0, 0, &lease_id, &leased, nullptr));
    ASSERT_EQ(POLARYS_OK, db.put("t", "k", "2"));
    uint64_t middle = db.result.version;
    ASSERT_EQ(POLARYS_OK, db.put("t", "k", "3"));
    ASSERT_EQ(POLARYS_OK, polarys_db_compact(db.db, nullptr, nullptr, &db.error))
        << db.error.message;
    EXPECT_EQ("1", db.get("t", "k", leased));
    EXPECT_EQ(POLARYS_HISTORY_PRUNED, db.get_code("t", "k", middle));
    EXPECT_NE(nullptr, polarys_error_detail_find(&db.error, "history_start"));
    EXPECT_EQ("3", db.get("t", "k"));
    polarys_snapshot_release(db.db, lease_id);
    EXPECT_EQ(POLARYS_CURSOR_EXPIRED, polarys_snapshot_renew(db.db, lease_id, 0, nullptr));
}

TEST(Store, ChecksNamesKeysAndValues)
{
    world w;
    OPEN_STORE(db, w);
    EXPECT_EQ(POLARYS_BAD_NAME, db.create_table("1t"));
    EXPECT_EQ(POLARYS_BAD_NAME, db.create_table(""));
    EXPECT_EQ(POLARYS_BAD_NAME, db.create_table(std::string(129, 'a')));
    EXPECT_EQ(POLARYS_OK, db.create_table(std::string(128, 'a')));
    EXPECT_EQ(POLARYS_TABLE_EXISTS, db.create_table("t"));
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND, db.put("u", "k", "1"));
    EXPECT_EQ(POLARYS_BAD_KEY, db.put("t", "", "1"));
    EXPECT_EQ(POLARYS_BAD_KEY, db.put("t", std::string(4097, 'k'), "1"));
    EXPECT_EQ(POLARYS_OK, db.put("t", std::string(4096, 'k'), "1"));
    EXPECT_EQ("1", db.get("t", std::string(4096, 'k')));
    EXPECT_EQ(POLARYS_BAD_JSON, db.put("t", "k", "{\"a\":1"));
    EXPECT_STREQ("6", polarys_error_detail_find(&db.error, "offset"));
    EXPECT_EQ(POLARYS_OK, db.put("t", "k", raw_of("{\"a\":1")));
    EXPECT_EQ(POLARYS_OK, db.put("t", "empty", raw_of("")));
    EXPECT_EQ("", db.get("t", "empty"));
    std::string large = "\"" + std::string((1 << 20) - 1, 'x') + "\"";
    EXPECT_EQ(POLARYS_TOO_LARGE, db.put("t", "k", large));
    EXPECT_STREQ("1048576", polarys_error_detail_find(&db.error, "limit"));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, db.put("t", "k", json_of("1", w.now_ms())));
    EXPECT_EQ(POLARYS_DATABASE_NOT_FOUND,
              polarys_db_get(db.db, "nowhere", "t", bytes_of("k"), nullptr, nullptr, &db.error));
}

TEST(Store, AnswersFromMemoryOrSaysThatItWouldBlock)
{
    world w;
    polarys_db_options options = w.options();
    store db(w, options);
    ASSERT_EQ(POLARYS_OK, db.open());
    ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "k", "1"));
    EXPECT_EQ(POLARYS_OK, db.get_code("t", "k", 0, POLARYS_READ_MEMORY_ONLY));
    ASSERT_EQ(POLARYS_OK, db.close());
    ASSERT_EQ(POLARYS_OK, db.open());
    EXPECT_EQ(POLARYS_WOULD_BLOCK, db.get_code("t", "k", 0, POLARYS_READ_MEMORY_ONLY));
    EXPECT_EQ(POLARYS_OK, db.get_code("t", "k"));
    EXPECT_EQ(POLARYS_OK, db.get_code("t", "k", 0, POLARYS_READ_MEMORY_ONLY));
}

TEST(Store, FlushesAndSurvivesManyMemtables)
{
    world w;
    polarys_db_options options = w.options();
    options.history_keep_ms = 0; /* or the log of the history window stays */
    store db(w, options);
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    ASSERT_EQ(POLARYS_OK, db.create_table("t")) << db.error.message;
    std::map<std::string, std::string> expected;
    std::string filler(2000, 'f');
    for (int i = 0; i < 4000; i++) {
        std::string key = "k" + std::to_string(i * 7919 % 3000);
        std::string value = "\"" + std::to_string(i) + filler + "\"";
        ASSERT_EQ(POLARYS_OK, db.put("t", key, value)) << i << db.error.message;
        expected[key] = value;
    }
    EXPECT_EQ(expected, db.contents("t"));
    EXPECT_GE(db.status().flush_count, 3u);
    db.crash(SIM_CRASH_DROP_ALL);
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    EXPECT_EQ(expected, db.contents("t"));
    ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, nullptr));
    w.pass_ms(1000);
    EXPECT_LT(db.status().log_segments, 4u) << "flushed segments are pruned";
}

TEST(Store, KeepsTheLogOfTheHistoryWindowUpToItsBytes)
{
    for (uint64_t keep_bytes : {UINT64_C(64) << 20, UINT64_C(3) << 20}) {
        world w;
        polarys_db_options options = w.options();
        options.history_keep_bytes = keep_bytes;
        store db(w, options);
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t")) << db.error.message;
        std::string filler(2000, 'f');
        for (int i = 0; i < 2000; i++) {
            ASSERT_EQ(POLARYS_OK, db.put("t", "k" + std::to_string(i), "\"" + filler + "\""));
            sim_clock_advance(&w.clock, 10000000);
        }
        ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, nullptr));
        w.pass_ms(1000);
        if (keep_bytes > UINT64_C(10) << 20) {
            EXPECT_GE(db.status().log_segments, 8u) << "all of it is of the last ten minutes";
        } else {
            EXPECT_LE(db.status().log_segments, 5u) << "a commit takes 4 KiB of log at least";
            EXPECT_GE(db.status().log_segments, 3u);
        }
    }
}

TEST(Store, WritesNothingReadableToTheDisk)
{
    world w;
    OPEN_STORE(db, w);
    ASSERT_EQ(POLARYS_OK, db.put("t", "secretkey-0001", "\"secretvalue-0001\""));
    ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, nullptr));
    ASSERT_EQ(POLARYS_OK, db.put("t", "secretkey-0002", "\"secretvalue-0002\""));
    char path[VFS_PATH_MAX] = "";
    EXPECT_FALSE(sim_disk_find(w.disk, bytes_of("secretvalue"), path)) << path;
    EXPECT_FALSE(sim_disk_find(w.disk, bytes_of("secretkey"), path)) << path;
}

TEST(Store, ClosesWithoutTheMarkWhenTimeRunsOut)
{
    world w;
    OPEN_STORE(db, w);
    ASSERT_EQ(POLARYS_OK, db.put("t", "k", "1"));
    (void)db.close(1);
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    EXPECT_EQ("1", db.get("t", "k"));
}

TEST(Store, StopsForGoodWhenTheLogBreaks)
{
    world w;
    OPEN_STORE(db, w);
    ASSERT_EQ(POLARYS_OK, db.put("t", "k", "1"));
    sim_disk_fail_from(w.disk, 1, SIM_FAULT_SYNC);
    EXPECT_NE(POLARYS_OK, db.put("t", "k", "2"));
    sim_disk_fail_from(w.disk, 0, SIM_FAULT_SYNC);
    EXPECT_NE(POLARYS_OK, db.put("t", "k", "3")) << "a broken log stays broken";
    EXPECT_EQ("1", db.get("t", "k")) << "reads go on";
    EXPECT_TRUE(db.status().is_failed);
}

TEST(Store, CheckpointOpensAsAStoreOfThatVersion)
{
    world w;
    OPEN_STORE(db, w);
    ASSERT_EQ(POLARYS_OK, db.put("t", "flushed", "1"));
    ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, nullptr));
    ASSERT_EQ(POLARYS_OK, db.put("t", "logged", "2"));
    uint64_t version;
    ASSERT_EQ(POLARYS_OK, polarys_db_checkpoint(db.db, "/copy", &version, &db.error))
        << db.error.message;
    EXPECT_EQ(db.result.version, version);
    ASSERT_EQ(POLARYS_OK, db.put("t", "later", "3"));
    store copy(w);
    copy.dir = "/copy";
    ASSERT_EQ(POLARYS_OK, copy.open()) << copy.error.message;
    EXPECT_EQ("1", copy.get("t", "flushed"));
    EXPECT_EQ("2", copy.get("t", "logged"));
    EXPECT_EQ(std::nullopt, copy.get("t", "later"));
    ASSERT_EQ(POLARYS_OK, copy.put("t", "own", "4"));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, polarys_db_checkpoint(db.db, "/copy", &version, &db.error));
}

TEST(Store, VerifyFindsABadBlock)
{
    world w;
    OPEN_STORE(db, w);
    for (int i = 0; i < 1000; i++) {
        ASSERT_EQ(POLARYS_OK,
                  db.put("t", "k" + std::to_string(i), "\"" + std::string(100, 'v') + "\""));
    }
    ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, nullptr));
    uint64_t bad_blocks;
    ASSERT_EQ(POLARYS_OK, polarys_db_verify(db.db, &bad_blocks, &db.error)) << db.error.message;
    EXPECT_EQ(0u, bad_blocks);
    bool is_left = true;
    std::string dir = db.dir + "/verify";
    ASSERT_EQ(POLARYS_OK, vfs_exists(sim_disk_vfs(w.disk), dir.c_str(), &is_left, &db.error));
    EXPECT_FALSE(is_left) << "verifying leaves nothing behind";
    sim_disk_settle(w.disk);
    struct search {
        std::string path;
        uint64_t size = 0;
    } largest;
    sim_disk_list(
        w.disk,
        [](void *context, const char *path, uint64_t size) {
            auto *found = static_cast<search *>(context);
            std::string name(path);
            if (name.size() > 4 && name.substr(name.size() - 4) == ".sst" && size > found->size) {
                *found = {name, size};
            }
        },
        &largest);
    ASSERT_TRUE(sim_disk_file_flip(w.disk, largest.path.c_str(), largest.size / 3, 4));
    ASSERT_EQ(POLARYS_OK, polarys_db_verify(db.db, &bad_blocks, &db.error)) << db.error.message;
    EXPECT_GE(bad_blocks, 1u);
}

TEST(Store, RefusesPutsWhileTheDiskIsLowAndRecovers)
{
    world w;
    polarys_db_options options = w.options();
    options.disk_reserve_bytes = 4 << 20;
    store db(w, options);
    sim_disk_capacity_set(w.disk, 64 << 20);
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "k", "1"));
    w.pass_ms(2000);
    EXPECT_FALSE(db.status().is_disk_low);
    sim_disk_capacity_set(w.disk, sim_disk_used_bytes(w.disk) + (1 << 20));
    w.pass_ms(2000);
    EXPECT_TRUE(db.status().is_disk_low);
    EXPECT_EQ(POLARYS_DISK_LOW, db.put("t", "k", "2"));
    EXPECT_GT(db.error.retry_after_ms, 0u);
    EXPECT_EQ("1", db.get("t", "k"));
    EXPECT_EQ(POLARYS_OK, db.remove("t", "k")) << db.error.message;
    sim_disk_capacity_set(w.disk, 64 << 20);
    w.pass_ms(2000);
    EXPECT_FALSE(db.status().is_disk_low);
    EXPECT_EQ(POLARYS_OK, db.put("t", "k", "3")) << db.error.message;
}

TEST(Store, SavesWhatIsOlderThanTheInterval)
{
    world w;
    polarys_db_options options = w.options();
    options.save_interval_ms = 1000;
    store db(w, options);
    ASSERT_EQ(POLARYS_OK, db.open());
    ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "k", "1"));
    w.pass_ms(500);
    EXPECT_EQ(0u, db.status().flushed_version);
    w.pass_ms(1000);
    EXPECT_EQ(db.result.version, db.status().flushed_version);
}

TEST(Store, RunsGivenFunctionsOnTheExecutor)
{
    world w;
    OPEN_STORE(db, w);
    int ran = 0;
    ASSERT_EQ(POLARYS_OK,
              polarys_db_execute(
                  db.db, [](void *context) { ++*static_cast<int *>(context); }, &ran, nullptr));
    w.pass_ms(1);
    EXPECT_EQ(1, ran);
}
