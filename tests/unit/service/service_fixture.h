/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store and a gRPC server in this process, and a client that speaks bytes: for tests of what every method has
 * to do.
 */
#ifndef TESTS_UNIT_SERVICE_SERVICE_FIXTURE_H
#define TESTS_UNIT_SERVICE_SERVICE_FIXTURE_H

#include <grpc/grpc.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "service/config/config.h"
#include "service/server/server.h"

namespace service_test {

struct Answer {
    grpc_status_code status = GRPC_STATUS_UNKNOWN;
    std::string text;
    std::string details; /* google.rpc.Status */
    std::vector<std::string> messages;
};

/* The reason in `details`; empty when there is none. */
std::string ReasonOf(const Answer &answer);

class ServiceTest : public ::testing::Test {
  protected:
    ServiceTest();
    ~ServiceTest() override;
    /* Starts with what `config_` says. */
    void Start();
    void Stop();
    /* Sends `requests`, then reads until the end. */
    Answer Call(const std::string &path, const std::vector<std::string> &requests,
                int64_t timeout_ms = 10000);
    void MakeTable(const char *table);

    std::unique_ptr<config> config_;
    std::string directory_;
    polarys_db *db_ = nullptr;
    server *server_ = nullptr;
    grpc_channel *channel_ = nullptr;
    std::atomic<uint64_t> drain_asked_ms_{UINT64_MAX};
    std::atomic<bool> is_over_limit_{false};

  private:
    void ShutDown();
};

} // namespace service_test

#endif
