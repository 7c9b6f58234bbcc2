/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading entries. The checksum finds damage, the seal finds alteration; where neither tells, the message has to
 * be one that some version writes.
 */
#include "client/cli/polarysdb_log.h"

#include <isa-l/crc.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/polarysdb_message.h"
#include "client/cli/polarysdb_value.h"

/* An entry that is being read. */
struct entry {
    const struct polarysdb_file *file;
    size_t offset; /* in the file */
    const uint8_t *data;
    size_t size;
    bool is_sealed;
};

static uint32_t u32_le(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static uint32_t crc32_of(const uint8_t *bytes, size_t size)
{
    POLARYS_ASSERT(size <= POLARYSDB_LOG_ENTRY_BYTES_MAX);
    return crc32_gzip_refl(0, bytes, size);
}

/* Reads the header at `offset`; the reason when there is no whole, undamaged entry, NULL otherwise. */
static const char *entry_find(const struct polarysdb_file *file, size_t offset, struct entry *entry)
{
    size_t left = file->size - offset;

    POLARYS_ASSERT(offset < file->size);
    entry->file = file;
    entry->offset = offset;
    if (left < POLARYSDB_LOG_HEADER_SIZE) {
        return "is cut short: the file ends within its header";
    }
    uint32_t size = u32_le(file->bytes + offset);
    if (size == 0 || size > POLARYSDB_LOG_ENTRY_BYTES_MAX) {
        return "is damaged: its length is not from 1 byte to 10 MiB";
    }
    if (size > left - POLARYSDB_LOG_HEADER_SIZE) {
        return "is cut short: the file ends within its data";
    }
    entry->data = file->bytes + offset + POLARYSDB_LOG_HEADER_SIZE;
    entry->size = size;
    if (crc32_of(entry->data, size) != u32_le(file->bytes + offset + 4)) {
        return "is damaged: its checksum does not fit";
    }
    return NULL;
}

bool polarysdb_log_is_log(const struct polarysdb_file *file)
{
    struct entry entry;
    return file->size > 0 && entry_find(file, 0, &entry) == NULL;
}

/* Names the entry, says what is wrong, and what can be done about a damaged file. */
static bool entry_fail(const struct entry *entry, const char *reason, const char *why,
                       struct polarysdb_fault *fault)
{
    const char *path = entry->file->path;
    return polarysdb_fault_set(
        fault, reason,
        "%s: the log entry at offset %zu %s; take the file from a copy, or give up this entry and "
        "all behind it on a copy of yours: truncate -s %zu %s",
        path, entry->offset, why, entry->offset, path);
}

/* An entry that was read but that no version writes so. */
static bool entry_refuse(const struct entry *entry, const char *why, struct polarysdb_fault *fault)
{
    return polarysdb_fault_set(
        fault, POLARYSDB_UNSUPPORTED,
        "%s: the log entry at offset %zu cannot be taken: %s; versions up to "
        "2.1 are known",
        entry->file->path, entry->offset, why);
}

/* Neither sealed under a key that was given, nor an entry that is not sealed. */
static bool entry_fail_to_open(const struct polarysdb_log *log, const struct entry *entry,
                               struct polarysdb_fault *fault)
{
    if (log->keys->count == 0) {
        return polarysdb_fault_set(
            fault, POLARYSDB_TAMPERED,
            "%s: the log entry at offset %zu is encrypted: give its key with --key-hex",
            entry->file->path, entry->offset);
    }
    return polarysdb_fault_set(
        fault, POLARYSDB_TAMPERED,
        "%s: the log entry at offset %zu cannot be opened: the key is another one, or somebody "
        "altered the entry; after a change of keys give each with a --key-hex of its own",
        entry->file->path, entry->offset);
}

/* Opens the entry into `plaintext`, or finds that it is not sealed. */
static bool entry_open(struct polarysdb_log *log, struct entry *entry, uint8_t *plaintext,
                       struct polarysdb_message *message, struct polarysdb_fault *fault)
{
    const char *why = "";

    POLARYS_ASSERT(entry->size > 0);
    switch (polarysdb_open(log->keys, entry->data, entry->size, plaintext)) {
    case POLARYSDB_FAILED:
        return polarysdb_fault_memory(fault, "decrypting a log entry");
    case POLARYSDB_OPENED:
        log->has_seen_sealed = true;
        entry->is_sealed = true;
        entry->data = plaintext;
        entry->size -= POLARYSDB_SEAL_SIZE;
        return polarysdb_message_read(entry->data, entry->size, message, &why) ||
               entry_refuse(entry, why, fault);
    case POLARYSDB_REFUSED:
        break;
    }
    entry->is_sealed = false;
    if (!polarysdb_message_read(entry->data, entry->size, message, &why)) {
        return entry_fail_to_open(log, entry, fault);
    }
    if (log->has_seen_sealed && !log->keys->has_zero_key) {
        return entry_fail(entry, POLARYSDB_TAMPERED,
                          "is not encrypted although entries before it are", fault);
    }
    return true;
}

/* Where a key is zero, 2.x wrote entries that are not sealed but have tagged values. */
static bool value_read(const struct polarysdb_log *log, const struct entry *entry,
                       const struct polarysdb_message *message, struct polarysdb_store *store,
                       struct polarysdb_change *change, struct polarysdb_fault *fault)
{
    const char *why = "";
    enum polarysdb_value_result result = POLARYSDB_VALUE_BAD;

    POLARYS_ASSERT(message->operation == POLARYSDB_WRITE);
    if (entry->is_sealed || log->keys->has_zero_key) {
        result =
            polarysdb_value_read_tagged(store, message->value, message->value_size, change, &why);
    }
    if (result == POLARYSDB_VALUE_BAD && !entry->is_sealed) {
        result = polarysdb_value_read_untagged(store, message->value, message->value_size, change);
    }
    if (result == POLARYSDB_VALUE_NO_MEMORY) {
        return polarysdb_fault_memory(fault, "a value");
    }
    return result == POLARYSDB_VALUE_TAKEN || entry_refuse(entry, why, fault);
}

static bool message_apply(const struct polarysdb_log *log, const struct entry *entry,
                          const struct polarysdb_message *message, struct polarysdb_store *store,
                          struct polarysdb_fault *fault)
{
    struct polarysdb_change change = {.kind = POLARYSDB_DELETED};
    const char *table = (const char *)message->table;

    if (message->operation == POLARYSDB_DELETE &&
        !polarysdb_store_has_table(store, table, message->table_size)) {
        return true;
    }
    if (!polarysdb_store_table(store, table, message->table_size, &change.table, fault)) {
        return false;
    }
    if (message->operation == POLARYSDB_CREATE_TABLE) {
        return true;
    }
    change.key = (const char *)message->key;
    change.key_size = message->key_size;
    if (message->operation == POLARYSDB_WRITE &&
        !value_read(log, entry, message, store, &change, fault)) {
        return false;
    }
    return polarysdb_store_change(store, &change, fault);
}

static bool entries_read(struct polarysdb_log *log, const struct polarysdb_file *file,
                         uint8_t *plaintext, struct polarysdb_store *store,
                         struct polarysdb_fault *fault)
{
    struct polarysdb_message message = {.table = NULL};
    struct entry entry;
    size_t offset = 0;

    while (offset < file->size) {
        const char *why = entry_find(file, offset, &entry);
        if (why != NULL) {
            return entry_fail(&entry, POLARYSDB_CORRUPT, why, fault);
        }
        size_t next = offset + POLARYSDB_LOG_HEADER_SIZE + entry.size;
        if (!entry_open(log, &entry, plaintext + offset, &message, fault)) {
            return false;
        }
        log->entries++;
        if (log->has_snapshot && message.time_ns <= log->snapshot_ns) {
            log->left_out++;
        } else if (!message_apply(log, &entry, &message, store, fault)) {
            return false;
        }
        offset = next;
    }
    return true;
}

bool polarysdb_log_read(struct polarysdb_log *log, const struct polarysdb_file *file,
                        struct polarysdb_store *store, struct polarysdb_fault *fault)
{
    POLARYS_ASSERT(log->keys != NULL);
    /* What is opened of an entry has its place where the entry lies in the file. */
    uint8_t *plaintext = malloc(file->size + 1);
    if (plaintext == NULL) {
        return polarysdb_fault_memory(fault, "a decrypted log");
    }
    return polarysdb_store_adopt(store, plaintext, fault) &&
           entries_read(log, file, plaintext, store, fault);
}
