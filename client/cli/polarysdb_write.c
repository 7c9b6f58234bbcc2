/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replacing goes through a bulk writer, which survives a server that goes away. A bulk stream has no conditions, so
 * where nothing may be replaced the documents go in atomic batches, each of which changes nothing if one of its
 * keys is there.
 */
#include "client/cli/polarysdb_write.h"

#include <string.h>

#include "client/assert.h"

enum {
    WRITE_TIMEOUT_MS = 60000,
    BATCH_RECORDS_MAX = 500,
    BATCH_BYTES_MAX = 256 << 10,
    SHOWN_BYTES_MAX = 128,
};

struct writer {
    struct cli *cli;
    struct polarys_client *client;
    const struct polarysdb_store *store;
    const struct polarysdb_write_options *options;
    struct progress *progress;
    uint64_t written; /* documents, in all tables */
    uint64_t written_bytes;
    uint64_t table_written; /* what `written` was when the table began */
    uint64_t table_bytes;
};

static int shown(size_t size)
{
    return size < SHOWN_BYTES_MAX ? (int)size : SHOWN_BYTES_MAX;
}

/* An error of a call, and how far the import came. */
static enum cli_status call_fail(struct writer *writer, const struct polarysdb_table *table,
                                 struct polarys_client_error *err)
{
    char message[sizeof(err->message)];

    progress_end(writer->progress);
    (void)snprintf(message, sizeof(message), "table \"%s\": %.700s; %llu documents are written%s",
                   table->target, err->message, (unsigned long long)writer->written,
                   writer->written > 0 ? ": run it again with --replace to go on" : "");
    memcpy(err->message, message, sizeof(err->message));
    return cli_fail_call(writer->cli, err);
}

/* What the server will not take is found before anything is written. */
static enum cli_status values_check(struct writer *writer)
{
    struct polarys_client_error err;
    struct polarys_client_limits limits;

    if (!polarys_client_limits_get(writer->client, &limits, &err)) {
        return cli_fail_call(writer->cli, &err);
    }
    for (size_t i = 0; i < writer->store->change_count; i++) {
        const struct polarysdb_change *document = &writer->store->changes[i];
        if (document->value_size > limits.value_bytes_max) {
            return cli_fail(writer->cli, POLARYSDB_TOO_LARGE,
                            "table \"%s\", key \"%.*s\": a value of %zu bytes; the server takes "
                            "%llu: raise its value_bytes_max; nothing is written",
                            writer->store->tables[document->table]->name, shown(document->key_size),
                            document->key, document->value_size,
                            (unsigned long long)limits.value_bytes_max);
        }
    }
    return CLI_DONE;
}

/* ---- what is there already ---- */

/* Keys that are there and would be written. */
struct conflicts {
    uint64_t count;
    const struct polarysdb_table *table; /* of the first */
    const struct polarysdb_change *document;
};

static int key_compare(const struct polarysdb_change *document,
                       const struct polarys_client_document *there)
{
    size_t common = document->key_size < there->key_size ? document->key_size : there->key_size;
    int order = memcmp(document->key, there->key, common);
    return order != 0
               ? order
               : (document->key_size > there->key_size) - (document->key_size < there->key_size);
}

/* Walks the server's keys and ours, both in order, side by side. */
static bool scan_compare(struct writer *writer, struct polarys_client_scan *scan,
                         const struct polarysdb_table *table, struct conflicts *conflicts,
                         struct polarys_client_error *err)
{
    const struct polarysdb_change *document = writer->store->changes + table->first;
    const struct polarysdb_change *end = document + table->count;
    struct polarys_client_document there;
    bool has_document;

    POLARYS_ASSERT(table->count > 0);
    for (;;) {
        if (!polarys_client_scan_next(scan, &has_document, &there, err)) {
            return strcmp(err->reason, "TABLE_NOT_FOUND") == 0;
        }
        if (!has_document) {
            return true;
        }
        while (document < end && key_compare(document, &there) < 0) {
            document++;
        }
        if (document == end) {
            return true;
        }
        if (key_compare(document, &there) == 0) {
            if (conflicts->count++ == 0) {
                conflicts->table = table;
                conflicts->document = document;
            }
        }
    }
}

