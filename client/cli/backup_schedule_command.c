/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup schedule: its options, and the clock and the server that it works with.
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/backup_schedule.h"
#include "client/cli/command.h"
#include "client/cli/files.h"
#include "client/cli/parse.h"
#include "client/cli/rpc.h"
#include "client/cli/stop_signal.h"
#include "client/client_internal.h"
#include "client/transport.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "polarys/v1/admin.pb-c.h"

enum {
    SLICE_MS = 50, /* between two looks at whether a signal has come */
    REPORT_TIMEOUT_MS = 3000,
    PLACE_BYTES_MAX = 255, /* of a place's name, as the server takes it */
};

/* What the driver's functions work with. */
struct workplace {
    struct cli *cli;
    const char *name; /* of the directory, for the server */
};

static uint64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t driver_unix_ms(void *context)
{
    (void)context;
    return clock_ms(CLOCK_REALTIME);
}

/* It goes on while the machine sleeps: the next backup is due all the same. */
static uint64_t driver_steady_ms(void *context)
{
    (void)context;
    return clock_ms(CLOCK_BOOTTIME);
}

static void driver_pause(void *context, uint64_t duration_ms)
{
    uint64_t end_ms = driver_steady_ms(context) + duration_ms;
    while (stop_signal_asked == 0 && driver_steady_ms(context) < end_ms) {
        uint64_t left_ms = end_ms - driver_steady_ms(context);
        transport_sleep_ms(left_ms < SLICE_MS ? (uint32_t)left_ms : SLICE_MS);
    }
}

static enum cli_status driver_take(void *context, const struct backup_order *order,
                                   struct backup_outcome *outcome)
{
    const struct workplace *workplace = context;
    return backup_receive(workplace->cli, order, outcome);
}

static void time_fill(uint64_t unix_ms, Google__Protobuf__Timestamp *time)
{
    google__protobuf__timestamp__init(time);
    time->seconds = (int64_t)(unix_ms / 1000);
    time->nanos = (int32_t)(unix_ms % 1000) * 1000000;
}

static enum cli_status driver_report(void *context, const struct schedule_report *report)
{
    const struct workplace *workplace = context;
    Google__Protobuf__Timestamp attempt;
    Google__Protobuf__Timestamp created;
    Polarys__V1__BackupInfo newest = POLARYS__V1__BACKUP_INFO__INIT;
    Polarys__V1__ReportBackupRequest request = POLARYS__V1__REPORT_BACKUP_REQUEST__INIT;
    const struct rpc rpc = {"/polarys.v1.AdminService/ReportBackup", &request.base,
                            &polarys__v1__report_backup_response__descriptor, REPORT_TIMEOUT_MS,
                            true};
    enum cli_status status;
    time_fill(report->attempt_unix_ms, &attempt);
    time_fill(report->created_unix_ms, &created);
    newest.create_time = &created;
    newest.version = report->version;
    newest.bytes = report->bytes;
    request.place = client_text(workplace->name);
    request.result = report->is_done ? POLARYS__V1__BACKUP_RESULT__BACKUP_RESULT_DONE
                                     : POLARYS__V1__BACKUP_RESULT__BACKUP_RESULT_FAILED;
    request.attempt_time = &attempt;
    request.newest = report->has_newest ? &newest : NULL;
    ProtobufCMessage *response = rpc_invoke(workplace->cli, &rpc, &status);
    if (response != NULL) {
        protobuf_c_message_free_unpacked(response, NULL);
    }
    return status;
}

static enum cli_status policy_take(struct cli *cli, const struct arguments *arguments,
                                   struct rotation_policy *policy)
{
    static const enum option_id options[ROTATION_KINDS] = {
        [ROTATION_LAST] = OPTION_KEEP_LAST,       [ROTATION_HOURLY] = OPTION_KEEP_HOURLY,
        [ROTATION_DAILY] = OPTION_KEEP_DAILY,     [ROTATION_WEEKLY] = OPTION_KEEP_WEEKLY,
        [ROTATION_MONTHLY] = OPTION_KEEP_MONTHLY,
    };
    for (size_t i = 0; i < ROTATION_KINDS; i++) {
        uint64_t keep = 0;
        if (!arguments_number(cli, arguments, options[i], 0, ROTATION_KEEP_MAX, &keep)) {
            return CLI_USAGE;
        }
        policy->keep[i] = (uint32_t)keep;
    }
    return CLI_DONE;
}

static enum cli_status order_take(struct cli *cli, const struct arguments *arguments,
                                  struct schedule_order *order)
{
    const char *every = arguments->values[OPTION_EVERY];
    order->dir = arguments->positionals[0];
    order->every_ms = SCHEDULE_EVERY_MS_DEFAULT;
    order->is_once = arguments_has(arguments, OPTION_ONCE);
    order->stop = &stop_signal_asked;
    if (every != NULL &&
        (!parse_duration_ms(every, &order->every_ms) || order->every_ms < SCHEDULE_EVERY_MS_MIN ||
         order->every_ms > SCHEDULE_EVERY_MS_MAX)) {
        return cli_usage(cli, "--every is '%s', not a duration from 1s to 366d", every);
    }
    if (every != NULL && order->is_once) {
        return cli_usage(cli, "--once takes one backup now: --every has no meaning beside it");
    }
    if (!arguments_number(cli, arguments, OPTION_FULL_EVERY, 0, SCHEDULE_FULL_EVERY_MAX,
                          &order->full_every)) {
        return CLI_USAGE;
    }
    enum cli_status status = policy_take(cli, arguments, &order->policy);
    return status == CLI_DONE ? arguments_retry_for(cli, arguments, &order->retry_ms) : status;
}

/* The name that was given, or the path. */
static enum cli_status name_take(struct cli *cli, const char *given, const char *dir,
                                 char path[PATH_MAX], const char **name)
{
    *name = given;
    if (given == NULL && realpath(dir, path) == NULL) {
        return cli_fail_errno(cli, dir);
    }
    if (given == NULL) {
        *name = path;
    }
    size_t size = strlen(*name);
    return size > 0 && size <= PLACE_BYTES_MAX
               ? CLI_DONE
               : cli_usage(cli, "the name '%s' is not 1 to %d bytes: give another by --name", *name,
                           PLACE_BYTES_MAX);
}

static enum cli_status locked_run(struct cli *cli, const struct schedule_order *order,
                                  const char *name)
{
    char path[PATH_MAX];
    struct workplace workplace = {.cli = cli};
    const struct schedule_driver driver = {.unix_ms = driver_unix_ms,
                                           .steady_ms = driver_steady_ms,
                                           .pause = driver_pause,
                                           .take = driver_take,
                                           .report = driver_report,
                                           .context = &workplace};
    int lock = -1;
    enum cli_status status = files_make_dir(cli, order->dir);
    if (status == CLI_DONE) {
        status = name_take(cli, name, order->dir, path, &workplace.name);
    }
    if (status == CLI_DONE) {
        status = files_lock(cli, order->dir, "keeps a schedule in", &lock);
    }
    if (status == CLI_DONE) {
        status = schedule_run(cli, order, &driver);
    }
    if (lock >= 0) {
        (void)close(lock);
    }
    return status;
}

enum cli_status command_backup_schedule(struct cli *cli, const struct arguments *arguments)
{
    struct schedule_order order = {.dir = NULL};
    struct stop_signal before;
    enum cli_status status = order_take(cli, arguments, &order);
    if (status != CLI_DONE) {
        return status;
    }
    stop_signal_watch(&before);
    status = locked_run(cli, &order, arguments->values[OPTION_PLACE_NAME]);
    stop_signal_restore(&before);
    return status;
}
