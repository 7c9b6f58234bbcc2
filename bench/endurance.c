/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store of ten times its memory limit: does it keep the limit, give everything back, and go on writing at
 * a steady rate?
 *
 *     endurance DIR [MEMORY_MIB] [TIMES]
 *
 * One thread writes durable batches; beside it a bare writer writes and syncs 4 KiB into a file that was
 * written before, so that a second in which the disk itself stalls is told from one in which the store does.
 * Exits with 1 when the resident size goes beyond 120 % of the limit, when a second falls below a fifth of
 * the median while the bare writer did not stall too, or when a record is not as it was written.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine.h"

enum {
    VALUE_BYTES = 1000,
    BATCH_RECORDS = 20,
    SECONDS_MAX = 3600,
    BARE_FILE_BYTES = 16 << 20,
    BARE_PAUSE_US = 5000, /* the bare writer is a probe, not a rival */
    RESIDENT_PERCENT_MAX = 120,
    STALL_FRACTION = 5, /* a second below median / 5 is a stall */
};

struct second {
    uint64_t records;
    uint64_t bare_writes;
    uint64_t resident_bytes;
};

static atomic_uint_fast64_t records_written;
static atomic_uint_fast64_t bare_writes;
static atomic_bool is_over;
static struct second seconds[SECONDS_MAX];
static size_t second_count;

static void die(const char *what, const struct polarys_error *err)
{
    fprintf(stderr, "endurance: %s: %s\n", what, err != NULL ? err->message : strerror(errno));
    exit(1);
}

static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0;
    unsigned long long resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%llu %llu", &pages, &resident) != 2) {
        die("read /proc/self/statm", NULL);
    }
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void *bare_run(void *path)
{
    static uint8_t block[1 << 20];
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (file < 0) {
        die(path, NULL);
    }
    for (size_t i = 0; i < BARE_FILE_BYTES / sizeof(block); i++) {
        if (write(file, block, sizeof(block)) != (ssize_t)sizeof(block)) {
            die("write the bare file", NULL);
        }
    }
    for (uint64_t i = 0; !atomic_load(&is_over); i++) {
        if (pwrite(file, block, 4096, (off_t)(i * 4096 % BARE_FILE_BYTES)) != 4096 ||
            fdatasync(file) != 0) {
            die("sync the bare file", NULL);
        }
        atomic_fetch_add(&bare_writes, 1);
        usleep(BARE_PAUSE_US);
    }
    close(file);
    return NULL;
}

static void *watch_run(void *unused)
{
    uint64_t records = 0;
    uint64_t writes = 0;
    (void)unused;
    while (!atomic_load(&is_over) && second_count < SECONDS_MAX) {
        sleep(1);
        struct second *now = &seconds[second_count++];
        now->records = atomic_load(&records_written) - records;
        now->bare_writes = atomic_load(&bare_writes) - writes;
        now->resident_bytes = resident_bytes();
        records += now->records;
        writes += now->bare_writes;
    }
    return NULL;
}

/* The value of record `number`: splitmix64 from it, so it neither compresses nor has to be kept. */
static void value_make(uint64_t number, uint8_t value[VALUE_BYTES])
{
    uint64_t state = number;
    for (size_t i = 0; i + 8 <= VALUE_BYTES; i += 8) {
        uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        z ^= z >> 31;
        memcpy(value + i, &z, sizeof(z));
    }
}

static struct polarys_slice key_make(char room[32], uint64_t number)
{
    int size =
        snprintf(room, 32, "%016llx", (unsigned long long)(number * UINT64_C(0x9e3779b97f4a7c15)));
    struct polarys_slice key = {(const uint8_t *)room, (size_t)size};
    return key;
}

static void write_all(struct polarys_db *db, uint64_t count)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_batch *batch;
    uint8_t bytes[VALUE_BYTES];
    char room[32];

    if (polarys_batch_create(db, NULL, &batch, &err) != POLARYS_OK) {
        die("batch", &err);
    }
    for (uint64_t number = 0; number < count; number += BATCH_RECORDS) {
        if (polarys_batch_reset(batch, NULL, &err) != POLARYS_OK) {
            die("reset", &err);
        }
        for (uint64_t i = number; i < number + BATCH_RECORDS; i++) {
            value_make(i, bytes);
            struct polarys_value value = {POLARYS_VALUE_RAW, 0, {bytes, VALUE_BYTES}};
            if (polarys_batch_put(batch, "t", key_make(room, i), &value, &err) != POLARYS_OK) {
                die("put", &err);
            }
        }
        if (polarys_batch_commit(batch, NULL, NULL, &err) != POLARYS_OK) {
            die("commit", &err);
        }
        atomic_fetch_add(&records_written, BATCH_RECORDS);
    }
    polarys_batch_destroy(batch);
}

/* Reads every record back in an order of its own; returns how many were wrong. */
static uint64_t read_all(struct polarys_db *db, uint64_t count)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    uint8_t bytes[VALUE_BYTES];
    char room[32];
    uint64_t wrong = 0;
    for (uint64_t number = 0; number < count; number++) {
        struct polarys_document document;
        memset(&document, 0, sizeof(document));
        if (polarys_db_get(db, NULL, "t", key_make(room, number), NULL, &document, &err) !=
            POLARYS_OK) {
            die("get", &err);
        }
        value_make(number, bytes);
        wrong += document.value.bytes.size != VALUE_BYTES ||
                 memcmp(document.value.bytes.data, bytes, VALUE_BYTES) != 0;
        polarys_document_release(&document);
    }
    return wrong;
}

