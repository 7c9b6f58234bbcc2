/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of a store, as the store uses them; what others do with them is engine_slots.h. */
#ifndef ENGINE_SLOTS_H
#define ENGINE_SLOTS_H

#include "engine/engine_internal.h"

/* Reads the slots of the store and holds the log for them. REQUIRES: the log is open, and nothing prunes it yet.
 * Errors: CORRUPT, UNSUPPORTED_FORMAT, IO, NO_MEMORY. */
NODISCARD enum polarys_code slots_open(struct polarys_db *db, struct slots **out,
                                       struct polarys_error *err);
/* REQUIRES: no slot is attached, and slots_tick will not run any more. Accepts NULL. */
void slots_close(struct slots *slots);
/* Writes down what has been acknowledged; before the close. */
void slots_save(struct slots *slots);
/* Judges caps and idle slots, lets log go, and saves about once a second. Of the store's tick. */
void slots_tick(struct slots *slots, uint64_t now_ns);

#endif
