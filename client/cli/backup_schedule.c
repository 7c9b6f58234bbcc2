/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop of a schedule, and one attempt. See backup_schedule.h.
 *
 * Waiting goes by the steady clock: a wall clock that jumps neither hurries nor delays a schedule that runs. Only at its
 * beginning the wall clock tells when the last backup was.
 */
#include "client/cli/backup_schedule.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/files.h"
#include "client/cli/output.h"

/* A schedule under way. */
struct schedule {
    struct cli *cli;
    const struct schedule_order *order;
    const struct schedule_driver *driver;
    struct backup_place place;
    struct place_attempt attempt; /* the last one */
    size_t removed;               /* by the last attempt */
    uint64_t reported_ms;         /* steady */
    bool has_reported;
    bool is_deaf; /* the server did not take the last report; that was told */
};

static bool must_stop(const struct schedule *schedule)
{
    return schedule->order->stop != NULL && *schedule->order->stop != 0;
}

/* ---- what is said ---- */

/* What goes to cli->err between the two is kept and said afterwards. */
struct hearing {
    FILE *err;
    FILE *stream; /* NULL: no memory, so nothing is kept */
    char *text;
    size_t size;
};

static void hearing_begin(struct hearing *hearing, struct cli *cli)
{
    *hearing = (struct hearing){.err = cli->err};
    hearing->stream = open_memstream(&hearing->text, &hearing->size);
    if (hearing->stream != NULL) {
        cli->err = hearing->stream;
    }
}

/* The last line without its "polarys: " and its end goes to `why`, which has PLACE_WHY_SIZE bytes. */
static void hearing_end(struct hearing *hearing, struct cli *cli, bool is_told, char *why)
{
    static const char mark[] = "polarys: ";
    why[0] = '\0';
    cli->err = hearing->err;
    if (hearing->stream == NULL) {
        return;
    }
    (void)fclose(hearing->stream);
    if (is_told && hearing->size > 0) {
        (void)fwrite(hearing->text, 1, hearing->size, cli->err);
        (void)fflush(cli->err);
    }
    while (hearing->size > 0 && hearing->text[hearing->size - 1] == '\n') {
        hearing->text[--hearing->size] = '\0';
    }
    if (hearing->size > 0) {
        const char *line = strrchr(hearing->text, '\n');
        line = line == NULL ? hearing->text : line + 1;
        line += strncmp(line, mark, strlen(mark)) == 0 ? strlen(mark) : 0;
        (void)snprintf(why, PLACE_WHY_SIZE, "%s", line);
    }
    free(hearing->text);
}

static void done_tell(const struct schedule *schedule, const struct backup_outcome *outcome)
{
    (void)fprintf(schedule->cli->err,
                  "polarys: backup %s: version %" PRIu64 ", %" PRIu64 " bytes, %" PRIu64
                  " of them received; %zu removed\n",
                  schedule->attempt.name, outcome->version, outcome->bytes, outcome->received_bytes,
                  schedule->removed);
    (void)fflush(schedule->cli->err);
}

static enum cli_status done_print(const struct schedule *schedule,
                                  const struct backup_outcome *outcome)
{
    struct output *output = output_create(schedule->cli);
    if (output == NULL) {
        return CLI_FAILED;
    }
    const struct output_field fields[] = {
        field_text("backup", schedule->attempt.name, strlen(schedule->attempt.name)),
        field_number("version", outcome->version),
        field_number("files", outcome->file_count),
        field_number("bytes", outcome->bytes),
        field_number("received_bytes", outcome->received_bytes),
        field_number("shared_files", outcome->shared_files),
        field_bool("resumed", outcome->was_resumed),
        field_number("removed", schedule->removed),
    };
    output_row(output, fields, sizeof(fields) / sizeof(fields[0]));
    return output_finish(output, schedule->cli, CLI_DONE);
}

/* ---- the report ---- */

