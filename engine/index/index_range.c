/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges of entries that answer a question, as bounds of tree keys.
 *
 * No encoding of a value is a prefix of another, so the entries of a value are those whose keys begin with its
 * bytes, and what follows them begins with its successor.
 */
#include <string.h>

#include "engine/index/index_internal.h"

static enum polarys_code fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a range of an index");
}

void index_range_deinit(struct index_range *range)
{
    buffer_deinit(&range->start);
    buffer_deinit(&range->end);
}

bool index_range_is_empty(const struct index_range *range)
{
    return slice_compare(buffer_slice(&range->start), buffer_slice(&range->end)) >= 0;
}

void index_bounds(uint32_t database_id, uint32_t index_id, uint8_t start[TREE_KEY_PREFIX_SIZE],
                  uint8_t end[TREE_KEY_PREFIX_SIZE])
{
    POLARYS_ASSERT(index_id < UINT32_MAX);
    tree_key_put_prefix(start, database_id, index_id);
    tree_key_put_prefix(end, database_id, index_id + 1);
}

void index_marker_bounds(uint32_t database_id, uint32_t index_id,
                         uint8_t start[TREE_KEY_PREFIX_SIZE + 1], uint8_t end[TREE_KEY_PREFIX_SIZE])
{
    index_bounds(database_id, index_id, start, end);
    start[TREE_KEY_PREFIX_SIZE] = INDEX_MARKER;
}

bool index_bytes_successor(struct buffer *bytes)
{
    while (bytes->size > 0 && bytes->data[bytes->size - 1] == 0xff) {
        bytes->size--;
    }
    if (bytes->size == 0) {
        return false;
    }
    bytes->data[bytes->size - 1]++;
    return true;
}

/* Bounds longer than any key become the one behind all keys that they begin with: no key lies between. */
static void bound_fit(struct buffer *bound)
{
    if (bound->size > TREE_KEY_SIZE_MAX) {
        bound->size = TREE_KEY_SIZE_MAX;
        bool has_successor = index_bytes_successor(bound);
        POLARYS_ASSERT(has_successor);
    }
}

/* What all keys begin with whose first fields are these. */
static enum polarys_code head_make(const struct index_definition *index,
                                   const struct json_value *equal, size_t equal_count,
                                   struct buffer *to)
{
    uint8_t prefix[TREE_KEY_PREFIX_SIZE];
    tree_key_put_prefix(prefix, index->database_id, index->id);
    buffer_clear(to);
    enum polarys_code code = buffer_append(to, prefix, sizeof(prefix));
    for (size_t i = 0; i < equal_count && code == POLARYS_OK; i++) {
        code = json_value_encode(&equal[i], to);
    }
    if (code == POLARYS_OK && index->kind == INDEX_HASH) {
        code = buffer_reserve(to, INDEX_HASH_SIZE);
        if (code == POLARYS_OK) {
            uint8_t *fields = to->data + TREE_KEY_PREFIX_SIZE;
            index_fields_hash(slice_make(fields, to->size - TREE_KEY_PREFIX_SIZE), fields);
            to->size = TREE_KEY_PREFIX_SIZE + INDEX_HASH_SIZE;
        }
    }
    return code;
}

/* [head, what follows all that begin with it) */
static enum polarys_code range_of_head(struct index_range *range, struct polarys_error *err)
{
    buffer_clear(&range->end);
    if (buffer_append_slice(&range->end, buffer_slice(&range->start)) != POLARYS_OK) {
        return fail_memory(err);
    }
    bool has_successor = index_bytes_successor(&range->end);
    POLARYS_ASSERT(has_successor); /* an index id is never the last one */
    bound_fit(&range->start);
    bound_fit(&range->end);
    return POLARYS_OK;
}

enum polarys_code index_range_equal(const struct index_definition *index,
                                    const struct json_value *equal, size_t equal_count,
                                    struct index_range *range, struct polarys_error *err)
{
    if (index->kind == INDEX_TEXT || equal_count > index->field_count ||
        (index->kind == INDEX_HASH && equal_count != index->field_count)) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "index \"%s\" is of the kind %s: it cannot answer by %zu of its %zu "
                            "fields",
                            index->name, index_kind_name(index->kind), equal_count,
                            index->field_count);
    }
    if (head_make(index, equal, equal_count, &range->start) != POLARYS_OK) {
        return fail_memory(err);
    }
    return range_of_head(range, err);
}

/* Appends the bound's value, or the end of the other one's type. */
static enum polarys_code bound_append(const struct index_bound *bound,
                                      const struct index_bound *other, bool is_low,
                                      struct buffer *to)
{
    if (!bound->is_given) {
        uint8_t first;
        uint8_t beyond;
        json_type_bounds(other->value.type, &first, &beyond);
        return buffer_append_byte(to, is_low ? first : beyond);
    }
    enum polarys_code code = json_value_encode(&bound->value, to);
    if (code == POLARYS_OK && bound->is_inclusive != is_low) {
        bool has_successor = index_bytes_successor(to);
        POLARYS_ASSERT(has_successor);
    }
    return code;
}

/* NOLINTNEXTLINE(readability-function-size): seven parameters, and each is one thing */
enum polarys_code index_range_between(const struct index_definition *index,
                                      const struct json_value *equal, size_t equal_count,
                                      const struct index_bound *low, const struct index_bound *high,
                                      struct index_range *range, struct polarys_error *err)
{
    POLARYS_ASSERT(index->kind == INDEX_ORDERED && equal_count < index->field_count);
    if (!low->is_given && !high->is_given) {
        return index_range_equal(index, equal, equal_count, range, err);
    }
    if (head_make(index, equal, equal_count, &range->start) != POLARYS_OK ||
        head_make(index, equal, equal_count, &range->end) != POLARYS_OK ||
        bound_append(low, high, true, &range->start) != POLARYS_OK ||
        bound_append(high, low, false, &range->end) != POLARYS_OK) {
        return fail_memory(err);
    }
    bound_fit(&range->start);
    bound_fit(&range->end);
    return POLARYS_OK;
}

enum polarys_code index_range_prefix(const struct index_definition *index,
                                     const struct json_value *equal, size_t equal_count,
                                     struct polarys_slice characters, struct index_range *range,
                                     struct polarys_error *err)
{
    POLARYS_ASSERT(index->kind == INDEX_ORDERED && equal_count < index->field_count);
    if (head_make(index, equal, equal_count, &range->start) != POLARYS_OK ||
        json_string_encode_prefix(characters, &range->start) != POLARYS_OK) {
        return fail_memory(err);
    }
    return range_of_head(range, err);
}
