/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bloom filter of one partition: which tree keys are surely not in it. For the files of this module.
 *
 * A filter is a row of 64-byte lines. A key's hash picks one line and FILTER_PROBES bits in it, so a probe
 * touches one cache line (Putze, Sanders and Singler, "Cache-, hash- and space-efficient Bloom filters",
 * 2007). After the lines come their number and the number of probes.
 */
#ifndef ENGINE_SST_FILTER_H
#define ENGINE_SST_FILTER_H

#include "engine/base/coding.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    FILTER_LINE_SIZE = 64,
    FILTER_TRAILER_SIZE = 8,
    FILTER_PROBES = 6,
    FILTER_PROBES_MAX = 32,
};

/* Makes the filter of `count` hashes (checksum_hash64 of tree keys) in `payload` (cleared before), with
 * `bits_per_key` bits each. Errors: NO_MEMORY. */
NODISCARD enum polarys_code filter_build(const uint64_t *hashes, size_t count,
                                         unsigned bits_per_key, struct buffer *payload);

enum filter_result {
    FILTER_ABSENT,
    FILTER_MAYBE,
    FILTER_BAD, /* the bytes are no filter */
};

enum filter_result filter_probe(struct polarys_slice payload, uint64_t hash);

#ifdef __cplusplus
}
#endif

#endif
