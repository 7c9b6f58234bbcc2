/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every open transaction by its id, those that ended a little while ago, and the memory that all take.
 *
 * Invariant: a transaction is listed, and referenced by the list, from the end of its beginning to its end.
 * A committed one that wrote is found by the record of its commit; the others are remembered here.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/checksum.h"
#include "engine/txn_internal.h"

enum {
    ENDED_FIRST = 64,
    NS_PER_MS = 1000000,
};

/* A transaction that left no record. */
struct txn_ended {
    uint8_t id[POLARYS_TXN_ID_SIZE];
    uint64_t owner; /* hash of database and principal */
    uint64_t ended_ns;
    enum polarys_txn_state state;
};

struct txns {
    atomic_uint_fast64_t bytes;
    struct mutex mutex;
    /* Guarded by mutex. */
    struct polarys_txn *buckets[TXN_BUCKETS];
    struct polarys_txn *first;
    size_t count;
    /* A ring: `ended_count` of them before `ended_next`. */
    struct txn_ended *ended;
    size_t ended_capacity;
    size_t ended_count;
    size_t ended_next;
};

enum polarys_code txns_open(struct polarys_db *db, struct polarys_error *err)
{
    struct txns *txns = calloc(1, sizeof(*txns));
    if (txns == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the table of transactions");
    }
    mutex_init(&txns->mutex, MUTEX_RANK_TXNS);
    db->txns = txns;
    return lock_table_create(&db->locks, err);
}

void txns_close(struct polarys_db *db)
{
    struct txns *txns = db->txns;
    if (txns == NULL) {
        return;
    }
    POLARYS_ASSERT(txns->count == 0);
    lock_table_destroy(db->locks);
    db->locks = NULL;
    mutex_deinit(&txns->mutex);
    free(txns->ended);
    free(txns);
    db->txns = NULL;
}

/* ---- memory ---- */

uint64_t txns_bytes(struct polarys_db *db)
{
    return db->txns == NULL ? 0 : atomic_load_explicit(&db->txns->bytes, memory_order_relaxed);
}

enum polarys_code txns_charge(struct polarys_txn *txn, uint64_t bytes, struct polarys_error *err)
{
    struct txns *txns = txn->db->txns;
    uint64_t share = txn->db->settings.memory_limit / TXN_MEMORY_SHARE;
    uint64_t own = atomic_fetch_add_explicit(&txn->bytes, bytes, memory_order_relaxed);
    uint64_t before = atomic_fetch_add_explicit(&txns->bytes, bytes, memory_order_relaxed);
    bool is_too_large = own + bytes > POLARYS_TXN_BYTES_MAX;
    /* One alone is let through, whatever it takes: its own limit bounds it. */
    if (!is_too_large && (before <= own || before + bytes <= share)) {
        return POLARYS_OK;
    }
    atomic_fetch_sub_explicit(&txn->bytes, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&txns->bytes, bytes, memory_order_relaxed);
    if (is_too_large) {
        enum polarys_code code =
            polarys_fail(err, POLARYS_TOO_LARGE, "a transaction takes at most %d bytes of memory",
                         POLARYS_TXN_BYTES_MAX);
        polarys_error_detail_set(err, "limit", "%d", POLARYS_TXN_BYTES_MAX);
        return code;
    }
    enum polarys_code code =
        polarys_fail(err, POLARYS_MEMORY_LIMIT, "open transactions already take %llu of %llu bytes",
                     (unsigned long long)before, (unsigned long long)share);
    polarys_error_detail_set(err, "limit", "%llu", (unsigned long long)share);
    if (err != NULL) {
        err->retry_after_ms = DB_RETRY_AFTER_MS / 10;
    }
    return code;
}

void txns_uncharge(struct polarys_txn *txn)
{
    uint64_t own = atomic_exchange_explicit(&txn->bytes, 0, memory_order_relaxed);
    uint64_t before = atomic_fetch_sub_explicit(&txn->db->txns->bytes, own, memory_order_relaxed);
    POLARYS_ASSERT(before >= own);
}

