/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches for tests: events as text that is easy to compare, and how to take them all.
 */
#ifndef TESTS_UNIT_ENGINE_WATCH_FIXTURE_H
#define TESTS_UNIT_ENGINE_WATCH_FIXTURE_H

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "engine/engine_watch.h"
#include "tests/support/engine/test_store.h"

namespace watch_test {

/* "5 put a=1", "6 delete b", "7 range [a,c)", "snapshot a=1", "snapshot end 4", "9 dropped"; a commit's last
 * event ends with '.', but for those that are no changes. */
inline std::string text_of_event(const polarys_watch_event &event)
{
    std::string key = test_store::text_of(event.key);
    std::string value = test_store::text_of(event.value.bytes);
    std::string version = std::to_string(event.version) + " ";
    std::string end = event.is_last_of_commit ? "." : "";
    switch (event.kind) {
    case POLARYS_WATCH_PUT:
        return version + "put " + key + "=" + value + end;
    case POLARYS_WATCH_DELETE:
        return version + "delete " + key + end;
    case POLARYS_WATCH_DELETE_RANGE:
        return version + "range [" + key + "," + test_store::text_of(event.end_key) + ")" + end;
    case POLARYS_WATCH_SNAPSHOT_PUT:
        return "snapshot " + key + "=" + value;
    case POLARYS_WATCH_SNAPSHOT_END:
        return "snapshot end " + std::to_string(event.version);
    case POLARYS_WATCH_PROGRESS:
        return version + "progress";
    case POLARYS_WATCH_TABLE_DROPPED:
        return version + "dropped" + end;
    }
    return "unknown";
}

/* A watch of one store of a simulated world. */
class watcher {
  public:
    explicit watcher(test_store::store &store) : owner(store)
    {
        options.table = "t";
        polarys_error_clear(&error);
    }
    ~watcher()
    {
        close();
    }
    watcher(const watcher &) = delete;
    watcher &operator=(const watcher &) = delete;

    polarys_code open()
    {
        return polarys_watch_open(
            owner.db, &options,
            [](void *context) { static_cast<watcher *>(context)->ready_count++; }, this, &handle,
            &error);
    }
    void close()
    {
        polarys_watch_close(handle);
        handle = nullptr;
    }

    /* One event that is there already; "" when there is none, "error CODE" for an error. */
    std::string next()
    {
        bool has_event = false;
        polarys_watch_event event{};
        polarys_error_clear(&error);
        polarys_code code = polarys_watch_next(handle, &has_event, &event, &error);
        if (code != POLARYS_OK) {
            return std::string("error ") + polarys_code_name(code);
        }
        return has_event ? text_of_event(event) : "";
    }

    /* Everything that comes, background work done, without PROGRESS. */
    std::vector<std::string> all()
    {
        std::vector<std::string> events;
        for (int idle = 0; idle < 2;) {
            std::string event = next();
            if (event.empty()) {
                (void)sim_executor_run_all(owner.surroundings.executor);
                idle++;
                continue;
            }
            idle = 0;
            if (event.find("progress") == std::string::npos) {
                events.push_back(event);
            }
            if (event.rfind("error", 0) == 0) {
                break;
            }
        }
        return events;
    }

    uint64_t resume_version() const
    {
        return polarys_watch_resume_version(handle);
    }
    std::string detail(const char *name) const
    {
        const char *value = polarys_error_detail_find(&error, name);
        return value == nullptr ? "" : value;
    }

    test_store::store &owner;
    polarys_watch_options options{};
    polarys_watch *handle = nullptr;
    polarys_error error;
    std::atomic<int> ready_count{0};
};

using lines = std::vector<std::string>;

} // namespace watch_test

#endif
