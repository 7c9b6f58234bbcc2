/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of a directory to a store that can be opened, step by step; each step is written down before it
 * begins and can be done again after a crash. Moving the copy into place is in boot_install.c.
 */
#include "service/replication/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "polarys/v1/replication.pb-c.h"
#include "service/replication/boot_internal.h"
#include "service/replication/fetch.h"
#include "service/server/check.h"
#include "service/server/timing.h"

enum { PROBE_MS = 3000, ARENA_BYTES_MAX = 512 << 20 };

enum polarys_code boot_create(const struct config *config,
                              enum polarys_code (*open)(const char *address, struct peer **out,
                                                        struct polarys_error *err),
                              struct boot **out, struct polarys_error *err)
{
    *out = NULL;
    struct boot *boot = calloc(1, sizeof(*boot));
    if (boot == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to start");
    }
    *boot = (struct boot){.config = config, .open = open, .lock_fd = -1};
    boot->memory.limit = ARENA_BYTES_MAX;
    proto_arena_init(&boot->arena, &boot->memory);
    backoff_init(&boot->backoff);
    (void)pthread_mutex_init(&boot->mutex, NULL);
    *out = boot;
    return POLARYS_OK;
}

void boot_destroy(struct boot *boot)
{
    if (boot == NULL) {
        return;
    }
    SERVICE_ASSERT(boot->peer == NULL);
    if (boot->lock_fd >= 0) {
        (void)close(boot->lock_fd);
    }
    proto_arena_deinit(&boot->arena);
    backoff_deinit(&boot->backoff);
    (void)pthread_mutex_destroy(&boot->mutex);
    free(boot);
}

void boot_cancel(struct boot *boot)
{
    backoff_stop(&boot->backoff);
    (void)pthread_mutex_lock(&boot->mutex);
    if (boot->peer != NULL) {
        peer_cancel(boot->peer);
    }
    (void)pthread_mutex_unlock(&boot->mutex);
}

static enum polarys_code peer_get(struct boot *boot, struct polarys_error *err)
{
    struct peer *peer;
    enum polarys_code code = boot->open(boot->follow, &peer, err);
    if (code != POLARYS_OK) {
        return code;
    }
    (void)pthread_mutex_lock(&boot->mutex);
    boot->peer = peer;
    (void)pthread_mutex_unlock(&boot->mutex);
    if (backoff_is_stopped(&boot->backoff)) {
        peer_cancel(peer);
    }
    return POLARYS_OK;
}

static void peer_drop(struct boot *boot)
{
    (void)pthread_mutex_lock(&boot->mutex);
    struct peer *peer = boot->peer;
    boot->peer = NULL;
    (void)pthread_mutex_unlock(&boot->mutex);
    peer_close(peer);
}

/* Held until the end: another process must not move files about under this one. */
static enum polarys_code directory_take(struct boot *boot, struct polarys_error *err)
{
    char path[FILES_PATH_MAX];
    const char *dir = boot->config->data_dir;
    enum polarys_code code = files_make_dir(dir, err);
    if (code == POLARYS_OK) {
        code = files_join(path, dir, BOOT_LOCK_FILE, err);
    }
    if (code != POLARYS_OK || boot->lock_fd >= 0) {
        return code;
    }
    boot->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (boot->lock_fd < 0) {
        return polarys_fail_errno(err, errno, "open %s", path);
    }
    return flock(boot->lock_fd, LOCK_EX | LOCK_NB) == 0
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_STORE_LOCKED, "another process follows in %s", dir);
}

/* ---- fetching ---- */

/* What another attempt may help against: it is the other node's state, or the network's. */
static bool is_passing(enum polarys_code code)
{
    switch (code) {
    case POLARYS_NO_PRIMARY:
    case POLARYS_WAIT_TIMEOUT:
    case POLARYS_CANCELLED:
    case POLARYS_DRAINING:
    case POLARYS_TOO_MANY_CALLS:
    case POLARYS_MEMORY_LIMIT:
    case POLARYS_WRITE_STALL:
    case POLARYS_DISK_LOW:
    case POLARYS_NOT_PRIMARY:
        return true;
    default:
        return false;
    }
}

static bool is_to_begin_anew(enum polarys_code code)
{
    return code == POLARYS_CURSOR_EXPIRED || code == POLARYS_BAD_MESSAGE || code == POLARYS_CORRUPT;
}

