/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Single faults under a salvage, of a good store and of damaged ones: the n-th call to the disk fails, a read shows a
 * flipped bit, the n-th allocation returns nothing. Whatever happens, the damaged directory stays as it was, nothing
 * comes back that was never written, and what does not come back is told: by its keys and versions, or by an error.
 */
#include <algorithm>
#include <set>

#include "engine/engine_salvage.h"
#include "tests/support/engine/workload.h"
#include "tests/support/fault_alloc.h"

using test_store::compact;
using test_store::contents;
using test_store::flush;
using test_store::oracle;
using test_store::put;
using test_store::remove_range;
using test_store::reopen;
using test_store::step;
using test_store::store;
using test_store::value_of;
using test_store::world;

namespace {

constexpr const char *source_dir = "/store";
constexpr const char *target_dir = "/saved";

/* Text that no compression makes small, so that a table file has several blocks. */
std::string noise(const std::string &key, size_t size)
{
    std::string text = "\"";
    uint64_t state = std::hash<std::string>()(key) | 1;
    while (text.size() < size) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        text += static_cast<char>('a' + (state >> 33) % 26);
    }
    return text + "\"";
}

step fill(const std::string &prefix, int count)
{
    auto key_of = [=](int i) { return prefix + std::to_string(100 + i); };
    return {[=](store &db) {
                test_store::batch b(db);
                polarys_code code = POLARYS_OK;
                for (int i = 0; i < count && code == POLARYS_OK; i++) {
                    code = b.put("t", key_of(i), noise(key_of(i), 700));
                }
                return code == POLARYS_OK ? b.commit() : code;
            },
            [=](contents &c) {
                for (int i = 0; i < count; i++) {
                    c[key_of(i)] = noise(key_of(i), 700);
                }
            }};
}

/* Documents in table files of two levels, and some in the log only. */
std::vector<step> workload()
{
    return {put("a", value_of("a")),
            put("doomed", value_of("doomed")),
            fill("many", 80),
            flush(),
            put("b", value_of("b")),
            remove_range("many110", "many115"),
            flush(),
            compact(),
            reopen(),
            put("c", value_of("c", 9000)),
            put("a", value_of("newer")),
            remove_range("doomed", "doomee"),
            flush(),
            put("only-in-log", value_of("log")),
            put("b", value_of("newest"))};
}

/* Nothing but log: the record of the table is in its second frame. */
std::vector<step> log_workload()
{
    return {put("a", value_of("a")),   fill("many", 20),
            put("b", value_of("b")),   remove_range("many110", "many115"),
            put("a", value_of("new")), put("last", value_of("last"))};
}

/* What the store held, whatever it ever held, and a disk with it. */
struct truth {
    contents now;
    contents salvaged; /* what comes back of it without a fault */
    std::map<std::string, uint64_t> versions;
    std::set<std::pair<std::string, std::string>> ever;
    sim_disk *disk = nullptr;

    truth() = default;
    truth(const truth &) = delete;
    truth &operator=(const truth &) = delete;
    ~truth()
    {
        sim_disk_destroy(disk);
    }
};

/* The process is killed at the end: the newest documents are in the log only. */
void make_store(truth &made, const std::vector<step> &steps)
{
    world w(11);
    store db(w);
    oracle expected;
    test_store::run(db, steps, expected);
    ASSERT_NE(nullptr, db.db) << db.error.message;
    ASSERT_EQ(expected.states.size() - 1, expected.durable) << db.error.message;
    made.now = expected.states.back();
    for (const contents &state : expected.states) {
        made.ever.insert(state.begin(), state.end());
    }
    for (const test_store::scanned &each : db.scan("t")) {
        made.versions[each.key] = each.version;
    }
    ASSERT_EQ(made.now.size(), made.versions.size());
    db.crash(SIM_CRASH_KEEP_ALL);
    made.disk = sim_disk_clone(w.disk, 12);
}

using image = std::map<std::string, std::string>;

struct imaging {
    const sim_disk *disk;
    image files;
};

