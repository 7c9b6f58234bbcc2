/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long after its acknowledgement by the primary a single write can be read on a replica, on a log that is idle
 * otherwise; beside it, in the same turns, the disk's own time to sync 4 KiB.
 *
 *     lag PRIMARY REPLICA SYNC_FILE [WRITES] [PAUSE_MS]
 *
 * One thread: a put, then reads of the replica at LOCAL until one has the new version. So a lag counts up to the return
 * of that read, a call's time included; the shortest that could be seen is that of one read, which is printed too.
 * PRIMARY and REPLICA are HOST:PORT; SYNC_FILE, on the disk that is to be measured, is made and left. Prints a line of JSON.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/support/bench.h"
#include "bench/support/histogram.h"
#include "client/polarys.h"

enum {
    WRITES_DEFAULT = 2000,
    WARM_WRITES = 100, /* before the measured ones */
    PAUSE_MS_DEFAULT = 2,
    LAG_SECONDS_MAX = 10,
    READS_MAX = 1000000, /* of one write */
    VALUE_BYTES = 100,
    SYNC_BYTES = 4096,
    SYNC_FILE_BYTES = 4 << 20,
};

static const char table[] = "lag";

struct lag {
    struct polarys_client *primary;
    struct polarys_client *replica;
    int sync_fd;
    uint64_t pause_ms;
    struct histogram puts;
    struct histogram lags;
    struct histogram reads;
    struct histogram syncs;
};

static struct polarys_client *client_open(const char *endpoint)
{
    struct polarys_client_options options;
    struct polarys_client_error err;
    struct polarys_client *client;
    polarys_client_options_init(&options);
    options.endpoint = endpoint;
    options.makes_request_ids = false;
    if (!polarys_client_open(&options, &client, &err) ||
        !polarys_client_wait_ready(client, LAG_SECONDS_MAX * 1000, &err)) {
        bench_die("%s: %s", endpoint, err.message);
    }
    return client;
}

static int sync_file_open(const char *path)
{
    static const uint8_t zeros[SYNC_FILE_BYTES];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || pwrite(fd, zeros, sizeof(zeros), 0) != SYNC_FILE_BYTES || fsync(fd) != 0) {
        bench_die("%s can't be written", path);
    }
    return fd;
}

/* One write into what was written before, as the log's are, and its sync. */
static void disk_sync(struct lag *lag, uint64_t number)
{
    uint8_t block[SYNC_BYTES];
    memset(block, (int)(number & 0xff), sizeof(block));
    uint64_t begun = bench_now_ns();
    off_t offset = (off_t)(number % (SYNC_FILE_BYTES / SYNC_BYTES)) * SYNC_BYTES;
    if (pwrite(lag->sync_fd, block, sizeof(block), offset) != SYNC_BYTES ||
        fdatasync(lag->sync_fd) != 0) {
        bench_die("the file for syncs can't be written");
    }
    histogram_add(&lag->syncs, bench_now_ns() - begun);
}

static uint64_t put(struct lag *lag, uint64_t number)
{
    char key[BENCH_KEY_SIZE];
    uint64_t state = number;
    struct polarys_client_result result;
    struct polarys_client_error err;
    bench_key_write(key, number);
    struct polarys_client_write write = {.table = table,
                                         .key = key,
                                         .key_size = sizeof(key),
                                         .kind = POLARYS_CLIENT_RAW,
                                         .value = bench_value_pick(&state, VALUE_BYTES),
                                         .value_size = VALUE_BYTES,
                                         .durability = POLARYS_CLIENT_LOCAL_SYNC};
    if (!polarys_client_put(lag->primary, &write, &result, &err)) {
        bench_die("put: %s", err.message);
    }
    return result.version;
}

