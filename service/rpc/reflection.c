/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks descriptor.proto's messages by their field numbers instead of unpacking them: a file is a
 * slice of the embedded set, and a symbol is looked for where it would be declared. Symbols are
 * asked for rarely, so there is no table of them.
 */
#include "service/rpc/reflection.h"

#include <stdlib.h>

#include "polarys_descriptors.h"
#include "service/proto/wire.h"
#include "service/server/check.h"

enum {
    SET_FILE = 1,

    FILE_NAME = 1,
    FILE_PACKAGE = 2,
    FILE_DEPENDENCY = 3,
    FILE_MESSAGE = 4,
    FILE_ENUM = 5,
    FILE_SERVICE = 6,
    FILE_EXTENSION = 7,

    MESSAGE_FIELD = 2,
    MESSAGE_NESTED = 3,
    MESSAGE_ENUM = 4,
    MESSAGE_ONEOF = 8,

    ENUM_VALUE = 2,
    SERVICE_METHOD = 2,

    ANY_NAME = 1, /* of messages, fields, enums, values, services and methods */
    NESTING_MAX = 8,
};

struct reflection_file {
    struct polarys_slice bytes;
    struct polarys_slice name;
    struct polarys_slice package;
};

struct reflection_index {
    struct reflection_file files[REFLECTION_FILES_MAX];
    size_t count;
};

enum polarys_code reflection_index_create(struct reflection_index **out, struct polarys_error *err)
{
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for reflection");
    }
    struct polarys_slice rest = slice_make(polarys_descriptor_set, polarys_descriptor_set_size);
    struct wire_field field;
    bool is_malformed;
    while (wire_field_next(&rest, &field, &is_malformed)) {
        if (field.number != SET_FILE || field.type != WIRE_BYTES ||
            (*out)->count == REFLECTION_FILES_MAX) {
            is_malformed = true;
            break;
        }
        struct reflection_file *file = &(*out)->files[(*out)->count++];
        file->bytes = field.bytes;
        file->name = wire_bytes_find(field.bytes, FILE_NAME);
        file->package = wire_bytes_find(field.bytes, FILE_PACKAGE);
    }
    if (is_malformed) {
        free(*out);
        *out = NULL;
        return polarys_fail(err, POLARYS_BUG, "the embedded descriptors can't be read");
    }
    return POLARYS_OK;
}

void reflection_index_destroy(struct reflection_index *index)
{
    free(index);
}

int reflection_file_find(const struct reflection_index *index, struct polarys_slice name)
{
    for (size_t i = 0; i < index->count; i++) {
        if (slice_equal(index->files[i].name, name)) {
            return (int)i;
        }
    }
    return -1;
}

/* "a.b.c" without "a" and the dot; false when it does not begin so. The whole: an empty rest. */
static bool name_enter(struct polarys_slice *symbol, struct polarys_slice name)
{
    if (name.size == 0 || !slice_starts_with(*symbol, name)) {
        return false;
    }
    struct polarys_slice rest = slice_make(symbol->data + name.size, symbol->size - name.size);
    if (rest.size > 0) {
        if (rest.data[0] != '.') {
            return false;
        }
        rest = slice_make(rest.data + 1, rest.size - 1);
        if (rest.size == 0) {
            return false;
        }
    }
    *symbol = rest;
    return true;
}

/* True when `parent` has a child of field `number` whose name is all of `symbol`. */
static bool leaf_exists(struct polarys_slice parent, uint32_t number, struct polarys_slice symbol)
{
    struct wire_field field;
    bool is_malformed;
    while (wire_field_next(&parent, &field, &is_malformed)) {
        if (field.number == number && field.type == WIRE_BYTES &&
            slice_equal(wire_bytes_find(field.bytes, ANY_NAME), symbol)) {
            return true;
        }
    }
    return false;
}

/* Enum or service `container`: itself, or one of its leaves. */
static bool simple_has(struct polarys_slice container, uint32_t leaf, struct polarys_slice symbol)
{
    if (!name_enter(&symbol, wire_bytes_find(container, ANY_NAME))) {
        return false;
    }
    return symbol.size == 0 || leaf_exists(container, leaf, symbol);
}

