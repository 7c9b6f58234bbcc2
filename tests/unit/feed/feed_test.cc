/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feed on a simulated disk: every durable frame once and in order, from memory or from segments.
 */
#include "engine/feed/feed.h"

#include <algorithm>
#include <random>

#include "tests/support/fault_alloc.h"
#include "tests/unit/wal/wal_fixture.h"

using wal_test::payload_of;
using wal_test::segment_bytes;

namespace {

struct got_frame {
    uint64_t first_version;
    uint64_t last_version;
    std::string payload;
    bool operator==(const got_frame &other) const
    {
        return first_version == other.first_version && last_version == other.last_version &&
               payload == other.payload;
    }
};

std::string text_of(const feed_frame *frame)
{
    return std::string(reinterpret_cast<const char *>(frame->payload.data), frame->payload.size);
}

/* A log, and a feed of it. */
class Feed : public ::testing::Test {
  protected:
    Feed() : w(sim_disk_create(1))
    {
    }
    void SetUp() override
    {
        w.create();
        open({}, 0);
    }
    void TearDown() override
    {
        close();
    }

    void open(const wal_position &end, uint64_t last_version, uint64_t ring_bytes = 0)
    {
        wal = w.open(end, last_version + 1);
        ASSERT_NE(nullptr, wal);
        feed_options options{wal, sim_executor_base(w.executor), last_version, ring_bytes};
        ASSERT_EQ(POLARYS_OK, feed_open(&options, &feed, &err)) << err.message;
        version = last_version;
    }
    void close()
    {
        feed_close(feed);
        wal_close(wal);
        feed = nullptr;
        wal = nullptr;
    }
    /* As a process that comes back after a crash: versions jump. */
    void reopen(uint64_t jump, uint64_t ring_bytes = 0)
    {
        close();
        wal_test::recovered found = w.recover();
        ASSERT_EQ(POLARYS_OK, found.code) << found.err.message;
        open(found.recovery.end, std::max(version, found.recovery.last_version) + jump, ring_bytes);
    }

    /* Appends without telling the feed. */
    commit_frame append(uint32_t commit_count, size_t size)
    {
        payload = payload_of(version + 1, size);
        pieces[0] = slice_make(payload.data(), size / 3);
        pieces[1] = slice_make(payload.data() + size / 3, size - size / 3);
        commit_frame frame{version + 1, commit_count, pieces, 2, {}};
        EXPECT_EQ(POLARYS_OK,
                  wal_append(wal, version + 1, commit_count, pieces, 2, &frame.end, &err))
            << err.message;
        version += commit_count;
        return frame;
    }
    void add(uint32_t commit_count, size_t size)
    {
        commit_frame frame = append(commit_count, size);
        written.push_back({frame.first_version, version, payload});
        feed_publish(feed, &frame);
    }
    /* What a reader that begins after `from` has to get. */
    std::vector<got_frame> expected_after(uint64_t from)
    {
        std::vector<got_frame> expected;
        for (const got_frame &frame : written) {
            if (frame.last_version > from) {
                expected.push_back(frame);
            }
        }
        return expected;
    }
    feed_reader *reader_after(uint64_t from)
    {
        feed_reader *reader = nullptr;
        EXPECT_EQ(POLARYS_OK, feed_reader_open(feed, from, &reader, &err)) << err.message;
        return reader;
    }
    std::vector<got_frame> drain(feed_reader *reader, size_t max = SIZE_MAX)
    {
        std::vector<got_frame> got;
        while (got.size() < max) {
            feed_frame *frame = nullptr;
            polarys_code code = feed_reader_next(reader, &frame, &err);
            EXPECT_EQ(POLARYS_OK, code) << err.message;
            if (code != POLARYS_OK || frame == nullptr) {
                break;
            }
            got.push_back({frame->first_version, frame->last_version, text_of(frame)});
            feed_frame_unref(frame);
        }
        return got;
    }
    std::vector<got_frame> read_after(uint64_t from)
    {
        feed_reader *reader = reader_after(from);
        std::vector<got_frame> got = reader == nullptr ? std::vector<got_frame>() : drain(reader);
        feed_reader_close(reader);
        return got;
    }

