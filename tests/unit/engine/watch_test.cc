/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches of a store in one thread: what is given, in which order, cut to what was asked for.
 */
#include "tests/unit/engine/watch_fixture.h"

using test_store::batch;
using test_store::bytes_of;
using test_store::json_of;
using test_store::raw_of;
using test_store::store;
using test_store::world;
using watch_test::lines;
using watch_test::watcher;

namespace {

/* A store with a table "t" and one document "old". */
class Watch : public ::testing::Test {
  protected:
    void SetUp() override
    {
        polarys_log_level_set(POLARYS_LOG_OFF);
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t")) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.put("t", "old", "0")) << db.error.message;
    }
    void TearDown() override
    {
        polarys_log_level_set(POLARYS_LOG_INFO);
    }

    world w;
    store db{w};
};

TEST_F(Watch, GivesChangesFromNowOn)
{
    watcher watch(db);
    ASSERT_EQ(POLARYS_OK, watch.open()) << watch.error.message;
    EXPECT_EQ(2u, watch.resume_version());
    EXPECT_EQ(lines(), watch.all());
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    ASSERT_EQ(POLARYS_OK, db.remove("t", "old"));
    EXPECT_EQ(lines({"3 put a=1.", "4 delete old."}), watch.all());
    EXPECT_EQ(4u, watch.resume_version());
}

TEST_F(Watch, CallsReadyOnceForEachTimeNothingWasThere)
{
    watcher watch(db);
    ASSERT_EQ(POLARYS_OK, watch.open());
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    (void)sim_executor_run_all(w.executor);
    EXPECT_EQ(0, watch.ready_count) << "nobody has looked yet";
    EXPECT_EQ("3 put a=1.", watch.next());
    EXPECT_EQ("", watch.next());
    for (int i = 0; i < 3; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", "a", "2"));
        (void)sim_executor_run_all(w.executor);
    }
    EXPECT_EQ(1, watch.ready_count);
}

TEST_F(Watch, MarksTheLastEventOfACommit)
{
    watcher watch(db);
    ASSERT_EQ(POLARYS_OK, watch.open());
    batch both(db);
    ASSERT_EQ(POLARYS_OK, both.put("t", "a", "1"));
    ASSERT_EQ(POLARYS_OK, both.put("t", "b", "2"));
    ASSERT_EQ(POLARYS_OK, both.remove("t", "old"));
    ASSERT_EQ(POLARYS_OK, both.commit());
    EXPECT_EQ(lines({"3 put a=1", "3 put b=2", "3 delete old."}), watch.all());
}

TEST_F(Watch, RaisesTheResumeVersionOnlyBehindWholeCommits)
{
    watcher watch(db);
    ASSERT_EQ(POLARYS_OK, watch.open());
    batch both(db);
    ASSERT_EQ(POLARYS_OK, both.put("t", "a", "1"));
    ASSERT_EQ(POLARYS_OK, both.put("t", "b", "2"));
    ASSERT_EQ(POLARYS_OK, both.commit());
    (void)sim_executor_run_all(w.executor);
    EXPECT_EQ("3 put a=1", watch.next());
    EXPECT_EQ(2u, watch.resume_version());
    EXPECT_EQ("3 put b=2.", watch.next());
    EXPECT_EQ(3u, watch.resume_version());
}

TEST_F(Watch, ShowsOtherTablesNothing)
{
    ASSERT_EQ(POLARYS_OK, db.create_table("u"));
    watcher watch(db);
    ASSERT_EQ(POLARYS_OK, watch.open());
    ASSERT_EQ(POLARYS_OK, db.put("u", "a", "1"));
    batch both(db);
    ASSERT_EQ(POLARYS_OK, both.put("u", "a", "1"));
    ASSERT_EQ(POLARYS_OK, both.put("t", "b", "2"));
    ASSERT_EQ(POLARYS_OK, both.put("u", "c", "1"));
    ASSERT_EQ(POLARYS_OK, both.commit());
    EXPECT_EQ(lines({"5 put b=2."}), watch.all());
    ASSERT_EQ(POLARYS_OK, db.put("u", "a", "1"));
    EXPECT_EQ(lines(), watch.all());
    EXPECT_EQ(6u, watch.resume_version()) << "it has everything up to there: nothing";
}

TEST_F(Watch, ShowsNothingOfTheSystemsOwnRecords)
{
    watcher watch(db);
    ASSERT_EQ(POLARYS_OK, watch.open());
    polarys_write_options write{};
    write.has_request_id = true;
    memset(write.request_id, 7, sizeof(write.request_id));
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of("1", w.now_ms() + 60000), &write));
    EXPECT_EQ(lines({"3 put a=1."}), watch.all()) << "neither the request id nor the expiry entry";
}

