/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The payload of a sorted block: building it, searching it, walking it. Data blocks and both levels of
 * the index have this one shape. For the files of this module.
 *
 * A payload is header ‖ restart array ‖ common prefix ‖ key records ‖ values. Keys and values lie apart, so
 * a search touches the few cache lines of the keys only; the restart array holds 8 bytes of each restart's
 * key after the prefix common to the block, so its binary search touches nothing else.
 *
 * Invariant: readers take the bytes for hostile. Whatever they hold, nothing outside them is read and
 * every walk ends.
 */
#ifndef ENGINE_SST_BLOCK_H
#define ENGINE_SST_BLOCK_H

#include "engine/base/internal_key.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    BLOCK_HEADER_SIZE = 16,
    BLOCK_RESTART_SIZE = 16,
    BLOCK_PART_SIZE = 8,      /* bytes of a key in the restart array */
    BLOCK_GROUP_ENTRIES = 16, /* entries between restart points */
};

/* Owned by a table builder; zero-initialised is an empty block. */
struct block_builder {
    struct buffer restarts;
    struct buffer keys;
    struct buffer values;
    struct buffer first_key;
    struct buffer last_key;
    uint64_t last_version;
    uint32_t entry_count;
};

void block_builder_deinit(struct block_builder *builder);
/* Appends an entry. REQUIRES: it sorts after the last one; kind put or delete. Errors: NO_MEMORY, after
 * which the builder is only good for deinit. */
NODISCARD enum polarys_code block_builder_add(struct block_builder *builder,
                                              const struct entry *entry);
/* Bytes that the payload would have now. */
size_t block_builder_size(const struct block_builder *builder);
/* Makes the payload in `payload` (cleared before) and empties the builder. Errors: NO_MEMORY. */
NODISCARD enum polarys_code block_builder_finish(struct block_builder *builder,
                                                 struct buffer *payload);

/* A checked payload. Borrows it. */
struct block_view {
    const uint8_t *restarts;
    uint32_t restart_count;
    uint32_t entry_count;
    struct polarys_slice prefix;
    struct polarys_slice keys;
    struct polarys_slice values;
};

/* False when the payload is no block. */
NODISCARD bool block_view_init(struct block_view *view, struct polarys_slice payload);

enum block_result {
    BLOCK_FOUND,
    BLOCK_END, /* nothing there */
    BLOCK_BAD, /* the bytes are no block */
    BLOCK_NO_MEMORY,
};

/*
 * The first entry at or after (key, version). On BLOCK_FOUND the value of `found` borrows from the block;
 * its key is set only when it is `key` itself, and then is `key`; else it is empty.
 */
NODISCARD enum block_result block_find(const struct block_view *view, struct polarys_slice key,
                                       uint64_t version, struct entry *found);

/* An entry of the group that a backward walk is in. */
struct block_group_entry {
    size_t key_at;      /* in group_keys */
    struct entry entry; /* its key is not set */
    const uint8_t *next_record;
    size_t next_value;
};

/* A position in a block. Zero-initialised is none; deinit frees it. The view is borrowed. */
struct block_cursor {
    struct block_view view;
    struct entry entry; /* borrowed: until the next move */
    struct buffer key;
    const uint8_t *next_record; /* after the entry's */
    const uint8_t *group_end;
    size_t next_value;
    uint32_t group;        /* restart number of the entry */
    uint32_t in_group;     /* entries of the group before it */
    uint32_t cached_group; /* that group_entries hold, plus 1; 0 for none */
    uint32_t cached_count;
    struct buffer group_keys;
    struct block_group_entry group_entries[BLOCK_GROUP_ENTRIES];
};

/* Stands nowhere in `view`. Keeps the memory of earlier use. */
void block_cursor_set(struct block_cursor *cursor, const struct block_view *view);
void block_cursor_deinit(struct block_cursor *cursor);

NODISCARD enum block_result block_cursor_seek(struct block_cursor *cursor, struct polarys_slice key,
                                              uint64_t version);
NODISCARD enum block_result block_cursor_first(struct block_cursor *cursor);
NODISCARD enum block_result block_cursor_last(struct block_cursor *cursor);
/* REQUIRES: the last move returned BLOCK_FOUND. */
NODISCARD enum block_result block_cursor_next(struct block_cursor *cursor);
NODISCARD enum block_result block_cursor_previous(struct block_cursor *cursor);

#ifdef __cplusplus
}
#endif

#endif
