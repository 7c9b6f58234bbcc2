// SPDX-License-Identifier: Apache-2.0
// Memtable, table files and a merge over them together against one sorted map.
#include "engine/base/merge_iterator.h"
#include "engine/memtable/memtable.h"
#include "tests/unit/sst/table_fixture.h"

namespace sst_test {
namespace {

// The newest of `key` at or below `snapshot` over a memtable and tables, as a reader of the tree finds it.
bool newest(struct memtable *memtable, const std::vector<table *> &tables, const std::string &key,
            uint64_t snapshot, uint64_t *version, std::string *value)
{
    bool is_any = false;
    entry found;
    if (memtable_get(memtable, slice(key), snapshot, &found)) {
        is_any = true;
        *version = found.version;
        *value = text_of(found.value);
    }
    for (table *table : tables) {
        Got got = get(table, key, snapshot);
        EXPECT_EQ(POLARYS_OK, got.code) << got.err.message;
        if (got.is_found && (!is_any || got.version > *version)) {
            is_any = true;
            *version = got.version;
            *value = got.value;
        }
    }
    return is_any;
}

TEST(TableModel, MemtableAndTablesAndMergeAreOneSortedMap)
{
    sim_random random;
    sim_random_init(&random, sim_seed(41));
    for (uint64_t round = 0; round < 8; round++) {
        SCOPED_TRACE(round);
        World world(round % 2 == 0 ? 8 << 20 : 8 << 10, round + 1);
        Model all;
        std::vector<Model> parts(5);
        for (const auto &[at, stored] : random_model(&random, 1500, 5, 50)) {
            all[at] = stored;
            parts[sim_random_below(&random, parts.size())][at] = stored;
        }
        std::vector<Meta> metas(parts.size());
        std::vector<table *> tables;
        std::vector<entry_iterator *> children;
        for (size_t i = 1; i < parts.size(); i++) {
            world.build(i, parts[i], {}, &metas[i], 1024, static_cast<int>(i % 2));
            tables.push_back(world.open(metas[i]));
            entry_iterator *child = nullptr;
            ASSERT_EQ(POLARYS_OK, table_iterator_create(tables.back(), i % 2 ? TABLE_READ_AHEAD : 0,
                                                        &child, nullptr));
            children.push_back(child);
        }
        // The memtable takes its part in the order of versions.
        struct memtable *memtable = nullptr;
        ASSERT_EQ(POLARYS_OK, memtable_create(4 << 20, &memtable, nullptr));
        for (uint64_t version = 1; version <= 50; version++) {
            for (const auto &[at, stored] : parts[0]) {
                entry each = {slice(at.key), slice(stored.value), at.version, stored.kind};
                if (at.version == version) {
                    memtable_insert(memtable, &each);
                }
            }
        }
        entry_iterator *child = nullptr;
        ASSERT_EQ(POLARYS_OK, memtable_iterator_create(memtable, &child, nullptr));
        children.insert(children.begin(), child);
        entry_iterator *merge = nullptr;
        ASSERT_EQ(POLARYS_OK,
                  merge_iterator_create(children.data(), children.size(), &merge, nullptr));
        ASSERT_NO_FATAL_FAILURE(expect_walks(merge, all));
        ASSERT_NO_FATAL_FAILURE(expect_random_steps(merge, all, &random, 200));
        for (int i = 0; i < 500; i++) {
            std::string key = hard_key(&random, 5);
            uint64_t snapshot = sim_random_below(&random, 52);
            auto wanted = all.lower_bound({key, snapshot});
            bool is_there = wanted != all.end() && wanted->first.key == key;
            uint64_t version = 0;
            std::string value;
            ASSERT_EQ(is_there, newest(memtable, tables, key, snapshot, &version, &value));
            if (is_there) {
                ASSERT_EQ(wanted->first.version, version);
                ASSERT_EQ(wanted->second.value, value);
            }
        }
        entry_iterator_destroy(merge);
        memtable_unref(memtable);
        for (table *table : tables) {
            table_close(table);
        }
    }
}

} // namespace
} // namespace sst_test
