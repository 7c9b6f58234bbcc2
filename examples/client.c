/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that uses libpolarys: tables, documents, a batch, bulk writing, a scan, and what errors say.
 *
 *     cc client.c $(pkg-config --cflags --libs polarys) -o client && ./client 127.0.0.1:7480
 *
 * Every call blocks and returns false with a filled error when it failed.
 */
#include <stdio.h>
#include <string.h>

#include "client/polarys.h"

static const char table[] = "example_pets";

/* Prints what went wrong; returns false, for `return complain(...)`. */
static bool complain(const char *what, const struct polarys_client_error *err)
{
    (void)fprintf(stderr, "%s: %s/%s: %s\n", what, polarys_client_status_name(err->status),
                  err->reason, err->message);
    return false;
}

/* A write of a JSON document; text is borrowed. */
static struct polarys_client_write json_write(const char *key, const char *json)
{
    struct polarys_client_write write;
    memset(&write, 0, sizeof(write));
    write.table = table;
    write.key = key;
    write.key_size = strlen(key);
    write.kind = POLARYS_CLIENT_JSON;
    write.value = json;
    write.value_size = strlen(json);
    return write;
}

static bool documents(struct polarys_client *client)
{
    struct polarys_client_error err;
    struct polarys_client_result result;
    struct polarys_client_document document;
    struct polarys_client_read read = {0};
    const struct polarys_client_key key = {NULL, table, "rex", 3};
    struct polarys_client_write write = json_write("rex", "{\"kind\":\"dog\",\"age\":3}");

    if (!polarys_client_put(client, &write, &result, &err)) {
        return complain("put", &err);
    }
    /* Only if nobody has written it since. */
    write = json_write("rex", "{\"age\":4}");
    write.precondition = POLARYS_CLIENT_VERSION_EQUALS;
    write.precondition_version = result.version;
    if (!polarys_client_update(client, &write, &result, &err)) {
        return complain("update", &err);
    }
    /* The token makes any node answer with this write in it, or later ones. */
    read.consistency = POLARYS_CLIENT_AT_LEAST;
    read.token = result.token;
    read.token_size = result.token_size;
    if (!polarys_client_get(client, &key, &read, &document, &err)) {
        return complain("get", &err);
    }
    (void)printf("rex is %.*s\n", (int)document.value_size, (const char *)document.value);
    polarys_client_document_free(&document);
    return true;
}

/* Both documents or none. */
static bool batch(struct polarys_client *client)
{
    struct polarys_client_error err;
    struct polarys_client_batch *both = polarys_client_batch_create(client, NULL);
    struct polarys_client_write first = json_write("tom", "{\"kind\":\"cat\"}");
    struct polarys_client_write second = json_write("rex", "");
    bool is_ok = both != NULL && polarys_client_batch_put(both, &first) &&
                 polarys_client_batch_delete(both, &second);

    if (is_ok &&
        !polarys_client_batch_commit(both, POLARYS_CLIENT_DURABILITY_DEFAULT, NULL, &err)) {
        is_ok = complain("batch", &err);
    }
    polarys_client_batch_destroy(both);
    return is_ok;
}

static bool bulk(struct polarys_client *client, int count)
{
    struct polarys_client_error err;
    struct polarys_client_bulk_options options = {0};
    struct polarys_client_bulk *writer;
    struct polarys_client_record record = {0};
    char key[32];
    char json[64];
    bool is_ok = true;

    options.table = table;
    if (!polarys_client_bulk_open(client, &options, &writer, &err)) {
        return complain("bulk", &err);
    }
    for (int i = 0; i < count && is_ok; i++) {
        record.key = key;
        record.key_size = (size_t)snprintf(key, sizeof(key), "fish%06d", i);
        record.value = json;
        record.value_size = (size_t)snprintf(json, sizeof(json), "{\"kind\":\"fish\",\"n\":%d}", i);
        is_ok = polarys_client_bulk_put(writer, &record, &err);
    }
    if (!is_ok) {
        (void)complain("bulk put", &err);
    }
    /* Waits for the last acknowledgement; frees in any case. */
    if (!polarys_client_bulk_close(writer, &err)) {
        return complain("bulk close", &err);
    }
    return is_ok;
}

/* Counts what a scan gives; all of it is of one version. */
static bool scan(struct polarys_client *client)
{
    struct polarys_client_error err;
    struct polarys_client_scan_options options = {0};
    struct polarys_client_scan *fish;
    struct polarys_client_document document;
    bool has_document = true;
    int count = 0;

    options.table = table;
    options.range.prefix = "fish";
    options.range.prefix_size = 4;
    if (!polarys_client_scan_open(client, &options, &fish, &err)) {
        return complain("scan", &err);
    }
    while (polarys_client_scan_next(fish, &has_document, &document, &err) && has_document) {
        count++; /* document is borrowed until the next call */
    }
    polarys_client_scan_close(fish);
    if (has_document) {
        return complain("scan", &err);
    }
    (void)printf("%d fish\n", count);
    return true;
}

static bool errors(struct polarys_client *client)
{
    struct polarys_client_error err;
    struct polarys_client_document document;
    const struct polarys_client_key key = {NULL, table, "rex", 3};

    if (polarys_client_get(client, &key, NULL, &document, &err)) {
        polarys_client_document_free(&document);
        (void)fprintf(stderr, "rex was deleted and is there\n");
        return false;
    }
    (void)printf("rex: %s\n", err.reason);
    return strcmp(err.reason, "KEY_NOT_FOUND") == 0;
}

int main(int argc, char **argv)
{
    struct polarys_client_options options;
    struct polarys_client_error err;
    struct polarys_client *client;
    bool is_ok;

    polarys_client_options_init(&options);
    if (argc > 1) {
        options.endpoint = argv[1];
    }
    if (!polarys_client_open(&options, &client, &err)) {
        (void)complain("open", &err);
        return 1;
    }
    is_ok = polarys_client_wait_ready(client, 10000, &err) || complain("connect", &err);
    if (is_ok && !polarys_client_table_create(client, NULL, table, NULL, &err) &&
        strcmp(err.reason, "TABLE_EXISTS") != 0) {
        is_ok = complain("table", &err);
    }
    is_ok = is_ok && documents(client) && batch(client) && bulk(client, 2000) && scan(client) &&
            errors(client);
    if (is_ok && !polarys_client_table_drop(client, NULL, table, NULL, &err)) {
        is_ok = complain("drop", &err);
    }
    polarys_client_close(client);
    return is_ok ? 0 : 1;
}
