/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QueryService.Explain, on an executor thread. The plan is borrowed for the engine's callback, so
 * the answer is packed inside and sent after it.
 */
#include "polarys/v1/query.pb-c.h"
#include "service/rpc/consistency.h"
#include "service/rpc/handlers.h"
#include "service/rpc/query_request.h"
#include "service/rpc/response.h"
#include "service/rpc/stop.h"
#include "service/rpc/txn_call.h"
#include "service/server/check.h"

enum { STEPS_MAX = 10000 /* of a plan and of those that were rejected, each */ };

static ProtobufCBinaryData text_borrow(const char *text)
{
    ProtobufCBinaryData bytes = {text == NULL ? 0 : strlen(text), (uint8_t *)(uintptr_t)text};
    return bytes;
}

/* call->state while the engine explains. */
struct explain {
    grpc_slice answer;
    bool is_packed;
};

/* One step with what it points to. */
struct step {
    Polarys__V1__PlanStep message;
    Google__Protobuf__Duration time;
};

static bool steps_make(struct call *call, const struct polarys_plan *plan,
                       Polarys__V1__ExplainResponse *response)
{
    size_t count = plan->step_count;
    if (count > STEPS_MAX) {
        return false;
    }
    call->arena.budget += count * (sizeof(struct step) + sizeof(void *)) + PROTO_ARENA_FIRST_BYTES;
    struct step *steps = proto_arena_alloc(&call->arena, count * sizeof(*steps) + 1);
    Polarys__V1__PlanStep **pointers =
        proto_arena_alloc(&call->arena, count * sizeof(*pointers) + 1);
    if (steps == NULL || pointers == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct polarys_plan_step *from = &plan->steps[i];
        Polarys__V1__PlanStep *to = &steps[i].message;
        polarys__v1__plan_step__init(to);
        to->depth = from->depth;
        to->operation = text_borrow(from->operation);
        to->index = text_borrow(from->index);
        to->detail = text_borrow(from->detail);
        to->estimated_rows = from->estimated_rows;
        to->estimated_cost = from->estimated_cost;
        if (plan->was_run) {
            to->actual_rows = from->actual_rows;
            response_duration_fill(from->actual_ns, &steps[i].time);
            to->actual_time = &steps[i].time;
        }
        pointers[i] = to;
    }
    response->n_steps = count;
    response->steps = pointers;
    return true;
}

static bool rejected_make(struct call *call, const struct polarys_plan *plan,
                          Polarys__V1__ExplainResponse *response)
{
    size_t count = plan->rejected_count;
    if (count > STEPS_MAX) {
        return false;
    }
    call->arena.budget +=
        count * (sizeof(Polarys__V1__RejectedPlan) + sizeof(void *)) + PROTO_ARENA_FIRST_BYTES;
    Polarys__V1__RejectedPlan *plans = proto_arena_alloc(&call->arena, count * sizeof(*plans) + 1);
    Polarys__V1__RejectedPlan **pointers =
        proto_arena_alloc(&call->arena, count * sizeof(*pointers) + 1);
    if (plans == NULL || pointers == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct polarys_plan_step *from = &plan->rejected[i];
        polarys__v1__rejected_plan__init(&plans[i]);
        bool has_index = from->index != NULL && from->index[0] != '\0';
        plans[i].index = text_borrow(has_index ? from->index : from->operation);
        plans[i].estimated_rows = from->estimated_rows;
        plans[i].estimated_cost = from->estimated_cost;
        plans[i].detail = text_borrow(from->detail);
        pointers[i] = &plans[i];
    }
    response->n_rejected = count;
    response->rejected = pointers;
    return true;
}

static void plan_take(void *context, const struct polarys_plan *plan)
{
    struct call *call = context;
    struct explain *explain = call->state;
    SERVICE_ASSERT(!explain->is_packed);
    Polarys__V1__ExplainResponse response = POLARYS__V1__EXPLAIN_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    Google__Protobuf__Duration time;
    uint8_t token[SERVER_TOKEN_SIZE];
    if (!steps_make(call, plan, &response) || !rejected_make(call, plan, &response)) {
        return;
    }
    response_header_fill(call->server, consistency_version(call), token, &header);
    response.header = &header;
    response.version = consistency_version(call);
    if (plan->was_run) {
        response_duration_fill(plan->total_ns, &time);
        response.was_run = true;
        response.actual_rows = plan->rows;
        response.actual_time = &time;
    }
    explain->answer = response_pack(&response.base);
    explain->is_packed = true;
}

static void explain_on_executor(void *context)
{
    struct call *call = context;
    const Polarys__V1__ExplainRequest *request = call->request;
    struct explain explain = {.is_packed = false};
    struct polarys_query_options options;
    SERVICE_ASSERT(call->state == NULL && call->released == NULL);
    call->state = &explain;
    query_request_begin(call, request->filter, &options);
    options.order_by = slice_make(request->order_by.data, request->order_by.len);
    options.limit = request->limit;
    options.read_mask_count = request->n_read_mask;
    enum polarys_code code =
        query_mask_take(call, request->read_mask, request->n_read_mask, &options.read_mask);
    if (code == POLARYS_OK) {
        code = polarys_query_explain(call->server->db, &options, request->run, stop_is_wanted, call,
                                     plan_take, &call->error);
        code = stop_explain(call, code, "the query");
    }
    call->state = NULL;
    if (code == POLARYS_OK && !explain.is_packed) {
        code = polarys_fail(&call->error, POLARYS_MEMORY_LIMIT, "no memory to tell of a plan");
    }
    if (code != POLARYS_OK) {
        if (explain.is_packed) {
            grpc_slice_unref(explain.answer);
        }
        call_fail_own(call, code);
        return;
    }
    call_reply(call, explain.answer);
}

static void explain_locked(struct call *call)
{
    txn_call_execute(call, explain_on_executor);
}

void query_explain(struct call *call)
{
    query_table_lock(call, explain_locked);
}
