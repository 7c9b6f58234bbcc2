/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log that is archived and read back, with a place that fails, answers in part, or takes what a killed archiver sent
 * after the next one has looked. What is read back is the log without a gap, or an error, or a gap that is told.
 */
#include <functional>
#include <map>

#include "client/cli/archive_check.h"
#include "client/cli/archive_writer.h"
#include "tests/support/engine/test_store.h"
#include "tests/support/fault_alloc.h"

namespace {

polarys_slice slice_of(const std::string &bytes)
{
    return slice_make(bytes.data(), bytes.size());
}

/* ---- a log ---- */

struct log_segment {
    uint64_t id = 0;
    std::string block;
    std::vector<std::string> frames;
    std::vector<uint64_t> ends; /* of the frames, in the file */
    polarys_log_segment head{};
};

struct log_source {
    std::vector<log_segment> segments;
    std::string keyring;

    /* Everything, as a walk hands it out. */
    std::vector<std::string> all() const
    {
        std::vector<std::string> list;
        for (const log_segment &segment : segments) {
            list.push_back(segment.block);
            list.insert(list.end(), segment.frames.begin(), segment.frames.end());
        }
        return list;
    }
};

std::string file_of(const sim_disk *disk, const std::string &path)
{
    uint64_t size = 0;
    size_t read = 0;
    if (!sim_disk_file_size(disk, path.c_str(), &size)) {
        return "";
    }
    std::string bytes(size, '\0');
    EXPECT_TRUE(sim_disk_file_read(disk, path.c_str(), 0, bytes.data(), size, &read));
    return bytes;
}

log_segment segment_of(const std::string &bytes)
{
    log_segment segment;
    polarys_error err{};
    size_t offset = POLARYS_LOG_SEGMENT_HEADER_SIZE;
    segment.block = bytes.substr(0, offset);
    EXPECT_EQ(POLARYS_OK, polarys_log_segment_read(slice_of(segment.block), &segment.head, &err));
    segment.id = segment.head.segment_id;
    while (offset < bytes.size()) {
        polarys_log_frame frame;
        polarys_slice left = slice_make(bytes.data() + offset, bytes.size() - offset);
        if (polarys_log_frame_read(left, segment.id, &frame, &err) != POLARYS_OK) {
            break;
        }
        segment.frames.push_back(bytes.substr(offset, frame.size));
        offset += frame.stored_size;
        segment.ends.push_back(offset);
    }
    return segment;
}

/* The last in the order of names. */
void newest_segment(void *context, const char *path, uint64_t)
{
    std::string name = path;
    if (name.size() > 4 && name.compare(name.size() - 4, 4, ".wal") == 0) {
        *static_cast<std::string *>(context) = name;
    }
}

/* Two segments of a real store, six frames and more. */
const log_source &the_log()
{
    static const log_source made = [] {
        log_source log;
        test_store::world w(3);
        for (int round = 0; round < 2; round++) {
            test_store::store db(w);
            EXPECT_EQ(POLARYS_OK, db.open()) << db.error.message;
            EXPECT_EQ(POLARYS_OK, db.create_table("t" + std::to_string(round)));
            for (int i = 0; i < 4; i++) {
                EXPECT_EQ(POLARYS_OK, db.put("t0", "k" + std::to_string(i), "\"value\""));
            }
            EXPECT_EQ(POLARYS_OK, db.close());
            sim_disk_settle(w.disk);
            std::string path;
            sim_disk_list(w.disk, newest_segment, &path);
            log.segments.push_back(segment_of(file_of(w.disk, path)));
        }
        log.keyring = file_of(w.disk, "/store/keyring");
        return log;
    }();
    return made;
}

/* ---- a place in memory ---- */

struct memory_place {
    objects base{};
    std::map<std::string, std::string> files;
    uint64_t call_count = 0;
    uint64_t fail_at = 0;          /* this call fails; 0: none */
    bool is_stored_anyway = false; /* a put that fails has been done */
    bool is_lasting = false;       /* so does every later one */
    uint64_t cut_at = 0;           /* this get answers in part only; 0: none */
    std::string late_name;         /* of what the last failed put was about */
    std::string late_bytes;

