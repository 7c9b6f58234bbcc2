// SPDX-License-Identifier: Apache-2.0
// Copies of the store that are sent: made, found again, kept for a while, removed.
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/temp_dir.h"

#include "engine/engine_log.h"
#include "service/rpc/copy_store.h"

namespace {

constexpr uint64_t kMinuteNs = 60ull * 1000 * 1000 * 1000;

polarys_slice Slice(const std::string &text)
{
    return slice_make(reinterpret_cast<const uint8_t *>(text.data()), text.size());
}

class CopyStore : public ::testing::Test {
  protected:
    void SetUp() override
    {
        polarys_db_options options;
        polarys_db_options_init(&options);
        key_ = std::string(directory_.path()) + "/key";
        data_ = std::string(directory_.path()) + "/data";
        ASSERT_EQ(polarys_master_key_generate(key_.c_str(), &err_), POLARYS_OK) << err_.message;
        options.master_key_file = key_.c_str();
        options.memory_limit = 32 << 20;
        options.wal_segment_bytes = 1 << 20;
        options.disk_reserve_bytes = 1 << 20;
        options.history_keep_bytes = 1 << 20; /* or the log would be kept for watches */
        options.history_keep_ms = 1;
        ASSERT_EQ(polarys_db_open(data_.c_str(), &options, &db_, &err_), POLARYS_OK)
            << err_.message;
        ASSERT_EQ(polarys_table_create(db_, nullptr, "t", nullptr, nullptr, &err_), POLARYS_OK);
        Put("a", 1000);
        ASSERT_EQ(polarys_db_flush(db_, nullptr, &err_), POLARYS_OK) << err_.message;
        ASSERT_EQ(copy_store_create(db_, data_.c_str(), &store_, &err_), POLARYS_OK)
            << err_.message;
    }
    void TearDown() override
    {
        copy_store_destroy(store_);
        EXPECT_EQ(polarys_db_close(db_, 10000, &err_), POLARYS_OK) << err_.message;
    }
    void Put(const std::string &key, size_t size)
    {
        std::string text = "\"";
        for (size_t i = 0; i < size; i++) {
            /* Hardly to be compressed, or the log would stay short. */
            random_ = random_ * 6364136223846793005u + 1442695040888963407u;
            text += static_cast<char>('0' + (random_ >> 33) % 70 % 43);
        }
        text += "\"";
        polarys_value value = {};
        value.kind = POLARYS_VALUE_JSON;
        value.bytes = Slice(text);
        ASSERT_EQ(polarys_db_put(db_, nullptr, "t", Slice(key), &value, nullptr, nullptr, &err_),
                  POLARYS_OK)
            << err_.message;
    }
    copy *Make(uint64_t now_ns)
    {
        copy *made = nullptr;
        EXPECT_EQ(copy_store_make(store_, now_ns, nullptr, &made, &err_), POLARYS_OK)
            << err_.message;
        return made;
    }
    size_t Directories() const
    {
        std::filesystem::path copies = data_ + "/copies";
        size_t count = 0;
        if (std::filesystem::exists(copies)) {
            for (const auto &each : std::filesystem::directory_iterator(copies)) {
                count += each.is_directory();
            }
        }
        return count;
    }

