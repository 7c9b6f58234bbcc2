/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scans: one stream at one version. A broken stream is opened again behind the last document that the
 * caller has seen, at the same version, so the caller sees each document once.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "client/feed.h"
#include "polarys/v1/kv.pb-c.h"

struct polarys_client_scan {
    struct client_feed feed;
    struct polarys_client_scan_options options; /* strings and keys owned */
    uint64_t version;                           /* 0 until the first message */
    uint64_t returned;                          /* documents handed out */
    /* Of the last document handed out; one byte more than its size is allocated. */
    uint8_t *last_key;
    size_t last_key_size;
    size_t last_key_capacity;

    Polarys__V1__ScanResponse *message;
    size_t next; /* in message->documents */
    bool is_done;
};

/* Replaces every borrowed pointer by a copy. False: no memory; close frees what is there. */
static bool options_copy(struct polarys_client_scan_options *to,
                         const struct polarys_client_scan_options *from)
{
    *to = *from;
    to->database = client_copy_text(from->database);
    to->table = client_copy_text(from->table);
    to->range.start = client_copy(from->range.start, from->range.start_size);
    to->range.end = client_copy(from->range.end, from->range.end_size);
    to->range.prefix = client_copy(from->range.prefix, from->range.prefix_size);
    to->read.token = client_copy(from->read.token, from->read.token_size);
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

    POLARYS_ASSERT(options->limit == 0 || scan->returned < options->limit);
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
    request.database = client_database_field(read.txn, options->database);
    request.transaction = client_txn_field(read.txn);
    request.table = client_text(options->table);
    request.range = &range;
    request.reverse = options->is_reverse;
    request.keys_only = options->is_keys_only;
    request.limit = options->limit == 0 ? 0 : options->limit - scan->returned;
    request.consistency = client_consistency_fill(&consistency, scan->feed.client, &read);
    return client_feed_open(&scan->feed, &request.base, err);
}

bool polarys_client_scan_open(struct polarys_client *client,
                              const struct polarys_client_scan_options *options,
                              struct polarys_client_scan **out, struct polarys_client_error *err)
{
    POLARYS_ASSERT(client != NULL);
    POLARYS_ASSERT(options != NULL && out != NULL);
    struct polarys_client_scan *scan = calloc(1, sizeof(*scan));
    client_error_clear(err);
    *out = NULL;
    if (scan == NULL || !options_copy(&scan->options, options)) {
        polarys_client_scan_close(scan);
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a scan");
        return false;
    }
    client_feed_init(&scan->feed, client, "/polarys.v1.KvService/Scan",
                     client_read_place(&options->read), options->reconnect_ms);
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

/* True when the server has said that nothing follows what was handed out; the status behind it tells no more. */
static bool is_told_over(const struct polarys_client_scan *scan)
{
    if (scan->message == NULL) {
        return false;
    }
    POLARYS_ASSERT(scan->next == scan->message->n_documents);
    Polarys__V1__ScanEndReason reason = scan->message->end_reason;
    return reason == POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_END_OF_RANGE ||
           reason == POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_LIMIT_REACHED;
}

/* The stream is over and the scan is not. True: it goes on; false fills `err`. */
static bool stream_ended(struct polarys_client_scan *scan, enum client_feed_event event,
                         Polarys__V1__ScanEndReason reason, struct polarys_client_error *err)
{
    POLARYS_ASSERT(event != CLIENT_FEED_MESSAGE);
    if (event == CLIENT_FEED_ENDED &&
        reason == POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_UNSPECIFIED) {
        event = client_feed_cut(&scan->feed, err);
    }
    bool goes_on = event != CLIENT_FEED_FAILED ||
                   (scan->version == 0 && client_feed_read_reset(&scan->feed, &scan->options.read));
    return goes_on && scan_send(scan, err);
}

/* Reads the next message of the stream into scan->message. */
static bool message_take(struct polarys_client_scan *scan, struct polarys_client_error *err)
{
    struct transport_message bytes;
    Polarys__V1__ScanEndReason reason =
        scan->message != NULL ? scan->message->end_reason
                              : POLARYS__V1__SCAN_END_REASON__SCAN_END_REASON_UNSPECIFIED;

    POLARYS_ASSERT(!scan->is_done);
    enum client_feed_event event = client_feed_next(&scan->feed, &bytes, err);
    message_drop(scan);
    if (event != CLIENT_FEED_MESSAGE) {
        return stream_ended(scan, event, reason, err);
    }
    scan->message = polarys__v1__scan_response__unpack(NULL, bytes.size, bytes.bytes);
    free(bytes.bytes);
    if (scan->message == NULL) {
        client_error_set(err, POLARYS_CLIENT_INTERNAL, "scan: a message cannot be decoded");
        return false;
    }
    if (scan->message->version != 0) {
        scan->version = scan->message->version;
    }
    return client_feed_header_take(&scan->feed, scan->message->header, scan->version, err);
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
            client_document_borrow(document, from);
            scan->returned++;
            client_feed_progress(&scan->feed);
            *has_document = true;
            return true;
        }
        if (is_told_over(scan)) {
            scan->is_done = true;
            client_feed_close(&scan->feed);
        } else if (!message_take(scan, err)) {
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
    client_feed_close(&scan->feed);
    free((char *)scan->options.database);
    free((char *)scan->options.table);
    free((void *)scan->options.range.start);
    free((void *)scan->options.range.end);
    free((void *)scan->options.range.prefix);
    free((void *)scan->options.read.token);
    free(scan->last_key);
    free(scan);
}
