/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random searches over random documents of few words, against looking at every document.
 */
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/support/search/search_world.h"

namespace {
class Dice {
  public:
    explicit Dice(uint32_t seed) : engine(seed)
    {
    }
    size_t Below(size_t count)
    {
        return engine() % count;
    }

  private:
    std::mt19937 engine;
};

std::string Word(Dice &dice)
{
    static const char *const words[] = {"alpha", "beta", "alphabet", "gamma", "delta",
                                        "al",    "b",    "ber",      "x",     "y"};
    /* The first ones are common. */
    return words[std::min(dice.Below(10), dice.Below(10))];
}

SearchDocument Document(Dice &dice)
{
    SearchDocument document;
    for (size_t i = dice.Below(3); i < 3; i++) {
        std::string text;
        for (size_t j = dice.Below(12); j > 0; j--) {
            text += Word(dice) + (dice.Below(4) == 0 ? ", " : " ");
        }
        document.texts.push_back(text);
    }
    document.expires_at_ms = dice.Below(5) == 0 ? 500 + dice.Below(1000) : 0;
    return document;
}

NaiveQuery Query(Dice &dice, int depth)
{
    NaiveQuery query;
    size_t kind = dice.Below(depth == 0 ? 6 : 10);
    if (kind < 3) {
        query.words = {Word(dice)};
    } else if (kind == 3) {
        query.kind = NaiveQuery::PREFIX;
        std::string word = Word(dice);
        query.words = {word.substr(0, 1 + dice.Below(word.size()))};
    } else if (kind < 6) {
        query.kind = NaiveQuery::PHRASE;
        for (size_t i = 2 + dice.Below(2); i > 0; i--) {
            query.words.push_back(Word(dice));
        }
    } else {
        query.kind = kind < 8 ? NaiveQuery::AND : NaiveQuery::OR;
        for (size_t i = 2 + dice.Below(3); i > 0; i--) {
            query.children.push_back(Query(dice, depth - 1));
            bool may_exclude = query.kind == NaiveQuery::AND && query.children.size() > 1;
            query.children.back().is_excluded = may_exclude && dice.Below(3) == 0;
        }
        std::rotate(query.children.begin(), query.children.begin() + 1, query.children.end());
    }
    return query;
}

void Compare(const SearchAnswer &naive, const SearchAnswer &answer, const std::string &text)
{
    ASSERT_EQ(answer.code, POLARYS_OK) << text << ": " << answer.error.message;
    ASSERT_EQ(answer.total, naive.total) << text;
    std::map<std::string, double> scores(naive.hits.begin(), naive.hits.end());
    for (size_t i = 0; i < answer.hits.size(); i++) {
        const auto &[key, score] = answer.hits[i];
        ASSERT_EQ(scores.count(key), 1u) << text << ": " << key;
        ASSERT_NEAR(scores[key], score, 1e-9) << text << ": " << key;
        ASSERT_NEAR(naive.hits[i].second, score, 1e-9) << text;
        bool is_ordered = i == 0 || answer.hits[i - 1].second > score ||
                          (answer.hits[i - 1].second == score && answer.hits[i - 1].first < key);
        ASSERT_TRUE(is_ordered) << text;
    }
}
} // namespace

TEST(SearchRandom, AnswersAsLookingAtEveryDocument)
{
    for (uint32_t seed = 1; seed <= 25; seed++) {
        Dice dice(seed);
        SearchWorld world("none");
        size_t key_count = 1 + dice.Below(150);
        for (int round = 0; round < 12; round++) {
            for (size_t i = dice.Below(60); i > 0; i--) {
                std::string key = "k" + std::to_string(dice.Below(key_count));
                if (dice.Below(4) == 0) {
                    world.Delete(key);
                } else {
                    world.Put(key, Document(dice));
                }
            }
            for (int i = 0; i < 8; i++) {
                NaiveQuery query = Query(dice, 3);
                size_t top = 1 + dice.Below(200);
                SearchAnswer naive = NaiveSearch(world.documents, query, "none", 1000);
                Compare(naive, world.Search(query.Text(), top, 1000), query.Text());
                if (HasFatalFailure()) {
                    return;
                }
            }
        }
    }
}