TEST_F(Watch, GivesAnExpiryAsADelete)
{
    watcher watch(db);
    ASSERT_EQ(POLARYS_OK, watch.open());
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", json_of("1", w.now_ms() + 5000)));
    w.pass_ms(10000);
    EXPECT_EQ(lines({"3 put a=1.", "4 delete a."}), watch.all());
}

TEST_F(Watch, GivesRawValuesAndExpiryAsTheyWere)
{
    watcher watch(db);
    ASSERT_EQ(POLARYS_OK, watch.open());
    uint64_t expires = w.now_ms() + 5000;
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", raw_of(std::string("\0\xff", 2), expires)));
    (void)sim_executor_run_all(w.executor);
    bool has_event = false;
    polarys_watch_event event{};
    ASSERT_EQ(POLARYS_OK, polarys_watch_next(watch.handle, &has_event, &event, &watch.error));
    ASSERT_TRUE(has_event);
    EXPECT_EQ(POLARYS_VALUE_RAW, event.value.kind);
    EXPECT_EQ(expires, event.value.expires_at_ms);
    EXPECT_EQ(std::string("\0\xff", 2), test_store::text_of(event.value.bytes));
    EXPECT_EQ(w.now_ms(), event.time_unix_ms);
}

TEST_F(Watch, CutsToThePrefix)
{
    watcher watch(db);
    watch.options.prefix = slice_from_text("b");
    ASSERT_EQ(POLARYS_OK, watch.open());
    batch three(db);
    ASSERT_EQ(POLARYS_OK, three.put("t", "a", "1"));
    ASSERT_EQ(POLARYS_OK, three.put("t", "b", "2"));
    ASSERT_EQ(POLARYS_OK, three.put("t", "bb", "3"));
    ASSERT_EQ(POLARYS_OK, three.put("t", "c", "4"));
    ASSERT_EQ(POLARYS_OK, three.commit());
    ASSERT_EQ(POLARYS_OK, db.put("t", "c", "5"));
    EXPECT_EQ(lines({"3 put b=2", "3 put bb=3."}), watch.all());
    EXPECT_EQ(4u, watch.resume_version());
}

TEST_F(Watch, CutsRangesToThePrefix)
{
    struct range {
        const char *start;
        const char *end;
        const char *expected; /* "": nothing */
    };
    const range ranges[] = {{"a", "z", "range [b,c)."},
                            {"", "", "range [b,c)."},
                            {"b1", "b2", "range [b1,b2)."},
                            {"a", "b1", "range [b,b1)."},
                            {"b1", "", "range [b1,c)."},
                            {"a", "b", ""},
                            {"c", "z", ""},
                            {"b1", "c", "range [b1,c)."}};
    watcher watch(db);
    watch.options.prefix = slice_from_text("b");
    ASSERT_EQ(POLARYS_OK, watch.open());
    for (const range &each : ranges) {
        batch one(db);
        ASSERT_EQ(POLARYS_OK, one.remove_range("t", each.start, each.end));
        ASSERT_EQ(POLARYS_OK, one.commit()) << one.error.message;
        lines expected;
        if (each.expected[0] != '\0') {
            expected.push_back(std::to_string(one.result.version) + " " + each.expected);
        }
        EXPECT_EQ(expected, watch.all()) << each.start << " to " << each.end;
    }
}

