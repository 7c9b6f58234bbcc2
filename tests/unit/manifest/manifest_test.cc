/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest on a simulated disk: what is kept, what is refused, when files change. */
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/base/log.h"
#include "engine/manifest/manifest.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_disk.h"
#include "tests/support/sim_random.h"

namespace {

struct Edit {
    manifest_edit edit = {};
    ~Edit()
    {
        manifest_edit_deinit(&edit);
    }
};

table_meta make_meta(uint64_t file_id, const std::string &smallest, const std::string &largest)
{
    table_meta meta = {};
    meta.file_id = file_id;
    meta.file_bytes = 1000 + file_id;
    meta.entry_count = 10;
    meta.delete_count = 3;
    meta.range_delete_count = 1;
    meta.oldest_version = 5;
    meta.newest_version = 50 + file_id;
    meta.raw_bytes = 4000;
    meta.key_id = 1;
    memset(meta.footer_tag, static_cast<int>(file_id), AEAD_TAG_SIZE);
    EXPECT_EQ(buffer_append(&meta.smallest_key, smallest.data(), smallest.size()), POLARYS_OK);
    EXPECT_EQ(buffer_append(&meta.largest_key, largest.data(), largest.size()), POLARYS_OK);
    return meta;
}

void add_file(manifest_edit *edit, uint32_t level, uint64_t file_id, const std::string &smallest,
              const std::string &largest)
{
    edit->added = static_cast<manifest_added *>(
        realloc(edit->added, (edit->added_count + 1) * sizeof(edit->added[0])));
    edit->added[edit->added_count].level = level;
    edit->added[edit->added_count].meta = make_meta(file_id, smallest, largest);
    edit->added_count++;
}

void remove_file(manifest_edit *edit, uint32_t level, uint64_t file_id)
{
    edit->removed = static_cast<manifest_removed *>(
        realloc(edit->removed, (edit->removed_count + 1) * sizeof(edit->removed[0])));
    edit->removed[edit->removed_count].level = level;
    edit->removed[edit->removed_count].file_id = file_id;
    edit->removed_count++;
}

std::string key_text(const buffer &key)
{
    return std::string(reinterpret_cast<const char *>(key.data), key.size);
}

} // namespace

class Manifest : public testing::Test {
  protected:
    void SetUp() override
    {
        polarys_log_level_set(POLARYS_LOG_OFF);
        disk = sim_disk_create(1);
        sim_clock_init(&clock);
        sim_random_init(&random, 2);
        keyring = make_ring("/s");
    }
    void TearDown() override
    {
        manifest_close(manifest);
        keyring_close(keyring);
        sim_disk_destroy(disk);
    }
    struct keyring *make_ring(const char *dir)
    {
        struct keyring *ring = nullptr;
        keyring_options options = {};
        master_key master = {};
        options.vfs = sim_disk_vfs(disk);
        options.dir = dir;
        options.random = &random.base;
        options.clock = &clock.base;
        options.master_keys = &master;
        options.master_key_count = 1;
        EXPECT_EQ(vfs_make_dir(options.vfs, dir, &err), POLARYS_OK);
        EXPECT_EQ(vfs_sync_dir(options.vfs, "/", &err), POLARYS_OK);
        EXPECT_EQ(keyring_create(&options, &ring, &err), POLARYS_OK) << err.message;
        return ring;
    }
    manifest_options options_for(const char *dir)
    {
        manifest_options options = {};
        options.vfs = sim_disk_vfs(disk);
        options.dir = dir;
        options.keyring = keyring;
        options.random = &random.base;
        return options;
    }
    void create()
    {
        manifest_options options = options_for("/s");
        ASSERT_EQ(manifest_create(&options, &manifest, &err), POLARYS_OK) << err.message;
    }
    polarys_code open()
    {
        manifest_options options = options_for("/s");
        manifest_close(manifest);
        manifest = nullptr;
        return manifest_open(&options, &manifest, &err);
    }
    polarys_code append_file(uint32_t level, uint64_t file_id, const std::string &smallest,
                             const std::string &largest)
    {
        Edit edit;
        add_file(&edit.edit, level, file_id, smallest, largest);
        return manifest_append(manifest, &edit.edit, &err);
    }
    polarys_code append_flushed(uint64_t version)
    {
        manifest_edit edit = {};
        edit.has_flushed_version = true;
        edit.flushed_version = version;
        edit.flushed_time = {version, 1000 + version};
        return manifest_append(manifest, &edit, &err);
    }
    const manifest_state *state()
    {
        return manifest_state_get(manifest);
    }
    std::vector<std::string> manifest_files()
    {
        std::vector<std::string> names;
        EXPECT_EQ(vfs_list_dir(
                      sim_disk_vfs(disk), "/s",
                      [](void *context, const char *name) {
                          if (strncmp(name, "MANIFEST-", 9) == 0) {
                              static_cast<std::vector<std::string> *>(context)->push_back(name);
                          }
                      },
                      &names, &err),
                  POLARYS_OK);
        return names;
    }
    std::string current_path()
    {
        return "/s/" + manifest_files().at(0);
    }

