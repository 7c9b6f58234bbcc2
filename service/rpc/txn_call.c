/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a call within a transaction. The invariant: a worker never waits. A lock is waited
 * for by a callback, another call of the same transaction by looking again, and only then is a
 * statement given to an executor thread, which waits for files and for little else.
 */
#include "service/rpc/txn_call.h"

#include "service/server/check.h"
#include "service/server/server.h"

enum lock_turn {
    LOCK_ASKED,    /* polarys_txn_lock has not returned */
    LOCK_RETURNED, /* it has, and the lock is not there: its callback posts */
    LOCK_DONE,     /* the callback came first */
};

/* What the call is at. In its arena; made once. */
struct txn_step {
    const struct polarys_lock_wanted *locks;
    size_t count;
    size_t taken;
    void (*next)(struct call *call);
    struct polarys_lock_wanted one; /* where there is one */
    int turn;                       /* enum lock_turn; atomic; orders what follows */
    enum polarys_code code;
    struct polarys_error error;
    bool (*run)(struct call *call, unsigned flags);
    void (*function)(void *call); /* of txn_call_execute */
};

const char *txn_call_id_text(struct call *call)
{
    static const char digits[] = "0123456789abcdef";
    char *text = proto_arena_alloc(&call->arena, TXN_CALL_ID_TEXT);
    if (text == NULL) {
        return "";
    }
    for (size_t i = 0; i < POLARYS_TXN_ID_SIZE; i++) {
        text[2 * i] = digits[call->txn_id[i] >> 4];
        text[2 * i + 1] = digits[call->txn_id[i] & 15];
    }
    text[TXN_CALL_ID_TEXT - 1] = '\0';
    return text;
}

enum polarys_code txn_call_bind(struct call *call, struct polarys_error *err)
{
    SERVICE_ASSERT(call->txn == NULL);
    if (!call->has_txn_id) {
        polarys_fail(err, POLARYS_BAD_ARGUMENT, "`transaction` is empty: an id has 16 bytes");
        polarys_error_detail_set(err, "field", "transaction");
        return POLARYS_BAD_ARGUMENT;
    }
    call->part = txn_call_id_text(call);
    enum polarys_code code = polarys_txn_find(call->server->db, call->txn_id, &call->txn, err);
    if (code != POLARYS_OK) {
        return code;
    }
    /* It is open, so that its status is in memory. A stranger's is told from none by nobody. */
    struct polarys_txn_status status;
    code = polarys_txn_status_get(call->server->db, call->database, call->write_options.principal,
                                  call->txn_id, &status, err);
    if (code != POLARYS_OK) {
        polarys_txn_release(call->txn);
        call->txn = NULL;
        return code;
    }
    call->is_txn_locking = status.mode == POLARYS_TXN_PESSIMISTIC;
    call->is_txn_serializable = status.isolation == POLARYS_ISOLATION_SERIALIZABLE;
    return POLARYS_OK;
}

/* The call's step, made when first asked for; NULL where there is no memory: the call is failed. */
static struct txn_step *step_get(struct call *call)
{
    if (call->txn_step == NULL) {
        call->arena.budget += sizeof(struct txn_step) + PROTO_ARENA_FIRST_BYTES;
        struct txn_step *step = proto_arena_alloc(&call->arena, sizeof(*step));
        if (step == NULL) {
            polarys_fail(&call->error, POLARYS_MEMORY_LIMIT, "no memory for a statement");
            call_fail_own(call, POLARYS_MEMORY_LIMIT);
            return NULL;
        }
        memset(step, 0, sizeof(*step));
        polarys_error_clear(&step->error);
        call->txn_step = step;
    }
    return call->txn_step;
}

static void lock_done(void *context, enum polarys_code code, const struct polarys_error *err)
{
    struct call *call = context;
    struct txn_step *step = call->txn_step;
    SERVICE_ASSERT(__atomic_load_n(&step->turn, __ATOMIC_RELAXED) != LOCK_DONE);
    step->code = code;
    if (code != POLARYS_OK) {
        step->error = *err;
    }
    /* Pairs with the exchange in locks_take: whoever comes second goes on. */
    if (__atomic_exchange_n(&step->turn, LOCK_DONE, __ATOMIC_ACQ_REL) == LOCK_RETURNED) {
        call_post(call);
    }
}

void txn_call_await(struct call *call, void (*resume)(struct call *call))
{
    if (server_phase_get(call->server) >= SERVER_STOPPING) {
        polarys_fail(&call->error, POLARYS_DRAINING, "the server stops");
        call_fail(call, &call->error);
    } else if (call_is_cancelled(call)) {
        polarys_fail(&call->error, POLARYS_CANCELLED, "given up by the client");
        call_fail(call, &call->error);
    } else if (call_is_late(call)) {
        polarys_fail(&call->error, POLARYS_LOCK_TIMEOUT,
                     "another call of the transaction takes longer than this one may");
        call_fail(call, &call->error);
    } else {
        call_wait(call, resume);
    }
}

static void locks_take(struct call *call);

