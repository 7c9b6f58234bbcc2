/* SPDX-License-Identifier: Apache-2.0 */
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <string>

#include "client/polarys.h"
#include "tests/unit/client/fake_transport.h"
#include "tests/unit/client/messages.h"

namespace {

/* A server that keeps what was committed, in order, and follows the rules of BulkService.Write. */
struct BulkServer {
    std::vector<std::pair<std::string, std::string>> records;
    std::vector<size_t> batch_sizes;
    std::vector<std::string> opened_with; /* session ids */
    bool knows_session = true;
    uint64_t last_number = 0;
    uint64_t window_bytes = 1 << 20;
    int sessions = 0;
    int break_after = -1;       /* batches until the stream breaks */
    bool breaks_before = false; /* the breaking batch is not committed */
    int unavailable = 0;        /* opens refused */
    bool is_silent = false;
    std::string refuse_reason;
    int refusals = 0;
    uint64_t unacked_bytes_max = 0;
};

class ScriptedBulk : public FakeStream {
  public:
    explicit ScriptedBulk(BulkServer *bulk_server) : server(bulk_server)
    {
    }
    void OnMessage(const std::string &message) override
    {
        auto request =
            Unpack<Polarys__V1__WriteRequest>(&polarys__v1__write_request__descriptor, message);
        ASSERT_NE(request, nullptr);
        if (server->is_silent) {
            return;
        }
        switch (request->message_case) {
        case POLARYS__V1__WRITE_REQUEST__MESSAGE_OPEN:
            Open(request->open);
            break;
        case POLARYS__V1__WRITE_REQUEST__MESSAGE_BATCH:
            Batch(request->batch, message.size());
            break;
        default:
            Close();
        }
    }

