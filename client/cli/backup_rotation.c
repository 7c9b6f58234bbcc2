/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotation: see backup_rotation.h. A period is a number that is the same for all times within it and grows with them,
 * so that every kind is kept by the same rule.
 */
#include "client/cli/backup_rotation.h"

#include <stdlib.h>
#include <time.h>

#include "client/assert.h"

#define HOUR_MS UINT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)

/* The first of January 1970 was a Thursday: weeks begin three days before it. */
enum { EPOCH_WEEKDAY = 3, WEEK_DAYS = 7, YEAR_MONTHS = 12 };

int rotation_compare(const struct rotation_backup *a, const struct rotation_backup *b)
{
    if (a->version != b->version) {
        return a->version < b->version ? -1 : 1;
    }
    return (a->created_ms > b->created_ms) - (a->created_ms < b->created_ms);
}

static int compare(const void *a, const void *b)
{
    return rotation_compare(a, b);
}

static uint64_t hour_of(const struct rotation_backup *backup)
{
    return backup->created_ms / HOUR_MS;
}

static uint64_t day_of(const struct rotation_backup *backup)
{
    return backup->created_ms / DAY_MS;
}

static uint64_t week_of(const struct rotation_backup *backup)
{
    return (day_of(backup) + EPOCH_WEEKDAY) / WEEK_DAYS;
}

static uint64_t month_of(const struct rotation_backup *backup)
{
    struct tm parts;
    time_t seconds = (time_t)(backup->created_ms / 1000);
    if (gmtime_r(&seconds, &parts) == NULL) {
        return UINT64_MAX; /* a list may say any number: years that do not fit are one month */
    }
    return (uint64_t)parts.tm_year * YEAR_MONTHS + (uint64_t)parts.tm_mon;
}

/* Whether a newer one of the same period is there. */
static bool is_superseded(const struct rotation_backup *list, size_t count, size_t index,
                          uint64_t (*period_of)(const struct rotation_backup *backup))
{
    for (size_t i = index + 1; i < count; i++) {
        if (period_of(&list[i]) == period_of(&list[index])) {
            return true;
        }
    }
    return false;
}

/* Keeps the newest of each of the last `keep` periods that have any. */
static void mark_periods(struct rotation_backup *list, size_t count, uint32_t keep,
                         uint64_t (*period_of)(const struct rotation_backup *backup))
{
    uint32_t kept = 0;
    for (size_t i = count; i-- > 0 && kept < keep;) {
        if (!is_superseded(list, count, i, period_of)) {
            list[i].is_kept = true;
            kept++;
        }
    }
}

bool rotation_keeps_all(const struct rotation_policy *policy)
{
    for (size_t i = 0; i < ROTATION_KINDS; i++) {
        if (policy->keep[i] > 0) {
            return false;
        }
    }
    return true;
}

void rotation_mark(struct rotation_backup *list, size_t count, const struct rotation_policy *policy)
{
    if (count == 0) {
        return;
    }
    POLARYS_ASSERT(list != NULL);
    qsort(list, count, sizeof(*list), compare);
    for (size_t i = 0; i < count; i++) {
        list[i].is_kept = count - i <= policy->keep[ROTATION_LAST];
    }
    mark_periods(list, count, policy->keep[ROTATION_HOURLY], hour_of);
    mark_periods(list, count, policy->keep[ROTATION_DAILY], day_of);
    mark_periods(list, count, policy->keep[ROTATION_WEEKLY], week_of);
    mark_periods(list, count, policy->keep[ROTATION_MONTHLY], month_of);
    list[count - 1].is_kept = true;
}

uint64_t rotation_due(uint64_t every_ms, uint64_t last_ms, uint64_t now_ms)
{
    POLARYS_ASSERT(every_ms > 0);
    if (last_ms == 0) {
        return now_ms;
    }
    return (last_ms < now_ms ? last_ms : now_ms) + every_ms;
}

bool rotation_wants_full(uint64_t increments, bool has_any, uint64_t full_every)
{
    return !has_any || (full_every > 0 && increments >= full_every - 1);
}