    sim_disk *disk = nullptr;
    sim_clock clock = {};
    sim_random random = {};
    struct keyring *keyring = nullptr;
    struct manifest *manifest = nullptr;
    polarys_error err = {};
};

TEST_F(Manifest, StartsEmpty)
{
    create();
    EXPECT_EQ(state()->flushed_version, 0u);
    EXPECT_FALSE(state()->is_clean);
    EXPECT_EQ(manifest_file_id_next(manifest), 1u);
    EXPECT_TRUE(manifest_owns_file(manifest, "CURRENT"));
    EXPECT_TRUE(manifest_owns_file(manifest, "MANIFEST-000001"));
    EXPECT_FALSE(manifest_owns_file(manifest, "MANIFEST-000002"));
    EXPECT_FALSE(manifest_owns_file(manifest, "000000000001.sst"));
}

TEST_F(Manifest, RefusesToReplaceAnExistingOne)
{
    create();
    manifest_options options = options_for("/s");
    struct manifest *second = nullptr;
    EXPECT_EQ(manifest_create(&options, &second, &err), POLARYS_BAD_ARGUMENT);
    EXPECT_EQ(second, nullptr);
}

TEST_F(Manifest, SaysThatThereIsNone)
{
    EXPECT_EQ(open(), POLARYS_FILE_NOT_FOUND);
}

TEST_F(Manifest, BringsBackEveryFieldOfEveryEdit)
{
    create();
    ASSERT_EQ(append_file(0, 7, "a", "m"), POLARYS_OK) << err.message;
    ASSERT_EQ(append_file(3, 9, "n", "z"), POLARYS_OK);
    ASSERT_EQ(append_flushed(57), POLARYS_OK);
    manifest_edit edit = {};
    edit.has_history_start = true;
    edit.history_start = 33;
    edit.has_origin = true;
    memset(edit.history_id, 0xab, HISTORY_ID_SIZE);
    edit.term = 4;
    edit.first_version = 1u << 20;
    ASSERT_EQ(manifest_append(manifest, &edit, &err), POLARYS_OK);
    edit = {};
    edit.has_clean = true;
    edit.clean_position.segment_id = 12;
    edit.clean_position.offset = 8192;
    memset(edit.clean_position.tag, 0xcd, AEAD_TAG_SIZE);
    edit.clean_version = 60;
    ASSERT_EQ(manifest_append(manifest, &edit, &err), POLARYS_OK);

    for (int round = 0; round < 2; round++) { /* from the edits, then from a snapshot of them */
        ASSERT_EQ(open(), POLARYS_OK) << err.message;
        ASSERT_EQ(state()->level_counts[0], 1u);
        ASSERT_EQ(state()->level_counts[3], 1u);
        const table_meta &meta = state()->levels[3][0];
        EXPECT_EQ(meta.file_id, 9u);
        EXPECT_EQ(meta.file_bytes, 1009u);
        EXPECT_EQ(meta.entry_count, 10u);
        EXPECT_EQ(meta.delete_count, 3u);
        EXPECT_EQ(meta.range_delete_count, 1u);
        EXPECT_EQ(meta.oldest_version, 5u);
        EXPECT_EQ(meta.newest_version, 59u);
        EXPECT_EQ(meta.raw_bytes, 4000u);
        EXPECT_EQ(meta.key_id, 1u);
        EXPECT_EQ(meta.footer_tag[15], 9);
        EXPECT_EQ(key_text(meta.smallest_key), "n");
        EXPECT_EQ(key_text(meta.largest_key), "z");
        EXPECT_EQ(state()->flushed_version, 57u);
        EXPECT_EQ(state()->history_start, 33u);
        EXPECT_EQ(state()->history_id[7], 0xab);
        EXPECT_EQ(state()->term, 4u);
        EXPECT_EQ(state()->origin_version, 1u << 20);
        ASSERT_EQ(state()->time_count, 1u);
        EXPECT_EQ(state()->times[0].version, 57u);
        EXPECT_EQ(state()->times[0].time_unix_ms, 1057u);
        EXPECT_EQ(state()->is_clean, round == 0);
        if (round == 0) {
            EXPECT_EQ(state()->clean_position.segment_id, 12u);
            EXPECT_EQ(state()->clean_position.offset, 8192u);
            EXPECT_EQ(state()->clean_position.tag[3], 0xcd);
            EXPECT_EQ(state()->clean_version, 60u);
        }
        EXPECT_EQ(manifest_file_id_next(manifest), 10u + static_cast<unsigned>(round));
        manifest_edit none = {}; /* any other edit ends the clean state */
        ASSERT_EQ(manifest_append(manifest, &none, &err), POLARYS_OK);
        EXPECT_FALSE(state()->is_clean);
    }
}

