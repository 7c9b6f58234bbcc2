/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workloads, by db_bench's names. Keys are chosen uniformly; a value is a piece of the pool from a random
 * place, so that no two are the same and each compresses to about a half.
 */
#include <string.h>

#include "bench/engine/run.h"
#include "bench/support/bench.h"

enum write_flag { WRITE_IN_ORDER = 1, WRITE_SYNCED = 2 };

static struct bench_slice value_of(struct lane *lane)
{
    struct bench_slice value = {bench_value_pick(&lane->state, lane->settings->value_size),
                                lane->settings->value_size};
    return value;
}

static struct bench_slice key_of(char room[BENCH_KEY_SIZE], uint64_t number)
{
    struct bench_slice key = {room, BENCH_KEY_SIZE};
    bench_key_write(room, number);
    return key;
}

static uint64_t random_record(struct lane *lane)
{
    return bench_random_next(&lane->state) % lane->settings->records;
}

static uint64_t write_many(struct lane *lane, void *worker, uint64_t first, uint32_t count,
                           unsigned flags)
{
    static _Thread_local char rooms[BATCH_MAX][BENCH_KEY_SIZE];
    static _Thread_local struct bench_slice keys[BATCH_MAX];
    static _Thread_local struct bench_slice values[BATCH_MAX];
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = (flags & WRITE_IN_ORDER) != 0 ? first + i : random_record(lane);
        keys[i] = key_of(rooms[i], number);
        values[i] = value_of(lane);
    }
    lane->kind->write(worker, keys, values, count, (flags & WRITE_SYNCED) != 0);
    return count;
}

static uint64_t step_fill_seq(struct lane *lane, void *worker, uint64_t i)
{
    return write_many(lane, worker, i * lane->settings->threads + lane->index, 1, WRITE_IN_ORDER);
}

uint64_t step_overwrite(struct lane *lane, void *worker, uint64_t i)
{
    (void)i;
    return write_many(lane, worker, 0, 1, 0);
}

static uint64_t step_fill_batch(struct lane *lane, void *worker, uint64_t i)
{
    (void)i;
    return write_many(lane, worker, 0, 100, 0);
}

static uint64_t step_load(struct lane *lane, void *worker, uint64_t i)
{
    uint64_t left = lane->settings->records - i * BATCH_MAX;
    uint32_t count = left < BATCH_MAX ? (uint32_t)left : BATCH_MAX;
    lane->is_at_end = left <= BATCH_MAX;
    return write_many(lane, worker, i * BATCH_MAX, count, WRITE_IN_ORDER);
}

static uint64_t step_fill_sync(struct lane *lane, void *worker, uint64_t i)
{
    (void)i;
    return write_many(lane, worker, 0, 1, WRITE_SYNCED);
}

static uint64_t step_batch_sync(struct lane *lane, void *worker, uint64_t i)
{
    (void)i;
    return write_many(lane, worker, 0, 100, WRITE_SYNCED);
}

void record_read(struct lane *lane, void *worker, uint64_t number)
{
    char room[BENCH_KEY_SIZE];
    if (lane->kind->read(worker, key_of(room, number)) < 0) {
        lane->missing++;
    }
}

void record_write(struct lane *lane, void *worker, uint64_t number, bool is_synced)
{
    char room[BENCH_KEY_SIZE];
    struct bench_slice key = key_of(room, number);
    struct bench_slice value = value_of(lane);
    lane->kind->write(worker, &key, &value, 1, is_synced);
}

static uint64_t step_read_random(struct lane *lane, void *worker, uint64_t i)
{
    (void)i;
    record_read(lane, worker, random_record(lane));
    return 1;
}

static uint64_t step_read_missing(struct lane *lane, void *worker, uint64_t i)
{
    char room[BENCH_KEY_SIZE];
    struct bench_slice key = key_of(room, random_record(lane));
    (void)i;
    room[BENCH_KEY_SIZE - 1] = '.'; /* sorts among the others and is never written */
    if (lane->kind->read(worker, key) >= 0) {
        bench_die("a key that was never written was found");
    }
    return 1;
}

static uint64_t step_read_seq(struct lane *lane, void *worker, uint64_t i)
{
    (void)i;
    return lane->kind->walk(worker, NULL, false, lane->settings->records);
}

static uint64_t step_read_reverse(struct lane *lane, void *worker, uint64_t i)
{
    (void)i;
    return lane->kind->walk(worker, NULL, true, lane->settings->records);
}

static uint64_t step_seek(struct lane *lane, void *worker, uint64_t i)
{
    char room[BENCH_KEY_SIZE];
    struct bench_slice start = key_of(room, random_record(lane));
    (void)i;
    (void)lane->kind->walk(worker, &start, false, 11);
    return 1;
}

static uint64_t step_delete(struct lane *lane, void *worker, uint64_t i)
{
    char room[BENCH_KEY_SIZE];
    (void)i;
    lane->kind->remove(worker, key_of(room, random_record(lane)));
    return 1;
}

static uint64_t step_mixed(struct lane *lane, void *worker, uint64_t i)
{
    return i % 2 == 0 ? step_read_random(lane, worker, i) : step_overwrite(lane, worker, i);
}

static uint64_t step_hot(struct lane *lane, void *worker, uint64_t i)
{
    (void)i;
    record_write(lane, worker, 0, true);
    return 1;
}

static const struct workload workloads[] = {
    {"fillseq", step_fill_seq, WORKLOAD_SINGLE},
    {"load", step_load, WORKLOAD_SINGLE | WORKLOAD_WHOLE},
    {"fillrandom", step_overwrite, 0},
    {"overwrite", step_overwrite, 0},
    {"fillbatch", step_fill_batch, 0},
    {"fillsync", step_fill_sync, WORKLOAD_TIMED},
    {"batchsync", step_batch_sync, WORKLOAD_TIMED},
    {"readrandom", step_read_random, WORKLOAD_TIMED},
    {"readmissing", step_read_missing, WORKLOAD_TIMED},
    {"readseq", step_read_seq, WORKLOAD_SINGLE | WORKLOAD_TIMED},
    {"readreverse", step_read_reverse, WORKLOAD_SINGLE | WORKLOAD_TIMED},
    {"seekrandom", step_seek, WORKLOAD_TIMED},
    {"readwhilewriting", step_read_random, WORKLOAD_WITH_WRITER | WORKLOAD_TIMED},
    {"mixed", step_mixed, WORKLOAD_TIMED},
    {"deleterandom", step_delete, 0},
    {"hotkey", step_hot, WORKLOAD_TIMED},
    {"churn", step_overwrite, WORKLOAD_WHOLE},
    {"lines", step_lines, WORKLOAD_SINGLE | WORKLOAD_WHOLE},
};

const struct workload *workload_find(const char *name)
{
    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
        if (strcmp(workloads[i].name, name) == 0) {
            return &workloads[i];
        }
    }
    return ycsb_find(name);
}
