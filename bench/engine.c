/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine benchmark: db_bench's and YCSB's workloads on one store, PolarysDB or a peer.
 *
 *     engine STORE WORKLOAD[,WORKLOAD...] --dir D [--records N] [--ops N] [--threads N] [--value-size B]
 *            [--seconds S] [--buffer-mb M] [--cache-mb M] [--no-compression] [--history] [--lines FILE]
 *
 * Workloads run in order on the same store; each prints one line of JSON on standard output. `compact` and
 * `settle` stand for a full compaction, and for waiting until the background has no more to write. A peer gets
 * the same keys, the same values, the same buffer, cache and number of threads. Keys are 16 bytes, as db_bench's.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "bench/engine/run.h"
#include "bench/support/bench.h"

enum { SETTLE_STEP_MS = 500, SETTLE_STEPS_MAX = 240 };

static uint64_t deadline_ns;
static int is_over; /* atomic; for the writer beside readers */

static bool is_over_get(void)
{
    return __atomic_load_n(&is_over, __ATOMIC_RELAXED) != 0;
}

static void is_over_set(bool value)
{
    __atomic_store_n(&is_over, value, __ATOMIC_RELAXED);
}

static void *lane_run(void *argument)
{
    struct lane *lane = argument;
    void *worker = lane->kind->worker_open(lane->store);
    unsigned flags = lane->workload->flags;
    uint64_t share =
        (flags & WORKLOAD_TIMED) != 0 ? UINT64_MAX : lane->settings->ops / lane->settings->threads;
    uint64_t until_ns = (flags & WORKLOAD_WHOLE) != 0 ? UINT64_MAX : deadline_ns;
    uint64_t begin = bench_now_ns();

    for (uint64_t i = 0; lane->done < share && !lane->is_at_end && begin < until_ns; i++) {
        lane->done += lane->workload->step(lane, worker, i);
        uint64_t end = bench_now_ns();
        histogram_add(&lane->latencies, end - begin);
        begin = end;
    }
    free(lane->source);
    lane->kind->worker_close(worker);
    return NULL;
}

/* Overwrites until the readers are done. */
static void *writer_run(void *argument)
{
    struct lane *lane = argument;
    void *worker = lane->kind->worker_open(lane->store);
    while (!is_over_get()) {
        lane->done += step_overwrite(lane, worker, 0);
    }
    lane->kind->worker_close(worker);
    return NULL;
}

/*
 * What this process has written so far, its log included, as handed to write calls: `write_bytes` counts a whole
 * large folio of the page cache when 4 KiB of it are written.
 */
static uint64_t written_bytes(void)
{
    char line[128];
    unsigned long long bytes = 0;
    FILE *file = fopen("/proc/self/io", "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        (void)sscanf(line, "wchar: %llu", &bytes);
    }
    if (file != NULL) {
        fclose(file);
    }
    return bytes;
}

/* Waits until the background has written nothing for a while. */
static void settle(void)
{
    uint64_t before = UINT64_MAX;
    unsigned quiet = 0;
    for (unsigned i = 0; i < SETTLE_STEPS_MAX && quiet < 3; i++) {
        struct timespec step = {0, SETTLE_STEP_MS * 1000000L};
        nanosleep(&step, NULL);
        uint64_t now = written_bytes();
        quiet = now == before ? quiet + 1 : 0;
        before = now;
    }
}

static void report(const struct lane *lanes, uint32_t count, double seconds, double cpu)
{
    struct histogram *all = calloc(1, sizeof(*all));
    uint64_t done = 0;
    uint64_t missing = 0;
    uint64_t log_bytes = 0;
    uint64_t tables_bytes = 0;
    struct rusage usage;

    for (uint32_t i = 0; i < count; i++) {
        histogram_merge(all, &lanes[i].latencies);
        done += lanes[i].done;
        missing += lanes[i].missing;
    }
    getrusage(RUSAGE_SELF, &usage);
    if (lanes[0].kind->written != NULL) {
        lanes[0].kind->written(lanes[0].store, &log_bytes, &tables_bytes);
    }
    printf("{\"store\":\"%s\",\"workload\":\"%s\",\"threads\":%u,\"records\":%llu,\"seconds\":%.3f,"
           "\"rate\":%.0f,\"missing\":%llu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,"
           "\"max_us\":%.1f,\"cpu_us\":%.3f,\"resident_mb\":%ld,\"table_mb\":%.1f,"
           "\"written_mb\":%.1f,\"log_mb\":%.1f,\"tables_written_mb\":%.1f}\n",
           lanes[0].kind->name, lanes[0].workload->name, count, (unsigned long long)done, seconds,
           (double)done / seconds, (unsigned long long)missing,
           (double)histogram_quantile(all, 0.5) / 1e3, (double)histogram_quantile(all, 0.99) / 1e3,
           (double)histogram_quantile(all, 0.999) / 1e3, (double)all->max_ns / 1e3,
           done == 0 ? 0 : cpu * 1e6 / (double)done, usage.ru_maxrss / 1024,
           (double)lanes[0].kind->table_bytes(lanes[0].store) / 1e6, (double)written_bytes() / 1e6,
           (double)log_bytes / 1e6, (double)tables_bytes / 1e6);
    fflush(stdout);
    free(all);
}

static void workload_run(const struct bench_store_kind *kind, struct bench_store *store,
                         const struct settings *settings, const struct workload *workload)
{
    struct settings own = *settings;
    bool has_writer = (workload->flags & WORKLOAD_WITH_WRITER) != 0;
    own.threads = (workload->flags & WORKLOAD_SINGLE) != 0 ? 1 : settings->threads;
    struct lane *lanes = calloc(own.threads + 1, sizeof(*lanes));
    double cpu = bench_cpu_seconds();
    uint64_t begin = bench_now_ns();

    is_over_set(false);
    deadline_ns = begin + (uint64_t)own.seconds * 1000000000;
    for (uint32_t i = 0; i < own.threads + has_writer; i++) {
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
    if (has_writer) {
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
        if (strcmp(name, "compact") == 0) {
            kind->compact(store);
            continue;
        }
        if (strcmp(name, "settle") == 0) {
            settle();
            continue;
        }
        const struct workload *found = workload_find(name);
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
        } else if (strcmp(option, "--lines") == 0) {
            settings->lines_path = text;
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
