/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of a damaged store: what of it authenticates becomes scratch table files, which are merged as the others are.
 *
 * Invariant: a put that the table files had taken over comes back from the log only where they lost something that may
 * have held it: elsewhere they know better, for its deletion may have been compacted away. Deletes only ever hide what
 * was deleted, so they are always taken.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/salvage_internal.h"
#include "engine/wal/log_batch.h"

/* ---- scratch files ---- */

static enum polarys_code memtable_write(struct salvage *salvage, struct table_builder *builder,
                                        struct polarys_error *err)
{
    struct entry_iterator *walk;
    enum polarys_code code = memtable_iterator_create(salvage->memtable, &walk, err);
    if (code != POLARYS_OK) {
        return code;
    }
    entry_iterator_seek_first(walk);
    while (walk->is_valid && code == POLARYS_OK) {
        code = table_builder_add(builder, &walk->entry, err);
        entry_iterator_next(walk);
    }
    entry_iterator_destroy(walk);
    return code;
}

enum polarys_code salvage_scratch_loss(void *context, const struct table_loss *loss)
{
    struct salvage *salvage = context;
    (void)snprintf(salvage->scratch_cause, sizeof(salvage->scratch_cause), "%.255s", loss->cause);
    return POLARYS_IO; /* it was written a moment ago */
}

/* What is in memory becomes a source. */
static enum polarys_code scratch_end(struct salvage *salvage, struct polarys_error *err)
{
    struct memtable_stats stats;
    struct table_builder *builder = NULL;
    struct table_meta meta = {0};
    struct table *table = NULL;
    struct table_loss_visitor visitor = {.loss = salvage_scratch_loss, .context = salvage};
    struct table_builder_options options = {.file_id = salvage->scratch_id_next++,
                                            .block_bytes = TABLE_BLOCK_BYTES_DEFAULT};
    if (salvage->memtable == NULL) {
        return POLARYS_OK;
    }
    memtable_stats_get(salvage->memtable, &stats);
    enum polarys_code code = POLARYS_OK;
    if (stats.entry_count > 0) {
        code = table_builder_create(&salvage->scratch_env, &options, &builder, err);
        code = code == POLARYS_OK ? memtable_write(salvage, builder, err) : code;
        code = code == POLARYS_OK ? table_builder_finish(builder, &meta, err) : code;
        table_builder_destroy(builder);
    }
    memtable_unref(salvage->memtable);
    salvage->memtable = NULL;
    if (code == POLARYS_OK && stats.entry_count > 0) {
        code =
            table_salvage_open(&salvage->scratch_env, meta.file_id, &meta, &visitor, &table, err);
        if (code == POLARYS_IO && salvage->scratch_cause[0] != '\0') {
            (void)polarys_fail(err, code, "a scratch file: %s", salvage->scratch_cause);
        } else if (table_is_damage(code)) {
            /* The new disk's fault; the code must not read like one of the damaged store's keyring. */
            struct polarys_error cause = *err;
            code = polarys_fail(err, POLARYS_IO, "a scratch file: %s", cause.message);
        }
    }
    table_meta_deinit(&meta);
    if (table != NULL) {
        code = salvage_source_add(salvage, table, true, err);
        /* What only the log knows of a table or an index counts as much as what the files know. */
        code = code == POLARYS_OK ? salvage_source_read(salvage, salvage->source_count - 1, err)
                                  : code;
    }
    return code;
}

static enum polarys_code memtable_add(struct salvage *salvage, const struct entry *entry,
                                      struct polarys_error *err)
{
    size_t bytes = memtable_entry_bytes_max(entry->key.size, entry->value.size);
    enum polarys_code code = POLARYS_OK;
    if (salvage->memtable != NULL && !memtable_has_room(salvage->memtable, bytes, 0)) {
        code = scratch_end(salvage, err);
    }
    if (code == POLARYS_OK && salvage->memtable == NULL) {
        code = memtable_create(SALVAGE_MEMTABLE_BYTES, &salvage->memtable, err);
    }
    if (code == POLARYS_OK) {
        memtable_insert(salvage->memtable, entry);
    }
    return code;
}

/* ---- commits ---- */

/* Whether a put of the log says something that the table files may not know. */
static bool put_counts(const struct salvage *salvage, const struct entry *entry)
{
    return !salvage->has_manifest || entry->version > salvage->needed_from ||
           salvage_lost_version(salvage, entry->key) >= entry->version;
}

