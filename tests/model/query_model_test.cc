/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random documents, indexes, filters, orders, limits and pages; every answer of the store has to equal that of
 * an evaluator written here, which knows nothing of the engine's: it works on trees of its own, from which
 * the texts of documents and filters are made.
 *
 * POLARYS_QUERY_MODEL_OPERATIONS sets how many documents are to be judged and compared.
 */
#include <algorithm>
#include <functional>

#include "engine/engine_index.h"
#include "engine/engine_query.h"
#include "tests/model/query_random.h"
#include "tests/support/engine/test_store.h"

using test_store::bytes_of;
using test_store::json_of;
using test_store::raw_of;
using test_store::store;
using test_store::text_of;
using test_store::world;

namespace {

using namespace query_oracle;

/* ---- the model ---- */

struct document {
    bool is_raw = false;
    value content;
    uint64_t expires_at_ms = 0;
};

using documents = std::map<std::string, document>;

struct moment {
    uint64_t version;
    uint64_t lease_id;
    documents all; /* that never expire */
};

class model : private generator {
  public:
    explicit model(uint64_t seed) : generator(seed), w(seed), db(w, tuned(w))
    {
    }

    void run(uint64_t operations)
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
        for (uint64_t i = 0; compared < operations; i++) {
            SCOPED_TRACE("step " + std::to_string(i));
            step();
            if (::testing::Test::HasFailure()) {
                return;
            }
        }
    }

    uint64_t compared = 0;

  private:
    static polarys_db_options tuned(world &surroundings)
    {
        polarys_db_options options = surroundings.options();
        options.memtable_bytes = 256 << 10;
        return options;
    }

    /* -- changing the store -- */

    void step()
    {
        uint64_t choice = below(100);
        if (choice < 40) {
            change_documents();
        } else if (choice < 50) {
            change_indexes();
        } else if (choice < 53) {
            disturb();
        } else if (choice < 56) {
            remember();
        } else if (choice < 62) {
            look_back();
        } else if (choice < 68) {
            ask_in_transaction();
        } else {
            ask(random_question(), live(), 0);
        }
    }

    void change_documents()
    {
        for (uint64_t i = 1 + below(12); i > 0; i--) {
            std::string key = "k" + std::to_string(below(80));
            if (one_in(5)) {
                ASSERT_EQ(POLARYS_OK, db.remove("t", key)) << db.error.message;
                all.erase(key);
                continue;
            }
            document d;
            if (one_in(8)) {
                d.expires_at_ms = w.now_ms() + 1 + below(3000);
            }
            if (one_in(25)) {
                d.is_raw = true;
                ASSERT_EQ(POLARYS_OK, db.put("t", key, raw_of("{\"a\":1}", d.expires_at_ms)));
            } else {
                d.content = one_in(25)                 ? random_scalar()
                            : has_arrays && one_in(25) ? array_of({random_content()})
                                                       : random_content();
                ASSERT_EQ(POLARYS_OK, db.put("t", key, json_of(d.content.text, d.expires_at_ms)))
                    << db.error.message;
            }
            all[key] = d;
        }
        if (one_in(30)) {
            /* A round with arrays, or one without: from the beginning, so that no marker is left. */
            ASSERT_EQ(POLARYS_OK,
                      polarys_table_truncate(db.db, nullptr, "t", nullptr, &db.result, &db.error));
            all.clear();
            has_arrays = one_in(2);
        }
        w.pass_ms(below(100));
    }

