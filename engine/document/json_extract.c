/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values of many paths in one walk over a document: paths are a tree of names, and only what lies on one
 * of them is looked at; all else is skipped by looking for its end.
 *
 * Invariant: nothing is allocated and nothing copied while walking. Recursion goes no deeper than the longest
 * path.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/document/json_internal.h"

enum { PATH_NONE = UINT32_MAX, SEEN_WORDS = JSON_PATHS_MAX / 64 };

/* A name on one or more paths. Children are linked. */
struct path_node {
    struct polarys_slice name;
    uint32_t first_child; /* node index; 0: none, as the root is nobody's child */
    uint32_t next_sibling;
    uint32_t child_count;
    uint32_t first_path; /* that ends here; PATH_NONE: none */
    uint64_t child_mask; /* of name_bit of all children */
};

struct json_paths {
    size_t path_count;
    size_t node_count;
    struct path_node *nodes;
    uint32_t *next_path; /* of each path, the next that ends at the same node */
    uint8_t *names;
};

/* ---- making a set ---- */

static uint64_t name_bit(struct polarys_slice name)
{
    unsigned first = name.size == 0 ? 0 : name.data[0];
    return UINT64_C(1) << ((first * 7 + name.size) & 63);
}

static uint32_t child_find(const struct json_paths *paths, const struct path_node *node,
                           struct polarys_slice name)
{
    uint32_t child = node->first_child;
    while (child != 0 && !slice_equal(paths->nodes[child].name, name)) {
        child = paths->nodes[child].next_sibling;
    }
    return child;
}

static uint32_t child_get(struct json_paths *paths, uint32_t parent, struct polarys_slice name,
                          uint8_t **names_end)
{
    uint32_t child = child_find(paths, &paths->nodes[parent], name);
    if (child != 0) {
        return child;
    }
    child = (uint32_t)paths->node_count++;
    struct path_node *node = &paths->nodes[parent];
    if (name.size > 0) {
        memcpy(*names_end, name.data, name.size);
    }
    paths->nodes[child] = (struct path_node){.name = slice_make(*names_end, name.size),
                                             .next_sibling = node->first_child,
                                             .first_path = PATH_NONE};
    *names_end += name.size;
    node->first_child = child;
    node->child_count++;
    node->child_mask |= name_bit(name);
    return child;
}

enum polarys_code json_paths_create(const struct json_path *paths, size_t count,
                                    struct json_paths **out, struct polarys_error *err)
{
    *out = NULL;
    if (count > JSON_PATHS_MAX) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "%zu fields are asked for, %d are the most",
                            count, JSON_PATHS_MAX);
    }
    size_t nodes_max = 1;
    size_t names_size = 1;
    for (size_t i = 0; i < count; i++) {
        nodes_max += paths[i].name_count;
        names_size += paths[i].text_size;
    }
    struct json_paths *set = calloc(1, sizeof(*set));
    if (set != NULL) {
        set->nodes = malloc(nodes_max * sizeof(*set->nodes));
        set->next_path = malloc((count + 1) * sizeof(*set->next_path));
        set->names = malloc(names_size);
    }
    if (set == NULL || set->nodes == NULL || set->next_path == NULL || set->names == NULL) {
        json_paths_destroy(set);
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for paths");
    }
    set->path_count = count;
    set->nodes[0] = (struct path_node){.first_path = PATH_NONE};
    set->node_count = 1;
    uint8_t *names_end = set->names;
    for (size_t i = 0; i < count; i++) {
        uint32_t node = 0;
        for (size_t j = 0; j < paths[i].name_count; j++) {
            node = child_get(set, node, paths[i].names[j], &names_end);
        }
        set->next_path[i] = set->nodes[node].first_path;
        set->nodes[node].first_path = (uint32_t)i;
    }
    *out = set;
    return POLARYS_OK;
}

void json_paths_destroy(struct json_paths *paths)
{
    if (paths != NULL) {
        free(paths->nodes);
        free(paths->next_path);
        free(paths->names);
        free(paths);
    }
}

size_t json_paths_count(const struct json_paths *paths)
{
    return paths->path_count;
}

/* ---- walking ---- */

struct extract {
    const struct json_paths *paths;
    const uint8_t *end;
    bool (*match)(void *context, size_t path, enum json_match_kind kind, struct json_value value);
    void *context;
    bool is_stopped;
    uint64_t seen[SEEN_WORDS]; /* paths that have a value */
};

static bool escaped_name_equals(struct polarys_slice raw, struct polarys_slice name)
{
    const uint8_t *at = raw.data;
    const uint8_t *end = raw.data + raw.size;
    size_t used = 0;
    while (at < end) {
        uint8_t bytes[4];
        size_t size = json_character_take(&at, end, bytes);
        if (name.size - used < size || memcmp(name.data + used, bytes, size) != 0) {
            return false;
        }
        used += size;
    }
    return used == name.size;
}

/* The child that a member's name, as it stands in the text, leads to; 0 for none. */
static uint32_t child_of_member(const struct json_paths *paths, const struct path_node *node,
                                struct polarys_slice raw, bool has_escape)
{
    if (!has_escape) {
        return (node->child_mask & name_bit(raw)) == 0 ? 0 : child_find(paths, node, raw);
    }
    uint32_t child = node->first_child;
    while (child != 0 && !escaped_name_equals(raw, paths->nodes[child].name)) {
        child = paths->nodes[child].next_sibling;
    }
    return child;
}

