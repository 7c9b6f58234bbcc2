/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the Go program for tests: the real ones of tests/data/polarysdb-go, and makers of others that are
 * written here a second time, apart from the code under test.
 */
#ifndef TESTS_UNIT_CLI_POLARYSDB_FILES_H
#define TESTS_UNIT_CLI_POLARYSDB_FILES_H

#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <list>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "client/cli/polarysdb_source.h"
#include "tests/support/temp_dir.h"

namespace go_files {

/* ---- the real ones ---- */

inline const char *const kKeyHex =
    "6d792d7365637265742d656e6372797074696f6e2d6b65792d33326200000000";
inline const char *const kOtherHex =
    "6d792d7365637265742d656e6372797074696f6e2d6b65792d33326200000001";
inline const char *const kZeroHex =
    "0000000000000000000000000000000000000000000000000000000000000000";

inline std::string Real(const std::string &name)
{
    const char *source = getenv("POLARYS_SOURCE");
    return std::string(source != nullptr ? source : ".") + "/tests/data/polarysdb-go/" + name;
}

inline std::string Read(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    EXPECT_TRUE(file.is_open()) << path;
    std::stringstream bytes;
    bytes << file.rdbuf();
    return bytes.str();
}

inline void Write(const std::string &path, const std::string &bytes)
{
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << bytes;
    file.close();
    ASSERT_TRUE(file.good()) << path;
}

/* Sets when a file was changed last. */
inline void SetTime(const std::string &path, int64_t ns)
{
    struct timespec times[2];
    times[0].tv_sec = times[1].tv_sec = (time_t)(ns / 1000000000);
    times[0].tv_nsec = times[1].tv_nsec = (long)(ns % 1000000000);
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0) << path;
}

/* ---- made ones ---- */

inline std::string KeyBytes(const std::string &hex)
{
    std::string bytes;
    for (size_t i = 0; i < hex.size(); i += 2) {
        bytes.push_back((char)std::stoi(hex.substr(i, 2), nullptr, 16));
    }
    return bytes;
}

/* nonce, ciphertext, tag. */
inline std::string Seal(const std::string &plain, const std::string &hex = kKeyHex,
                        char nonce_byte = 'n')
{
    std::string key = KeyBytes(hex);
    std::string nonce(12, nonce_byte);
    std::string out(plain.size(), '\0');
    std::string tag(16, '\0');
    int written = 0;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    EXPECT_EQ(EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nullptr,
                                 (const unsigned char *)key.data(),
                                 (const unsigned char *)nonce.data()),
              1);
    if (!plain.empty()) {
        EXPECT_EQ(EVP_EncryptUpdate(context, (unsigned char *)out.data(), &written,
                                    (const unsigned char *)plain.data(), (int)plain.size()),
                  1);
    }
    unsigned char rest[16];
    EXPECT_EQ(EVP_EncryptFinal_ex(context, rest, &written), 1);
    EXPECT_EQ(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, 16, tag.data()), 1);
    EVP_CIPHER_CTX_free(context);
    return nonce + out + tag;
}

inline uint32_t Crc32(const std::string &bytes)
{
    uint32_t crc = 0xffffffff;
    for (unsigned char byte : bytes) {
        crc ^= byte;
        for (int i = 0; i < 8; i++) {
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320 : 0);
        }
    }
    return ~crc;
}

inline std::string Number32(uint32_t number, bool is_big_endian = false)
{
    std::string bytes;
    for (int i = 0; i < 4; i++) {
        bytes.push_back((char)(number >> 8 * (is_big_endian ? 3 - i : i)));
    }
    return bytes;
}

inline std::string Varint(uint64_t number)
{
    std::string bytes;
    for (; number >= 0x80; number >>= 7) {
        bytes.push_back((char)(number | 0x80));
    }
    bytes.push_back((char)number);
    return bytes;
}

inline std::string Field(unsigned number, const std::string &bytes)
{
    return Varint(number << 3 | 2) + Varint(bytes.size()) + bytes;
}

inline std::string NumberField(unsigned number, uint64_t value)
{
    return Varint(number << 3) + Varint(value);
}

/* A message as the program writes it: what is empty is left out. */
inline std::string Message(unsigned operation, const std::string &table, const std::string &key,
                           const std::string &value = "", uint64_t time_ns = 1)
{
    return NumberField(1, operation) + (table.empty() ? "" : Field(2, table)) +
           (key.empty() ? "" : Field(3, key)) + (value.empty() ? "" : Field(4, value)) +
           (time_ns == 0 ? "" : NumberField(6, time_ns));
}

