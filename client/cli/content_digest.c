/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One order and one form for both sources, the embedded engine and a server: what either finds goes through the
 * same three functions.
 */
#include "client/cli/content_digest.h"

#include <stdlib.h>
#include <string.h>

#include "client/assert.h"

enum { SCAN_TIMEOUT_MS = 60000, NAMES_MAX = 1 << 20 };

/* A digest being made. */
struct content {
    struct cli *cli;
    struct digest digest;
    struct content_digest *told;
};

static void bytes_add(struct content *content, const void *bytes, size_t size)
{
    digest_add_number(&content->digest, size);
    digest_add(&content->digest, bytes, size);
}

static void name_add(struct content *content, char what, const char *name)
{
    digest_add(&content->digest, &what, 1);
    bytes_add(content, name, strlen(name));
}

static void document_add(struct content *content, struct polarys_slice key, bool is_raw,
                         uint64_t expires_at_ms, struct polarys_slice value)
{
    char what = is_raw ? 'R' : 'J';
    digest_add(&content->digest, &what, 1);
    bytes_add(content, key.data, key.size);
    digest_add_number(&content->digest, expires_at_ms);
    bytes_add(content, value.data, value.size);
    content->told->documents++;
    content->told->bytes += key.size + value.size;
}

/* ---- names in order ---- */

struct name_set {
    char (*names)[POLARYS_NAME_BYTES_MAX + 1];
    size_t count;
    size_t room;
    bool is_out_of_memory;
    uint64_t version_max; /* what was made after it is left out */
};

/* Names that the server keeps for itself are not what users have stored. */
static bool name_is_hidden(const char *name)
{
    return strncmp(name, "polarys.", strlen("polarys.")) == 0;
}

static bool name_put(struct name_set *set, const char *name)
{
    if (name_is_hidden(name)) {
        return true;
    }
    if (set->count == set->room) {
        size_t room = set->room == 0 ? 64 : 2 * set->room;
        void *names = room > NAMES_MAX ? NULL : realloc(set->names, room * sizeof(*set->names));
        if (names == NULL) {
            set->is_out_of_memory = true;
            return false;
        }
        set->names = names;
        set->room = room;
    }
    (void)snprintf(set->names[set->count++], sizeof(*set->names), "%s", name);
    return true;
}

static int name_compare(const void *left, const void *right)
{
    return strcmp(left, right);
}

static enum cli_status names_finish(struct cli *cli, struct name_set *set)
{
    if (set->is_out_of_memory) {
        return cli_fail(cli, "NO_MEMORY", "no memory for the names of tables");
    }
    if (set->count > 1) {
        qsort(set->names, set->count, sizeof(*set->names), name_compare);
    }
    return CLI_DONE;
}

static enum cli_status content_finish(struct content *content, enum cli_status status)
{
    if (status == CLI_DONE && !digest_end(&content->digest, content->told->sha256)) {
        status = cli_fail(content->cli, "INTERNAL", "SHA-256 failed");
    }
    digest_deinit(&content->digest);
    return status;
}

/* ---- an open store ---- */

static enum cli_status store_table_add(struct content *content, struct polarys_db *db,
                                       const char *database, const char *table)
{
    struct polarys_scan_options options = {
        .database = database, .table = table, .flags = POLARYS_READ_NO_FILL};
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_document document = {0};
    struct polarys_scan *scan;
    bool has_document = true;
    name_add(content, 'T', table);
    content->told->tables++;
    enum polarys_code code = polarys_scan_open(db, &options, &scan, &err);
    if (code != POLARYS_OK) {
        return cli_fail_engine(content->cli, &err);
    }
    while (code == POLARYS_OK && has_document) {
        code = polarys_scan_next(scan, &has_document, &document, &err);
        if (code == POLARYS_OK && has_document) {
            document_add(content, document.key, document.value.kind == POLARYS_VALUE_RAW,
                         document.value.expires_at_ms, document.value.bytes);
        }
    }
    polarys_scan_close(scan);
    return code == POLARYS_OK ? CLI_DONE : cli_fail_engine(content->cli, &err);
}

static bool store_table_each(void *context, const struct polarys_table_info *info)
{
    return name_put(context, info->table);
}

static bool store_database_each(void *context, const struct polarys_database_info *info)
{
    return name_put(context, info->database);
}