TEST_F(Watch, HasNoEndForAPrefixOfTheLastBytes)
{
    const std::string prefix("\xff\xff", 2);
    watcher watch(db);
    watch.options.prefix = bytes_of(prefix);
    ASSERT_EQ(POLARYS_OK, watch.open());
    batch one(db);
    ASSERT_EQ(POLARYS_OK, one.remove_range("t", "", ""));
    ASSERT_EQ(POLARYS_OK, one.commit());
    EXPECT_EQ(lines({"3 range [" + prefix + ",)."}), watch.all());
}

TEST_F(Watch, GivesATruncateAsARangeOfAll)
{
    watcher watch(db);
    ASSERT_EQ(POLARYS_OK, watch.open());
    ASSERT_EQ(POLARYS_OK, polarys_table_truncate(db.db, nullptr, "t", nullptr, nullptr, &db.error));
    EXPECT_EQ(lines({"3 range [,)."}), watch.all());
}

TEST_F(Watch, EndsWithTheTable)
{
    watcher watch(db);
    ASSERT_EQ(POLARYS_OK, watch.open());
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    ASSERT_EQ(POLARYS_OK, polarys_table_drop(db.db, nullptr, "t", nullptr, nullptr, &db.error));
    ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", "2"));
    EXPECT_EQ(lines({"3 put a=1.", "4 dropped."}), watch.all());
    w.pass_ms(10000);
    EXPECT_EQ("", watch.next()) << "not even progress";
}

TEST_F(Watch, EndsWithItsDatabase)
{
    ASSERT_EQ(POLARYS_OK, polarys_database_create(db.db, "d", nullptr, nullptr, &db.error));
    ASSERT_EQ(POLARYS_OK, polarys_table_create(db.db, "d", "t", nullptr, nullptr, &db.error));
    watcher watch(db);
    watcher other(db);
    watch.options.database = "d";
    ASSERT_EQ(POLARYS_OK, watch.open());
    ASSERT_EQ(POLARYS_OK, other.open());
    ASSERT_EQ(POLARYS_OK, polarys_database_drop(db.db, "d", nullptr, nullptr, &db.error));
    EXPECT_EQ(lines({"5 dropped."}), watch.all());
    EXPECT_EQ(lines(), other.all()) << "a table of that name in another database";
}

TEST_F(Watch, TurnsWhatDoesNotMatchTheFilterIntoDeletes)
{
    watcher watch(db);
    watch.options.filter = slice_from_text("n > 1");
    ASSERT_EQ(POLARYS_OK, watch.open()) << watch.error.message;
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "{\"n\":2}"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "{\"n\":1}"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", raw_of("n > 1")));
    ASSERT_EQ(POLARYS_OK, db.remove("t", "a"));
    EXPECT_EQ(lines({"3 put a={\"n\":2}.", "4 delete a.", "5 delete b.", "6 delete a."}),
              watch.all());
}

