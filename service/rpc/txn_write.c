/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One or many writes within a transaction. All are checked before the first is done, and conditions
 * are looked at before any write, as a batch does. What can still fail then, in the middle of many,
 * leaves a part that can't be taken out of the transaction: it is rolled back, and the error says
 * so.
 */
#include "service/rpc/txn_write.h"

#include "service/rpc/operation.h"
#include "service/rpc/response.h"
#include "service/rpc/txn_call.h"
#include "service/server/check.h"
#include "service/server/dispatch.h"
#include "service/server/server.h"

struct txn_write {
    struct polarys_transact_operation operation;
    struct polarys_precondition condition;
    bool has_condition;
    bool must_exist;
    bool is_nothing; /* a range that no key can be in */
};

/* What the call writes, in its arena; call->state. */
struct txn_writes {
    struct txn_write *list;
    size_t count;
    size_t conditions_done;
    size_t done;
};

static void *room_get(struct call *call, size_t size)
{
    call->arena.budget += size + PROTO_ARENA_FIRST_BYTES;
    void *room = proto_arena_alloc(&call->arena, size);
    if (room == NULL) {
        polarys_fail(&call->error, POLARYS_MEMORY_LIMIT, "no memory for the writes of a call");
    }
    return room;
}

static struct txn_writes *writes_create(struct call *call, size_t count)
{
    struct txn_writes *writes = room_get(call, sizeof(*writes));
    struct txn_write *list = writes == NULL ? NULL : room_get(call, count * sizeof(*list));
    if (list == NULL) {
        return NULL;
    }
    memset(list, 0, count * sizeof(*list));
    *writes = (struct txn_writes){.list = list, .count = count};
    call->state = writes;
    return writes;
}

/* The end of a range may lie on the stack, in a room of the longest key; a batch may have many. */
static enum polarys_code end_keep(struct call *call, struct polarys_transact_operation *operation)
{
    SERVICE_ASSERT(operation->kind == POLARYS_TRANSACT_DELETE_RANGE);
    SERVICE_ASSERT(operation->end.size <= POLARYS_KEY_BYTES_MAX);
    if (operation->end.size == 0) {
        return POLARYS_OK;
    }
    uint8_t *kept = room_get(call, operation->end.size);
    if (kept == NULL) {
        return POLARYS_MEMORY_LIMIT;
    }
    memcpy(kept, operation->end.data, operation->end.size);
    operation->end.data = kept;
    return POLARYS_OK;
}

static enum polarys_code write_take(struct call *call, const Polarys__V1__WriteOperation *from,
                                    const char *table, struct txn_write *write)
{
    struct polarys_error *err = &call->error;
    bool is_range = from->operation_case == POLARYS__V1__WRITE_OPERATION__OPERATION_DELETE_RANGE;
    struct operation_range range;
    enum polarys_code code = operation_write_take(from, &range, &write->operation, err);
    write->operation.table = table;
    write->is_nothing = range.is_empty;
    if (code == POLARYS_OK && is_range) {
        code = end_keep(call, &write->operation);
    }
    if (code == POLARYS_OK) {
        code = operation_condition_take(from->precondition, &write->condition,
                                        &write->has_condition, err);
    }
    if (code == POLARYS_OK && is_range && write->has_condition) {
        return operation_bad(err, "precondition", "must be unset on a range");
    }
    if (code != POLARYS_OK || is_range) {
        return code;
    }
    if (write->operation.key.size == 0 || write->operation.key.size > POLARYS_KEY_BYTES_MAX) {
        polarys_fail(err, POLARYS_BAD_KEY, "a key has 1 to %d bytes", POLARYS_KEY_BYTES_MAX);
        polarys_error_detail_set(err, "limit", "%d", POLARYS_KEY_BYTES_MAX);
        return POLARYS_BAD_KEY;
    }
    bool is_json = write->operation.kind == POLARYS_TRANSACT_UPDATE ||
                   (write->operation.kind == POLARYS_TRANSACT_PUT &&
                    write->operation.value.kind == POLARYS_VALUE_JSON);
    return is_json ? polarys_json_check(write->operation.value.bytes, err) : POLARYS_OK;
}

