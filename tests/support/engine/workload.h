/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small workloads with an oracle outside the disk: what a store has promised, whatever happens to it.
 */
#ifndef TESTS_SUPPORT_ENGINE_WORKLOAD_H
#define TESTS_SUPPORT_ENGINE_WORKLOAD_H

#include <functional>

#include "tests/support/engine/test_store.h"

namespace test_store {

using contents = std::map<std::string, std::string>;

/* The states that a workload went through, and which of them has to survive. */
struct oracle {
    std::vector<contents> states{contents()}; /* [i]: after the i-th commit was asked for */
    size_t durable = 0;                       /* index of the last state that has to survive */
    bool has_table = false;

    /* True when `found` is one of the states that may be there. */
    bool allows(const contents &found) const;
};

/* Changes the store and the expected contents. is_async: acknowledged before it is durable. */
struct step {
    std::function<polarys_code(store &db)> act;
    std::function<void(contents &)> expect; /* empty: changes no documents */
    bool is_async = false;
};

/* Every value of a workload begins so, which no disk may show. */
constexpr const char *plaintext = "plaintext-";
std::string value_of(const std::string &what, size_t size = 40);

step put(const std::string &key, const std::string &value, bool is_async = false);
step replace_many(int count, size_t size);
step remove_range(const std::string &start, const std::string &end);
step flush();
step compact();
step reopen();

/* Opens the store, makes the table "t" and does the steps, until one fails. */
void run(store &db, const std::vector<step> &steps, oracle &expected);

/* The contents of the store on a copy of `disk`, opened in a world of its own; no table counts as empty
 * unless it must be there. Nothing, and a failure of the test, when it does not open. */
std::optional<contents> read_back(sim_disk *disk, uint64_t seed, bool must_have_table);

} // namespace test_store

#endif
