/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine benchmark: db_bench's workloads on one store, PolarysDB or a peer.
 *
 *     engine STORE WORKLOAD[,WORKLOAD...] --dir D [--records N] [--ops N] [--threads N] [--value-size B]
 *            [--seconds S] [--buffer-mb M] [--cache-mb M] [--no-compression] [--history]
 *
 * Workloads run in order on the same store; each prints one line of JSON on standard output. A peer gets
 * the same keys, the same values (half of each value is compressible, half is not), the same buffer, cache
 * and number of threads. Keys are 16 bytes, as db_bench's.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "bench/stores/store.h"
#include "bench/support/bench.h"
#include "bench/support/histogram.h"

enum { BATCH_MAX = 1000, THREADS_MAX = 256 };

enum write_flag { WRITE_IN_ORDER = 1, WRITE_SYNCED = 2 };

struct settings {
    struct bench_config config;
    uint64_t records;
    uint64_t ops;
    uint32_t threads;
    uint32_t value_size;
    uint32_t seconds;
};

/* One workload, one thread. */
struct lane {
    const struct bench_store_kind *kind;
    struct bench_store *store;
    const struct settings *settings;
    const struct workload *workload;
    uint32_t index;
    uint64_t state; /* of the random numbers */
    uint64_t done;  /* records */
    uint64_t missing;
    struct histogram latencies;
    pthread_t thread;
};

struct workload {
    const char *name;
    /* One operation; returns the records it covered. */
    uint64_t (*step)(struct lane *lane, void *worker, uint64_t i);
    uint32_t batch;  /* records an operation, for the share of `ops` */
    bool is_single;  /* one thread whatever --threads says */
    bool has_writer; /* a further thread overwrites at full speed, not counted */
};

static uint64_t deadline_ns;
static int is_over; /* atomic */

static bool is_over_get(void)
{
    return __atomic_load_n(&is_over, __ATOMIC_RELAXED) != 0;
}

static void is_over_set(bool value)
{
    __atomic_store_n(&is_over, value, __ATOMIC_RELAXED);
}

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

static uint64_t step_fill_random(struct lane *lane, void *worker, uint64_t i)
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
    return write_many(lane, worker, i * BATCH_MAX, BATCH_MAX, WRITE_IN_ORDER);
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

