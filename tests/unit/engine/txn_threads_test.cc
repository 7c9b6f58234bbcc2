/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions under real threads, on the real file system; also run under the thread sanitizer.
 */
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <thread>

#include "engine/engine_txn.h"
#include "tests/support/engine/test_store.h"
#include "tests/support/temp_dir.h"

using test_store::bytes_of;
using test_store::json_of;
using test_store::text_of;

namespace {

class TxnThreads : public ::testing::TestWithParam<polarys_log_role> {
  protected:
    void SetUp() override
    {
        polarys_error_clear(&error);
        key_path = std::string(dir.path()) + "/master.key";
        ASSERT_EQ(POLARYS_OK, polarys_master_key_generate(key_path.c_str(), &error));
        polarys_db_options options;
        polarys_db_options_init(&options);
        options.master_key_file = key_path.c_str();
        options.memory_limit = 64 << 20;
        options.memtable_bytes = 256 << 10; /* the floor passes snapshots all the time */
        options.wal_segment_bytes = 1 << 20;
        options.disk_reserve_bytes = 0;
        options.history_keep_ms = 0;
        options.log_role = GetParam();
        ASSERT_EQ(POLARYS_OK, polarys_db_open((std::string(dir.path()) + "/store").c_str(),
                                              &options, &db, &error))
            << error.message;
        ASSERT_EQ(POLARYS_OK, polarys_table_create(db, nullptr, "t", nullptr, nullptr, &error));
    }
    void TearDown() override
    {
        if (db != nullptr) {
            EXPECT_EQ(POLARYS_OK, polarys_db_close(db, 0, &error)) << error.message;
        }
    }
    long number(const std::string &key)
    {
        polarys_document document{};
        if (polarys_db_get(db, nullptr, "t", bytes_of(key), nullptr, &document, nullptr) !=
            POLARYS_OK) {
            return 0;
        }
        long value = strtol(text_of(document.value.bytes).c_str(), nullptr, 10);
        polarys_document_release(&document);
        return value;
    }
    void load(std::atomic<bool> *is_over)
    {
        std::string large = "\"" + std::string(2000, 'x') + "\"";
        for (int i = 0; !is_over->load(); i++) {
            polarys_value value = json_of(large);
            polarys_write_options write{};
            write.durability = POLARYS_DURABILITY_ASYNC;
            polarys_code code =
                polarys_db_put(db, nullptr, "t", bytes_of("load" + std::to_string(i % 5000)),
                               &value, &write, nullptr, nullptr);
            ASSERT_TRUE(code == POLARYS_OK || code == POLARYS_WRITE_STALL ||
                        code == POLARYS_MEMORY_LIMIT)
                << polarys_code_name(code);
        }
    }

    scoped_temp_dir dir;
    std::string key_path;
    polarys_db *db = nullptr;
    polarys_error error;
};

long read_number(polarys_txn *txn, const std::string &key, bool for_update, polarys_code *code)
{
    polarys_document document{};
    *code = polarys_txn_get(txn, "t", bytes_of(key), for_update, 0, &document, nullptr);
    long value = 0;
    if (*code == POLARYS_OK) {
        value = strtol(text_of(document.value.bytes).c_str(), nullptr, 10);
        polarys_document_release(&document);
    }
    *code = *code == POLARYS_KEY_NOT_FOUND ? POLARYS_OK : *code;
    return value;
}

polarys_code write_number(polarys_txn *txn, const std::string &key, long number)
{
    std::string text = std::to_string(number);
    polarys_value value = json_of(text);
    return polarys_txn_put(txn, "t", bytes_of(key), &value, 0, nullptr);
}

/* Moves one from a key to another. */
polarys_code move_one(polarys_db *db, const polarys_txn_options &options, const std::string &from,
                      const std::string &to)
{
    polarys_txn *txn = nullptr;
    polarys_code code = polarys_txn_begin(db, nullptr, &options, &txn, nullptr);
    if (code != POLARYS_OK) {
        return code;
    }
    long a = read_number(txn, from, true, &code);
    long b = code == POLARYS_OK ? read_number(txn, to, true, &code) : 0;
    if (code == POLARYS_OK) {
        code = write_number(txn, from, a - 1);
    }
    if (code == POLARYS_OK) {
        code = write_number(txn, to, b + 1);
    }
    if (code == POLARYS_OK) {
        code = polarys_txn_commit(txn, nullptr, nullptr, nullptr);
    }
    polarys_txn_release(txn);
    return code;
}

bool is_worth_another(polarys_code code)
{
    return code == POLARYS_TXN_CONFLICT || code == POLARYS_DEADLOCK || code == POLARYS_LOCK_TIMEOUT;
}

} // namespace

