/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/crypto/keyring.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "engine/base/checksum.h"
#include "engine/base/coding.h"
#include "engine/crypto/keyring_internal.h"
#include "tests/support/fault_alloc.h"
#include "tests/support/sim_clock.h"
#include "tests/support/sim_disk.h"
#include "tests/support/sim_random.h"

namespace {

class Keyring : public ::testing::Test {
  protected:
    Keyring()
    {
        sim_clock_init(&clock);
        sim_random_init(&random, 3);
        for (size_t i = 0; i < masters.size(); i++) {
            memset(masters[i].bytes, static_cast<int>(i + 1), MASTER_KEY_SIZE);
        }
        struct polarys_error ignored = {};
        EXPECT_EQ(POLARYS_OK, vfs_make_dir(sim_disk_vfs(disk), "/store", &ignored));
        sim_disk_settle(disk);
    }
    ~Keyring() override
    {
        keyring_close(ring);
        sim_disk_destroy(disk);
    }

    struct keyring_options settings(size_t first = 0, size_t count = 1)
    {
        struct keyring_options options = {};
        options.vfs = sim_disk_vfs(disk);
        options.dir = "/store";
        options.random = &random.base;
        options.clock = &clock.base;
        options.master_keys = &masters[first];
        options.master_key_count = count;
        return options;
    }
    void create()
    {
        struct keyring_options options = settings();
        ASSERT_EQ(POLARYS_OK, keyring_create(&options, &ring, &err)) << err.message;
    }
    enum polarys_code reopen(size_t first = 0, size_t count = 1)
    {
        keyring_close(ring);
        ring = nullptr;
        struct keyring_options options = settings(first, count);
        polarys_error_clear(&err);
        return keyring_open(&options, &ring, &err);
    }
    std::string subkey(uint32_t key_id)
    {
        uint8_t salt[AEAD_SALT_SIZE] = {9};
        struct aead_key key;
        if (keyring_derive(ring, key_id, salt, slice_from_text("test"), &key, &err) != POLARYS_OK) {
            return "";
        }
        std::string bytes(reinterpret_cast<char *>(key.bytes), sizeof(key.bytes));
        aead_key_deinit(&key);
        return bytes;
    }
    std::string file()
    {
        uint64_t size = 0;
        EXPECT_TRUE(sim_disk_file_size(disk, path, &size));
        std::string bytes(size, '\0');
        size_t read_size = 0;
        EXPECT_TRUE(sim_disk_file_read(disk, path, 0, &bytes[0], size, &read_size));
        return bytes;
    }
    void set_file(const std::string &bytes)
    {
        ASSERT_TRUE(sim_disk_file_resize(disk, path, bytes.size()));
        ASSERT_TRUE(sim_disk_file_write(disk, path, 0, bytes.data(), bytes.size()));
    }
    static std::string with_checksum(std::string bytes)
    {
        put_u32_le(reinterpret_cast<uint8_t *>(&bytes[bytes.size() - 4]),
                   checksum_crc32c(0, bytes.data(), bytes.size() - 4));
        return bytes;
    }

    static constexpr const char *path = "/store/keyring";
    struct sim_disk *disk = sim_disk_create(1);
    struct sim_clock clock;
    struct sim_random random;
    std::vector<struct master_key> masters{MASTER_KEYS_MAX};
    struct keyring *ring = nullptr;
    struct polarys_error err = {};
};

TEST_F(Keyring, OpensWhatItMade)
{
    create();
    std::string store_id(reinterpret_cast<const char *>(keyring_store_id(ring)), STORE_ID_SIZE);
    std::string key = subkey(keyring_active_id(ring));
    ASSERT_EQ(32u, key.size());
    ASSERT_EQ(POLARYS_OK, reopen()) << err.message;
    EXPECT_EQ(store_id,
              std::string(reinterpret_cast<const char *>(keyring_store_id(ring)), STORE_ID_SIZE));
    EXPECT_EQ(1u, keyring_active_id(ring));
    EXPECT_EQ(key, subkey(1));
    char id[17];
    char expected[17];
    keyring_master_id(ring, id);
    master_key_id(&masters[0], expected);
    EXPECT_STREQ(expected, id);
    EXPECT_EQ(16u, strlen(id));
}

TEST_F(Keyring, IsDurableWhenMade)
{
    create();
    sim_disk_crash(disk, SIM_CRASH_DROP_ALL);
    EXPECT_EQ(POLARYS_OK, reopen()) << err.message;
}

TEST_F(Keyring, NeverOverwritesARing)
{
    create();
    std::string before = file();
    struct keyring *other = nullptr;
    struct keyring_options options = settings();
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, keyring_create(&options, &other, &err));
    EXPECT_EQ(nullptr, other);
    EXPECT_EQ(before, file());
}