/* Whether the replica has the version of the key now. */
static bool is_readable(struct lag *lag, uint64_t number, uint64_t version)
{
    char name[BENCH_KEY_SIZE];
    struct polarys_client_document document;
    struct polarys_client_error err;
    bench_key_write(name, number);
    struct polarys_client_key key = {.table = table, .key = name, .key_size = sizeof(name)};
    struct polarys_client_read read = {.consistency = POLARYS_CLIENT_LOCAL};
    uint64_t begun = bench_now_ns();
    bool has = polarys_client_get(lag->replica, &key, &read, &document, &err);
    histogram_add(&lag->reads, bench_now_ns() - begun);
    if (!has) {
        if (err.status != POLARYS_CLIENT_NOT_FOUND) {
            bench_die("get: %s", err.message);
        }
        return false;
    }
    has = document.version >= version;
    polarys_client_document_free(&document);
    return has;
}

static void write_follow(struct lag *lag, uint64_t number)
{
    uint64_t begun = bench_now_ns();
    uint64_t version = put(lag, number);
    uint64_t acknowledged = bench_now_ns();
    histogram_add(&lag->puts, acknowledged - begun);
    for (uint32_t i = 0; !is_readable(lag, number, version); i++) {
        if (i == READS_MAX ||
            bench_now_ns() - acknowledged > (uint64_t)LAG_SECONDS_MAX * 1000000000) {
            bench_die("version %" PRIu64 " is not on the replica after %d s", version,
                      LAG_SECONDS_MAX);
        }
    }
    histogram_add(&lag->lags, bench_now_ns() - acknowledged);
}

static void turn(struct lag *lag, uint64_t number)
{
    struct timespec pause = {.tv_sec = (time_t)(lag->pause_ms / 1000),
                             .tv_nsec = (long)(lag->pause_ms % 1000) * 1000000};
    write_follow(lag, number);
    disk_sync(lag, number);
    (void)nanosleep(&pause, NULL);
}

static void histogram_print(const char *name, const struct histogram *histogram, const char *end)
{
    printf("\"%s_p50_us\":%.0f,\"%s_p99_us\":%.0f,\"%s_max_us\":%.0f%s", name,
           (double)histogram_quantile(histogram, 0.5) / 1e3, name,
           (double)histogram_quantile(histogram, 0.99) / 1e3, name, (double)histogram->max_ns / 1e3,
           end);
}

int main(int argc, char **argv)
{
    static struct lag lag;
    struct polarys_client_error err;
    if (argc < 4 || argc > 6) {
        bench_die("usage: lag PRIMARY REPLICA SYNC_FILE [WRITES] [PAUSE_MS]");
    }
    uint64_t writes = argc > 4 ? bench_number_parse("WRITES", argv[4]) : WRITES_DEFAULT;
    lag.pause_ms = argc > 5 ? bench_number_parse("PAUSE_MS", argv[5]) : PAUSE_MS_DEFAULT;
    bench_values_fill();
    lag.primary = client_open(argv[1]);
    lag.replica = client_open(argv[2]);
    lag.sync_fd = sync_file_open(argv[3]);
    if (!polarys_client_table_create(lag.primary, NULL, table, NULL, &err) &&
        err.status != POLARYS_CLIENT_ALREADY_EXISTS) {
        bench_die("table create: %s", err.message);
    }
    /* Until the replica has the table, a get of it fails; a strong read waits. */
    struct polarys_client_key key = {.table = table, .key = "-", .key_size = 1};
    struct polarys_client_document document;
    if (polarys_client_get(lag.replica, &key, NULL, &document, &err)) {
        polarys_client_document_free(&document);
    }
    for (uint64_t i = 0; i < WARM_WRITES; i++) {
        turn(&lag, i);
    }
    lag.puts = lag.lags = lag.reads = lag.syncs = (struct histogram){.count = 0};
    for (uint64_t i = 0; i < writes; i++) {
        turn(&lag, WARM_WRITES + i);
    }
    printf("{\"writes\":%" PRIu64 ",", writes);
    histogram_print("lag", &lag.lags, ",");
    histogram_print("put", &lag.puts, ",");
    histogram_print("read", &lag.reads, ",");
    histogram_print("sync", &lag.syncs, "}\n");
    polarys_client_close(lag.primary);
    polarys_client_close(lag.replica);
    return close(lag.sync_fd) == 0 ? 0 : 1;
}
