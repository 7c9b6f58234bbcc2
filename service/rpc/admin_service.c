/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What AdminService tells and what it sets: server information, log level, drain. Status is in
 * admin_status.c, work on files in admin_files.c.
 */
#include <stdio.h>

#include "engine/engine_index.h"
#include "engine/engine_query.h"
#include "engine/engine_txn.h"
#include "polarys/v1/admin.pb-c.h"
#include "service/rpc/handlers.h"
#include "service/rpc/operation.h"
#include "service/rpc/response.h"
#include "service/server/check.h"
#include "service/server/server.h"

enum { LIMITS_MAX = CONFIG_SETTINGS_MAX + 48, INFO_FORMATS_MAX = 16, DRAIN_SECONDS_MAX = 3600 };

static ProtobufCBinaryData text_borrow(const char *text)
{
    ProtobufCBinaryData bytes = {strlen(text), (uint8_t *)(uintptr_t)text};
    return bytes;
}

/* Limits that are no settings. */
struct fixed_limit {
    const char *name;
    uint64_t value;
    const char *unit;
    const char *text;
};

static const struct fixed_limit fixed_limits[] = {
    {"key_bytes_max", POLARYS_KEY_BYTES_MAX, "bytes", "size of a key"},
    {"name_bytes_max", POLARYS_NAME_BYTES_MAX, "bytes", "size of the name of a database or table"},
    {"batch_operations_max", POLARYS_BATCH_OPERATIONS_MAX, "count", "operations of one batch"},
    {"batch_bytes_max", POLARYS_BATCH_BYTES_MAX, "bytes", "size of one commit"},
    {"field_path_bytes_max", 1024, "bytes", "size of the path of a field"},
    {"stream_message_bytes", 1 << 20, "bytes",
     "documents of one message of a stream, or one larger"},
    {"token_bytes_max", 128, "bytes", "size of a token of an answer's header"},
    {"page_token_bytes_max", 8192, "bytes", "size of a page or resume token"},
    {"transactions_max", POLARYS_TXNS_MAX, "count", "transactions open at once"},
    {"transaction_bytes_max", POLARYS_TXN_BYTES_MAX, "bytes",
     "what one transaction may have read and written"},
    {"transaction_reads_max", POLARYS_TXN_READS_MAX, "count",
     "keys and ranges that one transaction may read"},
    {"transaction_timeout_max", POLARYS_TXN_TIMEOUT_MAX_MS, "ms",
     "each of the timeouts of a transaction"},
    {"transact_operations_max", POLARYS_TRANSACT_OPERATIONS_MAX, "count",
     "comparisons and operations of one Transact"},
    {"indexes_per_table_max", POLARYS_INDEXES_PER_TABLE_MAX, "count", "indexes of one table"},
    {"index_fields_max", POLARYS_INDEX_FIELDS_MAX, "count", "fields of one index"},
    {"index_entries_max", POLARYS_INDEX_ENTRIES_MAX, "count",
     "entries that one document has in an index"},
    {"index_key_bytes_max", POLARYS_INDEX_KEY_BYTES_MAX, "bytes",
     "what of a document an ordered or unique index holds"},
    {"filter_bytes_max", POLARYS_FILTER_BYTES_MAX, "bytes", "size of a filter"},
    {"filter_terms_max", POLARYS_FILTER_TERMS_MAX, "count", "terms of a filter"},
    {"filter_depth_max", POLARYS_FILTER_DEPTH_MAX, "count", "nesting of a filter"},
    {"order_fields_max", POLARYS_ORDER_FIELDS_MAX, "count", "fields that a query is ordered by"},
    {"mask_fields_max", POLARYS_MASK_FIELDS_MAX, "count", "paths of a read mask"},
    {"cursor_bytes_max", POLARYS_CURSOR_BYTES_MAX, "bytes", "size of a cursor of a query"},
    {"query_memory_max", POLARYS_QUERY_MEMORY_DEFAULT, "bytes",
     "memory that sorting one answer may take"},
    {"search_window_max", 10000, "count", "offset and limit of a search together"},
    {"transact_answer_bytes", 3 << 20, "bytes",
     "documents of one answer of Transact, or one larger"},
};

struct info_lists {
    Polarys__V1__Limit limits[LIMITS_MAX];
    Polarys__V1__Limit *limit_pointers[LIMITS_MAX];
    size_t limit_count;
};

static void limit_add(struct info_lists *lists, const char *name, uint64_t value, const char *unit,
                      const char *text)
{
    SERVICE_ASSERT(lists->limit_count < LIMITS_MAX);
    Polarys__V1__Limit *limit = &lists->limits[lists->limit_count];
    polarys__v1__limit__init(limit);
    limit->name = text_borrow(name);
    limit->value = value;
    limit->unit = text_borrow(unit);
    limit->description = text_borrow(text);
    lists->limit_pointers[lists->limit_count++] = limit;
}

static void limits_collect(const struct server *server, struct info_lists *lists)
{
    lists->limit_count = 0;
    for (size_t i = 0; i < sizeof(fixed_limits) / sizeof(fixed_limits[0]); i++) {
        limit_add(lists, fixed_limits[i].name, fixed_limits[i].value, fixed_limits[i].unit,
                  fixed_limits[i].text);
    }
    limit_add(lists, "request_bytes_max", server->request_bytes_max, "bytes",
              "size of one request");
    size_t count;
    const struct config_setting *settings = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        if (settings[i].is_published) {
            limit_add(lists, settings[i].name, config_number_get(server->config, &settings[i]),
                      config_unit(&settings[i]), settings[i].help);
        }
    }
}

