/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects in a bucket of an S3-compatible store, by libcurl, which signs each request (AWS Signature Version 4).
 *
 * Invariant: a request names the SHA-256 of what it sends, so the store refuses what was altered on the way; an object
 * counts as stored when the answer to its PUT says so.
 *
 * Every address is http[s]://ENDPOINT/BUCKET/KEY, which Amazon and the others take. An object is sent by one PUT: at most
 * 5 GiB.
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/assert.h"
#include "client/cli/digest.h"
#include "client/cli/objects_internal.h"

enum {
    URL_MAX = 8192,
    HEADER_MAX = S3_TOKEN_MAX + 64,
    ANSWER_BYTES_MAX = 16 << 20, /* of a listing or an error */
    FILE_BYTES = 1 << 20,
    CONNECT_TIMEOUT_S = 10,
    STALL_S = 60, /* without a byte */
    LIST_KEYS_MAX = 1000,
};

#define PUT_BYTES_MAX (UINT64_C(5) << 30)

struct objects_s3 {
    struct objects base;
    CURL *curl;
    const volatile sig_atomic_t *stop;
    struct s3_credentials credentials;
    char endpoint[OBJECTS_LOCATION_MAX];
    char bucket[OBJECTS_LOCATION_MAX];
    char prefix[OBJECTS_LOCATION_MAX]; /* "", or ends in a slash */
};

/* One request and its answer. */
struct s3_request {
    const char *method; /* GET, PUT, DELETE */
    const char *url;
    const char *range; /* NULL: all of it */
    uint8_t sha256[DIGEST_SIZE];

    /* What is sent by PUT. */
    struct polarys_slice body;
    FILE *file; /* NULL: body */
    uint64_t size;

    struct objects_bytes *answer;
    size_t answer_max;
    bool has_no_memory;
    bool is_too_long;
    long status;
};

/* ---- addresses ---- */

/* Appends text with all but the unreserved characters, and '/' where it may stay, as %XX. */
static bool url_append(char *url, const char *text, bool keeps_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t used = strlen(url);
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        bool is_plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                        (byte >= '0' && byte <= '9') || strchr("-._~", byte) != NULL ||
                        (byte == '/' && keeps_slash);
        if (used + 4 >= URL_MAX) {
            return false;
        }
        if (is_plain) {
            url[used++] = (char)byte;
        } else {
            url[used++] = '%';
            url[used++] = digits[byte >> 4];
            url[used++] = digits[byte & 15];
        }
    }
    url[used] = '\0';
    return true;
}

static bool url_raw(char *url, const char *text)
{
    size_t used = strlen(url);
    int size = snprintf(url + used, URL_MAX - used, "%s", text);
    return size >= 0 && used + (size_t)size < URL_MAX;
}

static enum polarys_code url_make(const struct objects_s3 *place, const char *name, char *url,
                                  struct polarys_error *err)
{
    url[0] = '\0';
    bool is_short =
        url_raw(url, place->endpoint) && url_raw(url, "/") && url_append(url, place->bucket, false);
    if (name != NULL) {
        is_short = is_short && url_raw(url, "/") && url_append(url, place->prefix, true) &&
                   url_append(url, name, true);
    }
    return is_short ? POLARYS_OK
                    : polarys_fail(err, POLARYS_BAD_ARGUMENT, "an address is too long");
}

/* ---- one request ---- */

static size_t answer_take(char *bytes, size_t size, size_t count, void *context)
{
    struct s3_request *request = context;
    size_t total = size * count;
    if (total > request->answer_max - request->answer->size) {
        request->is_too_long = true;
        return 0;
    }
    if (!objects_bytes_reserve(request->answer, total)) {
        request->has_no_memory = true;
        return 0;
    }
    memcpy(request->answer->bytes + request->answer->size, bytes, total);
    request->answer->size += total;
    return total;
}

static size_t body_give(char *to, size_t size, size_t count, void *context)
{
    struct s3_request *request = context;
    size_t room = size * count;
    if (request->file != NULL) {
        size_t got = fread(to, 1, room, request->file);
        return ferror(request->file) ? CURL_READFUNC_ABORT : got;
    }
    size_t given = room < request->body.size ? room : request->body.size;
    if (given > 0) {
        memcpy(to, request->body.data, given);
    }
    request->body = slice_make(request->body.data + given, request->body.size - given);
    return given;
}