    void change_indexes()
    {
        struct wanted {
            const char *name;
            std::vector<const char *> of;
            polarys_index_kind type;
        };
        static const wanted choices[] = {
            {"a_ordered", {"a"}, POLARYS_INDEX_ORDERED},
            {"b_ordered", {"b"}, POLARYS_INDEX_ORDERED},
            {"ab_ordered", {"a", "b"}, POLARYS_INDEX_ORDERED},
            {"cab_ordered", {"c", "a", "b"}, POLARYS_INDEX_ORDERED},
            {"a_hash", {"a"}, POLARYS_INDEX_HASH},
            {"bc_hash", {"b", "c"}, POLARYS_INDEX_HASH},
            {"de_ordered", {"d.e"}, POLARYS_INDEX_ORDERED},
            {"t_ordered", {"t"}, POLARYS_INDEX_ORDERED},
            {"ct_ordered", {"c", "t"}, POLARYS_INDEX_ORDERED},
            {"t_hash", {"t"}, POLARYS_INDEX_HASH},
        };
        const wanted &choice = choices[below(sizeof(choices) / sizeof(choices[0]))];
        if (indexes.count(choice.name) != 0) {
            if (one_in(2)) {
                ASSERT_EQ(POLARYS_OK, polarys_index_drop(db.db, nullptr, "t", choice.name, nullptr,
                                                         &db.result, &db.error))
                    << db.error.message;
                indexes.erase(choice.name);
            }
            return;
        }
        polarys_index_options options{};
        options.name = choice.name;
        options.fields = choice.of.data();
        options.field_count = choice.of.size();
        options.kind = choice.type;
        ASSERT_EQ(POLARYS_OK, polarys_index_create(db.db, nullptr, "t", &options, nullptr, nullptr,
                                                   &db.result, &db.error))
            << db.error.message;
        sim_executor_run_all(w.executor);
        ASSERT_EQ(POLARYS_OK, polarys_index_wait(db.db, nullptr, "t", choice.name, 0, &db.error))
            << db.error.message;
        indexes.insert(choice.name);
    }

    void disturb()
    {
        if (one_in(2)) {
            ASSERT_EQ(POLARYS_OK, polarys_db_flush(db.db, nullptr, &db.error));
        } else if (one_in(2)) {
            ASSERT_EQ(POLARYS_OK, polarys_db_compact(db.db, nullptr, nullptr, &db.error));
        } else if (one_in(2)) {
            ASSERT_EQ(POLARYS_OK, polarys_table_analyze(db.db, nullptr, "t", &db.error))
                << db.error.message;
        } else {
            moments.clear();
            ASSERT_EQ(POLARYS_OK, db.close()) << db.error.message;
            ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        }
    }

    documents live()
    {
        documents found;
        for (const auto &[key, d] : all) {
            if (d.expires_at_ms == 0 || d.expires_at_ms > w.now_ms()) {
                found[key] = d;
            }
        }
        return found;
    }

    void remember()
    {
        moment now{0, 0, {}};
        /* Old versions judge expiry by commit times, which are sampled. */
        for (const auto &[key, d] : all) {
            if (d.expires_at_ms != 0) {
                return;
            }
        }
        now.all = all;
        ASSERT_EQ(POLARYS_OK, polarys_snapshot_acquire(db.db, 0, 3000000, &now.lease_id,
                                                       &now.version, &db.error));
        moments.push_back(now);
        if (moments.size() > 6) {
            polarys_snapshot_release(db.db, moments.front().lease_id);
            moments.erase(moments.begin());
        }
    }

    /* An old version, with indexes that may have been made since. */
    void look_back()
    {
        if (!moments.empty()) {
            const moment &then = moments[below(moments.size())];
            ask(random_question(), then.all, then.version);
        }
    }

    /* -- asking -- */

    value sorts_by(const document &d, const order_field &by)
    {
        std::vector<value> found;
        bool is_there = false;
        bool has_array = false;
        value best;
        if (!d.is_raw) {
            collect(d.content, by.of->path, 0, found, is_there, has_array);
        }
        for (const value &each : found) {
            if (best.type == kind::missing ||
                (by.is_descending ? compare(each, best) > 0 : compare(each, best) < 0)) {
                best = each;
            }
        }
        return best;
    }

