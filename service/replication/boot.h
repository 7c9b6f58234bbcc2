/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Before a store is opened: what this node is, by its settings and by the file of its role; and for a
 * follower without a usable store, a copy of its primary's.
 */
#ifndef SERVICE_REPLICATION_BOOT_H
#define SERVICE_REPLICATION_BOOT_H

#include "service/replication/peer.h"
#include "service/replication/role.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BOOT_PARTIAL_DIR "bootstrap.partial"
#define BOOT_LOCK_FILE "bootstrap.lock"

enum { BOOT_ANEW_MAX = 5 /* copies begun anew because what came made no sense */ };

struct boot;

/* `config` is borrowed. `open` reaches another node: peer_open, or that of a test. */
NODISCARD enum polarys_code boot_create(const struct config *config,
                                        enum polarys_code (*open)(const char *address,
                                                                  struct peer **out,
                                                                  struct polarys_error *err),
                                        struct boot **out, struct polarys_error *err);
/* Lets go of the directory. Accepts NULL. */
void boot_destroy(struct boot *boot);

/*
 * Decides, and makes the directory ready to be opened: *is_follower says how. Waits, and tries again,
 * while the primary does not answer. `role` is what the file says afterwards. Errors: NOT_PRIMARY (a
 * follower's directory without the setting `follow`), STORE_LOCKED, CANCELLED, and whatever trying
 * again can't help.
 */
NODISCARD enum polarys_code boot_run(struct boot *boot, bool *is_follower, struct role *role,
                                     struct polarys_error *err);
/* Any thread: ends boot_run with CANCELLED. */
void boot_cancel(struct boot *boot);

/* Marks the store of a follower as one that can't follow: the next boot_run moves it into a directory of
 * its own and fetches a copy. */
NODISCARD enum polarys_code boot_store_reject(const char *data_dir, struct role *role,
                                              struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
