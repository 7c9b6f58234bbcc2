/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open table file, as the files that read it share it.
 */
#ifndef ENGINE_SST_TABLE_INTERNAL_H
#define ENGINE_SST_TABLE_INTERNAL_H

#include "engine/sst/block.h"
#include "engine/sst/table.h"
#include "engine/sst/table_format.h"

/* A table's open file. Guarded by the mutex of env.files; without those, set once while opening. */
struct table_handle_slot {
    struct vfs_file *file; /* NULL when it was closed for room */
    uint32_t pin_count;    /* reads under way; the file stays open */
    bool was_closed;
    struct table_handle_slot *next; /* among the idle ones: open and not pinned */
    struct table_handle_slot *previous;
};

/* Immutable after open but for the slot, so any number of threads may read. */
struct table {
    struct table_env env;
    struct table_meta meta;
    char name[VFS_NAME_MAX];
    struct table_handle_slot *slot;
    struct table_sealer sealer;
    bool has_sealer;
    struct table_footer footer;
    uint64_t footer_offset;

    /* Kept in memory; no bytes when there are none. */
    struct table_block top_block;
    struct block_view top;
    struct table_block range_block;
    struct range_delete *ranges;
    size_t range_count;
    struct range_delete_index *range_index;
};

/* ---- table_files.c ---- */

/* The table's file, opened if need be, to be read from until table_file_unpin. Any thread. Errors: those of
 * vfs_open. */
NODISCARD enum polarys_code table_file_pin(const struct table *table, struct vfs_file **file,
                                           struct polarys_error *err);
void table_file_unpin(const struct table *table);
/* REQUIRES: nobody reads from it any more. */
void table_file_close(const struct table *table);

/* What an index entry leads to. */
struct table_partition {
    struct table_handle index;
    struct table_handle filter;
};

/* Bytes of the file read ahead of a walk. Zero-initialised is none. */
struct table_readahead {
    uint8_t *bytes;
    size_t capacity;
    uint64_t offset;
    size_t size;
    size_t window; /* bytes of the next read; grows */
};

/* Fills err with where the damage is and returns code. */
enum polarys_code table_block_failed(const struct table *table, enum table_block_kind kind,
                                     uint64_t offset, enum polarys_code code,
                                     struct polarys_error *err);
/* The same for bytes that authenticate and make no sense. Returns CORRUPT. */
enum polarys_code table_block_corrupt(const struct table *table, enum table_block_kind kind,
                                      uint64_t offset, struct polarys_error *err);

/* Reads, opens and decompresses a block past the cache; block->bytes is the caller's. `ahead` may be NULL.
 * Errors: TAMPERED, CORRUPT, IO, NO_MEMORY. */
NODISCARD enum polarys_code table_block_read(const struct table *table, enum table_block_kind kind,
                                             const struct table_handle *handle,
                                             struct table_readahead *ahead,
                                             struct table_block *block, struct polarys_error *err);

/* How a caller reads. */
struct table_access {
    unsigned flags;                /* enum table_read_flags */
    struct table_readahead *ahead; /* for data blocks; NULL for none */
};

/* Pins a block: from the cache, or as `access` allows from the file. Errors: WOULD_BLOCK and those of
 * table_block_read. */
NODISCARD enum polarys_code table_block_pin(struct table *table, enum table_block_kind kind,
                                            const struct table_handle *handle,
                                            const struct table_access *access,
                                            struct cached_block **pin, struct polarys_error *err);
void table_readahead_deinit(struct table_readahead *ahead);

/* Decode the values of index entries. False when they make no sense in this table. */
bool table_partition_decode(const struct table *table, struct polarys_slice value,
                            struct table_partition *partition);
bool table_data_handle_decode(const struct table *table, struct polarys_slice value,
                              struct table_handle *handle);

#endif