void image_add(void *context, const char *path, uint64_t size)
{
    auto *made = static_cast<imaging *>(context);
    size_t read = 0;
    std::string bytes(size, '\0');
    if (std::string(path).rfind(source_dir, 0) == 0) {
        EXPECT_TRUE(sim_disk_file_read(made->disk, path, 0, bytes.data(), size, &read));
        made->files[path] = bytes;
    }
}

image source_image(const sim_disk *disk)
{
    imaging made{disk, {}};
    sim_disk_list(disk, image_add, &made);
    EXPECT_FALSE(made.files.empty());
    return made.files;
}

/* ---- losses ---- */

struct loss {
    bool is_harmless;
    bool is_everywhere;
    std::string table;
    std::string start;
    std::string end;
    uint64_t first_version;
    uint64_t last_version;
    std::string text;

    bool covers(const std::string &key) const
    {
        return !is_harmless && (is_everywhere || (start <= key && (end.empty() || key <= end)));
    }
};

void loss_add(void *context, const polarys_salvage_loss *told)
{
    auto *losses = static_cast<std::vector<loss> *>(context);
    EXPECT_NE(nullptr, told->file);
    EXPECT_NE(0U, std::string(told->cause).size());
    EXPECT_TRUE(told->is_harmless || told->first_version <= told->last_version) << told->cause;
    losses->push_back({told->is_harmless, told->table == nullptr,
                       told->table == nullptr ? "" : told->table, test_store::text_of(told->start),
                       test_store::text_of(told->end), told->first_version, told->last_version,
                       std::string(polarys_salvage_kind_name(told->kind)) + " " + told->file +
                           ": " + told->cause});
}

struct outcome {
    polarys_code code = POLARYS_OK;
    polarys_error error{};
    polarys_salvage_result result{};
    std::vector<loss> losses;

    std::string describe() const
    {
        std::string text = "outcome " + std::to_string(result.outcome) + " " + error.message;
        for (const loss &each : losses) {
            text += "\n  " + each.text + (each.is_harmless ? " (harmless)" : "");
        }
        return text;
    }
};

outcome salvage(sim_disk *disk)
{
    outcome done;
    polarys_error_clear(&done.error);
    polarys_salvage_options options{};
    options.master_key_file = "/master.key";
    options.loss = loss_add;
    options.context = &done.losses;
    options.vfs = sim_disk_vfs(disk);
    done.code = polarys_salvage(source_dir, target_dir, &options, &done.result, &done.error);
    return done;
}

/* ---- what came back ---- */

bool table_note(void *context, const polarys_table_info *info)
{
    static_cast<std::vector<std::string> *>(context)->push_back(info->table);
    return true;
}

/* The documents of the only table of the new store; nothing when it does not open. */
std::optional<contents> came_back(sim_disk *disk)
{
    world w(13, sim_disk_clone(disk, 13));
    sim_disk_settle(w.disk);
    store db(w);
    db.dir = target_dir;
    db.options.create_if_missing = false;
    if (db.open() != POLARYS_OK) {
        return std::nullopt;
    }
    std::vector<std::string> tables;
    EXPECT_EQ(POLARYS_OK, polarys_table_list(db.db, nullptr, table_note, &tables, &db.error));
    EXPECT_GE(1U, tables.size());
    return tables.empty() ? contents() : db.contents(tables[0]);
}

bool is_told(const outcome &done, const std::string &key, uint64_t version)
{
    return std::any_of(done.losses.begin(), done.losses.end(), [&](const loss &each) {
        return each.covers(key) &&
               (version == 0 || (each.first_version <= version && version <= each.last_version));
    });
}

/* Every key that is not as it was lies in a place that was told. */
void check_told(const truth &right, const outcome &done, const contents &found)
{
    for (const auto &[key, value] : right.now) {
        auto at = found.find(key);
        if (at == found.end() || at->second != value) {
            EXPECT_TRUE(is_told(done, key, right.versions.at(key)))
                << key << " is missing; " << done.describe();
        }
    }
    for (const auto &[key, value] : found) {
        EXPECT_EQ(1U, right.ever.count({key, value})) << key << " was never written";
        if (right.now.count(key) == 0) {
            EXPECT_TRUE(is_told(done, key, 0)) << key << " is back; " << done.describe();
        }
    }
}

