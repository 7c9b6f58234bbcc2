/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ListDatabases and ListTables, a page a call. A page token is the last name given, so that a list
 * goes on rightly whatever was created or dropped between two pages.
 */
#include <stdio.h>
#include <stdlib.h>

#include "polarys/v1/table.pb-c.h"
#include "service/rpc/consistency.h"
#include "service/rpc/handlers.h"
#include "service/rpc/operation.h"
#include "service/rpc/response.h"
#include "service/rpc/table_message.h"
#include "service/server/check.h"
#include "service/server/server.h"

enum { PAGE_SIZE_DEFAULT = 100 };

bool table_name_is_hidden(const char *name)
{
    return strncmp(name, "polarys.", 8) == 0;
}

static ProtobufCBinaryData text_borrow(const char *text)
{
    ProtobufCBinaryData bytes = {strlen(text), (uint8_t *)(uintptr_t)text};
    return bytes;
}

void table_database_make(const struct polarys_database_info *info, struct table_database *made)
{
    polarys__v1__database__init(&made->message);
    (void)snprintf(made->name, sizeof(made->name), "%s", info->database);
    made->message.database = text_borrow(made->name);
    made->message.database_id = info->database_id;
    made->message.create_version = info->created_version;
    if (info->created_time_unix_ms != 0) {
        response_time_fill(info->created_time_unix_ms, &made->time);
        made->message.create_time = &made->time;
    }
}

void table_table_make(const struct polarys_table_info *info, struct table_table *made)
{
    polarys__v1__table__init(&made->message);
    made->info = *info;
    made->message.database = text_borrow(made->info.database);
    made->message.table = text_borrow(made->info.table);
    made->message.table_id = info->table_id;
    made->message.create_version = info->created_version;
    if (info->created_time_unix_ms != 0) {
        response_time_fill(info->created_time_unix_ms, &made->time);
        made->message.create_time = &made->time;
    }
}

/* One page under way. */
struct page {
    struct call *call;
    uint64_t version;                       /* what was created later is not shown */
    char after[POLARYS_NAME_BYTES_MAX + 1]; /* names up to it were given before */
    size_t size_max;
    size_t count;
    bool has_more;
    bool is_out_of_memory;
    void **messages; /* what the response lists */
    ProtobufCBinaryData last;
};

static enum polarys_code page_begin(struct page *page, struct call *call, uint32_t page_size,
                                    ProtobufCBinaryData token, struct polarys_error *err)
{
    *page = (struct page){.call = call, .version = consistency_version(call)};
    if (token.len > POLARYS_NAME_BYTES_MAX ||
        (token.len > 0 && !polarys_name_is_valid((const char *)token.data, token.len))) {
        return polarys_fail(err, POLARYS_BAD_PAGE_TOKEN,
                            "`page_token` is not a `next_page_token` of this list");
    }
    memcpy(page->after, token.len > 0 ? (const char *)token.data : "", token.len);
    page->size_max = page_size == 0 ? PAGE_SIZE_DEFAULT : page_size;
    if (page->size_max > call->server->config->page_size_max) {
        page->size_max = call->server->config->page_size_max;
    }
    size_t bytes = page->size_max * (sizeof(void *) + sizeof(struct table_table) + 64);
    call->arena.budget = call->arena.taken + bytes + PROTO_ARENA_BUDGET_BASE;
    page->messages = proto_arena_alloc(&call->arena, page->size_max * sizeof(void *));
    if (page->messages == NULL) {
        return polarys_fail(err, POLARYS_MEMORY_LIMIT, "no memory for a page of %zu names",
                            page->size_max);
    }
    return POLARYS_OK;
}

/* Memory for one more entry called `name`; NULL when it is not on the page. *goes_on: whether to
 * look on. */
static void *page_slot(struct page *page, const char *name, uint64_t created_version, size_t size,
                       bool *goes_on)
{
    *goes_on = true;
    if (strcmp(name, page->after) <= 0 || table_name_is_hidden(name) ||
        created_version > page->version) {
        return NULL;
    }
    if (page->count == page->size_max) {
        page->has_more = true;
        *goes_on = false;
        return NULL;
    }
    void *slot = proto_arena_alloc(&page->call->arena, size);
    if (slot == NULL) {
        page->is_out_of_memory = true;
        *goes_on = false;
    }
    return slot;
}

static bool database_add(void *context, const struct polarys_database_info *info)
{
    struct page *page = context;
    bool goes_on;
    struct table_database *slot =
        page_slot(page, info->database, info->created_version, sizeof(*slot), &goes_on);
    if (slot != NULL) {
        table_database_make(info, slot);
        page->messages[page->count++] = &slot->message;
        page->last = slot->message.database;
    }
    return goes_on;
}

static bool table_add(void *context, const struct polarys_table_info *info)
{
    struct page *page = context;
    bool goes_on;
    struct table_table *slot =
        page_slot(page, info->table, info->created_version, sizeof(*slot), &goes_on);
    if (slot != NULL) {
        table_table_make(info, slot);
        page->messages[page->count++] = &slot->message;
        page->last = slot->message.table;
    }
    return goes_on;
}

static enum polarys_code page_check(const struct page *page, enum polarys_code code,
                                    struct polarys_error *err)
{
    if (code == POLARYS_OK && page->is_out_of_memory) {
        return polarys_fail(err, POLARYS_MEMORY_LIMIT, "no memory for a page of %zu names",
                            page->size_max);
    }
    return code;
}

void table_list_databases(struct call *call)
{
    const Polarys__V1__ListDatabasesRequest *request = call->request;
    uint64_t version = consistency_version(call);
    struct page page;
    enum polarys_code code =
        page_begin(&page, call, request->page_size, request->page_token, &call->error);
    if (code == POLARYS_OK) {
        code = polarys_database_list(call->server->db, database_add, &page, &call->error);
        code = page_check(&page, code, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__ListDatabasesResponse response = POLARYS__V1__LIST_DATABASES_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(call->server, version, token, &header);
    response.header = &header;
    response.version = version;
    response.n_databases = page.count;
    response.databases = (Polarys__V1__Database **)page.messages;
    if (page.has_more) {
        response.next_page_token = page.last;
    }
    call_reply(call, response_pack(&response.base));
}

void table_list_tables(struct call *call)
{
    const Polarys__V1__ListTablesRequest *request = call->request;
    uint64_t version = consistency_version(call);
    struct page page;
    enum polarys_code code =
        page_begin(&page, call, request->page_size, request->page_token, &call->error);
    if (code == POLARYS_OK) {
        code = polarys_table_list(call->server->db, call->database, table_add, &page, &call->error);
        code = page_check(&page, code, &call->error);
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    Polarys__V1__ListTablesResponse response = POLARYS__V1__LIST_TABLES_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(call->server, version, token, &header);
    response.header = &header;
    response.version = version;
    response.n_tables = page.count;
    response.tables = (Polarys__V1__Table **)page.messages;
    if (page.has_more) {
        response.next_page_token = page.last;
    }
    call_reply(call, response_pack(&response.base));
}
