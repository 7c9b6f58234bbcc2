/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image of the keyring file: docs/formats/keyring.md.
 *
 * Invariant: the wrapping key is derived with a salt that each image draws anew, so ordinals can simply
 * count entries: 0 seals the image as a whole, i + 1 wraps entry i. The whole is sealed after its parts,
 * so an entry that was changed, dropped, added, reordered or taken from an older image is refused.
 *
 * The checksum at the end tells damage from a wrong key: it is right on any image that was written whole.
 */
#include "engine/crypto/keyring_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/checksum.h"
#include "engine/base/coding.h"

static const uint8_t keyring_magic[KEYRING_MAGIC_SIZE] = {'P', 'L', 'R', 'S', 'K', 'E', 'Y', 'S'};

enum {
    OFFSET_FORMAT = 8,
    OFFSET_ENTRY_COUNT = 12,
    OFFSET_STORE_ID = 16,
    OFFSET_MASTER_ID = 32,
    OFFSET_GENERATION = 40,
    OFFSET_ACTIVE_ID = 48,
    OFFSET_SALT = 64,

    ENTRY_OFFSET_STATE = 4,
    ENTRY_OFFSET_CREATED = 8,
    ENTRY_OFFSET_RETIRED = 16,
    ENTRY_OFFSET_TAG = KEYRING_ENTRY_CLEAR_SIZE + AEAD_KEY_SIZE,

    ENTRY_STATE_ACTIVE = 1,
    ENTRY_STATE_RETIRED = 2,

    ORDINAL_IMAGE = 0,
    ORDINAL_ENTRY_FIRST = 1,
};

_Static_assert(OFFSET_SALT + AEAD_SALT_SIZE == KEYRING_HEADER_SIZE, "the salt ends the header");
_Static_assert(ENTRY_OFFSET_TAG + AEAD_TAG_SIZE == KEYRING_ENTRY_SIZE, "the tag ends an entry");

static struct polarys_slice wrap_info(void)
{
    return slice_from_text("polarysdb keyring wrap");
}

static void header_put(const struct keyring_contents *contents, const uint8_t salt[AEAD_SALT_SIZE],
                       uint8_t *header)
{
    memcpy(header, keyring_magic, KEYRING_MAGIC_SIZE);
    put_u32_le(header + OFFSET_FORMAT, KEYRING_FORMAT);
    put_u32_le(header + OFFSET_ENTRY_COUNT, contents->entry_count);
    memcpy(header + OFFSET_STORE_ID, contents->store_id, STORE_ID_SIZE);
    master_key_id_binary(&contents->secrets->master_key, header + OFFSET_MASTER_ID);
    put_u64_le(header + OFFSET_GENERATION, contents->generation);
    put_u32_le(header + OFFSET_ACTIVE_ID, contents->active_id);
    memcpy(header + OFFSET_SALT, salt, AEAD_SALT_SIZE);
}

static enum polarys_code entry_put(const struct keyring_contents *contents, uint32_t index,
                                   const struct aead_key *wrap, uint8_t *to,
                                   struct polarys_error *err)
{
    const struct keyring_entry *entry = &contents->entries[index];
    put_u32_le(to, entry->key_id);
    put_u32_le(to + ENTRY_OFFSET_STATE,
               entry->is_active ? ENTRY_STATE_ACTIVE : ENTRY_STATE_RETIRED);
    put_u64_le(to + ENTRY_OFFSET_CREATED, entry->created_ms);
    put_u64_le(to + ENTRY_OFFSET_RETIRED, entry->retired_ms);
    struct polarys_slice key = slice_make(contents->secrets->data_keys[index], AEAD_KEY_SIZE);
    return aead_seal(wrap, ORDINAL_ENTRY_FIRST + index, slice_make(to, KEYRING_ENTRY_CLEAR_SIZE),
                     &key, 1, to + KEYRING_ENTRY_CLEAR_SIZE, to + ENTRY_OFFSET_TAG, err);
}

enum polarys_code keyring_image_encode(const struct keyring_contents *contents,
                                       const uint8_t salt[AEAD_SALT_SIZE], struct buffer *image,
                                       struct polarys_error *err)
{
    POLARYS_ASSERT(contents->entry_count >= 1);
    POLARYS_ASSERT(contents->entry_count <= KEYRING_DATA_KEYS_MAX);
    size_t start = image->size;
    size_t sealed_size = KEYRING_HEADER_SIZE + (size_t)contents->entry_count * KEYRING_ENTRY_SIZE;
    struct aead_key wrap = {.identity = 0};
    enum polarys_code code = buffer_append_zeros(image, sealed_size + KEYRING_TRAILER_SIZE);
    if (code != POLARYS_OK) {
        return polarys_fail(err, code, "no memory for the image of the keyring");
    }
    uint8_t *bytes = image->data + start;
    code = aead_key_derive(contents->secrets->master_key.bytes, salt, wrap_info(), &wrap, err);
    if (code != POLARYS_OK) {
        goto done;
    }
    header_put(contents, salt, bytes);
    for (uint32_t i = 0; i < contents->entry_count && code == POLARYS_OK; i++) {
        code = entry_put(contents, i, &wrap,
                         bytes + KEYRING_HEADER_SIZE + (size_t)i * KEYRING_ENTRY_SIZE, err);
    }
    if (code != POLARYS_OK) {
        goto done;
    }
    code = aead_seal(&wrap, ORDINAL_IMAGE, slice_make(bytes, sealed_size), NULL, 0, NULL,
                     bytes + sealed_size, err);
    put_u32_le(bytes + sealed_size + AEAD_TAG_SIZE,
               checksum_crc32c(0, bytes, sealed_size + AEAD_TAG_SIZE));

done:
    aead_key_deinit(&wrap);
    return code;
}

