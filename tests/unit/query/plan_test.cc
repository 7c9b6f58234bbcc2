/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which plan is chosen, and which ranges of entries stand for which conditions. Whether the ranges hold the
 * right entries is for the model test to find out.
 */
#include <memory>
#include <string>
#include <vector>

#include "engine/query/plan.h"
#include "tests/support/fault_alloc.h"

namespace {

polarys_slice bytes_of(const std::string &text)
{
    return slice_make(text.data(), text.size());
}

struct definition_unref {
    void operator()(index_definition *index) const
    {
        index_definition_unref(index);
    }
};

class PlanTest : public ::testing::Test {
  protected:
    ~PlanTest() override
    {
        plan_deinit(&made);
        filter_destroy(parsed);
    }

    void add_index(const char *name, std::vector<const char *> fields,
                   index_kind kind = INDEX_ORDERED, bool has_several = false)
    {
        index_spec spec{};
        spec.database_id = 1;
        spec.table_id = 2;
        spec.id = static_cast<uint32_t>(10 + indexes.size());
        spec.name = name;
        spec.kind = kind;
        spec.state = INDEX_READY;
        spec.fields = fields.data();
        spec.field_count = fields.size();
        index_definition *index = nullptr;
        polarys_error error{};
        ASSERT_EQ(POLARYS_OK, index_definition_create(&spec, &index, &error)) << error.message;
        owned.emplace_back(index);
        plan_index one{};
        one.definition = index;
        one.has_several = has_several;
        indexes.push_back(one);
    }

    polarys_code make(const std::string &filter, const std::string &order_by = "",
                      uint64_t limit = UINT64_MAX)
    {
        plan_deinit(&made);
        filter_destroy(parsed);
        parsed = nullptr;
        filter_text = filter;
        order_text = order_by;
        EXPECT_EQ(POLARYS_OK, filter_parse(bytes_of(filter_text), &parsed, nullptr));
        EXPECT_EQ(POLARYS_OK, order_parse(bytes_of(order_text), &order, nullptr));
        filter_node *normal = nullptr;
        EXPECT_EQ(POLARYS_OK, filter_normalise(parsed, &normal));
        input.filter = parsed;
        input.normal = normal;
        input.order = &order;
        input.limit = limit;
        input.indexes = indexes.data();
        input.index_count = indexes.size();
        input.document_count = document_count;
        input.count = entry_counter;
        input.context = this;
        polarys_error error{};
        return plan_make(&input, &made, &error);
    }

    static polarys_code entry_counter(void *context, const index_range *, uint64_t max,
                                      uint64_t *count, polarys_error *)
    {
        PlanTest *test = static_cast<PlanTest *>(context);
        *count = std::min(max, test->entries_in_a_range);
        return test->count_code;
    }

    static std::string text_of_scan(const plan_scan *scan)
    {
        buffer to{};
        EXPECT_EQ(POLARYS_OK, plan_scan_print(scan, &to));
        std::string text = scan->index->definition->name + std::string("[") +
                           std::string(reinterpret_cast<const char *>(to.data), to.size) + "]";
        buffer_deinit(&to);
        return text + (scan->range_count == 1 ? "" : "x" + std::to_string(scan->range_count));
    }

    static std::string text_of_keys(const plan_keys *keys)
    {
        if (keys->kind == PLAN_KEYS_SCAN) {
            return text_of_scan(keys->scan);
        }
        std::string text = keys->kind == PLAN_KEYS_AND ? "and(" : "or(";
        for (const plan_keys *each = keys->first; each != nullptr; each = each->next) {
            text += text_of_keys(each) + (each->next == nullptr ? ")" : ", ");
        }
        return text;
    }

    /* The plan in short. */
    std::string plan_of(const std::string &filter, const std::string &order_by = "",
                        uint64_t limit = UINT64_MAX)
    {
        EXPECT_EQ(POLARYS_OK, make(filter, order_by, limit));
        std::string end = made.gives_order ? made.is_reverse ? " reverse" : " ordered" : "";
        switch (made.kind) {
        case PLAN_TABLE:
            return "table" + end;
        case PLAN_SCAN:
            return text_of_scan(made.scan) + end;
        default:
            return text_of_keys(made.keys) + end;
        }
    }

    std::vector<std::unique_ptr<index_definition, definition_unref>> owned;
    std::vector<plan_index> indexes;
    std::string filter_text;
    std::string order_text;
    struct filter *parsed = nullptr;
    struct order order {};
    struct plan_input input {};
    struct plan made {};
    uint64_t document_count = 10000;
    uint64_t entries_in_a_range = 3;
    polarys_code count_code = POLARYS_OK;
};

} // namespace

