/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Short names for what engine_index.h does to a test store, and a check that indexes equal documents.
 */
#ifndef TESTS_SUPPORT_ENGINE_TEST_INDEX_H
#define TESTS_SUPPORT_ENGINE_TEST_INDEX_H

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/engine_index.h"
#include "tests/support/engine/test_store.h"

namespace test_index {

struct asked {
    std::string name;
    std::vector<std::string> fields;
    polarys_index_kind kind = POLARYS_INDEX_ORDERED;
    bool is_unique = false;
    const char *language = nullptr;
};

struct listed {
    polarys_index_info info;
    std::vector<std::string> fields;
    std::string failure;
};

inline polarys_code create(test_store::store &db, const std::string &table, const asked &what,
                           std::string *name = nullptr,
                           const polarys_write_options *write = nullptr)
{
    std::vector<const char *> fields;
    for (const auto &field : what.fields) {
        fields.push_back(field.c_str());
    }
    polarys_index_options options{};
    options.name = what.name.c_str();
    options.fields = fields.data();
    options.field_count = fields.size();
    options.kind = what.kind;
    options.is_unique = what.is_unique;
    options.language = what.language;
    char made[POLARYS_NAME_BYTES_MAX + 1] = "";
    polarys_error_clear(&db.error);
    polarys_code code = polarys_index_create(db.db, nullptr, table.c_str(), &options, write, made,
                                             &db.result, &db.error);
    if (name != nullptr) {
        *name = made;
    }
    return code;
}

inline polarys_code drop(test_store::store &db, const std::string &table, const std::string &index)
{
    polarys_error_clear(&db.error);
    return polarys_index_drop(db.db, nullptr, table.c_str(), index.c_str(), nullptr, &db.result,
                              &db.error);
}

inline polarys_code wait(test_store::store &db, const std::string &table, const std::string &index)
{
    polarys_error_clear(&db.error);
    return polarys_index_wait(db.db, nullptr, table.c_str(), index.c_str(), 0, &db.error);
}

inline void create_ready(test_store::store &db, const std::string &table, const asked &what)
{
    std::string name;
    ASSERT_EQ(POLARYS_OK, create(db, table, what, &name)) << db.error.message;
    ASSERT_EQ(POLARYS_OK, wait(db, table, name)) << db.error.message;
}

inline std::vector<listed> list(test_store::store &db, const std::string &table)
{
    std::vector<listed> all;
    auto each = [](void *context, const polarys_index_info *info) {
        listed one{*info, {}, info->failure};
        for (size_t i = 0; i < info->field_count; i++) {
            one.fields.emplace_back(info->fields[i]);
        }
        static_cast<std::vector<listed> *>(context)->push_back(one);
        return true;
    };
    EXPECT_EQ(POLARYS_OK, polarys_index_list(db.db, nullptr, table.c_str(), each, &all, &db.error));
    return all;
}

inline polarys_index_check_result check(test_store::store &db, const std::string &table,
                                        const char *index = nullptr)
{
    polarys_index_check_result result{};
    EXPECT_EQ(POLARYS_OK, polarys_index_check(db.db, nullptr, table.c_str(), index, nullptr,
                                              nullptr, &result, &db.error))
        << db.error.message;
    return result;
}

/* Fails the test unless every READY index of the table equals its documents; returns the entries. */
inline uint64_t expect_clean(test_store::store &db, const std::string &table)
{
    polarys_index_check_result result = check(db, table);
    EXPECT_EQ(0u, result.missing_count) << result.first_fault;
    EXPECT_EQ(0u, result.stray_count) << result.first_fault;
    EXPECT_STREQ("", result.first_fault);
    return result.entry_count;
}

} // namespace test_index

#endif