static enum polarys_code conditions_check(struct call *call, const struct txn_write *write,
                                          unsigned flags, struct polarys_error *err)
{
    static const struct polarys_precondition is_there = {.kind = POLARYS_PRECONDITION_MUST_EXIST};
    const struct polarys_transact_operation *operation = &write->operation;
    enum polarys_code code = POLARYS_OK;
    if (write->has_condition) {
        code = polarys_txn_require(call->txn, operation->table, operation->key, &write->condition,
                                   flags, err);
    }
    if (code == POLARYS_OK && write->must_exist) {
        code =
            polarys_txn_require(call->txn, operation->table, operation->key, &is_there, flags, err);
    }
    return code;
}

static enum polarys_code write_do(struct call *call, const struct txn_write *write, unsigned flags,
                                  struct polarys_error *err)
{
    const struct polarys_transact_operation *operation = &write->operation;
    struct polarys_txn *txn = call->txn;
    SERVICE_ASSERT(txn != NULL && operation->table != NULL);
    switch (operation->kind) {
    case POLARYS_TRANSACT_PUT:
        return polarys_txn_put(txn, operation->table, operation->key, &operation->value, flags,
                               err);
    case POLARYS_TRANSACT_UPDATE: {
        struct polarys_value patch = operation->value;
        patch.expires_at_ms = operation->update_expires_at_ms;
        return polarys_txn_update(txn, operation->table, operation->key, &patch, flags, err);
    }
    case POLARYS_TRANSACT_DELETE:
        return polarys_txn_delete(txn, operation->table, operation->key, flags, NULL, err);
    default:
        if (write->is_nothing) {
            struct polarys_table_info info;
            return polarys_table_get(call->server->db, call->database, operation->table, &info,
                                     err);
        }
        return polarys_txn_delete_range(txn, operation->table, operation->key, operation->end,
                                        flags, err);
    }
}

/* Part of the writes is done and the rest is not: only rolling back leaves nothing half done. */
static void part_undo(struct call *call, size_t done)
{
    struct polarys_error ignored = POLARYS_ERROR_INIT;
    if (done > 0 && polarys_txn_rollback(call->txn, &ignored) == POLARYS_OK) {
        polarys_error_detail_set(&call->error, "transaction", "rolled_back");
    }
}

static bool writes_failed(struct call *call, enum polarys_code code, size_t place)
{
    const struct txn_writes *writes = call->state;
    SERVICE_ASSERT(place < writes->count);
    /* What was sent is checked by now: it is the patched document, or a transaction that only
     * reads. */
    bool is_update = writes->list[place].operation.kind == POLARYS_TRANSACT_UPDATE;
    call->field_hint = is_update ? "json_patch" : "transaction";
    if (writes->count > 1) {
        polarys_error_detail_set(&call->error, "operation", "%zu", place);
        (void)polarys_wrap(&call->error, code, "operation %zu", place);
    }
    part_undo(call, writes->done);
    call->key = writes->list[place].operation.key;
    call_fail_own(call, code);
    return true;
}