TEST_F(Watch, RefusesWhatItCannotDo)
{
    watcher watch(db);
    watch.options.table = "none";
    EXPECT_EQ(POLARYS_TABLE_NOT_FOUND, watch.open());
    watch.options.table = nullptr;
    EXPECT_EQ(POLARYS_BAD_NAME, watch.open());
    watch.options.table = "t";
    watch.options.database = "none";
    EXPECT_EQ(POLARYS_DATABASE_NOT_FOUND, watch.open());
    watch.options.database = nullptr;
    watch.options.from_version = 3;
    EXPECT_EQ(POLARYS_FUTURE_VERSION, watch.open());
    EXPECT_EQ("2", watch.detail("version"));
    watch.options.from_version = 1;
    watch.options.with_snapshot = true;
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, watch.open());
    watch.options.with_snapshot = false;
    watch.options.filter = slice_from_text("n >");
    EXPECT_EQ(POLARYS_BAD_FILTER, watch.open());
    watch.options.filter = {};
    const std::string long_prefix(POLARYS_KEY_BYTES_MAX + 1, 'x');
    watch.options.prefix = bytes_of(long_prefix);
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, watch.open());
    watch.options.prefix = {};
    watch.options.queue_bytes_max = UINT64_MAX;
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, watch.open());
    EXPECT_EQ(nullptr, watch.handle);
}

TEST_F(Watch, GivesProgressWhenNothingHappens)
{
    watcher watch(db);
    watch.options.progress_interval_ms = 500;
    ASSERT_EQ(POLARYS_OK, watch.open());
    EXPECT_EQ("", watch.next());
    w.pass_ms(400);
    EXPECT_EQ("", watch.next());
    w.pass_ms(400);
    EXPECT_EQ(1, watch.ready_count);
    EXPECT_EQ("2 progress", watch.next());
    EXPECT_EQ("", watch.next());
    ASSERT_EQ(POLARYS_OK, db.create_table("u"));
    w.pass_ms(800);
    EXPECT_EQ("3 progress", watch.next()) << "other tables move it on";
    EXPECT_EQ("", watch.next());
}

/* What happens while a watch is woken in the middle of its last step before it joins. */
struct meanwhile {
    store *db;
    int writes;
};

TEST_F(Watch, MissesNothingWhenTheHubMovesOnWhileItJoins)
{
    watcher joined(db);
    ASSERT_EQ(POLARYS_OK, joined.open());
    for (int writes = 1; writes <= 4; writes++) {
        meanwhile hook{&db, writes};
        uint64_t from = polarys_db_version(db.db) - 1;
        polarys_watch_options options{};
        options.table = "t";
        options.from_version = from;
        polarys_watch *watch = nullptr;
        ASSERT_EQ(POLARYS_OK,
                  polarys_watch_open(
                      db.db, &options,
                      [](void *context) {
                          meanwhile *now = static_cast<meanwhile *>(context);
                          for (; now->writes > 0; now->writes--) {
                              ASSERT_EQ(POLARYS_OK, now->db->put("t", "m", "1"));
                              (void)sim_executor_run_all(now->db->surroundings.executor);
                          }
                      },
                      &hook, &watch, &db.error));
        std::vector<uint64_t> versions;
        for (int i = 0; i < 20; i++) {
            bool has_event = false;
            polarys_watch_event event{};
            ASSERT_EQ(POLARYS_OK, polarys_watch_next(watch, &has_event, &event, &db.error));
            if (has_event) {
                versions.push_back(event.version);
            } else {
                (void)sim_executor_run_all(w.executor);
            }
        }
        polarys_watch_close(watch);
        ASSERT_EQ(0, hook.writes) << "it was not woken: the test does not test";
        std::vector<uint64_t> expected;
        for (uint64_t version = from + 1; version <= polarys_db_version(db.db); version++) {
            expected.push_back(version);
        }
        EXPECT_EQ(expected, versions);
    }
    EXPECT_EQ(10u, joined.all().size());
}

