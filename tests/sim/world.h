/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The surroundings of a simulated group: virtual time, the network between the nodes, the oracle, and what is done to them.
 * One thread; a seed decides everything. See README.md.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "tests/support/sim_clock.h"
#include "tests/support/sim_random.h"

namespace group_sim {

constexpr uint64_t ms = 1000000; /* in nanoseconds, as all times here */
constexpr int node_count = 3;
constexpr int archive_id = node_count;
constexpr int place_count = node_count + 1;

/* A fault of the group's protocol that is planted into the harness, to see that the oracle finds it. */
enum class plant {
    none,
    ack_before_sync,    /* a replica acknowledges what it has not synced */
    skipped_term_check, /* nobody looks at terms: neither who is followed nor who follows */
    dropped_frame,      /* a frame does not get to the replica, and those behind it do */
    no_seal,            /* promoted without sealing the terms before */
    no_catch_up,        /* promoted without what the most advanced has */
    counted_archive,    /* the archive's acknowledgements count as a member's */
    torn_commit,        /* a read of a replica shows a part of a commit */
};

/* What was done and looked at; the figures of a run. */
struct counts {
    std::map<std::string, uint64_t> of;
    void add(const std::string &what, uint64_t n = 1)
    {
        of[what] += n;
    }
};

class node;
class oracle;
class archive;

class world {
  public:
    world(uint64_t seed, plant planted, counts &figures, bool is_traced);
    ~world();
    world(const world &) = delete;
    world &operator=(const world &) = delete;

    /* The whole life of a group. */
    void run();
    /* The first thing that was wrong; "" while nothing is. */
    std::string violation;
    void fail(const std::string &what);

    /* ---- time ---- */
    uint64_t now() const
    {
        return clock.monotonic_ns;
    }
    void at(uint64_t time, std::function<void()> what);
    /* Nothing of it happens when the node has gone down before. */
    void after(int id, uint64_t delay, std::function<void(node &)> what);

    /* ---- network ---- */
    /* A call without order: it may be lost, come late, or come twice. */
    void call(int from, int to, const std::function<void(node &)> &what);
    /* A message of a stream: in order with the others of `last_arrival`. False: the stream is cut. */
    bool stream(int from, int to, uint64_t *last_arrival, std::function<void(node &)> what);
    bool is_linked(int from, int to) const
    {
        return cut_until[from][to] <= clock.monotonic_ns;
    }

    uint64_t below(uint64_t bound)
    {
        return sim_random_below(&random, bound);
    }
    bool chance(uint64_t one_in)
    {
        return sim_random_chance(&random, one_in);
    }
    void trace(const char *format, ...) __attribute__((format(printf, 2, 3)));
    /* The node that is the primary of the highest term, and takes writes; NULL: there is none. */
    node *primary();

    uint64_t seed;
    plant planted;
    counts &figures;
    bool is_traced;
    sim_clock clock;
    sim_random random;
    uint64_t next_id = 1;
    std::unique_ptr<oracle> judge;
    std::vector<std::unique_ptr<node>> nodes;
    std::unique_ptr<archive> store_of_frames;
    bool is_healing = false;

  private:
    struct event {
        uint64_t time;
        uint64_t order;
        std::function<void()> what;
    };
    struct later {
        bool operator()(const event &a, const event &b) const
        {
            return a.time != b.time ? a.time > b.time : a.order > b.order;
        }
    };
    void run_until(uint64_t time);
    void deliver(int to, uint64_t time, std::function<void(node &)> what);
    uint64_t delay();
    void nemesis();
    void links_cut();
    void power_cut();
    void clients();
    void heal();
    bool is_together();

    std::priority_queue<event, std::vector<event>, later> events;
    uint64_t order = 0;
    uint64_t cut_until[place_count][place_count] = {};
    uint64_t loss_one_in;
    uint64_t delay_max;
    uint64_t next_promotion = 0;
    uint64_t healing_begin = 0;
};

} // namespace group_sim

#endif