    wal_test::world w;
    struct wal *wal = nullptr;
    struct feed *feed = nullptr;
    polarys_error err{};
    uint64_t version = 0;
    std::string payload;
    polarys_slice pieces[2];
    std::vector<got_frame> written;
};

TEST_F(Feed, ReadsSegmentsFromEveryVersion)
{
    for (int i = 0; i < 40; i++) {
        add(1 + i % 3, 90000);
    }
    ASSERT_GE(wal_test::recovered(w.recover()).recovery.segment_count, 4u);
    for (uint64_t from = 0; from <= version; from++) {
        ASSERT_EQ(expected_after(from), read_after(from)) << "from " << from;
    }
}

TEST_F(Feed, ReadsMemoryWhileThereAreReaders)
{
    add(1, 100);
    feed_reader *reader = reader_after(version);
    EXPECT_EQ(0u, feed_memory_bytes(feed));
    for (int i = 0; i < 10; i++) {
        add(2, 1000);
    }
    EXPECT_GT(feed_memory_bytes(feed), 10000u);
    sim_disk_fail_from(w.disk, 1, SIM_FAULT_EIO);
    EXPECT_EQ(expected_after(1), drain(reader)) << "no file is touched";
    feed_reader_close(reader);
    sim_disk_fail_at(w.disk, 0, SIM_FAULT_EIO);
    EXPECT_EQ(0u, feed_memory_bytes(feed)) << "nobody needs it any more";
}

TEST_F(Feed, GoesFromFilesToMemoryAndBack)
{
    reopen(0, 20000); /* frames of 8,000 bytes: two fit */
    for (int i = 0; i < 5; i++) {
        add(1, 8000);
    }
    feed_reader *reader = reader_after(2);
    for (int i = 0; i < 5; i++) {
        add(1, 8000);
    }
    std::vector<got_frame> got = drain(reader, 7);
    for (int i = 0; i < 6; i++) {
        add(1, 8000);
    }
    for (const got_frame &frame : drain(reader)) {
        got.push_back(frame);
    }
    EXPECT_EQ(expected_after(2), got);
    feed_reader_close(reader);
}

TEST_F(Feed, ReadsWhatIsTooLargeForMemory)
{
    feed_reader *reader = reader_after(0);
    add(1, 100);
    add(1, FEED_COPY_BYTES_MAX + 100);
    add(1, 100);
    EXPECT_EQ(expected_after(0), drain(reader)) << "a frame larger than a segment, too";
    feed_reader_close(reader);
}

TEST_F(Feed, ShowsNothingBeforeItIsPublished)
{
    feed_reader *reader = reader_after(0);
    feed_reader_close(reader);
    reader = reader_after(0);
    commit_frame frame = append(1, 100);
    EXPECT_EQ(0u, drain(reader).size());
    feed_publish(feed, &frame);
    EXPECT_EQ(1u, drain(reader).size());
    (void)append(1, 100);
    feed_reader_close(reader);
    reader = reader_after(0);
    EXPECT_EQ(1u, drain(reader).size()) << "nor from the segment, where it already is";
    feed_reader_close(reader);
}

TEST_F(Feed, GoesOnOverReopensAndVersionJumps)
{
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 12; i++) {
            add(1 + i % 2, 60000 + i * 1000);
        }
        reopen(round % 2 == 0 ? 1 << 20 : 0);
    }
    for (const got_frame &frame : std::vector<got_frame>(written)) {
        ASSERT_EQ(expected_after(frame.last_version), read_after(frame.last_version));
        ASSERT_EQ(expected_after(frame.first_version), read_after(frame.first_version));
    }
    EXPECT_EQ(0u, read_after(version).size());
    EXPECT_EQ(0u, read_after(written.back().last_version + 1).size()) << "within the last jump";
    uint64_t in_a_jump = written[11].last_version + 1000;
    EXPECT_EQ(expected_after(in_a_jump), read_after(in_a_jump));
}