TEST_F(Watch, CutsOffWhoDoesNotTake)
{
    watcher slow(db);
    watcher quick(db);
    slow.options.queue_bytes_max = 4096;
    ASSERT_EQ(POLARYS_OK, slow.open());
    ASSERT_EQ(POLARYS_OK, quick.open());
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    (void)sim_executor_run_all(w.executor);
    EXPECT_EQ("3 put a=1.", slow.next());
    EXPECT_EQ("", slow.next());
    const std::string big = "\"" + std::string(3000, 'x') + "\"";
    for (int i = 0; i < 4; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", "b" + std::to_string(i), big));
        (void)sim_executor_run_all(w.executor);
    }
    EXPECT_EQ("error WATCH_TOO_SLOW", slow.next());
    EXPECT_EQ("3", slow.detail("resume_version"));
    EXPECT_EQ("error WATCH_TOO_SLOW", slow.next()) << "it stays so";
    EXPECT_EQ(5u, quick.all().size()) << "others are not concerned";
    slow.close();
    slow.options.from_version = 3;
    slow.options.queue_bytes_max = 0;
    ASSERT_EQ(POLARYS_OK, slow.open());
    EXPECT_EQ(4u, slow.all().size());
}

TEST_F(Watch, LetsOneCommitThroughWhateverItsSize)
{
    watcher watch(db);
    watch.options.queue_bytes_max = 1024;
    ASSERT_EQ(POLARYS_OK, watch.open());
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "\"" + std::string(5000, 'x') + "\""));
    EXPECT_EQ(1u, watch.all().size());
}

TEST_F(Watch, BeginsWithASnapshot)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    watcher watch(db);
    watch.options.with_snapshot = true;
    ASSERT_EQ(POLARYS_OK, watch.open());
    EXPECT_EQ(0u, watch.resume_version());
    EXPECT_EQ(lines({"snapshot a=1", "snapshot old=0", "snapshot end 3"}), watch.all());
    EXPECT_EQ(3u, watch.resume_version());
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", "2"));
    EXPECT_EQ(lines({"4 put b=2."}), watch.all());
}

TEST_F(Watch, TakesNoSnapshotOfAnotherTableOfTheSameName)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    watcher watch(db);
    watch.options.with_snapshot = true;
    ASSERT_EQ(POLARYS_OK, watch.open()) << watch.error.message;
    /* Before anything of the snapshot was read. */
    ASSERT_EQ(POLARYS_OK, polarys_table_drop(db.db, nullptr, "t", nullptr, &db.result, &db.error));
    ASSERT_EQ(POLARYS_OK, db.create_table("t"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "b", "2"));
    EXPECT_EQ((lines{"error TABLE_NOT_FOUND"}), watch.all());
}

TEST_F(Watch, CutsTheSnapshotToPrefixAndFilter)
{
    ASSERT_EQ(POLARYS_OK, db.put("t", "a1", "{\"n\":1}"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "a2", "{\"n\":2}"));
    watcher watch(db);
    watch.options.with_snapshot = true;
    watch.options.prefix = slice_from_text("a");
    watch.options.filter = slice_from_text("n = 2");
    ASSERT_EQ(POLARYS_OK, watch.open());
    EXPECT_EQ(lines({"snapshot a2={\"n\":2}", "snapshot end 4"}), watch.all());
}

TEST_F(Watch, JoinsChangesToTheSnapshotWithoutGapOrDouble)
{
    const std::string big = "\"" + std::string(50000, 'x') + "\"";
    for (int i = 0; i < 60; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", "k" + std::to_string(100 + i), big));
    }
    watcher watch(db);
    watch.options.with_snapshot = true;
    watch.options.queue_bytes_max = 200000; /* the snapshot has to wait for its reader */
    ASSERT_EQ(POLARYS_OK, watch.open());
    size_t documents = 0;
    lines changes;
    for (int i = 0; i < 1000; i++) {
        std::string event = watch.next();
        if (event.empty()) {
            (void)sim_executor_run_all(w.executor);
        } else if (event.rfind("snapshot k", 0) == 0) {
            documents++;
            ASSERT_EQ(POLARYS_OK, db.put("t", "n" + std::to_string(documents), "1"));
        } else if (event.find(" put n") != std::string::npos) {
            changes.push_back(event);
        }
    }
    EXPECT_EQ(60u, documents);
    ASSERT_EQ(60u, changes.size());
    for (size_t i = 0; i < changes.size(); i++) {
        EXPECT_EQ(std::to_string(63 + i) + " put n" + std::to_string(i + 1) + "=1.", changes[i]);
    }
}

