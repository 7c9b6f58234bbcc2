/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the store does for its watches: their hub lives as long as the store.
 */
#ifndef ENGINE_WATCH_HUB_H
#define ENGINE_WATCH_HUB_H

#include "engine/engine_internal.h"

struct watch_hub;

/* Errors: NO_MEMORY. REQUIRES: the feed is open. */
NODISCARD enum polarys_code watch_hub_open(struct polarys_db *db, struct watch_hub **out,
                                           struct polarys_error *err);
/* Waits until no task of the hub runs or will. REQUIRES: every watch is closed. Accepts NULL. */
void watch_hub_stop(struct watch_hub *hub);
/* REQUIRES: stopped. Accepts NULL. */
void watch_hub_close(struct watch_hub *hub);
/* Every DB_TICK_NS: wakes watches for their progress, ends snapshots that nobody takes, has watches that
 * waited for memory go on. */
void watch_hub_tick(struct watch_hub *hub);
/* Bytes of events that wait. Any thread. */
uint64_t watch_hub_memory_bytes(const struct watch_hub *hub);

#endif
