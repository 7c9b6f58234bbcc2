/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libpolarys against a group of three real servers: reads on replicas, reads of one's own writes on any node, and a
 * primary that is killed while documents are written, watched and scanned.
 */
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "client/polarys_query.h"
#include "client/polarys_txn.h"
#include "client/polarys_watch.h"
#include "tests/integration/client_group.h"

namespace {

TEST_F(ClientGroup, ReadsGoToTheReplicas)
{
    enum { READS = 100 };
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    Open();
    struct polarys_client_write write = Write("k", "1");
    ASSERT_TRUE(polarys_client_put(client, &write, nullptr, &err)) << err.message;
    ASSERT_TRUE(Until([&] { return Get("k", POLARYS_CLIENT_LOCAL) == "1"; }));
    uint64_t before = a->Calls("KvService/Get");
    uint64_t replicas_before = b->Calls("KvService/Get") + c->Calls("KvService/Get");
    for (int i = 0; i < READS; i++) {
        (void)Get("k", POLARYS_CLIENT_LOCAL);
    }
    EXPECT_EQ(a->Calls("KvService/Get"), before);
    EXPECT_EQ(b->Calls("KvService/Get") + c->Calls("KvService/Get"), replicas_before + READS);
    EXPECT_GE(b->Calls("KvService/Get"), (uint64_t)READS / 3);
    EXPECT_GE(c->Calls("KvService/Get"), (uint64_t)READS / 3);
    ASSERT_EQ(Get("k", POLARYS_CLIENT_STRONG), "1"); /* that of the primary */
    EXPECT_EQ(a->Calls("KvService/Get"), before + 1);
}

TEST_F(ClientGroup, ASessionIsNeverStale)
{
    enum { WRITES = 200 };
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    Open();
    for (int i = 0; i < WRITES; i++) {
        struct polarys_client_write write = Write("k", std::to_string(i));
        ASSERT_TRUE(polarys_client_put(client, &write, nullptr, &err)) << err.message;
        ASSERT_EQ(Get("k", POLARYS_CLIENT_SESSION), std::to_string(i));
    }
    EXPECT_GT(b->Calls("KvService/Get") + c->Calls("KvService/Get"), 0u);
    uint64_t count = 0;
    struct polarys_client_read read = {};
    read.consistency = POLARYS_CLIENT_SESSION;
    ASSERT_TRUE(polarys_client_count(client, nullptr, "t", &read, &count, &err)) << err.message;
    EXPECT_EQ(count, 1u);
}

TEST_F(ClientGroup, AReplicaThatDiesIsNotMissed)
{
    options.read_policy = POLARYS_CLIENT_READ_REPLICA_PREFERRED;
    Open();
    struct polarys_client_write write = Write("k", "1");
    ASSERT_TRUE(polarys_client_put(client, &write, nullptr, &err));
    ASSERT_EQ(Get("k", POLARYS_CLIENT_SESSION), "1");
    b->Kill();
    for (int i = 0; i < 20; i++) {
        ASSERT_EQ(Get("k", POLARYS_CLIENT_SESSION), "1");
    }
    c->Kill();
    for (int i = 0; i < 20; i++) {
        ASSERT_EQ(Get("k", POLARYS_CLIENT_SESSION), "1");
    }
}

TEST_F(ClientGroup, OneReplicaIsEnoughToFindThePrimary)
{
    options.endpoint = c->endpoint.c_str();
    Open();
    struct polarys_client_write write = Write("k", "1");
    ASSERT_TRUE(polarys_client_put(client, &write, nullptr, &err)) << err.message;
    EXPECT_EQ(Get("k", POLARYS_CLIENT_STRONG), "1");
}

/* What goes on while the primary is killed. */
struct Traffic {
    struct polarys_client *client;
    std::atomic<bool> is_over{false};
    std::atomic<int> written{0};
    std::atomic<int> bulk_written{0};
    std::string failure; /* of the writer */
    std::string bulk_failure;
};

/* Each key once: made a second time it would be there already. */
void WriteOnce(Traffic *traffic)
{
    for (int i = 0; !traffic->is_over; i++) {
        std::string key = "once-" + std::to_string(i);
        struct polarys_client_error err;
        struct polarys_client_write write = {};
        write.table = "t";
        write.key = key.data();
        write.key_size = key.size();
        write.value = "1";
        write.value_size = 1;
        write.durability = POLARYS_CLIENT_QUORUM;
        write.precondition = POLARYS_CLIENT_MUST_NOT_EXIST;
        if (!polarys_client_put(traffic->client, &write, nullptr, &err)) {
            traffic->failure = key + ": " + err.reason + ": " + err.message;
            return;
        }
        traffic->written = i + 1;
    }
}

void WriteBulk(Traffic *traffic)
{
    struct polarys_client_bulk_options options = {};
    struct polarys_client_bulk *bulk;
    struct polarys_client_error err = {};
    options.table = "bulk";
    options.batch_records_max = 50;
    options.reconnect_ms = 30000;
    options.durability = POLARYS_CLIENT_QUORUM;
    bool is_ok = polarys_client_bulk_open(traffic->client, &options, &bulk, &err);
    for (int i = 0; is_ok && !traffic->is_over; i++) {
        std::string key = std::to_string(i);
        struct polarys_client_record record = {};
        record.key = key.data();
        record.key_size = key.size();
        record.value = "1";
        record.value_size = 1;
        is_ok = polarys_client_bulk_put(bulk, &record, &err);
        traffic->bulk_written = i + 1;
        if (i % 500 == 0) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
    }
    if (!is_ok || !polarys_client_bulk_close(bulk, &err)) {
        traffic->bulk_failure = std::string(err.reason) + ": " + err.message;
    }
}

uint64_t Count(struct polarys_client *client, const char *table)
{
    uint64_t count = 0;
    struct polarys_client_error err;
    EXPECT_TRUE(polarys_client_count(client, nullptr, table, nullptr, &count, &err)) << err.message;
    return count;
}

TEST_F(ClientGroup, WritersGoOnWhenThePrimaryIsKilled)
{
    Open();
    ASSERT_TRUE(polarys_client_table_create(client, nullptr, "bulk", nullptr, &err));
    Traffic traffic;
    traffic.client = client;
    std::thread writer(WriteOnce, &traffic);
    std::thread bulk(WriteBulk, &traffic);
    EXPECT_TRUE(Until([&] { return traffic.written > 50 && traffic.bulk_written > 2000; }));
    Move();
    int written = traffic.written;
    int bulk_written = traffic.bulk_written;
    EXPECT_TRUE(Until([&] {
        return (traffic.written > written + 50 && traffic.bulk_written > bulk_written + 2000) ||
               !traffic.failure.empty() || !traffic.bulk_failure.empty();
    }));
    traffic.is_over = true;
    writer.join();
    bulk.join();
    EXPECT_EQ(traffic.failure, "");
    EXPECT_EQ(traffic.bulk_failure, "");
    EXPECT_EQ(Count(client, "t"), (uint64_t)traffic.written);
    EXPECT_EQ(Count(client, "bulk"), (uint64_t)traffic.bulk_written);
    ASSERT_NE(primary, nullptr);
    EXPECT_GT(primary->Calls("KvService/Put"), 0u);
}

TEST_F(ClientGroup, WatchesGoOnWhenThePrimaryIsKilled)
{
    enum { BEFORE = 30, AFTER = 30 };
    Open();
    struct polarys_client_watch_options watch_options = {};
    struct polarys_client_watch *watch;
    struct polarys_client_watch_event event;
    watch_options.table = "t";
    watch_options.reconnect_ms = 30000;
    ASSERT_TRUE(polarys_client_watch_open(client, &watch_options, &watch, &err)) << err.message;
    std::map<std::string, int> seen;
    auto take = [&](size_t wanted) {
        bool has_event = true;
        while (has_event && seen.size() < wanted) {
            ASSERT_TRUE(polarys_client_watch_next(watch, &has_event, &event, &err)) << err.message;
            if (event.kind == POLARYS_CLIENT_WATCH_PUT) {
                seen[std::string((char *)event.document.key, event.document.key_size)]++;
            }
        }
    };
    auto put = [&](int from, int to) {
        for (int i = from; i < to; i++) {
            struct polarys_client_write write = Write(std::to_string(i), "1");
            write.durability = POLARYS_CLIENT_QUORUM;
            ASSERT_TRUE(polarys_client_put(client, &write, nullptr, &err)) << err.message;
        }
    };
    put(0, BEFORE);
    take(BEFORE / 2);
    Move();
    put(BEFORE, BEFORE + AFTER);
    take(BEFORE + AFTER);
    for (const auto &[each, count] : seen) {
        EXPECT_EQ(count, 1) << each;
    }
    polarys_client_watch_close(watch);
}

TEST_F(ClientGroup, AScanEndsWhollyOrSaysWhyNot)
{
    enum { DOCUMENTS = 20000 };
    Open();
    struct polarys_client_bulk_options bulk_options = {};
    struct polarys_client_bulk *bulk;
    bulk_options.table = "t";
    bulk_options.durability = POLARYS_CLIENT_QUORUM;
    ASSERT_TRUE(polarys_client_bulk_open(client, &bulk_options, &bulk, &err));
    const std::string text = "\"" + std::string(200, 'v') + "\"";
    for (int i = 0; i < DOCUMENTS; i++) {
        std::string number = std::to_string(100000 + i);
        struct polarys_client_record record = {};
        record.key = number.data();
        record.key_size = number.size();
        record.value = text.data();
        record.value_size = text.size();
        ASSERT_TRUE(polarys_client_bulk_put(bulk, &record, &err)) << err.message;
    }
    ASSERT_TRUE(polarys_client_bulk_close(bulk, &err)) << err.message;
    struct polarys_client_scan_options scan_options = {};
    struct polarys_client_scan *scan;
    struct polarys_client_document document;
    scan_options.table = "t";
    scan_options.reconnect_ms = 30000;
    ASSERT_TRUE(polarys_client_scan_open(client, &scan_options, &scan, &err));
    int count = 0;
    bool has_document = true;
    bool is_ok = true;
    while (is_ok && has_document) {
        is_ok = polarys_client_scan_next(scan, &has_document, &document, &err);
        count += is_ok && has_document;
        if (count == 100 && primary == nullptr) {
            Move();
        }
    }
    polarys_client_scan_close(scan);
    /* The version was on a quorum before, so it may go on; what was not known to be there says so. */
    if (is_ok) {
        EXPECT_EQ(count, (int)DOCUMENTS);
    } else {
        EXPECT_STREQ(err.reason, "HISTORY_DIVERGED") << err.message;
    }
    EXPECT_EQ(Count(client, "t"), (uint64_t)DOCUMENTS);
}

bool AddOne(void *context, struct polarys_client_txn *txn, struct polarys_client_error *err)
{
    struct polarys_client *client = (struct polarys_client *)context;
    const struct polarys_client_key key = {nullptr, "t", "sum", 3};
    struct polarys_client_read read = {};
    struct polarys_client_document document;
    read.txn = txn;
    read.is_for_update = true;
    if (!polarys_client_get(client, &key, &read, &document, err)) {
        return false;
    }
    std::string value = std::to_string(1 + std::stoi(std::string((char *)document.value)));
    polarys_client_document_free(&document);
    struct polarys_client_write write = {};
    write.table = "t";
    write.key = "sum";
    write.key_size = 3;
    write.value = value.data();
    write.value_size = value.size();
    write.txn = txn;
    return polarys_client_put(client, &write, nullptr, err);
}

TEST_F(ClientGroup, TransactionsBeginAnewOnTheNewPrimary)
{
    Open();
    struct polarys_client_write write = Write("sum", "0");
    write.durability = POLARYS_CLIENT_QUORUM;
    ASSERT_TRUE(polarys_client_put(client, &write, nullptr, &err)) << err.message;
    struct polarys_client_txn_options txn_options = {};
    txn_options.durability = POLARYS_CLIENT_QUORUM;
    std::atomic<bool> is_over{false};
    std::atomic<int> done{0};
    std::string failure;
    std::thread adder([&] {
        struct polarys_client_error why;
        while (!is_over) {
            if (!polarys_client_txn_run(client, &txn_options, AddOne, client, nullptr, &why)) {
                failure = std::string(why.reason) + ": " + why.message;
                return;
            }
            done++;
        }
    });
    EXPECT_TRUE(Until([&] { return done > 20; }));
    Move();
    int before = done;
    EXPECT_TRUE(Until([&] { return done > before + 20 || !failure.empty(); }));
    is_over = true;
    adder.join();
    EXPECT_EQ(failure, "");
    EXPECT_EQ(Get("sum", POLARYS_CLIENT_STRONG), std::to_string(done));
}

} // namespace