/* Money is moved about at every level and mode beside a bulk load: the sum stays, everybody gets through. */
TEST_P(TxnThreads, TheSumStaysWhatItWasBesideABulkLoad)
{
    enum { ACCOUNTS = 6, MOVES = 40 };
    std::atomic<bool> is_over{false};
    std::thread loader([&] { load(&is_over); });
    std::atomic<int> conflicts{0};
    std::vector<std::thread> movers;
    unsigned seed = 1;
    for (polarys_isolation level : {POLARYS_ISOLATION_READ_COMMITTED, POLARYS_ISOLATION_SNAPSHOT,
                                    POLARYS_ISOLATION_SERIALIZABLE}) {
        for (polarys_txn_mode mode : {POLARYS_TXN_OPTIMISTIC, POLARYS_TXN_PESSIMISTIC}) {
            movers.emplace_back([&, level, mode, seed] {
                sim_random random;
                sim_random_init(&random, seed);
                polarys_txn_options options{};
                options.isolation = level;
                options.mode = mode;
                for (int i = 0; i < MOVES; i++) {
                    std::string from = "a" + std::to_string(sim_random_below(&random, ACCOUNTS));
                    std::string to = "a" + std::to_string(sim_random_below(&random, ACCOUNTS));
                    if (from == to) {
                        continue;
                    }
                    polarys_code code;
                    do {
                        code = move_one(db, options, from, to);
                        conflicts += code == POLARYS_OK ? 0 : 1;
                    } while (is_worth_another(code));
                    ASSERT_EQ(POLARYS_OK, code) << polarys_code_name(code);
                }
            });
            seed++;
        }
    }
    for (auto &each : movers) {
        each.join();
    }
    is_over = true;
    loader.join();
    long sum = 0;
    for (int i = 0; i < ACCOUNTS; i++) {
        sum += number("a" + std::to_string(i));
    }
    EXPECT_EQ(0, sum);
    std::cout << conflicts << " conflicts\n";
}

/* A transaction that lasts over several memtables commits all the same: nothing that it touched changed. */
TEST_P(TxnThreads, ALongTransactionCommitsBesideABulkLoad)
{
    std::atomic<bool> is_over{false};
    std::thread loader([&] { load(&is_over); });
    for (polarys_isolation level : {POLARYS_ISOLATION_SNAPSHOT, POLARYS_ISOLATION_SERIALIZABLE}) {
        for (int i = 0; i < 3; i++) {
            polarys_txn_options options{};
            options.isolation = level;
            polarys_txn *txn = nullptr;
            polarys_code code;
            ASSERT_EQ(POLARYS_OK, polarys_txn_begin(db, nullptr, &options, &txn, &error));
            long before = read_number(txn, "mine", false, &code);
            polarys_db_status status{};
            ASSERT_EQ(POLARYS_OK, polarys_db_status_get(db, &status, &error));
            uint64_t flushes = status.flush_count;
            while (status.flush_count < flushes + 3) {
                std::this_thread::yield();
                ASSERT_EQ(POLARYS_OK, polarys_db_status_get(db, &status, &error));
            }
            ASSERT_EQ(POLARYS_OK, write_number(txn, "mine", before + 1));
            EXPECT_EQ(POLARYS_OK, polarys_txn_commit(txn, nullptr, nullptr, &error))
                << error.message;
            polarys_txn_release(txn);
        }
    }
    is_over = true;
    loader.join();
    EXPECT_EQ(6, number("mine"));
}