/* ---- the table ---- */

static struct polarys_txn **bucket_of(struct txns *txns, const uint8_t id[POLARYS_TXN_ID_SIZE])
{
    uint64_t hash = checksum_hash64(slice_make(id, POLARYS_TXN_ID_SIZE));
    return &txns->buckets[hash % TXN_BUCKETS];
}

static struct polarys_txn *find_locked(struct txns *txns, const uint8_t id[POLARYS_TXN_ID_SIZE])
{
    struct polarys_txn *txn = *bucket_of(txns, id);
    while (txn != NULL && memcmp(txn->id, id, POLARYS_TXN_ID_SIZE) != 0) {
        txn = txn->bucket_next;
    }
    return txn;
}

enum polarys_code txns_add(struct polarys_txn *txn, struct polarys_error *err)
{
    struct txns *txns = txn->db->txns;
    enum polarys_code code = POLARYS_OK;
    mutex_lock(&txns->mutex);
    /* Asked under the mutex: who closes the store ends all that are listed after it has set this. */
    if (atomic_load(&txn->db->is_closing)) {
        code = polarys_fail(err, POLARYS_DRAINING, "the store is being closed");
    } else if (txns->count >= POLARYS_TXNS_MAX) {
        code =
            polarys_fail(err, POLARYS_TOO_MANY_CALLS, "%d transactions are open", POLARYS_TXNS_MAX);
        polarys_error_detail_set(err, "limit", "%d", POLARYS_TXNS_MAX);
    } else {
        struct polarys_txn **bucket = bucket_of(txns, txn->id);
        txn_ref(txn);
        txn->bucket_next = *bucket;
        *bucket = txn;
        txn->list_next = txns->first;
        txn->list_previous = NULL;
        if (txns->first != NULL) {
            txns->first->list_previous = txn;
        }
        txns->first = txn;
        txns->count++;
    }
    mutex_unlock(&txns->mutex);
    return code;
}

static void unlist_locked(struct txns *txns, struct polarys_txn *txn)
{
    struct polarys_txn **link = bucket_of(txns, txn->id);
    POLARYS_ASSERT(txns->count > 0);
    while (*link != txn) {
        POLARYS_ASSERT(*link != NULL);
        link = &(*link)->bucket_next;
    }
    *link = txn->bucket_next;
    if (txn->list_previous != NULL) {
        txn->list_previous->list_next = txn->list_next;
    } else {
        txns->first = txn->list_next;
    }
    if (txn->list_next != NULL) {
        txn->list_next->list_previous = txn->list_previous;
    }
    txns->count--;
}

static uint64_t owner_hash(uint32_t database_id, const char *principal)
{
    return checksum_hash64(slice_from_text(principal)) + database_id;
}

/* A larger ring with the same in it; without memory the older are forgotten sooner. */
static void ended_grow(struct txns *txns)
{
    size_t capacity = txns->ended_capacity == 0 ? ENDED_FIRST : 2 * txns->ended_capacity;
    struct txn_ended *grown = capacity > TXN_ENDED_MAX ? NULL : malloc(capacity * sizeof(*grown));
    if (grown == NULL) {
        return;
    }
    for (size_t i = 0; i < txns->ended_count; i++) {
        size_t at = txns->ended_next + txns->ended_capacity - txns->ended_count + i;
        grown[i] = txns->ended[at % txns->ended_capacity];
    }
    free(txns->ended);
    txns->ended = grown;
    txns->ended_capacity = capacity;
    txns->ended_next = txns->ended_count;
}

