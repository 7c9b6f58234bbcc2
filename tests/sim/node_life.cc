/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node of the simulated group: how it starts, stops and dies, and what its clients ask of it.
 */
#include <cstring>

#include "engine/engine_replica.h"
#include "service/replication/group.h"
#include "tests/sim/node.h"
#include "tests/sim/oracle.h"
#include "tests/support/engine/test_store.h"

namespace group_sim {

namespace {

constexpr char table[] = "t";
constexpr char key_path[] = "/master.key";
constexpr uint64_t quorum_wait = 300 * ms;
constexpr uint64_t tick_every = 10 * ms;

} // namespace

node::node(world &surroundings, int number)
    : w(surroundings), id(number), name("n" + std::to_string(number)),
      disk(sim_disk_create(surroundings.seed * 16 + static_cast<uint64_t>(number))),
      settings(std::make_unique<config>())
{
    sim_random_init(&random, w.seed * 31 + static_cast<uint64_t>(number));
    executor = sim_executor_create(w.seed + static_cast<uint64_t>(number), &w.clock);
    config_init(settings.get());
    snprintf(settings->node_name, sizeof(settings->node_name), "%s", name.c_str());
    polarys_error_clear(&err);
    const std::string key(64, '7');
    if (vfs_replace_file(sim_disk_vfs(disk), "/", "master.key", slice_of(key), &err) !=
        POLARYS_OK) {
        w.fail("no master key: " + std::string(err.message));
    }
}

node::~node()
{
    stop(false);
    sim_executor_destroy(executor);
    sim_disk_destroy(disk);
}

void node::failed(const char *what, polarys_code code)
{
    if (!sim_disk_is_dead(disk)) {
        w.fail(name + " can't " + what + ": " + polarys_code_name(code) + ": " + err.message);
    }
}

polarys_db_options node::options()
{
    polarys_db_options options;
    polarys_db_options_init(&options);
    options.master_key_file = key_path;
    options.memory_limit = 16 << 20;
    options.memtable_bytes = 1 << 20;
    options.wal_segment_bytes = 1 << 20;
    options.wal_keep_bytes = w.seed % 3 == 0 ? 0 : 64 << 20;
    options.slot_bytes_max = w.seed % 6 == 0 ? 1 << 20 : UINT64_C(1) << 30;
    options.disk_reserve_bytes = 0;
    options.vfs = sim_disk_vfs(disk);
    options.clock = &w.clock.base;
    options.random = &random.base;
    options.executor = sim_executor_base(executor);
    options.log_role = POLARYS_LOG_ROLE_INLINE;
    options.is_follower = role.kind == 'f';
    return options;
}

/* ---- the file `role`: replaced as a whole, as the product does ---- */

bool node::role_write()
{
    std::string text(1, role.kind);
    for (uint64_t number :
         {role.dir, role.next_dir, static_cast<uint64_t>(role.follows), role.term}) {
        text += " " + std::to_string(number);
    }
    polarys_code code = vfs_replace_file(sim_disk_vfs(disk), "/", "role", slice_of(text), &err);
    if (code != POLARYS_OK) {
        failed("write its role", code);
    }
    return code == POLARYS_OK;
}

void node::role_read()
{
    std::string text = file_read("/role");
    unsigned long long numbers[4] = {};
    role.kind = 'f';
    if (sscanf(text.c_str(), "%c %llu %llu %llu %llu", &role.kind, &numbers[0], &numbers[1],
               &numbers[2], &numbers[3]) != 5) {
        w.fail(name + " has no role");
    }
    role.dir = numbers[0];
    role.next_dir = numbers[1];
    role.follows = static_cast<int>(numbers[2]);
    role.term = numbers[3];
}

std::string node::file_read(const std::string &path)
{
    vfs_file *file = nullptr;
    uint64_t size = 0;
    std::string bytes;
    if (vfs_open(sim_disk_vfs(disk), path.c_str(), VFS_READ, &file, nullptr) != POLARYS_OK) {
        return bytes;
    }
    size_t read_size = 0;
    if (vfs_file_size(file, &size, nullptr) == POLARYS_OK) {
        bytes.resize(size);
        if (vfs_read_at(file, 0, &bytes[0], size, &read_size, nullptr) != POLARYS_OK) {
            read_size = 0;
        }
    }
    bytes.resize(read_size);
    vfs_close(file, nullptr);
    return bytes;
}

/* ---- life ---- */

void node::make_first()
{
    role.kind = 'p';
    role.dir = 1;
    role.next_dir = 2;
    polarys_members first = {};
    if (!role_write() || !db_open()) {
        return;
    }
    polarys_code code = polarys_table_create(db, nullptr, table, nullptr, nullptr, &err);
    if (code == POLARYS_OK) {
        code = polarys_members_get(db, &first, &err);
    }
    for (int i = 0; i < node_count; i++) {
        polarys_member &member = first.list[first.count++];
        member = {};
        snprintf(member.name, sizeof(member.name), "n%d", i);
        snprintf(member.address, sizeof(member.address), "n:%d", i);
    }
    if (code == POLARYS_OK) {
        code = polarys_members_put(db, &first, &err);
    }
    if (code != POLARYS_OK) {
        failed("be made", code);
    }
    stop(false);
}

void node::make_other()
{
    (void)role_write();
}

bool node::db_open()
{
    polarys_db_options chosen = options();
    polarys_code code = polarys_db_open(dir().c_str(), &chosen, &db, &err);
    if (code == POLARYS_OK) {
        code = group_create(db, &counting, &err);
    }
    members_options wanted = {};
    wanted.config = settings.get();
    wanted.db = db;
    wanted.group = counting;
    if (code == POLARYS_OK) {
        code = members_create(&wanted, &list, &err);
    }
    if (code == POLARYS_OK) {
        code = members_load(list, &err);
    }
    if (code != POLARYS_OK) {
        failed("open its store", code);
        db_close();
        return false;
    }
    if (version_dir != role.dir) {
        version_dir = role.dir;
        version_seen = 0;
    }
    uint64_t version = polarys_db_durable_version(db);
    polarys_log_position end;
    polarys_log_position_get(db, &end);
    w.trace("%s opens at version %llu, term %llu, %llu:%llu", name.c_str(),
            (unsigned long long)version, (unsigned long long)polarys_db_term(db),
            (unsigned long long)end.segment_id, (unsigned long long)end.offset);
    if (version < version_seen) {
        w.fail(name + " went back from version " + std::to_string(version_seen) + " to " +
               std::to_string(version));
    }
    return true;
}

/* As service/server/control.c does it at each start. */
void node::start()
{
    role_read();
    incarnation++;
    busy_until = 0;
    w.trace("%s starts as %c, directory %llu, term %llu, follows %d", name.c_str(), role.kind,
            (unsigned long long)role.dir, (unsigned long long)role.term, role.follows);
    if (role.dir == 0) {
        is_fetching = true;
        fetch();
    } else if (db_open()) {
        if (role.kind == 'x') {
            polarys_code code = polarys_writes_stop(db, &err);
            if (code != POLARYS_OK) {
                failed("stop writing", code);
            }
        } else if (role.kind == 'p') {
            polarys_code code = members_term_begin(list, &err);
            if (code != POLARYS_OK) {
                failed("begin its term", code);
            }
        }
    }
    w.after(id, tick_every, [](node &self) { self.tick(); });
    settle();
}

void node::start_following(int follows)
{
    role.follows = follows;
    if (role_write()) {
        start();
    }
}

void node::db_close()
{
    while (!tails.empty()) {
        served_close(tails.back().get());
    }
    pending.clear();
    members_destroy(list);
    group_destroy(counting);
    list = nullptr;
    counting = nullptr;
    if (db != nullptr) {
        polarys_code code = polarys_db_close(db, 0, &err);
        db = nullptr;
        if (code != POLARYS_OK) {
            failed("close its store", code);
        }
    }
}

void node::stop(bool is_crash)
{
    incarnation++;
    is_fetching = false;
    session = 0;
    is_tailing = false;
    told_stable = 0;
    vote = election();
    if (is_crash && !sim_disk_is_dead(disk)) {
        sim_disk_crash_at(disk, 1);
        (void)file_read("/role"); /* the call that is cut off */
    }
    db_close();
    sim_executor_run_all(executor);
    if (is_crash || sim_disk_is_dead(disk)) {
        auto policy = static_cast<sim_crash_policy>(w.below(SIM_CRASH_POLICY_COUNT));
        sim_disk_crash(disk, policy);
        w.figures.add("crashes, by policy " + std::to_string(policy));
    } else {
        sim_disk_crash_at(disk, 0);
    }
}

void node::settle()
{
    if (is_up() && !sim_disk_is_dead(disk)) {
        for (uint64_t i = w.below(3); i > 0; i--) {
            (void)sim_executor_run_one(executor);
        }
    }
    if (is_up() && sim_disk_is_dead(disk)) {
        w.trace("%s loses its power", name.c_str());
        stop(true);
        return;
    }
    if (db != nullptr) {
        uint64_t version = polarys_db_durable_version(db);
        if (version < version_seen) {
            w.fail(name + " goes back from version " + std::to_string(version_seen));
        }
        version_seen = version;
    }
}

/* AdminService.Demote: it starts anew as a follower of the store that it has. */
void node::demote(int follows)
{
    role.kind = 'f';
    role.follows = follows;
    if (role_write()) {
        w.trace("%s is told to follow n%d", name.c_str(), follows);
        w.figures.add("demotions");
        stop(w.chance(2));
        start();
    }
}

void node::busy(uint64_t syncs)
{
    uint64_t each = slow_until > w.now() ? 20 * ms : ms / 10;
    busy_until = w.now() + syncs * (each + w.below(each));
}

void node::tick()
{
    sim_executor_run_all(executor);
    if (db != nullptr) {
        pump_all();
        pending_check();
        if (is_primary() && w.chance(5)) {
            tell_members();
        }
    }
    if (is_following() && !is_electing()) {
        constexpr uint64_t silence = 150 * ms;
        if (session == 0) {
            connect();
        } else if (w.now() - heard_at > silence) {
            session_retry();
        }
    }
    w.after(id, tick_every, [](node &self) { self.tick(); });
}

/* ---- clients ---- */

std::optional<seen_document> node::get(const std::string &key, uint64_t version)
{
    polarys_document document{};
    polarys_read_options read{version, 0};
    polarys_code code = polarys_db_get(db, nullptr, table, slice_of(key), &read, &document, &err);
    std::optional<seen_document> found;
    if (code == POLARYS_OK) {
        found = {document.version, std::stoull(test_store::text_of(document.value.bytes))};
        polarys_document_release(&document);
    } else if (code != POLARYS_KEY_NOT_FOUND && code != POLARYS_TABLE_NOT_FOUND &&
               code != POLARYS_HISTORY_PRUNED) {
        failed(("read " + key).c_str(), code);
    }
    return found;
}

std::map<std::string, uint64_t> node::contents()
{
    std::map<std::string, uint64_t> all;
    polarys_scan_options wanted{};
    polarys_scan *scan = nullptr;
    wanted.table = table;
    polarys_code code = polarys_scan_open(db, &wanted, &scan, &err);
    bool has_document = code == POLARYS_OK;
    while (code == POLARYS_OK && has_document) {
        polarys_document document{};
        code = polarys_scan_next(scan, &has_document, &document, &err);
        if (code == POLARYS_OK && has_document) {
            all[test_store::text_of(document.key)] = document.version;
            polarys_document_release(&document);
        }
    }
    polarys_scan_close(scan);
    if (code != POLARYS_OK) {
        failed("be scanned", code);
    }
    return all;
}

void node::write(bool is_quorum)
{
    if (!is_primary() || polarys_db_version(db) == 0) {
        return;
    }
    uint64_t key = w.below(5);
    uint64_t number = w.judge->write_begun(key);
    std::string value = std::to_string(number);
    polarys_value json{POLARYS_VALUE_JSON, 0, slice_of(value)};
    polarys_batch *batch = nullptr;
    polarys_write_result result{};
    polarys_code code = polarys_batch_create(db, nullptr, &batch, &err);
    std::string filler(w.chance(8) ? 40000 : 10, 'x');
    std::string json_filler = "\"" + filler + "\"";
    polarys_value large{POLARYS_VALUE_JSON, 0, slice_of(json_filler)};
    for (const std::string &prefix : {std::string("a"), std::string("b")}) {
        std::string shared = prefix + std::to_string(key);
        if (code == POLARYS_OK) {
            code = polarys_batch_put(batch, table, slice_of(shared), &json, &err);
        }
    }
    std::string own = "w" + value;
    std::string wide = "z" + std::to_string(w.below(4));
    if (code == POLARYS_OK) {
        code = polarys_batch_put(batch, table, slice_of(own), &json, &err);
    }
    if (code == POLARYS_OK) {
        code = polarys_batch_put(batch, table, slice_of(wide), &large, &err);
    }
    if (code == POLARYS_OK) {
        code = polarys_batch_commit(batch, nullptr, &result, &err);
    }
    polarys_batch_destroy(batch);
    busy(1);
    if (code != POLARYS_OK) {
        if (code != POLARYS_TABLE_NOT_FOUND) {
            failed("write", code);
        }
        return;
    }
    w.figures.add("writes");
    w.judge->write_made(number, key, result.version);
    if (is_quorum) {
        pending.push_back({number, key, result.version, w.now() + quorum_wait});
    }
    pump_all();
    pending_check();
}

/* call_quorum.c: answered when a quorum has it, unless this node is fenced. */
void node::pending_check()
{
    if (!is_primary()) {
        pending.clear();
        return;
    }
    uint64_t stable = group_stable_version(counting);
    for (size_t i = 0; i < pending.size();) {
        const pending_write wait = pending[i];
        if (wait.version <= stable) {
            w.figures.add("writes that a quorum acknowledged");
            w.judge->write_acknowledged(wait.id, wait.key, wait.version);
        }
        if (wait.version <= stable || wait.deadline < w.now()) {
            pending.erase(pending.begin() + static_cast<ptrdiff_t>(i));
        } else {
            i++;
        }
    }
}

/* consistency.c, stable_resolve: 0: not known. */
uint64_t node::stable_version()
{
    if (is_following()) {
        uint64_t applied = polarys_db_version(db);
        return told_stable < applied ? told_stable : applied;
    }
    return group_is_settled(counting) ? group_stable_version(counting) : 0;
}

void node::read()
{
    if (db == nullptr) {
        return;
    }
    uint64_t key = w.below(5);
    uint64_t newest = polarys_db_durable_version(db);
    if (newest != 0) {
        w.judge->look(*this, key, newest);
    }
    uint64_t stable = stable_version();
    if (stable != 0 && stable <= polarys_db_version(db) && role.kind != 'x') {
        bool is_now = w.primary() == this;
        for (const auto &other : w.nodes) {
            is_now &= !other->is_electing() && other->role.term <= polarys_db_term(db);
        }
        w.judge->stable_read(*this, key, stable, is_now);
    }
}

} // namespace group_sim
