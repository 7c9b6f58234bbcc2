/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tags and tree key arithmetic that encoder and decoder of polarys.log.v1.LogBatch share.
 */
#ifndef ENGINE_WAL_LOG_BATCH_INTERNAL_H
#define ENGINE_WAL_LOG_BATCH_INTERNAL_H

#include "engine/wal/log_batch.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Field number and wire type of protobuf, as one byte. */
enum log_batch_tag {
    TAG_BATCH_TIME = 1 << 3 | 1,
    TAG_BATCH_COMMIT = 2 << 3 | 2,
    TAG_COMMIT_OPERATION = 1 << 3 | 2,
    TAG_COMMIT_COMPRESSED = 2 << 3 | 2,
    TAG_COMMIT_UNCOMPRESSED_SIZE = 3 << 3 | 0,
    TAG_OPERATION_KIND = 1 << 3 | 0,
    TAG_OPERATION_DATABASE_ID = 2 << 3 | 0,
    TAG_OPERATION_TABLE_ID = 3 << 3 | 0,
    TAG_OPERATION_KEY = 4 << 3 | 2,
    TAG_OPERATION_VALUE = 5 << 3 | 2,
};

/* The prefix of the table that comes next in key order; false behind the very last one. */
static inline bool tree_key_next_table(uint8_t *to, uint32_t database_id, uint32_t table_id)
{
    if (table_id == UINT32_MAX && database_id == UINT32_MAX) {
        return false;
    }
    tree_key_put_prefix(to, table_id == UINT32_MAX ? database_id + 1 : database_id, table_id + 1);
    return true;
}

#ifdef __cplusplus
}
#endif

#endif
