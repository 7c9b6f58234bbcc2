/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stores as earlier versions left them, in tests/compat/golden/NAME/: `store/` and `master.key`, and in
 * `expected.tsv` what they hold: database, table, key, and the document or `-` where there is none. What is
 * written today has to open them for as long as docs/formats says that it can.
 *
 * A new one, after a format has changed, is made in an empty directory by
 *     POLARYS_GOLDEN_DIR=tests/compat/golden/NAME build/test/check-compat \
 *         --gtest_also_run_disabled_tests --gtest_filter='*MakesANewOne'
 */
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <tuple>

#include "engine/engine.h"
#include "tests/support/temp_dir.h"

namespace {

namespace fs = std::filesystem;

/* (database, table, key) to its document. */
using contents = std::map<std::tuple<std::string, std::string, std::string>, std::string>;

const char *const NOTHING = "-";

polarys_slice slice_of(const std::string &text)
{
    return slice_make(reinterpret_cast<const uint8_t *>(text.data()), text.size());
}

struct open_store {
    polarys_db *db = nullptr;
    polarys_error error = {};

    polarys_code open(const fs::path &root)
    {
        polarys_db_options options;
        polarys_db_options_init(&options);
        std::string key = root / "master.key";
        options.master_key_file = key.c_str();
        options.wal_segment_bytes = 1 << 20;
        options.memory_limit = 16 << 20;
        return polarys_db_open((root / "store").c_str(), &options, &db, &error);
    }

    polarys_code close()
    {
        polarys_db *closing = db;
        db = nullptr;
        return polarys_db_close(closing, 0, &error);
    }

    ~open_store()
    {
        (void)polarys_db_close(db, 0, nullptr);
    }

    std::string get(const std::string &database, const std::string &table, const std::string &key)
    {
        polarys_document document = {};
        polarys_code code = polarys_db_get(db, database.c_str(), table.c_str(), slice_of(key),
                                           nullptr, &document, &error);
        std::string text = code == POLARYS_KEY_NOT_FOUND ? NOTHING : polarys_code_name(code);
        if (code == POLARYS_OK) {
            text.assign(reinterpret_cast<const char *>(document.value.bytes.data),
                        document.value.bytes.size);
        }
        polarys_document_release(&document);
        return text;
    }

    void put(const std::string &database, const std::string &table, const std::string &key,
             const std::string &text, uint64_t expires_at_ms = 0)
    {
        polarys_value value = {POLARYS_VALUE_JSON, expires_at_ms, slice_of(text)};
        ASSERT_EQ(POLARYS_OK, polarys_db_put(db, database.c_str(), table.c_str(), slice_of(key),
                                             &value, nullptr, nullptr, &error))
            << error.message;
    }
};

contents expected_read(const fs::path &path)
{
    contents expected;
    std::ifstream file(path);
    std::string line;
    while (std::getline(file, line)) {
        std::string fields[4];
        size_t begin = 0;
        for (int i = 0; i < 3; i++) {
            size_t end = line.find('\t', begin);
            fields[i] = line.substr(begin, end - begin);
            begin = end + 1;
        }
        expected[{fields[0], fields[1], fields[2]}] = line.substr(begin);
    }
    return expected;
}

void compare(open_store &store, const contents &expected)
{
    for (const auto &[where, text] : expected) {
        const auto &[database, table, key] = where;
        EXPECT_EQ(text, store.get(database, table, key)) << table << " " << key;
    }
}

TEST(Golden, EveryStoreStillOpensWithAllItHolds)
{
    const char *source = getenv("POLARYS_SOURCE");
    int count = 0;
    for (const auto &entry : fs::directory_iterator(fs::path(source != nullptr ? source : ".") /
                                                    "tests/compat/golden")) {
        SCOPED_TRACE(entry.path().string());
        scoped_temp_dir scratch;
        fs::path root = fs::path(scratch.path()) / "golden";
        fs::copy(entry.path(), root, fs::copy_options::recursive);
        contents expected = expected_read(root / "expected.tsv");
        ASSERT_GT(expected.size(), 100U);
        open_store store;
        ASSERT_EQ(POLARYS_OK, store.open(root)) << store.error.message;
        compare(store, expected);
        uint64_t bad_blocks = 1;
        ASSERT_EQ(POLARYS_OK, polarys_db_verify(store.db, &bad_blocks, &store.error));
        EXPECT_EQ(0U, bad_blocks);
        store.put("", "documents", "written today", "1");
        ASSERT_EQ(POLARYS_OK, polarys_db_compact(store.db, nullptr, nullptr, &store.error));
        ASSERT_EQ(POLARYS_OK, store.close()) << store.error.message;
        ASSERT_EQ(POLARYS_OK, store.open(root)) << store.error.message;
        compare(store, expected);
        EXPECT_EQ("1", store.get("", "documents", "written today"));
        count++;
    }
    EXPECT_GT(count, 0);
}

/* What a golden store is made of. */
class Maker {
  public:
    Maker(open_store &of, contents &to) : store(of), expected(to)
    {
    }

