/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What watches cost the writers: the time of durable commits with no watch and with many watches of the same
 * table, in turns of one run, every event being taken by one thread.
 *
 *     watch DIR [SECONDS of a turn] [WATCHES] [WRITERS] [COMMITS a second; 0: as fast as they go] [all|parts]
 *
 * Every watch gets every commit (all), or only those of its part of the keys (parts): WATCHES is a power of ten then.
 * DIR must not exist; it is left for inspection.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "bench/support/bench.h"
#include "bench/support/histogram.h"
#include "engine/engine_watch.h"

enum {
    TURNS = 40,
    WATCHES_MAX = POLARYS_WATCHES_MAX,
    WRITERS_MAX = 64,
    KEY_COUNT = 100000,
    VALUE_SIZE = 100,
    NS_PER_S = 1000000000,
};

/* Watches that have something, taken by the consumer. */
struct bell {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    struct subject *first;
    bool is_over;
};

struct subject {
    struct polarys_watch *watch;
    struct bell *bell;
    struct subject *next;
    bool is_listed;
    uint64_t events;
};

struct world {
    struct polarys_db *db;
    double seconds;
    uint64_t watch_count;
    uint64_t writer_count;
    uint64_t rate;
    size_t prefix_size; /* of the keys that a watch is of; 0: all */
    struct bell bell;
    struct subject *subjects;
    uint64_t p99_ns[TURNS];
};

struct writer {
    struct world *world;
    uint64_t seed;
    struct histogram latencies;
    uint64_t end_ns;
};

static void check(enum polarys_code code, const struct polarys_error *err)
{
    if (code != POLARYS_OK) {
        bench_die("%s: %s", polarys_code_name(code), err->message);
    }
}

static void subject_ready(void *context)
{
    struct subject *subject = context;
    struct bell *bell = subject->bell;
    pthread_mutex_lock(&bell->mutex);
    if (!subject->is_listed) {
        subject->is_listed = true;
        subject->next = bell->first;
        bell->first = subject;
        if (subject->next == NULL) {
            pthread_cond_signal(&bell->condition);
        }
    }
    pthread_mutex_unlock(&bell->mutex);
}

static void subject_take_all(struct subject *subject)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_watch_event event;
    bool has_event = true;
    while (has_event) {
        check(polarys_watch_next(subject->watch, &has_event, &event, &err), &err);
        subject->events += has_event && event.kind == POLARYS_WATCH_PUT ? 1 : 0;
    }
}

static void *consume(void *context)
{
    struct bell *bell = context;
    for (;;) {
        pthread_mutex_lock(&bell->mutex);
        while (bell->first == NULL && !bell->is_over) {
            pthread_cond_wait(&bell->condition, &bell->mutex);
        }
        struct subject *list = bell->first;
        bell->first = NULL;
        for (struct subject *subject = list; subject != NULL; subject = subject->next) {
            subject->is_listed = false;
        }
        bool is_over = bell->is_over && list == NULL;
        pthread_mutex_unlock(&bell->mutex);
        if (is_over) {
            return NULL;
        }
        while (list != NULL) {
            struct subject *subject = list;
            list = subject->next;
            subject_take_all(subject);
        }
    }
}

static void *write_documents(void *context)
{
    struct writer *writer = context;
    struct world *world = writer->world;
    struct polarys_error err = POLARYS_ERROR_INIT;
    uint64_t step_ns =
        world->rate == 0 ? 0 : (uint64_t)NS_PER_S * world->writer_count / world->rate;
    uint64_t due_ns = bench_now_ns();
    while (bench_now_ns() < writer->end_ns) {
        char key[BENCH_KEY_SIZE];
        bench_key_write(key, bench_random_next(&writer->seed) % KEY_COUNT);
        struct polarys_value value = {
            .kind = POLARYS_VALUE_RAW,
            .bytes = slice_make(bench_value_pick(&writer->seed, VALUE_SIZE), VALUE_SIZE)};
        uint64_t start_ns = bench_now_ns();
        check(polarys_db_put(world->db, NULL, "t", slice_make(key, sizeof(key)), &value, NULL, NULL,
                             &err),
              &err);
        uint64_t now_ns = bench_now_ns();
        histogram_add(&writer->latencies, now_ns - start_ns);
        due_ns += step_ns;
        if (due_ns > now_ns) {
            struct timespec pause = {.tv_sec = 0, .tv_nsec = (long)(due_ns - now_ns)};
            (void)nanosleep(&pause, NULL);
        }
    }
    return NULL;
}

