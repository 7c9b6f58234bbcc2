/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers that a seed decides, for everything in the simulated world. Not for secrets.
 */
#ifndef TESTS_SUPPORT_SIM_RANDOM_H
#define TESTS_SUPPORT_SIM_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/random.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Embedded by its owner; one thread at a time. */
struct sim_random {
    struct random_source base; /* give &random->base to the engine */
    uint64_t state;
    uint64_t fail_at; /* 1: the next fill fails with IO; 0: none does */
};

void sim_random_init(struct sim_random *random, uint64_t seed);

uint64_t sim_random_next(struct sim_random *random);

/* A number of 0..bound-1. REQUIRES: bound > 0. */
uint64_t sim_random_below(struct sim_random *random, uint64_t bound);

/* True once in `one_in` times. */
bool sim_random_chance(struct sim_random *random, uint64_t one_in);

/* The seed of this run: the environment's POLARYS_SEED when it is a number, else `fallback`. */
uint64_t sim_seed(uint64_t fallback);

#ifdef __cplusplus
}
#endif

#endif
