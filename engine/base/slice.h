/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A borrowed run of bytes. A slice owns nothing; whoever hands one out says how long it lives.
 */
#ifndef ENGINE_BASE_SLICE_H
#define ENGINE_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* data may be NULL when size is 0. size in bytes. */
struct polarys_slice {
    const uint8_t *data;
    size_t size;
};

static inline struct polarys_slice slice_make(const void *data, size_t size)
{
    struct polarys_slice slice = {(const uint8_t *)data, size};
    return slice;
}

static inline struct polarys_slice slice_from_text(const char *text)
{
    return slice_make(text, strlen(text));
}

/* Byte order, a prefix sorts first; negative, zero or positive as memcmp. */
static inline int slice_compare(struct polarys_slice a, struct polarys_slice b)
{
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared == 0 ? 0 : memcmp(a.data, b.data, shared);
    if (order != 0) {
        return order;
    }
    return (a.size > b.size) - (a.size < b.size);
}

static inline bool slice_equal(struct polarys_slice a, struct polarys_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool slice_starts_with(struct polarys_slice whole, struct polarys_slice prefix)
{
    return whole.size >= prefix.size &&
           (prefix.size == 0 || memcmp(whole.data, prefix.data, prefix.size) == 0);
}

#ifdef __cplusplus
}
#endif

#endif
