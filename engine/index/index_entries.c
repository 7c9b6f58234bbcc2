/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of a document in an index: the values of each field, encoded, sorted and told apart, then every
 * combination of them.
 */
#include <stdlib.h>
#include <string.h>

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "engine/document/document.h"
#include "engine/index/index_internal.h"

/* One encoded value of one field. */
struct index_value {
    size_t field;
    size_t offset; /* in entries->encoded */
    size_t size;
};

struct gather {
    const struct index_definition *index;
    struct index_entries *entries;
    enum polarys_code code;
};

static enum polarys_code fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for entries of an index");
}

enum polarys_code index_fail_too_large(const struct index_definition *index, const char *what,
                                       size_t limit, size_t size, struct polarys_error *err)
{
    enum polarys_code code = polarys_fail(err, POLARYS_TOO_LARGE,
                                          "index \"%s\": a document has at most %zu %s in it, not "
                                          "%zu",
                                          index->name, limit, what, size);
    polarys_error_detail_set(err, "index", "%s", index->name);
    polarys_error_detail_set(err, "limit", "%zu", limit);
    polarys_error_detail_set(err, "size", "%zu", size);
    return code;
}

static struct polarys_slice value_bytes(const struct index_entries *entries,
                                        const struct index_value *value)
{
    return slice_make(entries->encoded.data + value->offset, value->size);
}

static int value_order(const void *a, const void *b, void *context)
{
    const struct index_value *left = a;
    const struct index_value *right = b;
    if (left->field != right->field) {
        return left->field < right->field ? -1 : 1;
    }
    return slice_compare(value_bytes(context, left), value_bytes(context, right));
}

/* Sorts the values and drops those that repeat. */
static void values_settle(struct index_entries *entries)
{
    if (entries->value_count < 2) {
        return;
    }
    qsort_r(entries->values, entries->value_count, sizeof(*entries->values), value_order, entries);
    size_t kept = 1;
    for (size_t i = 1; i < entries->value_count; i++) {
        if (value_order(&entries->values[kept - 1], &entries->values[i], entries) != 0) {
            entries->values[kept++] = entries->values[i];
        }
    }
    entries->value_count = kept;
}

/* Room for one more value. An array may repeat a value any number of times: those that repeat are dropped
 * before memory is taken for ever more. */
static enum polarys_code values_make_room(struct index_entries *entries)
{
    /* More distinct values than this, and one field alone has too many. */
    const size_t distinct_max = (size_t)INDEX_FIELDS_MAX * INDEX_ENTRIES_MAX;
    if (entries->value_count < entries->value_capacity) {
        return POLARYS_OK;
    }
    if (entries->value_capacity > 2 * distinct_max) {
        values_settle(entries);
        return entries->value_count <= distinct_max ? POLARYS_OK : POLARYS_TOO_LARGE;
    }
    size_t capacity = entries->value_capacity == 0 ? 8 : 2 * entries->value_capacity;
    struct index_value *values = realloc(entries->values, capacity * sizeof(*values));
    if (values == NULL) {
        return POLARYS_NO_MEMORY;
    }
    entries->values = values;
    entries->value_capacity = capacity;
    return POLARYS_OK;
}

static bool gather_value(void *context, size_t path, enum json_match_kind kind,
                         struct json_value value)
{
    struct gather *gather = context;
    struct index_entries *entries = gather->entries;
    if (kind == JSON_MATCH_ARRAY) {
        return true;
    }
    gather->code = values_make_room(entries);
    if (gather->code == POLARYS_OK) {
        size_t offset = entries->encoded.size;
        gather->code = json_value_encode(&value, &entries->encoded);
        entries->values[entries->value_count++] =
            (struct index_value){path, offset, entries->encoded.size - offset};
    }
    return gather->code == POLARYS_OK;
}