/* An entry of a log. */
inline std::string Entry(const std::string &data)
{
    return Number32((uint32_t)data.size()) + Number32(Crc32(data)) + data;
}

inline std::string SealedEntry(const std::string &message, const std::string &hex = kKeyHex)
{
    return Entry(Seal(message, hex));
}

inline std::string PythonFile(const std::string &plain, uint32_t version = 1)
{
    return "PLRD" + Number32(version, true) + Number32(Crc32(plain), true) + Seal(plain);
}

/* ---- what was read ---- */

/* A value as text: JSON as it is, bytes in brackets. */
using Table = std::map<std::string, std::string>;

struct Loaded {
    bool is_read = false;
    std::string reason;
    std::string message;
    std::map<std::string, Table> tables;
    uint64_t entries = 0;
    uint64_t left_out = 0;
};

inline std::string Shown(const struct polarysdb_change &document)
{
    std::string value((const char *)document.value, document.value_size);
    return document.kind == POLARYSDB_RAW ? "<" + value + ">" : value;
}

inline Loaded Load(const std::string &path, const std::vector<std::string> &keys = {kKeyHex},
                   bool replays_all = false)
{
    Loaded loaded;
    struct polarysdb_source source = {};
    struct polarysdb_fault fault = {};

    source.replays_all = replays_all;
    for (const std::string &key : keys) {
        EXPECT_TRUE(polarysdb_keys_add(&source.keys, key.c_str()));
    }
    loaded.is_read = polarysdb_source_read(&source, path.c_str(), &fault);
    loaded.reason = fault.reason;
    loaded.message = fault.message;
    loaded.entries = source.log.entries;
    loaded.left_out = source.log.left_out;
    for (size_t i = 0; loaded.is_read && i < source.store.table_count; i++) {
        const struct polarysdb_table *table = source.store.tables[i];
        Table &documents = loaded.tables[std::string(table->name, table->name_size)];
        for (uint64_t j = 0; j < table->count; j++) {
            const struct polarysdb_change &document = source.store.changes[table->first + j];
            documents[std::string(document.key, document.key_size)] = Shown(document);
        }
        EXPECT_EQ(documents.size(), table->count);
    }
    polarysdb_source_deinit(&source);
    return loaded;
}

/* What bytes in a file of this name hold. */
inline Loaded LoadBytes(const std::string &bytes, const std::vector<std::string> &keys = {kKeyHex},
                        const std::string &name = "file")
{
    scoped_temp_dir directory;
    std::string path = std::string(directory.path()) + "/" + name;
    Write(path, bytes);
    return Load(path, keys);
}

/* ---- what the real ones hold, from their README ---- */

inline Table Snapshot110()
{
    return {{"bool", "true"},      {"bytes", "\"AQL/\""},
            {"int", "42"},         {"map", R"({"a":1,"b":"x"})"},
            {"numstr", "\"123\""}, {"str", "\"hello\""}};
}

inline Table Log110()
{
    Table table = Snapshot110();
    table["bytes"] = "<\x01\x02\xff>";
    table["numstr"] = "123";
    return table;
}

inline Table Snapshot210()
{
    return {{"arr", R"([1,"a",null,true])"},
            {"big", "9007199254740993"},
            {"bytes", R"("AAEC/w==")"},
            {"f32", "0.1"},
            {"f64", "3.25"},
            {"fbig", "1e+21"},
            {"int", "1234567"},
            {"map", R"({"age":30,"name":"Alice","nested":{"x":[1.5]}})"},
            {"neg", "-5"},
            {"nil", "null"},
            {"str", "\"h\xc3\xa9llo \\u003c\\u0026\\u003e \\u2028\""},
            {"struct", R"({"name":"Bob","Age":7})"},
            {"true", "true"},
            {"uint", "18446744073709551615"}};
}

inline Table Log210()
{
    Table table = Snapshot210();
    table["bytes"] = std::string("<\0\x01\x02\xff>", 6);
    table["fbig"] = "1000000000000000000000";
    table["str"] = "\"h\xc3\xa9llo <&> \xe2\x80\xa8\"";
    return table;
}

} // namespace go_files

#endif
