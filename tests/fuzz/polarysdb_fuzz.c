/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of the Go program. Input: what is put right (one byte), then bytes: 0 a log as it is; 1 the message of
 * an entry that is not sealed, 2 of one that is; 3 a snapshot's text; 4 a file of any kind. Without such help no
 * input would come past a checksum or a seal. Whatever is accepted must be documents that a server takes.
 */
#include <isa-l/crc.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/assert.h"
#include "client/cli/polarysdb_container.h"
#include "client/cli/polarysdb_log.h"
#include "client/cli/polarysdb_snapshot.h"
#include "client/cli/text.h"
#include "engine/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum mode { MODE_LOG, MODE_ENTRY, MODE_SEALED_ENTRY, MODE_TEXT, MODE_FILE, MODE_COUNT };

static const uint8_t fuzz_key[POLARYSDB_KEY_SIZE] = {1, 2, 3};

static void u32_put(uint8_t *to, uint32_t number)
{
    for (int i = 0; i < 4; i++) {
        to[i] = (uint8_t)(number >> 8 * i);
    }
}

/* Seals `size` bytes into nonce, ciphertext and tag at `to`. */
static void seal(const uint8_t *data, size_t size, uint8_t *to)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int written = 0;

    POLARYS_ASSERT(context != NULL);
    memset(to, 7, POLARYSDB_NONCE_SIZE);
    POLARYS_ASSERT(EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, fuzz_key, to) == 1);
    to += POLARYSDB_NONCE_SIZE;
    POLARYS_ASSERT(EVP_EncryptUpdate(context, to, &written, data, (int)size) == 1);
    POLARYS_ASSERT(EVP_EncryptFinal_ex(context, to + size, &written) == 1);
    POLARYS_ASSERT(
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, POLARYSDB_TAG_SIZE, to + size) == 1);
    EVP_CIPHER_CTX_free(context);
}

/* The bytes as a file whose only entry they are the message of. */
static void entry_make(struct polarysdb_file *file, const uint8_t *data, size_t size,
                       bool is_sealed)
{
    size_t entry_size = size + (is_sealed ? POLARYSDB_SEAL_SIZE : 0);
    uint8_t *entry;

    file->size = POLARYSDB_LOG_HEADER_SIZE + entry_size;
    file->bytes = malloc(file->size);
    POLARYS_ASSERT(file->bytes != NULL);
    entry = file->bytes + POLARYSDB_LOG_HEADER_SIZE;
    if (is_sealed) {
        seal(data, size, entry);
    } else if (size > 0) {
        memcpy(entry, data, size);
    }
    u32_put(file->bytes, (uint32_t)entry_size);
    u32_put(file->bytes + 4, crc32_gzip_refl(0, entry, entry_size));
}

static bool text_read(const struct polarysdb_text *text, struct polarysdb_store *store,
                      struct polarysdb_fault *fault)
{
    return polarysdb_store_adopt(store, text->bytes, fault) &&
           polarysdb_snapshot_read(text, "file", store, fault);
}

static bool file_read(const struct polarysdb_file *file, const struct polarysdb_keys *keys,
                      enum mode mode, struct polarysdb_store *store, struct polarysdb_fault *fault)
{
    struct polarysdb_log log = {.keys = keys};
    struct polarysdb_text text = {.is_plain = true};

    if (mode <= MODE_SEALED_ENTRY) {
        return polarysdb_log_read(&log, file, store, fault);
    }
    if (mode == MODE_TEXT) {
        text.size = file->size;
        text.bytes = malloc(file->size + 1);
        POLARYS_ASSERT(text.bytes != NULL);
        memcpy(text.bytes, file->bytes, file->size);
    } else if (!polarysdb_container_open(file, keys, true, &text, fault)) {
        return false;
    }
    return text_read(&text, store, fault);
}

static void documents_judge(const struct polarysdb_store *store)
{
    for (size_t i = 0; i < store->change_count; i++) {
        const struct polarysdb_change *document = &store->changes[i];
        const struct polarys_slice value = {document->value, document->value_size};
        POLARYS_ASSERT(document->table < store->table_count);
        POLARYS_ASSERT(document->kind == POLARYSDB_JSON || document->kind == POLARYSDB_RAW);
        POLARYS_ASSERT(document->kind == POLARYSDB_RAW ||
                       polarys_json_check(value, NULL) == POLARYS_OK);
        POLARYS_ASSERT(text_is_utf8(document->key, document->key_size));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct polarysdb_keys keys = {.count = 1};
    struct polarysdb_store store = {0};
    struct polarysdb_fault fault = {.reason = ""};
    struct polarysdb_file file = {.path = NULL};

    if (size == 0 || size > POLARYSDB_LOG_ENTRY_BYTES_MAX - POLARYSDB_SEAL_SIZE) {
        return 0;
    }
    enum mode mode = (enum mode)(data[0] % MODE_COUNT);
    keys.has_zero_key = (data[0] & 0x80) != 0;
    memcpy(keys.keys[0], fuzz_key, sizeof(fuzz_key));
    data++;
    size--;
    if (mode == MODE_ENTRY || mode == MODE_SEALED_ENTRY) {
        entry_make(&file, data, size, mode == MODE_SEALED_ENTRY);
    } else {
        file.size = size;
        file.bytes = malloc(size + 1);
        POLARYS_ASSERT(file.bytes != NULL);
        memcpy(file.bytes, data, size);
    }
    file.path = strdup("file");
    if (file_read(&file, &keys, mode, &store, &fault) &&
        polarysdb_store_merge(&store, "file", &fault)) {
        documents_judge(&store);
    } else {
        POLARYS_ASSERT(fault.reason[0] != '\0' && fault.message[0] != '\0');
    }
    polarysdb_store_deinit(&store);
    polarysdb_file_deinit(&file);
    return 0;
}
