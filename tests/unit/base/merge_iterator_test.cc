// SPDX-License-Identifier: Apache-2.0
// The merge against one sorted list of everything that its children hold.
#include "engine/base/merge_iterator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/sim_random.h"

namespace {

struct Item {
    std::string key;
    uint64_t version;
    size_t place;

    bool operator<(const Item &other) const
    {
        if (key != other.key) {
            return key < other.key;
        }
        if (version != other.version) {
            return version > other.version;
        }
        return place < other.place;
    }
};

int live_lists = 0;

// A sorted list as an entry iterator. Fails with IO at the `fail_after`-th move when that is not 0.
struct List {
    entry_iterator base;
    std::vector<Item> items;
    size_t at = 0;
    int fail_after = 0;
    std::string shown_key;
};

List *list_of(entry_iterator *base)
{
    return reinterpret_cast<List *>(base);
}

void list_show(List *list, bool is_inside)
{
    list->base.code = POLARYS_OK;
    if (list->fail_after > 0 && --list->fail_after == 0) {
        list->base.is_valid = false;
        list->base.code = polarys_fail(&list->base.error, POLARYS_IO, "list failed");
        return;
    }
    list->base.is_valid = is_inside;
    // What was borrowed before the move is overwritten, to catch who keeps it.
    std::fill(list->shown_key.begin(), list->shown_key.end(), '!');
    if (is_inside) {
        const Item &item = list->items[list->at];
        list->shown_key = item.key;
        list->base.entry = {slice_make(list->shown_key.data(), list->shown_key.size()),
                            slice_make(&item.place, sizeof(item.place)), item.version, ENTRY_PUT};
    }
}

void list_seek(entry_iterator *base, polarys_slice key, uint64_t version)
{
    List *list = list_of(base);
    Item wanted{std::string(reinterpret_cast<const char *>(key.data), key.size), version, 0};
    list->at = static_cast<size_t>(
        std::lower_bound(list->items.begin(), list->items.end(), wanted) - list->items.begin());
    list_show(list, list->at < list->items.size());
}

void list_first(entry_iterator *base)
{
    list_of(base)->at = 0;
    list_show(list_of(base), !list_of(base)->items.empty());
}

void list_last(entry_iterator *base)
{
    List *list = list_of(base);
    list->at = list->items.empty() ? 0 : list->items.size() - 1;
    list_show(list, !list->items.empty());
}

void list_next(entry_iterator *base)
{
    List *list = list_of(base);
    list->at++;
    list_show(list, list->at < list->items.size());
}

void list_previous(entry_iterator *base)
{
    List *list = list_of(base);
    bool is_inside = list->at > 0;
    list->at -= is_inside;
    list_show(list, is_inside);
}

void list_destroy(entry_iterator *base)
{
    live_lists--;
    delete list_of(base);
}

const entry_iterator_vtable list_vtable = {list_seek, list_first,    list_last,
                                           list_next, list_previous, list_destroy};

entry_iterator *make_list(std::vector<Item> items, int fail_after = 0)
{
    List *list = new List();
    live_lists++;
    std::sort(items.begin(), items.end());
    list->base.vtable = &list_vtable;
    list->items = std::move(items);
    list->fail_after = fail_after;
    return &list->base;
}

entry_iterator *merge_of(std::vector<entry_iterator *> children)
{
    entry_iterator *merge = nullptr;
    EXPECT_EQ(POLARYS_OK, merge_iterator_create(children.data(), children.size(), &merge, nullptr));
    return merge;
}

Item shown(const entry_iterator *merge)
{
    size_t place;
    memcpy(&place, merge->entry.value.data, sizeof(place));
    return {
        std::string(reinterpret_cast<const char *>(merge->entry.key.data), merge->entry.key.size),
        merge->entry.version, place};
}

void expect_at(const entry_iterator *merge, const std::vector<Item> &all, ptrdiff_t at)
{
    bool is_inside = at >= 0 && at < static_cast<ptrdiff_t>(all.size());
    ASSERT_EQ(is_inside, merge->is_valid);
    ASSERT_EQ(POLARYS_OK, merge->code);
    if (is_inside) {
        Item item = shown(merge);
        const Item &wanted = all[static_cast<size_t>(at)];
        ASSERT_EQ(wanted.key, item.key);
        ASSERT_EQ(wanted.version, item.version);
        ASSERT_EQ(wanted.place, item.place);
    }
}

TEST(MergeIterator, OfNothingIsEmpty)
{
    entry_iterator *merge = merge_of({});
    entry_iterator_seek_first(merge);
    EXPECT_FALSE(merge->is_valid);
    entry_iterator_seek_last(merge);
    EXPECT_FALSE(merge->is_valid);
    EXPECT_EQ(POLARYS_OK, merge->code);
    entry_iterator_destroy(merge);
}

TEST(MergeIterator, DeliversEqualEntriesOfAllChildrenEarliestFirst)
{
    entry_iterator *merge =
        merge_of({make_list({{"k", 5, 0}}), make_list({{"k", 5, 1}}), make_list({{"k", 5, 2}})});
    std::vector<Item> all = {{"k", 5, 0}, {"k", 5, 1}, {"k", 5, 2}};
    ptrdiff_t at = 0;
    for (entry_iterator_seek_first(merge); merge->is_valid; entry_iterator_next(merge)) {
        expect_at(merge, all, at++);
    }
    EXPECT_EQ(3, at);
    for (entry_iterator_seek_last(merge); merge->is_valid; entry_iterator_previous(merge)) {
        expect_at(merge, all, --at);
    }
    EXPECT_EQ(0, at);
    entry_iterator_destroy(merge);
}

// One random walk over random children, checked at each step.
void random_walk(sim_random *random)
{
    size_t child_count = sim_random_below(random, 7);
    std::vector<std::vector<Item>> items(child_count);
    std::vector<Item> all;
    for (size_t i = 0; i < child_count; i++) {
        size_t count = sim_random_below(random, 12);
        for (size_t j = 0; j < count; j++) {
            Item item{std::string(1 + sim_random_below(random, 3),
                                  static_cast<char>('a' + sim_random_below(random, 3))),
                      1 + sim_random_below(random, 4), i};
            bool is_new = std::none_of(items[i].begin(), items[i].end(), [&](const Item &other) {
                return other.key == item.key && other.version == item.version;
            });
            if (is_new) {
                items[i].push_back(item);
                all.push_back(item);
            }
        }
    }
    std::sort(all.begin(), all.end());
    std::vector<entry_iterator *> children;
    for (auto &each : items) {
        children.push_back(make_list(each));
    }
    entry_iterator *merge = merge_of(children);
    ptrdiff_t at = -1;
    bool is_placed = false;
    for (int step = 0; step < 60; step++) {
        uint64_t choice = sim_random_below(random, 10);
        if (!is_placed || choice < 3) {
            std::string key(1 + sim_random_below(random, 3),
                            static_cast<char>('a' + sim_random_below(random, 3)));
            uint64_t version = sim_random_below(random, 6);
            if (choice == 0) {
                entry_iterator_seek_first(merge);
                at = 0;
            } else if (choice == 1) {
                entry_iterator_seek_last(merge);
                at = static_cast<ptrdiff_t>(all.size()) - 1;
            } else {
                entry_iterator_seek(merge, slice_make(key.data(), key.size()), version);
                at = std::lower_bound(all.begin(), all.end(), Item{key, version, 0}) - all.begin();
            }
        } else if (choice < 7) {
            entry_iterator_next(merge);
            at++;
        } else {
            entry_iterator_previous(merge);
            at--;
        }
        ASSERT_NO_FATAL_FAILURE(expect_at(merge, all, at));
        is_placed = merge->is_valid;
    }
    entry_iterator_destroy(merge);
}

TEST(MergeIterator, WalksAsOneSortedListWhateverTheTurns)
{
    sim_random random;
    uint64_t seed = sim_seed(1);
    SCOPED_TRACE(seed);
    sim_random_init(&random, seed);
    for (int round = 0; round < 400; round++) {
        SCOPED_TRACE(round);
        ASSERT_NO_FATAL_FAILURE(random_walk(&random));
    }
    EXPECT_EQ(0, live_lists);
}

TEST(MergeIterator, StopsWithTheErrorOfAChildAtAnyMove)
{
    for (int fail_after = 1; fail_after <= 4; fail_after++) {
        entry_iterator *merge = merge_of({make_list({{"a", 1, 0}, {"c", 1, 0}, {"e", 1, 0}}),
                                          make_list({{"b", 1, 1}, {"d", 1, 1}}, fail_after)});
        int moves = 0;
        for (entry_iterator_seek_first(merge); merge->is_valid; entry_iterator_next(merge)) {
            ASSERT_LT(moves++, 10);
        }
        // The second child moves three times: to its first, its second and its end.
        EXPECT_EQ(fail_after <= 3 ? POLARYS_IO : POLARYS_OK, merge->code);
        if (fail_after <= 3) {
            EXPECT_STREQ("list failed", merge->error.message);
            entry_iterator_seek_first(merge);
            EXPECT_TRUE(merge->is_valid) << "a seek begins anew";
        }
        entry_iterator_destroy(merge);
    }
}

TEST(MergeIterator, StopsWithTheErrorOfAChildThatTurnsRound)
{
    entry_iterator *merge =
        merge_of({make_list({{"a", 1, 0}, {"c", 1, 0}}), make_list({{"b", 1, 1}}, 2)});
    entry_iterator_seek_first(merge);
    ASSERT_TRUE(merge->is_valid);
    entry_iterator_previous(merge);
    EXPECT_FALSE(merge->is_valid);
    EXPECT_EQ(POLARYS_IO, merge->code);
    entry_iterator_destroy(merge);
}

} // namespace
