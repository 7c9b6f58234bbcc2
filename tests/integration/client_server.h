/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real server for tests of libpolarys, and a client of it with a table of the test's own.
 */
#ifndef TESTS_INTEGRATION_CLIENT_SERVER_H
#define TESTS_INTEGRATION_CLIENT_SERVER_H

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "client/polarys.h"

extern char **environ;

/* A server on a free port; its log says which. Started by posix_spawn: nothing of gRPC is copied. */
class ServerProcess {
  public:
    ServerProcess()
    {
        const char *tmp = getenv("TMPDIR");
        std::string wanted = std::string(tmp != nullptr ? tmp : "/tmp") + "/client-library-XXXXXX";
        std::vector<char> path(wanted.begin(), wanted.end());
        path.push_back('\0');
        directory = mkdtemp(path.data());
        const char *program = getenv("POLARYSD");
        std::string data = directory + "/data";
        std::string log = directory + "/log";
        std::vector<const char *> words = {program != nullptr ? program : "build/polarysd",
                                           "--dev",
                                           "--data-dir",
                                           data.c_str(),
                                           "--listen",
                                           "127.0.0.1:0",
                                           "--admin-listen",
                                           "127.0.0.1:0",
                                           nullptr};
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                         0600);
        posix_spawn_file_actions_adddup2(&actions, 1, 2);
        is_started = posix_spawn(&pid, words[0], &actions, nullptr, (char *const *)words.data(),
                                 environ) == 0;
        posix_spawn_file_actions_destroy(&actions);
        for (int i = 0; is_started && i < 600 && endpoint.empty(); i++) {
            usleep(50000);
            endpoint = FindEndpoint(log);
        }
    }
    ~ServerProcess()
    {
        if (is_started) {
            kill(pid, SIGKILL);
            waitpid(pid, nullptr, 0);
        }
        std::error_code ignored;
        std::filesystem::remove_all(directory, ignored);
    }
    std::string endpoint;

  private:
    static std::string FindEndpoint(const std::string &log)
    {
        static const std::string mark = "serving gRPC on port ";
        std::ifstream file(log);
        std::string line;
        while (std::getline(file, line)) {
            size_t at = line.find(mark);
            if (at != std::string::npos) {
                size_t start = at + mark.size();
                return "127.0.0.1:" +
                       line.substr(start, line.find_first_not_of("0123456789", start) - start);
            }
        }
        return "";
    }
    std::string directory;
    pid_t pid = 0;
    bool is_started = false;
};

class ClientLibrary : public testing::Test {
  protected:
    static void SetUpTestSuite()
    {
        server = new ServerProcess();
    }
    static void TearDownTestSuite()
    {
        delete server;
    }
    void SetUp() override
    {
        ASSERT_NE(server->endpoint, "");
        polarys_client_options_init(&options);
        options.endpoint = server->endpoint.c_str();
        ASSERT_TRUE(polarys_client_open(&options, &client, &err));
        ASSERT_TRUE(polarys_client_wait_ready(client, 20000, &err)) << err.message;
        table = testing::UnitTest::GetInstance()->current_test_info()->name();
        ASSERT_TRUE(polarys_client_table_create(client, nullptr, table, nullptr, &err))
            << err.message;
    }
    void TearDown() override
    {
        polarys_client_close(client);
    }
    struct polarys_client_write Write(const std::string &key, const std::string &value) const
    {
        struct polarys_client_write write;
        memset(&write, 0, sizeof(write));
        write.table = table;
        write.key = key.data();
        write.key_size = key.size();
        write.value = value.data();
        write.value_size = value.size();
        return write;
    }
    static inline ServerProcess *server;
    struct polarys_client_options options;
    struct polarys_client *client = nullptr;
    struct polarys_client_error err;
    const char *table = nullptr;
};

#endif
