/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all kinds of places have in common: names are judged here, so that no driver sees one that could lead out
 * of it.
 */
#include "client/cli/objects.h"

#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/objects_internal.h"

#define S3_SCHEME "s3://"

bool objects_is_remote(const char *location)
{
    return strncmp(location, S3_SCHEME, sizeof(S3_SCHEME) - 1) == 0;
}

static bool is_name_byte(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '.' || byte == '_' || byte == '-';
}

bool objects_name_is_valid(const char *name)
{
    bool is_begin = true;
    size_t size = 0;
    for (; size < OBJECTS_NAME_MAX && name[size] != '\0'; size++) {
        if (name[size] == '/') {
            if (is_begin) {
                return false;
            }
            is_begin = true;
            continue;
        }
        if (!is_name_byte(name[size]) || (is_begin && name[size] == '.')) {
            return false;
        }
        is_begin = false;
    }
    return size < OBJECTS_NAME_MAX && !is_begin;
}

static enum polarys_code name_check(const char *name, struct polarys_error *err)
{
    return objects_name_is_valid(name)
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_BAD_NAME, "'%.200s' is no name of an object", name);
}

enum polarys_code objects_open(const struct objects_options *options, bool may_make,
                               struct objects **out, struct polarys_error *err)
{
    POLARYS_ASSERT(options->location != NULL);
    *out = NULL;
    size_t size = strlen(options->location);
    if (size == 0 || size >= OBJECTS_LOCATION_MAX) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "a place is a directory or s3://BUCKET/PREFIX, below %d bytes",
                            OBJECTS_LOCATION_MAX);
    }
    return objects_is_remote(options->location)
               ? objects_s3_open(options, out, err)
               : objects_dir_open(options->location, may_make, out, err);
}

void objects_close(struct objects *objects)
{
    if (objects != NULL) {
        objects->driver->close(objects);
    }
}

enum polarys_code objects_put(struct objects *objects, const char *name, struct polarys_slice bytes,
                              struct polarys_error *err)
{
    enum polarys_code code = name_check(name, err);
    if (code == POLARYS_OK) {
        code = objects->driver->put(objects, name, bytes, err);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "store %s", name);
}

enum polarys_code objects_put_file(struct objects *objects, const char *name, const char *path,
                                   struct polarys_error *err)
{
    enum polarys_code code = name_check(name, err);
    if (code == POLARYS_OK) {
        code = objects->driver->put_file(objects, name, path, err);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "store %s", name);
}

enum polarys_code objects_get(struct objects *objects, const char *name, uint64_t offset,
                              size_t size_max, struct objects_bytes *out, struct polarys_error *err)
{
    POLARYS_ASSERT(size_max > 0 && size_max <= OBJECTS_GET_BYTES_MAX);
    out->size = 0;
    enum polarys_code code = name_check(name, err);
    if (code == POLARYS_OK) {
        code = objects->driver->get(objects, name, offset, size_max, out, err);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "read %s", name);
}

enum polarys_code objects_list(struct objects *objects, const char *prefix, const char *after,
                               const struct objects_visitor *visitor, struct polarys_error *err)
{
    size_t size = strlen(prefix);
    POLARYS_ASSERT(size == 0 || prefix[size - 1] == '/');
    enum polarys_code code = objects->driver->list(objects, prefix, after, visitor, err);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "list");
}

enum polarys_code objects_remove(struct objects *objects, const char *name,
                                 struct polarys_error *err)
{
    enum polarys_code code = name_check(name, err);
    if (code == POLARYS_OK) {
        code = objects->driver->remove(objects, name, err);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "remove %s", name);
}

bool objects_bytes_reserve(struct objects_bytes *bytes, size_t size)
{
    size_t needed = bytes->size + size;
    if (needed <= bytes->room) {
        return true;
    }
    size_t room = needed > 2 * bytes->room ? needed : 2 * bytes->room;
    uint8_t *grown = realloc(bytes->bytes, room);
    if (grown == NULL) {
        return false;
    }
    bytes->bytes = grown;
    bytes->room = room;
    return true;
}
