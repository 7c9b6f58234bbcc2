/* SPDX-License-Identifier: Apache-2.0 */
/*
 * KvService.ListDocuments: a page a call, every page at the version of the first, which history
 * keeps. From memory on the worker, else on an executor thread.
 */
#include "polarys/v1/kv.pb-c.h"
#include "service/proto/wire.h"
#include "service/rpc/handlers.h"
#include "service/rpc/page_token.h"
#include "service/rpc/scan_reader.h"
#include "service/rpc/txn_call.h"
#include "service/server/check.h"
#include "service/server/server.h"

enum { LIST_FIELD_NEXT_PAGE_TOKEN = 4, PAGE_SIZE_DEFAULT = 100 };

static uint64_t list_digest(const struct call *call)
{
    const Polarys__V1__ListDocumentsRequest *request = call->request;
    return page_token_digest(call, request->range, request->reverse, request->keys_only);
}

static void page_send(struct call *call, bool has_more)
{
    struct scan_reader *reader = call->state;
    scan_reader_message_begin(call, reader);
    if (has_more) {
        struct page_token token = {
            .version = reader->version,
            .request_digest = list_digest(call),
            .last_key = slice_make(reader->last_key, reader->last_key_size),
        };
        uint8_t bytes[PAGE_TOKEN_MAX];
        char text[PAGE_TOKEN_TEXT_MAX];
        size_t size = page_token_encode(call, &token, bytes);
        size = page_token_text_encode(slice_make(bytes, size), text);
        reader->at = wire_bytes_put(reader->at, LIST_FIELD_NEXT_PAGE_TOKEN, slice_make(text, size));
    }
    call_reply(call, scan_reader_message_take(reader));
}

/* False when files are needed and may not be read; otherwise the call is answered. */
static bool page_try(struct call *call)
{
    struct scan_reader *reader = call->state;
    enum scan_result result;
    do {
        result = scan_reader_fill(call, reader);
    } while (result == SCAN_YIELD);
    switch (result) {
    case SCAN_BLOCKED:
        return false;
    case SCAN_FAILED:
        call_fail(call, &call->error);
        return true;
    case SCAN_CANCELLED:
    case SCAN_TIME:
        if (reader->documents_in_message == 0) {
            polarys_fail(&call->error,
                         server_phase_get(call->server) >= SERVER_STOPPING ? POLARYS_DRAINING
                                                                           : POLARYS_WAIT_TIMEOUT,
                         "the page could not be read in time");
            call_fail(call, &call->error);
            return true;
        }
        page_send(call, true);
        return true;
    default:
        page_send(call, result != SCAN_END_OF_RANGE);
        return true;
    }
}

static void page_from_files(void *context)
{
    struct call *call = context;
    scan_reader_files_allow(call->state, true);
    bool is_answered = page_try(call);
    SERVICE_ASSERT(is_answered);
}

static enum polarys_code token_take(struct call *call, struct page_token *token, uint8_t *bytes,
                                    struct polarys_error *err)
{
    const Polarys__V1__ListDocumentsRequest *request = call->request;
    struct polarys_slice text = slice_make(request->page_token.data, request->page_token.len);
    size_t size;
    if (text.size == 0) {
        return POLARYS_OK;
    }
    if (!page_token_text_decode(text, bytes, &size)) {
        size = 0; /* refused as any other token that is none */
    }
    enum polarys_code code =
        page_token_decode(call, slice_make(bytes, size), "page_token", token, err);
    if (code == POLARYS_OK && call->txn == NULL) {
        call->read_version = token->version;
    }
    return code;
}

static enum polarys_code list_open(struct call *call, struct polarys_error *err)
{
    const Polarys__V1__ListDocumentsRequest *request = call->request;
    struct scan_reader *reader;
    uint8_t bytes[PAGE_TOKEN_MAX];
    struct page_token token = {.request_digest = list_digest(call)};
    enum polarys_code code = token_take(call, &token, bytes, err);
    if (code == POLARYS_OK) {
        code = scan_reader_create(call, &reader, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    reader->is_page = true;
    reader->has_values = !request->keys_only;
    reader->limit = request->page_size == 0 ? PAGE_SIZE_DEFAULT : request->page_size;
    if (reader->limit > call->server->config->page_size_max) {
        reader->limit = call->server->config->page_size_max;
    }
    code = scan_reader_open(call, reader, request->range, request->reverse, token.last_key, err);
    if (code == POLARYS_HISTORY_PRUNED && request->page_token.len > 0) {
        return polarys_fail(err, POLARYS_CURSOR_EXPIRED,
                            "version %llu of the first page is not kept any more: begin again",
                            (unsigned long long)token.version);
    }
    return code;
}

static void list_begin(struct call *call)
{
    enum polarys_code code = list_open(call, &call->error);
    if (code == POLARYS_WOULD_BLOCK && call->txn != NULL) {
        polarys_error_clear(&call->error);
        txn_call_await(call, list_begin);
        return;
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    if (!page_try(call)) {
        call_execute(call, page_from_files);
    }
}

void kv_list_documents(struct call *call)
{
    const Polarys__V1__ListDocumentsRequest *request = call->request;
    scan_reader_lock(call, request->range, list_begin);
}
