/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random documents and questions, as trees and as texts.
 */
#ifndef TESTS_MODEL_QUERY_RANDOM_H
#define TESTS_MODEL_QUERY_RANDOM_H

#include <cstdint>
#include <random>

#include "tests/model/query_oracle.h"

namespace query_oracle {

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

/* Makes them, the same from the same seed. */
class generator {
  public:
    explicit generator(uint64_t seed) : chance(seed)
    {
    }

    uint64_t below(uint64_t bound);
    bool one_in(uint64_t of);
    value random_scalar();
    static value number_of(size_t place);
    std::string space();
    value array_of(std::vector<value> elements);
    value object_of(std::vector<member> members);
    value random_array(bool may_nest);
    value random_straddler();
    value random_object(bool may_nest);
    value random_content();
    filter random_condition(std::string &text);
    filter random_range(std::string &text);
    static std::string stars_escaped(const std::string &json);
    static std::string literal_text(const value &v);
    static std::string pattern_text(const filter &f, const value &v);
    filter random_filter(int depth, std::string &text);
    question random_question();

    std::mt19937_64 chance;
    const field *last_field = nullptr; /* that a condition was made on */
    bool has_arrays = true; /* in documents: without, ranges and orders take other ways */
};

} // namespace query_oracle

#endif
