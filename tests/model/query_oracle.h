/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What queries mean, written a second time and plainly: trees of values, filters as trees, and whether the one
 * matches the other. It shares nothing with the engine.
 */
#ifndef TESTS_MODEL_QUERY_ORACLE_H
#define TESTS_MODEL_QUERY_ORACLE_H

#include <string>
#include <utility>
#include <vector>

namespace query_oracle {

/* ---- values ---- */

enum class kind { missing, null, no, yes, number, string, array, object };

/* Numbers and strings are known by their place in a table that is in order. */
struct number_text {
    int rank;
    const char *text;
};
struct string_text {
    const char *characters;
    const char *json; /* between the quotes */
};
extern const std::vector<number_text> numbers;
extern const std::vector<string_text> strings;

struct value {
    kind type = kind::missing;
    int rank = 0;
    std::string characters;
    std::string text; /* JSON */
    std::vector<value> elements;
    std::vector<std::pair<std::string, value>> members;
};

using member = std::pair<std::string, value>;

/* Of scalars and what is missing. */
int compare(const value &a, const value &b);
/* The values of a path, one for each element of an array; an array is there whatever is in it. */
void collect(const value &of, const std::vector<std::string> &path, size_t at,
             std::vector<value> &found, bool &is_there, bool &has_array);

/* ---- filters ---- */

struct field {
    const char *text;
    std::vector<std::string> path;
};
extern const std::vector<field> fields;

struct filter {
    enum what {
        all,
        any,
        no,
        equal,
        unequal,
        less,
        less_equal,
        greater,
        greater_equal,
        has,
        there,
        in,
        like,
        unlike
    };
    what type = equal;
    std::vector<filter> parts;
    const field *of = nullptr;
    std::vector<value> literals;
    bool is_open_start = false;
    bool is_open_end = false;
};

bool matches(const filter &f, const value &document);

} // namespace query_oracle

#endif
