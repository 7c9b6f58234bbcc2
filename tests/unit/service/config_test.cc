// SPDX-License-Identifier: Apache-2.0
// Settings: where they come from, which wins, what is refused and how it is named, and what they change.
#include "service/config/config.h"

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

class ConfigTest : public ::testing::Test {
  protected:
    ConfigTest() : config_(new config)
    {
        config_init(config_.get());
    }
    polarys_code Yaml(const std::string &text)
    {
        return config_yaml_read(config_.get(), "test.yaml", slice_make(text.data(), text.size()),
                                &err_);
    }
    polarys_code Load(std::vector<const char *> flags, std::vector<const char *> environment = {})
    {
        flags.insert(flags.begin(), "polarysd");
        environment.push_back(nullptr);
        int count = static_cast<int>(flags.size());
        flags.push_back(nullptr);
        return config_load(config_.get(), count, flags.data(), environment.data(), &command_,
                           &err_);
    }
    bool Says(const char *text) const
    {
        return std::string(err_.message).find(text) != std::string::npos;
    }

    std::unique_ptr<config> config_;
    config_command command_ = CONFIG_RUN;
    polarys_error err_ = {};
};

TEST_F(ConfigTest, TableIsSound)
{
    size_t count;
    const config_setting *settings = config_settings(&count);
    std::set<std::string> names;
    std::set<size_t> offsets;
    for (size_t i = 0; i < count; i++) {
        EXPECT_TRUE(names.insert(settings[i].name).second) << settings[i].name;
        EXPECT_TRUE(offsets.insert(settings[i].offset).second) << settings[i].name;
        EXPECT_EQ(config_setting_find(settings[i].name, strlen(settings[i].name)), &settings[i]);
        EXPECT_NE(settings[i].help[0], '\0');
        if (settings[i].is_published) {
            EXPECT_NE(settings[i].type, CONFIG_TEXT) << settings[i].name;
        }
    }
    EXPECT_EQ(config_setting_find("nothing", 7), nullptr);
}

TEST_F(ConfigTest, FileSetsEveryKindOfValue)
{
    ASSERT_EQ(Yaml("# comment\nlisten: 127.0.0.1:1\nmemory_limit: 1GiB\nwal_sync_interval: 2s\n"
                   "enable_compression: no\nlog_role: inline\nbuffer_size: 77\n"),
              POLARYS_OK)
        << err_.message;
    EXPECT_STREQ(config_->listen, "127.0.0.1:1");
    EXPECT_EQ(config_->memory_limit, UINT64_C(1) << 30);
    EXPECT_EQ(config_->wal_sync_interval_ms, 2000u);
    EXPECT_FALSE(config_->is_compression_on);
    EXPECT_EQ(config_->log_role, static_cast<uint64_t>(POLARYS_LOG_ROLE_INLINE));
    EXPECT_EQ(config_->buffer_size, 77u);
}

TEST_F(ConfigTest, UnknownKeyIsNamedWithFileAndLine)
{
    EXPECT_EQ(Yaml("listen: 127.0.0.1:1\nmemory_limt: 1GiB\n"), POLARYS_BAD_ARGUMENT);
    EXPECT_TRUE(Says("test.yaml:2")) << err_.message;
    EXPECT_TRUE(Says("memory_limt")) << err_.message;
}

TEST_F(ConfigTest, BadFilesAreNamedWithTheirLine)
{
    const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"workers: many\n", "test.yaml:1: workers"},
        {"workers: 65\n", "not within"},
        {"memory_limit: 1\n", "not within"},
        {"memory_limit: 12XB\n", "not a number of bytes"},
        {"memory_limit: 99999999999999999999\n", "memory_limit"},
        {"memory_limit: 18446744073709551615TiB\n", "memory_limit"},
        {"wal_sync_interval: 10\n", "not a time"},
        {"log_level: loud\n", "log_level"},
        {"enable_wal: maybe\n", "true or false"},
        {"workers: 1\nworkers: 2\n", "test.yaml:2: workers: set twice"},
        {"workers: [1]\n", "one word"},
        {"- workers\n", "setting: value"},
        {"{[1]: 2}\n", "name of a setting"},
        {"workers: 'x\n", "test.yaml"},
        {"workers: 1\n  bad indent: x: y\n", "test.yaml"},
    };
    for (const auto &one : cases) {
        config_init(config_.get());
        EXPECT_EQ(Yaml(one.text), POLARYS_BAD_ARGUMENT) << one.text;
        EXPECT_TRUE(Says(one.says)) << one.text << " -> " << err_.message;
    }
}

TEST_F(ConfigTest, EmptyFilesAreFine)
{
    EXPECT_EQ(Yaml(""), POLARYS_OK);
    EXPECT_EQ(Yaml("# nothing\n"), POLARYS_OK);
}

