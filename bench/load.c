/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load client.
 *
 *     load WORKLOAD[,WORKLOAD...] --target HOST:PORT [--connections C] [--in-flight N] [--keys K]
 *          [--value-size B] [--batch R] [--seconds S] [--warmup S] [--rate CALLS] [--read-share PERCENT]
 *          [--durability N] [--ops N] [--json 1] [--table NAME] [--server-pid P]
 *
 * Workloads run in order; each prints one line of JSON on standard output:
 *
 *     create       make the table
 *     fill         keys 0 to K-1 once each, over a write stream
 *     get, put     unary calls on random keys
 *     transact     single-shot transactions of two gets and two puts
 *     index        make an index on the field "id" of documents written with --json 1, and wait for it
 *     query        queries of one document by that index
 *     mixed        gets and puts; --read-share of them reads
 *     hot          unary updates of one key by all calls in flight
 *     write        write streams, random keys
 *     scan         scan streams of the whole table
 *     etcd-fill, etcd-put, etcd-range, etcd-range-local    the same calls of etcd
 *
 * Without --rate each call begins when one before it has ended, --in-flight of them together. With it, calls
 * begin at fixed times, and latencies count from those; --in-flight then bounds how many may be under way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <grpc/grpc.h>

#include "bench/load/load.h"
#include "bench/load/stream.h"

struct workload {
    const char *name;
    void (*run)(struct load_target *target, const struct load_unary *unary,
                struct load_result *result);
    struct load_unary unary;
};

static void run_create(struct load_target *target, const struct load_unary *unary,
                       struct load_result *result)
{
    (void)unary;
    (void)result;
    load_table_create(target);
}

static void run_unary(struct load_target *target, const struct load_unary *unary,
                      struct load_result *result)
{
    load_unary_run(target, unary, result);
}

static void run_mixed(struct load_target *target, const struct load_unary *unary,
                      struct load_result *result)
{
    struct load_unary mixed = *unary;
    mixed.read_share = target->settings->read_share;
    load_unary_run(target, &mixed, result);
}

static void run_write(struct load_target *target, const struct load_unary *unary,
                      struct load_result *result)
{
    load_write_stream_run(target, unary->is_in_order, result);
}

static void run_scan(struct load_target *target, const struct load_unary *unary,
                     struct load_result *result)
{
    (void)unary;
    load_scan_stream_run(target, result);
}

