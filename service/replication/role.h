/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file DATA_DIR/role: what the node in this directory is, which node it follows, and the highest term
 * that it has seen. docs/formats/role.md has its lines. A directory without one is a primary's.
 *
 * The invariant: the file is replaced before the directory changes, so that a start after a crash knows
 * which step to go on with.
 */
#ifndef SERVICE_REPLICATION_ROLE_H
#define SERVICE_REPLICATION_ROLE_H

#include "service/replication/files.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ROLE_FILE "role"
#define ROLE_ASIDE_PREFIX "diverged-"

enum {
    ROLE_ASIDE_MAX = 64,   /* bytes of the name of a directory, with NUL */
    ROLE_BYTES_MAX = 4096, /* of the file */
};

enum role_kind {
    ROLE_NONE, /* there is no file */
    ROLE_FOLLOWER,
    ROLE_PRIMARY, /* was promoted */
    ROLE_FENCED,  /* was the primary of a term below `term`: it takes no writes */
};

/* How far a follower's directory is. */
enum role_step {
    ROLE_FOLLOWING, /* the store is there */
    ROLE_SET_ASIDE, /* the store is of no use: it is being moved into `aside`, then a copy is fetched */
    ROLE_FETCHING,   /* a copy is being fetched */
    ROLE_INSTALLING, /* the copy is whole, and is being moved into its place */
};

struct role {
    enum role_kind kind;
    enum role_step step;
    char follows
        [CONFIG_TEXT_MAX]; /* HOST:PORT; of a primary, whom it followed until it was promoted;
                                      of a fenced one, the new primary, or "" */
    /* A follower was told to follow `follows` while the setting said `configured`: as long as that says so, it does. */
    bool is_told;
    char configured[CONFIG_TEXT_MAX];
    uint64_t term;              /* the highest seen */
    char aside[ROLE_ASIDE_MAX]; /* with ROLE_SET_ASIDE */
};

/* Whom a follower follows, as the setting and the role have it; "": nobody. Borrowed from either. */
const char *role_follows(const struct role *role, const char *setting);

/* Errors: CORRUPT, IO, NO_MEMORY. */
NODISCARD enum polarys_code role_read(const char *dir, struct role *role,
                                      struct polarys_error *err);
/* Durable when it returns. Errors: IO, DISK_LOW. */
NODISCARD enum polarys_code role_write(const char *dir, const struct role *role,
                                       struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
