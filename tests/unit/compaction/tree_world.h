/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A store's lower half on a simulated disk, in one thread: keyring, block cache, manifest and tree. Small
 * memtables and files, so that a few thousand entries make several levels.
 */
#ifndef TESTS_UNIT_COMPACTION_TREE_WORLD_H
#define TESTS_UNIT_COMPACTION_TREE_WORLD_H

#include <algorithm>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/compaction/tree.h"
#include "engine/crypto/keyring.h"
#include "engine/manifest/manifest.h"
#include "engine/sst/block_cache.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_disk.h"
#include "tests/support/sim_executor.h"
#include "tests/support/sim_random.h"

inline polarys_slice slice_of(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

inline std::string text_of(polarys_slice slice)
{
    return std::string(reinterpret_cast<const char *>(slice.data), slice.size);
}

/* A tree key: database 1, table 1, then the number as five digits. */
inline std::string key_of(unsigned number)
{
    uint8_t prefix[TREE_KEY_PREFIX_SIZE];
    tree_key_put_prefix(prefix, 1, 1);
    char digits[16];
    snprintf(digits, sizeof(digits), "%05u", number);
    return std::string(reinterpret_cast<char *>(prefix), sizeof(prefix)) + digits;
}

/* Like sim_disk, but outlives stores: what is left after a close or a crash. */
class TreeWorld {
  public:
    explicit TreeWorld(uint64_t seed)
    {
        disk = sim_disk_create(seed);
        sim_clock_init(&clock);
        sim_random_init(&random, seed + 1);
        for (size_t i = 0; i < MASTER_KEY_SIZE; i++) {
            master.bytes[i] = static_cast<uint8_t>(i);
        }
        seed_ = seed;
        code = vfs_make_dir(sim_disk_vfs(disk), "/s", &err);
        code = vfs_sync_dir(sim_disk_vfs(disk), "/", &err);
    }

    /* Takes over a disk, as after a crash. */
    TreeWorld(uint64_t seed, sim_disk *take_disk) : disk(take_disk)
    {
        sim_clock_init(&clock);
        sim_random_init(&random, seed + 1);
        for (size_t i = 0; i < MASTER_KEY_SIZE; i++) {
            master.bytes[i] = static_cast<uint8_t>(i);
        }
        seed_ = seed;
    }

    ~TreeWorld()
    {
        close();
        sim_disk_destroy(disk);
    }

    TreeWorld(const TreeWorld &) = delete;
    TreeWorld &operator=(const TreeWorld &) = delete;

    keyring_options ring_options()
    {
        keyring_options ring = {};
        ring.vfs = sim_disk_vfs(disk);
        ring.dir = "/s";
        ring.random = &random.base;
        ring.clock = &clock.base;
        ring.master_keys = &master;
        ring.master_key_count = 1;
        return ring;
    }

    enum polarys_code create_ring()
    {
        keyring_options ring = ring_options();
        return keyring_create(&ring, &keyring, &err);
    }

    /* Opens what there is, or makes it. */
    enum polarys_code open()
    {
        keyring_options ring = ring_options();
        close();
        polarys_error_clear(&err);
        code = keyring_open(&ring, &keyring, &err);
        if (code == POLARYS_FILE_NOT_FOUND) {
            code = create_ring();
        }
        if (code != POLARYS_OK) {
            return code;
        }
        code = block_cache_create(1 << 20, &cache, &err);
        if (code != POLARYS_OK) {
            return code;
        }
        executor = sim_executor_create(seed_ + 2, &clock);
        return open_tree();
    }

    enum polarys_code open_tree()
    {
        manifest_options manifest_opts = {};
        manifest_opts.vfs = sim_disk_vfs(disk);
        manifest_opts.dir = "/s";
        manifest_opts.keyring = keyring;
        manifest_opts.random = &random.base;
        code = manifest_open(&manifest_opts, &manifest, &err);
        if (code == POLARYS_FILE_NOT_FOUND) {
            code = manifest_create(&manifest_opts, &manifest, &err);
        }
        if (code != POLARYS_OK) {
            return code;
        }
        tree_options options = base_options;
        options.env.vfs = sim_disk_vfs(disk);
        options.env.dir = "/s";
        options.env.keyring = keyring;
        options.env.random = &random.base;
        options.env.cache = cache;
        options.manifest = manifest;
        options.executor = sim_executor_base(executor);
        options.retention = retention;
        options.flushed = flushed;
        options.room_made = room_made;
        options.failed = failed;
        options.version_time_ms = version_time_ms;
        options.durable = durable;
        options.context = this;
        code = tree_open(&options, &tree, &err);
        return code;
    }

    static tree_options small_options()
    {
        tree_options options = {};
        options.memtable_bytes = MEMTABLE_BYTES_MIN;
        options.block_bytes = TABLE_BLOCK_BYTES_MIN;
        options.level1_bytes = 24 << 10;
        options.file_bytes = 8 << 10;
        options.zstd_level_upper = 0;
        options.zstd_level_last = 1;
        return options;
    }

    void close()
    {
        tree_close(tree);
        tree = nullptr;
        manifest = nullptr;
        sim_executor_destroy(executor);
        executor = nullptr;
        block_cache_destroy(cache);
        cache = nullptr;
        keyring_close(keyring);
        keyring = nullptr;
    }

    /* ---- writing at explicit versions ---- */

    enum polarys_code put(uint64_t version, const std::string &key, const std::string &value)
    {
        return insert(version, ENTRY_PUT, key, value);
    }

    enum polarys_code remove(uint64_t version, const std::string &key)
    {
        return insert(version, ENTRY_DELETE, key, "");
    }

    enum polarys_code remove_range(uint64_t version, const std::string &start,
                                   const std::string &end)
    {
        return insert(version, ENTRY_RANGE_DELETE, start, end);
    }

    enum polarys_code insert(uint64_t version, entry_kind kind, const std::string &key,
                             const std::string &value)
    {
        enum polarys_code result;
        for (;;) {
            result = tree_reserve(tree, memtable_entry_bytes_max(key.size(), value.size()),
                                  kind == ENTRY_RANGE_DELETE ? 1 : 0, &err);
            if (result != POLARYS_WOULD_BLOCK) {
                break;
            }
            if (!sim_executor_run_one(executor)) {
                sim_executor_run_for(executor, 2000000000);
            }
        }
        if (result == POLARYS_OK) {
            entry entry = {slice_of(key), slice_of(value), version, kind};
            tree_insert(tree, &entry);
            last_version = std::max(last_version, version);
        }
        return result;
    }

    enum polarys_code flush()
    {
        enum polarys_code result = tree_memtable_switch(tree, &err);
        return result == POLARYS_OK ? tree_flush_wait(tree, last_version, &err) : result;
    }

    enum polarys_code idle()
    {
        return tree_wait_idle(tree, &err);
    }

    enum polarys_code compact_all()
    {
        return tree_compact_range(tree, slice_make(nullptr, 0), slice_make(nullptr, 0), &err);
    }

    /* ---- reading ---- */

    /* The value, or "<none>", or "<CODE>". */
    std::string get(const std::string &key, uint64_t snapshot = VERSION_MAX, unsigned flags = 0)
    {
        tree_value value = {};
        enum polarys_code result = tree_get(tree, slice_of(key), snapshot, flags, &value, &err);
        if (result == POLARYS_KEY_NOT_FOUND) {
            return "<none>";
        }
        if (result != POLARYS_OK) {
            return std::string("<") + polarys_code_name(result) + ">";
        }
        std::string text = text_of(value.bytes);
        tree_value_release(&value);
        return text;
    }

    using Rows = std::vector<std::pair<std::string, std::string>>;

    Rows scan(uint64_t snapshot, bool is_forward, const std::string &start = "",
              const std::string &end = "")
    {
        Rows rows;
        entry_iterator *iterator = nullptr;
        code = tree_iterator_create(tree, slice_of(start), slice_of(end), snapshot, 0, &iterator,
                                    &err);
        if (code != POLARYS_OK) {
            return rows;
        }
        if (is_forward) {
            entry_iterator_seek_first(iterator);
        } else {
            entry_iterator_seek_last(iterator);
        }
        while (iterator->is_valid) {
            rows.emplace_back(text_of(iterator->entry.key), text_of(iterator->entry.value));
            if (is_forward) {
                entry_iterator_next(iterator);
            } else {
                entry_iterator_previous(iterator);
            }
        }
        code = iterator->code;
        if (code != POLARYS_OK) {
            err = iterator->error;
        }
        entry_iterator_destroy(iterator);
        return rows;
    }

    tree_stats stats()
    {
        tree_stats stats;
        tree_stats_get(tree, &stats);
        return stats;
    }

    static size_t retention(void *context, uint64_t *versions, uint64_t *history_start)
    {
        auto *world = static_cast<TreeWorld *>(context);
        *history_start = std::min(world->history_start, std::max<uint64_t>(world->last_version, 1));
        std::vector<uint64_t> sorted = world->snapshots;
        std::sort(sorted.begin(), sorted.end());
        std::copy(sorted.begin(), sorted.end(), versions);
        return sorted.size();
    }
    static void flushed(void *context, uint64_t version)
    {
        static_cast<TreeWorld *>(context)->flushed_version = version;
    }
    static void room_made(void *context)
    {
        static_cast<TreeWorld *>(context)->room_made_count++;
    }
    static void failed(void *context, const polarys_error *error)
    {
        static_cast<TreeWorld *>(context)->failures.push_back(error->code);
    }
    static polarys_code durable(void *context, uint64_t version, polarys_error *)
    {
        TreeWorld *world = static_cast<TreeWorld *>(context);
        return version <= world->durable_version ? POLARYS_OK : POLARYS_WOULD_BLOCK;
    }

    static uint64_t version_time_ms(void *, uint64_t version)
    {
        return 1000 + version;
    }

    sim_disk *disk = nullptr;
    uint64_t durable_version = UINT64_MAX; /* in the log; the world has none of its own */
    sim_clock clock = {};
    sim_random random = {};
    master_key master = {};
    struct keyring *keyring = nullptr;
    block_cache *cache = nullptr;
    sim_executor *executor = nullptr;
    struct manifest *manifest = nullptr; /* the tree's */
    struct tree *tree = nullptr;
    tree_options base_options = small_options();
    polarys_error err = {};
    enum polarys_code code = POLARYS_OK;
    uint64_t last_version = 0;
    uint64_t history_start = VERSION_MAX; /* the newest version unless set */
    std::vector<uint64_t> snapshots;
    uint64_t flushed_version = 0;
    uint64_t room_made_count = 0;
    std::vector<enum polarys_code> failures;

  private:
    uint64_t seed_ = 0;
};

#endif
