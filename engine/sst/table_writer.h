/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file under a table builder: header, blocks one after the other, footer. Compresses, seals and
 * writes in large pieces. For the files of this module.
 */
#ifndef ENGINE_SST_TABLE_WRITER_H
#define ENGINE_SST_TABLE_WRITER_H

#include "engine/sst/table.h"
#include "engine/sst/table_format.h"

#ifdef __cplusplus
extern "C" {
#endif

struct table_writer;

/* Creates the file, which must not exist, and begins it with its header. Errors: IO, DISK_LOW, NO_MEMORY,
 * CORRUPT (keyring). */
NODISCARD enum polarys_code table_writer_create(const struct table_env *env, uint64_t file_id,
                                                int zstd_level, struct table_writer **out,
                                                struct polarys_error *err);
/* Removes the file unless it was finished. Accepts NULL. */
void table_writer_destroy(struct table_writer *writer);

/* Appends a block and fills `handle`. Filters are not compressed. Errors: IO, DISK_LOW, NO_MEMORY,
 * TOO_LARGE. */
NODISCARD enum polarys_code table_writer_block(struct table_writer *writer,
                                               enum table_block_kind kind,
                                               struct polarys_slice payload,
                                               struct table_handle *handle,
                                               struct polarys_error *err);
/* Appends the footer, syncs and closes the file. Errors: IO, DISK_LOW, NO_MEMORY. */
NODISCARD enum polarys_code table_writer_finish(struct table_writer *writer,
                                                const struct table_footer *footer,
                                                uint8_t tag[AEAD_TAG_SIZE],
                                                struct polarys_error *err);
/* Bytes of the file so far. */
uint64_t table_writer_bytes(const struct table_writer *writer);
uint32_t table_writer_key_id(const struct table_writer *writer);

#ifdef __cplusplus
}
#endif

#endif
