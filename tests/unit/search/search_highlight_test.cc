/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pieces around what was found.
 */
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "tests/support/fault_alloc.h"
#include "tests/support/search/search_world.h"

namespace {
/* The pieces, \x01 and \x02 as < and >. */
std::vector<std::string> Pieces(const std::string &search, const std::string &text,
                                const char *language = "english")
{
    search_query *query;
    buffer pieces = {};
    size_t count = 0;
    polarys_error err = {};
    EXPECT_EQ(search_query_parse(SliceOf(search), language, &query, &err), POLARYS_OK);
    EXPECT_EQ(search_highlight(query, SliceOf(text), &pieces, &count, &err), POLARYS_OK);
    std::vector<std::string> all;
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        std::string piece = reinterpret_cast<const char *>(pieces.data + at);
        at += piece.size() + 1;
        for (char &byte : piece) {
            byte = byte == 1 ? '<' : byte == 2 ? '>' : byte;
        }
        all.push_back(piece);
    }
    EXPECT_EQ(at, pieces.size);
    buffer_deinit(&pieces);
    search_query_destroy(query);
    return all;
}
using Strings = std::vector<std::string>;
} // namespace

TEST(SearchHighlight, MarksWordsAsTheyStand)
{
    EXPECT_EQ(Pieces("run", "He was Running, and runs."),
              (Strings{"He was <Running>, and <runs>"}));
    EXPECT_EQ(Pieces("zoë", "see Zoë\u0308 and ZOË 東京"),
              (Strings{"see Zoë\u0308 and <ZOË> 東京"}));
    EXPECT_EQ(Pieces("pre*", "a prefix"), (Strings{"a <prefix>"}));
}

TEST(SearchHighlight, MarksPhrasesOnlyWhereTheyAre)
{
    EXPECT_EQ(Pieces("\"brown fox\"", "fox brown, brown fox; brown"),
              (Strings{"fox brown, <brown fox>; brown"}));
}

TEST(SearchHighlight, MarksNothingThatIsExcluded)
{
    EXPECT_EQ(Pieces("a -b", "a b"), (Strings{"<a> b"}));
    EXPECT_EQ(Pieces("a -b", "b"), Strings{});
}

TEST(SearchHighlight, CutsPiecesAtWords)
{
    std::string text;
    for (int i = 0; i < 100; i++) {
        text += i == 50 ? "needle " : "w" + std::to_string(i) + " ";
    }
    EXPECT_EQ(
        Pieces("needle", text),
        (Strings{"w42 w43 w44 w45 w46 w47 w48 w49 <needle> w51 w52 w53 w54 w55 w56 w57 w58"}));
}

TEST(SearchHighlight, GivesAFewPiecesThatDoNotOverlap)
{
    std::string text;
    for (int i = 0; i < 200; i++) {
        text += i % 30 == 0 ? "needle " : "w" + std::to_string(i) + " ";
    }
    Strings pieces = Pieces("needle", text);
    ASSERT_EQ(pieces.size(), static_cast<size_t>(SEARCH_HIGHLIGHTS_MAX));
    EXPECT_EQ(pieces[0].find("<needle>"), 0u);
    EXPECT_NE(pieces[0], pieces[1]);
}

TEST(SearchHighlight, DropsMarksThatTheTextHasItself)
{
    EXPECT_EQ(Pieces("a", std::string("x\x01y\x02 a \0 z", 10), "none"), (Strings{"xy <a>  z"}));
}

TEST(SearchHighlight, KeepsPiecesSmallWhateverTheWords)
{
    std::string giant(5000, 'g');
    Strings pieces = Pieces("needle", giant + " needle " + giant, "none");
    EXPECT_EQ(pieces, (Strings{"<needle>"}));
}

TEST(SearchHighlight, PairsItsMarksInAnyText)
{
    std::mt19937 random(3);
    for (int round = 0; round < 500; round++) {
        std::string text;
        for (size_t i = random() % 60; i > 0; i--) {
            text += "ab -\x01\x02"[random() % 6];
        }
        for (const auto &piece : Pieces("a OR \"b a\" OR ab*", text, "none")) {
            int depth = 0;
            for (char byte : piece) {
                depth += byte == '<' ? 1 : byte == '>' ? -1 : 0;
                ASSERT_TRUE(depth == 0 || depth == 1) << piece;
            }
            ASSERT_EQ(depth, 0);
            ASSERT_NE(piece.find('<'), std::string::npos);
        }
    }
}

TEST(SearchHighlight, FailsCleanlyWithoutMemory)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    search_query *query;
    ASSERT_EQ(search_query_parse(slice_from_text("a"), "english", &query, nullptr), POLARYS_OK);
    for (uint64_t n = 1;; n++) {
        buffer pieces = {};
        size_t count = 0;
        fault_alloc_fail_at(n);
        polarys_code code =
            search_highlight(query, slice_from_text("b a b a"), &pieces, &count, nullptr);
        bool is_over = fault_alloc_disarm() == 0;
        buffer_deinit(&pieces);
        EXPECT_EQ(code, is_over ? POLARYS_OK : POLARYS_NO_MEMORY);
        if (is_over) {
            break;
        }
    }
    search_query_destroy(query);
}
