// SPDX-License-Identifier: Apache-2.0
// The nodes of the fixture: a primary's store, and a follower as the control loop would start it.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "tests/unit/service/replica_fixture.h"

namespace replica_test {

namespace fs = std::filesystem;

namespace {

constexpr auto kPatience = std::chrono::seconds(30);

} // namespace

std::string FileRead(const fs::path &path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/* ---- the primary ---- */

Primary::Primary(const std::string &path)
    : directory(path), data_dir(path + "/primary"), key_file(path + "/key")
{
    polarys_error err = {};
    EXPECT_EQ(polarys_master_key_generate(key_file.c_str(), &err), POLARYS_OK) << err.message;
}

Primary::~Primary()
{
    Close();
}

void Primary::Open()
{
    polarys_error err = {};
    polarys_db_options options;
    polarys_db_options_init(&options);
    options.master_key_file = key_file.c_str();
    options.memory_limit = 32 << 20;
    options.wal_segment_bytes = 1 << 20;
    options.disk_reserve_bytes = 1 << 20;
    ASSERT_EQ(polarys_db_open(data_dir.c_str(), &options, &db, &err), POLARYS_OK) << err.message;
}

void Primary::Close()
{
    polarys_error err = {};
    EXPECT_EQ(polarys_db_close(db, 0, &err), POLARYS_OK) << err.message;
    db = nullptr;
}

void Primary::MakeTable(const char *table)
{
    polarys_error err = {};
    ASSERT_EQ(polarys_table_create(db, nullptr, table, nullptr, nullptr, &err), POLARYS_OK)
        << err.message;
}

void Primary::Put(const char *key, const std::string &json)
{
    polarys_error err = {};
    polarys_value value = {};
    value.kind = POLARYS_VALUE_JSON;
    value.bytes = slice_make(json.data(), json.size());
    ASSERT_EQ(
        polarys_db_put(db, nullptr, "t", slice_from_text(key), &value, nullptr, nullptr, &err),
        POLARYS_OK)
        << err.message;
    Wake();
}

void Primary::MakeCopy()
{
    polarys_error err = {};
    uint64_t version;
    std::string dir = directory + "/copy";
    fs::remove_all(dir);
    ASSERT_EQ(polarys_db_checkpoint(db, dir.c_str(), &version, &err), POLARYS_OK) << err.message;
    std::lock_guard<std::mutex> lock(mutex);
    copy.clear();
    for (const auto &entry : fs::recursive_directory_iterator(dir)) {
        if (entry.is_regular_file()) {
            std::string bytes = FileRead(entry.path());
            size_t used = bytes.find_last_not_of('\0');
            copy.push_back({fs::relative(entry.path(), dir).string(), bytes,
                            used == std::string::npos ? 0 : used + 1});
        }
    }
}

void Primary::Break()
{
    std::lock_guard<std::mutex> lock(mutex);
    breaks++;
    changed.notify_all();
}

void Primary::Wake()
{
    std::lock_guard<std::mutex> lock(mutex);
    changed.notify_all();
}

bool Primary::WaitApplied(uint64_t version)
{
    std::unique_lock<std::mutex> lock(mutex);
    return changed.wait_for(lock, kPatience, [this, version] {
        return !acks.empty() && acks.back().applied >= version;
    });
}

bool Primary::WaitTails(int count)
{
    std::unique_lock<std::mutex> lock(mutex);
    return changed.wait_for(lock, kPatience, [this, count] { return tail_count >= count; });
}

/* ---- the follower ---- */

void Ended::Call(void *context, follower_end end)
{
    auto *ended = static_cast<Ended *>(context);
    std::lock_guard<std::mutex> lock(ended->mutex);
    ended->end = static_cast<int>(end);
    ended->changed.notify_all();
}

int Ended::Wait()
{
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait_for(lock, kPatience, [this] { return end >= 0; });
    return end;
}

Node::Node(const std::string &directory, const std::string &key_file)
{
    config_init(&settings);
    snprintf(settings.data_dir, sizeof(settings.data_dir), "%s/node", directory.c_str());
    snprintf(settings.master_key_file, sizeof(settings.master_key_file), "%s", key_file.c_str());
    snprintf(settings.node_name, sizeof(settings.node_name), "node-b");
    snprintf(settings.follow, sizeof(settings.follow), "127.0.0.1:1");
    settings.memory_limit = 32 << 20;
    settings.disk_reserve_bytes = 1 << 20;
}

Node::~Node()
{
    Close();
}

polarys_code Node::Open()
{
    polarys_db_options options;
    polarys_error_clear(&error);
    polarys_code code = boot_create(&settings, FakeOpen, &booting, &error);
    if (code == POLARYS_OK) {
        code = boot_run(booting, &is_follower, &known, &error);
    }
    if (code != POLARYS_OK) {
        return code;
    }
    config_engine_options(&settings, &options);
    options.is_follower = is_follower;
    return polarys_db_open(settings.data_dir, &options, &db, &error);
}

void Node::Start()
{
    ASSERT_EQ(Open(), POLARYS_OK) << error.message;
    ASSERT_TRUE(is_follower);
    follower_options options = {};
    options.config = &settings;
    options.db = db;
    options.open = FakeOpen;
    options.role = known;
    options.promoted = [](void *context) {
        auto *node = static_cast<Node *>(context);
        if (node->promoted) {
            node->promoted();
        }
    };
    options.ended = [](void *context, follower_end end) {
        Ended::Call(&static_cast<Node *>(context)->ended, end);
    };
    options.context = this;
    ASSERT_EQ(follower_create(&options, &following, &error), POLARYS_OK);
    ASSERT_EQ(follower_start(following, 7480, &error), POLARYS_OK) << error.message;
}

void Node::Close()
{
    follower_stop(following);
    follower_destroy(following);
    following = nullptr;
    EXPECT_EQ(polarys_db_close(db, 0, &error), POLARYS_OK) << error.message;
    db = nullptr;
    boot_destroy(booting);
    booting = nullptr;
    ended.end = -1;
}

std::string Get(polarys_db *db, const char *table, const char *key)
{
    polarys_error err = {};
    polarys_document document = {};
    polarys_code code =
        polarys_db_get(db, nullptr, table, slice_from_text(key), nullptr, &document, &err);
    if (code != POLARYS_OK) {
        return polarys_code_name(code);
    }
    std::string bytes(reinterpret_cast<const char *>(document.value.bytes.data),
                      document.value.bytes.size);
    polarys_document_release(&document);
    return bytes;
}

} // namespace replica_test
