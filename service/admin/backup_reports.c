/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports by place, in the order in which the places were heard of last. See backup_reports.h.
 */
#include "service/admin/backup_reports.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/proto/utf8.h"
#include "service/server/check.h"
#include "service/server/timing.h"

enum { LABEL_BYTES_MAX = 2 * BACKUP_PLACE_BYTES_MAX + 16 };

struct backup_reports {
    pthread_mutex_t mutex;

    /* Guarded by mutex; the place that was heard of last comes last. */
    struct backup_report reports[BACKUP_PLACES_MAX];
    size_t count;
};

enum polarys_code backup_reports_create(struct backup_reports **out, struct polarys_error *err)
{
    struct backup_reports *reports = calloc(1, sizeof(*reports));
    *out = reports;
    if (reports == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for reports of backups");
    }
    (void)pthread_mutex_init(&reports->mutex, NULL);
    return POLARYS_OK;
}

void backup_reports_destroy(struct backup_reports *reports)
{
    if (reports == NULL) {
        return;
    }
    (void)pthread_mutex_destroy(&reports->mutex);
    free(reports);
}

bool backup_place_is_valid(const uint8_t *place, size_t size)
{
    if (size == 0 || size > BACKUP_PLACE_BYTES_MAX || !utf8_is_text(slice_make(place, size))) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (place[i] < 0x20 || place[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Takes the report at `at` out of the list. */
static void report_drop_locked(struct backup_reports *reports, size_t at)
{
    SERVICE_ASSERT(at < reports->count);
    reports->count--;
    memmove(&reports->reports[at], &reports->reports[at + 1],
            (reports->count - at) * sizeof(reports->reports[0]));
}

void backup_reports_put(struct backup_reports *reports, const struct backup_report *report)
{
    SERVICE_ASSERT(backup_place_is_valid((const uint8_t *)report->place, strlen(report->place)));
    (void)pthread_mutex_lock(&reports->mutex);
    size_t at = 0;
    while (at < reports->count && strcmp(reports->reports[at].place, report->place) != 0) {
        at++;
    }
    if (at < reports->count) {
        report_drop_locked(reports, at);
    } else if (reports->count == BACKUP_PLACES_MAX) {
        report_drop_locked(reports, 0);
    }
    reports->reports[reports->count++] = *report;
    (void)pthread_mutex_unlock(&reports->mutex);
}

size_t backup_reports_count(struct backup_reports *reports)
{
    (void)pthread_mutex_lock(&reports->mutex);
    size_t count = reports->count;
    (void)pthread_mutex_unlock(&reports->mutex);
    return count;
}

/* place="...", with backslashes before what would end it. */
static void label_make(const char *place, char label[LABEL_BYTES_MAX])
{
    size_t at = (size_t)snprintf(label, LABEL_BYTES_MAX, "place=\"");
    for (; *place != '\0'; place++) {
        if (*place == '"' || *place == '\\') {
            label[at++] = '\\';
        }
        label[at++] = *place;
    }
    SERVICE_ASSERT(at + 2 <= LABEL_BYTES_MAX);
    label[at++] = '"';
    label[at] = '\0';
}

/* One family: a sample for each place. Of the newest backup where there is one, or of the last attempt. */
struct family {
    const char *name;
    const char *help;
    bool is_of_newest;
    bool is_time;
    uint64_t (*value_of)(const struct backup_report *report);
};

static uint64_t created_of(const struct backup_report *report)
{
    return report->created_unix_ms;
}

static uint64_t attempt_of(const struct backup_report *report)
{
    return report->attempt_unix_ms;
}

static uint64_t result_of(const struct backup_report *report)
{
    return report->is_done ? 1 : 0;
}

static uint64_t version_of(const struct backup_report *report)
{
    return report->version;
}

static uint64_t bytes_of(const struct backup_report *report)
{
    return report->bytes;
}

static const struct family families[] = {
    {"polarysdb_backup_last_success_timestamp_seconds",
     "When the newest whole backup of a place was taken, in seconds of Unix time.", true, true,
     created_of},
    {"polarysdb_backup_last_attempt_timestamp_seconds",
     "When a backup was last tried, in seconds of Unix time.", false, true, attempt_of},
    {"polarysdb_backup_last_result", "1 when the last attempt gave a backup, 0 when it failed.",
     false, false, result_of},
    {"polarysdb_backup_last_version", "Version of the newest whole backup.", true, false,
     version_of},
    {"polarysdb_backup_last_bytes", "Size of the newest whole backup.", true, false, bytes_of},
};

static void family_render(struct exposition *out, const struct family *family,
                          const struct backup_report *reports, size_t count)
{
    char label[LABEL_BYTES_MAX];
    exposition_family(out, family->name, "gauge", family->help);
    for (size_t i = 0; i < count; i++) {
        if (family->is_of_newest && !reports[i].has_newest) {
            continue;
        }
        label_make(reports[i].place, label);
        uint64_t value = family->value_of(&reports[i]);
        if (family->is_time) {
            exposition_seconds(out, family->name, label, value * TIMING_NS_PER_MS);
        } else {
            exposition_number(out, family->name, label, value);
        }
    }
}

void backup_reports_render(struct exposition *out, struct backup_reports *reports)
{
    struct backup_report *copy = malloc(sizeof(reports->reports));
    if (copy == NULL) {
        out->is_failed = true;
        return;
    }
    (void)pthread_mutex_lock(&reports->mutex);
    size_t count = reports->count;
    memcpy(copy, reports->reports, count * sizeof(*copy));
    (void)pthread_mutex_unlock(&reports->mutex);
    for (size_t i = 0; count > 0 && i < sizeof(families) / sizeof(families[0]); i++) {
        family_render(out, &families[i], copy, count);
    }
    free(copy);
}
