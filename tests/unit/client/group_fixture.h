/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client on a scripted group: nodes that say what they are, take writes under their request ids and answer reads.
 */
#ifndef TESTS_UNIT_CLIENT_GROUP_FIXTURE_H
#define TESTS_UNIT_CLIENT_GROUP_FIXTURE_H

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "client/client_internal.h"
#include "tests/unit/client/client_fixture.h"
#include "tests/unit/client/fake_transport.h"
#include "tests/unit/client/messages.h"

/* One scripted node. */
struct GroupNode {
    bool is_up = true;
    bool is_primary = false;
    bool is_ready = true;
    uint64_t term = 1;
    uint64_t version = 1; /* what reads here see */
    std::string primary;  /* as it tells */
    uint64_t took_ms = 0;
    std::string refusal; /* of reads: a reason; empty: answers */
    enum polarys_client_status refusal_status = POLARYS_CLIENT_UNAVAILABLE;
    int writes = 0; /* carried out here */
    int reads = 0;
};

/* The version in a token, whose bytes come lowest first: tokens do not compare as text. */
inline uint64_t TokenVersion(const std::string &token)
{
    uint64_t version = 0;
    for (size_t i = 0; i < 8; i++) {
        version |= (uint64_t)(uint8_t)token.at(17 + i) << (8 * i);
    }
    return version;
}

inline std::string Token(uint64_t version)
{
    std::string token(26, '\0');
    token[0] = 1;
    for (int i = 0; i < 8; i++) {
        token[17 + i] = (char)(version >> (8 * i));
    }
    return token;
}

class Group : public testing::Test {
  protected:
    Group()
    {
        fake_network = &network;
        nodes["a:1"].is_primary = true;
        nodes["b:1"].primary = nodes["c:1"].primary = "a:1";
        network.on_unary_at = [this](const std::string &endpoint, const std::string &method,
                                     const std::string &request) {
            if (on_call) {
                on_call(endpoint, method);
            }
            return Call(endpoint, method.substr(method.rfind('/') + 1), request);
        };
        polarys_client_options_init(&options);
        options.endpoint = "a:1,b:1,c:1";
        memset(&write, 0, sizeof(write));
        memset(&read, 0, sizeof(read));
        write.table = "t";
        write.key = "k";
        write.key_size = 1;
        write.value = "1";
        write.value_size = 1;
    }
    ~Group() override
    {
        polarys_client_close(client);
        EXPECT_EQ(network.transport_count, 0);
    }
    void Open()
    {
        polarys_client_close(client);
        client = nullptr;
        ASSERT_TRUE(polarys_client_open(&options, &client, &err)) << err.message;
    }
    bool Get()
    {
        const struct polarys_client_key key = {nullptr, "t", "k", 1};
        struct polarys_client_document document;
        bool is_ok = polarys_client_get(client, &key, &read, &document, &err);
        polarys_client_document_free(&document);
        return is_ok;
    }
    bool Put()
    {
        return polarys_client_put(client, &write, &result, &err);
    }
    /* `from` is lost, and `to` takes its place. */
    void Promote(const std::string &from, const std::string &to)
    {
        nodes[from].is_up = false;
        nodes[to].is_primary = true;
        for (auto &[address, node] : nodes) {
            if (node.is_up) {
                node.term++;
                node.primary = to;
            }
        }
    }
    size_t Questions() const
    {
        size_t count = 0;
        for (const std::string &method : network.methods) {
            count += method == "/polarys.v1.AdminService/GetStatus";
        }
        return count;
    }

    FakeNetwork network;
    std::map<std::string, GroupNode> nodes;
    std::set<std::string> request_ids; /* of writes that were carried out, on whichever node */
    std::vector<std::string> replays;  /* of writes that had been carried out before */
    std::function<void(const std::string &endpoint, const std::string &method)> on_call;
    struct polarys_client_options options;
    struct polarys_client *client = nullptr;
    struct polarys_client_write write;
    struct polarys_client_read read;
    struct polarys_client_result result;
    struct polarys_client_error err;

  private:
    FakeAnswer Status(const GroupNode &node) const
    {
        Polarys__V1__GetStatusResponse status = POLARYS__V1__GET_STATUS_RESPONSE__INIT;
        Polarys__V1__ResponseHeader header = POLARYS__V1__RESPONSE_HEADER__INIT;
        Polarys__V1__ReplicaStatus replica = POLARYS__V1__REPLICA_STATUS__INIT;
        header.term = node.term;
        status.header = &header;
        status.role = node.is_primary ? POLARYS__V1__NODE_ROLE__NODE_ROLE_PRIMARY
                                      : POLARYS__V1__NODE_ROLE__NODE_ROLE_REPLICA;
        replica.primary = Bytes(node.primary);
        replica.connected = replica.caught_up = node.is_ready;
        status.replica = node.is_primary ? nullptr : &replica;
        return Answer(&status.base);
    }
    FakeAnswer Written(GroupNode *node, const std::string &request)
    {
        auto put = Unpack<Polarys__V1__PutRequest>(&polarys__v1__put_request__descriptor, request);
        if (!node->is_primary) {
            FakeAnswer refusal = Refusal(POLARYS_CLIENT_FAILED_PRECONDITION, "NOT_PRIMARY");
            refusal.primary = node->primary;
            return refusal;
        }
        if (put->request_id.len > 0 && !request_ids.insert(Text(put->request_id)).second) {
            replays.push_back(Text(put->request_id));
        } else {
            node->writes++;
            node->version++;
        }
        Polarys__V1__PutResponse response = POLARYS__V1__PUT_RESPONSE__INIT;
        Polarys__V1__ResponseHeader header = POLARYS__V1__RESPONSE_HEADER__INIT;
        std::string token = Token(node->version);
        header.term = node->term;
        header.token = Bytes(token);
        response.header = &header;
        response.version = node->version;
        return Answer(&response.base);
    }
    /* A real node would wait; a scripted one that is behind says so at once. */
    FakeAnswer Found(GroupNode *node, const std::string &request)
    {
        auto get = Unpack<Polarys__V1__GetRequest>(&polarys__v1__get_request__descriptor, request);
        if (!node->refusal.empty()) {
            return Refusal(node->refusal_status, node->refusal);
        }
        if (get->consistency != nullptr &&
            get->consistency->level_case == POLARYS__V1__CONSISTENCY__LEVEL_AT_LEAST &&
            TokenVersion(Text(get->consistency->at_least)) > node->version) {
            return Refusal(POLARYS_CLIENT_UNAVAILABLE, "REPLICA_BEHIND");
        }
        node->reads++;
        Polarys__V1__GetResponse response = POLARYS__V1__GET_RESPONSE__INIT;
        Polarys__V1__ResponseHeader header = POLARYS__V1__RESPONSE_HEADER__INIT;
        Polarys__V1__Value value;
        polarys__v1__value__init(&value);
        std::string token = Token(node->version);
        header.term = node->term;
        header.token = Bytes(token);
        response.header = &header;
        response.value = &value;
        return Answer(&response.base);
    }
    FakeAnswer Call(const std::string &endpoint, const std::string &method,
                    const std::string &request)
    {
        GroupNode *node = &nodes[endpoint];
        FakeAnswer answer = !node->is_up            ? Refusal(POLARYS_CLIENT_UNAVAILABLE)
                            : method == "GetStatus" ? Status(*node)
                            : method == "Put"       ? Written(node, request)
                                                    : Found(node, request);
        answer.took_ms = node->took_ms;
        return answer;
    }
};

#endif
