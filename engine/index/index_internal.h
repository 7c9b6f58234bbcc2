/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the files of index/: parts of keys, and the errors they share.
 */
#ifndef ENGINE_INDEX_INDEX_INTERNAL_H
#define ENGINE_INDEX_INDEX_INTERNAL_H

#include "engine/document/document.h"
#include "engine/index/index.h"

/* What a marker has instead of encoded fields, all of which begin with less. */
enum { INDEX_MARKER = 0xff };

/* What stands in a hash index instead of the encoded fields. `hash` may lie in `fields`. */
void index_fields_hash(struct polarys_slice fields, uint8_t hash[INDEX_HASH_SIZE]);

/*
 * Appends the document key to the tree key that begins at `from` in `bytes`: whole where that fits a tree key,
 * else cut, with its hash behind, and *value is the whole one. REQUIRES: room for key and hash, at least
 * INDEX_HASH_SIZE bytes of which fit.
 */
void index_key_append(struct buffer *bytes, size_t from, struct polarys_slice document_key,
                      struct polarys_slice *value);

/* Room for `count` entries in all. Errors: NO_MEMORY without a message. */
enum polarys_code index_entries_reserve(struct index_entries *entries, size_t count);

/* As index_entries_make, for a text index. REQUIRES: `entries` is empty. */
enum polarys_code index_text_entries_make(const struct index_definition *index,
                                          struct polarys_slice document_key,
                                          const struct stored_value *document,
                                          struct index_entries *entries, struct polarys_error *err);

enum polarys_code index_fail_too_large(const struct index_definition *index, const char *what,
                                       size_t limit, size_t size, struct polarys_error *err);

#endif
