/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Read masks. The paths make a tree of names; document and tree are walked together.
 */
#include "engine/document/json_mask.h"

#include <stdlib.h>

#include "engine/document/json_internal.h"

/* One name. The root has none. */
struct mask_node {
    struct polarys_slice name;
    struct mask_node *first;
    struct mask_node *next;
    bool is_whole; /* everything below belongs to the mask */
};

struct json_mask {
    struct json_path *paths; /* own the names */
    size_t path_count;
    struct mask_node root;
};

static struct mask_node *child_find(const struct mask_node *node, struct polarys_slice name)
{
    struct mask_node *child = node->first;
    while (child != NULL && !slice_equal(child->name, name)) {
        child = child->next;
    }
    return child;
}

static void children_destroy(struct mask_node *node)
{
    while (node->first != NULL) {
        struct mask_node *child = node->first;
        node->first = child->next;
        children_destroy(child);
        free(child);
    }
}

static enum polarys_code path_add(struct mask_node *node, const struct json_path *path)
{
    for (size_t i = 0; i < path->name_count; i++) {
        struct mask_node *child = child_find(node, path->names[i]);
        if (child == NULL) {
            child = calloc(1, sizeof(*child));
            if (child == NULL) {
                return POLARYS_NO_MEMORY;
            }
            child->name = path->names[i];
            child->next = node->first;
            node->first = child;
        }
        node = child;
    }
    node->is_whole = true;
    return POLARYS_OK;
}

enum polarys_code json_mask_create(const char *const *paths, size_t count, struct json_mask **out,
                                   struct polarys_error *err)
{
    *out = NULL;
    if (count > JSON_MASK_PATHS_MAX) {
        polarys_fail(err, POLARYS_BAD_ARGUMENT, "a read mask has at most %d paths",
                     JSON_MASK_PATHS_MAX);
        polarys_error_detail_set(err, "field", "read_mask");
        return POLARYS_BAD_ARGUMENT;
    }
    struct json_mask *mask = calloc(1, sizeof(*mask));
    enum polarys_code code = POLARYS_NO_MEMORY;
    if (mask != NULL) {
        mask->paths = calloc(count + 1, sizeof(*mask->paths));
    }
    if (mask == NULL || mask->paths == NULL) {
        polarys_fail(err, code, "no memory for a read mask");
        goto fail;
    }
    for (size_t i = 0; i < count; i++) {
        code = json_path_init(&mask->paths[i], slice_from_text(paths[i]), err);
        if (code != POLARYS_OK) {
            polarys_error_detail_set(err, "field", "read_mask");
            goto fail;
        }
        mask->path_count++;
        code = path_add(&mask->root, &mask->paths[i]);
        if (code != POLARYS_OK) {
            polarys_fail(err, code, "no memory for a read mask");
            goto fail;
        }
    }
    *out = mask;
    return POLARYS_OK;

fail:
    json_mask_destroy(mask);
    return polarys_wrap(err, code, "read_mask");
}

void json_mask_destroy(struct json_mask *mask)
{
    if (mask == NULL) {
        return;
    }
    children_destroy(&mask->root);
    for (size_t i = 0; i < mask->path_count; i++) {
        json_path_deinit(&mask->paths[i]);
    }
    free(mask->paths);
    free(mask);
}

/* Work of one call. */
struct masker {
    struct buffer *to;
    struct buffer scratch; /* an unescaped name */
};

static enum polarys_code mask_object(struct masker *masker, const struct mask_node *node,
                                     struct polarys_slice object);

static enum polarys_code put_comma(struct masker *masker, bool *is_first)
{
    enum polarys_code code = *is_first ? POLARYS_OK : buffer_append_byte(masker->to, ',');
    *is_first = false;
    return code;
}

/* The elements that are objects; others hold no members. */
static enum polarys_code mask_array(struct masker *masker, const struct mask_node *node,
                                    struct polarys_slice array)
{
    struct json_walk walk = json_walk_start(array);
    struct polarys_slice name;
    struct polarys_slice value;
    bool is_first = true;
    enum polarys_code code = buffer_append_byte(masker->to, '[');
    while (code == POLARYS_OK && json_walk_next(&walk, &name, &value)) {
        if (value.data[0] == '{') {
            code = put_comma(masker, &is_first);
            code = code == POLARYS_OK ? mask_object(masker, node, value) : code;
        }
    }
    return code == POLARYS_OK ? buffer_append_byte(masker->to, ']') : code;
}

/* One member that the mask names, or something in it. */
static enum polarys_code mask_member(struct masker *masker, const struct mask_node *node,
                                     struct polarys_slice raw_name, struct polarys_slice value,
                                     bool *is_first)
{
    bool is_nested = value.data[0] == '{' || value.data[0] == '[';
    if (!node->is_whole && !is_nested) {
        return POLARYS_OK;
    }
    enum polarys_code code = put_comma(masker, is_first);
    /* With its quotes, and the colon. */
    static const char quote[] = "\"";
    static const char quote_colon[] = "\":";
    code = code == POLARYS_OK ? buffer_append(masker->to, quote, 1) : code;
    code = code == POLARYS_OK ? buffer_append_slice(masker->to, raw_name) : code;
    code = code == POLARYS_OK ? buffer_append(masker->to, quote_colon, 2) : code;
    if (code != POLARYS_OK) {
        return code;
    }
    if (node->is_whole) {
        return buffer_append_slice(masker->to, value);
    }
    return value.data[0] == '{' ? mask_object(masker, node, value)
                                : mask_array(masker, node, value);
}

static enum polarys_code mask_object(struct masker *masker, const struct mask_node *node,
                                     struct polarys_slice object)
{
    struct json_walk walk = json_walk_start(object);
    struct polarys_slice raw_name;
    struct polarys_slice value;
    bool is_first = true;
    enum polarys_code code = buffer_append_byte(masker->to, '{');
    while (code == POLARYS_OK && json_walk_next(&walk, &raw_name, &value)) {
        struct polarys_slice name;
        buffer_clear(&masker->scratch);
        code = json_text(raw_name, &masker->scratch, &name);
        const struct mask_node *child = code == POLARYS_OK ? child_find(node, name) : NULL;
        if (child != NULL) {
            code = mask_member(masker, child, raw_name, value, &is_first);
        }
    }
    return code == POLARYS_OK ? buffer_append_byte(masker->to, '}') : code;
}

enum polarys_code json_mask_apply(const struct json_mask *mask, struct polarys_slice document,
                                  struct buffer *to)
{
    struct polarys_slice value = json_value_trim(document);
    if (value.data[0] != '{') {
        static const char nothing[] = "{}";
        return buffer_append(to, nothing, 2);
    }
    struct masker masker = {.to = to};
    enum polarys_code code = mask_object(&masker, &mask->root, value);
    buffer_deinit(&masker.scratch);
    return code;
}
