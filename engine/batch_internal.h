/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches, for the files that build, reduce, prepare and commit them.
 *
 * Invariant: what the caller put in (operations, requirements) is never changed by preparing, so a batch
 * may be prepared again as often as commits conflict. What preparing makes lives in `made` and the arrays
 * behind it, and is thrown away by the next preparation.
 */
#ifndef ENGINE_BATCH_INTERNAL_H
#define ENGINE_BATCH_INTERNAL_H

#include "engine/base/arena.h"
#include "engine/engine_internal.h"
#include "engine/request_ids.h"
#include "engine/txn/lock_table.h"

enum {
    BATCH_INLINE = 8, /* operations, tables … that need no allocation */
    BATCH_RANGE_DELETES_MAX = 256,
    BATCH_REQUIREMENTS_MAX = POLARYS_BATCH_OPERATIONS_MAX,
    BATCH_TABLES_MAX = 4096,
    BATCH_ATTEMPTS_MAX = 1000,           /* conflicts before the caller hears of it */
    BATCH_CONFLICTS_FREE = 2,            /* conflicts before a turn is taken */
    BATCH_RETRY_INLINE_BYTES = 16 << 10, /* a larger batch is prepared again on the executor */
    BATCH_RETRY_INLINE_KEYS = 64,        /* likewise one that has read more on its own */
    BATCH_OVERHEAD_BYTES = 64,           /* charged for each operation beside its bytes */
    BATCH_FIELD_BYTES_MAX = 4096,
    BATCH_DRIVE_ROUNDS = 4, /* groups that an executor thread writes before it goes on */
};

enum batch_operation_kind {
    BATCH_PUT,
    BATCH_DELETE,
    BATCH_UPDATE,
    BATCH_DELETE_RANGE,
};

struct batch_operation {
    enum batch_operation_kind kind;
    bool must_look;
    bool is_put_system;         /* bytes are stored as they are */
    struct polarys_slice key;   /* tree key */
    struct polarys_slice value; /* put: as stored; update: patch; range delete: end */
    uint64_t expires_at_ms;
};

struct batch_requirement {
    struct polarys_slice key; /* tree key */
    struct polarys_precondition condition;
};

struct batch_table {
    uint32_t id;
    size_t name_size;
    char name[POLARYS_NAME_BYTES_MAX + 1];
};

/* What is left of all operations on one key. */
enum batch_effect_kind {
    EFFECT_PUT,
    EFFECT_DELETE,
    EFFECT_DROPPED, /* covered by a later range delete of the batch */
};

struct batch_effect {
    enum batch_effect_kind kind;
    struct polarys_slice key;
    struct polarys_slice value; /* as stored */
    uint64_t expires_at_ms;
};

/* A growing array that starts inside its owner. */
struct batch_array {
    void *items;
    size_t count;
    size_t capacity;
    bool is_heap;
};

struct polarys_batch {
    struct polarys_db *db;
    uint32_t database_id;
    char database[POLARYS_NAME_BYTES_MAX + 1];
    bool changes_schema;
    bool is_system; /* made by the store itself: no limits on disk space, no schema check */
    bool has_own_read_version; /* what it writes was worked out at read_version */
    uint64_t catalog_version;  /* of the oldest catalogue that a name was found in */

    struct arena arena; /* bytes of what was put in */
    struct batch_array operations;
    struct batch_array requirements;
    struct batch_array tables;
    struct batch_array own_read_keys;   /* struct polarys_slice; system batches, transactions */
    struct batch_array own_read_ranges; /* struct commit_range; likewise */
    size_t bytes;
    size_t range_count;
    uint8_t logical_hash[REQUEST_HASH_SIZE]; /* of a schema change; else worked out */
    bool has_logical_hash;
    bool has_own_schema_version; /* what it writes was worked out under that schema */
    uint64_t own_schema_version;

    /*
     * Of a batch that a transaction makes; NULL else. Called as each preparation begins, the first and those
     * after a conflict: it sets operations, own_read_keys, own_read_ranges and read_version as they are to be
     * now. Errors end the batch; WOULD_BLOCK when tree_flags forbid what it takes.
     */
    enum polarys_code (*begin_attempt)(struct polarys_batch *batch, unsigned tree_flags,
                                       struct polarys_error *err);
    void *owner;
    bool holds_locks;    /* what it writes is locked already, where anything is */
    bool is_txn;         /* its conflicts are its caller's to hear of: it takes no turns */
    bool writes_nothing; /* set by begin_attempt: there is nothing to commit */
    bool answer_flag;    /* kept with the answer of a request id */
    bool has_record;     /* remembers the commit under record_id, as a request id is */
    uint8_t record_id[POLARYS_REQUEST_ID_SIZE];
    const char *record_principal; /* borrowed */

