/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches as their files share them.
 *
 * A watch that is behind catches up: workers of the executor read the feed for it, a step at a time. One that
 * is at the end of the log has joined the hub: one task, which decodes each frame once and hands the events to
 * all watches of a table. A watch joins when it is at least as far as the hub has begun to read, so nothing is
 * missed; and no watch gives a commit twice, because it gives none at or below its resume version.
 *
 * Locks: hub->mutex before a watch's mutex; none is held while files are read, frames decoded or callbacks
 * called.
 */
#ifndef ENGINE_WATCH_INTERNAL_H
#define ENGINE_WATCH_INTERNAL_H

#include "engine/engine_internal.h"
#include "engine/engine_watch.h"
#include "engine/feed/feed.h"

enum {
    WATCH_TABLE_BUCKETS = 1024,
    WATCH_INTEREST_SLOTS = 4096,
    WATCH_ROUND_FRAMES_MAX = 256,    /* of one round of the hub */
    WATCH_ROUND_BYTES_MAX = 1 << 20, /* likewise, unless one frame is larger */
    WATCH_WORKERS = 2,               /* that catch up at the same time */
    WATCH_STEP_BYTES_MAX = 1 << 20,  /* read for one watch before it is another's turn */
    WATCH_STEP_FRAMES_MAX = 1024,    /* likewise */
    WATCH_STEP_JOINS_MAX = 16,       /* tries to join in one step */
    WATCH_PACKET_BYTES = 256 << 10,  /* a packet of a watch that catches up is about so large */
    WATCH_MEMORY_SHARE = 8,          /* of the memory limit: one of so many parts */
    WATCH_ROUND_REST_FACTOR = 4,     /* the hub rests so many times as long as it worked */
};
#define WATCH_ROUND_REST_NS_MIN UINT64_C(100000)
#define WATCH_ROUND_REST_NS_MAX UINT64_C(20000000)

/* A table: database id << 32 | table id, which is how its tree keys begin. */
static inline uint64_t watch_table_ref(uint32_t database_id, uint32_t table_id)
{
    return (uint64_t)database_id << 32 | table_id;
}

/* ---- watch_packet.c: decoded events, shared ---- */

/* One event, its bytes by their places in the packet's data. */
struct watch_item {
    uint64_t version;
    uint64_t time_unix_ms;
    uint64_t expires_at_ms;
    size_t key_at;
    size_t value_at; /* value, or end of a range */
    uint32_t key_size;
    uint32_t value_size;
    enum polarys_watch_event_kind kind;
    bool is_json;
};

/* Events of one table: whole commits in order, or documents of a snapshot. Never changes. */
struct watch_packet {
    atomic_uint reference_count;
    atomic_uint_fast64_t *memory_bytes; /* what it is charged to */
    uint64_t last_version;              /* of the last commit in it; 0: a piece of a snapshot */
    size_t item_count;
    struct watch_item *items;
    uint8_t *data;
    size_t charged_bytes;
};

/* Events on their way into a packet. Zero-initialise. */
struct watch_builder {
    uint64_t table_ref;
    struct buffer items; /* struct watch_item */
    struct buffer data;
    uint64_t last_version;
    struct watch_builder *next;
};

static inline struct polarys_slice watch_item_key(const struct watch_packet *packet,
                                                  const struct watch_item *item)
{
    return slice_make(packet->data + item->key_at, item->key_size);
}
static inline struct polarys_slice watch_item_value(const struct watch_packet *packet,
                                                    const struct watch_item *item)
{
    return slice_make(packet->data + item->value_at, item->value_size);
}

void watch_builder_deinit(struct watch_builder *builder);
static inline size_t watch_builder_bytes(const struct watch_builder *builder)
{
    return builder->items.size + builder->data.size;
}
/* Adds what an operation of a commit means to those who watch its table. is_drop: the commit drops tables.
 * Errors: CORRUPT, NO_MEMORY. */
NODISCARD enum polarys_code watch_builder_add(struct watch_builder *builder, uint64_t version,
                                              uint64_t time_unix_ms, const struct entry *operation,
                                              bool is_drop, struct polarys_error *err);
NODISCARD enum polarys_code watch_builder_add_document(struct watch_builder *builder,
                                                       const struct polarys_document *document,
                                                       struct polarys_error *err);
NODISCARD enum polarys_code watch_builder_add_snapshot_end(struct watch_builder *builder,
                                                           uint64_t version, uint64_t time_unix_ms,
                                                           struct polarys_error *err);
