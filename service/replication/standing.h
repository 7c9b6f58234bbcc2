/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a node that follows nobody may still write: a primary that has seen a higher term than its own is fenced. It is
 * durable in the file of the role (role.h) before it is told to anybody, and nothing here takes it back: the node has to
 * follow the new primary.
 */
#ifndef SERVICE_REPLICATION_STANDING_H
#define SERVICE_REPLICATION_STANDING_H

#include "service/replication/follower.h"

#ifdef __cplusplus
extern "C" {
#endif

struct standing;

/* `config` and `db` outlive it. Errors: NO_MEMORY. */
NODISCARD enum polarys_code standing_create(const struct config *config, struct polarys_db *db,
                                            const struct role *role, struct standing **out,
                                            struct polarys_error *err);
/* Accepts NULL. */
void standing_destroy(struct standing *standing);

/* What is told of itself, HOST:PORT; "" at first. Before others can ask. */
void standing_address_set(struct standing *standing, const char *address);

/* Any thread; cheap. Accepts NULL: false. */
bool standing_is_fenced(const struct standing *standing);
/* Refuses what only a primary may do. Errors: NOT_PRIMARY (details `term`, and `primary` where it is known). */
NODISCARD enum polarys_code standing_refuse(struct standing *standing, struct polarys_error *err);

/* As follower_seal_term, for a node that does not follow: from its return on it is fenced where the term is above its own.
 * Writes a file. Errors: NOT_PRIMARY (details `term`, `primary`), IO. */
NODISCARD enum polarys_code standing_seal(struct standing *standing,
                                          const struct follower_seal *seal,
                                          struct follower_seal_result *result,
                                          struct polarys_error *err);

/* Takes polarys_writes_stop back, unless this node is fenced. */
void standing_writes_resume(struct standing *standing);

/* From the next start of the node on it follows `address`. Writes a file. Errors: IO, BAD_ARGUMENT (too long). */
NODISCARD enum polarys_code standing_follow(struct standing *standing, const char *address,
                                            struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
