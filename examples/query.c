/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that uses libpolarys: a transaction that is tried again where others get in between, an index, a
 * query that uses it, and a full-text search.
 *
 *     cc query.c $(pkg-config --cflags --libs polarys) -o query && ./query 127.0.0.1:7480
 *
 * Every call blocks and returns false with a filled error when it failed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/polarys.h"
#include "client/polarys_query.h"
#include "client/polarys_txn.h"

static const char table[] = "example_books";

/* Prints what went wrong; returns false, for `return complain(...)`. */
static bool complain(const char *what, const struct polarys_client_error *err)
{
    (void)fprintf(stderr, "%s: %s/%s: %s\n", what, polarys_client_status_name(err->status),
                  err->reason, err->message);
    return false;
}

static bool put(struct polarys_client *client, struct polarys_client_txn *txn, const char *key,
                const char *json, struct polarys_client_error *err)
{
    struct polarys_client_write write = {0};
    write.table = table;
    write.key = key;
    write.key_size = strlen(key);
    write.value = json;
    write.value_size = strlen(json);
    write.txn = txn; /* NULL: a write of its own */
    return polarys_client_put(client, &write, NULL, err);
}

static bool books(struct polarys_client *client)
{
    static const char *const all[][2] = {
        {"emma", "{\"title\":\"Emma\",\"year\":1815,\"in-stock\":3,"
                 "\"about\":\"A young woman makes matches in a village.\"}"},
        {"dracula", "{\"title\":\"Dracula\",\"year\":1897,\"in-stock\":1,"
                    "\"about\":\"Letters about a count who travels by night.\"}"},
        {"moby-dick", "{\"title\":\"Moby-Dick\",\"year\":1851,\"in-stock\":7,"
                      "\"about\":\"A captain travels the seas after a whale.\"}"},
    };
    struct polarys_client_error err;

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (!put(client, NULL, all[i][0], all[i][1], &err)) {
            return complain("put", &err);
        }
    }
    return true;
}

/* Sells one copy: reads and writes as if nobody else did anything. May be called several times. */
static bool sell(void *context, struct polarys_client_txn *txn, struct polarys_client_error *err)
{
    static const char member[] = "\"in-stock\":";
    struct polarys_client *client = context;
    struct polarys_client_document document;
    const struct polarys_client_read read = {.txn = txn, .is_for_update = true};
    const struct polarys_client_key key = {NULL, table, "emma", 4};
    char patch[64];

    if (!polarys_client_get(client, &key, &read, &document, err)) {
        return false;
    }
    const char *at = strstr((const char *)document.value, member);
    long count = at == NULL ? 0 : strtol(at + strlen(member), NULL, 10);
    polarys_client_document_free(&document);
    (void)snprintf(patch, sizeof(patch), "{\"in-stock\":%ld}", count - 1);

    struct polarys_client_write update = {0};
    update.table = table;
    update.key = "emma";
    update.key_size = 4;
    update.value = patch;
    update.value_size = strlen(patch);
    update.txn = txn;
    return polarys_client_update(client, &update, NULL, err) &&
           put(client, txn, "sale-1", "{\"sold\":\"emma\"}", err);
}

static bool transaction(struct polarys_client *client)
{
    struct polarys_client_error err;
    struct polarys_client_result result;
    const struct polarys_client_txn_options options = {.isolation = POLARYS_CLIENT_SERIALIZABLE};

    if (!polarys_client_txn_run(client, &options, sell, client, &result, &err)) {
        return complain("transaction", &err);
    }
    (void)printf("sold a copy\n");
    return true;
}

static bool indexes(struct polarys_client *client)
{
    static const char *const year[] = {"year"};
    static const char *const about[] = {"about"};
    struct polarys_client_error err;
    struct polarys_client_index_options options = {0};

    options.table = table;
    options.fields = year;
    options.field_count = 1;
    options.kind = POLARYS_CLIENT_INDEX_ORDERED;
    options.waits = true; /* until queries can use it */
    if (!polarys_client_index_create(client, &options, NULL, NULL, &err)) {
        return complain("index", &err);
    }
    options.fields = about;
    options.kind = POLARYS_CLIENT_INDEX_TEXT;
    return polarys_client_index_create(client, &options, NULL, NULL, &err) ||
           complain("text index", &err);
}

static bool query(struct polarys_client *client)
{
    /* A name with a dash stands in backticks. */
    static const char *const fields[] = {"title", "`in-stock`"};
    struct polarys_client_error err;
    struct polarys_client_query_options options = {0};
    struct polarys_client_query *found;
    struct polarys_client_document document;
    bool has_document = true;

    options.table = table;
    options.filter = "year > 1800 AND year < 1890";
    options.order_by = "year desc";
    options.fields = fields;
    options.field_count = 2;
    if (!polarys_client_query_open(client, &options, &found, &err)) {
        return complain("query", &err);
    }
    while (polarys_client_query_next(found, &has_document, &document, &err) && has_document) {
        (void)printf("%.*s\n", (int)document.value_size, (const char *)document.value);
    }
    polarys_client_query_close(found);
    return !has_document || complain("query", &err);
}

/* Prints a hit with what was found in brackets. */
static bool show(void *context, const struct polarys_client_hit *hit)
{
    (void)context;
    (void)printf("%.*s:", (int)hit->document.key_size, (const char *)hit->document.key);
    for (size_t i = 0; i < hit->highlight_count; i++) {
        (void)putchar(' ');
        for (const char *at = hit->highlights[i]; *at != '\0'; at++) {
            (void)putchar(*at == '\x01' ? '[' : *at == '\x02' ? ']' : *at);
        }
    }
    (void)putchar('\n');
    return true;
}

static bool search(struct polarys_client *client)
{
    struct polarys_client_error err;
    struct polarys_client_search_options options = {0};

    options.table = table;
    options.field = "about";
    options.text = "travelling"; /* finds `travels` too */
    options.filter = "year > 1880";
    options.with_highlights = true;
    return polarys_client_search(client, &options, show, NULL, NULL, &err) ||
           complain("search", &err);
}

int main(int argc, char **argv)
{
    struct polarys_client_options options;
    struct polarys_client_error err;
    struct polarys_client *client;

    polarys_client_options_init(&options);
    if (argc > 1) {
        options.endpoint = argv[1];
    }
    if (!polarys_client_open(&options, &client, &err)) {
        (void)complain("open", &err);
        return 1;
    }
    bool is_ok = polarys_client_wait_ready(client, 10000, &err) || complain("connect", &err);
    is_ok = is_ok && (polarys_client_table_create(client, NULL, table, NULL, &err) ||
                      complain("table", &err));
    if (is_ok) {
        is_ok = books(client) && transaction(client) && indexes(client) && query(client) &&
                search(client);
        is_ok &=
            polarys_client_table_drop(client, NULL, table, NULL, &err) || complain("drop", &err);
    }
    polarys_client_close(client);
    return is_ok ? 0 : 1;
}
