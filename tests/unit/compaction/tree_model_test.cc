/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree against a plain map of versions: random writes, deletes, range deletes, snapshots, flushes,
 * compactions and reopens; every read at every version that may be named has to agree.
 */
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "tests/unit/compaction/tree_world.h"

namespace {

/* Every version of every key, and every range delete. */
class Model {
  public:
    void put(uint64_t version, const std::string &key, const std::string &value)
    {
        keys_[key][version] = value;
    }
    void remove(uint64_t version, const std::string &key)
    {
        keys_[key][version] = std::nullopt;
    }
    void remove_range(uint64_t version, const std::string &start, const std::string &end)
    {
        for (auto at = keys_.lower_bound(start); at != keys_.end() && at->first < end; ++at) {
            /* A put of the same version is not hidden: it stays above the delete. */
            at->second.try_emplace(version, std::nullopt);
        }
    }
    std::string get(const std::string &key, uint64_t snapshot) const
    {
        auto found = keys_.find(key);
        return found == keys_.end() ? "<none>" : visible(found->second, snapshot);
    }
    TreeWorld::Rows scan(uint64_t snapshot, const std::string &start, const std::string &end) const
    {
        TreeWorld::Rows rows;
        for (auto at = keys_.lower_bound(start); at != keys_.end(); ++at) {
            if (!end.empty() && at->first >= end) {
                break;
            }
            std::string value = visible(at->second, snapshot);
            if (value != "<none>") {
                rows.emplace_back(at->first, value);
            }
        }
        return rows;
    }

  private:
    using Versions = std::map<uint64_t, std::optional<std::string>>;
    static std::string visible(const Versions &versions, uint64_t snapshot)
    {
        auto after = versions.upper_bound(snapshot);
        if (after == versions.begin()) {
            return "<none>";
        }
        --after;
        return after->second.value_or("<none>");
    }
    std::map<std::string, Versions> keys_;
};

struct Run {
    explicit Run(uint64_t seed) : world(seed)
    {
        sim_random_init(&random, seed);
    }
    uint64_t below(uint64_t bound)
    {
        return sim_random_below(&random, bound);
    }
    std::string any_key()
    {
        return key_of(static_cast<unsigned>(below(key_count)));
    }

    void write()
    {
        uint64_t kind = below(100);
        version++;
        if (kind < 72) {
            std::string key = any_key();
            std::string value = std::to_string(version) + std::string(below(120), 'v');
            ASSERT_EQ(world.put(version, key, value), POLARYS_OK) << world.err.message;
            model.put(version, key, value);
        } else if (kind < 96) {
            std::string key = any_key();
            ASSERT_EQ(world.remove(version, key), POLARYS_OK) << world.err.message;
            model.remove(version, key);
        } else {
            unsigned start = static_cast<unsigned>(below(key_count));
            unsigned end = start + 1 + static_cast<unsigned>(below(1 + key_count / 8));
            ASSERT_EQ(world.remove_range(version, key_of(start), key_of(end)), POLARYS_OK);
            model.remove_range(version, key_of(start), key_of(end));
            if (below(3) == 0) { /* and a put of the same commit, which it does not hide */
                std::string key = key_of(start);
                ASSERT_EQ(world.put(version, key, "same commit"), POLARYS_OK);
                model.put(version, key, "same commit");
            }
        }
    }

    void check_version(uint64_t snapshot)
    {
        for (unsigned i = 0; i < 40; i++) {
            std::string key = any_key();
            ASSERT_EQ(world.get(key, snapshot), model.get(key, snapshot))
                << "key " << key.substr(8) << " at " << snapshot << ": " << world.err.message;
        }
        std::string start = below(2) == 0 ? "" : any_key();
        std::string end = below(2) == 0 ? "" : any_key();
        if (!end.empty() && end < start) {
            std::swap(start, end);
        }
        TreeWorld::Rows expected = model.scan(snapshot, start, end);
        TreeWorld::Rows forward = world.scan(snapshot, true, start, end);
        ASSERT_EQ(world.code, POLARYS_OK) << world.err.message;
        ASSERT_EQ(forward, expected) << "forward at " << snapshot;
        TreeWorld::Rows backward = world.scan(snapshot, false, start, end);
        ASSERT_EQ(world.code, POLARYS_OK) << world.err.message;
        std::reverse(backward.begin(), backward.end());
        ASSERT_EQ(backward, expected) << "backward at " << snapshot;
        compared += 40 + 2;
    }

    /* Every version that may still be named, or a sample of them. */
    void check()
    {
        uint64_t start = std::min(world.history_start, version);
        if (version > 0) {
            check_version(version);
            check_version(start + below(version - start + 1));
        }
        for (uint64_t snapshot : world.snapshots) {
            check_version(snapshot);
        }
    }

