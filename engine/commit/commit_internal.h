/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of commit/ share: the path's state, and who may touch which part of it.
 *
 * The log role has two halves, so that memtable work overlaps a sync. The sequencer takes the queue,
 * validates, numbers, inserts and gathers a group. The writer has one gathered group sealed and synced,
 * and publishes it. Each half is a flag under `mutex`; whoever sets it owns the fields listed for it until
 * the flag is cleared, and does the work with the mutex released. No lock is held across input or output,
 * a call into the tree or the log, or a callback.
 *
 * No wake-up is lost, because every decision to stop is made under `mutex`: a thread that finds a half
 * taken may leave its work behind, since the holder looks at the queue again after clearing the flag.
 */
#ifndef ENGINE_COMMIT_COMMIT_INTERNAL_H
#define ENGINE_COMMIT_COMMIT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/base/mutex.h"
#include "engine/commit/commit.h"

enum {
    COMMIT_TASK_DELAY_NS_MAX = 50 * 1000 * 1000, /* closing waits for a delayed task no longer */
    COMMIT_BLOCKED_RETRY_NS = 5 * 1000 * 1000,   /* looks at deadlines while the tree has no room */
    COMMIT_DISK_RETRY_NS = 50 * 1000 * 1000,     /* tries a group again that found no disk space */
    COMMIT_DRAIN_DISK_RETRIES_MAX = 20,          /* and gives it up after so many when draining */
    COMMIT_DISK_LOW_RETRY_AFTER_MS = 1000,
    COMMIT_TASK_ROUNDS_MAX = 4, /* groups that one executor task writes before others get a turn */
};

struct commit_request_list {
    struct commit_request *first;
    struct commit_request *last;
};

/* The commits of one frame, in version order. */
struct commit_group {
    struct commit_request_list requests; /* those not reported yet */
    uint64_t first_version;
    uint32_t commit_count; /* 0: empty */
    uint64_t time_unix_ms;
    uint64_t first_ns;            /* when its first commit was sequenced */
    size_t payload_bytes;         /* of the LogBatch */
    size_t room_bytes;            /* payload that the log is known to have room for */
    size_t sync_count;            /* commits that are reported only when the frame is durable */
    struct polarys_slice *pieces; /* COMMIT_GROUP_COMMITS_MAX + 1 */
    size_t piece_count;
    uint8_t *buffer; /* COMMIT_ASYNC_BUFFER_BYTES: encoded ASYNC commits, whose owners are gone */
    size_t buffer_size;
    bool is_full; /* the next commit did not fit */
    uint8_t time_piece[LOG_BATCH_TIME_SIZE];
};

enum commit_wait_state {
    COMMIT_WAIT_NONE, /* reported through `done` */
    COMMIT_WAIT_PENDING,
    COMMIT_WAIT_DONE,
};

/*
 * What a commit_wait sleeps on. They belong to the path and are used again and again, and freed only with
 * it: so a waker may signal one after unlocking it, when its sleeper may be gone, and the next sleeper
 * merely looks once in vain. Signalling inside the mutex would wake a thread only to block it.
 */
struct commit_waiter {
    struct mutex mutex;
    struct condition condition;
    /* Guarded by its mutex. */
    bool is_done;   /* set once a use; the sleeper stays until it is */
    bool is_nudged; /* shall look for work */
    /* Of the list of free ones, or of the reporter's, which ends before is_done is set. */
    struct commit_waiter *next;
    struct commit_waiter *next_made; /* of all of them */
};

struct commit_timer {
    struct task task;
    struct commit_path *path;
    bool is_armed; /* guarded by path->mutex */
};

struct commit_path {
    /* Immutable after open. */
    struct commit_options options;
    struct clock *clock;
    bool has_thread;
    bool is_real_time; /* the system's clock, so threads really run side by side */
    pthread_t thread;

    /* Synchronise themselves. */
    _Atomic(struct commit_request *)
        incoming;                       /* newest first; pushed by anyone, taken by the sequencer */
    atomic_uint_fast64_t queue;         /* commits, bytes and the draining mark in one */
    atomic_bool is_follower;            /* until commit_follow_end */
    atomic_bool is_stopped;             /* by commit_stop */
    atomic_uint_fast64_t given_version; /* stored by the sequencer */
    atomic_uint_fast64_t published_version;
    atomic_uint_fast64_t published_time_ms;
    atomic_uint_fast64_t durable_version;
    atomic_uint_fast64_t schema_version;
    atomic_uint_fast64_t announced_schema_version; /* the same, raised before published_version */
    atomic_uint_fast64_t stall_count;
    _Atomic(struct commit_waiter *) free_waiters; /* pushed by anyone, popped with the mutex held */
    atomic_bool is_in_flight_unpublished; /* set with the mutex held, cleared by the writer */
    atomic_bool is_broken;                /* the log */
    atomic_bool is_thread_asleep;