static void watches_open(struct world *world)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_watch_options options = {.table = "t",
                                            .queue_bytes_max = POLARYS_WATCH_QUEUE_BYTES_MAX};
    for (uint64_t i = 0; i < world->watch_count; i++) {
        struct subject *subject = &world->subjects[i];
        char key[BENCH_KEY_SIZE];
        bench_key_write(key, i * (KEY_COUNT / world->watch_count));
        options.prefix = slice_make(key, world->prefix_size);
        *subject = (struct subject){.bell = &world->bell};
        check(
            polarys_watch_open(world->db, &options, subject_ready, subject, &subject->watch, &err),
            &err);
        subject_ready(subject); /* the first look arms it */
    }
}

/* Waits until everything was given, and closes. Returns the events given. */
static uint64_t watches_close(struct world *world, pthread_t consumer, uint64_t expected)
{
    uint64_t events = 0;
    for (;;) {
        struct timespec pause = {.tv_sec = 0, .tv_nsec = 10000000};
        (void)nanosleep(&pause, NULL);
        pthread_mutex_lock(&world->bell.mutex);
        bool is_idle = world->bell.first == NULL;
        pthread_mutex_unlock(&world->bell.mutex);
        if (is_idle && polarys_watch_resume_version(world->subjects[0].watch) >= expected) {
            break;
        }
    }
    pthread_mutex_lock(&world->bell.mutex);
    world->bell.is_over = true;
    pthread_cond_signal(&world->bell.condition);
    pthread_mutex_unlock(&world->bell.mutex);
    (void)pthread_join(consumer, NULL);
    for (uint64_t i = 0; i < world->watch_count; i++) {
        polarys_watch_close(world->subjects[i].watch);
        events += world->subjects[i].events;
    }
    world->bell.is_over = false;
    world->bell.first = NULL;
    return events;
}

/* One turn; its 99th percentile goes to the world. */
static void turn(struct world *world, int number, bool is_watched)
{
    static struct writer writers[WRITERS_MAX];
    pthread_t threads[WRITERS_MAX];
    pthread_t consumer;
    uint64_t events = 0;
    if (is_watched) {
        watches_open(world);
        (void)pthread_create(&consumer, NULL, consume, &world->bell);
    }
    double cpu = bench_cpu_seconds();
    uint64_t start_ns = bench_now_ns();
    for (uint64_t i = 0; i < world->writer_count; i++) {
        writers[i] = (struct writer){.world = world,
                                     .seed = (uint64_t)number * 1000 + i + 1,
                                     .end_ns = start_ns + (uint64_t)(world->seconds * NS_PER_S)};
        (void)pthread_create(&threads[i], NULL, write_documents, &writers[i]);
    }
    struct histogram sum = {.count = 0};
    for (uint64_t i = 0; i < world->writer_count; i++) {
        (void)pthread_join(threads[i], NULL);
        histogram_merge(&sum, &writers[i].latencies);
    }
    double elapsed = (double)(bench_now_ns() - start_ns) / NS_PER_S;
    cpu = bench_cpu_seconds() - cpu;
    if (is_watched) {
        events = watches_close(world, consumer, polarys_db_durable_version(world->db));
    }
    world->p99_ns[number] = histogram_quantile(&sum, 0.99);
    printf("turn %d  watches %5llu  commits/s %8.0f  p50 %6.0f us  p99 %6.0f us  p99.9 %6.0f us  "
           "CPU %4.0f %%  events %llu\n",
           number, (unsigned long long)(is_watched ? world->watch_count : 0),
           (double)sum.count / elapsed, (double)histogram_quantile(&sum, 0.5) / 1000,
           (double)histogram_quantile(&sum, 0.99) / 1000,
           (double)histogram_quantile(&sum, 0.999) / 1000, 100 * cpu / elapsed,
           (unsigned long long)events);
    (void)fflush(stdout);
}

