/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexes: making, waiting, listing, checking, dropping; statistics.
 *
 * Waiting is done by asking, not within CreateIndex: a build may outlast any call's deadline.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/client_internal.h"
#include "client/polarys_query.h"
#include "polarys/v1/table.pb-c.h"

enum {
    INDEX_POLL_FIRST_MS = 20,
    INDEX_POLL_MS_MAX = 500,
    /* What is kept of the fields of one index; a server gives no more than eight. */
    INDEX_FIELDS_MAX = POLARYS_CLIENT_INDEX_FIELDS_MAX,
};

static Polarys__V1__IndexKind kind_field(enum polarys_client_index_kind kind)
{
    switch (kind) {
    case POLARYS_CLIENT_INDEX_HASH:
        return POLARYS__V1__INDEX_KIND__INDEX_KIND_HASH;
    case POLARYS_CLIENT_INDEX_TEXT:
        return POLARYS__V1__INDEX_KIND__INDEX_KIND_TEXT;
    case POLARYS_CLIENT_INDEX_ORDERED:
    case POLARYS_CLIENT_INDEX_KIND_UNKNOWN:
        break;
    }
    return POLARYS__V1__INDEX_KIND__INDEX_KIND_ORDERED;
}

static void name_take(char to[POLARYS_CLIENT_NAME_MAX + 1], const ProtobufCBinaryData *name)
{
    size_t size = name->len < POLARYS_CLIENT_NAME_MAX ? name->len : POLARYS_CLIENT_NAME_MAX;
    if (size > 0) {
        memcpy(to, name->data, size);
    }
    to[size] = '\0';
}

/* Strings of the message, each with a NUL behind it, in one block. */
struct text_room {
    const char *fields[INDEX_FIELDS_MAX];
    char *block;
    char *at;
};

/* The next text of the block. REQUIRES: the block has room for it. */
static const char *room_text(struct text_room *room, const ProtobufCBinaryData *text)
{
    char *start = room->at;

    POLARYS_ASSERT(room->block != NULL);
    if (text->len > 0) {
        memcpy(start, text->data, text->len);
    }
    start[text->len] = '\0';
    room->at = start + text->len + 1;
    return start;
}

/* Fills `info` from a message; its strings live in `room`, whose block is to be freed. False: no memory. */
static bool index_fill(struct polarys_client_index *info, struct text_room *room,
                       const Polarys__V1__Index *index)
{
    size_t field_count = index->n_fields < INDEX_FIELDS_MAX ? index->n_fields : INDEX_FIELDS_MAX;
    size_t size = index->language.len + index->failure.len + 2;

    for (size_t i = 0; i < field_count; i++) {
        size += index->fields[i].len + 1;
    }
    memset(info, 0, sizeof(*info));
    room->at = room->block = malloc(size);
    if (room->block == NULL) {
        return false;
    }
    for (size_t i = 0; i < field_count; i++) {
        room->fields[i] = room_text(room, &index->fields[i]);
    }
    info->language = room_text(room, &index->language);
    info->failure = room_text(room, &index->failure);
    POLARYS_ASSERT(room->at == room->block + size);
    name_take(info->index, &index->index);
    info->index_id = index->index_id;
    info->kind = (unsigned)index->kind <= POLARYS__V1__INDEX_KIND__INDEX_KIND_TEXT
                     ? (enum polarys_client_index_kind)index->kind
                     : POLARYS_CLIENT_INDEX_KIND_UNKNOWN;
    info->state = (unsigned)index->state <= POLARYS__V1__INDEX_STATE__INDEX_STATE_FAILED
                      ? (enum polarys_client_index_state)index->state
                      : POLARYS_CLIENT_INDEX_STATE_UNKNOWN;
    info->is_unique = index->unique != 0;
    info->field_count = field_count;
    info->fields = room->fields;
    info->created_version = index->create_version;
    info->documents_indexed = index->documents_indexed;
    info->documents_estimated = index->documents_estimated;
    info->entry_count = index->entry_count;
    info->distinct_count = index->distinct_count;
    return true;
}

/* Makes the index without waiting. */
static bool create_send(struct polarys_client *client,
                        const struct polarys_client_index_options *options,
                        char name[POLARYS_CLIENT_NAME_MAX + 1],
                        struct polarys_client_result *result, struct polarys_client_error *err)
{
    Polarys__V1__CreateIndexRequest request = POLARYS__V1__CREATE_INDEX_REQUEST__INIT;
    ProtobufCBinaryData fields[INDEX_FIELDS_MAX];
    struct client_request_id id;