static bool message_has(struct polarys_slice message, struct polarys_slice symbol,
                        bool wants_message, unsigned depth)
{
    if (depth == NESTING_MAX || !name_enter(&symbol, wire_bytes_find(message, ANY_NAME))) {
        return false;
    }
    if (symbol.size == 0) {
        return true;
    }
    if (!wants_message && (leaf_exists(message, MESSAGE_FIELD, symbol) ||
                           leaf_exists(message, MESSAGE_ONEOF, symbol))) {
        return true;
    }
    struct wire_field field;
    bool is_malformed;
    while (wire_field_next(&message, &field, &is_malformed)) {
        if (field.type != WIRE_BYTES) {
            continue;
        }
        if (field.number == MESSAGE_NESTED &&
            message_has(field.bytes, symbol, wants_message, depth + 1)) {
            return true;
        }
        if (!wants_message && field.number == MESSAGE_ENUM &&
            simple_has(field.bytes, ENUM_VALUE, symbol)) {
            return true;
        }
    }
    return false;
}

static bool declaration_has(const struct wire_field *field, struct polarys_slice symbol,
                            bool wants_message)
{
    switch (field->number) {
    case FILE_MESSAGE:
        return message_has(field->bytes, symbol, wants_message, 0);
    case FILE_ENUM:
        return !wants_message && (simple_has(field->bytes, ENUM_VALUE, symbol) ||
                                  leaf_exists(field->bytes, ENUM_VALUE, symbol));
    case FILE_SERVICE:
        return !wants_message && simple_has(field->bytes, SERVICE_METHOD, symbol);
    case FILE_EXTENSION:
        return !wants_message && slice_equal(wire_bytes_find(field->bytes, ANY_NAME), symbol);
    default:
        return false;
    }
}

static bool file_has(const struct reflection_file *file, struct polarys_slice symbol,
                     bool wants_message)
{
    if (file->package.size > 0 && (!name_enter(&symbol, file->package) || symbol.size == 0)) {
        return false;
    }
    struct polarys_slice rest = file->bytes;
    struct wire_field field;
    bool is_malformed;
    while (wire_field_next(&rest, &field, &is_malformed)) {
        if (field.type == WIRE_BYTES && declaration_has(&field, symbol, wants_message)) {
            return true;
        }
    }
    return false;
}

static int file_with(const struct reflection_index *index, struct polarys_slice symbol,
                     bool wants_message)
{
    if (symbol.size > 0 && symbol.data[0] == '.') {
        symbol = slice_make(symbol.data + 1, symbol.size - 1);
    }
    if (symbol.size == 0 || symbol.size > REFLECTION_SYMBOL_MAX) {
        return -1;
    }
    for (size_t i = 0; i < index->count; i++) {
        if (file_has(&index->files[i], symbol, wants_message)) {
            return (int)i;
        }
    }
    return -1;
}

int reflection_symbol_find(const struct reflection_index *index, struct polarys_slice symbol)
{
    return file_with(index, symbol, false);
}

bool reflection_message_exists(const struct reflection_index *index, struct polarys_slice name)
{
    return file_with(index, name, true) >= 0;
}

size_t reflection_files_get(const struct reflection_index *index, int file,
                            struct polarys_slice *files)
{
    SERVICE_ASSERT(file >= 0 && (size_t)file < index->count);
    bool is_listed[REFLECTION_FILES_MAX] = {false};
    int order[REFLECTION_FILES_MAX];
    size_t count = 0;
    order[count++] = file;
    is_listed[file] = true;
    for (size_t done = 0; done < count; done++) {
        files[done] = index->files[order[done]].bytes;
        struct polarys_slice rest = files[done];
        struct wire_field field;
        bool is_malformed;
        while (wire_field_next(&rest, &field, &is_malformed)) {
            if (field.number != FILE_DEPENDENCY || field.type != WIRE_BYTES) {
                continue;
            }
            int dependency = reflection_file_find(index, field.bytes);
            if (dependency >= 0 && !is_listed[dependency]) {
                is_listed[dependency] = true;
                order[count++] = dependency;
            }
        }
    }
    return count;
}

void reflection_services_list(const struct reflection_index *index,
                              void (*each)(void *context, struct polarys_slice name), void *context)
{
    for (size_t i = 0; i < index->count; i++) {
        struct polarys_slice rest = index->files[i].bytes;
        struct polarys_slice package = index->files[i].package;
        struct wire_field field;
        bool is_malformed;
        while (wire_field_next(&rest, &field, &is_malformed)) {
            if (field.number != FILE_SERVICE || field.type != WIRE_BYTES) {
                continue;
            }
            struct polarys_slice name = wire_bytes_find(field.bytes, ANY_NAME);
            uint8_t full[REFLECTION_SYMBOL_MAX];
            SERVICE_ASSERT(package.size + name.size + 1 <= sizeof(full));
            memcpy(full, package.data, package.size);
            full[package.size] = '.';
            memcpy(full + package.size + 1, name.data, name.size);
            each(context, slice_make(full, package.size + 1 + name.size));
        }
    }
}
