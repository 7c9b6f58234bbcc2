/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libpolarys against a real server, from several threads at once.
 */
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "client/pipeline.h"
#include "client/polarys.h"
#include "tests/integration/client_server.h"

namespace {

TEST_F(ClientLibrary, ServesManyThreads)
{
    enum { THREADS = 8, WRITES = 50 };
    std::vector<std::thread> threads;
    std::atomic<int> failures{0};
    const std::string one = "1";
    for (int t = 0; t < THREADS; t++) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < WRITES; i++) {
                std::string key = std::to_string(t) + "-" + std::to_string(i);
                struct polarys_client_write write = Write(key, one);
                struct polarys_client_document document;
                const struct polarys_client_key where = {nullptr, table, key.data(), key.size()};
                if (!polarys_client_put(client, &write, nullptr, nullptr) ||
                    !polarys_client_get(client, &where, nullptr, &document, nullptr)) {
                    failures++;
                    continue;
                }
                polarys_client_document_free(&document);
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(failures, 0);
    uint64_t count = 0;
    EXPECT_TRUE(polarys_client_count(client, nullptr, table, nullptr, &count, &err));
    EXPECT_EQ(count, (uint64_t)(THREADS * WRITES));
}

TEST_F(ClientLibrary, OneOfManyWinsACondition)
{
    std::vector<std::thread> threads;
    std::atomic<int> wins{0};
    const std::string contested = "k";
    for (int t = 0; t < 8; t++) {
        threads.emplace_back([&, t] {
            std::string value = std::to_string(t);
            struct polarys_client_write write = Write(contested, value);
            struct polarys_client_error error;
            write.precondition = POLARYS_CLIENT_MUST_NOT_EXIST;
            if (polarys_client_put(client, &write, nullptr, &error)) {
                wins++;
            } else {
                EXPECT_STREQ(error.reason, "KEY_EXISTS");
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(wins, 1);
}

TEST_F(ClientLibrary, BatchIsAllOrNothing)
{
    struct polarys_client_batch *batch = polarys_client_batch_create(client, nullptr);
    const std::string one = "1";
    const std::string first = "a";
    const std::string second = "b";
    struct polarys_client_write good = Write(first, one);
    struct polarys_client_write bad = Write(second, one);
    bad.precondition = POLARYS_CLIENT_MUST_EXIST;
    ASSERT_TRUE(polarys_client_batch_put(batch, &good));
    ASSERT_TRUE(polarys_client_batch_put(batch, &bad));
    EXPECT_FALSE(polarys_client_batch_commit(batch, POLARYS_CLIENT_ASYNC, nullptr, &err));
    EXPECT_STREQ(err.reason, "KEY_NOT_FOUND");
    polarys_client_batch_destroy(batch);
    uint64_t count = 9;
    EXPECT_TRUE(polarys_client_count(client, nullptr, table, nullptr, &count, &err));
    EXPECT_EQ(count, 0u);
}

TEST_F(ClientLibrary, ScanKeepsItsVersionWhileOthersWrite)
{
    struct polarys_client_bulk_options bulk_options;
    struct polarys_client_bulk *bulk;
    memset(&bulk_options, 0, sizeof(bulk_options));
    bulk_options.table = table;
    ASSERT_TRUE(polarys_client_bulk_open(client, &bulk_options, &bulk, &err));
    std::string value(1000, 'x');
    for (int i = 0; i < 5000; i++) {
        std::string key = "k" + std::to_string(10000 + i);
        struct polarys_client_record record = {key.data(),   key.size(),   POLARYS_CLIENT_RAW,
                                               value.data(), value.size(), 0};
        ASSERT_TRUE(polarys_client_bulk_put(bulk, &record, &err)) << err.message;
    }
    ASSERT_TRUE(polarys_client_bulk_close(bulk, &err)) << err.message;

    struct polarys_client_scan_options scan_options;
    struct polarys_client_scan *scan;
    struct polarys_client_document document;
    bool has_document = true;
    int count = 0;
    memset(&scan_options, 0, sizeof(scan_options));
    scan_options.table = table;
    ASSERT_TRUE(polarys_client_scan_open(client, &scan_options, &scan, &err));
    while (polarys_client_scan_next(scan, &has_document, &document, &err) && has_document) {
        if (count++ == 0) {
            ASSERT_TRUE(polarys_client_table_truncate(client, nullptr, table, nullptr, &err));
        }
        EXPECT_EQ(document.value_size, value.size());
    }
    EXPECT_FALSE(has_document) << err.message;
    EXPECT_EQ(count, 5000);
    polarys_client_scan_close(scan);
    ASSERT_TRUE(polarys_client_scan_open(client, &scan_options, &scan, &err));
    polarys_client_scan_close(scan); /* early, with answers on the way */
}

TEST_F(ClientLibrary, PipelineEndsEveryCall)
{
    struct client_pipeline *pipeline;
    struct polarys_client *clients[] = {client};
    struct client_completion completion;
    struct polarys_client_rpc rpc = {"/polarys.v1.AdminService/GetStatus", "", 0, true, false};
    ASSERT_FALSE(client_pipeline_open(clients, 1, 0, &pipeline, &err));
    ASSERT_TRUE(client_pipeline_open(clients, 1, 16, &pipeline, &err));
    std::vector<int> ended(16);
    for (uint32_t i = 0; i < 16; i++) {
        rpc.method =
            i == 7 ? "/polarys.v1.AdminService/NoSuchMethod" : "/polarys.v1.AdminService/GetStatus";
        ASSERT_TRUE(client_pipeline_start(pipeline, i, &rpc));
    }
    for (int i = 0; i < 16; i++) {
        ASSERT_TRUE(client_pipeline_next(pipeline, UINT64_MAX, &completion));
        ended[completion.slot]++;
        EXPECT_EQ(completion.status,
                  completion.slot == 7 ? POLARYS_CLIENT_UNIMPLEMENTED : POLARYS_CLIENT_OK);
    }
    EXPECT_EQ(ended, std::vector<int>(16, 1));
    for (uint32_t i = 0; i < 16; i++) {
        ASSERT_TRUE(client_pipeline_start(pipeline, i, &rpc));
    }
    client_pipeline_close(pipeline); /* with calls under way */
}

/* A port of 127.0.0.1 that takes connections and says nothing. */
class MuteServer {
  public:
    MuteServer() : fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        struct sockaddr_in address = {};
        socklen_t size = sizeof(address);
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(bind(fd, reinterpret_cast<struct sockaddr *>(&address), size), 0);
        EXPECT_EQ(listen(fd, 8), 0);
        EXPECT_EQ(getsockname(fd, reinterpret_cast<struct sockaddr *>(&address), &size), 0);
        endpoint = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    }
    ~MuteServer()
    {
        close(fd);
    }
    std::string endpoint;

  private:
    int fd;
};

TEST_F(ClientLibrary, TimesOutOnAnAddressThatNeverAnswers)
{
    MuteServer mute;
    struct polarys_client *other;
    options.endpoint = mute.endpoint.c_str();
    options.timeout_ms = 300;
    ASSERT_TRUE(polarys_client_open(&options, &other, &err));
    EXPECT_FALSE(polarys_client_table_drop(other, nullptr, "t", nullptr, &err));
    EXPECT_TRUE(err.status == POLARYS_CLIENT_DEADLINE_EXCEEDED ||
                err.status == POLARYS_CLIENT_UNAVAILABLE);
    EXPECT_FALSE(polarys_client_wait_ready(other, 200, &err));
    EXPECT_EQ(err.status, POLARYS_CLIENT_UNAVAILABLE) << err.message;
    EXPECT_NE(std::string(err.message).find(mute.endpoint), std::string::npos) << err.message;
    polarys_client_close(other);
}

} // namespace
