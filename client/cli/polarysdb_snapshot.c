/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yajl parses, at any depth and without recursion; its callbacks follow the two outer levels and cut the values
 * out of the text. Each value is then judged by the engine as the server will judge it.
 */
#include "client/cli/polarysdb_snapshot.h"

#include <string.h>
#include <yajl/yajl_parse.h>

#include "client/assert.h"
#include "engine/engine.h"

/* How deep the values of keys lie. */
enum { DEPTH_OF_TABLES = 1, DEPTH_OF_KEYS = 2, SHOWN_BYTES_MAX = 200 };

struct snapshot {
    const char *path;
    const struct polarysdb_text *text;
    yajl_handle parser;
    struct polarysdb_store *store;
    struct polarysdb_fault *fault;
    size_t depth; /* of objects and arrays that are open */
    uint32_t table;
    const char *key; /* of the value that is being read */
    size_t key_size;
    size_t value_from; /* where in the text the value begins, its colon before it */
};

enum { GO_ON = 1, STOP = 0 };

static int shown(size_t size)
{
    return size < SHOWN_BYTES_MAX ? (int)size : SHOWN_BYTES_MAX;
}

/* Always STOP. */
static int snapshot_fail(struct snapshot *snapshot, const char *reason, const char *what)
{
    (void)polarysdb_fault_set(snapshot->fault, reason, "%s: byte %zu of its %s: %s", snapshot->path,
                              yajl_get_bytes_consumed(snapshot->parser),
                              snapshot->text->is_plain ? "text" : "decrypted text", what);
    return STOP;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Leaves out what stands between the tokens of checked JSON; returns the size. */
static size_t space_remove(char *json, size_t size)
{
    size_t kept = 0;
    bool is_in_string = false;

    for (size_t i = 0; i < size; i++) {
        if (!is_in_string && is_space(json[i])) {
            continue;
        }
        if (is_in_string && json[i] == '\\' && i + 1 < size) {
            json[kept++] = json[i++];
        } else if (json[i] == '"') {
            is_in_string = !is_in_string;
        }
        json[kept++] = json[i];
    }
    return kept;
}

static int value_refuse(struct snapshot *snapshot, const struct polarys_error *err)
{
    (void)polarysdb_fault_set(
        snapshot->fault, err->code == POLARYS_NO_MEMORY ? POLARYSDB_NO_MEMORY : POLARYSDB_BAD_JSON,
        "%s: table \"%.*s\", key \"%.*s\", which begins at byte %zu: its value cannot be taken: %s",
        snapshot->path, shown(snapshot->store->tables[snapshot->table]->name_size),
        snapshot->store->tables[snapshot->table]->name, shown(snapshot->key_size), snapshot->key,
        snapshot->value_from, err->message);
    return STOP;
}

/* Takes the value of a key, which the parser has just passed. */
static int value_take(struct snapshot *snapshot)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    char *value = snapshot->text->bytes + snapshot->value_from;
    char *end = snapshot->text->bytes + yajl_get_bytes_consumed(snapshot->parser);

    POLARYS_ASSERT(value <= end && end <= snapshot->text->bytes + snapshot->text->size);
    while (value < end && (is_space(*value) || *value == ':')) {
        value++;
    }
    struct polarys_slice slice = {(const uint8_t *)value, (size_t)(end - value)};
    if (polarys_json_check(slice, &err) != POLARYS_OK) {
        return value_refuse(snapshot, &err);
    }
    struct polarysdb_change change = {
        .table = snapshot->table,
        .kind = POLARYSDB_JSON,
        .is_of_snapshot = true,
        .key = snapshot->key,
        .key_size = snapshot->key_size,
        .value = value,
        .value_size = space_remove(value, slice.size),
    };
    return polarysdb_store_change(snapshot->store, &change, snapshot->fault) ? GO_ON : STOP;
}

/* A value that is no object or array. */
static int scalar_take(struct snapshot *snapshot)
{
    if (snapshot->depth > DEPTH_OF_KEYS) {
        return GO_ON;
    }
    if (snapshot->depth < DEPTH_OF_KEYS) {
        return snapshot_fail(snapshot, POLARYSDB_UNSUPPORTED,
                             snapshot->depth == 0 ? "it is no object of tables"
                                                  : "a table is null or no object of keys");
    }
    return value_take(snapshot);
}

