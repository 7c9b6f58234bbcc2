/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random documents, batches, range deletes, expiry, indexes made and dropped, and the store closed and opened,
 * against a map that works out by itself which values a document has and which writes break uniqueness.
 */
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/support/engine/test_index.h"

using test_index::create;
using test_index::drop;
using test_index::list;
using test_index::wait;
using test_store::batch;
using test_store::json_of;
using test_store::store;
using test_store::world;

namespace {

/* {"a": number or array of numbers, "u": number or missing or null, "x": …} */
struct Document {
    std::vector<int> a;
    bool is_array;
    int u; /* -1: missing, -2: null */
    uint64_t expires_at_ms;

    std::string json() const
    {
        std::string text = "{\"a\":";
        text += is_array ? "[" : "";
        for (size_t i = 0; i < a.size(); i++) {
            text += (i == 0 ? "" : ",") + std::to_string(a[i]) + (i % 2 == 1 ? ".0" : "");
        }
        text += is_array ? "]" : "";
        if (u >= 0) {
            text += ",\"u\":\"v" + std::to_string(u) + "\"";
        } else if (u == -2) {
            text += ",\"u\":null";
        }
        return text + "}";
    }
    /* Entries of an ordered index on "a": a marker too where there are several; none is one, missing. */
    size_t entries_of_a() const
    {
        std::set<int> distinct(a.begin(), a.end());
        return distinct.size() > 1 ? distinct.size() + 1 : 1;
    }
};

using Documents = std::map<std::string, Document>;

class Model {
  public:
    explicit Model(unsigned seed) : random_(seed), w_(seed), db_(w_)
    {
        db_.options.history_keep_ms = 0;
        db_.options.memtable_bytes = 64 << 10;
        EXPECT_EQ(POLARYS_OK, db_.open()) << db_.error.message;
        EXPECT_EQ(POLARYS_OK, db_.create_table("t"));
    }

    void run(int steps)
    {
        for (int i = 0; i < steps && !::testing::Test::HasFailure(); i++) {
            unsigned what = below(100);
            if (what < 70) {
                write();
            } else if (what < 78) {
                index("a", false);
            } else if (what < 86) {
                index("u", true);
            } else if (what < 90) {
                w_.pass_ms(below(3000));
            } else if (what < 94) {
                for (unsigned j = below(5); j > 0; j--) {
                    sim_executor_run_one(w_.executor);
                }
            } else if (what < 96) {
                ASSERT_EQ(POLARYS_OK, db_.close()) << db_.error.message;
                ASSERT_EQ(POLARYS_OK, db_.open()) << db_.error.message;
            } else {
                compare();
            }
        }
        compare();
    }

  private:
    unsigned below(unsigned limit)
    {
        return static_cast<unsigned>(random_() % limit);
    }

    std::string key()
    {
        return "k" + std::to_string(below(40));
    }

    Document document()
    {
        Document made{{}, below(2) == 0, static_cast<int>(below(60)), 0};
        made.u = made.u >= 50 ? -1 - static_cast<int>(below(2)) : made.u;
        for (unsigned i = made.is_array ? below(5) : 1; i > 0; i--) {
            made.a.push_back(static_cast<int>(below(6)));
        }
        if (below(5) == 0) {
            made.expires_at_ms = w_.now_ms() + 1 + below(4000);
        }
        return made;
    }

    void forget_expired()
    {
        uint64_t now = w_.now_ms();
        for (auto at = documents_.begin(); at != documents_.end();) {
            bool is_over = at->second.expires_at_ms != 0 && at->second.expires_at_ms <= now;
            at = is_over ? documents_.erase(at) : std::next(at);
        }
    }

    static bool is_unique(const Documents &documents)
    {
        std::set<int> seen;
        for (const auto &each : documents) {
            if (each.second.u >= 0 && !seen.insert(each.second.u).second) {
                return false;
            }
        }
        return true;
    }

    bool has(const char *index, polarys_index_state state)
    {
        for (const auto &each : list(db_, "t")) {
            if (each.info.index == std::string(index) && each.info.state == state) {
                return true;
            }
        }
        return false;
    }

