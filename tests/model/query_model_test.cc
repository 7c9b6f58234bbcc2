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
/* In C a struct and a function may have one name. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "engine/engine_query.h"
#pragma GCC diagnostic pop
#include "tests/support/engine/test_store.h"

using test_store::bytes_of;
using test_store::json_of;
using test_store::raw_of;
using test_store::store;
using test_store::text_of;
using test_store::world;

namespace {

/* ---- values ---- */

enum class kind { missing, null, no, yes, number, string, array, object };

/* Numbers and strings are known by their place in a table that is in order. */
struct number_text {
    int rank;
    const char *text;
};
const number_text numbers[] = {
    {-9, "-1e400"},
    {-8, "-123456789012345678901234567890.5"},
    {-7, "-123456789012345678901234567890"},
    {-3, "-5"},
    {-3, "-5.0"},
    {-2, "-4.5"},
    {-2, "-45e-1"},
    {0, "0"},
    {0, "-0"},
    {0, "0.000"},
    {1, "1e-30"},
    {2, "1"},
    {2, "1.0"},
    {2, "10e-1"},
    {3, "1.0000000000000000000000001"},
    {4, "2"},
    {5, "3"},
    {5, "0.3E+1"},
    {6, "10"},
    {7, "9007199254740992"},
    {8, "9007199254740993"},
    {9, "1e30"},
    {9, "1000000000000000000000000000000"},
    {10, "1e31"},
};

struct string_text {
    const char *characters;
    const char *json; /* between the quotes */
};
const string_text strings[] = {
    {"", ""},
    {"a", "a"},
    {"a", "\\u0061"},
    {"A", "A"},
    {"ab", "ab"},
    {"ab", "a\\u0062"},
    {"abc", "abc"},
    {"b", "b"},
    {"bab", "bab"},
    {"*", "*"},
    {"a*", "a*"},
    {"1", "1"},
    {"\xc3\xa4", "\xc3\xa4"},
    {"\xc3\xa4", "\\u00e4"},
    {"a\nb", "a\\nb"},
    {"\"", "\\\""},
    {"\\", "\\\\"},
    {"true", "true"},
};

struct value {
    kind type = kind::missing;
    int rank = 0;
    std::string characters;
    std::string text; /* JSON */
    std::vector<value> elements;
    std::vector<std::pair<std::string, value>> members;
};

using member = std::pair<std::string, value>;

/* Of scalars and what is missing. */
int compare(const value &a, const value &b)
{
    if (a.type != b.type) {
        return a.type < b.type ? -1 : 1;
    }
    if (a.type == kind::number) {
        return a.rank < b.rank ? -1 : a.rank > b.rank;
    }
    return a.type == kind::string ? a.characters.compare(b.characters) : 0;
}

/* The values of a path, one for each element of an array; an array is there whatever is in it. */
void collect(const value &of, const std::vector<std::string> &path, size_t at,
             std::vector<value> &found, bool &is_there, bool &has_array)
{
    if (at == path.size()) {
        is_there = true;
        has_array = has_array || of.type == kind::array;
        if (of.type == kind::array) {
            found.insert(found.end(), of.elements.begin(), of.elements.end());
        } else {
            found.push_back(of);
        }
        return;
    }
    if (of.type == kind::object) {
        for (const member &each : of.members) {
            if (each.first == path[at]) {
                collect(each.second, path, at + 1, found, is_there, has_array);
            }
        }
    } else if (of.type == kind::array) {
        for (const value &each : of.elements) {
            if (each.type == kind::object) {
                collect(each, path, at, found, is_there, has_array);
            }
        }
    }
}

/* ---- filters ---- */

struct field {
    const char *text;
    std::vector<std::string> path;
};
const field fields[] = {
    {"a", {"a"}},
    {"b", {"b"}},
    {"c", {"c"}},
    {"d.e", {"d", "e"}},
    {"`d`.`f g`", {"d", "f g"}},
    {"t", {"t"}},
    {"none", {"none"}},
};
constexpr size_t FIELD_COUNT = sizeof(fields) / sizeof(fields[0]);

struct filter {
    enum what {
        all,
        any,
        no,
        equal,
        unequal,
        less,
        less_equal,
        greater,
        greater_equal,
        has,
        there,
        in,
        like,
        unlike
    };
    what type = equal;
    std::vector<filter> parts;
    const field *of = nullptr;
    std::vector<value> literals;
    bool is_open_start = false;
    bool is_open_end = false;
};

bool like(const filter &f, const value &v)
{
    const std::string &part = f.literals[0].characters;
    if (v.type != kind::string) {
        return false;
    }
    size_t at = v.characters.find(part);
    if (f.is_open_start && f.is_open_end) {
        return at != std::string::npos;
    }
    if (f.is_open_end) {
        return at == 0;
    }
    return v.characters.size() >= part.size() &&
           v.characters.compare(v.characters.size() - part.size(), part.size(), part) == 0;
}

