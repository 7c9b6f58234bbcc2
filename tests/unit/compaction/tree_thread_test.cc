/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One writer, readers and iterators, and flushes and compactions on a pool, all at once. Meant for the
 * thread sanitizer; without it the readers still check what they see.
 */
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "engine/base/log.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/compaction/tree_world.h"

namespace {

enum { KEYS = 200, PUTS = 20000 };

/* A tree on the real file system with a pool of two threads. */
class PooledTree {
  public:
    PooledTree()
    {
        master_key master = {};
        keyring_options ring = {};
        ring.vfs = vfs_posix();
        ring.dir = dir.path();
        ring.random = random_system();
        ring.clock = clock_system();
        ring.master_keys = &master;
        ring.master_key_count = 1;
        polarys_error err = {};
        EXPECT_EQ(keyring_create(&ring, &keyring, &err), POLARYS_OK) << err.message;
        EXPECT_EQ(block_cache_create(256 << 10, &cache, &err), POLARYS_OK);
        EXPECT_EQ(executor_pool_create(2, clock_system(), &pool, &err), POLARYS_OK);
        manifest_options manifest_opts = {vfs_posix(), dir.path(), keyring, random_system()};
        struct manifest *manifest = nullptr;
        EXPECT_EQ(manifest_create(&manifest_opts, &manifest, &err), POLARYS_OK);
        tree_options options = TreeWorld::small_options();
        options.env = {vfs_posix(), dir.path(), keyring, random_system(), cache, nullptr};
        options.manifest = manifest;
        options.executor = pool;
        options.retention = retention;
        options.context = this;
        EXPECT_EQ(tree_open(&options, &tree, &err), POLARYS_OK) << err.message;
    }
    ~PooledTree()
    {
        tree_close(tree);
        executor_pool_destroy(pool);
        block_cache_destroy(cache);
        keyring_close(keyring);
    }
    static size_t retention(void *context, uint64_t *versions, uint64_t *history_start)
    {
        auto *self = static_cast<PooledTree *>(context);
        *history_start = std::max<uint64_t>(
            1, self->published.load() > 2000 ? self->published.load() - 2000 : 1);
        (void)versions;
        return 0;
    }

    scoped_temp_dir dir;
    struct keyring *keyring = nullptr;
    block_cache *cache = nullptr;
    executor *pool = nullptr;
    struct tree *tree = nullptr;
    std::atomic<uint64_t> published{0};
    std::atomic<bool> is_done{false};
    std::atomic<uint64_t> checked_count{0};
};

/* Key i is written with every version v = i (mod KEYS): its value as of a snapshot is known. */
std::string expected_value(unsigned number, uint64_t snapshot)
{
    if (snapshot < number + 1) {
        return "";
    }
    uint64_t version = snapshot - (snapshot - number - 1) % KEYS;
    return std::to_string(version);
}

void write_all(PooledTree *store)
{
    polarys_error err = {};
    for (uint64_t version = 1; version <= PUTS; version++) {
        std::string key = key_of(static_cast<unsigned>((version - 1) % KEYS));
        std::string value = std::to_string(version);
        enum polarys_code code;
        do {
            code = tree_reserve(store->tree, memtable_entry_bytes_max(key.size(), value.size()), 0,
                                &err);
            if (code == POLARYS_WOULD_BLOCK) {
                std::this_thread::yield();
            }
        } while (code == POLARYS_WOULD_BLOCK);
        ASSERT_EQ(code, POLARYS_OK) << err.message;
        entry entry = {slice_of(key), slice_of(value), version, ENTRY_PUT};
        tree_insert(store->tree, &entry);
        store->published.store(version);
        if (version % 64 == 0) {
            ASSERT_LE(tree_memtable_floor(store->tree), version);
            ASSERT_EQ(tree_newest_version(store->tree, slice_of(key)), version);
        }
    }
    store->is_done.store(true);
}

void read_points(PooledTree *store, uint64_t seed)
{
    sim_random random;
    sim_random_init(&random, seed);
    polarys_error err = {};
    /* At the end everything can be checked: one look at least, whenever this thread gets its turn. */
    while (!store->is_done.load() || store->checked_count == 0) {
        uint64_t snapshot = store->published.load();
        unsigned number = static_cast<unsigned>(sim_random_below(&random, KEYS));
        tree_value value = {};
        enum polarys_code code =
            tree_get(store->tree, slice_of(key_of(number)), snapshot, 0, &value, &err);
        std::string found = code == POLARYS_OK ? text_of(value.bytes) : "";
        ASSERT_TRUE(code == POLARYS_OK || code == POLARYS_KEY_NOT_FOUND) << err.message;
        /* A reader that had to wait for a processor may have fallen out of the history. */
        if (tree_history_start(store->tree) <= snapshot) {
            ASSERT_EQ(found, expected_value(number, snapshot));
            store->checked_count++;
        }
        tree_value_release(&value);
    }
}

void read_ranges(PooledTree *store)
{
    polarys_error err = {};
    bool is_forward = false;
    while (!store->is_done.load()) {
        uint64_t snapshot = store->published.load();
        entry_iterator *iterator = nullptr;
        ASSERT_EQ(tree_iterator_create(store->tree, slice_make(nullptr, 0), slice_make(nullptr, 0),
                                       snapshot, 0, &iterator, &err),
                  POLARYS_OK);
        if (tree_history_start(store->tree) > snapshot) {
            entry_iterator_destroy(iterator);
            continue;
        }
        is_forward = !is_forward;
        unsigned count = 0;
        is_forward ? entry_iterator_seek_first(iterator) : entry_iterator_seek_last(iterator);
        while (iterator->is_valid) {
            std::string key = text_of(iterator->entry.key);
            unsigned number = static_cast<unsigned>(std::stoul(key.substr(8)));
            ASSERT_EQ(text_of(iterator->entry.value), expected_value(number, snapshot));
            count++;
            is_forward ? entry_iterator_next(iterator) : entry_iterator_previous(iterator);
        }
        ASSERT_EQ(iterator->code, POLARYS_OK) << iterator->error.message;
        ASSERT_EQ(count, std::min<uint64_t>(KEYS, snapshot));
        entry_iterator_destroy(iterator);
    }
}

} // namespace

