/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node of the simulated group: the tail of the log that it takes and those that it gives, and the copy of a store where
 * there is no way on. Follows service/replication/follower_session.c, follower_tail.c, boot.c, service/rpc/replication_tail*.c.
 */
#include "engine/engine_replica.h"
#include "tests/sim/node.h"
#include "tests/sim/oracle.h"

namespace group_sim {

namespace {

constexpr uint64_t message_bytes = 64 << 10;
constexpr uint64_t window = 4;
constexpr uint64_t heartbeat = 30 * ms;

bool has_reached(const polarys_log_position &at, const polarys_log_position &end)
{
    return at.segment_id != end.segment_id ? at.segment_id > end.segment_id
                                           : at.offset >= end.offset;
}

} // namespace

/* ---- who takes ---- */

void node::connect()
{
    bool is_catch_up = vote.phase == election::CATCHING_UP;
    int to = is_catch_up ? vote.best.from : role.follows;
    uint64_t log_term = polarys_db_term(db);
    handshake_request request = {};
    request.from = id;
    session = w.next_id++;
    request.session = session;
    request.is_catch_up = is_catch_up;
    request.highest_term = !is_catch_up && role.term > log_term ? role.term : log_term;
    polarys_log_position_get(db, &request.position);
    header_segment = request.position.segment_id;
    heard_at = w.now();
    is_tailing = false;
    parts.clear();
    ack_arrival = 0;
    unsynced = 0;
    if (to == id) {
        session = 0; /* it has not been told of anybody else yet */
        return;
    }
    w.call(id, to, [request](node &server) { server.on_handshake(request); });
}

void node::session_end()
{
    session = 0;
    is_tailing = false;
    parts.clear();
}

void node::session_retry()
{
    session_end();
    if (vote.phase == election::CATCHING_UP) {
        vote_end("the tail of the most advanced broke");
    }
}

void node::on_refused(uint64_t of, polarys_code code)
{
    if (of != session) {
        return;
    }
    bool is_catch_up = vote.phase == election::CATCHING_UP;
    w.trace("%s is refused: %s", name.c_str(), polarys_code_name(code));
    session_retry();
    if (is_following() && !is_catch_up &&
        (code == POLARYS_LOG_PRUNED || code == POLARYS_HISTORY_DIVERGED)) {
        /* boot_store_reject: the store is set aside, and a copy fetched. */
        role.dir = 0;
        w.figures.add(code == POLARYS_LOG_PRUNED ? "stores whose log was pruned"
                                                 : "stores set aside");
        if (role_write()) {
            stop(false);
            start();
        }
    }
}

void node::on_accepted(uint64_t of, uint64_t term)
{
    if (of != session || !is_following()) {
        return;
    }
    uint64_t log_term = polarys_db_term(db);
    bool is_catch_up = vote.phase == election::CATCHING_UP;
    uint64_t highest = !is_catch_up && role.term > log_term ? role.term : log_term;
    if (term < highest && w.planted != plant::skipped_term_check) {
        session_retry();
        return;
    }
    session_term = term;
    is_tailing = true;
    has_progress = false;
    heard_at = w.now();
    if (term > role.term) {
        role.term = term;
        (void)role_write();
    }
}

bool node::piece_take(const piece &taken)
{
    if (taken.offset == 0 && !taken.is_continued && parts.empty()) {
        if (taken.segment_id <= header_segment) {
            return true;
        }
        polarys_code code = polarys_replica_segment(db, slice_of(taken.bytes), &err);
        if (code == POLARYS_OK) {
            header_segment = taken.segment_id;
            uint64_t term = polarys_db_term(db);
            if (term > role.term) {
                role.term = term;
                return role_write();
            }
            return true;
        }
        if (code == POLARYS_HISTORY_DIVERGED) {
            on_refused(session, code);
        } else {
            failed("take in a segment", code);
        }
        return false;
    }
    parts += taken.bytes;
    if (taken.is_continued) {
        return true;
    }
    polarys_code code = polarys_replica_frame(db, slice_of(parts), &err);
    parts.clear();
    if (code != POLARYS_OK) {
        polarys_log_position at;
        polarys_log_position_get(db, &at);
        w.trace("%s is at %llu:%llu, the frame at %llu:%llu", name.c_str(),
                (unsigned long long)at.segment_id, (unsigned long long)at.offset,
                (unsigned long long)taken.segment_id, (unsigned long long)taken.offset);
        failed("take in a frame", code);
    }
    return code == POLARYS_OK;
}

void node::on_tail(const tail_message &message)
{
    if (message.session != session || !is_tailing || !is_following()) {
        return;
    }
    heard_at = w.now();
    uint64_t of = session;
    if (!message.pieces.empty()) {
        w.trace("%s takes %zu pieces of session %llu from %llu:%llu", name.c_str(),
                message.pieces.size(), (unsigned long long)of,
                (unsigned long long)message.pieces[0].segment_id,
                (unsigned long long)message.pieces[0].offset);
    }
    size_t count = message.pieces.size();
    bool is_dropped = w.planted == plant::dropped_frame && count > 0 &&
                      message.pieces.back().offset != 0 && !message.pieces.back().is_continued &&
                      parts.empty() && w.chance(20);
    for (size_t i = 0; i < count - (is_dropped ? 1 : 0); i++) {
        if (!piece_take(message.pieces[i])) {
            return;
        }
    }
    bool is_early = w.planted == plant::ack_before_sync && ++unsynced % 4 != 0;
    polarys_log_position durable = {};
    if (is_early) {
        polarys_log_position_get(db, &durable);
    } else if (polarys_replica_sync(db, &durable, &err) != POLARYS_OK) {
        failed("sync what it took in", err.code);
        return;
    }
    busy(is_early ? 0 : 1);
    has_progress = true;
    if (message.stable_version != 0) {
        told_stable = message.stable_version;
    }
    if (vote.phase == election::CATCHING_UP && has_reached(durable, vote.best.end)) {
        vote_caught_up();
        return;
    }
    uint64_t applied = polarys_db_version(db);
    uint64_t term = session_term;
    int to = vote.phase == election::CATCHING_UP ? vote.best.from : role.follows;
    uint64_t delay = busy_until > w.now() ? busy_until - w.now() : 0;
    w.after(id, delay, [to, of, durable, applied, term](node &self) {
        if (self.session == of) {
            (void)self.w.stream(self.id, to, &self.ack_arrival,
                                [of, durable, applied, term](node &server) {
                                    server.on_ack(of, durable, applied, term);
                                });
        }
    });
}

void node::on_stream_cut(uint64_t of)
{
    if (of == session) {
        session_retry();
    }
}

/* ---- who gives ---- */

void node::on_handshake(const handshake_request &request)
{
    if (db == nullptr || !sessions.insert(request.session).second) {
        return;
    }
    uint64_t of = request.session;
    polarys_code code = POLARYS_OK;
    uint64_t term = polarys_db_term(db);
    if (request.highest_term > term && w.planted != plant::skipped_term_check) {
        code = POLARYS_NOT_PRIMARY;
        if (is_primary()) {
            fence(request.highest_term, -1); /* replication_term_heed */
        }
    }
    auto tail = std::make_unique<served>();
    *tail = {request.from, of, nullptr, nullptr, nullptr, 0, 0, w.now()};
    polarys_log_position from = request.position;
    if (request.is_from_end) {
        polarys_log_durable_position(db, &from);
    }
    if (code == POLARYS_OK) {
        code = polarys_log_reader_open(db, &from, &tail->reader, &err);
    }
    bool is_archive = request.from == archive_id;
    std::string who = is_archive ? "archive" : "n" + std::to_string(request.from);
    if (code == POLARYS_OK && is_primary() && !request.is_catch_up) {
        polarys_slot_info info = {};
        auto kind = is_archive ? POLARYS_SLOT_ARCHIVE : POLARYS_SLOT_REPLICA;
        code = polarys_slot_create(db, who.c_str(), kind, 0, &from, &info, &err);
        if (code == POLARYS_OK) {
            code = polarys_slot_attach(db, who.c_str(), &from, &tail->slot, &err);
        }
    }
    if (code == POLARYS_OK) {
        bool is_planted = w.planted == plant::counted_archive && is_archive;
        bool is_counted = !request.is_catch_up && (!is_archive || is_planted);
        const std::string counted_as = is_planted ? (id == 1 ? "n2" : "n1") : who;
        code = group_join(counting, counted_as.c_str(), "", is_counted, &tail->tail, &err);
    }
    if (code == POLARYS_OK) {
        served_drop(0);
        tails.push_back(std::move(tail));
        if (is_archive) {
            w.at(w.now() + ms, [this, of] { w.store_of_frames->on_accepted(of); });
        } else {
            /* The first message of the stream: nothing overtakes it. */
            (void)w.stream(id, request.from, &tails.back()->last_arrival,
                           [of, term](node &follower) { follower.on_accepted(of, term); });
        }
        return;
    }
    polarys_log_reader_close(tail->reader);
    polarys_slot_detach(tail->slot);
    if (code != POLARYS_NOT_PRIMARY && code != POLARYS_LOG_PRUNED &&
        code != POLARYS_HISTORY_DIVERGED) {
        failed("give its log", code);
    }
    if (is_archive) {
        const char *segment = polarys_error_detail_find(&err, "segment");
        const char *offset = polarys_error_detail_find(&err, "offset");
        uint64_t at_segment = segment == nullptr ? 0 : std::stoull(segment);
        uint64_t at_offset = offset == nullptr ? 0 : std::stoull(offset);
        w.at(w.now() + ms, [this, of, code, at_segment, at_offset] {
            w.store_of_frames->on_refused(of, code, at_segment, at_offset);
        });
    } else {
        w.call(id, request.from, [of, code](node &follower) { follower.on_refused(of, code); });
    }
    polarys_error_clear(&err);
}

void node::served_close(served *tail)
{
    polarys_log_reader_close(tail->reader);
    polarys_slot_detach(tail->slot);
    group_leave(counting, tail->tail);
    for (size_t i = 0; i < tails.size(); i++) {
        if (tails[i].get() == tail) {
            tails.erase(tails.begin() + static_cast<ptrdiff_t>(i));
            return;
        }
    }
}

/* Of one follower only its newest tail is alive. */
void node::served_drop(uint64_t of)
{
    for (size_t i = 0; i < tails.size(); i++) {
        bool is_old = w.now() - tails[i]->last_sent > 400 * ms;
        if (tails[i]->session == of || is_old) {
            served_close(tails[i].get());
            return;
        }
    }
}

void node::pump(served *tail)
{
    uint64_t now = w.now();
    if (tail->in_flight >= window) {
        return;
    }
    tail_message message = {};
    message.session = tail->session;
    message.term = polarys_db_term(db);
    uint64_t bytes = 0;
    bool has_part = true;
    while (has_part && bytes < message_bytes) {
        polarys_log_part part;
        polarys_code code = polarys_log_reader_next(tail->reader, &part, &has_part, &err);
        if (code != POLARYS_OK) {
            if (code != POLARYS_LOG_PRUNED) {
                failed("read its log", code);
            }
            served_close(tail);
            return;
        }
        if (has_part) {
            bytes += part.bytes.size;
            message.pieces.push_back(
                {part.segment_id, part.offset,
                 std::string(reinterpret_cast<const char *>(part.bytes.data), part.bytes.size),
                 part.is_continued});
        }
    }
    if (message.pieces.empty() && now - tail->last_sent < heartbeat) {
        return;
    }
    /* What the newest is that this message completes; the product says the end of the log beside it. */
    polarys_log_reader_position(tail->reader, &message.end);
    message.stable_version = is_following() ? stable_version() : group_stable_version(counting);
    tail->last_sent = now;
    tail->in_flight++;
    int from = id;
    bool is_sent = w.stream(id, tail->to, &tail->last_arrival,
                            [message](node &follower) { follower.on_tail(message); });
    if (is_sent && tail->to == archive_id) {
        world *surroundings = &w;
        w.at(tail->last_arrival, [surroundings, message, from] {
            surroundings->store_of_frames->on_tail(message, from);
        });
    }
    if (!is_sent) {
        uint64_t of = tail->session;
        int to = tail->to;
        served_close(tail);
        w.figures.add("streams cut");
        if (to != archive_id) {
            w.call(id, to, [of](node &follower) { follower.on_stream_cut(of); });
        }
    }
}

void node::pump_all()
{
    for (size_t i = tails.size(); i-- > 0;) {
        if (i < tails.size()) {
            pump(tails[i].get());
        }
    }
}

void node::on_ack(uint64_t of, const polarys_log_position &durable, uint64_t applied, uint64_t term)
{
    if (db == nullptr) {
        return;
    }
    for (const auto &tail : tails) {
        if (tail->session != of) {
            continue;
        }
        tail->in_flight -= tail->in_flight > 0 ? 1 : 0;
        bool is_of_term = term == polarys_db_term(db) || w.planted == plant::skipped_term_check;
        if (is_of_term) {
            group_ack(counting, tail->tail, durable.version, applied);
        }
        if (tail->slot != nullptr) {
            polarys_code code = polarys_slot_ack(tail->slot, &durable, applied, &err);
            if (code != POLARYS_OK && code != POLARYS_LOG_PRUNED &&
                code != POLARYS_SLOT_NOT_FOUND) {
                failed("note an acknowledgement", code);
            }
        }
        pump(tail.get());
        break;
    }
    pending_check();
}

/* ---- a copy ---- */

void node::fetch()
{
    fetch_ask();
    w.after(id, 200 * ms, [](node &self) {
        if (self.is_fetching) {
            self.fetch();
        }
    });
}

void node::fetch_ask()
{
    session = w.next_id++;
    int from = id;
    uint64_t of = session;
    uint64_t highest = role.term;
    if (role.follows != id) {
        w.call(id, role.follows,
               [from, of, highest](node &server) { server.on_copy_asked(from, of, highest); });
    }
}

void node::on_copy_asked(int from, uint64_t of, uint64_t highest_term)
{
    if (db == nullptr || !sessions.insert(of).second) {
        return;
    }
    if (highest_term > polarys_db_term(db) && w.planted != plant::skipped_term_check) {
        if (is_primary()) {
            fence(highest_term, -1);
        }
        return;
    }
    std::string place = "/copy" + std::to_string(of);
    polarys_log_position end;
    polarys_code code = polarys_db_checkpoint_log(db, place.c_str(), &end, &err);
    if (code != POLARYS_OK) {
        failed("make a copy of itself", code);
        return;
    }
    auto files = std::make_shared<copied_files>();
    std::vector<std::string> names;
    auto add = [](void *context, const char *entry) {
        static_cast<std::vector<std::string> *>(context)->push_back(entry);
    };
    for (const std::string &folder : {std::string(""), std::string("wal/")}) {
        names.clear();
        if (vfs_list_dir(sim_disk_vfs(disk), (place + "/" + folder).c_str(), add, &names, &err) !=
            POLARYS_OK) {
            continue;
        }
        for (const std::string &entry : names) {
            if (entry != "wal") {
                files->push_back({folder + entry, file_read(place + "/" + folder + entry)});
                code = vfs_remove(sim_disk_vfs(disk), (place + "/" + folder + entry).c_str(), &err);
            }
        }
    }
    w.figures.add("copies of a store");
    busy(3);
    w.call(id, from, [of, files](node &follower) { follower.on_copy(of, *files); });
}

void node::on_copy(uint64_t of, const copied_files &files)
{
    if (!is_fetching || of != session) {
        return;
    }
    struct vfs *vfs = sim_disk_vfs(disk);
    uint64_t number = role.next_dir++;
    if (!role_write()) { /* a copy that was cut off is never gone on with */
        return;
    }
    std::string place = "/s" + std::to_string(number);
    polarys_code code = vfs_make_dir(vfs, place.c_str(), &err);
    if (code == POLARYS_OK) {
        code = vfs_make_dir(vfs, (place + "/wal").c_str(), &err);
    }
    for (const auto &file : files) {
        std::string path = place + "/" + file.first;
        size_t slash = path.rfind('/');
        if (code == POLARYS_OK) {
            code = vfs_replace_file(vfs, path.substr(0, slash).c_str(),
                                    path.substr(slash + 1).c_str(), slice_of(file.second), &err);
        }
    }
    for (const std::string &folder : {place + "/wal", place, std::string("/")}) {
        if (code == POLARYS_OK) {
            code = vfs_sync_dir(vfs, folder.c_str(), &err);
        }
    }
    if (code != POLARYS_OK) {
        failed("install a copy", code);
        return;
    }
    role.dir = number;
    if (role_write()) {
        w.trace("%s has a copy", name.c_str());
        w.figures.add("copies installed");
        stop(false);
        start();
    }
}

} // namespace group_sim