    /* The sequencer's. */
    struct commit_request_list pending; /* oldest first */
    struct commit_request_list parked;  /* conflicts with versions that are not published yet */
    uint64_t parked_version_min;
    uint64_t last_time_ms;
    uint64_t sequenced_schema_version;
    struct commit_group *gathering;
    int64_t tokens; /* bytes that may be taken now; below zero: owed */
    uint64_t tokens_ns;

    /* The writer's. */
    struct commit_group *in_flight; /* not empty between two tries when the disk was low */

    struct mutex mutex;
    struct condition progress;         /* with progress_waiter_count */
    struct condition thread_condition; /* the log thread's */

    /* Guarded by mutex. */
    bool is_sequencing;
    bool is_writing;
    bool is_disk_low; /* the group in flight found no space */
    bool is_failure_told;
    bool is_nudge_outstanding;
    bool is_stopping;         /* the log thread shall end */
    uint32_t exclusive_count; /* that wait for both halves; sequencing pauses */
    uint32_t progress_waiter_count;
    uint32_t reporting_count; /* threads that are reporting commits */
    uint32_t task_count;      /* executor tasks that run */
    uint32_t disk_retry_count;
    uint32_t linger_skip_count;
    uint32_t linger_backoff;
    uint32_t linger_target; /* commits that are likely to come */
    uint64_t wake_generation;
    uint64_t sequence_not_before_ns; /* paced, or the tree has no room; 0: at once */
    uint64_t write_not_before_ns;    /* after DISK_LOW */
    uint64_t sync_target_version;    /* somebody waits for it to be durable */
    uint64_t sync_ns_average;
    uint64_t thread_due_ns; /* when the log thread wakes by itself; 0: never */
    struct polarys_error broken_error;
    struct commit_waiter *waiters_made;
    struct commit_timer handoff;     /* drive now */
    struct commit_timer sync_timer;  /* ASYNC commits are due */
    struct commit_timer retry_timer; /* sequence_not_before_ns, write_not_before_ns */
    struct commit_stats stats;

    struct commit_group groups[2];
};

/* How a caller drives. */
struct commit_plan {
    const struct commit_request *own; /* stop when it is done; NULL: none */
    uint32_t rounds_max;              /* 0: until nothing is left to do */
    bool may_write;                   /* false: sequence only; a log thread writes */
    bool may_linger;                  /* wait a little for others, who are about to come */
    bool is_background;               /* nobody waits for this thread: also writes what can wait */
};

/* What a sequencer's pass did. */
struct commit_pass {
    uint64_t now_ns;
    bool may_take;          /* else it only releases what was held back */
    bool is_disk_low;       /* takes, but only to refuse */
    size_t in_flight_bytes; /* of the group that the writer has */
    bool is_blocked;        /* the tree has no room for the oldest one */
    uint64_t pace_ns;       /* not 0: out of tokens for so long */
    uint64_t taken_commits;
    uint64_t taken_bytes;
    uint64_t sequenced_count;
    uint64_t conflict_count;
    struct commit_request_list finished;
};

/* ---- commit_queue.c ---- */

void commit_list_append(struct commit_request_list *list, struct commit_request *request);
void commit_list_move(struct commit_request_list *to, struct commit_request_list *from);
struct commit_request *commit_list_take_first(struct commit_request_list *list);

/* False when refused: code and error say why. Wakes the log thread when there is one. */
bool commit_enqueue(struct commit_path *path, struct commit_request *request,
                    enum commit_wait_state wait_state);
/* Moves what came in to the end of `pending`. REQUIRES: the sequencer's half, or path->mutex with that
 * half free. */
void commit_queue_take(struct commit_path *path);
void commit_queue_release(struct commit_path *path, uint64_t commits, uint64_t bytes);
void commit_queue_refuse_more(struct commit_path *path);
/* Takes that back. */
void commit_queue_accept(struct commit_path *path);
bool commit_queue_is_draining(const struct commit_path *path);
uint64_t commit_queue_commits(const struct commit_path *path);
uint64_t commit_queue_bytes(const struct commit_path *path);

