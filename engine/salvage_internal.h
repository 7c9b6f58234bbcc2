/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A salvage, as its files share it. One thread.
 *
 * The order: keyring, manifest, table files (each read once from end to end, so that what is lost of them is known before
 * the log is), log (into scratch table files), catalogue, then one merge over all of them into the new store's files.
 */
#ifndef ENGINE_SALVAGE_INTERNAL_H
#define ENGINE_SALVAGE_INTERNAL_H

#include "engine/catalog_records.h"
#include "engine/engine_internal.h"
#include "engine/engine_salvage.h"
#include "engine/manifest/manifest.h"
#include "engine/sst/table_salvage.h"
#include "engine/wal/wal_salvage.h"

enum {
    SALVAGE_OPEN_FILES_MAX = 256,
    SALVAGE_KEYRING_BYTES_MAX = 16 << 20,
    SALVAGE_MEMTABLE_BYTES = 64 << 20,    /* of log in memory before it becomes a scratch file */
    SALVAGE_TABLE_BYTES = 64 << 20,       /* of a table file of the new store */
    SALVAGE_SOURCES_MAX = 1 << 20,        /* table files, scratch files included */
    SALVAGE_IDS_MAX = 1 << 20,            /* different tables and indexes */
    SALVAGE_INDEX_WAIT_MS = 24 * 3600000, /* for one index to be built */
};

/* Names of the directory of scratch files in the new store, while it is made. */
#define SALVAGE_SCRATCH_NAME "salvage"

/* A place that could not be read. */
struct salvage_loss {
    enum polarys_salvage_kind kind;
    char file[VFS_NAME_MAX + 8];
    char cause[POLARYS_SALVAGE_CAUSE_BYTES_MAX];
    uint64_t offset;
    uint64_t bytes;
    uint64_t first_version;
    uint64_t last_version;
    bool has_keys;    /* else every key */
    bool is_harmless; /* it hides nothing: it is told, and that is all */
    struct buffer start;
    struct buffer end;      /* inclusive */
    uint8_t *end_exclusive; /* the same with a byte more; once the cover is made */
};

/* A table file that is read: of the damaged store, or a scratch file with what its log holds. */
struct salvage_source {
    struct salvage *salvage;
    struct table *table;
    bool is_scratch;
    bool has_keys; /* its smallest and largest key are known */
    /* Its losses in salvage.losses, once it was read from end to end; the merge meets them again. */
    size_t loss_first;
    size_t loss_end;
};

/* What was met of a table or an index. */
struct salvage_id {
    uint32_t database_id;
    uint32_t id;
    uint64_t put_count;
    uint64_t strange_count; /* puts whose values no document has */
};

struct salvage_ids {
    struct salvage_id *list; /* ascending */
    size_t count;
    size_t capacity;
    size_t last; /* where the last look-up was */
};

struct salvage {
    const struct polarys_salvage_options *options;
    struct polarys_salvage_result *result;
    struct vfs *vfs;
    const char *dir;
    const char *to;
    char scratch_dir[VFS_PATH_MAX];
    char wal_dir[VFS_PATH_MAX];
    struct keyring *keyring;
    struct table_files *files;
    struct table_env env;         /* of the damaged store */
    struct table_env scratch_env; /* of the scratch files */
    struct table_env new_env;

    /* What the manifest says; all zero when it is lost. */
    bool has_manifest;
    bool takes_unnamed;   /* table files that the manifest does not name are read too */
    uint64_t needed_from; /* the log matters from behind this version on */
    bool is_clean;
    uint64_t log_segment_named; /* the segment of the last clean close; 0: none */
    uint64_t origin_version;
    uint64_t term;
    uint64_t time_max_ms;

    struct salvage_source *sources;
    size_t source_count;
    struct salvage_ids ids;
    uint64_t newest_version;

    struct salvage_loss *losses;
    size_t loss_count;
    /* Of those with keys: the newest version that may be missing of a key. NULL: none. */
    struct range_delete *cover_list;
    struct range_delete_index *cover;
    bool is_cover_stale;      /* a loss was noted that it lacks */
    uint64_t lost_everywhere; /* the same of those without keys; 0: none */

    /* Range deletes of all sources and of the log. Their bytes are in `range_bytes`, one allocation each. */
    struct range_delete *ranges;
    size_t range_count;
    size_t range_capacity;
    struct range_delete_index *range_index;

    /* The log on its way into scratch files. */
    struct memtable *memtable;
    uint64_t scratch_id_next;
    char scratch_cause[POLARYS_SALVAGE_CAUSE_BYTES_MAX]; /* why a scratch file cannot be read; "" */
    uint64_t first_version;                              /* of the frame in hand */

    struct catalog *catalog;
    bool is_catalog_doubtful;

    /* The new store. */
    struct manifest_edit edit;
    size_t added_capacity;
    struct table_builder *builder;
    uint64_t file_id_next;
};

/* ---- salvage_losses.c ---- */

