/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/model/query_random.h"

#include <algorithm>

namespace query_oracle {

uint64_t generator::below(uint64_t bound)
{
    return chance() % bound;
}

bool generator::one_in(uint64_t of)
{
    return below(of) == 0;
}

value generator::number_of(size_t place)
{
    value v;
    v.type = kind::number;
    v.rank = numbers[place].rank;
    v.text = numbers[place].text;
    return v;
}

value generator::random_scalar()
{
    value v;
    switch (below(12)) {
    case 0:
        v.type = kind::null;
        v.text = "null";
        break;
    case 1:
        v.type = kind::no;
        v.text = "false";
        break;
    case 2:
        v.type = kind::yes;
        v.text = "true";
        break;
    case 3:
    case 4:
    case 5:
    case 6:
    case 7:
        return number_of(below(numbers.size()));
    default: {
        const string_text &s = strings[below(strings.size())];
        v.type = kind::string;
        v.characters = s.characters;
        v.text = std::string("\"") + s.json + "\"";
        break;
    }
    }
    return v;
}

std::string generator::space()
{
    return one_in(12) ? " " : "";
}

value generator::array_of(std::vector<value> elements)
{
    value v;
    v.type = kind::array;
    v.text = "[" + space();
    for (size_t i = 0; i < elements.size(); i++) {
        v.text += (i == 0 ? "" : ",") + space() + elements[i].text;
    }
    v.text += space() + "]";
    v.elements = std::move(elements);
    return v;
}

value generator::object_of(std::vector<member> members)
{
    value v;
    v.type = kind::object;
    v.text = "{" + space();
    for (size_t i = 0; i < members.size(); i++) {
        v.text += (i == 0 ? "\"" : ",\"") + members[i].first + "\"" + space() + ":" +
                  members[i].second.text;
    }
    v.text += "}";
    v.members = std::move(members);
    return v;
}

/* Lies on both sides of most ranges, with nothing inside: no entry of it is in the range, and yet it matches. */
value generator::random_straddler()
{
    std::vector<value> ends = {number_of(below(3)), number_of(numbers.size() - 1 - below(3))};
    std::shuffle(ends.begin(), ends.end(), chance);
    return array_of(std::move(ends));
}

value generator::random_array(bool may_nest)
{
    if (one_in(3)) {
        return random_straddler();
    }
    std::vector<value> elements;
    for (uint64_t i = below(4); i > 0; i--) {
        bool is_nested = may_nest && one_in(6);
        elements.push_back(is_nested ? array_of({random_scalar()}) : random_scalar());
    }
    return array_of(std::move(elements));
}

value generator::random_object(bool may_nest)
{
    std::vector<member> members;
    for (const char *name : {"e", "f g", "a"}) {
        if (one_in(2)) {
            members.emplace_back(name,
                                 one_in(5) && may_nest ? random_array(true) : random_scalar());
        }
    }
    return object_of(std::move(members));
}

/* Arrays only in rounds that have them: without, ranges and orders take other ways. */
value generator::random_content()
{
    std::vector<member> members;
    for (const char *name : {"a", "b", "c"}) {
        if (!one_in(5)) {
            members.emplace_back(name,
                                 has_arrays && one_in(5) ? random_array(false) : random_scalar());
        }
    }
    if (one_in(2)) {
        std::vector<value> elements;
        if (has_arrays && one_in(2)) {
            for (uint64_t i = below(3); i > 0; i--) {
                elements.push_back(one_in(4) ? random_scalar() : random_object(true));
            }
            members.emplace_back("d", array_of(std::move(elements)));
        } else {
            members.emplace_back("d", one_in(6) ? random_scalar() : random_object(has_arrays));
        }
    }
    if (has_arrays && one_in(2)) {
        members.emplace_back("t", one_in(4) ? random_object(true) : random_array(true));
    } else if (one_in(3)) {
        members.emplace_back("t", one_in(4) ? random_object(false) : random_scalar());
    }
    std::shuffle(members.begin(), members.end(), chance);
    return object_of(std::move(members));
}

filter generator::random_condition(std::string &text)
{
    filter f;
    /* Often the same field again: two conditions on one field are where arrays are told apart. */
    f.of = last_field != nullptr && one_in(2) ? last_field : &fields[below(fields.size())];
    last_field = f.of;
    static const char *const signs[] = {"=", "!=", "<", "<=", ">", ">=", ":"};
    text = std::string(f.of->text) + space();
    uint64_t choice = below(12);
    if (choice < 7) {
        f.type = static_cast<filter::what>(filter::equal + choice);
        value literal = random_scalar();
        while (choice >= 2 && choice <= 5 && literal.type != kind::number &&
               literal.type != kind::string) {
            literal = random_scalar();
        }
        text += signs[choice] + space() + literal_text(literal);
        f.literals.push_back(literal);
    } else if (choice == 7) {
        f.type = filter::there;
        text += ":*";
    } else if (choice < 10) {
        f.type = filter::in;
        text += one_in(2) ? " IN (" : " in(";
        for (uint64_t i = 1 + below(one_in(10) ? 30 : 4); i > 0; i--) {
            f.literals.push_back(random_scalar());
            text += literal_text(f.literals.back()) + (i > 1 ? ", " : ")");
        }
    } else {
        f.type = one_in(3) ? filter::unlike : filter::like;
        f.is_open_start = one_in(3);
        f.is_open_end = !f.is_open_start || one_in(2);
        value literal = random_scalar();
        while (literal.type != kind::string) {
            literal = random_scalar();
        }
        text += f.type == filter::like ? "= " : "!= ";
        text += pattern_text(f, literal);
        f.literals.push_back(literal);
    }
    return f;
}

/* Both ends of a range of one field. Of an array one element may reach the one end and another the other. */
filter generator::random_range(std::string &text)
{
    filter range;
    range.type = filter::all;
    const field *of = &fields[below(fields.size())];
    size_t places[2] = {below(numbers.size()), below(numbers.size())};
    std::sort(places, places + 2);
    bool is_low_first = one_in(2);
    text.clear();
    for (int i = 0; i < 2; i++) {
        bool is_low = (i == 0) == is_low_first;
        bool is_closed = one_in(2);
        filter end;
        end.of = of;
        end.type = is_low ? (is_closed ? filter::greater_equal : filter::greater)
                          : (is_closed ? filter::less_equal : filter::less);
        end.literals.push_back(number_of(places[is_low ? 0 : 1]));
        text += (i == 0 ? "" : " AND ") + std::string(of->text) + space() + (is_low ? ">" : "<") +
                (is_closed ? "=" : "") + space() + end.literals[0].text;
        range.parts.push_back(end);
    }
    return range;
}

/* Stars at the ends are no wildcards. */
std::string generator::stars_escaped(const std::string &json)
{
    std::string text;
    for (char byte : json) {
        text += byte == '*' ? std::string("\\*") : std::string(1, byte);
    }
    return text;
}

std::string generator::literal_text(const value &v)
{
    return v.type == kind::string ? stars_escaped(v.text) : v.text;
}

std::string generator::pattern_text(const filter &f, const value &v)
{
    std::string inside = stars_escaped(v.text.substr(1, v.text.size() - 2));
    return "\"" + std::string(f.is_open_start ? "*" : "") + inside + (f.is_open_end ? "*" : "") +
           "\"";
}

filter generator::random_filter(int depth, std::string &text)
{
    if (depth == 0 || one_in(3)) {
        return depth > 0 && one_in(3) ? random_range(text) : random_condition(text);
    }
    filter f;
    if (one_in(6)) {
        std::string inner;
        f.type = filter::no;
        f.parts.push_back(random_filter(depth - 1, inner));
        text = (one_in(2) ? "NOT (" : "-(") + inner + ")";
        return f;
    }
    f.type = one_in(3) ? filter::any : filter::all;
    text.clear();
    for (uint64_t i = 2 + below(3); i > 0; i--) {
        std::string inner;
        f.parts.push_back(random_filter(depth - 1, inner));
        bool is_simple = f.parts.back().parts.empty();
        text += is_simple ? inner : "(" + inner + ")";
        text += i == 1 ? "" : f.type == filter::any ? " OR " : " AND ";
    }
    return f;
}

question generator::random_question()
{
    question q;
    q.has_filter = !one_in(10);
    if (q.has_filter) {
        q.what = random_filter(3, q.text);
    }
    if (one_in(2)) {
        bool is_even = one_in(2);
        bool is_descending = one_in(2);
        for (uint64_t i = 1 + below(2); i > 0; i--) {
            bool is_down = is_even ? is_descending : one_in(2);
            /* Only fields whose values are scalars, or arrays of them. */
            q.order.push_back({&fields[below(3)], is_down});
            q.order_text += (q.order_text.empty() ? "" : ", ") +
                            std::string(q.order.back().of->text) + (is_down ? " desc" : "");
        }
    }
    return q;
}

} // namespace query_oracle
