/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench: prepares a table, lets the workers loose, and says what came of it.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/bench.h"
#include "client/cli/command.h"
#include "client/cli/output.h"

enum { FILL_TIMEOUT_MS = 60000 };

static const char *const kind_names[BENCH_KIND_COUNT] = {"put", "get", "mixed", "bulk", "scan"};

static enum cli_status plan_read(struct cli *cli, const struct arguments *arguments,
                                 struct bench_plan *plan)
{
    struct polarys_client_write write = {0};
    const char *kind = arguments->positionals[0];
    int i = 0;

    while (i < BENCH_KIND_COUNT && strcmp(kind_names[i], kind) != 0) {
        i++;
    }
    if (i == BENCH_KIND_COUNT) {
        return cli_usage(cli, "'%s' is not put, get, mixed, bulk or scan", kind);
    }
    *plan = (struct bench_plan){.kind = (enum bench_kind)i,
                                .client_count = 4,
                                .in_flight = 16,
                                .seconds = 10,
                                .value_size = 256,
                                .key_count = 100000};
    if (!arguments_number(cli, arguments, OPTION_CLIENTS, 1, BENCH_CLIENTS_MAX,
                          &plan->client_count) ||
        !arguments_number(cli, arguments, OPTION_IN_FLIGHT, 1, BENCH_IN_FLIGHT_MAX,
                          &plan->in_flight) ||
        !arguments_number(cli, arguments, OPTION_SECONDS, 1, 86400, &plan->seconds) ||
        !arguments_number(cli, arguments, OPTION_VALUE_SIZE, BENCH_VALUE_BYTES_MIN,
                          BENCH_VALUE_BYTES_MAX, &plan->value_size) ||
        !arguments_number(cli, arguments, OPTION_KEY_COUNT, 1, 1000000000, &plan->key_count) ||
        !arguments_number(cli, arguments, OPTION_RATE, 1, 10000000, &plan->rate)) {
        return CLI_USAGE;
    }
    if (plan->kind == BENCH_BULK || plan->kind == BENCH_SCAN) {
        plan->in_flight = 1; /* one stream a client */
    }
    if (plan->client_count * plan->in_flight > BENCH_CALLS_MAX) {
        return cli_usage(cli, "--clients times --in-flight may be %d", BENCH_CALLS_MAX);
    }
    if (plan->rate > 0 && (plan->kind == BENCH_BULK || plan->kind == BENCH_SCAN)) {
        return cli_usage(cli, "--rate goes with put, get and mixed");
    }
    enum cli_status status = arguments_write(cli, arguments, &write);
    plan->durability = write.durability;
    /* What may not be talked to is refused by the connection that prepares the table. */
    (void)cli_client_options(&cli->settings, &plan->options);
    plan->read = cli->settings.read;
    plan->database = cli->settings.database;
    plan->table =
        arguments_has(arguments, OPTION_TABLE) ? arguments->values[OPTION_TABLE] : "bench";
    plan->timeout_ms =
        cli->settings.has_timeout ? cli->settings.timeout_ms : CLI_TIMEOUT_DEFAULT_MS;
    return status;
}

/* Makes the table (*is_made) and what the load reads. */
static enum cli_status table_prepare(struct cli *cli, const struct bench_plan *plan, bool *is_made)
{
    struct polarys_client_error err;
    uint64_t count = 0;
    struct polarys_client *client = cli_connect(cli, FILL_TIMEOUT_MS);

    if (client == NULL) {
        return CLI_FAILED;
    }
    *is_made = polarys_client_table_create(client, plan->database, plan->table, NULL, &err);
    if (!*is_made && strcmp(err.reason, "TABLE_EXISTS") != 0) {
        return cli_fail_call(cli, &err);
    }
    if (plan->kind == BENCH_PUT || plan->kind == BENCH_BULK) {
        return CLI_DONE;
    }
    if (!polarys_client_count(client, plan->database, plan->table, NULL, &count, &err) ||
        (count < plan->key_count && !bench_fill(client, plan, &err))) {
        return cli_fail_call(cli, &err);
    }
    return CLI_DONE;
}

static void *worker_main(void *context)
{
    struct bench_worker *worker = context;
    switch (worker->plan->kind) {
    case BENCH_PUT:
    case BENCH_GET:
    case BENCH_MIXED:
        bench_calls_run(worker);
        break;
    case BENCH_BULK:
        bench_bulk_run(worker);
        break;
    case BENCH_SCAN:
    case BENCH_KIND_COUNT:
        bench_scan_run(worker);
        break;
    }
    return NULL;
}

