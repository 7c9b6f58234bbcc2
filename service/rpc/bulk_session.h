/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of bulk writes. What of a session was committed stands in a document of the same
 * database, written by the same commit as the batch itself; so a crash, a restart or a restore
 * never parts the two. In memory is only which stream owns a session now, so that a client that
 * comes back finds its old stream ended first.
 */
#ifndef SERVICE_RPC_BULK_SESSION_H
#define SERVICE_RPC_BULK_SESSION_H

#include "service/server/server.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    BULK_SESSION_ID_SIZE = 16,
    BULK_SESSIONS_MAX = 65536, /* known in memory at once */
};

/* The table of the documents, one in each database that bulk writes went to. Clients can't name
 * it. */
#define BULK_SESSION_TABLE "polarys.bulk_sessions"

struct bulk_sessions;
struct bulk_session;

NODISCARD enum polarys_code bulk_sessions_create(struct server *server, struct bulk_sessions **out,
                                                 struct polarys_error *err);
void bulk_sessions_destroy(struct bulk_sessions *sessions);

/* A new session with a random id, owned by the caller. Errors: TOO_MANY_CALLS, NO_MEMORY, IO. */
NODISCARD enum polarys_code bulk_session_begin(struct bulk_sessions *sessions,
                                               struct bulk_session **out,
                                               struct polarys_error *err);
/*
 * Takes over a session, making an entry when it is not known in memory. *out is NULL while another
 * stream owns it: that one is told to end, and the caller tries again. Errors: as
 * bulk_session_begin.
 */
NODISCARD enum polarys_code bulk_session_claim(struct bulk_sessions *sessions, const uint8_t *id,
                                               struct bulk_session **out,
                                               struct polarys_error *err);
/* The owner lets go; the id stays known for the time that sessions are kept. Accepts NULL. */
void bulk_session_release(struct bulk_sessions *sessions, struct bulk_session *session);
/* True when another stream wants it. Any thread. */
bool bulk_session_is_wanted(const struct bulk_session *session);
/* BULK_SESSION_ID_SIZE bytes. Borrowed while owned. */
const uint8_t *bulk_session_id(const struct bulk_session *session);

/* What the session's document says. */
struct bulk_record {
    uint64_t number;  /* highest committed; 0 when there is no document */
    uint64_t version; /* of that commit; 0 with number 0 */
};

/*
 * Makes the table of sessions in `database` unless it is there. May block. Errors: as
 * polarys_table_create.
 */
NODISCARD enum polarys_code bulk_record_prepare(struct polarys_db *db, const char *database,
                                                struct polarys_error *err);
/* Reads the document; may block. Errors: KEY_NOT_FOUND, BAD_ARGUMENT (another table), the
 * engine's. */
NODISCARD enum polarys_code bulk_record_read(struct polarys_db *db, const char *database,
                                             const char *table, const uint8_t *id,
                                             struct bulk_record *record, struct polarys_error *err);
/* Commits the document of a new session, with number 0; blocks. Errors: as polarys_batch_commit. */
NODISCARD enum polarys_code bulk_record_begin(struct polarys_db *db, const char *database,
                                              const char *table, const uint8_t *id,
                                              uint64_t keep_ms, struct polarys_error *err);
/* Adds the document to a batch. */
NODISCARD enum polarys_code bulk_record_put(struct polarys_batch *batch, const char *table,
                                            const uint8_t *id, uint64_t number, uint64_t keep_ms,
                                            struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
