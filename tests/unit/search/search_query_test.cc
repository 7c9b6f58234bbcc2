/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Searching: the language, who is found, how the found are ranked, and how it fails.
 */
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "engine/search/search_posting.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/search/search_world.h"

using Strings = std::vector<std::string>;

namespace {
/* The keys found, in key order. */
Strings Found(SearchWorld &world, const std::string &text)
{
    SearchAnswer answer = world.Search(text);
    EXPECT_EQ(answer.code, POLARYS_OK) << text << ": " << answer.error.message;
    Strings keys = answer.keys();
    std::sort(keys.begin(), keys.end());
    EXPECT_EQ(answer.total, keys.size());
    return keys;
}

class SearchLanguage : public testing::Test {
  protected:
    SearchLanguage()
    {
        world.Put("a", "the quick brown fox jumps over the lazy dog");
        world.Put("b", "quick foxes are not lazy");
        world.Put("c", "a brown dog, quick to bark");
        world.Put("d", SearchDocument{{"brown", "fox hole", "dogs"}, 0});
    }
    SearchWorld world;
};
} // namespace

TEST_F(SearchLanguage, RequiresEveryWord)
{
    EXPECT_EQ(Found(world, "quick"), (Strings{"a", "b", "c"}));
    EXPECT_EQ(Found(world, "quick brown"), (Strings{"a", "c"}));
    EXPECT_EQ(Found(world, "quick AND brown"), (Strings{"a", "c"}));
    EXPECT_EQ(Found(world, "QUICK Foxes"), (Strings{"a", "b"}));
    EXPECT_EQ(Found(world, "quick unicorn"), Strings{});
}

TEST_F(SearchLanguage, FindsPhrasesInOneTextOnly)
{
    EXPECT_EQ(Found(world, "\"brown fox\""), (Strings{"a"}));
    EXPECT_EQ(Found(world, "\"fox hole\""), (Strings{"d"}));
    EXPECT_EQ(Found(world, "\"fox brown\""), Strings{});
    EXPECT_EQ(Found(world, "\"the lazy dog\""), (Strings{"a"}));
    EXPECT_EQ(Found(world, "lazy-dog"), (Strings{"a"}));
    EXPECT_EQ(Found(world, "\"lazy\""), (Strings{"a", "b"}));
}

TEST_F(SearchLanguage, FindsPrefixes)
{
    EXPECT_EQ(Found(world, "qui*"), (Strings{"a", "b", "c"}));
    EXPECT_EQ(Found(world, "b*"), (Strings{"a", "c", "d"}));
    EXPECT_EQ(Found(world, "jumping*"), (Strings{"a"}));
    EXPECT_EQ(Found(world, "lazy-d*"), (Strings{"a"}));
    EXPECT_EQ(Found(world, "zzz*"), Strings{});
}

TEST_F(SearchLanguage, LeavesOutWhatIsExcluded)
{
    EXPECT_EQ(Found(world, "quick -brown"), (Strings{"b"}));
    EXPECT_EQ(Found(world, "-lazy quick"), (Strings{"c"}));
    EXPECT_EQ(Found(world, "brown -\"brown fox\""), (Strings{"c", "d"}));
    EXPECT_EQ(Found(world, "quick -(brown dog)"), (Strings{"b"}));
    EXPECT_EQ(Found(world, "quick -la* -unicorn"), (Strings{"c"}));
}

TEST_F(SearchLanguage, BindsWordsTighterThanOr)
{
    EXPECT_EQ(Found(world, "hole OR quick brown"), (Strings{"a", "c", "d"}));
    EXPECT_EQ(Found(world, "(hole OR quick) brown"), (Strings{"a", "c", "d"}));
    EXPECT_EQ(Found(world, "bark OR hole OR unicorn"), (Strings{"c", "d"}));
    EXPECT_EQ(Found(world, "fox (bark OR lazy)"), (Strings{"a", "b"}));
    EXPECT_EQ(Found(world, "or"), Strings{});
}

TEST_F(SearchLanguage, PassesOverSigns)
{
    EXPECT_EQ(Found(world, "quick - brown"), (Strings{"a", "c"}));
    EXPECT_EQ(Found(world, "+++ quick ,, \"\""), (Strings{"a", "b", "c"}));
    EXPECT_EQ(Found(world, "  \t\nquick\r "), (Strings{"a", "b", "c"}));
}

TEST_F(SearchLanguage, TellsWhereASearchIsWrong)
{
    const struct {
        const char *text;
        const char *position;
    } cases[] = {
        {"", "0"},         {"   ", "3"},       {"++", "2"},         {"quick OR", "8"},
        {"OR quick", "0"}, {"a OR OR b", "5"}, {"\"quick", "6"},    {"(quick", "6"},
        {"quick)", "5"},   {"-quick", "6"},    {"a OR -b", "7"},    {"*", "0"},
        {"quick **", "6"}, {"()", "1"},        {"a AND", "5"},      {"a AND AND b", "6"},
        {"AND a", "0"},    {"(-a) b", "3"},    {"\"quick\"*", "7"},
    };
    for (const auto &each : cases) {
        SearchAnswer answer = world.Search(each.text);
        EXPECT_EQ(answer.code, POLARYS_BAD_FILTER) << each.text;
        EXPECT_STREQ(polarys_error_detail_find(&answer.error, "position"), each.position)
            << each.text;
        EXPECT_NE(polarys_error_detail_find(&answer.error, "expected"), nullptr) << each.text;
    }
}

