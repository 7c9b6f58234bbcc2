/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of slots as bytes: docs/formats/slots.md. Pure functions. Nothing in it is secret and nothing that is read
 * hangs on it but which log is kept, so it is checked and not sealed.
 */
#include <string.h>

#include "engine/base/checksum.h"
#include "engine/base/coding.h"
#include "engine/slots_internal.h"

enum {
    HEADER_FORMAT = 8,
    HEADER_COUNT = 12,
    HEADER_SIZE = 16,

    ENTRY_KIND = 0,
    ENTRY_FLAGS = 1,
    ENTRY_NAME_SIZE = 2,
    ENTRY_SEGMENT_ID = 8,
    ENTRY_OFFSET = 16,
    ENTRY_TAG = 24,
    ENTRY_VERSION = 40,
    ENTRY_BYTES_MAX = 48,
    ENTRY_ACTIVE_MS = 56,
    ENTRY_NAME = 64,
    ENTRY_SIZE = 192,

    FLAG_LOST = 1,
    CHECKSUM_SIZE = 4,
};

_Static_assert(ENTRY_NAME + POLARYS_NAME_BYTES_MAX <= ENTRY_SIZE, "room for a name");
_Static_assert(HEADER_SIZE + POLARYS_SLOTS_MAX * ENTRY_SIZE + CHECKSUM_SIZE <= SLOTS_FILE_BYTES_MAX,
               "the file's limit");

static const char magic[8] = {'P', 'L', 'R', 'S', 'S', 'L', 'O', 'T'};

static void entry_put(uint8_t *to, const struct slot_entry *entry)
{
    size_t name_size = strlen(entry->name);
    to[ENTRY_KIND] = (uint8_t)entry->kind;
    to[ENTRY_FLAGS] = entry->is_lost ? FLAG_LOST : 0;
    to[ENTRY_NAME_SIZE] = (uint8_t)name_size;
    put_u64_le(to + ENTRY_SEGMENT_ID, entry->position.segment_id);
    put_u64_le(to + ENTRY_OFFSET, entry->position.offset);
    memcpy(to + ENTRY_TAG, entry->position.tag, POLARYS_LOG_TAG_SIZE);
    put_u64_le(to + ENTRY_VERSION, entry->position.version);
    put_u64_le(to + ENTRY_BYTES_MAX, entry->bytes_max);
    put_u64_le(to + ENTRY_ACTIVE_MS, entry->active_unix_ms);
    memcpy(to + ENTRY_NAME, entry->name, name_size);
}

enum polarys_code slots_file_encode(struct buffer *to, const struct slot_entry *entries,
                                    size_t count, struct polarys_error *err)
{
    size_t size = HEADER_SIZE + count * ENTRY_SIZE;
    buffer_clear(to);
    if (buffer_append_zeros(to, size + CHECKSUM_SIZE) != POLARYS_OK) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to write the slots");
    }
    memcpy(to->data, magic, sizeof(magic));
    put_u32_le(to->data + HEADER_FORMAT, SLOTS_FORMAT_VERSION);
    put_u32_le(to->data + HEADER_COUNT, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        entry_put(to->data + HEADER_SIZE + i * ENTRY_SIZE, &entries[i]);
    }
    put_u32_le(to->data + size, checksum_crc32c(0, to->data, size));
    return POLARYS_OK;
}

/* False when it makes no sense. */
static bool entry_take(const uint8_t *from, struct slot_entry *entry)
{
    size_t name_size = from[ENTRY_NAME_SIZE];
    *entry = (struct slot_entry){.kind = (enum polarys_slot_kind)from[ENTRY_KIND],
                                 .is_lost = (from[ENTRY_FLAGS] & FLAG_LOST) != 0,
                                 .bytes_max = get_u64_le(from + ENTRY_BYTES_MAX),
                                 .active_unix_ms = get_u64_le(from + ENTRY_ACTIVE_MS)};
    entry->position.segment_id = get_u64_le(from + ENTRY_SEGMENT_ID);
    entry->position.offset = get_u64_le(from + ENTRY_OFFSET);
    memcpy(entry->position.tag, from + ENTRY_TAG, POLARYS_LOG_TAG_SIZE);
    entry->position.version = get_u64_le(from + ENTRY_VERSION);
    if (name_size > POLARYS_NAME_BYTES_MAX) {
        return false;
    }
    memcpy(entry->name, from + ENTRY_NAME, name_size);
    return from[ENTRY_KIND] <= POLARYS_SLOT_ARCHIVE && (from[ENTRY_FLAGS] & ~FLAG_LOST) == 0 &&
           entry->bytes_max != 0 && polarys_name_is_valid(entry->name, name_size);
}

enum polarys_code slots_file_decode(struct polarys_slice bytes, struct slot_entry *entries,
                                    size_t *count, struct polarys_error *err)
{
    *count = 0;
    if (bytes.size < HEADER_SIZE + CHECKSUM_SIZE || memcmp(bytes.data, magic, sizeof(magic)) != 0) {
        return polarys_fail(err, POLARYS_CORRUPT, "it is no file of slots");
    }
    size_t size = bytes.size - CHECKSUM_SIZE;
    if (get_u32_le(bytes.data + size) != checksum_crc32c(0, bytes.data, size)) {
        return polarys_fail(err, POLARYS_CORRUPT, "its checksum is wrong");
    }
    uint32_t format = get_u32_le(bytes.data + HEADER_FORMAT);
    if (format != SLOTS_FORMAT_VERSION) {
        return polarys_fail(err, POLARYS_UNSUPPORTED_FORMAT, "format %u is not known", format);
    }
    size_t found = get_u32_le(bytes.data + HEADER_COUNT);
    if (found > POLARYS_SLOTS_MAX || size != HEADER_SIZE + found * ENTRY_SIZE) {
        return polarys_fail(err, POLARYS_CORRUPT, "%zu slots do not lie in %zu bytes", found, size);
    }
    for (size_t i = 0; i < found; i++) {
        if (!entry_take(bytes.data + HEADER_SIZE + i * ENTRY_SIZE, &entries[i]) ||
            (i > 0 && strcmp(entries[i - 1].name, entries[i].name) >= 0)) {
            return polarys_fail(err, POLARYS_CORRUPT, "slot %zu makes no sense", i);
        }
    }
    *count = found;
    return POLARYS_OK;
}
