/* SPDX-License-Identifier: Apache-2.0 */
/* A restore ends at the version that was asked for, also within a frame, and begins a term of its own. */
#include <gtest/gtest.h>

#include "engine/engine_restore.h"
#include "engine/wal/wal_format.h"
#include "tests/support/engine/test_store.h"

namespace test_store {
namespace {

constexpr char primary_dir[] = "/store";
constexpr char copy_dir[] = "/copy";

struct piece {
    std::string bytes;
    uint64_t segment_id = 0;
    bool is_header = false;
    polarys_log_frame frame = {};
};

/* A copy of a store, and the log that was written after it, some of it with many commits in a frame. */
class Restore : public ::testing::Test {
  protected:
    Restore() : primary(w)
    {
    }

    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
        ASSERT_EQ(POLARYS_OK, primary.create_table("t"));
        uint64_t version = 0;
        ASSERT_EQ(POLARYS_OK,
                  polarys_db_checkpoint_log(primary.db, copy_dir, &end, &primary.error));
        version = end.version;
        polarys_write_options async{};
        async.durability = POLARYS_DURABILITY_ASYNC;
        for (int i = 0; i < 40; i++) {
            bool is_last_of_group = i % 8 == 7;
            std::string key = "k" + std::to_string(i % 13);
            ASSERT_EQ(POLARYS_OK, primary.put("t", key, json_of(std::to_string(i)),
                                              is_last_of_group ? nullptr : &async));
            EXPECT_EQ(++version, polarys_db_version(primary.db));
            w.pass_ms(is_last_of_group ? 10 : 0);
        }
        read_log();
    }

    void read_log()
    {
        polarys_log_position until;
        polarys_log_position_get(primary.db, &until);
        ASSERT_EQ(end.segment_id, until.segment_id) << "the test reads one segment";
        char name[VFS_NAME_MAX];
        wal_segment_name(end.segment_id, name);
        std::string path = std::string(primary_dir) + "/wal/" + name;
        vfs_file *file = nullptr;
        ASSERT_EQ(POLARYS_OK, vfs_open(w.vfs(), path.c_str(), VFS_READ, &file, nullptr));
        std::string bytes(until.offset, '\0');
        ASSERT_EQ(POLARYS_OK, vfs_read_exact(file, 0, &bytes[0], bytes.size(), nullptr));
        vfs_close(file, nullptr);
        polarys_error err = {};
        polarys_log_segment segment;
        ASSERT_EQ(POLARYS_OK,
                  polarys_log_segment_read(bytes_of(bytes.substr(0, 4096)), &segment, &err));
        EXPECT_EQ(end.segment_id, segment.segment_id);
        for (uint64_t at = end.offset; at < bytes.size();) {
            piece next;
            ASSERT_EQ(POLARYS_OK, polarys_log_frame_read(bytes_of(bytes.substr(at)), end.segment_id,
                                                         &next.frame, &err))
                << err.message;
            next.bytes = bytes.substr(at, next.frame.size);
            at += next.frame.stored_size;
            pieces.push_back(next);
        }
    }

    std::unique_ptr<store> copy()
    {
        polarys_db_options options = w.options();
        options.is_follower = true;
        auto made = std::make_unique<store>(w, options);
        made->dir = copy_dir;
        EXPECT_EQ(POLARYS_OK, made->open()) << made->error.message;
        return made;
    }

    /* Takes in what is before `version`, and ends there. */
    void restore(store &to, uint64_t version)
    {
        for (const piece &each : pieces) {
            uint64_t last = each.frame.first_version + each.frame.commit_count - 1;
            if (each.frame.first_version > version) {
                break;
            }
            if (last > version) {
                ASSERT_EQ(POLARYS_OK, polarys_restore_promote_within(to.db, bytes_of(each.bytes),
                                                                     version, 0, &to.error))
                    << to.error.message;
                return;
            }
            ASSERT_EQ(POLARYS_OK, polarys_replica_frame(to.db, bytes_of(each.bytes), &to.error))
                << to.error.message;
        }
        ASSERT_EQ(POLARYS_OK, polarys_replica_promote(to.db, 0, &to.error)) << to.error.message;
    }