TEST_F(Feed, SaysWhereItBeginsWhenTheLogIsPruned)
{
    for (int i = 0; i < 40; i++) {
        add(1, 90000);
    }
    feed_reader *late = reader_after(0);
    EXPECT_EQ(2u, drain(late, 2).size());
    feed_reader_pause(late);
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, 20, &err)) << err.message;
    feed_reader *reader = nullptr;
    EXPECT_EQ(POLARYS_HISTORY_PRUNED, feed_reader_open(feed, 0, &reader, &err));
    EXPECT_EQ(nullptr, reader);
    const char *start = polarys_error_detail_find(&err, "history_start");
    ASSERT_NE(nullptr, start);
    uint64_t history_start = strtoull(start, nullptr, 10);
    EXPECT_GT(history_start, 0u);
    EXPECT_LE(history_start, 20u);
    EXPECT_EQ(expected_after(history_start), read_after(history_start));
    feed_frame *frame = nullptr;
    EXPECT_EQ(POLARYS_HISTORY_PRUNED, feed_reader_next(late, &frame, &err));
    EXPECT_STREQ(start, polarys_error_detail_find(&err, "history_start"));
    feed_reader_close(late);
}

TEST_F(Feed, KeepsASegmentWhileItIsRead)
{
    for (int i = 0; i < 40; i++) {
        add(1, 90000);
    }
    feed_reader *reader = reader_after(0);
    std::vector<got_frame> got = drain(reader, 1);
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, version, &err));
    for (const got_frame &frame : drain(reader, 5)) {
        got.push_back(frame);
    }
    EXPECT_EQ(std::vector<got_frame>(written.begin(), written.begin() + 6), got);
    feed_reader_close(reader);
}

TEST_F(Feed, GoesOnAfterASegmentThatItHasReadWasPruned)
{
    for (int i = 0; i < 40; i++) {
        add(1, 90000);
    }
    wal_test::recovered found = w.recover();
    uint64_t first_segment = found.frames[0].segment_id;
    size_t in_first = 0;
    while (found.frames[in_first].segment_id == first_segment) {
        in_first++;
    }
    feed_reader *reader = reader_after(0);
    std::vector<got_frame> got = drain(reader, in_first);
    feed_reader_pause(reader);
    ASSERT_EQ(POLARYS_OK, wal_prune(wal, in_first, &err));
    for (const got_frame &frame : drain(reader)) {
        got.push_back(frame);
    }
    EXPECT_EQ(written, got);
    feed_reader_close(reader);
}

TEST_F(Feed, WakesAReaderOnceForEachWait)
{
    feed_reader *reader = reader_after(0);
    int calls = 0;
    auto count = [](void *context) { (*static_cast<int *>(context))++; };
    EXPECT_TRUE(feed_reader_wait(reader, count, &calls));
    add(1, 100);
    add(1, 100);
    EXPECT_EQ(0, calls) << "the log role does not call";
    (void)sim_executor_run_all(w.executor);
    EXPECT_EQ(1, calls);
    EXPECT_FALSE(feed_reader_wait(reader, count, &calls)) << "there is something";
    EXPECT_EQ(2u, drain(reader).size());
    EXPECT_TRUE(feed_reader_wait(reader, count, &calls));
    feed_reader_close(reader);
    add(1, 100);
    (void)sim_executor_run_all(w.executor);
    EXPECT_EQ(1, calls) << "a closed one is not called";
}

TEST_F(Feed, RefusesALogThatWasChangedBehindItsBack)
{
    for (int i = 0; i < 5; i++) {
        add(1, 50000);
    }
    sim_disk_settle(w.disk);
    wal_test::recovered found = w.recover();
    ASSERT_TRUE(sim_disk_file_flip(w.disk,
                                   wal_test::segment_path(found.frames[2].segment_id).c_str(),
                                   found.frames[2].offset + 1000, 1));
    feed_reader *reader = reader_after(0);
    EXPECT_EQ(2u, drain(reader, 2).size());
    feed_frame *frame = nullptr;
    EXPECT_EQ(POLARYS_CORRUPT, feed_reader_next(reader, &frame, &err));
    EXPECT_EQ(nullptr, frame);
    EXPECT_EQ(std::to_string(found.frames[2].offset), polarys_error_detail_find(&err, "offset"));
    feed_reader_close(reader);
}

