/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling the containers apart: by the Python header's first bytes, by a seal that opens, and last by text that
 * begins an object. A sealed piece is random bytes, so it is practically never text.
 */
#include "client/cli/polarysdb_container.h"

#include <isa-l/crc.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/text.h"

enum { PYTHON_VERSION = 1 };

static const char python_magic[4] = {'P', 'L', 'R', 'D'};

static uint32_t u32_be(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
           (uint32_t)bytes[3];
}

static bool refuse_seal(const struct polarysdb_file *file, size_t offset, size_t key_count,
                        struct polarysdb_fault *fault)
{
    size_t size = file->size - offset;

    if (size < POLARYSDB_SEAL_SIZE) {
        return polarysdb_fault_set(fault, POLARYSDB_CORRUPT,
                                   "%s: is cut short: %zu bytes from offset %zu hold no snapshot; "
                                   "take the file from a copy",
                                   file->path, size, offset);
    }
    if (key_count == 0) {
        return polarysdb_fault_set(
            fault, POLARYSDB_TAMPERED,
            "%s: the %zu bytes from offset %zu are encrypted: give their key with --key-hex",
            file->path, size, offset);
    }
    return polarysdb_fault_set(
        fault, POLARYSDB_TAMPERED,
        "%s: the %zu bytes from offset %zu cannot be opened: the key is another one, or the file "
        "was altered or cut short; check how the key was padded to 32 bytes, or take the file from "
        "a copy",
        file->path, size, offset);
}

/* Opens what is sealed from `offset` to the end of the file. */
static enum polarysdb_open_result seal_open(const struct polarysdb_file *file, size_t offset,
                                            const struct polarysdb_keys *keys,
                                            struct polarysdb_text *text)
{
    size_t size = file->size - offset;

    POLARYS_ASSERT(offset <= file->size);
    if (size < POLARYSDB_SEAL_SIZE) {
        return POLARYSDB_REFUSED;
    }
    text->size = size - POLARYSDB_SEAL_SIZE;
    text->is_plain = false;
    text->bytes = malloc(text->size + 1);
    if (text->bytes == NULL) {
        return POLARYSDB_FAILED;
    }
    enum polarysdb_open_result result =
        polarysdb_open(keys, file->bytes + offset, size, (uint8_t *)text->bytes);
    if (result != POLARYSDB_OPENED) {
        free(text->bytes);
        text->bytes = NULL;
    }
    return result;
}

/* Behind the header lies a sealed piece, and in the header a checksum of what is in it. */
static bool python_open(const struct polarysdb_file *file, const struct polarysdb_keys *keys,
                        struct polarysdb_text *text, struct polarysdb_fault *fault)
{
    if (file->size < POLARYSDB_PYTHON_HEADER_SIZE) {
        return refuse_seal(file, 0, keys->count, fault);
    }
    uint32_t version = u32_be(file->bytes + 4);
    if (version != PYTHON_VERSION) {
        return polarysdb_fault_set(
            fault, POLARYSDB_UNSUPPORTED,
            "%s: offset 4: version %u of the Python program's files; only %d "
            "is known: let that program write its store anew",
            file->path, version, PYTHON_VERSION);
    }
    enum polarysdb_open_result result = seal_open(file, POLARYSDB_PYTHON_HEADER_SIZE, keys, text);
    if (result == POLARYSDB_FAILED) {
        return polarysdb_fault_memory(fault, "a decrypted file");
    }
    if (result == POLARYSDB_REFUSED) {
        return refuse_seal(file, POLARYSDB_PYTHON_HEADER_SIZE, keys->count, fault);
    }
    if (crc32_gzip_refl(0, (const unsigned char *)text->bytes, text->size) !=
        u32_be(file->bytes + 8)) {
        free(text->bytes);
        text->bytes = NULL;
        return polarysdb_fault_set(fault, POLARYSDB_CORRUPT,
                                   "%s: offset 8: the checksum does not fit what is sealed; take "
                                   "the file from a copy",
                                   file->path);
    }
    return true;
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

/* White space and an opening brace. */
static bool begins_object(const struct polarysdb_file *file)
{
    size_t at = 0;

    while (at < file->size && is_space(file->bytes[at])) {
        at++;
    }
    return at < file->size && file->bytes[at] == '{';
}

static bool plain_take(const struct polarysdb_file *file, struct polarysdb_text *text,
                       struct polarysdb_fault *fault)
{
    text->size = file->size;
    text->is_plain = true;
    text->bytes = malloc(text->size + 1);
    if (text->bytes == NULL) {
        return polarysdb_fault_memory(fault, "a file's text");
    }
    memcpy(text->bytes, file->bytes, text->size);
    return true;
}

bool polarysdb_container_open(const struct polarysdb_file *file, const struct polarysdb_keys *keys,
                              bool may_be_plain, struct polarysdb_text *text,
                              struct polarysdb_fault *fault)
{
    POLARYS_ASSERT(file->bytes != NULL);
    memset(text, 0, sizeof(*text));
    if (file->size >= sizeof(python_magic) &&
        memcmp(file->bytes, python_magic, sizeof(python_magic)) == 0) {
        return python_open(file, keys, text, fault);
    }
    switch (seal_open(file, 0, keys, text)) {
    case POLARYSDB_OPENED:
        return true;
    case POLARYSDB_FAILED:
        return polarysdb_fault_memory(fault, "a decrypted file");
    case POLARYSDB_REFUSED:
        break;
    }
    if (may_be_plain && begins_object(file) && text_is_utf8(file->bytes, file->size)) {
        return plain_take(file, text, fault);
    }
    return refuse_seal(file, 0, keys->count, fault);
}
