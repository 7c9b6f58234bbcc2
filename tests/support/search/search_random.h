/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random texts of few words, and random searches that find something in them.
 */
#ifndef TESTS_SUPPORT_SEARCH_SEARCH_RANDOM_H
#define TESTS_SUPPORT_SEARCH_SEARCH_RANDOM_H

#include <algorithm>
#include <random>
#include <string>

#include "tests/support/search/search_world.h"

namespace search_random {

class dice {
  public:
    explicit dice(uint32_t seed) : engine_(seed)
    {
    }
    size_t below(size_t count)
    {
        return engine_() % count;
    }

  private:
    std::mt19937 engine_;
};

/* The first ones are common. */
inline std::string word(dice &from)
{
    static const char *const words[] = {"alpha", "beta", "alphabet", "gamma", "delta",
                                        "al",    "b",    "ber",      "x",     "y"};
    return words[std::min(from.below(10), from.below(10))];
}

inline std::string words(dice &from, size_t count)
{
    std::string text;
    for (; count > 0; count--) {
        text += word(from) + (from.below(4) == 0 ? ", " : " ");
    }
    return text;
}

/* One to three texts. */
inline SearchDocument document(dice &from, uint64_t expires_at_ms)
{
    SearchDocument made;
    for (size_t i = from.below(3); i < 3; i++) {
        made.texts.push_back(words(from, from.below(12)));
    }
    made.expires_at_ms = expires_at_ms;
    return made;
}

inline NaiveQuery query(dice &from, int depth)
{
    NaiveQuery made;
    size_t kind = from.below(depth == 0 ? 6 : 10);
    if (kind < 3) {
        made.words = {word(from)};
    } else if (kind == 3) {
        made.kind = NaiveQuery::PREFIX;
        std::string whole = word(from);
        made.words = {whole.substr(0, 1 + from.below(whole.size()))};
    } else if (kind < 6) {
        made.kind = NaiveQuery::PHRASE;
        for (size_t i = 2 + from.below(2); i > 0; i--) {
            made.words.push_back(word(from));
        }
    } else {
        made.kind = kind < 8 ? NaiveQuery::AND : NaiveQuery::OR;
        for (size_t i = 2 + from.below(3); i > 0; i--) {
            made.children.push_back(query(from, depth - 1));
            bool may_exclude = made.kind == NaiveQuery::AND && made.children.size() > 1;
            made.children.back().is_excluded = may_exclude && from.below(3) == 0;
        }
        /* So that what is excluded stands first now and then. */
        std::rotate(made.children.begin(), made.children.begin() + 1, made.children.end());
    }
    return made;
}

} // namespace search_random

#endif
