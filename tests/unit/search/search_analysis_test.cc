/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words and terms of many languages, and where they stand in the text.
 */
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "engine/search/search_analysis.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/search/search_world.h"

using Strings = std::vector<std::string>;

TEST(SearchAnalysis, FoldsCaseAndStemsEnglish)
{
    EXPECT_EQ(TermsOf("The Quick runners were RUNNING", "english"),
              (Strings{"the", "quick", "runner", "were", "run"}));
}

TEST(SearchAnalysis, LeavesWordsWholeWithoutLanguage)
{
    EXPECT_EQ(TermsOf("Runners running", "none"), (Strings{"runners", "running"}));
}

TEST(SearchAnalysis, StemsGermanAndTakesSharpSForTwo)
{
    EXPECT_EQ(TermsOf("Straße STRASSE", "german"), (Strings{"strass", "strass"}));
    EXPECT_EQ(TermsOf("Häuser", "german"), TermsOf("Haus", "german"));
}

TEST(SearchAnalysis, StemsFrench)
{
    EXPECT_EQ(TermsOf("continuité continuation", "french").size(), 2u);
    EXPECT_EQ(TermsOf("chevaux", "french"), TermsOf("Chevaux", "french"));
    EXPECT_EQ(TermsOf("mangées", "french"), TermsOf("manger", "french"));
}

TEST(SearchAnalysis, StemsRussian)
{
    EXPECT_EQ(TermsOf("Библиотеки", "russian"), TermsOf("библиотека", "russian"));
    EXPECT_NE(TermsOf("библиотека", "russian"), TermsOf("книга", "russian"));
}

TEST(SearchAnalysis, BreaksScriptsWithoutSpaces)
{
    Strings chinese = TermsOf("我们喜欢数据库", "none");
    EXPECT_GT(chinese.size(), 1u);
    EXPECT_NE(std::find(chinese.begin(), chinese.end(), "喜欢"), chinese.end());
    Strings japanese = TermsOf("私は東京に住んでいます。", "none");
    EXPECT_NE(std::find(japanese.begin(), japanese.end(), "東京"), japanese.end());
    EXPECT_GT(TermsOf("ภาษาไทยง่าย", "none").size(), 1u);
}

TEST(SearchAnalysis, TakesComposedAndDecomposedForOne)
{
    EXPECT_EQ(TermsOf("caf\u00e9", "none"), TermsOf("cafe\u0301", "none"));
    EXPECT_EQ(TermsOf("\uff26\uff4f\uff4f", "none"), (Strings{"foo"})); /* full width */
    EXPECT_EQ(TermsOf("\ufb01x", "none"), (Strings{"fix"}));            /* a ligature */
    EXPECT_EQ(TermsOf("ΣΊΣΥΦΟΣ", "none"), TermsOf("σίσυφος", "none"));
}

TEST(SearchAnalysis, FindsEmojiAsWords)
{
    EXPECT_EQ(TermsOf("go 🚀 now", "none"), (Strings{"go", "🚀", "now"}));
    EXPECT_EQ(TermsOf("❤️", "none"), (Strings{"❤"}));
    EXPECT_EQ(TermsOf("© ™ + -- ...", "none"), Strings{});
}

TEST(SearchAnalysis, KeepsNumbersAndNamesTogether)
{
    EXPECT_EQ(TermsOf("3.14 libssl1.1 1,000 snake_case a-b", "none"),
              (Strings{"3.14", "libssl1.1", "1,000", "snake_case", "a", "b"}));
}

TEST(SearchAnalysis, StemsThroughTypographicApostrophes)
{
    EXPECT_EQ(TermsOf("dog\u2019s", "english"), TermsOf("dog's", "english"));
    EXPECT_EQ(TermsOf("dog's", "english"), (Strings{"dog"}));
}

