/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Indexes of the embedded API: made and dropped while writes go on, kept right by every write.
 *
 * An index entry is written in the commit that writes its document. An index is BUILDING from the commit
 * that makes it, when every write begins to maintain it, to the commit that makes it READY; queries use
 * READY ones only. A crash in between resumes the build.
 *
 * Fields are paths: names joined by dots, a name with other characters than letters, digits and '_' in
 * backticks. An array indexes each of its elements. A missing field (and every field of a raw value) is
 * indexed as missing. Types keep their order: missing < null < false < true < numbers < strings < arrays
 * and objects; 1 and "1" differ, 1 and 1.0 do not. Strings order by their UTF-8 bytes.
 */
#ifndef ENGINE_ENGINE_INDEX_H
#define ENGINE_ENGINE_INDEX_H

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    POLARYS_INDEX_FIELDS_MAX = 8,
    POLARYS_INDEXES_PER_TABLE_MAX = 64,
    POLARYS_FIELD_PATH_BYTES_MAX = 1024,
    POLARYS_INDEX_ENTRIES_MAX = 10000,  /* of one document in one index, text ones apart */
    POLARYS_INDEX_KEY_BYTES_MAX = 2048, /* encoded fields of an ordered or unique index */
};

enum polarys_index_kind {
    POLARYS_INDEX_HASH = 1,    /* equality on all its fields */
    POLARYS_INDEX_ORDERED = 2, /* equality, ranges, prefixes, order */
    POLARYS_INDEX_TEXT = 3,    /* full-text, one field or several together */
};

enum polarys_index_state {
    POLARYS_INDEX_STATE_BUILDING = 1,
    POLARYS_INDEX_STATE_READY = 2,
    POLARYS_INDEX_FAILED =
        3, /* e.g. a unique index over documents that are not; says why; drop it */
};

/* How an index is asked for. Strings are borrowed for the call. */
struct polarys_index_options {
    const char *name; /* NULL or "": made from table, fields and kind */
    const char *const *fields;
    size_t field_count;
    enum polarys_index_kind kind;
    bool is_unique; /* hash and ordered; documents that lack a field, or have null, are exempt */
    const char *language; /* text: a Snowball name such as "english", or "none"; NULL: "english" */
};

struct polarys_index_info {
    char index[POLARYS_NAME_BYTES_MAX + 1];
    uint32_t index_id; /* never reused, also not as a table's */
    enum polarys_index_kind kind;
    enum polarys_index_state state;
    bool is_unique;
    size_t field_count;
    const char *const *fields;
    const char *language; /* text; else "" */
    const char *failure;  /* FAILED: the reason; else "" */
    uint64_t created_version;
    uint64_t documents_indexed;   /* BUILDING: so far */
    uint64_t documents_estimated; /* BUILDING: in all */
    /* Statistics, as last gathered; 0 when not yet. */
    uint64_t entry_count;
    uint64_t distinct_count;
};

/*
 * Makes an index; returns when the commit that makes it BUILDING is durable (the rest happens on the
 * executor). index_name (room for POLARYS_NAME_BYTES_MAX + 1, or NULL) receives its name.
 * Errors: TABLE_NOT_FOUND, INDEX_EXISTS, BAD_NAME, BAD_ARGUMENT (fields, kind, language, too many), those of
 * a commit.
 */
POLARYS_API NODISCARD enum polarys_code polarys_index_create(
    struct polarys_db *db, const char *database, const char *table,
    const struct polarys_index_options *index, const struct polarys_write_options *options,
    char *index_name, struct polarys_write_result *result, struct polarys_error *err);
/* Errors: INDEX_NOT_FOUND, TABLE_NOT_FOUND, those of a commit. */
POLARYS_API NODISCARD enum polarys_code polarys_index_drop(
    struct polarys_db *db, const char *database, const char *table, const char *index,
    const struct polarys_write_options *options, struct polarys_write_result *result,
    struct polarys_error *err);
/* In name order. Infos live during the call. */
POLARYS_API NODISCARD enum polarys_code polarys_index_list(
    struct polarys_db *db, const char *database, const char *table,
    bool (*each)(void *context, const struct polarys_index_info *info), void *context,
    struct polarys_error *err);
/* Waits until the index is READY. Errors: INDEX_NOT_FOUND, UNIQUE_VIOLATION and whatever else made it FAILED,
 * WAIT_TIMEOUT (timeout_ms; 0: no limit), DRAINING. */
POLARYS_API NODISCARD enum polarys_code polarys_index_wait(struct polarys_db *db,
                                                           const char *database, const char *table,
                                                           const char *index, uint32_t timeout_ms,
                                                           struct polarys_error *err);

struct polarys_index_check_result {
    uint64_t document_count;
    uint64_t entry_count;
    uint64_t missing_count; /* entries that should be there */
    uint64_t stray_count;   /* entries that should not */
    char first_fault[512];  /* says where; "" when there is none */
};
/*
 * Compares documents and entries of one index (NULL: every READY one of the table, summed) at one version.
 * `should_stop` as for polarys_table_count. Errors: INDEX_NOT_FOUND, INDEX_BUILDING, CANCELLED, those of reads.
 */
POLARYS_API NODISCARD enum polarys_code polarys_index_check(
    struct polarys_db *db, const char *database, const char *table, const char *index,
    bool (*should_stop)(void *context), void *context, struct polarys_index_check_result *check,
    struct polarys_error *err);
/*
 * Deletes documents of [start, end) from the front, at most range_delete_max of them where the table has
 * indexes, in one commit. *resume_size 0: that was all of the range. Else `resume` (room for POLARYS_KEY_BYTES_MAX) is where the next call has to start. Each call is atomic,
 * all of them together are not. Errors: those of a range delete but for TOO_LARGE.
 */
POLARYS_API NODISCARD enum polarys_code polarys_table_delete_range_part(
    struct polarys_db *db, const char *database, const char *table, struct polarys_slice start,
    struct polarys_slice end, const struct polarys_write_options *options, uint8_t *resume,
    size_t *resume_size, struct polarys_write_result *result, struct polarys_error *err);
/* Gathers the statistics that the planner goes by, and those that searches score by, of all READY indexes of
 * the table, now. */
POLARYS_API NODISCARD enum polarys_code polarys_table_analyze(struct polarys_db *db,
                                                              const char *database,
                                                              const char *table,
                                                              struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
