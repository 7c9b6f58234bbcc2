/* SPDX-License-Identifier: Apache-2.0 */
/* A commit path on fakes, driven by hand in one thread. */
#ifndef TESTS_UNIT_COMMIT_COMMIT_FIXTURE_H
#define TESTS_UNIT_COMMIT_COMMIT_FIXTURE_H

#include <memory>

#include "tests/unit/commit/fake_engine.h"
#include <gtest/gtest.h>

struct Published {
    uint64_t version;
    uint64_t time_ms;
    uint64_t bytes;
};

class CommitTest : public ::testing::Test {
  protected:
    struct tree tree;
    struct wal wal;
    FakeExecutor fake;
    struct commit_options options = {};
    struct commit_path *path = nullptr;
    std::vector<Published> published;
    std::vector<uint64_t> durable;
    std::vector<enum polarys_code> failures;

    void SetUp() override
    {
        options.tree = &tree;
        options.wal = &wal;
        options.executor = &fake.executor;
        options.role_policy = COMMIT_ROLE_INLINE;
        options.last_version = 100;
        options.context = this;
        options.published = [](void *context, uint64_t version, uint64_t time_ms, uint64_t bytes) {
            auto *test = static_cast<CommitTest *>(context);
            if (!test->published.empty()) {
                EXPECT_GT(version, test->published.back().version);
                EXPECT_GE(time_ms, test->published.back().time_ms);
            }
            test->published.push_back({version, time_ms, bytes});
        };
        options.durable = [](void *context, const struct commit_frame *frame) {
            static_cast<CommitTest *>(context)->durable.push_back(frame->first_version +
                                                                  frame->commit_count - 1);
        };
        options.failed = [](void *context, const struct polarys_error *err) {
            static_cast<CommitTest *>(context)->failures.push_back(err->code);
        };
    }

    void TearDown() override
    {
        commit_close(path);
    }

    void open()
    {
        struct polarys_error err = {};
        ASSERT_EQ(commit_open(&options, &path, &err), POLARYS_OK) << err.message;
    }

    void reopen()
    {
        commit_close(path);
        path = nullptr;
        open();
    }

    TestCommit &submit(TestCommit &commit)
    {
        commit_submit(path, commit.prepare(path));
        return commit;
    }

    /* Until nothing can be done without time passing. */
    void drive()
    {
        while (commit_drive(path, 1)) {
        }
    }

    enum polarys_code sync()
    {
        struct polarys_error err = {};
        return commit_sync(path, &err);
    }
};

#endif