TEST_F(Watch, EndsASnapshotThatNobodyTakes)
{
    const std::string big = "\"" + std::string(50000, 'x') + "\"";
    for (int i = 0; i < 60; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", "k" + std::to_string(100 + i), big));
    }
    watcher watch(db);
    watch.options.with_snapshot = true;
    ASSERT_EQ(POLARYS_OK, watch.open());
    w.pass_ms(POLARYS_WATCH_SNAPSHOT_STALL_MS + 1000);
    EXPECT_EQ("error WATCH_TOO_SLOW", watch.next());
    EXPECT_EQ("0", watch.detail("resume_version"));
    EXPECT_EQ(0u, db.status().snapshot_count) << "the lease is given back";
}

/* What is charged for watches, about: nothing else changes much. */
uint64_t charged(store &db)
{
    polarys_db_status status = db.status();
    return status.memory_used - status.cache_used;
}

TEST_F(Watch, ManyThatAreNotTakenStayWithinTheirShareAndInNobodysWay)
{
    constexpr size_t count = 60;
    constexpr uint64_t mebibyte = 1 << 20;
    const std::string big = "\"" + std::string(50000, 'x') + "\"";
    for (int i = 0; i < 60; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", "k" + std::to_string(100 + i), big));
    }
    (void)sim_executor_run_all(w.executor);
    uint64_t before = charged(db);
    std::vector<std::unique_ptr<watcher>> stuck;
    for (size_t i = 0; i < count; i++) {
        stuck.push_back(std::make_unique<watcher>(db));
        stuck.back()->options.with_snapshot = i % 2 == 0;
        stuck.back()->options.from_version = i % 2 == 0 ? 0 : 2;
        ASSERT_EQ(POLARYS_OK, stuck.back()->open()) << stuck.back()->error.message;
    }
    (void)sim_executor_run_all(w.executor);
    /* An eighth of 16 MiB, a packet of each worker, and what tables and files take. */
    EXPECT_LT(charged(db), before + 4 * mebibyte);
    w.pass_ms(2000);
    EXPECT_LT(charged(db), before + 4 * mebibyte + 8 * mebibyte / 4) << "one packet a tick";

    watcher reader(db);
    reader.options.with_snapshot = true;
    ASSERT_EQ(POLARYS_OK, reader.open());
    size_t documents = 0;
    bool is_whole = false;
    for (int i = 0; i < 1200 && !is_whole; i++) {
        std::string event = reader.next();
        ASSERT_NE(0u, event.rfind("error", 0)) << event;
        documents += event.rfind("snapshot k", 0) == 0 ? 1 : 0;
        is_whole = event.rfind("snapshot end", 0) == 0;
        if (event.empty()) {
            w.pass_ms(250);
        }
    }
    EXPECT_TRUE(is_whole);
    EXPECT_EQ(60u, documents);
    w.pass_ms(2 * POLARYS_WATCH_SNAPSHOT_STALL_MS);
    EXPECT_LT(charged(db), before + count * mebibyte / 2);
}

TEST_F(Watch, ClosesInEveryStateWithoutALeak)
{
    watcher joined(db);
    watcher behind(db);
    watcher snapshot(db);
    behind.options.from_version = 1;
    snapshot.options.with_snapshot = true;
    ASSERT_EQ(POLARYS_OK, joined.open());
    ASSERT_EQ(POLARYS_OK, behind.open());
    ASSERT_EQ(POLARYS_OK, snapshot.open());
    ASSERT_EQ(POLARYS_OK, db.put("t", "a", "1"));
    behind.close();
    snapshot.close();
    joined.close();
    EXPECT_EQ(POLARYS_OK, db.close()) << db.error.message;
}

} // namespace
