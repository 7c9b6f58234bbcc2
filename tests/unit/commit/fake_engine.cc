/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the fakes of tree, log and executor that the commit path's tests run on. */
#include "tests/unit/commit/fake_engine.h"

#include <algorithm>
#include <thread>

#include <gtest/gtest.h>

namespace {

std::string text_of(struct polarys_slice slice)
{
    return std::string(reinterpret_cast<const char *>(slice.data), slice.size);
}

/* Fails the test when two threads are inside at once. */
class Alone {
  public:
    explicit Alone(std::atomic<int> &users) : users_(users)
    {
        EXPECT_EQ(users_.fetch_add(1), 0);
    }
    ~Alone()
    {
        users_.fetch_sub(1);
    }

  private:
    std::atomic<int> &users_;
};

} // namespace

/* ---- tree ---- */

enum polarys_code tree_reserve(struct tree *tree, size_t entry_bytes, size_t range_deletes,
                               struct polarys_error *err)
{
    Alone alone(tree->users);
    EXPECT_GT(entry_bytes + range_deletes, 0u);
    tree->reserve_count++;
    enum polarys_code code = static_cast<enum polarys_code>(tree->reserve_code.load());
    return code == POLARYS_OK ? code : polarys_fail(err, code, "fake tree");
}

void tree_insert(struct tree *tree, const struct entry *entry)
{
    Alone alone(tree->users);
    if (entry->kind == ENTRY_RANGE_DELETE) {
        tree->ranges.push_back({text_of(entry->key), text_of(entry->value), entry->version});
    } else {
        tree->keys[text_of(entry->key)].push_back(entry->version);
    }
    tree->inserted_versions.push_back(entry->version);
}

uint64_t tree_newest_version(struct tree *tree, struct polarys_slice key)
{
    Alone alone(tree->users);
    std::string name = text_of(key);
    uint64_t newest = 0;
    auto found = tree->keys.find(name);
    if (found != tree->keys.end()) {
        newest = found->second.back();
    }
    for (const auto &range : tree->ranges) {
        if (range.start <= name && name < range.end) {
            newest = std::max(newest, range.version);
        }
    }
    return newest;
}

uint64_t tree_newest_version_in_range(struct tree *tree, struct polarys_slice start,
                                      struct polarys_slice end, uint64_t above)
{
    Alone alone(tree->users);
    uint64_t newest = 0;
    std::string last = text_of(end);
    for (auto it = tree->keys.lower_bound(text_of(start)); it != tree->keys.end(); ++it) {
        if (it->first >= last) {
            break;
        }
        newest = std::max(newest, it->second.back());
    }
    for (const auto &range : tree->ranges) {
        if (range.start < last && text_of(start) < range.end) {
            newest = std::max(newest, range.version);
        }
    }
    return newest > above ? newest : 0;
}

uint64_t tree_memtable_floor(struct tree *tree)
{
    return tree->floor.load();
}

uint64_t tree_write_rate(struct tree *tree)
{
    return tree->rate.load();
}

/* ---- log ---- */

enum polarys_code wal_append(struct wal *wal, uint64_t first_version, uint32_t commit_count,
                             const struct polarys_slice *pieces, size_t piece_count,
                             struct wal_position *end, struct polarys_error *err)
{
    Alone alone(wal->users);
    /* A copy: the hook may replace itself. */
    std::function<void()> on_append = wal->on_append;
    if (on_append) {
        on_append();
    }
    for (int i = 0; i < wal->yields; i++) {
        std::this_thread::yield();
    }
    std::unique_lock<std::mutex> lock(wal->mutex);
    wal->append_count++;
    wal->waiting++;
    wal->changed.notify_all();
    wal->changed.wait(lock, [wal] { return !wal->is_blocked; });
    wal->waiting--;
    enum polarys_code code = static_cast<enum polarys_code>(wal->append_code.load());
    if (code != POLARYS_OK) {
        return polarys_fail(err, code, "fake log");
    }
    struct wal::Frame frame = {first_version, commit_count, 0, ""};
    for (size_t i = 1; i < piece_count; i++) {
        frame.payload += text_of(pieces[i]);
    }
    EXPECT_EQ(pieces[0].size, static_cast<size_t>(LOG_BATCH_TIME_SIZE));
    for (int i = 7; i >= 0; i--) {
        frame.time_ms = frame.time_ms << 8 | pieces[0].data[1 + i];
    }
    wal->frames.push_back(frame);
    end->offset = wal->frames.size();
    return POLARYS_OK;
}

bool wal_has_room(struct wal *wal, size_t payload_size)
{
    wal->room_count++;
    return payload_size <= wal->room.load();
}

void wal_stats_get(struct wal *wal, struct wal_stats *stats)
{
    *stats = {};
    stats->probed_sync_ns = wal->probed_sync_ns;
}

void wal::block()
{
    std::lock_guard<std::mutex> lock(mutex);
    is_blocked = true;
}

void wal::release()
{
    std::lock_guard<std::mutex> lock(mutex);
    is_blocked = false;
    changed.notify_all();
}

void wal::wait_until_blocked()
{
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [this] { return waiting > 0; });
}

size_t wal::frame_count()
{
    std::lock_guard<std::mutex> lock(mutex);
    return frames.size();
}