/* Before a copy is made, so that the log behind it is still there when it is followed. */
static enum polarys_code slot_make(struct boot *boot, struct polarys_error *err)
{
    const struct config *config = boot->config;
    Polarys__V1__CreateSlotRequest request = POLARYS__V1__CREATE_SLOT_REQUEST__INIT;
    void *response;
    const struct peer_call call = {.method = "/polarys.v1.ReplicationService/CreateSlot",
                                   .request = &request.base,
                                   .response = &polarys__v1__create_slot_response__descriptor,
                                   .timeout_ms = PROBE_MS};
    if (boot->has_slot) {
        return POLARYS_OK;
    }
    request.slot.data = (uint8_t *)(uintptr_t)config->node_name;
    request.slot.len = strlen(config->node_name);
    request.kind = config->is_observer ? POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_OBSERVER
                                       : POLARYS__V1__FOLLOWER_KIND__FOLLOWER_KIND_UNSPECIFIED;
    proto_arena_reset(&boot->arena);
    enum polarys_code code = peer_unary(boot->peer, &call, &boot->arena, &response, err);
    if (code == POLARYS_NOT_PRIMARY || code == POLARYS_UNIMPLEMENTED) {
        polarys_error_clear(err); /* a node that keeps no slots */
        code = POLARYS_OK;
    }
    boot->has_slot = code == POLARYS_OK;
    return code;
}

static enum polarys_code fetch_once(struct boot *boot, struct fetch *fetch,
                                    struct polarys_error *err)
{
    enum polarys_code code = peer_get(boot, err);
    if (code == POLARYS_OK) {
        code = slot_make(boot, err);
    }
    if (code == POLARYS_OK) {
        code = fetch_run(fetch, boot->peer, &boot->arena, err);
    }
    peer_drop(boot);
    proto_arena_reset(&boot->arena);
    return code;
}

/* Fetches into `dir`, which is empty, over as many connections as it takes. */
static enum polarys_code fetch_on(struct boot *boot, const char *dir, struct polarys_error *err)
{
    struct fetch *fetch;
    struct fetch_progress progress = {0};
    uint64_t start_ns = timing_now_ns();
    enum polarys_code last = POLARYS_OK;
    enum polarys_code code = fetch_create(dir, boot->config->node_name, &fetch, err);
    while (code == POLARYS_OK) {
        uint64_t before = progress.bytes_done;
        code = fetch_once(boot, fetch, err);
        fetch_progress_get(fetch, &progress);
        if (code == POLARYS_OK || !is_passing(code) || backoff_is_stopped(&boot->backoff)) {
            break;
        }
        if (code != last) {
            polarys_log(POLARYS_LOG_WARN, "replica", "%s: %s; trying again",
                        polarys_code_name(code), err->message);
        }
        last = code;
        if (progress.bytes_done > before) {
            backoff_reset(&boot->backoff);
        }
        if (backoff_wait(&boot->backoff)) {
            polarys_error_clear(err);
            code = POLARYS_OK;
        }
    }
    fetch_destroy(fetch);
    if (code == POLARYS_OK) {
        polarys_log(POLARYS_LOG_INFO, "replica",
                    "copied the store of %s: version %" PRIu64 ", %" PRIu64 " files, %" PRIu64
                    " bytes in %" PRIu64 " ms",
                    boot->follow, progress.version, progress.files, progress.bytes,
                    (timing_now_ns() - start_ns) / TIMING_NS_PER_MS);
    }
    return code;
}

static enum polarys_code store_fetch(struct boot *boot, struct polarys_error *err)
{
    char partial[FILES_PATH_MAX];
    enum polarys_code code = files_join(partial, boot->config->data_dir, BOOT_PARTIAL_DIR, err);
    polarys_log(POLARYS_LOG_INFO, "replica", "there is no store here yet: copying that of %s",
                boot->follow);
    for (unsigned anew = 0; code == POLARYS_OK; anew++) {
        boot->has_slot = false;
        code = files_remove_tree(partial, err);
        if (code == POLARYS_OK) {
            code = files_make_dir(partial, err);
        }
        if (code == POLARYS_OK) {
            code = fetch_on(boot, partial, err);
        }
        if (code == POLARYS_OK) {
            return files_sync_tree(partial, err);
        }
        if (is_to_begin_anew(code) && anew < BOOT_ANEW_MAX && backoff_wait(&boot->backoff)) {
            polarys_log(POLARYS_LOG_WARN, "replica", "%s: %s; beginning another copy",
                        polarys_code_name(code), err->message);
            polarys_error_clear(err);
            code = POLARYS_OK;
        }
    }
    return code;
}

/* ---- deciding ---- */

/* Whether the node that this one followed before its promotion has a newer term: then it was promoted
 * after this one, and is to be followed again. A node that does not answer is not. */