/* False: WOULD_BLOCK. Otherwise the call is answered. */
static bool writes_run(struct call *call, unsigned flags)
{
    struct txn_writes *writes = call->state;
    struct polarys_error *err = &call->error;
    enum polarys_code code = POLARYS_OK;
    /* No write before the last condition: what is refused leaves nothing to take back. */
    SERVICE_ASSERT(writes->done == 0 || writes->conditions_done == writes->count);
    while (code == POLARYS_OK && writes->conditions_done < writes->count) {
        code = conditions_check(call, &writes->list[writes->conditions_done], flags, err);
        writes->conditions_done += code == POLARYS_OK ? 1 : 0;
    }
    if (code != POLARYS_OK && code != POLARYS_WOULD_BLOCK) {
        return writes_failed(call, code, writes->conditions_done);
    }
    while (code == POLARYS_OK && writes->done < writes->count) {
        code = write_do(call, &writes->list[writes->done], flags, err);
        writes->done += code == POLARYS_OK ? 1 : 0;
    }
    if (code == POLARYS_WOULD_BLOCK) {
        polarys_error_clear(err);
        return false;
    }
    if (code != POLARYS_OK) {
        return writes_failed(call, code, writes->done);
    }
    call_reply(call, response_uncommitted(call->server));
    return true;
}

static void writes_locked(struct call *call)
{
    txn_call_run(call, writes_run);
}

/* Locks what will be written, then writes. */
static void writes_begin(struct call *call)
{
    const struct txn_writes *writes = call->state;
    struct polarys_lock_wanted *locks = NULL;
    size_t count = 0;
    if (call->is_txn_locking) {
        locks = room_get(call, writes->count * sizeof(*locks));
        if (locks == NULL) {
            call_fail(call, &call->error);
            return;
        }
    }
    for (size_t i = 0; call->is_txn_locking && i < writes->count; i++) {
        const struct polarys_transact_operation *operation = &writes->list[i].operation;
        if (!writes->list[i].is_nothing) {
            locks[count++] = (struct polarys_lock_wanted){
                .table = operation->table,
                .start = operation->key,
                .end = operation->end,
                .is_key = operation->kind != POLARYS_TRANSACT_DELETE_RANGE,
                .mode = POLARYS_LOCK_EXCLUSIVE,
            };
        }
    }
    txn_call_lock(call, locks, count, writes_locked);
}

void txn_write_one(struct call *call, const Polarys__V1__WriteOperation *operation, bool must_exist)
{
    struct txn_writes *writes = writes_create(call, 1);
    enum polarys_code code = POLARYS_MEMORY_LIMIT;
    if (writes != NULL) {
        code = write_take(call, operation, call->table, &writes->list[0]);
        writes->list[0].must_exist = must_exist;
    }
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    writes_begin(call);
}

/* The table of one operation: the call's, or one of its own, authorized. */
static enum polarys_code table_take(struct call *call, const Polarys__V1__WriteOperation *operation,
                                    const char **table)
{
    struct polarys_error *err = &call->error;
    *table = call->table;
    if (operation->table.len == 0) {
        return call->table[0] != '\0'
                   ? POLARYS_OK
                   : operation_bad(err, "table",
                                   "neither the batch nor the operation names a table");
    }
    char *name = room_get(call, POLARYS_NAME_BYTES_MAX + 1);
    if (name == NULL) {
        return POLARYS_MEMORY_LIMIT;
    }
    *table = name;
    enum polarys_code code = dispatch_name_take(operation->table, "table", name, err);
    if (code != POLARYS_OK) {
        return code;
    }
    struct authorize_resource resource = {call->database, name};
    return authorize(call, AUTHORIZE_WRITE, &resource, err);
}

void txn_write_batch(struct call *call)
{
    const Polarys__V1__BatchWriteRequest *request = call->request;
    struct txn_writes *writes = writes_create(call, request->n_operations);
    if (writes == NULL) {
        call_fail_own(call, POLARYS_MEMORY_LIMIT);
        return;
    }
    for (size_t i = 0; i < request->n_operations; i++) {
        const char *table;
        enum polarys_code code = table_take(call, request->operations[i], &table);
        if (code == POLARYS_OK) {
            code = write_take(call, request->operations[i], table, &writes->list[i]);
        }
        if (code != POLARYS_OK) {
            polarys_error_detail_set(&call->error, "operation", "%zu", i);
            (void)polarys_wrap(&call->error, code, "operation %zu", i);
            call_fail_own(call, code);
            return;
        }
    }
    writes_begin(call);
}
