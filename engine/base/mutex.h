/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutexes with ranks. A thread may take a mutex only when its rank is higher than that of every mutex it
 * holds; debug builds (POLARYS_DEBUG) check it, so a lock-order bug shows on the first wrong nesting and
 * not on the first deadlock. The order is kept in docs/threads.md.
 *
 * Waiting goes through executor_wait (engine/base/executor.h), so that a simulated executor can run the
 * work that is waited for.
 */
#ifndef ENGINE_BASE_MUTEX_H
#define ENGINE_BASE_MUTEX_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Outermost first. Gaps are for later modules. */
enum mutex_rank {
    MUTEX_RANK_STORE_OPEN = 10,
    MUTEX_RANK_SERVICE = 20,
    MUTEX_RANK_CATALOG = 30,
    MUTEX_RANK_TXNS = 31,       /* the table of open transactions */
    MUTEX_RANK_TXN = 32,        /* one transaction */
    MUTEX_RANK_LOCK_WAITS = 33, /* the waits of the lock table */
    MUTEX_RANK_WATCH_HUB = 34,
    MUTEX_RANK_LOCK_STRIPE = 35,
    MUTEX_RANK_WATCH = 36, /* one watch's queue */
    MUTEX_RANK_SLOTS = 38,
    MUTEX_RANK_SNAPSHOTS = 40,
    MUTEX_RANK_COMMIT_ROLE = 50,
    MUTEX_RANK_COMMIT_QUEUE = 60,
    MUTEX_RANK_TREE = 70, /* versions of the tree and the memtable set */
    MUTEX_RANK_MANIFEST = 80,
    MUTEX_RANK_WAL = 90,
    MUTEX_RANK_FEED = 95,
    MUTEX_RANK_TABLE_CACHE = 100,
    MUTEX_RANK_BLOCK_CACHE = 110,
    MUTEX_RANK_KEYRING = 120,
    MUTEX_RANK_EXECUTOR = 130,
    MUTEX_RANK_MEMORY = 140,
    MUTEX_RANK_VFS = 150,
    MUTEX_RANK_LOG = 160, /* log lines */
};

/* NO_THREAD_SAFETY_ANALYSIS marks functions that release a mutex which their caller holds, and take it
 * again: the analysis of C has no word for that. The ranks still watch them. */
#if defined(__clang__)
#define CAPABILITY(name) __attribute__((capability(name)))
#define REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#define ACQUIRE(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define RELEASE(...) __attribute__((release_capability(__VA_ARGS__)))
#define NO_THREAD_SAFETY_ANALYSIS __attribute__((no_thread_safety_analysis))
#else
#define CAPABILITY(name)
#define REQUIRES(...)
#define ACQUIRE(...)
#define RELEASE(...)
#define NO_THREAD_SAFETY_ANALYSIS
#endif

struct CAPABILITY("mutex") mutex {
    pthread_mutex_t handle;
    enum mutex_rank rank;
};

struct condition {
    pthread_cond_t handle;
};

void mutex_init(struct mutex *mutex, enum mutex_rank rank);
void mutex_deinit(struct mutex *mutex);
void mutex_lock(struct mutex *mutex) ACQUIRE(*mutex);
void mutex_unlock(struct mutex *mutex) RELEASE(*mutex);
/* True when the calling thread may rely on holding it: always true unless POLARYS_DEBUG can tell. */
bool mutex_is_held(const struct mutex *mutex);

/* Uses the monotonic clock for timed waits. */
void condition_init(struct condition *condition);
void condition_deinit(struct condition *condition);
void condition_signal(struct condition *condition);
void condition_broadcast(struct condition *condition);

/* For the executor's own implementation and for threads that the simulator never runs; everything else
 * waits through executor_wait. timeout_ns 0 waits for ever; false when the time ran out. */
bool condition_wait(struct condition *condition, struct mutex *mutex, uint64_t timeout_ns)
    REQUIRES(*mutex);

#ifdef __cplusplus
}
#endif

#endif
