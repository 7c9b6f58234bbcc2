/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random searches over random documents of few words, against looking at every document.
 */
#include <gtest/gtest.h>

#include <string>

#include "tests/support/search/search_random.h"

using search_random::dice;

namespace {
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
        dice from(seed);
        SearchWorld world("none");
        size_t key_count = 1 + from.below(150);
        for (int round = 0; round < 12; round++) {
            for (size_t i = from.below(60); i > 0; i--) {
                std::string key = "k" + std::to_string(from.below(key_count));
                if (from.below(4) == 0) {
                    world.Delete(key);
                } else {
                    uint64_t expires_at_ms = from.below(5) == 0 ? 500 + from.below(1000) : 0;
                    world.Put(key, search_random::document(from, expires_at_ms));
                }
            }
            for (int i = 0; i < 8; i++) {
                NaiveQuery query = search_random::query(from, 3);
                size_t top = 1 + from.below(200);
                SearchAnswer naive = NaiveSearch(world.documents, query, "none", 1000);
                Compare(naive, world.Search(query.Text(), top, 1000), query.Text());
                if (HasFatalFailure()) {
                    return;
                }
            }
        }
    }
}
