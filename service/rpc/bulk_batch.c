/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One batch of a bulk write: its number, its records, its commit. A stream has one commit under
 * way, since the engine promises no order between two; many streams share the syncs of the log. The
 * session's document goes into the same commit.
 */
#include "service/rpc/bulk_stream.h"
#include "service/rpc/operation.h"
#include "service/rpc/writable.h"
#include "service/server/check.h"
#include "service/server/server.h"

/* Leaves the result where the worker finds it. */
static void commit_done(void *context, enum polarys_code code,
                        const struct polarys_write_result *result, const struct polarys_error *err)
{
    struct bulk_stream *stream = context;
    stream->code = code;
    if (code == POLARYS_OK) {
        stream->version = result->version;
    } else {
        stream->commit_error = *err;
    }
    __atomic_store_n(&stream->is_done, 1, __ATOMIC_RELEASE);
    call_post(stream->call);
}

static enum polarys_code number_check(const struct bulk_stream *stream, uint64_t number,
                                      struct polarys_error *err)
{
    if (number == stream->last_number + 1) {
        return POLARYS_OK;
    }
    polarys_fail(err, POLARYS_BAD_ARGUMENT, "`number` is %llu: the session goes on with %llu",
                 (unsigned long long)number, (unsigned long long)stream->last_number + 1);
    polarys_error_detail_set(err, "field", "number");
    polarys_error_detail_set(err, "expected", "%llu", (unsigned long long)stream->last_number + 1);
    return POLARYS_BAD_ARGUMENT;
}

static enum polarys_code records_apply(struct call *call, const Polarys__V1__WriteBatch *batch,
                                       struct polarys_error *err)
{
    if (batch->n_records >= POLARYS_BATCH_OPERATIONS_MAX) {
        polarys_fail(err, POLARYS_TOO_LARGE, "%zu records: a batch has fewer than %d",
                     batch->n_records, POLARYS_BATCH_OPERATIONS_MAX);
        polarys_error_detail_set(err, "limit", "batch_operations_max");
        return POLARYS_TOO_LARGE;
    }
    for (size_t i = 0; i < batch->n_records; i++) {
        enum polarys_code code =
            operation_record_apply(call->batch, call->table, batch->records[i], err);
        if (code != POLARYS_OK) {
            polarys_error_detail_set(err, "record", "%zu", i);
            return polarys_wrap(err, code, "record %zu", i);
        }
    }
    return POLARYS_OK;
}

static enum polarys_code batch_fill(struct bulk_stream *stream,
                                    const Polarys__V1__WriteBatch *batch, struct polarys_error *err)
{
    struct call *call = stream->call;
    enum polarys_code code = writable_check(call->server, err);
    if (code == POLARYS_OK) {
        code = number_check(stream, batch->number, err);
    }
    if (code == POLARYS_OK) {
        code = call_batch_begin(call, err);
    }
    if (code == POLARYS_OK) {
        code = records_apply(call, batch, err);
    }
    if (code == POLARYS_OK) {
        code = bulk_record_put(call->batch, call->table, bulk_session_id(stream->session),
                               batch->number, call->server->config->bulk_session_keep_ms, err);
    }
    return code;
}

void bulk_batch_take(struct bulk_stream *stream, const Polarys__V1__WriteBatch *batch)
{
    struct call *call = stream->call;
    SERVICE_ASSERT(!stream->is_committing);
    if (batch->number != 0 && batch->number <= stream->last_number) {
        bulk_answer_add(stream, bulk_answer_committed(batch->number, stream->last_version),
                        stream->last_version);
        return;
    }
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (batch_fill(stream, batch, &err) != POLARYS_OK) {
        bulk_answer_add(stream, bulk_answer_refused(batch->number, &err), 0);
        return;
    }
    stream->number = batch->number;
    stream->is_committing = true;
    stream->is_done = 0;
    call->worker->has_submitted = true;
    polarys_batch_submit(call->batch, &call->write_options, commit_done, stream);
}
