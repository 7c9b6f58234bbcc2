/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power fails at every call to the disk of a few transactions: each is there whole or not at all, those
 * acknowledged are there, and the status by id says the same as the documents do.
 */
#include "tests/support/engine/test_txn.h"

using test_store::store;
using test_store::txn;
using test_store::txn_status_of;
using test_store::world;

namespace {

enum { TXNS = 6, KEYS = 5 };

struct story {
    std::vector<std::vector<uint8_t>> ids;
    int acknowledged = 0; /* the first so many were */
};

/* Each writes its number into every key; the last range delete and put make it two kinds of operation. */
void tell(store &db, story &told)
{
    if (db.open() != POLARYS_OK || db.create_table("t") != POLARYS_OK) {
        return;
    }
    for (int i = 1; i <= TXNS; i++) {
        txn one(db.db, i % 2 == 0 ? POLARYS_ISOLATION_SERIALIZABLE : POLARYS_ISOLATION_SNAPSHOT);
        told.ids.push_back(one.id());
        (void)one.get("k0");
        polarys_code code = one.remove_range("a", "z");
        for (int key = 0; key < KEYS && code == POLARYS_OK; key++) {
            code = one.put("k" + std::to_string(key), std::to_string(i));
        }
        if (code != POLARYS_OK || one.commit() != POLARYS_OK) {
            return;
        }
        told.acknowledged = i;
        if (i == 3 && polarys_db_flush(db.db, nullptr, nullptr) != POLARYS_OK) {
            return;
        }
    }
}

void check(sim_disk *take_disk, uint64_t seed, const story &told)
{
    world w(seed, take_disk);
    store db(w);
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    polarys_table_info info;
    if (polarys_table_get(db.db, nullptr, "t", &info, nullptr) != POLARYS_OK) {
        EXPECT_EQ(0, told.acknowledged);
        return;
    }
    auto found = db.contents("t");
    int newest = found.empty() ? 0 : std::stoi(found["k0"]);
    EXPECT_TRUE(newest == told.acknowledged || newest == told.acknowledged + 1) << newest;
    if (newest > 0) {
        EXPECT_EQ(static_cast<size_t>(KEYS), found.size());
    }
    for (const auto &[key, value] : found) {
        EXPECT_EQ(std::to_string(newest), value) << key;
    }
    for (size_t i = 0; i < told.ids.size(); i++) {
        polarys_txn_status status{};
        polarys_code code = txn_status_of(db.db, told.ids[i], &status);
        bool is_there = static_cast<int>(i) < newest;
        EXPECT_EQ(is_there ? POLARYS_OK : POLARYS_TXN_NOT_FOUND, code) << i;
        EXPECT_TRUE(!is_there || status.state == POLARYS_TXN_COMMITTED);
    }
}

} // namespace

TEST(TxnCrash, EachTransactionIsThereWholeOrNotAtAll)
{
    polarys_log_level_set(POLARYS_LOG_OFF);
    for (uint64_t at = 1;; at++) {
        world w(9);
        store db(w);
        story told;
        sim_disk_crash_at(w.disk, at);
        tell(db, told);
        if (db.db != nullptr) {
            (void)db.close();
        }
        bool is_over = !sim_disk_is_dead(w.disk);
        for (int policy = 0; policy < SIM_CRASH_POLICY_COUNT; policy++) {
            SCOPED_TRACE("at call " + std::to_string(at) + ", policy " + std::to_string(policy));
            uint64_t seed = at * 16 + static_cast<uint64_t>(policy);
            sim_disk *outcome = sim_disk_clone(w.disk, seed);
            sim_disk_crash(outcome, static_cast<sim_crash_policy>(policy));
            check(outcome, seed, told);
        }
        if (is_over || ::testing::Test::HasFailure()) {
            break;
        }
    }
}
