/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy: all actions are allowed but the one that no method may have. It keeps no state but
 * the observer of tests.
 */
#include "service/auth/authorize.h"

static bool (*observer)(void *context, enum authorize_action action,
                        const struct authorize_resource *resource);
static void *observer_context;

const char *authorize_action_name(enum authorize_action action)
{
    static const char *const names[] = {"none", "probe",   "read",    "write",    "schema",
                                        "list", "monitor", "operate", "replicate"};
    if ((unsigned)action >= sizeof(names) / sizeof(names[0])) {
        return "unknown";
    }
    return names[action];
}

void authorize_observe(bool (*observe)(void *context, enum authorize_action action,
                                       const struct authorize_resource *resource),
                       void *context)
{
    observer_context = context;
    __atomic_store_n(&observer, observe, __ATOMIC_RELEASE);
}

enum polarys_code authorize(struct call *call, enum authorize_action action,
                            const struct authorize_resource *resource, struct polarys_error *err)
{
    (void)call;
    bool is_allowed = action != AUTHORIZE_NONE;
    bool (*observe)(void *context, enum authorize_action wanted,
                    const struct authorize_resource *of) =
        __atomic_load_n(&observer, __ATOMIC_ACQUIRE);
    if (is_allowed && observe != NULL) {
        is_allowed = observe(observer_context, action, resource);
    }
    if (is_allowed) {
        return POLARYS_OK;
    }
    const char *database = resource->database == NULL ? "" : resource->database;
    const char *table = resource->table == NULL ? "" : resource->table;
    polarys_fail(err, POLARYS_PERMISSION_DENIED, "%s on %s/%s is not allowed to this caller",
                 authorize_action_name(action), database, table);
    polarys_error_detail_set(err, "action", "%s", authorize_action_name(action));
    polarys_error_detail_set(err, "resource", "%s/%s", database, table);
    return POLARYS_PERMISSION_DENIED;
}
