/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store's worth of surroundings for table files, on a simulated disk, and entries as values. A model is
 * a sorted map in entry order; what a file gives back is compared with it. Nothing here knows the format.
 */
#ifndef TESTS_UNIT_SST_TABLE_FIXTURE_H
#define TESTS_UNIT_SST_TABLE_FIXTURE_H

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "engine/crypto/keyring.h"
#include "engine/sst/table.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_disk.h"
#include "tests/support/sim_random.h"

namespace sst_test {

// Entry order: key upwards, version downwards.
struct Position {
    std::string key;
    uint64_t version;

    bool operator<(const Position &other) const
    {
        return key != other.key ? key < other.key : version > other.version;
    }
};

struct Stored {
    entry_kind kind;
    std::string value;
};

using Model = std::map<Position, Stored>;

struct Range {
    std::string start;
    std::string end;
    uint64_t version;
};

inline polarys_slice slice(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

// Of a literal: a std::string made on the way would be gone too early.
inline polarys_slice slice(const char *text)
{
    return slice_from_text(text);
}

inline std::string text_of(polarys_slice bytes)
{
    return std::string(reinterpret_cast<const char *>(bytes.data), bytes.size);
}

// A tree key of table 1: prefix and a number, so that numbers sort.
inline std::string number_key(uint64_t number)
{
    char key[48];
    snprintf(key, sizeof(key), "\1\1\1\1\1\1\1\1key%010llu",
             static_cast<unsigned long long>(number));
    return key;
}

// Keys that are hard on prefix tricks: few symbols, the lowest and highest bytes, prefixes of each other.
inline std::string hard_key(sim_random *random, size_t size_max)
{
    std::string key(sim_random_chance(random, 4) ? "\0\0\0\1\0\0\0\2" : "\0\0\0\1\0\0\0\3", 8);
    for (uint64_t size = sim_random_below(random, size_max + 1); size > 0; size--) {
        key.push_back("\0\1ab\xff"[sim_random_below(random, 5)]);
    }
    return key;
}

inline Model random_model(sim_random *random, size_t count, size_t key_size_max,
                          uint64_t version_max)
{
    Model model;
    for (size_t i = 0; i < count; i++) {
        Position at{hard_key(random, key_size_max), 1 + sim_random_below(random, version_max)};
        bool is_delete = sim_random_chance(random, 6);
        model[at] = {
            is_delete ? ENTRY_DELETE : ENTRY_PUT,
            is_delete ? ""
                      : std::string(sim_random_below(random, 60), static_cast<char>('a' + i % 26))};
    }
    return model;
}

// Checks where an iterator stands.
inline void expect_at(const entry_iterator *iterator, Model::const_iterator at, bool is_inside)
{
    ASSERT_EQ(is_inside, iterator->is_valid) << iterator->error.message;
    ASSERT_EQ(POLARYS_OK, iterator->code);
    if (is_inside) {
        ASSERT_EQ(at->first.key, text_of(iterator->entry.key));
        ASSERT_EQ(at->first.version, iterator->entry.version);
        ASSERT_EQ(at->second.value, text_of(iterator->entry.value));
        ASSERT_EQ(at->second.kind, iterator->entry.kind);
    }
}

// Walks the whole model both ways.
inline void expect_walks(entry_iterator *iterator, const Model &model)
{
    entry_iterator_seek_first(iterator);
    for (auto at = model.cbegin(); at != model.cend(); ++at) {
        ASSERT_NO_FATAL_FAILURE(expect_at(iterator, at, true));
        entry_iterator_next(iterator);
    }
    ASSERT_NO_FATAL_FAILURE(expect_at(iterator, model.cend(), false));
    entry_iterator_seek_last(iterator);
    for (auto at = model.cend(); at != model.cbegin();) {
        --at;
        ASSERT_NO_FATAL_FAILURE(expect_at(iterator, at, true));
        entry_iterator_previous(iterator);
    }
    ASSERT_NO_FATAL_FAILURE(expect_at(iterator, model.cend(), false));
}

// Seeks and steps at random.
inline void expect_random_steps(entry_iterator *iterator, const Model &model, sim_random *random,
                                int seeks)
{
    for (int i = 0; i < seeks; i++) {
        std::string key = hard_key(random, 6);
        uint64_t version = sim_random_below(random, 60);
        if (!model.empty() && sim_random_chance(random, 2)) {
            auto near = model.lower_bound({key, version});
            near = near == model.end() ? model.begin() : near;
            key = near->first.key;
            version = near->first.version;
        }
        entry_iterator_seek(iterator, slice(key), version);
        auto at = model.lower_bound({key, version});
        for (int step = 0; step < 30; step++) {
            ASSERT_NO_FATAL_FAILURE(expect_at(iterator, at, at != model.end()));
            if (!iterator->is_valid) {
                break;
            }
            if (sim_random_chance(random, 2)) {
                entry_iterator_next(iterator);
                ++at;
                continue;
            }
            entry_iterator_previous(iterator);
            if (at == model.begin()) {
                ASSERT_FALSE(iterator->is_valid);
                break;
            }
            --at;
        }
    }
}

// A meta that frees itself.
struct Meta : table_meta {
    Meta() : table_meta()
    {
    }
    ~Meta()
    {
        table_meta_deinit(this);
    }
    Meta(const Meta &) = delete;
    Meta &operator=(const Meta &) = delete;
};

// A disk, a keyring and a cache.
struct World {
    explicit World(size_t cache_bytes = 8 << 20, uint64_t seed = 1)
    {
        disk = sim_disk_create(seed);
        sim_random_init(&random, seed);
        sim_clock_init(&clock);
        polarys_error err = {};
        keyring_options options = {sim_disk_vfs(disk), "/db",   &random.base,
                                   &clock.base,        &master, 1};
        EXPECT_EQ(POLARYS_OK, vfs_make_dir(options.vfs, "/db", &err));
        EXPECT_EQ(POLARYS_OK, keyring_create(&options, &keyring, &err)) << err.message;
        EXPECT_EQ(POLARYS_OK, block_cache_create(cache_bytes, &cache, &err));
        env = {options.vfs, "/db", keyring, &random.base, cache, nullptr};
    }

    ~World()
    {
        block_cache_destroy(cache);
        keyring_close(keyring);
        sim_disk_destroy(disk);
    }

    World(const World &) = delete;
    World &operator=(const World &) = delete;

    polarys_code try_build(uint64_t file_id, const Model &model, const std::vector<Range> &ranges,
                           table_meta *meta, polarys_error *err, size_t block_bytes = 1 << 10,
                           int zstd_level = 1)
    {
        table_builder_options options = {file_id, block_bytes, zstd_level, false};
        table_builder *builder = nullptr;
        polarys_code code = table_builder_create(&env, &options, &builder, err);
        for (const Range &range : ranges) {
            range_delete each = {slice(range.start), slice(range.end), range.version};
            if (code == POLARYS_OK) {
                code = table_builder_add_range_delete(builder, &each, err);
            }
        }
        for (const auto &[at, stored] : model) {
            entry each = {slice(at.key), slice(stored.value), at.version, stored.kind};
            if (code == POLARYS_OK) {
                code = table_builder_add(builder, &each, err);
            }
        }
        if (code == POLARYS_OK) {
            code = table_builder_finish(builder, meta, err);
        }
        table_builder_destroy(builder);
        return code;
    }

    void build(uint64_t file_id, const Model &model, const std::vector<Range> &ranges,
               table_meta *meta, size_t block_bytes = 1 << 10, int zstd_level = 1)
    {
        polarys_error err = {};
        ASSERT_EQ(POLARYS_OK,
                  try_build(file_id, model, ranges, meta, &err, block_bytes, zstd_level))
            << err.message;
    }

    table *open(const table_meta &meta)
    {
        table *table = nullptr;
        polarys_error err = {};
        EXPECT_EQ(POLARYS_OK, table_open(&env, &meta, &table, &err)) << err.message;
        return table;
    }

    sim_disk *disk = nullptr;
    sim_random random;
    sim_clock clock;
    master_key master = {{1, 2, 3}};
    struct keyring *keyring = nullptr;
    block_cache *cache = nullptr;
    table_env env;
};

// What a read of (key, snapshot) gives.
struct Got {
    polarys_code code;
    bool is_found;
    uint64_t version;
    entry_kind kind;
    std::string value;
    polarys_error err;
};

inline Got get(table *table, const std::string &key, uint64_t snapshot, unsigned flags = 0)
{
    Got got = {};
    entry found = {};
    cached_block *pin = nullptr;
    got.code = table_get(table, slice(key), snapshot, flags, &got.is_found, &found, &pin, &got.err);
    if (got.code == POLARYS_OK && got.is_found) {
        got.version = found.version;
        got.kind = found.kind;
        got.value = text_of(found.value);
        EXPECT_EQ(key, text_of(found.key));
    } else {
        EXPECT_EQ(nullptr, pin);
        EXPECT_FALSE(got.is_found);
    }
    cached_block_release(pin);
    return got;
}

inline void expect_get(table *table, const Model &model, const std::string &key, uint64_t snapshot)
{
    Got got = get(table, key, snapshot);
    ASSERT_EQ(POLARYS_OK, got.code) << got.err.message;
    auto wanted = model.lower_bound({key, snapshot});
    bool is_there = wanted != model.end() && wanted->first.key == key;
    ASSERT_EQ(is_there, got.is_found);
    if (is_there) {
        ASSERT_EQ(wanted->first.version, got.version);
        ASSERT_EQ(wanted->second.kind, got.kind);
        ASSERT_EQ(wanted->second.value, got.value);
    }
}

} // namespace sst_test

#endif