/* ---- commit_group.c ---- */

bool commit_group_init(struct commit_group *group);
void commit_group_deinit(struct commit_group *group);
/* Empties it. REQUIRES: its requests were moved elsewhere. */
void commit_group_reset(struct commit_group *group);
/* False when the commit has to go into the next group. */
bool commit_group_fits(const struct commit_group *group, const struct commit_request *request);
/* Adds a numbered commit. REQUIRES: it fits. */
void commit_group_append(struct commit_group *group, struct commit_request *request);

/* ---- commit_validate.c ---- */

/* False: *conflict_version is the version above which it has to be prepared again. */
bool commit_validate(struct commit_path *path, const struct commit_request *request,
                     uint64_t *conflict_version);

/* ---- commit_sequence.c; the sequencer's half ---- */

/* `pass` has now_ns and may_take set. */
void commit_sequence(struct commit_path *path, struct commit_pass *pass);
/* Something held back may be reported now. REQUIRES: path->mutex, and the half free. */
bool commit_sequence_has_releasable(const struct commit_path *path);

/* ---- commit_write.c; the writer's half ---- */

/* Makes path->in_flight durable and publishes what in it was not. Errors: wal_append's. */
NODISCARD enum polarys_code commit_write(struct commit_path *path, uint64_t *sync_ns,
                                         struct polarys_error *err);
/* Makes versions visible. REQUIRES: the half that owns publication (see commit_sequence.c). */
void commit_publish(struct commit_path *path, const struct commit_request *last, uint64_t bytes,
                    uint64_t schema_version);
/* Fails everything that waits with the log's error. REQUIRES: both halves. */
void commit_fail_all(struct commit_path *path, struct commit_request_list *finished);

/* ---- commit_role.c; REQUIRES(path->mutex), released and taken again inside ---- */

/* Does what can be done now. True when it did anything. */
bool commit_drive_locked(struct commit_path *path, const struct commit_plan *plan);
/* Sees to it that somebody does what could be done now, and at the due times. */
void commit_hand_on_locked(struct commit_path *path);
/* No group gathered or in flight, both halves free. */
bool commit_is_quiet_locked(const struct commit_path *path);
void commit_progress_locked(struct commit_path *path);

/* ---- commit_schedule.c ---- */

void commit_timer_init(struct commit_timer *timer, struct commit_path *path);
void commit_timer_arm_locked(struct commit_path *path, struct commit_timer *timer,
                             uint64_t delay_ns);
bool commit_timers_are_idle_locked(const struct commit_path *path);
/* Arms timers for what becomes due by itself. */
void commit_schedule_locked(struct commit_path *path);
/* Start routine of the log thread. */
void *commit_thread_main(void *context);
void commit_thread_wake_locked(struct commit_path *path);

/* What a group needs now. */
enum commit_urgency {
    COMMIT_URGENCY_NONE,       /* nothing, or it may still grow */
    COMMIT_URGENCY_BACKGROUND, /* ASYNC commits are due; nobody waits */
    COMMIT_URGENCY_NOW,
};
enum commit_urgency commit_write_urgency_locked(const struct commit_path *path);
bool commit_may_sequence_locked(const struct commit_path *path);
bool commit_may_take_locked(const struct commit_path *path);
bool commit_may_fail_locked(const struct commit_path *path);

/* ---- commit_wait.c ---- */

/* Reports finished requests: callers of commit_wait are woken, others called back. Releases the mutex
 * meanwhile. When plan->own is among them the role is handed on first. */
void commit_report_locked(struct commit_path *path, struct commit_request_list *finished,
                          const struct commit_plan *plan);
/* Wakes a sleeping commit_wait to look for work. */
void commit_waiter_nudge(struct commit_waiter *waiter);
void commit_waiters_free(struct commit_path *path);

/* ---- commit_linger.c ---- */

/* How many commits to wait for now; 0: do not. REQUIRES(path->mutex). */
uint32_t commit_linger_target_locked(struct commit_path *path);
/* Waits for them a little. REQUIRES: the sequencer's half. True when they came. */
bool commit_linger(struct commit_path *path, uint32_t target, uint64_t limit_ns);
void commit_linger_learn_locked(struct commit_path *path, bool came);

#endif
