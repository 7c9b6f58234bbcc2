/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random transactions, several open at once, against a naive model: a list of the states that commits made.
 * Every read has to see the state of the transaction's version under its own writes; a commit may succeed
 * only if the model says that nothing which its level protects has changed, and must fail if it has.
 */
#include <set>

#include "tests/support/engine/test_txn.h"

using test_store::store;
using test_store::txn;
using test_store::world;

namespace {

using table = std::map<std::string, std::string>;

/* One open transaction, and what the model knows of it. */
struct open_txn {
    std::unique_ptr<txn> real;
    polarys_isolation isolation;
    uint64_t snapshot = 0; /* index of the state; valid once anything was done */
    bool has_snapshot = false;
    std::map<std::string, std::string> own; /* "-" for a delete */
    std::vector<std::pair<std::string, std::string>> deleted_ranges;
    std::set<std::string> read_keys;
    std::vector<std::pair<std::string, std::string>> read_ranges;
};

class model {
  public:
    model(uint64_t seed, uint64_t history_ms) : db(w, tuned(w, history_ms)), chance_seed(seed)
    {
        sim_random_init(&random, seed);
    }

    void run(int steps)
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
        for (int i = 0; i < steps && !::testing::Test::HasFailure(); i++) {
            SCOPED_TRACE("seed " + std::to_string(chance_seed) + ", step " + std::to_string(i));
            step();
        }
        open.clear();
        EXPECT_EQ(states.back(), db.contents("t"));
        EXPECT_GT(committed, steps / 40);
        EXPECT_GT(conflicts, steps / 200);
    }

