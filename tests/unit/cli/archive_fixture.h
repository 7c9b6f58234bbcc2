/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A log of a real store, a place in memory that fails as it is told to, and an archiver that brings the one into the
 * other, for tests of archives.
 */
#ifndef TESTS_UNIT_CLI_ARCHIVE_FIXTURE_H
#define TESTS_UNIT_CLI_ARCHIVE_FIXTURE_H

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "client/cli/archive_writer.h"
#include "tests/support/engine/test_store.h"

namespace archive_test {

inline polarys_slice slice_of(const std::string &bytes)
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

inline std::string file_of(const sim_disk *disk, const std::string &path)
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

inline log_segment segment_of(const std::string &bytes)
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
inline void newest_segment(void *context, const char *path, uint64_t)
{
    std::string name = path;
    if (name.size() > 4 && name.compare(name.size() - 4, 4, ".wal") == 0) {
        *static_cast<std::string *>(context) = name;
    }
}

/* Two segments of a real store, six frames and more. */
inline const log_source &the_log()
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

inline memory_place *place_of(objects *base)
{
    return reinterpret_cast<memory_place *>(base);
}

inline polarys_code broken(polarys_error *err)
{
    return polarys_fail(err, POLARYS_IO, "the place is broken");
}

inline polarys_code memory_put(objects *base, const char *name, polarys_slice bytes,
                               polarys_error *err)
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

inline polarys_code memory_get(objects *base, const char *name, uint64_t offset, size_t size_max,
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

inline polarys_code memory_list(objects *base, const char *prefix, const char *after,
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

inline memory_place::memory_place()
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

} // namespace archive_test

#endif
