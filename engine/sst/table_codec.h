/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the payload of a block is compressed. For the files of this module.
 */
#ifndef ENGINE_SST_TABLE_CODEC_H
#define ENGINE_SST_TABLE_CODEC_H

#include "engine/sst/table_format.h"

#ifdef __cplusplus
extern "C" {
#endif

/* On disk: the last byte of a sealed block. */
enum table_codec {
    TABLE_CODEC_NONE = 0,
    TABLE_CODEC_ZSTD = 1,
};

/* Decompresses a payload of codec zstd. Errors: CORRUPT, NO_MEMORY. */
NODISCARD enum polarys_code table_codec_decompress(struct polarys_slice payload,
                                                   struct table_block *block,
                                                   struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