  private:
    static polarys_db_options tuned(world &w, uint64_t history_ms)
    {
        polarys_db_options options = w.options();
        options.memtable_bytes = 64 << 10;
        options.history_keep_ms = history_ms;
        return options;
    }
    uint64_t below(uint64_t limit)
    {
        return sim_random_below(&random, limit);
    }
    std::string key()
    {
        return std::string(1, static_cast<char>('a' + below(12)));
    }
    /* How a transaction sees a state. */
    static table seen(const open_txn &t, const table &state)
    {
        table result = state;
        for (const auto &[start, end] : t.deleted_ranges) {
            result.erase(result.lower_bound(start), result.lower_bound(end));
        }
        for (const auto &[at, value] : t.own) {
            if (value == "-") {
                result.erase(at);
            } else {
                result[at] = value;
            }
        }
        return result;
    }
    static std::string text_of(const table &t, const std::string &start, const std::string &end)
    {
        std::string text;
        for (auto it = t.lower_bound(start); it != t.end() && it->first < end; ++it) {
            text += it->first + "=" + it->second + " ";
        }
        return text;
    }
    const table &base(open_txn &t)
    {
        if (t.isolation == POLARYS_ISOLATION_READ_COMMITTED) {
            return states.back();
        }
        if (!t.has_snapshot) {
            t.has_snapshot = true;
            t.snapshot = states.size() - 1;
        }
        return states[t.snapshot];
    }
    static bool was_written(const open_txn &t, const std::string &at)
    {
        bool is_covered = t.own.count(at) != 0;
        for (const auto &[start, end] : t.deleted_ranges) {
            is_covered = is_covered || (start <= at && at < end);
        }
        return is_covered;
    }
    /* True when what the level protects is another now than in the snapshot. Values are unique, so a value
     * stands for its version. */
    bool has_changed(open_txn &t)
    {
        if (t.isolation == POLARYS_ISOLATION_READ_COMMITTED || !t.has_snapshot) {
            return false;
        }
        const table &before = states[t.snapshot];
        const table &now = states.back();
        auto differs = [&](const std::string &start, const std::string &end) {
            return text_of(before, start, end) != text_of(now, start, end);
        };
        bool has = false;
        for (const auto &[at, value] : t.own) {
            has = has || differs(at, at + '\0');
        }
        for (const auto &[start, end] : t.deleted_ranges) {
            has = has || differs(start, end);
        }
        if (t.isolation == POLARYS_ISOLATION_SERIALIZABLE) {
            for (const auto &at : t.read_keys) {
                has = has || differs(at, at + '\0');
            }
            for (const auto &[start, end] : t.read_ranges) {
                has = has || differs(start, end);
            }
        }
        return has;
    }
    void step()
    {
        uint64_t dice = below(100);
        if (open.size() < 5 && dice < 20) {
            open_txn t;
            t.isolation = static_cast<polarys_isolation>(1 + below(3));
            t.real = std::make_unique<txn>(db.db, t.isolation);
            open.push_back(std::move(t));
            return;
        }
        if (dice < 24) {
            std::string at = key();
            table next = states.back();
            next[at] = std::to_string(++unique);
            ASSERT_EQ(POLARYS_OK, db.put("t", at, next[at]));
            states.push_back(next);
            return;
        }
        if (dice < 26) {
            ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, nullptr));
            return;
        }
        if (dice < 28) {
            ASSERT_EQ(POLARYS_OK, polarys_db_compact(db.db, nullptr, nullptr, nullptr));
            return;
        }
        if (open.empty()) {
            return;
        }
        size_t which = below(open.size());
        if (dice < 45) {
            read(open[which]);
        } else if (dice < 55) {
            scan(open[which]);
        } else if (dice < 85) {
            write(open[which]);
        } else {
            end(which, dice < 97);
        }
    }
    void read(open_txn &t)
    {
        std::string at = key();
        table now = seen(t, base(t));
        if (!was_written(t, at)) {
            t.read_keys.insert(at);
        }
        std::string wanted = now.count(at) != 0 ? now[at] : "-";
        ASSERT_EQ(wanted, t.real->get(at));
    }
    void scan(open_txn &t)
    {
        std::string start = key();
        std::string end = key();
        if (start >= end) {
            return;
        }
        table now = seen(t, base(t));
        t.read_ranges.emplace_back(start, end);
        ASSERT_EQ(text_of(now, start, end), t.real->scan(start, end));
    }
    void write(open_txn &t)
    {
        std::string at = key();
        (void)base(t);
        uint64_t dice = below(10);
        if (dice < 6) {
            t.own[at] = std::to_string(++unique);
            ASSERT_EQ(POLARYS_OK, t.real->put(at, t.own[at]));
        } else if (dice < 9) {
            t.own[at] = "-";
            ASSERT_EQ(POLARYS_OK, t.real->remove(at));
        } else {
            std::string end(1, static_cast<char>(at[0] + 2));
            ASSERT_EQ(POLARYS_OK, t.real->remove_range(at, end));
            for (auto &[own_key, value] : t.own) {
                if (at <= own_key && own_key < end) {
                    value = "-";
                }
            }
            t.deleted_ranges.emplace_back(at, end);
        }
    }
    void end(size_t which, bool commits)
    {
        open_txn t = std::move(open[which]);
        open.erase(open.begin() + static_cast<long>(which));
        if (!commits) {
            ASSERT_EQ(POLARYS_OK, t.real->rollback());
            return;
        }
        bool writes = !t.own.empty() || !t.deleted_ranges.empty();
        bool must_fail = writes && has_changed(t);
        polarys_code code = t.real->commit();
        ASSERT_EQ(must_fail ? POLARYS_TXN_CONFLICT : POLARYS_OK, code)
            << t.real->error.message << " level " << t.isolation;
        conflicts += must_fail ? 1 : 0;
        committed += must_fail ? 0 : 1;
        if (code == POLARYS_OK && writes) {
            states.push_back(seen(t, states.back()));
            ASSERT_EQ(states.back(), db.contents("t"));
        }
    }

    world w;
    store db;
    uint64_t chance_seed;
    sim_random random;
    std::vector<table> states{table()};
    std::vector<open_txn> open;
    uint64_t unique = 0;
    int committed = 0;
    int conflicts = 0;
};

} // namespace

TEST(TxnModel, AgreesWithANaiveModel)
{
    int steps = getenv("POLARYS_TEST_LONG") != nullptr ? 60000 : 6000;
    polarys_log_level_set(POLARYS_LOG_OFF);
    for (uint64_t i = 0; i < 4; i++) {
        uint64_t seed = sim_seed(100 + i);
        std::cout << "seed " << seed << "\n";
        model m(seed, i % 2 == 0 ? 0 : 600000);
        m.run(steps);
    }
}
