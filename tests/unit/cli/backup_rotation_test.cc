/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotation by a table of dates: what stays, what is due, and that a clock that jumps loses nothing.
 */
#include "client/cli/backup_rotation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "client/cli/parse.h"

namespace {

uint64_t Time(const std::string &text)
{
    uint64_t ms = 0;
    EXPECT_TRUE(parse_time_ms((text + "Z").c_str(), &ms)) << text;
    return ms;
}

/* One a time, with versions in this order. */
std::vector<rotation_backup> Backups(const std::vector<std::string> &times)
{
    std::vector<rotation_backup> list;
    uint64_t version = 100;
    for (const std::string &time : times) {
        list.push_back({Time(time), version, version - 100, false});
        version++;
    }
    return list;
}

/* Which stay, by their places: 'k' kept, '-' not. */
std::string Kept(std::vector<rotation_backup> list, rotation_policy policy)
{
    rotation_mark(list.data(), list.size(), &policy);
    std::string kept;
    for (const rotation_backup &backup : list) {
        kept += backup.is_kept ? 'k' : '-';
    }
    return kept;
}

struct Row {
    const char *name;
    std::vector<std::string> times;
    rotation_policy policy; /* last, hourly, daily, weekly, monthly */
    const char *kept;
};

const Row rows[] = {
    {"none", {}, {{3, 0, 0, 0, 0}}, ""},
    {"fewer than are kept",
     {"2026-03-01T00:00:00", "2026-03-02T00:00:00"},
     {{3, 0, 0, 0, 0}},
     "kk"},
    {"the last two",
     {"2026-03-01T00:00:00", "2026-03-02T00:00:00", "2026-03-03T00:00:00"},
     {{2, 0, 0, 0, 0}},
     "-kk"},
    {"the newest of each day",
     {"2026-03-01T01:00:00", "2026-03-01T23:59:59", "2026-03-02T00:00:00", "2026-03-02T12:00:00",
      "2026-03-03T08:00:00"},
     {{0, 0, 2, 0, 0}},
     "---kk"},
    {"days without a backup are not counted",
     {"2026-02-01T01:00:00", "2026-02-10T01:00:00", "2026-03-03T08:00:00"},
     {{0, 0, 3, 0, 0}},
     "kkk"},
    {"a week ends on Sunday",
     {"2026-03-01T12:00:00" /* Sunday */, "2026-03-02T12:00:00" /* Monday */,
      "2026-03-08T23:00:00" /* Sunday */, "2026-03-09T00:00:00" /* Monday */},
     {{0, 0, 0, 3, 0}},
     "k-kk"},
    {"the turn of a year is no end of a week",
     {"2025-12-31T12:00:00", "2026-01-01T12:00:00", "2026-01-05T00:00:00"},
     {{0, 0, 0, 9, 0}},
     "-kk"},
    {"the newest of each hour",
     {"2026-03-01T10:00:00", "2026-03-01T10:59:59", "2026-03-01T11:00:00", "2026-03-01T14:30:00"},
     {{0, 2, 0, 0, 0}},
     "--kk"},
    {"hours without a backup are not counted",
     {"2026-03-01T10:00:00", "2026-03-01T10:59:59", "2026-03-01T11:00:00", "2026-03-01T14:30:00"},
     {{0, 3, 0, 0, 0}},
     "-kkk"},
    {"the newest of each month",
     {"2025-12-01T00:00:00", "2025-12-31T23:59:59", "2026-01-01T00:00:00", "2026-02-28T12:00:00",
      "2026-03-01T00:00:00"},
     {{0, 0, 0, 0, 3}},
     "--kkk"},
    {"months of two years are not the same",
     {"2025-03-10T00:00:00", "2026-03-10T00:00:00"},
     {{0, 0, 0, 0, 2}},
     "kk"},
    {"a leap day is a day",
     {"2028-02-28T12:00:00", "2028-02-29T12:00:00", "2028-03-01T12:00:00"},
     {{0, 0, 3, 0, 0}},
     "kkk"},
    {"the hour that summer time leaves out is an hour like others",
     {"2026-03-29T00:30:00", "2026-03-29T01:30:00", "2026-03-29T02:30:00"},
     {{0, 0, 1, 0, 0}},
     "--k"},
    {"kinds add up",
     {"2026-02-20T12:00:00", "2026-02-27T12:00:00", "2026-03-05T12:00:00", "2026-03-06T09:00:00",
      "2026-03-06T10:00:00", "2026-03-06T11:00:00"},
     {{2, 0, 2, 3, 0}},
     "kkk-kk"},
    {"with nothing to be kept the newest stays",
     {"2026-03-01T00:00:00", "2026-03-02T00:00:00"},
     {{0, 0, 0, 0, 0}},
     "-k"},
    {"a clock that was put back: the newest is that of the highest version",
     {"2026-03-10T00:00:00", "2026-03-11T00:00:00", "2026-03-01T00:00:00"},
     {{1, 0, 0, 0, 0}},
     "--k"},
    {"a clock that was put back: each day keeps the one with the highest version",
     {"2026-03-10T08:00:00", "2026-03-11T08:00:00", "2026-03-10T07:00:00"},
     {{0, 0, 2, 0, 0}},
     "-kk"},
};

TEST(BackupRotation, KeepsWhatTheTableSays)
{
    for (const Row &row : rows) {
        EXPECT_EQ(Kept(Backups(row.times), row.policy), row.kept) << row.name;
    }
}

TEST(BackupRotation, NeverLetsGoOfTheNewest)
{
    for (uint32_t last = 0; last < 3; last++) {
        for (uint32_t daily = 0; daily < 3; daily++) {
            std::vector<rotation_backup> list =
                Backups({"2026-03-04T00:00:00", "2026-03-01T00:00:00", "2026-03-09T00:00:00",
                         "2026-01-01T00:00:00"});
            rotation_policy policy = {{last, 0, daily, 0, 0}};
            rotation_mark(list.data(), list.size(), &policy);
            EXPECT_EQ(list.back().version, 103U);
            EXPECT_TRUE(list.back().is_kept);
        }
    }
}

TEST(BackupRotation, OrdersBackupsOfOneVersionByTime)
{
    std::vector<rotation_backup> list = {
        {300, 7, 0, false}, {100, 7, 1, false}, {200, 7, 2, false}};
    rotation_policy policy = {{1, 0, 0, 0, 0}};
    rotation_mark(list.data(), list.size(), &policy);
    EXPECT_EQ(list[2].created_ms, 300U);
    EXPECT_EQ(list[2].index, 0U);
    EXPECT_FALSE(list[1].is_kept);
}

TEST(BackupRotation, TakesAnyTimeThatAListMaySay)
{
    std::vector<rotation_backup> list = {{UINT64_MAX, 1, 0, false}, {0, 2, 1, false}};
    rotation_policy policy = {{0, 1, 1, 1, 2}};
    rotation_mark(list.data(), list.size(), &policy);
    EXPECT_TRUE(list[0].is_kept && list[1].is_kept);
}

TEST(BackupRotation, KeepsAllWhereNoKindSaysHowMany)
{
    rotation_policy policy = {};
    EXPECT_TRUE(rotation_keeps_all(&policy));
    policy.keep[ROTATION_MONTHLY] = 1;
    EXPECT_FALSE(rotation_keeps_all(&policy));
}

struct Due {
    const char *name;
    const char *last; /* "": none */
    const char *now;
    const char *due;
};

const Due dues[] = {
    {"the first one at once", "", "2026-03-01T10:00:00", "2026-03-01T10:00:00"},
    {"an hour later", "2026-03-01T10:00:00", "2026-03-01T10:20:00", "2026-03-01T11:00:00"},
    {"one that was missed is due since", "2026-03-01T10:00:00", "2026-03-01T15:00:00",
     "2026-03-01T11:00:00"},
    {"a clock that was put back by a day delays by no more than a period", "2026-03-02T10:00:00",
     "2026-03-01T10:00:00", "2026-03-01T11:00:00"},
};

TEST(BackupRotation, IsDueWhenTheTableSays)
{
    for (const Due &row : dues) {
        uint64_t last = row.last[0] == '\0' ? 0 : Time(row.last);
        EXPECT_EQ(rotation_due(3600000, last, Time(row.now)), Time(row.due)) << row.name;
    }
}

TEST(BackupRotation, BeginsAChainAnewAfterSoMany)
{
    EXPECT_TRUE(rotation_wants_full(0, false, 0));
    EXPECT_FALSE(rotation_wants_full(1000, true, 0));
    EXPECT_TRUE(rotation_wants_full(0, true, 1));
    EXPECT_FALSE(rotation_wants_full(0, true, 3));
    EXPECT_FALSE(rotation_wants_full(1, true, 3));
    EXPECT_TRUE(rotation_wants_full(2, true, 3));
}

} // namespace