    /* Made by preparing. */
    struct arena made;
    struct batch_array effects;
    struct batch_array ranges;      /* struct commit_range, disjoint and ascending at the end */
    struct batch_array entries;     /* struct entry */
    struct batch_array read_keys;   /* struct polarys_slice */
    struct batch_array read_ranges; /* struct commit_range: its own, and those of indexed tables */
    struct batch_array index_changes; /* struct entry: of index entries */
    size_t reduced_count;   /* effects that reducing made; more follow of indexed tables */
    bool may_have_indexes;  /* some table that it writes may have */
    uint32_t *effect_slots; /* hash table of effect index + 1, in `made`; NULL for small batches */
    size_t effect_slot_count;
    struct buffer encoded;
    uint64_t read_version;
    uint64_t affected;
    bool has_put;
    bool adds_request_id;
    bool is_replayed;
    uint64_t replayed_version;
    uint64_t charged_bytes; /* taken from the memory limit */

    /* On its way. */
    struct polarys_write_options options;
    uint8_t principal[REQUEST_PRINCIPAL_BYTES_MAX];
    size_t principal_size;
    uint32_t conflict_count;
    bool is_submitted;
    struct commit_request request;
    struct turn turn;
    struct task task;
    struct polarys_batch *next_waiter;
    void (*done)(void *context, enum polarys_code code, const struct polarys_write_result *result,
                 const struct polarys_error *err);
    void *done_context;
    /* A blocking commit waits here for its turn, or for a lock. */
    atomic_bool is_turn_granted;
    enum polarys_code lock_code;  /* how that wait ended */
    struct lock_owner lock_owner; /* of waits for locks of others; holds none */
    unsigned lock_wait_count;

    /* Zeroed when a batch is made: all before this. */
    struct polarys_error error;
    struct batch_operation operations_inline[BATCH_INLINE];
    struct batch_requirement requirements_inline[1];
    struct batch_table tables_inline[2];
    struct batch_effect effects_inline[BATCH_INLINE];
    struct entry entries_inline[2 * BATCH_INLINE];
    struct polarys_slice read_keys_inline[BATCH_INLINE];
};

/* ---- batch.c ---- */

/* Room for one more item of `item_size`; its address, or NULL for lack of memory. Does not count it. */
void *batch_array_next(struct batch_array *array, size_t item_size);
/* `size` bytes did not fit into an arena of a batch: TOO_LARGE, unless the machine has no memory. */
enum polarys_code batch_fail_arena(const struct arena *arena, size_t size,
                                   struct polarys_error *err);
/* Empties it, keeps the database. */
void batch_clear(struct polarys_batch *batch);
/* An operation on a key of any table, stored as it is. Errors: NO_MEMORY. */
NODISCARD enum polarys_code batch_add_system(struct polarys_batch *batch, enum entry_kind kind,
                                             struct polarys_slice tree_key,
                                             struct polarys_slice value, struct polarys_error *err);
NODISCARD enum polarys_code batch_add_read_key(struct polarys_batch *batch,
                                               struct polarys_slice tree_key,
                                               struct polarys_error *err);
/* As batch_add_read_key, the bytes borrowed until the batch is done. */
NODISCARD enum polarys_code batch_borrow_read_key(struct polarys_batch *batch,
                                                  struct polarys_slice tree_key,
                                                  struct polarys_error *err);
NODISCARD enum polarys_code batch_borrow_read_range(struct polarys_batch *batch,
                                                    struct commit_range range,
                                                    struct polarys_error *err);

/* ---- batch_reduce.c ---- */

/* Brings the operations to their final effect: effects, ranges, affected. Errors: those of reading and of
 * updates. */
NODISCARD enum polarys_code batch_reduce(struct polarys_batch *batch, unsigned tree_flags,
                                         struct polarys_error *err);

/* What an update comes to. */
struct batch_merged {
    struct polarys_slice value; /* as stored, in the arena given */
    uint64_t expires_at_ms;
};
/* Merges the update's patch into `base` (NULL: no document). Errors: BAD_ARGUMENT (base is not JSON),
 * TOO_LARGE, BAD_JSON, NO_MEMORY. */