TEST_F(Keyring, SaysWhichMasterKeyIsWanted)
{
    create();
    std::string before = file();
    EXPECT_EQ(POLARYS_WRONG_MASTER_KEY, reopen(1, 7));
    EXPECT_EQ(nullptr, ring);
    char id[17];
    master_key_id(&masters[0], id);
    EXPECT_STREQ(id, polarys_error_detail_find(&err, "key_id"));
    EXPECT_EQ(32u, strlen(polarys_error_detail_find(&err, "store_id")));
    EXPECT_EQ(7u * 17 - 1, strlen(polarys_error_detail_find(&err, "key_ids")));
    EXPECT_EQ(before, file()) << "a wrong key changed the file";
    EXPECT_EQ(POLARYS_OK, reopen(0, 8)) << err.message;
}

TEST_F(Keyring, ReportsAMissingFile)
{
    EXPECT_EQ(POLARYS_FILE_NOT_FOUND, reopen());
}

TEST_F(Keyring, DetectsEveryFlippedByteAndEveryLength)
{
    create();
    uint32_t key_id;
    ASSERT_EQ(POLARYS_OK, keyring_rotate_data(ring, &key_id, &err));
    std::string good = file();
    for (size_t i = 0; i < good.size(); i++) {
        for (int bit = 0; bit < 8; bit += 3) {
            std::string bad = good;
            bad[i] = static_cast<char>(bad[i] ^ 1 << bit);
            set_file(bad);
            ASSERT_EQ(POLARYS_CORRUPT, reopen()) << i << " " << err.message;
        }
    }
    for (size_t size = 0; size < good.size(); size++) {
        set_file(good.substr(0, size));
        ASSERT_EQ(POLARYS_CORRUPT, reopen()) << size;
    }
    set_file(good + std::string(200000, 'x'));
    EXPECT_EQ(POLARYS_CORRUPT, reopen());
    set_file(good);
    EXPECT_EQ(POLARYS_OK, reopen()) << err.message;
}

TEST_F(Keyring, DetectsEveryChangeThatFixesTheChecksum)
{
    create();
    uint32_t key_id;
    ASSERT_EQ(POLARYS_OK, keyring_rotate_data(ring, &key_id, &err));
    std::string good = file();
    for (size_t i = 0; i < good.size() - 4; i++) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ 0x10);
        set_file(with_checksum(bad));
        enum polarys_code code = reopen();
        ASSERT_EQ(nullptr, ring) << i;
        if (i < 8 || (i >= 12 && i < 16)) {
            ASSERT_EQ(POLARYS_CORRUPT, code) << i;
        } else if (i < 12) {
            ASSERT_EQ(POLARYS_UNSUPPORTED_FORMAT, code) << i;
        } else if (i >= 32 && i < 40) {
            ASSERT_EQ(POLARYS_WRONG_MASTER_KEY, code) << i;
        } else {
            ASSERT_EQ(POLARYS_TAMPERED, code) << i << " " << err.message;
        }
    }
}