    bool comes_before(const question &q, const documents &from, const std::string &a,
                      const std::string &b)
    {
        for (const order_field &by : q.order) {
            int order = compare(sorts_by(from.at(a), by), sorts_by(from.at(b), by));
            if (order != 0) {
                return by.is_descending ? order > 0 : order < 0;
            }
        }
        return q.order[0].is_descending ? a > b : a < b;
    }

    /* All keys that match, in order if there is one. */
    std::vector<std::string> expected_of(const question &q, const documents &from)
    {
        std::vector<std::string> keys;
        for (const auto &[key, d] : from) {
            if (!q.has_filter || (!d.is_raw && matches(q.what, d.content))) {
                keys.push_back(key);
            }
        }
        if (!q.order.empty()) {
            std::sort(keys.begin(), keys.end(), [&](const std::string &a, const std::string &b) {
                return comes_before(q, from, a, b);
            });
        }
        return keys;
    }

    /* One query to its end; appends the keys; leaves a cursor. */
    void run_query(const polarys_query_options &options, const documents &from,
                   std::vector<std::string> &keys, std::string &cursor)
    {
        polarys_query *query = nullptr;
        ASSERT_EQ(POLARYS_OK, polarys_query_open(db.db, &options, &query, &db.error))
            << db.error.message;
        for (;;) {
            bool has_document;
            polarys_document found{};
            polarys_code code =
                polarys_query_next(query, nullptr, nullptr, &has_document, &found, &db.error);
            EXPECT_EQ(POLARYS_OK, code) << db.error.message;
            if (code != POLARYS_OK || !has_document) {
                break;
            }
            keys.push_back(text_of(found.key));
            auto known = from.find(keys.back());
            EXPECT_TRUE(known != from.end()) << keys.back();
            if (known != from.end() && !known->second.is_raw) {
                EXPECT_EQ(known->second.content.text, text_of(found.value.bytes));
            }
        }
        polarys_slice place;
        EXPECT_EQ(POLARYS_OK, polarys_query_cursor(query, &place, &db.error));
        cursor = text_of(place);
        polarys_query_close(query);
    }

    void expect_same(const question &q, const std::vector<std::string> &expected,
                     std::vector<std::string> got, uint64_t limit)
    {
        if (!q.order.empty()) {
            std::vector<std::string> head(
                expected.begin(),
                expected.begin() + static_cast<long>(std::min<uint64_t>(limit, expected.size())));
            ASSERT_EQ(head, got);
            return;
        }
        std::sort(got.begin(), got.end());
        ASSERT_EQ(std::min<uint64_t>(limit, expected.size()), got.size());
        ASSERT_TRUE(std::adjacent_find(got.begin(), got.end()) == got.end());
        ASSERT_TRUE(std::includes(expected.begin(), expected.end(), got.begin(), got.end()));
    }

    void ask_with(const question &q, const documents &from, uint64_t version,
                  const std::vector<std::string> &expected, const char *use_index)
    {
        polarys_query_options options{};
        options.table = "t";
        options.filter = bytes_of(q.text);
        options.order_by = bytes_of(q.order_text);
        options.version = version;
        options.txn = txn;
        options.use_index = use_index;
        options.limit = one_in(2) ? 0 : 1 + below(20);
        std::string known;
        for (const auto &[key, d] : from) {
            known += key + (d.is_raw ? " raw" : d.content.text) + "\n";
        }
        std::string had;
        for (const std::string &name : indexes) {
            had += " " + name;
        }
        SCOPED_TRACE(from.size() < 200 ? known : std::string("many documents"));
        SCOPED_TRACE("indexes" + had);
        SCOPED_TRACE("filter " + q.text + "; order " + q.order_text + "; limit " +
                     std::to_string(options.limit) + "; index " +
                     (use_index == nullptr ? "(chosen)" : use_index));
        uint64_t limit = options.limit == 0 ? UINT64_MAX : options.limit;
        bool is_paged = options.limit != 0 && one_in(2);
        std::vector<std::string> got;
        std::string cursor;
        run_query(options, from, got, cursor);
        /* Page by page, each with an index of its own choosing. */
        while (is_paged && !::testing::Test::HasFailure()) {
            size_t before = got.size();
            std::string last = cursor;
            options.cursor = bytes_of(last);
            options.use_index = one_in(2) ? use_index : nullptr;
            run_query(options, from, got, cursor);
            if (got.size() == before) {
                limit = UINT64_MAX;
                break;
            }
        }
        if (!::testing::Test::HasFailure()) {
            expect_same(q, expected, got, limit);
        }
        if (use_index == nullptr || one_in(4)) {
            uint64_t count = 0;
            ASSERT_EQ(POLARYS_OK, polarys_query_count(db.db, &options, nullptr, nullptr, nullptr,
                                                      &count, &db.error))
                << db.error.message;
            ASSERT_EQ(expected.size(), count);
        }
        compared += from.size();
    }