/* Makes a packet of what was added and empties the builder. REQUIRES: it is not empty. Errors: NO_MEMORY. */
NODISCARD enum polarys_code watch_builder_seal(struct watch_builder *builder,
                                               atomic_uint_fast64_t *memory_bytes,
                                               struct watch_packet **out,
                                               struct polarys_error *err);
/* True when the operations drop tables: whatever range of a whole table they delete. */
bool watch_commit_drops(const struct entry *operations, size_t operation_count);
void watch_packet_unref(struct watch_packet *packet); /* accepts NULL */

/* ---- the watch ---- */

/* A packet that waits. */
struct watch_queued {
    struct watch_packet *packet;
    size_t bytes; /* of what in it is this watch's */
};

enum watch_stage {
    WATCH_STAGE_SNAPSHOT,
    WATCH_STAGE_CATCH_UP,
    WATCH_STAGE_JOINED,
    WATCH_STAGE_OVER,
};

struct watch_filter;
struct watch_table;
struct watch_hub;

struct polarys_watch {
    /* Immutable after open. */
    struct watch_hub *hub;
    uint64_t table_ref;
    char *database;
    char *table;
    struct buffer prefix;
    struct buffer prefix_end; /* empty: none */
    struct watch_filter *filter;
    void (*ready)(void *context);
    void *context;
    uint64_t queue_bytes_max;
    uint64_t progress_ns;

    /* Synchronises itself. */
    atomic_uint reference_count;

    /* Guarded by hub->mutex. */
    struct polarys_watch *previous; /* of all watches */
    struct polarys_watch *next;
    struct watch_table *joined; /* NULL: has not joined */
    struct polarys_watch *previous_joined;
    struct polarys_watch *next_joined;
    struct polarys_watch *next_work;
    bool is_in_work;     /* in the list, or a worker has it */
    bool is_work_wanted; /* was wanted again while a worker had it */
    bool is_closed;

    /* Of the worker that has it; of open before. */
    enum watch_stage stage;
    struct feed_reader *reader;
    struct polarys_scan *scan;
    uint64_t snapshot_version;
    uint64_t caught_version; /* everything up to it was put into the queue */

    /* Of the hub, while it notifies. */
    struct polarys_watch *next_ready;
    /* Of the tick, while it notifies. */
    struct polarys_watch *next_tick;

    struct mutex mutex;
    struct condition quiet; /* is_notifying became false */
    /* Guarded by mutex. */
    struct watch_queued *queue; /* a ring */
    size_t queue_capacity;      /* a power of two */
    size_t queue_first;
    size_t queue_count;
    size_t queue_bytes;
    bool is_joined;
    bool is_snapshot;           /* what is put in belongs to the snapshot */
    uint64_t delivered_version; /* everything up to it was put into the queue, before it joined */
    bool is_armed;              /* found nothing: call ready */
    bool is_paused;             /* the worker waits for room */
    bool is_starved;            /* the worker waits for the tick: no memory, an empty queue */
    bool is_granted;            /* may have one packet, whatever memory is left */
    bool is_notifying;
    bool is_shut; /* ready must not be called any more */
    uint64_t idle_since_ns;
    uint64_t taken_ns; /* nothing was taken of what waits since */
    uint64_t starved_ns;
    enum polarys_code end_code; /* not OK: it has ended, when the queue is empty */
    struct polarys_error end_error;

    /* Of the thread that takes events. */
    struct watch_packet *packet;
    size_t item_index;
    uint64_t resume_version;
    bool has_given; /* something, since nothing was left last */
    bool is_over;   /* the table was dropped */
};

/* Bytes in the packet that this watch will give; 0: nothing is its own. */
size_t watch_bytes_of(const struct polarys_watch *watch, const struct watch_packet *packet);
bool watch_item_matches(const struct polarys_watch *watch, const struct watch_packet *packet,
                        const struct watch_item *item);

struct polarys_watch *watch_ref(struct polarys_watch *watch);
void watch_unref(struct polarys_watch *watch);

/* ---- watch_queue.c ---- */

/*
 * Puts a packet into the queue, with a reference of its own. `limit`: bytes that may wait; past it, unless the
 * queue is empty, the watch is cut off. True when `ready` is to be called (watch_notify).
 */
bool watch_queue_push(struct polarys_watch *watch, struct watch_packet *packet, size_t bytes,
                      uint64_t limit);
/* Ends the watch when its queue is empty; TOO_SLOW empties it. True as above. */
bool watch_queue_end(struct polarys_watch *watch, const struct polarys_error *err);
/* Takes the oldest packet, over to the caller. False when there is none. *wants_work: the worker waited for
 * room that there is now. */
