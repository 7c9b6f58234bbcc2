// SPDX-License-Identifier: Apache-2.0
// Table files as a whole: what is built is what is read, by point reads and by walks.
#include "tests/unit/sst/table_fixture.h"

#include <set>

namespace sst_test {
namespace {

TEST(TableFile, HoldsWhatWasBuiltIntoIt)
{
    sim_random random;
    sim_random_init(&random, sim_seed(11));
    World world;
    for (uint64_t round = 1; round <= 12; round++) {
        SCOPED_TRACE(round);
        Model model = random_model(&random, round * round * 40, 1 + round, 1 + round * 4);
        Meta meta;
        world.build(round, model, {}, &meta, round % 3 == 0 ? 4096 : 1024, round % 2);
        table *table = world.open(meta);
        ASSERT_NE(nullptr, table);
        entry_iterator *iterator = nullptr;
        ASSERT_EQ(POLARYS_OK, table_iterator_create(table, round % 4 == 0 ? TABLE_READ_AHEAD : 0,
                                                    &iterator, nullptr));
        ASSERT_NO_FATAL_FAILURE(expect_walks(iterator, model));
        ASSERT_NO_FATAL_FAILURE(expect_random_steps(iterator, model, &random, 200));
        entry_iterator_destroy(iterator);
        for (const auto &[at, stored] : model) {
            ASSERT_NO_FATAL_FAILURE(expect_get(table, model, at.key, at.version));
            ASSERT_NO_FATAL_FAILURE(expect_get(table, model, at.key, at.version - 1));
            ASSERT_NO_FATAL_FAILURE(expect_get(table, model, at.key, VERSION_MAX));
            ASSERT_NO_FATAL_FAILURE(expect_get(table, model, hard_key(&random, 8), at.version));
        }
        uint64_t bad_count = 99;
        EXPECT_EQ(POLARYS_OK, table_verify(table, &bad_count, nullptr));
        EXPECT_EQ(0u, bad_count);
        table_close(table);
    }
}

TEST(TableFile, FindsEveryVersionOfAKeyThatSpansBlocksAndPartitions)
{
    World world;
    Model model;
    model[{number_key(1), 5}] = {ENTRY_PUT, "before"};
    for (uint64_t version = 1; version <= 20000; version++) {
        model[{number_key(2), version * 2}] = {ENTRY_PUT, std::to_string(version)};
    }
    model[{number_key(3), 5}] = {ENTRY_PUT, "after"};
    Meta meta;
    world.build(1, model, {}, &meta);
    table *table = world.open(meta);
    for (uint64_t snapshot = 0; snapshot < 40010; snapshot += 7) {
        ASSERT_NO_FATAL_FAILURE(expect_get(table, model, number_key(2), snapshot));
    }
    expect_get(table, model, number_key(1), 5);
    expect_get(table, model, number_key(3), VERSION_MAX);
    expect_get(table, model, number_key(4), VERSION_MAX);
    table_close(table);
}

TEST(TableFile, TakesLargeKeysAndValuesAmongSmallOnes)
{
    World world(64 << 20);
    Model model;
    for (uint64_t i = 0; i < 60; i++) {
        std::string key = number_key(i);
        if (i % 7 == 0) {
            key.resize(TREE_KEY_SIZE_MAX, static_cast<char>('a' + i % 20));
        }
        size_t size = i == 30 ? size_t{TABLE_VALUE_BYTES_MAX} : i % 5 == 0 ? 70000 : i;
        model[{key, i + 1}] = {ENTRY_PUT, std::string(size, static_cast<char>(i))};
    }
    for (int zstd_level : {0, 3}) {
        Meta meta;
        world.build(static_cast<uint64_t>(zstd_level) + 1, model, {}, &meta, 1024, zstd_level);
        table *table = world.open(meta);
        entry_iterator *iterator = nullptr;
        ASSERT_EQ(POLARYS_OK, table_iterator_create(table, TABLE_READ_AHEAD, &iterator, nullptr));
        expect_walks(iterator, model);
        entry_iterator_destroy(iterator);
        for (const auto &[at, stored] : model) {
            ASSERT_NO_FATAL_FAILURE(expect_get(table, model, at.key, VERSION_MAX));
        }
        table_close(table);
    }
}

TEST(TableFile, MetaTellsWhatIsInside)
{
    World world;
    Model model;
    model[{number_key(5), 50}] = {ENTRY_PUT, "value"};
    model[{number_key(6), 40}] = {ENTRY_DELETE, ""};
    std::vector<Range> ranges = {{number_key(6), number_key(9), 60},
                                 {number_key(2), number_key(3), 30}};
    Meta meta;
    world.build(0xabc, model, ranges, &meta);
    EXPECT_EQ(0xabcu, meta.file_id);
    EXPECT_EQ(2u, meta.entry_count);
    EXPECT_EQ(1u, meta.delete_count);
    EXPECT_EQ(2u, meta.range_delete_count);
    EXPECT_EQ(30u, meta.oldest_version);
    EXPECT_EQ(60u, meta.newest_version);
    EXPECT_EQ(number_key(2), text_of(buffer_slice(&meta.smallest_key)));
    EXPECT_EQ(number_key(9), text_of(buffer_slice(&meta.largest_key)));
    EXPECT_EQ(6 * number_key(1).size() + 5, meta.raw_bytes);
    uint64_t size = 0;
    sim_disk_settle(world.disk);
    ASSERT_TRUE(sim_disk_file_size(world.disk, "/db/000000000abc.sst", &size));
    EXPECT_EQ(size, meta.file_bytes);

    Meta recovered;
    polarys_error err = {};
    ASSERT_EQ(POLARYS_OK, table_meta_recover(&world.env, 0xabc, &recovered, &err)) << err.message;
    EXPECT_EQ(meta.file_bytes, recovered.file_bytes);
    EXPECT_EQ(meta.entry_count, recovered.entry_count);
    EXPECT_EQ(meta.newest_version, recovered.newest_version);
    EXPECT_EQ(meta.key_id, recovered.key_id);
    EXPECT_EQ(0, memcmp(meta.footer_tag, recovered.footer_tag, AEAD_TAG_SIZE));
    EXPECT_EQ(number_key(9), text_of(buffer_slice(&recovered.largest_key)));
    Meta missing;
    EXPECT_EQ(POLARYS_FILE_NOT_FOUND, table_meta_recover(&world.env, 0xabd, &missing, &err));
}

TEST(TableFile, KeepsRangeDeletesInMemory)
{
    World world;
    std::vector<Range> ranges;
    sim_random random;
    sim_random_init(&random, sim_seed(12));
    for (int i = 0; i < 500; i++) {
        ranges.push_back(
            {hard_key(&random, 5), hard_key(&random, 5), 1 + sim_random_below(&random, 90)});
    }
    Meta meta;
    world.build(1, {}, ranges, &meta);
    table *table = world.open(meta);
    std::string last_start;
    struct Context {
        std::string last_start;
        size_t count;
    } context = {"", 0};
    table_range_deletes_each(
        table,
        [](void *opaque, const range_delete *range) {
            auto *each = static_cast<Context *>(opaque);
            EXPECT_LE(each->last_start, text_of(range->start));
            each->last_start = text_of(range->start);
            each->count++;
            return true;
        },
        &context);
    EXPECT_EQ(500u, context.count);
    for (int i = 0; i < 1000; i++) {
        std::string key = hard_key(&random, 5);
        uint64_t snapshot = sim_random_below(&random, 95);
        uint64_t wanted = 0;
        for (const Range &range : ranges) {
            if (range.version <= snapshot && range.start <= key && key < range.end) {
                wanted = std::max(wanted, range.version);
            }
        }
        ASSERT_EQ(wanted, table_range_delete_version(table, slice(key), snapshot));
    }
    EXPECT_GT(table_memory_bytes(table), 500 * sizeof(range_delete));
    EXPECT_FALSE(get(table, hard_key(&random, 3), VERSION_MAX).is_found);
    entry_iterator *iterator = nullptr;
    ASSERT_EQ(POLARYS_OK, table_iterator_create(table, 0, &iterator, nullptr));
    expect_walks(iterator, {});
    entry_iterator_seek(iterator, slice("a"), 1);
    EXPECT_FALSE(iterator->is_valid);
    entry_iterator_destroy(iterator);
    table_close(table);
}

TEST(TableFile, WithNothingInItOpensAndVerifies)
{
    World world;
    Meta meta;
    world.build(1, {}, {}, &meta);
    table *table = world.open(meta);
    uint64_t bad_count = 1;
    uint64_t bytes = 1;
    EXPECT_EQ(POLARYS_OK, table_verify(table, &bad_count, nullptr));
    EXPECT_EQ(0u, bad_count);
    EXPECT_EQ(POLARYS_OK, table_range_bytes(table, slice("a"), slice("b"), &bytes, nullptr));
    EXPECT_EQ(0u, bytes);
    EXPECT_FALSE(get(table, "absent", VERSION_MAX).is_found);
    EXPECT_EQ(0u, table_range_delete_version(table, slice("a"), VERSION_MAX));
    table_close(table);
    table_close(nullptr);
}

Model numbered(uint64_t count)
{
    Model model;
    for (uint64_t i = 0; i < count; i++) {
        model[{number_key(i * 2), i + 1}] = {ENTRY_PUT, "value of " + std::to_string(i)};
    }
    return model;
}

TEST(TableFile, MemoryOnlyReadsNeverTouchTheFile)
{
    World world;
    Model model = numbered(2000);
    Meta meta;
    world.build(1, model, {}, &meta);
    table *table = world.open(meta);
    uint64_t operations = sim_disk_operation_count(world.disk);
    EXPECT_EQ(POLARYS_WOULD_BLOCK,
              get(table, number_key(100), VERSION_MAX, TABLE_READ_MEMORY_ONLY).code);
    entry_iterator *iterator = nullptr;
    ASSERT_EQ(POLARYS_OK, table_iterator_create(table, TABLE_READ_MEMORY_ONLY, &iterator, nullptr));
    entry_iterator_seek_first(iterator);
    EXPECT_FALSE(iterator->is_valid);
    EXPECT_EQ(POLARYS_WOULD_BLOCK, iterator->code);
    EXPECT_EQ(operations, sim_disk_operation_count(world.disk));

    EXPECT_TRUE(get(table, number_key(100), VERSION_MAX).is_found);
    EXPECT_GT(sim_disk_operation_count(world.disk), operations);
    operations = sim_disk_operation_count(world.disk);
    EXPECT_TRUE(get(table, number_key(100), VERSION_MAX, TABLE_READ_MEMORY_ONLY).is_found);
    entry_iterator_seek(iterator, slice(number_key(100)), VERSION_MAX);
    ASSERT_TRUE(iterator->is_valid) << iterator->error.message;
    while (iterator->is_valid) {
        entry_iterator_next(iterator);
    }
    EXPECT_EQ(POLARYS_WOULD_BLOCK, iterator->code) << "the next block is not in memory";
    EXPECT_EQ(operations, sim_disk_operation_count(world.disk));
    entry_iterator_destroy(iterator);
    table_close(table);
}

TEST(TableFile, NoFillLeavesTheCacheAlone)
{
    World world;
    Model model = numbered(2000);
    Meta meta;
    world.build(1, model, {}, &meta);
    table *table = world.open(meta);
    entry_iterator *iterator = nullptr;
    ASSERT_EQ(POLARYS_OK, table_iterator_create(table, TABLE_READ_NO_FILL | TABLE_READ_AHEAD,
                                                &iterator, nullptr));
    uint64_t operations = sim_disk_operation_count(world.disk);
    expect_walks(iterator, model);
    EXPECT_TRUE(get(table, number_key(0), VERSION_MAX, TABLE_READ_NO_FILL).is_found);
    block_cache_stats stats;
    block_cache_stats_get(world.cache, &stats);
    EXPECT_EQ(0u, stats.block_count);
    EXPECT_EQ(0u, stats.used);
    EXPECT_GT(sim_disk_operation_count(world.disk), operations);
    entry_iterator_destroy(iterator);
    table_close(table);
}

TEST(TableFile, ReadAheadTakesFewReads)
{
    World world;
    Model model = numbered(20000);
    Meta meta;
    world.build(1, model, {}, &meta, 1024, 0);
    table *table = world.open(meta);
    uint64_t reads[2];
    for (unsigned flags : {0u, unsigned{TABLE_READ_AHEAD}}) {
        entry_iterator *iterator = nullptr;
        ASSERT_EQ(POLARYS_OK,
                  table_iterator_create(table, flags | TABLE_READ_NO_FILL, &iterator, nullptr));
        uint64_t operations = sim_disk_operation_count(world.disk);
        size_t count = 0;
        for (entry_iterator_seek_first(iterator); iterator->is_valid;
             entry_iterator_next(iterator)) {
            count++;
        }
        EXPECT_EQ(model.size(), count);
        reads[flags != 0] = sim_disk_operation_count(world.disk) - operations;
        entry_iterator_destroy(iterator);
    }
    EXPECT_LT(reads[1] * 8, reads[0]);
    table_close(table);
}

TEST(TableFile, FiltersKeepMissesFromTheBlocks)
{
    World world(64 << 20);
    Model model = numbered(30000);
    Meta meta;
    world.build(1, model, {}, &meta, 4096);
    table *table = world.open(meta);
    for (const auto &[at, stored] : model) {
        ASSERT_TRUE(get(table, at.key, VERSION_MAX).is_found);
    }
    block_cache_stats before;
    block_cache_stats_get(world.cache, &before);
    constexpr uint64_t probes = 30000;
    for (uint64_t i = 0; i < probes; i++) {
        ASSERT_FALSE(get(table, number_key(i * 2 + 1), VERSION_MAX).is_found);
    }
    block_cache_stats after;
    block_cache_stats_get(world.cache, &after);
    // A miss takes one block, the filter; a false positive two more.
    uint64_t taken = after.hit_count - before.hit_count;
    double wrong = static_cast<double>(taken - probes + 1) / 2 / probes;
    EXPECT_LT(wrong, 0.015);
    EXPECT_GT(wrong, 0.002) << "a filter that is never wrong is not this filter";
    table_close(table);
}

TEST(TableFile, EstimatesTheBytesOfARange)
{
    World world;
    Model model = numbered(20000);
    Meta meta;
    world.build(1, model, {}, &meta, 1024, 0);
    table *table = world.open(meta);
    uint64_t all = 0;
    uint64_t half = 0;
    uint64_t none = 1;
    EXPECT_EQ(POLARYS_OK, table_range_bytes(table, slice("\1"), slice("\2"), &all, nullptr));
    EXPECT_EQ(POLARYS_OK, table_range_bytes(table, slice(number_key(10000)),
                                            slice(number_key(30000)), &half, nullptr));
    EXPECT_EQ(POLARYS_OK, table_range_bytes(table, slice("\2"), slice("\3"), &none, nullptr));
    EXPECT_NEAR(static_cast<double>(all), static_cast<double>(meta.file_bytes),
                0.1 * static_cast<double>(meta.file_bytes));
    EXPECT_NEAR(static_cast<double>(half), static_cast<double>(all) / 2,
                0.1 * static_cast<double>(all));
    EXPECT_EQ(0u, none);
    table_close(table);
}

TEST(TableFile, ReadsRightWithACacheTooSmallForAnything)
{
    World world(0);
    Model model = numbered(1000);
    Meta meta;
    world.build(1, model, {}, &meta);
    table *table = world.open(meta);
    for (const auto &[at, stored] : model) {
        ASSERT_NO_FATAL_FAILURE(expect_get(table, model, at.key, VERSION_MAX));
    }
    table_close(table);
}

TEST(TableFile, LeavesNoClearTextOnDisk)
{
    World world;
    Model model;
    model[{number_key(1), 1}] = {ENTRY_PUT, "a secret that nobody may read"};
    Meta meta;
    world.build(1, model, {}, &meta, 1024, 0);
    sim_disk_settle(world.disk);
    EXPECT_FALSE(sim_disk_find(world.disk, slice("secret that"), nullptr));
    EXPECT_FALSE(sim_disk_find(world.disk, slice("key0000"), nullptr));
}

TEST(TableFile, BuilderThatIsDestroyedEarlyLeavesNoFile)
{
    World world;
    table_builder_options options = {7, 1024, 1, false};
    table_builder *builder = nullptr;
    ASSERT_EQ(POLARYS_OK, table_builder_create(&world.env, &options, &builder, nullptr));
    std::string key = number_key(1);
    entry each = {slice(key), slice("v"), 1, ENTRY_PUT};
    ASSERT_EQ(POLARYS_OK, table_builder_add(builder, &each, nullptr));
    EXPECT_GT(table_builder_bytes(builder), 0u);
    table_builder_destroy(builder);
    table_builder_destroy(nullptr);
    bool exists = true;
    EXPECT_EQ(POLARYS_OK, vfs_exists(world.env.vfs, "/db/000000000007.sst", &exists, nullptr));
    EXPECT_FALSE(exists);
}

TEST(TableFile, BuilderRefusesANameThatIsTaken)
{
    World world;
    Meta meta;
    world.build(1, numbered(1), {}, &meta);
    Meta other;
    polarys_error err = {};
    EXPECT_EQ(POLARYS_IO, world.try_build(1, numbered(2), {}, &other, &err));
    table *table = world.open(meta);
    EXPECT_TRUE(get(table, number_key(0), VERSION_MAX).is_found) << "the old file is as it was";
    table_close(table);
}

TEST(TableFile, NamesAreOneToOneWithIds)
{
    char name[VFS_NAME_MAX];
    for (uint64_t id : {uint64_t{0}, uint64_t{1}, uint64_t{0xabcdef}, uint64_t{0xffffffffffff},
                        uint64_t{0x1000000000000}, UINT64_MAX}) {
        uint64_t parsed = id + 1;
        table_file_name(name, id);
        EXPECT_TRUE(table_file_name_parse(name, &parsed)) << name;
        EXPECT_EQ(id, parsed);
    }
    uint64_t id;
    for (const char *bad : {"", ".sst", "1.sst", "00000000000g.sst", "000000000001.ss",
                            "000000000001", "000000000001.sst.tmp", "00000000000A.sst",
                            "0000000000001.sst", "11111111111111111.sst"}) {
        EXPECT_FALSE(table_file_name_parse(bad, &id)) << bad;
    }
}

TEST(TableFile, OpensUnderARetiredKeyAndRefusesAnUnknownOne)
{
    World world;
    World other(1 << 20, 99);
    Meta meta;
    world.build(1, numbered(10), {}, &meta);
    table_env foreign = world.env;
    foreign.keyring = other.keyring;
    table *table = nullptr;
    polarys_error err = {};
    EXPECT_EQ(POLARYS_TAMPERED, table_open(&foreign, &meta, &table, &err)) << err.message;
    EXPECT_EQ(nullptr, table);
}

} // namespace
} // namespace sst_test
