/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Table files: immutable sorted runs of entries on disk (docs/formats/table.md).
 *
 * Invariant: every block is sealed, and its parent holds its tag: the manifest that of the footer, the
 * footer those of the top index, filter, range deletes and properties, the index those of the data
 * blocks. So a block of another file, place or time is never taken for the right one.
 */
#ifndef ENGINE_SST_TABLE_H
#define ENGINE_SST_TABLE_H

#include "engine/base/entry_iterator.h"
#include "engine/base/range_delete.h"
#include "engine/crypto/keyring.h"
#include "engine/sst/block_cache.h"
#include "engine/sst/table_files.h"
#include "engine/vfs/vfs.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TABLE_FORMAT_VERSION = 1,
    TABLE_BLOCK_BYTES_DEFAULT = 16 << 10,
    TABLE_BLOCK_BYTES_MIN = 1 << 10,
    TABLE_BLOCK_BYTES_MAX = 1 << 20,
    TABLE_RESTART_INTERVAL = 16, /* entries between restart points */
    TABLE_FILTER_BITS_PER_KEY = 10,
    TABLE_VALUE_BYTES_MAX = (16 << 20) + 64,
};

/* What every table file of a store shares. Copied by those who keep it. */
struct table_env {
    struct vfs *vfs;
    const char *dir; /* borrowed for the life of the store */
    struct keyring *keyring;
    struct random_source *random;
    struct block_cache *cache;
    struct table_files *files; /* NULL: a table's file stays open as long as the table */
};

struct table_builder_options {
    uint64_t file_id;
    size_t block_bytes; /* uncompressed target */
    int zstd_level;     /* 0 stores blocks as they are */
    bool is_last_level; /* no filter is needed below: still written, for misses */
};

/* What the manifest keeps about a file. Keys are tree keys, inclusive; owned (malloc). */
struct table_meta {
    uint64_t file_id;
    uint64_t file_bytes;
    uint64_t entry_count;  /* point entries */
    uint64_t delete_count; /* of which deletes */
    uint64_t range_delete_count;
    uint64_t oldest_version;
    uint64_t newest_version;
    uint64_t raw_bytes; /* keys and values before compression */
    uint32_t key_id;    /* data key it is sealed under */
    uint8_t footer_tag[AEAD_TAG_SIZE];
    struct buffer smallest_key; /* of entries and range delete starts */
    struct buffer
        largest_key; /* of entries, and of range delete ends (exclusive there, kept as is) */
};

void table_meta_deinit(struct table_meta *meta);
/* `to` is uninitialised before. Errors: NO_MEMORY. */
NODISCARD enum polarys_code table_meta_copy(struct table_meta *to, const struct table_meta *from);

/* `FILE_ID` as 12 hex digits and ".sst" into `name` (VFS_NAME_MAX). */
void table_file_name(char *name, uint64_t file_id);
/* True when `name` is a table file's; fills *file_id. */
bool table_file_name_parse(const char *name, uint64_t *file_id);

struct table_builder;

/* Creates the file. Errors: IO, DISK_LOW, NO_MEMORY. */
NODISCARD enum polarys_code table_builder_create(const struct table_env *env,
                                                 const struct table_builder_options *options,
                                                 struct table_builder **out,
                                                 struct polarys_error *err);
/* REQUIRES: entries in entry order, kind put or delete. Errors: IO, DISK_LOW, NO_MEMORY. */
NODISCARD enum polarys_code table_builder_add(struct table_builder *builder,
                                              const struct entry *entry, struct polarys_error *err);
/* In any order, any time before finish. Errors: NO_MEMORY. */
NODISCARD enum polarys_code table_builder_add_range_delete(struct table_builder *builder,
                                                           const struct range_delete *range_delete,
                                                           struct polarys_error *err);
/* Bytes written so far, with the block being filled. */
uint64_t table_builder_bytes(const struct table_builder *builder);
/* Writes what is left, syncs the file (not the directory), fills `meta` (uninitialised before; owned by
 * the caller). The builder is only good for destroy after it. Errors: IO, DISK_LOW, NO_MEMORY. */
NODISCARD enum polarys_code table_builder_finish(struct table_builder *builder,
                                                 struct table_meta *meta,
                                                 struct polarys_error *err);
/* Without a successful finish the file is removed. Accepts NULL. */
void table_builder_destroy(struct table_builder *builder);

/* An open table file. Shared by any number of threads. */
struct table;

/*
 * The meta of a file that no manifest knows (salvage), from what the file says itself: it authenticates
 * under the keyring, but an older file of the same id cannot be told from it. `meta` is uninitialised
 * before; owned by the caller. Errors: as table_open.
 */
NODISCARD enum polarys_code table_meta_recover(const struct table_env *env, uint64_t file_id,
                                               struct table_meta *meta, struct polarys_error *err);

/* Opens and checks the footer against meta->footer_tag. Errors: CORRUPT, TAMPERED (details "file",
 * "offset"), FILE_NOT_FOUND, IO, NO_MEMORY. `meta` is copied. */
NODISCARD enum polarys_code table_open(const struct table_env *env, const struct table_meta *meta,
                                       struct table **out, struct polarys_error *err);
/* REQUIRES: no iterator left. Accepts NULL. */
void table_close(struct table *table);

enum table_read_flags {
    TABLE_READ_MEMORY_ONLY = 1 << 0, /* WOULD_BLOCK instead of reading the file */
    TABLE_READ_NO_FILL = 1 << 1,     /* do not put what was read into the cache (compaction) */
    TABLE_READ_AHEAD = 1 << 2,       /* sequential: read several blocks at once */
};

/*
 * The newest point entry of `key` at or below `snapshot`; *is_found is false when there is none.
 * found->value points into `*pin`, which the caller releases (cached_block_release) when done; *pin is
 * NULL when nothing was found. found->key is `key` itself.
 * Errors: WOULD_BLOCK, CORRUPT, TAMPERED, IO, NO_MEMORY.
 */
NODISCARD enum polarys_code table_get(struct table *table, struct polarys_slice key,
                                      uint64_t snapshot, unsigned flags, bool *is_found,
                                      struct entry *found, struct cached_block **pin,
                                      struct polarys_error *err);

/* As memtable_range_delete_version. Range deletes are read at open and kept: this never blocks. */
uint64_t table_range_delete_version(const struct table *table, struct polarys_slice key,
                                    uint64_t snapshot);
/* In start order. Borrowed: lives as long as the table. */
void table_range_deletes_each(const struct table *table,
                              bool (*each)(void *context, const struct range_delete *range_delete),
                              void *context);

/* Errors: NO_MEMORY. The iterator's own errors are those of table_get. */
NODISCARD enum polarys_code table_iterator_create(struct table *table, unsigned flags,
                                                  struct entry_iterator **out,
                                                  struct polarys_error *err);

/* Reads every block from the file, past the cache, and checks it, the order of its entries and the filters
 * (salvage, verify). Goes on past bad ones; *bad_count is how many were bad. Errors: IO, NO_MEMORY. */
NODISCARD enum polarys_code table_verify(struct table *table, uint64_t *bad_count,
                                         struct polarys_error *err);

/* An estimate of the stored bytes between two tree keys (end exclusive); reads index blocks. */
NODISCARD enum polarys_code table_range_bytes(struct table *table, struct polarys_slice start,
                                              struct polarys_slice end, uint64_t *bytes,
                                              struct polarys_error *err);

/* Heap bytes that the open table holds outside the cache. */
size_t table_memory_bytes(const struct table *table);

#ifdef __cplusplus
}
#endif

#endif
