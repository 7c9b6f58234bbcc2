/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter language: from text to a tree of conditions (docs/query.md has grammar and meaning).
 *
 * Invariant: a tree that was parsed is no deeper than FILTER_DEPTH_MAX and holds at most FILTER_TERMS_MAX
 * values, so whatever walks it may recurse. A filter is immutable once parsed.
 */
#ifndef ENGINE_QUERY_FILTER_H
#define ENGINE_QUERY_FILTER_H

#include "engine/base/arena.h"
#include "engine/base/buffer.h"
#include "engine/document/json_value.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FILTER_BYTES_MAX = 64 << 10,
    FILTER_TERMS_MAX = 1000, /* values compared with, in all conditions together */
    FILTER_DEPTH_MAX = 100,  /* parentheses and negations within each other */
    FILTER_PATH_BYTES_MAX = 1024,
};

enum filter_relation {
    FILTER_EQUAL, /* also what `:` asks of values that are no objects */
    FILTER_NOT_EQUAL,
    FILTER_LESS, /* this one and the next three: of numbers and strings only */
    FILTER_LESS_EQUAL,
    FILTER_GREATER,
    FILTER_GREATER_EQUAL,
    FILTER_HAS,
    FILTER_PRESENT,
    FILTER_IN,
    FILTER_MATCH,     /* a string with a wildcard at one end or both */
    FILTER_NOT_MATCH, /* != with such a string */
};

/* A value compared with: null, false, true, a number or a string. */
struct filter_literal {
    struct json_value value;         /* JSON; of a pattern: nothing but its type */
    struct polarys_slice characters; /* of a string, of a pattern without its wildcards */
};

/* One condition. */
struct filter_term {
    enum filter_relation relation;
    struct polarys_slice path; /* as written: names joined by dots, some in backticks */
    const struct filter_literal *literals;
    size_t literal_count; /* 0 for PRESENT, more than 1 only for IN */
    bool is_open_start;   /* MATCH: any characters may come first */
    bool is_open_end;     /* MATCH: any characters may come last */
    size_t index;         /* place in filter->terms */
    size_t field;         /* number of its path in filter->paths */
};

enum filter_kind {
    FILTER_TERM,
    FILTER_AND,
    FILTER_OR,
    FILTER_NOT,
};

/* A node of the tree. AND and OR have two children or more, NOT has one. */
struct filter_node {
    enum filter_kind kind;
    const struct filter_term *term; /* TERM */
    struct filter_node *first;      /* first child */
    struct filter_node *next;       /* next child of the same parent */
};

struct filter {
    struct arena arena;
    struct filter_node *root; /* NULL: every document matches */
    const struct filter_term **terms;
    size_t term_count;
    const struct polarys_slice *paths; /* each path once */
    size_t path_count;
};

/*
 * Parses `text`, which is copied. Errors: BAD_FILTER (details "position": byte offset, and "expected"),
 * NO_MEMORY. *out is NULL on failure.
 */
NODISCARD enum polarys_code filter_parse(struct polarys_slice text, struct filter **out,
                                         struct polarys_error *err);
void filter_destroy(struct filter *filter); /* accepts NULL */

/*
 * The same condition with every NOT pushed down to a single term, nested ANDs and ORs flattened. The nodes
 * live as long as the filter. *out is NULL when the filter is empty. Errors: NO_MEMORY.
 */
NODISCARD enum polarys_code filter_normalise(struct filter *filter, struct filter_node **out);

/* Appends the text of a node (NULL: "everything"), for plans. Errors: NO_MEMORY. */
NODISCARD enum polarys_code filter_print(const struct filter_node *node, struct buffer *to);
NODISCARD enum polarys_code filter_print_term(const struct filter_term *term, struct buffer *to);

#ifdef __cplusplus
}
#endif

#endif
