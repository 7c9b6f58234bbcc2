/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node of the simulated group: the product's engine on a disk of its own, the product's counting of acknowledgements and list
 * of members (service/replication/group.h, members.h), and the protocol between nodes in the events of one thread. Each part of
 * that names the function of the product that it follows.
 */
#ifndef TESTS_SIM_NODE_H
#define TESTS_SIM_NODE_H

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/engine_log.h"
#include "engine/engine_members.h"
#include "engine/engine_slots.h"
#include "service/config/config.h"
#include "service/replication/group.h"
#include "service/replication/members.h"
#include "tests/sim/world.h"
#include "tests/support/sim_disk.h"
#include "tests/support/sim_executor.h"

namespace group_sim {

/* The file `role`: service/replication/role.h. */
struct role_file {
    char kind = 'f';  /* f(ollower), p(rimary), x: fenced */
    uint64_t dir = 0; /* of the store; 0: a copy has to be fetched */
    uint64_t next_dir = 1;
    int follows = 0;
    uint64_t term = 0; /* the highest seen */
};

struct piece {
    uint64_t segment_id;
    uint64_t offset;
    std::string bytes;
    bool is_continued;
};

struct tail_message {
    uint64_t session;
    uint64_t term; /* of who sends */
    std::vector<piece> pieces;
    polarys_log_position end;
    uint64_t stable_version;
};

struct handshake_request {
    int from;
    uint64_t session;
    uint64_t highest_term;
    polarys_log_position position;
    bool is_catch_up;
    bool is_from_end; /* of the log as it is now: an archive that begins */
};

struct seal_request {
    int from;
    uint64_t id;
    uint64_t term; /* 0: only asks */
    bool is_candidate;
    int primary; /* to follow from now on; -1: as before */
};

struct seal_answer {
    int from = -1;
    uint64_t id = 0;
    bool is_refused = false;
    bool is_follower = false;
    uint64_t highest_term = 0;
    uint64_t log_term = 0;
    polarys_log_position end = {};
    int primary = -1; /* with a refusal */
};

using copied_files = std::vector<std::pair<std::string, std::string>>;

/* What a document is, to the oracle. */
struct seen_document {
    uint64_t version = 0;
    uint64_t id = 0;
};

class node {
  public:
    node(world &surroundings, int id);
    ~node();
    node(const node &) = delete;
    node &operator=(const node &) = delete;

    /* ---- life: node_life.cc ---- */
    void make_first(); /* the store and its table */
    void make_other(); /* will fetch a copy */
    void start();
    /* A node without a store is told whom to copy. */
    void start_following(int follows);
    void stop(bool is_crash);
    /* Before and after every event: a disk that died takes the node with it. */
    void settle();
    void demote(int follows);
    bool is_up() const
    {
        return db != nullptr || is_fetching;
    }
    bool has_store() const
    {
        return db != nullptr;
    }
    bool is_primary() const
    {
        return db != nullptr && role.kind == 'p';
    }
    bool is_following() const
    {
        return db != nullptr && role.kind == 'f';
    }
    bool is_fenced() const
    {
        return role.kind == 'x';
    }
    std::string dir() const
    {
        return "/s" + std::to_string(role.dir);
    }
    std::string file_read(const std::string &path);
    std::optional<seen_document> get(const std::string &key, uint64_t version = 0);
    std::map<std::string, uint64_t> contents();

    /* ---- clients ---- */
    void write(bool is_quorum);
    void read();

    /* ---- what other nodes ask and say: node_follow.cc, node_elect.cc ---- */
    void on_handshake(const handshake_request &request);
    void on_refused(uint64_t session, polarys_code code);
    void on_accepted(uint64_t session, uint64_t term);
    void on_tail(const tail_message &message);
    void on_ack(uint64_t session, const polarys_log_position &durable, uint64_t applied,
                uint64_t term);
    void on_stream_cut(uint64_t session);
    void on_copy_asked(int from, uint64_t session, uint64_t highest_term);
    void on_copy(uint64_t session, const copied_files &files);
    void on_seal(const seal_request &request);
    void on_seal_answer(const seal_answer &answer);
    void promotion_begin();

    world &w;
    const int id;
    const std::string name;
    sim_disk *disk;
    sim_random random;
    sim_executor *executor;
    polarys_db *db = nullptr;
    role_file role;
    uint64_t incarnation = 0;
    uint64_t busy_until = 0;
    uint64_t slow_until = 0;
    bool is_fetching = false;
    bool is_electing() const
    {
        return vote.phase != election::NONE;
    }

  private:
    /* A tail that is given. */
    struct served {
        int to;
        uint64_t session;
        polarys_log_reader *reader;
        group_tail *tail;
        polarys_slot *slot;
        uint64_t last_arrival;
        uint64_t in_flight;
        uint64_t last_sent;
    };
    struct pending_write {
        uint64_t id;
        uint64_t key;
        uint64_t version;
        uint64_t deadline;
    };
    struct election {
        enum { NONE, ASKING, SEALING, CATCHING_UP } phase = NONE;
        uint64_t id = 0;
        uint64_t term = 0;
        uint64_t refused_below = 0;
        int rounds = 0;
        polarys_members members = {};
        std::map<int, seal_answer> answers;
        seal_answer best;
    };

    polarys_db_options options();
    bool role_write();
    void role_read();
    bool db_open();
    void db_close();
    void tick();
    void failed(const char *what, polarys_code code);
    void busy(uint64_t syncs);

    void connect();
    void session_end();
    void session_retry();
    void fetch();
    void fetch_ask();
    bool piece_take(const piece &taken);
    polarys_code pieces_take(const tail_message &message, bool *is_dropped);
    void pump(served *tail);
    void pump_all();
    void served_close(served *tail);
    void served_drop(uint64_t session);
    void pending_check();

    void fence(uint64_t term, int primary);
    void tell_members();
    void vote_ask(uint64_t term);
    void vote_count();
    void vote_end(const char *why);
    void vote_seal();
    void vote_sealed();
    void vote_caught_up();
    bool vote_is_enough() const;
    bool view_is_enough(members_view view) const;
    void promote();
    uint64_t stable_version();

    std::unique_ptr<config> settings;
    polarys_error err;
    group *counting = nullptr;
    members *list = nullptr;
    std::vector<std::unique_ptr<served>> tails;
    std::set<uint64_t> sessions; /* that were begun: a call that comes twice begins none */
    std::vector<pending_write> pending;

    /* The tail that is taken. */
    uint64_t session = 0;
    uint64_t session_term = 0;
    bool is_tailing = false;
    bool has_progress = false;
    uint64_t heard_at = 0;
    uint64_t header_segment = 0;
    std::string parts;
    uint64_t told_stable = 0;
    uint64_t ack_arrival = 0;
    uint64_t unsynced = 0;
    uint64_t version_seen = 0; /* of this store */
    uint64_t version_dir = 0;
    election vote;
};

inline polarys_slice slice_of(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

} // namespace group_sim

#endif
