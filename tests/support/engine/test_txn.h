/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Short names for what engine_txn.h does, for tests that run against a test_store.
 */
#ifndef TESTS_SUPPORT_ENGINE_TEST_TXN_H
#define TESTS_SUPPORT_ENGINE_TEST_TXN_H

#include "engine/engine_txn.h"
#include "tests/support/engine/test_store.h"

namespace test_store {

polarys_txn_options txn_options(polarys_isolation isolation,
                                polarys_txn_mode mode = POLARYS_TXN_OPTIMISTIC);

/* The answer of something that was submitted. */
struct submitted {
    int done_count = 0;
    polarys_code code = POLARYS_OK;
    polarys_write_result result{};
    polarys_error error{};

    static void note(void *context, polarys_code code, const polarys_write_result *result,
                     const polarys_error *err);
    static void note_lock(void *context, polarys_code code, const polarys_error *err);
};

/* A transaction of one store: begun in the constructor, let go in the destructor. `error` is that of the
 * last call. */
class txn {
  public:
    explicit txn(polarys_db *db, const polarys_txn_options *options = nullptr,
                 const char *database = nullptr);
    explicit txn(polarys_db *db, polarys_isolation isolation,
                 polarys_txn_mode mode = POLARYS_TXN_OPTIMISTIC);
    ~txn();
    txn(const txn &) = delete;
    txn &operator=(const txn &) = delete;

    /* "-" when there is no such document; the code's name when it fails. */
    std::string get(const std::string &key, bool for_update = false, unsigned flags = 0,
                    const char *table = "t");
    polarys_code put(const std::string &key, const std::string &json, unsigned flags = 0,
                     const char *table = "t");
    polarys_code remove(const std::string &key, bool *existed = nullptr, unsigned flags = 0);
    polarys_code update(const std::string &key, const std::string &patch,
                        uint64_t expires_at_ms = UINT64_MAX, unsigned flags = 0);
    polarys_code remove_range(const std::string &start, const std::string &end, unsigned flags = 0);
    polarys_code require(const std::string &key, const polarys_precondition &precondition);
    /* "a=1 b=2 " */
    std::string scan(const std::string &start = "", const std::string &end = "",
                     bool is_reverse = false, size_t limit = SIZE_MAX);
    polarys_code commit(const polarys_write_options *options = nullptr);
    polarys_code rollback();
    /* Asks for the lock without waiting. */
    void lock(const std::string &key, polarys_lock_mode mode, submitted *to,
              uint64_t deadline_ns = 0);
    void lock_range(const std::string &start, const std::string &end, polarys_lock_mode mode,
                    submitted *to);
    polarys_txn_status status();
    std::vector<uint8_t> id();

    polarys_db *db;
    polarys_txn *handle = nullptr;
    polarys_error error{};
    polarys_write_result result{};
};

polarys_code txn_status_of(polarys_db *db, const std::vector<uint8_t> &id,
                           polarys_txn_status *status, const char *principal = nullptr);

} // namespace test_store

#endif
