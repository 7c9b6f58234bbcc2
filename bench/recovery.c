/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long opening takes: a store whose log holds 1 GiB of padded single-record frames, one whose log holds
 * 1 GiB in 1 MiB groups, and a store that was closed cleanly.
 *
 *     recovery DIR [LOG_MIB]
 *
 * A child process writes and ends without closing, as a crash would; this process then opens the store and
 * takes the time. Exits with 1 when a limit is not kept: 10 s a GiB of log, 200 ms after a clean close.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/engine.h"

enum {
    FRAME_BYTES = 4096,    /* a durable put of one small record takes one padded frame */
    GROUP_BYTES = 1 << 20, /* a batch of this size takes one frame of about this size */
    GROUP_VALUE_BYTES = 10000,
    SMALL_VALUE_BYTES = 100,
    OPEN_MS_PER_GIB_MAX = 10000,
    CLEAN_OPEN_MS_MAX = 200,
};

static uint8_t noise[1 << 20];

static void die(const char *what, const struct polarys_error *err)
{
    fprintf(stderr, "recovery: %s: %s\n", what, err != NULL ? err->message : strerror(errno));
    exit(1);
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* Splitmix64, so that nothing compresses. */
static void noise_fill(void)
{
    uint64_t state = 1;
    for (size_t i = 0; i < sizeof(noise); i += 8) {
        uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        z ^= z >> 31;
        memcpy(noise + i, &z, sizeof(z));
    }
}

static struct polarys_db *store_open(const char *dir, const char *key_file, double *open_ms)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_db_options options;
    struct polarys_db *db;
    double begin = now_ms();

    polarys_db_options_init(&options);
    options.master_key_file = key_file;
    /* One memtable takes the whole log, so that nothing is flushed and all of it has to be replayed. */
    options.memory_limit = UINT64_C(16) << 30;
    options.memtable_bytes = UINT64_C(2000) << 20;
    if (polarys_db_open(dir, &options, &db, &err) != POLARYS_OK) {
        die("open", &err);
    }
    *open_ms = now_ms() - begin;
    return db;
}

/* Writes until the log holds about `log_bytes` in frames of the kind. */
static void log_fill(struct polarys_db *db, uint64_t log_bytes, bool is_grouped)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct polarys_batch *batch;
    uint64_t frames = log_bytes / (is_grouped ? GROUP_BYTES : FRAME_BYTES);
    uint32_t records = is_grouped ? GROUP_BYTES / (GROUP_VALUE_BYTES + 32) : 1;
    size_t value_size = is_grouped ? GROUP_VALUE_BYTES : SMALL_VALUE_BYTES;

    if (polarys_table_create(db, NULL, "t", NULL, NULL, &err) != POLARYS_OK ||
        polarys_batch_create(db, NULL, &batch, &err) != POLARYS_OK) {
        die("prepare", &err);
    }
    for (uint64_t i = 0; i < frames; i++) {
        if (polarys_batch_reset(batch, NULL, &err) != POLARYS_OK) {
            die("reset", &err);
        }
        for (uint32_t j = 0; j < records; j++) {
            char key[32];
            int size = snprintf(key, sizeof(key), "%016llx%04x",
                                (unsigned long long)(i * UINT64_C(0x9e3779b97f4a7c15)), j);
            struct polarys_slice name = {(const uint8_t *)key, (size_t)size};
            struct polarys_value value = {
                POLARYS_VALUE_RAW,
                0,
                {noise + (i * 7919 + j * 104729) % (sizeof(noise) - value_size), value_size}};
            if (polarys_batch_put(batch, "t", name, &value, &err) != POLARYS_OK) {
                die("put", &err);
            }
        }
        if (polarys_batch_commit(batch, NULL, NULL, &err) != POLARYS_OK) {
            die("commit", &err);
        }
    }
    polarys_batch_destroy(batch);
}

/* Fills the log in a process that ends without closing the store. */
static void crash_after_filling(const char *dir, const char *key_file, uint64_t log_bytes,
                                bool is_grouped)
{
    int status;
    pid_t child = fork();
    if (child < 0) {
        die("fork", NULL);
    }
    if (child == 0) {
        double open_ms;
        log_fill(store_open(dir, key_file, &open_ms), log_bytes, is_grouped);
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || status != 0) {
        die("the writing process", NULL);
    }
}

/* Opens what the crash left, closes it cleanly, opens it again. True when the limits were kept. */
static bool measure(const char *dir, const char *name, uint64_t log_bytes, bool is_grouped)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    char path[4096];
    char key_file[4096];
    double replay_ms;
    double clean_ms;
    uint64_t count;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    (void)snprintf(key_file, sizeof(key_file), "%s/%s.key", dir, name);
    if (polarys_master_key_generate(key_file, &err) != POLARYS_OK) {
        die("generate a key", &err);
    }
    crash_after_filling(path, key_file, log_bytes, is_grouped);
    struct polarys_db *db = store_open(path, key_file, &replay_ms);
    if (polarys_table_count(db, NULL, "t", NULL, NULL, NULL, &count, &err) != POLARYS_OK) {
        die("count", &err);
    }
    double begin = now_ms();
    if (polarys_db_close(db, 0, &err) != POLARYS_OK) {
        die("close", &err);
    }
    double close_ms = now_ms() - begin;
    db = store_open(path, key_file, &clean_ms);
    if (polarys_db_close(db, 0, &err) != POLARYS_OK) {
        die("close", &err);
    }
    double limit_ms = OPEN_MS_PER_GIB_MAX * ((double)log_bytes / (double)(UINT64_C(1) << 30));
    bool is_kept = replay_ms <= limit_ms && clean_ms <= CLEAN_OPEN_MS_MAX;
    printf(
        "%-22s log %llu MiB, %llu records: open after a crash %.0f ms (limit %.0f), close %.0f ms, "
        "open after a clean close %.0f ms (limit %d): %s\n",
        name, (unsigned long long)(log_bytes >> 20), (unsigned long long)count, replay_ms, limit_ms,
        close_ms, clean_ms, CLEAN_OPEN_MS_MAX, is_kept ? "kept" : "NOT KEPT");
    fflush(stdout);
    return is_kept;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: recovery DIR [LOG_MIB]\n");
        return 2;
    }
    uint64_t log_bytes = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1024) << 20;
    if (mkdir(argv[1], 0700) != 0 && errno != EEXIST) {
        die(argv[1], NULL);
    }
    polarys_log_level_set(POLARYS_LOG_ERROR);
    noise_fill();
    bool grouped = measure(argv[1], "1 MiB groups", log_bytes, true);
    bool single = measure(argv[1], "single-record frames", log_bytes, false);
    return grouped && single ? 0 : 1;
}