TEST_F(Keyring, DetectsDroppedAddedAndReorderedEntries)
{
    create();
    uint32_t key_id;
    ASSERT_EQ(POLARYS_OK, keyring_rotate_data(ring, &key_id, &err));
    std::string older = file();
    ASSERT_EQ(POLARYS_OK, keyring_rotate_data(ring, &key_id, &err));
    std::string good = file();
    std::string header = good.substr(0, KEYRING_HEADER_SIZE);
    std::string trailer = good.substr(good.size() - KEYRING_TRAILER_SIZE);
    std::vector<std::string> entries;
    for (size_t i = 0; i < 3; i++) {
        entries.push_back(
            good.substr(KEYRING_HEADER_SIZE + i * KEYRING_ENTRY_SIZE, KEYRING_ENTRY_SIZE));
    }
    auto attempt = [&](const std::vector<std::string> &list) {
        std::string bytes = header;
        put_u32_le(reinterpret_cast<uint8_t *>(&bytes[12]), static_cast<uint32_t>(list.size()));
        for (const std::string &entry : list) {
            bytes += entry;
        }
        set_file(with_checksum(bytes + trailer));
        return reopen();
    };
    EXPECT_EQ(POLARYS_OK, attempt(entries)) << err.message;
    EXPECT_EQ(POLARYS_TAMPERED, attempt({entries[0], entries[2]}));
    EXPECT_EQ(POLARYS_TAMPERED, attempt({entries[0], entries[1]}));
    EXPECT_EQ(POLARYS_TAMPERED, attempt({entries[1], entries[0], entries[2]}));
    EXPECT_EQ(POLARYS_TAMPERED, attempt({entries[0], entries[1], entries[2], entries[2]}));
    std::string old_entry = older.substr(KEYRING_HEADER_SIZE, KEYRING_ENTRY_SIZE);
    EXPECT_NE(old_entry, entries[0]) << "each image wraps anew";
    EXPECT_EQ(POLARYS_TAMPERED, attempt({old_entry, entries[1], entries[2]}));
    EXPECT_EQ(POLARYS_CORRUPT, attempt({}));
}

TEST_F(Keyring, RotatesDataKeysAndKeepsTheOldOnes)
{
    create();
    std::string first = subkey(1);
    uint32_t key_id = 0;
    for (uint32_t expected = 2; expected <= 5; expected++) {
        sim_clock_advance(&clock, 1000000000);
        ASSERT_EQ(POLARYS_OK, keyring_rotate_data(ring, &key_id, &err)) << err.message;
        EXPECT_EQ(expected, key_id);
        EXPECT_EQ(expected, keyring_active_id(ring));
    }
    ASSERT_EQ(POLARYS_OK, keyring_forget_data(ring, 3, &err)) << err.message;
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, keyring_forget_data(ring, 3, &err));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, keyring_forget_data(ring, 5, &err));
    ASSERT_EQ(POLARYS_OK, reopen()) << err.message;
    EXPECT_EQ(first, subkey(1));
    EXPECT_EQ("", subkey(3));
    EXPECT_NE(nullptr, strstr(err.message, "key id 3 is not in the keyring")) << err.message;
    EXPECT_EQ(32u, subkey(5).size());

    std::vector<struct keyring_key_info> infos;
    ASSERT_EQ(POLARYS_OK,
              keyring_list(
                  ring,
                  [](void *context, const struct keyring_key_info *info) {
                      static_cast<std::vector<struct keyring_key_info> *>(context)->push_back(
                          *info);
                  },
                  &infos, &err));
    ASSERT_EQ(4u, infos.size());
    EXPECT_EQ(1u, infos[0].key_id);
    EXPECT_FALSE(infos[0].is_active);
    EXPECT_EQ(infos[0].created_ms + 1000, infos[0].retired_ms);
    EXPECT_EQ(5u, infos[3].key_id);
    EXPECT_TRUE(infos[3].is_active);
    EXPECT_EQ(0u, infos[3].retired_ms);
}

TEST_F(Keyring, StopsAtTheLimitOfKeys)
{
    create();
    uint32_t key_id = 0;
    for (uint32_t i = 1; i < KEYRING_DATA_KEYS_MAX; i++) {
        ASSERT_EQ(POLARYS_OK, keyring_rotate_data(ring, &key_id, &err)) << err.message;
    }
    EXPECT_EQ(POLARYS_TOO_LARGE, keyring_rotate_data(ring, &key_id, &err));
    EXPECT_STREQ("1024", polarys_error_detail_find(&err, "limit"));
    ASSERT_EQ(POLARYS_OK, keyring_forget_data(ring, 2, &err));
    EXPECT_EQ(POLARYS_OK, keyring_rotate_data(ring, &key_id, &err));
    EXPECT_EQ(1025u, key_id) << "ids are never used again";
    EXPECT_EQ(POLARYS_OK, reopen()) << err.message;
}

