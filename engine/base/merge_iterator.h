/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A merge of entry iterators into one, in entry order, both ways.
 */
#ifndef ENGINE_BASE_MERGE_ITERATOR_H
#define ENGINE_BASE_MERGE_ITERATOR_H

#include "engine/base/entry_iterator.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MERGE_ITERATOR_CHILDREN_MAX = 4096 };

/*
 * Takes over the `count` children (also on failure); the array itself stays the caller's. Where two
 * children hold the same (key, version) the earlier child's entry comes first and both are delivered.
 * The merge stops with a child's error as soon as that child has one. Errors: NO_MEMORY.
 */
NODISCARD enum polarys_code merge_iterator_create(struct entry_iterator **take_children,
                                                  size_t count, struct entry_iterator **out,
                                                  struct polarys_error *err);

#ifdef __cplusplus
}
#endif

#endif
