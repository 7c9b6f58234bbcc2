/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring in memory, and its changes.
 *
 * A change is worked out on a copy, written, and only then taken over, so a ring that could not be
 * written stays what the file says. Changes exclude each other by `is_changing`, so that no mutex is held
 * while the file is written. Keys live in pages that are kept out of core dumps, and are wiped when the
 * ring is closed.
 */
#include "engine/crypto/keyring_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/base/assert.h"
#include "engine/base/mutex.h"

struct keyring {
    /* Immutable after open. */
    struct vfs *vfs;
    struct random_source *random;
    struct clock *clock;
    char *dir;
    uint8_t store_id[STORE_ID_SIZE];

    struct mutex mutex;
    /* Guarded by mutex. `is_changing` also makes its holder the only writer of `contents`. */
    struct keyring_contents contents;
    bool is_changing;
};

static enum polarys_code secrets_create(struct keyring_secrets **out, struct polarys_error *err)
{
    struct keyring_secrets *secrets =
        mmap(NULL, sizeof(*secrets), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (secrets == MAP_FAILED) {
        return polarys_fail_errno(err, errno, "map pages for keys");
    }
    if (madvise(secrets, sizeof(*secrets), MADV_DONTDUMP) != 0) {
        int error_number = errno;
        munmap(secrets, sizeof(*secrets));
        return polarys_fail_errno(err, error_number, "keep keys out of core dumps");
    }
    *out = secrets;
    return POLARYS_OK;
}

static void secrets_destroy(struct keyring_secrets *secrets)
{
    if (secrets != NULL) {
        OPENSSL_cleanse(secrets, sizeof(*secrets));
        munmap(secrets, sizeof(*secrets));
    }
}

void keyring_close(struct keyring *keyring)
{
    if (keyring == NULL) {
        return;
    }
    POLARYS_ASSERT(!keyring->is_changing);
    secrets_destroy(keyring->contents.secrets);
    mutex_deinit(&keyring->mutex);
    free(keyring->dir);
    free(keyring);
}

static enum polarys_code keyring_alloc(const struct keyring_options *options, struct keyring **out,
                                       struct polarys_error *err)
{
    POLARYS_ASSERT(options->master_key_count >= 1);
    POLARYS_ASSERT(options->master_key_count <= MASTER_KEYS_MAX);
    struct keyring *keyring = calloc(1, sizeof(*keyring));
    if (keyring == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a keyring");
    }
    mutex_init(&keyring->mutex, MUTEX_RANK_KEYRING);
    keyring->vfs = options->vfs;
    keyring->random = options->random;
    keyring->clock = options->clock;
    keyring->dir = strdup(options->dir);
    enum polarys_code code = secrets_create(&keyring->contents.secrets, err);
    if (code == POLARYS_OK && keyring->dir == NULL) {
        code = polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a keyring");
    }
    if (code != POLARYS_OK) {
        keyring_close(keyring);
        return code;
    }
    *out = keyring;
    return POLARYS_OK;
}

/* Replaces the file by the image of `contents`. */
static enum polarys_code contents_write(struct keyring *keyring,
                                        const struct keyring_contents *contents,
                                        struct polarys_error *err)
{
    struct buffer image = {0};
    uint8_t salt[AEAD_SALT_SIZE];
    enum polarys_code code = random_fill(keyring->random, salt, sizeof(salt), err);
    if (code == POLARYS_OK) {
        code = keyring_image_encode(contents, salt, &image, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_replace_file(keyring->vfs, keyring->dir, KEYRING_FILE_NAME, buffer_slice(&image),
                                err);
    }
    buffer_deinit(&image);
    return code;
}

/* Appends a fresh key and makes it the active one. REQUIRES: room for it. */
static enum polarys_code contents_add_key(struct keyring *keyring,
                                          struct keyring_contents *contents,
                                          struct polarys_error *err)
{
    POLARYS_ASSERT(contents->entry_count < KEYRING_DATA_KEYS_MAX);
    uint32_t index = contents->entry_count;
    uint64_t now_ms = clock_wall_ms(keyring->clock);
    enum polarys_code code =
        random_fill(keyring->random, contents->secrets->data_keys[index], AEAD_KEY_SIZE, err);
    if (code != POLARYS_OK) {
        return code;
    }
    for (uint32_t i = 0; i < index; i++) {
        if (contents->entries[i].is_active) {
            contents->entries[i].is_active = false;
            contents->entries[i].retired_ms = now_ms;
        }
    }
    struct keyring_entry *entry = &contents->entries[index];
    entry->key_id = index == 0 ? 1 : contents->entries[index - 1].key_id + 1;
    entry->is_active = true;
    entry->created_ms = now_ms;
    entry->retired_ms = 0;
    contents->active_id = entry->key_id;
    contents->entry_count = index + 1;
    return POLARYS_OK;
}

/* Writing a new ring over an old one would lose every key of a store. */
static enum polarys_code refuse_existing(const struct keyring_options *options,
                                         struct polarys_error *err)
{
    char path[VFS_PATH_MAX];
    bool exists = false;
    enum polarys_code code = vfs_path_join(path, options->dir, KEYRING_FILE_NAME, err);
    if (code == POLARYS_OK) {
        code = vfs_exists(options->vfs, path, &exists, err);
    }
    if (code == POLARYS_OK && exists) {
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "there is a keyring already");
    }
    return code;
}

enum polarys_code keyring_create(const struct keyring_options *options, struct keyring **out,
                                 struct polarys_error *err)
{
    struct keyring *keyring = NULL;
    *out = NULL;
    enum polarys_code code = refuse_existing(options, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = keyring_alloc(options, &keyring, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    struct keyring_contents *contents = &keyring->contents;
    contents->generation = 1;
    contents->secrets->master_key = options->master_keys[0];
    code = random_fill(keyring->random, contents->store_id, STORE_ID_SIZE, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = contents_add_key(keyring, contents, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = contents_write(keyring, contents, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    memcpy(keyring->store_id, contents->store_id, STORE_ID_SIZE);
    *out = keyring;
    return POLARYS_OK;

fail:
    keyring_close(keyring);
    return polarys_wrap(err, code, "create keyring in %s", options->dir);
}

enum polarys_code keyring_open(const struct keyring_options *options, struct keyring **out,
                               struct polarys_error *err)
{
    struct keyring *keyring = NULL;
    struct buffer image = {0};
    char path[VFS_PATH_MAX];
    *out = NULL;
    enum polarys_code code = vfs_path_join(path, options->dir, KEYRING_FILE_NAME, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = vfs_read_file(options->vfs, path, KEYRING_FILE_SIZE_MAX, &image, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = keyring_alloc(options, &keyring, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    code = keyring_image_decode(buffer_slice(&image), options->master_keys,
                                options->master_key_count, &keyring->contents, err);
    if (code != POLARYS_OK) {
        goto fail;
    }
    buffer_deinit(&image);
    memcpy(keyring->store_id, keyring->contents.store_id, STORE_ID_SIZE);
    *out = keyring;
    return POLARYS_OK;

fail:
    buffer_deinit(&image);
    keyring_close(keyring);
    return polarys_wrap(err, code, "open keyring in %s", options->dir);
}

const uint8_t *keyring_store_id(const struct keyring *keyring)
{
    return keyring->store_id;
}

uint32_t keyring_active_id(struct keyring *keyring)
{
    mutex_lock(&keyring->mutex);
    uint32_t active_id = keyring->contents.active_id;
    mutex_unlock(&keyring->mutex);
    return active_id;
}

void keyring_master_id(struct keyring *keyring, char id[17])
{
    mutex_lock(&keyring->mutex);
    master_key_id(&keyring->contents.secrets->master_key, id);
    mutex_unlock(&keyring->mutex);
}

/* The index of the key, or entry_count. */
static uint32_t contents_find(const struct keyring_contents *contents, uint32_t key_id)
{
    uint32_t low = 0;
    uint32_t high = contents->entry_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (contents->entries[middle].key_id < key_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool is_found = low < contents->entry_count && contents->entries[low].key_id == key_id;
    return is_found ? low : contents->entry_count;
}

enum polarys_code keyring_derive(struct keyring *keyring, uint32_t key_id,
                                 const uint8_t salt[AEAD_SALT_SIZE], struct polarys_slice info,
                                 struct aead_key *key, struct polarys_error *err)
{
    uint8_t secret[AEAD_KEY_SIZE];
    mutex_lock(&keyring->mutex);
    uint32_t index = contents_find(&keyring->contents, key_id);
    bool is_found = index < keyring->contents.entry_count;
    if (is_found) {
        memcpy(secret, keyring->contents.secrets->data_keys[index], sizeof(secret));
    }
    mutex_unlock(&keyring->mutex);
    if (!is_found) {
        return polarys_fail(err, POLARYS_CORRUPT, "key id %" PRIu32 " is not in the keyring",
                            key_id);
    }
    enum polarys_code code = aead_key_derive(secret, salt, info, key, err);
    OPENSSL_cleanse(secret, sizeof(secret));
    return code;
}

/*
 * Copies the contents, secrets included, for a change. On success the caller is the only one changing the
 * ring until change_end.
 */
static enum polarys_code change_begin(struct keyring *keyring, struct keyring_contents **out,
                                      struct polarys_error *err)
{
    struct keyring_secrets *secrets = NULL;
    struct keyring_contents *next = malloc(sizeof(*next));
    if (next == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to change the keyring");
    }
    enum polarys_code code = secrets_create(&secrets, err);
    if (code != POLARYS_OK) {
        free(next);
        return code;
    }
    mutex_lock(&keyring->mutex);
    bool is_free = !keyring->is_changing;
    if (is_free) {
        keyring->is_changing = true;
        *next = keyring->contents;
        *secrets = *keyring->contents.secrets;
        next->secrets = secrets;
        next->generation++;
    }
    mutex_unlock(&keyring->mutex);
    if (!is_free) {
        secrets_destroy(secrets);
        free(next);
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "another change of the keyring is running");
    }
    *out = next;
    return POLARYS_OK;
}

/* Writes `next` when `code` is OK, and takes it over when that succeeds; frees it in any case. */
static enum polarys_code change_end(struct keyring *keyring, struct keyring_contents *next,
                                    enum polarys_code code, struct polarys_error *err)
{
    if (code == POLARYS_OK) {
        code = contents_write(keyring, next, err);
    }
    struct keyring_secrets *leftover = next->secrets;
    mutex_lock(&keyring->mutex);
    if (code == POLARYS_OK) {
        leftover = keyring->contents.secrets;
        keyring->contents = *next;
    }
    keyring->is_changing = false;
    mutex_unlock(&keyring->mutex);
    secrets_destroy(leftover);
    free(next);
    return code;
}

enum polarys_code keyring_rotate_data(struct keyring *keyring, uint32_t *key_id,
                                      struct polarys_error *err)
{
    struct keyring_contents *next = NULL;
    enum polarys_code code = change_begin(keyring, &next, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "add a data key");
    }
    if (next->entry_count == KEYRING_DATA_KEYS_MAX) {
        code = polarys_fail(err, POLARYS_TOO_LARGE, "the keyring is full: %d data keys",
                            KEYRING_DATA_KEYS_MAX);
        polarys_error_detail_set(err, "limit", "%d", KEYRING_DATA_KEYS_MAX);
    } else {
        code = contents_add_key(keyring, next, err);
    }
    uint32_t added_id = next->active_id;
    code = change_end(keyring, next, code, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "add a data key");
    }
    *key_id = added_id;
    return POLARYS_OK;
}

enum polarys_code keyring_forget_data(struct keyring *keyring, uint32_t key_id,
                                      struct polarys_error *err)
{
    struct keyring_contents *next = NULL;
    enum polarys_code code = change_begin(keyring, &next, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "forget data key %" PRIu32, key_id);
    }
    uint32_t index = contents_find(next, key_id);
    if (index == next->entry_count || key_id == next->active_id) {
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "it is not a retired key of this ring");
    } else {
        uint32_t after_count = next->entry_count - index - 1;
        memmove(&next->entries[index], &next->entries[index + 1],
                after_count * sizeof(next->entries[0]));
        memmove(next->secrets->data_keys[index], next->secrets->data_keys[index + 1],
                (size_t)after_count * AEAD_KEY_SIZE);
        next->entry_count--;
        OPENSSL_cleanse(next->secrets->data_keys[next->entry_count], AEAD_KEY_SIZE);
    }
    code = change_end(keyring, next, code, err);
    return code == POLARYS_OK ? POLARYS_OK
                              : polarys_wrap(err, code, "forget data key %" PRIu32, key_id);
}

enum polarys_code keyring_rotate_master(struct keyring *keyring,
                                        const struct master_key *master_key,
                                        struct polarys_error *err)
{
    struct keyring_contents *next = NULL;
    enum polarys_code code = change_begin(keyring, &next, err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "change the master key");
    }
    next->secrets->master_key = *master_key;
    code = change_end(keyring, next, code, err);
    return code == POLARYS_OK ? POLARYS_OK : polarys_wrap(err, code, "change the master key");
}

enum polarys_code keyring_list(struct keyring *keyring,
                               void (*each)(void *context, const struct keyring_key_info *info),
                               void *context, struct polarys_error *err)
{
    struct keyring_entry *entries = malloc(sizeof(keyring->contents.entries));
    if (entries == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory to list the keyring");
    }
    mutex_lock(&keyring->mutex);
    uint32_t entry_count = keyring->contents.entry_count;
    memcpy(entries, keyring->contents.entries, entry_count * sizeof(entries[0]));
    mutex_unlock(&keyring->mutex);
    for (uint32_t i = 0; i < entry_count; i++) {
        struct keyring_key_info info = {.key_id = entries[i].key_id,
                                        .is_active = entries[i].is_active,
                                        .created_ms = entries[i].created_ms,
                                        .retired_ms = entries[i].retired_ms};
        each(context, &info);
    }
    free(entries);
    return POLARYS_OK;
}
