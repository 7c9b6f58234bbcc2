/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading what a server says about an error. The bytes come from the network: whatever does not decode is
 * left out, whatever is too long is cut.
 */
#include "client/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/assert.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"

static const char *const status_names[] = {
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
};

const char *polarys_client_status_name(enum polarys_client_status status)
{
    size_t count = sizeof(status_names) / sizeof(status_names[0]);
    return (size_t)status < count ? status_names[status] : "UNKNOWN";
}

void client_error_clear(struct polarys_client_error *err)
{
    if (err != NULL) {
        err->status = POLARYS_CLIENT_OK;
        err->reason[0] = '\0';
        err->message[0] = '\0';
        err->retry_after_ms = 0;
        err->metadata_count = 0;
        err->attempts = 0;
    }
}

void client_error_set(struct polarys_client_error *err, enum polarys_client_status status,
                      const char *format, ...)
{
    va_list args;
    if (err == NULL) {
        return;
    }
    client_error_clear(err);
    err->status = status;
    va_start(args, format);
    (void)vsnprintf(err->message, sizeof(err->message), format, args);
    va_end(args);
}

/* Copies as much as fits, with a NUL. */
static void text_copy(char *to, size_t to_size, const void *from, size_t size)
{
    POLARYS_ASSERT(to_size > 0);
    POLARYS_ASSERT(from != NULL || size == 0);
    if (size >= to_size) {
        size = to_size - 1;
    }
    if (size > 0) {
        memcpy(to, from, size);
    }
    to[size] = '\0';
}

void client_error_reason_set(struct polarys_client_error *err, const char *reason)
{
    if (err != NULL) {
        text_copy(err->reason, sizeof(err->reason), reason, strlen(reason));
    }
}

void client_error_metadata_add(struct polarys_client_error *err, const void *name, size_t name_size,
                               const void *value, size_t value_size)
{
    POLARYS_ASSERT(name != NULL || name_size == 0);
    POLARYS_ASSERT(value != NULL || value_size == 0);
    if (err == NULL || err->metadata_count == POLARYS_CLIENT_METADATA_MAX) {
        return;
    }
    struct polarys_client_metadata *entry = &err->metadata[err->metadata_count++];
    text_copy(entry->name, sizeof(entry->name), name, name_size);
    text_copy(entry->value, sizeof(entry->value), value, value_size);
}

const char *polarys_client_error_metadata(const struct polarys_client_error *err, const char *name)
{
    POLARYS_ASSERT(err != NULL && name != NULL);
    POLARYS_ASSERT(err->metadata_count <= POLARYS_CLIENT_METADATA_MAX);
    for (uint32_t i = 0; i < err->metadata_count; i++) {
        if (strcmp(err->metadata[i].name, name) == 0) {
            return err->metadata[i].value;
        }
    }
    return NULL;
}

static void error_info_read(struct polarys_client_error *err, const ProtobufCBinaryData *bytes)
{
    Google__Rpc__ErrorInfo *info = google__rpc__error_info__unpack(NULL, bytes->len, bytes->data);
    if (info == NULL) {
        return;
    }
    text_copy(err->reason, sizeof(err->reason), info->reason.data, info->reason.len);
    for (size_t i = 0; i < info->n_metadata; i++) {
        const Google__Rpc__ErrorInfo__MetadataEntry *entry = info->metadata[i];
        client_error_metadata_add(err, entry->key.data, entry->key.len, entry->value.data,
                                  entry->value.len);
    }
    google__rpc__error_info__free_unpacked(info, NULL);
}

void client_error_retry_set(struct polarys_client_error *err,
                            const Google__Protobuf__Duration *delay)
{
    enum { DELAY_SECONDS_MAX = 86400, NANOS_MAX = 999999999 };
    if (err != NULL && delay != NULL && delay->seconds >= 0 && delay->seconds < DELAY_SECONDS_MAX &&
        delay->nanos >= 0 && delay->nanos <= NANOS_MAX) {
        err->retry_after_ms = (uint32_t)delay->seconds * 1000 + (uint32_t)(delay->nanos / 1000000);
    }
}

static void retry_info_read(struct polarys_client_error *err, const ProtobufCBinaryData *bytes)
{
    Google__Rpc__RetryInfo *info = google__rpc__retry_info__unpack(NULL, bytes->len, bytes->data);
    if (info == NULL) {
        return;
    }
    client_error_retry_set(err, info->retry_delay);
    google__rpc__retry_info__free_unpacked(info, NULL);
}

/* True when the type URL ends in `/name`. */
static bool type_is(const ProtobufCBinaryData *url, const char *name)
{
    size_t size = strlen(name);

    POLARYS_ASSERT(size > 0);
    return url->len > size && url->data[url->len - size - 1] == '/' &&
           memcmp(url->data + url->len - size, name, size) == 0;
}

void client_error_details_read(struct polarys_client_error *err, const void *bytes, size_t size)
{
    if (err == NULL) {
        return;
    }
    Google__Rpc__Status *status = google__rpc__status__unpack(NULL, size, bytes);
    if (status == NULL) {
        return;
    }
    for (size_t i = 0; i < status->n_details; i++) {
        const Google__Protobuf__Any *detail = status->details[i];
        if (type_is(&detail->type_url, "google.rpc.ErrorInfo")) {
            error_info_read(err, &detail->value);
        } else if (type_is(&detail->type_url, "google.rpc.RetryInfo")) {
            retry_info_read(err, &detail->value);
        }
    }
    google__rpc__status__free_unpacked(status, NULL);
}