    /* A walk that turns round at random agrees with the model's rows. */
    void check_turning()
    {
        TreeWorld::Rows expected = model.scan(version, "", "");
        entry_iterator *iterator = nullptr;
        ASSERT_EQ(tree_iterator_create(world.tree, slice_make(nullptr, 0), slice_make(nullptr, 0),
                                       version, 0, &iterator, &world.err),
                  POLARYS_OK);
        std::string key = any_key();
        size_t at = 0;
        while (at < expected.size() && expected[at].first < key) {
            at++;
        }
        entry_iterator_seek(iterator, slice_of(key), VERSION_MAX);
        for (unsigned i = 0; i < 60 && at < expected.size(); i++) {
            ASSERT_TRUE(iterator->is_valid);
            ASSERT_EQ(text_of(iterator->entry.key), expected[at].first);
            ASSERT_EQ(text_of(iterator->entry.value), expected[at].second);
            if (below(2) == 0) {
                entry_iterator_next(iterator);
                at++;
            } else if (at > 0) {
                entry_iterator_previous(iterator);
                at--;
            }
        }
        entry_iterator_destroy(iterator);
        compared += 60;
    }

    void change_snapshots()
    {
        if (!world.snapshots.empty() && below(2) == 0) {
            world.snapshots.erase(world.snapshots.begin() +
                                  static_cast<long>(below(world.snapshots.size())));
        } else if (world.snapshots.size() < 6 && version > 0) {
            world.snapshots.push_back(version);
        }
    }

    void move_history()
    {
        /* Only forward: what was let go of does not come back. */
        uint64_t now = world.history_start == VERSION_MAX ? 0 : world.history_start;
        uint64_t keep = below(4) == 0 ? 0 : below(200);
        world.history_start = std::max(now, version > keep ? version - keep : 1);
    }

    void reopen()
    {
        ASSERT_EQ(world.flush(), POLARYS_OK) << world.err.message;
        world.close();
        ASSERT_EQ(world.open(), POLARYS_OK) << world.err.message;
        ASSERT_EQ(tree_flushed_version(world.tree), version);
    }

    void step()
    {
        for (unsigned i = 0; i < 25; i++) {
            write();
        }
        switch (below(12)) {
        case 0:
            ASSERT_EQ(world.flush(), POLARYS_OK) << world.err.message;
            break;
        case 1:
            ASSERT_EQ(world.idle(), POLARYS_OK) << world.err.message;
            break;
        case 2:
            sim_executor_run_one(world.executor);
            break;
        case 3:
            if (below(8) == 0) {
                ASSERT_EQ(world.compact_all(), POLARYS_OK) << world.err.message;
            }
            break;
        case 4:
            if (below(4) == 0) {
                reopen();
            }
            break;
        case 5:
        case 6:
            change_snapshots();
            break;
        case 7:
            move_history();
            break;
        case 8:
            check();
            break;
        case 9:
            check_turning();
            break;
        default:
            break;
        }
    }

    TreeWorld world;
    Model model;
    sim_random random = {};
    uint64_t version = 0;
    uint64_t key_count = 600;
    uint64_t compared = 0;
};

void run_model(uint64_t seed, uint64_t key_count, unsigned steps)
{
    SCOPED_TRACE("seed " + std::to_string(seed));
    Run run(seed);
    run.key_count = key_count;
    run.world.history_start = 1;
    run.world.base_options.zstd_level_last = 0;
    if (seed % 2 == 0) { /* more levels, more files */
        run.world.base_options.level1_bytes = 4 << 10;
        run.world.base_options.file_bytes = 3 << 10;
    }
    ASSERT_EQ(run.world.open(), POLARYS_OK) << run.world.err.message;
    for (unsigned i = 0; i < steps && !testing::Test::HasFatalFailure(); i++) {
        run.step();
    }
    if (testing::Test::HasFatalFailure()) {
        return;
    }
    EXPECT_GT(run.compared, 500u);
    run.world.snapshots.clear();
    run.world.history_start = run.version;
    ASSERT_EQ(run.world.flush(), POLARYS_OK);
    ASSERT_EQ(run.world.compact_all(), POLARYS_OK) << run.world.err.message;
    run.check();
    tree_stats stats = run.world.stats();
    /* With nothing to keep, only live entries are left, all in the last level. */
    EXPECT_EQ(stats.levels[MANIFEST_LEVELS - 1].entry_count,
              run.model.scan(run.version, "", "").size());
    for (uint32_t level = 0; level + 1 < MANIFEST_LEVELS; level++) {
        EXPECT_EQ(stats.levels[level].file_count, 0u);
    }
}

} // namespace

TEST(TreeModel, AgreesWithAMapOfVersionsManyKeys)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        run_model(sim_seed(100) + seed, 2000, 400);
    }
}

TEST(TreeModel, AgreesWithAMapOfVersionsFewKeys)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        run_model(sim_seed(200) + seed, 60, 300);
    }
}