TEST(SearchAnalysis, CutsLongWordsAtACharacter)
{
    EXPECT_EQ(TermsOf(std::string(100000, 'a'), "none"), (Strings{std::string(128, 'a')}));
    std::string umlauts;
    for (int i = 0; i < 1000; i++) {
        umlauts += "ä";
    }
    EXPECT_EQ(TermsOf("x" + umlauts, "none"), (Strings{"x" + umlauts.substr(0, 126)}));
    for (const char *language : {"english", "german", "russian", "turkish"}) {
        for (const auto &term : TermsOf(std::string(5000, 's') + "ing", language)) {
            EXPECT_LE(term.size(), 128u);
        }
    }
}

TEST(SearchAnalysis, TellsWhereWordsStandInBytes)
{
    const std::string text = "Zoë \U0001F600 naïve, 東京 end";
    std::string seen;
    search_analyzer *analyzer;
    ASSERT_EQ(search_analyzer_acquire("none", &analyzer, nullptr), POLARYS_OK);
    struct Context {
        const std::string &text;
        std::string &seen;
    } context = {text, seen};
    ASSERT_EQ(search_words_each(
                  analyzer, SliceOf(text),
                  [](void *pointer, const search_word *word) {
                      auto *of = static_cast<Context *>(pointer);
                      of->seen += of->text.substr(word->start, word->end - word->start) + "|";
                      return POLARYS_OK;
                  },
                  &context, nullptr),
              POLARYS_OK);
    search_analyzer_release(analyzer);
    EXPECT_EQ(seen, "Zoë|\U0001F600|naïve|東京|end|");
}

TEST(SearchAnalysis, SurvivesAnyBytes)
{
    std::mt19937 random(7);
    for (int round = 0; round < 2000; round++) {
        std::string text;
        for (size_t i = random() % 40; i > 0; i--) {
            text.push_back(static_cast<char>(random() % 3 == 0 ? random() : 'a' + random() % 26));
        }
        for (const auto &term : TermsOf(text, round % 2 == 0 ? "english" : "none")) {
            ASSERT_FALSE(term.empty());
            ASSERT_EQ(term.find('\0'), std::string::npos);
            ASSERT_LE(term.size(), 128u);
        }
    }
    EXPECT_EQ(TermsOf(std::string("a\0b", 3), "none"), (Strings{"a", "b"}));
}

TEST(SearchAnalysis, AWordAloneHasTheTermItHasInAText)
{
    for (const char *word : {"Straße", "naïve", "don't", "ΣΊΣΥΦΟΣ", "İstanbul", "x86_64", "ﬁne"}) {
        Strings alone = TermsOf(word, "english");
        Strings within = TermsOf(std::string("so ") + word + " is", "english");
        ASSERT_EQ(alone.size(), 1u) << word;
        ASSERT_EQ(within.size(), 3u) << word;
        EXPECT_EQ(within[1], alone[0]);
    }
}

TEST(SearchAnalysis, RefusesUnknownLanguages)
{
    search_analyzer *analyzer;
    polarys_error err = {};
    for (const char *language : {"", "klingon", "English", "en_US"}) {
        EXPECT_FALSE(search_language_is_known(language));
        EXPECT_EQ(search_analyzer_acquire(language, &analyzer, &err), POLARYS_BAD_ARGUMENT);
        EXPECT_EQ(analyzer, nullptr);
    }
    for (const char *language : {"none", "english", "german", "russian", "french"}) {
        EXPECT_TRUE(search_language_is_known(language));
    }
}

TEST(SearchAnalysis, PassesOnWhatTheCallerFails)
{
    search_analyzer *analyzer;
    ASSERT_EQ(search_analyzer_acquire("none", &analyzer, nullptr), POLARYS_OK);
    int calls = 0;
    EXPECT_EQ(search_words_each(
                  analyzer, slice_from_text("a b c"),
                  [](void *context, const search_word *) {
                      return ++*static_cast<int *>(context) == 2 ? POLARYS_CANCELLED : POLARYS_OK;
                  },
                  &calls, nullptr),
              POLARYS_CANCELLED);
    EXPECT_EQ(calls, 2);
    search_analyzer_release(analyzer);
}