static int stop_look(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                     curl_off_t up)
{
    const struct objects_s3 *place = context;
    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return place->stop != NULL && *place->stop != 0;
}

static bool header_add(struct curl_slist **headers, const char *name, const char *value)
{
    char line[HEADER_MAX];
    (void)snprintf(line, sizeof(line), "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(*headers, line);
    explicit_bzero(line, sizeof(line));
    if (longer == NULL) {
        return false;
    }
    *headers = longer;
    return true;
}

static bool headers_make(const struct objects_s3 *place, const struct s3_request *request,
                         struct curl_slist **headers)
{
    char sum[DIGEST_TEXT_SIZE];
    digest_text(sum, request->sha256, DIGEST_SIZE);
    return header_add(headers, "x-amz-content-sha256", sum) &&
           (place->credentials.session_token[0] == '\0' ||
            header_add(headers, "x-amz-security-token", place->credentials.session_token));
}

/* The options of any request, then those of its method. */
static bool request_prepare(struct objects_s3 *place, struct s3_request *request)
{
    char text[2 * S3_TEXT_MAX + 32];
    CURL *curl = place->curl;
    bool is_ok;
    curl_easy_reset(curl);
    is_ok = curl_easy_setopt(curl, CURLOPT_URL, request->url) == CURLE_OK;
    (void)snprintf(text, sizeof(text), "aws:amz:%s:s3", place->credentials.region);
    is_ok = is_ok && curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, text) == CURLE_OK;
    is_ok = is_ok &&
            curl_easy_setopt(curl, CURLOPT_USERNAME, place->credentials.access_key) == CURLE_OK;
    is_ok = is_ok &&
            curl_easy_setopt(curl, CURLOPT_PASSWORD, place->credentials.secret_key) == CURLE_OK;
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, stop_look);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, place);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_take);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, request);
    if (request->range != NULL) {
        is_ok = is_ok && curl_easy_setopt(curl, CURLOPT_RANGE, request->range) == CURLE_OK;
    }
    if (strcmp(request->method, "PUT") == 0) {
        (void)curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_READFUNCTION, body_give);
        (void)curl_easy_setopt(curl, CURLOPT_READDATA, request);
        (void)curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->size);
    } else if (strcmp(request->method, "GET") != 0) {
        is_ok = is_ok && curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method) == CURLE_OK;
    }
    return is_ok;
}

/* What stands in the element of an error's XML; "" when there is none. */
static void error_text(const struct s3_request *request, const char *element, char *to, size_t room)
{
    char tag[32];
    to[0] = '\0';
    (void)snprintf(tag, sizeof(tag), "<%s>", element);
    const char *text = (const char *)request->answer->bytes;
    size_t size = request->answer->size;
    const char *begin = size == 0 ? NULL : memmem(text, size, tag, strlen(tag));
    if (begin == NULL) {
        return;
    }
    begin += strlen(tag);
    size_t left = size - (size_t)(begin - text);
    const char *end = memchr(begin, '<', left);
    if (end != NULL) {
        (void)snprintf(to, room, "%.*s", (int)(end - begin), begin);
    }
}

static enum polarys_code status_judge(const struct objects_s3 *place, struct s3_request *request,
                                      struct polarys_error *err)
{
    char code[64];
    char message[256];
    if (request->status / 100 == 2) {
        return POLARYS_OK;
    }
    error_text(request, "Code", code, sizeof(code));
    error_text(request, "Message", message, sizeof(message));
    enum polarys_code kind = POLARYS_IO;
    if (request->status == 404 && strcmp(code, "NoSuchBucket") != 0) {
        kind = POLARYS_FILE_NOT_FOUND;
    } else if (request->status == 401 || request->status == 403) {
        kind = POLARYS_PERMISSION_DENIED;
    } else if (request->status == 507) {
        kind = POLARYS_DISK_LOW;
    }
    return polarys_fail(err, kind, "%s answers %ld%s%s%s%s", place->endpoint, request->status,
                        code[0] == '\0' ? "" : " ", code, message[0] == '\0' ? "" : ": ", message);
}

