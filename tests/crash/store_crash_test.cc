/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power fails at every single call to the disk of a small workload, and each moment has several
 * outcomes. Whatever happens, the store opens again and holds the state after some whole commit, at least
 * the last acknowledged one; opening it once more shows the same; and nothing on the disk is readable.
 */
#include "tests/support/engine/test_store.h"

using test_store::batch;
using test_store::bytes_of;
using test_store::json_of;
using test_store::store;
using test_store::world;

namespace {

using contents = std::map<std::string, std::string>;

/* What a workload has been promised, kept outside the disk. */
struct oracle {
    std::vector<contents> states{contents()}; /* [i]: after the i-th commit was asked for */
    size_t durable = 0;                       /* index of the last state that has to survive */
    bool has_table = false;
};

/* A step: changes the store and the expected contents. `is_async`: acknowledged before it is durable. */
struct step {
    std::function<polarys_code(store &db)> act;
    std::function<void(contents &)> expect; /* empty: changes no documents */
    bool is_async = false;
};

std::string value_of(const std::string &what, size_t size = 40)
{
    return "\"plaintext-" + what + std::string(size, '.') + "\"";
}

step put(const std::string &key, const std::string &value, bool is_async = false)
{
    return {[=](store &db) {
                polarys_write_options options{};
                options.durability =
                    is_async ? POLARYS_DURABILITY_ASYNC : POLARYS_DURABILITY_LOCAL_SYNC;
                return db.put("t", key, json_of(value), &options);
            },
            [=](contents &c) { c[key] = value; }, is_async};
}

step quiet(const std::function<polarys_code(store &db)> &act)
{
    return {act, nullptr, false};
}

step flush()
{
    return quiet([](store &db) { return polarys_db_flush(db.db, nullptr, &db.error); });
}

step compact()
{
    return quiet([](store &db) { return polarys_db_compact(db.db, nullptr, nullptr, &db.error); });
}

step reopen()
{
    return quiet([](store &db) {
        polarys_code code = db.close();
        return code == POLARYS_OK ? db.open() : code;
    });
}

step replace_many(int count, size_t size)
{
    return {[=](store &db) {
                batch b(db);
                polarys_code code = POLARYS_OK;
                for (int i = 0; i < count && code == POLARYS_OK; i++) {
                    code = b.put("t", "many" + std::to_string(i), value_of("many", size));
                }
                return code == POLARYS_OK ? b.commit() : code;
            },
            [=](contents &c) {
                for (int i = 0; i < count; i++) {
                    c["many" + std::to_string(i)] = value_of("many", size);
                }
            }};
}

step remove_range(const std::string &start, const std::string &end)
{
    return {[=](store &db) {
                batch b(db);
                polarys_code code = b.remove_range("t", start, end);
                if (code == POLARYS_OK) {
                    code = b.put("t", "after-range", value_of("range"));
                }
                return code == POLARYS_OK ? b.commit() : code;
            },
            [=](contents &c) {
                c.erase(c.lower_bound(start), c.lower_bound(end));
                c["after-range"] = value_of("range");
            }};
}

/* Runs the workload until a step fails. */
void run(store &db, const std::vector<step> &steps, oracle &expected)
{
    if (db.open() != POLARYS_OK) {
        return;
    }
    polarys_code code = db.create_table("t");
    if (code != POLARYS_OK) {
        return;
    }
    expected.has_table = true;
    for (const step &each : steps) {
        if (db.db == nullptr) {
            return;
        }
        if (each.expect) {
            contents next = expected.states.back();
            each.expect(next);
            expected.states.push_back(next);
        }
        if (each.act(db) != POLARYS_OK) {
            return;
        }
        if (!each.is_async) {
            expected.durable = expected.states.size() - 1;
        }
    }
}

/* The contents of the store on `take_disk` after it was opened, or nothing when there is no table yet. */
std::optional<contents> read_back(sim_disk *disk, uint64_t seed, bool must_have_table)
{
    world w(seed, sim_disk_clone(disk, seed));
    sim_disk_settle(w.disk);
    store db(w);
    EXPECT_EQ(POLARYS_OK, db.open()) << db.error.message;
    if (db.db == nullptr) {
        return std::nullopt;
    }
    if (db.get_code("t", "k") == POLARYS_TABLE_NOT_FOUND) {
        EXPECT_FALSE(must_have_table) << "the table was acknowledged";
        return must_have_table ? std::nullopt : std::optional<contents>(contents());
    }
    return db.contents("t");
}

void check(sim_disk *disk, uint64_t seed, const oracle &expected, const std::string &where)
{
    SCOPED_TRACE(where);
    char path[VFS_PATH_MAX] = "";
    EXPECT_FALSE(sim_disk_find(disk, slice_from_text("plaintext-"), path)) << path;
    std::optional<contents> found = read_back(disk, seed, expected.has_table);
    if (!found) {
        ADD_FAILURE() << "not readable";
        return;
    }
    bool is_known = false;
    for (size_t i = expected.durable; i < expected.states.size() && !is_known; i++) {
        is_known = *found == expected.states[i];
    }
    EXPECT_TRUE(is_known) << found->size() << " documents; acknowledged: "
                          << expected.states[expected.durable].size();
    /* Opened again, and crashed while it opens, it shows the same. */
    if (seed % 5 != 0) {
        return; /* a sample is enough, opening takes most of the time */
    }
    world w(seed, sim_disk_clone(disk, seed));
    for (uint64_t at : {seed % 13 + 1, seed % 31 + 5}) {
        store db(w);
        sim_disk_crash_at(w.disk, at);
        (void)db.open();
        if (db.db != nullptr) {
            (void)db.close();
        }
        sim_disk_crash(w.disk, static_cast<sim_crash_policy>(seed % SIM_CRASH_POLICY_COUNT));
    }
    EXPECT_EQ(found, read_back(w.disk, seed + 1, expected.has_table)) << "a second opening differs";
}

/* Every point of the workload, every policy. */
void crash_everywhere(const std::vector<step> &steps, uint64_t stride,
                      const std::function<void(polarys_db_options &)> &tune = {})
{
    uint64_t points = 0;
    uint64_t outcomes = 0;
    polarys_log_level_set(POLARYS_LOG_OFF); /* every crash is an error to the log */
    for (uint64_t at = 1;; at += stride) {
        world w(7);
        polarys_db_options options = w.options();
        if (tune) {
            tune(options);
        }
        store db(w, options);
        oracle expected;
        sim_disk_crash_at(w.disk, at);
        run(db, steps, expected);
        if (db.db != nullptr) {
            (void)db.close();
        }
        bool is_over = !sim_disk_is_dead(w.disk);
        for (int policy = 0; policy < SIM_CRASH_POLICY_COUNT; policy++) {
            uint64_t seed = at * 16 + static_cast<uint64_t>(policy);
            sim_disk *outcome = sim_disk_clone(w.disk, seed);
            sim_disk_stale_set(outcome, policy == SIM_CRASH_RANDOM);
            sim_disk_crash(outcome, static_cast<sim_crash_policy>(policy));
            check(outcome, seed, expected,
                  "crash at call " + std::to_string(at) + ", policy " + std::to_string(policy));
            sim_disk_destroy(outcome);
            outcomes++;
            if (::testing::Test::HasFailure()) {
                polarys_log_level_set(POLARYS_LOG_INFO);
                return;
            }
        }
        points++;
        if (is_over) {
            break;
        }
    }
    polarys_log_level_set(POLARYS_LOG_INFO);
    std::cout << "crash points: " << points << ", outcomes: " << outcomes << "\n";
}

}  // namespace