void check(const truth &right, const outcome &done, sim_disk *disk, const image &before)
{
    sim_disk_settle(disk);
    EXPECT_EQ(before, source_image(disk)) << "the damaged store was written into";
    std::optional<contents> found = came_back(disk);
    if (done.code != POLARYS_OK) {
        bool is_keyring =
            std::string(done.error.message).find("without the keyring") != std::string::npos;
        EXPECT_EQ(is_keyring ? POLARYS_SALVAGE_NONE : POLARYS_SALVAGE_UNFINISHED,
                  done.result.outcome)
            << done.describe();
        EXPECT_NE('\0', done.error.message[0]);
        /* Only its first open may have failed. */
        EXPECT_TRUE(!found || *found == right.salvaged)
            << "an unfinished store can be opened; " << done.describe();
        return;
    }
    ASSERT_TRUE(found) << done.describe();
    EXPECT_EQ(done.result.document_count, found->size());
    check_told(right, done, *found);
    if (done.result.outcome == POLARYS_SALVAGE_WHOLE) {
        EXPECT_EQ(right.now, *found) << done.describe();
        EXPECT_EQ(0U, done.result.loss_count);
    }
}

/* ---- the loops ---- */

/* Without a fault. */
void salvage_once(truth &right, bool is_all_back, const image &before)
{
    sim_disk *disk = sim_disk_clone(right.disk, 14);
    outcome done = salvage(disk);
    EXPECT_EQ(POLARYS_OK, done.code) << done.error.message;
    check(right, done, disk, before);
    std::optional<contents> found = came_back(disk);
    sim_disk_destroy(disk);
    ASSERT_TRUE(found);
    right.salvaged = *found;
    EXPECT_EQ(is_all_back, right.now == right.salvaged)
        << found->size() << " of " << right.now.size() << " documents came back";
}

struct damage {
    std::vector<step> steps;
    bool is_all_back; /* although there is damage, nothing is missing */
    std::function<void(sim_disk *)> act;
};

struct faulted {
    std::function<void(sim_disk *, uint64_t)> arm;
    std::function<uint64_t(sim_disk *)> disarm; /* gives how often it has shown */
};

void salvage_everywhere(const damage &harm, const faulted &fault)
{
    truth right;
    uint64_t points = 0;
    uint64_t failed = 0;
    polarys_log_level_set(POLARYS_LOG_OFF);
    ASSERT_NO_FATAL_FAILURE(make_store(right, harm.steps));
    ASSERT_NO_FATAL_FAILURE(harm.act(right.disk));
    image before = source_image(right.disk);
    ASSERT_NO_FATAL_FAILURE(salvage_once(right, harm.is_all_back, before));
    for (uint64_t at = 1;; at++) {
        SCOPED_TRACE("fault " + std::to_string(at));
        sim_disk *disk = sim_disk_clone(right.disk, at);
        fault.arm(disk, at);
        outcome done = salvage(disk);
        uint64_t shown = fault.disarm(disk);
        check(right, done, disk, before);
        sim_disk_destroy(disk);
        points++;
        failed += done.code != POLARYS_OK;
        if (shown == 0) {
            EXPECT_EQ(POLARYS_OK, done.code) << done.error.message;
            break;
        }
        if (::testing::Test::HasFailure()) {
            break;
        }
    }
    polarys_log_level_set(POLARYS_LOG_INFO);
    std::cout << "fault points: " << points << ", of which ended it: " << failed << "\n";
}

faulted once(sim_fault_kind kind)
{
    return {[kind](sim_disk *disk, uint64_t at) { sim_disk_fail_at(disk, at, kind); },
            [kind](sim_disk *disk) {
                uint64_t shown = sim_disk_fault_count(disk);
                sim_disk_fail_at(disk, 0, kind);
                return shown;
            }};
}

faulted from_then_on(sim_fault_kind kind)
{
    faulted made = once(kind);
    made.arm = [kind](sim_disk *disk, uint64_t at) { sim_disk_fail_from(disk, at, kind); };
    return made;
}