static enum polarys_code request_do(struct objects_s3 *place, struct s3_request *request,
                                    struct polarys_error *err)
{
    char text[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    CURLcode result = CURLE_OUT_OF_MEMORY;
    request->answer->size = 0;
    if (request_prepare(place, request) && headers_make(place, request, &headers)) {
        (void)curl_easy_setopt(place->curl, CURLOPT_HTTPHEADER, headers);
        (void)curl_easy_setopt(place->curl, CURLOPT_ERRORBUFFER, text);
        result = curl_easy_perform(place->curl);
        (void)curl_easy_getinfo(place->curl, CURLINFO_RESPONSE_CODE, &request->status);
    }
    (void)curl_easy_setopt(place->curl, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    if (result == CURLE_OK) {
        return status_judge(place, request, err);
    }
    if (result == CURLE_ABORTED_BY_CALLBACK && place->stop != NULL && *place->stop != 0) {
        return polarys_fail(err, POLARYS_CANCELLED, "given up");
    }
    if (request->has_no_memory || result == CURLE_OUT_OF_MEMORY) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a request to %s",
                            place->endpoint);
    }
    if (request->is_too_long) {
        return polarys_fail(err, POLARYS_CORRUPT, "%s sends more than was asked for",
                            place->endpoint);
    }
    return polarys_fail(err, POLARYS_IO, "%s: %s", place->endpoint,
                        text[0] == '\0' ? curl_easy_strerror(result) : text);
}

/* ---- the driver ---- */

static bool bytes_digest(struct polarys_slice bytes, uint8_t sum[DIGEST_SIZE])
{
    struct digest digest = {0};
    digest_begin(&digest);
    digest_add(&digest, bytes.data, bytes.size);
    bool is_ok = digest_end(&digest, sum);
    digest_deinit(&digest);
    return is_ok;
}

static enum polarys_code put_send(struct objects_s3 *place, const char *name,
                                  struct s3_request *request, struct polarys_error *err)
{
    char url[URL_MAX];
    struct objects_bytes answer = {0};
    enum polarys_code code = url_make(place, name, url, err);
    request->method = "PUT";
    request->url = url;
    request->answer = &answer;
    request->answer_max = ANSWER_BYTES_MAX;
    if (code == POLARYS_OK && request->size > PUT_BYTES_MAX) {
        code = polarys_fail(err, POLARYS_TOO_LARGE, "an object of more than 5 GiB");
    }
    if (code == POLARYS_OK) {
        code = request_do(place, request, err);
    }
    request->url = NULL;
    request->answer = NULL;
    free(answer.bytes);
    return code;
}

static enum polarys_code s3_put(struct objects *objects, const char *name,
                                struct polarys_slice bytes, struct polarys_error *err)
{
    struct s3_request request = {.body = bytes, .size = bytes.size};
    return bytes_digest(bytes, request.sha256)
               ? put_send((struct objects_s3 *)objects, name, &request, err)
               : polarys_fail(err, POLARYS_BUG, "SHA-256 failed");
}

static bool file_digest(FILE *file, uint8_t sum[DIGEST_SIZE], uint64_t *size)
{
    struct digest digest = {0};
    uint8_t *buffer = malloc(FILE_BYTES);
    size_t got = buffer == NULL ? 0 : 1;
    *size = 0;
    digest_begin(&digest);
    while (got > 0) {
        got = fread(buffer, 1, FILE_BYTES, file);
        digest_add(&digest, buffer, got);
        *size += got;
    }
    bool is_ok = digest_end(&digest, sum) && buffer != NULL && ferror(file) == 0;
    digest_deinit(&digest);
    free(buffer);
    return is_ok;
}

static enum polarys_code s3_put_file(struct objects *objects, const char *name, const char *path,
                                     struct polarys_error *err)
{
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        return polarys_fail_errno(err, errno, "open %s", path);
    }
    struct s3_request request = {.file = file};
    enum polarys_code code = POLARYS_OK;
    if (!file_digest(file, request.sha256, &request.size)) {
        code = polarys_fail(err, POLARYS_IO, "read %s: it failed", path);
    }
    if (code == POLARYS_OK) {
        rewind(file);
        code = put_send((struct objects_s3 *)objects, name, &request, err);
    }
    (void)fclose(file);
    return code;
}