    POLARYS_ASSERT(options->field_count <= INDEX_FIELDS_MAX);
    for (size_t i = 0; i < options->field_count; i++) {
        fields[i] = client_text(options->fields[i]);
    }
    client_request_id_make(&id);
    request.database = client_text(options->database);
    request.table = client_text(options->table);
    request.index = client_text(options->index);
    request.n_fields = options->field_count;
    request.fields = fields;
    request.kind = kind_field(options->kind);
    request.unique = options->is_unique;
    request.language = client_text(options->language);
    request.durability = client_durability(NULL, options->durability);
    request.request_id = client_bytes(id.bytes, id.is_set ? sizeof(id.bytes) : 0);
    struct client_call call = {"/polarys.v1.TableService/CreateIndex", &request.base,
                               &polarys__v1__create_index_response__descriptor,
                               id.is_set ? CLIENT_REPEAT_ALWAYS : CLIENT_REPEAT_REFUSED};
    Polarys__V1__CreateIndexResponse *response =
        (Polarys__V1__CreateIndexResponse *)client_invoke(client, &call, err);
    if (response == NULL) {
        return false;
    }
    bool has_info = response->info != NULL;
    if (has_info) {
        name_take(name, &response->info->index);
        client_result_fill(result, response->header, response->version);
    } else {
        client_error_set(err, POLARYS_CLIENT_INTERNAL, "CreateIndex: the answer has no index");
    }
    polarys__v1__create_index_response__free_unpacked(response, NULL);
    return has_info;
}

bool polarys_client_index_create(struct polarys_client *client,
                                 const struct polarys_client_index_options *options, char *name,
                                 struct polarys_client_result *result,
                                 struct polarys_client_error *err)
{
    char own[POLARYS_CLIENT_NAME_MAX + 1];

    POLARYS_ASSERT(client != NULL);
    POLARYS_ASSERT(options->fields != NULL || options->field_count == 0);
    name = name == NULL ? own : name;
    name[0] = '\0';
    if (options->field_count > INDEX_FIELDS_MAX) {
        client_error_set(err, POLARYS_CLIENT_INVALID_ARGUMENT,
                         "an index has at most %d fields, not %zu", INDEX_FIELDS_MAX,
                         options->field_count);
        client_error_reason_set(err, "BAD_ARGUMENT");
        return false;
    }
    return create_send(client, options, name, result, err) &&
           (!options->waits || polarys_client_index_wait(client, options->database, options->table,
                                                         name, options->wait_ms, err));
}

bool polarys_client_index_drop(struct polarys_client *client, const char *database,
                               const char *table, const char *index,
                               struct polarys_client_result *result,
                               struct polarys_client_error *err)
{
    Polarys__V1__DropIndexRequest request = POLARYS__V1__DROP_INDEX_REQUEST__INIT;
    struct client_request_id id;

    POLARYS_ASSERT(client != NULL);
    client_request_id_make(&id);
    request.database = client_text(database);
    request.table = client_text(table);
    request.index = client_text(index);
    struct client_change change = {{"/polarys.v1.TableService/DropIndex", &request.base,
                                    &polarys__v1__drop_index_response__descriptor,
                                    CLIENT_REPEAT_REFUSED},
                                   &id,
                                   &request.request_id};
    return client_change_invoke(client, &change, result, err);
}

bool polarys_client_index_list(struct polarys_client *client, const char *database,
                               const char *table,
                               bool (*each)(void *context, const struct polarys_client_index *info),
                               void *context, struct polarys_client_error *err)
{
    Polarys__V1__ListIndexesRequest request = POLARYS__V1__LIST_INDEXES_REQUEST__INIT;
    struct polarys_client_index info;
    struct text_room room;
    bool goes_on = true;
    bool is_ok = true;

    POLARYS_ASSERT(each != NULL);
    request.database = client_text(database);
    request.table = client_text(table);
    struct client_call call = {"/polarys.v1.TableService/ListIndexes", &request.base,
                               &polarys__v1__list_indexes_response__descriptor,
                               CLIENT_REPEAT_ALWAYS};
    Polarys__V1__ListIndexesResponse *response =
        (Polarys__V1__ListIndexesResponse *)client_invoke(client, &call, err);
    if (response == NULL) {
        return false;
    }
    for (size_t i = 0; i < response->n_indexes && goes_on && is_ok; i++) {
        is_ok = index_fill(&info, &room, response->indexes[i]);
        goes_on = is_ok && each(context, &info);
        free(room.block);
    }
    if (!is_ok) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for an index");
    }
    polarys__v1__list_indexes_response__free_unpacked(response, NULL);
    return is_ok;
}

/* What a wait looks for and has found. */
struct index_wait {
    const char *index;
    enum polarys_client_index_state state;
    char failure[512];
    uint64_t documents_indexed;
    uint64_t documents_estimated;
    bool is_found;
};

