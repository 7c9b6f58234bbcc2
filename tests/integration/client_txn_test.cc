/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions, indexes, queries and search of libpolarys against a real server, from several threads at once.
 */
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "client/polarys_query.h"
#include "client/polarys_txn.h"
#include "tests/integration/client_server.h"

namespace {

class ClientTransactions : public ClientLibrary {
  protected:
    std::string Value(const std::string &key)
    {
        struct polarys_client_document document;
        const struct polarys_client_key where = {nullptr, table, key.data(), key.size()};
        if (!polarys_client_get(client, &where, nullptr, &document, &err)) {
            return err.reason;
        }
        std::string value((char *)document.value, document.value_size);
        polarys_client_document_free(&document);
        return value;
    }
    std::vector<std::string> Query(const struct polarys_client_query_options &query_options)
    {
        std::vector<std::string> keys;
        struct polarys_client_query *query;
        struct polarys_client_document document;
        bool has_document = true;
        bool is_ok = polarys_client_query_open(client, &query_options, &query, &err);
        while (is_ok && has_document) {
            is_ok = polarys_client_query_next(query, &has_document, &document, &err);
            if (is_ok && has_document) {
                keys.push_back(std::string((char *)document.key, document.key_size));
            }
        }
        EXPECT_TRUE(is_ok) << err.message;
        polarys_client_query_close(query);
        return keys;
    }
};

struct Counter {
    struct polarys_client *client;
    const char *table;
    std::atomic<int> *calls;
};

/* What a write borrows has to outlive it. */
const std::string key_n = "n";
const std::string key_a = "a";
const std::string key_lock = "lock";
const std::string zero = "0";
const std::string one = "1";
const std::string mine = "\"mine\"";

/* Reads a number and writes the next one. */
bool CountUp(void *context, struct polarys_client_txn *txn, struct polarys_client_error *err)
{
    const Counter *counter = (const Counter *)context;
    struct polarys_client_document document;
    struct polarys_client_read read = {};
    struct polarys_client_write write = {};
    const struct polarys_client_key key = {nullptr, counter->table, "n", 1};

    ++*counter->calls;
    read.txn = txn;
    if (!polarys_client_get(counter->client, &key, &read, &document, err)) {
        return false;
    }
    std::string next = std::to_string(std::stoi((char *)document.value) + 1);
    polarys_client_document_free(&document);
    write.table = counter->table;
    write.key = "n";
    write.key_size = 1;
    write.value = next.data();
    write.value_size = next.size();
    write.txn = txn;
    return polarys_client_put(counter->client, &write, nullptr, err);
}

TEST_F(ClientTransactions, LoseNoUpdate)
{
    enum { THREADS = 4, ROUNDS = 25 };
    struct polarys_client_write write = Write(key_n, zero);
    ASSERT_TRUE(polarys_client_put(client, &write, nullptr, &err)) << err.message;
    for (auto mode : {POLARYS_CLIENT_OPTIMISTIC, POLARYS_CLIENT_PESSIMISTIC}) {
        std::vector<std::thread> threads;
        std::atomic<int> calls{0};
        std::atomic<int> failures{0};
        for (int i = 0; i < THREADS; i++) {
            threads.emplace_back([&] {
                Counter counter = {client, table, &calls};
                struct polarys_client_txn_options txn_options = {};
                struct polarys_client_error why;
                txn_options.isolation = POLARYS_CLIENT_SERIALIZABLE;
                txn_options.mode = mode;
                txn_options.attempts_max = 1000;
                for (int round = 0; round < ROUNDS; round++) {
                    if (!polarys_client_txn_run(client, &txn_options, CountUp, &counter, nullptr,
                                                &why)) {
                        ADD_FAILURE() << why.reason << ": " << why.message;
                        failures++;
                    }
                }
            });
        }
        for (std::thread &thread : threads) {
            thread.join();
        }
        EXPECT_EQ(failures, 0);
        EXPECT_GE(calls, THREADS * ROUNDS);
        EXPECT_EQ(Value("n"),
                  std::to_string((mode == POLARYS_CLIENT_OPTIMISTIC ? 1 : 2) * THREADS * ROUNDS));
    }
}

TEST_F(ClientTransactions, ShowNothingBeforeTheirCommit)
{
    struct polarys_client_txn *txn;
    struct polarys_client_txn_status status;
    struct polarys_client_result result;
    struct polarys_client_write write = Write(key_a, one);
    ASSERT_TRUE(polarys_client_txn_begin(client, nullptr, &txn, &err)) << err.message;
    write.txn = txn;
    ASSERT_TRUE(polarys_client_put(client, &write, nullptr, &err)) << err.message;
    EXPECT_EQ(Value("a"), "KEY_NOT_FOUND");
    ASSERT_TRUE(
        polarys_client_txn_status_get(client, nullptr, polarys_client_txn_id(txn), &status, &err));
    EXPECT_EQ(status.state, POLARYS_CLIENT_TXN_ACTIVE);
    EXPECT_EQ(status.write_count, 1u);
    ASSERT_TRUE(polarys_client_txn_commit(txn, POLARYS_CLIENT_DURABILITY_DEFAULT, &result, &err))
        << err.message;
    EXPECT_EQ(Value("a"), "1");
    ASSERT_TRUE(
        polarys_client_txn_status_get(client, nullptr, polarys_client_txn_id(txn), &status, &err));
    EXPECT_EQ(status.state, POLARYS_CLIENT_TXN_COMMITTED);
    EXPECT_EQ(status.commit_version, result.version);
    polarys_client_txn_close(txn);
}

TEST_F(ClientTransactions, TakeABatchAndDropIt)
{
    struct polarys_client_txn *txn;
    struct polarys_client_write write = Write(key_a, one);
    struct polarys_client_batch *batch = polarys_client_batch_create(client, nullptr);
    ASSERT_TRUE(polarys_client_batch_put(batch, &write));
    ASSERT_TRUE(polarys_client_txn_begin(client, nullptr, &txn, &err)) << err.message;
    EXPECT_TRUE(polarys_client_txn_apply(txn, batch, &err)) << err.message;
    EXPECT_TRUE(polarys_client_txn_rollback(txn, &err)) << err.message;
    polarys_client_batch_destroy(batch);
    polarys_client_txn_close(txn);
    EXPECT_EQ(Value("a"), "KEY_NOT_FOUND");
}

TEST_F(ClientTransactions, CompareThenOrElse)
{
    struct polarys_client_transact *transact = polarys_client_transact_create(client, nullptr);
    struct polarys_client_transact_outcome outcome;
    struct polarys_client_write put = Write(key_lock, mine);
    struct polarys_client_write absent = put;
    absent.precondition = POLARYS_CLIENT_MUST_NOT_EXIST;
    ASSERT_TRUE(polarys_client_transact_compare(transact, &absent));
    ASSERT_TRUE(polarys_client_transact_add(transact, POLARYS_CLIENT_THEN,
                                            POLARYS_CLIENT_OPERATION_PUT, &put));
    ASSERT_TRUE(polarys_client_transact_add(transact, POLARYS_CLIENT_ELSE,
                                            POLARYS_CLIENT_OPERATION_GET, &put));
    for (bool is_first : {true, false}) {
        ASSERT_TRUE(polarys_client_transact_run(transact, POLARYS_CLIENT_DURABILITY_DEFAULT,
                                                &outcome, &err))
            << err.message;
        EXPECT_EQ(outcome.has_succeeded, is_first);
        ASSERT_EQ(outcome.item_count, 1u);
        EXPECT_EQ(outcome.items[0].has_document, !is_first);
        polarys_client_transact_outcome_free(&outcome);
    }
    polarys_client_transact_destroy(transact);
}

TEST_F(ClientTransactions, IndexedQueriesGiveWhatIsThere)
{
    const char *fields[] = {"n"};
    const char *words[] = {"text"};
    struct polarys_client_index_options index = {};
    struct polarys_client_query_options query = {};
    struct polarys_client_batch *batch = polarys_client_batch_create(client, nullptr);
    uint64_t count;
    for (int i = 0; i < 300; i++) {
        std::string key = "k" + std::to_string(1000 + i);
        std::string value = "{\"n\":" + std::to_string(i % 10) + ",\"text\":\"word" +
                            std::to_string(i) + " running\"}";
        struct polarys_client_write write = Write(key, value);
        ASSERT_TRUE(polarys_client_batch_put(batch, &write));
    }
    ASSERT_TRUE(
        polarys_client_batch_commit(batch, POLARYS_CLIENT_DURABILITY_DEFAULT, nullptr, &err));
    polarys_client_batch_destroy(batch);
    index.table = table;
    index.fields = fields;
    index.field_count = 1;
    index.waits = true;
    query.table = table;
    query.filter = "n = 7";
    std::vector<std::string> without = Query(query);
    ASSERT_TRUE(polarys_client_index_create(client, &index, nullptr, nullptr, &err)) << err.message;
    std::vector<std::string> with = Query(query);
    std::sort(without.begin(), without.end());
    std::sort(with.begin(), with.end());
    EXPECT_EQ(with.size(), 30u);
    EXPECT_EQ(with, without);
    ASSERT_TRUE(polarys_client_query_count(client, &query, &count, &err)) << err.message;
    EXPECT_EQ(count, 30u);
    index.fields = words;
    index.kind = POLARYS_CLIENT_INDEX_TEXT;
    ASSERT_TRUE(polarys_client_index_create(client, &index, nullptr, nullptr, &err)) << err.message;
    struct polarys_client_search_options search = {};
    std::vector<std::string> hits;
    uint64_t total = 0;
    search.table = table;
    search.text = "word42 runs";
    auto each = [](void *context, const struct polarys_client_hit *hit) {
        ((std::vector<std::string> *)context)
            ->push_back(std::string((char *)hit->document.key, hit->document.key_size));
        return true;
    };
    ASSERT_TRUE(polarys_client_search(client, &search, each, &hits, &total, &err)) << err.message;
    EXPECT_EQ(hits, std::vector<std::string>{"k1042"});
    EXPECT_EQ(total, 1u);
}

TEST_F(ClientTransactions, QueriesGoOnWithTheirCursor)
{
    struct polarys_client_query_options options_of_query = {};
    std::vector<std::string> seen;
    std::string cursor;
    for (int i = 0; i < 25; i++) {
        std::string key = "k" + std::to_string(100 + i);
        std::string value = "{\"n\":" + std::to_string(100 - i) + "}";
        struct polarys_client_write write = Write(key, value);
        ASSERT_TRUE(polarys_client_put(client, &write, nullptr, &err));
    }
    options_of_query.table = table;
    options_of_query.order_by = "n";
    options_of_query.limit = 10;
    for (int page = 0; page < 4; page++) {
        struct polarys_client_query *query;
        struct polarys_client_document document;
        bool has_document = true;
        size_t size;
        options_of_query.cursor = cursor.data();
        options_of_query.cursor_size = cursor.size();
        ASSERT_TRUE(polarys_client_query_open(client, &options_of_query, &query, &err));
        while (polarys_client_query_next(query, &has_document, &document, &err) && has_document) {
            seen.push_back(std::string((char *)document.key, document.key_size));
        }
        EXPECT_FALSE(has_document) << err.message;
        const void *bytes = polarys_client_query_cursor(query, &size);
        cursor = std::string((const char *)bytes, size);
        polarys_client_query_close(query);
        if (cursor.empty()) {
            break;
        }
    }
    ASSERT_EQ(seen.size(), 25u);
    EXPECT_TRUE(std::is_sorted(seen.rbegin(), seen.rend()));
}

} // namespace
