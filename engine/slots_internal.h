/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of slots share: the table, and its file. */
#ifndef ENGINE_SLOTS_INTERNAL_H
#define ENGINE_SLOTS_INTERNAL_H

#include "engine/base/buffer.h"
#include "engine/engine_slots.h"
#include "engine/slots.h"

enum { SLOTS_FORMAT_VERSION = 1, SLOTS_FILE_BYTES_MAX = 64 << 10 };

/* One slot. The first part is in the file. */
struct slot_entry {
    char name[POLARYS_NAME_BYTES_MAX + 1];
    enum polarys_slot_kind kind;
    bool is_lost;
    struct polarys_log_position position;
    uint64_t bytes_max;
    uint64_t active_unix_ms;

    uint64_t id; /* never used again while the store is open */
    uint64_t applied_version;
    uint64_t used_ns; /* monotonic: last use, or when the store was opened */
    uint32_t attached_count;
};

/* ---- slots_file.c: docs/formats/slots.md ---- */

/* Errors: NO_MEMORY. */
NODISCARD enum polarys_code slots_file_encode(struct buffer *to, const struct slot_entry *entries,
                                              size_t count, struct polarys_error *err);
/* Fills at most POLARYS_SLOTS_MAX entries. Errors: CORRUPT, UNSUPPORTED_FORMAT. */
NODISCARD enum polarys_code slots_file_decode(struct polarys_slice bytes,
                                              struct slot_entry *entries, size_t *count,
                                              struct polarys_error *err);

#endif
