/* SPDX-License-Identifier: Apache-2.0 */
/* A follower's log is the primary's, byte for byte, whatever is cut off, damaged or sent wrongly. */
#include <gtest/gtest.h>

#include <memory>

#include "engine/base/coding.h"
#include "engine/wal/wal_follow.h"
#include "tests/unit/wal/wal_fixture.h"

namespace wal_test {
namespace {

constexpr uint64_t block = WAL_BLOCK_SIZE;

size_t size_of(uint64_t version)
{
    static const size_t sizes[] = {10, 5000, 200000, 60000, 400000, 1, 4000, 1100000};
    return sizes[version % (sizeof(sizes) / sizeof(sizes[0]))];
}

std::string file_bytes(const world &w, uint64_t segment_id)
{
    uint64_t size = 0;
    if (!sim_disk_file_size(w.disk, segment_path(segment_id).c_str(), &size)) {
        return "";
    }
    std::string bytes(size, '\0');
    size_t read_size = 0;
    EXPECT_TRUE(sim_disk_file_read(w.disk, segment_path(segment_id).c_str(), 0, &bytes[0], size,
                                   &read_size));
    return bytes;
}

/* A piece of the feed: a segment's header, or a frame of it. */
struct piece {
    uint64_t segment_id;
    uint64_t offset;
    std::string bytes;
};

std::unique_ptr<world> make_world()
{
    /* The same seed gives the same keys and store id. */
    auto made = std::make_unique<world>(sim_disk_create(5), 5);
    made->create();
    return made;
}

polarys_slice slice_of(const std::string &bytes)
{
    return slice_make(bytes.data(), bytes.size());
}

class WalFollow : public ::testing::Test {
  protected:
    WalFollow() : primary(make_world())
    {
    }

    /* Versions first..last in the primary's log, after one more start of it. */
    void write(uint64_t first, uint64_t last)
    {
        struct wal *wal = primary->open(primary->recover().recovery.end, first);
        for (uint64_t version = first; version <= last; version++) {
            append_ok(wal, version, size_of(version));
        }
        wal_close(wal);
        sim_disk_settle(primary->disk);
        feed_read();
    }

    /* What the primary would send. */
    void feed_read()
    {
        pieces.clear();
        recovered r = primary->recover();
        ASSERT_EQ(POLARYS_OK, r.code);
        std::string bytes;
        uint64_t id = 0;
        for (const seen_frame &frame : r.frames) {
            if (frame.segment_id != id) {
                id = frame.segment_id;
                bytes = file_bytes(*primary, id);
                pieces.push_back({id, 0, bytes.substr(0, block)});
            }
            size_t size = get_u32_le(reinterpret_cast<const uint8_t *>(&bytes[frame.offset]) + 4) +
                          WAL_FRAME_OVERHEAD;
            pieces.push_back({id, frame.offset, bytes.substr(frame.offset, size)});
        }
    }

    static struct wal_options follower_options(world &w, const wal_position &durable)
    {
        struct wal_options options = w.settings();
        options.is_follower = true;
        options.follower_durable = durable;
        return options;
    }

    static recovered recover(world &w, const wal_position &durable)
    {
        recovered result = {};
        struct wal_options options = follower_options(w, durable);
        struct wal_visitor visitor = {frame_collect, &result.frames};
        result.code = wal_recover(&options, 0, &visitor, &result.recovery, &result.err);
        return result;
    }

    static enum polarys_code open(world &w, const recovered &r, struct wal **wal,
                                  struct polarys_error *err)
    {
        struct wal_options options = follower_options(w, {});
        return wal_follow_open(&options, &r.recovery, wal, err);
    }

    static struct wal *open_ok(world &w)
    {
        struct polarys_error err = {};
        struct wal *wal = nullptr;
        recovered r = recover(w, {});
        EXPECT_EQ(POLARYS_OK, r.code) << r.err.message;
        EXPECT_EQ(POLARYS_OK, open(w, r, &wal, &err)) << err.message;
        return wal;
    }

    static enum polarys_code take(struct wal *wal, const piece &each, struct polarys_error *err)
    {
        struct wal_frame frame;
        return each.offset == 0 ? wal_follow_segment(wal, slice_of(each.bytes), err)
                                : wal_follow_frame(wal, slice_of(each.bytes), &frame, err);
    }