    /* With writes of the transaction's own on top. Nothing of it stays. */
    void ask_in_transaction()
    {
        polarys_txn_options options{};
        options.isolation = one_in(2) ? POLARYS_ISOLATION_SERIALIZABLE : POLARYS_ISOLATION_SNAPSHOT;
        ASSERT_EQ(POLARYS_OK, polarys_txn_begin(db.db, nullptr, &options, &txn, &db.error))
            << db.error.message;
        documents seen = live();
        for (uint64_t i = below(10); i > 0; i--) {
            std::string key = "k" + std::to_string(below(80));
            if (one_in(4)) {
                ASSERT_EQ(POLARYS_OK,
                          polarys_txn_delete(txn, "t", bytes_of(key), 0, nullptr, &db.error));
                seen.erase(key);
                continue;
            }
            document d;
            d.content = random_content();
            polarys_value written = json_of(d.content.text);
            ASSERT_EQ(POLARYS_OK, polarys_txn_put(txn, "t", bytes_of(key), &written, 0, &db.error))
                << db.error.message;
            seen[key] = d;
        }
        for (int i = 0; i < 3 && !::testing::Test::HasFailure(); i++) {
            ask(random_question(), seen, 0);
        }
        ASSERT_EQ(POLARYS_OK, polarys_txn_rollback(txn, &db.error));
        polarys_txn_release(txn);
        txn = nullptr;
    }

    void ask(const question &q, const documents &from, uint64_t version)
    {
        std::vector<std::string> expected = expected_of(q, from);
        ask_with(q, from, version, expected, nullptr);
        ask_with(q, from, version, expected, "");
        if (version != 0) {
            return; /* an index may not have been there */
        }
        for (const std::string &name : indexes) {
            if (::testing::Test::HasFailure()) {
                return;
            }
            ask_with(q, from, version, expected, name.c_str());
        }
    }

    world w;
    store db;
    documents all;
    std::set<std::string> indexes;
    std::vector<moment> moments;
    polarys_txn *txn = nullptr; /* that is asked in */
};

uint64_t operations_wanted()
{
    const char *wanted = getenv("POLARYS_QUERY_MODEL_OPERATIONS");
    if (wanted != nullptr) {
        return strtoull(wanted, nullptr, 10);
    }
    return getenv("POLARYS_TEST_LONG") != nullptr ? 10000000 : 300000;
}

} // namespace

TEST(QueryModel, AnswersAsLookingAtEachDocumentWould)
{
    uint64_t seed = sim_seed(std::random_device{}());
    uint64_t wanted = operations_wanted();
    std::cout << "seed " << seed << ", documents to be judged " << wanted << "\n";
    uint64_t compared = 0;
    for (uint64_t round = 0; compared < wanted; round++) {
        SCOPED_TRACE("round " + std::to_string(round));
        model m(seed + round);
        m.run(std::min<uint64_t>(wanted - compared, 100000));
        compared += m.compared;
        ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed;
    }
    std::cout << "documents judged and compared: " << compared << "\n";
}
