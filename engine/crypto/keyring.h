/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyring of a store: its identity and its data keys, wrapped by a master key, in one small file that
 * is only ever replaced whole (docs/formats/keyring.md).
 *
 * Invariant: data keys seal nothing themselves; each file derives a subkey from one of them with its own
 * random salt. A wrong master key changes nothing on disk.
 */
#ifndef ENGINE_CRYPTO_KEYRING_H
#define ENGINE_CRYPTO_KEYRING_H

#include "engine/base/clock.h"
#include "engine/base/random.h"
#include "engine/crypto/aead.h"
#include "engine/vfs/vfs.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    KEYRING_FORMAT_VERSION = 1,
    STORE_ID_SIZE = 16,
    KEYRING_DATA_KEYS_MAX = 1024,
    MASTER_KEY_SIZE = 32,
    MASTER_KEYS_MAX = 8, /* master keys that a node may hold at once */
};

/* Secret. Its id is the first 8 bytes of SHA-256("polarysdb master key id" ‖ key), in hex. */
struct master_key {
    uint8_t bytes[MASTER_KEY_SIZE];
};

struct keyring;

struct keyring_options {
    struct vfs *vfs;
    const char *dir; /* holds the file `keyring`; copied */
    struct random_source *random;
    struct clock *clock;
    const struct master_key *master_keys; /* the first wraps new rings; any may open one */
    size_t master_key_count;              /* 1..MASTER_KEYS_MAX */
};

/*
 * Makes the file with a new store id and one data key, durably. Errors: BAD_ARGUMENT when there is a
 * keyring already, IO, DISK_LOW, BUG.
 */
NODISCARD enum polarys_code keyring_create(const struct keyring_options *options,
                                           struct keyring **out, struct polarys_error *err);

/*
 * Errors: FILE_NOT_FOUND; WRONG_MASTER_KEY (details "store_id", "key_id" wanted, "key_ids" offered);
 * CORRUPT; TAMPERED (an entry does not authenticate although the master key is the right one);
 * UNSUPPORTED_FORMAT.
 */
NODISCARD enum polarys_code keyring_open(const struct keyring_options *options,
                                         struct keyring **out, struct polarys_error *err);
/* Wipes the keys; accepts NULL. */
void keyring_close(struct keyring *keyring);

/* STORE_ID_SIZE bytes. Borrowed: valid until close. */
const uint8_t *keyring_store_id(const struct keyring *keyring);
/* The data key that new files are made under. Any thread. */
uint32_t keyring_active_id(struct keyring *keyring);
/* Hex id of the master key that wraps the ring (17 bytes with NUL). */
void keyring_master_id(struct keyring *keyring, char id[17]);

/*
 * The subkey of a file made under data key `key_id`, bound to `salt` and `info` (the file's kind and
 * header bytes). Any thread. Errors: CORRUPT when the ring has no such key ("key id N is not in the
 * keyring").
 */
NODISCARD enum polarys_code keyring_derive(struct keyring *keyring, uint32_t key_id,
                                           const uint8_t salt[AEAD_SALT_SIZE],
                                           struct polarys_slice info, struct aead_key *key,
                                           struct polarys_error *err);

/*
 * Adds a data key, retires the one that was active and makes the change durable; files made from now on
 * use the new one. On failure the ring stays as it was. Any thread; runs input and output in the caller.
 * Errors: TOO_LARGE past KEYRING_DATA_KEYS_MAX (detail "limit"), IO, DISK_LOW, BUG.
 */
NODISCARD enum polarys_code keyring_rotate_data(struct keyring *keyring, uint32_t *key_id,
                                                struct polarys_error *err);
/*
 * Forgets a retired data key, durably: what was sealed under it can never be read again. Any thread.
 * Errors: BAD_ARGUMENT when there is no such key or it is the active one, IO, DISK_LOW, BUG.
 */
NODISCARD enum polarys_code keyring_forget_data(struct keyring *keyring, uint32_t key_id,
                                                struct polarys_error *err);
/*
 * Wraps the ring with another master key, durably: from then on only that one opens the store. Any
 * thread. Errors: IO, DISK_LOW, BUG.
 */
NODISCARD enum polarys_code keyring_rotate_master(struct keyring *keyring,
                                                  const struct master_key *master_key,
                                                  struct polarys_error *err);

/* One data key as status shows it. */
struct keyring_key_info {
    uint32_t key_id;
    bool is_active;
    uint64_t created_ms; /* Unix time */
    uint64_t retired_ms; /* 0 while active */
};
/* Calls `each` for every data key, oldest first, with no lock held. Errors: NO_MEMORY. */
NODISCARD enum polarys_code keyring_list(struct keyring *keyring,
                                         void (*each)(void *context,
                                                      const struct keyring_key_info *info),
                                         void *context, struct polarys_error *err);

/* What the image of a keyring says without a master key. */
struct keyring_summary {
    uint8_t store_id[STORE_ID_SIZE];
    char master_id[17]; /* hex, of the master key that wraps it */
    uint64_t generation;
    uint32_t key_count;
};
/* Checks the checksum and authenticates nothing. Errors: CORRUPT, UNSUPPORTED_FORMAT. */
NODISCARD enum polarys_code keyring_summarize(struct polarys_slice image,
                                              struct keyring_summary *summary,
                                              struct polarys_error *err);
/* REQUIRES: keyring_summarize takes the image. */
bool keyring_image_has(struct polarys_slice image, uint32_t key_id);

/*
 * Reads a master key file: 64 hex digits (white space at the end allowed) or 32 raw bytes.
 * Errors: FILE_NOT_FOUND, BAD_ARGUMENT (says what the file holds instead), IO.
 */
NODISCARD enum polarys_code master_key_read_file(struct vfs *vfs, const char *path,
                                                 struct master_key *key, struct polarys_error *err);
/*
 * The key of a passphrase: scrypt (RFC 7914, N 2^17, r 8, p 1) with the SHA-256 of `salt_text` as salt.
 * Errors: BAD_ARGUMENT when the passphrase is shorter than 8 bytes, NO_MEMORY.
 */
NODISCARD enum polarys_code master_key_derive(struct polarys_slice passphrase,
                                              struct polarys_slice salt_text,
                                              struct master_key *key, struct polarys_error *err);
/* 17 bytes with NUL. */
void master_key_id(const struct master_key *key, char id[17]);
void master_key_wipe(struct master_key *key);

#ifdef __cplusplus
}
#endif

#endif