bool watch_queue_take(struct polarys_watch *watch, struct watch_packet **packet, bool *wants_work);
/* For the worker, behind each packet: it should come to the end of its step. */
bool watch_queue_is_full(struct polarys_watch *watch);
/* For the worker: true when it must wait. It will be called again by watch_queue_take, when the queue is rather
 * full; by the tick, when the queue is empty and nothing is left of the memory for watches. */
bool watch_queue_pause(struct polarys_watch *watch);
/* Calls `ready`, unless the watch was closed. No lock held. */
void watch_notify(struct polarys_watch *watch);
void watch_queue_deinit(struct polarys_watch *watch);
/* Fills `err` as the error of a watch that is too slow. */
enum polarys_code watch_fail_too_slow(uint64_t limit, struct polarys_error *err);

/* ---- watch_filter.c ---- */

/* Errors: BAD_FILTER, NO_MEMORY. */
NODISCARD enum polarys_code watch_filter_make(struct polarys_slice text, struct watch_filter **out,
                                              struct polarys_error *err);
void watch_filter_destroy(struct watch_filter *filter); /* accepts NULL */
/* Errors: NO_MEMORY. */
NODISCARD enum polarys_code watch_filter_matches(struct watch_filter *filter, bool is_json,
                                                 struct polarys_slice document, bool *matches,
                                                 struct polarys_error *err);

/* ---- watch_hub.c ---- */

struct watch_table {
    uint64_t table_ref;
    struct watch_table *next;
    struct polarys_watch *first;
    size_t watch_count;
};

enum hub_task_state { HUB_TASK_IDLE, HUB_TASK_QUEUED, HUB_TASK_RUNNING, HUB_TASK_AGAIN };

struct watch_worker {
    struct task task;
    struct watch_hub *hub;
    bool is_busy; /* queued or running; guarded by hub->mutex */
};

struct watch_hub {
    /* Immutable after open. */
    struct polarys_db *db;
    struct feed *feed;
    struct executor *executor;      /* the hub's task */
    struct executor *call_executor; /* the workers */
    uint64_t memory_max;

    /* Synchronise themselves. */
    atomic_uint_fast64_t memory_bytes;      /* of all packets */
    atomic_uint_fast64_t delivered_version; /* everything up to it was handed to those who joined */
    atomic_uint interests[WATCH_INTEREST_SLOTS]; /* watches by a hash of their table */

    struct mutex mutex;
    struct condition idle; /* a task ended, a watch was freed */
    /* Guarded by mutex. */
    struct polarys_watch *watches;
    size_t watch_count;
    size_t live_count; /* watches in memory, closed ones included */
    struct watch_table *buckets[WATCH_TABLE_BUCKETS];
    size_t joined_count;
    struct feed_reader *reader; /* NULL: nobody has joined */
    uint64_t round_version;     /* every frame up to it was, or is being, looked at */
    bool is_armed;              /* the reader waits */
    bool is_short;              /* the last tick found a watch that waits for memory */
    enum hub_task_state task_state;
    struct polarys_watch *first_work;
    struct polarys_watch *last_work;
    struct watch_worker workers[WATCH_WORKERS];

    struct task task;
};

static inline unsigned watch_interest_slot(uint64_t table_ref)
{
    return (unsigned)(table_ref * UINT64_C(0x9E3779B97F4A7C15) >> 52);
}

/* What may wait for one watch now. */
uint64_t watch_hub_limit_locked(const struct watch_hub *hub, const struct polarys_watch *watch);
/* The same for one that catches up. */
uint64_t watch_hub_memory_left(const struct watch_hub *hub);
/* Makes the watch one of the hub's when it is as far as the hub, having given everything up to `version`.
 * *joined false: it is behind. Errors: NO_MEMORY, those of feed_reader_open. */
NODISCARD enum polarys_code watch_hub_join(struct polarys_watch *watch, uint64_t version,
                                           bool *joined, struct polarys_error *err);
/* NULL when nobody watches it. */
struct watch_table *watch_hub_find_locked(const struct watch_hub *hub, uint64_t table_ref);
void watch_hub_leave_locked(struct polarys_watch *watch);
/* Has the hub's task look. */
void watch_hub_kick_locked(struct watch_hub *hub);
/* Runs the hub's task: watch_round.c. */
void watch_hub_run(struct task *task);

/* ---- watch_catch_up.c ---- */

/* Has a worker go on with the watch. */
void watch_work_want(struct polarys_watch *watch);
void watch_work_want_locked(struct polarys_watch *watch);
void watch_worker_run(struct task *task);

#endif