/* One value against one condition. */
bool holds(const filter &f, const value &v)
{
    bool is_same_type = !f.literals.empty() && v.type == f.literals[0].type;
    int order = is_same_type ? compare(v, f.literals[0]) : 0;
    switch (f.type) {
    case filter::equal:
    case filter::unequal:
        return is_same_type && order == 0;
    case filter::less:
        return is_same_type && order < 0;
    case filter::less_equal:
        return is_same_type && order <= 0;
    case filter::greater:
        return is_same_type && order > 0;
    case filter::greater_equal:
        return is_same_type && order >= 0;
    case filter::has:
        if (v.type == kind::object && f.literals[0].type == kind::string) {
            return std::any_of(v.members.begin(), v.members.end(), [&](const member &each) {
                return each.first == f.literals[0].characters;
            });
        }
        return is_same_type && order == 0;
    case filter::there:
        return v.type != kind::null;
    case filter::in:
        return std::any_of(f.literals.begin(), f.literals.end(), [&](const value &each) {
            return each.type == v.type && compare(each, v) == 0;
        });
    default:
        return like(f, v);
    }
}

bool matches(const filter &f, const value &document)
{
    if (f.type == filter::no) {
        return !matches(f.parts[0], document);
    }
    if (f.type == filter::all || f.type == filter::any) {
        bool is_all = f.type == filter::all;
        for (const filter &each : f.parts) {
            if (matches(each, document) != is_all) {
                return !is_all;
            }
        }
        return is_all;
    }
    std::vector<value> found;
    bool is_there = false;
    bool has_array = false;
    collect(document, f.of->path, 0, found, is_there, has_array);
    bool any = std::any_of(found.begin(), found.end(), [&](const value &v) { return holds(f, v); });
    if (f.type == filter::unequal || f.type == filter::unlike) {
        return is_there && !any;
    }
    return any || (f.type == filter::there && has_array);
}

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

struct order_field {
    const field *of;
    bool is_descending;
};

struct question {
    bool has_filter = false;
    filter what;
    std::string text;
    std::vector<order_field> order;
    std::string order_text;
};

class model {
  public:
    explicit model(uint64_t seed) : w(seed), db(w, tuned(w)), chance(seed)
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

    uint64_t below(uint64_t bound)
    {
        return chance() % bound;
    }

    bool one_in(uint64_t of)
    {
        return below(of) == 0;
    }

    /* -- making values -- */

    value random_scalar()
    {
        value v;
        switch (below(12)) {
        case 0:
            v.type = kind::null;
            v.text = "null";
            break;
        case 1:
            v.type = kind::no;
            v.text = "false";
            break;
        case 2:
            v.type = kind::yes;
            v.text = "true";
            break;
        case 3:
        case 4:
        case 5:
        case 6:
        case 7: {
            const number_text &n = numbers[below(sizeof(numbers) / sizeof(numbers[0]))];
            v.type = kind::number;
            v.rank = n.rank;
            v.text = n.text;
            break;
        }
        default: {
            const string_text &s = strings[below(sizeof(strings) / sizeof(strings[0]))];
            v.type = kind::string;
            v.characters = s.characters;
            v.text = std::string("\"") + s.json + "\"";
            break;
        }
        }
        return v;
    }

    std::string space()
    {
        return one_in(12) ? " " : "";
    }

    value array_of(std::vector<value> elements)
    {
        value v;
        v.type = kind::array;
        v.text = "[" + space();
        for (size_t i = 0; i < elements.size(); i++) {
            v.text += (i == 0 ? "" : ",") + space() + elements[i].text;
        }
        v.text += space() + "]";
        v.elements = std::move(elements);
        return v;
    }

    value object_of(std::vector<member> members)
    {
        value v;
        v.type = kind::object;
        v.text = "{" + space();
        for (size_t i = 0; i < members.size(); i++) {
            v.text += (i == 0 ? "\"" : ",\"") + members[i].first + "\"" + space() + ":" +
                      members[i].second.text;
        }
        v.text += "}";
        v.members = std::move(members);
        return v;
    }

    value random_array(bool may_nest)
    {
        std::vector<value> elements;
        for (uint64_t i = below(4); i > 0; i--) {
            bool is_nested = may_nest && one_in(6);
            elements.push_back(is_nested ? array_of({random_scalar()}) : random_scalar());
        }
        return array_of(std::move(elements));
    }

    value random_object(bool may_nest)
    {
        std::vector<member> members;
        for (const char *name : {"e", "f g", "a"}) {
            if (one_in(2)) {
                members.emplace_back(name,
                                     one_in(5) && may_nest ? random_array(true) : random_scalar());
            }
        }
        return object_of(std::move(members));
    }

