/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the next backup is due, and which ones may go. Pure functions of times that are given to them; hours, days, weeks
 * and months are those of UTC, which has no summer time.
 *
 * Invariant: the newest backup always stays. Which one is newest is told by versions, which a clock that is put back
 * does not touch.
 */
#ifndef CLIENT_CLI_BACKUP_ROTATION_H
#define CLIENT_CLI_BACKUP_ROTATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ROTATION_KEEP_MAX = 10000 }; /* of each kind */

enum rotation_kind {
    ROTATION_LAST,    /* the newest ones */
    ROTATION_HOURLY,  /* the newest one of each of so many hours that have any */
    ROTATION_DAILY,   /* of days */
    ROTATION_WEEKLY,  /* of weeks, which begin on Mondays */
    ROTATION_MONTHLY, /* of months */
    ROTATION_KINDS,
};

/* A whole backup. */
struct rotation_backup {
    uint64_t created_ms; /* Unix time */
    uint64_t version;
    size_t index; /* the caller's: which one it is */
    bool is_kept; /* set by rotation_mark */
};

/* How many are kept of each kind; what any kind keeps stays. */
struct rotation_policy {
    uint32_t keep[ROTATION_KINDS];
};

/* Whether nothing ever goes: no kind says how many are to stay. */
bool rotation_keeps_all(const struct rotation_policy *policy);
/* Sorts the list, oldest first, and says of each whether it stays. The newest one always does. */
void rotation_mark(struct rotation_backup *list, size_t count,
                   const struct rotation_policy *policy);
/* Whether `a` is older than `b`: negative; a comparison for qsort. */
int rotation_compare(const struct rotation_backup *a, const struct rotation_backup *b);

/*
 * When the next one is due, in Unix time. `last_ms`: when the last one was begun; 0: none was. A last one of the future
 * (the clock was put back) counts as one of now, so that a jump back delays the next one by no more than one period.
 */
uint64_t rotation_due(uint64_t every_ms, uint64_t last_ms, uint64_t now_ms);

/*
 * Whether the next backup should be a full one. `increments`: how many incremental ones the newest one is behind the full
 * one that it goes back to. `full_every` 0: only the first one is.
 */
bool rotation_wants_full(uint64_t increments, bool has_any, uint64_t full_every);

#ifdef __cplusplus
}
#endif

#endif