    memory_place();
    bool fails()
    {
        call_count++;
        return fail_at != 0 && (call_count == fail_at || (is_lasting && call_count > fail_at));
    }
};

memory_place *place_of(objects *base)
{
    return reinterpret_cast<memory_place *>(base);
}

polarys_code broken(polarys_error *err)
{
    return polarys_fail(err, POLARYS_IO, "the place is broken");
}

polarys_code memory_put(objects *base, const char *name, polarys_slice bytes, polarys_error *err)
{
    memory_place *place = place_of(base);
    std::string text(reinterpret_cast<const char *>(bytes.data), bytes.size);
    bool fails = place->fails();
    if (!fails || place->is_stored_anyway) {
        place->files[name] = text;
    } else {
        place->late_name = name;
        place->late_bytes = text;
    }
    return fails ? broken(err) : POLARYS_OK;
}

polarys_code memory_get(objects *base, const char *name, uint64_t offset, size_t size_max,
                        objects_bytes *out, polarys_error *err)
{
    memory_place *place = place_of(base);
    if (place->fails()) {
        return broken(err);
    }
    auto file = place->files.find(name);
    if (file == place->files.end()) {
        return polarys_fail(err, POLARYS_FILE_NOT_FOUND, "%s is missing", name);
    }
    std::string part = offset < file->second.size() ? file->second.substr(offset, size_max) : "";
    if (place->call_count == place->cut_at) {
        part.resize(part.size() / 2);
    }
    if (!objects_bytes_reserve(out, part.size() + 1)) {
        return polarys_fail(err, POLARYS_NO_MEMORY, "no memory");
    }
    memcpy(out->bytes, part.data(), part.size());
    out->size = part.size();
    return POLARYS_OK;
}

polarys_code memory_list(objects *base, const char *prefix, const char *after,
                         const objects_visitor *visitor, polarys_error *err)
{
    memory_place *place = place_of(base);
    if (place->fails()) {
        return broken(err);
    }
    for (const auto &[name, bytes] : place->files) {
        if (name.rfind(prefix, 0) == 0 && (after == nullptr || name > after)) {
            polarys_code code = visitor->each(visitor->context, name.c_str(), bytes.size(), err);
            if (code != POLARYS_OK) {
                return code;
            }
        }
    }
    return POLARYS_OK;
}

memory_place::memory_place()
{
    static const objects_driver driver = {memory_put,  nullptr, memory_get,
                                          memory_list, nullptr, nullptr};
    base.driver = &driver;
}

/* ---- archiving ---- */

/* One archiver, from its start to its end. */
class archiver {
  public:
    /* `piece_frames`: in a piece at most; 0: all of a segment in one, and its header in another. */
    archiver(memory_place &given, size_t piece_frames) : place(given), piece_frames_(piece_frames)
    {
    }
    ~archiver()
    {
        archive_writer_deinit(&writer);
    }
    archiver(const archiver &) = delete;
    archiver &operator=(const archiver &) = delete;

    /* `tries`: how often a piece is put before it gives up. */
    polarys_code run(const log_source &log, int tries = 1)
    {
        polarys_code code = archive_writer_open(&writer, &place.base, &err);
        code = code == POLARYS_OK ? begin(log) : code;
        polarys_log_position at{};
        if (code == POLARYS_OK) {
            archive_writer_durable(&writer, &at);
        }
        for (size_t i = 0; i < log.segments.size() && code == POLARYS_OK; i++) {
            if (log.segments[i].id >= at.segment_id) {
                code = segment(log.segments[i], at, tries);
            }
        }
        return code == POLARYS_OK ? archive_writer_state(&writer, 1, &err) : code;
    }

    memory_place &place;
    archive_writer writer{};
    polarys_error err{};

  private:
    polarys_code begin(const log_source &log)
    {
        archive_run run{};
        const polarys_log_segment &first = log.segments[0].head;
        memcpy(run.store_id, first.store_id, sizeof(run.store_id));
        polarys_code code = archive_writer_keyring(&writer, slice_of(log.keyring), &err);
        return code != POLARYS_OK || writer.has_run ? code
                                                    : archive_writer_run_begin(&writer, &run, &err);
    }

    polarys_code store(int tries)
    {
        polarys_code code = POLARYS_IO;
        for (int i = 0; i < tries && code == POLARYS_IO; i++) {
            code = archive_writer_store(&writer, 1, &err);
        }
        return code;
    }

    polarys_code segment(const log_segment &segment, const polarys_log_position &at, int tries)
    {
        polarys_code code = POLARYS_OK;
        size_t count = 0;
        if (segment.id > at.segment_id) {
            code = archive_writer_segment(&writer, slice_of(segment.block), &err);
            if (code == POLARYS_OK && piece_frames_ == 0) {
                code = store(tries);
            }
        }
        for (size_t i = 0; i < segment.frames.size() && code == POLARYS_OK; i++) {
            if (segment.id == at.segment_id && segment.ends[i] <= at.offset) {
                continue;
            }
            code = archive_writer_frame(&writer, slice_of(segment.frames[i]), &err);
            if (code == POLARYS_OK && ++count == piece_frames_) {
                code = store(tries);
                count = 0;
            }
        }
        return code == POLARYS_OK ? store(tries) : code;
    }

    size_t piece_frames_;
};

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

read_back read(memory_place &place)
{
    read_back back;
    archive_reader reader{};
    archive_index index{};
    archive_line line{};
    polarys_log_position from{};
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
