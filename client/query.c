/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries: one stream at one version. A broken stream is opened again with the cursor behind the last message
 * whose documents were all handed out, so the caller sees each document once.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/feed.h"
#include "client/query_internal.h"
#include "polarys/v1/query.pb-c.h"

struct polarys_client_query {
    struct client_feed feed;
    struct polarys_client_query_options options; /* strings owned; fields are in `mask` */
    struct query_mask mask;
    uint64_t version;  /* 0 until the first message */
    uint64_t returned; /* documents handed out */
    void *cursor;      /* malloc'd: behind `message`; NULL before the first */
    size_t cursor_size;

    Polarys__V1__QueryResponse *message;
    size_t next; /* in message->documents */
    bool is_done;
};

/* Replaces every borrowed pointer by a copy. False: no memory; close frees what is there. */
static bool options_copy(struct polarys_client_query *query,
                         const struct polarys_client_query_options *from)
{
    struct polarys_client_query_options *to = &query->options;

    *to = *from;
    to->database = client_copy_text(from->database);
    to->table = client_copy_text(from->table);
    to->filter = client_copy_text(from->filter);
    to->order_by = client_copy_text(from->order_by);
    to->read.token = client_copy(from->read.token, from->read.token_size);
    to->cursor = NULL;
    query->cursor = client_copy(from->cursor, from->cursor_size);
    query->cursor_size = from->cursor_size;
    return to->database != NULL && to->table != NULL && to->filter != NULL &&
           to->order_by != NULL && to->read.token != NULL && query->cursor != NULL;
}

/* Begins, or goes on behind the cursor. */
static bool query_send(struct polarys_client_query *query, struct polarys_client_error *err)
{
    const struct polarys_client_query_options *options = &query->options;
    Polarys__V1__QueryRequest request = POLARYS__V1__QUERY_REQUEST__INIT;
    struct client_consistency consistency;
    struct polarys_client_read read = options->read;

    POLARYS_ASSERT(options->limit == 0 || query->returned < options->limit);
    if (query->version != 0) {
        read.consistency = POLARYS_CLIENT_SNAPSHOT;
        read.version = query->version;
    }
    request.database = client_database_field(read.txn, options->database);
    request.transaction = client_txn_field(read.txn);
    request.table = client_text(options->table);
    request.filter = client_text(options->filter);
    request.order_by = client_text(options->order_by);
    request.n_read_mask = query->mask.count;
    request.read_mask = query->mask.fields;
    request.limit = options->limit == 0 ? 0 : options->limit - query->returned;
    request.cursor = client_bytes(query->cursor, query->cursor_size);
    /* A cursor brings its own version. */
    request.consistency = query->cursor_size > 0
                              ? NULL
                              : client_consistency_fill(&consistency, query->feed.client, &read);
    return client_feed_open(&query->feed, &request.base, err);
}

bool polarys_client_query_open(struct polarys_client *client,
                               const struct polarys_client_query_options *options,
                               struct polarys_client_query **out, struct polarys_client_error *err)
{
    POLARYS_ASSERT(client != NULL);
    POLARYS_ASSERT(options != NULL && out != NULL);
    struct polarys_client_query *query = calloc(1, sizeof(*query));
    client_error_clear(err);
    *out = NULL;
    if (query == NULL || !options_copy(query, options)) {
        polarys_client_query_close(query);
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a query");
        return false;
    }
    client_feed_init(&query->feed, client, "/polarys.v1.QueryService/Query",
                     client_read_place(&options->read), options->reconnect_ms);
    if (!query_mask_init(&query->mask, options->fields, options->field_count, err) ||
        !query_send(query, err)) {
        polarys_client_query_close(query);
        return false;
    }
    *out = query;
    return true;
}

static void message_drop(struct polarys_client_query *query)
{
    if (query->message != NULL) {
        polarys__v1__query_response__free_unpacked(query->message, NULL);
        query->message = NULL;
    }
    query->next = 0;
}

/*
 * True when the server has said that nothing follows what was handed out. The status behind it tells no more:
 * were it waited for, a connection that breaks just then would have everything given once more.
 */
static bool is_told_over(const struct polarys_client_query *query)
{
    if (query->message == NULL) {
        return false;
    }
    POLARYS_ASSERT(query->next == query->message->n_documents);
    Polarys__V1__QueryEndReason reason = query->message->end_reason;
    return reason == POLARYS__V1__QUERY_END_REASON__QUERY_END_REASON_END_OF_RESULTS ||
           reason == POLARYS__V1__QUERY_END_REASON__QUERY_END_REASON_LIMIT_REACHED;
}

static void query_end(struct polarys_client_query *query)
{
    POLARYS_ASSERT(!query->is_done);
    if (query->message->end_reason ==
        POLARYS__V1__QUERY_END_REASON__QUERY_END_REASON_END_OF_RESULTS) {
        query->cursor_size = 0; /* there is nothing to go on with */
    }
    query->is_done = true;
    client_feed_close(&query->feed);
}