    void write()
    {
        forget_expired();
        Documents after = documents_;
        batch changes(db_);
        for (unsigned i = 1 + below(4); i > 0; i--) {
            std::string name = key();
            switch (below(6)) {
            case 0:
                ASSERT_EQ(POLARYS_OK, changes.remove("t", name));
                after.erase(name);
                break;
            case 1: {
                std::string end = key();
                if (name < end) {
                    ASSERT_EQ(POLARYS_OK, changes.remove_range("t", name, end));
                    after.erase(after.lower_bound(name), after.lower_bound(end));
                    break;
                }
                [[fallthrough]];
            }
            default: {
                Document made = document();
                ASSERT_EQ(POLARYS_OK,
                          changes.put("t", name, json_of(made.json(), made.expires_at_ms)));
                after[name] = made;
                break;
            }
            }
        }
        polarys_code code = changes.commit();
        bool is_ready = has("u", POLARYS_INDEX_STATE_READY);
        bool is_building = has("u", POLARYS_INDEX_STATE_BUILDING);
        if (code == POLARYS_UNIQUE_VIOLATION) {
            /* A building one may know of documents that it has not come to yet, or not. */
            ASSERT_TRUE(is_ready || is_building);
            ASSERT_FALSE(is_unique(after)) << changes.error.message;
            return;
        }
        ASSERT_EQ(POLARYS_OK, code) << changes.error.message;
        ASSERT_TRUE(!is_ready || is_unique(after)) << "a violation was let in";
        documents_ = after;
    }

    void index(const std::string &name, bool is_unique_index)
    {
        bool exists = false;
        for (const auto &each : list(db_, "t")) {
            exists = exists || each.info.index == name;
        }
        if (exists) {
            ASSERT_EQ(POLARYS_OK, drop(db_, "t", name)) << db_.error.message;
            return;
        }
        polarys_index_kind kind =
            is_unique_index && below(2) == 0 ? POLARYS_INDEX_HASH : POLARYS_INDEX_ORDERED;
        ASSERT_EQ(POLARYS_OK, create(db_, "t", {name, {name}, kind, is_unique_index}))
            << db_.error.message;
        if (below(2) == 0) {
            forget_expired();
            bool was_unique = is_unique(documents_);
            polarys_code code = wait(db_, "t", name);
            if (is_unique_index && !was_unique) {
                ASSERT_EQ(POLARYS_UNIQUE_VIOLATION, code);
            } else {
                ASSERT_EQ(POLARYS_OK, code) << db_.error.message;
            }
        }
    }

    void compare()
    {
        if (::testing::Test::HasFailure()) {
            return;
        }
        test_index::expect_clean(db_, "t");
        /* Until nothing expires any more, and what did is swept. */
        for (size_t before = documents_.size() + 1; before != documents_.size();) {
            before = documents_.size();
            w_.pass_ms(2500);
            forget_expired();
        }
        auto found = db_.contents("t");
        ASSERT_EQ(documents_.size(), found.size());
        size_t entries = 0;
        for (const auto &each : documents_) {
            ASSERT_EQ(each.second.json(), found[each.first]);
            entries += each.second.entries_of_a();
        }
        test_index::expect_clean(db_, "t");
        if (has("a", POLARYS_INDEX_STATE_READY)) {
            forget_expired();
            ASSERT_EQ(entries, test_index::check(db_, "t", "a").entry_count);
        }
        if (has("u", POLARYS_INDEX_STATE_READY)) {
            ASSERT_EQ(documents_.size(), test_index::check(db_, "t", "u").entry_count);
            ASSERT_TRUE(is_unique(documents_));
        }
    }

    std::mt19937 random_;
    world w_;
    store db_;
    Documents documents_;
};

TEST(IndexModel, RandomWorkloadsKeepIndexesEqualToDocuments)
{
    for (unsigned seed = 1; seed <= 12; seed++) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        Model model(seed);
        model.run(300);
        if (HasFailure()) {
            return;
        }
    }
}

} // namespace
