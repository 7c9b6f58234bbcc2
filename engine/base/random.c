/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the product's source of random bytes: getrandom(2), which waits once for the kernel's
 * pool to be seeded and never gives predictable bytes.
 */
#include "engine/base/random.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

#include "engine/base/assert.h"

static enum polarys_code system_fill(struct random_source *source, void *bytes, size_t size,
                                     struct polarys_error *err)
{
    (void)source;
    POLARYS_ASSERT(bytes != NULL || size == 0);
    uint8_t *at = (uint8_t *)bytes;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return polarys_fail(err, POLARYS_IO, "getrandom failed (errno %d)", errno);
        }
        at += got;
        size -= (size_t)got;
    }
    return POLARYS_OK;
}

struct random_source *random_system(void)
{
    static struct random_source system = {system_fill};
    return &system;
}