static int on_null(void *context)
{
    return scalar_take(context);
}

static int on_boolean(void *context, int is_true)
{
    (void)is_true;
    return scalar_take(context);
}

static int on_number(void *context, const char *text, size_t size)
{
    (void)text;
    (void)size;
    return scalar_take(context);
}

static int on_string(void *context, const unsigned char *text, size_t size)
{
    (void)text;
    (void)size;
    return scalar_take(context);
}

static int on_object_start(void *context)
{
    struct snapshot *snapshot = context;

    snapshot->depth++;
    return GO_ON;
}

static int on_array_start(void *context)
{
    struct snapshot *snapshot = context;

    if (snapshot->depth < DEPTH_OF_KEYS) {
        return scalar_take(snapshot);
    }
    snapshot->depth++;
    return GO_ON;
}

static int on_end(void *context)
{
    struct snapshot *snapshot = context;

    POLARYS_ASSERT(snapshot->depth > 0);
    snapshot->depth--;
    return snapshot->depth == DEPTH_OF_KEYS ? value_take(snapshot) : GO_ON;
}

static int table_begin(struct snapshot *snapshot, const char *name, size_t size)
{
    if (polarysdb_store_has_table(snapshot->store, name, size)) {
        return snapshot_fail(snapshot, POLARYSDB_BAD_JSON,
                             "a table stands there twice: no PolarysDB wrote that");
    }
    return polarysdb_store_table(snapshot->store, name, size, &snapshot->table, snapshot->fault)
               ? GO_ON
               : STOP;
}

static int on_name(void *context, const unsigned char *name, size_t size)
{
    struct snapshot *snapshot = context;

    POLARYS_ASSERT(snapshot->depth > 0);
    if (snapshot->depth == DEPTH_OF_TABLES) {
        return table_begin(snapshot, (const char *)name, size);
    }
    if (snapshot->depth > DEPTH_OF_KEYS) {
        return GO_ON;
    }
    char *key = polarysdb_store_allocate(snapshot->store, size + 1);
    if (key == NULL) {
        (void)polarysdb_fault_memory(snapshot->fault, "a key");
        return STOP;
    }
    memcpy(key, name, size);
    key[size] = '\0';
    snapshot->key = key;
    snapshot->key_size = size;
    snapshot->value_from = yajl_get_bytes_consumed(snapshot->parser);
    return GO_ON;
}

static bool parser_run(struct snapshot *snapshot)
{
    const struct polarysdb_text *text = snapshot->text;

    snapshot->fault->reason[0] = '\0';
    yajl_status status =
        yajl_parse(snapshot->parser, (const unsigned char *)text->bytes, text->size);
    if (status == yajl_status_ok && snapshot->depth > 0) {
        (void)snapshot_fail(snapshot, POLARYSDB_BAD_JSON, "the text ends here, cut short");
        return false;
    }
    if (status == yajl_status_ok) {
        status = yajl_complete_parse(snapshot->parser);
    }
    if (status == yajl_status_client_canceled) {
        return false;
    }
    if (status != yajl_status_ok) {
        (void)snapshot_fail(snapshot, POLARYSDB_BAD_JSON, "this is no JSON");
    }
    return status == yajl_status_ok;
}

bool polarysdb_snapshot_read(const struct polarysdb_text *text, const char *path,
                             struct polarysdb_store *store, struct polarysdb_fault *fault)
{
    static const yajl_callbacks callbacks = {
        .yajl_null = on_null,
        .yajl_boolean = on_boolean,
        .yajl_number = on_number,
        .yajl_string = on_string,
        .yajl_start_map = on_object_start,
        .yajl_map_key = on_name,
        .yajl_end_map = on_end,
        .yajl_start_array = on_array_start,
        .yajl_end_array = on_end,
    };
    struct snapshot snapshot = {.path = path, .text = text, .store = store, .fault = fault};

    POLARYS_ASSERT(text->bytes != NULL);
    snapshot.parser = yajl_alloc(&callbacks, NULL, &snapshot);
    if (snapshot.parser == NULL) {
        return polarysdb_fault_memory(fault, "a parser");
    }
    bool is_read = parser_run(&snapshot);
    yajl_free(snapshot.parser);
    return is_read;
}