/* What came of a lock; false when the call does not go on by itself. */
static bool lock_result_take(struct call *call, struct txn_step *step)
{
    if (step->code == POLARYS_OK) {
        step->taken++;
        return true;
    }
    if (step->code == POLARYS_WOULD_BLOCK) {
        txn_call_await(call, locks_take);
    } else {
        call_fail(call, &step->error);
    }
    return false;
}

static void locks_take(struct call *call)
{
    struct txn_step *step = call->txn_step;
    SERVICE_ASSERT(step->taken <= step->count && call->txn != NULL);
    while (step->taken < step->count) {
        if (server_phase_get(call->server) >= SERVER_STOPPING) {
            polarys_fail(&call->error, POLARYS_DRAINING, "the server stops");
            call_fail(call, &call->error);
            return;
        }
        __atomic_store_n(&step->turn, LOCK_ASKED, __ATOMIC_RELAXED);
        polarys_txn_lock(call->txn, &step->locks[step->taken], call->end_ns, lock_done, call);
        if (__atomic_exchange_n(&step->turn, LOCK_RETURNED, __ATOMIC_ACQ_REL) != LOCK_DONE) {
            return;
        }
        if (!lock_result_take(call, step)) {
            return;
        }
    }
    step->next(call);
}

static void lock_posted(struct call *call, bool is_ok)
{
    (void)is_ok;
    struct txn_step *step = call->txn_step;
    SERVICE_ASSERT(__atomic_load_n(&step->turn, __ATOMIC_ACQUIRE) == LOCK_DONE);
    if (lock_result_take(call, step)) {
        locks_take(call);
    }
}

void txn_call_lock(struct call *call, const struct polarys_lock_wanted *locks, size_t count,
                   void (*next)(struct call *call))
{
    if (call->txn == NULL || !call->is_txn_locking || count == 0) {
        next(call);
        return;
    }
    struct txn_step *step = step_get(call);
    if (step == NULL) {
        return;
    }
    step->locks = locks;
    step->count = count;
    step->taken = 0;
    step->next = next;
    call_post_handler_set(call, lock_posted);
    locks_take(call);
}

static void one_lock(struct call *call, const struct polarys_lock_wanted *lock,
                     void (*next)(struct call *call))
{
    bool is_wanted = call->txn != NULL && call->is_txn_locking &&
                     (lock->mode == POLARYS_LOCK_EXCLUSIVE || call->is_txn_serializable);
    if (!is_wanted) {
        next(call);
        return;
    }
    struct txn_step *step = step_get(call);
    if (step != NULL) {
        step->one = *lock;
        txn_call_lock(call, &step->one, 1, next);
    }
}

void txn_call_lock_key(struct call *call, struct polarys_slice key, enum polarys_lock_mode mode,
                       void (*next)(struct call *call))
{
    struct polarys_lock_wanted lock = {
        .table = call->table, .start = key, .is_key = true, .mode = mode};
    one_lock(call, &lock, next);
}

void txn_call_lock_range(struct call *call, struct polarys_slice start, struct polarys_slice end,
                         enum polarys_lock_mode mode, void (*next)(struct call *call))
{
    struct polarys_lock_wanted lock = {
        .table = call->table, .start = start, .end = end, .mode = mode};
    one_lock(call, &lock, next);
}

static void run_on_executor(void *context)
{
    struct call *call = context;
    const struct txn_step *step = call->txn_step;
    SERVICE_ASSERT(step->run != NULL);
    bool is_answered = step->run(call, 0);
    SERVICE_ASSERT(is_answered);
}

static void run_again(struct call *call)
{
    const struct txn_step *step = call->txn_step;
    txn_call_run(call, step->run);
}

/* Another call of the transaction waits for a lock: an executor thread would wait with it. */
static bool other_call_waits(const struct call *call)
{
    struct polarys_txn_status status;
    struct polarys_error ignored = POLARYS_ERROR_INIT;
    return polarys_txn_status_get(call->server->db, call->database, call->write_options.principal,
                                  call->txn_id, &status, &ignored) == POLARYS_OK &&
           status.is_waiting;
}

static void execute_again(struct call *call)
{
    const struct txn_step *step = call->txn_step;
    SERVICE_ASSERT(step->function != NULL);
    txn_call_execute(call, step->function);
}

void txn_call_execute(struct call *call, void (*function)(void *call))
{
    if (call->txn == NULL || !call->is_txn_locking || !other_call_waits(call)) {
        call_execute(call, function);
        return;
    }
    struct txn_step *step = step_get(call);
    if (step != NULL) {
        step->function = function;
        txn_call_await(call, execute_again);
    }
}

void txn_call_run(struct call *call, bool (*run)(struct call *call, unsigned flags))
{
    if (run(call, POLARYS_READ_MEMORY_ONLY)) {
        return;
    }
    struct txn_step *step = step_get(call);
    if (step == NULL) {
        return;
    }
    step->run = run;
    if (other_call_waits(call)) {
        txn_call_await(call, run_again);
    } else {
        call_execute(call, run_on_executor);
    }
}
