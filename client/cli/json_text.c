/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk by brackets and quotes alone: enough for text that was checked before, and never past its end
 * for text that was not.
 */
#include "client/cli/json_text.h"

#include <string.h>

#include "client/assert.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void space_skip(struct object_walk *walk)
{
    while (walk->at < walk->end && is_space(*walk->at)) {
        walk->at++;
    }
}

/* Bytes of the string at text[0]; 0 when it does not end. */
static size_t string_end(const char *text, size_t size)
{
    for (size_t i = 1; i < size; i++) {
        if (text[i] == '\\') {
            i++;
        } else if (text[i] == '"') {
            return i + 1;
        }
    }
    return 0;
}

size_t json_text_end(const char *text, size_t size)
{
    size_t depth = 0;

    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"') {
            size_t length = string_end(text + i, size - i);
            if (length == 0) {
                return 0;
            }
            i += length - 1;
        } else if (text[i] == '{' || text[i] == '[') {
            depth++;
        } else if ((text[i] == '}' || text[i] == ']') && depth > 0) {
            depth--;
        }
        if (depth == 0) {
            return i + 1;
        }
    }
    return 0;
}

/* Bytes of the value at walk->at. */
static size_t value_size(const struct object_walk *walk)
{
    size_t left = (size_t)(walk->end - walk->at);
    size_t size = 0;

    if (left > 0 && strchr("{[\"", *walk->at) != NULL && *walk->at != '\0') {
        size = json_text_end(walk->at, left);
        return size == 0 ? left : size;
    }
    while (size < left && !is_space(walk->at[size]) && walk->at[size] != ',' &&
           walk->at[size] != '}' && walk->at[size] != ']') {
        size++;
    }
    return size;
}

static bool walk_init(struct object_walk *walk, const char *text, size_t size, char bracket)
{
    POLARYS_ASSERT(text != NULL);
    walk->at = text;
    walk->end = text + size;
    space_skip(walk);
    if (walk->at == walk->end || *walk->at != bracket) {
        return false;
    }
    walk->at++;
    return true;
}

bool object_walk_init(struct object_walk *walk, const char *text, size_t size)
{
    return walk_init(walk, text, size, '{');
}

bool array_walk_init(struct object_walk *walk, const char *text, size_t size)
{
    return walk_init(walk, text, size, '[');
}

static void comma_skip(struct object_walk *walk)
{
    space_skip(walk);
    if (walk->at < walk->end && *walk->at == ',') {
        walk->at++;
        space_skip(walk);
    }
}

bool array_walk_next(struct object_walk *walk, const char **value, size_t *size)
{
    POLARYS_ASSERT(walk->at <= walk->end);
    comma_skip(walk);
    *value = walk->at;
    *size = value_size(walk);
    walk->at += *size;
    return *size > 0;
}

bool object_walk_next(struct object_walk *walk, struct object_member *member)
{
    comma_skip(walk);
    if (walk->at == walk->end || *walk->at != '"') {
        return false;
    }
    size_t name_size = string_end(walk->at, (size_t)(walk->end - walk->at));
    if (name_size == 0) {
        return false;
    }
    member->name = walk->at + 1;
    member->name_size = name_size - 2;
    walk->at += name_size;
    space_skip(walk);
    if (walk->at == walk->end || *walk->at != ':') {
        return false;
    }
    walk->at++;
    space_skip(walk);
    member->value = walk->at;
    member->value_size = value_size(walk);
    walk->at += member->value_size;
    return member->value_size > 0;
}