/* The values of all fields, by field and then ascending, each once. */
static enum polarys_code values_gather(const struct index_definition *index,
                                       const struct stored_value *document,
                                       struct index_entries *entries, struct polarys_error *err)
{
    struct gather gather = {.index = index, .entries = entries, .code = POLARYS_OK};
    entries->value_count = 0;
    buffer_clear(&entries->encoded);
    if (document->is_json) {
        (void)json_paths_extract(index->paths, document->bytes, gather_value, &gather);
    } else {
        struct json_value missing = {JSON_MISSING, {NULL, 0}};
        for (size_t i = 0; i < index->field_count && gather.code == POLARYS_OK; i++) {
            (void)gather_value(&gather, i, JSON_MATCH_VALUE, missing);
        }
    }
    if (gather.code == POLARYS_TOO_LARGE) {
        return index_fail_too_large(index, "entries", INDEX_ENTRIES_MAX, entries->value_count, err);
    }
    if (gather.code != POLARYS_OK) {
        return fail_memory(err);
    }
    values_settle(entries);
    return POLARYS_OK;
}

/* ---- combinations ---- */

/* The values of each field: [first, first + count). */
struct combination {
    size_t first[INDEX_FIELDS_MAX];
    size_t count[INDEX_FIELDS_MAX];
    size_t at[INDEX_FIELDS_MAX];
};

static enum polarys_code combination_init(const struct index_definition *index,
                                          const struct index_entries *entries,
                                          struct combination *combination, size_t *total,
                                          struct polarys_error *err)
{
    *combination = (struct combination){0};
    for (size_t i = entries->value_count; i > 0; i--) {
        combination->first[entries->values[i - 1].field] = i - 1;
        combination->count[entries->values[i - 1].field]++;
    }
    *total = 1;
    for (size_t i = 0; i < index->field_count; i++) {
        POLARYS_ASSERT(combination->count[i] > 0);
        *total *= combination->count[i];
        if (*total > INDEX_ENTRIES_MAX) {
            return index_fail_too_large(index, "entries", INDEX_ENTRIES_MAX, *total, err);
        }
    }
    return POLARYS_OK;
}

/* On to the next one, the last field first, so that they come in ascending order. */
static void combination_next(const struct index_definition *index, struct combination *combination)
{
    for (size_t i = index->field_count; i > 0; i--) {
        if (++combination->at[i - 1] < combination->count[i - 1]) {
            return;
        }
        combination->at[i - 1] = 0;
    }
}

static const struct index_value *combination_value(const struct index_entries *entries,
                                                   const struct combination *combination,
                                                   size_t field)
{
    return &entries->values[combination->first[field] + combination->at[field]];
}

/* Bytes that the entry under `combination` may take, key and value. */
static size_t entry_bytes_max(const struct index_definition *index,
                              const struct index_entries *entries,
                              const struct combination *combination, size_t document_key_size)
{
    size_t fields = 0;
    for (size_t i = 0; i < index->field_count; i++) {
        fields += combination_value(entries, combination, i)->size;
    }
    return TREE_KEY_PREFIX_SIZE + fields + INDEX_HASH_SIZE + 2 * document_key_size;
}

/* Appends the encoded fields, or their hash. *is_exempt: one of them is missing or null. */
static enum polarys_code fields_append(const struct index_definition *index,
                                       struct index_entries *entries,
                                       const struct combination *combination, bool *is_exempt,
                                       struct polarys_error *err)
{
    struct buffer *bytes = &entries->bytes;
    size_t from = bytes->size;
    uint8_t null_first;
    uint8_t null_beyond;
    json_type_bounds(JSON_NULL, &null_first, &null_beyond);
    *is_exempt = false;
    for (size_t i = 0; i < index->field_count; i++) {
        struct polarys_slice value =
            value_bytes(entries, combination_value(entries, combination, i));
        /* Missing sorts before null. */
        *is_exempt = *is_exempt || value.data[0] < null_beyond;
        memcpy(bytes->data + bytes->size, value.data, value.size);
        bytes->size += value.size;
    }
    size_t size = bytes->size - from;
    if (index->kind == INDEX_HASH) {
        index_fields_hash(slice_make(bytes->data + from, size), bytes->data + from);
        bytes->size = from + INDEX_HASH_SIZE;
        return POLARYS_OK;
    }
    return size <= INDEX_FIELDS_ENCODED_MAX
               ? POLARYS_OK
               : index_fail_too_large(index, "bytes of indexed fields", INDEX_FIELDS_ENCODED_MAX,
                                      size, err);
}

