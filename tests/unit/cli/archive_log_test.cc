/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log that is archived and read back, with a place that fails, answers in part, or takes what a killed archiver sent
 * after the next one has looked. What is read back is the log without a gap, or an error, or a gap that is told.
 */
#include <functional>

#include "client/cli/archive_check.h"
#include "tests/support/fault_alloc.h"
#include "tests/unit/cli/archive_fixture.h"

using archive_test::archiver;
using archive_test::log_segment;
using archive_test::memory_place;
using archive_test::the_log;

namespace {

/* ---- reading ---- */

polarys_code take_segment(void *context, const polarys_log_segment *, polarys_slice block,
                          polarys_error *)
{
    static_cast<std::vector<std::string> *>(context)->push_back(test_store::text_of(block));
    return POLARYS_OK;
}

polarys_code take_frame(void *context, const polarys_log_frame *, polarys_slice bytes, bool *,
                        polarys_error *)
{
    static_cast<std::vector<std::string> *>(context)->push_back(test_store::text_of(bytes));
    return POLARYS_OK;
}

struct read_back {
    polarys_code code = POLARYS_OK;
    polarys_error err{};
    std::vector<std::string> log;
    bool has_gap = false;
    bool has_newest = false; /* the piece that the state names */
};

read_back read(memory_place &place, const polarys_log_position &from = {})
{
    read_back back;
    archive_reader reader{};
    archive_index index{};
    archive_line line{};
    const archive_sink sink = {take_segment, take_frame, &back.log};
    reader.objects = &place.base;
    back.code = archive_index_load(&place.base, 0, &index, &back.err);
    if (back.code == POLARYS_OK) {
        back.has_newest = archive_index_has(&index, &index.state.last);
        back.code = archive_line_find(&reader, &index, &from, &line, &back.err);
    }
    if (back.code == POLARYS_OK) {
        back.has_gap = line.has_gap;
        back.code = archive_walk(&reader, &index, &line, &from, &sink, &back.err);
    }
    archive_line_deinit(&line);
    archive_index_deinit(&index);
    archive_reader_deinit(&reader);
    return back;
}

void complain(void *context, const polarys_error *err)
{
    *static_cast<std::string *>(context) += std::string(err->message) + "; ";
}

/* What verifying complains of. */
std::string verify(memory_place &place)
{
    std::string said;
    polarys_error err{};
    archive_reader reader{};
    archive_index index{};
    archive_verdict verdict{};
    const archive_complaints complaints = {complain, &said};
    reader.objects = &place.base;
    polarys_code code = archive_index_load(&place.base, 0, &index, &err);
    if (code == POLARYS_OK) {
        code = archive_verify(&reader, &index, &complaints, &verdict, &err);
    }
    said += code == POLARYS_OK ? "" : err.message;
    archive_index_deinit(&index);
    archive_reader_deinit(&reader);
    return said;
}

void span_add(void *context, const archive_span *span)
{
    static_cast<std::vector<archive_span> *>(context)->push_back(*span);
}

/* All of it in one span, from the first commit on. */
void expect_one_span(memory_place &place)
{
    std::vector<archive_span> spans;
    polarys_error err{};
    archive_reader reader{};
    archive_index index{};
    reader.objects = &place.base;
    ASSERT_EQ(POLARYS_OK, archive_index_load(&place.base, 0, &index, &err)) << err.message;
    EXPECT_EQ(POLARYS_OK, archive_spans_visit(&reader, &index, span_add, &spans, &err))
        << err.message;
    ASSERT_EQ(1U, spans.size());
    EXPECT_EQ(1U, spans[0].from_version);
    EXPECT_EQ(10U, spans[0].to_version);
    EXPECT_EQ(index.entry_count, spans[0].piece_count);
    EXPECT_FALSE(spans[0].has_gap_before);
    archive_index_deinit(&index);
    archive_reader_deinit(&reader);
}

void expect_whole(memory_place &place)
{
    expect_one_span(place);
    read_back back = read(place);
    EXPECT_EQ(POLARYS_OK, back.code) << back.err.message;
    EXPECT_EQ(the_log().all(), back.log);
    EXPECT_FALSE(back.has_gap);
    EXPECT_TRUE(back.has_newest);
    EXPECT_EQ("", verify(place));
}

/* An error, or the log, or less of it with a word about that. */
void expect_told(const read_back &back)
{
    const std::vector<std::string> all = the_log().all();
    ASSERT_LE(back.log.size(), all.size());
    EXPECT_TRUE(std::equal(back.log.begin(), back.log.end(), all.begin())) << "not the log";
    if (back.code == POLARYS_OK && back.log.size() < all.size()) {
        EXPECT_TRUE(back.has_gap || !back.has_newest) << "log is missing and nothing said";
    }
    EXPECT_EQ(back.code == POLARYS_OK, back.err.message[0] == '\0');
}

TEST(ArchiveLog, IsReadBackAsItWasStored)
{
    ASSERT_EQ(2U, the_log().segments.size());
    ASSERT_LE(6U, the_log().segments[0].frames.size() + the_log().segments[1].frames.size());
    for (size_t piece_frames : {0, 1, 2, 3, 100}) {
        memory_place place;
        archiver one(place, piece_frames);
        ASSERT_EQ(POLARYS_OK, one.run(the_log())) << one.err.message;
        expect_whole(place);
    }
}

TEST(ArchiveLog, IsWholeAlthoughAnyCallFailedOnceAndWasTriedAgain)
{
    for (bool is_stored_anyway : {false, true}) {
        for (uint64_t at = 1;; at++) {
            SCOPED_TRACE("call " + std::to_string(at));
            memory_place place;
            place.fail_at = at;
            place.is_stored_anyway = is_stored_anyway;
            {
                archiver first(place, 2);
                polarys_code code = first.run(the_log(), 2);
                EXPECT_TRUE(code == POLARYS_OK || code == POLARYS_IO) << first.err.message;
            }
            bool has_failed = place.call_count >= at;
            place.fail_at = 0;
            archiver second(place, 2);
            ASSERT_EQ(POLARYS_OK, second.run(the_log())) << second.err.message;
            expect_whole(place);
            if (!has_failed || HasFailure()) {
                break;
            }
        }
    }
}

TEST(ArchiveLog, GoesOnWhereAnArchiverWasKilled)
{
    for (size_t next_frames : {1, 2, 100}) {
        for (uint64_t at = 1;; at++) {
            SCOPED_TRACE("killed in call " + std::to_string(at));
            memory_place place;
            place.fail_at = at;
            place.is_lasting = true;
            {
                archiver killed(place, 3);
                (void)killed.run(the_log());
            }
            bool was_killed = place.call_count >= at;
            place.fail_at = 0;
            archiver next(place, next_frames);
            ASSERT_EQ(POLARYS_OK, next.run(the_log())) << next.err.message;
            expect_whole(place);
            if (!was_killed || HasFailure()) {
                break;
            }
        }
    }
}

TEST(ArchiveLog, IsReadAlthoughAPieceOfAKilledArchiverWasStoredLate)
{
    for (size_t next_frames : {1, 2, 100}) {
        for (uint64_t at = 1;; at++) {
            SCOPED_TRACE("killed in call " + std::to_string(at));
            memory_place place;
            place.fail_at = at;
            place.is_lasting = true;
            {
                archiver killed(place, 3);
                (void)killed.run(the_log());
            }
            bool was_killed = place.call_count >= at;
            place.fail_at = 0;
            archiver next(place, next_frames);
            ASSERT_EQ(POLARYS_OK, next.run(the_log())) << next.err.message;
            if (place.late_name.rfind("log/", 0) == 0) {
                place.files[place.late_name] = place.late_bytes;
            }
            expect_whole(place);
            if (!was_killed || HasFailure()) {
                break;
            }
        }
    }
}

TEST(ArchiveLog, NeverLosesAMissingOrShortenedPieceWithoutAWord)
{
    memory_place good;
    archiver one(good, 1);
    ASSERT_EQ(POLARYS_OK, one.run(the_log())) << one.err.message;
    for (const auto &[name, bytes] : good.files) {
        if (name.rfind("log/", 0) != 0) {
            continue;
        }
        SCOPED_TRACE(name);
        memory_place missing;
        missing.files = good.files;
        missing.files.erase(name);
        expect_told(read(missing));
        EXPECT_NE("", verify(missing));
        for (size_t size : {size_t{0}, size_t{100}, bytes.size() / 2, bytes.size() - 1}) {
            memory_place half;
            half.files = good.files;
            half.files[name].resize(size);
            read_back back = read(half);
            expect_told(back);
            EXPECT_NE(POLARYS_OK, back.code);
            EXPECT_NE(nullptr, strstr(back.err.message, name.c_str())) << back.err.message;
            EXPECT_NE(std::string::npos, verify(half).find(name)) << verify(half);
        }
    }
}

/* The end of a frame of the first segment. */
polarys_log_position end_of(size_t frame)
{
    const log_segment &segment = the_log().segments[0];
    polarys_log_position at{};
    at.segment_id = segment.id;
    at.offset = segment.ends[frame];
    const std::string &bytes = segment.frames[frame];
    memcpy(at.tag, bytes.data() + bytes.size() - sizeof(at.tag), sizeof(at.tag));
    return at;
}

TEST(ArchiveLog, IsReadFromAnyPlaceOnWhateverIsMissingBeforeIt)
{
    memory_place good;
    archiver one(good, 1);
    ASSERT_EQ(POLARYS_OK, one.run(the_log())) << one.err.message;
    const std::vector<std::string> all = the_log().all();
    size_t count = the_log().segments[0].frames.size();
    for (size_t frame = 0; frame + 1 < count; frame++) {
        for (size_t lost = 0; lost < count; lost++) {
            SCOPED_TRACE("from behind frame " + std::to_string(frame) + ", without " +
                         std::to_string(lost));
            memory_place place;
            place.files = good.files;
            auto victim = place.files.lower_bound("log/");
            std::advance(victim, lost);
            place.files.erase(victim);
            read_back back = read(place, end_of(frame));
            bool is_before = lost <= frame;
            EXPECT_EQ(is_before, back.code == POLARYS_OK && !back.has_gap) << back.err.message;
            if (is_before) {
                EXPECT_EQ(std::vector<std::string>(all.begin() + 2 + frame, all.end()), back.log);
            }
        }
    }
}

TEST(ArchiveLog, IsNotReadFromAPlaceThatIsAnotherThere)
{
    memory_place place;
    archiver one(place, 2);
    ASSERT_EQ(POLARYS_OK, one.run(the_log())) << one.err.message;
    for (size_t frame = 0; frame < the_log().segments[0].frames.size(); frame++) {
        polarys_log_position from = end_of(frame);
        from.tag[0] ^= 1;
        read_back back = read(place, from);
        EXPECT_EQ(POLARYS_OK, back.code) << back.err.message;
        EXPECT_TRUE(back.has_gap);
        EXPECT_TRUE(back.log.empty());
    }
}

TEST(ArchiveLog, IsNotGoneOnWithBehindAHalfPiece)
{
    memory_place place;
    {
        archiver one(place, 2);
        ASSERT_EQ(POLARYS_OK, one.run(the_log())) << one.err.message;
    }
    std::string newest;
    for (const auto &[name, bytes] : place.files) {
        newest = name.rfind("log/", 0) == 0 ? name : newest;
    }
    place.files[newest].resize(place.files[newest].size() / 2);
    archiver next(place, 2);
    EXPECT_EQ(POLARYS_CORRUPT, next.run(the_log()));
    EXPECT_NE(nullptr, strstr(next.err.message, newest.c_str())) << next.err.message;
}

TEST(ArchiveLog, TellsOfAnAnswerThatFailsOrIsCutShort)
{
    memory_place good;
    archiver one(good, 2);
    ASSERT_EQ(POLARYS_OK, one.run(the_log())) << one.err.message;
    for (bool is_cut : {false, true}) {
        for (uint64_t at = 1;; at++) {
            SCOPED_TRACE("call " + std::to_string(at));
            memory_place place;
            place.files = good.files;
            (is_cut ? place.cut_at : place.fail_at) = at;
            read_back back = read(place);
            expect_told(back);
            if (place.call_count < at || HasFailure()) {
                EXPECT_EQ(POLARYS_OK, back.code) << back.err.message;
                break;
            }
        }
    }
}

/* `act` with every allocation failing once; it gives the code of what it did. */
void allocations_fail(const std::function<polarys_code(memory_place &)> &act,
                      const std::map<std::string, std::string> &files)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    (void)the_log();
    for (uint64_t at = 1;; at++) {
        SCOPED_TRACE("allocation " + std::to_string(at));
        memory_place place;
        place.files = files;
        fault_alloc_fail_at(at);
        polarys_code code = act(place);
        bool has_failed = fault_alloc_disarm() > 0;
        EXPECT_EQ(has_failed ? POLARYS_NO_MEMORY : POLARYS_OK, code);
        if (!has_failed || ::testing::Test::HasFailure()) {
            break;
        }
        archiver next(place, 2);
        ASSERT_EQ(POLARYS_OK, next.run(the_log())) << next.err.message;
        expect_whole(place);
    }
}

TEST(ArchiveLog, SurvivesEveryFailedAllocation)
{
    memory_place good;
    archiver one(good, 2);
    ASSERT_EQ(POLARYS_OK, one.run(the_log())) << one.err.message;
    allocations_fail([](memory_place &place) { return archiver(place, 2).run(the_log()); }, {});
    allocations_fail([](memory_place &place) { return archiver(place, 2).run(the_log()); },
                     good.files);
    allocations_fail(
        [](memory_place &place) {
            read_back back = read(place);
            expect_told(back);
            return back.code;
        },
        good.files);
}

} // namespace
