// SPDX-License-Identifier: Apache-2.0
// A schedule over days and months of a clock that is none: what is taken when, what stays, and what trouble does to it.
#include "client/cli/backup_schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "tests/unit/cli/place_fixture.h"

#include "client/cli/parse.h"

namespace {

constexpr uint64_t kSecond = 1000;
constexpr uint64_t kMinute = 60 * kSecond;
constexpr uint64_t kHour = 60 * kMinute;
constexpr uint64_t kDay = 24 * kHour;

uint64_t Time(const std::string &text)
{
    uint64_t ms = 0;
    EXPECT_TRUE(parse_time_ms((text + "Z").c_str(), &ms)) << text;
    return ms;
}

std::string Base(const char *path)
{
    return path == nullptr ? "" : std::filesystem::path(path).filename().string();
}

/* A backup that was asked for. */
struct Taken {
    uint64_t unix_ms;
    std::string name;
    std::string base;
    bool is_done;
};

class BackupSchedule : public PlaceTest {
  protected:
    void SetUp() override
    {
        PlaceTest::SetUp();
        unix_ms_ = Time("2026-03-01T00:00:00");
        order_.dir = Dir();
        order_.every_ms = kHour;
        order_.stop = &stop_;
        driver_.unix_ms = [](void *context) { return Self(context)->unix_ms_; };
        driver_.steady_ms = [](void *context) { return Self(context)->steady_ms_; };
        driver_.pause = [](void *context, uint64_t ms) { Self(context)->Pass(ms); };
        driver_.take = [](void *context, const backup_order *order, backup_outcome *outcome) {
            return Self(context)->Take(order, outcome);
        };
        driver_.report = [](void *context, const schedule_report *report) {
            Self(context)->reports_.push_back(*report);
            return Self(context)->report_status_;
        };
        driver_.context = this;
    }
    static BackupSchedule *Self(void *context)
    {
        return static_cast<BackupSchedule *>(context);
    }
    void Pass(uint64_t ms)
    {
        unix_ms_ += ms;
        steady_ms_ += ms;
        stop_ = steady_ms_ >= end_ms_;
    }
    enum cli_status Take(const backup_order *order, backup_outcome *outcome)
    {
        bool is_done = !fails_ || !fails_();
        taken_.push_back({unix_ms_, Base(order->dir), Base(order->base_dir), is_done});
        if (order->base_dir != nullptr) {
            EXPECT_TRUE(std::filesystem::exists(std::string(order->base_dir) + "/backup.jsonl"));
        }
        if (!is_done) {
            std::filesystem::create_directories(std::string(order->dir) + "/data");
            return cli_fail(&cli_, "UNAVAILABLE", "nobody answers");
        }
        uint64_t increments = order->base_dir == nullptr ? 0 : increments_ + 1;
        increments_ = increments;
        version_ += 10;
        Whole(Base(order->dir), version_, unix_ms_, store_, increments);
        outcome->version = version_;
        outcome->file_count = 2;
        Pass(take_ms_);
        return CLI_DONE;
    }
    enum cli_status Run(uint64_t for_ms)
    {
        end_ms_ = steady_ms_ + for_ms;
        stop_ = 0;
        return schedule_run(&cli_, &order_, &driver_);
    }

