/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexes: what one is, its record in the catalogue, the entries that a document has in it, and the ranges of
 * entries that answer a question. Bytes: docs/formats/index.md.
 *
 * An entry's tree key is
 *     database id ‖ index id ‖ encoded fields ‖ document key
 * with the fields one behind the other, as json_value_encode writes them; in a hash index the 16-byte XXH3 of
 * that stands instead of it. In a unique index the entry of a document whose fields are all there (neither
 * missing nor null) has no document key in its key, but as its value.
 *
 * A document that has several entries in an ordered index has one more, a marker, behind all the others:
 *     database id ‖ index id ‖ 0xff ‖ document key
 * So one look tells whether any document of a version has several: the planner of queries asks, since
 * only without them two conditions on one field make one range.
 *
 * Invariant: the entries are a function of definition, document key and stored document alone. Whether a
 * document has expired plays no part.
 *
 * This module reads and writes no tree: its callers do.
 */
#ifndef ENGINE_INDEX_INDEX_H
#define ENGINE_INDEX_INDEX_H

#include "engine/base/buffer.h"
#include "engine/base/internal_key.h"
#include "engine/document/json_value.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    INDEX_FIELDS_MAX = 8,
    INDEX_NAME_BYTES_MAX = 128,
    INDEX_LANGUAGE_BYTES_MAX = 31,
    INDEX_FAILURE_BYTES_MAX = 255,
    INDEX_ENTRIES_MAX = 10000, /* of one document in one index */
    INDEX_FIELDS_ENCODED_MAX =
        2048, /* bytes, of an ordered index, or a unique one that is no hash */
    INDEX_HASH_SIZE = 16,
};

enum index_kind {
    INDEX_HASH = 1,
    INDEX_ORDERED = 2,
    INDEX_TEXT = 3,
};

enum index_state {
    INDEX_BUILDING = 1,
    INDEX_READY = 2,
    INDEX_FAILED = 3,
};

/* Immutable once shared; counted references. */
struct index_definition {
    uint32_t reference_count; /* changed atomically */
    /* Of one that is READY: a version at which it was, once somebody has looked; 0: not known. Changed atomically. */
    uint64_t ready_version;
    uint32_t database_id;
    uint32_t table_id;
    uint32_t id;
    enum index_kind kind;
    enum index_state state;
    bool is_unique;
    uint64_t created_version; /* 0: that of its record */
    uint64_t created_ms;
    size_t field_count;
    struct json_path fields[INDEX_FIELDS_MAX];
    struct json_paths *paths; /* the fields, as a set */
    char name[INDEX_NAME_BYTES_MAX + 1];
    char language[INDEX_LANGUAGE_BYTES_MAX + 1]; /* text; else "" */
    char failure[INDEX_FAILURE_BYTES_MAX + 1];   /* FAILED; else "" */
};

/* What a definition is made of. Borrowed for the call. */
struct index_spec {
    uint32_t database_id;
    uint32_t table_id;
    uint32_t id;
    const char *name;
    enum index_kind kind;
    enum index_state state;
    bool is_unique;
    const char *const *fields;
    size_t field_count;
    const char *language; /* NULL: "english" for text, "" for others */
    const char *failure;  /* NULL: "" */
    uint64_t created_version;
    uint64_t created_ms;
};

/* Checks the spec and copies it; one reference, the caller's. Errors: BAD_ARGUMENT (detail "field": what of the
 * spec: "fields", "kind", "unique", "language", or a path), NO_MEMORY. The name is not checked. */
NODISCARD enum polarys_code index_definition_create(const struct index_spec *spec,
                                                    struct index_definition **out,
                                                    struct polarys_error *err);
/* The same index in another state, a new definition. Errors: NO_MEMORY. */
NODISCARD enum polarys_code index_definition_restate(const struct index_definition *index,
                                                     enum index_state state, const char *failure,
                                                     struct index_definition **out,
                                                     struct polarys_error *err);
struct index_definition *index_definition_ref(struct index_definition *index);
void index_definition_unref(struct index_definition *index); /* accepts NULL */

/* The name of an index that was given none: "<table>_<fields joined by '_'>_<kind>", characters that no name
 * may have as '_', cut to fit. `name` has room for INDEX_NAME_BYTES_MAX + 1. */
void index_name_make(const char *table, const struct index_spec *spec, char *name);
const char *index_kind_name(enum index_kind kind); /* "hash", "ordered", "text" */

/* ---- the record ---- */

/* Appends the value of its record; database, table and name are the record's key. Errors: NO_MEMORY. */
NODISCARD enum polarys_code index_record_encode(const struct index_definition *index,
                                                struct buffer *to);
