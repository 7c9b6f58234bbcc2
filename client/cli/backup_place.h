/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory of the backups that a schedule has taken: which are there and whole, which may be gone on with, and how
 * one is removed.
 *
 * Invariant: only a backup that was seen to be whole is ever removed, and only under a name of the schedule's own making,
 * YYYYMMDDTHHMMSSZ or the same with -N behind it. Everything else in the directory is somebody else's. A backup that is
 * being removed has a name that begins with a dot from the first moment on, so nobody takes the rest of it for a backup.
 *
 * Whole means: the list is as it was written, and every file has the size that the list says. Digests were checked when the
 * files came; `backup verify` checks them again.
 */
#ifndef CLIENT_CLI_BACKUP_PLACE_H
#define CLIENT_CLI_BACKUP_PLACE_H

#include "client/cli/backup_list.h"
#include "client/cli/backup_rotation.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    PLACE_BACKUPS_MAX = 10000,
    PLACE_NAME_SIZE = 24, /* of a backup, with its NUL */
    PLACE_WHY_SIZE = 240, /* of the reason of a failure, with its NUL */
};

enum place_state {
    PLACE_WHOLE,
    PLACE_UNFINISHED, /* to be gone on with */
    PLACE_DAMAGED,    /* reported; never touched */
};

struct place_backup {
    char name[PLACE_NAME_SIZE];
    enum place_state state;
    /* Of a whole one. */
    uint8_t store_id[BACKUP_ID_SIZE];
    uint64_t version;
    uint64_t created_unix_ms;
    uint64_t increments; /* as in struct backup_list */
    uint64_t bytes;
};

/* Zero-initialise. */
struct backup_place {
    struct place_backup *backups; /* in the order of their names */
    size_t count;
    size_t room;
};

/* The last time that a backup was tried. */
struct place_attempt {
    bool is_known; /* there was one */
    bool is_done;  /* it gave a backup */
    char name[PLACE_NAME_SIZE];
    uint64_t begun_unix_ms;
    char why[PLACE_WHY_SIZE]; /* not done: what was said */
};

/* Whether a schedule gives such names. */
bool place_name_is_own(const char *name);
/* The name of a backup that begins now, which none has. False: there is none left, or the time is beyond the year 9999. */
bool place_name_make(const struct backup_place *place, uint64_t unix_ms,
                     char name[PLACE_NAME_SIZE]);

/*
 * Looks what is there; what was read before is freed. Damaged ones are reported and are in it. Errors:
 * RESOURCE_EXHAUSTED: more than PLACE_BACKUPS_MAX.
 */
enum cli_status place_read(struct cli *cli, const char *dir, struct backup_place *place);
void place_deinit(struct backup_place *place);
/* Looks at one again, or for the first time. */
enum cli_status place_look(struct cli *cli, const char *dir, const char *name,
                           struct backup_place *place);
/* The newest whole one, by version; NULL: none. Borrowed until the place is read again. */
const struct place_backup *place_newest(const struct backup_place *place);
/* The last unfinished one, by name; NULL: none. Borrowed likewise. */
const struct place_backup *place_unfinished(const struct backup_place *place);

/* Removes a backup so that a crash leaves it whole or not there; place_sweep finds what a crash left. */
enum cli_status place_remove(struct cli *cli, const char *dir, const char *name);
/* Ends removals that were interrupted. */
enum cli_status place_sweep(struct cli *cli, const char *dir);
/*
 * Removes what the policy does not keep of the whole backups of the newest one's store, oldest first, also from `place`;
 * *removed says how many.
 */
enum cli_status place_rotate(struct cli *cli, const char *dir, struct backup_place *place,
                             const struct rotation_policy *policy, size_t *removed);

/* Keeps what became of the last attempt, on stable storage. */
enum cli_status place_attempt_write(struct cli *cli, const char *dir,
                                    const struct place_attempt *attempt);
/* What it was; one that cannot be read counts as none. */
void place_attempt_read(const char *dir, struct place_attempt *attempt);

#ifdef __cplusplus
}
#endif

#endif
