/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scans: an ordered walk over a table as of one version, in either direction, that may go on in another
 * thread where a thread that must not touch files has stopped.
 *
 * Invariant: the version is leased from open to close. After WOULD_BLOCK nothing is lost or repeated: the
 * walk is taken up again behind the last key that was handed out.
 *
 * A scan of a transaction walks over two sources: the tree at the statement's version and the view of what
 * the transaction had written when the scan was opened, which stands before the tree's where it has the
 * same key. What was walked over is noted before it is handed out.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/engine_internal.h"
#include "engine/txn_statement.h"

enum { COUNT_STOP_INTERVAL = 1024 }; /* documents between questions whether to stop */

struct polarys_scan {
    struct polarys_db *db;
    bool is_reverse;
    bool is_newest;
    unsigned flags; /* polarys_read_flags */
    uint64_t snapshot;
    uint64_t judged_ms; /* expiry at an old version; 0: not known yet */
    uint64_t lease_id;  /* 0: the statement keeps the version */
    uint64_t leased_ns;
    struct buffer start; /* tree keys */
    struct buffer end;
    struct entry_iterator *iterator; /* NULL: to be made, and placed behind `last` */
    struct buffer last;              /* tree key handed out last; empty: none */
    bool is_at_entry;                /* the iterator stands on what was handed out */
    bool is_pending;                 /* no: on `last`, which was met and not handed out */
    bool has_met;                    /* the iterator stands on what was not handed out */
    struct buffer walked;            /* one end of what was noted last */
    struct txn_statement statement;  /* of its transaction */
    struct txn_view *view;           /* NULL: nothing of its own */
    size_t view_at;                  /* the entry to come; in reverse the one behind it */
    size_t view_begin;               /* entries within the bounds */
    size_t view_end;
    uint64_t timed_version; /* commit_time of a version, asked once for runs of it */
    uint64_t timed_ms;
};

/* The first key behind all that begin with `prefix`: false when there is none. */
static bool prefix_end(struct buffer *bytes)
{
    while (bytes->size > 0 && bytes->data[bytes->size - 1] == 0xff) {
        bytes->size--;
    }
    if (bytes->size == 0) {
        return false;
    }
    bytes->data[bytes->size - 1]++;
    return true;
}

static enum polarys_code bound_set(struct buffer *bound, const uint8_t prefix[TREE_KEY_PREFIX_SIZE],
                                   struct polarys_slice key)
{
    buffer_clear(bound);
    enum polarys_code code = buffer_append(bound, prefix, TREE_KEY_PREFIX_SIZE);
    return code == POLARYS_OK ? buffer_append_slice(bound, key) : code;
}

static enum polarys_code bounds_make(struct polarys_scan *scan,
                                     const struct polarys_scan_options *options,
                                     uint32_t database_id, uint32_t table_id)
{
    uint8_t start[TREE_KEY_PREFIX_SIZE];
    uint8_t end[TREE_KEY_PREFIX_SIZE];
    table_bounds(database_id, table_id, start, end);
    enum polarys_code code = bound_set(&scan->start, start, options->start);
    if (code == POLARYS_OK) {
        code = options->end.size > 0 ? bound_set(&scan->end, start, options->end)
                                     : bound_set(&scan->end, end, options->end);
    }
    if (code != POLARYS_OK || options->prefix.size == 0) {
        return code;
    }
    if (slice_compare(options->start, options->prefix) < 0) {
        code = bound_set(&scan->start, start, options->prefix);
    }
    /* The table's own prefix takes part, so there always is an end. */
    struct buffer limit = {0};
    if (code == POLARYS_OK) {
        code = bound_set(&limit, start, options->prefix);
    }
    if (code == POLARYS_OK && prefix_end(&limit) &&
        slice_compare(buffer_slice(&limit), buffer_slice(&scan->end)) < 0) {
        buffer_clear(&scan->end);
        code = buffer_append_slice(&scan->end, buffer_slice(&limit));
    }
    buffer_deinit(&limit);
    return code;
}