TEST_F(SearchLanguage, BoundsSearches)
{
    std::string words;
    for (int i = 0; i < SEARCH_TERMS_MAX; i++) {
        words += "quick ";
    }
    EXPECT_EQ(world.Search(words).total, 3u);
    EXPECT_EQ(world.Search(words + "quick").code, POLARYS_TOO_LARGE);
    EXPECT_EQ(world.Search(std::string(SEARCH_TEXT_BYTES_MAX + 1, ' ')).code, POLARYS_TOO_LARGE);
    std::string deepest = std::string(SEARCH_DEPTH_MAX, '(') + "quick";
    EXPECT_EQ(world.Search(deepest + std::string(SEARCH_DEPTH_MAX, ')')).total, 3u);
    EXPECT_EQ(world.Search("(" + deepest + std::string(SEARCH_DEPTH_MAX + 1, ')')).code,
              POLARYS_BAD_FILTER);
}

TEST(SearchRanking, IsBm25)
{
    SearchWorld world("none");
    world.Put("a", "x x y");
    world.Put("b", "x y y y y y");
    world.Put("c", "z z z");
    SearchAnswer answer = world.Search("x");
    ASSERT_EQ(answer.keys(), (Strings{"a", "b"}));
    double idf = std::log(1 + (3 - 2 + 0.5) / (2 + 0.5));
    EXPECT_NEAR(answer.hits[0].second, idf * 2 * 2.2 / (2 + 1.2 * (0.25 + 0.75 * 3 / 4.0)), 1e-12);
    EXPECT_NEAR(answer.hits[1].second, idf * 1 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 6 / 4.0)), 1e-12);
}

TEST(SearchRanking, BreaksTiesByKeyAndKeepsTheBest)
{
    SearchWorld world("none");
    for (int i = 0; i < 200; i++) {
        world.Put("k" + std::to_string(1000 + i * 7 % 200), i % 3 == 0 ? "x x filler" : "x y z");
    }
    SearchAnswer all = world.Search("x", 1000);
    ASSERT_EQ(all.hits.size(), 200u);
    for (size_t i = 1; i < all.hits.size(); i++) {
        bool is_ordered = all.hits[i - 1].second > all.hits[i].second ||
                          (all.hits[i - 1].second == all.hits[i].second &&
                           all.hits[i - 1].first < all.hits[i].first);
        EXPECT_TRUE(is_ordered) << i;
    }
    for (size_t top : {1u, 2u, 7u, 67u, 199u}) {
        SearchAnswer some = world.Search("x", top);
        EXPECT_EQ(some.total, 200u);
        ASSERT_EQ(some.hits.size(), top);
        EXPECT_TRUE(std::equal(some.hits.begin(), some.hits.end(), all.hits.begin()));
    }
}

TEST(SearchExpiry, HidesWhatHasExpired)
{
    SearchWorld world("none");
    world.Put("a", SearchDocument{{"x"}, 1000});
    world.Put("b", SearchDocument{{"x"}, 0});
    EXPECT_EQ(world.Search("x", 10, 999).total, 2u);
    EXPECT_EQ(world.Search("x", 10, 1000).keys(), (Strings{"b"}));
    EXPECT_EQ(world.Search("x*", 10, 1001).keys(), (Strings{"b"}));
}

TEST(SearchStatistics, AnswersAlikeAfterGatheringUnchangedDocuments)
{
    SearchWorld world("none");
    for (int i = 0; i < 600; i++) {
        world.Put("k" + std::to_string(i), i % 2 == 0 ? "x common" : "common y longer text");
    }
    SearchAnswer before = world.Search("x common");
    world.Gather();
    /* Totals, and the frequencies of common, x, y, longer and text. */
    EXPECT_EQ(world.statistics.size(), 6u);
    EXPECT_EQ(world.Search("x common").hits, before.hits);
}

TEST(SearchStatistics, ForgetsTermsThatAreCommonNoMore)
{
    SearchWorld world("none");
    for (int i = 0; i < 300; i++) {
        world.Put("k" + std::to_string(i), "x b y");
    }
    world.Gather();
    EXPECT_EQ(world.statistics.size(), 4u);
    for (int i = 0; i < 300; i++) {
        world.Put("k" + std::to_string(i), i < 100 ? "a x y" : "a x");
    }
    world.Gather();
    EXPECT_EQ(world.statistics.size(), 3u); /* totals, a, x */
    SearchAnswer gathered = world.Search("x y");
    world.statistics.clear();
    world.Put("k0", "a x y");
    EXPECT_EQ(world.Search("x y").hits, gathered.hits);
}

