/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps, then the ways that were weighed and cost more.
 */
#include "client/cli/plan_output.h"

#include <string.h>

#include "client/assert.h"
#include "client/cli/output.h"
#include "client/cli/text.h"

enum {
    INDENT_COLUMNS = 2,
    INDENT_DEPTH_MAX = 32, /* deeper steps stand no further in */
};

/* "    index_scan by_section" */
static void step_format(char *to, size_t to_size, const struct polarys_client_plan_step *step)
{
    uint32_t depth = step->depth < INDENT_DEPTH_MAX ? step->depth : INDENT_DEPTH_MAX;

    POLARYS_ASSERT(to_size > INDENT_DEPTH_MAX * INDENT_COLUMNS);
    (void)snprintf(to, to_size, "%*s%s%s%s", (int)(depth * INDENT_COLUMNS), "", step->operation,
                   step->index[0] == '\0' ? "" : " ", step->index);
}

static void step_row(struct output *output, const struct polarys_client_plan *plan,
                     const struct polarys_client_plan_step *step)
{
    struct output_field fields[8];
    size_t count = 0;
    char text[256];

    step_format(text, sizeof(text), step);
    if (output->format == OUTPUT_JSON) {
        fields[count++] = field_number("depth", step->depth);
        fields[count++] = field_text("operation", step->operation, strlen(step->operation));
        fields[count++] = field_text("index", step->index, strlen(step->index));
    } else {
        fields[count++] = field_text("step", text, strlen(text));
    }
    fields[count++] = field_real("estimated_rows", step->estimated_rows);
    fields[count++] = field_real("estimated_cost", step->estimated_cost);
    if (plan->was_run) {
        fields[count++] = field_number("rows", step->actual_rows);
        fields[count++] = field_real("ms", (double)step->actual_us / 1000);
    }
    fields[count++] = field_text("detail", step->detail, strlen(step->detail));
    POLARYS_ASSERT(count <= sizeof(fields) / sizeof(fields[0]));
    output_row(output, fields, count);
}

static void rejected_print(struct cli *cli, const struct polarys_client_plan *plan)
{
    if (plan->rejected_count > 0) {
        (void)fputs("weighed, and costs more:\n", cli->out);
    }
    for (size_t i = 0; i < plan->rejected_count; i++) {
        const struct polarys_client_plan_step *step = &plan->rejected[i];
        (void)fprintf(cli->out, "  %s: cost %.2f%s", step->index, step->estimated_cost,
                      step->detail[0] == '\0' ? "" : ", ");
        text_printable_write(cli->out, step->detail, strlen(step->detail));
        (void)putc('\n', cli->out);
    }
}

enum cli_status plan_print(struct cli *cli, const struct polarys_client_plan *plan)
{
    POLARYS_ASSERT(plan->steps != NULL);
    struct output *output = output_create(cli);
    if (output == NULL) {
        return CLI_FAILED;
    }
    for (size_t i = 0; i < plan->step_count; i++) {
        step_row(output, plan, &plan->steps[i]);
    }
    enum cli_status status = output_finish(output, cli, CLI_DONE);
    if (status == CLI_DONE && cli->settings.format == OUTPUT_TABLE) {
        rejected_print(cli, plan);
        if (plan->was_run) {
            (void)fprintf(cli->out, "%llu rows in %.2f ms\n", (unsigned long long)plan->rows,
                          (double)plan->total_us / 1000);
        }
    }
    return status;
}
