/* SPDX-License-Identifier: Apache-2.0 */
/* A store's log, read as it is sealed: what a follower takes from it makes the same log, byte for byte. */
#include <gtest/gtest.h>

#include <random>

#include "engine/engine_log.h"
#include "engine/wal/wal_format.h"
#include "tests/support/engine/test_store.h"
#include "tests/support/fault_alloc.h"

namespace test_store {
namespace {

constexpr char follower_dir[] = "/copy";

/* A part that has been put together again, and the position behind it. */
struct piece {
    bool is_header;
    std::string bytes;
    polarys_log_position behind;
};

class LogReader : public ::testing::Test {
  protected:
    LogReader() : primary(w)
    {
    }

    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
        ASSERT_EQ(POLARYS_OK, primary.create_table("t"));
        ASSERT_EQ(POLARYS_OK, primary.put("t", "before", "0"));
        uint64_t version = 0;
        ASSERT_EQ(POLARYS_OK,
                  polarys_db_checkpoint(primary.db, follower_dir, &version, &primary.error))
            << primary.error.message;
        polarys_error_clear(&err);
    }

    void TearDown() override
    {
        polarys_log_reader_close(reader);
    }

    std::unique_ptr<store> follow()
    {
        polarys_db_options options = w.options();
        options.is_follower = true;
        auto follower = std::make_unique<store>(w, options);
        follower->dir = follower_dir;
        EXPECT_EQ(POLARYS_OK, follower->open()) << follower->error.message;
        return follower;
    }

    polarys_log_position durable(store &of)
    {
        polarys_log_position position{};
        polarys_log_durable_position(of.db, &position);
        return position;
    }

    polarys_code open_at(const polarys_log_position &from)
    {
        polarys_log_reader_close(reader);
        reader = nullptr;
        polarys_error_clear(&err);
        return polarys_log_reader_open(primary.db, &from, &reader, &err);
    }

    /* The next piece, of as many parts as it takes; false at the end. */
    bool next(piece &got)
    {
        polarys_log_part part{};
        bool has_part = false;
        got.bytes.clear();
        do {
            polarys_code code = polarys_log_reader_next(reader, &part, &has_part, &err);
            EXPECT_EQ(POLARYS_OK, code) << err.message;
            if (code != POLARYS_OK || !has_part) {
                return false;
            }
            EXPECT_LE(part.bytes.size, size_t{POLARYS_LOG_PART_BYTES_MAX});
            got.bytes += text_of(part.bytes);
            got.is_header = part.offset == 0;
            parts++;
        } while (part.is_continued);
        polarys_log_reader_position(reader, &got.behind);
        return true;
    }

    std::vector<piece> rest()
    {
        std::vector<piece> pieces;
        piece got{};
        while (next(got)) {
            pieces.push_back(got);
        }
        return pieces;
    }

    void take(store &follower, const piece &got)
    {
        polarys_code code = got.is_header
                                ? polarys_replica_segment(follower.db, bytes_of(got.bytes), &err)
                                : polarys_replica_frame(follower.db, bytes_of(got.bytes), &err);
        ASSERT_EQ(POLARYS_OK, code) << err.message;
    }

    /* Everything that the follower has not got. */
    void feed(store &follower)
    {
        polarys_log_position at{};
        polarys_log_position_get(follower.db, &at);
        ASSERT_EQ(POLARYS_OK, open_at(at)) << err.message;
        for (const piece &got : rest()) {
            take(follower, got);
        }
        ASSERT_EQ(POLARYS_OK, polarys_replica_sync(follower.db, nullptr, &err)) << err.message;
    }

