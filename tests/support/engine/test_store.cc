/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out what test_store.h promises.
 */
#include "tests/support/engine/test_store.h"

#include <gtest/gtest.h>

namespace test_store {

namespace {

const char master_key_path[] = "/master.key";

/* Written once to a fresh disk, durably. */
void write_master_key(sim_disk *disk)
{
    struct vfs *vfs = sim_disk_vfs(disk);
    bool exists = false;
    ASSERT_EQ(POLARYS_OK, vfs_exists(vfs, master_key_path, &exists, nullptr));
    if (exists) {
        return;
    }
    const std::string text(64, '7');
    polarys_error error;
    polarys_error_clear(&error);
    ASSERT_EQ(POLARYS_OK, vfs_replace_file(vfs, "/", "master.key", bytes_of(text), &error))
        << error.message;
}

} // namespace

world::world(uint64_t seed) : world(seed, sim_disk_create(seed))
{
}

world::world(uint64_t seed, sim_disk *take_disk) : disk(take_disk)
{
    sim_clock_init(&clock);
    sim_random_init(&random, seed * 31 + 7);
    executor = sim_executor_create(seed, &clock);
    write_master_key(disk);
}

world::~world()
{
    sim_executor_destroy(executor);
    sim_disk_destroy(disk);
}

polarys_db_options world::options()
{
    polarys_db_options options;
    polarys_db_options_init(&options);
    options.master_key_file = master_key_path;
    options.memory_limit = 16 << 20;
    options.memtable_bytes = 1 << 20;
    options.wal_segment_bytes = 1 << 20;
    options.disk_reserve_bytes = 0;
    options.vfs = vfs();
    options.clock = &clock.base;
    options.random = &random.base;
    options.executor = sim_executor_base(executor);
    return options;
}

uint64_t world::now_ms()
{
    return clock_wall_ms(&clock.base);
}

void world::pass_ms(uint64_t duration_ms)
{
    sim_executor_run_for(executor, duration_ms * 1000000);
}

store::store(world &owner) : store(owner, owner.options())
{
}

store::store(world &owner, const polarys_db_options &given) : surroundings(owner), options(given)
{
    polarys_error_clear(&error);
}

store::~store()
{
    if (db != nullptr) {
        (void)close();
    }
}

polarys_code store::open()
{
    polarys_error_clear(&error);
    return polarys_db_open(dir.c_str(), &options, &db, &error);
}

polarys_code store::close(uint32_t timeout_ms)
{
    polarys_error_clear(&error);
    polarys_code code = polarys_db_close(db, timeout_ms, &error);
    db = nullptr;
    return code;
}

void store::crash(sim_crash_policy policy)
{
    /* From the next call on the disk is dead, so closing writes nothing. */
    polarys_log_level before = polarys_log_level_get();
    polarys_log_level_set(POLARYS_LOG_OFF); /* what fails now is meant to */
    sim_disk_crash_at(surroundings.disk, 1);
    (void)close();
    polarys_log_level_set(before);
    sim_disk_crash(surroundings.disk, policy);
}

polarys_code store::create_table(const std::string &table)
{
    return polarys_table_create(db, nullptr, table.c_str(), nullptr, &result, &error);
}

polarys_code store::put(const std::string &table, const std::string &key,
                        const polarys_value &value, const polarys_write_options *write)
{
    return polarys_db_put(db, nullptr, table.c_str(), bytes_of(key), &value, write, &result,
                          &error);
}

polarys_code store::put(const std::string &table, const std::string &key, const std::string &json)
{
    return put(table, key, json_of(json));
}

polarys_code store::remove(const std::string &table, const std::string &key)
{
    return polarys_db_delete(db, nullptr, table.c_str(), bytes_of(key), nullptr, &result, &error);
}

std::optional<std::string> store::get(const std::string &table, const std::string &key,
                                      uint64_t version)
{
    polarys_document document{};
    polarys_read_options read{version, 0};
    polarys_code code =
        polarys_db_get(db, nullptr, table.c_str(), bytes_of(key), &read, &document, &error);
    if (code != POLARYS_OK) {
        EXPECT_EQ(POLARYS_KEY_NOT_FOUND, code) << error.message;
        return std::nullopt;
    }
    std::string value = text_of(document.value.bytes);
    polarys_document_release(&document);
    return value;
}

polarys_code store::get_code(const std::string &table, const std::string &key, uint64_t version,
                             unsigned flags)
{
    polarys_document document{};
    polarys_read_options read{version, flags};
    polarys_code code =
        polarys_db_get(db, nullptr, table.c_str(), bytes_of(key), &read, &document, &error);
    polarys_document_release(&document);
    return code;
}

std::vector<scanned> store::scan(polarys_scan_options scan_options)
{
    std::vector<scanned> found;
    polarys_scan *scan = nullptr;
    polarys_code code = polarys_scan_open(db, &scan_options, &scan, &error);
    EXPECT_EQ(POLARYS_OK, code) << error.message;
    bool has_document = code == POLARYS_OK;
    while (has_document) {
        polarys_document document{};
        code = polarys_scan_next(scan, &has_document, &document, &error);
        EXPECT_EQ(POLARYS_OK, code) << error.message;
        has_document = has_document && code == POLARYS_OK;
        if (has_document) {
            found.push_back(
                {text_of(document.key), text_of(document.value.bytes), document.version});
        }
    }
    polarys_scan_close(scan);
    return found;
}

std::vector<scanned> store::scan(const std::string &table)
{
    polarys_scan_options scan_options{};
    scan_options.table = table.c_str();
    return scan(scan_options);
}

std::map<std::string, std::string> store::contents(const std::string &table, uint64_t version)
{
    std::map<std::string, std::string> found;
    polarys_scan_options scan_options{};
    scan_options.table = table.c_str();
    scan_options.version = version;
    for (const scanned &each : scan(scan_options)) {
        found[each.key] = each.value;
    }
    return found;
}

polarys_db_status store::status()
{
    polarys_db_status now;
    EXPECT_EQ(POLARYS_OK, polarys_db_status_get(db, &now, &error)) << error.message;
    return now;
}

batch::batch(store &given, const char *database) : owner(given)
{
    polarys_error_clear(&error);
    polarys_code code = polarys_batch_create(owner.db, database, &handle, &error);
    EXPECT_TRUE(code == POLARYS_OK || code == POLARYS_NO_MEMORY) << error.message;
}

batch::~batch()
{
    polarys_batch_destroy(handle);
}

polarys_code batch::put(const std::string &table, const std::string &key,
                        const polarys_value &value)
{
    return handle == nullptr
               ? POLARYS_NO_MEMORY
               : polarys_batch_put(handle, table.c_str(), bytes_of(key), &value, &error);
}

polarys_code batch::put(const std::string &table, const std::string &key, const std::string &json)
{
    return put(table, key, json_of(json));
}

polarys_code batch::remove(const std::string &table, const std::string &key, bool must_look)
{
    return handle == nullptr
               ? POLARYS_NO_MEMORY
               : polarys_batch_delete(handle, table.c_str(), bytes_of(key), must_look, &error);
}

polarys_code batch::update(const std::string &table, const std::string &key,
                           const std::string &patch, uint64_t expires_at_ms)
{
    return handle == nullptr ? POLARYS_NO_MEMORY
                             : polarys_batch_update(handle, table.c_str(), bytes_of(key),
                                                    bytes_of(patch), expires_at_ms, &error);
}

polarys_code batch::remove_range(const std::string &table, const std::string &start,
                                 const std::string &end)
{
    return handle == nullptr ? POLARYS_NO_MEMORY
                             : polarys_batch_delete_range(handle, table.c_str(), bytes_of(start),
                                                          bytes_of(end), &error);
}

polarys_code batch::require(const std::string &table, const std::string &key,
                            const polarys_precondition &precondition)
{
    return handle == nullptr
               ? POLARYS_NO_MEMORY
               : polarys_batch_require(handle, table.c_str(), bytes_of(key), &precondition, &error);
}

polarys_code batch::commit(const polarys_write_options *write)
{
    return handle == nullptr ? POLARYS_NO_MEMORY
                             : polarys_batch_commit(handle, write, &result, &error);
}

polarys_code batch::reset()
{
    return handle == nullptr ? POLARYS_NO_MEMORY : polarys_batch_reset(handle, nullptr, &error);
}

} // namespace test_store
