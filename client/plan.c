/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a query is done, or was: plans.
 */
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/query_internal.h"
#include "polarys/v1/query.pb-c.h"

static uint64_t duration_us(const Google__Protobuf__Duration *duration)
{
    if (duration == NULL || duration->seconds < 0 || duration->nanos < 0) {
        return 0;
    }
    return (uint64_t)duration->seconds * 1000000 + (uint64_t)(duration->nanos / 1000);
}

static char *text_copy(const ProtobufCBinaryData *text)
{
    return client_copy(text->data, text->len);
}

static bool step_fill(struct polarys_client_plan_step *step, const Polarys__V1__PlanStep *from)
{
    step->depth = from->depth;
    step->operation = text_copy(&from->operation);
    step->index = text_copy(&from->index);
    step->detail = text_copy(&from->detail);
    step->estimated_rows = from->estimated_rows;
    step->estimated_cost = from->estimated_cost;
    step->actual_rows = from->actual_rows;
    step->actual_us = duration_us(from->actual_time);
    return step->operation != NULL && step->index != NULL && step->detail != NULL;
}

static bool rejected_fill(struct polarys_client_plan_step *step,
                          const Polarys__V1__RejectedPlan *from)
{
    step->operation = client_copy_text("");
    step->index = text_copy(&from->index);
    step->detail = text_copy(&from->detail);
    step->estimated_rows = from->estimated_rows;
    step->estimated_cost = from->estimated_cost;
    return step->operation != NULL && step->index != NULL && step->detail != NULL;
}

/* False: no memory; what is there is freed with the plan. */
static bool plan_fill(struct polarys_client_plan *plan,
                      const Polarys__V1__ExplainResponse *response)
{
    POLARYS_ASSERT(plan->step_count == 0 && plan->rejected_count == 0);
    plan->was_run = response->was_run != 0;
    plan->rows = response->actual_rows;
    plan->total_us = duration_us(response->actual_time);
    plan->steps = calloc(response->n_steps + 1, sizeof(*plan->steps));
    plan->rejected = calloc(response->n_rejected + 1, sizeof(*plan->rejected));
    if (plan->steps == NULL || plan->rejected == NULL) {
        return false;
    }
    bool is_ok = true;
    for (; is_ok && plan->step_count < response->n_steps; plan->step_count++) {
        is_ok = step_fill(&plan->steps[plan->step_count], response->steps[plan->step_count]);
    }
    for (; is_ok && plan->rejected_count < response->n_rejected; plan->rejected_count++) {
        is_ok = rejected_fill(&plan->rejected[plan->rejected_count],
                              response->rejected[plan->rejected_count]);
    }
    return is_ok;
}

static void steps_free(struct polarys_client_plan_step *steps, size_t count)
{
    POLARYS_ASSERT(steps != NULL || count == 0);
    for (size_t i = 0; i < count; i++) {
        free((char *)steps[i].operation);
        free((char *)steps[i].index);
        free((char *)steps[i].detail);
    }
    free(steps);
}

void polarys_client_plan_free(struct polarys_client_plan *plan)
{
    POLARYS_ASSERT(plan != NULL);
    steps_free(plan->steps, plan->step_count);
    steps_free(plan->rejected, plan->rejected_count);
    memset(plan, 0, sizeof(*plan));
}

bool polarys_client_query_explain(struct polarys_client *client,
                                  const struct polarys_client_query_options *options, bool runs,
                                  struct polarys_client_plan *plan,
                                  struct polarys_client_error *err)
{
    Polarys__V1__ExplainRequest request = POLARYS__V1__EXPLAIN_REQUEST__INIT;
    struct client_consistency consistency;
    struct query_mask mask;

    POLARYS_ASSERT(options != NULL);
    POLARYS_ASSERT(plan != NULL);
    memset(plan, 0, sizeof(*plan));
    if (!query_mask_init(&mask, options->fields, options->field_count, err)) {
        return false;
    }
    request.database = client_database_field(options->read.txn, options->database);
    request.transaction = client_txn_field(options->read.txn);
    request.table = client_text(options->table);
    request.filter = client_text(options->filter);
    request.order_by = client_text(options->order_by);
    request.n_read_mask = mask.count;
    request.read_mask = mask.fields;
    request.limit = options->limit;
    request.run = runs;
    request.consistency = client_consistency_fill(&consistency, client, &options->read);
    struct client_call call = {"/polarys.v1.QueryService/Explain", &request.base,
                               &polarys__v1__explain_response__descriptor, CLIENT_REPEAT_ALWAYS,
                               &consistency};
    Polarys__V1__ExplainResponse *response =
        (Polarys__V1__ExplainResponse *)client_invoke(client, &call, err);
    query_mask_deinit(&mask);
    if (response == NULL) {
        return false;
    }
    bool is_ok = plan_fill(plan, response);
    polarys__v1__explain_response__free_unpacked(response, NULL);
    if (!is_ok) {
        polarys_client_plan_free(plan);
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a plan");
    }
    return is_ok;
}
