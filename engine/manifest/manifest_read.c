/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a manifest: CURRENT, the header, the chain of records, and where a torn tail begins.
 *
 * Invariant: a record counts only when its CRC, its ordinal, the tag of the record before it and its own
 * seal are right. The first that does not ends the chain. It is a torn tail only if no authentic record
 * of this file follows it: records are synced one by one, so a later one proves that the bad one had been
 * durable.
 */
#include "engine/manifest/manifest_internal.h"

#include "engine/base/checksum.h"
#include "engine/base/log.h"

#include <stdio.h>
#include <stdlib.h>

static const char manifest_magic[MANIFEST_MAGIC_SIZE] = {'P', 'L', 'R', 'S', 'M', 'N', 'F', 'T'};
static const char manifest_info[] = "polarysdb manifest";

_Static_assert(MANIFEST_HEADER_SIZE ==
                   MANIFEST_MAGIC_SIZE + 4 + 4 + STORE_ID_SIZE + AEAD_SALT_SIZE + 8 + 4 + 4,
               "the header's fields add up");
_Static_assert(MANIFEST_RECORD_HEADER_SIZE == 4 + 4 + 8 + AEAD_TAG_SIZE,
               "the record header's fields add up");

void manifest_file_name(char *name, uint64_t number)
{
    snprintf(name, VFS_NAME_MAX, "MANIFEST-%06llu", (unsigned long long)number);
}

bool manifest_file_name_parse(const char *name, uint64_t *number)
{
    static const char prefix[] = "MANIFEST-";
    size_t prefix_size = sizeof(prefix) - 1;
    size_t size = strlen(name);
    if (size < prefix_size + 6 || size > prefix_size + 18 ||
        memcmp(name, prefix, prefix_size) != 0) {
        return false;
    }
    uint64_t value = 0;
    for (size_t i = prefix_size; i < size; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return false;
        }
        value = value * 10 + (uint64_t)(name[i] - '0');
    }
    char expected[VFS_NAME_MAX];
    manifest_file_name(expected, value);
    if (strcmp(expected, name) != 0) {
        return false; /* leading zeros beyond six digits */
    }
    *number = value;
    return true;
}

/* ---- header ---- */

static enum polarys_code derive_key(struct manifest *manifest,
                                    const uint8_t header[MANIFEST_HEADER_SIZE], uint32_t key_id,
                                    struct aead_key *key, struct polarys_error *err)
{
    uint8_t info[sizeof(manifest_info) - 1 + MANIFEST_HEADER_SIZE];
    memcpy(info, manifest_info, sizeof(manifest_info) - 1);
    memcpy(info + sizeof(manifest_info) - 1, header, MANIFEST_HEADER_SIZE);
    return keyring_derive(manifest->keyring, key_id, header + 32, slice_make(info, sizeof(info)),
                          key, err);
}

enum polarys_code manifest_header_make(struct manifest *manifest, uint64_t number,
                                       uint8_t header[MANIFEST_HEADER_SIZE], struct aead_key *key,
                                       struct polarys_error *err)
{
    uint32_t key_id = keyring_active_id(manifest->keyring);
    memset(header, 0, MANIFEST_HEADER_SIZE);
    memcpy(header, manifest_magic, MANIFEST_MAGIC_SIZE);
    put_u32_le(header + 8, MANIFEST_FORMAT);
    put_u32_le(header + 12, key_id);
    memcpy(header + 16, keyring_store_id(manifest->keyring), STORE_ID_SIZE);
    enum polarys_code code = random_fill(manifest->random, header + 32, AEAD_SALT_SIZE, err);
    if (code != POLARYS_OK) {
        return code;
    }
    put_u64_le(header + 64, number);
    put_u32_le(header + 76, checksum_crc32c(0, header, 76));
    return derive_key(manifest, header, key_id, key, err);
}

