/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the two ways of searching. The naive one shares nothing with the engine but the analyzer, and the
 * formula of docs/search.md, written down a second time.
 */
#include "tests/support/search/search_world.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/search/search_analysis.h"

polarys_slice SliceOf(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

static std::string StringOf(polarys_slice slice)
{
    return std::string(reinterpret_cast<const char *>(slice.data), slice.size);
}

std::vector<std::string> SearchAnswer::keys() const
{
    std::vector<std::string> all;
    for (const auto &hit : hits) {
        all.push_back(hit.first);
    }
    return all;
}

std::vector<std::string> TermsOf(const std::string &text, const char *language)
{
    std::vector<std::string> terms;
    polarys_error err = {};
    search_analyzer *analyzer;
    EXPECT_EQ(search_analyzer_acquire(language, &analyzer, &err), POLARYS_OK) << err.message;
    polarys_code code = search_words_each(
        analyzer, SliceOf(text),
        [](void *context, const search_word *word) {
            static_cast<std::vector<std::string> *>(context)->push_back(StringOf(word->term));
            return POLARYS_OK;
        },
        &terms, &err);
    EXPECT_EQ(code, POLARYS_OK) << err.message;
    search_analyzer_release(analyzer);
    return terms;
}

/* ---- the engine's way ---- */

enum { WORLD_DATABASE = 3, WORLD_INDEX = 77 };

SearchWorld::SearchWorld(const char *language_name) : language(language_name)
{
}

SearchWorld::~SearchWorld()
{
    search_memory_destroy(memory);
}

void SearchWorld::Put(const std::string &key, const std::string &text)
{
    Put(key, SearchDocument{{text}, 0});
}

void SearchWorld::Put(const std::string &key, const SearchDocument &document)
{
    documents[key] = document;
    search_memory_destroy(memory);
    memory = nullptr;
}

void SearchWorld::Delete(const std::string &key)
{
    documents.erase(key);
    search_memory_destroy(memory);
    memory = nullptr;
}

const search_view *SearchWorld::View()
{
    polarys_error err = {};
    if (memory != nullptr) {
        return &view;
    }
    EXPECT_EQ(search_memory_create(&memory, &err), POLARYS_OK);
    for (const auto &[key, document] : documents) {
        std::vector<polarys_slice> texts;
        for (const std::string &text : document.texts) {
            texts.push_back(SliceOf(text));
        }
        search_source source = {};
        source.database_id = WORLD_DATABASE;
        source.index_id = WORLD_INDEX;
        source.document_key = SliceOf(key);
        source.expires_at_ms = document.expires_at_ms;
        source.language = language.c_str();
        source.texts = texts.data();
        source.text_count = texts.size();
        EXPECT_EQ(search_entries_make(&source, search_memory_put, memory, &err), POLARYS_OK)
            << err.message;
    }
    for (const auto &[key, value] : statistics) {
        EXPECT_EQ(search_memory_put(memory, SliceOf(key), SliceOf(value)), POLARYS_OK);
    }
    view = search_memory_view(memory);
    return &view;
}

void SearchWorld::Gather()
{
    polarys_error err = {};
    search_gathering gathering = {};
    gathering.database_id = WORLD_DATABASE;
    gathering.index_id = WORLD_INDEX;
    gathering.context = this;
    gathering.emit = [](void *context, polarys_slice key, polarys_slice value) {
        auto *world = static_cast<SearchWorld *>(context);
        EXPECT_TRUE(search_key_is_statistics(key));
        if (value.size == 0) {
            EXPECT_EQ(world->statistics.erase(StringOf(key)), 1u);
        } else {
            world->statistics[StringOf(key)] = StringOf(value);
        }
        return POLARYS_OK;
    };
    EXPECT_EQ(search_statistics_gather(&gathering, View(), &err), POLARYS_OK) << err.message;
    search_memory_destroy(memory);
    memory = nullptr;
}

SearchAnswer SearchWorld::Search(const std::string &text, size_t top_max, uint64_t judged_ms)
{
    SearchAnswer answer;
    search_query *query = nullptr;
    search_collector *collector = nullptr;
    answer.code = search_query_parse(SliceOf(text), language.c_str(), &query, &answer.error);
    if (answer.code != POLARYS_OK) {
        return answer;
    }
    search_options options = {};
    options.database_id = WORLD_DATABASE;
    options.index_id = WORLD_INDEX;
    options.judged_ms = judged_ms;
    options.top_max = top_max;
    answer.code = search_collector_create(query, &options, View(), &collector, &answer.error);
    if (answer.code == POLARYS_OK) {
        answer.code = search_collector_run(collector, View(), &answer.error);
    }
    if (answer.code == POLARYS_OK) {
        const search_top *tops;
        size_t count = search_collector_finish(collector, &tops);
        for (size_t i = 0; i < count; i++) {
            answer.hits.emplace_back(StringOf(tops[i].document_key), tops[i].score);
        }
        answer.total = search_collector_total(collector);
    }
    search_collector_destroy(collector);
    search_query_destroy(query);
    return answer;
}

/* ---- the naive way ---- */

std::string NaiveQuery::Text() const
{
    std::string text = is_excluded ? "-" : "";
    if (kind == WORD || kind == PREFIX) {
        return text + words[0] + (kind == PREFIX ? "*" : "");
    }
    if (kind == PHRASE) {
        text += "\"";
        for (size_t i = 0; i < words.size(); i++) {
            text += (i == 0 ? "" : " ") + words[i];
        }
        return text + "\"";
    }
    text += "(";
    for (size_t i = 0; i < children.size(); i++) {
        text += (i == 0 ? "" : kind == OR ? " OR " : " ") + children[i].Text();
    }
    return text + ")";
}

namespace {
using Terms = std::vector<std::vector<std::string>>; /* of each text */

struct Naive {
    const char *language;
    std::map<std::string, Terms> terms; /* by document */
    double average = 1;

    static size_t Length(const Terms &document)
    {
        size_t length = 0;
        for (const auto &text : document) {
            length += text.size();
        }
        return length;
    }

    /* How often the words stand in the document one after another. */
    static size_t Count(const Terms &document, const std::vector<std::string> &wanted)
    {
        size_t count = 0;
        for (const auto &text : document) {
            for (size_t i = 0; i + wanted.size() <= text.size(); i++) {
                count += std::equal(wanted.begin(), wanted.end(), text.begin() + i) ? 1 : 0;
            }
        }
        return count;
    }

    static size_t PrefixCount(const Terms &document, const std::string &prefix)
    {
        size_t count = 0;
        for (const auto &text : document) {
            for (const auto &term : text) {
                count += term.compare(0, prefix.size(), prefix) == 0 ? 1 : 0;
            }
        }
        return count;
    }

    size_t LeafCount(const NaiveQuery &leaf, const Terms &document) const
    {
        if (leaf.kind == NaiveQuery::PREFIX) {
            return PrefixCount(document, leaf.words[0]);
        }
        std::vector<std::string> wanted;
        for (const auto &word : leaf.words) {
            for (const auto &term : TermsOf(word, language)) {
                wanted.push_back(term);
            }
        }
        return Count(document, wanted);
    }

    double Idf(size_t frequency) const
    {
        double all = static_cast<double>(terms.size());
        double some = static_cast<double>(frequency);
        return std::log(1 + (all - some + 0.5) / (some + 0.5));
    }

    double LeafIdf(const NaiveQuery &leaf) const
    {
        double sum = 0;
        if (leaf.kind == NaiveQuery::PREFIX) {
            size_t frequency = 0;
            for (const auto &[key, document] : terms) {
                frequency += LeafCount(leaf, document) > 0 ? 1 : 0;
            }
            return Idf(frequency);
        }
        for (const auto &word : leaf.words) {
            size_t frequency = 0;
            for (const auto &[key, document] : terms) {
                frequency += Count(document, TermsOf(word, language)) > 0 ? 1 : 0;
            }
            sum += Idf(frequency);
        }
        return sum;
    }

    bool Matches(const NaiveQuery &query, const Terms &document) const
    {
        bool any = false;
        bool all = true;
        if (query.children.empty()) {
            return LeafCount(query, document) > 0;
        }
        for (const auto &child : query.children) {
            bool matches = Matches(child, document) != child.is_excluded;
            any = any || matches;
            all = all && matches;
        }
        return query.kind == NaiveQuery::OR ? any : all;
    }

    /* Of what is not excluded and matches. */
    double Score(const NaiveQuery &query, const Terms &document) const
    {
        double score = 0;
        if (query.is_excluded || !Matches(query, document)) {
            return 0;
        }
        for (const auto &child : query.children) {
            score += Score(child, document);
        }
        if (query.children.empty()) {
            double count = static_cast<double>(LeafCount(query, document));
            double length = static_cast<double>(Length(document));
            score =
                LeafIdf(query) * count * 2.2 / (count + 1.2 * (1 - 0.75 + 0.75 * length / average));
        }
        return score;
    }
};
} // namespace

SearchAnswer NaiveSearch(const std::map<std::string, SearchDocument> &documents,
                         const NaiveQuery &query, const char *language, uint64_t judged_ms)
{
    Naive naive = {language, {}, 1};
    SearchAnswer answer;
    double words = 0;
    for (const auto &[key, document] : documents) {
        Terms terms;
        for (const auto &text : document.texts) {
            terms.push_back(TermsOf(text, language));
        }
        if (Naive::Length(terms) > 0) {
            words += static_cast<double>(Naive::Length(terms));
            naive.terms[key] = terms;
        }
    }
    naive.average = naive.terms.empty() ? 1 : words / static_cast<double>(naive.terms.size());
    for (const auto &[key, terms] : naive.terms) {
        uint64_t expires_at_ms = documents.at(key).expires_at_ms;
        if ((expires_at_ms == 0 || expires_at_ms > judged_ms) && naive.Matches(query, terms)) {
            answer.hits.emplace_back(key, naive.Score(query, terms));
        }
    }
    answer.total = answer.hits.size();
    std::stable_sort(answer.hits.begin(), answer.hits.end(),
                     [](const auto &a, const auto &b) { return a.second > b.second; });
    return answer;
}
