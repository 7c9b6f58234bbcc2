/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements of a transaction, for what reads on its behalf: scans and queries.
 *
 * A statement says which version to read and takes down what was read; a view shows what the transaction
 * had written when the statement began. What a reader does: begin, make a view of the table, end; read
 * documents as of the version, leaving out those that the view touches; give the view's own documents
 * that match; note what was read, before it is shown.
 *
 * Invariant: whatever a commit has to validate was noted before the caller saw it. Index entries of what
 * the transaction wrote are in no view and in no index.
 */
#ifndef ENGINE_TXN_STATEMENT_H
#define ENGINE_TXN_STATEMENT_H

#include "engine/commit/commit.h"
#include "engine/engine_txn.h"

/*
 * One statement. It outlives txn_statement_begin as long as its owner likes; between two calls the
 * transaction may do other things. Its version stays readable until the end.
 */
struct txn_statement {
    struct polarys_txn *txn; /* referenced; NULL: outside of any transaction, nothing is noted */
    uint64_t version;        /* to read at */
    uint64_t lease_id;       /* on the version: it stays readable though the transaction be over */
    uint64_t judged_ms;      /* documents that expire at or before are not seen; 0: ask the clock,
                              * for each statement of the transaction has a version of its own */
    uint32_t database_id;    /* the transaction's */
    bool notes_reads;        /* false: the level has no use for what is noted */
};

/*
 * Begins a statement on tables of the transaction. With txn NULL all of `statement` becomes zero. At
 * pessimistic SERIALIZABLE it locks the tree keys [start, end) for reading first. `flags`:
 * polarys_read_flags (MEMORY_ONLY: WOULD_BLOCK instead of waiting).
 * Errors: TXN_NOT_FOUND, LOCK_TIMEOUT, DEADLOCK, TXN_TOO_OLD, WOULD_BLOCK, TOO_MANY_CALLS, NO_MEMORY.
 */
NODISCARD enum polarys_code txn_statement_begin(struct polarys_txn *txn, struct commit_range range,
                                                unsigned flags, struct txn_statement *statement,
                                                struct polarys_error *err);
/* Accepts a zeroed one. */
void txn_statement_end(struct txn_statement *statement);
/* Hands the lease on the statement's version over to the caller: 0 where nothing is lost with it, since the
 * transaction itself keeps the version, or there is none. Accepts a zeroed one. */
uint64_t txn_statement_take_lease(struct txn_statement *statement);
/* Has the statement read what an earlier one read: at a level whose statements have versions of their own
 * any that is readable. Errors: CURSOR_EXPIRED, TOO_MANY_CALLS. */
NODISCARD enum polarys_code txn_statement_version_set(struct txn_statement *statement,
                                                      uint64_t version, struct polarys_error *err);
/* To be called while the statement goes on: the transaction is in use, it does not idle. Accepts a zeroed
 * one. Errors: TXN_NOT_FOUND when the transaction is over. */
NODISCARD enum polarys_code txn_statement_keep(const struct txn_statement *statement,
                                               struct polarys_error *err);

/* A key was looked up: `version` is that of the put found, 0: there was no document (or an expired one).
 * Copies the key. Errors: TXN_NOT_FOUND, TOO_LARGE (POLARYS_TXN_READS_MAX), MEMORY_LIMIT, NO_MEMORY. */
NODISCARD enum polarys_code txn_statement_note_key(struct txn_statement *statement,
                                                   struct polarys_slice tree_key, uint64_t version,
                                                   struct polarys_error *err);
/* All documents (or index entries) in the range were looked at. Ranges of one statement that touch are
 * joined, so a walk may note each step. Errors: as above. */
NODISCARD enum polarys_code txn_statement_note_range(struct txn_statement *statement,
                                                     struct commit_range range,
                                                     struct polarys_error *err);

/* ---- what the transaction wrote ---- */

struct txn_view_entry {
    struct polarys_slice key;   /* tree key */
    struct polarys_slice value; /* as stored (stored_value_decode); not for a delete */
    bool is_delete;
};

/* Immutable, of one table, as of the statement's begin; any thread. Holds a reference on the transaction,
 * from which it borrows. */
struct txn_view {
    const struct txn_view_entry *entries; /* ascending by key, one a key */
    size_t entry_count;
    const struct commit_range *ranges; /* deleted before the entries; in no order */
    size_t range_count;
    struct polarys_txn *txn;
};

/* *out is NULL, with OK, when the transaction has written nothing in the table (or is NULL). `flags` as
 * above. Errors: TXN_NOT_FOUND, WOULD_BLOCK, NO_MEMORY. */
NODISCARD enum polarys_code txn_view_create(struct txn_statement *statement, uint32_t table_id,
                                            unsigned flags, struct txn_view **out,
                                            struct polarys_error *err);
void txn_view_destroy(struct txn_view *view); /* accepts NULL */
/* The first entry at or after `tree_key`: an index, entry_count at the end. Accepts NULL: 0. */
size_t txn_view_seek(const struct txn_view *view, struct polarys_slice tree_key);
/* True when the transaction wrote or deleted the key: what the tree has of it is not to be seen. Accepts
 * NULL. */
bool txn_view_touches(const struct txn_view *view, struct polarys_slice tree_key);

#endif
