/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC32C (Castagnoli, RFC 3720 appendix B.4) over stored bytes, and a 64-bit hash (XXH3) for filters and
 * in-memory tables. Neither is a defence against an attacker: sealed data is authenticated by AES-GCM.
 */
#ifndef ENGINE_BASE_CHECKSUM_H
#define ENGINE_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/slice.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The CRC32C of `size` bytes that follow bytes whose CRC32C is `crc` (0 for none). */
uint32_t checksum_crc32c(uint32_t crc, const void *data, size_t size);

/* XXH3 of the bytes with seed 0; stable across versions and machines: filters on disk depend on it. */
uint64_t checksum_hash64(struct polarys_slice bytes);

#ifdef __cplusplus
}
#endif

#endif
