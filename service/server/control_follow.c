/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of a node that follows another in the way up, and what its end leads to: the store is closed
 * and the way up begun anew in the same process, or the process ends.
 */
#include <string.h>

#include "service/replication/address.h"
#include "service/server/control_internal.h"

/* From a thread of the follower. */
static void follow_ended(void *context, enum follower_end end)
{
    struct control *control = context;
    __atomic_store_n(&control->follow_end, (int)end, __ATOMIC_RELEASE);
    ev_async_send(control->loop, &control->on_follow_ended);
}

/* From any thread. */
static void restart(void *context)
{
    follow_ended(context, FOLLOWER_REOPEN);
}

/* From the follower's thread, before clients may write. */
static void promoted(void *context)
{
    const struct control *control = context;
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (members_term_begin(control->members, &err) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_ERROR, "group", "%s", err.message);
    }
}

static bool is_primary(void *context)
{
    const struct control *control = context;
    return !follower_is_following(control->follower) && !standing_is_fenced(control->standing);
}

static void saw_term(void *context, uint64_t term, const char *primary)
{
    const struct control *control = context;
    struct follower_seal seal = {.term = term};
    struct follower_seal_result result;
    struct polarys_error err = POLARYS_ERROR_INIT;
    memcpy(seal.primary, primary, strnlen(primary, sizeof(seal.primary) - 1));
    if (standing_seal(control->standing, &seal, &result, &err) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_ERROR, "group", "%s", err.message);
    }
}

enum polarys_code control_members_open(struct control *control, struct polarys_error *err)
{
    struct members_options options = {.config = control->config,
                                      .db = control->db,
                                      .group = control->server->group,
                                      .open = peer_open,
                                      .is_primary = is_primary,
                                      .saw_term = saw_term,
                                      .context = control};
    enum polarys_code code = members_create(&options, &control->members, err);
    control->server->members = control->members;
    control->server->standing = control->standing;
    if (code == POLARYS_OK) {
        code = members_load(control->members, err);
    }
    struct handover_options handover_options = {.config = control->config,
                                                .db = control->db,
                                                .group = control->server->group,
                                                .standing = control->standing,
                                                .open = peer_open,
                                                .restart = restart,
                                                .context = control};
    if (code == POLARYS_OK) {
        code = handover_create(&handover_options, &control->handover, err);
    }
    control->server->handover = control->handover;
    return code;
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
    if (code == POLARYS_OK) {
        code = standing_create(config, control->db, &role, &control->standing, err);
    }
    if (code != POLARYS_OK || !is_follower) {
        return code;
    }
    struct follower_options follower_options = {.config = config,
                                                .db = control->db,
                                                .open = peer_open,
                                                .role = role,
                                                .promoted = promoted,
                                                .ended = follow_ended,
                                                .context = control};
    return follower_create(&follower_options, &control->follower, err);
}

enum polarys_code control_follow_start(struct control *control, struct polarys_error *err)
{
    char address[CONFIG_TEXT_MAX];
    address_make(control->config, control->server->port, address);
    standing_address_set(control->standing, address);
    enum polarys_code code = members_start(control->members, control->server->port, err);
    return code != POLARYS_OK || control->follower == NULL
               ? code
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