TEST_F(Manifest, WritesNothingUntilTheFirstAppendAfterAnOpen)
{
    create();
    ASSERT_EQ(append_flushed(5), POLARYS_OK);
    ASSERT_EQ(open(), POLARYS_OK);
    EXPECT_EQ(manifest_files(), std::vector<std::string>{"MANIFEST-000001"});
    ASSERT_EQ(append_flushed(6), POLARYS_OK);
    EXPECT_EQ(manifest_files(), std::vector<std::string>{"MANIFEST-000002"});
    EXPECT_TRUE(manifest_owns_file(manifest, "MANIFEST-000002"));
    EXPECT_FALSE(manifest_owns_file(manifest, "MANIFEST-000001"));
    ASSERT_EQ(open(), POLARYS_OK);
    EXPECT_EQ(state()->flushed_version, 6u);
}

TEST_F(Manifest, RefusesEditsThatContradictTheState)
{
    create();
    ASSERT_EQ(append_file(2, 1, "c", "f"), POLARYS_OK);
    EXPECT_EQ(append_file(2, 2, "e", "h"), POLARYS_BUG);
    EXPECT_EQ(append_file(2, 3, "f", "h"), POLARYS_OK) << "touching is allowed: " << err.message;
    Edit edit;
    remove_file(&edit.edit, 2, 99);
    EXPECT_EQ(manifest_append(manifest, &edit.edit, &err), POLARYS_BUG);
    EXPECT_EQ(append_file(0, 4, "a", "z"), POLARYS_OK);
    EXPECT_EQ(append_file(0, 4, "a", "z"), POLARYS_BUG);
    ASSERT_EQ(open(), POLARYS_OK) << err.message;
    EXPECT_EQ(state()->level_counts[2], 2u);
    EXPECT_EQ(state()->level_counts[0], 1u);
}

TEST_F(Manifest, MovesAFileInOneEdit)
{
    create();
    ASSERT_EQ(append_file(0, 4, "a", "z"), POLARYS_OK);
    Edit edit;
    remove_file(&edit.edit, 0, 4);
    add_file(&edit.edit, 6, 4, "a", "z");
    ASSERT_EQ(manifest_append(manifest, &edit.edit, &err), POLARYS_OK) << err.message;
    ASSERT_EQ(open(), POLARYS_OK);
    EXPECT_EQ(state()->level_counts[0], 0u);
    EXPECT_EQ(state()->level_counts[6], 1u);
}

