/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backups into one directory, every so often, until it is told to end: each incremental from the newest one and whole by
 * itself, so that rotation may remove any of them.
 *
 * Invariant: what a directory holds changes in three ways only: an attempt adds to a backup that is not whole yet, makes it
 * whole, or, once there is a newer whole one, rotation removes old ones. An attempt that fails removes nothing that the
 * policy would have kept without it.
 *
 * Times and the server are the driver's, so that tests run years in a moment.
 */
#ifndef CLIENT_CLI_BACKUP_SCHEDULE_H
#define CLIENT_CLI_BACKUP_SCHEDULE_H

#include "client/cli/backup_place.h"
#include "client/cli/backup_receive.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SCHEDULE_EVERY_MS_MAX (UINT64_C(366) * 86400000)

enum {
    SCHEDULE_EVERY_MS_DEFAULT = 3600000,
    SCHEDULE_EVERY_MS_MIN = 1000,
    SCHEDULE_FULL_EVERY_MAX = 100000,
    SCHEDULE_PAUSE_FIRST_MS = 1000, /* after a failure; doubled after each one more */
    SCHEDULE_PAUSE_MS_MAX = 300000,
    SCHEDULE_REPORT_MS = 60000, /* the server is told this often, for it forgets at a restart */
};

/* What is wanted. Borrows. */
struct schedule_order {
    const char *dir;
    uint64_t every_ms;
    uint64_t full_every; /* each so manieth backup is a full one; 0: only the first */
    struct rotation_policy policy;
    uint32_t retry_ms; /* within an attempt, when the server goes away */
    bool is_once;      /* one attempt, now */
    const volatile sig_atomic_t *stop;
};

/* What the server is told of the directory. */
struct schedule_report {
    bool is_done; /* the last attempt gave a backup */
    uint64_t attempt_unix_ms;
    bool has_newest; /* there is a whole backup; of it: */
    uint64_t created_unix_ms;
    uint64_t version;
    uint64_t bytes;
};

/* What the schedule works with. `context` is handed to each. Failures are reported on cli->err by who fails. */
struct schedule_driver {
    uint64_t (*unix_ms)(void *context);                 /* may jump */
    uint64_t (*steady_ms)(void *context);               /* never goes back */
    void (*pause)(void *context, uint64_t duration_ms); /* ends early when the stop is asked for */
    enum cli_status (*take)(void *context, const struct backup_order *order,
                            struct backup_outcome *outcome);
    /* NULL: nobody is told */
    enum cli_status (*report)(void *context, const struct schedule_report *report);
    void *context;
};

/*
 * Runs until the stop is asked for: CLI_DONE. With `is_once` the status is that of the attempt. Errors that no time will
 * heal (the directory cannot be read) end it too. REQUIRES: the directory is there and locked by the caller.
 */
enum cli_status schedule_run(struct cli *cli, const struct schedule_order *order,
                             const struct schedule_driver *driver);

#ifdef __cplusplus
}
#endif

#endif
