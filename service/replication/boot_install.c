/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moves stores into and out of a data directory, name by name. Each move can be found half done after a
 * crash and is then gone on with: what was moved is no longer where it came from.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "service/replication/boot_internal.h"
#include "service/server/check.h"
#include "service/server/timing.h"

static const char keyring_name[] = "keyring";

/* Names in a data directory that are no part of its store. */
static bool is_kept(const char *name)
{
    static const char *const names[] = {ROLE_FILE,     "role.tmp", "LOCK",      "master.key",
                                        "checkpoints", "copies",   "lost+found"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return name[0] == '.' || strncmp(name, ROLE_ASIDE_PREFIX, strlen(ROLE_ASIDE_PREFIX)) == 0 ||
           strncmp(name, "bootstrap.", 10) == 0;
}

enum polarys_code boot_store_find(const char *dir, bool *has_store, struct polarys_error *err)
{
    char path[FILES_PATH_MAX];
    *has_store = false;
    enum polarys_code code = files_join(path, dir, keyring_name, err);
    return code == POLARYS_OK ? files_exists(path, has_store, err) : code;
}

static enum polarys_code stranger_refuse(void *context, const char *name, struct polarys_error *err)
{
    const char *dir = context;
    return is_kept(name) ? POLARYS_OK
                         : polarys_fail(err, POLARYS_FILE_NOT_FOUND,
                                        "%s has no keyring but holds \"%s\": it is no store, and "
                                        "none is copied into it",
                                        dir, name);
}

enum polarys_code boot_strangers_refuse(const char *dir, struct polarys_error *err)
{
    return files_list(dir, stranger_refuse, (void *)(uintptr_t)dir, err);
}

struct move {
    const char *from;
    const char *to;
    bool is_of_store; /* only what belongs to the store */
};

static enum polarys_code move_each(void *context, const char *name, struct polarys_error *err)
{
    const struct move *move = context;
    char from[FILES_PATH_MAX];
    char to[FILES_PATH_MAX];
    if (move->is_of_store && is_kept(name)) {
        return POLARYS_OK;
    }
    enum polarys_code code = files_join(from, move->from, name, err);
    if (code == POLARYS_OK) {
        code = files_join(to, move->to, name, err);
    }
    if (code == POLARYS_OK && rename(from, to) != 0) {
        code = polarys_fail_errno(err, errno, "move %s to %s", from, to);
    }
    return code;
}

static enum polarys_code move_all(const struct move *move, struct polarys_error *err)
{
    enum polarys_code code = files_list(move->from, move_each, (void *)(uintptr_t)move, err);
    /* The new names first: a crash between the two leaves both or the new one. */
    if (code == POLARYS_OK) {
        code = files_sync_dir(move->to, err);
    }
    return code == POLARYS_OK ? files_sync_dir(move->from, err) : code;
}

enum polarys_code boot_set_aside(const char *dir, const char *aside, struct polarys_error *err)
{
    char path[FILES_PATH_MAX];
    SERVICE_ASSERT(strncmp(aside, ROLE_ASIDE_PREFIX, strlen(ROLE_ASIDE_PREFIX)) == 0);
    enum polarys_code code = files_join(path, dir, aside, err);
    if (code == POLARYS_OK) {
        code = files_make_dir(path, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    struct move move = {.from = dir, .to = path, .is_of_store = true};
    code = move_all(&move, err);
    if (code == POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "replica",
                    "the store that could not follow is kept in %s: remove it when nothing in it "
                    "is missed",
                    path);
    }
    return code;
}

enum polarys_code boot_install(const char *dir, struct polarys_error *err)
{
    char partial[FILES_PATH_MAX];
    bool exists = false;
    enum polarys_code code = files_join(partial, dir, BOOT_PARTIAL_DIR, err);
    if (code == POLARYS_OK) {
        code = files_exists(partial, &exists, err);
    }
    if (code != POLARYS_OK || !exists) {
        return code; /* all was moved before a crash */
    }
    struct move move = {.from = partial, .to = dir};
    code = move_all(&move, err);
    return code == POLARYS_OK ? files_remove_tree(partial, err) : code;
}

enum polarys_code boot_store_reject(const char *data_dir, struct role *role,
                                    struct polarys_error *err)
{
    role->kind = ROLE_FOLLOWER;
    role->step = ROLE_SET_ASIDE;
    (void)snprintf(role->aside, sizeof(role->aside), ROLE_ASIDE_PREFIX "%" PRIu64,
                   timing_wall_ms());
    return role_write(data_dir, role, err);
}
