/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyring file. Input: how much to put right (one byte: 0 nothing, 1 the checksum, 2 the master key's
 * id as well, 3 the seal of the whole as well), then the image. Without such help no input would come
 * past the first check.
 */
#include <stdint.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/checksum.h"
#include "engine/base/coding.h"
#include "engine/crypto/keyring_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OFFSET_MASTER_ID = 32, OFFSET_SALT = 64, MODE_COUNT = 4 };

static void image_put_right(uint8_t *image, size_t size, const struct master_key *master,
                            unsigned mode)
{
    if (size < KEYRING_HEADER_SIZE + KEYRING_TRAILER_SIZE) {
        return;
    }
    if (mode >= 2) {
        master_key_id_binary(master, image + OFFSET_MASTER_ID);
    }
    if (mode >= 3) {
        struct aead_key wrap;
        size_t sealed_size = size - KEYRING_TRAILER_SIZE;
        enum polarys_code code =
            aead_key_derive(master->bytes, image + OFFSET_SALT,
                            slice_from_text("polarysdb keyring wrap"), &wrap, NULL);
        POLARYS_ASSERT(code == POLARYS_OK);
        code = aead_seal(&wrap, 0, slice_make(image, sealed_size), NULL, 0, NULL,
                         image + sealed_size, NULL);
        POLARYS_ASSERT(code == POLARYS_OK);
        aead_key_deinit(&wrap);
    }
    if (mode >= 1) {
        put_u32_le(image + size - 4, checksum_crc32c(0, image, size - 4));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct keyring_secrets secrets;
    static struct keyring_contents contents;
    struct master_key master = {.bytes = {1, 2, 3}};
    if (size < 2) {
        return 0;
    }
    uint8_t *image = malloc(size - 1);
    POLARYS_ASSERT(image != NULL);
    memcpy(image, data + 1, size - 1);
    image_put_right(image, size - 1, &master, data[0] % MODE_COUNT);
    contents.secrets = &secrets;
    struct polarys_error err = POLARYS_ERROR_INIT;
    enum polarys_code code =
        keyring_image_decode(slice_make(image, size - 1), &master, 1, &contents, &err);
    POLARYS_ASSERT(code == POLARYS_OK || code == POLARYS_CORRUPT || code == POLARYS_TAMPERED ||
                   code == POLARYS_WRONG_MASTER_KEY || code == POLARYS_UNSUPPORTED_FORMAT);
    if (code == POLARYS_OK) {
        POLARYS_ASSERT(contents.entry_count >= 1);
        POLARYS_ASSERT(contents.entry_count <= KEYRING_DATA_KEYS_MAX);
    }
    free(image);
    return 0;
}
