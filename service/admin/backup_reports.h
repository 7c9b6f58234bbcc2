/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What schedules have told of the places that they keep backups in: the last report of each, for /metrics. The server
 * knows nothing else of backups that were taken of it, and forgets this at its end: schedules tell it every minute.
 *
 * Any thread; a lock is held only to copy.
 */
#ifndef SERVICE_ADMIN_BACKUP_REPORTS_H
#define SERVICE_ADMIN_BACKUP_REPORTS_H

#include "engine/engine.h"
#include "service/admin/exposition.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    BACKUP_PLACES_MAX = 64,
    BACKUP_PLACE_BYTES_MAX = 255, /* of a place's name */
};

struct backup_report {
    char place[BACKUP_PLACE_BYTES_MAX + 1];
    bool is_done; /* the last attempt gave a backup */
    uint64_t attempt_unix_ms;
    bool has_newest; /* there is a whole backup; of the newest: */
    uint64_t created_unix_ms;
    uint64_t version;
    uint64_t bytes;
};

struct backup_reports;

/* Errors: NO_MEMORY. */
NODISCARD enum polarys_code backup_reports_create(struct backup_reports **out,
                                                  struct polarys_error *err);
/* Accepts NULL. */
void backup_reports_destroy(struct backup_reports *reports);
/* 1 to BACKUP_PLACE_BYTES_MAX bytes of UTF-8 without control characters. */
bool backup_place_is_valid(const uint8_t *place, size_t size);
/*
 * Replaces what was told of the place. Where there are BACKUP_PLACES_MAX others already, the one that was not heard of for
 * the longest time is forgotten. REQUIRES: a valid place.
 */
void backup_reports_put(struct backup_reports *reports, const struct backup_report *report);
/* How many places are known. */
size_t backup_reports_count(struct backup_reports *reports);
/* Nothing where no place is known. */
void backup_reports_render(struct exposition *out, struct backup_reports *reports);

#ifdef __cplusplus
}
#endif

#endif
