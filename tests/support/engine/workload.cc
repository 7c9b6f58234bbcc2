/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out what workload.h promises.
 */
#include "tests/support/engine/workload.h"

#include <gtest/gtest.h>

namespace test_store {

bool oracle::allows(const contents &found) const
{
    for (size_t i = durable; i < states.size(); i++) {
        if (found == states[i]) {
            return true;
        }
    }
    return false;
}

std::string value_of(const std::string &what, size_t size)
{
    return "\"" + std::string(plaintext) + what + std::string(size, '.') + "\"";
}

step put(const std::string &key, const std::string &value, bool is_async)
{
    return {[=](store &db) {
                polarys_write_options options{};
                options.durability =
                    is_async ? POLARYS_DURABILITY_ASYNC : POLARYS_DURABILITY_LOCAL_SYNC;
                return db.put("t", key, json_of(value), &options);
            },
            [=](contents &c) { c[key] = value; }, is_async};
}

static step quiet(const std::function<polarys_code(store &db)> &act)
{
    return {act, nullptr, false};
}

step flush()
{
    return quiet([](store &db) { return polarys_db_flush(db.db, nullptr, &db.error); });
}

step compact()
{
    return quiet([](store &db) { return polarys_db_compact(db.db, nullptr, nullptr, &db.error); });
}

step reopen()
{
    return quiet([](store &db) {
        polarys_code code = db.close();
        return code == POLARYS_OK ? db.open() : code;
    });
}

step replace_many(int count, size_t size)
{
    return {[=](store &db) {
                batch b(db);
                polarys_code code = POLARYS_OK;
                for (int i = 0; i < count && code == POLARYS_OK; i++) {
                    code = b.put("t", "many" + std::to_string(i), value_of("many", size));
                }
                return code == POLARYS_OK ? b.commit() : code;
            },
            [=](contents &c) {
                for (int i = 0; i < count; i++) {
                    c["many" + std::to_string(i)] = value_of("many", size);
                }
            }};
}

step remove_range(const std::string &start, const std::string &end)
{
    return {[=](store &db) {
                batch b(db);
                polarys_code code = b.remove_range("t", start, end);
                if (code == POLARYS_OK) {
                    code = b.put("t", "after-range", value_of("range"));
                }
                return code == POLARYS_OK ? b.commit() : code;
            },
            [=](contents &c) {
                c.erase(c.lower_bound(start), c.lower_bound(end));
                c["after-range"] = value_of("range");
            }};
}

void run(store &db, const std::vector<step> &steps, oracle &expected)
{
    if (db.open() != POLARYS_OK) {
        return;
    }
    polarys_code code = db.create_table("t");
    if (code != POLARYS_OK) {
        return;
    }
    expected.has_table = true;
    for (const step &each : steps) {
        if (db.db == nullptr) {
            return;
        }
        if (each.expect) {
            contents next = expected.states.back();
            each.expect(next);
            expected.states.push_back(next);
        }
        if (each.act(db) != POLARYS_OK) {
            return;
        }
        if (!each.is_async) {
            expected.durable = expected.states.size() - 1;
        }
    }
}

std::optional<contents> read_back(sim_disk *disk, uint64_t seed, bool must_have_table)
{
    world w(seed, sim_disk_clone(disk, seed));
    sim_disk_settle(w.disk);
    store db(w);
    EXPECT_EQ(POLARYS_OK, db.open()) << db.error.message;
    if (db.db == nullptr) {
        return std::nullopt;
    }
    if (db.get_code("t", "k") == POLARYS_TABLE_NOT_FOUND) {
        EXPECT_FALSE(must_have_table) << "the table was acknowledged";
        return must_have_table ? std::nullopt : std::optional<contents>(contents());
    }
    return db.contents("t");
}

} // namespace test_store