static int number_compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static uint64_t median_of(size_t from, size_t to, size_t field)
{
    static uint64_t values[SECONDS_MAX];
    size_t count = to - from;
    for (size_t i = 0; i < count; i++) {
        memcpy(&values[i], (const char *)&seconds[from + i] + field, sizeof(uint64_t));
    }
    qsort(values, count, sizeof(values[0]), number_compare);
    return count == 0 ? 0 : values[count / 2];
}

/* Seconds in which the store stalled and the disk did not. The first and the last are cut short. */
static size_t stalls_report(size_t written_seconds)
{
    uint64_t median = median_of(1, written_seconds, offsetof(struct second, records));
    uint64_t bare_median = median_of(1, written_seconds, offsetof(struct second, bare_writes));
    size_t stalls = 0;
    for (size_t i = 1; i + 1 < written_seconds; i++) {
        bool is_slow = seconds[i].records < median / STALL_FRACTION;
        bool is_disk_slow = seconds[i].bare_writes < bare_median / STALL_FRACTION;
        if (is_slow) {
            printf("second %zu: %llu records (median %llu), bare writer %llu (median %llu)%s\n", i,
                   (unsigned long long)seconds[i].records, (unsigned long long)median,
                   (unsigned long long)seconds[i].bare_writes, (unsigned long long)bare_median,
                   is_disk_slow ? ": the disk stalled" : ": A STALL");
        }
        stalls += is_slow && !is_disk_slow;
    }
    printf(
        "%zu seconds of writing, median %llu records/s, %zu stalls that the disk does not explain\n",
        written_seconds, (unsigned long long)median, stalls);
    return stalls;
}

static struct polarys_db *store_open(const char *dir, uint64_t memory_limit)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_db_options options;
    struct polarys_db *db;
    char key_file[4096];
    char path[4096];

    (void)snprintf(key_file, sizeof(key_file), "%s/master.key", dir);
    (void)snprintf(path, sizeof(path), "%s/data", dir);
    if (polarys_master_key_generate(key_file, &err) != POLARYS_OK) {
        die("generate a key", &err);
    }
    polarys_db_options_init(&options);
    options.master_key_file = key_file;
    options.memory_limit = memory_limit;
    if (polarys_db_open(path, &options, &db, &err) != POLARYS_OK ||
        polarys_table_create(db, NULL, "t", NULL, NULL, &err) != POLARYS_OK) {
        die("open", &err);
    }
    return db;
}

int main(int argc, char **argv)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    pthread_t bare;
    pthread_t watch;
    char bare_path[4096];
    if (argc < 2) {
        fprintf(stderr, "usage: endurance DIR [MEMORY_MIB] [TIMES]\n");
        return 2;
    }
    uint64_t memory_limit = (argc > 2 ? strtoull(argv[2], NULL, 10) : 64) << 20;
    uint64_t times = argc > 3 ? strtoull(argv[3], NULL, 10) : 10;
    uint64_t count = memory_limit * times / (VALUE_BYTES + 16) / BATCH_RECORDS * BATCH_RECORDS;
    if (mkdir(argv[1], 0700) != 0 && errno != EEXIST) {
        die(argv[1], NULL);
    }
    polarys_log_level_set(POLARYS_LOG_ERROR);
    (void)snprintf(bare_path, sizeof(bare_path), "%s/bare", argv[1]);
    struct polarys_db *db = store_open(argv[1], memory_limit);
    if (pthread_create(&bare, NULL, bare_run, bare_path) != 0 ||
        pthread_create(&watch, NULL, watch_run, NULL) != 0) {
        die("start a thread", NULL);
    }
    write_all(db, count);
    size_t written_seconds = second_count;
    uint64_t wrong = read_all(db, count);
    atomic_store(&is_over, true);
    pthread_join(bare, NULL);
    pthread_join(watch, NULL);
    if (polarys_db_close(db, 0, &err) != POLARYS_OK) {
        die("close", &err);
    }
    uint64_t resident_max = 0;
    for (size_t i = 0; i < second_count; i++) {
        resident_max =
            seconds[i].resident_bytes > resident_max ? seconds[i].resident_bytes : resident_max;
    }
    size_t stalls = stalls_report(written_seconds);
    uint64_t percent = resident_max * 100 / memory_limit;
    printf(
        "%llu records, %llu MiB of values, memory limit %llu MiB: resident at most %llu MiB (%llu %%), "
        "%llu records read back wrong\n",
        (unsigned long long)count, (unsigned long long)(count * VALUE_BYTES >> 20),
        (unsigned long long)(memory_limit >> 20), (unsigned long long)(resident_max >> 20),
        (unsigned long long)percent, (unsigned long long)wrong);
    return wrong == 0 && stalls == 0 && percent <= RESIDENT_PERCENT_MAX ? 0 : 1;
}
