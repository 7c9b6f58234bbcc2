/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the start share.
 */
#ifndef SERVICE_REPLICATION_BOOT_INTERNAL_H
#define SERVICE_REPLICATION_BOOT_INTERNAL_H

#include "service/replication/backoff.h"
#include "service/replication/boot.h"

#ifdef __cplusplus
extern "C" {
#endif

struct boot {
    /* Immutable. */
    const struct config *config;
    enum polarys_code (*open)(const char *address, struct peer **out, struct polarys_error *err);

    char follow[CONFIG_TEXT_MAX]; /* HOST:PORT of the node to follow; of boot_run */
    struct backoff backoff;       /* synchronises itself; stopped: the start is cancelled */
    int lock_fd;                  /* -1: not taken */
    bool has_slot; /* the log from before the copy on is kept for this node, where slots are */
    struct proto_memory memory;
    struct proto_arena arena;

    pthread_mutex_t mutex; /* guards `peer` */
    struct peer *peer;
};

/* Whether there is a store in the directory, whole or not. */
NODISCARD enum polarys_code boot_store_find(const char *dir, bool *has_store,
                                            struct polarys_error *err);
/* Refuses a directory without a store that holds something else. Errors: FILE_NOT_FOUND. */
NODISCARD enum polarys_code boot_strangers_refuse(const char *dir, struct polarys_error *err);
/* Moves the store into the directory `aside` within `dir`. */
NODISCARD enum polarys_code boot_set_aside(const char *dir, const char *aside,
                                           struct polarys_error *err);
/* Moves the copy out of BOOT_PARTIAL_DIR into `dir`. */
NODISCARD enum polarys_code boot_install(const char *dir, struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
