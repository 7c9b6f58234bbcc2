/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out what test_txn.h promises.
 */
#include "tests/support/engine/test_txn.h"

#include <gtest/gtest.h>

namespace test_store {

polarys_txn_options txn_options(polarys_isolation isolation, polarys_txn_mode mode)
{
    polarys_txn_options options{};
    options.isolation = isolation;
    options.mode = mode;
    return options;
}

void submitted::note(void *context, polarys_code code, const polarys_write_result *result,
                     const polarys_error *err)
{
    auto *to = static_cast<submitted *>(context);
    to->done_count++;
    to->code = code;
    to->result = *result;
    to->error = *err;
}

void submitted::note_lock(void *context, polarys_code code, const polarys_error *err)
{
    auto *to = static_cast<submitted *>(context);
    to->done_count++;
    to->code = code;
    to->error = *err;
}

txn::txn(polarys_db *given, const polarys_txn_options *options, const char *database) : db(given)
{
    EXPECT_EQ(POLARYS_OK, polarys_txn_begin(db, database, options, &handle, &error))
        << error.message;
}

txn::txn(polarys_db *given, polarys_isolation isolation, polarys_txn_mode mode) : db(given)
{
    polarys_txn_options options = txn_options(isolation, mode);
    EXPECT_EQ(POLARYS_OK, polarys_txn_begin(db, nullptr, &options, &handle, &error))
        << error.message;
}

txn::~txn()
{
    polarys_txn_release(handle);
}

std::string txn::get(const std::string &key, bool for_update, unsigned flags, const char *table)
{
    polarys_document document{};
    polarys_code code =
        polarys_txn_get(handle, table, bytes_of(key), for_update, flags, &document, &error);
    std::string value = code == POLARYS_OK              ? text_of(document.value.bytes)
                        : code == POLARYS_KEY_NOT_FOUND ? "-"
                                                        : polarys_code_name(code);
    polarys_document_release(&document);
    return value;
}

polarys_code txn::put(const std::string &key, const std::string &json, unsigned flags,
                      const char *table)
{
    polarys_value value = json_of(json);
    return polarys_txn_put(handle, table, bytes_of(key), &value, flags, &error);
}

polarys_code txn::remove(const std::string &key, bool *existed, unsigned flags)
{
    return polarys_txn_delete(handle, "t", bytes_of(key), flags, existed, &error);
}

polarys_code txn::update(const std::string &key, const std::string &patch, uint64_t expires_at_ms,
                         unsigned flags)
{
    polarys_value value = json_of(patch, expires_at_ms);
    return polarys_txn_update(handle, "t", bytes_of(key), &value, flags, &error);
}

polarys_code txn::remove_range(const std::string &start, const std::string &end, unsigned flags)
{
    return polarys_txn_delete_range(handle, "t", bytes_of(start), bytes_of(end), flags, &error);
}

polarys_code txn::require(const std::string &key, const polarys_precondition &precondition)
{
    return polarys_txn_require(handle, "t", bytes_of(key), &precondition, 0, &error);
}

std::string txn::scan(const std::string &start, const std::string &end, bool is_reverse,
                      size_t limit)
{
    polarys_scan_options options{};
    options.table = "t";
    options.start = bytes_of(start);
    options.end = bytes_of(end);
    options.is_reverse = is_reverse;
    options.txn = handle;
    polarys_scan *scan = nullptr;
    polarys_code code = polarys_scan_open(db, &options, &scan, &error);
    std::string text;
    bool has_document = code == POLARYS_OK && limit > 0;
    while (has_document) {
        polarys_document document{};
        code = polarys_scan_next(scan, &has_document, &document, &error);
        has_document = has_document && code == POLARYS_OK;
        if (has_document) {
            text += text_of(document.key) + "=" + text_of(document.value.bytes) + " ";
            has_document = --limit > 0;
        }
    }
    polarys_scan_close(scan);
    return code == POLARYS_OK ? text : text + polarys_code_name(code);
}

polarys_code txn::commit(const polarys_write_options *options)
{
    return polarys_txn_commit(handle, options, &result, &error);
}

polarys_code txn::rollback()
{
    return polarys_txn_rollback(handle, &error);
}

void txn::lock(const std::string &key, polarys_lock_mode mode, submitted *to, uint64_t deadline_ns)
{
    polarys_lock_wanted wanted{};
    wanted.table = "t";
    wanted.start = bytes_of(key);
    wanted.is_key = true;
    wanted.mode = mode;
    polarys_txn_lock(handle, &wanted, deadline_ns, submitted::note_lock, to);
}

void txn::lock_range(const std::string &start, const std::string &end, polarys_lock_mode mode,
                     submitted *to)
{
    polarys_lock_wanted wanted{};
    wanted.table = "t";
    wanted.start = bytes_of(start);
    wanted.end = bytes_of(end);
    wanted.mode = mode;
    polarys_txn_lock(handle, &wanted, 0, submitted::note_lock, to);
}

std::vector<uint8_t> txn::id()
{
    const uint8_t *bytes = polarys_txn_id(handle);
    return std::vector<uint8_t>(bytes, bytes + POLARYS_TXN_ID_SIZE);
}

polarys_txn_status txn::status()
{
    polarys_txn_status now{};
    EXPECT_EQ(POLARYS_OK, polarys_txn_status_get(db, polarys_txn_database(handle),
                                                 polarys_txn_principal(handle),
                                                 polarys_txn_id(handle), &now, &error))
        << error.message;
    return now;
}

polarys_code txn_status_of(polarys_db *db, const std::vector<uint8_t> &id,
                           polarys_txn_status *status, const char *principal)
{
    polarys_error err;
    polarys_error_clear(&err);
    return polarys_txn_status_get(db, nullptr, principal, id.data(), status, &err);
}

} // namespace test_store
