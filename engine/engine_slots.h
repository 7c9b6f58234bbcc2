/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots: named positions in the log, each the place of one follower, from which on the log is kept.
 *
 * A slot that falls behind by more than its cap, or that nobody used for too long, is lost: it stays in the list but
 * keeps no log, so no follower that is gone fills the disk. Slots lie in a file of this store (docs/formats/slots.md)
 * that is written at most once a second for what followers acknowledge; copies of the store do not have them.
 */
#ifndef ENGINE_ENGINE_SLOTS_H
#define ENGINE_ENGINE_SLOTS_H

#include "engine/engine_log.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { POLARYS_SLOTS_MAX = 64 };

enum polarys_slot_kind {
    POLARYS_SLOT_REPLICA = 0, /* may be counted for quorums */
    POLARYS_SLOT_OBSERVER = 1,
    POLARYS_SLOT_ARCHIVE = 2,
};

enum polarys_slot_state {
    POLARYS_SLOT_RESERVED = 1, /* what it needs is kept anyway */
    POLARYS_SLOT_EXTENDED = 2, /* log is kept for it alone */
    POLARYS_SLOT_LOST = 3,
};

struct polarys_slot_info {
    char name[POLARYS_NAME_BYTES_MAX + 1];
    enum polarys_slot_kind kind;
    enum polarys_slot_state state;
    struct polarys_log_position position;
    uint64_t behind_bytes;
    uint64_t behind_versions;
    uint64_t applied_version; /* 0: not said since this store was opened */
    bool is_active;
    uint64_t active_time_unix_ms; /* last acknowledgement, or when it was made */
    uint64_t bytes_max;
};

/*
 * Makes a slot, durably. `position` NULL: the durable end; else it has to be one of this log. bytes_max 0: the store's
 * slot_bytes_max. One that is there is given back as it is, but for one that is lost, which is placed anew. `info` may be
 * NULL. Reads and writes files. Errors: BAD_NAME, TOO_MANY_CALLS (POLARYS_SLOTS_MAX), those of
 * polarys_log_reader_open, DISK_LOW, IO.
 */
POLARYS_API NODISCARD enum polarys_code polarys_slot_create(
    struct polarys_db *db, const char *name, enum polarys_slot_kind kind, uint64_t bytes_max,
    const struct polarys_log_position *position, struct polarys_slot_info *info,
    struct polarys_error *err);
/* Durably. Errors: BAD_NAME, SLOT_NOT_FOUND, IO, DISK_LOW. */
POLARYS_API NODISCARD enum polarys_code polarys_slot_drop(struct polarys_db *db, const char *name,
                                                          struct polarys_error *err);
/* Fills at most POLARYS_SLOTS_MAX, in the order of their names; returns how many. Cheap. */
POLARYS_API size_t polarys_slot_list(struct polarys_db *db, struct polarys_slot_info *infos);

/* The use of a slot by one tail. One thread at a time. */
struct polarys_slot;

/*
 * The slot becomes active, and its position `from`, which the caller has just read the log at
 * (polarys_log_reader_open). Errors: SLOT_NOT_FOUND; LOG_PRUNED (detail "earliest_segment") when it is over its cap;
 * NO_MEMORY.
 */
POLARYS_API NODISCARD enum polarys_code polarys_slot_attach(struct polarys_db *db, const char *name,
                                                            const struct polarys_log_position *from,
                                                            struct polarys_slot **out,
                                                            struct polarys_error *err);
/* Before polarys_db_close. Accepts NULL. */
POLARYS_API void polarys_slot_detach(struct polarys_slot *slot);
/* What the follower has durably, and the newest version that can be read there; neither ever falls. Cheap; durable here
 * within about a second. Errors: SLOT_NOT_FOUND when it was dropped, LOG_PRUNED when it was lost. */
POLARYS_API NODISCARD enum polarys_code polarys_slot_ack(struct polarys_slot *slot,
                                                         const struct polarys_log_position *durable,
                                                         uint64_t applied_version,
                                                         struct polarys_error *err);
/* Whether it is still there: the errors of polarys_slot_ack. */
POLARYS_API NODISCARD enum polarys_code polarys_slot_check(struct polarys_slot *slot,
                                                           struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
