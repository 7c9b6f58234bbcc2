/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members of one object of checked text, in their order and by name, for merging and comparing.
 */
#include "engine/document/json_internal.h"

#include <stdlib.h>

static int member_order(const void *a, const void *b)
{
    const struct json_member *const *left = a;
    const struct json_member *const *right = b;
    return slice_compare((*left)->name, (*right)->name);
}

static size_t members_count(struct polarys_slice object, size_t *escaped_bytes)
{
    struct json_walk walk = json_walk_start(object);
    struct polarys_slice name;
    struct polarys_slice value;
    size_t count = 0;
    *escaped_bytes = 0;
    while (json_walk_next(&walk, &name, &value)) {
        count++;
        *escaped_bytes += json_has_escape(name) ? name.size : 0;
    }
    return count;
}

enum polarys_code json_members_init(struct json_members *members, struct polarys_slice object)
{
    size_t escaped_bytes;
    size_t count = members_count(object, &escaped_bytes);
    *members = (struct json_members){0};
    if (count == 0) {
        return POLARYS_OK;
    }
    members->list = calloc(count, sizeof(*members->list));
    members->by_name = calloc(count, sizeof(struct json_member *));
    /* Reserved at once, so that names already taken do not move. */
    if (members->list == NULL || members->by_name == NULL ||
        buffer_reserve(&members->names, escaped_bytes) != POLARYS_OK) {
        json_members_deinit(members);
        return POLARYS_NO_MEMORY;
    }
    struct json_walk walk = json_walk_start(object);
    struct json_member *member = members->list;
    while (json_walk_next(&walk, &member->raw_name, &member->value)) {
        if (json_text(member->raw_name, &members->names, &member->name) != POLARYS_OK) {
            json_members_deinit(members);
            return POLARYS_NO_MEMORY;
        }
        members->by_name[members->count++] = member;
        if (members->count == count) {
            break;
        }
        member++;
    }
    qsort(members->by_name, count, sizeof(struct json_member *), member_order);
    return POLARYS_OK;
}

void json_members_deinit(struct json_members *members)
{
    free(members->list);
    free(members->by_name);
    buffer_deinit(&members->names);
    *members = (struct json_members){0};
}

struct json_member *json_members_find(const struct json_members *members, struct polarys_slice name)
{
    size_t low = 0;
    size_t high = members->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = slice_compare(members->by_name[middle]->name, name);
        if (order == 0) {
            return members->by_name[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}