void index_fields_hash(struct polarys_slice fields, uint8_t hash[INDEX_HASH_SIZE])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(fields.data, fields.size));
    memcpy(hash, canonical.digest, INDEX_HASH_SIZE);
}

/* The key is what `bytes` holds from `from` on; the value follows it. */
static void entry_finish(struct index_entries *entries, size_t from, struct polarys_slice value,
                         struct index_entry *entry)
{
    struct buffer *bytes = &entries->bytes;
    entry->key = slice_make(bytes->data + from, bytes->size - from);
    entry->value = slice_make(bytes->data + bytes->size, value.size);
    if (value.size > 0) {
        memcpy(bytes->data + bytes->size, value.data, value.size);
        bytes->size += value.size;
    }
}

/* REQUIRES: room in bytes for entry_bytes_max. */
static enum polarys_code entry_append(const struct index_definition *index,
                                      const struct combination *combination,
                                      struct polarys_slice document_key,
                                      struct index_entries *entries, struct polarys_error *err)
{
    struct buffer *bytes = &entries->bytes;
    size_t from = bytes->size;
    bool is_exempt;
    tree_key_put_prefix(bytes->data + from, index->database_id, index->id);
    bytes->size += TREE_KEY_PREFIX_SIZE;
    enum polarys_code code = fields_append(index, entries, combination, &is_exempt, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct index_entry *entry = &entries->list[entries->count++];
    entry->is_unique = index->is_unique && !is_exempt;
    struct polarys_slice value = slice_make(NULL, 0);
    if (entry->is_unique) {
        value = document_key;
    } else {
        index_key_append(bytes, from, document_key, &value);
    }
    entry_finish(entries, from, value, entry);
    return POLARYS_OK;
}

/* The entry that tells of a document with several. REQUIRES: room for prefix, mark, key and value. */
static void marker_append(const struct index_definition *index, struct polarys_slice document_key,
                          struct index_entries *entries)
{
    struct buffer *bytes = &entries->bytes;
    size_t from = bytes->size;
    struct polarys_slice value;
    struct index_entry *entry = &entries->list[entries->count++];
    tree_key_put_prefix(bytes->data + from, index->database_id, index->id);
    bytes->size += TREE_KEY_PREFIX_SIZE;
    bytes->data[bytes->size++] = INDEX_MARKER;
    entry->is_unique = false;
    index_key_append(bytes, from, document_key, &value);
    entry_finish(entries, from, value, entry);
}

void index_key_append(struct buffer *bytes, size_t from, struct polarys_slice document_key,
                      struct polarys_slice *value)
{
    size_t room = TREE_KEY_SIZE_MAX - (bytes->size - from);
    *value = slice_make(NULL, 0);
    size_t copied = document_key.size;
    if (document_key.size > room) {
        *value = document_key;
        copied = room - INDEX_HASH_SIZE;
    }
    memcpy(bytes->data + bytes->size, document_key.data, copied);
    bytes->size += copied;
    if (copied < document_key.size) {
        index_fields_hash(document_key, bytes->data + bytes->size);
        bytes->size += INDEX_HASH_SIZE;
    }
}

static int entry_order(const void *a, const void *b)
{
    return slice_compare(((const struct index_entry *)a)->key,
                         ((const struct index_entry *)b)->key);
}

/* Hashes come in no order, and two combinations might have the same. */
static void entries_settle(struct index_entries *entries)
{
    if (entries->count < 2) {
        return;
    }
    qsort(entries->list, entries->count, sizeof(*entries->list), entry_order);
    size_t kept = 1;
    for (size_t i = 1; i < entries->count; i++) {
        if (entry_order(&entries->list[kept - 1], &entries->list[i]) != 0) {
            entries->list[kept++] = entries->list[i];
        }
    }
    entries->count = kept;
}

enum polarys_code index_entries_reserve(struct index_entries *entries, size_t count)
{
    if (count <= entries->capacity) {
        return POLARYS_OK;
    }
    size_t capacity = 2 * entries->capacity < count ? count : 2 * entries->capacity;
    struct index_entry *list = realloc(entries->list, capacity * sizeof(*list));
    if (list == NULL) {
        return POLARYS_NO_MEMORY;
    }
    entries->list = list;
    entries->capacity = capacity;
    return POLARYS_OK;
}

/* Of an index that is no text one. */
static enum polarys_code field_entries_make(const struct index_definition *index,
                                            struct polarys_slice document_key,
                                            const struct stored_value *document,
                                            struct index_entries *entries,
                                            struct polarys_error *err)
{
    struct combination combination;
    size_t total;
    size_t bytes = 0;
    enum polarys_code code = values_gather(index, document, entries, err);
    if (code == POLARYS_OK) {
        code = combination_init(index, entries, &combination, &total, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    for (size_t i = 0; i < total; i++) {
        bytes += entry_bytes_max(index, entries, &combination, document_key.size);
        combination_next(index, &combination);
    }
    bool has_marker = total > 1 && index->kind == INDEX_ORDERED;
    bytes += has_marker ? TREE_KEY_PREFIX_SIZE + 1 + INDEX_HASH_SIZE + 2 * document_key.size : 0;
    /* At once: what was made before must not move. */
    if (index_entries_reserve(entries, total + (has_marker ? 1 : 0)) != POLARYS_OK ||
        buffer_reserve(&entries->bytes, bytes) != POLARYS_OK) {
        return fail_memory(err);
    }
    for (size_t i = 0; i < total && code == POLARYS_OK; i++) {
        code = entry_append(index, &combination, document_key, entries, err);
        combination_next(index, &combination);
    }
    if (code == POLARYS_OK && has_marker) {
        marker_append(index, document_key, entries);
    }
    if (code == POLARYS_OK && index->kind == INDEX_HASH) {
        entries_settle(entries);
    }
    return code;
}

enum polarys_code index_entries_make(const struct index_definition *index,
                                     struct polarys_slice document_key, struct polarys_slice stored,
                                     struct index_entries *entries, struct polarys_error *err)
{
    POLARYS_ASSERT(document_key.size > 0 && document_key.size <= USER_KEY_SIZE_MAX);
    entries->count = 0;
    buffer_clear(&entries->bytes);
    struct stored_value document;
    if (!stored_value_decode(stored, &document)) {
        return polarys_fail(err, POLARYS_CORRUPT, "a stored value has an unknown form");
    }
    return index->kind == INDEX_TEXT
               ? index_text_entries_make(index, document_key, &document, entries, err)
               : field_entries_make(index, document_key, &document, entries, err);
}

void index_entries_deinit(struct index_entries *entries)
{
    free(entries->list);
    free(entries->values);
    buffer_deinit(&entries->bytes);
    buffer_deinit(&entries->encoded);
    *entries = (struct index_entries){0};
}

/* ---- taking apart ---- */

bool index_entry_decode(const struct index_definition *index, struct polarys_slice key,
                        struct polarys_slice value, struct index_entry_view *view)
{
    if (key.size < TREE_KEY_PREFIX_SIZE || index->kind == INDEX_TEXT) {
        return false;
    }
    struct cursor rest = cursor_make(key);
    rest.at += TREE_KEY_PREFIX_SIZE;
    const uint8_t *fields = rest.at;
    struct polarys_slice field;
    view->is_marker =
        index->kind == INDEX_ORDERED && cursor_left(&rest) > 0 && *fields == INDEX_MARKER;
    if (view->is_marker) {
        fields = ++rest.at;
    } else if (index->kind == INDEX_HASH) {
        if (!cursor_take_bytes(&rest, INDEX_HASH_SIZE, &field)) {
            return false;
        }
    } else {
        for (size_t i = 0; i < index->field_count; i++) {
            if (!json_encoded_take(&rest, &field)) {
                return false;
            }
        }
    }
    view->fields = slice_make(fields, (size_t)(rest.at - fields));
    view->document_key = value.size > 0 ? value : slice_make(rest.at, cursor_left(&rest));
    return view->document_key.size > 0 && view->document_key.size <= USER_KEY_SIZE_MAX;
}

bool index_entry_field(struct polarys_slice fields, size_t number, struct polarys_slice *field)
{
    struct cursor rest = cursor_make(fields);
    for (size_t i = 0; i <= number; i++) {
        if (!json_encoded_take(&rest, field)) {
            return false;
        }
    }
    return true;
}
