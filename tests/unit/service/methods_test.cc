// SPDX-License-Identifier: Apache-2.0
// The table of methods against the published descriptors, and what every method has to do: authorize, refuse when
// draining, survive bad messages.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "polarys_descriptors.h"
#include "service/auth/authorize.h"
#include "service/proto/wire.h"
#include "service/rpc/method.h"
#include "tests/unit/service/service_fixture.h"

namespace {

using service_test::Answer;
using service_test::ReasonOf;
using service_test::ServiceTest;

enum { SET_FILE = 1, FILE_PACKAGE = 2, FILE_SERVICE = 6, ANY_NAME = 1, SERVICE_METHOD = 2 };

std::string Text(polarys_slice bytes)
{
    return std::string(reinterpret_cast<const char *>(bytes.data), bytes.size);
}

template <typename Each> void Walk(polarys_slice message, uint32_t number, Each each)
{
    wire_field field;
    bool is_malformed;
    while (wire_field_next(&message, &field, &is_malformed)) {
        if (field.number == number && field.type == WIRE_BYTES) {
            each(field.bytes);
        }
    }
}

std::set<std::string> PublishedPaths()
{
    std::set<std::string> paths;
    Walk(slice_make(polarys_descriptor_set, polarys_descriptor_set_size), SET_FILE,
         [&](polarys_slice file) {
             std::string package = Text(wire_bytes_find(file, FILE_PACKAGE));
             Walk(file, FILE_SERVICE, [&](polarys_slice service) {
                 std::string name = Text(wire_bytes_find(service, ANY_NAME));
                 Walk(service, SERVICE_METHOD, [&](polarys_slice method) {
                     paths.insert("/" + package + "." + name + "/" +
                                  Text(wire_bytes_find(method, ANY_NAME)));
                 });
             });
         });
    return paths;
}

std::set<std::string> ServedPaths()
{
    std::set<std::string> paths;
    size_t count;
    const method *methods = method_table(&count);
    for (size_t i = 0; i < count; i++) {
        paths.insert(methods[i].path);
    }
    return paths;
}

TEST(MethodTable, ServesExactlyWhatIsPublished)
{
    EXPECT_GT(PublishedPaths().size(), 40u);
    EXPECT_EQ(ServedPaths(), PublishedPaths());
}

TEST(MethodTable, GivesEveryMethodAnActionAndARequest)
{
    size_t count;
    const method *methods = method_table(&count);
    for (size_t i = 0; i < count; i++) {
        EXPECT_NE(methods[i].action, AUTHORIZE_NONE) << methods[i].path;
        EXPECT_NE(methods[i].handle, nullptr) << methods[i].path;
        EXPECT_EQ(methods[i].request == nullptr, methods[i].kind == METHOD_BIDI) << methods[i].path;
    }
}

// Where a request has a field of the common name, the table knows it.
TEST(MethodTable, KnowsTheCommonFieldsOfEveryRequest)
{
    size_t count;
    const method *methods = method_table(&count);
    for (size_t i = 0; i < count; i++) {
        if (methods[i].request == nullptr) {
            continue;
        }
        const std::pair<const char *, uint16_t> fields[] = {
            {"database", methods[i].fields.database},
            {"table", methods[i].fields.table},
            {"key", methods[i].fields.key},
            {"consistency", methods[i].fields.consistency},
            {"transaction", methods[i].fields.transaction},
            {"durability", methods[i].fields.durability},
            {"request_id", methods[i].fields.request_id},
        };
        for (const auto &field : fields) {
            const ProtobufCFieldDescriptor *descriptor =
                protobuf_c_message_descriptor_get_field_by_name(methods[i].request, field.first);
            EXPECT_EQ(field.second, descriptor == nullptr ? 0 : descriptor->offset)
                << methods[i].path << " " << field.first;
        }
    }
}

class MethodsTest : public ServiceTest {
  protected:
    // Fields 1 and 2 as names: all that any request needs to get as far as authorization.
    static std::string NamesRequest()
    {
        return std::string("\x0a\x01"
                           "d"
                           "\x12\x01"
                           "t",
                           6);
    }
    // The same inside field 1, as the first message of a bulk write has it.
    static std::string OpenRequest()
    {
        return std::string("\x0a\x06", 2) + NamesRequest();
    }
    static std::string RequestOf(const method &method)
    {
        if (std::string(method.path).find("BulkService/Write") != std::string::npos) {
            return OpenRequest();
        }
        if (method.fields.database == 0) {
            return "";
        }
        return method.fields.table != 0 ? NamesRequest()
                                        : std::string("\x0a\x01"
                                                      "d",
                                                      3);
    }
};

struct Seen {
    std::vector<std::pair<authorize_action, std::string>> checks;
};

TEST_F(MethodsTest, EveryMethodIsRefusedWhereAuthorizationRefuses)
{
    Start();
    Seen seen;
    authorize_observe(
        [](void *context, authorize_action action, const authorize_resource *resource) {
            std::string name = resource->table == nullptr ? "" : resource->table;
            static_cast<Seen *>(context)->checks.emplace_back(action, name);
            return false;
        },
        &seen);
    size_t count;
    const method *methods = method_table(&count);
    for (size_t i = 0; i < count; i++) {
        seen.checks.clear();
        Answer answer = Call(methods[i].path, {RequestOf(methods[i])});
        EXPECT_EQ(answer.status, GRPC_STATUS_PERMISSION_DENIED)
            << methods[i].path << ": " << answer.text;
        EXPECT_EQ(ReasonOf(answer), "PERMISSION_DENIED") << methods[i].path;
        ASSERT_EQ(seen.checks.size(), 1u) << methods[i].path;
        EXPECT_EQ(seen.checks[0].first, methods[i].action) << methods[i].path;
        if (methods[i].fields.table != 0) {
            EXPECT_EQ(seen.checks[0].second, "t") << methods[i].path;
        }
    }
}

TEST_F(MethodsTest, TablesNamedInsideABatchAreAuthorizedToo)
{
    Start();
    MakeTable("a");
    MakeTable("b");
    Seen seen;
    authorize_observe(
        [](void *context, authorize_action action, const authorize_resource *resource) {
            static_cast<Seen *>(context)->checks.emplace_back(action, resource->table);
            return std::string(resource->table) != "b";
        },
        &seen);
    // table "a", and one operation { table "b", delete { key "k" } }.
    std::string operation = std::string("\x0a\x01"
                                        "b"
                                        "\x2a\x03\x0a\x01"
                                        "k",
                                        8);
    std::string request = std::string("\x12\x01"
                                      "a"
                                      "\x1a",
                                      4) +
                          static_cast<char>(operation.size()) + operation;
    Answer answer = Call("/polarys.v1.KvService/BatchWrite", {request});
    EXPECT_EQ(ReasonOf(answer), "PERMISSION_DENIED");
    ASSERT_EQ(seen.checks.size(), 2u);
    EXPECT_EQ(seen.checks[1].second, "b");
}

TEST_F(MethodsTest, OperationsOfATransactAreAuthorizedEach)
{
    Start();
    MakeTable("a");
    MakeTable("b");
    Seen seen;
    authorize_observe(
        [](void *context, authorize_action action, const authorize_resource *resource) {
            static_cast<Seen *>(context)->checks.emplace_back(action, resource->table);
            return action != AUTHORIZE_WRITE || std::string(resource->table) != "b";
        },
        &seen);
    // table "a"; then: get "k", get "k" of "b", delete "k", delete "k" of "b".
    const std::string key("\x0a\x01k", 3);
    const std::string get = std::string("\x12\x03", 2) + key;
    const std::string remove = std::string("\x2a\x03", 2) + key;
    const std::string of_b("\x0a\x01"
                           "b",
                           3);
    std::string request("\x12\x01"
                        "a",
                        3);
    for (const std::string &operation : {get, of_b + get, remove, of_b + remove}) {
        request += '\x22';
        request += static_cast<char>(operation.size());
        request += operation;
    }
    Answer answer = Call("/polarys.v1.TransactionService/Transact", {request});
    EXPECT_EQ(ReasonOf(answer), "PERMISSION_DENIED") << answer.text;
    ASSERT_FALSE(seen.checks.empty());
    EXPECT_EQ(seen.checks.back(), std::make_pair(AUTHORIZE_WRITE, std::string("b")));
    std::set<std::pair<authorize_action, std::string>> distinct(seen.checks.begin(),
                                                                seen.checks.end());
    EXPECT_EQ(distinct.size(), 4u);
}

TEST_F(MethodsTest, TransactionsThatAreNotThereAreToldFromMalformedIds)
{
    Start();
    MakeTable("t");
    const std::string get("\x12\x01t\x1a\x01k\x5a", 7);
    EXPECT_EQ(ReasonOf(Call("/polarys.v1.KvService/Get", {get + '\x10' + std::string(16, 'x')})),
              "TXN_NOT_FOUND");
    for (int size : {1, 15, 17}) {
        const std::string request =
            get + static_cast<char>(size) + std::string(static_cast<size_t>(size), 'x');
        EXPECT_EQ(ReasonOf(Call("/polarys.v1.KvService/Get", {request})), "BAD_ARGUMENT") << size;
    }
    for (const char *method : {"Commit", "Rollback", "GetTransaction"}) {
        const std::string path = std::string("/polarys.v1.TransactionService/") + method;
        EXPECT_EQ(ReasonOf(Call(path, {""})), "BAD_ARGUMENT") << method;
        EXPECT_EQ(ReasonOf(Call(path, {std::string("\x5a\x10", 2) + std::string(16, 'x')})),
                  "TXN_NOT_FOUND")
            << method;
    }
}

TEST_F(MethodsTest, MalformedMessagesAreRefusedEverywhere)
{
    Start();
    size_t count;
    const method *methods = method_table(&count);
    for (size_t i = 0; i < count; i++) {
        Answer answer = Call(methods[i].path, {std::string("\x0a\xff\xff", 3)});
        EXPECT_EQ(answer.status, GRPC_STATUS_INVALID_ARGUMENT)
            << methods[i].path << ": " << answer.text;
        EXPECT_EQ(ReasonOf(answer), "BAD_MESSAGE") << methods[i].path;
    }
}

TEST_F(MethodsTest, UnknownMethodsAreUnimplemented)
{
    Start();
    EXPECT_EQ(Call("/polarys.v1.KvService/Nothing", {""}).status, GRPC_STATUS_UNIMPLEMENTED);
    EXPECT_EQ(Call("/other/Get", {""}).status, GRPC_STATUS_UNIMPLEMENTED);
}

TEST_F(MethodsTest, CallsAreRefusedWhileTheServerIsTakenOutOfUse)
{
    Start();
    MakeTable("t");
    server_phase_set(server_, SERVER_LEAVING);
    EXPECT_EQ(ReasonOf(Call("/polarys.v1.KvService/Get", {std::string("\x12\x01t\x1a\x01k", 6)})),
              "KEY_NOT_FOUND");
    server_phase_set(server_, SERVER_REFUSING);
    size_t count;
    const method *methods = method_table(&count);
    for (size_t i = 0; i < count; i++) {
        if ((methods[i].flags & METHOD_WHILE_DRAINING) != 0) {
            continue;
        }
        Answer answer = Call(methods[i].path, {RequestOf(methods[i])});
        EXPECT_EQ(answer.status, GRPC_STATUS_UNAVAILABLE) << methods[i].path;
        EXPECT_EQ(ReasonOf(answer), "DRAINING") << methods[i].path;
    }
    EXPECT_EQ(Call("/polarys.v1.AdminService/GetStatus", {""}).status, GRPC_STATUS_OK);
    Answer health = Call("/grpc.health.v1.Health/Check", {""});
    ASSERT_EQ(health.messages.size(), 1u);
    EXPECT_EQ(health.messages[0], std::string("\x08\x02", 2)); // NOT_SERVING
}

TEST_F(MethodsTest, CallsOnConnectionsBeyondTheLimitAreRefused)
{
    Start();
    is_over_limit_ = true;
    __atomic_store_n(&server_->has_connection_limit, 1, __ATOMIC_RELAXED);
    Answer answer = Call("/polarys.v1.AdminService/GetStatus", {""});
    EXPECT_EQ(answer.status, GRPC_STATUS_RESOURCE_EXHAUSTED);
    EXPECT_EQ(ReasonOf(answer), "TOO_MANY_CALLS");
    is_over_limit_ = false;
    EXPECT_EQ(Call("/polarys.v1.AdminService/GetStatus", {""}).status, GRPC_STATUS_OK);
}

TEST_F(MethodsTest, NamesThatBelongToTheServerAreRefused)
{
    Start();
    std::string name = "polarys.bulk_sessions";
    std::string request = std::string("\x12", 1) + static_cast<char>(name.size()) + name;
    for (const char *path : {"/polarys.v1.KvService/Get", "/polarys.v1.TableService/CreateTable",
                             "/polarys.v1.KvService/Scan", "/polarys.v1.TableService/DropTable"}) {
        EXPECT_EQ(ReasonOf(Call(path, {request})), "BAD_NAME") << path;
    }
}

TEST_F(MethodsTest, DrainReachesTheControlLoop)
{
    Start();
    EXPECT_EQ(Call("/polarys.v1.AdminService/Drain", {std::string("\x0a\x02\x08\x03", 4)}).status,
              GRPC_STATUS_OK);
    EXPECT_EQ(drain_asked_ms_, 3000u);
}

} // namespace
