/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an index is: checked, copied, shared by the catalogues that hold it, and its record's bytes
 * (docs/formats/catalog.md).
 */
#include <stdlib.h>
#include <string.h>

#include "engine/index/index.h"
#include "engine/search/search.h"

enum { RECORD_FORMAT = 1, FLAG_UNIQUE = 1 };

static enum polarys_code fail_argument(const char *field, const char *why,
                                       struct polarys_error *err)
{
    enum polarys_code code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s", why);
    polarys_error_detail_set(err, "field", "%s", field);
    return code;
}

static enum polarys_code fail_memory(struct polarys_error *err)
{
    return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for an index");
}

static enum polarys_code check_spec(const struct index_spec *spec, struct polarys_error *err)
{
    if (spec->kind != INDEX_HASH && spec->kind != INDEX_ORDERED && spec->kind != INDEX_TEXT) {
        return fail_argument("kind", "an index is of the kind hash, ordered or text", err);
    }
    if (spec->field_count == 0 || spec->field_count > INDEX_FIELDS_MAX) {
        return fail_argument("fields", "an index has 1 to 8 fields", err);
    }
    if (spec->is_unique && spec->kind == INDEX_TEXT) {
        return fail_argument("unique", "a text index cannot be unique", err);
    }
    bool has_language = spec->language != NULL && spec->language[0] != '\0';
    if (has_language && spec->kind != INDEX_TEXT) {
        return fail_argument("language", "only a text index has a language", err);
    }
    if (has_language && !search_language_is_known(spec->language)) {
        return fail_argument("language", "unknown language of a text index", err);
    }
    for (size_t i = 0; i < spec->field_count; i++) {
        if (spec->fields[i] == NULL) {
            return fail_argument("fields", "a field of an index has no name", err);
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(spec->fields[i], spec->fields[j]) == 0) {
                return fail_argument("fields", "a field of an index is named twice", err);
            }
        }
    }
    return POLARYS_OK;
}

static void text_copy(char *to, size_t size, const char *from)
{
    size_t length = strnlen(from, size - 1);
    memcpy(to, from, length);
    to[length] = '\0';
}

static enum polarys_code fields_copy(struct index_definition *index, const struct index_spec *spec,
                                     struct polarys_error *err)
{
    for (size_t i = 0; i < spec->field_count; i++) {
        enum polarys_code code =
            json_path_init(&index->fields[i], slice_from_text(spec->fields[i]), err);
        if (code != POLARYS_OK) {
            return code;
        }
        index->field_count++;
    }
    return json_paths_create(index->fields, index->field_count, &index->paths, err);
}

