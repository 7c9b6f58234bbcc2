/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commit path alone, on the real log and the real tree: durable commits a second by number of blocked
 * threads, and ASYNC puts a second, beside a bare loop of write and fdatasync on a file written before.
 *
 *     micro_commit DIR [SECONDS]     (DIR must not exist; it is left for inspection)
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench/support/bench.h"
#include "engine/commit/commit.h"
#include "engine/sst/block_cache.h"
#include "engine/vfs/vfs.h"

enum {
    THREADS_MAX = 256,
    KEY_COUNT = 1000000,
    VALUE_SIZE = 100,
    BARE_FILE_BYTES = 32 << 20,
    BARE_WRITE_BYTES = 4096,
    NS_PER_S = 1000000000,
};

struct world {
    char dir[512];
    char log_dir[600];
    struct master_key master;
    struct executor *executor;
    struct keyring *keyring;
    struct block_cache *cache;
    struct tree *tree;
    struct wal *wal;
    struct commit_path *path;
    double seconds;
};

struct run {
    struct world *world;
    enum commit_durability durability;
    atomic_bool is_over;
    atomic_uint_fast64_t done;
};

static void check(enum polarys_code code, const struct polarys_error *err)
{
    if (code != POLARYS_OK) {
        bench_die("%s: %s", polarys_code_name(code), err->message);
    }
}

static size_t keep_nothing(void *context, uint64_t *versions, uint64_t *history_start)
{
    struct world *world = context;
    (void)versions;
    *history_start = world->path == NULL ? 0 : commit_published_version(world->path);
    return 0;
}

static void wake_path(void *context)
{
    struct world *world = context;
    if (world->path != NULL) {
        commit_wake(world->path);
    }
}

static void tree_and_log_open(struct world *world)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    struct manifest *manifest;
    struct manifest_options manifest_options = {.vfs = vfs_posix(),
                                                .dir = world->dir,
                                                .keyring = world->keyring,
                                                .random = random_system()};
    check(manifest_create(&manifest_options, &manifest, &err), &err);
    struct tree_options tree_options = {.env = {.vfs = vfs_posix(),
                                                .dir = world->dir,
                                                .keyring = world->keyring,
                                                .random = random_system(),
                                                .cache = world->cache},
                                        .manifest = manifest,
                                        .executor = world->executor,
                                        .memtable_bytes = MEMTABLE_BYTES_DEFAULT,
                                        .block_bytes = 16 << 10,
                                        .zstd_level_upper = 1,
                                        .zstd_level_last = 1,
                                        .retention = keep_nothing,
                                        .room_made = wake_path,
                                        .context = world};
    check(tree_open(&tree_options, &world->tree, &err), &err);
    struct wal_options wal_options = {.vfs = vfs_posix(),
                                      .dir = world->log_dir,
                                      .keyring = world->keyring,
                                      .random = random_system(),
                                      .executor = world->executor,
                                      .segment_bytes = WAL_SEGMENT_BYTES_DEFAULT,
                                      .sync_mode = WAL_SYNC_AUTO};
    struct wal_position start = {.segment_id = 0};
    uint8_t history_id[HISTORY_ID_SIZE] = {1};
    check(wal_open(&wal_options, &start, 1, 1, history_id, &world->wal, &err), &err);
}

static void world_open(struct world *world, const char *dir)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    snprintf(world->dir, sizeof(world->dir), "%s", dir);
    snprintf(world->log_dir, sizeof(world->log_dir), "%s/log", dir);
    if (mkdir(world->dir, 0700) != 0 || mkdir(world->log_dir, 0700) != 0) {
        bench_die("%s must be a directory that can be made", dir);
    }
    check(executor_pool_create(2, clock_system(), &world->executor, &err), &err);
    struct keyring_options keyring_options = {.vfs = vfs_posix(),
                                              .dir = world->dir,
                                              .random = random_system(),
                                              .clock = clock_system(),
                                              .master_keys = &world->master,
                                              .master_key_count = 1};
    check(keyring_create(&keyring_options, &world->keyring, &err), &err);
    check(block_cache_create(64 << 20, &world->cache, &err), &err);
    tree_and_log_open(world);
    struct commit_options options = {.tree = world->tree,
                                     .wal = world->wal,
                                     .executor = world->executor,
                                     .role_policy = COMMIT_ROLE_INLINE};
    check(commit_open(&options, &world->path, &err), &err);
}

static void world_close(struct world *world)
{
    commit_close(world->path);
    wal_close(world->wal);
    tree_close(world->tree);
    block_cache_destroy(world->cache);
    keyring_close(world->keyring);
    executor_pool_destroy(world->executor);
}