static enum polarys_code operation_take(struct salvage *salvage, const struct entry *entry,
                                        struct polarys_error *err)
{
    if (entry->kind == ENTRY_RANGE_DELETE) {
        struct range_delete range = {
            .start = entry->key, .end = entry->value, .version = entry->version};
        return salvage_range_add(salvage, &range) == POLARYS_OK
                   ? POLARYS_OK
                   : polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a range delete");
    }
    if (entry->kind == ENTRY_PUT && !put_counts(salvage, entry)) {
        return POLARYS_OK;
    }
    return memtable_add(salvage, entry, err);
}

static enum polarys_code commit_take(void *context, uint32_t index, uint64_t time_unix_ms,
                                     const struct entry *operations, size_t operation_count,
                                     struct polarys_error *err)
{
    struct salvage *salvage = context;
    enum polarys_code code = POLARYS_OK;
    uint64_t version = salvage->first_version + index;
    salvage->time_max_ms =
        time_unix_ms > salvage->time_max_ms ? time_unix_ms : salvage->time_max_ms;
    salvage->newest_version = version > salvage->newest_version ? version : salvage->newest_version;
    for (size_t i = 0; i < operation_count && code == POLARYS_OK; i++) {
        struct entry entry = operations[i];
        entry.version = version;
        code = operation_take(salvage, &entry, err);
    }
    return code;
}

static enum polarys_code frame_take(void *context, const struct wal_frame *frame,
                                    struct polarys_error *err)
{
    struct salvage *salvage = context;
    struct log_batch_visitor visitor = {.commit = commit_take, .context = salvage};
    salvage->first_version = frame->first_version;
    return log_batch_decode(frame->payload, frame->commit_count, &visitor, err);
}

/* ---- gaps ---- */

static enum polarys_code log_lost(struct salvage *salvage, const struct wal_gap *gap)
{
    struct salvage_loss loss = {.kind = gap->is_segment ? POLARYS_SALVAGE_LOG_SEGMENT
                                                        : POLARYS_SALVAGE_LOG_FRAMES,
                                .offset = gap->offset,
                                .bytes = gap->bytes,
                                .first_version = gap->first_version,
                                .last_version = gap->last_version};
    if (salvage->has_manifest) {
        /* What the table files have taken over is not missed. */
        if (gap->last_version <= salvage->needed_from) {
            return POLARYS_OK;
        }
        if (loss.first_version <= salvage->needed_from) {
            loss.first_version = salvage->needed_from + 1;
        }
    } else if (gap->is_beginning) {
        return POLARYS_OK; /* the lost manifest is told with every version */
    }
    (void)snprintf(loss.file, sizeof(loss.file), "wal/%012" PRIu64 ".wal", gap->segment_id);
    (void)snprintf(loss.cause, sizeof(loss.cause), "%.190s%s", gap->cause,
                   gap->is_tail ? " (a write that was never acknowledged looks the same)" : "");
    return salvage_loss_note(salvage, &loss, NULL, NULL);
}

static enum polarys_code gap_note(void *context, const struct wal_gap *gap)
{
    return log_lost(context, gap);
}

/* The newest segments leave no trace in the log when they are gone; the manifest knows of some. */
static enum polarys_code newest_check(struct salvage *salvage, const struct wal_salvaged *log)
{
    bool is_missing = (log->segment_count == 0 && !salvage->is_clean) ||
                      log->newest_segment_id < salvage->log_segment_named ||
                      log->newest_first_version < salvage->origin_version;
    if (!salvage->has_manifest || !is_missing) {
        return POLARYS_OK;
    }
    struct wal_gap gap = {.is_segment = true,
                          .segment_id = log->newest_segment_id + 1,
                          .first_version = salvage->needed_from + 1,
                          .last_version = UINT64_MAX,
                          .cause = "the newest segments of the log are missing"};
    return log_lost(salvage, &gap);
}

enum polarys_code salvage_log_read(struct salvage *salvage, struct polarys_error *err)
{
    struct wal_options options = {
        .vfs = salvage->vfs, .dir = salvage->wal_dir, .keyring = salvage->keyring};
    struct wal_salvage_visitor visitor = {.frame = frame_take, .gap = gap_note, .context = salvage};
    struct wal_salvaged log;
    enum polarys_code code = salvage_cover_make(salvage, err);
    if (code == POLARYS_OK) {
        code = wal_salvage(&options, &visitor, &log, err);
    }
    if (code == POLARYS_OK) {
        salvage->result->log_frame_count = log.frame_count;
        salvage->term = log.term_max > salvage->term ? log.term_max : salvage->term;
        code = newest_check(salvage, &log);
    }
    if (code == POLARYS_OK) {
        code = scratch_end(salvage, err);
    }
    if (code == POLARYS_OK) {
        /* Now with what the log lost. */
        code = salvage_cover_make(salvage, err);
    }
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "read the log");
}
