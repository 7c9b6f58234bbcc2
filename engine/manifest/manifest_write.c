/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening, appending and rolling over.
 *
 * Invariant: one file is written by one open of the manifest only. An open that finds a manifest goes on
 * in a new file, made at the first append: a whole snapshot, synced, the directory synced, and only then
 * CURRENT replaced. So a nonce is used once, and a store that is only read is not written to.
 *
 * A write that failed for lack of space leaves a torn tail in a file that nobody appends to again; the
 * next append makes a new one. A failed sync leaves unknown bytes behind: the manifest is then broken.
 */
#include "engine/manifest/manifest_internal.h"

#include "engine/base/checksum.h"
#include "engine/base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum polarys_code manifest_alloc(const struct manifest_options *options, struct manifest **out,
                                 struct polarys_error *err)
{
    *out = NULL;
    struct manifest *manifest = calloc(1, sizeof(*manifest));
    if (manifest == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a manifest");
    }
    manifest->vfs = options->vfs;
    manifest->keyring = options->keyring;
    manifest->random = options->random;
    manifest->dir = strdup(options->dir);
    manifest->state = calloc(1, sizeof(*manifest->state));
    if (manifest->dir == NULL || manifest->state == NULL) {
        manifest_close(manifest);
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a manifest");
    }
    manifest->state->next_file_id = 1;
    *out = manifest;
    return POLARYS_OK;
}

static void log_deinit(struct manifest_log *log)
{
    /* Everything that counts has been synced; a failing close changes nothing. */
    (void)vfs_close(log->file, NULL);
    aead_key_deinit(&log->key);
    memset(log, 0, sizeof(*log));
}

void manifest_close(struct manifest *manifest)
{
    if (manifest == NULL) {
        return;
    }
    log_deinit(&manifest->log);
    if (manifest->state != NULL) {
        manifest_state_deinit(manifest->state);
    }
    free(manifest->state);
    free(manifest->dir);
    free(manifest);
}

/* ---- records ---- */

/* Appends to `bytes` the stored form of the next record of `log`, and fills its tag. */
static enum polarys_code seal_record(const struct manifest_log *log, struct polarys_slice plain,
                                     struct buffer *bytes, uint8_t tag[AEAD_TAG_SIZE],
                                     struct polarys_error *err)
{
    uint8_t additional[MANIFEST_RECORD_HEADER_SIZE];
    size_t start = bytes->size;
    if (plain.size > MANIFEST_RECORD_BYTES_MAX) {
        return polarys_fail(err, POLARYS_BUG, "a record of %zu bytes; the limit is %d", plain.size,
                            MANIFEST_RECORD_BYTES_MAX);
    }
    enum polarys_code code =
        buffer_append_zeros(bytes, MANIFEST_RECORD_HEADER_SIZE + plain.size + AEAD_TAG_SIZE);
    if (code != POLARYS_OK) {
        return polarys_fail(err, code, "no memory for a record");
    }
    uint8_t *header = bytes->data + start;
    uint8_t *ciphertext = header + MANIFEST_RECORD_HEADER_SIZE;
    put_u32_le(header, (uint32_t)plain.size);
    put_u64_le(header + 8, log->ordinal);
    memcpy(header + 16, log->tag, AEAD_TAG_SIZE);
    manifest_record_additional(header, additional);
    code = aead_seal(&log->key, log->ordinal, slice_make(additional, sizeof(additional)), &plain, 1,
                     ciphertext, tag, err);
    if (code != POLARYS_OK) {
        return code;
    }
    memcpy(ciphertext + plain.size, tag, AEAD_TAG_SIZE);
    put_u32_le(header + 4,
               manifest_record_crc(header, slice_make(ciphertext, plain.size + AEAD_TAG_SIZE)));
    return POLARYS_OK;
}

