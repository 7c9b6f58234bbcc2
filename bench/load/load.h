/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load client: what it is told, what it counts, and the workloads. It is light on purpose: raw bytes of
 * protobuf instead of the client library, one completion queue on one thread, one batch of operations a call;
 * so that the same client drives PolarysDB, a bare echo server and etcd, and little of the machine is its own.
 */
#ifndef BENCH_LOAD_LOAD_H
#define BENCH_LOAD_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include <grpc/grpc.h>

#include "bench/support/bench.h"
#include "bench/support/histogram.h"

enum {
    LOAD_CONNECTIONS_MAX = 4096,
    LOAD_IN_FLIGHT_MAX = 8192,
    LOAD_BATCH_MAX = 10000, /* records of a message on a stream */
    LOAD_JSON_SIZE_MIN = 48,
    LOAD_REQUEST_BYTES_MAX = 2 * BENCH_VALUE_MAX + 1024,
};

struct load_settings {
    const char *target; /* host:port, or unix:/path */
    const char *table;
    uint32_t connections;
    uint32_t in_flight; /* calls together; on write streams, batches of each stream */
    uint32_t value_size;
    uint32_t batch;      /* records of a message on a write stream */
    uint32_t read_share; /* of `mixed`, per cent */
    bool is_json;        /* documents are {"id": the key's number, "pad": ...} instead of bytes */
    uint32_t durability; /* 0: the server's default */
    uint64_t keys;
    uint64_t ops_max; /* 0: until the time is over */
    uint64_t rate;    /* calls a second at fixed times; 0: each when one before it is done */
    double seconds;
    double warmup_seconds;
    pid_t server_pid; /* 0: unknown */
};

/* What a workload has counted between the end of its warm-up and its end. */
struct load_result {
    struct histogram latencies;      /* of reads, or of all where there is one kind */
    struct histogram latencies_more; /* of the writes of `mixed` */
    uint64_t done;                   /* calls, or messages */
    uint64_t records;
    uint64_t bytes;           /* of answers */
    uint64_t writer_done_min; /* of all calls in flight, the one that got least done, and most */
    uint64_t writer_done_max;
    uint64_t failures;
    char failure[256]; /* the first one */
    double seconds;
    double client_cpu_seconds;
    double server_cpu_seconds;
};

/* The time that counts; begun when the warm-up is over. */
struct load_clock {
    uint64_t begin_ns; /* of the counting */
    uint64_t end_ns;
    bool is_counting;
    double client_cpu;
    double server_cpu;
};

struct load_target {
    const struct load_settings *settings;
    grpc_channel *channels[LOAD_CONNECTIONS_MAX];
    grpc_completion_queue *queue;
};

enum load_kind {
    LOAD_GET,
    LOAD_PUT,
    LOAD_TRANSACT, /* two gets and two puts in one single-shot transaction */
    LOAD_QUERY,    /* an equality on the field "id"; needs documents of JSON and an index */
    LOAD_UPDATE,   /* of one key by all: a read-modify-write that conflicts with every other */
    LOAD_ETCD_RANGE,
    LOAD_ETCD_RANGE_LOCAL,
    LOAD_ETCD_PUT,
};

/* How the calls of one workload are made up. */
struct load_unary {
    enum load_kind read;
    enum load_kind write;
    uint32_t read_share; /* per cent */
    bool is_in_order;    /* keys 0, 1, 2 ... once each: fills a table */
};

void load_target_open(struct load_target *target, const struct load_settings *settings);
void load_target_close(struct load_target *target);

/* CreateTable; a table that exists already is as good. */
void load_table_create(struct load_target *target);

/* Closed loop, or at fixed times when settings->rate is set. */
void load_unary_run(struct load_target *target, const struct load_unary *unary,
                    struct load_result *result);
/* One write stream a connection. `is_in_order`: keys 0, 1, 2 ... once each. */
void load_write_stream_run(struct load_target *target, bool is_in_order,
                           struct load_result *result);
/* One scan of the whole table a connection, again and again. */
void load_scan_stream_run(struct load_target *target, struct load_result *result);

/* ---- the clock of a workload ---- */

/* Without a warm-up the counting begins here. */
void load_clock_begin(struct load_clock *clock, const struct load_settings *settings,
                      bool has_warmup);
/* Call it often. True when the time is over; starts the counting when the warm-up is. */
bool load_clock_is_over(struct load_clock *clock, uint64_t now_ns,
                        const struct load_settings *settings);
/* Fills in what time and CPU the counting took. */
void load_clock_end(const struct load_clock *clock, const struct load_settings *settings,
                    struct load_result *result);
/* Counts a failure and keeps the text of the first. */
void load_failure_add(struct load_result *result, grpc_status_code status, grpc_slice text);

/* ---- messages; each returns its size ---- */

const char *load_message_method(enum load_kind kind);
size_t load_message_write(enum load_kind kind, const struct load_settings *settings, uint64_t key,
                          uint64_t *random, uint8_t *to);
size_t load_message_create_table(const struct load_settings *settings, uint8_t *to);
/* CreateIndex on "id", waiting until it is ready. */
size_t load_message_create_index(const struct load_settings *settings, uint8_t *to);
/* A put of the document that LOAD_UPDATE updates. */
size_t load_message_hot(const struct load_settings *settings, uint8_t *to);
size_t load_message_scan(const struct load_settings *settings, uint8_t *to);
size_t load_message_write_open(const struct load_settings *settings, uint8_t *to);
size_t load_message_write_close(uint8_t *to);
/* Bytes that load_message_write_batch needs at most. */
size_t load_message_write_batch_max(const struct load_settings *settings, uint32_t count);
/* A batch of `count` records with keys from `first` on, or random ones when `random_keys`. */
size_t load_message_write_batch(const struct load_settings *settings, uint64_t number,
                                uint32_t count, uint64_t first, bool random_keys, uint64_t *random,
                                uint8_t *to);

/* What a write stream's answer says. */
enum load_answer { LOAD_ANSWER_OPENED, LOAD_ANSWER_ACK, LOAD_ANSWER_CLOSED };
struct load_write_answer {
    enum load_answer kind;
    uint64_t number; /* of the batch acknowledged */
    uint64_t window_bytes;
    bool is_refused;
};
void load_message_read_answer(const uint8_t *bytes, size_t size, struct load_write_answer *answer);
/* Documents in a ScanResponse. */
uint64_t load_message_count_documents(const uint8_t *bytes, size_t size);

#endif