/* Tells every path that ends at `node`. */
static void tell(struct extract *extract, const struct path_node *node, enum json_match_kind kind,
                 struct polarys_slice text)
{
    struct json_value value = {json_value_type(text), text};
    for (uint32_t path = node->first_path; path != PATH_NONE && !extract->is_stopped;
         path = extract->paths->next_path[path]) {
        if (kind == JSON_MATCH_VALUE) {
            extract->seen[path / 64] |= UINT64_C(1) << (path % 64);
        }
        extract->is_stopped = !extract->match(extract->context, path, kind, value);
    }
}

static void tell_value(struct extract *extract, const struct path_node *node,
                       struct polarys_slice text)
{
    if (text.data[0] != '[') {
        tell(extract, node, JSON_MATCH_VALUE, text);
        return;
    }
    tell(extract, node, JSON_MATCH_ARRAY, text);
    struct json_walk walk = json_walk_start(text);
    struct polarys_slice name;
    struct polarys_slice element;
    while (!extract->is_stopped && json_walk_next(&walk, &name, &element)) {
        tell(extract, node, JSON_MATCH_VALUE, element);
    }
}

static const uint8_t *walk_object(struct extract *extract, const struct path_node *node,
                                  const uint8_t *at, bool must_end);

/* The elements of an array that is met on the way. Returns the byte behind it. */
static const uint8_t *walk_array(struct extract *extract, const struct path_node *node,
                                 const uint8_t *at)
{
    at = json_skip_space(at + 1, extract->end);
    while (*at != ']') {
        at = *at == '{' ? walk_object(extract, node, at, true) : json_value_end(at, extract->end);
        if (extract->is_stopped) {
            return at;
        }
        at = json_skip_space(at, extract->end);
        POLARYS_ASSERT(at < extract->end);
        if (*at == ',') {
            at = json_skip_space(at + 1, extract->end);
        }
    }
    return at + 1;
}

/* The value that a name on a path has. Returns the byte behind it, where must_end says that it is needed. */
static const uint8_t *walk_value(struct extract *extract, const struct path_node *node,
                                 const uint8_t *at, bool must_end)
{
    const uint8_t *end = NULL;
    if (node->first_path != PATH_NONE) {
        end = json_value_end(at, extract->end);
        tell_value(extract, node, slice_make(at, (size_t)(end - at)));
    }
    if (node->first_child != 0 && !extract->is_stopped && (*at == '{' || *at == '[')) {
        const uint8_t *walked = *at == '{' ? walk_object(extract, node, at, must_end && end == NULL)
                                           : walk_array(extract, node, at);
        end = end == NULL ? walked : end;
    }
    return end == NULL ? json_value_end(at, extract->end) : end;
}

/* `at` is the brace. Names do not repeat, so a walk ends when all have been seen. */
static const uint8_t *walk_object(struct extract *extract, const struct path_node *node,
                                  const uint8_t *at, bool must_end)
{
    const uint8_t *end = extract->end;
    uint32_t left = node->child_count;
    at = json_skip_space(at + 1, end);
    while (*at != '}') {
        bool has_escape;
        const uint8_t *close = json_string_close_noting(at, end, &has_escape);
        struct polarys_slice raw = slice_make(at + 1, (size_t)(close - at - 1));
        uint32_t child = child_of_member(extract->paths, node, raw, has_escape);
        at = json_skip_space(close + 1, end);
        POLARYS_ASSERT(at < end && *at == ':');
        at = json_skip_space(at + 1, end);
        if (child == 0) {
            at = json_value_end(at, end);
        } else {
            left--;
            at = walk_value(extract, &extract->paths->nodes[child], at, must_end || left > 0);
            if (extract->is_stopped || (left == 0 && !must_end)) {
                return at;
            }
        }
        if (left == 0) {
            return json_container_end(at, end);
        }
        at = json_skip_space(at, end);
        POLARYS_ASSERT(at < end);
        if (*at == ',') {
            at = json_skip_space(at + 1, end);
        }
    }
    return at + 1;
}

bool json_paths_extract(const struct json_paths *paths, struct polarys_slice document,
                        bool (*match)(void *context, size_t path, enum json_match_kind kind,
                                      struct json_value value),
                        void *context)
{
    struct extract extract;
    extract.paths = paths;
    extract.end = document.data + document.size;
    extract.match = match;
    extract.context = context;
    extract.is_stopped = false;
    size_t words = (paths->path_count + 63) / 64;
    memset(extract.seen, 0, words * sizeof(extract.seen[0]));
    const uint8_t *at = json_skip_space(document.data, extract.end);
    POLARYS_ASSERT(at < extract.end);
    if (*at == '{' && paths->nodes[0].child_count > 0) {
        (void)walk_object(&extract, &paths->nodes[0], at, false);
    } else if (*at == '[' && paths->nodes[0].child_count > 0) {
        (void)walk_array(&extract, &paths->nodes[0], at);
    }
    for (size_t i = 0; i < paths->path_count && !extract.is_stopped; i++) {
        if ((extract.seen[i / 64] >> (i % 64) & 1) == 0) {
            struct json_value missing = {JSON_MISSING, {NULL, 0}};
            extract.is_stopped = !match(context, i, JSON_MATCH_VALUE, missing);
        }
    }
    return !extract.is_stopped;
}