enum polarys_code manifest_header_check(struct manifest *manifest, struct polarys_slice header,
                                        uint64_t number, struct aead_key *key,
                                        struct polarys_error *err)
{
    if (header.size < MANIFEST_HEADER_SIZE) {
        return polarys_fail(err, POLARYS_CORRUPT, "header: the file ends at byte %zu", header.size);
    }
    if (memcmp(header.data, manifest_magic, MANIFEST_MAGIC_SIZE) != 0) {
        return polarys_fail(err, POLARYS_CORRUPT, "header: not a manifest");
    }
    if (get_u32_le(header.data + 8) != MANIFEST_FORMAT) {
        return polarys_fail(err, POLARYS_UNSUPPORTED_FORMAT,
                            "header: format %u, this build reads format %d",
                            get_u32_le(header.data + 8), MANIFEST_FORMAT);
    }
    if (get_u32_le(header.data + 76) != checksum_crc32c(0, header.data, 76)) {
        return polarys_fail(err, POLARYS_CORRUPT, "header: bad checksum");
    }
    if (memcmp(header.data + 16, keyring_store_id(manifest->keyring), STORE_ID_SIZE) != 0) {
        return polarys_fail(err, POLARYS_WRONG_STORE, "header: a manifest of another store");
    }
    if (get_u64_le(header.data + 64) != number) {
        return polarys_fail(err, POLARYS_TAMPERED, "header: manifest %llu under another's name",
                            (unsigned long long)get_u64_le(header.data + 64));
    }
    return derive_key(manifest, header.data, get_u32_le(header.data + 12), key, err);
}

/* ---- records ---- */

uint32_t manifest_record_crc(const uint8_t header[MANIFEST_RECORD_HEADER_SIZE],
                             struct polarys_slice sealed)
{
    uint32_t crc = checksum_crc32c(0, header, 4);
    crc = checksum_crc32c(crc, header + 8, MANIFEST_RECORD_HEADER_SIZE - 8);
    return checksum_crc32c(crc, sealed.data, sealed.size);
}

void manifest_record_additional(const uint8_t header[MANIFEST_RECORD_HEADER_SIZE],
                                uint8_t additional[MANIFEST_RECORD_HEADER_SIZE])
{
    memcpy(additional, header, MANIFEST_RECORD_HEADER_SIZE);
    memset(additional + 4, 0, 4);
}

/* The stored form of the record at `at`. */
struct stored_record {
    const uint8_t *header;
    uint64_t ordinal;
    struct polarys_slice ciphertext;
    const uint8_t *tag;
    uint64_t total_size;
};

/* Finds the parts without checking anything but that they lie within the bytes. */
static bool parse_record(struct polarys_slice bytes, uint64_t at, struct stored_record *record)
{
    if (bytes.size - at < MANIFEST_RECORD_HEADER_SIZE + AEAD_TAG_SIZE) {
        return false;
    }
    const uint8_t *header = bytes.data + at;
    uint64_t size = get_u32_le(header);
    if (size > MANIFEST_RECORD_BYTES_MAX ||
        size > bytes.size - at - MANIFEST_RECORD_HEADER_SIZE - AEAD_TAG_SIZE) {
        return false;
    }
    record->header = header;
    record->ordinal = get_u64_le(header + 8);
    record->ciphertext = slice_make(header + MANIFEST_RECORD_HEADER_SIZE, (size_t)size);
    record->tag = header + MANIFEST_RECORD_HEADER_SIZE + size;
    record->total_size = MANIFEST_RECORD_HEADER_SIZE + size + AEAD_TAG_SIZE;
    return true;
}

static bool record_crc_matches(const struct stored_record *record)
{
    struct polarys_slice sealed =
        slice_make(record->ciphertext.data, record->ciphertext.size + AEAD_TAG_SIZE);
    return get_u32_le(record->header + 4) == manifest_record_crc(record->header, sealed);
}

/* Opens the seal into `plain`. Errors: TAMPERED, NO_MEMORY, BUG. */
static enum polarys_code open_record(const struct aead_key *key, const struct stored_record *record,
                                     struct buffer *plain, struct polarys_error *err)
{
    uint8_t additional[MANIFEST_RECORD_HEADER_SIZE];
    manifest_record_additional(record->header, additional);
    buffer_clear(plain);
    enum polarys_code code = buffer_append_zeros(plain, record->ciphertext.size);
    if (code != POLARYS_OK) {
        return polarys_fail(err, code, "no memory for a record of %zu bytes",
                            record->ciphertext.size);
    }
    return aead_open(key, record->ordinal, slice_make(additional, sizeof(additional)),
                     record->ciphertext, record->tag, plain->data, err);
}