TEST_F(PlanTest, ReadsTheTableWhereNoIndexServes)
{
    add_index("a", {"a"});
    EXPECT_EQ("table", plan_of(""));
    EXPECT_EQ("table", plan_of("b = 1"));
    EXPECT_EQ("table", plan_of("a != 1"));
    EXPECT_EQ("table", plan_of("NOT a = 1"));
    EXPECT_EQ("table", plan_of("a:*"));
    EXPECT_EQ("table", plan_of("a = \"*x\""));
    EXPECT_EQ("table", plan_of("a = 1 OR b = 2"));
}

TEST_F(PlanTest, BindsOneField)
{
    add_index("a", {"a"});
    EXPECT_EQ("a[a = 1]", plan_of("a = 1"));
    EXPECT_EQ("a[a = 1]", plan_of("a = 1 AND b = 2"));
    EXPECT_EQ("a[a > 1]", plan_of("a > 1"));
    EXPECT_EQ("a[a > 1 AND a < 9]", plan_of("a < 9 AND a > 1"));
    EXPECT_EQ("a[a = \"x*\"]", plan_of("a = \"x*\""));
    EXPECT_EQ("a[a IN (1, 2, 3)]x3", plan_of("a IN (1, 2, 3)"));
    EXPECT_EQ("a[a IN (1, 1.0)]", plan_of("a IN (1, 1.0)"));
    EXPECT_EQ("a[a:5]", plan_of("a:5"));
    EXPECT_EQ("a[a:\"x\"]x2", plan_of("a:\"x\""));
    EXPECT_EQ("a[a = 5]", plan_of("a > 1 AND a = 5"));
}

TEST_F(PlanTest, KeepsOneEndOfARangeWhereDocumentsHaveSeveralEntries)
{
    add_index("a", {"a"}, INDEX_ORDERED, true);
    EXPECT_EQ("a[a > 1]", plan_of("a < 9 AND a > 1"));
    EXPECT_EQ("a[a < 9]", plan_of("a < 9"));
}

TEST_F(PlanTest, FindsNothingBetweenBoundsThatCross)
{
    add_index("a", {"a"});
    EXPECT_EQ("a[a > 9 AND a < 1]x0", plan_of("a < 1 AND a > 9"));
    EXPECT_EQ("a[a > 9]", plan_of("a < \"x\" AND a > 9"));
}

TEST_F(PlanTest, BindsLeadingFields)
{
    add_index("abc", {"a", "b", "c"});
    EXPECT_EQ("abc[a = 1 AND b = 2 AND c > 3]", plan_of("c > 3 AND b = 2 AND a = 1"));
    EXPECT_EQ("abc[a = 1]", plan_of("a = 1 AND c = 3"));
    EXPECT_EQ("abc[a IN (1, 2) AND b IN (3, 4)]x4", plan_of("a IN (1, 2) AND b IN (3, 4)"));
    EXPECT_EQ("table", plan_of("b = 1 AND c = 2"));
}

TEST_F(PlanTest, ProbesAHashByAllItsFieldsOnly)
{
    add_index("ab", {"a", "b"}, INDEX_HASH, true);
    EXPECT_EQ("ab[a = 1 AND b = 2]", plan_of("b = 2 AND a = 1"));
    EXPECT_EQ("ab[a = 1 AND b IN (2, 3)]x2", plan_of("b IN (2, 3) AND a = 1"));
    EXPECT_EQ("table", plan_of("a = 1"));
    EXPECT_EQ("table", plan_of("a = 1 AND b > 2"));
}

TEST_F(PlanTest, UnitesTheBranchesOfAnOr)
{
    add_index("a", {"a"});
    add_index("b", {"b"}, INDEX_HASH, true);
    EXPECT_EQ("or(a[a = 1], b[b = 2])", plan_of("a = 1 OR b = 2"));
    EXPECT_EQ("or(a[a = 1], a[a > 5])", plan_of("a = 1 OR (a > 5 AND c = 2)"));
    EXPECT_EQ("or(a[a = 1], b[b = 2])", plan_of("c = 3 AND (a = 1 OR b = 2)"));
    EXPECT_EQ("table", plan_of("a = 1 OR NOT b = 2"));
}

