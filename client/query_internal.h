/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files about queries share.
 */
#ifndef CLIENT_QUERY_INTERNAL_H
#define CLIENT_QUERY_INTERNAL_H

#include "client/client_internal.h"
#include "client/polarys_query.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    QUERY_FIELDS_MAX = 256, /* of one answer's documents; the server takes no more */
};

/* A list of fields, copied, as requests have it. */
struct query_mask {
    ProtobufCBinaryData *fields;
    size_t count;
};

/* False: `err` is filled and there is nothing to free. */
bool query_mask_init(struct query_mask *mask, const char *const *fields, size_t field_count,
                     struct polarys_client_error *err);
/* Accepts one that is all zero. */
void query_mask_deinit(struct query_mask *mask);

#ifdef __cplusplus
}
#endif

#endif