/* Notes a loss; keys are copied. start and end NULL: every key. Errors: NO_MEMORY. */
NODISCARD enum polarys_code salvage_loss_note(struct salvage *salvage,
                                              const struct salvage_loss *loss,
                                              const struct polarys_slice *start,
                                              const struct polarys_slice *end);
/* Makes the cover of all losses noted so far. Errors: NO_MEMORY. */
NODISCARD enum polarys_code salvage_cover_make(struct salvage *salvage, struct polarys_error *err);
/* The newest version of `key` that may be among what was lost; 0: none. */
uint64_t salvage_lost_version(const struct salvage *salvage, struct polarys_slice key);
/* Whether a loss touches the records of the catalogue. */
bool salvage_catalog_is_lost(const struct salvage *salvage);
/* Tells every loss to the caller, a table at a time, and counts them. REQUIRES: the catalogue is complete. */
void salvage_losses_report(struct salvage *salvage);
void salvage_losses_deinit(struct salvage *salvage);

/* ---- salvage_tables.c ---- */

/* Finds and opens the table files, and reads each from end to end. */
NODISCARD enum polarys_code salvage_tables_read(struct salvage *salvage, struct polarys_error *err);
/* Takes over an open table as a source, with its range deletes. */
NODISCARD enum polarys_code salvage_source_add(struct salvage *salvage, struct table *take_table,
                                               bool is_scratch, struct polarys_error *err);
/* Reads the source from end to end, for what is lost of it and what it holds. Errors: NO_MEMORY; IO (a scratch file). */
NODISCARD enum polarys_code salvage_source_read(struct salvage *salvage, size_t index,
                                                struct polarys_error *err);
/*
 * The visitor of every walk of a source: notes what has not been noted before, for a medium that is failing may lose
 * more from one walk to the next. A scratch file has to be whole: its loss ends the walk with IO.
 */
NODISCARD enum polarys_code salvage_source_loss(void *context, const struct table_loss *loss);
/* Copies a range delete. Errors: NO_MEMORY. */
NODISCARD enum polarys_code salvage_range_add(struct salvage *salvage,
                                              const struct range_delete *range_delete);
void salvage_sources_deinit(struct salvage *salvage);
/* What was met of a table or index; NULL: nothing. */
const struct salvage_id *salvage_id_find(struct salvage *salvage, uint32_t database_id,
                                         uint32_t id);

/* ---- salvage_log.c ---- */

/* The visitor of a scratch file's losses, with the salvage as its context: keeps the cause, and gives IO. */
NODISCARD enum polarys_code salvage_scratch_loss(void *context, const struct table_loss *loss);
/* Reads the log into scratch files, which become sources. */
NODISCARD enum polarys_code salvage_log_read(struct salvage *salvage, struct polarys_error *err);

/* ---- salvage_merge.c ---- */

/* A walk over all sources, in entry order. The caller destroys it. Errors: NO_MEMORY, TOO_LARGE. */
NODISCARD enum polarys_code salvage_merge_create(struct salvage *salvage,
                                                 struct entry_iterator **out,
                                                 struct polarys_error *err);
/*
 * To the next key that has a document or record now: false at the end, or with *code not OK. `key` holds the key in
 * hand between calls. The walk stands on the entry: borrowed until the next call.
 */
bool salvage_merge_next(struct salvage *salvage, struct entry_iterator *merge, struct buffer *key,
                        enum polarys_code *code, struct polarys_error *err);

/* ---- salvage_catalog.c ---- */

/* Reads what is left of the catalogue's records. */
NODISCARD enum polarys_code salvage_catalog_read(struct salvage *salvage,
                                                 struct polarys_error *err);
/* What to do with the entries of a table or index id. */
enum salvage_keep { SALVAGE_DROP, SALVAGE_KEEP_RECORD, SALVAGE_KEEP_DOCUMENT };
enum salvage_keep salvage_catalog_judge(struct salvage *salvage, uint32_t database_id, uint32_t id);
/* A document of a table without a record came back: gives it one. */
NODISCARD enum polarys_code salvage_catalog_adopt(struct salvage *salvage, uint32_t database_id,
                                                  uint32_t id, struct polarys_error *err);
/* Writes the records through `put`, in the order of their keys. */
NODISCARD enum polarys_code salvage_catalog_write(struct salvage *salvage, uint64_t version,
                                                  struct polarys_error *err);

/* ---- salvage_write.c ---- */

/* Adds an entry to the new store's files. REQUIRES: keys ascend within a file; salvage_file_end between. */
NODISCARD enum polarys_code salvage_put(struct salvage *salvage, const struct entry *entry,
                                        struct polarys_error *err);
/* Ends the file that is being written, if any. */
NODISCARD enum polarys_code salvage_file_end(struct salvage *salvage, struct polarys_error *err);
/* Merges everything into the new store: files and manifest. */
NODISCARD enum polarys_code salvage_write(struct salvage *salvage, struct polarys_error *err);
/* What makes it a store. REQUIRES: all else of it is there. */
NODISCARD enum polarys_code salvage_keyring_copy(struct salvage *salvage,
                                                 struct polarys_error *err);

#endif
