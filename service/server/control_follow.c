/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a node that follows another in the way up, and what its end leads to: the store is closed
 * and the way up begun anew in the same process, or the process ends.
 */
#include "service/server/control_internal.h"

/* From a thread of the follower. */
static void follow_ended(void *context, enum follower_end end)
{
    struct control *control = context;
    __atomic_store_n(&control->follow_end, (int)end, __ATOMIC_RELEASE);
    ev_async_send(control->loop, &control->on_follow_ended);
}

enum polarys_code control_store_open(struct control *control, struct polarys_error *err)
{
    const struct config *config = control->config;
    struct polarys_db_options options;
    struct role role;
    bool is_follower;
    enum polarys_code code = boot_run(control->boot, &is_follower, &role, err);
    if (code != POLARYS_OK) {
        return code;
    }
    config_engine_options(config, &options);
    options.is_follower = is_follower;
    code = polarys_db_open(config->data_dir, &options, &control->db, err);
    if (code == POLARYS_CORRUPT || code == POLARYS_TAMPERED) {
        polarys_log(
            POLARYS_LOG_ERROR, "server",
            "the store is damaged, nothing was changed: put back a copy, or take out what can be read "
            "with `polarys salvage %.200s --data-dir NEW --master-key-file KEY`",
            config->data_dir);
    }
    if (code != POLARYS_OK || !is_follower) {
        return code;
    }
    struct follower_options follower_options = {.config = config,
                                                .db = control->db,
                                                .open = peer_open,
                                                .role = role,
                                                .ended = follow_ended,
                                                .context = control};
    return follower_create(&follower_options, &control->follower, err);
}

enum polarys_code control_follow_start(struct control *control, struct polarys_error *err)
{
    return control->follower == NULL
               ? POLARYS_OK
               : follower_start(control->follower, control->server->port, err);
}

void control_follow_ended_fired(struct ev_loop *loop, struct ev_async *watcher, int events)
{
    struct control *control = watcher->data;
    int end = __atomic_load_n(&control->follow_end, __ATOMIC_ACQUIRE);
    (void)loop;
    (void)events;
    if (control->is_leaving) {
        return; /* the process ends anyway */
    }
    control->has_failed |= end == (int)FOLLOWER_FATAL;
    control->is_restarting = end == (int)FOLLOWER_REOPEN;
    control_drain_begin(control, 0, true);
}
