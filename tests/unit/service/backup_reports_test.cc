// SPDX-License-Identifier: Apache-2.0
// Reports of backups: the last of each place, a bounded number of places, labels that hold any text, many threads.
#include "service/admin/backup_reports.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

class BackupReports : public ::testing::Test {
  protected:
    BackupReports()
    {
        EXPECT_EQ(backup_reports_create(&reports_, &err_), POLARYS_OK);
    }
    ~BackupReports() override
    {
        backup_reports_destroy(reports_);
    }
    void Put(const std::string &place, uint64_t version, bool is_done = true)
    {
        backup_report report = {};
        memcpy(report.place, place.data(), place.size());
        report.is_done = is_done;
        report.attempt_unix_ms = 1700000000500;
        report.has_newest = version > 0;
        report.created_unix_ms = 1700000000250;
        report.version = version;
        report.bytes = 10 * version;
        backup_reports_put(reports_, &report);
    }
    std::string Page()
    {
        exposition out = {};
        backup_reports_render(&out, reports_);
        EXPECT_FALSE(out.is_failed);
        std::string page = out.text == nullptr ? "" : out.text;
        exposition_deinit(&out);
        return page;
    }
    static bool IsValid(const std::string &place)
    {
        return backup_place_is_valid(reinterpret_cast<const uint8_t *>(place.data()), place.size());
    }

    backup_reports *reports_ = nullptr;
    polarys_error err_ = {};
};

TEST_F(BackupReports, SaysNothingWhereNothingWasTold)
{
    EXPECT_EQ(Page(), "");
    EXPECT_EQ(backup_reports_count(reports_), 0u);
    backup_reports_destroy(nullptr);
}

TEST_F(BackupReports, ShowsTheLastReportOfAPlace)
{
    Put("/b", 7);
    Put("/b", 8, false);
    std::string page = Page();
    for (const char *line :
         {"\npolarysdb_backup_last_success_timestamp_seconds{place=\"/b\"} 1700000000.250000000\n",
          "\npolarysdb_backup_last_attempt_timestamp_seconds{place=\"/b\"} 1700000000.500000000\n",
          "\npolarysdb_backup_last_result{place=\"/b\"} 0\n",
          "\npolarysdb_backup_last_version{place=\"/b\"} 8\n",
          "\npolarysdb_backup_last_bytes{place=\"/b\"} 80\n"}) {
        EXPECT_NE(page.find(line), std::string::npos) << line << page;
    }
    EXPECT_EQ(backup_reports_count(reports_), 1u);
}

TEST_F(BackupReports, HasNoAgeOfAPlaceThatNeverHadABackup)
{
    Put("/b", 0, false);
    std::string page = Page();
    EXPECT_NE(page.find("last_result{place=\"/b\"} 0\n"), std::string::npos) << page;
    EXPECT_EQ(page.find("last_success_timestamp_seconds{"), std::string::npos) << page;
    EXPECT_EQ(page.find("last_version{"), std::string::npos) << page;
}

TEST_F(BackupReports, ForgetsThePlaceThatWasNotHeardOfForTheLongestTime)
{
    for (uint64_t i = 0; i < BACKUP_PLACES_MAX; i++) {
        Put("/p" + std::to_string(i), i + 1);
    }
    Put("/p0", 1000);
    Put("/new", 2000);
    EXPECT_EQ(backup_reports_count(reports_), static_cast<size_t>(BACKUP_PLACES_MAX));
    std::string page = Page();
    EXPECT_NE(page.find("{place=\"/p0\"} 1000\n"), std::string::npos);
    EXPECT_NE(page.find("{place=\"/new\"} 2000\n"), std::string::npos);
    EXPECT_EQ(page.find("{place=\"/p1\"}"), std::string::npos);
    EXPECT_NE(page.find("{place=\"/p2\"}"), std::string::npos);
}

TEST_F(BackupReports, EscapesWhatWouldEndALabel)
{
    Put("a\"b\\c", 1);
    EXPECT_NE(Page().find("{place=\"a\\\"b\\\\c\"} 1\n"), std::string::npos) << Page();
    Put(std::string(BACKUP_PLACE_BYTES_MAX, '"'), 2);
    std::string escaped;
    for (int i = 0; i < BACKUP_PLACE_BYTES_MAX; i++) {
        escaped += "\\\"";
    }
    EXPECT_NE(Page().find("{place=\"" + escaped + "\"} 2\n"), std::string::npos);
}

TEST_F(BackupReports, TakesNamesThatAreTextOnly)
{
    EXPECT_TRUE(IsValid("/backups"));
    EXPECT_TRUE(IsValid("\xc3\xa4 \"x\""));
    EXPECT_TRUE(IsValid(std::string(255, 'x')));
    for (const std::string &wrong :
         {std::string(), std::string(256, 'x'), std::string("a\nb"), std::string("\x7f"),
          std::string("a\0b", 3), std::string("\xff"), std::string("\xc3")}) {
        EXPECT_FALSE(IsValid(wrong)) << wrong;
    }
}

TEST_F(BackupReports, MayBeToldAndShownByManyThreadsAtOnce)
{
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
        threads.emplace_back([this, i] {
            for (uint64_t n = 1; n <= 200; n++) {
                Put("/t" + std::to_string(i), n);
                if (n % 20 == 0) {
                    Page();
                }
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    std::string page = Page();
    for (int i = 0; i < 4; i++) {
        EXPECT_NE(page.find("last_version{place=\"/t" + std::to_string(i) + "\"} 200\n"),
                  std::string::npos);
    }
}

} // namespace