NODISCARD enum polarys_code batch_merge(const struct batch_operation *update,
                                        const struct stored_value *base, size_t value_bytes_max,
                                        struct arena *arena, struct batch_merged *merged,
                                        struct polarys_error *err);

/* The effect on `key` that reducing made, NULL when there is none. Borrowed until effects are added. */
struct batch_effect *batch_effect_find(struct polarys_batch *batch, struct polarys_slice key);

/* ---- batch_index.c ---- */

/* Works out what the effects change in indexes. Range deletes of indexed tables become deletes of their
 * documents. Errors: UNIQUE_VIOLATION, TOO_LARGE, WOULD_BLOCK, those of reads. */
NODISCARD enum polarys_code batch_index(struct polarys_batch *batch, unsigned tree_flags,
                                        struct polarys_error *err);

/* A document key as text into `text` of `size` bytes: as it is where it can be shown, else in hex, cut to
 * fit. */
void batch_key_show(struct polarys_slice key, char *text, size_t size);

/* ---- batch_prepare.c ---- */

/* Lets validation see that `key` does not change; the bytes live as long as what preparing makes. Errors:
 * NO_MEMORY. */
NODISCARD enum polarys_code batch_read_key_add(struct polarys_batch *batch,
                                               struct polarys_slice key, struct polarys_error *err);
/* A tree key or value that preparing has made. NULL data for lack of memory. */
struct polarys_slice batch_made_copy(struct polarys_batch *batch, const uint8_t *bytes,
                                     size_t size);

/* The document that a preparation looks at; its key joins the read set. Errors: KEY_NOT_FOUND without a
 * message, those of the tree, NO_MEMORY. */
NODISCARD enum polarys_code batch_look(struct polarys_batch *batch, struct polarys_slice tree_key,
                                       unsigned tree_flags, struct db_found *found,
                                       struct polarys_error *err);
/* Whether a document meets a precondition; `stored` is NULL when it is not there. Errors: KEY_NOT_FOUND,
 * KEY_EXISTS, VERSION_MISMATCH, FIELD_MISMATCH, those of comparing JSON. */
NODISCARD enum polarys_code batch_check_condition(const struct polarys_precondition *condition,
                                                  const struct stored_value *stored,
                                                  uint64_t version, struct polarys_error *err);
/* Makes batch->request ready to be submitted, or sets is_replayed or writes_nothing. Errors: WOULD_BLOCK when tree_flags
 * forbid what it takes; those of polarys_batch_commit. */
NODISCARD enum polarys_code batch_prepare(struct polarys_batch *batch, unsigned tree_flags,
                                          struct polarys_error *err);
/* Hash of the request as it was put in, for its request id. */
void batch_hash(const struct polarys_batch *batch, uint8_t hash[REQUEST_HASH_SIZE]);
/* Gives back what the preparation took from the memory limit. */
void batch_uncharge(struct polarys_batch *batch);

/* ---- batch_locks.c ---- */

/* OK: nobody else holds a lock on what the batch writes, or it has waited often enough. WOULD_BLOCK: `done`
 * will be called with the batch, or has been. Errors: NO_MEMORY. REQUIRES: prepared. */
NODISCARD enum polarys_code batch_locks_wait(struct polarys_batch *batch,
                                             void (*done)(void *context, enum polarys_code code,
                                                          const struct polarys_error *err),
                                             struct polarys_error *err);
/* The code to go on with when a wait has ended with `code`: a batch that a deadlock was broken at goes ahead
 * and waits no more, for nobody may fail by a courtesy. */
NODISCARD enum polarys_code batch_locks_waited(struct polarys_batch *batch, enum polarys_code code);

/* ---- batch_commit.c ---- */

/* Commits a system batch as read at `read_version`, once. Errors: TXN_CONFLICT among others. */
NODISCARD enum polarys_code batch_commit_system(struct polarys_batch *batch, uint64_t read_version,
                                                struct polarys_error *err);
/* A parked batch may be prepared again. */
void batch_resume(struct polarys_batch *batch);

static inline struct batch_operation *batch_operations(const struct polarys_batch *batch)
{
    return batch->operations.items;
}

static inline struct batch_effect *batch_effects(const struct polarys_batch *batch)
{
    return batch->effects.items;
}

#endif
