/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The properties block and the range delete block: their payloads. For the files of this module.
 */
#ifndef ENGINE_SST_TABLE_PROPERTIES_H
#define ENGINE_SST_TABLE_PROPERTIES_H

#include "engine/base/coding.h"
#include "engine/sst/table.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Appends the properties' payload. Errors: NO_MEMORY. */
NODISCARD enum polarys_code table_properties_encode(const struct table_meta *meta,
                                                    const struct table_builder_options *options,
                                                    struct buffer *payload);
/* Fills the counts, versions and keys of `meta` (its other fields are untouched; its buffers are empty
 * before). Errors: CORRUPT, NO_MEMORY. */
NODISCARD enum polarys_code table_properties_decode(struct polarys_slice payload,
                                                    struct table_meta *meta);

/* Sorts the list by (start, version downwards) and appends the payload. Errors: NO_MEMORY. */
NODISCARD enum polarys_code range_deletes_encode(struct range_delete *list, size_t count,
                                                 struct buffer *payload);
/* *list (malloc, NULL for none) borrows from the payload. Errors: CORRUPT, NO_MEMORY. */
NODISCARD enum polarys_code range_deletes_decode(struct polarys_slice payload,
                                                 struct range_delete **list, size_t *count);

#ifdef __cplusplus
}
#endif

#endif
