/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches against a model: whatever is committed, flushed, compacted, closed and crashed, every watch gives
 * exactly what was committed, from whichever version it begins.
 */
#include <algorithm>
#include <memory>
#include <random>

#include "tests/unit/engine/watch_fixture.h"

using test_store::batch;
using test_store::store;
using test_store::world;
using watch_test::lines;
using watch_test::watcher;

namespace {

/* The events of each commit, sorted: their order within one commit is not promised. */
using history = std::map<uint64_t, lines>;

uint64_t version_of(const std::string &event)
{
    return strtoull(event.c_str(), nullptr, 10);
}

/* Checks that commits come whole, ascending, marked at their ends; then forgets the order within them. */
history history_of(const lines &events)
{
    history result;
    uint64_t last = 0;
    bool is_open = false;
    for (const std::string &event : events) {
        uint64_t version = version_of(event);
        EXPECT_TRUE(is_open ? version == last : version > last) << event << " after " << last;
        is_open = event.back() != '.';
        last = version;
        result[version].push_back(is_open ? event : event.substr(0, event.size() - 1));
    }
    EXPECT_FALSE(is_open) << "the last commit is not whole";
    for (auto &commit : result) {
        std::sort(commit.second.begin(), commit.second.end());
    }
    return result;
}

history after(const history &all, uint64_t version)
{
    return history(all.upper_bound(version), all.end());
}

/* A watch that is used for long: closed and opened again where it was, over reopens of the store too. */
struct follower {
    std::unique_ptr<watcher> watch;
    uint64_t from = 0;
    lines events;

    void open(store &db, uint64_t version)
    {
        watch = std::make_unique<watcher>(db);
        watch->options.from_version = version;
        ASSERT_EQ(POLARYS_OK, watch->open()) << watch->error.message;
    }
    /* As a client that goes away and comes back: what it has of an unfinished commit counts for nothing. */
    uint64_t leave()
    {
        uint64_t version = watch->resume_version();
        watch.reset();
        while (!events.empty() && version_of(events.back()) > version) {
            events.pop_back();
        }
        return version;
    }
    /* Takes at most so many events; where it was too slow, it comes back. */
    void take(store &db, int count)
    {
        for (int i = 0; i < count; i++) {
            std::string event = watch->next();
            if (event == "error WATCH_TOO_SLOW") {
                EXPECT_EQ(std::to_string(watch->resume_version()), watch->detail("resume_version"));
                ASSERT_NO_FATAL_FAILURE(open(db, leave()));
                continue;
            }
            ASSERT_NE(0u, event.rfind("error", 0)) << watch->error.message;
            if (event.empty()) {
                return;
            }
            if (event.find("progress") == std::string::npos) {
                events.push_back(event);
            }
        }
    }
};

class workload {
  public:
    workload(uint64_t seed, const polarys_db_options &given, world &surroundings)
        : random(seed), w(surroundings), db(surroundings, given)
    {
    }

    void begin()
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
        ASSERT_EQ(POLARYS_OK, db.create_table("u"));
        first_version = polarys_db_version(db.db);
    }

    std::string key()
    {
        return std::string(1, static_cast<char>('a' + random() % 6)) +
               std::to_string(random() % 20);
    }
    std::string value()
    {
        size_t size = random() % 20 == 0 ? 40000 : random() % 60;
        return std::to_string(1 + random() % 1000) + std::string(size, '0');
    }

