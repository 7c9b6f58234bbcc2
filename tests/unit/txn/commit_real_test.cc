/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commit path on the real log and the real tree, in one thread on a simulated disk that loses power
 * anywhere. The oracle is what the callers were told, kept outside the disk.
 */
#include <map>
#include <set>

#include "engine/commit/commit.h"
#include "engine/txn/snapshots.h"
#include "tests/unit/compaction/tree_world.h"
#include <gtest/gtest.h>

namespace {

struct Told {
    std::map<uint64_t, std::string> value_of; /* every version that was given out and reported OK */
    uint64_t durable = 0;                     /* the newest that has to survive */
};

class Path {
  public:
    TreeWorld world;
    struct wal *wal = nullptr;
    struct commit_path *path = nullptr;
    struct snapshots *snapshots = nullptr;
    struct polarys_error err = {};

    explicit Path(uint64_t seed) : world(seed)
    {
        world.base_options = TreeWorld::small_options();
    }
    Path(uint64_t seed, struct sim_disk *disk) : world(seed, disk)
    {
        world.base_options = TreeWorld::small_options();
    }
    ~Path()
    {
        close();
    }

    struct wal_options log_options()
    {
        struct wal_options options = {};
        options.vfs = sim_disk_vfs(world.disk);
        options.dir = "/s/log";
        options.keyring = world.keyring;
        options.random = &world.random.base;
        options.executor = sim_executor_base(world.executor);
        options.segment_bytes = WAL_SEGMENT_BYTES_MIN;
        options.sync_mode = WAL_SYNC_FDATASYNC;
        return options;
    }

    enum polarys_code open()
    {
        enum polarys_code code = vfs_make_dir(sim_disk_vfs(world.disk), "/s/log", &err);
        if (code == POLARYS_OK) {
            code = vfs_sync_dir(sim_disk_vfs(world.disk), "/s", &err);
        }
        if (code == POLARYS_OK) {
            code = world.open();
        }
        if (code != POLARYS_OK) {
            return code;
        }
        struct wal_options log = log_options();
        struct wal_position start = {};
        uint8_t history_id[HISTORY_ID_SIZE] = {7};
        code = wal_open(&log, &start, 1, 1, history_id, &wal, &err);
        if (code != POLARYS_OK) {
            return code;
        }
        struct snapshots_options keep = {};
        keep.clock = &world.clock.base;
        code = snapshots_open(&keep, &snapshots, &err);
        if (code != POLARYS_OK) {
            return code;
        }
        struct commit_options options = {};
        options.tree = world.tree;
        options.wal = wal;
        options.executor = sim_executor_base(world.executor);
        options.role_policy = COMMIT_ROLE_INLINE;
        options.context = this;
        options.published = [](void *context, uint64_t version, uint64_t time_ms, uint64_t bytes) {
            snapshots_note_commit(static_cast<Path *>(context)->snapshots, version, time_ms, bytes);
        };
        return commit_open(&options, &path, &err);
    }

    void close()
    {
        commit_close(path);
        path = nullptr;
        wal_close(wal);
        wal = nullptr;
        snapshots_close(snapshots);
        snapshots = nullptr;
        world.close();
    }

    enum polarys_code put(const std::string &key, const std::string &value,
                          enum commit_durability durability, Told &told)
    {
        struct entry operation = {slice_of(key), slice_of(value), 0, ENTRY_PUT};
        struct buffer encoded = {};
        enum polarys_code code = log_commit_encode(&encoded, &operation, 1, &err);
        if (code == POLARYS_OK) {
            struct polarys_slice read_key = slice_of(key);
            struct commit_request request = {};
            request.operations = &operation;
            request.operation_count = 1;
            request.encoded = buffer_slice(&encoded);
            request.read_version = commit_published_version(path);
            request.read_keys = &read_key;
            request.read_key_count = 1;
            request.durability = durability;
            code = commit_wait(path, &request);
            if (code == POLARYS_OK) {
                told.value_of[request.version] = value;
            }
        }
        told.durable = std::max(told.durable, commit_durable_version(path));
        buffer_deinit(&encoded);
        return code;
    }

    /* What the log holds now: version -> value. */
    std::map<uint64_t, std::string> recover()
    {
        std::map<uint64_t, std::string> found;
        struct wal_options log = log_options();
        struct wal_recovery recovery;
        struct wal_visitor visitor = {visit_frame, &found};
        EXPECT_EQ(wal_recover(&log, 0, &visitor, &recovery, &err), POLARYS_OK) << err.message;
        return found;
    }

  private:
    struct Frame {
        uint64_t first_version;
        std::map<uint64_t, std::string> *found;
    };

    static enum polarys_code visit_commit(void *context, uint32_t index, uint64_t,
                                          const struct entry *operations, size_t,
                                          struct polarys_error *)
    {
        auto *frame = static_cast<Frame *>(context);
        (*frame->found)[frame->first_version + index] = text_of(operations[0].value);
        return POLARYS_OK;
    }

