/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections to the server under test, and the clock of a workload. Every channel is a connection of its own
 * and does without what a benchmark does not use: retries, service configuration, channelz.
 */
#include <stdio.h>
#include <string.h>

#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>

#include "bench/load/load.h"

enum { ANSWER_BYTES_MAX = 64 << 20 };

static grpc_arg integer_arg(const char *key, int value)
{
    grpc_arg arg = {.type = GRPC_ARG_INTEGER, .key = (char *)(uintptr_t)key};
    arg.value.integer = value;
    return arg;
}

void load_target_open(struct load_target *target, const struct load_settings *settings)
{
    grpc_arg list[] = {
        integer_arg(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),
        integer_arg(GRPC_ARG_ENABLE_RETRIES, 0),
        integer_arg(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1),
        integer_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
        integer_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, ANSWER_BYTES_MAX),
    };
    grpc_channel_args args = {sizeof(list) / sizeof(list[0]), list};
    memset(target, 0, sizeof(*target));
    target->settings = settings;
    target->queue = grpc_completion_queue_create_for_next(NULL);
    for (uint32_t i = 0; i < settings->connections; i++) {
        grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
        target->channels[i] = grpc_channel_create(settings->target, credentials, &args);
        grpc_channel_credentials_release(credentials);
        if (target->channels[i] == NULL) {
            bench_die("no channel to %s", settings->target);
        }
    }
}

void load_target_close(struct load_target *target)
{
    for (uint32_t i = 0; i < target->settings->connections; i++) {
        grpc_channel_destroy(target->channels[i]);
    }
    grpc_completion_queue_shutdown(target->queue);
    while (
        grpc_completion_queue_next(target->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL).type !=
        GRPC_QUEUE_SHUTDOWN) {
    }
    grpc_completion_queue_destroy(target->queue);
}

static void counting_begin(struct load_clock *clock, const struct load_settings *settings,
                           uint64_t now_ns)
{
    clock->is_counting = true;
    clock->begin_ns = now_ns;
    clock->end_ns = now_ns + (uint64_t)(settings->seconds * 1e9);
    clock->client_cpu = bench_cpu_seconds();
    clock->server_cpu = settings->server_pid == 0 ? 0 : bench_cpu_seconds_of(settings->server_pid);
}

void load_clock_begin(struct load_clock *clock, const struct load_settings *settings,
                      bool has_warmup)
{
    uint64_t now_ns = bench_now_ns();
    memset(clock, 0, sizeof(*clock));
    clock->begin_ns = now_ns + (uint64_t)(settings->warmup_seconds * 1e9);
    if (!has_warmup) {
        counting_begin(clock, settings, now_ns);
    }
}

bool load_clock_is_over(struct load_clock *clock, uint64_t now_ns,
                        const struct load_settings *settings)
{
    if (clock->is_counting) {
        return now_ns >= clock->end_ns;
    }
    if (now_ns >= clock->begin_ns) {
        counting_begin(clock, settings, now_ns);
    }
    return false;
}

void load_clock_end(const struct load_clock *clock, const struct load_settings *settings,
                    struct load_result *result)
{
    if (!clock->is_counting) {
        return;
    }
    result->seconds = (double)(bench_now_ns() - clock->begin_ns) / 1e9;
    result->client_cpu_seconds = bench_cpu_seconds() - clock->client_cpu;
    if (settings->server_pid != 0) {
        result->server_cpu_seconds = bench_cpu_seconds_of(settings->server_pid) - clock->server_cpu;
    }
}

void load_failure_add(struct load_result *result, grpc_status_code status, grpc_slice text)
{
    if (result->failures++ == 0) {
        char *copy = grpc_slice_to_c_string(text);
        (void)snprintf(result->failure, sizeof(result->failure), "status %d: %s", (int)status,
                       copy);
        gpr_free(copy);
    }
}