uint64_t wal::last_version()
{
    std::lock_guard<std::mutex> lock(mutex);
    return frames.empty() ? 0 : frames.back().first_version + frames.back().commit_count - 1;
}

/* ---- executor ---- */

namespace {

FakeExecutor *owner_of(struct executor *executor)
{
    return reinterpret_cast<FakeExecutor *>(executor);
}

void fake_submit_after(struct executor *executor, enum executor_class kind, struct task *task,
                       uint64_t delay_ns)
{
    FakeExecutor *fake = owner_of(executor);
    task->kind = kind;
    task->due_ns = fake->time.now_ns + delay_ns;
    fake->tasks.push_back(task);
}

void fake_submit(struct executor *executor, enum executor_class kind, struct task *task)
{
    fake_submit_after(executor, kind, task, 0);
}

/* Runs what is due, or lets time pass until something is. The caller's mutex is free meanwhile. */
bool fake_wait(struct executor *executor, struct condition *, struct mutex *mutex,
               uint64_t timeout_ns)
{
    FakeExecutor *fake = owner_of(executor);
    mutex_unlock(mutex);
    bool did = (fake->on_wait && fake->on_wait()) || fake->run_due();
    if (!did) {
        uint64_t next = timeout_ns == 0 ? UINT64_MAX : fake->time.now_ns + timeout_ns;
        for (const struct task *task : fake->tasks) {
            next = std::min(next, task->due_ns);
        }
        if (next == UINT64_MAX) {
            ADD_FAILURE() << "a wait that nothing can end";
            std::abort();
        }
        fake->time.now_ns = std::max(next, fake->time.now_ns);
        fake->run_due();
    }
    mutex_lock(mutex);
    return true;
}

uint64_t fake_wall_ms(struct clock *clock)
{
    return reinterpret_cast<FakeExecutor::FakeClock *>(clock)->wall_ms;
}

uint64_t fake_monotonic_ns(struct clock *clock)
{
    return reinterpret_cast<FakeExecutor::FakeClock *>(clock)->now_ns;
}

void fake_sleep_ns(struct clock *clock, uint64_t duration_ns)
{
    reinterpret_cast<FakeExecutor::FakeClock *>(clock)->now_ns += duration_ns;
}

} // namespace

FakeExecutor::FakeExecutor()
{
    time.clock = {fake_wall_ms, fake_monotonic_ns, fake_sleep_ns};
    executor = {fake_submit, fake_submit_after, fake_wait, &time.clock};
}

bool FakeExecutor::run_due()
{
    std::vector<struct task *> due;
    auto later = std::stable_partition(tasks.begin(), tasks.end(), [this](struct task *task) {
        return task->due_ns <= time.now_ns;
    });
    due.assign(tasks.begin(), later);
    tasks.erase(tasks.begin(), later);
    for (struct task *task : due) {
        task->run(task);
    }
    return !due.empty();
}

void FakeExecutor::advance_ns(uint64_t ns)
{
    time.now_ns += ns;
    run_due();
}

void FakeExecutor::advance_ms(uint64_t ms)
{
    time.wall_ms += ms;
    advance_ns(ms * 1000000);
}

/* ---- commits ---- */

namespace {

void test_commit_done(struct commit_request *request)
{
    TestCommit *commit = reinterpret_cast<TestCommit *>(request);
    std::function<void(TestCommit *)> on_done = commit->on_done;
    commit->done_count++;
    if (on_done) {
        on_done(commit);
    }
}

} // namespace

struct polarys_slice TestCommit::keep(const std::string &text)
{
    strings.push_back(text);
    return slice_make(strings.back().data(), strings.back().size());
}

TestCommit::TestCommit(const std::string &name, enum commit_durability durability)
{
    strings.reserve(64);
    request.encoded = keep(name);
    request.durability = durability;
    request.done = test_commit_done;
}

TestCommit &TestCommit::put(const std::string &key)
{
    struct entry entry = {};
    entry.key = keep(key);
    entry.kind = ENTRY_PUT;
    operations.push_back(entry);
    return *this;
}

TestCommit &TestCommit::erase_range(const std::string &start, const std::string &end)
{
    struct entry entry = {};
    entry.key = keep(start);
    entry.value = keep(end);
    entry.kind = ENTRY_RANGE_DELETE;
    operations.push_back(entry);
    return *this;
}

TestCommit &TestCommit::reads(uint64_t version, const std::string &key)
{
    request.read_version = version;
    read_keys.push_back(keep(key));
    return *this;
}

TestCommit &TestCommit::reads_range(uint64_t version, const std::string &start,
                                    const std::string &end)
{
    request.read_version = version;
    struct polarys_slice first = keep(start);
    read_ranges.push_back({first, keep(end)});
    return *this;
}

struct commit_request *TestCommit::prepare(struct commit_path *path)
{
    if (operations.empty()) {
        put("key of " + strings[0].substr(0, 40));
    }
    request.operations = operations.data();
    request.operation_count = operations.size();
    request.read_keys = read_keys.data();
    request.read_key_count = read_keys.size();
    request.read_ranges = read_ranges.data();
    request.read_range_count = read_ranges.size();
    request.schema_version = commit_schema_version(path);
    return &request;
}