  private:
    void End(enum polarys_client_status status, const std::string &reason = "")
    {
        has_ended = true;
        end.status = status;
        end.reason = reason;
    }
    void Answer(Polarys__V1__WriteResponse *response)
    {
        answers.push_back(Pack(&response->base));
    }
    void Open(const Polarys__V1__WriteOpen *open)
    {
        server->opened_with.push_back(Text(open->session_id));
        if (server->unavailable > 0) {
            server->unavailable--;
            End(POLARYS_CLIENT_UNAVAILABLE);
            return;
        }
        if (open->session_id.len > 0 && !server->knows_session) {
            End(POLARYS_CLIENT_OUT_OF_RANGE, "CURSOR_EXPIRED");
            return;
        }
        if (open->session_id.len == 0) {
            server->sessions++;
            server->last_number = 0;
            server->knows_session = true;
        }
        std::string id(16, (char)('0' + server->sessions));
        Polarys__V1__WriteResponse response = POLARYS__V1__WRITE_RESPONSE__INIT;
        Polarys__V1__WriteOpened opened = POLARYS__V1__WRITE_OPENED__INIT;
        opened.session_id = Bytes(id);
        opened.last_number = server->last_number;
        opened.window_bytes = server->window_bytes;
        response.message_case = POLARYS__V1__WRITE_RESPONSE__MESSAGE_OPENED;
        response.opened = &opened;
        Answer(&response);
    }
    /* Refuses a batch behind one that was refused. */
    void AckOutOfOrder(uint64_t number)
    {
        Polarys__V1__WriteResponse response = POLARYS__V1__WRITE_RESPONSE__INIT;
        Polarys__V1__WriteAck ack = POLARYS__V1__WRITE_ACK__INIT;
        Polarys__V1__ErrorStatus error = POLARYS__V1__ERROR_STATUS__INIT;
        std::string reason = "BAD_ARGUMENT";
        error.code = POLARYS_CLIENT_INVALID_ARGUMENT;
        error.reason = Bytes(reason);
        ack.number = number;
        ack.result_case = POLARYS__V1__WRITE_ACK__RESULT_ERROR;
        ack.error = &error;
        response.message_case = POLARYS__V1__WRITE_RESPONSE__MESSAGE_ACK;
        response.ack = &ack;
        Answer(&response);
    }
    void Ack(uint64_t number)
    {
        Polarys__V1__WriteResponse response = POLARYS__V1__WRITE_RESPONSE__INIT;
        Polarys__V1__WriteAck ack = POLARYS__V1__WRITE_ACK__INIT;
        Polarys__V1__ErrorStatus error = POLARYS__V1__ERROR_STATUS__INIT;
        Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
        ack.number = number;
        if (server->refusals > 0) {
            server->refusals--;
            has_refused = true;
            delay.nanos = 200000000;
            error.code = server->refuse_reason == "BAD_JSON" ? POLARYS_CLIENT_INVALID_ARGUMENT
                                                             : POLARYS_CLIENT_RESOURCE_EXHAUSTED;
            error.code = server->refuse_reason == "NO_CODE" ? 0 : error.code;
            error.reason = Bytes(server->refuse_reason);
            error.retry_delay = &delay;
            ack.result_case = POLARYS__V1__WRITE_ACK__RESULT_ERROR;
            ack.error = &error;
        } else {
            server->last_number = number;
            ack.result_case = POLARYS__V1__WRITE_ACK__RESULT_VERSION;
            ack.version = number;
        }
        response.message_case = POLARYS__V1__WRITE_RESPONSE__MESSAGE_ACK;
        response.ack = &ack;
        Answer(&response);
    }
    void Batch(const Polarys__V1__WriteBatch *batch, size_t size)
    {
        bool breaks = server->break_after == 0;
        server->break_after -= server->break_after >= 0;
        unacked_bytes += size;
        server->unacked_bytes_max = std::max(server->unacked_bytes_max, unacked_bytes);
        if (breaks && server->breaks_before) {
            End(POLARYS_CLIENT_UNAVAILABLE);
            return;
        }
        if (has_refused) {
            AckOutOfOrder(batch->number);
            return;
        }
        EXPECT_EQ(batch->number, server->last_number + 1);
        if (server->refusals == 0) {
            server->batch_sizes.push_back(batch->n_records);
            for (size_t i = 0; i < batch->n_records; i++) {
                const Polarys__V1__BulkRecord *record = batch->records[i];
                server->records.emplace_back(
                    Text(record->key), record->delete_ ? "(deleted)" : Text(record->value->json));
            }
        }
        if (breaks) {
            server->last_number = batch->number;
            End(POLARYS_CLIENT_UNAVAILABLE);
            return;
        }
        Ack(batch->number);
        unacked_bytes = 0;
    }
    void Close()
    {
        Polarys__V1__WriteResponse response = POLARYS__V1__WRITE_RESPONSE__INIT;
        Polarys__V1__WriteClosed closed = POLARYS__V1__WRITE_CLOSED__INIT;
        response.message_case = POLARYS__V1__WRITE_RESPONSE__MESSAGE_CLOSED;
        response.closed = &closed;
        Answer(&response);
        has_ended = true;
    }
    BulkServer *server;
    uint64_t unacked_bytes = 0;
    bool has_refused = false;
};

class ClientBulk : public testing::Test {
  protected:
    ClientBulk()
    {
        fake_network = &network;
        network.on_stream = [this](const std::string &) {
            return std::make_shared<ScriptedBulk>(&server);
        };
        struct polarys_client_options options;
        polarys_client_options_init(&options);
        EXPECT_TRUE(polarys_client_open(&options, &client, &err));
        memset(&bulk_options, 0, sizeof(bulk_options));
        bulk_options.table = "t";
        bulk_options.batch_records_max = 10;
    }
    ~ClientBulk() override
    {
        polarys_client_close(client);
    }
    /* Borrows both. */
    static struct polarys_client_record Record(const std::string &key, const std::string &value)
    {
        struct polarys_client_record record;
        memset(&record, 0, sizeof(record));
        record.key = key.data();
        record.key_size = key.size();
        record.value = value.data();
        record.value_size = value.size();
        return record;
    }
    /* Writes records 0..count and closes. */
    bool Write(int count)
    {
        struct polarys_client_bulk *bulk;
        bool is_ok = polarys_client_bulk_open(client, &bulk_options, &bulk, &err);
        for (int i = 0; i < count && is_ok; i++) {
            std::string key = "k" + std::to_string(i);
            std::string value = std::to_string(i);
            struct polarys_client_record record = Record(key, value);
            is_ok = polarys_client_bulk_put(bulk, &record, &err);
        }
        struct polarys_client_error close_err;
        bool is_closed = polarys_client_bulk_close(bulk, &close_err);
        if (is_ok && !is_closed) {
            err = close_err;
        }
        return is_ok && is_closed;
    }
    void ExpectOnce(int count)
    {
        ASSERT_EQ(server.records.size(), (size_t)count);
        for (int i = 0; i < count; i++) {
            EXPECT_EQ(server.records[(size_t)i].first, "k" + std::to_string(i));
            EXPECT_EQ(server.records[(size_t)i].second, std::to_string(i));
        }
    }
    FakeNetwork network;
    BulkServer server;
    struct polarys_client_bulk_options bulk_options;
    struct polarys_client *client;
    struct polarys_client_error err;
};

TEST_F(ClientBulk, CutsBatchesByRecords)
{
    EXPECT_TRUE(Write(25));
    ExpectOnce(25);
    EXPECT_EQ(server.batch_sizes, (std::vector<size_t>{10, 10, 5}));
    EXPECT_EQ(network.stream_count, 1);
}

TEST_F(ClientBulk, CutsBatchesByBytes)
{
    bulk_options.batch_records_max = 1000;
    bulk_options.batch_bytes_max = 100;
    EXPECT_TRUE(Write(50));
    ExpectOnce(50);
    EXPECT_GT(server.batch_sizes.size(), 4u);
}

TEST_F(ClientBulk, WritesNothingWithoutRecords)
{
    EXPECT_TRUE(Write(0));
    EXPECT_EQ(network.stream_count, 0);
}

TEST_F(ClientBulk, SendsAnOversizeRecordAlone)
{
    struct polarys_client_bulk *bulk;
    std::string large = "\"" + std::string(600000, 'v') + "\"";
    const std::string small_key = "a";
    const std::string big_key = "b";
    const std::string one = "1";
    struct polarys_client_record small = Record(small_key, one);
    struct polarys_client_record big = Record(big_key, large);
    ASSERT_TRUE(polarys_client_bulk_open(client, &bulk_options, &bulk, &err));
    EXPECT_TRUE(polarys_client_bulk_put(bulk, &small, &err));
    EXPECT_TRUE(polarys_client_bulk_put(bulk, &big, &err));
    EXPECT_TRUE(polarys_client_bulk_put(bulk, &small, &err));
    EXPECT_TRUE(polarys_client_bulk_delete(bulk, "c", 1, &err));
    EXPECT_TRUE(polarys_client_bulk_flush(bulk, &err));
    EXPECT_EQ(polarys_client_bulk_acked(bulk), 4u);
    EXPECT_TRUE(polarys_client_bulk_close(bulk, &err));
    EXPECT_EQ(server.batch_sizes, (std::vector<size_t>{1, 1, 2}));
    EXPECT_EQ(server.records[3].second, "(deleted)");
}

TEST_F(ClientBulk, ResumesBehindWhatTheServerHas)
{
    for (int after = 0; after < 4; after++) {
        for (bool before : {false, true}) {
            server = BulkServer();
            server.break_after = after;
            server.breaks_before = before;
            EXPECT_TRUE(Write(45)) << after;
            ExpectOnce(45);
            ASSERT_EQ(server.opened_with.size(), 2u);
            EXPECT_EQ(server.opened_with[1], std::string(16, '1'));
            EXPECT_EQ(server.sessions, 1);
        }
    }
}

TEST_F(ClientBulk, BeginsAnewWhenTheServerForgotTheSession)
{
    struct polarys_client_bulk *bulk;
    std::string value = "1";
    ASSERT_TRUE(polarys_client_bulk_open(client, &bulk_options, &bulk, &err));
    server.break_after = 2;
    server.breaks_before = true;
    for (int i = 0; i < 40; i++) {
        if (i == 15) {
            server.knows_session = false;
        }
        std::string key = "k" + std::to_string(i);
        std::string number = std::to_string(i);
        struct polarys_client_record record = Record(key, number);
        ASSERT_TRUE(polarys_client_bulk_put(bulk, &record, &err));
    }
    EXPECT_TRUE(polarys_client_bulk_close(bulk, &err));
    ExpectOnce(40);
    EXPECT_EQ(server.sessions, 2);
    EXPECT_EQ(server.opened_with.back(), "");
}

TEST_F(ClientBulk, TriesAVanishedServerForItsTime)
{
    server.unavailable = 5;
    EXPECT_TRUE(Write(5));
    ExpectOnce(5);

    server = BulkServer();
    server.unavailable = 1000000;
    uint64_t start_ms = network.now_ms;
    EXPECT_FALSE(Write(5));
    EXPECT_EQ(err.status, POLARYS_CLIENT_UNAVAILABLE);
    EXPECT_GE(network.now_ms - start_ms, 10000u);
    EXPECT_LE(network.now_ms - start_ms, 11000u);
}

TEST_F(ClientBulk, WaitsOutRefusalsThatPass)
{
    server.refuse_reason = "WRITE_STALL";
    server.refusals = 3;
    EXPECT_TRUE(Write(25));
    ExpectOnce(25);
    EXPECT_EQ(network.sleeps_ms, (std::vector<uint32_t>{200, 200, 200}));
}

TEST_F(ClientBulk, GivesUpOnRefusalsWithoutEnd)
{
    server.refuse_reason = "DISK_LOW";
    server.refusals = 1000000;
    EXPECT_FALSE(Write(5));
    EXPECT_STREQ(err.reason, "DISK_LOW");
    EXPECT_LE(network.now_ms, 1000u + 11000u);
}

TEST_F(ClientBulk, EndsWithARefusalThatStays)
{
    server.refuse_reason = "BAD_JSON";
    server.refusals = 1;
    EXPECT_FALSE(Write(25));
    EXPECT_EQ(err.status, POLARYS_CLIENT_INVALID_ARGUMENT);
    EXPECT_STREQ(err.reason, "BAD_JSON");
    EXPECT_TRUE(server.records.empty());
}

TEST_F(ClientBulk, TakesARefusalWithoutAKnownCodeForAnError)
{
    server.refuse_reason = "NO_CODE";
    server.refusals = 1;
    EXPECT_FALSE(Write(5));
    EXPECT_EQ(err.status, POLARYS_CLIENT_UNKNOWN);
    EXPECT_STREQ(err.reason, "NO_CODE");
}

TEST_F(ClientBulk, GivesUpOnASilentServer)
{
    server.is_silent = true;
    EXPECT_FALSE(Write(5));
    EXPECT_EQ(err.status, POLARYS_CLIENT_UNAVAILABLE);
    EXPECT_LE(network.now_ms, 1000u + 75000u);
}

TEST_F(ClientBulk, ReportsProgress)
{
    static uint64_t last;
    last = 0;
    bulk_options.progress = [](void *, uint64_t records, uint64_t bytes) {
        EXPECT_GE(records, last);
        EXPECT_EQ(bytes == 0, records == 0);
        last = records;
    };
    EXPECT_TRUE(Write(25));
    EXPECT_EQ(last, 25u);
}

} // namespace
