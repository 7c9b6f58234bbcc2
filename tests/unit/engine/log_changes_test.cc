/* SPDX-License-Identifier: Apache-2.0 */
/* The log in plain: each durable commit once and in order, with the names that its tables had, and nothing of the store's
 * own. */
#include <gtest/gtest.h>

#include "engine/engine_index.h"
#include "engine/engine_log.h"
#include "engine/engine_watch.h"
#include "tests/support/engine/test_store.h"
#include "tests/support/engine/test_txn.h"
#include "tests/support/fault_alloc.h"

namespace test_store {
namespace {

using texts = std::vector<std::string>;

std::string text_of_change(const polarys_log_change &change)
{
    std::string text = std::string(change.database) + "/" + change.table + " ";
    switch (change.kind) {
    case POLARYS_WATCH_PUT:
        text += "put " + text_of(change.key) + "=" + text_of(change.value.bytes);
        text += change.value.kind == POLARYS_VALUE_RAW ? " raw" : "";
        return change.value.expires_at_ms == 0
                   ? text
                   : text + " until " + std::to_string(change.value.expires_at_ms);
    case POLARYS_WATCH_DELETE:
        return text + "delete " + text_of(change.key);
    case POLARYS_WATCH_DELETE_RANGE:
        return text + "range [" + text_of(change.key) + "," + text_of(change.end_key) + ")";
    case POLARYS_WATCH_TABLE_DROPPED:
        return text + "dropped";
    default:
        return text + "?";
    }
}

class LogChanges : public ::testing::Test {
  protected:
    LogChanges() : db(w)
    {
    }

    void SetUp() override
    {
        ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
        ASSERT_EQ(POLARYS_OK, db.create_table("t"));
        polarys_error_clear(&err);
    }

    void TearDown() override
    {
        close();
    }

    void close()
    {
        polarys_log_changes_close(changes);
        changes = nullptr;
    }

    void open_at(uint64_t version)
    {
        close();
        ASSERT_EQ(POLARYS_OK, polarys_log_changes_open(db.db, version, &changes, &err))
            << err.message;
    }

    /* The next commit, "VERSION: CHANGE; CHANGE"; nothing at the end or after an error, which `code` has. */
    std::optional<std::string> next()
    {
        polarys_log_commit commit{};
        bool has_commit = false;
        code = polarys_log_changes_next(changes, &commit, &has_commit, &err);
        EXPECT_TRUE(code == POLARYS_OK || !has_commit);
        if (!has_commit) {
            return std::nullopt;
        }
        std::string text = std::to_string(commit.version) + ":";
        for (size_t i = 0; i < commit.change_count; i++) {
            polarys_log_change change{};
            polarys_log_changes_get(changes, i, &change);
            text += (i == 0 ? " " : "; ") + text_of_change(change);
        }
        return text;
    }

    /* All that follows. */
    texts rest()
    {
        texts list;
        for (std::optional<std::string> one = next(); one; one = next()) {
            list.push_back(*one);
        }
        EXPECT_EQ(POLARYS_OK, code) << err.message;
        return list;
    }

    std::string at(uint64_t version, const std::string &text)
    {
        return std::to_string(version) + ":" + (text.empty() ? "" : " " + text);
    }

    uint64_t version()
    {
        return polarys_db_version(db.db);
    }

    world w;
    store db;
    polarys_log_changes *changes = nullptr;
    polarys_error err{};
    polarys_code code = POLARYS_OK;
};

TEST_F(LogChanges, GiveEveryKindOfChangeInTheOrderOfItsCommit)
{
    uint64_t from = version();
    ASSERT_EQ(POLARYS_OK, db.put("t", "json", "{\"a\":1}"));
    ASSERT_EQ(POLARYS_OK, db.put("t", "raw", raw_of("bytes", w.now_ms() + 1000)));
    ASSERT_EQ(POLARYS_OK, db.remove("t", "json"));
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.put("t", "b", "2"));
    ASSERT_EQ(POLARYS_OK, b.remove_range("t", "c", "d"));
    ASSERT_EQ(POLARYS_OK, b.remove_range("t", "x", ""));
    ASSERT_EQ(POLARYS_OK, b.remove("t", "raw"));
    ASSERT_EQ(POLARYS_OK, b.commit());
    std::string until = std::to_string(w.now_ms() + 1000);
    open_at(from);
    texts found = rest();
    ASSERT_EQ(4U, found.size());
    EXPECT_EQ(at(from + 1, "default/t put json={\"a\":1}"), found[0]);
    EXPECT_EQ(at(from + 2, "default/t put raw=bytes raw until " + until), found[1]);
    EXPECT_EQ(at(from + 3, "default/t delete json"), found[2]);
    for (const char *part : {"default/t put b=2", "default/t range [c,d)", "default/t range [x,)",
                             "default/t delete raw"}) {
        EXPECT_NE(std::string::npos, found[3].find(part)) << part << " in " << found[3];
    }
}

TEST_F(LogChanges, BeginBehindTheVersionThatIsAskedFor)
{
    uint64_t from = version();
    for (int i = 1; i <= 5; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", "k", std::to_string(i)));
    }
    for (uint64_t skip = 0; skip <= 5; skip++) {
        open_at(from + skip);
        texts found = rest();
        ASSERT_EQ(5 - skip, found.size());
        for (uint64_t i = 0; i < found.size(); i++) {
            uint64_t number = skip + i + 1;
            EXPECT_EQ(at(from + number, "default/t put k=" + std::to_string(number)), found[i]);
        }
    }
    ASSERT_EQ(POLARYS_OK, db.put("t", "k", "6"));
    EXPECT_EQ(texts({at(from + 6, "default/t put k=6")}), rest()) << "it goes on at the end";
}

TEST_F(LogChanges, GiveATransactionAsOneCommit)
{
    uint64_t from = version();
    ASSERT_EQ(POLARYS_OK, db.put("t", "other", "0"));
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.put("t", "a", "1"));
    ASSERT_EQ(POLARYS_OK, b.put("t", "b", "2"));
    ASSERT_EQ(POLARYS_OK, b.put("t", "a", "3"));
    ASSERT_EQ(POLARYS_OK, b.commit());
    open_at(from + 1);
    EXPECT_EQ(texts({at(from + 2, "default/t put a=3; default/t put b=2")}), rest());
}