TEST_F(Feed, RefusesASegmentWhoseEndIsMissing)
{
    for (int i = 0; i < 40; i++) {
        add(1, 90000);
    }
    sim_disk_settle(w.disk);
    wal_test::recovered found = w.recover();
    size_t last = 0;
    while (found.frames[last + 1].segment_id == found.frames[0].segment_id) {
        last++;
    }
    /* The frame before the switch becomes no frame at all. */
    const std::string zeros(4096, '\0');
    ASSERT_TRUE(sim_disk_file_write(w.disk,
                                    wal_test::segment_path(found.frames[0].segment_id).c_str(),
                                    found.frames[last].offset, zeros.data(), zeros.size()));
    feed_reader *reader = reader_after(0);
    EXPECT_EQ(last, drain(reader, last).size());
    feed_frame *frame = nullptr;
    EXPECT_EQ(POLARYS_CORRUPT, feed_reader_next(reader, &frame, &err)) << "it is not passed over";
    feed_reader_close(reader);
}

TEST_F(Feed, TriesTheSameFrameAgainAfterAFailure)
{
    for (int i = 0; i < 20; i++) {
        add(1, 90000);
    }
    for (uint64_t n = 1; n < 200; n++) {
        feed_reader *reader = reader_after(0);
        sim_disk_fail_at(w.disk, n, SIM_FAULT_EIO);
        std::vector<got_frame> got;
        bool has_failed = false;
        for (int i = 0; i < 100; i++) {
            feed_frame *frame = nullptr;
            if (feed_reader_next(reader, &frame, &err) != POLARYS_OK) {
                has_failed = true;
                continue;
            }
            if (frame == nullptr) {
                break;
            }
            got.push_back({frame->first_version, frame->last_version, text_of(frame)});
            feed_frame_unref(frame);
        }
        sim_disk_fail_at(w.disk, 0, SIM_FAULT_EIO);
        feed_reader_close(reader);
        ASSERT_EQ(written, got) << "call " << n;
        if (!has_failed) {
            return;
        }
    }
    FAIL() << "the walk never got through";
}

TEST_F(Feed, LosesNothingToAnyMixOfReadersAndPauses)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        std::mt19937_64 random(seed);
        struct follower {
            feed_reader *reader;
            uint64_t from;
            std::vector<got_frame> got;
        };
        std::vector<follower> followers;
        for (int step = 0; step < 150; step++) {
            switch (random() % 6) {
            case 0:
                if (followers.size() < 5) {
                    uint64_t from =
                        written.empty() ? 0 : written[random() % written.size()].last_version;
                    followers.push_back({reader_after(from), from, {}});
                }
                break;
            case 1:
                if (!followers.empty()) {
                    feed_reader_pause(followers[random() % followers.size()].reader);
                }
                break;
            case 2:
                if (!followers.empty()) {
                    follower &each = followers[random() % followers.size()];
                    for (const got_frame &frame : drain(each.reader, random() % 8)) {
                        each.got.push_back(frame);
                    }
                }
                break;
            default:
                add(1 + random() % 4, random() % 10 == 0 ? 300000 : random() % 5000 + 1);
            }
        }
        for (follower &each : followers) {
            for (const got_frame &frame : drain(each.reader)) {
                each.got.push_back(frame);
            }
            feed_reader_close(each.reader);
            ASSERT_EQ(expected_after(each.from), each.got) << "seed " << seed;
        }
        reopen(random() % 2 == 0 ? 1 << 20 : 0);
    }
}

TEST_F(Feed, FallsBackToFilesWhenMemoryIsRefused)
{
    feed_reader *reader = reader_after(0);
    add(1, 500);
    commit_frame frame = append(1, 500);
    written.push_back({frame.first_version, version, payload});
    fault_alloc_fail_at(1);
    feed_publish(feed, &frame);
    (void)fault_alloc_disarm();
    add(1, 500);
    EXPECT_EQ(expected_after(0), drain(reader));
    feed_reader_close(reader);
}

} // namespace