TEST_F(Keyring, ChangesItsMasterKey)
{
    create();
    std::string key = subkey(1);
    ASSERT_EQ(POLARYS_OK, keyring_rotate_master(ring, &masters[4], &err)) << err.message;
    EXPECT_EQ(POLARYS_WRONG_MASTER_KEY, reopen(0, 4));
    ASSERT_EQ(POLARYS_OK, reopen(2, 6)) << err.message;
    EXPECT_EQ(key, subkey(1));
    uint32_t key_id;
    ASSERT_EQ(POLARYS_OK, keyring_rotate_data(ring, &key_id, &err));
    EXPECT_EQ(POLARYS_OK, reopen(4, 1)) << "the ring goes on under the key that it is wrapped with";
}

TEST_F(Keyring, IsOldOrNewAfterAPowerLossAtAnyCall)
{
    uint32_t key_id;
    for (uint64_t n = 1;; n++) {
        if (ring == nullptr && reopen(0, 8) == POLARYS_FILE_NOT_FOUND) {
            create();
        }
        std::string key = subkey(1);
        uint32_t before = keyring_active_id(ring);
        sim_disk_crash_at(disk, n);
        enum polarys_code code = keyring_rotate_data(ring, &key_id, &err);
        sim_disk_crash(disk, static_cast<enum sim_crash_policy>(n % SIM_CRASH_POLICY_COUNT));
        ASSERT_EQ(POLARYS_OK, reopen()) << n << " " << err.message;
        EXPECT_EQ(key, subkey(1));
        EXPECT_GE(keyring_active_id(ring), code == POLARYS_OK ? before + 1 : before);
        EXPECT_LE(keyring_active_id(ring), before + 1);
        if (code == POLARYS_OK) {
            EXPECT_GT(n, 3u);
            break;
        }
    }
}

TEST_F(Keyring, StaysWhatTheFileSaysWhenAChangeFails)
{
    create();
    uint32_t key_id;
    for (uint64_t n = 1;; n++) {
        sim_disk_fail_at(disk, n, SIM_FAULT_ENOSPC);
        enum polarys_code code = keyring_rotate_data(ring, &key_id, &err);
        uint64_t shown = sim_disk_fault_count(disk);
        sim_disk_fail_at(disk, 0, SIM_FAULT_ENOSPC);
        if (shown == 0) {
            EXPECT_EQ(POLARYS_OK, code);
            break;
        }
        EXPECT_EQ(POLARYS_DISK_LOW, code) << err.message;
        EXPECT_EQ(1u, keyring_active_id(ring));
    }
    EXPECT_EQ(2u, keyring_active_id(ring));
    random.fail_at = 1;
    EXPECT_EQ(POLARYS_IO, keyring_rotate_data(ring, &key_id, &err));
    EXPECT_EQ(2u, keyring_active_id(ring));
    EXPECT_EQ(POLARYS_OK, keyring_rotate_data(ring, &key_id, &err)) << err.message;
}

TEST_F(Keyring, FailsCleanlyWhereverMemoryRunsOut)
{
    ASSERT_TRUE(fault_alloc_is_linked());
    create();
    for (uint64_t n = 1;; n++) {
        keyring_close(ring);
        ring = nullptr;
        struct keyring_options options = settings();
        uint32_t key_id;
        fault_alloc_fail_at(n);
        enum polarys_code code = keyring_open(&options, &ring, &err);
        if (code == POLARYS_OK) {
            code = keyring_rotate_data(ring, &key_id, &err);
        }
        if (fault_alloc_disarm() == 0) {
            EXPECT_EQ(POLARYS_OK, code) << err.message;
            break;
        }
        EXPECT_EQ(POLARYS_NO_MEMORY, code) << n << " " << err.message;
    }
}

