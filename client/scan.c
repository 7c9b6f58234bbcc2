/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scans: one stream at one version. A broken stream is opened again behind the last document that the
 * caller has seen, at the same version, so the caller sees each document once.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "polarys/v1/kv.pb-c.h"

struct polarys_client_scan {
    struct polarys_client *client;
    struct polarys_client_scan_options options; /* strings and keys owned */
    uint64_t version;                           /* 0 until the first message */
    uint64_t returned;                          /* documents handed out */
    /* Of the last document handed out; one byte more than its size is allocated. */
    uint8_t *last_key;
    size_t last_key_size;
    size_t last_key_capacity;

    struct transport_stream *stream;
    Polarys__V1__ScanResponse *message;
    size_t next; /* in message->documents */
    bool is_done;
    uint32_t attempts; /* breaks in a row without a document */
    uint64_t broken_since_ms;
};

static void *copy_of(const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size + 1);

    POLARYS_ASSERT(bytes != NULL || size == 0);
    if (copy != NULL) {
        if (size > 0) {
            memcpy(copy, bytes, size);
        }
        copy[size] = '\0';
    }
    return copy;
}

/* Replaces every borrowed pointer by a copy. False: no memory; close frees what is there. */
static bool options_copy(struct polarys_client_scan_options *to,
                         const struct polarys_client_scan_options *from)
{
    *to = *from;
    to->database = copy_of(from->database, from->database == NULL ? 0 : strlen(from->database));
    to->table = copy_of(from->table, from->table == NULL ? 0 : strlen(from->table));
    to->range.start = copy_of(from->range.start, from->range.start_size);
    to->range.end = copy_of(from->range.end, from->range.end_size);
    to->range.prefix = copy_of(from->range.prefix, from->range.prefix_size);
    to->read.token = copy_of(from->read.token, from->read.token_size);
    return to->database != NULL && to->table != NULL && to->range.start != NULL &&
           to->range.end != NULL && to->range.prefix != NULL && to->read.token != NULL;
}

/* Begins, or goes on behind last_key at the version first read. */
static bool scan_send(struct polarys_client_scan *scan, struct polarys_client_error *err)
{
    const struct polarys_client_scan_options *options = &scan->options;
    Polarys__V1__ScanRequest request = POLARYS__V1__SCAN_REQUEST__INIT;
    Polarys__V1__KeyRange range = POLARYS__V1__KEY_RANGE__INIT;
    struct client_consistency consistency;
    struct polarys_client_read read = options->read;
    struct transport_message packed;

    POLARYS_ASSERT(scan->stream == NULL);
    POLARYS_ASSERT(scan->options.limit == 0 || scan->returned < scan->options.limit);
    client_range_fill(&range, &options->range);
    if (scan->version != 0) {
        read.consistency = POLARYS_CLIENT_SNAPSHOT;
        read.version = scan->version;
    }
    if (scan->returned > 0 && options->is_reverse) {
        range.end_key = client_bytes(scan->last_key, scan->last_key_size);
    } else if (scan->returned > 0) {
        scan->last_key[scan->last_key_size] = 0; /* the smallest key above it */
        range.start_key = client_bytes(scan->last_key, scan->last_key_size + 1);
    }
    request.database = client_text(options->database);
    request.table = client_text(options->table);
    request.range = &range;
    request.reverse = options->is_reverse;
    request.keys_only = options->is_keys_only;
    request.limit = options->limit == 0 ? 0 : options->limit - scan->returned;
    request.consistency = client_consistency_fill(&consistency, &read);
    if (!client_pack(&request.base, &packed)) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a request");
        return false;
    }
    bool is_ok = transport_stream_open(scan->client->transport, "/polarys.v1.KvService/Scan", 0,
                                       &scan->stream, err);
    if (is_ok && transport_stream_send(scan->stream, packed.bytes, packed.size)) {
        (void)transport_stream_half_close(scan->stream); /* a failure shows on the next receive */
    }
    free(packed.bytes);
    return is_ok;
}

bool polarys_client_scan_open(struct polarys_client *client,
                              const struct polarys_client_scan_options *options,
                              struct polarys_client_scan **out, struct polarys_client_error *err)
{
    struct polarys_client_scan *scan = calloc(1, sizeof(*scan));

    POLARYS_ASSERT(client != NULL);
    POLARYS_ASSERT(options != NULL && out != NULL);
    client_error_clear(err);
    *out = NULL;
    if (scan == NULL || !options_copy(&scan->options, options)) {
        polarys_client_scan_close(scan);
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a scan");
        return false;
    }
    scan->client = client;
    if (!scan_send(scan, err)) {
        polarys_client_scan_close(scan);
        return false;
    }
    *out = scan;
    return true;
}

static void message_drop(struct polarys_client_scan *scan)
{
    if (scan->message != NULL) {
        polarys__v1__scan_response__free_unpacked(scan->message, NULL);
        scan->message = NULL;
    }
    scan->next = 0;
}

/* True when a broken stream may be opened again, after *delay_ms. */
static bool may_go_on(struct polarys_client_scan *scan, const struct polarys_client_error *why,
                      uint32_t *delay_ms)
{
    uint32_t reconnect_ms = scan->options.reconnect_ms;
    uint64_t now_ms = transport_now_ms();

    POLARYS_ASSERT(why->status != POLARYS_CLIENT_OK);
    if (scan->attempts == 0) {
        scan->broken_since_ms = now_ms;
    }
    if (client_may_retry(scan->client, why, CLIENT_REPEAT_ALWAYS, scan->attempts, delay_ms)) {
        return true;
    }
    return why->status == POLARYS_CLIENT_UNAVAILABLE &&
           now_ms + *delay_ms < scan->broken_since_ms + reconnect_ms;
}

