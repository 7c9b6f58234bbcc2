/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Full-text search. A broken stream is opened again behind the hits that the caller has seen, at the same
 * version: order and scores are those of the version, so the caller sees each hit once.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/feed.h"
#include "client/query_internal.h"
#include "polarys/v1/query.pb-c.h"

enum {
    SEARCH_LIMIT_DEFAULT = 100,   /* what the server takes a limit of 0 for */
    SEARCH_HIGHLIGHTS_MAX = 1000, /* of one hit; what is over is left out */
};

struct search {
    struct client_feed feed;
    const struct polarys_client_search_options *options;
    struct polarys_client_read read;
    struct query_mask mask;
    bool (*each)(void *context, const struct polarys_client_hit *hit);
    void *context;
    uint64_t version;  /* 0 until the first message */
    uint64_t total;    /* as the first message said */
    uint64_t returned; /* hits handed out */
    bool has_total;
    bool is_stopped; /* by the caller */
};

static uint64_t search_limit(const struct search *search)
{
    return search->options->limit == 0 ? SEARCH_LIMIT_DEFAULT : search->options->limit;
}

/* Begins, or goes on behind what was handed out. */
static bool search_send(struct search *search, struct polarys_client_error *err)
{
    const struct polarys_client_search_options *options = search->options;
    Polarys__V1__SearchRequest request = POLARYS__V1__SEARCH_REQUEST__INIT;
    struct client_consistency consistency;
    struct polarys_client_read read = search->read;

    POLARYS_ASSERT(search->returned < search_limit(search));
    if (search->version != 0) {
        read.consistency = POLARYS_CLIENT_SNAPSHOT;
        read.version = search->version;
    }
    request.database = client_database_field(read.txn, options->database);
    request.transaction = client_txn_field(read.txn);
    request.table = client_text(options->table);
    request.field = client_text(options->field);
    request.text = client_text(options->text);
    request.filter = client_text(options->filter);
    request.n_read_mask = search->mask.count;
    request.read_mask = search->mask.fields;
    request.limit = search_limit(search) - search->returned;
    request.offset = options->offset + search->returned;
    request.with_highlights = options->with_highlights;
    request.consistency = client_consistency_fill(&consistency, search->feed.client, &read);
    return client_feed_open(&search->feed, &request.base, err);
}

/* Hands one hit to the caller. False: no memory. */
static bool hit_give(struct search *search, const Polarys__V1__SearchHit *from,
                     struct polarys_client_error *err)
{
    static const Polarys__V1__Document nothing = POLARYS__V1__DOCUMENT__INIT;
    struct polarys_client_hit hit = {.score = from->score};
    size_t count =
        from->n_highlights < SEARCH_HIGHLIGHTS_MAX ? from->n_highlights : SEARCH_HIGHLIGHTS_MAX;
    char **texts = calloc(count + 1, sizeof(*texts));
    POLARYS_ASSERT(search->returned < search_limit(search));

    while (texts != NULL && hit.highlight_count < count) {
        const ProtobufCBinaryData *piece = &from->highlights[hit.highlight_count];
        texts[hit.highlight_count] = client_copy(piece->data, piece->len);
        if (texts[hit.highlight_count] == NULL) {
            break;
        }
        hit.highlight_count++;
    }
    bool is_ok = texts != NULL && hit.highlight_count == count;
    if (is_ok) {
        hit.highlights = (const char *const *)texts;
        client_document_borrow(&hit.document, from->document != NULL ? from->document : &nothing);
        search->returned++;
        search->is_stopped = !search->each(search->context, &hit);
    } else {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a hit");
    }
    for (size_t i = 0; i < hit.highlight_count; i++) {
        free(texts[i]);
    }
    free(texts);
    return is_ok;
}

/* Hands out what a message holds. */
static bool message_give(struct search *search, const struct transport_message *bytes,
                         struct polarys_client_error *err)
{
    Polarys__V1__SearchResponse *message =
        polarys__v1__search_response__unpack(NULL, bytes->size, bytes->bytes);
    bool is_ok = message != NULL;

    POLARYS_ASSERT(!search->is_stopped);
    if (!is_ok) {
        client_error_set(err, POLARYS_CLIENT_INTERNAL, "search: a message cannot be decoded");
        return false;
    }
    if (!search->has_total && message->version != 0) {
        search->has_total = true;
        search->version = message->version;
        search->total = message->total;
    }
    is_ok = client_feed_header_take(&search->feed, message->header, search->version, err);
    for (size_t i = 0; i < message->n_hits && is_ok && !search->is_stopped &&
                       search->returned < search_limit(search);
         i++) {
        is_ok = hit_give(search, message->hits[i], err);
    }
    polarys__v1__search_response__free_unpacked(message, NULL);
    client_feed_progress(&search->feed);
    return is_ok;
}

/* The whole of it, from the first request to the last hit. */
static bool search_loop(struct search *search, struct polarys_client_error *err)
{
    struct transport_message bytes;
    POLARYS_ASSERT(search->returned == 0 && !search->is_stopped);
    bool is_ok = search_send(search, err);

    while (is_ok && !search->is_stopped && search->returned < search_limit(search)) {
        switch (client_feed_next(&search->feed, &bytes, err)) {
        case CLIENT_FEED_MESSAGE:
            is_ok = message_give(search, &bytes, err);
            free(bytes.bytes);
            break;
        case CLIENT_FEED_ENDED:
            return true;
        case CLIENT_FEED_BROKEN:
            is_ok = search_send(search, err);
            break;
        case CLIENT_FEED_FAILED:
            is_ok = search->version == 0 && client_feed_read_reset(&search->feed, &search->read) &&
                    search_send(search, err);
            break;
        }
    }
    return is_ok;
}

bool polarys_client_search(struct polarys_client *client,
                           const struct polarys_client_search_options *options,
                           bool (*each)(void *context, const struct polarys_client_hit *hit),
                           void *context, uint64_t *total, struct polarys_client_error *err)
{
    struct search search = {
        .options = options, .read = options->read, .each = each, .context = context};

    POLARYS_ASSERT(client != NULL);
    POLARYS_ASSERT(options != NULL && each != NULL);
    client_error_clear(err);
    client_feed_init(&search.feed, client, "/polarys.v1.QueryService/Search",
                     client_read_place(&options->read), options->reconnect_ms);
    if (!query_mask_init(&search.mask, options->fields, options->field_count, err)) {
        return false;
    }
    bool is_ok = search_loop(&search, err);
    client_feed_close(&search.feed);
    query_mask_deinit(&search.mask);
    if (is_ok && total != NULL) {
        *total = search.total;
    }
    return is_ok;
}
