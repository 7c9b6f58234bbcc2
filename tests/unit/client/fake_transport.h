/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transport without a network: each call and each stream is answered by the script that a test sets, and
 * time passes only while the client sleeps or waits.
 */
#ifndef TESTS_UNIT_CLIENT_FAKE_TRANSPORT_H
#define TESTS_UNIT_CLIENT_FAKE_TRANSPORT_H

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/transport.h"

/* How a unary call ends. */
struct FakeAnswer {
    enum polarys_client_status status = POLARYS_CLIENT_OK;
    std::string reason;
    uint32_t retry_after_ms = 0;
    std::string message; /* encoded, when OK */
    std::string text = "scripted";
    std::string primary = ""; /* metadata of that name, when not empty */
    uint64_t took_ms = 0;     /* until the answer */
};

/* The server's side of one stream. */
class FakeStream {
  public:
    virtual ~FakeStream() = default;
    /* A message arrived; what it queues in `answers` the client receives. */
    virtual void OnMessage(const std::string &message) = 0;
    virtual void OnHalfClose()
    {
    }
    std::deque<std::string> answers;
    bool has_ended = false;
    FakeAnswer end; /* how, once it has */
};

struct FakeNetwork {
    std::recursive_mutex mutex; /* for calls of several threads; streams are of one */
    uint64_t now_ms = 1000;
    std::vector<uint32_t> sleeps_ms;
    std::vector<std::string> methods;
    std::vector<std::string> requests;
    std::vector<uint64_t> deadlines_ms;
    std::function<FakeAnswer(const std::string &method, const std::string &request)> on_unary;
    std::function<std::shared_ptr<FakeStream>(const std::string &method)> on_stream;
    /* For tests with several nodes: asked instead of those above when set. */
    std::function<FakeAnswer(const std::string &endpoint, const std::string &method,
                             const std::string &request)>
        on_unary_at;
    std::function<std::shared_ptr<FakeStream>(const std::string &endpoint,
                                              const std::string &method)>
        on_stream_at;
    std::vector<std::string> endpoints;        /* of each unary call */
    std::vector<std::string> stream_endpoints; /* of each stream */
    std::function<void(uint32_t duration_ms)> on_sleep;
    int stream_count = 0;
    int transport_count = 0; /* open ones */
    bool is_connected = true;
};

/* The network of the running test; a new one is set by each. */
extern FakeNetwork *fake_network;

#endif