static enum cli_status table_look(struct writer *writer, const struct polarysdb_table *table,
                                  struct conflicts *conflicts)
{
    struct polarys_client_scan_options options = {0};
    struct polarys_client_scan *scan;
    struct polarys_client_error err;

    if (table->count == 0) {
        return CLI_DONE;
    }
    options.database = writer->cli->settings.database;
    options.table = table->target;
    options.is_keys_only = true;
    options.range.start = writer->store->changes[table->first].key;
    options.range.start_size = writer->store->changes[table->first].key_size;
    options.reconnect_ms = writer->options->reconnect_ms;
    if (!polarys_client_scan_open(writer->client, &options, &scan, &err)) {
        return cli_fail_call(writer->cli, &err);
    }
    bool is_looked = scan_compare(writer, scan, table, conflicts, &err);
    polarys_client_scan_close(scan);
    return is_looked ? CLI_DONE : cli_fail_call(writer->cli, &err);
}

static enum cli_status tables_look(struct writer *writer)
{
    struct conflicts conflicts = {0};

    for (size_t i = 0; i < writer->store->table_count; i++) {
        enum cli_status status = table_look(writer, writer->store->tables[i], &conflicts);
        if (status != CLI_DONE) {
            return status;
        }
    }
    if (conflicts.count == 0) {
        return CLI_DONE;
    }
    return cli_fail(writer->cli, "ALREADY_EXISTS/KEY_EXISTS",
                    "%llu keys are there already, first \"%.*s\" of the table \"%s\"; nothing is "
                    "written; --replace overwrites them",
                    (unsigned long long)conflicts.count, shown(conflicts.document->key_size),
                    conflicts.document->key, conflicts.table->target);
}

static enum cli_status tables_create(struct writer *writer)
{
    struct polarys_client_error err;

    for (size_t i = 0; i < writer->store->table_count; i++) {
        const struct polarysdb_table *table = writer->store->tables[i];
        if (!polarys_client_table_create(writer->client, writer->cli->settings.database,
                                         table->target, NULL, &err) &&
            strcmp(err.reason, "TABLE_EXISTS") != 0) {
            return call_fail(writer, table, &err);
        }
    }
    return CLI_DONE;
}

/* ---- replacing ---- */

/* The bulk writer's progress, within one table. */
static void acked(void *context, uint64_t records, uint64_t bytes)
{
    struct writer *writer = context;

    writer->written = writer->table_written + records;
    writer->written_bytes = writer->table_bytes + bytes;
    progress_update(writer->progress, writer->written, writer->written, writer->written_bytes);
}

static enum polarys_client_value_kind client_kind(const struct polarysdb_change *document)
{
    POLARYS_ASSERT(document->kind != POLARYSDB_DELETED);
    return document->kind == POLARYSDB_RAW ? POLARYS_CLIENT_RAW : POLARYS_CLIENT_JSON;
}

static bool documents_queue(struct writer *writer, const struct polarysdb_table *table,
                            struct polarys_client_bulk *bulk, struct polarys_client_error *err)
{
    for (uint64_t i = 0; i < table->count; i++) {
        const struct polarysdb_change *document = &writer->store->changes[table->first + i];
        const struct polarys_client_record record = {
            .key = document->key,
            .key_size = document->key_size,
            .kind = client_kind(document),
            .value = document->value,
            .value_size = document->value_size,
        };
        if (!polarys_client_bulk_put(bulk, &record, err)) {
            return false;
        }
    }
    return polarys_client_bulk_flush(bulk, err);
}

static enum cli_status table_replace(struct writer *writer, const struct polarysdb_table *table)
{
    struct polarys_client_error err;
    struct polarys_client_error close_err;
    struct polarys_client_bulk *bulk;
    struct polarys_client_bulk_options options = {
        .database = writer->cli->settings.database,
        .table = table->target,
        .durability = writer->options->durability,
        .reconnect_ms = writer->options->reconnect_ms,
        .progress = acked,
        .context = writer,
    };

