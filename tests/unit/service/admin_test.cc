// SPDX-License-Identifier: Apache-2.0
// Metrics, the exposition format, the limit of connections, the probe of the listener.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "service/admin/connections.h"
#include "service/admin/exposition.h"
#include "service/admin/http.h"
#include "service/admin/metrics.h"
#include "tests/unit/service/service_fixture.h"

namespace {

using service_test::ServiceTest;

TEST(Metrics, CountsIntoTheRightBucket)
{
    auto worker = std::make_unique<metrics_worker>();
    memset(worker.get(), 0, sizeof(*worker));
    metrics_call_begin(worker.get(), 3);
    EXPECT_EQ(worker->active[3], 1u);
    metrics_call_end(worker.get(), 3, 5, 150000, true);
    EXPECT_EQ(worker->active[3], 0u);
    metrics_cell &cell = worker->cells[3][5];
    EXPECT_EQ(cell.count, 1u);
    EXPECT_EQ(cell.sum_ns, 150000u);
    EXPECT_EQ(cell.buckets[2], 1u); // 100 us < 150 us <= 200 us
    metrics_call_begin(worker.get(), 3);
    metrics_call_end(worker.get(), 3, 5, UINT64_C(60000000000), true);
    EXPECT_EQ(cell.buckets[METRICS_BUCKETS - 1], 1u);
    metrics_call_begin(worker.get(), 3);
    metrics_call_end(worker.get(), 3, 99, 1, false);
    EXPECT_EQ(worker->cells[3][GRPC_STATUS_UNKNOWN].count, 1u);
    EXPECT_EQ(worker->cells[3][GRPC_STATUS_UNKNOWN].buckets[0], 0u);
}

TEST(Metrics, BoundsGrow)
{
    for (unsigned i = 1; i < METRICS_BUCKETS; i++) {
        EXPECT_GT(metrics_bucket_bound_ns(i), metrics_bucket_bound_ns(i - 1));
    }
    EXPECT_EQ(metrics_bucket_bound_ns(METRICS_BUCKETS - 1), UINT64_MAX);
}

TEST(Exposition, WritesFamiliesAndSamples)
{
    exposition out = {};
    exposition_counter(&out, "a_total", "Counts.", 3);
    exposition_family(&out, "b", "gauge", "Is.");
    exposition_seconds(&out, "b", "x=\"y\"", 1500000000);
    ASSERT_FALSE(out.is_failed);
    EXPECT_STREQ(out.text, "# HELP a_total Counts.\n# TYPE a_total counter\na_total 3\n"
                           "# HELP b Is.\n# TYPE b gauge\nb{x=\"y\"} 1.500000000\n");
    exposition_deinit(&out);
}

TEST(Exposition, StaysFailedPastItsLimit)
{
    exposition out = {};
    std::string help(900, 'h');
    for (int i = 0; i < 20000 && !out.is_failed; i++) {
        exposition_gauge(&out, "g", help.c_str(), 1);
    }
    EXPECT_TRUE(out.is_failed);
    EXPECT_LE(out.size, static_cast<size_t>(EXPOSITION_BYTES_MAX));
    exposition_deinit(&out);
    std::string longest(2000, 'h');
    exposition_gauge(&out, "g", longest.c_str(), 1);
    EXPECT_TRUE(out.is_failed);
    exposition_deinit(&out);
}

class MetricsTest : public ServiceTest {};

TEST_F(MetricsTest, PageIsWellFormed)
{
    Start();
    Call("/polarys.v1.KvService/Get", {""});
    Call("/polarys.v1.AdminService/GetStatus", {""});
    char *text = nullptr;
    size_t size;
    polarys_error err = {};
    ASSERT_EQ(metrics_render(server_, &text, &size, &err), POLARYS_OK) << err.message;
    EXPECT_EQ(strlen(text), size);
    std::istringstream lines(text);
    std::string line;
    std::map<std::string, std::string> types;
    while (std::getline(lines, line)) {
        if (line.rfind("# TYPE ", 0) == 0) {
            std::istringstream words(line.substr(7));
            std::string name, type;
            words >> name >> type;
            EXPECT_TRUE(types.emplace(name, type).second) << name << " is there twice";
            EXPECT_EQ(type == "counter",
                      name.size() > 6 && name.substr(name.size() - 6) == "_total")
                << name;
        } else if (line[0] != '#') {
            std::string name = line.substr(0, line.find_first_of(" {"));
            bool is_known = types.count(name) > 0;
            for (const char *suffix : {"_bucket", "_sum", "_count"}) {
                size_t length = strlen(suffix);
                is_known |= name.size() > length && name.substr(name.size() - length) == suffix &&
                            types[name.substr(0, name.size() - length)] == "histogram";
            }
            EXPECT_TRUE(is_known) << line;
        }
    }
    std::string page(text);
    EXPECT_NE(page.find("polarysdb_rpc_duration_seconds_count{method=\"polarys.v1.KvService/Get\","
                        "code=\"INVALID_ARGUMENT\"} 1\n"),
              std::string::npos);
    EXPECT_NE(page.find("process_resident_memory_bytes"), std::string::npos);
    free(text);
}

class ConnectionsTest : public ::testing::Test {
  protected:
    ConnectionsTest()
    {
        EXPECT_EQ(connections_create(2, &connections_, &err_), POLARYS_OK);
    }
    ~ConnectionsTest() override
    {
        connections_destroy(connections_);
    }
    static uint64_t Peer(uint16_t port)
    {
        const uint8_t address[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
        return connections_peer_digest(address, port);
    }
    bool Take(const std::vector<uint16_t> &ports)
    {
        std::vector<uint64_t> peers;
        for (uint16_t port : ports) {
            peers.push_back(Peer(port));
        }
        return connections_list_take(connections_, peers.data(), peers.size());
    }
    bool Admitted(uint16_t port)
    {
        return connections_is_admitted(connections_,
                                       ("ipv4:127.0.0.1:" + std::to_string(port)).c_str());
    }
    connections *connections_ = nullptr;
    polarys_error err_ = {};
};

TEST_F(ConnectionsTest, FirstOnesStayAdmitted)
{
    EXPECT_FALSE(Take({10, 11}));
    EXPECT_TRUE(Take({12, 10, 13, 11}));
    EXPECT_TRUE(Admitted(10));
    EXPECT_TRUE(Admitted(11));
    EXPECT_FALSE(Admitted(12));
    EXPECT_FALSE(Admitted(13));
    EXPECT_FALSE(Take({12, 11})); // 10 has closed, and 13: there is room again
    EXPECT_TRUE(Admitted(11));
    EXPECT_TRUE(Admitted(12));
    EXPECT_FALSE(Admitted(10));
}

TEST_F(ConnectionsTest, SpellingsOfPeersAreUnderstood)
{
    const uint8_t loopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    uint64_t peer = connections_peer_digest(loopback, 77);
    connections_list_take(connections_, &peer, 1);
    EXPECT_TRUE(connections_is_admitted(connections_, "ipv6:[::1]:77"));
    EXPECT_TRUE(connections_is_admitted(connections_, "ipv6:%5B::1%5D:77"));
    EXPECT_FALSE(connections_is_admitted(connections_, "ipv6:[::1]:78"));
    EXPECT_TRUE(connections_is_admitted(connections_, "unix:/tmp/x")); // not counted, not limited
    EXPECT_TRUE(connections_is_admitted(connections_, "ipv4:"));
}

class ProbeTest : public ServiceTest {};

TEST_F(ProbeTest, FindsTheListenerAndItsAbsence)
{
    Start();
    uint16_t port = server_->port;
    EXPECT_TRUE(http_listener_probe("127.0.0.1", port));
    EXPECT_TRUE(http_listener_probe("0.0.0.0", port));
    uint64_t count = 0;
    connections *connections = nullptr;
    polarys_error err = {};
    ASSERT_EQ(connections_create(1000, &connections, &err), POLARYS_OK);
    Call("/polarys.v1.AdminService/GetStatus", {""});
    EXPECT_FALSE(connections_count(connections, port, &count));
    EXPECT_GE(count, 1u);
    connections_destroy(connections);
    Stop();
    EXPECT_FALSE(http_listener_probe("127.0.0.1", port));
}

} // namespace