    /* One commit of any kind. */
    void commit()
    {
        batch changes(db);
        std::map<std::string, std::string> effects;
        int count = random() % 4 == 0 ? 1 + static_cast<int>(random() % 12) : 1;
        for (int i = 0; i < count; i++) {
            std::string k = key();
            std::string v = value();
            switch (random() % 8) {
            case 0:
                ASSERT_EQ(POLARYS_OK, changes.remove("t", k));
                effects[k] = "delete " + k;
                break;
            case 1:
                ASSERT_EQ(POLARYS_OK, changes.put("u", k, v));
                break;
            default:
                ASSERT_EQ(POLARYS_OK, changes.put("t", k, v));
                effects[k] = "put " + k + "=" + v;
            }
        }
        polarys_write_options write{};
        bool is_async = random() % 3 == 0;
        write.durability = is_async ? POLARYS_DURABILITY_ASYNC : POLARYS_DURABILITY_LOCAL_SYNC;
        ASSERT_EQ(POLARYS_OK, changes.commit(&write)) << changes.error.message;
        for (auto &each : effects) {
            note(changes.result.version, each.second);
        }
    }
    void remove_range()
    {
        std::string start = key();
        std::string end = random() % 4 == 0 ? "" : start + "5";
        batch changes(db);
        ASSERT_EQ(POLARYS_OK, changes.remove_range("t", start, end));
        ASSERT_EQ(POLARYS_OK, changes.commit()) << changes.error.message;
        note(changes.result.version, "range [" + start + "," + end + ")");
    }
    void truncate()
    {
        ASSERT_EQ(POLARYS_OK,
                  polarys_table_truncate(db.db, nullptr, "t", nullptr, &db.result, &db.error));
        note(db.result.version, "range [,)");
    }
    void note(uint64_t version, const std::string &event)
    {
        expected[version].push_back(std::to_string(version) + " " + event);
        std::sort(expected[version].begin(), expected[version].end());
    }
    void reopen(bool is_crash)
    {
        uint64_t durable = polarys_db_durable_version(db.db);
        if (is_crash) {
            expected.erase(expected.upper_bound(durable), expected.end());
            db.crash(SIM_CRASH_DROP_ALL);
        } else {
            ASSERT_EQ(POLARYS_OK, db.close()) << db.error.message;
        }
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    }
    void step()
    {
        switch (random() % 40) {
        case 0:
            return truncate();
        case 1:
        case 2:
            return remove_range();
        case 3:
            ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, &db.error));
            return;
        case 4:
            w.pass_ms(random() % 300);
            return;
        case 5:
            (void)sim_executor_run_all(w.executor);
            return;
        default:
            return commit();
        }
    }

    std::mt19937_64 random;
    world &w;
    store db;
    history expected;
    uint64_t first_version = 0;
};

class WatchRandom : public ::testing::Test {
  protected:
    void SetUp() override
    {
        polarys_log_level_set(POLARYS_LOG_OFF);
    }
    void TearDown() override
    {
        polarys_log_level_set(POLARYS_LOG_INFO);
    }
};

/* Opens at `version` and compares with the model. */
void check_from(workload &work, uint64_t version)
{
    watcher watch(work.db);
    watch.options.from_version = version;
    ASSERT_EQ(POLARYS_OK, watch.open()) << watch.error.message;
    ASSERT_EQ(after(work.expected, version), history_of(watch.all())) << "from " << version;
    EXPECT_GE(watch.resume_version(), polarys_db_durable_version(work.db.db));
}

TEST_F(WatchRandom, ResumesAtEveryVersion)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        world w(seed);
        polarys_db_options options = w.options();
        options.memtable_bytes = 1 << 20;
        workload work(seed, options, w);
        work.begin();
        for (int i = 0; i < 150; i++) {
            ASSERT_NO_FATAL_FAILURE(work.step());
            if (work.random() % 100 == 0) {
                ASSERT_NO_FATAL_FAILURE(work.reopen(work.random() % 2 == 0));
            }
        }
        ASSERT_EQ(POLARYS_OK, polarys_db_sync(work.db.db, &work.db.error));
        std::vector<uint64_t> versions = {work.first_version};
        for (const auto &commit : work.expected) {
            versions.push_back(commit.first);
        }
        for (bool is_reopened : {false, true}) {
            for (uint64_t version : versions) {
                ASSERT_NO_FATAL_FAILURE(check_from(work, version)) << "seed " << seed;
            }
            if (!is_reopened) {
                ASSERT_NO_FATAL_FAILURE(work.reopen(seed % 2 == 0));
            }
        }
    }
}

TEST_F(WatchRandom, FollowsThroughEverything)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        world w(seed);
        workload work(seed, w.options(), w);
        work.begin();
        std::vector<follower> followers(4);
        for (follower &each : followers) {
            each.from = work.first_version;
            ASSERT_NO_FATAL_FAILURE(each.open(work.db, each.from));
        }
        for (int i = 0; i < 400; i++) {
            ASSERT_NO_FATAL_FAILURE(work.step()) << "seed " << seed;
            follower &each = followers[work.random() % followers.size()];
            ASSERT_NO_FATAL_FAILURE(each.take(work.db, static_cast<int>(work.random() % 12)));
            if (work.random() % 20 == 0) {
                uint64_t version = each.leave();
                if (work.random() % 2 == 0) {
                    ASSERT_NO_FATAL_FAILURE(work.step());
                }
                ASSERT_NO_FATAL_FAILURE(each.open(work.db, version));
            }
            if (work.random() % 150 == 0) {
                std::vector<uint64_t> versions;
                for (follower &one : followers) {
                    versions.push_back(one.leave());
                }
                ASSERT_NO_FATAL_FAILURE(work.reopen(work.random() % 2 == 0));
                for (size_t f = 0; f < followers.size(); f++) {
                    ASSERT_NO_FATAL_FAILURE(followers[f].open(work.db, versions[f]));
                }
            }
        }
        ASSERT_EQ(POLARYS_OK, polarys_db_sync(work.db.db, &work.db.error));
        for (follower &each : followers) {
            for (int i = 0; i < 1000; i++) {
                w.pass_ms(50); /* who waits for memory goes on with the tick */
                ASSERT_NO_FATAL_FAILURE(each.take(work.db, 100));
            }
            ASSERT_EQ(work.expected, history_of(each.events)) << "seed " << seed;
            each.watch.reset();
        }
    }
}