/* The stream ended. True: the scan may go on (or is done); false fills `err`. */
static bool stream_ended(struct polarys_client_scan *scan, Polarys__V1__ScanEndReason reason,
                         struct polarys_client_error *err)
{
    struct polarys_client_error why;
    uint32_t delay_ms = 0;

    POLARYS_ASSERT(scan->stream != NULL);
    client_error_clear(&why);
    bool is_ok = transport_stream_finish(scan->stream, &why);

    transport_stream_destroy(scan->stream);
    scan->stream = NULL;
    if (is_ok && (reason == POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_END_OF_RANGE ||
                  reason == POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_LIMIT_REACHED)) {
        scan->is_done = true;
        return true;
    }
    if (is_ok && reason == POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_UNSPECIFIED) {
        /* Taking this for the end could leave documents out. */
        client_error_set(&why, POLARYS_CLIENT_UNAVAILABLE, "scan: the stream ended too early");
        is_ok = false;
    }
    if (!is_ok) {
        if (!may_go_on(scan, &why, &delay_ms)) {
            if (err != NULL) {
                *err = why;
                err->attempts = scan->attempts + 1;
            }
            return false;
        }
        scan->attempts++;
        transport_sleep_ms(delay_ms);
    }
    return scan_send(scan, err);
}

/* Reads the next message of the stream into scan->message. */
static bool message_take(struct polarys_client_scan *scan, struct polarys_client_error *err)
{
    struct transport_message bytes;
    uint32_t timeout_ms = scan->client->options.timeout_ms;
    Polarys__V1__ScanEndReason reason =
        scan->message != NULL ? scan->message->end_reason
                              : POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_UNSPECIFIED;

    POLARYS_ASSERT(scan->stream != NULL);
    POLARYS_ASSERT(!scan->is_done);
    switch (
        transport_stream_receive(scan->stream, timeout_ms == 0 ? UINT32_MAX : timeout_ms, &bytes)) {
    case TRANSPORT_IDLE:
        client_error_set(err, POLARYS_CLIENT_DEADLINE_EXCEEDED,
                         "scan: nothing came from the server for %u ms", timeout_ms);
        return false;
    case TRANSPORT_ENDED:
        message_drop(scan);
        return stream_ended(scan, reason, err);
    case TRANSPORT_MESSAGE:
        break;
    }
    message_drop(scan);
    scan->message = polarys__v1__scan_response__unpack(NULL, bytes.size, bytes.bytes);
    free(bytes.bytes);
    if (scan->message == NULL) {
        client_error_set(err, POLARYS_CLIENT_INTERNAL, "scan: a message cannot be decoded");
        return false;
    }
    if (scan->message->version != 0) {
        scan->version = scan->message->version;
    }
    return true;
}

static bool last_key_set(struct polarys_client_scan *scan, const ProtobufCBinaryData *key)
{
    POLARYS_ASSERT(key->data != NULL || key->len == 0);
    if (key->len + 1 > scan->last_key_capacity) {
        uint8_t *grown = realloc(scan->last_key, key->len * 2 + 1);
        if (grown == NULL) {
            return false;
        }
        scan->last_key = grown;
        scan->last_key_capacity = key->len * 2 + 1;
    }
    memcpy(scan->last_key, key->data, key->len);
    scan->last_key_size = key->len;
    return true;
}

/* Borrows the document out of the message. */
static void document_borrow(struct polarys_client_document *to, const Polarys__V1__Document *from)
{
    memset(to, 0, sizeof(*to));
    to->key = from->key.data;
    to->key_size = from->key.len;
    if (from->value != NULL && from->value->kind_case == POLARYS__V1__VALUE__KIND_RAW) {
        to->kind = POLARYS_CLIENT_RAW;
        to->value = from->value->raw.data;
        to->value_size = from->value->raw.len;
    } else if (from->value != NULL && from->value->kind_case == POLARYS__V1__VALUE__KIND_JSON) {
        to->value = from->value->json.data;
        to->value_size = from->value->json.len;
    }
    to->version = from->version;
    to->expires_at_ms = client_time_ms(from->expire_time);
    to->commit_time_ms = client_time_ms(from->commit_time);
}

bool polarys_client_scan_next(struct polarys_client_scan *scan, bool *has_document,
                              struct polarys_client_document *document,
                              struct polarys_client_error *err)
{
    POLARYS_ASSERT(scan != NULL);
    POLARYS_ASSERT(has_document != NULL && document != NULL);
    *has_document = false;
    while (!scan->is_done) {
        if (scan->options.limit != 0 && scan->returned >= scan->options.limit) {
            scan->is_done = true;
            break;
        }
        if (scan->message != NULL && scan->next < scan->message->n_documents) {
            const Polarys__V1__Document *from = scan->message->documents[scan->next++];
            if (!last_key_set(scan, &from->key)) {
                client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a key");
                return false;
            }
            document_borrow(document, from);
            scan->returned++;
            scan->attempts = 0;
            *has_document = true;
            return true;
        }
        if (!message_take(scan, err)) {
            return false;
        }
    }
    return true;
}

uint64_t polarys_client_scan_version(const struct polarys_client_scan *scan)
{
    POLARYS_ASSERT(scan != NULL);
    return scan->version;
}

void polarys_client_scan_close(struct polarys_client_scan *scan)
{
    if (scan == NULL) {
        return;
    }
    message_drop(scan);
    transport_stream_destroy(scan->stream);
    free((char *)scan->options.database);
    free((char *)scan->options.table);
    free((void *)scan->options.range.start);
    free((void *)scan->options.range.end);
    free((void *)scan->options.range.prefix);
    free((void *)scan->options.read.token);
    free(scan->last_key);
    free(scan);
}