TEST_F(Keyring, KeepsItsKeysOutOfCoreDumps)
{
    create();
    /* "dd" among a mapping's VmFlags is MADV_DONTDUMP. */
    std::ifstream maps("/proc/self/smaps");
    std::string line;
    bool is_found = false;
    while (std::getline(maps, line)) {
        is_found =
            is_found || (line.rfind("VmFlags:", 0) == 0 && line.find(" dd ") != std::string::npos);
    }
    EXPECT_TRUE(is_found);
}

TEST_F(Keyring, ShowsNoKeyOnDisk)
{
    create();
    struct polarys_slice master = slice_make(masters[0].bytes, MASTER_KEY_SIZE);
    EXPECT_FALSE(sim_disk_find(disk, master, nullptr));
    std::string key = subkey(1);
    EXPECT_FALSE(sim_disk_find(disk, slice_make(key.data(), key.size()), nullptr));
}

class MasterKey : public Keyring {
  protected:
    enum polarys_code read(const std::string &contents)
    {
        struct polarys_error ignored = {};
        EXPECT_EQ(POLARYS_OK,
                  vfs_replace_file(sim_disk_vfs(disk), "/store", "master",
                                   slice_make(contents.data(), contents.size()), &ignored));
        polarys_error_clear(&err);
        return master_key_read_file(sim_disk_vfs(disk), "/store/master", &key, &err);
    }
    struct master_key key;
};

TEST_F(MasterKey, ReadsHexAndRawFiles)
{
    std::string hex;
    for (int i = 0; i < 32; i++) {
        hex += i % 2 == 0 ? "0f" : "A1";
    }
    for (const char *end : {"", "\n", "\r\n", "  \t\n\n"}) {
        memset(&key, 0, sizeof(key));
        ASSERT_EQ(POLARYS_OK, read(hex + end)) << err.message;
        EXPECT_EQ(0x0f, key.bytes[0]);
        EXPECT_EQ(0xa1, key.bytes[31]);
    }
    ASSERT_EQ(POLARYS_OK, read(std::string(32, '\x80')));
    EXPECT_EQ(0x80, key.bytes[31]);
}

TEST_F(MasterKey, SaysWhatAFileHoldsInstead)
{
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, read(""));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, read(std::string(63, 'a')));
    EXPECT_NE(nullptr, strstr(err.message, "63 bytes")) << err.message;
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, read(std::string(63, 'a') + "g"));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, read("\n" + std::string(64, 'a')));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, read(std::string(33, 'a')));
    EXPECT_EQ(POLARYS_BAD_ARGUMENT, read(std::string(5000, 'a')));
    EXPECT_EQ(nullptr, strstr(err.message, "aaaa")) << "the file's contents got into a message";
    EXPECT_EQ(POLARYS_FILE_NOT_FOUND,
              master_key_read_file(sim_disk_vfs(disk), "/store/none", &key, &err));
}

/* Worked out with Python: hashlib.scrypt(b"correct horse", salt=sha256(b"node-1"), n=2**17, r=8, p=1). */
TEST_F(MasterKey, DerivesFromAPassphraseByScrypt)
{
    ASSERT_EQ(POLARYS_OK, master_key_derive(slice_from_text("correct horse"),
                                            slice_from_text("node-1"), &key, &err))
        << err.message;
    std::string hex;
    char digits[3];
    for (uint8_t byte : key.bytes) {
        snprintf(digits, sizeof(digits), "%02x", byte);
        hex += digits;
    }
    EXPECT_EQ("0a95baee28802b87aba2491eec1aa6e37a6dbe930b2334017ed5e9b8289eddb6", hex);
    EXPECT_EQ(POLARYS_BAD_ARGUMENT,
              master_key_derive(slice_from_text("seven77"), slice_from_text(""), &key, &err));
}

TEST_F(MasterKey, HasAnIdThatIsPublic)
{
    char id[17];
    master_key_id(&masters[0], id);
    EXPECT_STREQ("acc21e5a0fad39d7", id);
    master_key_wipe(&masters[0]);
    EXPECT_EQ(0, masters[0].bytes[0]);
}

} // namespace