TEST_F(ConfigTest, FlagWinsOverEnvironmentAndFile)
{
    std::string path = ::testing::TempDir() + "polarysd_config_test.yaml";
    std::ofstream(path) << "workers: 3\nbuffer_size: 3\ncalls_max: 3\n";
    std::string flag = "--config=" + path;
    ASSERT_EQ(Load({"--dev", flag.c_str(), "--workers", "5"},
                   {"POLARYSD_WORKERS=4", "POLARYSD_BUFFER_SIZE=4", "HOME=/"}),
              POLARYS_OK)
        << err_.message;
    EXPECT_EQ(config_->workers, 5u);
    EXPECT_EQ(config_->buffer_size, 4u);
    EXPECT_EQ(config_->calls_max, 3u);
}

TEST_F(ConfigTest, FileIsFoundThroughTheEnvironment)
{
    std::string path = ::testing::TempDir() + "polarysd_config_env_test.yaml";
    std::ofstream(path) << "workers: 3\n";
    std::string variable = "POLARYSD_CONFIG=" + path;
    ASSERT_EQ(Load({"--dev"}, {variable.c_str()}), POLARYS_OK) << err_.message;
    EXPECT_EQ(config_->workers, 3u);
}

TEST_F(ConfigTest, MissingFileIsAnError)
{
    EXPECT_EQ(Load({"--dev", "--config", "/nonexistent/x.yaml"}), POLARYS_FILE_NOT_FOUND);
}

TEST_F(ConfigTest, WrongFlagsAndVariablesAreNamed)
{
    EXPECT_EQ(Load({"--dev", "--wrkers", "1"}), POLARYS_BAD_ARGUMENT);
    EXPECT_TRUE(Says("--wrkers"));
    EXPECT_EQ(Load({"--dev", "stray"}), POLARYS_BAD_ARGUMENT);
    EXPECT_TRUE(Says("stray"));
    EXPECT_EQ(Load({"--dev", "--workers"}), POLARYS_BAD_ARGUMENT);
    EXPECT_TRUE(Says("value must follow"));
    EXPECT_EQ(Load({"--dev"}, {"POLARYSD_WRKERS=1"}), POLARYS_BAD_ARGUMENT);
    EXPECT_TRUE(Says("POLARYSD_WRKERS"));
    EXPECT_EQ(Load({"--dev", "--tls-cert", "x"}), POLARYS_BAD_ARGUMENT);
}

TEST_F(ConfigTest, AWrongValueIsToldEvenWhereAFlagWins)
{
    EXPECT_EQ(Load({"--dev", "--workers=1"}, {"POLARYSD_WORKERS=x"}), POLARYS_BAD_ARGUMENT);
}

TEST_F(ConfigTest, DevChangesDefaultsButNothingThatWasSet)
{
    ASSERT_EQ(Load({"--dev"}), POLARYS_OK) << err_.message;
    EXPECT_EQ(config_->wal_segment_bytes, UINT64_C(8) << 20);
    EXPECT_STREQ(config_->master_key_file, "polarysdb-data/master.key");
    ASSERT_EQ(Load({"--dev", "--wal-segment-bytes=32MiB", "--master-key-file", "k"}), POLARYS_OK);
    EXPECT_EQ(config_->wal_segment_bytes, UINT64_C(32) << 20);
    EXPECT_STREQ(config_->master_key_file, "k");
}

TEST_F(ConfigTest, RefusesToStartWithoutAMasterKey)
{
    EXPECT_EQ(Load({}), POLARYS_BAD_ARGUMENT);
    EXPECT_TRUE(Says("master_key_file"));
    EXPECT_EQ(Load({"--master-key-file", "k"}), POLARYS_OK);
    EXPECT_EQ(Load({"--master-key-file", "k", "--master-passphrase-file", "p"}),
              POLARYS_BAD_ARGUMENT);
}

TEST_F(ConfigTest, RefusesPlainTextOffLoopback)
{
    EXPECT_EQ(Load({"--master-key-file=k", "--listen=0.0.0.0:7480"}), POLARYS_BAD_ARGUMENT);
    EXPECT_TRUE(Says("--insecure")) << err_.message;
    EXPECT_EQ(Load({"--master-key-file=k", "--admin-listen=10.0.0.1:7481"}), POLARYS_BAD_ARGUMENT);
    EXPECT_EQ(Load({"--dev", "--listen=:7480"}), POLARYS_BAD_ARGUMENT);
    EXPECT_EQ(Load({"--master-key-file=k", "--listen=0.0.0.0:7480", "--insecure"}), POLARYS_OK);
    EXPECT_EQ(Load({"--master-key-file=k", "--listen=[::1]:7480", "--admin-listen="}), POLARYS_OK);
}