/* Whole, of this format, and of the size that its entry count asks for. */
static enum polarys_code image_check(struct polarys_slice image, struct polarys_error *err)
{
    if (image.size < KEYRING_HEADER_SIZE + KEYRING_ENTRY_SIZE + KEYRING_TRAILER_SIZE) {
        return polarys_fail(err, POLARYS_CORRUPT, "keyring of %zu bytes is too short", image.size);
    }
    if (memcmp(image.data, keyring_magic, KEYRING_MAGIC_SIZE) != 0) {
        return polarys_fail(err, POLARYS_CORRUPT, "the file is not a keyring");
    }
    if (checksum_crc32c(0, image.data, image.size - 4) != get_u32_le(image.data + image.size - 4)) {
        return polarys_fail(err, POLARYS_CORRUPT, "the keyring is damaged: bad checksum");
    }
    uint32_t format = get_u32_le(image.data + OFFSET_FORMAT);
    if (format != KEYRING_FORMAT) {
        return polarys_fail(err, POLARYS_UNSUPPORTED_FORMAT,
                            "keyring has format %" PRIu32 ", this program reads %d", format,
                            KEYRING_FORMAT);
    }
    uint32_t entry_count = get_u32_le(image.data + OFFSET_ENTRY_COUNT);
    if (entry_count < 1 || entry_count > KEYRING_DATA_KEYS_MAX ||
        image.size !=
            KEYRING_HEADER_SIZE + (size_t)entry_count * KEYRING_ENTRY_SIZE + KEYRING_TRAILER_SIZE) {
        return polarys_fail(err, POLARYS_CORRUPT,
                            "keyring of %zu bytes cannot hold its %" PRIu32 " keys", image.size,
                            entry_count);
    }
    return POLARYS_OK;
}

static void hex_put(char *to, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        to[2 * i] = digits[bytes[i] >> 4];
        to[2 * i + 1] = digits[bytes[i] & 15];
    }
    to[2 * size] = '\0';
}

static enum polarys_code fail_wrong_master(struct polarys_slice image,
                                           const struct master_key *master_keys,
                                           size_t master_key_count, struct polarys_error *err)
{
    char store_id[2 * STORE_ID_SIZE + 1];
    char wanted[2 * MASTER_KEY_ID_SIZE + 1];
    char offered[MASTER_KEYS_MAX * (2 * MASTER_KEY_ID_SIZE + 1)] = "";
    hex_put(store_id, image.data + OFFSET_STORE_ID, STORE_ID_SIZE);
    hex_put(wanted, image.data + OFFSET_MASTER_ID, MASTER_KEY_ID_SIZE);
    size_t used = 0;
    for (size_t i = 0; i < master_key_count; i++) {
        char id[17];
        master_key_id(&master_keys[i], id);
        used +=
            (size_t)snprintf(offered + used, sizeof(offered) - used, "%s%s", i == 0 ? "" : ",", id);
    }
    (void)polarys_fail(err, POLARYS_WRONG_MASTER_KEY,
                       "store %s is locked with master key %s; the keys given are %s", store_id,
                       wanted, offered);
    polarys_error_detail_set(err, "store_id", "%s", store_id);
    polarys_error_detail_set(err, "key_id", "%s", wanted);
    polarys_error_detail_set(err, "key_ids", "%s", offered);
    return POLARYS_WRONG_MASTER_KEY;
}

/* The master key that the image names; NULL when it is not among those given. */
static const struct master_key *master_key_find(struct polarys_slice image,
                                                const struct master_key *master_keys,
                                                size_t master_key_count)
{
    for (size_t i = 0; i < master_key_count; i++) {
        uint8_t id[MASTER_KEY_ID_SIZE];
        master_key_id_binary(&master_keys[i], id);
        if (memcmp(id, image.data + OFFSET_MASTER_ID, sizeof(id)) == 0) {
            return &master_keys[i];
        }
    }
    return NULL;
}

