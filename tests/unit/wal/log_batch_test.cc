/* SPDX-License-Identifier: Apache-2.0 */
/* The codec by hand against protobuf-c: same bytes, same meaning, and nothing else let through. */
#include "engine/wal/log_batch.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "polarys/log/v1/log.pb-c.h"
#include "tests/support/fault_alloc.h"

namespace {

struct operation {
    enum entry_kind kind;
    uint32_t database_id;
    uint32_t table_id;
    std::string key;
    std::string value; /* of a range delete: the end's user key; empty for the end of the table */

    bool operator==(const operation &other) const
    {
        return kind == other.kind && database_id == other.database_id &&
               table_id == other.table_id && key == other.key && value == other.value;
    }
};

std::string prefix_of(uint32_t database_id, uint32_t table_id)
{
    uint8_t prefix[TREE_KEY_PREFIX_SIZE];
    tree_key_put_prefix(prefix, database_id, table_id);
    return std::string(reinterpret_cast<char *>(prefix), sizeof(prefix));
}

std::string text(struct polarys_slice slice)
{
    return std::string(reinterpret_cast<const char *>(slice.data), slice.size);
}

/* Entries as the engine holds them, with the memory behind them. */
struct entries {
    explicit entries(const std::vector<operation> &operations)
    {
        memory.reserve(2 * operations.size());
        for (const operation &each : operations) {
            struct entry entry = {};
            memory.push_back(prefix_of(each.database_id, each.table_id) + each.key);
            entry.key = slice_make(memory.back().data(), memory.back().size());
            if (each.kind == ENTRY_RANGE_DELETE) {
                memory.push_back(each.value.empty()
                                     ? prefix_of(each.database_id + (each.table_id == UINT32_MAX),
                                                 each.table_id + 1)
                                     : prefix_of(each.database_id, each.table_id) + each.value);
            } else {
                memory.push_back(each.value);
            }
            entry.value = slice_make(memory.back().data(), memory.back().size());
            entry.kind = each.kind;
            list.push_back(entry);
        }
    }
    std::vector<std::string> memory;
    std::vector<struct entry> list;
};

class Bytes {
  public:
    ~Bytes()
    {
        buffer_deinit(&buffer);
    }
    std::string str() const
    {
        return std::string(reinterpret_cast<char *>(buffer.data), buffer.size);
    }
    struct buffer buffer = {};
};

std::string encode(uint64_t time_ms, const std::vector<std::vector<operation>> &commits)
{
    Bytes bytes;
    uint8_t time[LOG_BATCH_TIME_SIZE];
    struct polarys_error err = {};
    log_batch_put_time(time, time_ms);
    EXPECT_EQ(POLARYS_OK, buffer_append(&bytes.buffer, time, sizeof(time)));
    for (const auto &operations : commits) {
        entries e(operations);
        EXPECT_EQ(POLARYS_OK, log_commit_encode(&bytes.buffer, e.list.data(), e.list.size(), &err))
            << err.message;
    }
    return bytes.str();
}

struct decoded {
    uint64_t time_ms = 0;
    std::vector<std::vector<operation>> commits;
};

enum polarys_code collect(void *context, uint32_t index, uint64_t time_ms,
                          const struct entry *operations, size_t operation_count,
                          struct polarys_error *)
{
    auto *to = static_cast<decoded *>(context);
    EXPECT_EQ(to->commits.size(), index);
    to->time_ms = time_ms;
    to->commits.emplace_back();
    for (size_t i = 0; i < operation_count; i++) {
        const struct entry &e = operations[i];
        EXPECT_GE(e.key.size, static_cast<size_t>(TREE_KEY_PREFIX_SIZE));
        operation o = {e.kind, get_u32_be(e.key.data), get_u32_be(e.key.data + 4),
                       text(e.key).substr(TREE_KEY_PREFIX_SIZE), text(e.value)};
        if (o.kind == ENTRY_RANGE_DELETE) {
            bool is_to_the_end = o.value.size() == TREE_KEY_PREFIX_SIZE &&
                                 o.value != prefix_of(o.database_id, o.table_id);
            EXPECT_TRUE(is_to_the_end || text(e.value).substr(0, 8) == text(e.key).substr(0, 8));
            o.value = o.value.substr(TREE_KEY_PREFIX_SIZE);
        }
        to->commits.back().push_back(o);
    }
    return POLARYS_OK;
}

enum polarys_code decode(const std::string &bytes, uint32_t commit_count, decoded *to,
                         struct polarys_error *err)
{
    struct log_batch_visitor visitor = {collect, to};
    return log_batch_decode(slice_make(bytes.data(), bytes.size()), commit_count, &visitor, err);
}

ProtobufCBinaryData binary(const std::string &bytes)
{
    return {bytes.size(), reinterpret_cast<uint8_t *>(const_cast<char *>(bytes.data()))};
}

/* The same batch through protobuf-c, never compressed. */
std::string encode_by_library(uint64_t time_ms, const std::vector<std::vector<operation>> &commits)
{
    Polarys__Log__V1__LogBatch batch = POLARYS__LOG__V1__LOG_BATCH__INIT;
    batch.time_unix_ms = time_ms;
    std::vector<Polarys__Log__V1__Commit> commit_list(commits.size());
    std::vector<Polarys__Log__V1__Commit *> commit_refs;
    std::vector<std::vector<Polarys__Log__V1__Operation>> operation_lists(commits.size());
    std::vector<std::vector<Polarys__Log__V1__Operation *>> operation_refs(commits.size());
    for (size_t i = 0; i < commits.size(); i++) {
        operation_lists[i].resize(commits[i].size());
        for (size_t j = 0; j < commits[i].size(); j++) {
            Polarys__Log__V1__Operation *to = &operation_lists[i][j];
            const operation &from = commits[i][j];
            polarys__log__v1__operation__init(to);
            to->kind = static_cast<Polarys__Log__V1__Operation__Kind>(from.kind);
            to->database_id = from.database_id;
            to->table_id = from.table_id;
            to->key = binary(from.key);
            to->value = binary(from.value);
            operation_refs[i].push_back(to);
        }
        polarys__log__v1__commit__init(&commit_list[i]);
        commit_list[i].n_operations = operation_refs[i].size();
        commit_list[i].operations = operation_refs[i].data();
        commit_refs.push_back(&commit_list[i]);
    }
    batch.n_commits = commit_refs.size();
    batch.commits = commit_refs.data();
    std::string bytes(polarys__log__v1__log_batch__get_packed_size(&batch), '\0');
    polarys__log__v1__log_batch__pack(&batch, reinterpret_cast<uint8_t *>(&bytes[0]));
    return bytes;
}

std::vector<operation> some_operations(std::mt19937_64 &numbers, size_t count, size_t value_max)
{
    std::vector<operation> operations;
    auto bytes = [&numbers](size_t size) {
        std::string s(size, '\0');
        for (char &c : s) {
            c = static_cast<char>(numbers());
        }
        return s;
    };
    static const uint32_t ids[] = {0, 1, 127, 128, 70000, UINT32_MAX};
    for (size_t i = 0; i < count; i++) {
        operation o;
        o.kind = static_cast<enum entry_kind>(1 + numbers() % 3);
        o.database_id = ids[numbers() % 5];
        o.table_id = ids[numbers() % 6];
        o.key = bytes(numbers() % 4 == 0 ? numbers() % 200 : numbers() % 20);
        o.value = o.kind == ENTRY_DELETE ? "" : bytes(numbers() % value_max);
        operations.push_back(o);
    }
    return operations;
}

TEST(LogBatch, IsByteForByteWhatProtobufWrites)
{
    std::mt19937_64 numbers(1);
    struct polarys_error err = {};
    for (int round = 0; round < 500; round++) {
        std::vector<std::vector<operation>> commits;
        for (size_t i = numbers() % 5; i > 0; i--) {
            commits.push_back(some_operations(numbers, numbers() % 6, 300));
        }
        uint64_t time_ms = 1 + numbers();
        std::string bytes = encode(time_ms, commits);
        ASSERT_EQ(encode_by_library(time_ms, commits), bytes) << round;
        decoded back;
        ASSERT_EQ(POLARYS_OK, decode(bytes, static_cast<uint32_t>(commits.size()), &back, &err))
            << err.message;
        EXPECT_TRUE(commits == back.commits);
        EXPECT_TRUE(commits.empty() || back.time_ms == time_ms);
    }
}

TEST(LogBatch, CompressesLargeCommitsThatShrink)
{
    std::vector<operation> operations;
    for (int i = 0; i < 1000; i++) {
        operations.push_back({ENTRY_PUT, 1, 2, "key" + std::to_string(i),
                              "{\"name\": \"the same again and again\", \"n\": 1}"});
    }
    std::string bytes = encode(5, {operations});
    EXPECT_LT(bytes.size(), 20000u);
    struct polarys_error err = {};
    decoded back;
    ASSERT_EQ(POLARYS_OK, decode(bytes, 1, &back, &err)) << err.message;
    EXPECT_TRUE(back.commits[0] == operations);

    /* The library agrees on what is there. */
    Polarys__Log__V1__LogBatch *batch = polarys__log__v1__log_batch__unpack(
        nullptr, bytes.size(), reinterpret_cast<const uint8_t *>(bytes.data()));
    ASSERT_NE(nullptr, batch);
    ASSERT_EQ(1u, batch->n_commits);
    EXPECT_EQ(0u, batch->commits[0]->n_operations);
    std::string plain = encode_by_library(5, {operations});
    EXPECT_EQ(plain.size() - LOG_BATCH_TIME_SIZE - 4, batch->commits[0]->uncompressed_size);
    polarys__log__v1__log_batch__free_unpacked(batch, nullptr);
}

TEST(LogBatch, LeavesNoiseUncompressed)
{
    std::mt19937_64 numbers(2);
    std::vector<operation> noise = some_operations(numbers, 100, 2000);
    EXPECT_EQ(encode_by_library(5, {noise}), encode(5, {noise}));
}

TEST(LogBatch, MixesCommitsOfAllKinds)
{
    std::mt19937_64 numbers(3);
    std::vector<std::vector<operation>> commits = {
        {},
        {{ENTRY_PUT, 1, 1, "k", std::string(100000, 'z')}},
        some_operations(numbers, 50, 100),
        {{ENTRY_PUT, 1, 1, "", ""}},
        {{ENTRY_PUT, 7, 7, std::string(USER_KEY_SIZE_MAX, 'k'), "v"}}};
    struct polarys_error err = {};
    decoded back;
    ASSERT_EQ(POLARYS_OK, decode(encode(9, commits), 5, &back, &err)) << err.message;
    EXPECT_TRUE(commits == back.commits);
}

TEST(LogBatch, RefusesWhatIsNoOperation)
{
    struct polarys_error err = {};
    Bytes bytes;
    std::string table = prefix_of(1, 2);
    std::string other = prefix_of(1, 4);
    auto attempt = [&](enum entry_kind kind, const std::string &key, const std::string &value) {
        struct entry entry = {};
        entry.key = slice_make(key.data(), key.size());
        entry.value = slice_make(value.data(), value.size());
        entry.kind = kind;
        return log_commit_encode(&bytes.buffer, &entry, 1, &err);
    };
    EXPECT_EQ(POLARYS_BUG, attempt(ENTRY_PUT, "short", ""));
    EXPECT_EQ(POLARYS_BUG, attempt(ENTRY_PUT, table + std::string(USER_KEY_SIZE_MAX + 1, 'k'), ""));
    EXPECT_EQ(POLARYS_BUG, attempt(ENTRY_DELETE, table + "k", "v"));
    EXPECT_EQ(POLARYS_BUG, attempt(ENTRY_RANGE_DELETE, table + "a", other + "b"));
    EXPECT_EQ(POLARYS_BUG, attempt(ENTRY_RANGE_DELETE, table + "a", table));
    EXPECT_EQ(POLARYS_BUG, attempt(ENTRY_RANGE_DELETE, table + "a", other));
    EXPECT_EQ(POLARYS_BUG, attempt(ENTRY_RANGE_DELETE, table + "a", ""));
    EXPECT_EQ(POLARYS_BUG, attempt(static_cast<enum entry_kind>(4), table + "a", ""));
    EXPECT_EQ(POLARYS_TOO_LARGE,
              attempt(ENTRY_PUT, table + "a", std::string(LOG_COMMIT_BYTES_MAX, 'v')));
    EXPECT_STREQ("50331648", polarys_error_detail_find(&err, "limit"));
    EXPECT_EQ(0u, bytes.buffer.size) << "a failure left bytes behind";
}

TEST(LogBatch, RefusesWhatIsNoBatch)
{
    struct polarys_error err = {};
    auto check = [&err](const std::string &bytes, uint32_t commit_count) {
        decoded ignored;
        return decode(bytes, commit_count, &ignored, &err);
    };
    std::string time("\x09\x01\0\0\0\0\0\0\0", 9);
    auto operation = [](const std::string &bytes) {
        std::string o = "\x0a" + std::string(1, static_cast<char>(bytes.size())) + bytes;
        return "\x12" + std::string(1, static_cast<char>(o.size())) + o;
    };
    std::string put("\x08\x01\x22\x01k", 5);
    ASSERT_EQ(POLARYS_OK, check(time + operation(put), 1)) << err.message;
    EXPECT_EQ(POLARYS_CORRUPT, check("", 0));
    EXPECT_EQ(POLARYS_CORRUPT, check(operation(put), 1));
    EXPECT_EQ(POLARYS_CORRUPT, check(time + operation(put), 2));
    EXPECT_EQ(POLARYS_CORRUPT, check(time + operation(put), 0));
    EXPECT_EQ(POLARYS_CORRUPT, check(time + "\x18\x01", 0)) << "unknown field";
    EXPECT_EQ(POLARYS_CORRUPT, check(time + time, 0));
    auto bad = [&](const std::string &bytes) { return check(time + operation(bytes), 1); };
    EXPECT_EQ(POLARYS_CORRUPT, bad(std::string("\x22\x01k", 3))) << "no kind";
    EXPECT_EQ(POLARYS_CORRUPT, bad(std::string("\x08\x04", 2))) << "unknown kind";
    EXPECT_EQ(POLARYS_CORRUPT, bad(std::string("\x08\x01\x30\x01", 4))) << "unknown field";
    EXPECT_EQ(POLARYS_CORRUPT, bad(std::string("\x08\x02\x2a\x01v", 5))) << "delete with a value";
    EXPECT_EQ(POLARYS_CORRUPT, bad(std::string("\x08\x01\x10\x80\x80\x80\x80\x10", 8)))
        << "id of 2^32";
    EXPECT_EQ(POLARYS_CORRUPT, bad(std::string("\x08\x01\x22\x7f", 4))) << "key beyond the end";
    std::string last("\x08\x03\x10\xff\xff\xff\xff\x0f\x18\xff\xff\xff\xff\x0f", 14);
    EXPECT_EQ(POLARYS_CORRUPT, bad(last)) << "nothing comes after the last table";
    auto commit = [&](const std::string &bytes) {
        return check(time + "\x12" + std::string(1, static_cast<char>(bytes.size())) + bytes, 1);
    };
    EXPECT_EQ(POLARYS_OK, commit(""));
    EXPECT_EQ(POLARYS_CORRUPT, commit(std::string("\x12\x01x", 3))) << "no size";
    EXPECT_EQ(POLARYS_CORRUPT, commit(std::string("\x18\x01", 2))) << "size of nothing";
    EXPECT_EQ(POLARYS_CORRUPT, commit(std::string("\x12\0", 2))) << "nothing compressed";
    EXPECT_EQ(POLARYS_CORRUPT, commit(std::string("\x18\0", 2))) << "size of zero";
    EXPECT_EQ(POLARYS_CORRUPT, commit(std::string("\x12\x01x\x18\x05", 5))) << "not zstd";
    EXPECT_EQ(POLARYS_CORRUPT, commit(std::string("\x12\x01x\x18\xff\xff\xff\xff\x0f", 9)))
        << "above the limit";
}

TEST(LogBatch, NeverReadsBeyondATruncatedBatch)
{
    std::mt19937_64 numbers(4);
    std::vector<operation> large = {{ENTRY_PUT, 1, 1, "k", std::string(20000, 'z')}};
    std::string bytes = encode(9, {some_operations(numbers, 5, 60), large});
    struct polarys_error err = {};
    for (size_t size = 0; size < bytes.size(); size++) {
        /* A copy of its own size, so that the sanitizer sees a read behind it. */
        std::vector<char> cut(bytes.begin(), bytes.begin() + static_cast<long>(size));
        decoded back;
        struct log_batch_visitor visitor = {collect, &back};
        EXPECT_EQ(POLARYS_CORRUPT,
                  log_batch_decode(slice_make(cut.data(), cut.size()), 2, &visitor, &err))
            << size;
    }
}

TEST(LogBatch, PassesOnWhatTheVisitorSays)
{
    struct log_batch_visitor visitor = {
        [](void *, uint32_t, uint64_t, const struct entry *, size_t, struct polarys_error *err) {
            return polarys_fail(err, POLARYS_MEMORY_LIMIT, "enough");
        },
        nullptr};
    struct polarys_error err = {};
    std::string bytes = encode(1, {{}, {}});
    EXPECT_EQ(POLARYS_MEMORY_LIMIT,
              log_batch_decode(slice_make(bytes.data(), bytes.size()), 2, &visitor, &err));
}

TEST(LogBatch, FailsCleanlyWhereverMemoryRunsOut)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    std::vector<operation> operations(300, {ENTRY_PUT, 1, 1, "key", std::string(200, 'z')});
    operations.push_back({ENTRY_RANGE_DELETE, 1, 1, "a", "b"});
    entries e(operations);
    struct polarys_error err = {};
    Bytes bytes;
    uint8_t time[LOG_BATCH_TIME_SIZE];
    log_batch_put_time(time, 1);
    ASSERT_EQ(POLARYS_OK, buffer_append(&bytes.buffer, time, sizeof(time)));
    for (uint64_t n = 1;; n++) {
        fault_alloc_fail_at(n);
        enum polarys_code code =
            log_commit_encode(&bytes.buffer, e.list.data(), e.list.size(), &err);
        if (fault_alloc_disarm() == 0) {
            ASSERT_EQ(POLARYS_OK, code);
            break;
        }
        EXPECT_EQ(POLARYS_NO_MEMORY, code);
        EXPECT_EQ(sizeof(time), bytes.buffer.size);
    }
    for (uint64_t n = 1;; n++) {
        decoded back;
        fault_alloc_fail_at(n);
        struct log_batch_visitor visitor = {collect, &back};
        enum polarys_code code = log_batch_decode(buffer_slice(&bytes.buffer), 1, &visitor, &err);
        if (fault_alloc_disarm() == 0) {
            ASSERT_EQ(POLARYS_OK, code) << err.message;
            break;
        }
        EXPECT_EQ(POLARYS_NO_MEMORY, code);
    }
}

} // namespace
