/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From gRPC's status and trailing metadata to a struct polarys_client_error.
 */
#include <grpc/slice.h>
#include <stdio.h>
#include <string.h>

#include "client/assert.h"
#include "client/error.h"
#include "client/transport_internal.h"

#define DETAILS_KEY "grpc-status-details-bin"

void transport_error_fill(struct polarys_client_error *err, grpc_status_code status,
                          const grpc_slice *text, const grpc_metadata_array *trailing)
{
    POLARYS_ASSERT(status != GRPC_STATUS_OK);
    POLARYS_ASSERT(text != NULL && trailing != NULL);
    if (err == NULL) {
        return;
    }
    int known = status >= GRPC_STATUS_OK && status <= GRPC_STATUS_UNAUTHENTICATED;
    client_error_set(err, known ? (enum polarys_client_status)status : POLARYS_CLIENT_UNKNOWN,
                     "%.*s", (int)GRPC_SLICE_LENGTH(*text),
                     (const char *)GRPC_SLICE_START_PTR(*text));
    for (size_t i = 0; i < trailing->count; i++) {
        const grpc_metadata *entry = &trailing->metadata[i];
        if (grpc_slice_str_cmp(entry->key, DETAILS_KEY) == 0) {
            client_error_details_read(err, GRPC_SLICE_START_PTR(entry->value),
                                      GRPC_SLICE_LENGTH(entry->value));
        }
    }
}