/* Id and state alone, for who has the definition already. False when it is no record. */
bool index_record_peek(struct polarys_slice value, uint32_t *id, enum index_state *state);
/* `version`: of the record's entry. Errors: CORRUPT, NO_MEMORY. */
NODISCARD enum polarys_code index_record_decode(uint32_t database_id, uint32_t table_id,
                                                struct polarys_slice name,
                                                struct polarys_slice value, uint64_t version,
                                                struct index_definition **out,
                                                struct polarys_error *err);

/* ---- entries ---- */

struct index_entry {
    struct polarys_slice key;   /* tree key */
    struct polarys_slice value; /* what it holds */
    bool is_unique;             /* no other document may have an entry of this key */
};

struct index_value;

/* Distinct keys, ascending. Owned; zero-initialise; using it again saves allocations. */
struct index_entries {
    struct index_entry *list;
    size_t count;
    size_t capacity;
    struct buffer bytes; /* what the slices borrow from */
    /* While they are made. */
    struct buffer encoded;
    struct index_value *values;
    size_t value_count;
    size_t value_capacity;
};

/*
 * The entries of one document, in place of what `entries` held. `stored`: the document as the tree stores it.
 * Errors: TOO_LARGE (details "index", "limit", "size": too many entries, or encoded fields too long), CORRUPT
 * (not a stored value), NO_MEMORY.
 */
NODISCARD enum polarys_code index_entries_make(const struct index_definition *index,
                                               struct polarys_slice document_key,
                                               struct polarys_slice stored,
                                               struct index_entries *entries,
                                               struct polarys_error *err);
void index_entries_deinit(struct index_entries *entries);

/* An entry taken apart. Borrows from key and value. */
struct index_entry_view {
    struct polarys_slice fields; /* all of them, encoded (hash: the 16 bytes; marker: empty) */
    struct polarys_slice document_key;
    bool is_marker;
};

/* Takes an entry of a hash or ordered index apart. False when it is none. */
bool index_entry_decode(const struct index_definition *index, struct polarys_slice key,
                        struct polarys_slice value, struct index_entry_view *view);
/* Encoded field `number` of an ordered index; false when there is none. */
bool index_entry_field(struct polarys_slice fields, size_t number, struct polarys_slice *field);

/* ---- ranges ---- */

/* [start, end) of tree keys. Owned; zero-initialise. */
struct index_range {
    struct buffer start;
    struct buffer end;
};
void index_range_deinit(struct index_range *range);
/* Nothing can lie in it. */
bool index_range_is_empty(const struct index_range *range);

/* One end of a range of values of one field. */
struct index_bound {
    bool is_given;
    bool is_inclusive;
    struct json_value value;
};

/*
 * The entries whose first `equal_count` fields equal `equal` (JSON_MISSING is a value like any other).
 * Hash: equal_count has to be all fields. Errors: BAD_ARGUMENT (hash with fewer, text), NO_MEMORY.
 */
NODISCARD enum polarys_code index_range_equal(const struct index_definition *index,
                                              const struct json_value *equal, size_t equal_count,
                                              struct index_range *range, struct polarys_error *err);
/*
 * Of those, where the next field lies between the bounds. A bound that is not given, on one side, is the end
 * of the type of the other bound's value: `price < 100` means numbers. With neither it is index_range_equal.
 * REQUIRES: an ordered index, equal_count < its fields; both values of one type. Errors: NO_MEMORY.
 */
NODISCARD enum polarys_code index_range_between(const struct index_definition *index,
                                                const struct json_value *equal, size_t equal_count,
                                                const struct index_bound *low,
                                                const struct index_bound *high,
                                                struct index_range *range,
                                                struct polarys_error *err);
/* Of those, where the next field is a string that begins with these characters. REQUIRES: as before. */
NODISCARD enum polarys_code index_range_prefix(const struct index_definition *index,
                                               const struct json_value *equal, size_t equal_count,
                                               struct polarys_slice characters,
                                               struct index_range *range,
                                               struct polarys_error *err);
/* The whole keyspace of an index. */
void index_bounds(uint32_t database_id, uint32_t index_id, uint8_t start[TREE_KEY_PREFIX_SIZE],
                  uint8_t end[TREE_KEY_PREFIX_SIZE]);

/* The part of an ordered index's keyspace where its markers are. The bounds' prefix and, for the start, one
 * byte more. */
void index_marker_bounds(uint32_t database_id, uint32_t index_id,
                         uint8_t start[TREE_KEY_PREFIX_SIZE + 1],
                         uint8_t end[TREE_KEY_PREFIX_SIZE]);

/* The first byte string behind all that begin with `bytes`, in place, for the end of a range. False when there
 * is none (nothing but 0xff): it is empty then. */
bool index_bytes_successor(struct buffer *bytes);

#ifdef __cplusplus
}
#endif

#endif
