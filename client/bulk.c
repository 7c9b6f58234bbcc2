/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bulk writer's record side: records are encoded as they come and cut into numbered batches.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/bulk_internal.h"

bool bulk_fail(struct polarys_client_bulk *bulk, const struct polarys_client_error *err)
{
    POLARYS_ASSERT(!bulk->has_failed);
    POLARYS_ASSERT(err->status != POLARYS_CLIENT_OK);
    bulk->has_failed = true;
    bulk->failure = *err;
    return false;
}

static bool fail_memory(struct polarys_client_bulk *bulk)
{
    struct polarys_client_error err;
    client_error_set(&err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for bulk records");
    return bulk_fail(bulk, &err);
}

/* Gives the caller the writer's failure. */
static bool report(const struct polarys_client_bulk *bulk, struct polarys_client_error *err)
{
    if (bulk->has_failed && err != NULL) {
        *err = bulk->failure;
    }
    return !bulk->has_failed;
}

bool polarys_client_bulk_open(struct polarys_client *client,
                              const struct polarys_client_bulk_options *options,
                              struct polarys_client_bulk **out, struct polarys_client_error *err)
{
    struct polarys_client_bulk *bulk = calloc(1, sizeof(*bulk));

    POLARYS_ASSERT(client != NULL);
    POLARYS_ASSERT(options != NULL && out != NULL);
    client_error_clear(err);
    *out = NULL;
    if (bulk != NULL) {
        bulk->client = client;
        client_way_init(&bulk->way, CLIENT_PLACE_PRIMARY, 0, options->reconnect_ms);
        bulk->options = *options;
        bulk->options.database = strdup(options->database != NULL ? options->database : "");
        bulk->options.table = strdup(options->table != NULL ? options->table : "");
    }
    if (bulk == NULL || bulk->options.database == NULL || bulk->options.table == NULL) {
        if (bulk != NULL) {
            free((char *)bulk->options.database);
            free((char *)bulk->options.table);
        }
        free(bulk);
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a bulk writer");
        return false;
    }
    if (bulk->options.batch_records_max == 0) {
        bulk->options.batch_records_max = BULK_BATCH_RECORDS_DEFAULT;
    }
    if (bulk->options.batch_bytes_max == 0) {
        bulk->options.batch_bytes_max = BULK_BATCH_BYTES_DEFAULT;
    }
    if (bulk->options.batch_bytes_max > BULK_BATCH_BYTES_MAX) {
        bulk->options.batch_bytes_max = BULK_BATCH_BYTES_MAX;
    }
    if (bulk->options.reconnect_ms == 0) {
        bulk->options.reconnect_ms = BULK_RECONNECT_DEFAULT_MS;
    }
    *out = bulk;
    return true;
}

static size_t put_length(uint8_t *to, uint64_t value)
{
    size_t size = 0;

    POLARYS_ASSERT(to != NULL);
    while (value >= 0x80) {
        to[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    to[size++] = (uint8_t)value;
    return size;
}

static bool filling_reserve(struct polarys_client_bulk *bulk, size_t more)
{
    size_t used = bulk->filling == NULL ? BULK_HEAD_MAX : bulk->filling_size;
    size_t needed = used + more;

    POLARYS_ASSERT(bulk->filling == NULL || bulk->filling_size <= bulk->filling_capacity);
    if (bulk->filling != NULL && needed <= bulk->filling_capacity) {
        return true;
    }
    size_t capacity = bulk->filling == NULL ? 16 << 10 : bulk->filling_capacity * 2;
    capacity = capacity < needed ? needed : capacity;
    uint8_t *grown = realloc(bulk->filling, capacity);
    if (grown == NULL) {
        return false;
    }
    bulk->filling = grown;
    bulk->filling_size = used;
    bulk->filling_capacity = capacity;
    return true;
}

void bulk_batch_number(struct bulk_batch *batch, uint64_t number)
{
    enum { REQUEST_BATCH_TAG = 0x12, BATCH_NUMBER_TAG = 0x08 };
    uint8_t head[BULK_HEAD_MAX];
    uint8_t field[BULK_HEAD_MAX / 2];

    POLARYS_ASSERT(number > 0);
    POLARYS_ASSERT(batch->size >= BULK_HEAD_MAX);
    field[0] = BATCH_NUMBER_TAG;
    size_t field_size = 1 + put_length(field + 1, number);
    head[0] = REQUEST_BATCH_TAG;
    size_t head_size = 1 + put_length(head + 1, field_size + batch->size - BULK_HEAD_MAX);
    batch->number = number;
    batch->start = BULK_HEAD_MAX - head_size - field_size;
    memcpy(batch->bytes + batch->start, head, head_size);
    memcpy(batch->bytes + batch->start + head_size, field, field_size);
}

/* Queues what was filled as WriteRequest{batch{number, records}}. REQUIRES: records are there. */
static bool batch_cut(struct polarys_client_bulk *bulk)
{
    struct bulk_batch *batch = calloc(1, sizeof(*batch));

    POLARYS_ASSERT(bulk->filling != NULL);
    POLARYS_ASSERT(bulk->filling_records > 0);
    if (batch == NULL) {
        return fail_memory(bulk);
    }
    batch->bytes = bulk->filling;
    batch->size = bulk->filling_size;
    batch->record_count = bulk->filling_records;
    batch->record_bytes = bulk->filling_bytes;
    bulk_batch_number(batch, ++bulk->last_number);
    if (bulk->last != NULL) {
        bulk->last->next = batch;
    } else {
        bulk->first = batch;
    }
    bulk->last = batch;
    bulk->filling = NULL;
    bulk->filling_size = 0;
    bulk->filling_capacity = 0;
    bulk->filling_records = 0;
    bulk->filling_bytes = 0;
    return true;
}

/* A record that no message can carry ends the writer, as a refusal by the server would. */
static bool record_check(struct polarys_client_bulk *bulk, size_t size)
{
    struct polarys_client_error err;
    return client_request_check(bulk->client, size + BULK_HEAD_MAX, &err) || bulk_fail(bulk, &err);
}

/* Appends one encoded BulkRecord as a field of WriteBatch, cutting a batch before it if need be. */
static bool record_append(struct polarys_client_bulk *bulk, const Polarys__V1__BulkRecord *record,
                          size_t content_size)
{
    enum { BATCH_RECORDS_TAG = 0x12, FIELD_HEAD_MAX = 11 };
    size_t size = polarys__v1__bulk_record__get_packed_size(record);

    POLARYS_ASSERT(!bulk->has_failed);
    if (!record_check(bulk, size)) {
        return false;
    }
    if (bulk->filling_records > 0 && (bulk->filling_records >= bulk->options.batch_records_max ||
                                      bulk->filling_size + size > bulk->options.batch_bytes_max)) {
        if (!batch_cut(bulk) || !bulk_pump(bulk, false)) {
            return false;
        }
    }
    if (!filling_reserve(bulk, size + FIELD_HEAD_MAX)) {
        return fail_memory(bulk);
    }
    bulk->filling[bulk->filling_size++] = BATCH_RECORDS_TAG;
    bulk->filling_size += put_length(bulk->filling + bulk->filling_size, size);
    bulk->filling_size +=
        polarys__v1__bulk_record__pack(record, bulk->filling + bulk->filling_size);
    bulk->filling_records++;
    bulk->filling_bytes += content_size;
    return true;
}

bool polarys_client_bulk_put(struct polarys_client_bulk *bulk,
                             const struct polarys_client_record *record,
                             struct polarys_client_error *err)
{
    Polarys__V1__BulkRecord message = POLARYS__V1__BULK_RECORD__INIT;
    Polarys__V1__Value content;
    Google__Protobuf__Timestamp expiry;

    POLARYS_ASSERT(bulk != NULL);
    POLARYS_ASSERT(record->key != NULL || record->key_size == 0);
    client_value_fill(&content, record->kind, record->value, record->value_size);
    message.key = client_bytes(record->key, record->key_size);
    message.value = &content;
    message.expire_time = client_time_fill(&expiry, record->expires_at_ms);
    if (!bulk->has_failed) {
        (void)record_append(bulk, &message, record->key_size + record->value_size);
    }
    return report(bulk, err);
}

bool polarys_client_bulk_delete(struct polarys_client_bulk *bulk, const void *key, size_t key_size,
                                struct polarys_client_error *err)
{
    Polarys__V1__BulkRecord record = POLARYS__V1__BULK_RECORD__INIT;

    POLARYS_ASSERT(bulk != NULL);
    POLARYS_ASSERT(key != NULL || key_size == 0);
    record.key = client_bytes(key, key_size);
    record.delete_ = 1;
    if (!bulk->has_failed) {
        (void)record_append(bulk, &record, key_size);
    }
    return report(bulk, err);
}

bool polarys_client_bulk_flush(struct polarys_client_bulk *bulk, struct polarys_client_error *err)
{
    POLARYS_ASSERT(bulk != NULL);
    if (!bulk->has_failed && (bulk->filling_records == 0 || batch_cut(bulk))) {
        (void)bulk_pump(bulk, true);
    }
    return report(bulk, err);
}

uint64_t polarys_client_bulk_acked(const struct polarys_client_bulk *bulk)
{
    POLARYS_ASSERT(bulk != NULL);
    return bulk->acked_records;
}

bool polarys_client_bulk_close(struct polarys_client_bulk *bulk, struct polarys_client_error *err)
{
    bool is_ok = polarys_client_bulk_flush(bulk, err);
    if (is_ok && bulk->stream != NULL) {
        bulk_session_close(bulk);
    }
    transport_stream_destroy(bulk->stream);
    while (bulk->first != NULL) {
        struct bulk_batch *batch = bulk->first;
        bulk->first = batch->next;
        free(batch->bytes);
        free(batch);
    }
    free(bulk->filling);
    free((char *)bulk->options.database);
    free((char *)bulk->options.table);
    free(bulk);
    return is_ok;
}
