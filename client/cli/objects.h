/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A place for archives and backups: named objects in a directory, or in a bucket of an S3-compatible store.
 *
 * Invariant: an object is there whole or not at all, and once objects_put has returned it outlives a crash of this
 * machine. Nothing is ever renamed, so that a bucket and a directory promise the same.
 *
 * Names are parts of `[A-Za-z0-9._-]` that do not begin with a dot, with `/` between them, at most OBJECTS_NAME_MAX
 * bytes. One thread at a time uses a place.
 */
#ifndef CLIENT_CLI_OBJECTS_H
#define CLIENT_CLI_OBJECTS_H

#include <signal.h>

#include "engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    OBJECTS_NAME_MAX = 512,      /* with its NUL */
    OBJECTS_LOCATION_MAX = 1024, /* of a place, with its NUL */
    OBJECTS_GET_BYTES_MAX = 256 << 20,
};

/* Where the place is. Borrows. */
struct objects_options {
    const char *location; /* a directory, or s3://BUCKET/PREFIX */
    const char
        *s3_endpoint; /* http://HOST:PORT or https://...; NULL: of the environment, or Amazon's */
    /* When it becomes other than 0 what is under way is given up: CANCELLED. May be NULL. */
    const volatile sig_atomic_t *stop;
};

/* What was read. Zero-initialise; free with free(bytes). */
struct objects_bytes {
    uint8_t *bytes;
    size_t size;
    size_t room;
};

/* Called for each object; anything but POLARYS_OK ends the walk, which returns it. */
struct objects_visitor {
    enum polarys_code (*each)(void *context, const char *name, uint64_t size,
                              struct polarys_error *err);
    void *context;
};

struct objects;

/* What a kind of place does; the functions below tell what. */
struct objects_driver {
    enum polarys_code (*put)(struct objects *objects, const char *name, struct polarys_slice bytes,
                             struct polarys_error *err);
    enum polarys_code (*put_file)(struct objects *objects, const char *name, const char *path,
                                  struct polarys_error *err);
    enum polarys_code (*get)(struct objects *objects, const char *name, uint64_t offset,
                             size_t size_max, struct objects_bytes *out, struct polarys_error *err);
    enum polarys_code (*list)(struct objects *objects, const char *prefix, const char *after,
                              const struct objects_visitor *visitor, struct polarys_error *err);
    enum polarys_code (*remove)(struct objects *objects, const char *name,
                                struct polarys_error *err);
    void (*close)(struct objects *objects);
};
struct objects {
    const struct objects_driver *driver;
};

/* True for s3://..., which is no directory. */
bool objects_is_remote(const char *location);
/* False for a name that is none. */
bool objects_name_is_valid(const char *name);

/*
 * A directory is made when it is missing and `may_make` says so. A bucket is not asked anything yet.
 * Errors: BAD_ARGUMENT (the location, or no credentials), FILE_NOT_FOUND, IO, NO_MEMORY.
 */
NODISCARD enum polarys_code objects_open(const struct objects_options *options, bool may_make,
                                         struct objects **out, struct polarys_error *err);
/* Accepts NULL. */
void objects_close(struct objects *objects);

/* Makes or replaces the object, durably. Errors: DISK_LOW, IO, PERMISSION_DENIED, CANCELLED: try again; TOO_LARGE. */
NODISCARD enum polarys_code objects_put(struct objects *objects, const char *name,
                                        struct polarys_slice bytes, struct polarys_error *err);
/* The same with what is in a file. */
NODISCARD enum polarys_code objects_put_file(struct objects *objects, const char *name,
                                             const char *path, struct polarys_error *err);
/*
 * At most `size_max` bytes from `offset` on into out->bytes, which is used again if it is there; beyond the end there are
 * none. Errors: FILE_NOT_FOUND, IO, PERMISSION_DENIED, NO_MEMORY, CANCELLED.
 */
NODISCARD enum polarys_code objects_get(struct objects *objects, const char *name, uint64_t offset,
                                        size_t size_max, struct objects_bytes *out,
                                        struct polarys_error *err);
/*
 * Visits the objects whose names begin with `prefix` and come after `after` (NULL: all), in the order of their bytes.
 * `prefix` is empty or ends in `/`. Errors: IO, PERMISSION_DENIED, CORRUPT (an answer makes no sense), NO_MEMORY,
 * CANCELLED.
 */
NODISCARD enum polarys_code objects_list(struct objects *objects, const char *prefix,
                                         const char *after, const struct objects_visitor *visitor,
                                         struct polarys_error *err);
/* One that is not there is fine. Errors: IO, PERMISSION_DENIED, CANCELLED. */
NODISCARD enum polarys_code objects_remove(struct objects *objects, const char *name,
                                           struct polarys_error *err);

/* Makes room for `size` more bytes. */
bool objects_bytes_reserve(struct objects_bytes *bytes, size_t size);

#ifdef __cplusplus
}
#endif

#endif
