/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What readers may see at the very moment at which a change of the levels takes effect: the executor is asked
 * to clean up just behind the publication, so a look from there is a look from right after it.
 */
#include <gtest/gtest.h>

#include "tests/unit/compaction/tree_world.h"

namespace {

/* Looks at one key as of one version whenever a task is submitted. */
struct lookout {
    TreeWorld *world;
    std::string key;
    uint64_t snapshot;
    void (*submit)(struct executor *executor, enum executor_class kind, struct task *task);
    unsigned gone_count = 0;
    uint64_t history_when_gone = UINT64_MAX; /* the earliest */
};

lookout *the_lookout;

void look_and_submit(struct executor *executor, enum executor_class kind, struct task *task)
{
    if (the_lookout->world->get(the_lookout->key, the_lookout->snapshot) == "<none>") {
        the_lookout->gone_count++;
        the_lookout->history_when_gone =
            std::min(the_lookout->history_when_gone, tree_history_start(the_lookout->world->tree));
    }
    the_lookout->submit(executor, kind, task);
}

} // namespace

TEST(TreeInstall, ShortensTheHistoryBeforeWhatItDroppedCanBeMissed)
{
    TreeWorld world(1);
    ASSERT_EQ(POLARYS_OK, world.open()) << world.err.message;
    std::string key = key_of(1);
    ASSERT_EQ(POLARYS_OK, world.put(1, key, "old"));
    ASSERT_EQ(POLARYS_OK, world.put(2, key, "new"));

    /* The flush drops version 1. Nothing is queued as it installs its table, so the cleanup is submitted. */
    tree_background_pause(world.tree);
    ASSERT_EQ(POLARYS_OK, tree_memtable_switch(world.tree, &world.err));
    sim_executor_run_all(world.executor);
    executor *base = sim_executor_base(world.executor);
    lookout from = {&world, key, 1, base->submit};
    the_lookout = &from;
    base->submit = look_and_submit;
    tree_background_resume(world.tree);
    ASSERT_EQ(POLARYS_OK, tree_flush_wait(world.tree, 2, &world.err)) << world.err.message;
    base->submit = from.submit;

    EXPECT_EQ("new", world.get(key));
    EXPECT_GT(from.gone_count, 0u) << "nobody looked in time";
    EXPECT_GT(from.history_when_gone, from.snapshot);
}
