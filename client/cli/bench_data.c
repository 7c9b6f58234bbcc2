/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys, values and connections of the load.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/assert.h"
#include "client/cli/bench.h"

uint64_t bench_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void bench_time_start(struct bench_worker *worker)
{
    POLARYS_ASSERT(worker->plan != NULL);
    worker->tally.start_ns = bench_now_ns();
    worker->end_ns = worker->tally.start_ns + worker->plan->seconds * UINT64_C(1000000000);
}

/* SplitMix64. */
uint64_t bench_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void bench_key_write(char key[BENCH_KEY_SIZE + 1], uint64_t number)
{
    (void)snprintf(key, BENCH_KEY_SIZE + 1, "key%012llu",
                   (unsigned long long)(number % UINT64_C(1000000000000)));
}

void bench_value_write(char *value, const struct bench_plan *plan, uint64_t number,
                       uint64_t *random)
{
    char head[BENCH_VALUE_BYTES_MIN];
    size_t size = (size_t)plan->value_size;
    int head_size = snprintf(head, sizeof(head), "{\"id\":%llu,\"text\":\"",
                             (unsigned long long)(number % 1000000000));
    size_t at = (size_t)head_size;

    memcpy(value, head, at);
    while (at < size - 2) {
        uint64_t bits = bench_random(random);
        for (int i = 0; i < 12 && at < size - 2; i++, bits >>= 5) {
            value[at++] = "abcdefghijklmnopqrstuvwxyzABCDEF"[bits & 31];
        }
    }
    value[size - 2] = '"';
    value[size - 1] = '}';

    POLARYS_ASSERT(plan->value_size >= BENCH_VALUE_BYTES_MIN);
}

void bench_failure_note(struct bench_tally *tally, const struct polarys_client_error *err)
{
    POLARYS_ASSERT(err->status != POLARYS_CLIENT_OK);
    if (tally->failures++ == 0) {
        tally->first_failure = *err;
    }
}

struct polarys_client *bench_client_open(struct bench_worker *worker)
{
    struct polarys_client_options options = worker->plan->options;
    struct polarys_client_error err;
    struct polarys_client *client;

    options.timeout_ms = worker->plan->timeout_ms;
    options.is_channel_private = true;
    if (!polarys_client_open(&options, &client, &err) ||
        !polarys_client_wait_ready(client, options.connect_timeout_ms, &err)) {
        bench_failure_note(&worker->tally, &err);
        polarys_client_close(client);
        return NULL;
    }
    return client;
}

bool bench_fill(struct polarys_client *client, const struct bench_plan *plan,
                struct polarys_client_error *err)
{
    struct polarys_client_bulk_options options = {0};
    struct polarys_client_bulk *bulk;
    struct polarys_client_record record = {0};
    char key[BENCH_KEY_SIZE + 1];
    char *value = malloc((size_t)plan->value_size);
    uint64_t random = 1;
    bool is_ok = true;

    if (value == NULL) {
        memset(err, 0, sizeof(*err));
        err->status = POLARYS_CLIENT_RESOURCE_EXHAUSTED;
        return false;
    }
    options.database = plan->database;
    options.table = plan->table;
    options.durability = POLARYS_CLIENT_ASYNC;
    if (!polarys_client_bulk_open(client, &options, &bulk, err)) {
        free(value);
        return false;
    }
    record.key = key;
    record.key_size = BENCH_KEY_SIZE;
    record.value = value;
    record.value_size = (size_t)plan->value_size;
    for (uint64_t i = 0; i < plan->key_count && is_ok; i++) {
        bench_key_write(key, i);
        bench_value_write(value, plan, i, &random);
        is_ok = polarys_client_bulk_put(bulk, &record, err);
    }
    is_ok = polarys_client_bulk_close(bulk, err) && is_ok;
    free(value);
    return is_ok;
}