static uint64_t step_read_random(struct lane *lane, void *worker, uint64_t i)
{
    char room[BENCH_KEY_SIZE];
    (void)i;
    if (lane->kind->read(worker, key_of(room, random_record(lane))) < 0) {
        lane->missing++;
    }
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

/* YCSB A: half reads, half updates. */
static uint64_t step_mixed(struct lane *lane, void *worker, uint64_t i)
{
    return i % 2 == 0 ? step_read_random(lane, worker, i) : step_fill_random(lane, worker, i);
}

static uint64_t step_hot(struct lane *lane, void *worker, uint64_t i)
{
    char room[BENCH_KEY_SIZE];
    struct bench_slice key = key_of(room, 0);
    struct bench_slice value = value_of(lane);
    (void)i;
    lane->kind->write(worker, &key, &value, 1, true);
    return 1;
}

static const struct workload workloads[] = {
    {"fillseq", step_fill_seq, 1, true, false},
    {"load", step_load, 1000, true, false},
    {"fillrandom", step_fill_random, 1, false, false},
    {"overwrite", step_fill_random, 1, false, false},
    {"fillbatch", step_fill_batch, 100, false, false},
    {"fillsync", step_fill_sync, 1, false, false},
    {"batchsync", step_batch_sync, 100, false, false},
    {"readrandom", step_read_random, 1, false, false},
    {"readmissing", step_read_missing, 1, false, false},
    {"readseq", step_read_seq, 1, true, false},
    {"readreverse", step_read_reverse, 1, true, false},
    {"seekrandom", step_seek, 1, false, false},
    {"readwhilewriting", step_read_random, 1, false, true},
    {"mixed", step_mixed, 1, false, false},
    {"deleterandom", step_delete, 1, false, false},
    {"hotkey", step_hot, 1, false, false},
};

static void *lane_run(void *argument)
{
    struct lane *lane = argument;
    void *worker = lane->kind->worker_open(lane->store);
    uint64_t share = lane->settings->ops / lane->settings->threads;
    bool is_walk =
        lane->workload->step == step_read_seq || lane->workload->step == step_read_reverse;
    uint64_t begin = bench_now_ns();

    for (uint64_t i = 0; lane->done < share && !is_over_get() && begin < deadline_ns; i++) {
        lane->done += lane->workload->step(lane, worker, i);
        uint64_t end = bench_now_ns();
        histogram_add(&lane->latencies, end - begin);
        begin = end;
        if (is_walk) {
            break;
        }
    }
    lane->kind->worker_close(worker);
    return NULL;
}

/* Overwrites until the readers are done. */
static void *writer_run(void *argument)
{
    struct lane *lane = argument;
    void *worker = lane->kind->worker_open(lane->store);
    while (!is_over_get()) {
        lane->done += step_fill_random(lane, worker, 0);
    }
    lane->kind->worker_close(worker);
    return NULL;
}

static void report(const struct lane *lanes, uint32_t count, double seconds, double cpu)
{
    struct histogram *all = calloc(1, sizeof(*all));
    uint64_t done = 0;
    uint64_t missing = 0;
    struct rusage usage;

    for (uint32_t i = 0; i < count; i++) {
        histogram_merge(all, &lanes[i].latencies);
        done += lanes[i].done;
        missing += lanes[i].missing;
    }
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"store\":\"%s\",\"workload\":\"%s\",\"threads\":%u,\"records\":%llu,\"seconds\":%.3f,"
           "\"rate\":%.0f,\"missing\":%llu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,"
           "\"max_us\":%.1f,\"cpu_us\":%.3f,\"resident_mb\":%ld,\"table_mb\":%.1f}\n",
           lanes[0].kind->name, lanes[0].workload->name, count, (unsigned long long)done, seconds,
           (double)done / seconds, (unsigned long long)missing,
           (double)histogram_quantile(all, 0.5) / 1e3, (double)histogram_quantile(all, 0.99) / 1e3,
           (double)histogram_quantile(all, 0.999) / 1e3, (double)all->max_ns / 1e3,
           done == 0 ? 0 : cpu * 1e6 / (double)done, usage.ru_maxrss / 1024,
           (double)lanes[0].kind->table_bytes(lanes[0].store) / 1e6);
    fflush(stdout);
    free(all);
}

static void workload_run(const struct bench_store_kind *kind, struct bench_store *store,
                         const struct settings *settings, const struct workload *workload)
{
    struct settings own = *settings;
    own.threads = workload->is_single ? 1 : settings->threads;
    struct lane *lanes = calloc(own.threads + 1, sizeof(*lanes));
    double cpu = bench_cpu_seconds();
    uint64_t begin = bench_now_ns();

    is_over_set(false);
    deadline_ns = begin + (uint64_t)own.seconds * 1000000000;
    for (uint32_t i = 0; i < own.threads + workload->has_writer; i++) {
        lanes[i].kind = kind;
        lanes[i].store = store;
        lanes[i].settings = &own;
        lanes[i].workload = workload;
        lanes[i].index = i;
        lanes[i].state = 1000 + i + begin;
        if (pthread_create(&lanes[i].thread, NULL, i < own.threads ? lane_run : writer_run,
                           &lanes[i]) != 0) {
            bench_die("a thread could not be started");
        }
    }
    for (uint32_t i = 0; i < own.threads; i++) {
        pthread_join(lanes[i].thread, NULL);
    }
    double seconds = (double)(bench_now_ns() - begin) / 1e9;
    is_over_set(true);
    if (workload->has_writer) {
        pthread_join(lanes[own.threads].thread, NULL);
    }
    report(lanes, own.threads, seconds, bench_cpu_seconds() - cpu);
    free(lanes);
}

