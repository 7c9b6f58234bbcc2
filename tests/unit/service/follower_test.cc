// SPDX-License-Identifier: Apache-2.0
// A follower shows what its primary has, whatever happens to the connection, and is promoted only when it may be.
#include <gtest/gtest.h>

#include <filesystem>
#include <system_error>

#include "tests/unit/service/replica_fixture.h"

namespace {

namespace fs = std::filesystem;
using replica_test::Get;
using replica_test::Node;
using replica_test::Primary;

class FollowerTest : public ::testing::Test {
  protected:
    void SetUp() override
    {
        std::string pattern = ::testing::TempDir() + "polarys-follower-XXXXXX";
        directory_ = mkdtemp(pattern.data());
        primary_ = std::make_unique<Primary>(directory_);
        node_ = std::make_unique<Node>(directory_, primary_->key_file);
        replica_test::reachable = primary_.get();
        primary_->Open();
        primary_->MakeTable("t");
        primary_->Put("a", "1");
        primary_->MakeCopy();
    }
    void TearDown() override
    {
        node_.reset();
        primary_.reset();
        replica_test::reachable = nullptr;
        std::error_code ignored;
        fs::remove_all(directory_, ignored);
    }
    void Fill(int count, size_t size = 100)
    {
        for (int i = 0; i < count; i++) {
            primary_->Put(("k" + std::to_string(i)).c_str(),
                          "\"" + std::string(size, static_cast<char>('a' + i % 26)) + "\"");
        }
    }
    void CatchUp()
    {
        ASSERT_TRUE(primary_->WaitApplied(primary_->Version()));
        EXPECT_EQ(polarys_db_version(node_->db), primary_->Version());
    }
    follower_status Status()
    {
        follower_status status;
        follower_status_get(node_->following, &status);
        return status;
    }
    void Refuse(const std::string &method, polarys_code code)
    {
        std::lock_guard<std::mutex> lock(primary_->mutex);
        primary_->refuse = [method, code](const std::string &called, polarys_error *err) {
            return called == method ? polarys_fail(err, code, "refused") : POLARYS_OK;
        };
    }
    void Disconnect()
    {
        replica_test::reachable = nullptr;
        primary_->Wake();
    }