    static enum polarys_code visit_frame(void *context, const struct wal_frame *frame,
                                         struct polarys_error *err)
    {
        Frame state = {frame->first_version,
                       static_cast<std::map<uint64_t, std::string> *>(context)};
        struct log_batch_visitor visitor = {visit_commit, &state};
        return log_batch_decode(frame->payload, frame->commit_count, &visitor, err);
    }
};

/* A few hundred commits of both kinds; stops at the first that fails. */
enum polarys_code run_commits(Path &path, uint64_t seed, int count, Told &told)
{
    uint64_t random = seed;
    for (int i = 0; i < count; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        bool is_async = (random >> 33) % 3 != 0;
        std::string value = "value " + std::to_string(i) + std::string((random >> 40) % 300, 'v');
        enum polarys_code code = path.put(key_of((random >> 50) % 40), value,
                                          is_async ? COMMIT_ASYNC : COMMIT_LOCAL_SYNC, told);
        if (code != POLARYS_OK) {
            return code;
        }
        if ((random >> 36) % 16 == 0) {
            sim_executor_run_for(path.world.executor, 11 * 1000000);
            told.durable = std::max(told.durable, commit_durable_version(path.path));
        }
    }
    return POLARYS_OK;
}

} // namespace

TEST(CommitReal, ReadsBackWhatWasCommittedAtEveryVersion)
{
    Path path(1);
    Told told;
    ASSERT_EQ(path.open(), POLARYS_OK) << path.err.message;
    for (int i = 0; i < 400; i++) {
        std::string value = "value " + std::to_string(i) + std::string(500, 'x');
        ASSERT_EQ(path.put(key_of(7), value, i % 2 == 0 ? COMMIT_ASYNC : COMMIT_LOCAL_SYNC, told),
                  POLARYS_OK);
        ASSERT_EQ(path.world.get(key_of(7), commit_published_version(path.path)), value);
    }
    EXPECT_EQ(told.value_of.size(), 400u);
    EXPECT_EQ(told.value_of.rbegin()->first, 400u);
    /* The log and the callers agree. */
    ASSERT_EQ(commit_sync(path.path, &path.err), POLARYS_OK);
    EXPECT_EQ(path.recover(), told.value_of);
}

TEST(CommitReal, RefusesAWriteOnAnOldSnapshotAfterAFlushToo)
{
    Path path(2);
    Told told;
    ASSERT_EQ(path.open(), POLARYS_OK);
    ASSERT_EQ(path.put(key_of(1), "first", COMMIT_LOCAL_SYNC, told), POLARYS_OK);
    auto conflict_at = [&](uint64_t read_version) {
        std::string key = key_of(1);
        std::string other = "other";
        struct polarys_slice read_key = slice_of(key);
        struct entry operation = {slice_of(key), slice_of(other), 0, ENTRY_PUT};
        struct buffer encoded = {};
        EXPECT_EQ(log_commit_encode(&encoded, &operation, 1, &path.err), POLARYS_OK);
        struct commit_request request = {};
        request.operations = &operation;
        request.operation_count = 1;
        request.encoded = buffer_slice(&encoded);
        request.read_version = read_version;
        request.read_keys = &read_key;
        request.read_key_count = 1;
        request.durability = COMMIT_LOCAL_SYNC;
        enum polarys_code code = commit_wait(path.path, &request);
        buffer_deinit(&encoded);
        EXPECT_TRUE(code != POLARYS_TXN_CONFLICT || request.conflict_version > read_version);
        return code;
    };
    EXPECT_EQ(conflict_at(0), POLARYS_TXN_CONFLICT);
    auto flush = [](void *context, struct polarys_error *err) {
        return tree_memtable_switch(static_cast<struct tree *>(context), err);
    };
    ASSERT_EQ(commit_run_exclusive(path.path, flush, path.world.tree, &path.err), POLARYS_OK);
    ASSERT_EQ(tree_flush_wait(path.world.tree, 1, &path.err), POLARYS_OK);
    EXPECT_EQ(conflict_at(0), POLARYS_TXN_CONFLICT);
    EXPECT_EQ(conflict_at(1), POLARYS_OK);
}

TEST(CommitReal, LosesNothingThatItSaidWasDurableInACrashAnywhere)
{
    uint64_t operations = 0;
    {
        Path path(3);
        Told told;
        ASSERT_EQ(path.open(), POLARYS_OK);
        uint64_t before = sim_disk_operation_count(path.world.disk);
        ASSERT_EQ(run_commits(path, 3, 120, told), POLARYS_OK);
        operations = sim_disk_operation_count(path.world.disk) - before;
    }
    ASSERT_GT(operations, 50u);
    for (uint64_t at = 1; at < operations; at += 3) {
        enum sim_crash_policy policy =
            static_cast<enum sim_crash_policy>(at % SIM_CRASH_POLICY_COUNT);
        Told told;
        struct sim_disk *disk;
        {
            Path path(3);
            ASSERT_EQ(path.open(), POLARYS_OK);
            sim_disk_crash_at(path.world.disk, at);
            (void)run_commits(path, 3, 120, told);
            disk = sim_disk_clone(path.world.disk, at);
        }
        sim_disk_crash(disk, policy);
        Path after(4, disk);
        ASSERT_EQ(after.world.open(), POLARYS_OK) << after.world.err.message;
        std::map<uint64_t, std::string> found = after.recover();
        uint64_t newest = found.empty() ? 0 : found.rbegin()->first;
        ASSERT_GE(newest, told.durable) << "crash at " << at;
        ASSERT_EQ(found.size(), newest) << "a hole; crash at " << at;
        for (const auto &[version, value] : told.value_of) {
            if (version <= newest) {
                ASSERT_EQ(found[version], value) << "crash at " << at;
            }
        }
    }
}