static const struct bench_store_kind *kind_find(const char *name)
{
    const struct bench_store_kind *kinds[] = {&bench_polarys, &bench_rocksdb, &bench_leveldb,
                                              &bench_lmdb, &bench_sqlite};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i]->name, name) == 0) {
            return kinds[i];
        }
    }
    bench_die("there is no store '%s'", name);
}

static void workloads_run(const struct bench_store_kind *kind, const struct settings *settings,
                          char *names)
{
    struct bench_store *store = kind->open(&settings->config);
    char *rest = NULL;
    for (char *name = strtok_r(names, ",", &rest); name != NULL;
         name = strtok_r(NULL, ",", &rest)) {
        const struct workload *found = NULL;
        if (strcmp(name, "compact") == 0) {
            kind->compact(store);
            continue;
        }
        for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
            found = strcmp(workloads[i].name, name) == 0 ? &workloads[i] : found;
        }
        if (found == NULL) {
            bench_die("there is no workload '%s'", name);
        }
        workload_run(kind, store, settings, found);
    }
    kind->close(store);
}

static void settings_parse(struct settings *settings, int argc, char **argv)
{
    for (int i = 3; i < argc; i++) {
        const char *option = argv[i];
        if (strcmp(option, "--no-compression") == 0) {
            settings->config.is_compressed = false;
            continue;
        }
        if (strcmp(option, "--history") == 0) {
            settings->config.has_history = true;
            continue;
        }
        const char *text = i + 1 < argc ? argv[++i] : NULL;
        if (strcmp(option, "--dir") == 0) {
            settings->config.dir = text;
        } else if (strcmp(option, "--records") == 0) {
            settings->records = bench_number_parse(option, text);
        } else if (strcmp(option, "--ops") == 0) {
            settings->ops = bench_number_parse(option, text);
        } else if (strcmp(option, "--threads") == 0) {
            settings->threads = (uint32_t)bench_number_parse(option, text);
        } else if (strcmp(option, "--value-size") == 0) {
            settings->value_size = (uint32_t)bench_number_parse(option, text);
        } else if (strcmp(option, "--seconds") == 0) {
            settings->seconds = (uint32_t)bench_number_parse(option, text);
        } else if (strcmp(option, "--buffer-mb") == 0) {
            settings->config.write_buffer_bytes = bench_number_parse(option, text) << 20;
        } else if (strcmp(option, "--cache-mb") == 0) {
            settings->config.cache_bytes = bench_number_parse(option, text) << 20;
        } else {
            bench_die("unknown option %s", option);
        }
    }
    if (settings->config.dir == NULL || settings->threads == 0 || settings->threads > THREADS_MAX ||
        settings->value_size > BENCH_VALUE_MAX || settings->records == 0) {
        bench_die("--dir is needed; 1..%d threads, values up to %d bytes, 1 record or more",
                  THREADS_MAX, BENCH_VALUE_MAX);
    }
}

int main(int argc, char **argv)
{
    struct settings settings = {
        .config = {NULL, 64 << 20, 512 << 20, true, false},
        .records = 1000000,
        .ops = 1000000,
        .threads = 1,
        .value_size = 100,
        .seconds = 30,
    };
    if (argc < 3) {
        fprintf(stderr, "usage: engine STORE WORKLOAD[,WORKLOAD...] --dir D [options]\n");
        return 2;
    }
    settings_parse(&settings, argc, argv);
    if (mkdir(settings.config.dir, 0700) != 0 && errno != EEXIST) {
        bench_die("%s: %s", settings.config.dir, strerror(errno));
    }
    bench_values_fill();
    workloads_run(kind_find(argv[1]), &settings, argv[2]);
    return 0;
}
