/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log on a simulated disk, for the tests of the wal module. One thread; tasks run when a test says so.
 */
#ifndef TESTS_UNIT_WAL_WAL_FIXTURE_H
#define TESTS_UNIT_WAL_WAL_FIXTURE_H

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/wal/wal.h"
#include "engine/wal/wal_format.h"
#include "tests/support/sim_disk.h"
#include "tests/support/sim_executor.h"
#include "tests/support/sim_random.h"

namespace wal_test {

constexpr uint64_t segment_bytes = WAL_SEGMENT_BYTES_MIN;
constexpr char log_dir[] = "/log";

/* A frame as a test compares it. */
struct seen_frame {
    uint64_t first_version;
    uint32_t commit_count;
    std::string payload;
    uint64_t segment_id;
    uint64_t offset;

    bool operator==(const seen_frame &other) const
    {
        return first_version == other.first_version && commit_count == other.commit_count &&
               payload == other.payload;
    }
};

struct recovered {
    enum polarys_code code;
    struct polarys_error err;
    struct wal_recovery recovery;
    std::vector<seen_frame> frames;

    std::string detail(const char *name) const
    {
        const char *value = polarys_error_detail_find(&err, name);
        return value == nullptr ? "" : value;
    }
};

inline enum polarys_code frame_collect(void *context, const struct wal_frame *frame,
                                       struct polarys_error *)
{
    static_cast<std::vector<seen_frame> *>(context)->push_back(
        {frame->first_version, frame->commit_count,
         std::string(reinterpret_cast<const char *>(frame->payload.data), frame->payload.size),
         frame->position.segment_id, frame->offset});
    return POLARYS_OK;
}

inline std::string segment_name(uint64_t segment_id)
{
    char name[VFS_NAME_MAX];
    wal_segment_name(segment_id, name);
    return name;
}

inline std::string segment_path(uint64_t segment_id)
{
    return std::string(log_dir) + "/" + segment_name(segment_id);
}

/* A payload that tells its version, of a given size. */
inline std::string payload_of(uint64_t version, size_t size)
{
    std::string text = "version " + std::to_string(version) + " ";
    while (text.size() < size) {
        text.push_back(static_cast<char>('a' + (text.size() * 7 + version) % 26));
    }
    text.resize(size);
    return text;
}

/* Everything a log stands on, around a disk that is given. */
class world {
  public:
    explicit world(struct sim_disk *take_disk, uint64_t seed = 1) : disk(take_disk)
    {
        vfs = sim_disk_vfs(disk);
        sim_clock_init(&clock);
        sim_random_init(&random, seed);
        executor = sim_executor_create(seed, &clock);
        memset(master.bytes, 0x42, sizeof(master.bytes));
    }
    ~world()
    {
        keyring_close(keyring);
        sim_executor_destroy(executor);
        sim_disk_destroy(disk);
    }
    world(const world &) = delete;
    world &operator=(const world &) = delete;

    /* Makes keyring and directory on an empty disk, durably. */
    void create()
    {
        struct polarys_error err = {};
        struct keyring_options keys = keyring_settings();
        ASSERT_EQ(POLARYS_OK, keyring_create(&keys, &keyring, &err)) << err.message;
        ASSERT_EQ(POLARYS_OK, vfs_make_dir(vfs, log_dir, &err)) << err.message;
        sim_disk_settle(disk);
    }

    /* Opens the keyring of a disk that `create` was called for. */
    void attach()
    {
        struct polarys_error err = {};
        struct keyring_options keys = keyring_settings();
        ASSERT_EQ(POLARYS_OK, keyring_open(&keys, &keyring, &err)) << err.message;
    }

    struct keyring_options keyring_settings()
    {
        struct keyring_options keys = {};
        keys.vfs = vfs;
        keys.dir = "/";
        keys.random = &random.base;
        keys.clock = &clock.base;
        keys.master_keys = &master;
        keys.master_key_count = 1;
        return keys;
    }

    struct wal_options settings()
    {
        struct wal_options options = {};
        options.vfs = vfs;
        options.dir = log_dir;
        options.keyring = keyring;
        options.random = &random.base;
        options.executor = sim_executor_base(executor);
        options.segment_bytes = segment_bytes;
        options.sync_mode = sync_mode;
        options.keep_bytes = keep_bytes;
        return options;
    }

    recovered recover(uint64_t from_version = 0)
    {
        recovered result = {};
        struct wal_options options = settings();
        struct wal_visitor visitor = {frame_collect, &result.frames};
        result.code = wal_recover(&options, from_version, &visitor, &result.recovery, &result.err);
        return result;
    }

    enum polarys_code try_open(const struct wal_position &end, uint64_t first_version,
                               struct wal **wal, struct polarys_error *err)
    {
        uint8_t history_id[HISTORY_ID_SIZE];
        memset(history_id, 0x11, sizeof(history_id));
        struct wal_options options = settings();
        return wal_open(&options, &end, first_version, 3, history_id, wal, err);
    }

    struct wal *open(const struct wal_position &end, uint64_t first_version)
    {
        struct polarys_error err = {};
        struct wal *wal = nullptr;
        EXPECT_EQ(POLARYS_OK, try_open(end, first_version, &wal, &err)) << err.message;
        return wal;
    }

    struct sim_disk *disk;
    struct vfs *vfs;
    struct sim_clock clock;
    struct sim_random random;
    struct sim_executor *executor;
    struct master_key master;
    struct keyring *keyring = nullptr;
    enum wal_sync_mode sync_mode = WAL_SYNC_FDATASYNC;
    uint64_t keep_bytes = 0;
};

inline enum polarys_code append(struct wal *wal, uint64_t version, const std::string &payload,
                                struct polarys_error *err)
{
    /* In two pieces, as the log role hands them over. */
    size_t half = payload.size() / 2;
    struct polarys_slice pieces[2] = {slice_make(payload.data(), half),
                                      slice_make(payload.data() + half, payload.size() - half)};
    struct wal_position end;
    return wal_append(wal, version, 1, pieces, 2, &end, err);
}

inline void append_ok(struct wal *wal, uint64_t version, size_t size)
{
    struct polarys_error err = {};
    ASSERT_EQ(POLARYS_OK, append(wal, version, payload_of(version, size), &err)) << err.message;
}

} // namespace wal_test

#endif
