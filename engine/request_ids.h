/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request ids: a write that carries one is done once; repeated, it gets the first answer.
 *
 * Invariant: the record is written by the commit it stands for, and its key is in that commit's read
 * set, so of two racing commits with one id the second conflicts, looks again and replays.
 */
#ifndef ENGINE_REQUEST_IDS_H
#define ENGINE_REQUEST_IDS_H

#include "engine/engine_internal.h"

enum {
    REQUEST_PRINCIPAL_BYTES_MAX = 256,
    REQUEST_KEY_SIZE_MAX =
        TREE_KEY_PREFIX_SIZE + 4 + POLARYS_REQUEST_ID_SIZE + REQUEST_PRINCIPAL_BYTES_MAX,
    REQUEST_HASH_SIZE = 16,
    REQUEST_RECORD_SIZE = 1 + REQUEST_HASH_SIZE + 8,
};

struct request_answer {
    bool is_found;
    bool is_stale; /* there is a record, but its time is over */
    uint64_t version;
    uint64_t affected;
};

/* The tree key of the record into `key`; returns its size. REQUIRES: the principal is short enough. */
size_t request_id_key(uint8_t key[REQUEST_KEY_SIZE_MAX], uint32_t database_id,
                      const uint8_t id[POLARYS_REQUEST_ID_SIZE], struct polarys_slice principal);
void request_record_put(uint8_t record[REQUEST_RECORD_SIZE], const uint8_t hash[REQUEST_HASH_SIZE],
                        uint64_t affected);

/* Looks for an earlier answer as of `snapshot`. Errors: REQUEST_ID_REUSED, those of the tree. */
NODISCARD enum polarys_code request_id_find(struct polarys_db *db, struct polarys_slice key,
                                            const uint8_t hash[REQUEST_HASH_SIZE],
                                            uint64_t snapshot, unsigned tree_flags,
                                            struct request_answer *answer,
                                            struct polarys_error *err);
/* Errors: MEMORY_LIMIT (detail "limit") when request_ids_max are remembered. */
NODISCARD enum polarys_code request_ids_allow(struct polarys_db *db, struct polarys_error *err);

/* The first call after open counts what is remembered. */
void request_ids_count_once(struct polarys_db *db);
void request_ids_note_added(struct polarys_db *db);
void request_ids_note_swept(struct polarys_db *db, uint64_t count);

#endif
