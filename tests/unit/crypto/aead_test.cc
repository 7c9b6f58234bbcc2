/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/crypto/aead.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace {

std::vector<uint8_t> from_hex(const std::string &hex)
{
    std::vector<uint8_t> bytes;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
        bytes.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    return bytes;
}

struct polarys_slice slice_of(const std::vector<uint8_t> &bytes)
{
    return slice_make(bytes.data(), bytes.size());
}

class Aead : public ::testing::Test {
  protected:
    Aead()
    {
        uint8_t bytes[AEAD_KEY_SIZE];
        memset(bytes, 7, sizeof(bytes));
        aead_key_init(&key, bytes);
    }
    ~Aead() override
    {
        aead_key_deinit(&key);
    }
    struct aead_key key;
    struct polarys_error err = {};
};

/* The GCM specification's test cases 13 and 14: a zero key, a zero nonce, no additional data. */
TEST_F(Aead, MatchesPublishedVectors)
{
    uint8_t zeros[AEAD_KEY_SIZE] = {};
    struct aead_key zero_key;
    aead_key_init(&zero_key, zeros);
    uint8_t tag[AEAD_TAG_SIZE];
    ASSERT_EQ(POLARYS_OK,
              aead_seal(&zero_key, 0, slice_make(nullptr, 0), nullptr, 0, nullptr, tag, &err));
    EXPECT_EQ(from_hex("530f8afbc74536b9a963b4f1c4cb738b"),
              std::vector<uint8_t>(tag, tag + sizeof(tag)));
    uint8_t block[16] = {};
    struct polarys_slice piece = slice_make(block, sizeof(block));
    uint8_t sealed[16];
    ASSERT_EQ(POLARYS_OK,
              aead_seal(&zero_key, 0, slice_make(nullptr, 0), &piece, 1, sealed, tag, &err));
    EXPECT_EQ(from_hex("cea7403d4d606b6e074ec5d3baf39d18"),
              std::vector<uint8_t>(sealed, sealed + sizeof(sealed)));
    EXPECT_EQ(from_hex("d0d1c8a799996bf0265b98b5d48ab919"),
              std::vector<uint8_t>(tag, tag + sizeof(tag)));
    aead_key_deinit(&zero_key);
}

/* RFC 5869 has no case with a 32-byte secret and salt; this one was worked out with Python's hmac. */
TEST_F(Aead, DerivesByHkdfSha256)
{
    uint8_t secret[AEAD_KEY_SIZE];
    uint8_t salt[AEAD_SALT_SIZE];
    for (size_t i = 0; i < sizeof(secret); i++) {
        secret[i] = static_cast<uint8_t>(i);
        salt[i] = static_cast<uint8_t>(255 - i);
    }
    struct aead_key derived;
    ASSERT_EQ(POLARYS_OK, aead_key_derive(secret, salt, slice_from_text("info"), &derived, &err));
    EXPECT_EQ(from_hex("e46f8acfb2cceb5f92e829f1bafa29b258bd6630dd0aba07fabd998fd943fd4f"),
              std::vector<uint8_t>(derived.bytes, derived.bytes + sizeof(derived.bytes)));
    EXPECT_NE(0u, derived.identity);
    struct aead_key other;
    ASSERT_EQ(POLARYS_OK, aead_key_derive(secret, salt, slice_make(nullptr, 0), &other, &err));
    EXPECT_NE(0, memcmp(derived.bytes, other.bytes, sizeof(other.bytes)));
    EXPECT_NE(derived.identity, other.identity);
    aead_key_deinit(&derived);
    aead_key_deinit(&other);
}

TEST_F(Aead, OpensWhatItSealedHoweverItWasCutIntoPieces)
{
    std::vector<uint8_t> plain(5000);
    for (size_t i = 0; i < plain.size(); i++) {
        plain[i] = static_cast<uint8_t>(i * 31);
    }
    struct polarys_slice whole = slice_of(plain);
    std::vector<uint8_t> reference(plain.size());
    uint8_t tag[AEAD_TAG_SIZE];
    struct polarys_slice header = slice_from_text("header");
    ASSERT_EQ(POLARYS_OK, aead_seal(&key, 9, header, &whole, 1, reference.data(), tag, &err));
    for (size_t cut : {size_t{0}, size_t{1}, size_t{15}, size_t{16}, size_t{17}, size_t{4999}}) {
        struct polarys_slice pieces[4] = {
            slice_make(plain.data(), cut), slice_make(nullptr, 0),
            slice_make(plain.data() + cut, 1),
            slice_make(plain.data() + cut + 1, plain.size() - cut - 1)};
        std::vector<uint8_t> sealed(plain.size());
        uint8_t other_tag[AEAD_TAG_SIZE];
        ASSERT_EQ(POLARYS_OK,
                  aead_seal(&key, 9, header, pieces, 4, sealed.data(), other_tag, &err));
        EXPECT_EQ(reference, sealed) << cut;
        EXPECT_EQ(0, memcmp(tag, other_tag, sizeof(tag))) << cut;
    }
    ASSERT_EQ(POLARYS_OK,
              aead_open(&key, 9, header, slice_of(reference), tag, reference.data(), &err));
    EXPECT_EQ(plain, reference) << "opened in place";
}

TEST_F(Aead, RefusesAndWipesWhateverWasChanged)
{
    std::vector<uint8_t> plain(100, 'p');
    struct polarys_slice piece = slice_of(plain);
    std::vector<uint8_t> sealed(plain.size());
    uint8_t tag[AEAD_TAG_SIZE];
    struct polarys_slice header = slice_from_text("header");
    ASSERT_EQ(POLARYS_OK, aead_seal(&key, 3, header, &piece, 1, sealed.data(), tag, &err));
    std::vector<uint8_t> out(plain.size());
    const std::vector<uint8_t> wiped(plain.size(), 0);
    auto open = [&](const struct aead_key *with, uint64_t ordinal,
                    struct polarys_slice additional) {
        std::fill(out.begin(), out.end(), 'x');
        return aead_open(with, ordinal, additional, slice_of(sealed), tag, out.data(), &err);
    };
    for (size_t i = 0; i < sealed.size(); i++) {
        sealed[i] ^= 1;
        ASSERT_EQ(POLARYS_TAMPERED, open(&key, 3, header)) << i;
        ASSERT_EQ(wiped, out) << i;
        sealed[i] ^= 1;
    }
    for (size_t i = 0; i < sizeof(tag); i++) {
        tag[i] ^= 0x80;
        ASSERT_EQ(POLARYS_TAMPERED, open(&key, 3, header)) << i;
        tag[i] ^= 0x80;
    }
    EXPECT_EQ(POLARYS_TAMPERED, open(&key, 4, header));
    EXPECT_EQ(POLARYS_TAMPERED, open(&key, 3, slice_from_text("Header")));
    EXPECT_EQ(POLARYS_TAMPERED, open(&key, 3, slice_make(nullptr, 0)));
    struct aead_key other;
    uint8_t bytes[AEAD_KEY_SIZE];
    memset(bytes, 8, sizeof(bytes));
    aead_key_init(&other, bytes);
    EXPECT_EQ(POLARYS_TAMPERED, open(&other, 3, header));
    aead_key_deinit(&other);
    EXPECT_EQ(POLARYS_OK, open(&key, 3, header)) << "a failure leaves nothing behind";
    EXPECT_EQ(plain, out);
}

TEST_F(Aead, KeepsManyKeysApartInOneThread)
{
    std::vector<struct aead_key> keys(40);
    std::vector<std::vector<uint8_t>> sealed(keys.size(), std::vector<uint8_t>(20));
    std::vector<std::vector<uint8_t>> tags(keys.size(), std::vector<uint8_t>(AEAD_TAG_SIZE));
    struct polarys_slice piece = slice_make("twenty bytes of text", 20);
    for (size_t i = 0; i < keys.size(); i++) {
        uint8_t bytes[AEAD_KEY_SIZE];
        memset(bytes, static_cast<int>(i), sizeof(bytes));
        aead_key_init(&keys[i], bytes);
        ASSERT_EQ(POLARYS_OK, aead_seal(&keys[i], i, slice_make(nullptr, 0), &piece, 1,
                                        sealed[i].data(), tags[i].data(), &err));
    }
    for (size_t round = 0; round < 3; round++) {
        for (size_t j = 0; j < keys.size(); j++) {
            size_t i = j * 17 % keys.size();
            uint8_t out[20];
            ASSERT_EQ(POLARYS_OK, aead_open(&keys[i], i, slice_make(nullptr, 0),
                                            slice_of(sealed[i]), tags[i].data(), out, &err));
            ASSERT_EQ(0, memcmp(out, piece.data, 20));
        }
    }
    for (struct aead_key &each : keys) {
        aead_key_deinit(&each);
        EXPECT_EQ(0, each.bytes[0]);
        EXPECT_EQ(0u, each.identity);
    }
}

TEST_F(Aead, WorksInThreadsThatComeAndGo)
{
    for (int round = 0; round < 4; round++) {
        std::vector<std::thread> threads;
        std::vector<int> good(4, 0);
        for (size_t t = 0; t < good.size(); t++) {
            threads.emplace_back([&, t] {
                for (uint64_t i = 0; i < 200; i++) {
                    uint8_t plain[33];
                    uint8_t sealed[33];
                    uint8_t tag[AEAD_TAG_SIZE];
                    memset(plain, static_cast<int>(i), sizeof(plain));
                    struct polarys_slice piece = slice_make(plain, sizeof(plain));
                    struct polarys_slice none = slice_make(nullptr, 0);
                    if (aead_seal(&key, i, none, &piece, 1, sealed, tag, nullptr) == POLARYS_OK &&
                        aead_open(&key, i, none, slice_make(sealed, sizeof(sealed)), tag, sealed,
                                  nullptr) == POLARYS_OK &&
                        memcmp(plain, sealed, sizeof(plain)) == 0) {
                        good[t]++;
                    }
                }
            });
        }
        for (std::thread &thread : threads) {
            thread.join();
        }
        for (int count : good) {
            EXPECT_EQ(200, count);
        }
    }
}

} // namespace