static void remember_locked(struct txns *txns, const struct polarys_txn *txn,
                            enum polarys_txn_state state, uint64_t now_ns)
{
    if (txns->ended_count == txns->ended_capacity) {
        ended_grow(txns);
    }
    if (txns->ended_capacity == 0) {
        return;
    }
    struct txn_ended *ended = &txns->ended[txns->ended_next % txns->ended_capacity];
    memcpy(ended->id, txn->id, sizeof(ended->id));
    ended->owner = owner_hash(txn->database_id, txn->principal);
    ended->ended_ns = now_ns;
    ended->state = state;
    txns->ended_next = (txns->ended_next + 1) % txns->ended_capacity;
    txns->ended_count += txns->ended_count < txns->ended_capacity ? 1 : 0;
}

void txns_remove(struct polarys_txn *txn, enum polarys_txn_state state, bool has_record)
{
    struct txns *txns = txn->db->txns;
    uint64_t now_ns = clock_monotonic_ns(txn->db->clock);
    POLARYS_ASSERT(state == POLARYS_TXN_COMMITTED || state == POLARYS_TXN_ABORTED);
    mutex_lock(&txns->mutex);
    unlist_locked(txns, txn);
    if (!has_record) {
        remember_locked(txns, txn, state, now_ns);
    }
    mutex_unlock(&txns->mutex);
    txn_unref(txn);
}

enum polarys_code polarys_txn_find(struct polarys_db *db, const uint8_t id[POLARYS_TXN_ID_SIZE],
                                   struct polarys_txn **out, struct polarys_error *err)
{
    *out = NULL;
    uint64_t now_ns = clock_monotonic_ns(db->clock);
    mutex_lock(&db->txns->mutex);
    struct polarys_txn *txn = find_locked(db->txns, id);
    txn = txn != NULL && txn_due_reason(txn, now_ns) != NULL ? NULL : txn;
    if (txn != NULL) {
        txn_ref(txn);
        mutex_lock(&txn->mutex);
        txn->user_count++;
        mutex_unlock(&txn->mutex);
    }
    mutex_unlock(&db->txns->mutex);
    if (txn == NULL) {
        return polarys_fail(err, POLARYS_TXN_NOT_FOUND,
                            "there is no such transaction: it is over, or was never begun");
    }
    atomic_store_explicit(&txn->used_ns, now_ns, memory_order_relaxed);
    *out = txn;
    return POLARYS_OK;
}

/* ---- timeouts ---- */

/* What one ender has to end. The lists are walked without the mutex, while another ender may list the same
 * transactions: hence links for each. */
struct due_list {
    enum txn_ender ender;
    struct polarys_txn *due;    /* in phase ENDING, by this ender */
    struct polarys_txn *inside; /* a call was inside */
};

static void due_push(struct due_list *list, struct polarys_txn **first, struct polarys_txn *txn)
{
    txn->due_next[list->ender] = *first;
    *first = txn;
    txn_ref(txn);
}

/* Takes the phase away where no call is inside; lists it either way. */
static void take_due_locked(struct polarys_txn *txn, const char *reason, struct due_list *list)
{
    mutex_lock(&txn->mutex);
    if (txn->phase == TXN_OPEN && !txn->is_busy) {
        txn->phase = TXN_ENDING;
        txn->end_reason = reason;
        due_push(list, &list->due, txn);
    } else if (txn->phase == TXN_OPEN) {
        due_push(list, &list->inside, txn);
    }
    mutex_unlock(&txn->mutex);
}

static void end_due(const struct due_list *list, enum polarys_code code)
{
    struct polarys_txn *due = list->due;
    struct polarys_txn *inside = list->inside;
    while (due != NULL) {
        struct polarys_txn *next = due->due_next[list->ender];
        txn_end(due, POLARYS_TXN_ABORTED, false, due->end_reason);
        txn_unref(due);
        due = next;
    }
    while (inside != NULL) {
        struct polarys_txn *next = inside->due_next[list->ender];
        txn_lock_cancel(inside, code);
        txn_unref(inside);
        inside = next;
    }
}

