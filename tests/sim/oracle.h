/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold of a group, judged outside of its disks. Writes are numbered; each puts its number into two documents that
 * many share ("a<k>", "b<k>") and one of its own ("w<id>") in one commit.
 */
#ifndef TESTS_SIM_ORACLE_H
#define TESTS_SIM_ORACLE_H

#include "tests/sim/node.h"

namespace group_sim {

class oracle {
  public:
    explicit oracle(world &surroundings) : w(surroundings)
    {
    }

    uint64_t write_begun(uint64_t key);
    /* It is durable on its primary, at that version. */
    void write_made(uint64_t id, uint64_t key, uint64_t version);
    void write_acknowledged(uint64_t id, uint64_t key, uint64_t version);
    /* A read at STABLE; `is_now`: of the primary of the highest term, while no other is being promoted. */
    void stable_read(node &at, uint64_t key, uint64_t version, bool is_now);
    /* Anything that a node shows: whole commits, of writes that there were. */
    void look(node &at, uint64_t key, uint64_t version);
    /* Before it takes writes of its own. */
    void promoted(node &at);
    /* The group has come together. */
    void end(node &primary);

  private:
    struct kept {
        uint64_t id = 0;
        uint64_t version = 0;
    };
    void holds_all(node &at, const char *when);
    void same_segments(node &a, node &b);
    /* By offset; the header of the segment is at 0. */
    std::map<uint64_t, std::string> frames_of(node &at, uint64_t segment_id);

    friend class archive;
    world &w;
    uint64_t next_write = 1;
    std::map<uint64_t, uint64_t> keys;         /* of writes */
    std::map<uint64_t, uint64_t> versions;     /* id of the write that has it */
    std::map<uint64_t, uint64_t> acknowledged; /* id: version */
    std::map<uint64_t, kept> newest; /* by key: acknowledged by a quorum, or read as stable */
    std::map<uint64_t, uint64_t> stable_seen; /* id: version, of what was read as stable */
};

/* Stores what it is sent, and reads nothing of it: `polarys archive`. */
class archive {
  public:
    explicit archive(world &surroundings) : w(surroundings)
    {
    }
    void tick();
    void on_accepted(uint64_t session);
    void on_refused(uint64_t session, polarys_code code, uint64_t segment, uint64_t offset);
    void on_tail(const tail_message &message, int from);
    /* Whether it follows the primary and has all. */
    bool is_together(node &primary) const;
    void compare(oracle &judge, node &primary);

  private:
    struct part {
        uint64_t segment_id;
        uint64_t offset;
        std::string bytes;
        polarys_log_position end;
    };
    world &w;
    uint64_t session = 0;
    uint64_t heard_at = 0;
    uint64_t ack_arrival = 0;
    int follows = 0;
    polarys_log_position at = {}; /* what the last message ended at */
    bool is_anew = false;
    std::vector<part> parts;
};

} // namespace group_sim

#endif
