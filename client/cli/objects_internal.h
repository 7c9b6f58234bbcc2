/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of places.
 */
#ifndef CLIENT_CLI_OBJECTS_INTERNAL_H
#define CLIENT_CLI_OBJECTS_INTERNAL_H

#include "client/cli/objects.h"

#ifdef __cplusplus
extern "C" {
#endif

enum polarys_code objects_dir_open(const char *dir, bool may_make, struct objects **out,
                                   struct polarys_error *err);
enum polarys_code objects_s3_open(const struct objects_options *options, struct objects **out,
                                  struct polarys_error *err);

enum { S3_TEXT_MAX = 512, S3_TOKEN_MAX = 4096 };

/* Who asks, and where. */
struct s3_credentials {
    char access_key[S3_TEXT_MAX];
    char secret_key[S3_TEXT_MAX];
    char session_token[S3_TOKEN_MAX]; /* "": none */
    char region[S3_TEXT_MAX];
};

/*
 * From AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or else from the profile AWS_PROFILE
 * ("default") of the file AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials); the region from AWS_REGION or
 * AWS_DEFAULT_REGION ("us-east-1"). Errors: BAD_ARGUMENT.
 */
NODISCARD enum polarys_code s3_credentials_find(struct s3_credentials *credentials,
                                                struct polarys_error *err);

enum {
    S3_KEY_MAX = OBJECTS_LOCATION_MAX + OBJECTS_NAME_MAX, /* of an object, prefix included */
    S3_EMPTY_PAGES_MAX = 1000,                            /* one after the other */
};

/* A page of a listing, and what the pages before it tell of it. Zero-initialise for the first. */
struct s3_page {
    const char *at; /* what is left to read */
    const char *end;
    bool is_truncated;
    char token[S3_TOKEN_MAX]; /* for the next page */
    char last[S3_KEY_MAX];    /* the object before; "": none */
    bool has_objects;         /* this page */
    uint64_t empty_count;     /* pages without any before this one */
};

/* Reads what stands beside the objects. `text` is borrowed. Errors: CORRUPT, also for a listing that does not end. */
NODISCARD enum polarys_code s3_page_begin(struct s3_page *page, const char *text, size_t size,
                                          struct polarys_error *err);
/*
 * The next object; *has_object is false behind the last. Errors: CORRUPT, also for one that is not behind the one before:
 * some stores list in an order of their own, and who reads such a list would miss what is there.
 * REQUIRES: key_room <= S3_KEY_MAX.
 */
NODISCARD enum polarys_code s3_page_next(struct s3_page *page, char *key, size_t key_room,
                                         uint64_t *size, bool *has_object,
                                         struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
