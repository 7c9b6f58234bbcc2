/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log that holds nothing: writes of the right size into a file written before, one fdatasync a group. The
 * group is whatever waits when the sync before it is done, as in any group commit.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/echo/echo.h"
#include "bench/support/bench.h"

enum {
    PAGE_BYTES = 4096,
    LOG_BYTES = 64 << 20,
    GROUP_BYTES_MAX = 1 << 20,
    PUT_BYTES = 160, /* of the log, for a put of 100 bytes */
};

struct echo_log {
    int file;
    uint64_t position;
    uint8_t *zeros;
    pthread_mutex_t mutex;
    pthread_cond_t has_calls;
    struct echo_call *waiting; /* guarded by mutex; the newest first */
    uint64_t waiting_count;
};

static void write_all(struct echo_log *log, size_t size)
{
    if (log->position + size > LOG_BYTES) {
        log->position = 0;
    }
    if (pwrite(log->file, log->zeros, size, (off_t)log->position) != (ssize_t)size) {
        bench_die("write the log: %s", strerror(errno));
    }
    log->position += size;
}

struct echo_log *echo_log_open(const char *path)
{
    struct echo_log *log = calloc(1, sizeof(*log));
    if (log == NULL || posix_memalign((void **)&log->zeros, PAGE_BYTES, GROUP_BYTES_MAX) != 0) {
        bench_die("no memory for the log");
    }
    memset(log->zeros, 'l', GROUP_BYTES_MAX);
    log->file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (log->file < 0) {
        bench_die("%s: %s", path, strerror(errno));
    }
    for (size_t i = 0; i < LOG_BYTES / GROUP_BYTES_MAX; i++) {
        write_all(log, GROUP_BYTES_MAX);
    }
    if (fsync(log->file) != 0 || pthread_mutex_init(&log->mutex, NULL) != 0 ||
        pthread_cond_init(&log->has_calls, NULL) != 0) {
        bench_die("prepare the log: %s", strerror(errno));
    }
    return log;
}

void echo_log_write(struct echo_log *log, uint64_t count)
{
    uint64_t size = (count * PUT_BYTES + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    write_all(log, size > GROUP_BYTES_MAX ? GROUP_BYTES_MAX : (size_t)size);
    if (fdatasync(log->file) != 0) {
        bench_die("sync the log: %s", strerror(errno));
    }
}

static void *log_run(void *context)
{
    struct echo_log *log = context;
    for (;;) {
        pthread_mutex_lock(&log->mutex);
        while (log->waiting == NULL) {
            pthread_cond_wait(&log->has_calls, &log->mutex);
        }
        struct echo_call *calls = log->waiting;
        uint64_t count = log->waiting_count;
        log->waiting = NULL;
        log->waiting_count = 0;
        pthread_mutex_unlock(&log->mutex);
        echo_log_write(log, count);
        while (calls != NULL) {
            struct echo_call *call = calls;
            calls = call->next;
            echo_answer(call);
        }
    }
    return NULL;
}

void echo_log_thread_start(struct echo_log *log)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, log_run, log) != 0) {
        bench_die("the log's thread could not be started");
    }
    pthread_detach(thread);
}

void echo_log_add(struct echo_log *log, struct echo_call *call)
{
    pthread_mutex_lock(&log->mutex);
    bool was_empty = log->waiting == NULL;
    call->next = log->waiting;
    log->waiting = call;
    log->waiting_count++;
    pthread_mutex_unlock(&log->mutex);
    if (was_empty) {
        pthread_cond_signal(&log->has_calls);
    }
}