static bool wait_look(void *context, const struct polarys_client_index *info)
{
    struct index_wait *wait = context;

    POLARYS_ASSERT(!wait->is_found);
    if (strcmp(info->index, wait->index) != 0) {
        return true;
    }
    size_t size = strnlen(info->failure, sizeof(wait->failure) - 1);
    memcpy(wait->failure, info->failure, size);
    wait->failure[size] = '\0';
    wait->state = info->state;
    wait->documents_indexed = info->documents_indexed;
    wait->documents_estimated = info->documents_estimated;
    wait->is_found = true;
    return false;
}

/* True: ready. False with an empty reason: not yet; else `err` is what to report. */
static bool wait_judge(const struct index_wait *wait, const char *table,
                       struct polarys_client_error *err)
{
    client_error_clear(err);
    if (!wait->is_found) {
        client_error_set(err, POLARYS_CLIENT_NOT_FOUND, "table \"%s\" has no index \"%s\"", table,
                         wait->index);
        client_error_reason_set(err, "INDEX_NOT_FOUND");
    } else if (wait->state == POLARYS_CLIENT_INDEX_FAILED) {
        client_error_set(err, POLARYS_CLIENT_FAILED_PRECONDITION,
                         "the index \"%s\" could not be built, and should be dropped: %s",
                         wait->index, wait->failure);
        client_error_reason_set(err, "INDEX_FAILED");
    }
    return wait->state == POLARYS_CLIENT_INDEX_READY;
}

bool polarys_client_index_wait(struct polarys_client *client, const char *database,
                               const char *table, const char *index, uint32_t timeout_ms,
                               struct polarys_client_error *err)
{
    struct polarys_client_error own;
    uint64_t start_ms = transport_now_ms();
    uint32_t delay_ms = INDEX_POLL_FIRST_MS;

    POLARYS_ASSERT(client != NULL);
    POLARYS_ASSERT(index != NULL);
    err = err == NULL ? &own : err;
    for (;;) {
        struct index_wait wait = {.index = index};
        if (!polarys_client_index_list(client, database, table, wait_look, &wait, err)) {
            return false;
        }
        if (wait_judge(&wait, table, err) || err->reason[0] != '\0') {
            return err->reason[0] == '\0';
        }
        if (timeout_ms != 0 && transport_now_ms() - start_ms + delay_ms > timeout_ms) {
            client_error_set(err, POLARYS_CLIENT_DEADLINE_EXCEEDED,
                             "the index \"%s\" is still being built: %llu of about %llu documents",
                             index, (unsigned long long)wait.documents_indexed,
                             (unsigned long long)wait.documents_estimated);
            client_error_reason_set(err, "WAIT_TIMEOUT");
            return false;
        }
        transport_sleep_ms(delay_ms);
        delay_ms = delay_ms * 2 < INDEX_POLL_MS_MAX ? delay_ms * 2 : INDEX_POLL_MS_MAX;
    }
}

bool polarys_client_index_check(struct polarys_client *client, const char *database,
                                const char *table, const char *index,
                                struct polarys_client_index_report *check,
                                struct polarys_client_error *err)
{
    Polarys__V1__CheckIndexRequest request = POLARYS__V1__CHECK_INDEX_REQUEST__INIT;

    POLARYS_ASSERT(check != NULL);
    memset(check, 0, sizeof(*check));
    request.database = client_text(database);
    request.table = client_text(table);
    request.index = client_text(index);
    struct client_call call = {"/polarys.v1.TableService/CheckIndex", &request.base,
                               &polarys__v1__check_index_response__descriptor,
                               CLIENT_REPEAT_ALWAYS};
    Polarys__V1__CheckIndexResponse *response =
        (Polarys__V1__CheckIndexResponse *)client_invoke(client, &call, err);
    if (response == NULL) {
        return false;
    }
    size_t size = response->first_fault.len < sizeof(check->first_fault)
                      ? response->first_fault.len
                      : sizeof(check->first_fault) - 1;
    if (size > 0) {
        memcpy(check->first_fault, response->first_fault.data, size);
    }
    check->document_count = response->document_count;
    check->entry_count = response->entry_count;
    check->missing_count = response->missing_count;
    check->stray_count = response->stray_count;
    polarys__v1__check_index_response__free_unpacked(response, NULL);
    return true;
}

bool polarys_client_table_analyze(struct polarys_client *client, const char *database,
                                  const char *table, struct polarys_client_error *err)
{
    Polarys__V1__AnalyzeTableRequest request = POLARYS__V1__ANALYZE_TABLE_REQUEST__INIT;

    POLARYS_ASSERT(client != NULL);
    request.database = client_text(database);
    request.table = client_text(table);
    struct client_call call = {"/polarys.v1.TableService/AnalyzeTable", &request.base,
                               &polarys__v1__analyze_table_response__descriptor,
                               CLIENT_REPEAT_ALWAYS};
    ProtobufCMessage *response = client_invoke(client, &call, err);
    if (response == NULL) {
        return false;
    }
    protobuf_c_message_free_unpacked(response, NULL);
    return true;
}
