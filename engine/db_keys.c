/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where master keys come from: files and passphrase files. Keys are wiped on every path.
 */
#include <string.h>

#include "engine/engine_internal.h"

enum {
    PASSPHRASE_BYTES_MAX = 4096,
    MASTER_KEY_TEXT_SIZE = 2 * MASTER_KEY_SIZE + 1,
};

/* The passphrase is the file's bytes up to the line end that stands last, if any. */
static enum polarys_code passphrase_key_read(struct vfs *vfs, const char *path,
                                             struct master_key *key, struct polarys_error *err)
{
    struct buffer text = {0};
    enum polarys_code code = vfs_read_file(vfs, path, PASSPHRASE_BYTES_MAX, &text, err);
    if (code == POLARYS_OK) {
        struct polarys_slice passphrase = buffer_slice(&text);
        while (passphrase.size > 0 && (passphrase.data[passphrase.size - 1] == '\n' ||
                                       passphrase.data[passphrase.size - 1] == '\r')) {
            passphrase.size--;
        }
        code = master_key_derive(passphrase, slice_from_text("polarysdb"), key, err);
    }
    buffer_deinit_secret(&text);
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "passphrase file %s", path);
}

static enum polarys_code other_keys_read(struct vfs *vfs, const char *const *paths,
                                         struct master_key keys[MASTER_KEYS_MAX], size_t *count,
                                         struct polarys_error *err)
{
    for (; paths != NULL && *paths != NULL; paths++) {
        if (*count == MASTER_KEYS_MAX) {
            return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                                "other_master_key_files: more than %d master keys",
                                MASTER_KEYS_MAX);
        }
        enum polarys_code code = master_key_read_file(vfs, *paths, &keys[*count], err);
        if (code != POLARYS_OK) {
            return polarys_wrap(err, code, "other_master_key_files");
        }
        (*count)++;
    }
    return POLARYS_OK;
}

enum polarys_code db_master_keys_read(struct vfs *vfs, const struct polarys_db_options *options,
                                      struct master_key keys[MASTER_KEYS_MAX], size_t *count,
                                      struct polarys_error *err)
{
    bool has_file = options->master_key_file != NULL;
    bool has_passphrase = options->master_passphrase_file != NULL;
    *count = 0;
    if (has_file == has_passphrase) {
        enum polarys_code code = polarys_fail(
            err, POLARYS_BAD_ARGUMENT,
            has_file ? "master_key_file and master_passphrase_file are both given: give one"
                     : "no master key: give master_key_file or master_passphrase_file");
        polarys_error_detail_set(err, "field", "master_key_file");
        return code;
    }
    enum polarys_code code =
        has_file ? master_key_read_file(vfs, options->master_key_file, &keys[0], err)
                 : passphrase_key_read(vfs, options->master_passphrase_file, &keys[0], err);
    if (code != POLARYS_OK) {
        return polarys_wrap(err, code, "master key");
    }
    *count = 1;
    return other_keys_read(vfs, options->other_master_key_files, keys, count, err);
}

void db_master_keys_wipe(struct master_key keys[MASTER_KEYS_MAX])
{
    for (size_t i = 0; i < MASTER_KEYS_MAX; i++) {
        master_key_wipe(&keys[i]);
    }
}

static void hex_put(char *to, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < size; i++) {
        to[2 * i] = digits[bytes[i] >> 4];
        to[2 * i + 1] = digits[bytes[i] & 15];
    }
}

enum polarys_code polarys_master_key_generate(const char *path, struct polarys_error *err)
{
    struct master_key key;
    char text[MASTER_KEY_TEXT_SIZE];
    struct vfs_file *file = NULL;
    enum polarys_code code = random_fill(random_system(), key.bytes, sizeof(key.bytes), err);
    if (code == POLARYS_OK) {
        hex_put(text, key.bytes, sizeof(key.bytes));
        text[MASTER_KEY_TEXT_SIZE - 1] = '\n';
        code = vfs_open(vfs_posix(), path, VFS_WRITE | VFS_CREATE | VFS_EXCLUSIVE, &file, err);
    }
    if (code == POLARYS_OK) {
        code = vfs_write_at(file, 0, text, sizeof(text), err);
    }
    if (code == POLARYS_OK) {
        code = vfs_sync(file, err);
    }
    enum polarys_code close_code = vfs_close(file, code == POLARYS_OK ? err : NULL);
    code = code == POLARYS_OK ? close_code : code;
    master_key_wipe(&key);
    explicit_bzero(text, sizeof(text));
    return code == POLARYS_OK ? code : polarys_wrap(err, code, "generate master key %s", path);
}
