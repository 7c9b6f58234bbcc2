/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of following a log into an archive share.
 */
#ifndef CLIENT_CLI_ARCHIVE_INTERNAL_H
#define CLIENT_CLI_ARCHIVE_INTERNAL_H

#include "client/cli/archive_follow.h"
#include "client/client_internal.h"
#include "polarys/v1/replication.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ARCHIVE_ID_SIZE = POLARYS_ID_SIZE };

/* How a session, or a part of it, went. */
enum archive_result {
    ARCHIVE_GOES_ON,
    ARCHIVE_DONE,   /* caught up, or told to stop; all is stored */
    ARCHIVE_AGAIN,  /* another try may succeed: archiver.why says why */
    ARCHIVE_FAILED, /* it was reported */
};

/* Following under way. */
struct archiver {
    struct cli *cli;
    const struct archive_order *order;
    struct archive_writer *writer;
    struct polarys_client *client;
    bool is_connected;                  /* a session was told of */
    struct polarys_log_position target; /* with until_caught_up */
    bool has_target;

    struct objects_bytes parts; /* of a frame that comes in parts */
    uint64_t parts_segment;
    uint64_t sent_unix_ms; /* of the last message */
    uint64_t taken_ms;     /* when the oldest log that is not stored came */
    uint64_t state_ms;     /* when the state was written */
    char why[POLARYS_CLIENT_MESSAGE_MAX];
    char told[POLARYS_CLIENT_MESSAGE_MAX]; /* the last trouble that was reported */
    uint64_t told_ms;
};

bool archiver_must_stop(const struct archiver *archiver);
/* Sleeps, but not when it must stop. */
void archiver_sleep(const struct archiver *archiver, uint64_t duration_ms);
/* Reports a trouble that is tried again: when it is new, and else once a minute. */
void archiver_tell(struct archiver *archiver, const char *reason, const char *message);
enum archive_result archiver_fail_engine(struct archiver *archiver,
                                         const struct polarys_error *err);
/* Calls `step` until it succeeds, may not be tried again, or it is time to end. */
enum archive_result archiver_retry(struct archiver *archiver,
                                   enum polarys_code (*step)(struct archiver *archiver,
                                                             struct polarys_error *err));
/* Stores what was taken in. */
enum archive_result archiver_store(struct archiver *archiver);
/* Writes the state; trouble with it is reported and holds nothing up. */
void archiver_state(struct archiver *archiver, uint64_t complete_unix_ms);

/* Messages that say who this is and where it is. Zero-initialise. */
struct archive_node {
    Polarys__V1__LogPosition position;
    Polarys__V1__HandshakeRequest request;
    struct polarys_log_position at;
};
void archive_position_fill(const struct polarys_log_position *at,
                           Polarys__V1__LogPosition *position);
void archive_node_fill(const struct archiver *archiver, struct archive_node *node);
bool archive_position_take(const Polarys__V1__LogPosition *from,
                           struct polarys_log_position *position);

/* Introduces itself: finds where to go on, stores the keyring, makes the slot. */
enum archive_result archiver_introduce(struct archiver *archiver);
/* Fetches the keyring anew and stores it. */
enum archive_result archiver_keyring_renew(struct archiver *archiver);
/* Tails until the connection breaks or it is done. */
enum archive_result archiver_tail(struct archiver *archiver);
/* What a call's error means: AGAIN or FAILED. */
enum archive_result archiver_judge(struct archiver *archiver,
                                   const struct polarys_client_error *err);

#ifdef __cplusplus
}
#endif

#endif