static enum polarys_code s3_get(struct objects *objects, const char *name, uint64_t offset,
                                size_t size_max, struct objects_bytes *out,
                                struct polarys_error *err)
{
    struct objects_s3 *place = (struct objects_s3 *)objects;
    char url[URL_MAX];
    char range[64];
    struct s3_request request = {.method = "GET", .url = url, .range = range, .answer = out};
    /* An error's text may be longer than what was asked for. */
    request.answer_max = size_max > ANSWER_BYTES_MAX ? size_max : ANSWER_BYTES_MAX;
    (void)snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)offset,
                   (unsigned long long)(offset + size_max - 1));
    enum polarys_code code = url_make(place, name, url, err);
    if (code == POLARYS_OK && !bytes_digest(slice_make(NULL, 0), request.sha256)) {
        code = polarys_fail(err, POLARYS_BUG, "SHA-256 failed");
    }
    if (code == POLARYS_OK) {
        code = request_do(place, &request, err);
    }
    if (request.status == 416) { /* nothing there: the object ends before */
        polarys_error_clear(err);
        out->size = 0;
        return POLARYS_OK;
    }
    bool is_whole_object = request.status == 200 && (offset != 0 || out->size > size_max);
    if (code == POLARYS_OK && (is_whole_object || out->size > size_max)) {
        code = polarys_fail(err, POLARYS_IO, "%s does not do as a range asks", place->endpoint);
    }
    return code;
}

static enum polarys_code page_get(struct objects_s3 *place, const char *prefix, const char *after,
                                  const char *token, struct objects_bytes *answer,
                                  struct polarys_error *err)
{
    char url[URL_MAX];
    char number[32];
    struct s3_request request = {
        .method = "GET", .url = url, .answer = answer, .answer_max = ANSWER_BYTES_MAX};
    enum polarys_code code = url_make(place, NULL, url, err);
    bool is_short = url_raw(url, "/?"); /* names in the order of their bytes: they are signed so */
    if (token[0] != '\0') {
        is_short = is_short && url_raw(url, "continuation-token=") &&
                   url_append(url, token, false) && url_raw(url, "&");
    }
    (void)snprintf(number, sizeof(number), "%d", LIST_KEYS_MAX);
    is_short = is_short && url_raw(url, "list-type=2&max-keys=") && url_raw(url, number) &&
               url_raw(url, "&prefix=") && url_append(url, place->prefix, false) &&
               url_append(url, prefix, false);
    if (after != NULL) {
        is_short = is_short && url_raw(url, "&start-after=") &&
                   url_append(url, place->prefix, false) && url_append(url, after, false);
    }
    if (code == POLARYS_OK && !is_short) {
        code = polarys_fail(err, POLARYS_BAD_ARGUMENT, "an address is too long");
    }
    if (code == POLARYS_OK && !bytes_digest(slice_make(NULL, 0), request.sha256)) {
        code = polarys_fail(err, POLARYS_BUG, "SHA-256 failed");
    }
    return code == POLARYS_OK ? request_do(place, &request, err) : code;
}

static enum polarys_code page_visit(const struct objects_s3 *place, struct s3_page *page,
                                    const struct objects_visitor *visitor,
                                    struct polarys_error *err)
{
    char key[S3_KEY_MAX];
    uint64_t size = 0;
    bool has_object = true;
    size_t prefix_size = strlen(place->prefix);
    while (has_object) {
        enum polarys_code code = s3_page_next(page, key, sizeof(key), &size, &has_object, err);
        if (code == POLARYS_OK && has_object && strncmp(key, place->prefix, prefix_size) == 0 &&
            objects_name_is_valid(key + prefix_size)) {
            code = visitor->each(visitor->context, key + prefix_size, size, err);
        }
        if (code != POLARYS_OK) {
            return code;
        }
    }
    return POLARYS_OK;
}

static enum polarys_code s3_list(struct objects *objects, const char *prefix, const char *after,
                                 const struct objects_visitor *visitor, struct polarys_error *err)
{
    struct objects_s3 *place = (struct objects_s3 *)objects;
    struct objects_bytes answer = {0};
    struct s3_page page = {.is_truncated = true};
    enum polarys_code code = POLARYS_OK;
    while (code == POLARYS_OK && page.is_truncated) {
        code = page_get(place, prefix, after, page.token, &answer, err);
        if (code == POLARYS_OK) {
            code = s3_page_begin(&page, (const char *)answer.bytes, answer.size, err);
        }
        if (code == POLARYS_OK) {
            code = page_visit(place, &page, visitor, err);
        }
    }
    free(answer.bytes);
    return code;
}

