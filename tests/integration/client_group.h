/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A primary and two replicas as processes, for tests of how libpolarys finds its way among them.
 */
#ifndef TESTS_INTEGRATION_CLIENT_GROUP_H
#define TESTS_INTEGRATION_CLIENT_GROUP_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "client/polarys.h"
#include "tests/unit/client/messages.h"

extern char **environ;

/* Waits for what other processes do. */
inline bool Until(const std::function<bool()> &condition, int seconds = 60)
{
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (!condition()) {
        if (std::chrono::steady_clock::now() >= end) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
}

/* A free port below those that connections are given, so that it stays free while the node is down. */
inline int LastingPort()
{
    std::random_device random;
    for (;;) {
        int port = 12000 + (int)(random() % 18000);
        int probe = socket(AF_INET, SOCK_STREAM, 0);
        struct sockaddr_in address = {};
        address.sin_family = AF_INET;
        address.sin_port = htons((uint16_t)port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        bool is_free = bind(probe, (struct sockaddr *)&address, sizeof(address)) == 0;
        close(probe);
        if (is_free) {
            return port;
        }
    }
}

/* One node; it ends with the object. */
class NodeProcess {
  public:
    NodeProcess(const std::string &root, const std::string &node)
        : name(node), directory(root), endpoint("127.0.0.1:" + std::to_string(LastingPort()))
    {
    }
    ~NodeProcess()
    {
        Kill();
    }
    void Start(const std::string &follow = "")
    {
        const char *program = getenv("POLARYSD");
        std::vector<std::string> words = {program != nullptr ? program : "build/polarysd",
                                          "--data-dir",
                                          directory + "/" + name,
                                          "--node-name",
                                          name,
                                          "--master-key-file",
                                          directory + "/key",
                                          "--listen",
                                          endpoint,
                                          "--admin-listen",
                                          "127.0.0.1:0",
                                          "--memory-limit",
                                          "64MiB",
                                          "--drain-grace",
                                          "0ms",
                                          "--disk-reserve-bytes",
                                          "1MiB"};
        if (!follow.empty()) {
            words.insert(words.end(), {"--follow", follow});
        }
        std::vector<char *> arguments;
        for (std::string &word : words) {
            arguments.push_back(word.data());
        }
        arguments.push_back(nullptr);
        std::string log = directory + "/" + name + ".log";
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                         0600);
        posix_spawn_file_actions_adddup2(&actions, 1, 2);
        ASSERT_EQ(posix_spawn(&pid, arguments[0], &actions, nullptr, arguments.data(), environ), 0);
        posix_spawn_file_actions_destroy(&actions);
    }
    void Kill(int signal = SIGKILL)
    {
        if (pid > 0) {
            kill(pid, signal);
            waitpid(pid, nullptr, 0);
            pid = 0;
        }
    }
    /* A client of this node alone. */
    std::unique_ptr<struct polarys_client, void (*)(struct polarys_client *)> Pinned() const
    {
        struct polarys_client_options options;
        struct polarys_client *client = nullptr;
        polarys_client_options_init(&options);
        options.endpoint = endpoint.c_str();
        options.is_pinned = true;
        options.is_channel_private = true;
        options.retries_max = 0;
        options.timeout_ms = 20000;
        EXPECT_TRUE(polarys_client_open(&options, &client, nullptr));
        return {client, polarys_client_close};
    }
    using Status = std::unique_ptr<Polarys__V1__GetStatusResponse, MessageFree>;
    /* NULL when it does not answer. */
    Status GetStatus() const
    {
        auto client = Pinned();
        const struct polarys_client_rpc rpc = {"/polarys.v1.AdminService/GetStatus", "", 0, true,
                                               false};
        uint8_t *bytes;
        size_t size;
        if (!polarys_client_call(client.get(), &rpc, &bytes, &size, nullptr)) {
            return nullptr;
        }
        Status status = Unpack<Polarys__V1__GetStatusResponse>(
            &polarys__v1__get_status_response__descriptor, std::string((char *)bytes, size));
        free(bytes);
        return status;
    }
    bool IsReady() const
    {
        Status status = GetStatus();
        bool is_replica = status != nullptr && status->replica != nullptr;
        return status != nullptr &&
               (!is_replica || (status->replica->connected && status->replica->caught_up));
    }
    uint64_t Version() const
    {
        Status status = GetStatus();
        return status == nullptr ? 0 : status->durable_version;
    }
    /* How many calls of a method it has had. */
    uint64_t Calls(const std::string &method) const
    {
        Status status = GetStatus();
        uint64_t count = 0;
        for (size_t i = 0; status != nullptr && i < status->n_calls; i++) {
            const Polarys__V1__CallCount *call = status->calls[i];
            count += Text(call->method).find(method) != std::string::npos ? call->succeeded : 0;
        }
        return count;
    }
    /* Makes it the primary, whatever the old one had besides. */
    bool Promote(struct polarys_client_error *err) const
    {
        auto client = Pinned();
        Polarys__V1__PromoteRequest request = POLARYS__V1__PROMOTE_REQUEST__INIT;
        request.allow_data_loss = 1;
        std::string packed = Pack(&request.base);
        const struct polarys_client_rpc rpc = {"/polarys.v1.AdminService/Promote", packed.data(),
                                               packed.size(), false, false};
        uint8_t *bytes;
        size_t size;
        bool is_ok = polarys_client_call(client.get(), &rpc, &bytes, &size, err);
        free(bytes);
        return is_ok;
    }
    const std::string name;
    const std::string directory;
    const std::string endpoint;

  private:
    pid_t pid = 0;
};

/* A group, new for each test. */
class ClientGroup : public testing::Test {
  protected:
    void SetUp() override
    {
        const char *tmp = getenv("TMPDIR");
        std::string wanted = std::string(tmp != nullptr ? tmp : "/tmp") + "/client-group-XXXXXX";
        std::vector<char> path(wanted.begin(), wanted.end());
        path.push_back('\0');
        root = mkdtemp(path.data());
        std::ofstream(root + "/key") << std::string(64, 'a') << "\n";
        std::filesystem::permissions(root + "/key", std::filesystem::perms::owner_read);
        a = std::make_unique<NodeProcess>(root, "a");
        b = std::make_unique<NodeProcess>(root, "b");
        c = std::make_unique<NodeProcess>(root, "c");
        a->Start();
        ASSERT_TRUE(Until([&] { return a->IsReady(); }));
        b->Start(a->endpoint);
        c->Start(a->endpoint);
        ASSERT_TRUE(Until([&] { return b->IsReady() && c->IsReady(); }));
        list = c->endpoint + "," + b->endpoint + "," + a->endpoint;
        polarys_client_options_init(&options);
        options.endpoint = list.c_str();
        options.timeout_ms = 30000;
    }
    void TearDown() override
    {
        polarys_client_close(client);
        a.reset();
        b.reset();
        c.reset();
        std::error_code ignored;
        if (!HasFailure()) {
            std::filesystem::remove_all(root, ignored);
        }
    }
    void Open()
    {
        ASSERT_TRUE(polarys_client_open(&options, &client, &err)) << err.message;
        ASSERT_TRUE(polarys_client_wait_ready(client, 20000, &err)) << err.message;
        ASSERT_TRUE(polarys_client_table_create(client, nullptr, "t", nullptr, &err))
            << err.message;
    }
    /* Borrows from this object, until the next one is made. */
    struct polarys_client_write Write(const std::string &of_key, const std::string &of_value)
    {
        struct polarys_client_write write;
        key = of_key;
        value = of_value;
        memset(&write, 0, sizeof(write));
        write.table = "t";
        write.key = key.data();
        write.key_size = key.size();
        write.value = value.data();
        write.value_size = value.size();
        return write;
    }
    /* The value, or the reason why there is none. */
    std::string Get(const std::string &of_key, enum polarys_client_consistency consistency)
    {
        const struct polarys_client_key where = {nullptr, "t", of_key.data(), of_key.size()};
        struct polarys_client_read read;
        struct polarys_client_document document;
        memset(&read, 0, sizeof(read));
        read.consistency = consistency;
        if (!polarys_client_get(client, &where, &read, &document, &err)) {
            return std::string(err.reason) + ": " + err.message;
        }
        std::string found((char *)document.value, document.value_size);
        polarys_client_document_free(&document);
        return found;
    }
    /* The primary is gone: the replica that has more takes its place, and the other one follows it. */
    void Move()
    {
        a->Kill();
        NodeProcess *best = b->Version() >= c->Version() ? b.get() : c.get();
        NodeProcess *other = best == b.get() ? c.get() : b.get();
        struct polarys_client_error why;
        ASSERT_TRUE(Until([&] { return best->Promote(&why); })) << why.message;
        other->Kill(SIGTERM);
        other->Start(best->endpoint);
        primary = best;
    }
    std::string root;
    std::string list;
    std::string key;
    std::string value;
    std::unique_ptr<NodeProcess> a, b, c;
    NodeProcess *primary = nullptr; /* after a move */
    struct polarys_client_options options;
    struct polarys_client *client = nullptr;
    struct polarys_client_error err;
};

#endif
