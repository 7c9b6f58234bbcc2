/* SPDX-License-Identifier: Apache-2.0 */
#include "client/endpoint.h"

#include <gtest/gtest.h>

#include "client/polarys.h"
#include "tests/unit/client/fake_transport.h"

namespace {

TEST(ClientEndpoint, TakesHostsAddressesAndSockets)
{
    for (const char *endpoint :
         {"127.0.0.1:7480", "localhost:1", "db-1.example.org:65535", "my_container:80",
          "[::1]:7480", "[fe80::1%eth0]:7480", "unix:/run/polarys", "unix:relative"}) {
        EXPECT_TRUE(client_endpoint_is_valid(endpoint)) << endpoint;
    }
}

TEST(ClientEndpoint, RefusesWhatWouldBeLookedUpInVain)
{
    for (const char *endpoint : {"",
                                 ":",
                                 ":7480",
                                 "localhost",
                                 "localhost:",
                                 "localhost:0",
                                 "localhost:65536",
                                 "localhost:100000",
                                 "localhost:99999999999999999999",
                                 "localhost:-1",
                                 "localhost:http",
                                 "localhost:7480 ",
                                 " localhost:7480",
                                 "nonsense:endpoint:",
                                 "a:b:1",
                                 "::1:7480",
                                 "[::1]",
                                 "[::1]7480",
                                 "[]:7480",
                                 "[abc]:7480",
                                 "[::1",
                                 "unix:",
                                 "http://localhost:7480",
                                 "local host:7480",
                                 "a\nb:1"}) {
        EXPECT_FALSE(client_endpoint_is_valid(endpoint)) << endpoint;
    }
}

TEST(ClientEndpoint, IsJudgedAsAClientOpens)
{
    FakeNetwork network;
    fake_network = &network;
    struct polarys_client_options options;
    struct polarys_client_error err;
    struct polarys_client *client = (struct polarys_client *)&options;
    polarys_client_options_init(&options);
    options.endpoint = "nonsense:endpoint:";
    EXPECT_FALSE(polarys_client_open(&options, &client, &err));
    EXPECT_EQ(client, nullptr);
    EXPECT_EQ(err.status, POLARYS_CLIENT_INVALID_ARGUMENT);
    EXPECT_STREQ(err.reason, "BAD_ARGUMENT");
    EXPECT_STREQ(err.message, "the endpoint 'nonsense:endpoint:' is not HOST:PORT, [IPV6]:PORT or "
                              "unix:/path, or several with commas between");
    EXPECT_FALSE(polarys_client_open(&options, &client, nullptr));
}

} // namespace
