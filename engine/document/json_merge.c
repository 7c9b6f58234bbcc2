/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merge patches (RFC 7386) on text: members that the patch leaves alone are copied byte for byte.
 *
 * The result is written without space between tokens; values that are copied keep theirs. Recursion is
 * bounded by JSON_DEPTH_MAX.
 */
#include "engine/document/json_internal.h"

static enum polarys_code merge(struct polarys_slice target, struct polarys_slice patch,
                               struct buffer *result);

static enum polarys_code append_name(struct buffer *result, struct polarys_slice raw_name,
                                     bool *is_first)
{
    enum polarys_code code = POLARYS_OK;
    if (!*is_first) {
        code = buffer_append_byte(result, ',');
    }
    *is_first = false;
    if (code == POLARYS_OK) {
        code = buffer_append_byte(result, '"');
    }
    if (code == POLARYS_OK) {
        code = buffer_append_slice(result, raw_name);
    }
    return code == POLARYS_OK ? buffer_append(result, "\":", 2) : code;
}

/* One member of the target, as the patch leaves it. */
static enum polarys_code merge_member(const struct json_members *patch,
                                      struct polarys_slice raw_name, struct polarys_slice value,
                                      struct buffer *scratch, struct buffer *result, bool *is_first)
{
    struct polarys_slice name;
    buffer_clear(scratch);
    enum polarys_code code = json_text(raw_name, scratch, &name);
    if (code != POLARYS_OK) {
        return code;
    }
    struct json_member *change = json_members_find(patch, name);
    if (change != NULL) {
        change->is_used = true;
        if (json_value_type(change->value) == JSON_NULL) {
            return POLARYS_OK;
        }
    }
    code = append_name(result, raw_name, is_first);
    if (code != POLARYS_OK) {
        return code;
    }
    return change == NULL ? buffer_append_slice(result, value)
                          : merge(value, change->value, result);
}

static enum polarys_code merge_target(struct polarys_slice target, const struct json_members *patch,
                                      struct buffer *result, bool *is_first)
{
    struct json_walk walk = json_walk_start(target);
    struct buffer scratch = {0};
    struct polarys_slice raw_name;
    struct polarys_slice value;
    enum polarys_code code = POLARYS_OK;
    while (code == POLARYS_OK && json_walk_next(&walk, &raw_name, &value)) {
        code = merge_member(patch, raw_name, value, &scratch, result, is_first);
    }
    buffer_deinit(&scratch);
    return code;
}

/* Members that the target did not have. */
static enum polarys_code merge_new(const struct json_members *patch, struct buffer *result,
                                   bool *is_first)
{
    const struct polarys_slice nothing = {NULL, 0};
    enum polarys_code code = POLARYS_OK;
    for (size_t i = 0; i < patch->count && code == POLARYS_OK; i++) {
        const struct json_member *member = &patch->list[i];
        if (member->is_used || json_value_type(member->value) == JSON_NULL) {
            continue;
        }
        code = append_name(result, member->raw_name, is_first);
        if (code == POLARYS_OK) {
            code = merge(nothing, member->value, result);
        }
    }
    return code;
}

/* `target` is trimmed, or empty for none. */
static enum polarys_code merge(struct polarys_slice target, struct polarys_slice patch,
                               struct buffer *result)
{
    if (json_value_type(patch) != JSON_OBJECT) {
        return buffer_append_slice(result, patch);
    }
    struct json_members members;
    enum polarys_code code = json_members_init(&members, patch);
    if (code != POLARYS_OK) {
        return code;
    }
    bool is_first = true;
    code = buffer_append_byte(result, '{');
    if (code == POLARYS_OK && target.size > 0 && json_value_type(target) == JSON_OBJECT) {
        code = merge_target(target, &members, result, &is_first);
    }
    if (code == POLARYS_OK) {
        code = merge_new(&members, result, &is_first);
    }
    if (code == POLARYS_OK) {
        code = buffer_append_byte(result, '}');
    }
    json_members_deinit(&members);
    return code;
}

enum polarys_code json_merge_patch(struct polarys_slice target, struct polarys_slice patch,
                                   struct buffer *result, struct polarys_error *err)
{
    enum polarys_code code = json_check(patch, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "patch");
    }
    if (target.size > 0) {
        code = json_check(target, err);
        if (code != POLARYS_OK) {
            return polarys_wrap(err, code, "document");
        }
        target = json_value_trim(target);
    }
    size_t size = result->size;
    code = merge(target, json_value_trim(patch), result);
    if (code != POLARYS_OK) {
        result->size = size;
        return polarys_fail(err, code, "no memory to merge a patch");
    }
    return POLARYS_OK;
}