void txns_sweep(struct polarys_db *db)
{
    struct txns *txns = db->txns;
    struct due_list list = {.ender = TXN_ENDER_SWEEP};
    uint64_t now_ns = clock_monotonic_ns(db->clock);
    mutex_lock(&txns->mutex);
    for (struct polarys_txn *txn = txns->first; txn != NULL; txn = txn->list_next) {
        const char *reason = txn_due_reason(txn, now_ns);
        if (reason != NULL) {
            take_due_locked(txn, reason, &list);
        }
    }
    /* The oldest lie first. */
    while (txns->ended_count > 0) {
        size_t at = txns->ended_next + txns->ended_capacity - txns->ended_count;
        uint64_t ended_ns = txns->ended[at % txns->ended_capacity].ended_ns;
        /* One that ended since the clock was read ended later than that. */
        if (now_ns < ended_ns + (uint64_t)POLARYS_TXN_REMEMBERED_MS * NS_PER_MS) {
            break;
        }
        txns->ended_count--;
    }
    mutex_unlock(&txns->mutex);
    end_due(&list, POLARYS_TXN_NOT_FOUND);
    lock_expire(db->locks, now_ns);
}

/* True when some were inside a call. */
static bool end_all_once(struct polarys_db *db)
{
    struct txns *txns = db->txns;
    struct due_list list = {.ender = TXN_ENDER_CLOSE};
    mutex_lock(&txns->mutex);
    for (struct polarys_txn *txn = txns->first; txn != NULL; txn = txn->list_next) {
        take_due_locked(txn, "the store is being closed", &list);
    }
    mutex_unlock(&txns->mutex);
    end_due(&list, POLARYS_DRAINING);
    return list.inside != NULL;
}

void txns_end_all(struct polarys_db *db)
{
    POLARYS_ASSERT(atomic_load(&db->is_closing));
    /* What waits for a lock leaves as its wait is ended: then it can be ended too. */
    if (end_all_once(db)) {
        (void)end_all_once(db);
    }
}

/* ---- status ---- */

static enum polarys_txn_state state_of(enum txn_phase phase)
{
    switch (phase) {
    case TXN_OPEN:
        return POLARYS_TXN_ACTIVE;
    case TXN_COMMITTING:
        return POLARYS_TXN_COMMITTING;
    default:
        return POLARYS_TXN_ABORTED; /* on its way out of the table */
    }
}

static void status_fill(struct polarys_txn *txn, struct polarys_txn_status *status)
{
    uint64_t now_ns = clock_monotonic_ns(txn->db->clock);
    uint64_t used_ns = atomic_load_explicit(&txn->used_ns, memory_order_relaxed);
    memset(status, 0, sizeof(*status));
    memcpy(status->id, txn->id, sizeof(status->id));
    memcpy(status->database, txn->batch->database, sizeof(status->database));
    status->isolation = txn->isolation;
    status->mode = txn->is_pessimistic ? POLARYS_TXN_PESSIMISTIC : POLARYS_TXN_OPTIMISTIC;
    status->age_ms = (now_ns - txn->begun_ns) / NS_PER_MS;
    status->idle_ms = now_ns > used_ns ? (now_ns - used_ns) / NS_PER_MS : 0;
    status->write_count = atomic_load_explicit(&txn->write_count, memory_order_relaxed);
    status->bytes = atomic_load_explicit(&txn->bytes, memory_order_relaxed);
    mutex_lock(&txn->mutex);
    status->state = state_of(txn->phase);
    status->read_version = txn->snapshot;
    status->read_count = txn->reads.key_count + txn->reads.range_count;
    mutex_unlock(&txn->mutex);
    txn_lock_status(txn, &status->lock_count, &status->is_waiting);
}