faulted allocation()
{
    return {[](sim_disk *, uint64_t at) { fault_alloc_fail_at(at); },
            [](sim_disk *) { return fault_alloc_disarm(); }};
}

const damage no_damage = {workload(), true, [](sim_disk *) {}};

/* The largest file with this in its name. */
std::string largest_file(const sim_disk *disk, const std::string &part)
{
    std::string found;
    size_t size = 0;
    for (const auto &[path, bytes] : source_image(disk)) {
        if (path.find(part) != std::string::npos && bytes.size() >= size) {
            found = path;
            size = bytes.size();
        }
    }
    EXPECT_FALSE(found.empty()) << part;
    return found;
}

damage flipped(const std::vector<step> &steps, bool is_all_back, const std::string &part,
               uint64_t offset)
{
    return {steps, is_all_back, [=](sim_disk *disk) {
                std::string path = largest_file(disk, part);
                ASSERT_TRUE(sim_disk_file_flip(disk, path.c_str(), offset, 0x10));
            }};
}

/* A data block of the last level's file; the log that could have filled in what it held is gone. */
const damage bad_table = {workload(), false, [](sim_disk *disk) {
                              std::string path = largest_file(disk, ".sst");
                              ASSERT_TRUE(sim_disk_file_flip(disk, path.c_str(), 12000, 0x10));
                              for (const auto &[name, bytes] : source_image(disk)) {
                                  if (name.find(".wal") != std::string::npos) {
                                      ASSERT_TRUE(sim_disk_file_remove(disk, name.c_str()));
                                      break;
                                  }
                              }
                          }};
/* The frame with the record of the table, so that the documents behind it have no name. */
const damage bad_log = flipped(log_workload(), true, ".wal", 4096 + 70);
const damage bad_log_middle = flipped(log_workload(), false, ".wal", 3 * 4096 + 70);

const damage no_manifest = {
    workload(), true, [](sim_disk *disk) {
        ASSERT_TRUE(sim_disk_file_remove(disk, largest_file(disk, "CURRENT").c_str()));
        for (const auto &[path, bytes] : source_image(disk)) {
            if (path.find("MANIFEST") != std::string::npos) {
                ASSERT_TRUE(sim_disk_file_resize(disk, path.c_str(), 20));
            }
        }
    }};

} // namespace

TEST(SalvageFault, SurvivesOneFailedCall)
{
    salvage_everywhere(no_damage, once(SIM_FAULT_EIO));
}

TEST(SalvageFault, SurvivesADiskThatFailsForGood)
{
    salvage_everywhere(no_damage, from_then_on(SIM_FAULT_EIO));
}

TEST(SalvageFault, SurvivesAFullDisk)
{
    salvage_everywhere(no_damage, from_then_on(SIM_FAULT_ENOSPC));
}

TEST(SalvageFault, SurvivesAMomentWithoutSpace)
{
    salvage_everywhere(no_damage, once(SIM_FAULT_ENOSPC));
}

TEST(SalvageFault, SurvivesAFailedSync)
{
    salvage_everywhere(no_damage, once(SIM_FAULT_SYNC));
}

TEST(SalvageFault, NeverTakesAFlippedBit)
{
    salvage_everywhere(no_damage, once(SIM_FAULT_BIT_FLIP));
}

TEST(SalvageFault, SurvivesEveryFailedAllocation)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    salvage_everywhere(no_damage, allocation());
}

TEST(SalvageFault, TellsWhatASecondFaultAddsToADamagedTable)
{
    salvage_everywhere(bad_table, once(SIM_FAULT_EIO));
    salvage_everywhere(bad_table, once(SIM_FAULT_BIT_FLIP));
}

TEST(SalvageFault, TellsWhatASecondFaultAddsToADamagedLog)
{
    salvage_everywhere(bad_log, once(SIM_FAULT_EIO));
    salvage_everywhere(bad_log_middle, once(SIM_FAULT_BIT_FLIP));
}

TEST(SalvageFault, TellsWhatASecondFaultAddsToALostManifest)
{
    salvage_everywhere(no_manifest, once(SIM_FAULT_EIO));
    salvage_everywhere(no_manifest, allocation());
}
