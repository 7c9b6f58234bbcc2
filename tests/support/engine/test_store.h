/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store on a simulated disk, in one thread, for tests: short names for what engine.h does, results as
 * strings. What fails unexpectedly is reported by Google Test with the store's own message.
 */
#ifndef TESTS_SUPPORT_ENGINE_TEST_STORE_H
#define TESTS_SUPPORT_ENGINE_TEST_STORE_H

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_disk.h"
#include "tests/support/sim_executor.h"
#include "tests/support/sim_random.h"

namespace test_store {

inline polarys_slice bytes_of(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

inline std::string text_of(polarys_slice slice)
{
    return slice.size == 0 ? std::string()
                           : std::string(reinterpret_cast<const char *>(slice.data), slice.size);
}

inline polarys_value json_of(const std::string &text, uint64_t expires_at_ms = 0)
{
    return polarys_value{POLARYS_VALUE_JSON, expires_at_ms, bytes_of(text)};
}

inline polarys_value raw_of(const std::string &text, uint64_t expires_at_ms = 0)
{
    return polarys_value{POLARYS_VALUE_RAW, expires_at_ms, bytes_of(text)};
}

struct scanned {
    std::string key;
    std::string value;
    uint64_t version;
};

/* The surroundings of a store; several stores, one after the other, may live in one. */
class world {
  public:
    explicit world(uint64_t seed = 1);
    /* A world with a given disk, which it takes over. */
    world(uint64_t seed, sim_disk *take_disk);
    ~world();
    world(const world &) = delete;
    world &operator=(const world &) = delete;

    /* Options that use this world. Small and quick: no ballast, a segment of 1 MiB. */
    polarys_db_options options();
    uint64_t now_ms();
    void pass_ms(uint64_t duration_ms);
    struct vfs *vfs()
    {
        return sim_disk_vfs(disk);
    }

    sim_disk *disk;
    sim_clock clock;
    sim_random random;
    sim_executor *executor;
};

/* One open store. */
class store {
  public:
    explicit store(world &surroundings);
    store(world &surroundings, const polarys_db_options &options);
    ~store();
    store(const store &) = delete;
    store &operator=(const store &) = delete;

    /* The code of the last call; its message in `error`. */
    polarys_code open();
    polarys_code close(uint32_t timeout_ms = 0);
    /* As a process that is killed: closes without a clean mark, after the disk has lost its power. */
    void crash(sim_crash_policy policy);

    polarys_code create_table(const std::string &table);
    polarys_code put(const std::string &table, const std::string &key, const polarys_value &value,
                     const polarys_write_options *write = nullptr);
    polarys_code put(const std::string &table, const std::string &key, const std::string &json);
    polarys_code remove(const std::string &table, const std::string &key);
    /* Nothing when it is not there; any other failure fails the test. */
    std::optional<std::string> get(const std::string &table, const std::string &key,
                                   uint64_t version = 0);
    polarys_code get_code(const std::string &table, const std::string &key, uint64_t version = 0,
                          unsigned flags = 0);
    std::vector<scanned> scan(polarys_scan_options options);
    std::vector<scanned> scan(const std::string &table);
    std::map<std::string, std::string> contents(const std::string &table, uint64_t version = 0);
    polarys_db_status status();

    world &surroundings;
    polarys_db_options options;
    std::string dir = "/store";
    polarys_db *db = nullptr;
    polarys_error error;
    polarys_write_result result{};
};

/* A batch of one store. Where it could not be made for lack of memory, every call says so. */
class batch {
  public:
    explicit batch(store &owner, const char *database = nullptr);
    ~batch();
    batch(const batch &) = delete;
    batch &operator=(const batch &) = delete;

    polarys_code put(const std::string &table, const std::string &key, const polarys_value &value);
    polarys_code put(const std::string &table, const std::string &key, const std::string &json);
    polarys_code remove(const std::string &table, const std::string &key, bool must_look = false);
    polarys_code update(const std::string &table, const std::string &key, const std::string &patch,
                        uint64_t expires_at_ms = UINT64_MAX);
    polarys_code remove_range(const std::string &table, const std::string &start,
                              const std::string &end);
    polarys_code require(const std::string &table, const std::string &key,
                         const polarys_precondition &precondition);
    polarys_code commit(const polarys_write_options *write = nullptr);
    polarys_code reset();

    store &owner;
    polarys_batch *handle = nullptr;
    polarys_error error;
    polarys_write_result result{};
};

} // namespace test_store

#endif