/* The image was authenticated before: what is odd here was written so. */
static enum polarys_code entry_take(const uint8_t *from, uint32_t index,
                                    const struct aead_key *wrap, struct keyring_contents *contents,
                                    struct polarys_error *err)
{
    struct keyring_entry *entry = &contents->entries[index];
    uint32_t state = get_u32_le(from + ENTRY_OFFSET_STATE);
    entry->key_id = get_u32_le(from);
    entry->is_active = state == ENTRY_STATE_ACTIVE;
    entry->created_ms = get_u64_le(from + ENTRY_OFFSET_CREATED);
    entry->retired_ms = get_u64_le(from + ENTRY_OFFSET_RETIRED);
    if ((state != ENTRY_STATE_ACTIVE && state != ENTRY_STATE_RETIRED) ||
        entry->is_active != (entry->key_id == contents->active_id) ||
        (index > 0 && entry->key_id <= contents->entries[index - 1].key_id)) {
        return polarys_fail(err, POLARYS_CORRUPT, "key %" PRIu32 " of the keyring makes no sense",
                            entry->key_id);
    }
    enum polarys_code code =
        aead_open(wrap, ORDINAL_ENTRY_FIRST + index, slice_make(from, KEYRING_ENTRY_CLEAR_SIZE),
                  slice_make(from + KEYRING_ENTRY_CLEAR_SIZE, AEAD_KEY_SIZE),
                  from + ENTRY_OFFSET_TAG, contents->secrets->data_keys[index], err);
    return code == POLARYS_OK
               ? POLARYS_OK
               : polarys_wrap(err, code, "key %" PRIu32 " of the keyring", entry->key_id);
}

enum polarys_code keyring_image_decode(struct polarys_slice image,
                                       const struct master_key *master_keys,
                                       size_t master_key_count, struct keyring_contents *contents,
                                       struct polarys_error *err)
{
    struct aead_key wrap = {.identity = 0};
    enum polarys_code code = image_check(image, err);
    if (code != POLARYS_OK) {
        return code;
    }
    const struct master_key *master = master_key_find(image, master_keys, master_key_count);
    if (master == NULL) {
        return fail_wrong_master(image, master_keys, master_key_count, err);
    }
    contents->secrets->master_key = *master;
    code = aead_key_derive(master->bytes, image.data + OFFSET_SALT, wrap_info(), &wrap, err);
    if (code != POLARYS_OK) {
        return code;
    }
    size_t sealed_size = image.size - KEYRING_TRAILER_SIZE;
    code = aead_open(&wrap, ORDINAL_IMAGE, slice_make(image.data, sealed_size), slice_make(NULL, 0),
                     image.data + sealed_size, NULL, err);
    if (code != POLARYS_OK) {
        (void)polarys_wrap(err, code, "the keyring was changed by someone without its master key");
        goto done;
    }
    memcpy(contents->store_id, image.data + OFFSET_STORE_ID, STORE_ID_SIZE);
    contents->generation = get_u64_le(image.data + OFFSET_GENERATION);
    contents->active_id = get_u32_le(image.data + OFFSET_ACTIVE_ID);
    contents->entry_count = get_u32_le(image.data + OFFSET_ENTRY_COUNT);
    bool has_active = false;
    for (uint32_t i = 0; i < contents->entry_count && code == POLARYS_OK; i++) {
        code = entry_take(image.data + KEYRING_HEADER_SIZE + (size_t)i * KEYRING_ENTRY_SIZE, i,
                          &wrap, contents, err);
        has_active = has_active || contents->entries[i].is_active;
    }
    if (code == POLARYS_OK && !has_active) {
        code = polarys_fail(err, POLARYS_CORRUPT, "the keyring has no active key");
    }

done:
    aead_key_deinit(&wrap);
    return code;
}

enum polarys_code keyring_summarize(struct polarys_slice image, struct keyring_summary *summary,
                                    struct polarys_error *err)
{
    enum polarys_code code = image_check(image, err);
    if (code != POLARYS_OK) {
        return code;
    }
    memcpy(summary->store_id, image.data + OFFSET_STORE_ID, STORE_ID_SIZE);
    hex_put(summary->master_id, image.data + OFFSET_MASTER_ID, MASTER_KEY_ID_SIZE);
    summary->master_id[2 * MASTER_KEY_ID_SIZE] = '\0';
    summary->generation = get_u64_le(image.data + OFFSET_GENERATION);
    summary->key_count = get_u32_le(image.data + OFFSET_ENTRY_COUNT);
    return POLARYS_OK;
}

bool keyring_image_has(struct polarys_slice image, uint32_t key_id)
{
    uint32_t count = get_u32_le(image.data + OFFSET_ENTRY_COUNT);
    POLARYS_ASSERT(image.size >= KEYRING_HEADER_SIZE + (size_t)count * KEYRING_ENTRY_SIZE);
    for (uint32_t i = 0; i < count; i++) {
        if (get_u32_le(image.data + KEYRING_HEADER_SIZE + (size_t)i * KEYRING_ENTRY_SIZE) ==
            key_id) {
            return true;
        }
    }
    return false;
}