/* Among those that are open or were remembered. */
static bool status_of_known(struct polarys_db *db, uint32_t database_id, const char *principal,
                            const uint8_t id[POLARYS_TXN_ID_SIZE],
                            struct polarys_txn_status *status)
{
    struct txns *txns = db->txns;
    bool is_known = false;
    mutex_lock(&txns->mutex);
    struct polarys_txn *txn = find_locked(txns, id);
    if (txn != NULL && txn->database_id == database_id && strcmp(txn->principal, principal) == 0) {
        status_fill(txn, status);
        is_known = true;
    }
    for (size_t i = 0; i < txns->ended_count && !is_known; i++) {
        size_t at = txns->ended_next + txns->ended_capacity - 1 - i;
        const struct txn_ended *ended = &txns->ended[at % txns->ended_capacity];
        if (memcmp(ended->id, id, POLARYS_TXN_ID_SIZE) == 0 &&
            ended->owner == owner_hash(database_id, principal)) {
            memset(status, 0, sizeof(*status));
            memcpy(status->id, id, POLARYS_TXN_ID_SIZE);
            status->state = ended->state;
            is_known = true;
        }
    }
    mutex_unlock(&txns->mutex);
    return is_known;
}

/* The record of its commit. */
static enum polarys_code status_of_record(struct polarys_db *db, uint32_t database_id,
                                          const char *principal,
                                          const uint8_t id[POLARYS_TXN_ID_SIZE],
                                          struct polarys_txn_status *status,
                                          struct polarys_error *err)
{
    uint8_t key[REQUEST_KEY_SIZE_MAX];
    size_t size = request_id_key(key, database_id, id, slice_from_text(principal));
    struct db_found found = {0};
    uint64_t version;
    enum polarys_code code = db_read_newest(db, slice_make(key, size), 0, &version, &found, err);
    if (code == POLARYS_OK) {
        memset(status, 0, sizeof(*status));
        memcpy(status->id, id, POLARYS_TXN_ID_SIZE);
        status->state = POLARYS_TXN_COMMITTED;
        status->commit_version = found.value.version;
    }
    tree_value_release(&found.value);
    return code;
}

enum polarys_code polarys_txn_status_get(struct polarys_db *db, const char *database,
                                         const char *principal,
                                         const uint8_t id[POLARYS_TXN_ID_SIZE],
                                         struct polarys_txn_status *status,
                                         struct polarys_error *err)
{
    uint32_t database_id;
    principal = principal == NULL ? "" : principal;
    enum polarys_code code = db_database_find(db, database, &database_id, err);
    if (code == POLARYS_OK && strlen(principal) > REQUEST_PRINCIPAL_BYTES_MAX) {
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "a principal has at most %d bytes",
                            REQUEST_PRINCIPAL_BYTES_MAX);
    }
    if (code != POLARYS_OK || status_of_known(db, database_id, principal, id, status)) {
        return code;
    }
    /* Looked for after the table: a commit writes its record before it leaves the table. */
    code = status_of_record(db, database_id, principal, id, status, err);
    return code != POLARYS_KEY_NOT_FOUND
               ? code
               : polarys_fail(err, POLARYS_TXN_NOT_FOUND,
                              "no such transaction is open, and none was committed");
}

enum polarys_code polarys_txn_list(struct polarys_db *db,
                                   bool (*each)(void *context,
                                                const struct polarys_txn_status *status),
                                   void *context, struct polarys_error *err)
{
    struct txns *txns = db->txns;
    size_t count = 0;
    mutex_lock(&txns->mutex);
    struct polarys_txn_status *list = malloc((txns->count + 1) * sizeof(*list));
    for (struct polarys_txn *txn = txns->first; txn != NULL && list != NULL; txn = txn->list_next) {
        status_fill(txn, &list[count++]);
    }
    mutex_unlock(&txns->mutex);
    if (list == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for the list of transactions");
    }
    for (size_t i = 0; i < count && each(context, &list[i]); i++) {
        /* `each` has done it. */
    }
    free(list);
    return POLARYS_OK;
}