/* How much of a key tells the parts of the keys from each other. */
static size_t prefix_size_of(uint64_t part_count)
{
    size_t size = BENCH_KEY_SIZE;
    uint64_t keys_of_part = KEY_COUNT / part_count;
    if (keys_of_part * part_count != KEY_COUNT) {
        bench_die("%d keys cannot be in %llu equal parts", KEY_COUNT,
                  (unsigned long long)part_count);
    }
    for (; keys_of_part > 1; keys_of_part /= 10) {
        if (keys_of_part % 10 != 0) {
            bench_die("the number of watches is not a power of ten");
        }
        size--;
    }
    return size;
}

static void world_open(struct world *world, const char *dir)
{
    char key_path[600];
    char store_path[600];
    struct polarys_db_options options;
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (mkdir(dir, 0700) != 0) {
        bench_die("cannot make the directory %s", dir);
    }
    (void)snprintf(key_path, sizeof(key_path), "%.500s/master.key", dir);
    (void)snprintf(store_path, sizeof(store_path), "%.500s/store", dir);
    check(polarys_master_key_generate(key_path, &err), &err);
    polarys_db_options_init(&options);
    options.master_key_file = key_path;
    check(polarys_db_open(store_path, &options, &world->db, &err), &err);
    check(polarys_table_create(world->db, NULL, "t", NULL, NULL, &err), &err);
}

/* Of every second turn's 99th percentile, from turn `first` on: one turn that the disk spoils does not decide. */
static double median_of_turns(const struct world *world, int first)
{
    uint64_t sorted[TURNS];
    size_t count = 0;
    for (int i = first; i < TURNS; i += 2) {
        size_t at = count++;
        for (; at > 0 && sorted[at - 1] > world->p99_ns[i]; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = world->p99_ns[i];
    }
    return (double)sorted[count / 2];
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        bench_die("usage: watch DIR [SECONDS] [WATCHES] [WRITERS] [RATE] [all|parts]");
    }
    struct world world = {
        .bell = {.mutex = PTHREAD_MUTEX_INITIALIZER, .condition = PTHREAD_COND_INITIALIZER}};
    world.seconds = argc > 2 ? (double)bench_number_parse("SECONDS", argv[2]) : 5;
    world.watch_count = argc > 3 ? bench_number_parse("WATCHES", argv[3]) : 1000;
    world.writer_count = argc > 4 ? bench_number_parse("WRITERS", argv[4]) : 4;
    world.rate = argc > 5 ? bench_number_parse("RATE", argv[5]) : 0;
    if (world.watch_count == 0 || world.watch_count > WATCHES_MAX || world.writer_count == 0 ||
        world.writer_count > WRITERS_MAX) {
        bench_die("1 to %d watches, 1 to %d writers", WATCHES_MAX, WRITERS_MAX);
    }
    if (argc > 6 && strcmp(argv[6], "parts") == 0) {
        world.prefix_size = prefix_size_of(world.watch_count);
    } else if (argc > 6 && strcmp(argv[6], "all") != 0) {
        bench_die("%s is neither all nor parts", argv[6]);
    }
    world.subjects = calloc(world.watch_count, sizeof(*world.subjects));
    if (world.subjects == NULL) {
        bench_die("no memory");
    }
    bench_values_fill();
    world_open(&world, argv[1]);
    for (int i = 0; i < TURNS; i++) {
        turn(&world, i, i % 2 == 1);
    }
    double without = median_of_turns(&world, 0);
    double with = median_of_turns(&world, 1);
    printf(
        "commit p99, median of the turns: %.0f us without, %.0f us with %llu watches: %+.1f %%\n",
        without / 1000, with / 1000, (unsigned long long)world.watch_count,
        100.0 * (with - without) / without);
    struct polarys_error err = POLARYS_ERROR_INIT;
    check(polarys_db_close(world.db, 0, &err), &err);
    free(world.subjects);
    return 0;
}