TEST_F(ConfigTest, CommandsAreFound)
{
    EXPECT_EQ(Load({"--version"}), POLARYS_OK);
    EXPECT_EQ(command_, CONFIG_VERSION);
    EXPECT_EQ(Load({"--help"}), POLARYS_OK);
    EXPECT_EQ(command_, CONFIG_HELP);
    EXPECT_EQ(Load({"--dev", "--check-config"}), POLARYS_OK);
    EXPECT_EQ(command_, CONFIG_CHECK);
    EXPECT_EQ(Load({"--check-config"}), POLARYS_BAD_ARGUMENT);
}

TEST_F(ConfigTest, AddressesComeApart)
{
    char host[CONFIG_TEXT_MAX];
    uint16_t port;
    ASSERT_EQ(config_address_split("[::1]:65535", host, &port, &err_), POLARYS_OK);
    EXPECT_STREQ(host, "::1");
    EXPECT_EQ(port, 65535);
    ASSERT_EQ(config_address_split(":80", host, &port, &err_), POLARYS_OK);
    EXPECT_STREQ(host, "");
    for (const char *bad :
         {"", "host", "host:", "host:x", "host:65536", "host:-1", "::1:80", "h:1 "}) {
        EXPECT_EQ(config_address_split(bad, host, &port, &err_), POLARYS_BAD_ARGUMENT) << bad;
    }
}

TEST_F(ConfigTest, LoopbackIsKnown)
{
    EXPECT_TRUE(config_host_is_loopback("127.0.0.1"));
    EXPECT_TRUE(config_host_is_loopback("127.9.9.9"));
    EXPECT_TRUE(config_host_is_loopback("::1"));
    EXPECT_TRUE(config_host_is_loopback("localhost"));
    EXPECT_FALSE(config_host_is_loopback("0.0.0.0"));
    EXPECT_FALSE(config_host_is_loopback(""));
    EXPECT_FALSE(config_host_is_loopback("::"));
    EXPECT_FALSE(config_host_is_loopback("127.example.org"));
}

TEST_F(ConfigTest, SettingsReachTheEngine)
{
    ASSERT_EQ(
        Load({"--dev", "--memory-limit=64MiB", "--enable-compression=false", "--save-interval=5s",
              "--wal-sync-interval=1s", "--value-bytes-max=2MiB", "--log-role=thread",
              "--wal-sync=dsync", "--min-version=9", "--history-keep=1m"}),
        POLARYS_OK)
        << err_.message;
    polarys_db_options options;
    config_engine_options(config_.get(), &options);
    EXPECT_EQ(options.memory_limit, UINT64_C(64) << 20);
    EXPECT_FALSE(options.is_compression_on);
    EXPECT_EQ(options.save_interval_ms, 5000u);
    EXPECT_EQ(options.wal_sync_interval_ms, 1000u);
    EXPECT_EQ(options.value_bytes_max, 2u << 20);
    EXPECT_EQ(options.log_role, POLARYS_LOG_ROLE_THREAD);
    EXPECT_EQ(options.wal_sync, POLARYS_LOG_SYNC_DSYNC);
    EXPECT_EQ(options.min_version, 9u);
    EXPECT_EQ(options.history_keep_ms, 60000u);
    EXPECT_STREQ(options.master_key_file, config_->master_key_file);
    EXPECT_EQ(options.master_passphrase_file, nullptr);
}

TEST_F(ConfigTest, DefaultsAgreeWithTheEngine)
{
    polarys_db_options ours;
    polarys_db_options engine;
    config_engine_options(config_.get(), &ours);
    polarys_db_options_init(&engine);
    EXPECT_EQ(ours.memory_limit, engine.memory_limit);
    EXPECT_EQ(ours.wal_segment_bytes, engine.wal_segment_bytes);
    EXPECT_EQ(ours.wal_sync_interval_ms, engine.wal_sync_interval_ms);
    EXPECT_EQ(ours.history_keep_ms, engine.history_keep_ms);
    EXPECT_EQ(ours.history_keep_bytes, engine.history_keep_bytes);
    EXPECT_EQ(ours.value_bytes_max, engine.value_bytes_max);
    EXPECT_EQ(ours.request_ids_max, engine.request_ids_max);
    EXPECT_EQ(ours.range_delete_max, engine.range_delete_max);
    EXPECT_EQ(ours.block_bytes, engine.block_bytes);
}

TEST_F(ConfigTest, DocumentNamesEverySetting)
{
    const char *source = getenv("POLARYS_SOURCE");
    std::ifstream file(std::string(source == nullptr ? "." : source) + "/docs/configuration.md");
    std::stringstream text;
    text << file.rdbuf();
    size_t count;
    const config_setting *settings = config_settings(&count);
    for (size_t i = 0; i < count; i++) {
        EXPECT_NE(text.str().find("| `" + std::string(settings[i].name) + "` |"), std::string::npos)
            << settings[i].name << ": print it anew with polarysd --print-configuration-docs";
    }
}

} // namespace
