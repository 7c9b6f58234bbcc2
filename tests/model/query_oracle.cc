/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/model/query_oracle.h"

#include <algorithm>

namespace query_oracle {

const std::vector<number_text> numbers = {
    {-9, "-1e400"},
    {-8, "-123456789012345678901234567890.5"},
    {-7, "-123456789012345678901234567890"},
    {-3, "-5"},
    {-3, "-5.0"},
    {-2, "-4.5"},
    {-2, "-45e-1"},
    {0, "0"},
    {0, "-0"},
    {0, "0.000"},
    {1, "1e-30"},
    {2, "1"},
    {2, "1.0"},
    {2, "10e-1"},
    {3, "1.0000000000000000000000001"},
    {4, "2"},
    {5, "3"},
    {5, "0.3E+1"},
    {6, "10"},
    {7, "9007199254740992"},
    {8, "9007199254740993"},
    {9, "1e30"},
    {9, "1000000000000000000000000000000"},
    {10, "1e31"},
};

const std::vector<string_text> strings = {
    {"", ""},
    {"a", "a"},
    {"a", "\\u0061"},
    {"A", "A"},
    {"ab", "ab"},
    {"ab", "a\\u0062"},
    {"abc", "abc"},
    {"b", "b"},
    {"bab", "bab"},
    {"*", "*"},
    {"a*", "a*"},
    {"1", "1"},
    {"\xc3\xa4", "\xc3\xa4"},
    {"\xc3\xa4", "\\u00e4"},
    {"a\nb", "a\\nb"},
    {"\"", "\\\""},
    {"\\", "\\\\"},
    {"true", "true"},
};

const std::vector<field> fields = {
    {"a", {"a"}},
    {"b", {"b"}},
    {"c", {"c"}},
    {"d.e", {"d", "e"}},
    {"`d`.`f g`", {"d", "f g"}},
    {"t", {"t"}},
    {"none", {"none"}},
};

/* Of scalars and what is missing. */
int compare(const value &a, const value &b)
{
    if (a.type != b.type) {
        return a.type < b.type ? -1 : 1;
    }
    if (a.type == kind::number) {
        return a.rank < b.rank ? -1 : a.rank > b.rank;
    }
    return a.type == kind::string ? a.characters.compare(b.characters) : 0;
}

/* The values of a path, one for each element of an array; an array is there whatever is in it. */
void collect(const value &of, const std::vector<std::string> &path, size_t at,
             std::vector<value> &found, bool &is_there, bool &has_array)
{
    if (at == path.size()) {
        is_there = true;
        has_array = has_array || of.type == kind::array;
        if (of.type == kind::array) {
            found.insert(found.end(), of.elements.begin(), of.elements.end());
        } else {
            found.push_back(of);
        }
        return;
    }
    if (of.type == kind::object) {
        for (const member &each : of.members) {
            if (each.first == path[at]) {
                collect(each.second, path, at + 1, found, is_there, has_array);
            }
        }
    } else if (of.type == kind::array) {
        for (const value &each : of.elements) {
            if (each.type == kind::object) {
                collect(each, path, at, found, is_there, has_array);
            }
        }
    }
}

namespace {

bool like(const filter &f, const value &v)
{
    const std::string &part = f.literals[0].characters;
    if (v.type != kind::string) {
        return false;
    }
    size_t at = v.characters.find(part);
    if (f.is_open_start && f.is_open_end) {
        return at != std::string::npos;
    }
    if (f.is_open_end) {
        return at == 0;
    }
    return v.characters.size() >= part.size() &&
           v.characters.compare(v.characters.size() - part.size(), part.size(), part) == 0;
}

/* One value against one condition. */
bool holds(const filter &f, const value &v)
{
    bool is_same_type = !f.literals.empty() && v.type == f.literals[0].type;
    int order = is_same_type ? compare(v, f.literals[0]) : 0;
    switch (f.type) {
    case filter::equal:
    case filter::unequal:
        return is_same_type && order == 0;
    case filter::less:
        return is_same_type && order < 0;
    case filter::less_equal:
        return is_same_type && order <= 0;
    case filter::greater:
        return is_same_type && order > 0;
    case filter::greater_equal:
        return is_same_type && order >= 0;
    case filter::has:
        if (v.type == kind::object && f.literals[0].type == kind::string) {
            return std::any_of(v.members.begin(), v.members.end(), [&](const member &each) {
                return each.first == f.literals[0].characters;
            });
        }
        return is_same_type && order == 0;
    case filter::there:
        return v.type != kind::null;
    case filter::in:
        return std::any_of(f.literals.begin(), f.literals.end(), [&](const value &each) {
            return each.type == v.type && compare(each, v) == 0;
        });
    default:
        return like(f, v);
    }
}

} // namespace

bool matches(const filter &f, const value &document)
{
    if (f.type == filter::no) {
        return !matches(f.parts[0], document);
    }
    if (f.type == filter::all || f.type == filter::any) {
        bool is_all = f.type == filter::all;
        for (const filter &each : f.parts) {
            if (matches(each, document) != is_all) {
                return !is_all;
            }
        }
        return is_all;
    }
    std::vector<value> found;
    bool is_there = false;
    bool has_array = false;
    collect(document, f.of->path, 0, found, is_there, has_array);
    bool any = std::any_of(found.begin(), found.end(), [&](const value &v) { return holds(f, v); });
    if (f.type == filter::unequal || f.type == filter::unlike) {
        return is_there && !any;
    }
    return any || (f.type == filter::there && has_array);
}

} // namespace query_oracle
