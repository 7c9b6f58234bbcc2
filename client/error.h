/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling a struct polarys_client_error: from here, and from the details that a server sent.
 */
#ifndef CLIENT_ERROR_H
#define CLIENT_ERROR_H

#include "client/polarys.h"
#include "google/protobuf/duration.pb-c.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Resets it; `err` may be NULL here and everywhere in the client. */
void client_error_clear(struct polarys_client_error *err);

/* An error of the client's own. */
void client_error_set(struct polarys_client_error *err, enum polarys_client_status status,
                      const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Names the reason. REQUIRES: client_error_set before it. */
void client_error_reason_set(struct polarys_client_error *err, const char *reason);

/* Adds one metadata entry, cut to its room; dropped when there is no room left. */
void client_error_metadata_add(struct polarys_client_error *err, const void *name, size_t name_size,
                               const void *value, size_t value_size);

/* Takes a delay that the server asks for; what no server would ask for is left out. May be NULL. */
void client_error_retry_set(struct polarys_client_error *err,
                            const Google__Protobuf__Duration *delay);

/* Reads an encoded google.rpc.Status: ErrorInfo gives reason and metadata, RetryInfo the delay. Bytes
 * that are no such message are ignored: status and message stand without them. */
void client_error_details_read(struct polarys_client_error *err, const void *bytes, size_t size);

#ifdef __cplusplus
}
#endif

#endif
