/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power fails at every single call to the disk of a small workload, and each moment has several
 * outcomes. Whatever happens, the store opens again and holds the state after some whole commit, at least
 * the last acknowledged one; opening it once more shows the same; and nothing on the disk is readable.
 */
#include "tests/support/engine/workload.h"

using test_store::compact;
using test_store::contents;
using test_store::flush;
using test_store::oracle;
using test_store::put;
using test_store::remove_range;
using test_store::reopen;
using test_store::replace_many;
using test_store::step;
using test_store::store;
using test_store::value_of;
using test_store::world;

namespace {

void check(sim_disk *disk, uint64_t seed, const oracle &expected, const std::string &where)
{
    SCOPED_TRACE(where);
    char path[VFS_PATH_MAX] = "";
    EXPECT_FALSE(sim_disk_find(disk, slice_from_text(test_store::plaintext), path)) << path;
    std::optional<contents> found = test_store::read_back(disk, seed, expected.has_table);
    if (!found) {
        ADD_FAILURE() << "not readable";
        return;
    }
    EXPECT_TRUE(expected.allows(*found))
        << found->size()
        << " documents; acknowledged: " << expected.states[expected.durable].size();
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
    EXPECT_EQ(found, test_store::read_back(w.disk, seed + 1, expected.has_table))
        << "a second opening differs";
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
        test_store::run(db, steps, expected);
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

} // namespace

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
