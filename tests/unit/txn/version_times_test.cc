/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/txn/version_times.h"

#include <gtest/gtest.h>

namespace {

class VersionTimes : public ::testing::Test {
  protected:
    struct version_times times;
    struct version_sample sample = {};

    void SetUp() override
    {
        ASSERT_TRUE(version_times_init(&times));
    }
    void TearDown() override
    {
        version_times_deinit(&times);
    }

    uint64_t time_at(uint64_t version)
    {
        return version_times_at_version(&times, version, &sample) ? sample.time_unix_ms : 0;
    }

    uint64_t version_at(uint64_t time_ms)
    {
        return version_times_at_time(&times, time_ms, &sample) ? sample.version : 0;
    }
};

} // namespace

TEST_F(VersionTimes, KnowsNothingAtFirst)
{
    EXPECT_EQ(time_at(UINT64_MAX), 0u);
    EXPECT_EQ(version_at(UINT64_MAX), 0u);
    EXPECT_FALSE(version_times_within_bytes(&times, 0, &sample));
}

TEST_F(VersionTimes, KeepsOneSampleAStep)
{
    for (uint64_t i = 0; i < 1000; i++) {
        version_times_add(&times, 1 + i, 5000 + i, 10, 100);
    }
    EXPECT_EQ(times.count, 10u);
    EXPECT_EQ(time_at(1), 5000u);
    EXPECT_EQ(time_at(150), 5100u);  /* the sample before it */
    EXPECT_EQ(time_at(1000), 5900u); /* also of the newest: a version keeps its time */
    EXPECT_EQ(time_at(0), 0u);
    EXPECT_EQ(version_at(5000), 1u);
    EXPECT_EQ(version_at(4999), 0u);
    EXPECT_EQ(version_at(5250), 201u);
    EXPECT_EQ(version_at(5998), 901u);
    EXPECT_EQ(version_at(5999), 1000u);
}

TEST_F(VersionTimes, IgnoresWhatDoesNotAscend)
{
    version_times_add(&times, 10, 1000, 5, 1);
    version_times_add(&times, 10, 2000, 5, 1);
    version_times_add(&times, 11, 999, 5, 1);
    EXPECT_EQ(times.count, 1u);
    EXPECT_EQ(times.newest.version, 10u);
    EXPECT_EQ(times.newest.bytes, 5u);
}

TEST_F(VersionTimes, FindsTheOldestSampleWithinSoManyBytes)
{
    for (uint64_t i = 1; i <= 10; i++) {
        version_times_add(&times, i, i * 100, 10, 100);
    }
    ASSERT_TRUE(version_times_within_bytes(&times, 35, &sample));
    EXPECT_EQ(sample.version, 7u); /* 8, 9 and 10 come after it: 30 bytes */
    ASSERT_TRUE(version_times_within_bytes(&times, 30, &sample));
    EXPECT_EQ(sample.version, 7u);
    ASSERT_TRUE(version_times_within_bytes(&times, 0, &sample));
    EXPECT_EQ(sample.version, 10u);
    ASSERT_TRUE(version_times_within_bytes(&times, 1000, &sample));
    EXPECT_EQ(sample.version, 1u);
}

TEST_F(VersionTimes, CountsBytesBetweenSamplesAgainstTheNewest)
{
    version_times_add(&times, 1, 100, 10, 100);
    version_times_add(&times, 2, 101, 500, 100); /* no sample of its own */
    ASSERT_TRUE(version_times_within_bytes(&times, 100, &sample));
    EXPECT_EQ(sample.version, 2u);
}

TEST_F(VersionTimes, ThinsTheOlderHalfWhenFull)
{
    uint64_t count = 5 * (uint64_t)VERSION_TIMES_MAX;
    for (uint64_t i = 1; i <= count; i++) {
        version_times_add(&times, i, i * 100, 1, 100);
        ASSERT_LE(times.count, (size_t)VERSION_TIMES_MAX);
    }
    EXPECT_EQ(time_at(1), 100u);
    for (size_t i = 1; i < times.count; i++) {
        ASSERT_GT(times.samples[i].version, times.samples[i - 1].version);
    }
    /* Recent times stay exact. */
    for (uint64_t version = count - VERSION_TIMES_MAX / 4; version <= count; version++) {
        ASSERT_EQ(time_at(version), version * 100);
    }
}
