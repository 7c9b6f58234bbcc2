// SPDX-License-Identifier: Apache-2.0
// Table files that someone changed: flipped, cut, grown, swapped, replayed. Each change is detected, the
// error names file and offset, and nothing wrong is ever served.
#include <set>

#include "tests/unit/sst/table_fixture.h"

namespace sst_test {
namespace {

const char path_1[] = "/db/000000000001.sst";
const char path_2[] = "/db/000000000002.sst";

Model numbered(uint64_t count, const char *text)
{
    Model model;
    for (uint64_t i = 0; i < count; i++) {
        model[{number_key(i), i + 1}] = {ENTRY_PUT, text + std::to_string(i)};
    }
    return model;
}

const std::vector<Range> ranges = {{"a", "b", 3}, {"b", "c", 4}};

bool is_damage(polarys_code code)
{
    return code == POLARYS_CORRUPT || code == POLARYS_TAMPERED ||
           code == POLARYS_UNSUPPORTED_FORMAT;
}

struct Damage {
    bool at_open = false;
    uint64_t errors = 0;
    std::set<uint64_t> offsets; // that errors named
};

void note_error(const polarys_error &err, Damage *damage)
{
    EXPECT_TRUE(is_damage(err.code)) << polarys_code_name(err.code) << ": " << err.message;
    EXPECT_NE(nullptr, strstr(err.message, ".sst")) << err.message;
    if (err.code != POLARYS_UNSUPPORTED_FORMAT) {
        const char *file = polarys_error_detail_find(&err, "file");
        const char *offset = polarys_error_detail_find(&err, "offset");
        ASSERT_NE(nullptr, file) << err.message;
        ASSERT_NE(nullptr, offset) << err.message;
        EXPECT_NE(nullptr, strstr(file, ".sst"));
        damage->offsets.insert(strtoull(offset, nullptr, 10));
    }
    damage->errors++;
}

// Reads everything by point reads and by a walk: what is served is right, what is not is an error.
Damage read_everything(World &world, const table_meta &meta, const Model &model)
{
    Damage damage;
    block_cache_forget_file(world.cache, meta.file_id);
    table *table = nullptr;
    polarys_error err = {};
    if (table_open(&world.env, &meta, &table, &err) != POLARYS_OK) {
        EXPECT_EQ(nullptr, table);
        note_error(err, &damage);
        damage.at_open = true;
        return damage;
    }
    for (const auto &[at, stored] : model) {
        Got got = get(table, at.key, VERSION_MAX);
        if (got.code != POLARYS_OK) {
            note_error(got.err, &damage);
            continue;
        }
        EXPECT_TRUE(got.is_found);
        EXPECT_EQ(stored.value, got.value);
    }
    for (const Range &range : ranges) {
        EXPECT_EQ(range.version,
                  table_range_delete_version(table, slice(range.start), VERSION_MAX));
    }
    entry_iterator *iterator = nullptr;
    EXPECT_EQ(POLARYS_OK, table_iterator_create(table, TABLE_READ_NO_FILL, &iterator, nullptr));
    auto at = model.begin();
    for (entry_iterator_seek_first(iterator); iterator->is_valid; entry_iterator_next(iterator)) {
        EXPECT_EQ(at->first.key, text_of(iterator->entry.key));
        EXPECT_EQ(at->second.value, text_of(iterator->entry.value));
        ++at;
    }
    if (iterator->code != POLARYS_OK) {
        note_error(iterator->error, &damage);
    } else {
        EXPECT_EQ(model.end(), at) << "a walk never ends early in silence";
    }
    entry_iterator_destroy(iterator);
    uint64_t bad_count = 0;
    EXPECT_EQ(POLARYS_OK, table_verify(table, &bad_count, &err)) << err.message;
    damage.errors += bad_count;
    table_close(table);
    return damage;
}

class TableTamper : public ::testing::Test {
  protected:
    void SetUp() override
    {
        model = numbered(300, "the value of ");
        world.build(1, model, ranges, &meta);
        sim_disk_settle(world.disk);
        ASSERT_TRUE(sim_disk_file_copy(world.disk, path_1, "/db/original"));
        ASSERT_EQ(0u, read_everything(world, meta, model).errors);
    }

    void restore()
    {
        ASSERT_TRUE(sim_disk_file_copy(world.disk, "/db/original", path_1));
    }