    std::string segment(const std::string &dir, uint64_t id, size_t size_max)
    {
        char name[VFS_NAME_MAX];
        wal_segment_name(id, name);
        std::string path = dir + "/wal/" + name;
        vfs_file *file = nullptr;
        std::string bytes(size_max, '\0');
        size_t size = 0;
        EXPECT_EQ(POLARYS_OK, vfs_open(w.vfs(), path.c_str(), VFS_READ, &file, &err));
        EXPECT_EQ(POLARYS_OK, vfs_read_at(file, 0, &bytes[0], size_max, &size, &err));
        vfs_close(file, nullptr);
        bytes.resize(size);
        return bytes;
    }

    /* Every segment that both have, as far as it goes. */
    void expect_same_log(store &follower)
    {
        polarys_log_position end = durable(primary);
        polarys_log_position theirs{};
        polarys_log_position_get(follower.db, &theirs);
        EXPECT_EQ(end.segment_id, theirs.segment_id);
        EXPECT_EQ(end.offset, theirs.offset);
        EXPECT_EQ(0, memcmp(end.tag, theirs.tag, sizeof(end.tag)));
        uint64_t first = std::max(polarys_log_earliest_segment(primary.db),
                                  polarys_log_earliest_segment(follower.db));
        for (uint64_t id = first; id <= end.segment_id; id++) {
            polarys_log_position from{id, 0, {}, 0};
            polarys_log_position to = end;
            if (id < end.segment_id) {
                to = polarys_log_position{id, UINT32_MAX, {}, 0};
                polarys_log_position next{id + 1, 0, {}, 0};
                to.offset = polarys_log_bytes_between(primary.db, &from, &next);
            }
            EXPECT_EQ(segment(primary.dir, id, to.offset), segment(follower_dir, id, to.offset))
                << "segment " << id;
        }
        EXPECT_EQ(primary.contents("t"), follower.contents("t"));
    }

    void write_some(int count, size_t size = 100)
    {
        for (int i = 0; i < count; i++) {
            std::string key = "k" + std::to_string(written++ % 50);
            std::string value(size, '\0');
            for (char &c : value) {
                c = static_cast<char>(random());
            }
            ASSERT_EQ(POLARYS_OK, primary.put("t", key, raw_of(value))) << primary.error.message;
        }
    }

    void flush()
    {
        ASSERT_EQ(POLARYS_OK, polarys_db_flush(primary.db, nullptr, &err)) << err.message;
        sim_executor_run_all(w.executor);
    }

    std::string detail(const char *name)
    {
        const char *value = polarys_error_detail_find(&err, name);
        return value == nullptr ? "" : value;
    }

