/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory, and a command line without a server whose complaints are kept, for tests of backups.
 */
#ifndef TESTS_UNIT_CLI_BACKUP_FIXTURE_H
#define TESTS_UNIT_CLI_BACKUP_FIXTURE_H

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/temp_dir.h"

#include "client/cli/backup_list.h"

class BackupTest : public ::testing::Test {
  protected:
    void SetUp() override
    {
        cli_init(&cli_, stdin, stdout, open_memstream(&text_, &text_size_));
    }
    void TearDown() override
    {
        fclose(cli_.err);
        free(text_);
        cli_deinit(&cli_);
    }
    std::string Path(const std::string &name) const
    {
        return std::string(directory_.path()) + "/" + name;
    }
    /* What was complained of since the last call. */
    std::string Said()
    {
        fflush(cli_.err);
        std::string said = std::string(text_, text_size_).substr(seen_);
        seen_ = text_size_;
        return said;
    }
    static std::string Read(const std::string &path)
    {
        std::ifstream in(path, std::ios::binary);
        return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    }
    static void Write(const std::string &path, const std::string &bytes)
    {
        std::filesystem::create_directories(std::filesystem::path(path).parent_path());
        std::ofstream(path, std::ios::binary) << bytes;
    }
    static std::string Sum(const std::string &bytes)
    {
        struct digest digest = {};
        uint8_t sum[DIGEST_SIZE];
        digest_begin(&digest);
        digest_add(&digest, bytes.data(), bytes.size());
        EXPECT_TRUE(digest_end(&digest, sum));
        digest_deinit(&digest);
        return std::string(reinterpret_cast<char *>(sum), sizeof(sum));
    }
    static void Add(struct backup_list *list, const std::string &path, const std::string &bytes)
    {
        ASSERT_TRUE(backup_list_add(list, path.data(), path.size(), bytes.size(),
                                    reinterpret_cast<const uint8_t *>(Sum(bytes).data())));
    }

    scoped_temp_dir directory_;
    struct cli cli_;
    char *text_ = nullptr;
    size_t text_size_ = 0;
    size_t seen_ = 0;
};

#endif
