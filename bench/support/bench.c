/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time, random numbers, keys and values. The pool of values is filled once before threads begin and only
 * read afterwards, so any thread may pick from it.
 */
#include "bench/support/bench.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* Half of every 64 bytes repeats, half is random: compresses to about a half, as db_bench's default. */
static uint8_t values_pool[BENCH_POOL_BYTES + BENCH_VALUE_MAX];

void bench_die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(1);
}

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t bench_random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void bench_values_fill(void)
{
    uint64_t state = 42;
    for (size_t i = 0; i < sizeof(values_pool); i++) {
        values_pool[i] = (i / 32) % 2 == 0 ? (uint8_t)bench_random_next(&state) : (uint8_t)'x';
    }
}

const uint8_t *bench_value_pick(uint64_t *state, size_t size)
{
    if (size > BENCH_VALUE_MAX) {
        bench_die("values are at most %d bytes", BENCH_VALUE_MAX);
    }
    return values_pool + bench_random_next(state) % BENCH_POOL_BYTES;
}

void bench_key_write(void *key, uint64_t number)
{
    uint8_t *digits = key;
    for (size_t i = BENCH_KEY_SIZE; i-- > 0;) {
        digits[i] = (uint8_t)('0' + number % 10);
        number /= 10;
    }
}

double bench_cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

double bench_cpu_seconds_of(pid_t pid)
{
    char path[64];
    char text[1024];
    unsigned long long user;
    unsigned long long system;
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    size_t size = file == NULL ? 0 : fread(text, 1, sizeof(text) - 1, file);
    if (file != NULL) {
        fclose(file);
    }
    text[size] = '\0';
    /* The name, in parentheses, may hold anything; 11 fields later come user and system time. */
    const char *rest = strrchr(text, ')');
    if (rest == NULL || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                               &user, &system) != 2) {
        bench_die("cannot read %s", path);
    }
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

uint64_t bench_number_parse(const char *option, const char *text)
{
    char *end = NULL;
    errno = 0;
    unsigned long long number = text == NULL ? 0 : strtoull(text, &end, 10);
    if (text == NULL || end == text || *end != '\0' || errno != 0) {
        bench_die("%s needs a number", option);
    }
    return number;
}
