/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what a failed call says of itself back to a code and its details. The bytes come from the network:
 * what does not decode is left out, and what is too long is cut.
 */
#include <string.h>

#include <grpc/slice.h>

#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "service/errors/error_details.h"
#include "service/proto/utf8.h"
#include "service/replication/peer_internal.h"
#include "service/server/check.h"

#define DETAILS_KEY "grpc-status-details-bin"

enum { DETAILS_BYTES_MAX = 64 << 10 };

/* For what says nothing but a status: the transport, or a proxy. */
static enum polarys_code code_of_status(grpc_status_code status)
{
    switch (status) {
    case GRPC_STATUS_DEADLINE_EXCEEDED:
        return POLARYS_WAIT_TIMEOUT;
    case GRPC_STATUS_CANCELLED:
        return POLARYS_CANCELLED;
    case GRPC_STATUS_UNIMPLEMENTED:
        return POLARYS_UNIMPLEMENTED;
    case GRPC_STATUS_RESOURCE_EXHAUSTED:
        return POLARYS_TOO_MANY_CALLS;
    case GRPC_STATUS_UNAUTHENTICATED:
        return POLARYS_BAD_TOKEN;
    case GRPC_STATUS_PERMISSION_DENIED:
        return POLARYS_PERMISSION_DENIED;
    default:
        return POLARYS_NO_PRIMARY;
    }
}

static enum polarys_code code_of_reason(const ProtobufCBinaryData *reason)
{
    for (unsigned i = 1; i < POLARYS_CODE_COUNT; i++) {
        const char *name = polarys_code_name((enum polarys_code)i);
        if (strlen(name) == reason->len && memcmp(name, reason->data, reason->len) == 0) {
            return (enum polarys_code)i;
        }
    }
    return POLARYS_OK;
}

static void info_read(struct polarys_error *err, const ProtobufCBinaryData *bytes)
{
    Google__Rpc__ErrorInfo *info = google__rpc__error_info__unpack(NULL, bytes->len, bytes->data);
    if (info == NULL) {
        return;
    }
    bool is_ours = info->domain.len == strlen(ERROR_DOMAIN) &&
                   memcmp(info->domain.data, ERROR_DOMAIN, info->domain.len) == 0;
    enum polarys_code code = is_ours ? code_of_reason(&info->reason) : POLARYS_OK;
    if (code != POLARYS_OK) {
        err->code = code;
    }
    for (size_t i = 0; code != POLARYS_OK && i < info->n_metadata; i++) {
        const Google__Rpc__ErrorInfo__MetadataEntry *entry = info->metadata[i];
        char name[POLARYS_ERROR_DETAIL_NAME_MAX];
        if (entry->key.len < sizeof(name) && entry->key.len > 0) {
            memcpy(name, entry->key.data, entry->key.len);
            name[entry->key.len] = '\0';
            polarys_error_detail_set(err, name, "%.*s", (int)entry->value.len,
                                     (const char *)entry->value.data);
        }
    }
    google__rpc__error_info__free_unpacked(info, NULL);
}

/* True when the type URL ends in `/google.rpc.ErrorInfo`. */
static bool is_info(const ProtobufCBinaryData *url)
{
    static const char name[] = "/google.rpc.ErrorInfo";
    size_t size = sizeof(name) - 1;
    return url->len >= size && memcmp(url->data + url->len - size, name, size) == 0;
}

enum polarys_code peer_error_fill(struct polarys_error *err, grpc_status_code status,
                                  struct polarys_slice text, struct polarys_slice details)
{
    SERVICE_ASSERT(status != GRPC_STATUS_OK);
    SERVICE_ASSERT(err != NULL);
    polarys_fail(err, code_of_status(status), "%.*s", (int)text.size, (const char *)text.data);
    utf8_scrub(err->message);
    if (details.size == 0 || details.size > DETAILS_BYTES_MAX) {
        return err->code;
    }
    Google__Rpc__Status *decoded = google__rpc__status__unpack(NULL, details.size, details.data);
    if (decoded == NULL) {
        return err->code;
    }
    for (size_t i = 0; i < decoded->n_details; i++) {
        if (is_info(&decoded->details[i]->type_url)) {
            info_read(err, &decoded->details[i]->value);
        }
    }
    google__rpc__status__free_unpacked(decoded, NULL);
    return err->code;
}

enum polarys_code peer_error_take(struct polarys_error *err, grpc_status_code status,
                                  const grpc_slice *text, const grpc_metadata_array *trailing)
{
    struct polarys_slice details = slice_make(NULL, 0);
    for (size_t i = 0; i < trailing->count; i++) {
        const grpc_metadata *entry = &trailing->metadata[i];
        if (grpc_slice_str_cmp(entry->key, DETAILS_KEY) == 0) {
            details =
                slice_make(GRPC_SLICE_START_PTR(entry->value), GRPC_SLICE_LENGTH(entry->value));
        }
    }
    return peer_error_fill(
        err, status, slice_make(GRPC_SLICE_START_PTR(*text), GRPC_SLICE_LENGTH(*text)), details);
}
