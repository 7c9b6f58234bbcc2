/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random bytes behind a vtable: getrandom(2) in the product, a seed in tests. Keys, salts and ids come
 * from here and from nowhere else.
 */
#ifndef ENGINE_BASE_RANDOM_H
#define ENGINE_BASE_RANDOM_H

#include <stddef.h>

#include "engine/base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct random_source {
    /* Fills `size` bytes. Any thread. Errors: IO. */
    enum polarys_code (*fill)(struct random_source *source, void *bytes, size_t size,
                              struct polarys_error *err);
};

/* getrandom(2). Static storage. */
struct random_source *random_system(void);

static inline NODISCARD enum polarys_code random_fill(struct random_source *source, void *bytes,
                                                      size_t size, struct polarys_error *err)
{
    return source->fill(source, bytes, size, err);
}

#ifdef __cplusplus
}
#endif

#endif