    scoped_temp_dir directory_;
    std::string key_;
    std::string data_;
    polarys_error err_ = {};
    polarys_db *db_ = nullptr;
    copy_store *store_ = nullptr;
    uint64_t random_ = 1;
};

TEST_F(CopyStore, ListsAllFilesWithTheKeyringLast)
{
    copy *made = Make(1);
    ASSERT_NE(made, nullptr);
    std::set<std::string> names;
    for (size_t i = 0; i < made->files.count; i++) {
        const copy_file &file = made->files.list[i];
        struct stat status = {};
        std::string path = std::string(made->dir) + "/" + file.path;
        ASSERT_EQ(stat(path.c_str(), &status), 0) << path;
        EXPECT_EQ(file.size, static_cast<uint64_t>(status.st_size));
        EXPECT_LE(file.data_size, file.size);
        names.insert(file.path);
        EXPECT_EQ(copy_files_find(&made->files, Slice(file.path)), static_cast<long>(i));
    }
    EXPECT_STREQ(made->files.list[made->files.count - 1].path, "keyring");
    EXPECT_EQ(names.count("LOCK"), 0u);
    EXPECT_EQ(made->end.version, polarys_db_version(db_));
    EXPECT_GT(made->end.segment_id, 0u);
    EXPECT_EQ(copy_files_find(&made->files, Slice("nosuch")), -1);
    EXPECT_EQ(copy_files_find(&made->files, Slice("")), -1);
    EXPECT_EQ(copy_files_find(&made->files, Slice(std::string(COPY_PATH_MAX, 'a'))), -1);
    EXPECT_EQ(copy_files_find(&made->files, Slice(std::string("keyring\0", 8))), -1);
    copy_store_release(store_, made, true, 2);
}

TEST_F(CopyStore, TellsWhereTheZerosAtTheEndBegin)
{
    copy *made = Make(1);
    ASSERT_NE(made, nullptr);
    bool has_log = false;
    for (size_t i = 0; i < made->files.count; i++) {
        const copy_file &file = made->files.list[i];
        if (strncmp(file.path, "wal/", 4) != 0) {
            continue;
        }
        has_log = true;
        std::ifstream in(std::string(made->dir) + "/" + file.path, std::ios::binary);
        std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
        ASSERT_EQ(bytes.size(), file.size);
        EXPECT_LT(file.data_size, file.size) << "the log is written ahead of what is in it";
        EXPECT_NE(bytes[file.data_size - 1], '\0');
        EXPECT_EQ(bytes.find_first_not_of('\0', file.data_size), std::string::npos);
    }
    EXPECT_TRUE(has_log);
    copy_store_release(store_, made, true, 2);
}

TEST_F(CopyStore, FindsACopyByItsIdUntilItsTimeIsOver)
{
    copy *made = Make(kMinuteNs);
    ASSERT_NE(made, nullptr);
    polarys_slice id = slice_make(made->id, COPY_ID_SIZE);
    uint8_t id_bytes[COPY_ID_SIZE];
    memcpy(id_bytes, made->id, COPY_ID_SIZE);
    copy *found = nullptr;
    ASSERT_EQ(copy_store_acquire(store_, id, &found, &err_), POLARYS_OK);
    EXPECT_EQ(found, made);
    copy_store_release(store_, made, false, kMinuteNs);
    copy_store_sweep(store_, 20 * kMinuteNs);
    EXPECT_EQ(copy_store_count(store_), 1u) << "it is used";
    copy_store_release(store_, found, false, 5 * kMinuteNs);
    copy_store_sweep(store_, 14 * kMinuteNs);
    EXPECT_EQ(copy_store_count(store_), 1u) << "ten minutes have not passed";
    copy_store_sweep(store_, 15 * kMinuteNs);
    copy_store_destroy(store_); /* waits for the sweep */
    store_ = nullptr;
    EXPECT_EQ(Directories(), 0u);
    ASSERT_EQ(copy_store_create(db_, data_.c_str(), &store_, &err_), POLARYS_OK);
    EXPECT_EQ(copy_store_acquire(store_, slice_make(id_bytes, COPY_ID_SIZE), &found, &err_),
              POLARYS_CURSOR_EXPIRED);
    EXPECT_EQ(found, nullptr);
    EXPECT_EQ(copy_store_acquire(store_, slice_make(id_bytes, 3), &found, &err_),
              POLARYS_CURSOR_EXPIRED);
}

TEST_F(CopyStore, KeepsFewAndLetsGoOfThoseThatWereSent)
{
    copy *made[COPIES_MAX];
    for (int i = 0; i < COPIES_MAX; i++) {
        made[i] = Make(static_cast<uint64_t>(i) + 1);
        ASSERT_NE(made[i], nullptr);
    }
    copy *more = nullptr;
    EXPECT_EQ(copy_store_make(store_, 10, nullptr, &more, &err_), POLARYS_TOO_MANY_CALLS);
    EXPECT_EQ(more, nullptr);
    copy_store_release(store_, made[0], false, 11); /* not whole: somebody may go on with it */
    EXPECT_EQ(copy_store_make(store_, 12, nullptr, &more, &err_), POLARYS_TOO_MANY_CALLS);
    copy_store_release(store_, made[1], true, 13);
    std::string gone = made[1]->dir;
    more = Make(14);
    ASSERT_NE(more, nullptr);
    EXPECT_FALSE(std::filesystem::exists(gone));
    EXPECT_EQ(copy_store_count(store_), static_cast<size_t>(COPIES_MAX));
    copy_store_release(store_, more, true, 15);
    copy_store_release(store_, made[2], true, 15);
    copy_store_release(store_, made[3], true, 15);
}

TEST_F(CopyStore, RemovesWhatAnEarlierProcessLeft)
{
    copy_store_destroy(store_);
    std::filesystem::create_directories(data_ + "/copies/00/wal");
    std::ofstream(data_ + "/copies/00/wal/x") << "left";
    ASSERT_EQ(copy_store_create(db_, data_.c_str(), &store_, &err_), POLARYS_OK) << err_.message;
    EXPECT_EQ(Directories(), 0u);
}

TEST_F(CopyStore, StopsWhenItIsNotWantedAndLeavesNothing)
{
    copy_stop stop = {[](void *) { return true; }, nullptr};
    copy *made = nullptr;
    EXPECT_EQ(copy_store_make(store_, 1, &stop, &made, &err_), POLARYS_CANCELLED);
    EXPECT_EQ(made, nullptr);
    EXPECT_EQ(copy_store_count(store_), 0u);
    EXPECT_EQ(Directories(), 0u);
    made = Make(2);
    ASSERT_NE(made, nullptr) << "the place was given back";
    copy_store_release(store_, made, true, 3);
}

TEST_F(CopyStore, ReadsAFileThatItKnowsOnlyOnce)
{
    copy *first = Make(1);
    ASSERT_NE(first, nullptr);
    Put("b", 10);
    /* Every look at the stop stands for a chunk that is read: the table files are not among them again. */
    size_t looks = 0;
    copy_stop stop = {[](void *context) {
                          ++*static_cast<size_t *>(context);
                          return false;
                      },
                      &looks};
    copy *second = nullptr;
    ASSERT_EQ(copy_store_make(store_, 2, &stop, &second, &err_), POLARYS_OK) << err_.message;
    size_t chunks = 0;
    size_t linked = 0;
    for (size_t i = 0; i < second->files.count; i++) {
        const copy_file &file = second->files.list[i];
        linked += file.is_linked;
        /* One look a chunk, and one that finds the end. */
        chunks += file.is_linked ? 0 : (file.size + (1 << 20) - 1) / (1 << 20) + 1;
    }
    EXPECT_GT(linked, 0u);
    EXPECT_EQ(looks, chunks);
    for (size_t i = 0; i < second->files.count; i++) {
        const copy_file &file = second->files.list[i];
        long at = file.is_linked ? copy_files_find(&first->files, Slice(file.path)) : -1;
        if (at >= 0) {
            EXPECT_EQ(memcmp(first->files.list[at].sha256, file.sha256, COPY_DIGEST_SIZE), 0);
            EXPECT_EQ(first->files.list[at].data_size, file.data_size);
        }
    }
    copy_store_release(store_, first, true, 3);
    copy_store_release(store_, second, true, 3);
}

TEST_F(CopyStore, MakesCopiesThatOpenWithWhatWasWrittenBefore)
{
    Put("late", 100); /* only in the log */
    copy *made = Make(1);
    ASSERT_NE(made, nullptr);
    std::string target = std::string(directory_.path()) + "/restored";
    std::filesystem::copy(made->dir, target, std::filesystem::copy_options::recursive);
    uint64_t version = made->end.version;
    copy_store_release(store_, made, true, 2);
    polarys_db_options options;
    polarys_db_options_init(&options);
    options.master_key_file = key_.c_str();
    options.memory_limit = 32 << 20;
    options.create_if_missing = false;
    options.is_follower = true;
    polarys_db *restored = nullptr;
    ASSERT_EQ(polarys_db_open(target.c_str(), &options, &restored, &err_), POLARYS_OK)
        << err_.message;
    EXPECT_EQ(polarys_db_version(restored), version);
    polarys_document document = {};
    EXPECT_EQ(polarys_db_get(restored, nullptr, "t", Slice("late"), nullptr, &document, &err_),
              POLARYS_OK)
        << err_.message;
    polarys_document_release(&document);
    EXPECT_EQ(polarys_db_close(restored, 10000, &err_), POLARYS_OK) << err_.message;
}

TEST_F(CopyStore, KeepsTheLogBehindACopyAsLongAsTheCopy)
{
    copy *made = Make(1);
    ASSERT_NE(made, nullptr);
    polarys_log_position end = made->end;
    auto write_on = [&] {
        for (int i = 0; i < 60; i++) {
            Put("n" + std::to_string(i), 100000);
        }
        ASSERT_EQ(polarys_db_flush(db_, nullptr, &err_), POLARYS_OK) << err_.message;
    };
    for (int i = 0; i < 5; i++) {
        write_on(); /* several segments, and several times when they could go */
    }
    copy_store_release(store_, made, true, 2);
    polarys_log_reader *reader = nullptr;
    ASSERT_EQ(polarys_log_reader_open(db_, &end, &reader, &err_), POLARYS_OK) << err_.message;
    polarys_log_part part = {};
    bool has_part = false;
    ASSERT_EQ(polarys_log_reader_next(reader, &part, &has_part, &err_), POLARYS_OK) << err_.message;
    EXPECT_TRUE(has_part) << "what follows the copy is there";
    polarys_log_reader_close(reader);
    EXPECT_LE(polarys_log_earliest_segment(db_), end.segment_id);
    copy_store_destroy(store_);
    store_ = nullptr;
    /* A task after a flush lets go of it. */
    for (int i = 0; i < 100 && polarys_log_earliest_segment(db_) <= end.segment_id; i++) {
        write_on();
    }
    EXPECT_GT(polarys_log_earliest_segment(db_), end.segment_id);
    EXPECT_EQ(polarys_log_reader_open(db_, &end, &reader, &err_), POLARYS_LOG_PRUNED);
    polarys_log_reader_close(reader);
}

TEST_F(CopyStore, ServesManyThreadsAtOnce)
{
    std::atomic<uint64_t> now{1};
    std::atomic<int> made_count{0};
    std::atomic<int> found_count{0};
    auto work = [&](int thread) {
        polarys_error err = {};
        for (int i = 0; i < 6; i++) {
            copy *made = nullptr;
            polarys_code code = copy_store_make(store_, now++, nullptr, &made, &err);
            if (code == POLARYS_TOO_MANY_CALLS) {
                polarys_error_clear(&err);
                continue;
            }
            ASSERT_EQ(code, POLARYS_OK) << err.message;
            made_count++;
            copy *found = nullptr;
            ASSERT_EQ(copy_store_acquire(store_, slice_make(made->id, COPY_ID_SIZE), &found, &err),
                      POLARYS_OK);
            found_count += found == made;
            copy_store_release(store_, found, (i + thread) % 2 == 0, now++);
            copy_store_release(store_, made, true, now++);
            copy_store_sweep(store_, now++ + 11 * kMinuteNs);
        }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) {
        threads.emplace_back(work, i);
    }
    for (std::thread &each : threads) {
        each.join();
    }
    EXPECT_GT(made_count.load(), 0);
    EXPECT_EQ(found_count.load(), made_count.load());
    EXPECT_LE(copy_store_count(store_), static_cast<size_t>(COPIES_MAX));
    copy_store_destroy(store_);
    store_ = nullptr;
    EXPECT_EQ(Directories(), 0u);
}

TEST(CopyFiles, RefusesWhatIsNoFile)
{
    scoped_temp_dir directory;
    copy_files files = {};
    polarys_error err = {};
    std::string link = std::string(directory.path()) + "/link";
    ASSERT_EQ(symlink("/etc/passwd", link.c_str()), 0);
    EXPECT_EQ(copy_files_list(directory.path(), &files, &err), POLARYS_IO);
    EXPECT_EQ(files.count, 0u);
    polarys_error_clear(&err);
    EXPECT_EQ(copy_files_list((std::string(directory.path()) + "/none").c_str(), &files, &err),
              POLARYS_FILE_NOT_FOUND)
        << err.message;
}

TEST(CopyFiles, TellsAFileThatBecameShorter)
{
    scoped_temp_dir directory;
    copy_files files = {};
    polarys_error err = {};
    std::string path = std::string(directory.path()) + "/f";
    std::ofstream(path) << "0123456789";
    ASSERT_EQ(copy_files_list(directory.path(), &files, &err), POLARYS_OK) << err.message;
    ASSERT_EQ(files.count, 1u);
    std::filesystem::resize_file(path, 4);
    EXPECT_EQ(copy_files_digest(directory.path(), &files, nullptr, nullptr, &err), POLARYS_CORRUPT);
    copy_files_deinit(&files);
}

TEST(CopyFiles, RemovesNothingBelowALink)
{
    scoped_temp_dir directory;
    scoped_temp_dir other;
    polarys_error err = {};
    std::string kept = std::string(other.path()) + "/kept";
    std::ofstream(kept) << "x";
    std::string root = std::string(directory.path()) + "/copies";
    std::filesystem::create_directory(root);
    std::filesystem::create_directory_symlink(other.path(), root + "/link");
    EXPECT_EQ(copy_files_remove(root.c_str(), &err), POLARYS_OK) << err.message;
    EXPECT_FALSE(std::filesystem::exists(root));
    EXPECT_TRUE(std::filesystem::exists(kept));
    EXPECT_EQ(copy_files_remove(root.c_str(), &err), POLARYS_OK) << "it is gone already";
}

} // namespace
