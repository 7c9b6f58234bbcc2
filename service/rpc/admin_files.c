/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work on files that an operator asks for: flush, compact, checkpoint. On executor threads; what
 * was begun is finished even if the client gives up.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "polarys/v1/admin.pb-c.h"
#include "service/proto/utf8.h"
#include "service/rpc/handlers.h"
#include "service/rpc/operation.h"
#include "service/rpc/response.h"
#include "service/server/server.h"

enum { COMPACT_TABLES_MAX = 100000, DIRECTORY_BYTES_MAX = 4095 };

void admin_flush(struct call *call)
{
    struct server *server = call->server;
    uint64_t flushed = 0;
    enum polarys_code code = polarys_db_flush(server->db, &flushed, &call->error);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__FlushResponse response = POLARYS__V1__FLUSH_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    response.header = &header;
    response.flushed_version = flushed;
    call_reply(call, response_pack(&response.base));
}

/* Names of a database's tables, one after another. */
struct table_names {
    char (*names)[POLARYS_NAME_BYTES_MAX + 1];
    size_t count;
    size_t room;
    bool is_out_of_memory;
};

static bool name_add(void *context, const struct polarys_table_info *info)
{
    struct table_names *list = context;
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 64 : list->room * 2;
        void *names = room > COMPACT_TABLES_MAX * 2
                          ? NULL
                          : realloc(list->names, room * sizeof(*list->names));
        if (names == NULL) {
            list->is_out_of_memory = true;
            return false;
        }
        list->names = names;
        list->room = room;
    }
    memcpy(list->names[list->count++], info->table, sizeof(*list->names));
    return true;
}

static enum polarys_code database_compact(struct call *call, struct polarys_error *err)
{
    struct polarys_db *db = call->server->db;
    struct table_names list = {0};
    enum polarys_code code = polarys_table_list(db, call->database, name_add, &list, err);
    if (code == POLARYS_OK && list.is_out_of_memory) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory to list the tables");
    }
    for (size_t i = 0; code == POLARYS_OK && i < list.count; i++) {
        code = polarys_db_compact(db, call->database, list.names[i], err);
        if (code == POLARYS_TABLE_NOT_FOUND) {
            polarys_error_clear(err); /* dropped meanwhile */
            code = POLARYS_OK;
        }
        if (code == POLARYS_OK && call_is_late(call)) {
            code = polarys_fail(err, POLARYS_WAIT_TIMEOUT,
                                "%zu of %zu tables were compacted in time", i + 1, list.count);
        }
    }
    free(list.names);
    return code;
}

void admin_compact(struct call *call)
{
    const Polarys__V1__CompactRequest *request = call->request;
    struct polarys_error *err = &call->error;
    enum polarys_code code;
    if (call->table[0] != '\0') {
        struct operation_range range;
        code = operation_range_take(request->range, &range, err);
        if (code == POLARYS_OK && range.is_empty) {
            struct polarys_table_info info;
            code = polarys_table_get(call->server->db, call->database, call->table, &info, err);
        } else if (code == POLARYS_OK) {
            code = polarys_db_compact_range(call->server->db, call->database, call->table,
                                            range.start, range.end, err);
        }
    } else if (request->range != NULL) {
        code = operation_bad(err, "range", "must be unset without a table");
    } else {
        code = database_compact(call, err);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    call_reply(call, response_commit(call->server, 0));
}

static enum polarys_code directory_bad(struct polarys_error *err, const char *why)
{
    return operation_bad(err, "directory", why);
}

/* The place below which copies may be made, made if it is missing; absolute and without links. */
static enum polarys_code copies_root_get(const struct config *config, char *root,
                                         struct polarys_error *err)
{
    char path[PATH_MAX];
    int size;
    if (config->backup_dir[0] != '\0') {
        size = snprintf(path, sizeof(path), "%s", config->backup_dir);
    } else {
        size = snprintf(path, sizeof(path), "%s/checkpoints", config->data_dir);
    }
    if (size >= (int)sizeof(path)) {
        return directory_bad(err, "the path of the backup directory is too long");
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return polarys_fail_errno(err, errno, "make directory %s", path);
    }
    if (realpath(path, root) == NULL) {
        return polarys_fail_errno(err, errno, "find directory %s", path);
    }
    return POLARYS_OK;
}

/* `asked` as an absolute path whose parent has no links; a relative one counts from the data
 * directory. */
static enum polarys_code target_get(const struct config *config, const char *asked, char *target,
                                    struct polarys_error *err)
{
    char path[PATH_MAX];
    char parent[PATH_MAX];
    int size = asked[0] == '/' ? snprintf(path, sizeof(path), "%s", asked)
                               : snprintf(path, sizeof(path), "%s/%s", config->data_dir, asked);
    if (size >= (int)sizeof(path)) {
        return directory_bad(err, "the path is too long");
    }
    char *slash = strrchr(path, '/');
    const char *name = slash + 1;
    if (name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return directory_bad(err, "must end in the name of a new directory");
    }
    *slash = '\0';
    if (realpath(path[0] == '\0' ? "/" : path, parent) == NULL) {
        return directory_bad(err, "the directory above it is not there");
    }
    size = snprintf(target, PATH_MAX, "%s/%s", parent, name);
    return size >= PATH_MAX ? directory_bad(err, "the path is too long") : POLARYS_OK;
}

static enum polarys_code directory_resolve(struct call *call, char *target,
                                           struct polarys_error *err)
{
    const Polarys__V1__CheckpointRequest *request = call->request;
    struct polarys_slice asked = slice_make(request->directory.data, request->directory.len);
    char text[DIRECTORY_BYTES_MAX + 1];
    char root[PATH_MAX];
    if (asked.size == 0 || asked.size > DIRECTORY_BYTES_MAX || !utf8_is_text(asked)) {
        return directory_bad(err, "must be a path of 1 to 4095 bytes of UTF-8");
    }
    memcpy(text, asked.data, asked.size);
    text[asked.size] = '\0';
    enum polarys_code code = copies_root_get(call->server->config, root, err);
    if (code == POLARYS_OK) {
        code = target_get(call->server->config, text, target, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    size_t length = strlen(root);
    if (strncmp(target, root, length) != 0 || target[length] != '/') {
        polarys_fail(err, POLARYS_BAD_ARGUMENT, "`directory`: copies are made below %.300s only",
                     root);
        polarys_error_detail_set(err, "field", "directory");
        return POLARYS_BAD_ARGUMENT;
    }
    struct stat status;
    if (lstat(target, &status) == 0) {
        return directory_bad(err, "is there already");
    }
    return POLARYS_OK;
}

void admin_checkpoint(struct call *call)
{
    struct server *server = call->server;
    char target[PATH_MAX];
    uint64_t version = 0;
    enum polarys_code code = directory_resolve(call, target, &call->error);
    if (code == POLARYS_OK) {
        code = polarys_db_checkpoint(server->db, target, &version, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__CheckpointResponse response = POLARYS__V1__CHECKPOINT_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(server, version, token, &header);
    response.header = &header;
    response.version = version;
    call_reply(call, response_pack(&response.base));
}