/* One call whose answer does not matter; `also_good` is as good as OK. */
static void call_once(struct load_target *target, const char *method, const uint8_t *request,
                      size_t size, grpc_status_code also_good)
{
    struct stream stream;
    stream_open(&stream, target, 0, method);
    stream_send(&stream, grpc_slice_from_copied_buffer((const char *)request, size), true, true);
    stream_receive(&stream);
    for (int left = STREAM_EVENT_COUNT; left > 0; left--) {
        (void)grpc_completion_queue_next(target->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    }
    if (stream.status != GRPC_STATUS_OK && stream.status != also_good) {
        char *text = grpc_slice_to_c_string(stream.status_text);
        bench_die("%s: status %d: %s", method, (int)stream.status, text);
    }
    if (stream.received != NULL) {
        grpc_byte_buffer_destroy(stream.received);
    }
    stream_close(&stream);
}

void load_table_create(struct load_target *target)
{
    uint8_t request[512];
    size_t size = load_message_create_table(target->settings, request);
    call_once(target, "/polarys.v1.TableService/CreateTable", request, size,
              GRPC_STATUS_ALREADY_EXISTS);
}

static void run_index(struct load_target *target, const struct load_unary *unary,
                      struct load_result *result)
{
    uint8_t request[512];
    (void)unary;
    (void)result;
    size_t size = load_message_create_index(target->settings, request);
    call_once(target, "/polarys.v1.TableService/CreateIndex", request, size,
              GRPC_STATUS_ALREADY_EXISTS);
}

/* The document has to be there before it can be updated. */
static void run_hot(struct load_target *target, const struct load_unary *unary,
                    struct load_result *result)
{
    uint8_t request[512];
    size_t size = load_message_hot(target->settings, request);
    call_once(target, "/polarys.v1.KvService/Put", request, size, GRPC_STATUS_OK);
    load_unary_run(target, unary, result);
}

static const struct workload workloads[] = {
    {"create", run_create, {LOAD_GET, LOAD_PUT, 0, false}},
    {"fill", run_write, {LOAD_GET, LOAD_PUT, 0, true}},
    {"get", run_unary, {LOAD_GET, LOAD_PUT, 100, false}},
    {"put", run_unary, {LOAD_GET, LOAD_PUT, 0, false}},
    {"mixed", run_mixed, {LOAD_GET, LOAD_PUT, 95, false}},
    {"transact", run_unary, {LOAD_GET, LOAD_TRANSACT, 0, false}},
    {"index", run_index, {LOAD_GET, LOAD_PUT, 0, false}},
    {"query", run_unary, {LOAD_QUERY, LOAD_PUT, 100, false}},
    {"hot", run_hot, {LOAD_GET, LOAD_UPDATE, 0, false}},
    {"write", run_write, {LOAD_GET, LOAD_PUT, 0, false}},
    {"scan", run_scan, {LOAD_GET, LOAD_PUT, 100, false}},
    {"etcd-fill", run_unary, {LOAD_ETCD_RANGE, LOAD_ETCD_PUT, 0, true}},
    {"etcd-put", run_unary, {LOAD_ETCD_RANGE, LOAD_ETCD_PUT, 0, false}},
    {"etcd-range", run_unary, {LOAD_ETCD_RANGE, LOAD_ETCD_PUT, 100, false}},
    {"etcd-range-local", run_unary, {LOAD_ETCD_RANGE_LOCAL, LOAD_ETCD_PUT, 100, false}},
};

static void quantiles_print(const char *prefix, const struct histogram *latencies)
{
    printf(",\"%sp50_us\":%.1f,\"%sp99_us\":%.1f,\"%sp999_us\":%.1f,\"%smax_us\":%.1f", prefix,
           (double)histogram_quantile(latencies, 0.5) / 1e3, prefix,
           (double)histogram_quantile(latencies, 0.99) / 1e3, prefix,
           (double)histogram_quantile(latencies, 0.999) / 1e3, prefix,
           (double)latencies->max_ns / 1e3);
}

static void report(const char *workload, const struct load_settings *settings,
                   const struct load_result *result)
{
    double seconds = result->seconds > 0 ? result->seconds : 1;
    double done = result->done > 0 ? (double)result->done : 1;
    printf(
        "{\"workload\":\"%s\",\"connections\":%u,\"in_flight\":%u,\"seconds\":%.3f,\"done\":%llu,"
        "\"records\":%llu,\"rate\":%.1f,\"record_rate\":%.1f,\"bytes_each\":%.1f,"
        "\"client_cpu_us\":%.2f,\"server_cpu_us\":%.2f,\"writer_done_min\":%llu,"
        "\"writer_done_max\":%llu,\"failures\":%llu",
        workload, settings->connections, settings->in_flight, result->seconds,
        (unsigned long long)result->done, (unsigned long long)result->records,
        (double)result->done / seconds, (double)result->records / seconds,
        (double)result->bytes / done, result->client_cpu_seconds * 1e6 / done,
        result->server_cpu_seconds * 1e6 / done, (unsigned long long)result->writer_done_min,
        (unsigned long long)result->writer_done_max, (unsigned long long)result->failures);
    quantiles_print("", &result->latencies);
    if (result->latencies_more.count > 0) {
        quantiles_print("write_", &result->latencies_more);
    }
    printf("}\n");
    fflush(stdout);
    if (result->failures > 0) {
        fprintf(stderr, "load: %s: %llu failures, the first %s\n", workload,
                (unsigned long long)result->failures, result->failure);
    }
}

/* True when nothing failed. */
static bool workload_run(struct load_target *target, const char *name)
{
    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
        if (strcmp(workloads[i].name, name) != 0) {
            continue;
        }
        struct load_result *result = calloc(1, sizeof(*result));
        if (result == NULL) {
            bench_die("no memory");
        }
        workloads[i].run(target, &workloads[i].unary, result);
        report(name, target->settings, result);
        bool is_good = result->failures == 0;
        free(result);
        return is_good;
    }
    bench_die("there is no workload '%s'", name);
}