TEST_F(Manifest, SkipsIdsOfFilesThatLieInTheDirectory)
{
    create();
    vfs_file *file = nullptr;
    ASSERT_EQ(
        vfs_open(sim_disk_vfs(disk), "/s/00000000002a.sst", VFS_WRITE | VFS_CREATE, &file, &err),
        POLARYS_OK);
    ASSERT_EQ(vfs_close(file, &err), POLARYS_OK);
    ASSERT_EQ(open(), POLARYS_OK);
    EXPECT_EQ(manifest_file_id_next(manifest), 0x2bu);
}

TEST_F(Manifest, RollsOverWhenLargeAndRemovesTheOldFile)
{
    create();
    std::string long_key(4000, 'k');
    uint64_t id = 0;
    while (manifest_files() == std::vector<std::string>{"MANIFEST-000001"}) {
        ASSERT_LT(id, 2000u);
        Edit edit;
        for (int i = 0; i < 20; i++) {
            id++;
            add_file(&edit.edit, 0, id, long_key, long_key);
        }
        if (id > 20) {
            for (uint64_t old = id - 39; old <= id - 20; old++) {
                remove_file(&edit.edit, 0, old);
            }
        }
        ASSERT_EQ(manifest_append(manifest, &edit.edit, &err), POLARYS_OK) << err.message;
    }
    EXPECT_GT(id * 8000, static_cast<uint64_t>(MANIFEST_BYTES_MAX));
    ASSERT_EQ(open(), POLARYS_OK) << err.message;
    EXPECT_EQ(state()->level_counts[0], 20u);
    EXPECT_EQ(state()->next_file_id, id + 1);
}

TEST_F(Manifest, ThinsOutOldTimesWhenThereAreTooMany)
{
    create();
    for (uint64_t version = 1; version <= MANIFEST_TIMES_MAX + 100; version++) {
        ASSERT_EQ(append_flushed(version), POLARYS_OK);
    }
    EXPECT_LE(state()->time_count, static_cast<size_t>(MANIFEST_TIMES_MAX));
    EXPECT_GT(state()->time_count, static_cast<size_t>(MANIFEST_TIMES_MAX / 2));
    EXPECT_EQ(state()->times[0].version, 1u);
    EXPECT_EQ(state()->times[1].version, 3u);
    EXPECT_EQ(state()->times[state()->time_count - 1].version, MANIFEST_TIMES_MAX + 100u);
    for (size_t i = 1; i < state()->time_count; i++) {
        ASSERT_LT(state()->times[i - 1].version, state()->times[i].version);
    }
    size_t count = state()->time_count;
    ASSERT_EQ(open(), POLARYS_OK) << err.message;
    EXPECT_EQ(state()->time_count, count);
}

/* ---- damage ---- */

TEST_F(Manifest, DropsATornLastRecordAtEveryLength)
{
    create();
    ASSERT_EQ(append_flushed(5), POLARYS_OK);
    sim_disk_settle(disk);
    uint64_t before = 0;
    ASSERT_TRUE(sim_disk_file_size(disk, current_path().c_str(), &before));
    ASSERT_EQ(append_flushed(6), POLARYS_OK);
    sim_disk_settle(disk);
    uint64_t after = 0;
    ASSERT_TRUE(sim_disk_file_size(disk, current_path().c_str(), &after));
    manifest_close(manifest);
    manifest = nullptr;
    for (uint64_t size = after - 1; size >= before; size--) {
        ASSERT_TRUE(sim_disk_file_resize(disk, current_path().c_str(), size));
        ASSERT_EQ(open(), POLARYS_OK) << "cut at " << size << ": " << err.message;
        ASSERT_EQ(state()->flushed_version, 5u);
    }
    /* Zeros where the record was are a torn record as well. */
    ASSERT_TRUE(sim_disk_file_resize(disk, current_path().c_str(), after));
    ASSERT_EQ(open(), POLARYS_OK) << err.message;
    EXPECT_EQ(state()->flushed_version, 5u);
}

