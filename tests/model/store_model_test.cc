/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations on a store and on a plain map with versions; both have to agree at every step, over
 * flushes, compactions, clean reopens and crashes. One operation log through several configurations has
 * to give the same answers.
 */
#include "tests/support/engine/test_store.h"

using test_store::batch;
using test_store::bytes_of;
using test_store::json_of;
using test_store::scanned;
using test_store::store;
using test_store::world;

namespace {

struct model_value {
    std::string text;
    uint64_t expires_at_ms = 0;
    uint64_t version = 0;
};

using model_table = std::map<std::string, model_value>;

/* What was true at one version. */
struct moment {
    uint64_t version;
    model_table table;
    uint64_t lease_id;
};

struct configuration {
    const char *name;
    size_t memtable_bytes;
    uint32_t block_bytes;
    bool is_compression_on;
    uint64_t history_keep_ms;
    uint64_t seed_of_world;
};

class model {
  public:
    model(const configuration &c, uint64_t seed)
        : w(c.seed_of_world), db(w, tuned(w, c)), chance(seed), config(c)
    {
    }

    void run(int steps)
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
        for (int i = 0; i < steps; i++) {
            SCOPED_TRACE(std::string(config.name) + ", step " + std::to_string(i));
            step();
            if (::testing::Test::HasFailure()) {
                return;
            }
        }
        compare_all();
    }

    std::string answers;

  private:
    static polarys_db_options tuned(world &surroundings, const configuration &c)
    {
        polarys_db_options options = surroundings.options();
        options.memtable_bytes = c.memtable_bytes;
        options.block_bytes = c.block_bytes;
        options.is_compression_on = c.is_compression_on;
        options.history_keep_ms = c.history_keep_ms;
        return options;
    }

    uint64_t below(uint64_t bound)
    {
        return chance() % bound;
    }

    std::string random_key()
    {
        return "k" + std::to_string(below(150));
    }

    std::string random_value()
    {
        std::string text = "{\"n\":" + std::to_string(below(1000));
        if (below(4) == 0) {
            text += ",\"s\":\"" + std::string(below(3000), 'x') + "\"";
        }
        return text + "}";
    }

    bool is_live(const model_value &value)
    {
        return value.expires_at_ms == 0 || value.expires_at_ms > w.now_ms();
    }

    void expect_get(const std::string &key)
    {
        auto found = table.find(key);
        bool is_there = found != table.end() && is_live(found->second);
        std::optional<std::string> got = db.get("t", key);
        ASSERT_EQ(is_there ? std::optional<std::string>(found->second.text) : std::nullopt, got)
            << key;
        answers += got.value_or("-") + "\n";
    }

    void step()
    {
        uint64_t choice = below(100);
        if (choice < 30) {
            put_one();
        } else if (choice < 45) {
            batch_many();
        } else if (choice < 50) {
            conditional();
        } else if (choice < 70) {
            expect_get(random_key());
        } else if (choice < 78) {
            scan_some();
        } else if (choice < 82) {
            remember();
        } else if (choice < 86) {
            look_back();
        } else if (choice < 90) {
            w.pass_ms(below(2000));
        } else {
            disturb(choice);
        }
    }

    void put_one()
    {
        std::string key = random_key();
        if (below(5) == 0) {
            ASSERT_EQ(POLARYS_OK, db.remove("t", key)) << db.error.message;
            table.erase(key);
            return;
        }
        model_value value{random_value(), 0, 0};
        if (below(6) == 0) {
            value.expires_at_ms = w.now_ms() + 1 + below(5000);
        }
        ASSERT_EQ(POLARYS_OK, db.put("t", key, json_of(value.text, value.expires_at_ms)))
            << db.error.message;
        value.version = db.result.version;
        table[key] = value;
    }

    void erase_range(model_table &in, const std::string &start, const std::string &end)
    {
        in.erase(in.lower_bound(start), end.empty() ? in.end() : in.lower_bound(end));
    }

    void batch_many()
    {
        batch b(db);
        model_table next = table;
        std::set<std::string> touched;
        uint64_t count = 1 + below(below(10) == 0 ? 60 : 6);
        for (uint64_t i = 0; i < count; i++) {
            std::string key = random_key();
            switch (below(8)) {
            case 0: {
                std::string end = below(10) == 0 ? "" : key + std::to_string(below(10));
                if (below(4) == 0) {
                    ASSERT_EQ(POLARYS_OK, b.remove_range("t", key, end)) << b.error.message;
                    erase_range(next, key, end);
                }
                break;
            }
            case 1:
                ASSERT_EQ(POLARYS_OK, b.remove("t", key, below(2) == 0));
                next.erase(key);
                break;
            case 2:
                batch_update(b, next, touched, key);
                break;
            default:
                next[key] = {random_value(), 0, 0};
                touched.insert(key);
                ASSERT_EQ(POLARYS_OK, b.put("t", key, next[key].text));
            }
        }
        if (polarys_batch_operation_count(b.handle) == 0) {
            return;
        }
        ASSERT_EQ(POLARYS_OK, b.commit()) << b.error.message;
        for (const std::string &key : touched) {
            if (next.count(key) != 0) {
                next[key].version = b.result.version;
            }
        }
        table = next;
    }

    /* Sets one member that no value has otherwise, so the merge is easy to foretell. */
    void batch_update(batch &b, model_table &next, std::set<std::string> &touched,
                      const std::string &key)
    {
        std::string number = std::to_string(below(10));
        ASSERT_EQ(POLARYS_OK, b.update("t", key, "{\"n\":" + number + "}"));
        auto found = next.find(key);
        touched.insert(key);
        if (found == next.end() || !is_live(found->second)) {
            next[key] = {"{\"n\":" + number + "}", 0, 0};
            return;
        }
        std::string &text = found->second.text;
        size_t end = text.find_first_of(",}", 5);
        text = "{\"n\":" + number + text.substr(end);
    }

