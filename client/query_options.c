/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What queries, searches, counts and plans share: lists of fields as a request names them.
 */
#include <stdlib.h>

#include "client/assert.h"
#include "client/query_internal.h"

bool query_mask_init(struct query_mask *mask, const char *const *fields, size_t field_count,
                     struct polarys_client_error *err)
{
    POLARYS_ASSERT(fields != NULL || field_count == 0);
    mask->fields = NULL;
    mask->count = 0;
    if (field_count > QUERY_FIELDS_MAX) {
        client_error_set(err, POLARYS_CLIENT_INVALID_ARGUMENT,
                         "a query gives at most %d fields, not %zu", QUERY_FIELDS_MAX, field_count);
        client_error_reason_set(err, "BAD_ARGUMENT");
        return false;
    }
    mask->fields = calloc(field_count + 1, sizeof(*mask->fields));
    if (mask->fields == NULL) {
        client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a query");
        return false;
    }
    for (; mask->count < field_count; mask->count++) {
        char *copy = client_copy_text(fields[mask->count]);
        if (copy == NULL) {
            query_mask_deinit(mask);
            client_error_set(err, POLARYS_CLIENT_RESOURCE_EXHAUSTED, "no memory for a query");
            return false;
        }
        mask->fields[mask->count] = client_text(copy);
    }
    return true;
}

void query_mask_deinit(struct query_mask *mask)
{
    POLARYS_ASSERT(mask->fields != NULL || mask->count == 0);
    for (size_t i = 0; i < mask->count; i++) {
        free(mask->fields[i].data);
    }
    free(mask->fields);
    mask->fields = NULL;
    mask->count = 0;
}