/* The server need not know the call, or be there: that is told once, and holds nothing up. */
static void report_send(struct schedule *schedule)
{
    const struct place_backup *newest = place_newest(&schedule->place);
    struct schedule_report report = {.is_done = schedule->attempt.is_done,
                                     .attempt_unix_ms = schedule->attempt.begun_unix_ms};
    struct hearing hearing;
    char why[PLACE_WHY_SIZE];
    if (!schedule->attempt.is_known || schedule->driver->report == NULL) {
        return;
    }
    if (newest != NULL) {
        report.has_newest = true;
        report.created_unix_ms = newest->created_unix_ms;
        report.version = newest->version;
        report.bytes = newest->bytes;
    }
    hearing_begin(&hearing, schedule->cli);
    enum cli_status status = schedule->driver->report(schedule->driver->context, &report);
    hearing_end(&hearing, schedule->cli, false, why);
    if (status != CLI_DONE && !schedule->is_deaf && !must_stop(schedule)) {
        (void)fprintf(schedule->cli->err, "polarys: the server was not told: %s\n", why);
        (void)fflush(schedule->cli->err);
    }
    schedule->is_deaf = status != CLI_DONE;
    schedule->reported_ms = schedule->driver->steady_ms(schedule->driver->context);
    schedule->has_reported = true;
}

/* ---- one attempt ---- */

static enum cli_status place_tidy(struct schedule *schedule)
{
    const struct schedule_order *order = schedule->order;
    size_t removed = 0;
    enum cli_status status =
        place_rotate(schedule->cli, order->dir, &schedule->place, &order->policy, &removed);
    schedule->removed += removed;
    return status;
}

/* What is there, without what a killed schedule should have removed. */
static enum cli_status place_begin(struct schedule *schedule)
{
    const char *dir = schedule->order->dir;
    enum cli_status status = place_sweep(schedule->cli, dir);
    if (status == CLI_DONE) {
        status = place_read(schedule->cli, dir, &schedule->place);
    }
    return status == CLI_DONE ? place_tidy(schedule) : status;
}

/* The backup that is gone on with, or the name of a new one. */
static enum cli_status name_choose(struct schedule *schedule)
{
    const struct place_backup *unfinished = place_unfinished(&schedule->place);
    if (unfinished != NULL) {
        (void)snprintf(schedule->attempt.name, sizeof(schedule->attempt.name), "%s",
                       unfinished->name);
        return CLI_DONE;
    }
    return place_name_make(&schedule->place, schedule->attempt.begun_unix_ms,
                           schedule->attempt.name)
               ? CLI_DONE
               : cli_fail(schedule->cli, "FAILED_PRECONDITION",
                          "no name is left for a backup of this second: is the clock right?");
}

static enum cli_status backup_take(struct schedule *schedule, struct backup_outcome *outcome)
{
    const struct schedule_order *order = schedule->order;
    const struct place_backup *newest = place_newest(&schedule->place);
    struct backup_order ordered = {.retry_ms = order->retry_ms, .stop = order->stop};
    char dir[PATH_MAX];
    char base[PATH_MAX];
    if (!files_path_join(dir, order->dir, schedule->attempt.name, "")) {
        return cli_fail(schedule->cli, "INVALID_ARGUMENT", "the path of %s is too long",
                        order->dir);
    }
    ordered.dir = dir;
    if (newest != NULL) {
        ordered.store_id = newest->store_id;
        if (!rotation_wants_full(newest->increments, true, order->full_every) &&
            files_path_join(base, order->dir, newest->name, "")) {
            ordered.base_dir = base;
        }
    }
    return schedule->driver->take(schedule->driver->context, &ordered, outcome);
}

/* Done without CLI_DONE: the backup is there, but not all that should go could be removed. */
static enum cli_status attempt_make(struct schedule *schedule, struct backup_outcome *outcome)
{
    struct place_attempt *attempt = &schedule->attempt;
    *attempt = (struct place_attempt){
        .is_known = true, .begun_unix_ms = schedule->driver->unix_ms(schedule->driver->context)};
    schedule->removed = 0;
    enum cli_status status = place_begin(schedule);
    if (status == CLI_DONE) {
        status = name_choose(schedule);
    }
    if (status == CLI_DONE) {
        status = backup_take(schedule, outcome);
    }
    if (status == CLI_DONE) {
        attempt->is_done = true;
        status = place_look(schedule->cli, schedule->order->dir, attempt->name, &schedule->place);
    }
    return status == CLI_DONE ? place_tidy(schedule) : status;
}

static enum cli_status attempt_run(struct schedule *schedule, struct backup_outcome *outcome)
{
    struct place_attempt *attempt = &schedule->attempt;
    struct place_attempt before = *attempt;
    struct hearing hearing;
    char why[PLACE_WHY_SIZE];
    hearing_begin(&hearing, schedule->cli);
    enum cli_status status = attempt_make(schedule, outcome);
    bool is_cut_short = !attempt->is_done && must_stop(schedule);
    hearing_end(&hearing, schedule->cli, !is_cut_short, why);
    if (is_cut_short) {
        *attempt = before; /* it says nothing about the server or the directory */
        return CLI_FAILED;
    }
    if (status != CLI_DONE) {
        (void)snprintf(attempt->why, sizeof(attempt->why), "%s", why);
    }
    if (attempt->name[0] != '\0') {
        /* A full disk has no room for this either: it is told, and still known here. */
        (void)place_attempt_write(schedule->cli, schedule->order->dir, attempt);
    }
    report_send(schedule);
    return status;
}

