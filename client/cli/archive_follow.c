/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop around sessions with the primary, and what is done when a place or the primary is in trouble: it is tried again,
 * with a growing pause. The primary is not held up meanwhile; how much log it keeps is its slot's business.
 */
#include "client/cli/archive_follow.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/archive_internal.h"
#include "client/cli/progress.h"

enum {
    PAUSE_FIRST_MS = 200,
    PAUSE_MS_MAX = 10000,
    SLICE_MS = 50,
    TELL_AGAIN_MS = 60000,
    CALL_TIMEOUT_MS = 10000,
};

bool archiver_must_stop(const struct archiver *archiver)
{
    return archiver->order->stop != NULL && *archiver->order->stop != 0;
}

void archiver_sleep(const struct archiver *archiver, uint64_t duration_ms)
{
    uint64_t end_ms = progress_now_ms() + duration_ms;
    while (!archiver_must_stop(archiver) && progress_now_ms() < end_ms) {
        uint64_t left = end_ms - progress_now_ms();
        transport_sleep_ms(left < SLICE_MS ? (uint32_t)left : SLICE_MS);
    }
}

void archiver_tell(struct archiver *archiver, const char *reason, const char *message)
{
    uint64_t now_ms = progress_now_ms();
    bool is_known = strcmp(archiver->told, message) == 0;
    if (is_known && now_ms - archiver->told_ms < TELL_AGAIN_MS) {
        return;
    }
    (void)snprintf(archiver->told, sizeof(archiver->told), "%s", message);
    archiver->told_ms = now_ms;
    (void)cli_fail(archiver->cli, reason, "%s (trying again)", message);
}

enum archive_result archiver_fail_engine(struct archiver *archiver, const struct polarys_error *err)
{
    (void)cli_fail_engine(archiver->cli, err);
    return ARCHIVE_FAILED;
}

static bool may_try_again(enum polarys_code code)
{
    return code == POLARYS_IO || code == POLARYS_DISK_LOW || code == POLARYS_NO_MEMORY ||
           code == POLARYS_PERMISSION_DENIED || code == POLARYS_FILE_NOT_FOUND;
}

enum archive_result archiver_retry(struct archiver *archiver,
                                   enum polarys_code (*step)(struct archiver *archiver,
                                                             struct polarys_error *err))
{
    uint64_t pause_ms = PAUSE_FIRST_MS;
    uint64_t begun_ms = progress_now_ms();
    for (;;) {
        struct polarys_error err = POLARYS_ERROR_INIT;
        enum polarys_code code = step(archiver, &err);
        if (code == POLARYS_OK) {
            return ARCHIVE_GOES_ON;
        }
        bool is_late = archiver->order->until_caught_up &&
                       progress_now_ms() - begun_ms >= archiver->order->retry_ms;
        if (!may_try_again(code) || is_late || archiver_must_stop(archiver)) {
            return archiver_fail_engine(archiver, &err);
        }
        archiver_tell(archiver, polarys_code_name(code), err.message);
        archiver_sleep(archiver, pause_ms);
        pause_ms = pause_ms * 2 < PAUSE_MS_MAX ? pause_ms * 2 : PAUSE_MS_MAX;
    }
}

static enum polarys_code store_step(struct archiver *archiver, struct polarys_error *err)
{
    return archive_writer_store(archiver->writer, archiver->sent_unix_ms, err);
}

enum archive_result archiver_store(struct archiver *archiver)
{
    enum archive_result result = archiver_retry(archiver, store_step);
    if (result == ARCHIVE_GOES_ON && archiver->writer->has_state_due) {
        archiver_state(archiver, 0);
    }
    return result;
}

void archiver_state(struct archiver *archiver, uint64_t complete_unix_ms)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    archiver->state_ms = progress_now_ms();
    if (archive_writer_state(archiver->writer, complete_unix_ms, &err) != POLARYS_OK) {
        archiver_tell(archiver, polarys_code_name(err.code), err.message);
    }
}

enum archive_result archiver_judge(struct archiver *archiver,
                                   const struct polarys_client_error *err)
{
    bool may_retry = err->status == POLARYS_CLIENT_UNAVAILABLE ||
                     err->status == POLARYS_CLIENT_DEADLINE_EXCEEDED ||
                     err->status == POLARYS_CLIENT_RESOURCE_EXHAUSTED ||
                     err->status == POLARYS_CLIENT_CANCELLED ||
                     err->status == POLARYS_CLIENT_UNKNOWN;
    if (!may_retry) {
        (void)cli_fail_call(archiver->cli, err);
        return ARCHIVE_FAILED;
    }
    (void)snprintf(archiver->why, sizeof(archiver->why), "%s", err->message);
    return ARCHIVE_AGAIN;
}

static enum archive_result session_run(struct archiver *archiver)
{
    enum archive_result result = archiver_introduce(archiver);
    if (result != ARCHIVE_GOES_ON) {
        return result;
    }
    struct polarys_log_position at;
    archive_writer_durable(archiver->writer, &at);
    (void)fprintf(archiver->cli->err,
                  "polarys: archiving the log of %s from version %" PRIu64 " (segment %" PRIu64
                  ", offset %" PRIu64 ")\n",
                  archiver->cli->settings.endpoint, at.version, at.segment_id, at.offset);
    (void)fflush(archiver->cli->err);
    return archiver_tail(archiver);
}

/* Sessions until one is the last. */
static enum archive_result sessions_run(struct archiver *archiver)
{
    uint64_t pause_ms = PAUSE_FIRST_MS;
    uint64_t trouble_ms = progress_now_ms();
    enum archive_result result = ARCHIVE_DONE;
    while (!archiver_must_stop(archiver)) {
        uint64_t pieces = archiver->writer->piece_count;
        result = session_run(archiver);
        if (result != ARCHIVE_AGAIN) {
            return result;
        }
        if (archiver->writer->piece_count != pieces) {
            pause_ms = PAUSE_FIRST_MS;
            trouble_ms = progress_now_ms();
        }
        if (archiver->order->until_caught_up &&
            progress_now_ms() - trouble_ms >= archiver->order->retry_ms) {
            (void)cli_fail(archiver->cli, "UNAVAILABLE", "%s", archiver->why);
            return ARCHIVE_FAILED;
        }
        archiver_tell(archiver, "UNAVAILABLE", archiver->why);
        archiver_sleep(archiver, pause_ms);
        pause_ms = pause_ms * 2 < PAUSE_MS_MAX ? pause_ms * 2 : PAUSE_MS_MAX;
    }
    return ARCHIVE_DONE;
}

enum cli_status archive_follow(struct cli *cli, const struct archive_order *order,
                               struct archive_writer *writer)
{
    struct archiver archiver = {.cli = cli, .order = order, .writer = writer};
    archiver.client = cli_connect(cli, CALL_TIMEOUT_MS);
    if (archiver.client == NULL) {
        return CLI_FAILED;
    }
    enum archive_result result = sessions_run(&archiver);
    if (result == ARCHIVE_DONE && archive_writer_has_log(writer)) {
        result = archiver_store(&archiver);
    }
    if (writer->has_run && result != ARCHIVE_FAILED) {
        archiver_state(&archiver, 0);
    }
    free(archiver.parts.bytes);
    return result == ARCHIVE_FAILED ? CLI_FAILED : CLI_DONE;
}