    world w;
    store primary;
    polarys_log_position end = {};
    std::vector<piece> pieces;
};

TEST_F(Restore, HasFramesOfManyCommits)
{
    uint32_t most = 0;
    for (const piece &each : pieces) {
        most = std::max(most, each.frame.commit_count);
    }
    EXPECT_GT(most, 3u) << "otherwise the tests below test nothing";
}

/* Each on a disk of its own, for a restore ends the copy. */
class RestoreTo : public Restore, public ::testing::WithParamInterface<int> {};

TEST_P(RestoreTo, IsExactWithinAFrame)
{
    uint64_t version = end.version + (uint64_t)GetParam();
    auto expected = primary.contents("t", version);
    std::vector<scanned> rows;
    {
        auto to = copy();
        restore(*to, version);
        EXPECT_EQ(expected, to->contents("t"));
        EXPECT_EQ(expected, to->contents("t", version));
        EXPECT_GT(polarys_db_version(to->db), version + (UINT64_C(1) << 31));
        EXPECT_EQ(polarys_db_term(primary.db) + 1, polarys_db_term(to->db));
        EXPECT_NE(0, memcmp(polarys_db_history_id(primary.db), polarys_db_history_id(to->db),
                            POLARYS_ID_SIZE));
        ASSERT_EQ(POLARYS_OK, to->put("t", "new", "1"));
        rows = to->scan("t");
        to->close();
    }
    expected["new"] = "1";
    polarys_db_options options = w.options();
    store again(w, options);
    again.dir = copy_dir;
    ASSERT_EQ(POLARYS_OK, again.open()) << again.error.message;
    EXPECT_EQ(expected, again.contents("t"));
    auto found = again.scan("t");
    ASSERT_EQ(rows.size(), found.size());
    for (size_t i = 0; i < rows.size(); i++) {
        EXPECT_EQ(rows[i].version, found[i].version);
        EXPECT_TRUE(rows[i].version <= version || rows[i].key == "new");
    }
    again.close();
}

INSTANTIATE_TEST_SUITE_P(Versions, RestoreTo, ::testing::Values(0, 1, 2, 7, 8, 9, 13, 20, 39, 40));

TEST_F(Restore, TellsTheTimeOfAFrameAndTakesNothing)
{
    auto to = copy();
    uint64_t time_ms = 0;
    ASSERT_EQ(POLARYS_OK,
              polarys_restore_time(to->db, bytes_of(pieces[0].bytes), &time_ms, &to->error));
    EXPECT_LE(time_ms, w.now_ms());
    EXPECT_GE(time_ms + 1000, w.now_ms());
    EXPECT_EQ(end.version, polarys_db_version(to->db));
    uint64_t later_ms = 0;
    EXPECT_EQ(POLARYS_HISTORY_DIVERGED,
              polarys_restore_time(to->db, bytes_of(pieces[1].bytes), &later_ms, &to->error));
    ASSERT_EQ(POLARYS_OK, polarys_replica_frame(to->db, bytes_of(pieces[0].bytes), &to->error));
    ASSERT_EQ(POLARYS_OK,
              polarys_restore_time(to->db, bytes_of(pieces[1].bytes), &later_ms, &to->error));
    EXPECT_GE(later_ms, time_ms);
    to->close();
}

TEST_F(Restore, RefusesAVersionThatIsNotInTheFrameAndAFrameThatWasAltered)
{
    auto to = copy();
    const piece &first = pieces[0];
    uint64_t beyond = first.frame.first_version + first.frame.commit_count;
    EXPECT_EQ(POLARYS_BAD_ARGUMENT,
              polarys_restore_promote_within(to->db, bytes_of(first.bytes), beyond, 0, &to->error));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT,
              polarys_restore_promote_within(to->db, bytes_of(first.bytes),
                                             first.frame.first_version - 1, 0, &to->error));
    std::string altered = first.bytes;
    altered[80] = (char)(altered[80] ^ 1);
    EXPECT_EQ(POLARYS_CORRUPT,
              polarys_restore_promote_within(to->db, bytes_of(altered), first.frame.first_version,
                                             0, &to->error));
    wal_frame_put_checksum(reinterpret_cast<uint8_t *>(&altered[0]),
                           altered.size() - WAL_FRAME_OVERHEAD);
    EXPECT_EQ(POLARYS_TAMPERED,
              polarys_restore_promote_within(to->db, bytes_of(altered), first.frame.first_version,
                                             0, &to->error));
    EXPECT_TRUE(polarys_db_is_follower(to->db));
    EXPECT_EQ(POLARYS_OK, polarys_replica_frame(to->db, bytes_of(first.bytes), &to->error))
        << "it goes on as if nothing had been tried";
    to->close();
}

TEST_F(Restore, ReadsNoHeaderNorFrameThatIsNotWhole)
{
    polarys_error err = {};
    polarys_log_segment segment;
    polarys_log_frame frame;
    std::string zeros(4096, '\0');
    EXPECT_EQ(POLARYS_CORRUPT, polarys_log_segment_read(bytes_of(zeros), &segment, &err));
    EXPECT_EQ(POLARYS_CORRUPT, polarys_log_segment_read(bytes_of(zeros.substr(1)), &segment, &err));
    const std::string &bytes = pieces[0].bytes;
    for (size_t size : {size_t{0}, size_t{79}, bytes.size() - 1}) {
        EXPECT_EQ(POLARYS_CORRUPT, polarys_log_frame_read(bytes_of(bytes.substr(0, size)),
                                                          end.segment_id, &frame, &err));
    }
    EXPECT_EQ(POLARYS_CORRUPT,
              polarys_log_frame_read(bytes_of(bytes), end.segment_id + 1, &frame, &err));
}

TEST_F(Restore, ReadsAKeyringWithoutItsMasterKey)
{
    polarys_error err = {};
    vfs_file *file = nullptr;
    uint64_t size = 0;
    ASSERT_EQ(POLARYS_OK, vfs_open(w.vfs(), "/store/keyring", VFS_READ, &file, nullptr));
    ASSERT_EQ(POLARYS_OK, vfs_file_size(file, &size, nullptr));
    std::string bytes(size, '\0');
    ASSERT_EQ(POLARYS_OK, vfs_read_exact(file, 0, &bytes[0], size, nullptr));
    vfs_close(file, nullptr);
    polarys_keyring_summary summary;
    ASSERT_EQ(POLARYS_OK, polarys_keyring_read(bytes_of(bytes), &summary, &err)) << err.message;
    EXPECT_EQ(0, memcmp(summary.store_id, polarys_db_store_id(primary.db), POLARYS_ID_SIZE));
    EXPECT_EQ(16u, strlen(summary.master_key_id));
    EXPECT_EQ(1u, summary.key_count);
    EXPECT_TRUE(polarys_keyring_has(bytes_of(bytes), 1));
    EXPECT_FALSE(polarys_keyring_has(bytes_of(bytes), 2));
    bytes[100] = (char)(bytes[100] ^ 1);
    EXPECT_EQ(POLARYS_CORRUPT, polarys_keyring_read(bytes_of(bytes), &summary, &err));
    EXPECT_EQ(POLARYS_CORRUPT, polarys_keyring_read(bytes_of(bytes.substr(0, 90)), &summary, &err));
}

} // namespace
} // namespace test_store