static void put_random(struct run *run, uint64_t *state, struct buffer *encoded)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    uint8_t key[TREE_KEY_PREFIX_SIZE + BENCH_KEY_SIZE];
    tree_key_put_prefix(key, 1, 1);
    bench_key_write(key + TREE_KEY_PREFIX_SIZE, bench_random_next(state) % KEY_COUNT);
    struct entry operation = {.key = slice_make(key, sizeof(key)),
                              .value = slice_make(bench_value_pick(state, VALUE_SIZE), VALUE_SIZE),
                              .kind = ENTRY_PUT};
    buffer_clear(encoded);
    check(log_commit_encode(encoded, &operation, 1, &err), &err);
    struct commit_request request = {.operations = &operation,
                                     .operation_count = 1,
                                     .encoded = buffer_slice(encoded),
                                     .durability = run->durability};
    check(commit_wait(run->world->path, &request), &request.error);
}

static void *lane_main(void *context)
{
    struct run *run = context;
    struct buffer encoded = {.size = 0};
    uint64_t state = (uintptr_t)&encoded;
    uint64_t done = 0;
    while (!atomic_load_explicit(&run->is_over, memory_order_relaxed)) {
        put_random(run, &state, &encoded);
        done++;
    }
    atomic_fetch_add(&run->done, done);
    buffer_deinit(&encoded);
    return NULL;
}

static void measure(struct world *world, enum commit_durability durability, int thread_count)
{
    struct run run = {.world = world, .durability = durability};
    struct commit_stats before;
    struct commit_stats after;
    pthread_t threads[THREADS_MAX];
    commit_stats_get(world->path, &before);
    uint64_t start_ns = bench_now_ns();
    for (int i = 0; i < thread_count; i++) {
        if (pthread_create(&threads[i], NULL, lane_main, &run) != 0) {
            bench_die("start a thread");
        }
    }
    struct timespec pause = {.tv_sec = (time_t)world->seconds,
                             .tv_nsec = (long)((world->seconds - (long)world->seconds) * NS_PER_S)};
    nanosleep(&pause, NULL);
    atomic_store(&run.is_over, true);
    for (int i = 0; i < thread_count; i++) {
        pthread_join(threads[i], NULL);
    }
    double elapsed = (double)(bench_now_ns() - start_ns) / NS_PER_S;
    commit_stats_get(world->path, &after);
    double groups = (double)(after.group_count - before.group_count);
    printf("%-10s %3d threads %10.0f commits/s  %7.0f frames/s  %6.1f commits a frame\n",
           durability == COMMIT_ASYNC ? "async" : "local sync", thread_count,
           (double)atomic_load(&run.done) / elapsed, groups / elapsed,
           groups == 0 ? 0 : (double)(after.commit_count - before.commit_count) / groups);
    (void)fflush(stdout);
}

static void measure_bare(const struct world *world)
{
    char path[600];
    static uint8_t block[BARE_WRITE_BYTES];
    snprintf(path, sizeof(path), "%s/bare", world->dir);
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    for (off_t at = 0; at < BARE_FILE_BYTES; at += BARE_WRITE_BYTES) {
        if (pwrite(file, block, sizeof(block), at) != (ssize_t)sizeof(block)) {
            bench_die("write %s", path);
        }
    }
    uint64_t count = 0;
    uint64_t start_ns = 0;
    if (fsync(file) != 0) {
        bench_die("sync %s", path);
    }
    start_ns = bench_now_ns();
    while ((double)(bench_now_ns() - start_ns) < world->seconds * NS_PER_S) {
        off_t at = (off_t)(count * BARE_WRITE_BYTES % BARE_FILE_BYTES);
        if (pwrite(file, block, sizeof(block), at) < 0 || fdatasync(file) != 0) {
            bench_die("write and sync %s", path);
        }
        count++;
    }
    printf("bare write + fdatasync    %10.0f /s\n", (double)count / world->seconds);
    (void)close(file);
    (void)unlink(path);
}

int main(int count, char **arguments)
{
    static const int sync_threads[] = {1, 2, 4, 16, 64, 100};
    static const int async_threads[] = {1, 2, 4};
    static struct world world;
    if (count < 2) {
        bench_die("usage: micro_commit DIR [SECONDS]");
    }
    world.seconds = count > 2 ? strtod(arguments[2], NULL) : 1;
    bench_values_fill();
    world_open(&world, arguments[1]);
    measure_bare(&world);
    for (size_t i = 0; i < sizeof(sync_threads) / sizeof(sync_threads[0]); i++) {
        measure(&world, COMMIT_LOCAL_SYNC, sync_threads[i]);
    }
    for (size_t i = 0; i < sizeof(async_threads) / sizeof(async_threads[0]); i++) {
        measure(&world, COMMIT_ASYNC, async_threads[i]);
    }
    measure_bare(&world);
    world_close(&world);
    return 0;
}