static bool settings_text_set(struct load_settings *settings, const char *option, const char *text)
{
    if (strcmp(option, "--target") == 0) {
        settings->target = text;
    } else if (strcmp(option, "--table") == 0) {
        settings->table = text;
    } else if (strcmp(option, "--seconds") == 0) {
        settings->seconds = strtod(text, NULL);
    } else if (strcmp(option, "--warmup") == 0) {
        settings->warmup_seconds = strtod(text, NULL);
    } else {
        return false;
    }
    return true;
}

static void settings_number_set(struct load_settings *settings, const char *option, uint64_t number)
{
    const struct {
        const char *name;
        uint32_t *to;
        uint64_t *to_long;
    } options[] = {
        {"--connections", &settings->connections, NULL},
        {"--in-flight", &settings->in_flight, NULL},
        {"--value-size", &settings->value_size, NULL},
        {"--batch", &settings->batch, NULL},
        {"--read-share", &settings->read_share, NULL},
        {"--durability", &settings->durability, NULL},
        {"--keys", NULL, &settings->keys},
        {"--ops", NULL, &settings->ops_max},
        {"--rate", NULL, &settings->rate},
    };
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (strcmp(options[i].name, option) == 0) {
            if (options[i].to != NULL) {
                *options[i].to = (uint32_t)number;
            } else {
                *options[i].to_long = number;
            }
            return;
        }
    }
    if (strcmp(option, "--json") == 0) {
        settings->is_json = number != 0;
        return;
    }
    if (strcmp(option, "--server-pid") != 0) {
        bench_die("unknown option %s", option);
    }
    settings->server_pid = (pid_t)number;
}

static void settings_check(const struct load_settings *settings)
{
    if (settings->target == NULL || settings->connections == 0 ||
        settings->connections > LOAD_CONNECTIONS_MAX || settings->in_flight == 0 ||
        settings->in_flight > LOAD_IN_FLIGHT_MAX || settings->batch == 0 ||
        settings->batch > LOAD_BATCH_MAX || settings->value_size > BENCH_VALUE_MAX ||
        (settings->is_json && settings->value_size < LOAD_JSON_SIZE_MIN) || settings->keys == 0 ||
        strlen(settings->table) > 128) {
        bench_die(
            "--target is needed; 1..%d connections, 1..%d in flight, batches of 1..%d, values "
            "of at most %d bytes (of JSON, at least %d), 1 key or more",
            LOAD_CONNECTIONS_MAX, LOAD_IN_FLIGHT_MAX, LOAD_BATCH_MAX, BENCH_VALUE_MAX,
            LOAD_JSON_SIZE_MIN);
    }
}

int main(int argc, char **argv)
{
    static struct load_target target;
    struct load_settings settings = {.table = "bench",
                                     .connections = 1,
                                     .in_flight = 64,
                                     .value_size = 100,
                                     .batch = 100,
                                     .read_share = 95,
                                     .keys = 100000,
                                     .seconds = 3,
                                     .warmup_seconds = 0.5};
    if (argc < 2) {
        fprintf(stderr, "usage: load WORKLOAD[,WORKLOAD...] --target HOST:PORT [options]\n");
        return 2;
    }
    for (int i = 2; i < argc; i += 2) {
        if (i + 1 >= argc) {
            bench_die("%s needs a value", argv[i]);
        }
        if (!settings_text_set(&settings, argv[i], argv[i + 1])) {
            settings_number_set(&settings, argv[i], bench_number_parse(argv[i], argv[i + 1]));
        }
    }
    settings_check(&settings);
    bench_values_fill();
    grpc_init();
    load_target_open(&target, &settings);
    bool is_good = true;
    char *rest = NULL;
    for (char *name = strtok_r(argv[1], ",", &rest); name != NULL && is_good;
         name = strtok_r(NULL, ",", &rest)) {
        is_good = workload_run(&target, name);
    }
    load_target_close(&target);
    grpc_shutdown_blocking();
    return is_good ? 0 : 1;
}
