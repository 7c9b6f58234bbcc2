/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A primary that is called through struct peer_ops without a network: a real store, whose files and log it
 * gives as the proto says, and which can be told to break off, to refuse and to lie.
 */
#ifndef TESTS_UNIT_SERVICE_REPLICA_FIXTURE_H
#define TESTS_UNIT_SERVICE_REPLICA_FIXTURE_H

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "polarys/v1/replication.pb-c.h"
#include "service/config/config.h"
#include "service/replication/boot.h"
#include "service/replication/follower.h"

namespace replica_test {

struct Ack {
    uint64_t durable = 0;
    uint64_t received = 0;
    uint64_t applied = 0;
};

/* A file of a copy, as it is told and as it is sent. */
struct CopyPart {
    std::string path;
    std::string bytes;
    size_t sent_size = SIZE_MAX; /* what follows is zeros that are not sent */
};

class Primary {
  public:
    explicit Primary(const std::string &directory);
    ~Primary();

    void Open();
    void Close();
    void MakeTable(const char *table);
    void Put(const char *key, const std::string &json);
    /* A copy of the store in files, for Bootstrap. */
    void MakeCopy();
    /* Every connection that there is breaks. */
    void Break();
    /* What tails wait for may be there. */
    void Wake();
    /* Waits until a follower has applied `version`. */
    bool WaitApplied(uint64_t version);
    /* Waits until `count` tails were begun. */
    bool WaitTails(int count);
    uint64_t Version() const
    {
        return polarys_db_version(db);
    }

    std::string directory;
    std::string data_dir;
    std::string key_file;
    polarys_db *db = nullptr;

    /* What it does; set before it is called, or under `mutex`. */
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<CopyPart> copy;
    std::string copy_id = "0123456789abcdef";
    std::function<polarys_code(const std::string &method, polarys_error *err)> refuse;
    int copy_break_after = 0; /* messages of a copy, then the connection breaks, once */
    bool copy_without_end = false;
    int pieces_per_message = 3;
    size_t piece_bytes_max = 1000;             /* frames above it come in parts */
    std::function<void(std::string *)> tamper; /* each frame */
    uint64_t header_term = 0;                  /* of answers; 0: the store's */
    uint64_t stable_version = 0;
    bool is_primary = true;   /* or another replica, whose primary is at 127.0.0.1:2 */
    uint64_t sealed_term = 0; /* by SealTerm */

    /* What was done to it. */
    std::vector<Ack> acks;
    std::vector<std::string> calls;
    std::vector<std::string> copy_requests; /* "file@offset" */
    int tail_count = 0;
    int breaks = 0;
};

/* The primary that peers are opened to. */
extern std::atomic<Primary *> reachable;
polarys_code FakeOpen(const char *address, peer **out, polarys_error *err);

/* What an ended follower said. */
struct Ended {
    std::mutex mutex;
    std::condition_variable changed;
    int end = -1;

    static void Call(void *context, follower_end end);
    /* -1 when it did not in time. */
    int Wait();
};

/* A node that follows `reachable` in a directory of its own. */
class Node {
  public:
    Node(const std::string &directory, const std::string &key_file);
    ~Node();

    /* Boots and opens the store. */
    polarys_code Open();
    /* And follows. */
    void Start();
    void Close();

    config settings;
    boot *booting = nullptr;
    polarys_db *db = nullptr;
    follower *following = nullptr;
    role known = {};
    bool is_follower = false;
    Ended ended;
    std::function<void()> promoted; /* as the server begins its term */
    polarys_error error = {};
};

std::string FileRead(const std::filesystem::path &path);
std::string Get(polarys_db *db, const char *table, const char *key);

} // namespace replica_test

#endif