/* The stream is over and the query is not. True: it goes on; false fills `err`. */
static bool stream_ended(struct polarys_client_query *query, enum client_feed_event event,
                         Polarys__V1__QueryEndReason reason, struct polarys_client_error *err)
{
    POLARYS_ASSERT(event != CLIENT_FEED_MESSAGE);
    if (event == CLIENT_FEED_ENDED &&
        reason == POLARYS__V1__QUERY_END_REASON__QUERY_END_REASON_UNSPECIFIED) {
        event = client_feed_cut(&query->feed, err);
    }
    bool goes_on =
        event != CLIENT_FEED_FAILED ||
        (query->version == 0 && client_feed_read_reset(&query->feed, &query->options.read));
    return goes_on && query_send(query, err);
}

/* Keeps where to go on behind a message. False: no memory. */
static bool cursor_keep(struct polarys_client_query *query, const ProtobufCBinaryData *cursor)
{
    void *copy = client_copy(cursor->data, cursor->len);
    if (copy == NULL) {
        return false;
    }
    free(query->cursor);
    query->cursor = copy;
    query->cursor_size = cursor->len;
    return true;
}

/* Reads the next message of the stream into query->message. */
static bool message_take(struct polarys_client_query *query, struct polarys_client_error *err)
{
    struct transport_message bytes;
    Polarys__V1__QueryEndReason reason =
        query->message != NULL ? query->message->end_reason
                               : POLARYS__V1__QUERY_END_REASON__QUERY_END_REASON_UNSPECIFIED;

    POLARYS_ASSERT(!query->is_done);
    enum client_feed_event event = client_feed_next(&query->feed, &bytes, err);
    message_drop(query);
    if (event != CLIENT_FEED_MESSAGE) {
        return stream_ended(query, event, reason, err);
    }
    query->message = polarys__v1__query_response__unpack(NULL, bytes.size, bytes.bytes);
    free(bytes.bytes);
    if (query->message == NULL) {
        client_error_set(err, POLARYS_CLIENT_INTERNAL, "query: a message cannot be decoded");
        return false;
    }
    if (query->message->version != 0) {
        query->version = query->message->version;
    }
    if (!client_feed_header_take(&query->feed, query->message->header, query->version, err)) {
        return false;
    }
    bool says_where = query->message->cursor.len > 0 || query->message->n_documents > 0;
    if (says_where && !cursor_keep(query, &query->message->cursor)) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a cursor");
        return false;
    }
    return true;
}

bool polarys_client_query_next(struct polarys_client_query *query, bool *has_document,
                               struct polarys_client_document *document,
                               struct polarys_client_error *err)
{
    POLARYS_ASSERT(query != NULL);
    POLARYS_ASSERT(has_document != NULL && document != NULL);
    *has_document = false;
    while (!query->is_done) {
        if (query->options.limit != 0 && query->returned >= query->options.limit) {
            query->is_done = true;
            break;
        }
        if (query->message != NULL && query->next < query->message->n_documents) {
            client_document_borrow(document, query->message->documents[query->next++]);
            query->returned++;
            client_feed_progress(&query->feed);
            *has_document = true;
            return true;
        }
        if (is_told_over(query)) {
            query_end(query);
        } else if (!message_take(query, err)) {
            return false;
        }
    }
    return true;
}

uint64_t polarys_client_query_version(const struct polarys_client_query *query)
{
    POLARYS_ASSERT(query != NULL);
    return query->version;
}

const void *polarys_client_query_cursor(const struct polarys_client_query *query, size_t *size)
{
    POLARYS_ASSERT(query != NULL);
    POLARYS_ASSERT(size != NULL);
    bool is_whole = query->message == NULL || query->next == query->message->n_documents;
    *size = is_whole ? query->cursor_size : 0;
    return *size == 0 ? NULL : query->cursor;
}

void polarys_client_query_close(struct polarys_client_query *query)
{
    if (query == NULL) {
        return;
    }
    message_drop(query);
    client_feed_close(&query->feed);
    query_mask_deinit(&query->mask);
    free((char *)query->options.database);
    free((char *)query->options.table);
    free((char *)query->options.filter);
    free((char *)query->options.order_by);
    free((void *)query->options.read.token);
    free(query->cursor);
    free(query);
}

bool polarys_client_query_count(struct polarys_client *client,
                                const struct polarys_client_query_options *options, uint64_t *count,
                                struct polarys_client_error *err)
{
    Polarys__V1__CountRequest request = POLARYS__V1__COUNT_REQUEST__INIT;
    struct client_consistency consistency;

    POLARYS_ASSERT(options != NULL);
    POLARYS_ASSERT(count != NULL);
    request.database = client_database_field(options->read.txn, options->database);
    request.transaction = client_txn_field(options->read.txn);
    request.table = client_text(options->table);
    request.filter = client_text(options->filter);
    request.consistency = client_consistency_fill(&consistency, client, &options->read);
    struct client_call call = {"/polarys.v1.QueryService/Count", &request.base,
                               &polarys__v1__count_response__descriptor, CLIENT_REPEAT_ALWAYS,
                               &consistency};
    Polarys__V1__CountResponse *response =
        (Polarys__V1__CountResponse *)client_invoke(client, &call, err);
    if (response == NULL) {
        return false;
    }
    *count = response->count;
    polarys__v1__count_response__free_unpacked(response, NULL);
    return true;
}