    void table(const std::string &database, const std::string &name)
    {
        ASSERT_EQ(POLARYS_OK, polarys_table_create(store.db, database.c_str(), name.c_str(),
                                                   nullptr, nullptr, &store.error));
    }

    void put(const std::string &database, const std::string &name, const std::string &key,
             const std::string &text, uint64_t expires_at_ms = 0)
    {
        store.put(database, name, key, text, expires_at_ms);
        expected[{database, name, key}] = text;
    }

    void documents(const std::string &mark, int from, int to)
    {
        for (int i = from; i < to; i++) {
            std::string number = std::to_string(i);
            put("", "documents", "key-" + number,
                "{\"n\":" + number + ",\"mark\":\"" + mark + "\",\"text\":\"" +
                    std::string(static_cast<size_t>(i % 300), 'x') + "\"}");
        }
    }

    void remove(const std::string &key)
    {
        ASSERT_EQ(POLARYS_OK, polarys_db_delete(store.db, "", "documents", slice_of(key), nullptr,
                                                nullptr, &store.error));
        expected[{"", "documents", key}] = NOTHING;
    }

    void remove_range(const std::string &start, const std::string &end)
    {
        polarys_batch *batch = nullptr;
        ASSERT_EQ(POLARYS_OK, polarys_batch_create(store.db, "", &batch, &store.error));
        ASSERT_EQ(POLARYS_OK, polarys_batch_delete_range(batch, "documents", slice_of(start),
                                                         slice_of(end), &store.error));
        ASSERT_EQ(POLARYS_OK, polarys_batch_commit(batch, nullptr, nullptr, &store.error));
        polarys_batch_destroy(batch);
        for (auto &[where, text] : expected) {
            if (std::get<1>(where) == "documents" && std::get<2>(where) >= start &&
                std::get<2>(where) < end) {
                text = NOTHING;
            }
        }
    }

  private:
    open_store &store;
    contents &expected;
};

TEST(Golden, DISABLED_MakesANewOne)
{
    const char *target = getenv("POLARYS_GOLDEN_DIR");
    ASSERT_NE(nullptr, target);
    scoped_temp_dir scratch;
    fs::path root = scratch.path();
    contents expected;
    open_store store;
    ASSERT_EQ(POLARYS_OK, polarys_master_key_generate((root / "master.key").c_str(), &store.error));
    ASSERT_EQ(POLARYS_OK, store.open(root)) << store.error.message;
    Maker maker(store, expected);
    ASSERT_EQ(POLARYS_OK,
              polarys_database_create(store.db, "shop", nullptr, nullptr, &store.error));
    maker.table("", "documents");
    maker.table("shop", "orders");
    maker.documents("compacted", 0, 200);
    ASSERT_EQ(POLARYS_OK, polarys_db_compact(store.db, nullptr, nullptr, &store.error));
    maker.documents("flushed", 150, 250);
    maker.remove("key-3");
    maker.remove_range("key-4", "key-5");
    maker.put("", "documents", "expires", "\"in the year 2100\"", UINT64_C(4102444800000));
    maker.put("shop", "orders", "first", "{\"total\":12345678901234567890.50}");
    ASSERT_EQ(POLARYS_OK, polarys_db_flush(store.db, nullptr, &store.error));
    maker.documents("logged", 240, 300);
    maker.remove("key-299");
    maker.remove_range("key-28", "key-29");
    /* Copied while it is open, as a crash would leave it: the last documents are in the log only. */
    fs::create_directories(target);
    fs::copy(root, target, fs::copy_options::recursive);
    fs::remove(fs::path(target) / "store/LOCK");
    fs::remove(fs::path(target) / "store/ballast");
    for (const auto &entry : fs::directory_iterator(fs::path(target) / "store/wal")) {
        if (entry.path().extension() != ".wal") {
            fs::remove(entry.path());
        }
    }
    std::ofstream file(fs::path(target) / "expected.tsv");
    for (const auto &[where, text] : expected) {
        file << std::get<0>(where) << '\t' << std::get<1>(where) << '\t' << std::get<2>(where)
             << '\t' << text << '\n';
    }
    ASSERT_TRUE(file.good());
}

} // namespace
