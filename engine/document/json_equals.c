/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Equality of JSON values, and the field that a precondition names. Recursion is bounded by
 * JSON_DEPTH_MAX, which json_check has seen to.
 */
#include "engine/base/coding.h"
#include "engine/document/json_internal.h"

static struct polarys_slice string_inside(struct polarys_slice value)
{
    POLARYS_ASSERT(value.size >= 2);
    return slice_make(value.data + 1, value.size - 2);
}

static enum polarys_code strings_equal(struct polarys_slice a, struct polarys_slice b,
                                       bool *is_equal)
{
    struct buffer scratch_a = {0};
    struct buffer scratch_b = {0};
    struct polarys_slice text_a;
    struct polarys_slice text_b;
    enum polarys_code code = json_text(string_inside(a), &scratch_a, &text_a);
    if (code == POLARYS_OK) {
        code = json_text(string_inside(b), &scratch_b, &text_b);
    }
    if (code == POLARYS_OK) {
        *is_equal = slice_equal(text_a, text_b);
    }
    buffer_deinit(&scratch_a);
    buffer_deinit(&scratch_b);
    return code;
}

static enum polarys_code arrays_equal(struct polarys_slice a, struct polarys_slice b,
                                      bool *is_equal)
{
    struct json_walk walk_a = json_walk_start(a);
    struct json_walk walk_b = json_walk_start(b);
    for (;;) {
        struct polarys_slice name;
        struct polarys_slice value_a;
        struct polarys_slice value_b;
        bool has_a = json_walk_next(&walk_a, &name, &value_a);
        bool has_b = json_walk_next(&walk_b, &name, &value_b);
        if (!has_a || !has_b) {
            *is_equal = has_a == has_b;
            return POLARYS_OK;
        }
        enum polarys_code code = json_value_equals(value_a, value_b, is_equal);
        if (code != POLARYS_OK || !*is_equal) {
            return code;
        }
    }
}

static enum polarys_code objects_equal(struct polarys_slice a, struct polarys_slice b,
                                       bool *is_equal)
{
    struct json_members members_a;
    struct json_members members_b;
    enum polarys_code code = json_members_init(&members_a, a);
    if (code != POLARYS_OK) {
        return code;
    }
    code = json_members_init(&members_b, b);
    if (code != POLARYS_OK) {
        json_members_deinit(&members_a);
        return code;
    }
    *is_equal = members_a.count == members_b.count;
    for (size_t i = 0; i < members_a.count && *is_equal && code == POLARYS_OK; i++) {
        const struct json_member *left = members_a.by_name[i];
        const struct json_member *right = members_b.by_name[i];
        *is_equal = slice_equal(left->name, right->name);
        if (*is_equal) {
            code = json_value_equals(left->value, right->value, is_equal);
        }
    }
    json_members_deinit(&members_a);
    json_members_deinit(&members_b);
    return code;
}

enum polarys_code json_value_equals(struct polarys_slice a, struct polarys_slice b, bool *is_equal)
{
    enum json_type type = json_value_type(a);
    *is_equal = false;
    if (type != json_value_type(b)) {
        return POLARYS_OK;
    }
    switch (type) {
    case JSON_NUMBER:
        return json_number_equals(a, b, is_equal);
    case JSON_STRING:
        return strings_equal(a, b, is_equal);
    case JSON_ARRAY:
        return arrays_equal(a, b, is_equal);
    case JSON_OBJECT:
        return objects_equal(a, b, is_equal);
    default:
        *is_equal = true;
        return POLARYS_OK;
    }
}

/* The member `name` of an object. *is_found false when there is none. */
static enum polarys_code member_find(struct polarys_slice object, struct polarys_slice name,
                                     struct polarys_slice *value, bool *is_found)
{
    struct json_walk walk = json_walk_start(object);
    struct polarys_slice raw_name;
    struct buffer scratch = {0};
    enum polarys_code code = POLARYS_OK;
    *is_found = false;
    while (code == POLARYS_OK && !*is_found && json_walk_next(&walk, &raw_name, value)) {
        struct polarys_slice text;
        buffer_clear(&scratch);
        code = json_text(raw_name, &scratch, &text);
        *is_found = code == POLARYS_OK && slice_equal(text, name);
    }
    buffer_deinit(&scratch);
    return code;
}

