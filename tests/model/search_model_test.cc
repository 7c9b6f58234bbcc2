/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store with a text index against looking at every document: random documents of few words are put,
 * updated, deleted and expire, and random searches have to give what the naive evaluator gives, at the newest
 * version and at older ones, also after the store was opened again.
 */
/* In C a struct and a function may have one name. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "engine/engine_index.h"
#include "engine/engine_query.h"
#pragma GCC diagnostic pop
#include "tests/support/engine/test_store.h"
#include "tests/support/search/search_random.h"

#include <gtest/gtest.h>

using search_random::dice;
using search_random::query;
using test_store::batch;
using test_store::bytes_of;
using test_store::json_of;
using test_store::store;
using test_store::text_of;
using test_store::world;

namespace {

using Documents = std::map<std::string, SearchDocument>;

SearchDocument mortal_document(dice &from, uint64_t now_ms)
{
    /* Not before the ticks of one test have moved the clock, unless it sweeps. */
    uint64_t expires_at_ms = from.below(6) == 0 ? now_ms + 10000 + from.below(20000) : 0;
    return search_random::document(from, expires_at_ms);
}

/* The first text as a string, the others as an array: two fields of one index. */
std::string json(const SearchDocument &document)
{
    std::string text = "{\"n\": 1, \"more\": [7";
    for (size_t i = 1; i < document.texts.size(); i++) {
        text += ", \"" + document.texts[i] + "\"";
    }
    return text + "], \"t\": \"" + document.texts[0] + "\"}";
}

/* A store with a table "d" whose fields t and more are indexed. */
class Model {
  public:
    explicit Model(uint64_t seed) : surroundings(seed), db(surroundings)
    {
        EXPECT_EQ(POLARYS_OK, db.open()) << db.error.message;
        EXPECT_EQ(POLARYS_OK, db.create_table("d"));
    }

    void create_index()
    {
        const char *fields[] = {"t", "more"};
        polarys_index_options options{};
        options.name = "words";
        options.fields = fields;
        options.field_count = 2;
        options.kind = POLARYS_INDEX_TEXT;
        options.language = "none";
        ASSERT_EQ(POLARYS_OK, polarys_index_create(db.db, nullptr, "d", &options, nullptr, nullptr,
                                                   nullptr, &err))
            << err.message;
        ASSERT_EQ(POLARYS_OK, polarys_index_wait(db.db, nullptr, "d", "words", 10000, &err))
            << err.message;
    }

    /* One commit of a few changes. */
    void change(dice &from)
    {
        batch changes(db);
        for (size_t i = 1 + from.below(6); i > 0; i--) {
            std::string key = "k" + std::to_string(from.below(60));
            if (from.below(4) == 0) {
                ASSERT_EQ(POLARYS_OK, changes.remove("d", key));
                documents.erase(key);
                continue;
            }
            SearchDocument made = mortal_document(from, surroundings.now_ms());
            polarys_value value = json_of(json(made), made.expires_at_ms);
            std::string text = json(made);
            value.bytes = bytes_of(text);
            ASSERT_EQ(POLARYS_OK, changes.put("d", key, value));
            documents[key] = made;
        }
        if (from.below(10) == 0) {
            ASSERT_EQ(POLARYS_OK, changes.remove_range("d", "k1", "k2"));
            documents.erase(documents.lower_bound("k1"), documents.lower_bound("k2"));
        }
        ASSERT_EQ(POLARYS_OK, changes.commit()) << changes.error.message;
    }

    SearchAnswer search(const std::string &text, uint64_t version, uint64_t limit)
    {
        SearchAnswer answer;
        polarys_search_options options{};
        options.table = "d";
        options.text = bytes_of(text);
        options.version = version;
        options.limit = limit;
        answer.code = polarys_search(
            db.db, &options, nullptr,
            [](void *context, const polarys_search_hit *hit) {
                auto *hits = static_cast<std::vector<std::pair<std::string, double>> *>(context);
                hits->emplace_back(text_of(hit->document.key), hit->score);
                return true;
            },
            &answer.hits, nullptr, &answer.total, &answer.error);
        return answer;
    }

    world surroundings;
    store db;
    Documents documents;
    polarys_error err{};
};

void compare(const SearchAnswer &naive, const SearchAnswer &answer, const std::string &text)
{
    ASSERT_EQ(answer.code, POLARYS_OK) << text << ": " << answer.error.message;
    ASSERT_EQ(answer.total, naive.total) << text;
    std::map<std::string, double> scores(naive.hits.begin(), naive.hits.end());
    for (size_t i = 0; i < answer.hits.size(); i++) {
        const auto &[key, score] = answer.hits[i];
        ASSERT_EQ(scores.count(key), 1u) << text << ": " << key;
        ASSERT_NEAR(scores[key], score, 1e-9) << text << ": " << key;
        ASSERT_NEAR(naive.hits[i].second, score, 1e-9) << text;
    }
}

/* Documents that have expired count for scores until they are deleted: so none may have, where scores are
 * compared. Leaves out those that the sweep deletes. */
void sweep(Model &model)
{
    model.surroundings.pass_ms(3000);
    for (auto each = model.documents.begin(); each != model.documents.end();) {
        bool is_over = each->second.expires_at_ms != 0 &&
                       each->second.expires_at_ms <= model.surroundings.now_ms();
        each = is_over ? model.documents.erase(each) : std::next(each);
    }
}

} // namespace

TEST(SearchModel, AnswersAsLookingAtEveryDocument)
{
    for (uint32_t seed = 1; seed <= 4; seed++) {
        dice from(seed);
        Model model(seed);
        for (int i = 0; i < 10; i++) {
            model.change(from);
        }
        model.create_index();
        std::map<uint64_t, Documents> past;
        for (int round = 0; round < 25; round++) {
            model.change(from);
            past[polarys_db_version(model.db.db)] = model.documents;
            if (round == 12) {
                ASSERT_EQ(POLARYS_OK, model.db.close());
                ASSERT_EQ(POLARYS_OK, model.db.open());
            }
            for (int i = 0; i < 6; i++) {
                NaiveQuery asked = query(from, 2);
                SearchAnswer naive = NaiveSearch(model.documents, asked, "none", 1);
                SearchAnswer answer =
                    model.search(asked.Text(), POLARYS_VERSION_NEWEST, 1 + from.below(60));
                compare(naive, answer, asked.Text());
                auto then = std::next(past.begin(), static_cast<long>(from.below(past.size())));
                naive = NaiveSearch(then->second, asked, "none", 1);
                compare(naive, model.search(asked.Text(), then->first, 100), asked.Text());
                if (::testing::Test::HasFatalFailure()) {
                    return;
                }
            }
        }
    }
}

TEST(SearchModel, ForgetsWhatExpired)
{
    dice from(9);
    Model model(9);
    model.create_index();
    for (int round = 0; round < 15; round++) {
        model.change(from);
        sweep(model);
        NaiveQuery asked = query(from, 2);
        compare(NaiveSearch(model.documents, asked, "none", model.surroundings.now_ms()),
                model.search(asked.Text(), POLARYS_VERSION_NEWEST, 100), asked.Text());
    }
}