TEST(SearchStatistics, StaysSoundWhenOutOfDate)
{
    SearchWorld world("none");
    world.Put("k", "x");
    world.Gather();
    for (int i = 0; i < 50; i++) {
        world.Put("k" + std::to_string(i), "x y");
    }
    SearchAnswer answer = world.Search("x");
    EXPECT_EQ(answer.total, 51u);
    for (const auto &hit : answer.hits) {
        EXPECT_GT(hit.second, 0.0);
    }
}

TEST(SearchCollector, AsksWhoCountsAndWhetherToStop)
{
    SearchWorld world("none");
    for (int i = 0; i < 9000; i++) {
        world.Put("k" + std::to_string(i), "x");
    }
    struct Context {
        int accepted = 0;
        int stops_left = 1000;
    } context;
    search_query *query;
    search_collector *collector;
    ASSERT_EQ(search_query_parse(slice_from_text("x"), "none", &query, nullptr), POLARYS_OK);
    search_options options = {};
    options.database_id = 3;
    options.index_id = 77;
    options.top_max = 5;
    options.context = &context;
    options.accept = [](void *pointer, polarys_slice key, bool *is_accepted, polarys_error *) {
        *is_accepted = key.data[key.size - 1] == '7';
        static_cast<Context *>(pointer)->accepted += *is_accepted ? 1 : 0;
        return POLARYS_OK;
    };
    options.should_stop = [](void *pointer) {
        return static_cast<Context *>(pointer)->stops_left-- == 0;
    };
    ASSERT_EQ(search_collector_create(query, &options, world.View(), &collector, nullptr),
              POLARYS_OK);
    ASSERT_EQ(search_collector_run(collector, world.View(), nullptr), POLARYS_OK);
    EXPECT_EQ(search_collector_total(collector), 900u);
    EXPECT_EQ(context.accepted, 900);
    EXPECT_LT(context.stops_left, 1000);
    search_collector_destroy(collector);
    context.stops_left = 1;
    EXPECT_EQ(search_collector_create(query, &options, world.View(), &collector, nullptr),
              POLARYS_CANCELLED);
    EXPECT_EQ(collector, nullptr);
    search_query_destroy(query);
}

TEST(SearchCollector, TakesSeveralViewsTogether)
{
    SearchWorld world("none");
    SearchWorld own("none");
    world.Put("a", "x y");
    world.Put("c", "x");
    own.Put("b", "x prefix");
    search_query *query;
    search_collector *collector;
    ASSERT_EQ(search_query_parse(slice_from_text("x OR pre*"), "none", &query, nullptr),
              POLARYS_OK);
    search_options options = {};
    options.database_id = 3;
    options.index_id = 77;
    options.top_max = 5;
    ASSERT_EQ(search_collector_create(query, &options, world.View(), &collector, nullptr),
              POLARYS_OK);
    ASSERT_EQ(search_collector_run(collector, world.View(), nullptr), POLARYS_OK);
    ASSERT_EQ(search_collector_run(collector, own.View(), nullptr), POLARYS_OK);
    const search_top *tops;
    EXPECT_EQ(search_collector_finish(collector, &tops), 3u);
    EXPECT_EQ(search_collector_finish(collector, &tops), 3u);
    EXPECT_EQ(search_collector_total(collector), 3u);
    search_collector_destroy(collector);
    search_query_destroy(query);
}

TEST(SearchCollector, CallsForeignEntriesCorrupt)
{
    for (const std::string &bad : {std::string("\0\1\0", 3), std::string("\x0c\1\0\0", 4)}) {
        SearchWorld world("none");
        world.Put("a", "x y");
        world.Put("b", "x y");
        const std::string key = std::string("\0\0\0\3\0\0\0\x4d\3x\0b", 12);
        world.statistics[key] = bad; /* stands in for the posting */
        SearchAnswer answer = world.Search("\"x y\"");
        EXPECT_EQ(answer.code, POLARYS_CORRUPT);
    }
}

TEST(SearchCollector, FailsCleanlyWithoutMemory)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    SearchWorld world("english");
    for (int i = 0; i < 300; i++) {
        world.Put("k" + std::to_string(i), "some quick words that begin alike: prefix prefer");
    }
    world.View();
    for (uint64_t n = 1;; n++) {
        fault_alloc_fail_at(n);
        SearchAnswer answer = world.Search("quick pre* (\"that begin\" OR no) -other", 10);
        if (fault_alloc_disarm() == 0) {
            EXPECT_EQ(answer.code, POLARYS_OK);
            EXPECT_GT(n, 10u);
            break;
        }
        EXPECT_TRUE(answer.code == POLARYS_NO_MEMORY || answer.code == POLARYS_MEMORY_LIMIT) << n;
    }
}

TEST(SearchCollector, FindsDocumentsWithLongKeys)
{
    SearchWorld world("none");
    const std::string key(4096, 'k');
    world.Put(key, "x y");
    world.Put(key.substr(0, 4000), "x");
    EXPECT_EQ(world.Search("x y").keys(), (Strings{key}));
    EXPECT_EQ(world.Search("x*").total, 2u);
}