/* True in *is_there when an authentic record lies behind the bad one at `at`. */
static enum polarys_code search_behind(const struct manifest_log *log, struct polarys_slice bytes,
                                       bool *is_there, struct polarys_error *err)
{
    uint64_t budget = MANIFEST_SEARCH_BYTES_MAX;
    struct buffer plain = {0};
    enum polarys_code code = POLARYS_OK;
    *is_there = false;
    for (uint64_t at = log->offset + 1; at < bytes.size; at++) {
        struct stored_record record;
        if (!parse_record(bytes, at, &record) || record.ordinal <= log->ordinal ||
            record.ordinal - log->ordinal > bytes.size) {
            continue;
        }
        if (record.total_size > budget) {
            *is_there = true; /* no torn write looks like this */
            break;
        }
        budget -= record.total_size;
        if (!record_crc_matches(&record)) {
            continue;
        }
        code = open_record(&log->key, &record, &plain, err);
        if (code == POLARYS_OK) {
            *is_there = true;
            break;
        }
        if (code != POLARYS_TAMPERED) {
            break;
        }
        code = POLARYS_OK;
    }
    buffer_deinit(&plain);
    return code;
}

/* The record at log->offset is not the next one of the chain: damage, or only a torn tail? */
static enum polarys_code end_chain(struct manifest *manifest, struct polarys_slice bytes,
                                   struct polarys_error *err)
{
    struct manifest_log *log = &manifest->log;
    bool is_there = false;
    enum polarys_code code = search_behind(log, bytes, &is_there, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (is_there || log->ordinal == 0) {
        return polarys_fail(err, POLARYS_CORRUPT, "record %llu at byte %llu is damaged",
                            (unsigned long long)log->ordinal, (unsigned long long)log->offset);
    }
    polarys_log(POLARYS_LOG_WARN, "manifest",
                "manifest %06llu: dropped a torn record at byte %llu (%llu bytes); it was never "
                "acknowledged",
                (unsigned long long)log->number, (unsigned long long)log->offset,
                (unsigned long long)(bytes.size - log->offset));
    return POLARYS_OK;
}

static enum polarys_code apply_record(struct manifest *manifest, struct polarys_slice plain,
                                      struct polarys_error *err)
{
    struct manifest_record record;
    enum polarys_code code = manifest_record_decode(plain, &record, err);
    if (code != POLARYS_OK) {
        return code;
    }
    if (record.is_snapshot != (manifest->log.ordinal == 0)) {
        code = polarys_fail(err, POLARYS_CORRUPT, "a snapshot is the first record and no other");
    } else {
        code = manifest_state_apply(manifest->state, &record, err);
    }
    manifest_record_deinit(&record);
    return code;
}

/* Walks the chain from the header to its end. */
static enum polarys_code read_records(struct manifest *manifest, struct polarys_slice bytes,
                                      struct polarys_error *err)
{
    struct manifest_log *log = &manifest->log;
    struct buffer plain = {0};
    enum polarys_code code = POLARYS_OK;
    while (code == POLARYS_OK && (log->offset < bytes.size || log->ordinal == 0)) {
        struct stored_record record;
        if (!parse_record(bytes, log->offset, &record) || record.ordinal != log->ordinal ||
            memcmp(record.header + 16, log->tag, AEAD_TAG_SIZE) != 0 ||
            !record_crc_matches(&record)) {
            code = end_chain(manifest, bytes, err);
            break;
        }
        code = open_record(&log->key, &record, &plain, err);
        if (code == POLARYS_OK) {
            code = apply_record(manifest, buffer_slice(&plain), err);
        }
        if (code != POLARYS_OK) {
            polarys_wrap(err, code, "record %llu at byte %llu", (unsigned long long)log->ordinal,
                         (unsigned long long)log->offset);
            polarys_error_detail_set(err, "offset", "%llu", (unsigned long long)log->offset);
            break;
        }
        memcpy(log->tag, record.tag, AEAD_TAG_SIZE);
        log->offset += record.total_size;
        log->ordinal++;
    }
    buffer_deinit(&plain);
    return code;
}

/* ---- files ---- */

/* "MANIFEST-000001\n" and the CRC32C of that line as eight hex digits and a newline. */
static enum polarys_code read_current(struct manifest *manifest, uint64_t *number,
                                      struct polarys_error *err)
{
    char path[VFS_PATH_MAX];
    char name[VFS_NAME_MAX];
    char expected[VFS_NAME_MAX + 16];
    struct buffer bytes = {0};
    enum polarys_code code = vfs_path_join(path, manifest->dir, "CURRENT", err);
    if (code == POLARYS_OK) {
        code = vfs_read_file(manifest->vfs, path, MANIFEST_CURRENT_BYTES_MAX, &bytes, err);
    }
    if (code != POLARYS_OK) {
        goto done;
    }
    const uint8_t *newline = bytes.size == 0 ? NULL : memchr(bytes.data, '\n', bytes.size);
    size_t name_size = newline == NULL ? 0 : (size_t)(newline - bytes.data);
    code = POLARYS_CORRUPT;
    if (name_size > 0 && name_size < sizeof(name)) {
        memcpy(name, bytes.data, name_size);
        name[name_size] = '\0';
        int size = snprintf(expected, sizeof(expected), "%s\n%08x\n", name,
                            checksum_crc32c(0, bytes.data, name_size + 1));
        if (slice_equal(buffer_slice(&bytes), slice_make(expected, (size_t)size)) &&
            manifest_file_name_parse(name, number)) {
            code = POLARYS_OK;
        }
    }
    if (code != POLARYS_OK) {
        polarys_fail(err, code, "CURRENT does not name a manifest");
        polarys_error_detail_set(err, "file", "CURRENT");
    }

done:
    buffer_deinit(&bytes);
    return code;
}

enum polarys_code manifest_load_file(struct manifest *manifest, bool *is_torn,
                                     struct polarys_error *err)
{
    struct manifest_log *log = &manifest->log;
    char path[VFS_PATH_MAX];
    char name[VFS_NAME_MAX] = "";
    struct buffer bytes = {0};
    manifest_file_name(name, log->number);
    enum polarys_code code = vfs_path_join(path, manifest->dir, name, err);
    if (code == POLARYS_OK) {
        code = vfs_read_file(manifest->vfs, path, MANIFEST_FILE_BYTES_MAX, &bytes, err);
    }
    if (code == POLARYS_FILE_NOT_FOUND) {
        code = polarys_wrap(err, POLARYS_CORRUPT, "CURRENT names a file that is not there");
    }
    if (code == POLARYS_OK) {
        code = manifest_header_check(manifest, buffer_slice(&bytes), log->number, &log->key, err);
    }
    if (code == POLARYS_OK) {
        log->offset = MANIFEST_HEADER_SIZE;
        code = read_records(manifest, buffer_slice(&bytes), err);
    }
    *is_torn = code == POLARYS_OK && log->offset < bytes.size;
    buffer_deinit(&bytes);
    aead_key_deinit(&log->key); /* nothing is ever sealed under it again */
    if (code != POLARYS_OK) {
        polarys_wrap(err, code, "read %s", name);
        polarys_error_detail_set(err, "file", "%s", name);
    }
    return code;
}

enum polarys_code manifest_load(struct manifest *manifest, struct polarys_error *err)
{
    bool is_torn;
    enum polarys_code code = read_current(manifest, &manifest->log.number, err);
    return code == POLARYS_OK ? manifest_load_file(manifest, &is_torn, err) : code;
}

/* The highest number of a manifest file below a bound. */
struct number_search {
    uint64_t below;
    uint64_t found; /* 0: none */
};

static void number_note(void *context, const char *name)
{
    struct number_search *search = context;
    uint64_t number;
    if (manifest_file_name_parse(name, &number) && number < search->below &&
        number > search->found) {
        search->found = number;
    }
}

enum polarys_code manifest_load_newest(struct manifest *manifest, struct manifest_salvage *found,
                                       struct polarys_error *err)
{
    struct number_search search = {.below = UINT64_MAX};
    found->has_current = read_current(manifest, &manifest->log.number, err) == POLARYS_OK;
    if (!found->has_current) {
        polarys_error_clear(err);
        enum polarys_code code =
            vfs_list_dir(manifest->vfs, manifest->dir, number_note, &search, err);
        if (code != POLARYS_OK || search.found == 0) {
            return code != POLARYS_OK
                       ? code
                       : polarys_fail(err, POLARYS_FILE_NOT_FOUND, "there is no manifest");
        }
        manifest->log.number = search.found;
    }
    return manifest_load_file(manifest, &found->is_torn, err);
}

static void note_file(void *context, const char *name)
{
    struct manifest *manifest = context;
    uint64_t id;
    if (manifest_file_name_parse(name, &id) && id > manifest->number_highest) {
        manifest->number_highest = id;
    }
    if (table_file_name_parse(name, &id) && id >= manifest->state->next_file_id) {
        manifest->state->next_file_id = id + 1;
    }
}

enum polarys_code manifest_scan_dir(struct manifest *manifest, struct polarys_error *err)
{
    return vfs_list_dir(manifest->vfs, manifest->dir, note_file, manifest, err);
}
