/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building and probing filters. The upper half of the hash picks the line, the lower half the bits: each
 * probe takes the top 9 bits of it, then multiplies it on.
 */
#include "engine/sst/filter.h"

#include "engine/base/assert.h"

enum {
    LINE_BITS_LOG2 = 9, /* bits of a line */
    LINES_MAX = 1 << 21,
};

/* 2^32 divided by the golden ratio, odd. */
static const uint32_t probe_multiplier = UINT32_C(0x9e3779b9);

static size_t line_of(uint64_t hash, uint32_t line_count)
{
    return (size_t)((hash >> 32) * line_count >> 32) * FILTER_LINE_SIZE;
}

enum polarys_code filter_build(const uint64_t *hashes, size_t count, unsigned bits_per_key,
                               struct buffer *payload)
{
    size_t line_count = (count * bits_per_key + FILTER_LINE_SIZE * 8 - 1) / (FILTER_LINE_SIZE * 8);
    line_count = line_count == 0 ? 1 : line_count;
    /* A partition with more keys than that only gets more false positives. */
    line_count = line_count > LINES_MAX ? LINES_MAX : line_count;
    buffer_clear(payload);
    enum polarys_code code =
        buffer_append_zeros(payload, line_count * FILTER_LINE_SIZE + FILTER_TRAILER_SIZE);
    if (code != POLARYS_OK) {
        return code;
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t *line = payload->data + line_of(hashes[i], (uint32_t)line_count);
        uint32_t bits = (uint32_t)hashes[i];
        for (unsigned probe = 0; probe < FILTER_PROBES; probe++) {
            bits *= probe_multiplier;
            uint32_t bit = bits >> (32 - LINE_BITS_LOG2);
            line[bit / 8] |= (uint8_t)(1u << bit % 8);
        }
    }
    uint8_t *trailer = payload->data + line_count * FILTER_LINE_SIZE;
    put_u32_le(trailer, (uint32_t)line_count);
    put_u32_le(trailer + 4, FILTER_PROBES);
    return POLARYS_OK;
}

enum filter_result filter_probe(struct polarys_slice payload, uint64_t hash)
{
    if (payload.size < FILTER_TRAILER_SIZE) {
        return FILTER_BAD;
    }
    const uint8_t *trailer = payload.data + payload.size - FILTER_TRAILER_SIZE;
    uint32_t line_count = get_u32_le(trailer);
    uint32_t probes = get_u32_le(trailer + 4);
    if (line_count == 0 || line_count > LINES_MAX || probes > FILTER_PROBES_MAX ||
        payload.size != (size_t)line_count * FILTER_LINE_SIZE + FILTER_TRAILER_SIZE) {
        return FILTER_BAD;
    }
    const uint8_t *line = payload.data + line_of(hash, line_count);
    uint32_t bits = (uint32_t)hash;
    for (uint32_t probe = 0; probe < probes; probe++) {
        bits *= probe_multiplier;
        uint32_t bit = bits >> (32 - LINE_BITS_LOG2);
        if ((line[bit / 8] & 1u << bit % 8) == 0) {
            return FILTER_ABSENT;
        }
    }
    return FILTER_MAYBE;
}