/* ---- the loop ---- */

/* Waits until then, and tells the server meanwhile. */
static void schedule_wait(struct schedule *schedule, uint64_t until_ms)
{
    const struct schedule_driver *driver = schedule->driver;
    for (;;) {
        uint64_t now_ms = driver->steady_ms(driver->context);
        if (now_ms >= until_ms || must_stop(schedule)) {
            return;
        }
        uint64_t report_ms =
            schedule->has_reported ? schedule->reported_ms + SCHEDULE_REPORT_MS : now_ms;
        if (report_ms <= now_ms) {
            report_send(schedule);
            schedule->has_reported = true;
            schedule->reported_ms = now_ms;
            continue;
        }
        driver->pause(driver->context, (report_ms < until_ms ? report_ms : until_ms) - now_ms);
    }
}

/* When the first attempt is due, by the steady clock. */
static uint64_t first_due(const struct schedule *schedule)
{
    const struct schedule_driver *driver = schedule->driver;
    uint64_t now_unix_ms = driver->unix_ms(driver->context);
    uint64_t last_ms = schedule->attempt.is_done ? schedule->attempt.begun_unix_ms : 0;
    uint64_t due_ms = rotation_due(schedule->order->every_ms, last_ms, now_unix_ms);
    uint64_t now_ms = driver->steady_ms(driver->context);
    return due_ms > now_unix_ms ? now_ms + (due_ms - now_unix_ms) : now_ms;
}

static uint64_t failure_pause(const struct schedule *schedule, uint64_t pause_ms)
{
    const struct schedule_order *order = schedule->order;
    uint64_t pause_ms_max =
        order->every_ms < SCHEDULE_PAUSE_MS_MAX ? order->every_ms : SCHEDULE_PAUSE_MS_MAX;
    pause_ms = pause_ms == 0 ? SCHEDULE_PAUSE_FIRST_MS : 2 * pause_ms;
    pause_ms = pause_ms < pause_ms_max ? pause_ms : pause_ms_max;
    (void)fprintf(schedule->cli->err, "polarys: the next try is in %" PRIu64 " s\n",
                  pause_ms / 1000);
    (void)fflush(schedule->cli->err);
    return pause_ms;
}

static void schedule_loop(struct schedule *schedule)
{
    const struct schedule_driver *driver = schedule->driver;
    uint64_t pause_ms = 0;
    schedule_wait(schedule, first_due(schedule));
    while (!must_stop(schedule)) {
        struct backup_outcome outcome = {.version = 0};
        uint64_t begun_ms = driver->steady_ms(driver->context);
        (void)attempt_run(schedule, &outcome); /* what is wrong was told, and is tried again */
        if (schedule->attempt.is_done && outcome.file_count > 0) {
            done_tell(schedule, &outcome);
            pause_ms = 0;
            schedule_wait(schedule, begun_ms + schedule->order->every_ms);
        } else if (!must_stop(schedule)) {
            pause_ms = failure_pause(schedule, pause_ms);
            schedule_wait(schedule, driver->steady_ms(driver->context) + pause_ms);
        }
    }
}

enum cli_status schedule_run(struct cli *cli, const struct schedule_order *order,
                             const struct schedule_driver *driver)
{
    struct schedule schedule = {.cli = cli, .order = order, .driver = driver};
    POLARYS_ASSERT(order->every_ms >= SCHEDULE_EVERY_MS_MIN);
    POLARYS_ASSERT(order->every_ms <= SCHEDULE_EVERY_MS_MAX);
    place_attempt_read(order->dir, &schedule.attempt);
    enum cli_status status = place_read(cli, order->dir, &schedule.place);
    if (status == CLI_DONE && order->is_once) {
        struct backup_outcome outcome = {.version = 0};
        status = attempt_run(&schedule, &outcome);
        if (status == CLI_DONE) {
            status = done_print(&schedule, &outcome);
        }
    } else if (status == CLI_DONE) {
        schedule_loop(&schedule);
    }
    place_deinit(&schedule.place);
    return status;
}