/*
 * Takes the next name off `*path`: up to a '.', or within backticks, where a '.' is part of the name. False
 * when the path is malformed.
 */
static bool path_take_name(struct cursor *path, struct polarys_slice *name)
{
    const uint8_t *at = path->at;
    const uint8_t *name_end;
    if (at < path->end && *at == '`') {
        at++;
        name_end = memchr(at, '`', (size_t)(path->end - at));
        if (name_end == NULL) {
            return false;
        }
        path->at = name_end + 1;
    } else {
        name_end = memchr(at, '.', (size_t)(path->end - at));
        name_end = name_end == NULL ? path->end : name_end;
        path->at = name_end;
    }
    *name = slice_make(at, (size_t)(name_end - at));
    return path->at == path->end || *path->at == '.';
}

/* Follows `path` from the trimmed value `*value`. Errors: BAD_ARGUMENT without a message, NO_MEMORY. */
static enum polarys_code path_follow(struct polarys_slice path, struct polarys_slice *value,
                                     bool *is_found)
{
    struct cursor rest = cursor_make(path);
    *is_found = true;
    for (;;) {
        struct polarys_slice name;
        if (!path_take_name(&rest, &name)) {
            return POLARYS_BAD_ARGUMENT;
        }
        if (*is_found && json_value_type(*value) == JSON_OBJECT) {
            enum polarys_code code = member_find(*value, name, value, is_found);
            if (code != POLARYS_OK) {
                return code;
            }
        } else {
            *is_found = false; /* what is left of the path still has to be one */
        }
        if (rest.at == rest.end) {
            return POLARYS_OK;
        }
        rest.at++; /* the '.' */
    }
}

enum polarys_code json_field_equals(struct polarys_slice text, struct polarys_slice path,
                                    struct polarys_slice expected, bool *is_equal,
                                    struct polarys_error *err)
{
    *is_equal = false;
    if (path.size == 0) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "the path of a field is empty");
    }
    enum polarys_code code = json_check(expected, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "expected value");
    }
    code = json_check(text, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "document");
    }
    struct polarys_slice value = json_value_trim(text);
    bool is_found;
    code = path_follow(path, &value, &is_found);
    if (code == POLARYS_OK && is_found) {
        code = json_value_equals(value, json_value_trim(expected), is_equal);
    }
    if (code == POLARYS_BAD_ARGUMENT) {
        return polarys_fail(err, code,
                            "the path of a field is malformed: names joined by '.', "
                            "or in backticks");
    }
    return code == POLARYS_OK ? code : polarys_fail(err, code, "no memory to compare a field");
}

enum polarys_code json_member_text(struct polarys_slice text, struct polarys_slice name,
                                   struct buffer *value, bool *is_found, struct polarys_error *err)
{
    *is_found = false;
    enum polarys_code code = json_check(text, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct polarys_slice object = json_value_trim(text);
    if (json_value_type(object) != JSON_OBJECT) {
        return POLARYS_OK;
    }
    struct polarys_slice found;
    bool is_there;
    code = member_find(object, name, &found, &is_there);
    if (code == POLARYS_OK && is_there) {
        enum json_type type = json_value_type(found);
        *is_found = type == JSON_STRING || type == JSON_NUMBER;
        if (type == JSON_STRING) {
            code = json_unescape(string_inside(found), value);
        } else if (type == JSON_NUMBER) {
            code = buffer_append_slice(value, found);
        }
    }
    if (code != POLARYS_OK) {
        *is_found = false;
        return polarys_fail(err, code, "no memory for a member");
    }
    return POLARYS_OK;
}
