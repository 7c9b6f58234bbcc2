/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AdminService.ReportBackup: what a schedule tells of its place, checked and kept for /metrics.
 */
#include <string.h>

#include "polarys/v1/admin.pb-c.h"
#include "service/admin/backup_reports.h"
#include "service/rpc/handlers.h"
#include "service/rpc/operation.h"
#include "service/rpc/response.h"
#include "service/server/server.h"

/* Times are shown in nanoseconds that must fit: the year 2500 is far enough. */
#define TIME_MS_MAX UINT64_C(16725225600000)

static enum polarys_code time_take(const Google__Protobuf__Timestamp *time, const char *field,
                                   uint64_t *unix_ms, struct polarys_error *err)
{
    enum polarys_code code = response_time_take(time, field, unix_ms, err);
    return code == POLARYS_OK && *unix_ms > TIME_MS_MAX
               ? operation_bad(err, field, "must be before the year 2500")
               : code;
}

static enum polarys_code newest_take(const Polarys__V1__BackupInfo *newest,
                                     struct backup_report *report, struct polarys_error *err)
{
    if (newest == NULL) {
        return POLARYS_OK;
    }
    if (newest->create_time == NULL) {
        return operation_bad(err, "newest.create_time", "must be set");
    }
    report->has_newest = true;
    report->version = newest->version;
    report->bytes = newest->bytes;
    return time_take(newest->create_time, "newest.create_time", &report->created_unix_ms, err);
}

static enum polarys_code report_take(const Polarys__V1__ReportBackupRequest *request,
                                     struct backup_report *report, struct polarys_error *err)
{
    if (!backup_place_is_valid(request->place.data, request->place.len)) {
        return operation_bad(err, "place",
                             "must be 1 to 255 bytes of text without control characters");
    }
    if (request->result != POLARYS__V1__BACKUP_RESULT__BACKUP_RESULT_DONE &&
        request->result != POLARYS__V1__BACKUP_RESULT__BACKUP_RESULT_FAILED) {
        return operation_bad(err, "result", "must be DONE or FAILED");
    }
    if (request->attempt_time == NULL) {
        return operation_bad(err, "attempt_time", "must be set");
    }
    memcpy(report->place, request->place.data, request->place.len);
    report->is_done = request->result == POLARYS__V1__BACKUP_RESULT__BACKUP_RESULT_DONE;
    enum polarys_code code =
        time_take(request->attempt_time, "attempt_time", &report->attempt_unix_ms, err);
    return code == POLARYS_OK ? newest_take(request->newest, report, err) : code;
}

void admin_report_backup(struct call *call)
{
    struct server *server = call->server;
    struct backup_report report = {.is_done = false};
    enum polarys_code code = report_take(call->request, &report, &call->error);
    if (code != POLARYS_OK) {
        call_fail_own(call, code);
        return;
    }
    backup_reports_put(server->backup_reports, &report);
    Polarys__V1__ReportBackupResponse response = POLARYS__V1__REPORT_BACKUP_RESPONSE__INIT;
    Polarys__V1__ResponseHeader header;
    uint8_t token[SERVER_TOKEN_SIZE];
    response_header_fill(server, polarys_db_version(server->db), token, &header);
    response.header = &header;
    call_reply(call, response_pack(&response.base));
}