static enum cli_status store_database_add(struct content *content, struct polarys_db *db,
                                          const char *database)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct name_set tables = {0};
    enum cli_status status = CLI_DONE;
    name_add(content, 'D', database);
    if (polarys_table_list(db, database, store_table_each, &tables, &err) != POLARYS_OK) {
        status = cli_fail_engine(content->cli, &err);
    }
    if (status == CLI_DONE) {
        status = names_finish(content->cli, &tables);
    }
    for (size_t i = 0; i < tables.count && status == CLI_DONE; i++) {
        status = store_table_add(content, db, database, tables.names[i]);
    }
    free(tables.names);
    return status;
}

enum cli_status content_digest_store(struct cli *cli, struct polarys_db *db,
                                     struct content_digest *told)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct content content = {.cli = cli, .told = told};
    struct name_set databases = {0};
    enum cli_status status = CLI_DONE;
    *told = (struct content_digest){.version = polarys_db_version(db)};
    digest_begin(&content.digest);
    if (polarys_database_list(db, store_database_each, &databases, &err) != POLARYS_OK) {
        status = cli_fail_engine(cli, &err);
    }
    if (status == CLI_DONE) {
        status = names_finish(cli, &databases);
    }
    for (size_t i = 0; i < databases.count && status == CLI_DONE; i++) {
        status = store_database_add(&content, db, databases.names[i]);
    }
    free(databases.names);
    return content_finish(&content, status);
}

/* ---- a server ---- */

static enum cli_status server_table_add(struct content *content, struct polarys_client *client,
                                        const char *database, const char *table)
{
    struct polarys_client_scan_options options = {.database = database, .table = table};
    struct polarys_client_document document;
    struct polarys_client_error err;
    struct polarys_client_scan *scan;
    bool has_document = true;
    name_add(content, 'T', table);
    content->told->tables++;
    options.read.consistency = POLARYS_CLIENT_SNAPSHOT;
    options.read.version = content->told->version;
    bool is_ok = polarys_client_scan_open(client, &options, &scan, &err);
    if (!is_ok) {
        return cli_fail_call(content->cli, &err);
    }
    while (is_ok && has_document) {
        is_ok = polarys_client_scan_next(scan, &has_document, &document, &err);
        if (is_ok && has_document) {
            document_add(content, slice_make(document.key, document.key_size),
                         document.kind == POLARYS_CLIENT_RAW, document.expires_at_ms,
                         slice_make(document.value, document.value_size));
        }
    }
    polarys_client_scan_close(scan);
    return is_ok ? CLI_DONE : cli_fail_call(content->cli, &err);
}

static bool server_table_each(void *context, const struct polarys_client_table *info)
{
    const struct name_set *set = context;
    return info->created_version > set->version_max || name_put(context, info->table);
}

static bool server_database_each(void *context, const char *database, uint64_t created_version)
{
    const struct name_set *set = context;
    return created_version > set->version_max || name_put(context, database);
}

static enum cli_status server_database_add(struct content *content, struct polarys_client *client,
                                           const char *database)
{
    struct polarys_client_error err;
    struct name_set tables = {.version_max = content->told->version};
    enum cli_status status = CLI_DONE;
    name_add(content, 'D', database);
    if (!polarys_client_table_list(client, database, server_table_each, &tables, &err)) {
        status = cli_fail_call(content->cli, &err);
    }
    if (status == CLI_DONE) {
        status = names_finish(content->cli, &tables);
    }
    for (size_t i = 0; i < tables.count && status == CLI_DONE; i++) {
        status = server_table_add(content, client, database, tables.names[i]);
    }
    free(tables.names);
    return status;
}

enum cli_status content_digest_server(struct cli *cli, uint64_t version,
                                      struct content_digest *told)
{
    struct polarys_client_error err;
    struct content content = {.cli = cli, .told = told};
    struct name_set databases = {.version_max = version};
    struct polarys_client *client = cli_connect(cli, SCAN_TIMEOUT_MS);
    enum cli_status status = CLI_DONE;
    if (client == NULL) {
        return CLI_FAILED;
    }
    POLARYS_ASSERT(version != 0);
    *told = (struct content_digest){.version = version};
    digest_begin(&content.digest);
    if (!polarys_client_database_list(client, server_database_each, &databases, &err)) {
        status = cli_fail_call(cli, &err);
    }
    if (status == CLI_DONE) {
        status = names_finish(cli, &databases);
    }
    for (size_t i = 0; i < databases.count && status == CLI_DONE; i++) {
        status = server_database_add(&content, client, databases.names[i]);
    }
    free(databases.names);
    return content_finish(&content, status);
}
