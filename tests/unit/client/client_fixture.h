/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client on a scripted network, and answers by method.
 */
#ifndef TESTS_UNIT_CLIENT_CLIENT_FIXTURE_H
#define TESTS_UNIT_CLIENT_CLIENT_FIXTURE_H

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/polarys.h"
#include "tests/unit/client/fake_transport.h"
#include "tests/unit/client/messages.h"

inline FakeAnswer Refusal(enum polarys_client_status status, const std::string &reason = "")
{
    FakeAnswer answer;
    answer.status = status;
    answer.reason = reason;
    return answer;
}

inline FakeAnswer Answer(const ProtobufCMessage *message)
{
    FakeAnswer answer;
    answer.message = Pack(message);
    return answer;
}

/* Each method answers from a list of its own; the last answer stays. */
class ScriptedClient : public testing::Test {
  protected:
    ScriptedClient()
    {
        fake_network = &network;
        network.on_unary = [this](const std::string &method, const std::string &) {
            std::deque<FakeAnswer> &script = scripts[method.substr(method.rfind('/') + 1)];
            EXPECT_FALSE(script.empty()) << method;
            FakeAnswer answer =
                script.empty() ? Refusal(POLARYS_CLIENT_UNIMPLEMENTED) : script.front();
            if (script.size() > 1) {
                script.pop_front();
            }
            return answer;
        };
        polarys_client_options_init(&options);
        options.retries_max = 2;
        EXPECT_TRUE(polarys_client_open(&options, &client, &err));
    }
    ~ScriptedClient() override
    {
        polarys_client_close(client);
    }
    /* How many calls of a method there were. */
    size_t Calls(const std::string &name) const
    {
        size_t count = 0;
        for (const std::string &method : network.methods) {
            count += method.substr(method.rfind('/') + 1) == name;
        }
        return count;
    }
    /* The nth request of a method, counted from 0. */
    template <typename Message>
    std::unique_ptr<Message, MessageFree> Request(const std::string &name,
                                                  const ProtobufCMessageDescriptor *type,
                                                  size_t index = 0)
    {
        for (size_t i = 0; i < network.methods.size(); i++) {
            const std::string &method = network.methods[i];
            if (method.substr(method.rfind('/') + 1) == name && index-- == 0) {
                return Unpack<Message>(type, network.requests[i]);
            }
        }
        ADD_FAILURE() << "no such request of " << name;
        return nullptr;
    }
    FakeNetwork network;
    std::map<std::string, std::deque<FakeAnswer>> scripts;
    struct polarys_client_options options;
    struct polarys_client *client = nullptr;
    struct polarys_client_error err;
};

#endif