/* Runs every worker and adds their tallies up in `total`. False: a thread could not be started. */
static bool workers_run(const struct bench_plan *plan, struct bench_tally *total)
{
    bool is_calls = plan->kind != BENCH_BULK && plan->kind != BENCH_SCAN;
    uint32_t count = (uint32_t)plan->client_count;
    count = is_calls && count > BENCH_THREADS ? BENCH_THREADS : count;
    struct bench_worker *workers = calloc(count, sizeof(*workers));
    pthread_t *threads = calloc(count, sizeof(*threads));
    uint32_t started = 0;

    if (workers != NULL && threads != NULL) {
        for (uint32_t i = 0; i < count; i++) {
            workers[i].plan = plan;
            workers[i].index = i;
            workers[i].worker_count = count;
            workers[i].random = i + 1;
            if (pthread_create(&threads[i], NULL, worker_main, &workers[i]) != 0) {
                break;
            }
            started++;
        }
    }
    for (uint32_t i = 0; i < started; i++) {
        const struct bench_tally *tally = &workers[i].tally;
        (void)pthread_join(threads[i], NULL);
        if (tally->failures > 0 && total->failures == 0) {
            total->first_failure = tally->first_failure;
        }
        total->operations += tally->operations;
        total->failures += tally->failures;
        total->documents += tally->documents;
        total->bytes += tally->bytes;
        total->last_ns = tally->last_ns > total->last_ns ? tally->last_ns : total->last_ns;
        if (total->start_ns == 0 || (tally->start_ns != 0 && tally->start_ns < total->start_ns)) {
            total->start_ns = tally->start_ns;
        }
        bench_histogram_merge(&total->latencies, &tally->latencies);
    }
    free(workers);
    free(threads);
    return started == count;
}

static double microseconds(const struct bench_tally *total, double share)
{
    return (double)bench_histogram_quantile(&total->latencies, share) / 1000;
}

static enum cli_status tally_print(struct cli *cli, const struct bench_plan *plan,
                                   const struct bench_tally *total)
{
    struct output *output = output_create(cli);
    double seconds = total->last_ns > total->start_ns
                         ? (double)(total->last_ns - total->start_ns) / 1e9
                         : (double)plan->seconds;

    if (output == NULL) {
        return CLI_FAILED;
    }
    const struct output_field fields[] = {
        field_text("load", kind_names[plan->kind], strlen(kind_names[plan->kind])),
        field_number("clients", plan->client_count),
        field_number("in_flight", plan->in_flight),
        field_real("seconds", seconds),
        field_number("operations", total->operations),
        field_number("failures", total->failures),
        field_real("documents_per_second", (double)total->documents / seconds),
        field_real("mib_per_second", (double)total->bytes / seconds / 1048576),
        field_real("p50_us", microseconds(total, 0.5)),
        field_real("p99_us", microseconds(total, 0.99)),
        field_real("p999_us", microseconds(total, 0.999)),
        field_real("max_us", (double)total->latencies.max / 1000),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
    return output_finish(output, cli, CLI_DONE);
}

static enum cli_status load_run(struct cli *cli, const struct bench_plan *plan)
{
    struct bench_tally *total = calloc(1, sizeof(*total));
    enum cli_status status;

    if (total == NULL || !workers_run(plan, total)) {
        free(total);
        return cli_fail(cli, "NO_MEMORY", "no memory or no threads for the load");
    }
    status = tally_print(cli, plan, total);
    if (total->failures > 0) {
        struct polarys_client_error err = total->first_failure;
        (void)snprintf(err.message, sizeof(err.message), "%llu failures, the first: %.500s",
                       (unsigned long long)total->failures, total->first_failure.message);
        status = cli_fail_call(cli, &err);
    }
    free(total);
    return status;
}

enum cli_status command_bench(struct cli *cli, const struct arguments *arguments)
{
    struct bench_plan plan;
    struct polarys_client_error err;
    bool is_made = false;

    enum cli_status status = plan_read(cli, arguments, &plan);
    if (status == CLI_DONE) {
        status = table_prepare(cli, &plan, &is_made);
    }
    if (status == CLI_DONE) {
        status = load_run(cli, &plan);
    }
    if (is_made && !arguments_has(arguments, OPTION_KEEP)) {
        if (!polarys_client_table_drop(cli->client, plan.database, plan.table, NULL, &err)) {
            enum cli_status drop = cli_fail_call(cli, &err);
            status = status == CLI_DONE ? drop : status;
        }
    }
    return status;
}