    schedule_order order_ = {};
    schedule_driver driver_ = {};
    volatile sig_atomic_t stop_ = 0;
    uint64_t unix_ms_ = 0;
    uint64_t steady_ms_ = 5000;
    uint64_t end_ms_ = 0;
    uint64_t take_ms_ = 90 * kSecond;
    uint64_t version_ = 100;
    uint64_t increments_ = 0;
    uint8_t store_ = 1;
    std::function<bool()> fails_;
    enum cli_status report_status_ = CLI_DONE;
    std::vector<Taken> taken_;
    std::vector<schedule_report> reports_;
};

TEST_F(BackupSchedule, TakesOneEveryPeriodFromBeginningToBeginning)
{
    ASSERT_EQ(Run(3 * kHour + kMinute), CLI_DONE) << Said();
    ASSERT_EQ(taken_.size(), 4u);
    for (size_t i = 0; i < taken_.size(); i++) {
        EXPECT_EQ(taken_[i].unix_ms, Time("2026-03-01T00:00:00") + i * kHour);
    }
    EXPECT_EQ(Names(), (std::vector<std::string>{"20260301T000000Z", "20260301T010000Z",
                                                 "20260301T020000Z", "20260301T030000Z"}));
    EXPECT_EQ(taken_[0].base, "");
    EXPECT_EQ(taken_[3].base, "20260301T020000Z") << "not from the newest one";
}

TEST_F(BackupSchedule, KeepsExactlyWhatTheRotationSaysOverMonths)
{
    order_.every_ms = 12 * kHour;
    order_.policy = {{3, 0, 4, 3, 3}};
    ASSERT_EQ(Run(100 * kDay), CLI_DONE) << Said();
    EXPECT_EQ(taken_.size(), 200u); /* the last one at 12:00 of the 8th of June, a Monday */
    EXPECT_EQ(Names(), (std::vector<std::string>{
                           "20260430T120000Z", /* April */
                           "20260531T120000Z", /* May, and the week up to Sunday the 31st */
                           "20260605T120000Z", "20260606T120000Z",
                           "20260607T120000Z", /* days; the 7th is a Sunday */
                           "20260608T000000Z", "20260608T120000Z"}));
}

TEST_F(BackupSchedule, GoesOnWhenItIsStartedAgainWhereItIsDue)
{
    ASSERT_EQ(Run(30 * kMinute), CLI_DONE);
    ASSERT_EQ(Run(kHour), CLI_DONE);
    ASSERT_EQ(taken_.size(), 2u);
    EXPECT_EQ(taken_[1].unix_ms, Time("2026-03-01T01:00:00"));
    unix_ms_ += 10 * kHour; /* it did not run meanwhile */
    uint64_t now_ms = unix_ms_;
    ASSERT_EQ(Run(kMinute), CLI_DONE);
    ASSERT_EQ(taken_.size(), 3u);
    EXPECT_EQ(taken_[2].unix_ms, now_ms);
}

TEST_F(BackupSchedule, IsNeitherHurriedNorHeldUpByAClockThatJumps)
{
    ASSERT_EQ(Run(10 * kMinute), CLI_DONE);
    unix_ms_ -= 3 * kDay; /* between two runs: at most a period */
    ASSERT_EQ(Run(kHour + kMinute), CLI_DONE);
    ASSERT_EQ(taken_.size(), 2u);
    unix_ms_ += 5 * kDay;
    order_.policy = {{1, 0, 0, 0, 0}};
    ASSERT_EQ(Run(kMinute), CLI_DONE);
    ASSERT_EQ(taken_.size(), 3u);
    unix_ms_ -= 9 * kDay;
    ASSERT_EQ(Run(2 * kHour), CLI_DONE);
    EXPECT_EQ(Names(), std::vector<std::string>{taken_.back().name})
        << "the newest is not the one that stays";
}

TEST_F(BackupSchedule, BacksOffFromAServerThatIsAwayAndSaysSo)
{
    fails_ = [] { return true; };
    ASSERT_EQ(Run(30 * kMinute), CLI_DONE);
    std::vector<uint64_t> pauses;
    for (size_t i = 1; i < taken_.size(); i++) {
        pauses.push_back((taken_[i].unix_ms - taken_[i - 1].unix_ms) / kSecond);
    }
    ASSERT_GE(pauses.size(), 11u);
    EXPECT_EQ((std::vector<uint64_t>(pauses.begin(), pauses.begin() + 11)),
              (std::vector<uint64_t>{1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300}));
    std::string said = Said();
    EXPECT_NE(said.find("UNAVAILABLE: nobody answers"), std::string::npos) << said;
    EXPECT_NE(said.find("the next try is in 300 s"), std::string::npos) << said;
    for (const Taken &each : taken_) {
        EXPECT_EQ(each.name, taken_[0].name) << "it is to be gone on with, not begun again";
    }
    ASSERT_FALSE(reports_.empty());
    EXPECT_FALSE(reports_.back().is_done || reports_.back().has_newest);
    EXPECT_EQ(reports_.back().attempt_unix_ms, taken_.back().unix_ms);
    fails_ = nullptr;
    ASSERT_EQ(Run(10 * kMinute), CLI_DONE);
    EXPECT_TRUE(reports_.back().is_done && reports_.back().has_newest);
    EXPECT_EQ(Names().size(), 1u);
}

TEST_F(BackupSchedule, RemovesNothingMoreWhileItFails)
{
    order_.policy = {{2, 0, 0, 0, 0}};
    ASSERT_EQ(Run(3 * kHour), CLI_DONE);
    std::vector<std::string> before = Names();
    ASSERT_EQ(before.size(), 2u);
    fails_ = [] { return true; };
    ASSERT_EQ(Run(kDay), CLI_DONE);
    std::vector<std::string> after = Names();
    ASSERT_EQ(after.size(), 3u) << "the two, and the unfinished one";
    EXPECT_EQ(before, (std::vector<std::string>(after.begin(), after.begin() + 2)));
    EXPECT_EQ(reports_.back().version, version_) << "the newest good one is told all the while";
    EXPECT_FALSE(reports_.back().is_done);
}

TEST_F(BackupSchedule, TriesSoonAgainAfterAFailureThoughThePeriodIsLong)
{
    order_.every_ms = 7 * kDay;
    int left = 2;
    fails_ = [&] { return left-- > 0; };
    ASSERT_EQ(Run(kHour), CLI_DONE);
    ASSERT_EQ(taken_.size(), 3u);
    EXPECT_TRUE(taken_[2].is_done);
    EXPECT_EQ(taken_[2].unix_ms - taken_[0].unix_ms, 3 * kSecond);
}

TEST_F(BackupSchedule, TellsTheServerEveryMinuteAndSaysOnceThatItDoesNotListen)
{
    ASSERT_EQ(Run(kHour), CLI_DONE);
    EXPECT_GE(reports_.size(), 58u);
    EXPECT_LE(reports_.size(), 62u);
    EXPECT_EQ(reports_.front().version, version_);
    EXPECT_GT(reports_.front().bytes, 0u);
    report_status_ = CLI_FAILED;
    Said();
    ASSERT_EQ(Run(30 * kMinute), CLI_DONE);
    std::string said = Said();
    size_t first = said.find("the server was not told");
    ASSERT_NE(first, std::string::npos) << said;
    EXPECT_EQ(said.find("the server was not told", first + 1), std::string::npos) << said;
    size_t count = reports_.size();
    driver_.report = nullptr;
    ASSERT_EQ(Run(2 * kHour), CLI_DONE);
    EXPECT_EQ(reports_.size(), count);
}

TEST_F(BackupSchedule, TellsAtOnceWhatItKnowsWhenItIsStartedAgain)
{
    ASSERT_EQ(Run(10 * kMinute), CLI_DONE);
    reports_.clear();
    ASSERT_EQ(Run(kSecond), CLI_DONE);
    ASSERT_EQ(reports_.size(), 1u);
    EXPECT_TRUE(reports_[0].is_done);
    EXPECT_EQ(reports_[0].version, version_);
}

TEST_F(BackupSchedule, TakesAFullOneEachSoManieth)
{
    order_.full_every = 3;
    ASSERT_EQ(Run(6 * kHour + kMinute), CLI_DONE);
    std::string kinds;
    for (const Taken &each : taken_) {
        kinds += each.base.empty() ? 'f' : 'i';
    }
    EXPECT_EQ(kinds, "fiifiif");
}

TEST_F(BackupSchedule, CountsToTheNextFullOneAlsoWhereRotationTookTheLast)
{
    order_.full_every = 4;
    order_.policy = {{1, 0, 0, 0, 0}};
    ASSERT_EQ(Run(8 * kHour + kMinute), CLI_DONE);
    std::string kinds;
    for (const Taken &each : taken_) {
        kinds += each.base.empty() ? 'f' : 'i';
    }
    EXPECT_EQ(kinds, "fiiifiiif");
}

TEST_F(BackupSchedule, EndsOnceWithTheStatusOfItsAttempt)
{
    order_.is_once = true;
    order_.policy = {{2, 0, 0, 0, 0}};
    for (int i = 0; i < 3; i++) {
        unix_ms_ += kHour;
        ASSERT_EQ(Run(UINT64_C(1) << 40), CLI_DONE) << Said();
    }
    EXPECT_EQ(taken_.size(), 3u);
    EXPECT_EQ(Names().size(), 2u);
    fails_ = [] { return true; };
    EXPECT_EQ(Run(UINT64_C(1) << 40), CLI_FAILED);
    EXPECT_EQ(taken_.size(), 4u);
    struct place_attempt attempt;
    place_attempt_read(Dir(), &attempt);
    EXPECT_TRUE(attempt.is_known && !attempt.is_done);
    EXPECT_STREQ(attempt.why, "UNAVAILABLE: nobody answers");
}

TEST_F(BackupSchedule, ForgetsAnAttemptThatItsOwnEndCutShort)
{
    ASSERT_EQ(Run(10 * kMinute), CLI_DONE);
    Said();
    reports_.clear();
    fails_ = [this] {
        stop_ = 1;
        return true;
    };
    ASSERT_EQ(Run(kDay), CLI_DONE);
    EXPECT_EQ(taken_.size(), 2u);
    EXPECT_EQ(Said().find("UNAVAILABLE"), std::string::npos) << "the end was reported as a failure";
    struct place_attempt attempt;
    place_attempt_read(Dir(), &attempt);
    EXPECT_TRUE(attempt.is_done);
    for (const schedule_report &report : reports_) {
        EXPECT_TRUE(report.is_done);
    }
}

TEST_F(BackupSchedule, KeepsABackupAlsoWhereTheOldCannotBeRemoved)
{
    order_.policy = {{1, 0, 0, 0, 0}};
    ASSERT_EQ(Run(kMinute), CLI_DONE);
    Write(Path(".removing-20260301T000000Z/file"), "in the way");
    fails_ = [this] { /* it comes back after each sweep */
                      Write(Path(".removing-20260301T000000Z/file"), "in the way");
                      return false;
    };
    Said();
    ASSERT_EQ(Run(kHour), CLI_DONE);
    EXPECT_EQ(Names().size(), 2u);
    EXPECT_NE(Said().find("20260301T000000Z"), std::string::npos);
    EXPECT_TRUE(reports_.back().is_done);
    fails_ = nullptr;
    ASSERT_EQ(Run(kHour), CLI_DONE);
    EXPECT_EQ(Names().size(), 1u) << "what could not be removed goes with the next";
}

TEST_F(BackupSchedule, EndsWhereTheDirectoryCannotBeRead)
{
    std::string nowhere = Path("nowhere");
    order_.dir = nowhere.c_str();
    EXPECT_EQ(Run(kDay), CLI_FAILED);
    EXPECT_TRUE(taken_.empty());
}

} // namespace