TEST_F(Manifest, RefusesDamageBeforeAGoodRecordAtEveryByte)
{
    create();
    ASSERT_EQ(append_file(0, 3, "a", "b"), POLARYS_OK);
    sim_disk_settle(disk);
    uint64_t before = 0;
    ASSERT_TRUE(sim_disk_file_size(disk, current_path().c_str(), &before));
    ASSERT_EQ(append_flushed(6), POLARYS_OK);
    sim_disk_settle(disk);
    manifest_close(manifest);
    manifest = nullptr;
    std::string path = current_path();
    for (uint64_t at = 0; at < before; at++) {
        ASSERT_TRUE(sim_disk_file_flip(disk, path.c_str(), at, 0x10));
        polarys_code code = open();
        ASSERT_TRUE(code == POLARYS_CORRUPT || code == POLARYS_TAMPERED ||
                    code == POLARYS_UNSUPPORTED_FORMAT)
            << "byte " << at << " gives " << polarys_code_name(code);
        ASSERT_STREQ(polarys_error_detail_find(&err, "file"), "MANIFEST-000001");
        ASSERT_TRUE(sim_disk_file_flip(disk, path.c_str(), at, 0x10));
    }
    ASSERT_EQ(open(), POLARYS_OK) << err.message;
}

TEST_F(Manifest, RefusesADamagedCurrent)
{
    create();
    sim_disk_settle(disk);
    uint64_t size = 0;
    ASSERT_TRUE(sim_disk_file_size(disk, "/s/CURRENT", &size));
    for (uint64_t at = 0; at < size; at++) {
        ASSERT_TRUE(sim_disk_file_flip(disk, "/s/CURRENT", at, 0x01));
        ASSERT_EQ(open(), POLARYS_CORRUPT) << at;
        ASSERT_TRUE(sim_disk_file_flip(disk, "/s/CURRENT", at, 0x01));
    }
    ASSERT_TRUE(sim_disk_file_resize(disk, "/s/CURRENT", 0));
    EXPECT_EQ(open(), POLARYS_CORRUPT);
}

TEST_F(Manifest, RefusesAFileThatIsNotThereOrAnothers)
{
    create();
    ASSERT_EQ(append_flushed(6), POLARYS_OK);
    sim_disk_settle(disk);
    manifest_close(manifest);
    manifest = nullptr;
    ASSERT_TRUE(sim_disk_file_copy(disk, "/s/MANIFEST-000001", "/s/MANIFEST-000009"));
    ASSERT_TRUE(sim_disk_file_remove(disk, "/s/MANIFEST-000001"));
    EXPECT_EQ(open(), POLARYS_CORRUPT);
    struct keyring *own = keyring;
    keyring = make_ring("/other");
    manifest_options options = options_for("/other");
    ASSERT_EQ(manifest_create(&options, &manifest, &err), POLARYS_OK);
    sim_disk_settle(disk);
    keyring_close(keyring);
    keyring = own;
    manifest_close(manifest);
    manifest = nullptr;
    ASSERT_TRUE(sim_disk_file_copy(disk, "/other/MANIFEST-000001", "/s/MANIFEST-000001"));
    EXPECT_EQ(open(), POLARYS_WRONG_STORE);
}

TEST_F(Manifest, RefusesAnOlderManifestUnderANewName)
{
    create();
    ASSERT_EQ(append_flushed(6), POLARYS_OK);
    sim_disk_settle(disk);
    ASSERT_TRUE(sim_disk_file_copy(disk, "/s/MANIFEST-000001", "/old"));
    ASSERT_EQ(open(), POLARYS_OK);
    ASSERT_EQ(append_flushed(7), POLARYS_OK);
    sim_disk_settle(disk);
    ASSERT_TRUE(sim_disk_file_copy(disk, "/old", "/s/MANIFEST-000002"));
    EXPECT_EQ(open(), POLARYS_TAMPERED);
}

/* ---- failures ---- */