TEST_F(WatchRandom, SaysFromWhereItCanBeHadWhenTheLogIsPruned)
{
    int pruned = 0;
    int kept = 0;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        world w(seed);
        polarys_db_options options = w.options();
        options.history_keep_bytes = 2 << 20;
        workload work(seed, options, w);
        work.begin();
        for (int i = 0; i < 1500; i++) {
            ASSERT_NO_FATAL_FAILURE(work.step());
            w.pass_ms(1);
        }
        ASSERT_EQ(POLARYS_OK, polarys_db_flush(work.db.db, nullptr, &work.db.error));
        (void)sim_executor_run_all(w.executor);
        for (const auto &commit : work.expected) {
            watcher watch(work.db);
            watch.options.from_version = commit.first;
            polarys_code code = watch.open();
            if (code == POLARYS_HISTORY_PRUNED) {
                uint64_t start = strtoull(watch.detail("history_start").c_str(), nullptr, 10);
                ASSERT_GT(start, commit.first);
                if (pruned++ % 100 == 0) {
                    ASSERT_NO_FATAL_FAILURE(check_from(work, start));
                }
                continue;
            }
            ASSERT_EQ(POLARYS_OK, code) << watch.error.message;
            if (kept++ % 20 == 0) {
                ASSERT_EQ(after(work.expected, commit.first), history_of(watch.all()));
            }
        }
    }
    EXPECT_GT(pruned, 100);
    EXPECT_GT(kept, 100);
}

TEST_F(WatchRandom, RebuildsTheTableFromASnapshotAndItsChanges)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        world w(seed);
        workload work(seed, w.options(), w);
        work.begin();
        for (int i = 0; i < 100; i++) {
            ASSERT_NO_FATAL_FAILURE(work.step());
        }
        watcher watch(work.db);
        watch.options.with_snapshot = true;
        watch.options.queue_bytes_max = 100000;
        ASSERT_EQ(POLARYS_OK, watch.open());
        std::map<std::string, std::string> table;
        bool is_whole = false;
        for (int i = 0; i < 4000; i++) {
            bool has_event = false;
            polarys_watch_event event{};
            ASSERT_EQ(POLARYS_OK,
                      polarys_watch_next(watch.handle, &has_event, &event, &watch.error))
                << watch.error.message;
            if (!has_event) {
                if (i < 3000) {
                    ASSERT_NO_FATAL_FAILURE(work.step());
                } else {
                    ASSERT_EQ(POLARYS_OK, polarys_db_sync(work.db.db, &work.db.error));
                }
                (void)sim_executor_run_all(w.executor);
                continue;
            }
            std::string key = test_store::text_of(event.key);
            switch (event.kind) {
            case POLARYS_WATCH_SNAPSHOT_PUT:
                EXPECT_FALSE(is_whole);
                table[key] = test_store::text_of(event.value.bytes);
                break;
            case POLARYS_WATCH_PUT:
                EXPECT_TRUE(is_whole);
                table[key] = test_store::text_of(event.value.bytes);
                break;
            case POLARYS_WATCH_DELETE:
                table.erase(key);
                break;
            case POLARYS_WATCH_DELETE_RANGE: {
                std::string end = test_store::text_of(event.end_key);
                table.erase(table.lower_bound(key),
                            end.empty() ? table.end() : table.lower_bound(end));
                break;
            }
            case POLARYS_WATCH_SNAPSHOT_END:
                EXPECT_FALSE(is_whole);
                is_whole = true;
                break;
            default:
                break;
            }
        }
        ASSERT_TRUE(is_whole);
        EXPECT_EQ(work.db.contents("t"), table) << "seed " << seed;
    }
}

} // namespace