/* Writes and syncs the edit as one record at the end of the current file. */
static enum polarys_code write_record(struct manifest *manifest, struct polarys_slice plain,
                                      struct polarys_error *err)
{
    struct manifest_log *log = &manifest->log;
    struct buffer bytes = {0};
    uint8_t tag[AEAD_TAG_SIZE];
    enum polarys_code code = seal_record(log, plain, &bytes, tag, err);
    if (code != POLARYS_OK) {
        goto done;
    }
    code = vfs_write_at(log->file, log->offset, bytes.data, bytes.size, err);
    if (code != POLARYS_OK) {
        manifest->is_broken = code != POLARYS_DISK_LOW;
        log_deinit(log); /* what lies there now may never be written over under the same nonce */
        goto done;
    }
    code = vfs_sync(log->file, err);
    if (code != POLARYS_OK) {
        manifest->is_broken = true;
        code = polarys_wrap(err, POLARYS_IO, "what the manifest holds is unknown");
        goto done;
    }
    memcpy(log->tag, tag, AEAD_TAG_SIZE);
    log->offset += bytes.size;
    log->ordinal++;

done:
    buffer_deinit(&bytes);
    return code;
}

/* ---- rolling over ---- */

/* Writes header and snapshot into a new file and syncs it; the file stays open in `log`. */
static enum polarys_code make_file(struct manifest *manifest, const char *path,
                                   struct polarys_slice snapshot, struct manifest_log *log,
                                   struct polarys_error *err)
{
    uint8_t header[MANIFEST_HEADER_SIZE];
    uint8_t tag[AEAD_TAG_SIZE];
    struct buffer bytes = {0};
    enum polarys_code code = manifest_header_make(manifest, log->number, header, &log->key, err);
    if (code == POLARYS_OK) {
        code = buffer_append(&bytes, header, sizeof(header));
    }
    if (code == POLARYS_OK) {
        code = seal_record(log, snapshot, &bytes, tag, err);
    }
    if (code == POLARYS_OK) {
        code =
            vfs_open(manifest->vfs, path, VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE, &log->file, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_write_at(log->file, 0, bytes.data, bytes.size, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_sync(log->file, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_sync_dir(manifest->vfs, manifest->dir, err);
    }
    if (code == POLARYS_OK) {
        memcpy(log->tag, tag, AEAD_TAG_SIZE);
        log->ordinal = 1;
        log->offset = bytes.size;
        log->snapshot_bytes = bytes.size;
    }
    buffer_deinit(&bytes);
    return code;
}

struct stale_files {
    struct manifest *manifest;
    uint64_t numbers[64];
    size_t count;
};

static void note_stale(void *context, const char *name)
{
    struct stale_files *stale = context;
    uint64_t number;
    if (manifest_file_name_parse(name, &number) && !manifest_owns_file(stale->manifest, name) &&
        stale->count < sizeof(stale->numbers) / sizeof(stale->numbers[0])) {
        stale->numbers[stale->count++] = number;
    }
}

/* Old manifests go once CURRENT names the new one. What cannot be removed is tried again next time. */
static void remove_stale(struct manifest *manifest)
{
    struct stale_files stale = {.manifest = manifest};
    struct polarys_error err = POLARYS_ERROR_INIT;
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    enum polarys_code code = vfs_list_dir(manifest->vfs, manifest->dir, note_stale, &stale, &err);
    for (size_t i = 0; i < stale.count && code == POLARYS_OK; i++) {
        manifest_file_name(name, stale.numbers[i]);
        code = vfs_path_join(path, manifest->dir, name, &err);
        if (code == POLARYS_OK) {
            code = vfs_remove(manifest->vfs, path, &err);
        }
    }
    if (code != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "manifest", "remove an old manifest: %s", err.message);
    }
}

/* Nothing names the file, so one that stays does no harm until a later roll-over removes it. */
static void remove_partial(struct manifest *manifest, const char *path)
{
    struct polarys_error err = POLARYS_ERROR_INIT;
    if (vfs_remove(manifest->vfs, path, &err) != POLARYS_OK) {
        polarys_log(POLARYS_LOG_WARN, "manifest", "remove a partial manifest: %s", err.message);
    }
}

static enum polarys_code replace_current(struct manifest *manifest, const char *name,
                                         struct polarys_error *err)
{
    char text[VFS_NAME_MAX + 16];
    int size = snprintf(text, sizeof(text), "%s\n", name);
    size += snprintf(text + size, sizeof(text) - (size_t)size, "%08x\n",
                     checksum_crc32c(0, text, (size_t)size));
    return vfs_replace_file(manifest->vfs, manifest->dir, "CURRENT", slice_make(text, (size_t)size),
                            err);
}

/* Goes on in a new file that starts with `snapshot`. */
static enum polarys_code roll_over(struct manifest *manifest, struct polarys_slice snapshot,
                                   struct polarys_error *err)
{
    struct manifest_log log = {.number = manifest->number_highest + 1};
    char name[VFS_NAME_MAX];
    char path[VFS_PATH_MAX];
    manifest_file_name(name, log.number);
    enum polarys_code code = vfs_path_join(path, manifest->dir, name, err);
    if (code != POLARYS_OK) {
        return code;
    }
    manifest->number_highest = log.number; /* a name that failed is not tried again */
    code = make_file(manifest, path, snapshot, &log, err);
    if (code != POLARYS_OK) {
        if (log.file != NULL) {
            remove_partial(manifest, path);
        }
        goto fail;
    }
    /* Should this fail, CURRENT names either file, and both hold the same state: neither is removed. */
    code = replace_current(manifest, name, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    log_deinit(&manifest->log);
    manifest->log = log;
    __atomic_store_n(&manifest->number_in_use, log.number, __ATOMIC_SEQ_CST);
    remove_stale(manifest);
    return POLARYS_OK;

fail:
    log_deinit(&log);
    manifest->is_broken = code != POLARYS_DISK_LOW && code != POLARYS_NO_MEMORY;
    return polarys_wrap(err, code, "start %s", name);
}

static enum polarys_code roll_over_state(struct manifest *manifest, struct polarys_error *err)
{
    struct buffer snapshot = {0};
    manifest->state->next_file_id = __atomic_load_n(&manifest->next_file_id, __ATOMIC_SEQ_CST);
    enum polarys_code code = manifest_state_encode(manifest->state, true, &snapshot);
    if (code != POLARYS_OK) {
        polarys_fail(err, code, "no memory for a snapshot of the manifest");
    } else {
        code = roll_over(manifest, buffer_slice(&snapshot), err);
    }
    buffer_deinit(&snapshot);
    return code;
}

/* ---- public ---- */

static enum polarys_code refuse_existing(struct manifest *manifest, struct polarys_error *err)
{
    char path[VFS_PATH_MAX];
    bool exists = false;
    enum polarys_code code = vfs_path_join(path, manifest->dir, "CURRENT", err);
    if (code == POLARYS_OK) {
        code = vfs_exists(manifest->vfs, path, &exists, err);
    }
    if (code == POLARYS_OK && exists) {
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "there is a manifest already");
    }
    return code;
}

/* manifest_create and manifest_create_from: the state is that of `snapshot`, or empty with NULL. */
static enum polarys_code create(const struct manifest_options *options,
                                const struct polarys_slice *snapshot, struct manifest **out,
                                struct polarys_error *err)
{
    struct manifest *manifest;
    struct manifest_record record = {0};
    enum polarys_code code = manifest_alloc(options, &manifest, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = refuse_existing(manifest, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    if (snapshot != NULL) {
        code = manifest_record_decode(*snapshot, &record, err);
        if (code == POLARYS_OK) {
            code = manifest_state_apply(manifest->state, &record, err);
        }
        if (code != POLARYS_OK) {
            goto fail;
        }
    }
    code = manifest_scan_dir(manifest, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    manifest->next_file_id = manifest->state->next_file_id;
    code = roll_over_state(manifest, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    manifest_record_deinit(&record);
    *out = manifest;
    return POLARYS_OK;

fail:
    manifest_record_deinit(&record);
    manifest_close(manifest);
    *out = NULL;
    return polarys_wrap(err, code, "create manifest in %s", options->dir);
}

enum polarys_code manifest_create(const struct manifest_options *options, struct manifest **out,
                                  struct polarys_error *err)
{
    return create(options, NULL, out, err);
}

enum polarys_code manifest_snapshot_encode(const struct manifest *manifest, struct buffer *snapshot,
                                           struct polarys_error *err)
{
    enum polarys_code code = manifest_state_encode(manifest->state, false, snapshot);
    return code == POLARYS_OK ? code
                              : polarys_fail(err, code, "no memory for a snapshot of the manifest");
}

enum polarys_code manifest_create_from(const struct manifest_options *options,
                                       struct polarys_slice snapshot, struct manifest **out,
                                       struct polarys_error *err)
{
    return create(options, &snapshot, out, err);
}

enum polarys_code manifest_open(const struct manifest_options *options, struct manifest **out,
                                struct polarys_error *err)
{
    struct manifest *manifest;
    enum polarys_code code = manifest_alloc(options, &manifest, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = manifest_load(manifest, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = manifest_scan_dir(manifest, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    POLARYS_ASSERT(manifest->log.file == NULL);
    manifest->next_file_id = manifest->state->next_file_id;
    manifest->number_in_use = manifest->log.number;
    *out = manifest;
    return POLARYS_OK;

fail:
    manifest_close(manifest);
    *out = NULL;
    return polarys_wrap(err, code, "open manifest in %s", options->dir);
}

enum polarys_code manifest_open_salvage(const struct manifest_options *options,
                                        struct manifest **out, struct manifest_salvage *found,
                                        struct polarys_error *err)
{
    struct manifest *manifest;
    *found = (struct manifest_salvage){0};
    *out = NULL;
    enum polarys_code code = manifest_alloc(options, &manifest, err);
    if (code == POLARYS_OK) {
        code = manifest_load_newest(manifest, found, err);
        if (code != POLARYS_OK) {
            manifest_close(manifest);
        }
    }
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "open manifest in %s", options->dir);
    }
    manifest->next_file_id = manifest->state->next_file_id;
    manifest->number_in_use = manifest->log.number;
    *out = manifest;
    return POLARYS_OK;
}

/* True when the next record belongs into a new file. A state that is large by itself gets room to grow,
 * or every edit would roll over. */
static bool wants_new_file(const struct manifest *manifest)
{
    const struct manifest_log *log = &manifest->log;
    return log->file == NULL ||
           (log->offset > MANIFEST_BYTES_MAX && log->offset > 2 * log->snapshot_bytes);
}

enum polarys_code manifest_append(struct manifest *manifest, const struct manifest_edit *edit,
                                  struct polarys_error *err)
{
    struct manifest_change change = {0};
    struct buffer bytes = {0};
    enum polarys_code code;
    if (manifest->is_broken) {
        return polarys_fail(err, POLARYS_IO, "append to the manifest: an earlier write failed");
    }
    code = manifest_change_prepare(manifest->state, edit, &change, err);
    if (code != POLARYS_OK) {
        goto done;
    }
    code = manifest_edit_encode(edit, &bytes);
    if (code != POLARYS_OK) {
        polarys_fail(err, code, "no memory for an edit");
        goto done;
    }
    if (wants_new_file(manifest)) {
        code = roll_over_state(manifest, err);
        if (code != POLARYS_OK) {
            goto done;
        }
    }
    code = write_record(manifest, buffer_slice(&bytes), err);
    if (code == POLARYS_OK) {
        manifest_change_commit(manifest->state, edit, &change);
    }

done:
    manifest_change_deinit(&change);
    buffer_deinit(&bytes);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "append to the manifest");
}

const struct manifest_state *manifest_state_get(const struct manifest *manifest)
{
    return manifest->state;
}

uint64_t manifest_file_id_next(struct manifest *manifest)
{
    return __atomic_fetch_add(&manifest->next_file_id, 1, __ATOMIC_SEQ_CST);
}

bool manifest_owns_file(const struct manifest *manifest, const char *name)
{
    uint64_t number;
    if (strcmp(name, "CURRENT") == 0) {
        return true;
    }
    return manifest_file_name_parse(name, &number) &&
           number == __atomic_load_n(&manifest->number_in_use, __ATOMIC_SEQ_CST);
}
