/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the sessions known in memory, in a hash table under one mutex that is held for moments only,
 * and the form of the session document: {"table": ..., "number": ...}, expiring when the session
 * does.
 */
#include "service/rpc/bulk_session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "service/server/check.h"
#include "service/server/timing.h"

enum { BUCKETS = 1024, RECORD_TEXT_MAX = POLARYS_NAME_BYTES_MAX + 64 };

struct bulk_session {
    struct bulk_session *next;
    uint8_t id[BULK_SESSION_ID_SIZE];
    bool is_owned;
    int is_wanted; /* atomic */
    uint64_t forget_ns;
};

struct bulk_sessions {
    struct server *server;
    pthread_mutex_t mutex; /* guards all below */
    struct bulk_session *buckets[BUCKETS];
    size_t count;
};

enum polarys_code bulk_sessions_create(struct server *server, struct bulk_sessions **out,
                                       struct polarys_error *err)
{
    *out = calloc(1, sizeof(**out));
    if (*out == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for bulk sessions");
    }
    (*out)->server = server;
    (void)pthread_mutex_init(&(*out)->mutex, NULL);
    return POLARYS_OK;
}

void bulk_sessions_destroy(struct bulk_sessions *sessions)
{
    if (sessions == NULL) {
        return;
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        while (sessions->buckets[i] != NULL) {
            struct bulk_session *session = sessions->buckets[i];
            sessions->buckets[i] = session->next;
            SERVICE_ASSERT(!session->is_owned);
            free(session);
        }
    }
    (void)pthread_mutex_destroy(&sessions->mutex);
    free(sessions);
}

/* Ids are random, so their first bytes are a hash. */
static struct bulk_session **bucket_of(struct bulk_sessions *sessions, const uint8_t *id)
{
    return &sessions->buckets[(id[0] | (size_t)id[1] << 8) % BUCKETS];
}

static struct bulk_session *session_find(struct bulk_sessions *sessions, const uint8_t *id)
{
    struct bulk_session *session = *bucket_of(sessions, id);
    while (session != NULL && memcmp(session->id, id, BULK_SESSION_ID_SIZE) != 0) {
        session = session->next;
    }
    return session;
}

/* Forgets what nobody owns and whose time is over, in the bucket that grows. */
static void bucket_sweep(struct bulk_sessions *sessions, struct bulk_session **place,
                         uint64_t now_ns)
{
    while (*place != NULL) {
        struct bulk_session *session = *place;
        if (!session->is_owned && session->forget_ns <= now_ns) {
            *place = session->next;
            free(session);
            sessions->count--;
        } else {
            place = &session->next;
        }
    }
}

static enum polarys_code session_add(struct bulk_sessions *sessions, const uint8_t *id,
                                     struct bulk_session **out, struct polarys_error *err)
{
    struct bulk_session **bucket = bucket_of(sessions, id);
    bucket_sweep(sessions, bucket, timing_now_ns());
    if (sessions->count >= BULK_SESSIONS_MAX) {
        return polarys_fail(err, POLARYS_TOO_MANY_CALLS, "%d bulk sessions are known already",
                            BULK_SESSIONS_MAX);
    }
    struct bulk_session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a bulk session");
    }
    memcpy(session->id, id, BULK_SESSION_ID_SIZE);
    session->is_owned = true;
    session->next = *bucket;
    *bucket = session;
    sessions->count++;
    *out = session;
    return POLARYS_OK;
}

enum polarys_code bulk_session_begin(struct bulk_sessions *sessions, struct bulk_session **out,
                                     struct polarys_error *err)
{
    *out = NULL;
    uint8_t id[BULK_SESSION_ID_SIZE];
    if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id)) {
        return polarys_fail_errno(err, errno, "make a session id");
    }
    (void)pthread_mutex_lock(&sessions->mutex);
    enum polarys_code code = session_add(sessions, id, out, err);
    (void)pthread_mutex_unlock(&sessions->mutex);
    return code;
}

enum polarys_code bulk_session_claim(struct bulk_sessions *sessions, const uint8_t *id,
                                     struct bulk_session **out, struct polarys_error *err)
{
    *out = NULL;
    enum polarys_code code = POLARYS_OK;
    (void)pthread_mutex_lock(&sessions->mutex);
    struct bulk_session *session = session_find(sessions, id);
    if (session == NULL) {
        code = session_add(sessions, id, out, err);
    } else if (session->is_owned) {
        __atomic_store_n(&session->is_wanted, 1, __ATOMIC_RELAXED);
    } else {
        session->is_owned = true;
        *out = session;
    }
    (void)pthread_mutex_unlock(&sessions->mutex);
    return code;
}