    /* Sends what lies behind the end of the follower's log; a sync after every few pieces. */
    enum polarys_code follow(struct wal *wal, struct wal_position *durable,
                             struct polarys_error *err)
    {
        struct wal_position end;
        wal_position_get(wal, &end);
        int since = 0;
        enum polarys_code code = POLARYS_OK;
        for (const piece &each : pieces) {
            if (each.segment_id < end.segment_id ||
                (each.segment_id == end.segment_id && each.offset < end.offset)) {
                continue;
            }
            code = take(wal, each, err);
            if (code == POLARYS_OK && ++since % 3 == 0) {
                code = sync(wal, durable, err);
            }
            if (code != POLARYS_OK) {
                return code;
            }
            (void)sim_executor_run_one(primary->executor);
        }
        return sync(wal, durable, err);
    }

    static enum polarys_code sync(struct wal *wal, struct wal_position *durable,
                                  struct polarys_error *err)
    {
        enum polarys_code code = wal_follow_sync(wal, err);
        if (code == POLARYS_OK) {
            wal_position_get(wal, durable);
        }
        return code;
    }

    void expect_identical(const world &follower)
    {
        wal_position end = primary->recover().recovery.end;
        for (uint64_t id = 1; id <= end.segment_id; id++) {
            std::string theirs = file_bytes(*primary, id);
            std::string ours = file_bytes(follower, id);
            uint64_t valid = block;
            for (const piece &each : pieces) {
                if (each.segment_id == id && each.offset != 0) {
                    valid =
                        each.offset + wal_frame_stored_size(each.bytes.size() - WAL_FRAME_OVERHEAD);
                }
            }
            ASSERT_GE(ours.size(), valid) << id;
            EXPECT_TRUE(theirs.substr(0, valid) == ours.substr(0, valid)) << "segment " << id;
        }
    }