static enum polarys_code s3_remove(struct objects *objects, const char *name,
                                   struct polarys_error *err)
{
    struct objects_s3 *place = (struct objects_s3 *)objects;
    char url[URL_MAX];
    struct objects_bytes answer = {0};
    struct s3_request request = {
        .method = "DELETE", .url = url, .answer = &answer, .answer_max = ANSWER_BYTES_MAX};
    enum polarys_code code = url_make(place, name, url, err);
    if (code == POLARYS_OK && !bytes_digest(slice_make(NULL, 0), request.sha256)) {
        code = polarys_fail(err, POLARYS_BUG, "SHA-256 failed");
    }
    if (code == POLARYS_OK) {
        code = request_do(place, &request, err);
    }
    free(answer.bytes);
    if (code == POLARYS_FILE_NOT_FOUND) {
        polarys_error_clear(err);
        return POLARYS_OK;
    }
    return code;
}

static void s3_close(struct objects *objects)
{
    struct objects_s3 *place = (struct objects_s3 *)objects;
    if (place->curl != NULL) {
        curl_easy_cleanup(place->curl);
        curl_global_cleanup();
    }
    explicit_bzero(&place->credentials, sizeof(place->credentials));
    free(place);
}

/* ---- opening ---- */

/* s3://BUCKET[/PREFIX]. */
static enum polarys_code location_take(struct objects_s3 *place, const char *location,
                                       struct polarys_error *err)
{
    const char *bucket = location + strlen("s3://");
    size_t size = strcspn(bucket, "/");
    const char *prefix = bucket + size + strspn(bucket + size, "/");
    size_t prefix_size = strlen(prefix);
    while (prefix_size > 0 && prefix[prefix_size - 1] == '/') {
        prefix_size--;
    }
    if (size == 0) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT, "%s names no bucket", location);
    }
    (void)snprintf(place->bucket, sizeof(place->bucket), "%.*s", (int)size, bucket);
    (void)snprintf(place->prefix, sizeof(place->prefix), "%.*s%s", (int)prefix_size, prefix,
                   prefix_size == 0 ? "" : "/");
    return POLARYS_OK;
}

static enum polarys_code endpoint_take(struct objects_s3 *place, const char *given,
                                       struct polarys_error *err)
{
    static const char *const names[] = {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"};
    int size;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && given == NULL; i++) {
        const char *value = getenv(names[i]);
        given = value != NULL && *value != '\0' ? value : NULL;
    }
    if (given == NULL) {
        size = snprintf(place->endpoint, sizeof(place->endpoint), "https://s3.%s.amazonaws.com",
                        place->credentials.region);
    } else {
        size = snprintf(place->endpoint, sizeof(place->endpoint), "%s", given);
    }
    if (size <= 0 || size >= (int)sizeof(place->endpoint) ||
        (strncmp(place->endpoint, "http://", 7) != 0 &&
         strncmp(place->endpoint, "https://", 8) != 0)) {
        return polarys_fail(err, POLARYS_BAD_ARGUMENT,
                            "the endpoint of the store is http://HOST:PORT or https://HOST:PORT");
    }
    while (size > 0 && place->endpoint[size - 1] == '/') {
        place->endpoint[--size] = '\0';
    }
    return POLARYS_OK;
}

enum polarys_code objects_s3_open(const struct objects_options *options, struct objects **out,
                                  struct polarys_error *err)
{
    static const struct objects_driver driver = {
        .put = s3_put,
        .put_file = s3_put_file,
        .get = s3_get,
        .list = s3_list,
        .remove = s3_remove,
        .close = s3_close,
    };
    struct objects_s3 *place = calloc(1, sizeof(*place));
    if (place == NULL) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory for a place");
    }
    place->base.driver = &driver;
    place->stop = options->stop;
    enum polarys_code code = location_take(place, options->location, err);
    if (code == POLARYS_OK) {
        code = s3_credentials_find(&place->credentials, err);
    }
    if (code == POLARYS_OK) {
        code = endpoint_take(place, options->s3_endpoint, err);
    }
    if (code == POLARYS_OK) {
        if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {
            place->curl = curl_easy_init();
        }
        code = place->curl != NULL ? POLARYS_OK
                                   : polarys_fail(err, POLARYS_NO_MEMORY, "libcurl cannot begin");
    }
    if (code != POLARYS_OK) {
        s3_close(&place->base);
        return code;
    }
    *out = &place->base;
    return POLARYS_OK;
}
