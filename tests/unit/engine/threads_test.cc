/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store under real threads, on the real file system: the suite that runs under the thread sanitizer.
 */
#include "tests/support/engine/test_store.h"
#include "tests/support/temp_dir.h"

using test_store::bytes_of;
using test_store::json_of;
using test_store::text_of;

namespace {

/* A store in a directory of its own, with the system's clock, files and threads. */
class Threads : public ::testing::TestWithParam<polarys_log_role> {
  protected:
    void SetUp() override
    {
        polarys_error_clear(&error);
        key_path = std::string(dir.path()) + "/master.key";
        store_path = std::string(dir.path()) + "/store";
        ASSERT_EQ(POLARYS_OK, polarys_master_key_generate(key_path.c_str(), &error))
            << error.message;
        polarys_db_options_init(&options);
        options.master_key_file = key_path.c_str();
        options.memory_limit = 32 << 20;
        options.memtable_bytes = 256 << 10;
        options.wal_segment_bytes = 1 << 20;
        options.disk_reserve_bytes = 0;
        options.history_keep_ms = 0;
        options.log_role = GetParam();
        ASSERT_EQ(POLARYS_OK, polarys_db_open(store_path.c_str(), &options, &db, &error))
            << error.message;
        ASSERT_EQ(POLARYS_OK, polarys_table_create(db, nullptr, "t", nullptr, nullptr, &error));
    }
    void TearDown() override
    {
        if (db != nullptr) {
            EXPECT_EQ(POLARYS_OK, polarys_db_close(db, 0, &error)) << error.message;
        }
    }

    scoped_temp_dir dir;
    std::string key_path;
    std::string store_path;
    polarys_db_options options;
    polarys_db *db = nullptr;
    polarys_error error;
};

/* Reads the number in the document, adds one, and writes it if nobody else has meanwhile. */
bool increment(polarys_db *db, const std::string &key)
{
    polarys_error err;
    polarys_error_clear(&err);
    polarys_document document{};
    uint64_t version = 0;
    unsigned long number = 0;
    polarys_code code = polarys_db_get(db, nullptr, "t", bytes_of(key), nullptr, &document, &err);
    if (code == POLARYS_OK) {
        version = document.version;
        number = std::stoul(text_of(document.value.bytes));
        polarys_document_release(&document);
    }
    polarys_batch *batch;
    EXPECT_EQ(POLARYS_OK, polarys_batch_create(db, nullptr, &batch, &err)) << err.message;
    polarys_precondition precondition{};
    precondition.kind = POLARYS_PRECONDITION_VERSION_EQUALS;
    precondition.version = version;
    std::string text = std::to_string(number + 1);
    polarys_value value = json_of(text);
    EXPECT_EQ(POLARYS_OK, polarys_batch_require(batch, "t", bytes_of(key), &precondition, &err));
    EXPECT_EQ(POLARYS_OK, polarys_batch_put(batch, "t", bytes_of(key), &value, &err));
    code = polarys_batch_commit(batch, nullptr, nullptr, &err);
    EXPECT_TRUE(code == POLARYS_OK || code == POLARYS_VERSION_MISMATCH) << err.message;
    polarys_batch_destroy(batch);
    return code == POLARYS_OK;
}

/* One submitted update after another, as an event loop does it. */
struct submitter {
    polarys_db *db;
    polarys_batch *batch = nullptr;
    std::string member;
    int left = 0;
    std::atomic<bool> is_over{false};

    void next()
    {
        polarys_error err;
        polarys_error_clear(&err);
        ASSERT_EQ(POLARYS_OK, polarys_batch_reset(batch, nullptr, &err)) << err.message;
        std::string patch = "{\"" + member + "\":" + std::to_string(left) + "}";
        ASSERT_EQ(POLARYS_OK, polarys_batch_update(batch, "t", slice_from_text("shared"),
                                                   bytes_of(patch), UINT64_MAX, &err))
            << err.message;
        polarys_batch_submit(batch, nullptr, done, this);
    }
    static void done(void *context, polarys_code code, const polarys_write_result *,
                     const polarys_error *err)
    {
        auto *self = static_cast<submitter *>(context);
        EXPECT_EQ(POLARYS_OK, code) << err->message;
        if (code != POLARYS_OK || --self->left == 0) {
            self->is_over = true;
        } else {
            self->next();
        }
    }
};

} // namespace

