/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one place that says whether a call may do what it asks. Every path through the server passes
 * it: the dispatcher for the tables that a request names, handlers for tables named deeper inside.
 *
 * There are no users yet, so everybody who reaches the port may do everything; what matters now is
 * that no path goes round it.
 */
#ifndef SERVICE_AUTH_AUTHORIZE_H
#define SERVICE_AUTH_AUTHORIZE_H

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum authorize_action {
    AUTHORIZE_NONE,  /* of no method: a method table entry that forgot its action is refused */
    AUTHORIZE_PROBE, /* health and reflection: no data */
    AUTHORIZE_READ,
    AUTHORIZE_WRITE,
    AUTHORIZE_SCHEMA,    /* databases and tables come and go */
    AUTHORIZE_LIST,      /* names of databases and tables */
    AUTHORIZE_MONITOR,   /* status and limits */
    AUTHORIZE_OPERATE,   /* flush, compact, drain and the like */
    AUTHORIZE_REPLICATE, /* the whole log and the whole store */
};

/* What an action is done to. NULL or empty parts: the whole level above. Borrowed. */
struct authorize_resource {
    const char *database;
    const char *table;
};

struct call;

/*
 * Whether `call` may do `action` to `resource`. Never blocks; any thread. Errors: PERMISSION_DENIED
 * (details "action", "resource").
 */
NODISCARD enum polarys_code authorize(struct call *call, enum authorize_action action,
                                      const struct authorize_resource *resource,
                                      struct polarys_error *err);

/* "read" for AUTHORIZE_READ. Static storage. */
const char *authorize_action_name(enum authorize_action action);

/*
 * For tests: `observe` is called on each check and may refuse by returning false. NULL restores.
 * Not while calls are under way.
 */
void authorize_observe(bool (*observe)(void *context, enum authorize_action action,
                                       const struct authorize_resource *resource),
                       void *context);

#ifdef __cplusplus
}
#endif

#endif
