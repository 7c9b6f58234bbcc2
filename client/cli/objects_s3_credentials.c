/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the credentials of an S3-compatible store come from. They are never printed.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/objects_internal.h"

enum { LINE_MAX_BYTES = S3_TOKEN_MAX + 64 };

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

static bool text_take(char *to, size_t room, const char *from)
{
    int size = snprintf(to, room, "%s", from);
    return size >= 0 && (size_t)size < room;
}

/* `line` without the white space around it; changes it. */
static char *trim(char *line)
{
    line += strspn(line, " \t");
    size_t size = strlen(line);
    while (size > 0 && strchr(" \t\r\n", line[size - 1]) != NULL) {
        line[--size] = '\0';
    }
    return line;
}

/* `name = value` of the profile. False: too long. */
static bool setting_take(struct s3_credentials *credentials, char *line)
{
    char *equals = strchr(line, '=');
    if (equals == NULL) {
        return true;
    }
    *equals = '\0';
    const char *name = trim(line);
    const char *value = trim(equals + 1);
    if (strcmp(name, "aws_access_key_id") == 0) {
        return text_take(credentials->access_key, S3_TEXT_MAX, value);
    }
    if (strcmp(name, "aws_secret_access_key") == 0) {
        return text_take(credentials->secret_key, S3_TEXT_MAX, value);
    }
    if (strcmp(name, "aws_session_token") == 0) {
        return text_take(credentials->session_token, S3_TOKEN_MAX, value);
    }
    return true;
}

static bool profile_read(FILE *file, const char *profile, struct s3_credentials *credentials)
{
    char line[LINE_MAX_BYTES];
    char wanted[S3_TEXT_MAX];
    bool is_wanted = false;
    bool is_ok = text_take(wanted, sizeof(wanted), profile);
    while (is_ok && fgets(line, sizeof(line), file) != NULL) {
        char *text = trim(line);
        size_t size = strlen(text);
        if (size > 1 && text[0] == '[' && text[size - 1] == ']') {
            text[size - 1] = '\0';
            is_wanted = strcmp(trim(text + 1), wanted) == 0;
        } else if (is_wanted && text[0] != '#' && text[0] != ';') {
            is_ok = setting_take(credentials, text);
        }
    }
    explicit_bzero(line, sizeof(line));
    return is_ok && ferror(file) == 0;
}

static enum polarys_code file_read(struct s3_credentials *credentials, struct polarys_error *err)
{
    char path[PATH_MAX];
    const char *named = environment("AWS_SHARED_CREDENTIALS_FILE");
    const char *home = environment("HOME");
    const char *profile = environment("AWS_PROFILE");
    (void)snprintf(path, sizeof(path), "%s%s", named == NULL ? (home == NULL ? "" : home) : named,
                   named == NULL ? "/.aws/credentials" : "");
    profile = profile == NULL ? "default" : profile;
    FILE *file = fopen(path, "re");
    if (file == NULL && (errno != ENOENT || named != NULL)) {
        return polarys_fail_errno(err, errno, "read the credentials in %s", path);
    }
    bool is_ok = file == NULL || profile_read(file, profile, credentials);
    if (file != NULL) {
        (void)fclose(file);
    }
    return is_ok ? POLARYS_OK
                 : polarys_fail(err, POLARYS_BAD_ARGUMENT,
                                "%s cannot be read, or has a value that "
                                "is too long",
                                path);
}

enum polarys_code s3_credentials_find(struct s3_credentials *credentials, struct polarys_error *err)
{
    const char *access_key = environment("AWS_ACCESS_KEY_ID");
    const char *secret_key = environment("AWS_SECRET_ACCESS_KEY");
    const char *token = environment("AWS_SESSION_TOKEN");
    const char *region = environment("AWS_REGION");
    enum polarys_code code = POLARYS_OK;
    memset(credentials, 0, sizeof(*credentials));
    region = region == NULL ? environment("AWS_DEFAULT_REGION") : region;
    bool is_short =
        text_take(credentials->region, S3_TEXT_MAX, region == NULL ? "us-east-1" : region);
    if (access_key != NULL && secret_key != NULL) {
        is_short = is_short && text_take(credentials->access_key, S3_TEXT_MAX, access_key) &&
                   text_take(credentials->secret_key, S3_TEXT_MAX, secret_key) &&
                   text_take(credentials->session_token, S3_TOKEN_MAX, token == NULL ? "" : token);
    } else {
        code = file_read(credentials, err);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    if (!is_short) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "a credential is too long");
    }
    return credentials->access_key[0] != '\0' && credentials->secret_key[0] != '\0'
               ? POLARYS_OK
               : polarys_fail(err, POLARYS_BAD_ARGUMENT,
                              "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                              "AWS_SHARED_CREDENTIALS_FILE");
}
