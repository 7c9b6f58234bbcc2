/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every benchmark program needs: time, random numbers, values that compress as real ones do, and a way
 * to stop. Nothing here reports an error to its caller: a benchmark that goes on after a failure measures
 * nothing, so each function ends the program instead.
 */
#ifndef BENCH_SUPPORT_BENCH_H
#define BENCH_SUPPORT_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    BENCH_VALUE_MAX = 1 << 20,
    BENCH_POOL_BYTES = 1 << 20, /* values begin anywhere within */
    BENCH_KEY_SIZE = 16,
};

/* Prints "bench: ..." and exits with status 1. */
__attribute__((noreturn, format(printf, 1, 2))) void bench_die(const char *format, ...);

/* Of the monotonic clock. */
uint64_t bench_now_ns(void);

/* splitmix64 (Steele, Lea, Flood 2014). */
uint64_t bench_random_next(uint64_t *state);

/* Fills the pool of values; once, before threads begin. */
void bench_values_fill(void);
/* `size` bytes out of the pool, from a random place. Static storage. REQUIRES: size <= BENCH_VALUE_MAX. */
const uint8_t *bench_value_pick(uint64_t *state, size_t size);

/* Writes `number` as BENCH_KEY_SIZE decimal digits, without a NUL. */
void bench_key_write(void *key, uint64_t number);

/* CPU time of this process so far, of all its threads. */
double bench_cpu_seconds(void);
/* CPU time of another process, in steps of the kernel's tick (10 ms). */
double bench_cpu_seconds_of(pid_t pid);

/* The number that `text` is; ends the program, naming `option`, when it is none. */
uint64_t bench_number_parse(const char *option, const char *text);

#endif