static bool is_superseded(struct boot *boot, const struct role *role)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    Polarys__V1__HandshakeRequest request = POLARYS__V1__HANDSHAKE_REQUEST__INIT;
    Polarys__V1__HandshakeResponse *response = NULL;
    const struct peer_call call = {.method = "/polarys.v1.ReplicationService/Handshake",
                                   .request = &request.base,
                                   .response = &polarys__v1__handshake_response__descriptor,
                                   .timeout_ms = PROBE_MS};
    request.node.data = (uint8_t *)(uintptr_t)boot->config->node_name;
    request.node.len = strlen(boot->config->node_name);
    enum polarys_code code = peer_get(boot, &err);
    if (code == POLARYS_OK) {
        code = peer_unary(boot->peer, &call, &boot->arena, (void **)&response, &err);
    }
    peer_drop(boot);
    bool is_newer =
        code == POLARYS_OK && response->header != NULL && response->header->term > role->term;
    proto_arena_reset(&boot->arena);
    return is_newer;
}

static enum polarys_code follow_begin(struct boot *boot, struct role *role,
                                      struct polarys_error *err)
{
    const struct config *config = boot->config;
    bool has_store;
    enum polarys_code code = boot_store_find(config->data_dir, &has_store, err);
    if (code == POLARYS_OK && !has_store && role->kind != ROLE_FOLLOWER) {
        code = boot_strangers_refuse(config->data_dir, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (role->kind != ROLE_FOLLOWER) {
        role->step = has_store ? ROLE_FOLLOWING : ROLE_FETCHING;
        role->aside[0] = '\0';
    }
    if (role->kind == ROLE_FOLLOWER && strcmp(role->follows, boot->follow) == 0) {
        return POLARYS_OK;
    }
    role->kind = ROLE_FOLLOWER;
    role->is_told = false;
    memcpy(role->follows, boot->follow, sizeof(role->follows));
    return role_write(config->data_dir, role, err);
}

static enum polarys_code primary_check(const struct config *config, const struct role *role,
                                       struct polarys_error *err)
{
    if (role->kind != ROLE_FOLLOWER) {
        return POLARYS_OK;
    }
    polarys_fail(
        err, POLARYS_NOT_PRIMARY,
        "%s is the directory of a follower of %s: start it with --follow HOST:PORT; and if "
        "it is to take writes, promote it then with `polarys replica promote`",
        config->data_dir, role->follows);
    polarys_error_detail_set(err, "primary", "%s", role->follows);
    return POLARYS_NOT_PRIMARY;
}

static enum polarys_code steps_do(struct boot *boot, struct role *role, struct polarys_error *err)
{
    const char *dir = boot->config->data_dir;
    enum polarys_code code = POLARYS_OK;
    while (code == POLARYS_OK && role->step != ROLE_FOLLOWING) {
        enum role_step next = ROLE_FETCHING;
        if (role->step == ROLE_SET_ASIDE) {
            code = boot_set_aside(dir, role->aside, err);
        } else if (role->step == ROLE_FETCHING) {
            code = store_fetch(boot, err);
            next = ROLE_INSTALLING;
        } else {
            code = boot_install(dir, err);
            next = ROLE_FOLLOWING;
        }
        if (code == POLARYS_OK) {
            role->step = next;
            code = role_write(dir, role, err);
        }
    }
    return code;
}

enum polarys_code boot_run(struct boot *boot, bool *is_follower, struct role *role,
                           struct polarys_error *err)
{
    const struct config *config = boot->config;
    *is_follower = false;
    enum polarys_code code = role_read(config->data_dir, role, err);
    if (code != POLARYS_OK) {
        return code;
    }
    memcpy(boot->follow, role_follows(role, config->follow), sizeof(boot->follow));
    if (boot->follow[0] == '\0') {
        return primary_check(config, role, err);
    }
    if (role->kind == ROLE_PRIMARY && strcmp(role->follows, config->follow) == 0 &&
        !is_superseded(boot, role)) {
        polarys_log(POLARYS_LOG_WARN, "replica",
                    "this node was promoted at term %" PRIu64
                    ": it does not follow %s, whatever the setting `follow` says",
                    role->term, config->follow);
        return POLARYS_OK;
    }
    *is_follower = true;
    code = directory_take(boot, err);
    if (code == POLARYS_OK) {
        code = follow_begin(boot, role, err);
    }
    if (code == POLARYS_OK) {
        code = steps_do(boot, role, err);
    }
    if (code != POLARYS_OK && backoff_is_stopped(&boot->backoff)) {
        return polarys_fail(err, POLARYS_CANCELLED, "asked to end while copying the store");
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "follow %.200s", boot->follow);
}
