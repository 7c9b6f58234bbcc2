/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents in memory, indexed and searched as the engine does, and the same searches done naively: every
 * document is looked at word by word.
 */
#ifndef TESTS_SUPPORT_SEARCH_SEARCH_WORLD_H
#define TESTS_SUPPORT_SEARCH_SEARCH_WORLD_H

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/search/search_query.h"

struct SearchDocument {
    std::vector<std::string> texts;
    uint64_t expires_at_ms = 0;
};

struct SearchAnswer {
    polarys_code code = POLARYS_OK;
    uint64_t total = 0;
    std::vector<std::pair<std::string, double>> hits;
    polarys_error error = {};
    std::vector<std::string> keys() const;
};

/* The terms of `text`, in order. */
std::vector<std::string> TermsOf(const std::string &text, const char *language);

polarys_slice SliceOf(const std::string &text);

class SearchWorld {
  public:
    explicit SearchWorld(const char *language_name = "english");
    ~SearchWorld();

    /* Replaces the document of the key. */
    void Put(const std::string &key, const std::string &text);
    void Put(const std::string &key, const SearchDocument &document);
    void Delete(const std::string &key);
    /* Adds the gathered statistics of what is there now; they stay until the next gathering. */
    void Gather();

    SearchAnswer Search(const std::string &text, size_t top_max = 100, uint64_t judged_ms = 1);
    /* The view of all entries; made anew when something has changed. */
    const search_view *View();

    const std::string language;
    std::map<std::string, SearchDocument> documents;
    std::map<std::string, std::string> statistics; /* gathered entries */

  private:
    search_memory *memory = nullptr;
    search_view view = {};
};

/* A search as a tree, of which both its text and the naive answer can be made. */
struct NaiveQuery {
    enum Kind { WORD, PHRASE, PREFIX, AND, OR } kind = WORD;
    bool is_excluded = false;
    std::vector<std::string> words;
    std::vector<NaiveQuery> children;

    std::string Text() const;
};

/* Hits by score and key, as the engine orders them. */
SearchAnswer NaiveSearch(const std::map<std::string, SearchDocument> &documents,
                         const NaiveQuery &query, const char *language, uint64_t judged_ms = 1);

#endif
