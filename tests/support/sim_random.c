/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the simulated world's random numbers: SplitMix64 (Steele, Lea and Flood, 2014), which any
 * seed starts well.
 */
#include "tests/support/sim_random.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"

static enum polarys_code sim_fill(struct random_source *source, void *bytes, size_t size,
                                  struct polarys_error *err)
{
    struct sim_random *random = (struct sim_random *)source;
    if (random->fail_at > 0 && --random->fail_at == 0) {
        return polarys_fail(err, POLARYS_IO, "simulated failure of the random source");
    }
    uint8_t *at = (uint8_t *)bytes;
    while (size > 0) {
        uint64_t word = sim_random_next(random);
        size_t part = size < sizeof(word) ? size : sizeof(word);
        memcpy(at, &word, part);
        at += part;
        size -= part;
    }
    return POLARYS_OK;
}

void sim_random_init(struct sim_random *random, uint64_t seed)
{
    random->base.fill = sim_fill;
    random->state = seed;
    random->fail_at = 0;
}

uint64_t sim_random_next(struct sim_random *random)
{
    uint64_t mixed = random->state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

uint64_t sim_random_below(struct sim_random *random, uint64_t bound)
{
    POLARYS_ASSERT(bound > 0);
    return sim_random_next(random) % bound;
}

bool sim_random_chance(struct sim_random *random, uint64_t one_in)
{
    return sim_random_below(random, one_in) == 0;
}

uint64_t sim_seed(uint64_t fallback)
{
    const char *text = getenv("POLARYS_SEED");
    char *end = NULL;
    uint64_t seed = text == NULL ? 0 : strtoull(text, &end, 0);
    return text == NULL || *text == '\0' || *end != '\0' ? fallback : seed;
}