static enum polarys_code check_options(const struct polarys_scan_options *options,
                                       struct polarys_error *err)
{
    if (options->txn != NULL && options->version != POLARYS_VERSION_NEWEST) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "a scan of a transaction reads the transaction's version");
    }
    /* One byte more than a key: the bound just behind the longest key there can be. */
    if (options->start.size > POLARYS_KEY_BYTES_MAX + 1 ||
        options->end.size > POLARYS_KEY_BYTES_MAX + 1 ||
        options->prefix.size > POLARYS_KEY_BYTES_MAX) {
        return polarys_fail(err, POLARYS_BAD_KEY, "a bound of a scan has at most %d bytes",
                            POLARYS_KEY_BYTES_MAX + 1);
    }
    return POLARYS_OK;
}

/* The statement, its view and version. */
static enum polarys_code txn_begin_scan(struct polarys_scan *scan, struct polarys_txn *txn,
                                        uint32_t table_id, struct polarys_error *err)
{
    struct commit_range range = {buffer_slice(&scan->start), buffer_slice(&scan->end)};
    enum polarys_code code = txn_statement_begin(txn, range, scan->flags, &scan->statement, err);
    if (code == POLARYS_OK) {
        code = txn_view_create(&scan->statement, table_id, scan->flags, &scan->view, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    scan->is_newest = scan->statement.judged_ms == 0;
    scan->judged_ms = scan->statement.judged_ms;
    if (slice_compare(range.start, range.end) < 0) {
        scan->view_begin = txn_view_seek(scan->view, range.start);
        scan->view_end = txn_view_seek(scan->view, range.end);
    }
    scan->view_at = scan->is_reverse ? scan->view_end : scan->view_begin;
    return POLARYS_OK;
}

enum polarys_code polarys_scan_open(struct polarys_db *db,
                                    const struct polarys_scan_options *options,
                                    struct polarys_scan **out, struct polarys_error *err)
{
    *out = NULL;
    uint32_t database_id;
    uint32_t table_id;
    struct polarys_scan *scan = NULL;
    const char *database =
        options->txn == NULL ? options->database : polarys_txn_database(options->txn);
    enum polarys_code code = db_database_find(db, database, &database_id, err);
    if (code == POLARYS_OK) {
        code = db_table_find(db, database_id, options->table, &table_id, NULL, err);
    }
    if (code == POLARYS_OK) {
        code = check_options(options, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    scan = calloc(1, sizeof(*scan));
    if (scan == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a scan");
    }
    scan->db = db;
    scan->is_reverse = options->is_reverse;
    scan->is_newest = options->version == POLARYS_VERSION_NEWEST;
    scan->flags = options->flags;
    code = bounds_make(scan, options, database_id, table_id);
    if (code != POLARYS_OK) {
        code = polarys_fail(err, code, "no memory for a scan");
        goto fail;
    }
    if (options->txn != NULL) {
        code = txn_begin_scan(scan, options->txn, table_id, err);
        if (code != POLARYS_OK) {
            goto fail;
        }
        scan->snapshot = scan->statement.version;
    } else {
        code = polarys_snapshot_acquire(db, options->version, DB_SCAN_LEASE_MS, &scan->lease_id,
                                        &scan->snapshot, err);
    }
    if (code != POLARYS_OK) {
        goto fail;
    }
    scan->leased_ns = clock_monotonic_ns(db->clock);
    *out = scan;
    return POLARYS_OK;

fail:
    polarys_scan_close(scan);
    return code;
}

void polarys_scan_close(struct polarys_scan *scan)
{
    if (scan == NULL) {
        return;
    }
    entry_iterator_destroy(scan->iterator);
    txn_view_destroy(scan->view);
    txn_statement_end(&scan->statement);
    if (scan->lease_id != 0) {
        snapshot_release(scan->db->snapshots, scan->lease_id);
    }
    buffer_deinit(&scan->start);
    buffer_deinit(&scan->end);
    buffer_deinit(&scan->last);
    buffer_deinit(&scan->walked);
    free(scan);
}

/* Makes the iterator and places it on the first key that was not handed out. */
static enum polarys_code iterator_place(struct polarys_scan *scan, struct polarys_error *err)
{
    struct polarys_slice start = buffer_slice(&scan->start);
    struct polarys_slice end = buffer_slice(&scan->end);
    if (scan->last.size > 0 && scan->is_reverse) {
        /* The zero behind `last` makes it one of those before the end. */
        end = buffer_slice(&scan->last);
        end.size += scan->is_pending ? 1 : 0;
    } else if (scan->last.size > 0) {
        start = buffer_slice(&scan->last);
    }
    if (slice_compare(start, end) >= 0) {
        return POLARYS_OK; /* nothing there: no iterator */
    }
    unsigned flags = db_tree_flags(scan->flags) | TREE_READ_AHEAD;
    enum polarys_code code = tree_iterator_create(scan->db->tree, start, end, scan->snapshot, flags,
                                                  &scan->iterator, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (scan->is_reverse) {
        entry_iterator_seek_last(scan->iterator);
    } else {
        entry_iterator_seek_first(scan->iterator);
        /* The start is inclusive. */
        if (scan->iterator->is_valid && scan->last.size > 0 && !scan->is_pending &&
            slice_equal(scan->iterator->entry.key, buffer_slice(&scan->last))) {
            entry_iterator_next(scan->iterator);
        }
    }
    scan->is_pending =
        scan->is_pending && !scan->iterator->is_valid && scan->iterator->code != POLARYS_OK;
    return POLARYS_OK;
}

/* On to the next entry, live or expired. *has_entry false at the end. */
static enum polarys_code scan_step(struct polarys_scan *scan, bool *has_entry,
                                   struct polarys_error *err)
{
    *has_entry = false;
    if (scan->iterator == NULL) {
        enum polarys_code code = iterator_place(scan, err);
        if (code != POLARYS_OK || scan->iterator == NULL) {
            return code;
        }
    } else if (scan->is_at_entry && scan->is_reverse) {
        entry_iterator_previous(scan->iterator);
    } else if (scan->is_at_entry) {
        entry_iterator_next(scan->iterator);
    }
    scan->is_at_entry = scan->iterator->is_valid;
    if (scan->iterator->is_valid) {
        *has_entry = true;
        return POLARYS_OK;
    }
    enum polarys_code code = scan->iterator->code;
    if (code != POLARYS_OK) {
        if (err != NULL && code != POLARYS_WOULD_BLOCK) {
            *err = scan->iterator->error;
        }
        /* The next call starts over behind the last key. */
        entry_iterator_destroy(scan->iterator);
        scan->iterator = NULL;
    }
    return code;
}

static enum polarys_code last_set(struct polarys_scan *scan)
{
    buffer_clear(&scan->last);
    enum polarys_code code = buffer_append_slice(&scan->last, scan->iterator->entry.key);
    if (code == POLARYS_OK) {
        code = buffer_append_byte(&scan->last, 0);
    }
    scan->last.size -= code == POLARYS_OK ? 1 : 0;
    return code;
}

static bool is_expired(struct polarys_scan *scan, uint64_t expires_at_ms)
{
    if (expires_at_ms == 0) {
        return false;
    }
    if (scan->is_newest) {
        return expires_at_ms <= db_now_ms(scan->db);
    }
    if (scan->judged_ms == 0) {
        scan->judged_ms = db_version_time_ms(scan->db, scan->snapshot);
    }
    return expires_at_ms <= scan->judged_ms;
}

static uint64_t commit_time(struct polarys_scan *scan, uint64_t version)
{
    if (scan->timed_version != version) {
        scan->timed_version = version;
        scan->timed_ms = db_version_time_ms(scan->db, version);
    }
    return scan->timed_ms;
}

static void document_fill(struct polarys_scan *scan, const struct entry *entry,
                          const struct stored_value *stored, struct polarys_document *document)
{
    *document = (struct polarys_document){
        .key = slice_make(entry->key.data + TREE_KEY_PREFIX_SIZE,
                          entry->key.size - TREE_KEY_PREFIX_SIZE),
        .version = entry->version,
    };
    document->value.kind = stored->is_json ? POLARYS_VALUE_JSON : POLARYS_VALUE_RAW;
    document->value.expires_at_ms = stored->expires_at_ms;
    document->commit_time_unix_ms = entry->version == 0 ? 0 : commit_time(scan, entry->version);
    if ((scan->flags & POLARYS_READ_KEYS_ONLY) == 0) {
        document->value.bytes = stored->bytes;
    }
}

/* Keeps the lease alive however long the scan takes. */
static enum polarys_code lease_keep(struct polarys_scan *scan, struct polarys_error *err)
{
    uint64_t now_ns = clock_monotonic_ns(scan->db->clock);
    if (scan->lease_id == 0 ||
        now_ns - scan->leased_ns < UINT64_C(1000000) * DB_SCAN_LEASE_MS / 8) {
        return POLARYS_OK;
    }
    scan->leased_ns = now_ns;
    return snapshot_renew(scan->db->snapshots, scan->lease_id, DB_SCAN_LEASE_MS, err);
}

/* The tree's next entry. */
static enum polarys_code tree_next(struct polarys_scan *scan, bool *has_entry,
                                   struct polarys_error *err)
{
    *has_entry = false;
    enum polarys_code code = scan->iterator == NULL ? lease_keep(scan, err) : POLARYS_OK;
    if (code == POLARYS_OK) {
        code = scan_step(scan, has_entry, err);
    }
    /* Only a scan that may have to start over needs to know where it was. */
    if (code == POLARYS_OK && *has_entry && (scan->flags & POLARYS_READ_MEMORY_ONLY) != 0 &&
        last_set(scan) != POLARYS_OK) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a scan");
    }
    return code;
}

/* The view's entry that comes next; NULL when there is none. */
static const struct txn_view_entry *view_peek(const struct polarys_scan *scan)
{
    if (scan->is_reverse) {
        return scan->view_at > scan->view_begin ? &scan->view->entries[scan->view_at - 1] : NULL;
    }
    return scan->view_at < scan->view_end ? &scan->view->entries[scan->view_at] : NULL;
}

/* Negative when the transaction's own entry comes first, 0 when both have the same key. */
static int merge_order(const struct polarys_scan *scan, const struct txn_view_entry *own)
{
    if (own == NULL || !scan->has_met) {
        return own == NULL ? 1 : -1;
    }
    int order = slice_compare(own->key, scan->iterator->entry.key);
    return scan->is_reverse ? -order : order;
}

/* The next entry of tree and view together. */
static enum polarys_code merged_next(struct polarys_scan *scan, struct entry *entry,
                                     bool *has_entry, struct polarys_error *err)
{
    for (;;) {
        enum polarys_code code = scan->has_met ? POLARYS_OK : tree_next(scan, &scan->has_met, err);
        const struct txn_view_entry *own = view_peek(scan);
        *has_entry = false;
        if (code != POLARYS_OK || (own == NULL && !scan->has_met)) {
            return code;
        }
        int order = merge_order(scan, own);
        if (order <= 0) {
            scan->view_at = scan->is_reverse ? scan->view_at - 1 : scan->view_at + 1;
            scan->has_met = scan->has_met && order < 0;
            *entry = (struct entry){.key = own->key, .value = own->value, .kind = ENTRY_PUT};
            *has_entry = !own->is_delete;
        } else {
            scan->has_met = false;
            *entry = scan->iterator->entry;
            *has_entry = !txn_view_touches(scan->view, entry->key);
        }
        if (*has_entry) {
            return POLARYS_OK;
        }
    }
}

static enum polarys_code entry_next(struct polarys_scan *scan, struct entry *entry, bool *has_entry,
                                    struct polarys_error *err)
{
    if (scan->view != NULL) {
        return merged_next(scan, entry, has_entry, err);
    }
    enum polarys_code code = tree_next(scan, has_entry, err);
    if (code == POLARYS_OK && *has_entry) {
        *entry = scan->iterator->entry;
    }
    return code;
}

/* Notes what was walked over up to `key`, or all of it (NULL). */
static enum polarys_code walk_note(struct polarys_scan *scan, const struct polarys_slice *key,
                                   struct polarys_error *err)
{
    if (!scan->statement.notes_reads) {
        return POLARYS_OK;
    }
    struct commit_range range = {buffer_slice(&scan->start), buffer_slice(&scan->end)};
    if (key != NULL) {
        buffer_clear(&scan->walked);
        if (buffer_append_slice(&scan->walked, *key) != POLARYS_OK ||
            buffer_append_byte(&scan->walked, 0) != POLARYS_OK) {
            return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a scan");
        }
    }
    if (key != NULL && scan->is_reverse) {
        range.start = *key;
    } else if (key != NULL) {
        range.end = buffer_slice(&scan->walked); /* just behind it */
    }
    return txn_statement_note_range(&scan->statement, range, err);
}

enum polarys_code polarys_scan_next(struct polarys_scan *scan, bool *has_document,
                                    struct polarys_document *document, struct polarys_error *err)
{
    *has_document = false;
    for (;;) {
        bool has_entry = false;
        struct entry entry = {.kind = ENTRY_PUT};
        struct stored_value stored = {0};
        enum polarys_code code = txn_statement_keep(&scan->statement, err);
        if (code == POLARYS_OK) {
            code = entry_next(scan, &entry, &has_entry, err);
        }
        if (code != POLARYS_OK || !has_entry) {
            return code == POLARYS_OK ? walk_note(scan, NULL, err) : code;
        }
        if (!stored_value_decode(entry.value, &stored)) {
            return polarys_fail(err, POLARYS_CORRUPT, "a stored value has an unknown form");
        }
        if (is_expired(scan, stored.expires_at_ms)) {
            continue;
        }
        code = walk_note(scan, &entry.key, err);
        if (code == POLARYS_OK) {
            document_fill(scan, &entry, &stored, document);
            *has_document = true;
        }
        return code;
    }
}

void polarys_scan_flags_set(struct polarys_scan *scan, unsigned flags)
{
    if (flags == scan->flags) {
        return;
    }
    /* Where the old flags kept no position, the iterator still knows it. */
    if (scan->iterator != NULL && scan->is_at_entry && last_set(scan) != POLARYS_OK) {
        return; /* goes on as before */
    }
    scan->flags = flags;
    scan->is_pending = scan->is_pending || scan->has_met;
    scan->has_met = false;
    entry_iterator_destroy(scan->iterator);
    scan->iterator = NULL;
    scan->is_at_entry = false;
}

uint64_t polarys_scan_version(const struct polarys_scan *scan)
{
    return scan->snapshot;
}

/* NOLINTNEXTLINE(readability-function-size): the embedded API names each thing by itself */
enum polarys_code polarys_table_count(struct polarys_db *db, const char *database,
                                      const char *table, const struct polarys_read_options *options,
                                      bool (*should_stop)(void *context), void *context,
                                      uint64_t *count, struct polarys_error *err)
{
    struct polarys_scan_options scan_options = {.database = database, .table = table};
    scan_options.version = options == NULL ? POLARYS_VERSION_NEWEST : options->version;
    scan_options.flags = POLARYS_READ_KEYS_ONLY | (options == NULL ? 0 : options->flags);
    struct polarys_scan *scan;
    *count = 0;
    enum polarys_code code = polarys_scan_open(db, &scan_options, &scan, err);
    if (code != POLARYS_OK) {
        return code;
    }
    for (;;) {
        struct polarys_document document;
        bool has_document;
        code = polarys_scan_next(scan, &has_document, &document, err);
        if (code != POLARYS_OK || !has_document) {
            break;
        }
        (*count)++;
        if (*count % COUNT_STOP_INTERVAL == 0 && should_stop != NULL && should_stop(context)) {
            code = polarys_fail(err, POLARYS_CANCELLED, "counting was stopped");
            break;
        }
    }
    polarys_scan_close(scan);
    return code;
}