TEST(StoreCrash, SinglePuts)
{
    crash_everywhere({put("a", value_of("a")), put("b", value_of("b")), put("a", value_of("c")),
                      put("long", value_of("d", 9000))},
                     1);
}

TEST(StoreCrash, FlushCompactionAndRangeDeletes)
{
    crash_everywhere({replace_many(20, 200), flush(), put("a", value_of("a")), flush(),
                      remove_range("many1", "many3"), compact(), put("b", value_of("b"))},
                     1);
}

TEST(StoreCrash, CleanCloseAndReopen)
{
    crash_everywhere({put("a", value_of("a")), reopen(), put("b", value_of("b")), reopen(),
                      put("c", value_of("c"))},
                     1);
}

TEST(StoreCrash, AsyncWritesAreAPrefix)
{
    std::vector<step> steps;
    for (int i = 0; i < 30; i++) {
        steps.push_back(put("k" + std::to_string(i), value_of(std::to_string(i)), i % 10 != 9));
    }
    crash_everywhere(steps, 1);
}

TEST(StoreCrash, ManyMemtablesAndSegments)
{
    std::vector<step> steps;
    for (int i = 0; i < 12; i++) {
        steps.push_back(replace_many(40, 3000 + static_cast<size_t>(i)));
        steps.push_back(put("k" + std::to_string(i), value_of("k")));
    }
    crash_everywhere(steps, 7, [](polarys_db_options &options) {
        options.memtable_bytes = 256 << 10;
        options.history_keep_ms = 0;
    });
}