enum polarys_code index_definition_create(const struct index_spec *spec,
                                          struct index_definition **out, struct polarys_error *err)
{
    *out = NULL;
    enum polarys_code code = check_spec(spec, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct index_definition *index = calloc(1, sizeof(*index));
    if (index == NULL) {
        return fail_memory(err);
    }
    index->reference_count = 1;
    index->database_id = spec->database_id;
    index->table_id = spec->table_id;
    index->id = spec->id;
    index->kind = spec->kind;
    index->state = spec->state;
    index->is_unique = spec->is_unique;
    index->created_version = spec->created_version;
    index->created_ms = spec->created_ms;
    const char *language = spec->language;
    if (spec->kind == INDEX_TEXT && (language == NULL || language[0] == '\0')) {
        language = "english";
    }
    text_copy(index->name, sizeof(index->name), spec->name == NULL ? "" : spec->name);
    text_copy(index->language, sizeof(index->language), language == NULL ? "" : language);
    text_copy(index->failure, sizeof(index->failure), spec->failure == NULL ? "" : spec->failure);
    code = fields_copy(index, spec, err);
    if (code != POLARYS_OK) {
        index_definition_unref(index);
        return code;
    }
    *out = index;
    return POLARYS_OK;
}

enum polarys_code index_definition_restate(const struct index_definition *index,
                                           enum index_state state, const char *failure,
                                           struct index_definition **out, struct polarys_error *err)
{
    const char *fields[INDEX_FIELDS_MAX];
    for (size_t i = 0; i < index->field_count; i++) {
        fields[i] = index->fields[i].text;
    }
    struct index_spec spec = {
        .database_id = index->database_id,
        .table_id = index->table_id,
        .id = index->id,
        .name = index->name,
        .kind = index->kind,
        .state = state,
        .is_unique = index->is_unique,
        .fields = fields,
        .field_count = index->field_count,
        .language = index->language,
        .failure = failure,
        .created_version = index->created_version,
        .created_ms = index->created_ms,
    };
    return index_definition_create(&spec, out, err);
}

struct index_definition *index_definition_ref(struct index_definition *index)
{
    /* Builtins, not stdatomic.h: C++ tests read the header too. */
    uint32_t before = __atomic_fetch_add(&index->reference_count, 1, __ATOMIC_RELAXED);
    POLARYS_ASSERT(before > 0);
    return index;
}

void index_definition_unref(struct index_definition *index)
{
    if (index == NULL || __atomic_fetch_sub(&index->reference_count, 1, __ATOMIC_ACQ_REL) > 1) {
        return;
    }
    for (size_t i = 0; i < index->field_count; i++) {
        json_path_deinit(&index->fields[i]);
    }
    json_paths_destroy(index->paths);
    free(index);
}

const char *index_kind_name(enum index_kind kind)
{
    switch (kind) {
    case INDEX_HASH:
        return "hash";
    case INDEX_ORDERED:
        return "ordered";
    case INDEX_TEXT:
        return "text";
    default:
        return "unknown";
    }
}

/* Appends what fits below `limit`, characters that no name may have as '_'. */
static size_t name_append(char *name, size_t size, size_t limit, const char *text)
{
    for (; *text != '\0' && size < limit; text++) {
        bool is_letter = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z');
        bool is_other = (*text >= '0' && *text <= '9') || *text == '.' || *text == '-';
        name[size++] = (char)(is_letter || is_other ? *text : '_');
    }
    return size;
}

void index_name_make(const char *table, const struct index_spec *spec, char *name)
{
    const char *kind = index_kind_name(spec->kind);
    size_t limit = INDEX_NAME_BYTES_MAX - strlen(kind) - 1;
    size_t size = name_append(name, 0, limit, table);
    for (size_t i = 0; i < spec->field_count; i++) {
        size = name_append(name, size, limit, "_");
        size = name_append(name, size, limit, spec->fields[i]);
    }
    size = name_append(name, size, INDEX_NAME_BYTES_MAX, "_");
    size = name_append(name, size, INDEX_NAME_BYTES_MAX, kind);
    name[size] = '\0';
}

/* ---- the record ---- */

enum { RECORD_HEAD_SIZE = 1 + 4 + 8 + 8 + 4 };

enum polarys_code index_record_encode(const struct index_definition *index, struct buffer *to)
{
    uint8_t head[RECORD_HEAD_SIZE];
    head[0] = RECORD_FORMAT;
    put_u32_le(head + 1, index->id);
    put_u64_le(head + 5, index->created_ms);
    put_u64_le(head + 13, index->created_version);
    head[21] = (uint8_t)index->kind;
    head[22] = (uint8_t)index->state;
    head[23] = index->is_unique ? FLAG_UNIQUE : 0;
    head[24] = (uint8_t)index->field_count;
    enum polarys_code code = buffer_append(to, head, sizeof(head));
    for (size_t i = 0; i < index->field_count && code == POLARYS_OK; i++) {
        code =
            buffer_append_sized(to, slice_make(index->fields[i].text, index->fields[i].text_size));
    }
    if (code == POLARYS_OK) {
        code = buffer_append_sized(to, slice_from_text(index->language));
    }
    if (code == POLARYS_OK) {
        code = buffer_append_sized(to, slice_from_text(index->failure));
    }
    return code;
}

/* Takes a sized text without NULs, into `memory` behind what is used of it. NULL when there is none. */
static const char *text_take(struct cursor *from, size_t size_max, struct buffer *memory)
{
    struct polarys_slice bytes;
    if (!cursor_take_sized(from, &bytes) || bytes.size > size_max ||
        (bytes.size > 0 && memchr(bytes.data, '\0', bytes.size) != NULL)) {
        return NULL;
    }
    POLARYS_ASSERT(memory->capacity - memory->size > bytes.size);
    char *text = (char *)memory->data + memory->size;
    if (bytes.size > 0) {
        memcpy(text, bytes.data, bytes.size);
    }
    text[bytes.size] = '\0';
    memory->size += bytes.size + 1;
    return text;
}

/* False when the bytes are no record. */
static bool record_parse(struct polarys_slice value, struct index_spec *spec,
                         const char *fields[INDEX_FIELDS_MAX], struct buffer *memory)
{
    if (value.size < RECORD_HEAD_SIZE || value.data[0] != RECORD_FORMAT) {
        return false;
    }
    const uint8_t *head = value.data;
    spec->id = get_u32_le(head + 1);
    spec->created_ms = get_u64_le(head + 5);
    spec->created_version = get_u64_le(head + 13);
    spec->kind = (enum index_kind)head[21];
    spec->state = (enum index_state)head[22];
    spec->is_unique = head[23] == FLAG_UNIQUE;
    spec->field_count = head[24];
    if (head[22] < INDEX_BUILDING || head[22] > INDEX_FAILED || head[23] > FLAG_UNIQUE ||
        spec->field_count == 0 || spec->field_count > INDEX_FIELDS_MAX) {
        return false;
    }
    struct cursor rest =
        cursor_make(slice_make(head + RECORD_HEAD_SIZE, value.size - RECORD_HEAD_SIZE));
    for (size_t i = 0; i < spec->field_count; i++) {
        fields[i] = text_take(&rest, JSON_PATH_BYTES_MAX, memory);
        if (fields[i] == NULL) {
            return false;
        }
    }
    spec->fields = fields;
    spec->language = text_take(&rest, INDEX_LANGUAGE_BYTES_MAX, memory);
    spec->failure = text_take(&rest, INDEX_FAILURE_BYTES_MAX, memory);
    return spec->language != NULL && spec->failure != NULL && cursor_left(&rest) == 0;
}

bool index_record_peek(struct polarys_slice value, uint32_t *id, enum index_state *state)
{
    POLARYS_ASSERT(id != NULL && state != NULL);
    if (value.size < RECORD_HEAD_SIZE || value.data[0] != RECORD_FORMAT ||
        value.data[22] < INDEX_BUILDING || value.data[22] > INDEX_FAILED) {
        return false;
    }
    *id = get_u32_le(value.data + 1);
    *state = (enum index_state)value.data[22];
    return true;
}

/* NOLINTNEXTLINE(readability-function-size): seven parameters, and each is one thing */
enum polarys_code index_record_decode(uint32_t database_id, uint32_t table_id,
                                      struct polarys_slice name, struct polarys_slice value,
                                      uint64_t version, struct index_definition **out,
                                      struct polarys_error *err)
{
    *out = NULL;
    char name_text[INDEX_NAME_BYTES_MAX + 1];
    const char *fields[INDEX_FIELDS_MAX];
    struct buffer memory = {0};
    if (name.size == 0 || name.size > INDEX_NAME_BYTES_MAX) {
        return polarys_fail(err, POLARYS_CORRUPT, "the record of an index has no name");
    }
    memcpy(name_text, name.data, name.size);
    name_text[name.size] = '\0';
    struct index_spec spec = {.database_id = database_id, .table_id = table_id, .name = name_text};
    /* Every text with its NUL is at most one byte longer than with its size. */
    if (buffer_reserve(&memory, value.size + INDEX_FIELDS_MAX + 2) != POLARYS_OK) {
        return fail_memory(err);
    }
    enum polarys_code code = POLARYS_CORRUPT;
    if (record_parse(value, &spec, fields, &memory)) {
        spec.created_version = spec.created_version == 0 ? version : spec.created_version;
        code = index_definition_create(&spec, out, err);
    }
    buffer_deinit(&memory);
    if (code == POLARYS_NO_MEMORY || code == POLARYS_OK) {
        return code;
    }
    return polarys_fail(err, POLARYS_CORRUPT, "the record of index \"%s\" is not readable",
                        name_text);
}