    world w;
    store primary;
    polarys_error err;
    polarys_log_reader *reader = nullptr;
    std::mt19937 random{7};
    int written = 0;
    int parts = 0;
};

TEST_F(LogReader, MakesTheSameLogInAFollower)
{
    auto follower = follow();
    write_some(40);
    feed(*follower);
    expect_same_log(*follower);
    ASSERT_EQ(POLARYS_OK, primary.remove("t", "k3"));
    feed(*follower);
    expect_same_log(*follower);
}

TEST_F(LogReader, GoesThroughSegments)
{
    auto follower = follow();
    uint64_t before = durable(primary).segment_id;
    for (int round = 0; round < 4; round++) {
        write_some(20, 50000);
        feed(*follower);
        expect_same_log(*follower);
    }
    EXPECT_GE(durable(primary).segment_id, before + 3);
}

TEST_F(LogReader, GivesALargeFrameInParts)
{
    auto follower = follow();
    batch large(primary);
    std::string value(900000, '\0');
    for (int i = 0; i < 6; i++) {
        for (char &c : value) {
            c = static_cast<char>(random());
        }
        ASSERT_EQ(POLARYS_OK, large.put("t", "large" + std::to_string(i), raw_of(value)));
    }
    ASSERT_EQ(POLARYS_OK, large.commit()) << large.error.message;
    write_some(3);
    parts = 0;
    feed(*follower);
    EXPECT_GE(parts, 6 + 3);
    expect_same_log(*follower);
}

TEST_F(LogReader, SurvivesAPauseInTheMiddleOfALargeFrame)
{
    batch large(primary);
    polarys_log_position from = durable(primary);
    std::string value(800000, '\0');
    for (int i = 0; i < 4; i++) {
        for (char &c : value) {
            c = static_cast<char>(random());
        }
        ASSERT_EQ(POLARYS_OK, large.put("t", "large" + std::to_string(i), raw_of(value)));
    }
    ASSERT_EQ(POLARYS_OK, large.commit()) << large.error.message;
    ASSERT_EQ(POLARYS_OK, open_at(from)) << err.message;
    std::vector<piece> straight = rest();
    ASSERT_EQ(POLARYS_OK, open_at(from)) << err.message;
    std::string all;
    polarys_log_part part{};
    bool has_part = true;
    for (;;) {
        ASSERT_EQ(POLARYS_OK, polarys_log_reader_next(reader, &part, &has_part, &err));
        if (!has_part) {
            break;
        }
        all += text_of(part.bytes);
        polarys_log_reader_pause(reader);
    }
    std::string expected;
    for (const piece &got : straight) {
        expected += got.bytes;
    }
    EXPECT_EQ(expected, all);
}

TEST_F(LogReader, GoesOnFromEveryPosition)
{
    polarys_log_position from = durable(primary);
    write_some(12, 120000);
    ASSERT_EQ(POLARYS_OK, primary.close()) << primary.error.message;
    ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
    write_some(8, 50000);
    ASSERT_EQ(POLARYS_OK, open_at(from)) << err.message;
    std::vector<piece> all = rest();
    ASSERT_GT(all.size(), 20U);
    for (size_t i = 0; i < all.size(); i++) {
        ASSERT_EQ(POLARYS_OK, open_at(all[i].behind)) << err.message;
        polarys_log_position at{};
        polarys_log_reader_position(reader, &at);
        EXPECT_EQ(all[i].behind.version, at.version);
        std::vector<piece> behind = rest();
        ASSERT_EQ(all.size() - i - 1, behind.size());
        for (size_t k = 0; k < behind.size(); k++) {
            EXPECT_EQ(all[i + 1 + k].bytes, behind[k].bytes);
        }
    }
    EXPECT_EQ(polarys_db_durable_version(primary.db), all.back().behind.version);
}

TEST_F(LogReader, RefusesAPositionThatIsNotOfThisLog)
{
    write_some(5);
    polarys_log_position middle = durable(primary);
    write_some(5);
    polarys_log_position end = durable(primary);
    ASSERT_EQ(POLARYS_OK, open_at(middle)) << err.message;
    ASSERT_EQ(POLARYS_OK, open_at(end)) << err.message;
    for (polarys_log_position good : {middle, end}) {
        polarys_log_position bad = good;
        bad.tag[7] ^= 1;
        EXPECT_EQ(POLARYS_HISTORY_DIVERGED, open_at(bad));
        EXPECT_EQ(std::to_string(end.segment_id), detail("segment"));
        EXPECT_EQ(std::to_string(end.offset), detail("offset"));
        EXPECT_EQ("", detail("common_version"));
        for (int64_t moved : {-4096, 4096, 8, -1}) {
            bad = good;
            bad.offset += static_cast<uint64_t>(moved);
            EXPECT_EQ(POLARYS_HISTORY_DIVERGED, open_at(bad)) << moved;
        }
        bad = good;
        bad.segment_id += 1000;
        EXPECT_EQ(POLARYS_HISTORY_DIVERGED, open_at(bad));
    }
    polarys_log_position beyond = end;
    beyond.offset += 1 << 20;
    EXPECT_EQ(POLARYS_HISTORY_DIVERGED, open_at(beyond));
    EXPECT_EQ(std::to_string(end.version), detail("common_version"));
    polarys_log_position header = end;
    header.offset = 0;
    EXPECT_EQ(POLARYS_HISTORY_DIVERGED, open_at(header));
    header.offset = 2048;
    EXPECT_EQ(POLARYS_HISTORY_DIVERGED, open_at(header));
}

TEST_F(LogReader, NamesWhereAPromotedLogWentAnotherWay)
{
    auto follower = follow();
    write_some(3);
    feed(*follower);
    uint64_t common = polarys_db_version(follower->db);
    write_some(4); /* which the follower never gets */
    polarys_log_position lost = durable(primary);
    ASSERT_EQ(POLARYS_OK, polarys_replica_promote(follower->db, 0, &err)) << err.message;
    ASSERT_EQ(POLARYS_OK, follower->put("t", "mine", "1")) << follower->error.message;
    polarys_log_reader *other = nullptr;
    EXPECT_EQ(POLARYS_HISTORY_DIVERGED, polarys_log_reader_open(follower->db, &lost, &other, &err));
    EXPECT_EQ(std::to_string(common), detail("common_version"));
    polarys_log_reader_close(other);
}

TEST_F(LogReader, BeginsAtTheStoresFirstSegment)
{
    polarys_log_position zero{};
    write_some(4);
    ASSERT_EQ(POLARYS_OK, open_at(zero)) << err.message;
    std::vector<piece> all = rest();
    ASSERT_FALSE(all.empty());
    EXPECT_TRUE(all[0].is_header);
    EXPECT_EQ(1U, all[0].behind.segment_id);
    EXPECT_EQ(0, memcmp(&all.back().behind.tag, durable(primary).tag, POLARYS_LOG_TAG_SIZE));
    polarys_log_reader_pause(reader);
    for (int round = 0; round < 4; round++) {
        write_some(20, 100000);
        w.pass_ms(700000);
        flush();
    }
    ASSERT_GT(polarys_log_earliest_segment(primary.db), 1U);
    EXPECT_EQ(POLARYS_LOG_PRUNED, open_at(zero));
    EXPECT_EQ(std::to_string(polarys_log_earliest_segment(primary.db)), detail("earliest_segment"));
}

TEST_F(LogReader, KeepsTheLogFromTheSegmentThatIsAskedFor)
{
    polarys_log_position from = durable(primary);
    polarys_log_keep_from(primary.db, from.segment_id);
    for (int round = 0; round < 4; round++) {
        write_some(20, 100000);
        w.pass_ms(700000);
        flush();
    }
    EXPECT_EQ(from.segment_id, polarys_log_earliest_segment(primary.db));
    ASSERT_EQ(POLARYS_OK, open_at(from)) << err.message;
    EXPECT_GT(rest().size(), 80U);
    ASSERT_EQ(POLARYS_OK, open_at(from)) << err.message;
    piece got{};
    ASSERT_TRUE(next(got));
    polarys_log_reader_pause(reader);
    polarys_log_keep_from(primary.db, 0);
    sim_executor_run_all(w.executor);
    EXPECT_GT(polarys_log_earliest_segment(primary.db), from.segment_id);
    polarys_log_part part{};
    bool has_part = false;
    EXPECT_EQ(POLARYS_LOG_PRUNED, polarys_log_reader_next(reader, &part, &has_part, &err));
    EXPECT_EQ(std::to_string(polarys_log_earliest_segment(primary.db)), detail("earliest_segment"));
    EXPECT_EQ(POLARYS_LOG_PRUNED, open_at(from));
}

TEST_F(LogReader, PinsTheSegmentThatItReads)
{
    polarys_log_position from = durable(primary);
    write_some(20, 100000);
    ASSERT_EQ(POLARYS_OK, open_at(from)) << err.message;
    piece got{};
    ASSERT_TRUE(next(got));
    w.pass_ms(700000);
    flush();
    write_some(20, 100000);
    w.pass_ms(700000);
    flush();
    EXPECT_EQ(from.segment_id, polarys_log_earliest_segment(primary.db));
    EXPECT_GT(rest().size(), 38U);
}

TEST_F(LogReader, CountsTheBytesBetweenPositions)
{
    polarys_log_position from = durable(primary);
    EXPECT_EQ(0U, polarys_log_bytes_between(primary.db, &from, &from));
    write_some(30, 100000);
    polarys_log_position end = durable(primary);
    ASSERT_GT(end.segment_id, from.segment_id);
    ASSERT_EQ(POLARYS_OK, open_at(from)) << err.message;
    uint64_t sum = 0;
    for (const piece &got : rest()) {
        sum += (got.bytes.size() + 4095) & ~uint64_t{4095};
        EXPECT_EQ(sum, polarys_log_bytes_between(primary.db, &from, &got.behind));
    }
    EXPECT_EQ(sum, polarys_log_bytes_between(primary.db, &from, &end));
    EXPECT_EQ(0U, polarys_log_bytes_between(primary.db, &end, &from));
}

TEST_F(LogReader, IsWokenByTheNextFrame)
{
    int woken = 0;
    auto ready = [](void *context) { ++*static_cast<int *>(context); };
    ASSERT_EQ(POLARYS_OK, open_at(durable(primary))) << err.message;
    EXPECT_TRUE(rest().empty());
    EXPECT_TRUE(polarys_log_reader_wait(reader, ready, &woken));
    sim_executor_run_all(w.executor);
    EXPECT_EQ(0, woken);
    write_some(1);
    sim_executor_run_all(w.executor);
    EXPECT_EQ(1, woken);
    write_some(1);
    sim_executor_run_all(w.executor);
    EXPECT_EQ(1, woken) << "once";
    EXPECT_FALSE(polarys_log_reader_wait(reader, ready, &woken)) << "there is something already";
    EXPECT_EQ(2U, rest().size());
    EXPECT_TRUE(polarys_log_reader_wait(reader, ready, &woken));
    polarys_log_reader_close(reader);
    reader = nullptr;
    write_some(1);
    sim_executor_run_all(w.executor);
    EXPECT_EQ(1, woken) << "not after close";
}

TEST_F(LogReader, WaitsAtTheEndAlsoAfterVersionsJumped)
{
    primary.crash(SIM_CRASH_KEEP_ALL);
    ASSERT_EQ(POLARYS_OK, primary.open()) << primary.error.message;
    int woken = 0;
    ASSERT_EQ(POLARYS_OK, open_at(durable(primary))) << err.message;
    EXPECT_TRUE(rest().empty());
    EXPECT_TRUE(polarys_log_reader_wait(
        reader, [](void *context) { ++*static_cast<int *>(context); }, &woken));
    write_some(1);
    sim_executor_run_all(w.executor);
    EXPECT_EQ(1, woken);
    EXPECT_EQ(1U, rest().size());
}

TEST_F(LogReader, ReadsAFollowerAsItsPrimary)
{
    auto follower = follow();
    polarys_log_position from{};
    polarys_log_position_get(follower->db, &from);
    write_some(30, 60000);
    feed(*follower);
    ASSERT_EQ(POLARYS_OK, open_at(from)) << err.message;
    std::vector<piece> ours = rest();
    polarys_log_reader_close(reader);
    reader = nullptr;
    ASSERT_EQ(POLARYS_OK, polarys_log_reader_open(follower->db, &from, &reader, &err))
        << err.message;
    std::vector<piece> theirs = rest();
    ASSERT_EQ(ours.size(), theirs.size());
    for (size_t i = 0; i < ours.size(); i++) {
        EXPECT_EQ(ours[i].bytes, theirs[i].bytes);
    }
    polarys_log_reader_close(reader);
    reader = nullptr;
}

TEST_F(LogReader, SaysWhereTheLogIsDamaged)
{
    write_some(3);
    polarys_log_position from = durable(primary);
    write_some(3, 5000);
    sim_disk_settle(w.disk);
    char name[VFS_NAME_MAX];
    wal_segment_name(from.segment_id, name);
    std::string path = std::string("/store/wal/") + name;
    polarys_log_part part{};
    bool has_part = false;
    for (uint64_t at : {uint64_t{36}, uint64_t{45}, uint64_t{100}, uint64_t{5000}}) {
        ASSERT_EQ(POLARYS_OK, open_at(from)) << err.message;
        ASSERT_TRUE(sim_disk_file_flip(w.disk, path.c_str(), from.offset + at, 4));
        EXPECT_EQ(POLARYS_CORRUPT, polarys_log_reader_next(reader, &part, &has_part, &err)) << at;
        EXPECT_FALSE(has_part);
        EXPECT_EQ(name, detail("file"));
        EXPECT_EQ(std::to_string(from.offset), detail("offset"));
        if (at < WAL_FRAME_HEADER_SIZE) {
            EXPECT_EQ(POLARYS_CORRUPT, open_at(from)) << "damage is not another history";
        }
        ASSERT_TRUE(sim_disk_file_flip(w.disk, path.c_str(), from.offset + at, 4));
        if (reader != nullptr) {
            polarys_error_clear(&err);
            EXPECT_EQ(3U, rest().size()) << "the same part is tried again";
        }
    }
}

TEST_F(LogReader, FailsCleanlyWithoutDiskOrMemory)
{
    polarys_log_position from = durable(primary);
    write_some(25, 60000);
    ASSERT_EQ(POLARYS_OK, open_at(from)) << err.message;
    std::vector<piece> all = rest();
    for (int kind = 0; kind < 2; kind++) {
        for (uint64_t n = 1; n < 12; n++) {
            bool is_memory = kind == 1;
            std::string got_bytes;
            if (is_memory) {
                fault_alloc_fail_at(n);
            } else {
                sim_disk_fail_at(w.disk, n, SIM_FAULT_EIO);
            }
            polarys_code code = open_at(from);
            if (code != POLARYS_OK) {
                EXPECT_EQ(is_memory ? POLARYS_NO_MEMORY : POLARYS_IO, code) << err.message;
                ASSERT_EQ(POLARYS_OK, open_at(from)) << err.message;
            }
            polarys_log_part part{};
            bool has_part = true;
            int failures = 0;
            while (has_part || code != POLARYS_OK) {
                code = polarys_log_reader_next(reader, &part, &has_part, &err);
                if (code == POLARYS_OK && has_part) {
                    got_bytes += text_of(part.bytes);
                }
                failures += code == POLARYS_OK ? 0 : 1;
                ASSERT_LT(failures, 3) << err.message;
            }
            if (is_memory) {
                (void)fault_alloc_disarm();
            } else {
                sim_disk_fail_at(w.disk, 0, SIM_FAULT_EIO);
            }
            std::string expected;
            for (const piece &good : all) {
                expected += good.bytes;
            }
            EXPECT_EQ(expected, got_bytes) << n;
        }
    }
}

TEST_F(LogReader, GivesTheKeyringAsItIsOnDisk)
{
    uint8_t *bytes = nullptr;
    size_t size = 0;
    ASSERT_EQ(POLARYS_OK, polarys_db_keyring(primary.db, &bytes, &size, &err)) << err.message;
    sim_disk_settle(w.disk);
    uint64_t file_size = 0;
    ASSERT_TRUE(sim_disk_file_size(w.disk, "/store/keyring", &file_size));
    ASSERT_EQ(file_size, size);
    std::string expected(size, '\0');
    size_t read_size = 0;
    ASSERT_TRUE(sim_disk_file_read(w.disk, "/store/keyring", 0, &expected[0], size, &read_size));
    EXPECT_EQ(0, memcmp(expected.data(), bytes, size));
    free(bytes);
    sim_disk_fail_at(w.disk, 1, SIM_FAULT_EIO);
    EXPECT_EQ(POLARYS_IO, polarys_db_keyring(primary.db, &bytes, &size, &err));
    EXPECT_EQ(nullptr, bytes);
}

} // namespace
} // namespace test_store