TEST_F(Manifest, GoesOnInANewFileAfterALackOfSpace)
{
    for (uint64_t n = 1;; n++) {
        SCOPED_TRACE(n);
        TearDown();
        manifest = nullptr;
        SetUp();
        create();
        ASSERT_EQ(append_flushed(5), POLARYS_OK);
        ASSERT_EQ(open(), POLARYS_OK);
        sim_disk_fail_at(disk, n, SIM_FAULT_ENOSPC);
        polarys_code code = append_flushed(6);
        uint64_t faults = sim_disk_fault_count(disk);
        sim_disk_fail_at(disk, 0, SIM_FAULT_ENOSPC);
        if (faults == 0) {
            ASSERT_GT(n, 3u);
            break;
        }
        if (code == POLARYS_DISK_LOW) {
            ASSERT_EQ(state()->flushed_version, 5u);
            ASSERT_EQ(append_flushed(7), POLARYS_OK) << err.message;
            sim_disk_crash(disk, SIM_CRASH_DROP_ALL);
            ASSERT_EQ(open(), POLARYS_OK) << err.message;
            ASSERT_EQ(state()->flushed_version, 7u);
        } else {
            /* A sync that fails leaves it unknown what is there. */
            ASSERT_EQ(code, POLARYS_IO) << err.message;
            ASSERT_EQ(append_flushed(7), POLARYS_IO);
        }
    }
}

TEST_F(Manifest, IsBrokenForGoodAfterAFailedSync)
{
    create();
    ASSERT_EQ(append_flushed(5), POLARYS_OK);
    sim_disk_fail_at(disk, 1, SIM_FAULT_SYNC);
    EXPECT_EQ(append_flushed(6), POLARYS_IO);
    EXPECT_EQ(append_flushed(7), POLARYS_IO);
    EXPECT_EQ(state()->flushed_version, 5u);
}

TEST_F(Manifest, LeaksNothingWhenMemoryRunsOut)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    create();
    ASSERT_EQ(append_file(1, 3, "a", "b"), POLARYS_OK);
    manifest_options options = options_for("/s");
    for (uint64_t n = 1;; n++) {
        struct manifest *other = nullptr;
        fault_alloc_fail_at(n);
        polarys_code code = manifest_open(&options, &other, &err);
        uint64_t failed = fault_alloc_disarm();
        manifest_close(other);
        if (failed == 0) {
            ASSERT_EQ(code, POLARYS_OK) << err.message;
            break;
        }
        ASSERT_NE(code, POLARYS_OK);
        ASSERT_EQ(other, nullptr);
    }
    for (uint64_t n = 1;; n++) {
        Edit edit;
        add_file(&edit.edit, 1, 100 + n, "c" + std::string(n, 'x'), "c" + std::string(n, 'x'));
        fault_alloc_fail_at(n);
        polarys_code code = manifest_append(manifest, &edit.edit, &err);
        uint64_t failed = fault_alloc_disarm();
        if (failed == 0) {
            ASSERT_EQ(code, POLARYS_OK) << err.message;
            break;
        }
        ASSERT_NE(code, POLARYS_OK);
        ASSERT_EQ(state()->level_counts[1], 1u);
    }
}

TEST_F(Manifest, CopiesItsStateWithoutTheCleanMark)
{
    create();
    ASSERT_EQ(append_file(6, 3, "a", "b"), POLARYS_OK);
    manifest_edit edit = {};
    edit.has_clean = true;
    edit.clean_version = 9;
    ASSERT_EQ(manifest_append(manifest, &edit, &err), POLARYS_OK);
    buffer snapshot = {};
    ASSERT_EQ(manifest_snapshot_encode(manifest, &snapshot, &err), POLARYS_OK);
    ASSERT_EQ(vfs_make_dir(sim_disk_vfs(disk), "/copy", &err), POLARYS_OK);
    manifest_options options = options_for("/copy");
    struct manifest *copy = nullptr;
    ASSERT_EQ(manifest_create_from(&options, buffer_slice(&snapshot), &copy, &err), POLARYS_OK)
        << err.message;
    EXPECT_EQ(manifest_state_get(copy)->level_counts[6], 1u);
    EXPECT_FALSE(manifest_state_get(copy)->is_clean);
    EXPECT_TRUE(state()->is_clean);
    manifest_close(copy);
    ASSERT_EQ(manifest_open(&options, &copy, &err), POLARYS_OK) << err.message;
    EXPECT_EQ(manifest_state_get(copy)->level_counts[6], 1u);
    manifest_close(copy);
    buffer_deinit(&snapshot);
}