    void conditional()
    {
        std::string key = random_key();
        auto found = table.find(key);
        bool is_there = found != table.end() && is_live(found->second);
        batch b(db);
        polarys_precondition precondition{};
        precondition.kind =
            below(2) == 0 ? POLARYS_PRECONDITION_MUST_EXIST : POLARYS_PRECONDITION_VERSION_EQUALS;
        bool holds = is_there;
        if (precondition.kind == POLARYS_PRECONDITION_VERSION_EQUALS) {
            bool is_right = below(2) == 0;
            uint64_t version = is_there ? found->second.version : 0;
            precondition.version = is_right ? version : version + 1;
            holds = is_right;
        }
        ASSERT_EQ(POLARYS_OK, b.require("t", key, precondition));
        ASSERT_EQ(POLARYS_OK, b.put("t", key, "{\"n\":77}"));
        polarys_code code = b.commit();
        ASSERT_EQ(holds, code == POLARYS_OK) << b.error.message;
        answers += polarys_code_name(code) + std::string("\n");
        if (holds) {
            table[key] = {"{\"n\":77}", 0, b.result.version};
        }
    }

    void scan_some()
    {
        std::string start = random_key();
        std::string end = below(3) == 0 ? "" : random_key();
        polarys_scan_options options{};
        options.table = "t";
        options.start = bytes_of(start);
        options.end = bytes_of(end);
        options.is_reverse = below(2) == 0;
        std::vector<std::pair<std::string, std::string>> expected;
        for (const auto &[key, value] : table) {
            if (key >= start && (end.empty() || key < end) && is_live(value)) {
                expected.emplace_back(key, value.text);
            }
        }
        if (options.is_reverse) {
            std::reverse(expected.begin(), expected.end());
        }
        std::vector<std::pair<std::string, std::string>> got;
        for (const scanned &each : db.scan(options)) {
            got.emplace_back(each.key, each.value);
            ASSERT_EQ(table[each.key].version, each.version) << each.key;
        }
        ASSERT_EQ(expected, got);
        answers += std::to_string(got.size()) + "\n";
    }

    /* Leases the current version. */
    void remember()
    {
        moment now{0, table, 0};
        ASSERT_EQ(POLARYS_OK, polarys_snapshot_acquire(db.db, 0, 3000000, &now.lease_id,
                                                       &now.version, &db.error))
            << db.error.message;
        moments.push_back(now);
        if (moments.size() > 8) {
            polarys_snapshot_release(db.db, moments.front().lease_id);
            moments.erase(moments.begin());
        }
    }

    /* A leased version shows what it showed. Documents that expire are left out: those of old versions
     * are judged by commit times, which are sampled. */
    void look_back()
    {
        if (moments.empty()) {
            return;
        }
        const moment &then = moments[below(moments.size())];
        std::map<std::string, std::string> got = db.contents("t", then.version);
        for (const auto &[key, value] : then.table) {
            if (value.expires_at_ms == 0) {
                ASSERT_EQ(1u, got.count(key)) << key << " at " << then.version;
                ASSERT_EQ(value.text, got[key]) << key << " at " << then.version;
            }
        }
        for (const auto &[key, value] : got) {
            ASSERT_EQ(1u, then.table.count(key)) << key << " at " << then.version;
        }
    }

    void compare_all()
    {
        std::map<std::string, std::string> expected;
        for (const auto &[key, value] : table) {
            if (is_live(value)) {
                expected[key] = value.text;
            }
        }
        ASSERT_EQ(expected, db.contents("t"));
    }

    void disturb(uint64_t choice)
    {
        if (choice < 93) {
            ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, &db.error)) << db.error.message;
        } else if (choice < 95) {
            ASSERT_EQ(POLARYS_OK, polarys_db_compact(db.db, nullptr, nullptr, &db.error))
                << db.error.message;
        } else if (choice < 97) {
            moments.clear();
            ASSERT_EQ(POLARYS_OK, db.close()) << db.error.message;
            ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        } else if (choice < 99) {
            moments.clear();
            db.crash(static_cast<sim_crash_policy>(below(SIM_CRASH_POLICY_COUNT)));
            ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
            compare_all();
        } else {
            ASSERT_EQ(POLARYS_OK,
                      polarys_table_truncate(db.db, nullptr, "t", nullptr, &db.result, &db.error));
            table.clear();
        }
    }

    world w;
    store db;
    std::mt19937_64 chance;
    configuration config;
    model_table table;
    std::vector<moment> moments;
};

const configuration configurations[] = {
    {"usual", 1 << 20, 16 << 10, true, 600000, 1},
    {"small memtables, no history", 64 << 10, 1 << 10, true, 0, 2},
    {"large blocks, no compression", 256 << 10, 64 << 10, false, 1000, 3},
};

} // namespace

TEST(StoreModel, AgreesWithAMapInEveryConfiguration)
{
    uint64_t seed = sim_seed(std::random_device{}());
    int steps = getenv("POLARYS_TEST_LONG") != nullptr ? 20000 : 1500;
    std::cout << "seed " << seed << ", steps " << steps << "\n";
    for (int round = 0; round < 4; round++) {
        std::string answers;
        for (const configuration &each : configurations) {
            SCOPED_TRACE("round " + std::to_string(round));
            model m(each, seed + static_cast<uint64_t>(round));
            m.run(steps);
            ASSERT_FALSE(::testing::Test::HasFailure());
            if (answers.empty()) {
                answers = m.answers;
            }
            EXPECT_EQ(answers, m.answers) << each.name << " answers otherwise";
        }
    }
}