    /* Arrays only in rounds that have them: without, ranges and orders take other ways. */
    value random_content()
    {
        std::vector<member> members;
        for (const char *name : {"a", "b", "c"}) {
            if (!one_in(5)) {
                members.emplace_back(name, has_arrays && one_in(5) ? random_array(false)
                                                                   : random_scalar());
            }
        }
        if (one_in(2)) {
            std::vector<value> elements;
            if (has_arrays && one_in(2)) {
                for (uint64_t i = below(3); i > 0; i--) {
                    elements.push_back(one_in(4) ? random_scalar() : random_object(true));
                }
                members.emplace_back("d", array_of(std::move(elements)));
            } else {
                members.emplace_back("d", one_in(6) ? random_scalar() : random_object(has_arrays));
            }
        }
        if (has_arrays && one_in(2)) {
            members.emplace_back("t", one_in(4) ? random_object(true) : random_array(true));
        } else if (one_in(3)) {
            members.emplace_back("t", one_in(4) ? random_object(false) : random_scalar());
        }
        std::shuffle(members.begin(), members.end(), chance);
        return object_of(std::move(members));
    }

    /* -- making filters -- */

    filter random_condition(std::string &text)
    {
        filter f;
        f.of = &fields[below(FIELD_COUNT)];
        static const char *const signs[] = {"=", "!=", "<", "<=", ">", ">=", ":"};
        text = std::string(f.of->text) + space();
        uint64_t choice = below(12);
        if (choice < 7) {
            f.type = static_cast<filter::what>(filter::equal + choice);
            value literal = random_scalar();
            while (choice >= 2 && choice <= 5 && literal.type != kind::number &&
                   literal.type != kind::string) {
                literal = random_scalar();
            }
            text += signs[choice] + space() + literal_text(literal);
            f.literals.push_back(literal);
        } else if (choice == 7) {
            f.type = filter::there;
            text += ":*";
        } else if (choice < 10) {
            f.type = filter::in;
            text += one_in(2) ? " IN (" : " in(";
            for (uint64_t i = 1 + below(one_in(10) ? 30 : 4); i > 0; i--) {
                f.literals.push_back(random_scalar());
                text += literal_text(f.literals.back()) + (i > 1 ? ", " : ")");
            }
        } else {
            f.type = one_in(3) ? filter::unlike : filter::like;
            f.is_open_start = one_in(3);
            f.is_open_end = !f.is_open_start || one_in(2);
            value literal = random_scalar();
            while (literal.type != kind::string) {
                literal = random_scalar();
            }
            text += f.type == filter::like ? "= " : "!= ";
            text += pattern_text(f, literal);
            f.literals.push_back(literal);
        }
        return f;
    }

    /* Stars at the ends are no wildcards. */
    static std::string stars_escaped(const std::string &json)
    {
        std::string text;
        for (char byte : json) {
            text += byte == '*' ? std::string("\\*") : std::string(1, byte);
        }
        return text;
    }

    static std::string literal_text(const value &v)
    {
        return v.type == kind::string ? stars_escaped(v.text) : v.text;
    }

    static std::string pattern_text(const filter &f, const value &v)
    {
        std::string inside = stars_escaped(v.text.substr(1, v.text.size() - 2));
        return "\"" + std::string(f.is_open_start ? "*" : "") + inside +
               (f.is_open_end ? "*" : "") + "\"";
    }

    filter random_filter(int depth, std::string &text)
    {
        if (depth == 0 || one_in(3)) {
            return random_condition(text);
        }
        filter f;
        if (one_in(6)) {
            std::string inner;
            f.type = filter::no;
            f.parts.push_back(random_filter(depth - 1, inner));
            text = (one_in(2) ? "NOT (" : "-(") + inner + ")";
            return f;
        }
        f.type = one_in(3) ? filter::any : filter::all;
        text.clear();
        for (uint64_t i = 2 + below(3); i > 0; i--) {
            std::string inner;
            f.parts.push_back(random_filter(depth - 1, inner));
            bool is_simple = f.parts.back().parts.empty();
            text += is_simple ? inner : "(" + inner + ")";
            text += i == 1 ? "" : f.type == filter::any ? " OR " : " AND ";
        }
        return f;
    }

    question random_question()
    {
        question q;
        q.has_filter = !one_in(10);
        if (q.has_filter) {
            q.what = random_filter(3, q.text);
        }
        if (one_in(2)) {
            bool is_even = one_in(2);
            bool is_descending = one_in(2);
            for (uint64_t i = 1 + below(2); i > 0; i--) {
                bool is_down = is_even ? is_descending : one_in(2);
                /* Only fields whose values are scalars, or arrays of them. */
                q.order.push_back({&fields[below(3)], is_down});
                q.order_text += (q.order_text.empty() ? "" : ", ") +
                                std::string(q.order.back().of->text) + (is_down ? " desc" : "");
            }
        }
        return q;
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
                          polarys_txn_delete(txn, "t", bytes_of(key), nullptr, &db.error));
                seen.erase(key);
                continue;
            }
            document d;
            d.content = random_content();
            polarys_value written = json_of(d.content.text);
            ASSERT_EQ(POLARYS_OK, polarys_txn_put(txn, "t", bytes_of(key), &written, &db.error))
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
    std::mt19937_64 chance;
    documents all;
    std::set<std::string> indexes;
    std::vector<moment> moments;
    polarys_txn *txn = nullptr; /* that is asked in */
    bool has_arrays = true;
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