/* The formats of files as messages. Not to be moved once collected. */
struct info_formats {
    size_t count;
    Polarys__V1__FormatVersion messages[INFO_FORMATS_MAX];
    Polarys__V1__FormatVersion *pointers[INFO_FORMATS_MAX];
};

static void formats_collect(struct info_formats *formats)
{
    const struct polarys_format *known;
    formats->count = polarys_format_list(&known);
    SERVICE_ASSERT(formats->count <= INFO_FORMATS_MAX);
    for (size_t i = 0; i < formats->count; i++) {
        Polarys__V1__FormatVersion *message = &formats->messages[i];
        polarys__v1__format_version__init(message);
        message->name = text_borrow(known[i].name);
        message->version = known[i].version;
        message->oldest_readable_version = known[i].oldest_readable_version;
        formats->pointers[i] = message;
    }
}

void admin_get_server_info(struct call *call)
{
    static const char *const feature_names[] = {
        "bulk_write",   "export",  "preconditions", "snapshots", "reflection", "health", "transact",
        "transactions", "indexes", "query",         "search",    "explain",    "watch"};
    enum { FEATURES = sizeof(feature_names) / sizeof(feature_names[0]) };
    struct server *server = call->server;
    call->arena.budget += sizeof(struct info_lists) + PROTO_ARENA_FIRST_BYTES;
    struct info_lists *lists = proto_arena_alloc(&call->arena, sizeof(*lists));
    if (lists == NULL) {
        call_fail_own(call, POLARYS_MEMORY_LIMIT);
        return;
    }
    limits_collect(server, lists);
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    Google__Protobuf__Timestamp start;
    response_time_fill(server->start_wall_ms, &start);
    struct info_formats formats;
    formats_collect(&formats);
    ProtobufCBinaryData features[FEATURES];
    for (size_t i = 0; i < FEATURES; i++) {
        features[i] = text_borrow(feature_names[i]);
    }
    char address[CONFIG_TEXT_MAX];
    char host[CONFIG_TEXT_MAX];
    uint16_t port;
    if (config_address_split(server->config->listen, host, &port, &call->error) != POLARYS_OK) {
        call_fail(call, &call->error);
        return;
    }
    (void)snprintf(address, sizeof(address),
                   strchr(host, ':') == NULL ? "%.900s:%u" : "[%.900s]:%u", host, server->port);

    Polarys__V1__GetServerInfoResponse response = POLARYS__V1__GET_SERVER_INFO_RESPONSE__INIT;
    response.header = &header;
    response.program_version = text_borrow(polarys_version_text());
    response.n_formats = formats.count;
    response.formats = formats.pointers;
    response.n_limits = lists->limit_count;
    response.limits = lists->limit_pointers;
    response.n_features = FEATURES;
    response.features = features;
    response.listen_address = text_borrow(address);
    response.start_time = &start;
    call_reply(call, response_pack(&response.base));
}

void admin_set_log_level(struct call *call)
{
    const Polarys__V1__SetLogLevelRequest *request = call->request;
    enum polarys_log_level before = polarys_log_level_get();
    if (request->level < POLARYS__V1__LOG_LEVEL__LOG_LEVEL_DEBUG ||
        request->level > POLARYS__V1__LOG_LEVEL__LOG_LEVEL_ERROR) {
        call_fail_own(call,
                      operation_bad(&call->error, "level", "must be DEBUG, INFO, WARN or ERROR"));
        return;
    }
    polarys_log_level_set((enum polarys_log_level)(request->level - 1));
    polarys_log(POLARYS_LOG_WARN, "admin", "log level set to %d by a call (0 debug, 3 error)",
                (int)request->level - 1);
    Polarys__V1__SetLogLevelResponse response = POLARYS__V1__SET_LOG_LEVEL_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(call->server, polarys_db_version(call->server->db), token, &header);
    response.header = &header;
    response.previous_level = (Polarys__V1__LogLevel)(before + 1);
    call_reply(call, response_pack(&response.base));
}

void admin_drain(struct call *call)
{
    const Polarys__V1__DrainRequest *request = call->request;
    struct server *server = call->server;
    uint64_t grace_ms = server->config->drain_grace_ms;
    if (request->grace != NULL) {
        const Google__Protobuf__Duration *grace = request->grace;
        if (grace->seconds < 0 || grace->seconds > DRAIN_SECONDS_MAX || grace->nanos < 0 ||
            grace->nanos > 999999999) {
            call_fail_own(call,
                          operation_bad(&call->error, "grace", "must be within 0 and 1 hour"));
            return;
        }
        grace_ms = (uint64_t)grace->seconds * 1000 + (uint64_t)grace->nanos / 1000000;
    }
    server->control.drain(server->control.context, grace_ms);
    Polarys__V1__DrainResponse response = POLARYS__V1__DRAIN_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    response.header = &header;
    call_reply(call, response_pack(&response.base));
}