    std::unique_ptr<world> primary;
    std::vector<piece> pieces;
};

TEST_F(WalFollow, IsByteForByteThePrimarysLog)
{
    write(1, 20);
    write(21, 24); /* another start: another segment */
    auto w = make_world();
    struct polarys_error err = {};
    struct wal_position durable = {};
    struct wal *wal = open_ok(*w);
    ASSERT_EQ(POLARYS_OK, follow(wal, &durable, &err)) << err.message;
    EXPECT_EQ(3u, wal_term(wal));
    wal_close(wal);
    sim_disk_settle(w->disk);
    expect_identical(*w);
    recovered theirs = primary->recover();
    recovered ours = recover(*w, durable);
    ASSERT_EQ(POLARYS_OK, ours.code) << ours.err.message;
    EXPECT_EQ(theirs.frames, ours.frames);
    EXPECT_EQ(24u, ours.recovery.last_version);
}

TEST_F(WalFollow, GoesOnInTheMiddleOfASegmentAfterAReopen)
{
    write(1, 6);
    auto w = make_world();
    struct polarys_error err = {};
    struct wal_position durable = {};
    for (size_t count = 1; count <= pieces.size(); count++) {
        struct wal *wal = open_ok(*w);
        struct wal_position end;
        wal_position_get(wal, &end);
        ASSERT_EQ(POLARYS_OK, take(wal, pieces[count - 1], &err)) << err.message;
        ASSERT_EQ(POLARYS_OK, sync(wal, &durable, &err));
        wal_close(wal);
    }
    sim_disk_settle(w->disk);
    expect_identical(*w);
}

TEST_F(WalFollow, RefusesWhatDoesNotFollow)
{
    write(1, 6);
    auto w = make_world();
    struct polarys_error err = {};
    struct wal *wal = open_ok(*w);
    EXPECT_EQ(POLARYS_CORRUPT, take(wal, pieces[1], &err)) << "a frame without a segment";
    ASSERT_EQ(POLARYS_OK, take(wal, pieces[0], &err));
    EXPECT_EQ(POLARYS_HISTORY_DIVERGED, take(wal, pieces[0], &err)) << "the same segment again";
    EXPECT_STREQ("0", polarys_error_detail_find(&err, "segment"));
    EXPECT_EQ(POLARYS_HISTORY_DIVERGED, take(wal, pieces[2], &err)) << "a frame left out";
    ASSERT_EQ(POLARYS_OK, take(wal, pieces[1], &err)) << err.message;
    EXPECT_EQ(POLARYS_HISTORY_DIVERGED, take(wal, pieces[1], &err)) << "a frame twice";
    ASSERT_EQ(POLARYS_OK, take(wal, pieces[2], &err)) << "refusals change nothing";
    wal_close(wal);
}

TEST_F(WalFollow, FindsEveryFlippedBit)
{
    write(1, 2);
    auto w = make_world();
    struct polarys_error err = {};
    struct wal *wal = open_ok(*w);
    for (size_t which : {0, 1}) {
        const piece &good = pieces[which];
        for (size_t i = 0; i < good.bytes.size(); i += which == 0 ? 13 : 1) {
            piece bad = good;
            bad.bytes[i] = static_cast<char>(bad.bytes[i] ^ 0x10);
            enum polarys_code code = take(wal, bad, &err);
            ASSERT_TRUE(code == POLARYS_CORRUPT || code == POLARYS_TAMPERED) << which << " " << i;
        }
        piece cut = good;
        cut.bytes.pop_back();
        EXPECT_EQ(POLARYS_CORRUPT, take(wal, cut, &err));
        ASSERT_EQ(POLARYS_OK, take(wal, good, &err)) << err.message;
    }
    /* With its checksum made right again it is the tag that tells. */
    write(3, 3);
    piece sealed = pieces.back();
    piece header = pieces[pieces.size() - 2];
    ASSERT_EQ(POLARYS_OK, take(wal, pieces[2], &err)) << err.message;
    ASSERT_EQ(POLARYS_OK, take(wal, header, &err)) << err.message;
    sealed.bytes[WAL_FRAME_HEADER_SIZE] =
        static_cast<char>(sealed.bytes[WAL_FRAME_HEADER_SIZE] ^ 1);
    wal_frame_put_checksum(reinterpret_cast<uint8_t *>(&sealed.bytes[0]),
                           sealed.bytes.size() - WAL_FRAME_OVERHEAD);
    EXPECT_EQ(POLARYS_TAMPERED, take(wal, sealed, &err));
    wal_close(wal);
}

TEST_F(WalFollow, RefusesAnotherStoreAndALowerTerm)
{
    write(1, 1);
    struct polarys_error err = {};
    world other(sim_disk_create(6), 6);
    other.create();
    struct wal *wal = nullptr;
    ASSERT_EQ(POLARYS_OK, open(other, recover(other, {}), &wal, &err));
    EXPECT_EQ(POLARYS_WRONG_STORE, take(wal, pieces[0], &err));
    wal_close(wal);

    /* The primary is replaced; what the old one writes afterwards is refused. */
    auto w = make_world();
    uint8_t history_id[HISTORY_ID_SIZE] = {9};
    wal = open_ok(*w);
    struct wal_position durable = {};
    ASSERT_EQ(POLARYS_OK, follow(wal, &durable, &err));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, wal_follow_promote(wal, 10, 3, history_id, &err));
    ASSERT_EQ(POLARYS_OK, wal_follow_promote(wal, 10, 4, history_id, &err)) << err.message;
    append_ok(wal, 10, 100);
    wal_close(wal);
    recovered r = w->recover();
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_EQ(4u, r.recovery.term);
    EXPECT_EQ(10u, r.recovery.last_version);
    EXPECT_EQ(0, memcmp(history_id, r.recovery.history_id, HISTORY_ID_SIZE));
    write(2, 2);
    ASSERT_EQ(POLARYS_OK, open(*w, recover(*w, {}), &wal, &err));
    EXPECT_EQ(POLARYS_HISTORY_DIVERGED, take(wal, pieces[2], &err));
    wal_close(wal);
}

TEST_F(WalFollow, NamesTheKeyThatIsMissing)
{
    write(1, 1);
    struct polarys_error err = {};
    auto w = make_world();
    struct wal *wal = open_ok(*w);
    uint32_t key_id = 0;
    ASSERT_EQ(POLARYS_OK, keyring_rotate_data(primary->keyring, &key_id, &err)) << err.message;
    write(2, 2);
    ASSERT_EQ(POLARYS_OK, take(wal, pieces[0], &err));
    ASSERT_EQ(POLARYS_OK, take(wal, pieces[1], &err));
    EXPECT_EQ(POLARYS_FOLLOWER_LACKS_KEY, take(wal, pieces[2], &err)) << err.message;
    EXPECT_NE(nullptr, polarys_error_detail_find(&err, "key_id"));
    wal_close(wal);
}

TEST_F(WalFollow, CutsWhatIsTornAndCallsDamageBelowTheDurableEndCorruption)
{
    write(1, 3);
    auto w = make_world();
    struct polarys_error err = {};
    struct wal_position durable = {};
    struct wal *wal = open_ok(*w);
    ASSERT_EQ(POLARYS_OK, follow(wal, &durable, &err));
    wal_close(wal);
    sim_disk_settle(w->disk);
    /* Later frames say that the log was synced up to them: on the primary, not here. */
    ASSERT_TRUE(sim_disk_file_flip(w->disk, segment_path(1).c_str(), pieces[2].offset + 70, 1));
    recovered r = recover(*w, {1, pieces[2].offset, {}});
    ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
    EXPECT_EQ(1u, r.recovery.last_version);
    EXPECT_EQ(POLARYS_CORRUPT, recover(*w, durable).code);
    EXPECT_EQ(POLARYS_CORRUPT, w->recover().code) << "to a primary it is damage anyhow";
    wal = open_ok(*w);
    ASSERT_EQ(POLARYS_OK, follow(wal, &durable, &err)) << err.message;
    wal_close(wal);
    sim_disk_settle(w->disk);
    expect_identical(*w);
}

TEST_F(WalFollow, IsWholeAgainAfterACrashAtEveryPoint)
{
    write(1, 9);
    write(10, 12);
    uint64_t outcomes = 0;
    uint64_t n = 1;
    for (;; n++) {
        auto w = make_world();
        struct polarys_error err = {};
        struct wal_position durable = {};
        struct wal *wal = open_ok(*w);
        sim_disk_crash_at(w->disk, n);
        enum polarys_code code = follow(wal, &durable, &err);
        bool is_dead = sim_disk_is_dead(w->disk);
        ASSERT_TRUE(is_dead || code == POLARYS_OK) << err.message;
        wal_close(wal);
        if (!is_dead) {
            break;
        }
        for (int policy = 0; policy < SIM_CRASH_POLICY_COUNT; policy++) {
            for (bool is_stale : {false, true}) {
                SCOPED_TRACE(std::to_string(n) + " policy " + std::to_string(policy));
                struct sim_disk *disk = sim_disk_clone(w->disk, n);
                sim_disk_stale_set(disk, is_stale);
                sim_disk_crash(disk, static_cast<enum sim_crash_policy>(policy));
                world after(disk, 5);
                after.attach();
                recovered r = recover(after, durable);
                ASSERT_EQ(POLARYS_OK, r.code) << r.err.message;
                ASSERT_EQ(POLARYS_OK, open(after, r, &wal, &err)) << err.message;
                struct wal_position again = {};
                ASSERT_EQ(POLARYS_OK, follow(wal, &again, &err)) << err.message;
                wal_close(wal);
                sim_disk_settle(disk);
                expect_identical(after);
                outcomes++;
            }
        }
    }
    printf("%llu crash points, %llu outcomes\n", static_cast<unsigned long long>(n - 1),
           static_cast<unsigned long long>(outcomes));
    EXPECT_GT(n, 30u);
}

TEST_F(WalFollow, TakesNothingMoreOnceAWriteHasFailed)
{
    write(1, 3);
    for (enum sim_fault_kind kind : {SIM_FAULT_EIO, SIM_FAULT_SYNC}) {
        auto w = make_world();
        struct polarys_error err = {};
        struct wal *wal = open_ok(*w);
        ASSERT_EQ(POLARYS_OK, take(wal, pieces[0], &err));
        sim_disk_fail_at(w->disk, 1, kind);
        enum polarys_code code = take(wal, pieces[1], &err);
        if (code == POLARYS_OK) {
            code = wal_follow_sync(wal, &err);
        }
        EXPECT_EQ(POLARYS_IO, code);
        EXPECT_EQ(POLARYS_IO, take(wal, pieces[2], &err));
        EXPECT_EQ(POLARYS_IO, wal_follow_sync(wal, &err));
        wal_close(wal);
    }
}

} // namespace
} // namespace wal_test