    std::string directory_;
    std::unique_ptr<Primary> primary_;
    std::unique_ptr<Node> node_;
};

TEST_F(FollowerTest, ShowsWhatThePrimaryHasAndSaysSo)
{
    node_->Start();
    Fill(50);
    Fill(3, 5000); /* frames that come in parts */
    CatchUp();
    EXPECT_EQ(Get(node_->db, "t", "a"), "1");
    EXPECT_EQ(Get(node_->db, "t", "k1"), "\"" + std::string(5000, 'b') + "\"");
    EXPECT_TRUE(follower_is_following(node_->following));
    EXPECT_TRUE(follower_is_ready(node_->following));
    for (const auto &ack : primary_->acks) {
        EXPECT_LE(ack.applied, ack.durable);
        EXPECT_EQ(ack.durable, ack.received);
    }
    follower_status status = Status();
    EXPECT_EQ(status.state, FOLLOWER_TAILING);
    EXPECT_EQ(status.behind_versions, 0u);
    EXPECT_EQ(status.end_version, primary_->Version());
    EXPECT_LT(status.behind_ms, 60000u);
    EXPECT_STREQ(status.primary, "127.0.0.1:1");
}

TEST_F(FollowerTest, GoesOnInFurtherSegmentsAndAfterARestart)
{
    node_->Start();
    Fill(30, 60000); /* 1.8 MB: more than a segment */
    CatchUp();
    node_->Close();
    Fill(30, 60000);
    node_->Start();
    CatchUp();
    EXPECT_EQ(Get(node_->db, "t", "k7"), Get(primary_->db, "t", "k7"));
}

TEST_F(FollowerTest, ComesBackWhenTheConnectionWasLost)
{
    node_->Start();
    CatchUp();
    int tails = primary_->tail_count;
    primary_->Break();
    ASSERT_TRUE(primary_->WaitTails(tails + 1));
    Fill(5);
    CatchUp();
    EXPECT_EQ(node_->ended.end, -1);
}

TEST_F(FollowerTest, TakesInNothingThatWasTamperedWith)
{
    Fill(5);
    {
        std::lock_guard<std::mutex> lock(primary_->mutex);
        primary_->tamper = [](std::string *frame) { (*frame)[frame->size() / 2] ^= 1; };
    }
    node_->Start();
    ASSERT_TRUE(primary_->WaitTails(3)) << "it tries again";
    EXPECT_EQ(Get(node_->db, "t", "k1"), "KEY_NOT_FOUND");
    EXPECT_FALSE(follower_is_ready(node_->following));
    {
        std::lock_guard<std::mutex> lock(primary_->mutex);
        primary_->tamper = nullptr;
    }
    CatchUp();
    EXPECT_EQ(Get(node_->db, "t", "k1"), Get(primary_->db, "t", "k1"));
}

TEST_F(FollowerTest, MarksAStoreThatCantGoOn)
{
    for (polarys_code code : {POLARYS_LOG_PRUNED, POLARYS_HISTORY_DIVERGED}) {
        for (const char *method : {"Handshake", "TailLog"}) {
            Refuse(method, code);
            node_->Start();
            EXPECT_EQ(node_->ended.Wait(), static_cast<int>(FOLLOWER_REOPEN)) << method;
            node_->Close();
            role found;
            polarys_error err = {};
            ASSERT_EQ(role_read(node_->settings.data_dir, &found, &err), POLARYS_OK);
            EXPECT_EQ(found.step, ROLE_SET_ASIDE);
            primary_->refuse = nullptr;
            node_->Start(); /* copies anew */
            CatchUp();
            node_->Close();
            EXPECT_TRUE(fs::exists(std::string(node_->settings.data_dir) + "/" + found.aside));
        }
    }
}

TEST_F(FollowerTest, EndsForGoodAtAnotherStore)
{
    node_->Start();
    CatchUp();
    node_->Close();
    std::string other = directory_ + "/other";
    fs::create_directories(other);
    Primary stranger(other);
    stranger.Open();
    replica_test::reachable = &stranger;
    node_->Start();
    EXPECT_EQ(node_->ended.Wait(), static_cast<int>(FOLLOWER_FATAL));
    node_->Close();
    replica_test::reachable = primary_.get();
}

TEST_F(FollowerTest, DoesNotFollowATermBelowTheHighestSeen)
{
    node_->Start();
    CatchUp();
    {
        std::lock_guard<std::mutex> lock(primary_->mutex);
        primary_->header_term = 9;
    }
    int tails = primary_->tail_count;
    primary_->Break();
    ASSERT_TRUE(primary_->WaitTails(tails + 1));
    EXPECT_EQ(Status().term, 9u);
    node_->Close();
    role found;
    polarys_error err = {};
    ASSERT_EQ(role_read(node_->settings.data_dir, &found, &err), POLARYS_OK);
    ASSERT_EQ(found.term, 9u);
    primary_->header_term = 0;
    primary_->calls.clear();
    node_->Start();
    std::unique_lock<std::mutex> lock(primary_->mutex);
    ASSERT_TRUE(primary_->changed.wait_for(lock, std::chrono::seconds(30), [this] {
        return std::count(primary_->calls.begin(), primary_->calls.end(), "Handshake") >= 3;
    }));
    EXPECT_EQ(std::count(primary_->calls.begin(), primary_->calls.end(), "TailLog"), 0);
}

/* A term has one primary, but who hears another replica does not hear it. */
TEST_F(FollowerTest, MovesToThePrimaryOfItsTermUnlessItHearsIt)
{
    follower_seal seal = {};
    follower_seal_result result;
    polarys_error err = {};
    seal.term = 3;
    snprintf(seal.primary, sizeof(seal.primary), "127.0.0.1:9");
    primary_->header_term = 3;
    node_->Start();
    CatchUp();
    ASSERT_EQ(follower_seal_term(node_->following, &seal, &result, &err), POLARYS_OK);
    EXPECT_STREQ(Status().follows, "127.0.0.1:1") << "it hears the primary of term 3";

    int tails;
    {
        std::lock_guard<std::mutex> lock(primary_->mutex);
        primary_->is_primary = false;
        tails = primary_->tail_count;
    }
    primary_->Break();
    ASSERT_TRUE(primary_->WaitTails(tails + 1));
    Fill(1);
    CatchUp();
    ASSERT_EQ(follower_seal_term(node_->following, &seal, &result, &err), POLARYS_OK)
        << err.message;
    EXPECT_STREQ(Status().follows, "127.0.0.1:9");
    EXPECT_EQ(result.highest_term, 3u);
}

TEST_F(FollowerTest, KnowsWhatTheQuorumHolds)
{
    {
        std::lock_guard<std::mutex> lock(primary_->mutex);
        primary_->stable_version = 1;
    }
    node_->Start();
    CatchUp();
    EXPECT_EQ(follower_stable_version(node_->following, polarys_db_version(node_->db)), 1u);
    EXPECT_EQ(follower_stable_version(node_->following, 0), 0u);
}

TEST_F(FollowerTest, AsksThePrimaryAnewForEachQuestion)
{
    node_->Start();
    CatchUp();
    uint64_t version = 0;
    uint64_t ticket = follower_ask(node_->following);
    while (!follower_answer_get(node_->following, ticket, &version)) {
        sched_yield();
    }
    EXPECT_EQ(version, primary_->Version());
    primary_->Put("later", "1");
    uint64_t next = follower_ask(node_->following);
    EXPECT_GT(next, ticket);
    while (!follower_answer_get(node_->following, next, &version)) {
        sched_yield();
    }
    EXPECT_EQ(version, primary_->Version()) << "an old answer does not serve a new question";
    {
        std::lock_guard<std::mutex> lock(primary_->mutex);
        primary_->is_primary = false;
        primary_->calls.clear();
    }
    next = follower_ask(node_->following);
    std::unique_lock<std::mutex> lock(primary_->mutex);
    ASSERT_TRUE(primary_->changed.wait_for(lock, std::chrono::seconds(30), [this] {
        return std::count(primary_->calls.begin(), primary_->calls.end(), "GetStatus") >= 2;
    }));
    lock.unlock();
    EXPECT_FALSE(follower_answer_get(node_->following, next, &version))
        << "a node that is no primary answers for nobody";
}

/* ---- promotion ---- */

TEST_F(FollowerTest, SealsALivingPrimaryAndTakesOverWhatItHas)
{
    node_->Start();
    CatchUp();
    /* The tail is broken off, and the primary writes on. */
    {
        std::lock_guard<std::mutex> lock(primary_->mutex);
        primary_->refuse = [](const std::string &method, polarys_error *err) {
            return method == "TailLog" ? polarys_fail(err, POLARYS_NO_PRIMARY, "not yet")
                                       : POLARYS_OK;
        };
    }
    primary_->Break();
    Fill(5);
    follower_promotion promotion;
    polarys_error err = {};
    EXPECT_EQ(follower_promote(node_->following, 0, false, &promotion, &err), POLARYS_NO_PRIMARY)
        << "what the primary has cannot be taken over";
    EXPECT_TRUE(follower_is_following(node_->following));
    {
        std::lock_guard<std::mutex> lock(primary_->mutex);
        EXPECT_EQ(primary_->sealed_term, 2u);
        primary_->refuse = nullptr;
    }
    ASSERT_EQ(follower_promote(node_->following, 0, false, &promotion, &err), POLARYS_OK)
        << err.message;
    EXPECT_EQ(promotion.term, 3u);
    EXPECT_EQ(primary_->sealed_term, 3u);
    EXPECT_EQ(promotion.last_version, primary_->Version());
}

TEST_F(FollowerTest, GoesAboveATermThatAnotherHasSeen)
{
    node_->Start();
    CatchUp();
    primary_->sealed_term = 41;
    follower_promotion promotion;
    polarys_error err = {};
    EXPECT_EQ(follower_promote(node_->following, 7, false, &promotion, &err), POLARYS_BAD_ARGUMENT);
    ASSERT_EQ(follower_promote(node_->following, 0, false, &promotion, &err), POLARYS_OK)
        << err.message;
    EXPECT_EQ(promotion.term, 42u);
}

TEST_F(FollowerTest, IsNotPromotedWhereNobodyAnswersAndSealsNothingThen)
{
    node_->Start();
    Fill(3);
    CatchUp();
    Disconnect();
    follower_promotion promotion;
    polarys_error err = {};
    EXPECT_EQ(follower_promote(node_->following, 0, false, &promotion, &err),
              POLARYS_QUORUM_UNREACHABLE);
    EXPECT_TRUE(follower_is_following(node_->following));
    EXPECT_EQ(Status().term, 1u);
}

TEST_F(FollowerTest, BecomesAPrimaryThatTakesWritesAndStaysOne)
{
    node_->Start();
    Fill(10);
    CatchUp();
    Disconnect();
    while (Status().state == FOLLOWER_TAILING) {
        sched_yield();
    }
    uint64_t last = primary_->Version();
    follower_promotion promotion;
    polarys_error err = {};
    ASSERT_EQ(follower_promote(node_->following, 0, true, &promotion, &err), POLARYS_OK)
        << err.message;
    EXPECT_EQ(promotion.term, 2u);
    EXPECT_EQ(promotion.last_version, last);
    EXPECT_EQ(promotion.lost_versions, 0u);
    EXPECT_FALSE(follower_is_following(node_->following));
    EXPECT_TRUE(follower_is_ready(node_->following));
    polarys_value value = {};
    value.bytes = slice_from_text("2");
    ASSERT_EQ(polarys_db_put(node_->db, nullptr, "t", slice_from_text("new"), &value, nullptr,
                             nullptr, &err),
              POLARYS_OK)
        << err.message;
    EXPECT_EQ(follower_promote(node_->following, 0, true, &promotion, &err), POLARYS_BAD_ARGUMENT);
    node_->Close();
    replica_test::reachable = primary_.get();
    ASSERT_EQ(node_->Open(), POLARYS_OK) << node_->error.message;
    EXPECT_FALSE(node_->is_follower) << "the old primary is there again, at a lower term";
    EXPECT_EQ(Get(node_->db, "t", "new"), "2");
    EXPECT_EQ(Get(node_->db, "t", "k3"), Get(primary_->db, "t", "k3"));
}

/* From then on a seal of a higher term writes the file too. */
TEST_F(FollowerTest, SaysInItsFileThatItIsThePrimaryBeforeOthersSeeIt)
{
    role seen = {};
    bool was_following = false;
    polarys_error err = {};
    follower_promotion promotion;
    node_->promoted = [&] {
        polarys_error ignored = {};
        EXPECT_EQ(role_read(node_->settings.data_dir, &seen, &ignored), POLARYS_OK);
        was_following = follower_is_following(node_->following);
    };
    node_->Start();
    CatchUp();
    ASSERT_EQ(follower_promote(node_->following, 0, false, &promotion, &err), POLARYS_OK)
        << err.message;
    EXPECT_TRUE(was_following);
    EXPECT_EQ(seen.kind, ROLE_PRIMARY);
    EXPECT_EQ(seen.term, promotion.term);
}

TEST_F(FollowerTest, IsPromotedWithKnownLossOnlyWhenThatIsAllowed)
{
    node_->Start();
    CatchUp();
    /* The primary tells of commits that never come. */
    {
        std::lock_guard<std::mutex> lock(primary_->mutex);
        primary_->tamper = [](std::string *frame) { (*frame)[70] ^= 1; };
    }
    Fill(1);
    follower_promotion promotion;
    polarys_error err = {};
    EXPECT_EQ(follower_promote(node_->following, 1, true, &promotion, &err), POLARYS_BAD_ARGUMENT)
        << "the term is not above the one that it has seen";
    ASSERT_EQ(follower_promote(node_->following, 7, true, &promotion, &err), POLARYS_OK)
        << err.message;
    EXPECT_EQ(promotion.term, 7u);
    EXPECT_EQ(polarys_db_term(node_->db), 7u);
}

} // namespace
