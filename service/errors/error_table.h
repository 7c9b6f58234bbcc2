/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table from the engine's codes to what a client sees: a gRPC status, a reason, and which
 * details go with it. docs/errors.md is the same table for people.
 */
#ifndef SERVICE_ERRORS_ERROR_TABLE_H
#define SERVICE_ERRORS_ERROR_TABLE_H

#include <grpc/status.h>

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which details of google.rpc go with a code; ErrorInfo always does. */
enum error_detail {
    ERROR_DETAIL_RETRY = 1 << 0,        /* RetryInfo */
    ERROR_DETAIL_BAD_REQUEST = 1 << 1,  /* BadRequest, where the field is known */
    ERROR_DETAIL_PRECONDITION = 1 << 2, /* PreconditionFailure */
    ERROR_DETAIL_RESOURCE = 1 << 3,     /* ResourceInfo */
};

struct error_rule {
    grpc_status_code status;
    unsigned details;  /* error_detail flags */
    const char *field; /* the field that is wrong unless the error names one; may be NULL */
    const char
        *resource_type; /* "database", "table" or "document"; NULL without ERROR_DETAIL_RESOURCE */
    uint32_t retry_after_ms; /* unless the error says so itself */
};

/* Static storage. Every code has a rule; one out of range gets that of BUG. */
const struct error_rule *error_rule_get(enum polarys_code code);

/* "INVALID_ARGUMENT" for GRPC_STATUS_INVALID_ARGUMENT; "UNKNOWN" out of range. Static storage. */
const char *error_status_name(grpc_status_code status);

#ifdef __cplusplus
}
#endif

#endif