TEST_F(LogChanges, HaveNothingOfIndexesAndOfTheServer)
{
    polarys_index_options index{};
    const char *fields[] = {"n"};
    char name[POLARYS_NAME_BYTES_MAX + 1];
    index.fields = fields;
    index.field_count = 1;
    index.kind = POLARYS_INDEX_ORDERED;
    ASSERT_EQ(POLARYS_OK, polarys_index_create(db.db, nullptr, "t", &index, nullptr, name,
                                               &db.result, &db.error))
        << db.error.message;
    ASSERT_EQ(POLARYS_OK, db.create_table("polarys.own"));
    uint64_t from = version();
    ASSERT_EQ(POLARYS_OK, db.put("t", "k", "{\"n\":1}"));
    ASSERT_EQ(POLARYS_OK, db.put("polarys.own", "k", "1"));
    open_at(from);
    texts found = rest();
    ASSERT_LE(2U, found.size());
    EXPECT_EQ(at(from + 1, "default/t put k={\"n\":1}"), found[0]);
    for (size_t i = 1; i < found.size(); i++) {
        EXPECT_EQ(at(from + 1 + i, ""), found[i]) << "the version is told all the same";
    }
}

TEST_F(LogChanges, KnowTheNameOfATableThatWasDroppedSince)
{
    uint64_t from = version();
    ASSERT_EQ(POLARYS_OK, db.create_table("gone"));
    ASSERT_EQ(POLARYS_OK, db.put("gone", "k", "1"));
    ASSERT_EQ(POLARYS_OK,
              polarys_table_drop(db.db, nullptr, "gone", nullptr, &db.result, &db.error));
    ASSERT_EQ(POLARYS_OK, db.create_table("gone"));
    ASSERT_EQ(POLARYS_OK, db.put("gone", "k", "2"));
    open_at(from);
    EXPECT_EQ(texts({at(from + 1, ""), at(from + 2, "default/gone put k=1"),
                     at(from + 3, "default/gone dropped"), at(from + 4, ""),
                     at(from + 5, "default/gone put k=2")}),
              rest());
}

TEST_F(LogChanges, TryACommitAgainThatCouldNotBeDecoded)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    uint64_t from = version();
    batch b(db);
    ASSERT_EQ(POLARYS_OK, b.put("t", "a", "1"));
    ASSERT_EQ(POLARYS_OK, b.put("t", "b", "2"));
    ASSERT_EQ(POLARYS_OK, b.commit());
    ASSERT_EQ(POLARYS_OK, db.create_table("gone"));
    ASSERT_EQ(POLARYS_OK, db.put("gone", "k", "1"));
    ASSERT_EQ(POLARYS_OK,
              polarys_table_drop(db.db, nullptr, "gone", nullptr, &db.result, &db.error));
    open_at(from);
    const texts all = rest();
    ASSERT_EQ(4U, all.size());
    for (uint64_t n = 1;; n++) {
        SCOPED_TRACE("allocation " + std::to_string(n));
        texts found;
        uint64_t failures = 0;
        close();
        fault_alloc_fail_at(n);
        code = polarys_log_changes_open(db.db, from, &changes, &err);
        bool is_opened = code == POLARYS_OK;
        for (bool is_over = !is_opened; !is_over;) {
            std::optional<std::string> one = next();
            if (one) {
                found.push_back(*one);
            }
            failures += code != POLARYS_OK;
            EXPECT_TRUE(code == POLARYS_OK || code == POLARYS_NO_MEMORY) << err.message;
            is_over = (!one && code == POLARYS_OK) || failures > 1;
        }
        bool has_failed = fault_alloc_disarm() > 0;
        if (is_opened) {
            EXPECT_EQ(all, found);
            EXPECT_EQ(has_failed ? 1U : 0U, failures);
        }
        if (!has_failed || HasFailure()) {
            break;
        }
    }
}

TEST_F(LogChanges, TellOfALogThatCannotBeRead)
{
    uint64_t from = version();
    for (int i = 1; i <= 3; i++) {
        ASSERT_EQ(POLARYS_OK, db.put("t", "k", std::to_string(i)));
    }
    ASSERT_EQ(POLARYS_OK, db.close());
    ASSERT_EQ(POLARYS_OK, db.open()) << db.error.message;
    open_at(from);
    const texts all = rest();
    for (uint64_t n = 1;; n++) {
        SCOPED_TRACE("call " + std::to_string(n));
        open_at(from);
        texts found;
        sim_disk_fail_at(w.disk, n, SIM_FAULT_EIO);
        for (std::optional<std::string> one = next(); one || code != POLARYS_OK; one = next()) {
            if (one) {
                found.push_back(*one);
            } else {
                EXPECT_EQ(POLARYS_IO, code) << err.message;
            }
        }
        uint64_t shown = sim_disk_fault_count(w.disk);
        sim_disk_fail_at(w.disk, 0, SIM_FAULT_EIO);
        EXPECT_EQ(all, found) << "tried again, nothing is missing or given twice";
        if (shown == 0 || HasFailure()) {
            break;
        }
    }
}

} // namespace
} // namespace test_store
