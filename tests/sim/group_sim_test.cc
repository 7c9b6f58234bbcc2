/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A group lives through faults that a seed chooses, and what was promised holds.
 *
 * POLARYS_SIM_SEED=N runs one seed and tells its story. POLARYS_SIM_SEEDS=N runs so many, from POLARYS_SIM_FROM (1) on.
 */
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/base/log.h"
#include "tests/sim/node.h"
#include "tests/sim/oracle.h"

namespace group_sim {
namespace {

uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == nullptr || text[0] == '\0' ? otherwise : std::strtoull(text, nullptr, 10);
}

struct outcome {
    uint64_t seeds = 0;
    std::map<uint64_t, std::string> violations;
    counts figures;
};

void run_one(uint64_t seed, plant planted, outcome &all, bool is_traced)
{
    world group(seed, planted, all.figures, is_traced);
    group.run();
    all.seeds++;
    if (!group.violation.empty()) {
        all.violations[seed] = group.violation;
    }
}

class GroupSimulation : public ::testing::Test {
  protected:
    void SetUp() override
    {
        before_ = polarys_log_level_get();
        one_ = number_from("POLARYS_SIM_SEED", 0);
        from_ = number_from("POLARYS_SIM_FROM", 1);
        polarys_log_level_set(one_ != 0 ? POLARYS_LOG_WARN : POLARYS_LOG_OFF);
    }
    void TearDown() override
    {
        polarys_log_level_set(before_);
    }
    /* All of them when their number is given; else as many as it takes to see a planted bug. */
    void Run(plant planted, uint64_t seeds, outcome &all)
    {
        uint64_t wanted = number_from("POLARYS_SIM_SEEDS", 0);
        seeds = wanted != 0 ? wanted : seeds;
        if (one_ != 0) {
            run_one(one_, planted, all, true);
            return;
        }
        bool is_enough = false;
        for (uint64_t i = 0; i < seeds && !is_enough; i++) {
            run_one(from_ + i, planted, all, false);
            is_enough = wanted == 0 && planted != plant::none && !all.violations.empty();
        }
    }

    polarys_log_level before_ = POLARYS_LOG_OFF;
    uint64_t one_ = 0;
    uint64_t from_ = 1;
};

TEST_F(GroupSimulation, KeepsItsPromisesThroughEveryFault)
{
    const uint64_t few = getenv("POLARYS_TEST_LONG") != nullptr ? 100000 : 300;
    outcome all;
    Run(plant::none, few, all);
    printf("seeds: %llu, with a violation: %zu\n", (unsigned long long)all.seeds,
           all.violations.size());
    for (const auto &figure : all.figures.of) {
        printf("  %s: %llu\n", figure.first.c_str(), (unsigned long long)figure.second);
    }
    int told = 0;
    for (const auto &violation : all.violations) {
        if (++told <= 50) {
            printf("seed %llu: %s\n", (unsigned long long)violation.first,
                   violation.second.c_str());
        }
    }
    EXPECT_TRUE(all.violations.empty()) << "run one with POLARYS_SIM_SEED=N";
}

/* A bug in the protocol that is planted here has to be seen, each by some seed. */
TEST_F(GroupSimulation, SeesEachBugThatIsPlanted)
{
    const std::vector<std::pair<plant, const char *>> bugs = {
        {plant::ack_before_sync, "an acknowledgement before the sync"},
        {plant::skipped_term_check, "a skipped term check"},
        {plant::dropped_frame, "a dropped frame"},
        {plant::no_seal, "a promotion without sealing"},
        {plant::no_catch_up, "a promotion without catching up"},
        {plant::counted_archive, "an archive that counts"},
        {plant::torn_commit, "a part of a commit"},
    };
    for (const auto &bug : bugs) {
        outcome all;
        Run(bug.first, 400, all);
        printf("%s: seen by %zu of %llu seeds", bug.second, all.violations.size(),
               (unsigned long long)all.seeds);
        if (!all.violations.empty()) {
            printf(", first by %llu: %s", (unsigned long long)all.violations.begin()->first,
                   all.violations.begin()->second.c_str());
        }
        printf("\n");
        EXPECT_TRUE(one_ != 0 || !all.violations.empty()) << bug.second;
    }
}

} // namespace
} // namespace group_sim
