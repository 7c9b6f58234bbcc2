/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power fails while an index is built and documents are written: opened again the build goes on, and in the
 * end the index equals the documents.
 */
#include "tests/support/engine/test_index.h"

using test_index::create;
using test_index::expect_clean;
using test_store::batch;
using test_store::store;
using test_store::world;

namespace {

enum { DOCUMENTS = 1500, WRITES = 30 };

/* Until the disk fails, which `at` may be too late for. */
void work(store &db, world &w)
{
    if (db.open() != POLARYS_OK || db.create_table("t") != POLARYS_OK) {
        return;
    }
    batch many(db);
    for (int i = 0; i < DOCUMENTS; i++) {
        std::string n = std::to_string(i);
        (void)many.put("t", "k" + n, R"({"n":)" + n + R"(,"m":[1,)" + n + "]}");
    }
    if (many.commit() != POLARYS_OK ||
        create(db, "t", {"u", {"n"}, POLARYS_INDEX_HASH, true}) != POLARYS_OK ||
        create(db, "t", {"o", {"m"}}) != POLARYS_OK) {
        return;
    }
    for (int i = 0; i < WRITES; i++) {
        std::string n = std::to_string(i * 37 % DOCUMENTS);
        batch change(db);
        (void)change.remove("t", "k" + n);
        (void)change.put("t", "z" + n, R"({"n":)" + n + R"(,"m":"x"})");
        if (change.commit() != POLARYS_OK) {
            return;
        }
        sim_executor_run_one(w.executor);
    }
}

TEST(IndexCrash, ABuildThatWasCutOffGoesOn)
{
    uint64_t operations = 0;
    {
        world w(1);
        store db(w);
        work(db, w);
        operations = sim_disk_operation_count(w.disk);
        ASSERT_EQ(POLARYS_OK, db.close()) << db.error.message;
    }
    uint64_t built = 0;
    for (uint64_t at = 40; at < operations; at += 7) {
        SCOPED_TRACE("power lost at call " + std::to_string(at));
        world w(at);
        {
            store db(w);
            sim_disk_crash_at(w.disk, at);
            work(db, w);
            db.crash(static_cast<sim_crash_policy>(at % SIM_CRASH_POLICY_COUNT));
        }
        store db(w);
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        polarys_table_info info;
        if (polarys_table_get(db.db, nullptr, "t", &info, &db.error) != POLARYS_OK) {
            continue;
        }
        for (const auto &index : test_index::list(db, "t")) {
            ASSERT_EQ(POLARYS_OK, test_index::wait(db, "t", index.info.index)) << db.error.message;
            built++;
        }
        expect_clean(db, "t");
        ASSERT_EQ(POLARYS_OK, db.close()) << db.error.message;
        if (HasFailure()) {
            return;
        }
    }
    EXPECT_GT(built, 10u);
}

} // namespace
