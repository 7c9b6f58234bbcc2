/* SPDX-License-Identifier: Apache-2.0 */
/* Judges a group: see oracle.h. */
#include "tests/sim/oracle.h"

#include <algorithm>
#include <set>

#include "engine/wal/wal_format.h"

namespace group_sim {

uint64_t oracle::write_begun(uint64_t key)
{
    keys[next_write] = key;
    return next_write++;
}

void oracle::write_made(uint64_t id, uint64_t, uint64_t version)
{
    auto found = versions.emplace(version, id);
    if (!found.second) {
        w.fail("version " + std::to_string(version) + " was given to write " +
               std::to_string(found.first->second) + " and to " + std::to_string(id));
    }
}

void oracle::write_acknowledged(uint64_t id, uint64_t key, uint64_t version)
{
    acknowledged[id] = version;
    if (version > newest[key].version) {
        newest[key] = {id, version};
    }
}

void oracle::look(node &at, uint64_t key, uint64_t version)
{
    auto first = at.get("a" + std::to_string(key), version);
    auto second = at.get("b" + std::to_string(key), version);
    if (w.planted == plant::torn_commit && at.is_following() && first && w.chance(50)) {
        second = std::nullopt;
    }
    if (sim_disk_is_dead(at.disk)) {
        return; /* it lost its power meanwhile: this was no answer */
    }
    w.figures.add("reads of whole commits");
    if (first.has_value() != second.has_value() ||
        (first && (first->version != second->version || first->id != second->id))) {
        w.fail(at.name + " shows a part of a commit");
        return;
    }
    if (!first) {
        return;
    }
    auto given = versions.find(first->version);
    if (keys.count(first->id) == 0 || keys[first->id] != key) {
        w.fail(at.name + " shows what nobody wrote");
    } else if (given != versions.end() && given->second != first->id) {
        w.fail(at.name + " shows write " + std::to_string(first->id) + " at version " +
               std::to_string(first->version) + ", which is that of write " +
               std::to_string(given->second));
    }
}

void oracle::stable_read(node &at, uint64_t key, uint64_t version, bool is_now)
{
    auto shown = at.get("a" + std::to_string(key), version);
    const kept &floor = newest[key];
    if (sim_disk_is_dead(at.disk)) {
        return;
    }
    w.figures.add(is_now ? "stable reads of the primary" : "stable reads elsewhere");
    if (is_now && floor.version != 0 && (!shown || shown->version < floor.version)) {
        w.fail(at.name + ", the primary, shows at STABLE version " +
               (shown ? std::to_string(shown->version) : std::string("none")) + " of key " +
               std::to_string(key) + " after version " + std::to_string(floor.version) +
               " was acknowledged or read");
    }
    if (!shown) {
        return;
    }
    stable_seen[shown->id] = shown->version;
    if (shown->version > newest[key].version) {
        newest[key] = {shown->id, shown->version};
    }
}

/* Each write has a document of its own, so no later one hides that it is lost. */
void oracle::holds_all(node &at, const char *when)
{
    for (const auto *wanted : {&acknowledged, &stable_seen}) {
        for (const auto &write : *wanted) {
            auto found = at.get("w" + std::to_string(write.first));
            w.figures.add("writes looked for");
            if (sim_disk_is_dead(at.disk)) {
                return;
            }
            if (!found || found->version != write.second || found->id != write.first) {
                w.fail(std::string(when) + ", " + at.name + " has lost write " +
                       std::to_string(write.first) + ", version " + std::to_string(write.second) +
                       (wanted == &acknowledged ? ", which a quorum acknowledged"
                                                : ", which was read at STABLE"));
                return;
            }
        }
    }
}

void oracle::promoted(node &at)
{
    holds_all(at, "after its promotion");
}

/* ---- at the end ---- */

std::map<uint64_t, std::string> oracle::frames_of(node &at, uint64_t segment_id)
{
    char file_name[VFS_NAME_MAX];
    wal_segment_name(segment_id, file_name);
    std::string bytes = at.file_read(at.dir() + "/wal/" + file_name);
    std::map<uint64_t, std::string> frames;
    if (bytes.size() < WAL_SEGMENT_HEADER_SIZE) {
        return frames;
    }
    frames[0] = bytes.substr(0, WAL_SEGMENT_HEADER_SIZE);
    polarys_log_position end;
    polarys_log_position_get(at.db, &end);
    uint64_t limit = segment_id == end.segment_id ? end.offset : bytes.size();
    for (uint64_t offset = WAL_SEGMENT_HEADER_SIZE; offset + WAL_FRAME_HEADER_SIZE <= limit;) {
        wal_frame_header header;
        const auto *from = reinterpret_cast<const uint8_t *>(&bytes[offset]);
        if (!wal_frame_header_take(from, segment_id, &header) ||
            offset + header.payload_size + WAL_FRAME_OVERHEAD > limit) {
            break;
        }
        frames[offset] = bytes.substr(offset, header.payload_size + WAL_FRAME_OVERHEAD);
        offset += wal_frame_stored_size(header.payload_size);
    }
    return frames;
}

void oracle::same_segments(node &a, node &b)
{
    polarys_log_position end;
    polarys_log_position_get(a.db, &end);
    uint64_t first =
        std::max<uint64_t>(polarys_log_earliest_segment(a.db), polarys_log_earliest_segment(b.db));
    for (uint64_t id = first; first != 0 && id <= end.segment_id; id++) {
        auto theirs = frames_of(b, id);
        for (const auto &ours : frames_of(a, id)) {
            auto other = theirs.find(ours.first);
            if (other == theirs.end()) {
                continue; /* a copy begins in the middle, and behind the end may lie what never was of the log */
            }
            w.figures.add("frames compared");
            if (other->second != ours.second) {
                w.fail(a.name + " and " + b.name + " differ at offset " +
                       std::to_string(ours.first) + " of segment " + std::to_string(id));
                return;
            }
        }
    }
}

void oracle::end(node &primary)
{
    auto all = primary.contents();
    for (const auto &other : w.nodes) {
        holds_all(*other, "at the end");
        if (other.get() == &primary || !w.violation.empty()) {
            continue;
        }
        w.figures.add("contents compared");
        if (other->contents() != all) {
            w.fail(other->name + " has other documents than " + primary.name +
                   " at the same version");
        }
        same_segments(primary, *other);
    }
}

/* ---- the archive ---- */

void archive::tick()
{
    world *surroundings = &w;
    node *primary = w.primary();
    bool is_silent = w.now() - heard_at > 150 * ms ||
                     (w.is_healing && primary != nullptr && follows != primary->id);
    if (session == 0 || is_silent) {
        handshake_request request = {};
        request.from = archive_id;
        session = w.next_id++;
        request.session = session;
        heard_at = w.now();
        ack_arrival = 0;
        follows = primary == nullptr ? follows : primary->id;
        request.position = parts.empty() ? at : parts.back().end;
        request.is_from_end = is_anew;
        w.call(archive_id, follows, [request](node &server) { server.on_handshake(request); });
    }
    w.at(w.now() + 20 * ms, [surroundings] { surroundings->store_of_frames->tick(); });
}

void archive::on_accepted(uint64_t of)
{
    if (of == session) {
        heard_at = w.now();
    }
}

/* Where the other log ended, or the last place that it may know: what is behind is of a term that is over. */
void archive::on_refused(uint64_t of, polarys_code code, uint64_t segment, uint64_t offset)
{
    if (of != session) {
        return;
    }
    session = 0;
    if (code == POLARYS_LOG_PRUNED) {
        parts.clear();
        is_anew = true;
        w.figures.add("archives begun anew");
    } else if (code == POLARYS_HISTORY_DIVERGED) {
        size_t before = parts.size();
        while (!parts.empty() &&
               (parts.back().segment_id > segment ||
                (parts.back().segment_id == segment && parts.back().end.offset > offset))) {
            parts.pop_back();
        }
        if (parts.size() == before && !parts.empty()) {
            parts.pop_back();
        }
        is_anew = parts.empty();
        w.figures.add("archives cut back");
    }
}

void archive::on_tail(const tail_message &message, int from)
{
    if (message.session != session) {
        return;
    }
    heard_at = w.now();
    for (const piece &taken : message.pieces) {
        bool is_header = taken.offset == 0;
        if (!parts.empty() && parts.back().segment_id == taken.segment_id && is_header) {
            continue; /* the segment in which the tail began */
        }
        if (taken.is_continued) {
            w.fail("the archive was sent a frame in parts");
            return;
        }
        part stored = {taken.segment_id, taken.offset, taken.bytes, {}};
        size_t tag_at =
            is_header ? size_t{WAL_HEADER_TAG_OFFSET} : taken.bytes.size() - POLARYS_LOG_TAG_SIZE;
        stored.end.segment_id = taken.segment_id;
        memcpy(stored.end.tag, &taken.bytes[tag_at], POLARYS_LOG_TAG_SIZE);
        stored.end.version = parts.empty() ? 0 : parts.back().end.version;
        if (is_header) {
            stored.end.offset = WAL_SEGMENT_HEADER_SIZE;
        } else {
            wal_frame_header header;
            const auto *bytes = reinterpret_cast<const uint8_t *>(taken.bytes.data());
            if (!wal_frame_header_take(bytes, taken.segment_id, &header)) {
                w.fail("the archive was sent what is no frame");
                return;
            }
            stored.end.offset = taken.offset + wal_frame_stored_size(header.payload_size);
            stored.end.version = header.first_version + header.commit_count - 1;
        }
        parts.push_back(stored);
        w.figures.add("frames archived");
    }
    at = message.end;
    is_anew = false;
    uint64_t of = session;
    polarys_log_position durable = at;
    uint64_t term = message.term;
    (void)w.stream(archive_id, from, &ack_arrival, [of, durable, term](node &server) {
        server.on_ack(of, durable, durable.version, term);
    });
}

bool archive::is_together(node &primary) const
{
    return session != 0 && follows == primary.id &&
           at.version == polarys_db_durable_version(primary.db);
}

void archive::compare(oracle &judge, node &primary)
{
    std::map<uint64_t, std::map<uint64_t, std::string>> segments;
    uint64_t earliest = polarys_log_earliest_segment(primary.db);
    for (const part &stored : parts) {
        if (stored.segment_id < earliest) {
            continue;
        }
        if (segments.count(stored.segment_id) == 0) {
            segments[stored.segment_id] = judge.frames_of(primary, stored.segment_id);
        }
        const auto &theirs = segments[stored.segment_id];
        auto other = theirs.find(stored.offset);
        w.figures.add("archived frames compared");
        if (other == theirs.end() || other->second != stored.bytes) {
            w.fail("the archive has another frame at offset " + std::to_string(stored.offset) +
                   " of segment " + std::to_string(stored.segment_id) + " than " + primary.name);
            return;
        }
    }
}

} // namespace group_sim
