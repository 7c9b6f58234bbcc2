/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the manifest share: the layout of a manifest file (docs/formats/manifest.md), the
 * decoded form of a record, and the change that a record makes to the state.
 */
#ifndef ENGINE_MANIFEST_MANIFEST_INTERNAL_H
#define ENGINE_MANIFEST_MANIFEST_INTERNAL_H

#include "engine/manifest/manifest.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    MANIFEST_FORMAT = MANIFEST_FORMAT_VERSION,
    MANIFEST_MAGIC_SIZE = 8,
    MANIFEST_HEADER_SIZE = 80,
    MANIFEST_RECORD_HEADER_SIZE = 32,
    MANIFEST_RECORD_BYTES_MAX = 256 << 20, /* sealed bytes of one record */
    MANIFEST_FILE_BYTES_MAX = 600 << 20,   /* what opening is willing to read */
    MANIFEST_CURRENT_BYTES_MAX = 256,
    /* Bytes checked by CRC32C in search of a good record behind a bad one; more is taken for damage. */
    MANIFEST_SEARCH_BYTES_MAX = 64 << 20,
};

/* One record: an edit, or (is_snapshot) the whole state as of the start of a file. */
struct manifest_record {
    struct manifest_edit edit;
    bool is_snapshot;
    uint64_t next_file_id;      /* counts when not 0 */
    struct version_time *times; /* malloc'd array, owned; only in a snapshot */
    size_t time_count;
};

/* Accepts one that was only zero-initialised. */
void manifest_record_deinit(struct manifest_record *record);

/* Appends the encoding to `bytes`. Errors: NO_MEMORY. */
NODISCARD enum polarys_code manifest_edit_encode(const struct manifest_edit *edit,
                                                 struct buffer *bytes);
/* Appends the encoding of the whole state, without the mark of a clean close when `with_clean` is false.
 * Errors: NO_MEMORY. */
NODISCARD enum polarys_code manifest_state_encode(const struct manifest_state *state,
                                                  bool with_clean, struct buffer *bytes);
/* `record` is uninitialised before and zero on failure. Errors: CORRUPT, UNSUPPORTED_FORMAT (a field of a
 * later format), NO_MEMORY. */
NODISCARD enum polarys_code manifest_record_decode(struct polarys_slice bytes,
                                                   struct manifest_record *record,
                                                   struct polarys_error *err);

/* What applying a record will do to the levels, worked out before anything is written. */
struct manifest_change {
    struct table_meta *added; /* deep copies, owned until commit */
    size_t added_count;
    struct table_meta *dropped; /* shallow copies of what leaves the state */
    size_t dropped_count;
    struct table_meta
        *levels[MANIFEST_LEVELS]; /* new arrays; NULL with is_touched for an empty one */
    size_t level_counts[MANIFEST_LEVELS];
    bool is_touched[MANIFEST_LEVELS];
};

/* Errors: BUG when the edit contradicts the state, NO_MEMORY. */
NODISCARD enum polarys_code manifest_change_prepare(const struct manifest_state *state,
                                                    const struct manifest_edit *edit,
                                                    struct manifest_change *change,
                                                    struct polarys_error *err);
/* Never fails; takes over what the change holds. */
void manifest_change_commit(struct manifest_state *state, const struct manifest_edit *edit,
                            struct manifest_change *change);
/* Accepts one that was committed. */
void manifest_change_deinit(struct manifest_change *change);

/* Applies a record that was read. A contradiction is CORRUPT here. */
NODISCARD enum polarys_code manifest_state_apply(struct manifest_state *state,
                                                 const struct manifest_record *record,
                                                 struct polarys_error *err);
void manifest_state_deinit(struct manifest_state *state);

/* A manifest file being appended to, or the place where its reading ended. */
struct manifest_log {
    struct vfs_file *file; /* NULL while nothing may be appended */
    uint64_t number;       /* of the file */
    struct aead_key key;
    uint64_t ordinal;           /* of the next record */
    uint64_t offset;            /* where it goes */
    uint64_t snapshot_bytes;    /* size of the first record */
    uint8_t tag[AEAD_TAG_SIZE]; /* of the record before it */
};

struct manifest {
    /* Immutable after open. */
    struct vfs *vfs;
    char *dir;
    struct keyring *keyring;
    struct random_source *random;

    /* Synchronises itself. */
    uint64_t next_file_id;  /* with __atomic builtins: given out by any thread */
    uint64_t number_in_use; /* likewise: the manifest that CURRENT names */

    /* The appending thread's. */
    struct manifest_log log;
    struct manifest_state *state;
    uint64_t number_highest; /* of any manifest file seen or made */
    bool is_broken;
};

/* MANIFEST-000001; `name` has VFS_NAME_MAX bytes. */
void manifest_file_name(char *name, uint64_t number);
bool manifest_file_name_parse(const char *name, uint64_t *number);

/* A header and its file's subkey. Errors: those of keyring_derive and random_fill. */
NODISCARD enum polarys_code manifest_header_make(struct manifest *manifest, uint64_t number,
                                                 uint8_t header[MANIFEST_HEADER_SIZE],
                                                 struct aead_key *key, struct polarys_error *err);
/* Errors: CORRUPT, WRONG_STORE, UNSUPPORTED_FORMAT, those of keyring_derive. */
NODISCARD enum polarys_code manifest_header_check(struct manifest *manifest,
                                                  struct polarys_slice header, uint64_t number,
                                                  struct aead_key *key, struct polarys_error *err);
/* Bytes 0..7 and 8..31 of a record header with its CRC over them and the sealed bytes. */
uint32_t manifest_record_crc(const uint8_t header[MANIFEST_RECORD_HEADER_SIZE],
                             struct polarys_slice sealed);
/* What a record's header adds to the seal: the header with its CRC field zero. */
void manifest_record_additional(const uint8_t header[MANIFEST_RECORD_HEADER_SIZE],
                                uint8_t additional[MANIFEST_RECORD_HEADER_SIZE]);

/* An empty manifest object, no file yet. Errors: NO_MEMORY. */
NODISCARD enum polarys_code manifest_alloc(const struct manifest_options *options,
                                           struct manifest **out, struct polarys_error *err);
/* Reads CURRENT, then the file that it names, into the state. Errors: as manifest_open. */
NODISCARD enum polarys_code manifest_load(struct manifest *manifest, struct polarys_error *err);
/* Reads the file that log.number names. *is_torn: bytes behind its last record were dropped. */
NODISCARD enum polarys_code manifest_load_file(struct manifest *manifest, bool *is_torn,
                                               struct polarys_error *err);
/* As manifest_load; where CURRENT names nothing, the file with the highest number. */
NODISCARD enum polarys_code manifest_load_newest(struct manifest *manifest,
                                                 struct manifest_salvage *found,
                                                 struct polarys_error *err);
/* Moves next_file_id and number_highest past every file in the directory. Errors: IO. */
NODISCARD enum polarys_code manifest_scan_dir(struct manifest *manifest, struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
