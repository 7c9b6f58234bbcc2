/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the choice of implementations behind the two checksums: ISA-L for CRC32C, libxxhash for
 * XXH3. Both results are part of file formats and never change.
 */
#include "engine/base/checksum.h"

#include <isa-l/crc.h>
#include <limits.h>
#include <xxhash.h>

#include "engine/base/assert.h"

uint32_t checksum_crc32c(uint32_t crc, const void *data, size_t size)
{
    POLARYS_ASSERT(data != NULL || size == 0);
    const uint8_t *at = (const uint8_t *)data;
    /* crc32_iscsi keeps the bare register: the inversion before and after is the caller's, and
     * it takes a length of type int. It does not write through its pointer. */
    uint32_t state = ~crc;
    while (size > 0) {
        int part = size > INT_MAX ? INT_MAX : (int)size;
        state = crc32_iscsi((unsigned char *)(uintptr_t)at, part, state);
        at += part;
        size -= (size_t)part;
    }
    return ~state;
}

uint64_t checksum_hash64(struct polarys_slice bytes)
{
    return XXH3_64bits(bytes.data, bytes.size);
}