TEST(TreeThreads, ReadersAgreeWhileOneWritesAndFilesChange)
{
    polarys_log_level_set(POLARYS_LOG_OFF);
    PooledTree store;
    std::thread points(read_points, &store, 1);
    std::thread ranges(read_ranges, &store);
    write_all(&store);
    store.is_done.store(true);
    points.join();
    ranges.join();
    polarys_error err = {};
    ASSERT_EQ(tree_memtable_switch(store.tree, &err), POLARYS_OK);
    ASSERT_EQ(tree_flush_wait(store.tree, PUTS, &err), POLARYS_OK) << err.message;
    ASSERT_EQ(tree_compact_range(store.tree, slice_make(nullptr, 0), slice_make(nullptr, 0), &err),
              POLARYS_OK)
        << err.message;
    ASSERT_EQ(tree_wait_idle(store.tree, &err), POLARYS_OK);
    tree_stats stats;
    tree_stats_get(store.tree, &stats);
    EXPECT_GT(stats.flush_count, 3u);
    EXPECT_GT(stats.compaction_count, 0u);
    EXPECT_GT(stats.get_count, 0u);
    EXPECT_GT(store.checked_count, 0u);
}

/* A memtable is switched, and the version before it freed, while an installation is written. */
TEST(TreeThreads, MemtablesAreSwitchedWhileTablesAreInstalled)
{
    enum { FLUSHES = 40, VERSIONS_MAX = 200000 };
    const std::string value = "v";
    polarys_log_level_set(POLARYS_LOG_OFF);
    PooledTree store;
    polarys_error err = {};
    tree_stats stats = {};
    uint64_t version = 0;
    while (stats.flush_count < FLUSHES && version < VERSIONS_MAX) {
        std::string key = key_of(static_cast<unsigned>(++version % KEYS));
        enum polarys_code code;
        do {
            code = tree_reserve(store.tree, memtable_entry_bytes_max(key.size(), 1), 0, &err);
        } while (code == POLARYS_WOULD_BLOCK && (std::this_thread::yield(), true));
        ASSERT_EQ(code, POLARYS_OK) << err.message;
        entry entry = {slice_of(key), slice_of(value), version, ENTRY_PUT};
        tree_insert(store.tree, &entry);
        store.published.store(version);
        /* Where too many wait to be flushed the next one goes into the same memtable. */
        code = tree_memtable_switch(store.tree, &err);
        ASSERT_TRUE(code == POLARYS_OK || code == POLARYS_WOULD_BLOCK) << err.message;
        std::this_thread::yield();
        tree_stats_get(store.tree, &stats);
    }
    EXPECT_GE(stats.flush_count, static_cast<uint64_t>(FLUSHES));
    while (tree_memtable_switch(store.tree, &err) == POLARYS_WOULD_BLOCK) {
        std::this_thread::yield();
    }
    ASSERT_EQ(tree_flush_wait(store.tree, version, &err), POLARYS_OK) << err.message;
    ASSERT_EQ(tree_wait_idle(store.tree, &err), POLARYS_OK);
    std::string last = key_of(static_cast<unsigned>(version % KEYS));
    tree_value found = {};
    ASSERT_EQ(tree_get(store.tree, slice_of(last), version, 0, &found, &err), POLARYS_OK);
    EXPECT_EQ(found.version, version);
    tree_value_release(&found);
}