void bulk_session_release(struct bulk_sessions *sessions, struct bulk_session *session)
{
    if (session == NULL) {
        return;
    }
    uint64_t keep_ms = sessions->server->config->bulk_session_keep_ms;
    (void)pthread_mutex_lock(&sessions->mutex);
    SERVICE_ASSERT(session->is_owned);
    session->is_owned = false;
    __atomic_store_n(&session->is_wanted, 0, __ATOMIC_RELAXED);
    session->forget_ns = timing_now_ns() + keep_ms * TIMING_NS_PER_MS;
    (void)pthread_mutex_unlock(&sessions->mutex);
}

bool bulk_session_is_wanted(const struct bulk_session *session)
{
    return __atomic_load_n(&session->is_wanted, __ATOMIC_RELAXED) != 0;
}

const uint8_t *bulk_session_id(const struct bulk_session *session)
{
    return session->id;
}

enum polarys_code bulk_record_prepare(struct polarys_db *db, const char *database,
                                      struct polarys_error *err)
{
    struct polarys_table_info info;
    enum polarys_code code = polarys_table_get(db, database, BULK_SESSION_TABLE, &info, err);
    if (code != POLARYS_TABLE_NOT_FOUND) {
        return code;
    }
    polarys_error_clear(err);
    code = polarys_table_create(db, database, BULK_SESSION_TABLE, NULL, NULL, err);
    if (code == POLARYS_TABLE_EXISTS) {
        polarys_error_clear(err);
        return POLARYS_OK; /* another stream was quicker */
    }
    return code;
}

static enum polarys_code record_parse(struct polarys_slice text, const char *table,
                                      struct bulk_record *record, struct polarys_error *err)
{
    char name[POLARYS_NAME_BYTES_MAX + 1];
    char number[32];
    size_t size;
    enum polarys_code code =
        polarys_json_member_text(text, "table", name, sizeof(name), &size, err);
    if (code == POLARYS_OK) {
        code = polarys_json_member_text(text, "number", number, sizeof(number), &size, err);
    }
    if (code != POLARYS_OK) {
        return polarys_wrap(err, POLARYS_CORRUPT, "the document of a bulk session");
    }
    if (strcmp(name, table) != 0) {
        polarys_fail(err, POLARYS_BAD_ARGUMENT, "the session writes to table %s", name);
        polarys_error_detail_set(err, "field", "open.table");
        return POLARYS_BAD_ARGUMENT;
    }
    char *end;
    errno = 0;
    record->number = strtoull(number, &end, 10);
    if (errno != 0 || *end != '\0') {
        return polarys_fail(err, POLARYS_CORRUPT, "the document of a bulk session: number %s",
                            number);
    }
    return POLARYS_OK;
}

enum polarys_code bulk_record_read(struct polarys_db *db, const char *database, const char *table,
                                   const uint8_t *id, struct bulk_record *record,
                                   struct polarys_error *err)
{
    *record = (struct bulk_record){0};
    struct polarys_document document = {0};
    enum polarys_code code =
        polarys_db_get(db, database, BULK_SESSION_TABLE, slice_make(id, BULK_SESSION_ID_SIZE), NULL,
                       &document, err);
    if (code != POLARYS_OK) {
        return code;
    }
    code = record_parse(document.value.bytes, table, record, err);
    record->version = record->number == 0 ? 0 : document.version;
    polarys_document_release(&document);
    return code;
}

enum polarys_code bulk_record_put(struct polarys_batch *batch, const char *table, const uint8_t *id,
                                  uint64_t number, uint64_t keep_ms, struct polarys_error *err)
{
    char text[RECORD_TEXT_MAX];
    /* A name needs no escapes in JSON: see POLARYS_NAME_BYTES_MAX. */
    int size =
        snprintf(text, sizeof(text), "{\"table\":\"%s\",\"number\":%" PRIu64 "}", table, number);
    SERVICE_ASSERT(size > 0 && (size_t)size < sizeof(text));
    struct polarys_value value = {
        .kind = POLARYS_VALUE_JSON,
        .expires_at_ms = timing_wall_ms() + keep_ms,
        .bytes = slice_make(text, (size_t)size),
    };
    return polarys_batch_put(batch, BULK_SESSION_TABLE, slice_make(id, BULK_SESSION_ID_SIZE),
                             &value, err);
}

enum polarys_code bulk_record_begin(struct polarys_db *db, const char *database, const char *table,
                                    const uint8_t *id, uint64_t keep_ms, struct polarys_error *err)
{
    struct polarys_batch *batch = NULL;
    enum polarys_code code = polarys_batch_create(db, database, &batch, err);
    if (code == POLARYS_OK) {
        code = bulk_record_put(batch, table, id, 0, keep_ms, err);
    }
    if (code == POLARYS_OK) {
        code = polarys_batch_commit(batch, NULL, NULL, err);
    }
    polarys_batch_destroy(batch);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "begin a bulk session");
}