TEST_P(Threads, CountersAddUpWhileEverythingElseGoesOn)
{
    constexpr int writer_count = 4;
    constexpr int rounds = 60;
    std::atomic<bool> is_over{false};
    std::vector<std::thread> writers;
    std::vector<std::thread> others;
    for (int i = 0; i < writer_count; i++) {
        writers.emplace_back([this, i] {
            for (int done = 0; done < rounds;) {
                done += increment(db, "counter") ? 1 : 0;
                const std::string text = "\"" + std::string(2000, 'x') + "\"";
                polarys_value filler = json_of(text);
                std::string key = "filler" + std::to_string(i) + "-" + std::to_string(done);
                polarys_error err;
                EXPECT_EQ(POLARYS_OK, polarys_db_put(db, nullptr, "t", bytes_of(key), &filler,
                                                     nullptr, nullptr, &err))
                    << err.message;
            }
        });
    }
    others.emplace_back([&] {
        while (!is_over) {
            polarys_error err;
            uint64_t count;
            EXPECT_EQ(POLARYS_OK, polarys_table_count(db, nullptr, "t", nullptr, nullptr, nullptr,
                                                      &count, &err))
                << err.message;
        }
    });
    others.emplace_back([&] {
        for (int i = 0; !is_over; i++) {
            polarys_error err;
            std::string name = "table" + std::to_string(i % 3);
            EXPECT_EQ(POLARYS_OK,
                      polarys_table_create(db, nullptr, name.c_str(), nullptr, nullptr, &err))
                << err.message;
            EXPECT_EQ(POLARYS_OK,
                      polarys_table_drop(db, nullptr, name.c_str(), nullptr, nullptr, &err))
                << err.message;
        }
    });
    others.emplace_back([&] {
        while (!is_over) {
            polarys_error err;
            polarys_db_status status;
            EXPECT_EQ(POLARYS_OK, polarys_db_flush(db, nullptr, &err)) << err.message;
            EXPECT_EQ(POLARYS_OK, polarys_db_compact(db, nullptr, nullptr, &err)) << err.message;
            EXPECT_EQ(POLARYS_OK, polarys_db_status_get(db, &status, &err));
        }
    });
    for (std::thread &each : writers) {
        each.join();
    }
    is_over = true;
    for (std::thread &each : others) {
        each.join();
    }
    polarys_document document{};
    ASSERT_EQ(POLARYS_OK, polarys_db_get(db, nullptr, "t", slice_from_text("counter"), nullptr,
                                         &document, &error));
    EXPECT_EQ(std::to_string(writer_count * rounds), text_of(document.value.bytes));
    polarys_document_release(&document);
}

TEST_P(Threads, NoSubmitterOfOneKeyStarves)
{
    constexpr size_t submitter_count = 64;
    std::vector<std::unique_ptr<submitter>> submitters;
    for (size_t i = 0; i < submitter_count; i++) {
        submitters.push_back(std::make_unique<submitter>());
        submitters[i]->db = db;
        submitters[i]->member = "w" + std::to_string(i);
        submitters[i]->left = 10;
        ASSERT_EQ(POLARYS_OK, polarys_batch_create(db, nullptr, &submitters[i]->batch, &error));
    }
    for (auto &each : submitters) {
        each->next();
    }
    auto is_anyone_left = [&] {
        return std::any_of(submitters.begin(), submitters.end(),
                           [](const auto &each) { return !each->is_over; });
    };
    while (is_anyone_left()) {
        (void)polarys_db_drive(db, 1);
        std::this_thread::yield();
    }
    for (auto &each : submitters) {
        polarys_batch_destroy(each->batch);
    }
    polarys_document document{};
    ASSERT_EQ(POLARYS_OK, polarys_db_get(db, nullptr, "t", slice_from_text("shared"), nullptr,
                                         &document, &error));
    std::string value = text_of(document.value.bytes);
    polarys_document_release(&document);
    for (size_t i = 0; i < submitter_count; i++) {
        EXPECT_NE(std::string::npos, value.find("\"w" + std::to_string(i) + "\":1"));
    }
}

TEST_P(Threads, ClosingWaitsForWhatWasSubmitted)
{
    constexpr size_t count = 200;
    struct state {
        std::atomic<size_t> done{0};
    } state;
    std::vector<polarys_batch *> batches(count);
    for (size_t i = 0; i < count; i++) {
        const std::string text = "1";
        polarys_value value = json_of(text);
        std::string key = "k" + std::to_string(i);
        ASSERT_EQ(POLARYS_OK, polarys_batch_create(db, nullptr, &batches[i], &error));
        ASSERT_EQ(POLARYS_OK, polarys_batch_put(batches[i], "t", bytes_of(key), &value, &error));
    }
    for (polarys_batch *each : batches) {
        polarys_batch_submit(
            each, nullptr,
            [](void *context, polarys_code code, const polarys_write_result *,
               const polarys_error *) {
                EXPECT_TRUE(code == POLARYS_OK || code == POLARYS_DRAINING);
                static_cast<struct state *>(context)->done++;
            },
            &state);
    }
    ASSERT_EQ(POLARYS_OK, polarys_db_close(db, 0, &error)) << error.message;
    db = nullptr;
    EXPECT_EQ(count, state.done);
    for (polarys_batch *each : batches) {
        polarys_batch_destroy(each);
    }
}

TEST_P(Threads, ReopensAfterEverything)
{
    for (int round = 0; round < 5; round++) {
        const std::string text = std::to_string(round);
        polarys_value value = json_of(text);
        ASSERT_EQ(POLARYS_OK, polarys_db_put(db, nullptr, "t", bytes_of(text), &value, nullptr,
                                             nullptr, &error));
        ASSERT_EQ(POLARYS_OK, polarys_db_close(db, 0, &error)) << error.message;
        db = nullptr;
        ASSERT_EQ(POLARYS_OK, polarys_db_open(store_path.c_str(), &options, &db, &error))
            << error.message;
        uint64_t found;
        ASSERT_EQ(POLARYS_OK,
                  polarys_table_count(db, nullptr, "t", nullptr, nullptr, nullptr, &found, &error));
        EXPECT_EQ(static_cast<uint64_t>(round) + 1, found);
    }
}

INSTANTIATE_TEST_SUITE_P(Roles, Threads,
                         ::testing::Values(POLARYS_LOG_ROLE_INLINE, POLARYS_LOG_ROLE_THREAD),
                         [](const auto &role) {
                             return role.param == POLARYS_LOG_ROLE_INLINE ? "Inline" : "Thread";
                         });
