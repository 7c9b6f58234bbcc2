/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree and a log that the commit path can be tested on: they define the functions of tree.h and wal.h
 * that it calls, keep what they were given, fail and block on request, and check that each half of the log
 * role is held by one thread at a time. Also an executor whose clock only a test moves.
 */
#ifndef TESTS_UNIT_COMMIT_FAKE_ENGINE_H
#define TESTS_UNIT_COMMIT_FAKE_ENGINE_H

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "engine/commit/commit.h"

struct tree {
    /* key -> versions written; the value of a range delete is its end. */
    std::map<std::string, std::vector<uint64_t>> keys;
    struct FakeRange {
        std::string start, end;
        uint64_t version;
    };
    std::vector<FakeRange> ranges;
    std::vector<uint64_t> inserted_versions;
    std::atomic<int> users{0};
    std::atomic<uint64_t> floor{0};
    std::atomic<uint64_t> rate{UINT64_MAX};
    std::atomic<int> reserve_code{POLARYS_OK};
    std::atomic<int> reserve_count{0};
};

struct wal {
    struct Frame {
        uint64_t first_version;
        uint32_t commit_count;
        uint64_t time_ms;
        std::string payload; /* behind the time */
    };
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Frame> frames;
    bool is_blocked = false;
    int waiting = 0; /* threads inside a blocked append */
    std::atomic<int> users{0};
    std::atomic<int> append_code{POLARYS_OK};
    std::atomic<size_t> room{SIZE_MAX};
    std::atomic<int> append_count{0};
    std::atomic<int> room_count{0};
    uint64_t probed_sync_ns = 100000;
    std::function<void()> on_append;
    int yields = 0; /* how often an append lets other threads run */

    void block();
    void release();
    void wait_until_blocked();
    size_t frame_count();
    uint64_t last_version();
};

/* One thread, tasks by due time, time only by hand. A wait that nothing can end fails the test. */
struct FakeExecutor {
    struct executor executor;
    struct FakeClock {
        struct clock clock;
        uint64_t now_ns = 1000000000;
        uint64_t wall_ms = 1700000000000;
    } time;
    std::vector<struct task *> tasks;
    std::function<bool()> on_wait; /* before a wait; true: something was done */

    FakeExecutor();
    bool run_due(); /* all tasks that are due now; true when there was one */
    void advance_ms(uint64_t ms);
    void advance_ns(uint64_t ns);
};

/* A commit with memory of its own. `encoded` is not a real LogBatch: the fake log does not look. */
struct TestCommit {
    struct commit_request request = {};
    std::vector<std::string> strings;
    std::vector<struct entry> operations;
    std::vector<struct polarys_slice> read_keys;
    std::vector<struct commit_range> read_ranges;
    std::atomic<int> done_count{0};
    std::function<void(TestCommit *)> on_done;

    explicit TestCommit(const std::string &name, enum commit_durability durability);
    TestCommit &put(const std::string &key);
    TestCommit &erase_range(const std::string &start, const std::string &end);
    TestCommit &reads(uint64_t version, const std::string &key);
    TestCommit &reads_range(uint64_t version, const std::string &start, const std::string &end);
    struct commit_request *prepare(struct commit_path *path);
    bool is_done() const
    {
        return done_count.load() != 0;
    }

  private:
    struct polarys_slice keep(const std::string &text);
};

#endif