/* 64 writers of one key, each by a single-shot transaction or a lock: none starves. */
TEST_P(TxnThreads, SixtyFourWritersOfOneKeyAllGetThrough)
{
    enum { WRITERS = 64 };
    std::atomic<int> finished{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < WRITERS; i++) {
        threads.emplace_back([&, i] {
            if (i % 2 == 0) {
                polarys_transact *shot = nullptr;
                ASSERT_EQ(POLARYS_OK, polarys_transact_create(db, nullptr, &shot, nullptr));
                std::string patch = "{\"m" + std::to_string(i) + "\":1}";
                polarys_transact_operation operation{};
                operation.kind = POLARYS_TRANSACT_UPDATE;
                operation.table = "t";
                const std::string hot = "hot";
                operation.key = bytes_of(hot);
                operation.value = json_of(patch);
                ASSERT_EQ(POLARYS_OK,
                          polarys_transact_add(shot, POLARYS_TRANSACT_THEN, &operation, nullptr));
                std::atomic<int> code{-1};
                polarys_transact_submit(
                    shot, nullptr,
                    [](void *context, polarys_code answer, const polarys_transact_result *,
                       const polarys_error *) {
                        static_cast<std::atomic<int> *>(context)->store(answer);
                    },
                    &code);
                while (code == -1) {
                    (void)polarys_db_drive(db, 1);
                    std::this_thread::yield();
                }
                EXPECT_EQ(POLARYS_OK, code);
                polarys_transact_destroy(shot);
                finished++;
                return;
            }
            polarys_txn_options options{};
            options.mode = POLARYS_TXN_PESSIMISTIC;
            options.lock_timeout_ms = 60000;
            polarys_code code;
            do {
                polarys_txn *txn = nullptr;
                ASSERT_EQ(POLARYS_OK, polarys_txn_begin(db, nullptr, &options, &txn, nullptr));
                std::string patch = "{\"m" + std::to_string(i) + "\":1}";
                polarys_value value = json_of(patch);
                code = polarys_txn_update(txn, "t", bytes_of("hot"), &value, 0, nullptr);
                if (code == POLARYS_OK) {
                    code = polarys_txn_commit(txn, nullptr, nullptr, nullptr);
                }
                polarys_txn_release(txn);
            } while (is_worth_another(code));
            EXPECT_EQ(POLARYS_OK, code) << polarys_code_name(code);
            finished++;
        });
    }
    for (auto &each : threads) {
        each.join();
    }
    EXPECT_EQ(WRITERS, finished);
    polarys_document document{};
    ASSERT_EQ(POLARYS_OK,
              polarys_db_get(db, nullptr, "t", bytes_of("hot"), nullptr, &document, nullptr));
    std::string text = text_of(document.value.bytes);
    polarys_document_release(&document);
    for (int i = 0; i < WRITERS; i++) {
        EXPECT_NE(std::string::npos, text.find("\"m" + std::to_string(i) + "\":1")) << i;
    }
}

namespace {

/* A transaction that waits for the lock of a key, and what is done as the wait ends. */
struct waiter {
    waiter(polarys_db *db, const char *wanted_key, uint32_t timeout_ms) : key(wanted_key)
    {
        polarys_txn_options options{};
        options.mode = POLARYS_TXN_PESSIMISTIC;
        options.timeout_ms = timeout_ms;
        EXPECT_EQ(POLARYS_OK, polarys_txn_begin(db, nullptr, &options, &txn, nullptr));
    }
    ~waiter()
    {
        polarys_txn_release(txn);
    }
    waiter(const waiter &) = delete;
    waiter &operator=(const waiter &) = delete;
    void wait()
    {
        polarys_lock_wanted wanted{};
        wanted.table = "t";
        wanted.start = bytes_of(key);
        wanted.is_key = true;
        wanted.mode = POLARYS_LOCK_EXCLUSIVE;
        polarys_txn_lock(txn, &wanted, 0, ended, this);
    }
    static void ended(void *context, polarys_code, const polarys_error *)
    {
        auto *self = static_cast<waiter *>(context);
        if (self->then) {
            self->then();
        }
        self->is_ended.set_value();
    }
    std::string key;
    polarys_txn *txn = nullptr;
    std::function<void()> then;
    std::promise<void> is_ended;
};

} // namespace

/* The sweep stands at the first of three that it has listed, while the close lists those and one more. */
TEST_P(TxnThreads, ASweepAndTheCloseEndTheSameTransactions)
{
    enum { DUE_MS = 1000 };
    std::string text = "1";
    std::promise<void> sweeps;
    {
        waiter holder(db, "", 0);
        waiter first(db, "1", DUE_MS);
        waiter second(db, "2", DUE_MS);
        waiter other(db, "3", 0);
        waiter third(db, "4", DUE_MS);
        for (waiter *each : {&first, &second, &other, &third}) {
            polarys_value value = json_of(text);
            ASSERT_EQ(POLARYS_OK,
                      polarys_txn_put(holder.txn, "t", bytes_of(each->key), &value, 0, nullptr));
        }
        first.then = [&] {
            sweeps.set_value();
            third.is_ended.get_future().wait(); /* by the close */
        };
        for (waiter *each : {&first, &second, &other, &third}) {
            each->wait();
        }
        sweeps.get_future().wait();
        EXPECT_EQ(POLARYS_OK, polarys_db_close(db, 0, &error)) << error.message;
        db = nullptr;
    }
}

INSTANTIATE_TEST_SUITE_P(Roles, TxnThreads,
                         ::testing::Values(POLARYS_LOG_ROLE_INLINE, POLARYS_LOG_ROLE_THREAD));