    World world;
    Model model;
    Meta meta;
};

TEST_F(TableTamper, AnyByteFlippedIsDetected)
{
    for (uint64_t at = 0; at < meta.file_bytes; at++) {
        ASSERT_TRUE(sim_disk_file_flip(world.disk, path_1, at, static_cast<uint8_t>(1 << at % 8)));
        Damage damage = read_everything(world, meta, model);
        ASSERT_GT(damage.errors, 0u) << "byte " << at;
        for (uint64_t offset : damage.offsets) {
            ASSERT_LE(offset, at) << "the damage is in or after the block that is named";
        }
        ASSERT_TRUE(sim_disk_file_flip(world.disk, path_1, at, static_cast<uint8_t>(1 << at % 8)));
    }
    EXPECT_EQ(0u, read_everything(world, meta, model).errors);
}

TEST_F(TableTamper, AnyCutOrGrowthIsDetected)
{
    for (uint64_t size = 0; size < meta.file_bytes + 40;
         size += size < meta.file_bytes - 40 ? 97 : 1) {
        if (size == meta.file_bytes) {
            continue;
        }
        ASSERT_TRUE(sim_disk_file_resize(world.disk, path_1, size));
        Damage damage = read_everything(world, meta, model);
        EXPECT_TRUE(damage.at_open) << size;
        restore();
    }
}

TEST_F(TableTamper, AnotherFileUnderTheNameIsDetected)
{
    Meta other;
    world.build(2, numbered(300, "another value "), ranges, &other);
    sim_disk_settle(world.disk);
    ASSERT_TRUE(sim_disk_file_copy(world.disk, path_2, path_1));
    polarys_error err = {};
    table *table = nullptr;
    // Even a meta that names the other file's size and tag does not make it this one.
    Meta forged;
    ASSERT_EQ(POLARYS_OK, table_meta_copy(&forged, &other));
    forged.file_id = 1;
    EXPECT_EQ(POLARYS_TAMPERED, table_open(&world.env, &forged, &table, &err)) << err.message;
    EXPECT_TRUE(read_everything(world, meta, model).at_open);
}

TEST_F(TableTamper, AnOlderFileOfTheSameIdIsDetected)
{
    // The same content under the same id, built again: other salt, other tags.
    ASSERT_EQ(POLARYS_OK, vfs_remove(world.env.vfs, path_1, nullptr));
    Meta newer;
    world.build(1, model, ranges, &newer);
    sim_disk_settle(world.disk);
    ASSERT_EQ(0u, read_everything(world, newer, model).errors);
    restore();
    ASSERT_EQ(meta.file_bytes, newer.file_bytes);
    polarys_error err = {};
    table *table = nullptr;
    EXPECT_EQ(POLARYS_TAMPERED, table_open(&world.env, &newer, &table, &err)) << err.message;
}

TEST_F(TableTamper, BlocksThatTradedPlacesAreDetected)
{
    // Whatever two pieces trade places: within the file, and from a twin of equal layout.
    Meta twin;
    world.build(2, model, ranges, &twin);
    sim_disk_settle(world.disk);
    ASSERT_EQ(meta.file_bytes, twin.file_bytes);
    constexpr size_t piece = 256;
    uint8_t bytes[piece];
    size_t read_size;
    for (uint64_t at = TABLE_RESTART_INTERVAL * 8; at + 2 * piece < meta.file_bytes; at += piece) {
        for (const char *from : {path_1, path_2}) {
            uint64_t source = from == path_1 ? at + piece : at;
            ASSERT_TRUE(sim_disk_file_read(world.disk, from, source, bytes, piece, &read_size));
            ASSERT_TRUE(sim_disk_file_write(world.disk, path_1, at, bytes, piece));
            EXPECT_GT(read_everything(world, meta, model).errors, 0u) << at;
            restore();
        }
    }
}

TEST_F(TableTamper, AForeignHeaderIsDetected)
{
    Meta twin;
    world.build(2, model, ranges, &twin);
    sim_disk_settle(world.disk);
    uint8_t header[128];
    size_t read_size;
    ASSERT_TRUE(sim_disk_file_read(world.disk, path_2, 0, header, sizeof(header), &read_size));
    ASSERT_TRUE(sim_disk_file_write(world.disk, path_1, 0, header, sizeof(header)));
    EXPECT_TRUE(read_everything(world, meta, model).at_open);
}

TEST_F(TableTamper, AWrongTagInTheManifestIsRefused)
{
    for (size_t i = 0; i < AEAD_TAG_SIZE; i++) {
        meta.footer_tag[i] ^= 1;
        polarys_error err = {};
        table *table = nullptr;
        EXPECT_EQ(POLARYS_TAMPERED, table_open(&world.env, &meta, &table, &err));
        EXPECT_STREQ("000000000001.sst", polarys_error_detail_find(&err, "file"));
        meta.footer_tag[i] ^= 1;
    }
}

TEST_F(TableTamper, VerifyCountsEachBadBlockOnce)
{
    table *table = world.open(meta);
    uint64_t bad_count = 0;
    ASSERT_EQ(POLARYS_OK, table_verify(table, &bad_count, nullptr));
    EXPECT_EQ(0u, bad_count);
    // Data blocks come first, after the header of 128 bytes.
    ASSERT_TRUE(sim_disk_file_flip(world.disk, path_1, 128, 1));
    ASSERT_EQ(POLARYS_OK, table_verify(table, &bad_count, nullptr));
    EXPECT_EQ(1u, bad_count);
    ASSERT_TRUE(sim_disk_file_flip(world.disk, path_1, 129, 1));
    ASSERT_EQ(POLARYS_OK, table_verify(table, &bad_count, nullptr));
    EXPECT_EQ(1u, bad_count);
    table_close(table);
}

TEST_F(TableTamper, AMissingFileIsNamed)
{
    ASSERT_TRUE(sim_disk_file_remove(world.disk, path_1));
    polarys_error err = {};
    table *table = nullptr;
    EXPECT_EQ(POLARYS_FILE_NOT_FOUND, table_open(&world.env, &meta, &table, &err));
    EXPECT_NE(nullptr, strstr(err.message, "000000000001.sst")) << err.message;
}

} // namespace
} // namespace sst_test