TEST_F(PlanTest, IntersectsWhereThatSavesReading)
{
    add_index("a", {"a"});
    add_index("b", {"b"});
    document_count = 1000;
    entries_in_a_range = 60;
    EXPECT_EQ("and(a[a = 1], b[b = 2])", plan_of("a = 1 AND b = 2"));
    entries_in_a_range = 1;
    EXPECT_EQ("a[a = 1]", plan_of("a = 1 AND b = 2"));
}

TEST_F(PlanTest, TakesTheOrderFromAnIndex)
{
    add_index("ab", {"a", "b"});
    document_count = 100000;
    EXPECT_EQ("ab[all entries] ordered", plan_of("", "a, b", 10));
    EXPECT_EQ("ab[all entries] reverse", plan_of("", "a desc, b desc", 10));
    EXPECT_EQ("table", plan_of("", "a, b desc", 10));
    EXPECT_EQ("table", plan_of("", "a", 10)) << "ties would not come by key";
    EXPECT_EQ("ab[a = 1] ordered", plan_of("a = 1", "b"));
    EXPECT_EQ("ab[a = 1 AND b > 5] reverse", plan_of("a = 1 AND b > 5", "b desc", 10));
}

TEST_F(PlanTest, LeavesTheSortWhereARangeWouldCutArrays)
{
    add_index("a", {"a"}, INDEX_ORDERED, true);
    entries_in_a_range = 1000;
    EXPECT_EQ("a[all entries] ordered", plan_of("a > 5", "a", 1));
    entries_in_a_range = 3;
    EXPECT_EQ("a[a > 5]", plan_of("a > 5", "a"));
}

TEST_F(PlanTest, PrefersTheTableToManyLookUps)
{
    add_index("a", {"a"});
    entries_in_a_range = 1000;
    indexes[0].entry_count = 10000;
    indexes[0].distinct_count = 2;
    EXPECT_EQ("table", plan_of("a = 1"));
    indexes[0].distinct_count = 5000;
    EXPECT_EQ("a[a = 1]", plan_of("a = 1"));
}

TEST_F(PlanTest, DoesAsItIsTold)
{
    add_index("a", {"a"});
    add_index("b", {"b"}, INDEX_HASH, true);
    input.is_table_only = true;
    EXPECT_EQ("table", plan_of("a = 1"));
    input.is_table_only = false;
    input.forced = &indexes[1];
    EXPECT_EQ("b[all entries]", plan_of("a = 1"));
    EXPECT_EQ("b[b = 1]", plan_of("b = 1"));
    input.forced = nullptr;
    input.must_keep_key_order = true;
    EXPECT_EQ("a[a = 1]", plan_of("a = 1"));
    EXPECT_EQ(PLAN_KEYS, made.kind);
    input.must_keep_key_order = false;
    input.must_keep_index = &indexes[1];
    EXPECT_EQ("b[all entries]", plan_of("a = 1"));
    input.must_keep_index = nullptr;
    input.must_sort = true;
    document_count = 100000;
    EXPECT_EQ("table", plan_of("", "a", 10));
}

TEST_F(PlanTest, KeepsEveryPlanItWeighed)
{
    add_index("a", {"a"});
    ASSERT_EQ(POLARYS_OK, make("a = 1"));
    ASSERT_EQ(3u, made.candidate_count);
    EXPECT_EQ(PLAN_TABLE, made.candidates[0].kind);
    EXPECT_EQ(PLAN_SCAN, made.candidates[made.chosen].kind);
    for (size_t i = 0; i < made.candidate_count; i++) {
        EXPECT_LE(made.cost, made.candidates[i].cost);
    }
}

TEST_F(PlanTest, PassesOnWhatCountingFoundWrong)
{
    add_index("a", {"a"});
    count_code = POLARYS_CORRUPT;
    EXPECT_EQ(POLARYS_CORRUPT, make("a = 1"));
    EXPECT_EQ(POLARYS_CORRUPT, make("a = 1 OR a = 2"));
}

TEST_F(PlanTest, FailsCleanlyWithoutMemory)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    add_index("a", {"a"});
    add_index("ab", {"a", "b"});
    ASSERT_EQ(POLARYS_OK, make("(a = 1 OR a IN (2, 3)) AND b:\"x\" AND a > 7", "b"));
    bool is_over = false;
    for (uint64_t at = 1; at < 2000 && !is_over; at++) {
        plan_deinit(&made);
        fault_alloc_fail_at(at);
        polarys_code code = plan_make(&input, &made, nullptr);
        is_over = fault_alloc_disarm() == 0;
        EXPECT_EQ(is_over ? POLARYS_OK : POLARYS_NO_MEMORY, code) << at;
    }
    EXPECT_TRUE(is_over);
}