    writer->table_written = writer->written;
    writer->table_bytes = writer->written_bytes;
    if (!polarys_client_bulk_open(writer->client, &options, &bulk, &err)) {
        return call_fail(writer, table, &err);
    }
    bool is_queued = documents_queue(writer, table, bulk, &err);
    bool is_closed = polarys_client_bulk_close(bulk, &close_err);
    if (!is_queued) {
        return call_fail(writer, table, &err);
    }
    return is_closed ? CLI_DONE : call_fail(writer, table, &close_err);
}

/* ---- adding ---- */

/* How many documents from `first` on go into one batch: as many as fit, and at least one. */
static uint64_t batch_count(const struct polarysdb_change *first, uint64_t left)
{
    uint64_t count = 1;
    size_t bytes = first->key_size + first->value_size;

    POLARYS_ASSERT(left > 0);
    while (count < left && count < BATCH_RECORDS_MAX) {
        bytes += first[count].key_size + first[count].value_size;
        if (bytes > BATCH_BYTES_MAX) {
            break;
        }
        count++;
    }
    return count;
}

static bool batch_write(struct writer *writer, const struct polarysdb_table *table,
                        const struct polarysdb_change *first, uint64_t count,
                        struct polarys_client_error *err)
{
    uint64_t bytes = 0;

    struct polarys_client_batch *batch =
        polarys_client_batch_create(writer->client, writer->cli->settings.database);
    bool is_filled = batch != NULL;
    for (uint64_t i = 0; i < count && is_filled; i++) {
        const struct polarys_client_write write = {
            .table = table->target,
            .key = first[i].key,
            .key_size = first[i].key_size,
            .kind = client_kind(&first[i]),
            .value = first[i].value,
            .value_size = first[i].value_size,
            .precondition = POLARYS_CLIENT_MUST_NOT_EXIST,
        };
        is_filled = polarys_client_batch_put(batch, &write);
        bytes += first[i].key_size + first[i].value_size;
    }
    if (!is_filled) {
        *err = (struct polarys_client_error){.status = POLARYS_CLIENT_RESOURCE_EXHAUSTED,
                                             .message = "no memory for a batch"};
    }
    bool is_written =
        is_filled && polarys_client_batch_commit(batch, writer->options->durability, NULL, err);
    polarys_client_batch_destroy(batch);
    if (is_written) {
        writer->written += count;
        writer->written_bytes += bytes;
        progress_update(writer->progress, writer->written, writer->written, writer->written_bytes);
    }
    return is_written;
}

static enum cli_status table_add(struct writer *writer, const struct polarysdb_table *table)
{
    struct polarys_client_error err;
    uint64_t done = 0;

    while (done < table->count) {
        const struct polarysdb_change *first = &writer->store->changes[table->first + done];
        uint64_t count = batch_count(first, table->count - done);
        if (!batch_write(writer, table, first, count, &err)) {
            return call_fail(writer, table, &err);
        }
        done += count;
    }
    return CLI_DONE;
}

static enum cli_status all_write(struct writer *writer)
{
    enum cli_status status = values_check(writer);

    if (status == CLI_DONE && !writer->options->replaces) {
        status = tables_look(writer);
    }
    if (status == CLI_DONE) {
        status = tables_create(writer);
    }
    for (size_t i = 0; i < writer->store->table_count && status == CLI_DONE; i++) {
        const struct polarysdb_table *table = writer->store->tables[i];
        if (table->count > 0) {
            status =
                writer->options->replaces ? table_replace(writer, table) : table_add(writer, table);
        }
    }
    return status;
}

enum cli_status polarysdb_write(struct cli *cli, const struct polarysdb_store *store,
                                const struct polarysdb_write_options *options,
                                struct progress *progress)
{
    struct writer writer = {.cli = cli, .store = store, .options = options, .progress = progress};

    POLARYS_ASSERT(cli->txn == NULL);
    writer.client = cli_connect(cli, WRITE_TIMEOUT_MS);
    if (writer.client == NULL) {
        return CLI_FAILED;
    }
    progress_begin(progress, cli, "imported", store->change_count);
    enum cli_status status = all_write(&writer);
    progress_update(progress, writer.written, writer.written, writer.written_bytes);
    progress_end(progress);
    return status;
}
