/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node of the simulated group: sealing terms, and becoming the primary. Follows service/replication/follower_seal.c, standing.c,
 * members_tell.c, follower_elect.c and follower_promote.c.
 */
#include "engine/engine_replica.h"
#include "tests/sim/node.h"
#include "tests/sim/oracle.h"

namespace group_sim {

namespace {

constexpr uint64_t call_wait = 60 * ms;
constexpr uint64_t catch_up_wait = 500 * ms;
constexpr int rounds_max = 5;

int number_of(const char *name)
{
    return name[0] == 'n' ? std::stoi(name + 1) : -1;
}

bool is_more_advanced(uint64_t term, const polarys_log_position &end, uint64_t than_term,
                      const polarys_log_position &than)
{
    if (term != than_term) {
        return term > than_term;
    }
    return end.segment_id != than.segment_id ? end.segment_id > than.segment_id
                                             : end.offset > than.offset;
}

} // namespace

/* ---- being sealed ---- */

/* standing.c, fence_locked. */
void node::fence(uint64_t term, int primary)
{
    role.kind = 'x';
    role.term = term;
    if (primary >= 0) {
        role.follows = primary;
    }
    if (!role_write()) {
        return;
    }
    w.trace("%s is fenced by term %llu", name.c_str(), (unsigned long long)term);
    w.figures.add("primaries fenced");
    pending.clear();
    polarys_code code = polarys_writes_stop(db, &err);
    if (code != POLARYS_OK) {
        failed("stop writing", code);
    }
}

void node::on_seal(const seal_request &request)
{
    if (db == nullptr || is_electing()) {
        return; /* who asks waits in vain */
    }
    uint64_t log_term = polarys_db_term(db);
    bool is_follower = is_following();
    uint64_t fenced = is_follower || is_fenced() ? role.term : 0;
    uint64_t highest = fenced > log_term ? fenced : log_term;
    seal_answer answer;
    answer.from = id;
    answer.id = request.id;
    answer.is_follower = is_follower;
    answer.log_term = log_term;
    bool is_here = request.primary < 0 || request.primary == role.follows;
    bool is_above = request.is_candidate ? request.term > highest : request.term >= highest;
    bool is_news = request.term > highest ||
                   (request.term == highest && !is_here && (is_follower || is_fenced()));
    if (w.planted == plant::skipped_term_check) {
        is_above = true;
    }
    if (request.term != 0 && !is_above) {
        answer.is_refused = true;
        answer.primary = is_follower || is_fenced() ? role.follows : id;
    } else if (request.term != 0 && is_news && is_follower) {
        /* A term has one primary, and this node may hear it. */
        bool hears = has_progress && is_tailing && session_term == request.term;
        session_end();
        role.term = request.term;
        if (request.primary >= 0 && !hears) {
            role.follows = request.primary;
        }
        if (!role_write() || polarys_replica_sync(db, nullptr, &err) != POLARYS_OK) {
            failed("seal a term", err.code);
            return;
        }
        highest = request.term;
    } else if (request.term != 0 && is_news) {
        fence(request.term, request.primary);
        highest = request.term;
    }
    answer.highest_term = highest;
    polarys_log_durable_position(db, &answer.end);
    if (!sim_disk_is_dead(disk)) {
        busy(1);
        w.call(id, request.from, [answer](node &asker) { asker.on_seal_answer(answer); });
    }
}

/* members_tell.c: members that do not follow are told who the primary is. */
void node::tell_members()
{
    for (int i = 0; i < node_count; i++) {
        group_node member;
        std::string other = "n" + std::to_string(i);
        bool is_active = group_node_get(counting, other.c_str(), &member) && member.is_active;
        if (i != id && !is_active) {
            seal_request request = {id, 0, polarys_db_term(db), false, id};
            w.call(id, i, [request](node &told) { told.on_seal(request); });
        }
    }
}

void node::on_seal_answer(const seal_answer &answer)
{
    if (answer.id == 0) {
        if (answer.is_refused && is_primary() && answer.highest_term > polarys_db_term(db)) {
            fence(answer.highest_term, answer.primary);
        }
        return;
    }
    if (answer.id != vote.id || !is_electing()) {
        return;
    }
    if (answer.is_refused) {
        vote.refused_below =
            answer.highest_term > vote.refused_below ? answer.highest_term : vote.refused_below;
    } else {
        vote.answers[answer.from] = answer;
    }
}

/* ---- becoming the primary ---- */

void node::promotion_begin()
{
    if (!is_following() || is_electing()) {
        return;
    }
    w.figures.add("promotions asked for");
    session_end();
    vote = election();
    if (polarys_members_get(db, &vote.members, &err) != POLARYS_OK) {
        failed("read the members", err.code);
        return;
    }
    bool is_there;
    (void)polarys_members_find(&vote.members, name.c_str(), &is_there);
    if (!is_there) {
        return; /* the record has not come yet */
    }
    vote.phase = election::ASKING;
    vote_ask(0);
}

void node::vote_ask(uint64_t term)
{
    vote.id = w.next_id++;
    vote.answers.clear();
    seal_request request = {id, vote.id, term, term != 0, -1};
    for (size_t i = 0; i < vote.members.count; i++) {
        int to = number_of(vote.members.list[i].name);
        if (to != id && to >= 0) {
            w.call(id, to, [request](node &asked) { asked.on_seal(request); });
        }
    }
    uint64_t of = vote.id;
    w.after(id, call_wait, [of](node &self) {
        if (self.vote.id == of) {
            self.vote_count();
        }
    });
}

bool node::view_is_enough(members_view view) const
{
    uint32_t members_there = 0;
    uint32_t sealed = 0;
    for (size_t i = 0; i < vote.members.count; i++) {
        const polarys_member &member = vote.members.list[i];
        if (members_counts(&member, view)) {
            int number = number_of(member.name);
            members_there++;
            sealed += number == id || vote.answers.count(number) != 0 ? 1 : 0;
        }
    }
    return sealed >= members_there - members_there / 2;
}

bool node::vote_is_enough() const
{
    return view_is_enough(MEMBERS_BEFORE) && view_is_enough(MEMBERS_AFTER);
}

void node::vote_end(const char *why)
{
    w.trace("%s is not promoted: %s", name.c_str(), why);
    vote = election();
    session_end();
}

void node::vote_count()
{
    if (vote.phase == election::ASKING) {
        if (!vote_is_enough()) {
            vote_end("too few answer");
            return;
        }
        for (const auto &answer : vote.answers) {
            uint64_t seen = answer.second.highest_term;
            vote.refused_below = seen > vote.refused_below ? seen : vote.refused_below;
        }
        vote_seal();
    } else if (vote.phase == election::SEALING) {
        vote_sealed();
    } else if (vote.phase == election::CATCHING_UP) {
        vote_end("the most advanced takes too long");
    }
}

void node::vote_seal()
{
    uint64_t log_term = polarys_db_term(db);
    uint64_t highest = role.term > log_term ? role.term : log_term;
    highest = vote.refused_below > highest ? vote.refused_below : highest;
    vote.term = highest + 1;
    vote.phase = election::SEALING;
    if (++vote.rounds > rounds_max) {
        vote_end("others seal terms too");
        return;
    }
    role.term = vote.term; /* this node is the first to seal */
    if (!role_write()) {
        return;
    }
    if (w.planted == plant::no_seal) {
        promote();
        return;
    }
    vote_ask(vote.term);
}

void node::vote_sealed()
{
    if (vote.refused_below >= vote.term) {
        vote_seal();
        return;
    }
    if (!vote_is_enough()) {
        vote_end("too few have sealed the term");
        return;
    }
    uint64_t term = polarys_db_term(db);
    polarys_log_position end;
    polarys_log_position_get(db, &end);
    vote.best = seal_answer();
    for (const auto &answer : vote.answers) {
        if (is_more_advanced(answer.second.log_term, answer.second.end, term, end)) {
            vote.best = answer.second;
            term = answer.second.log_term;
            end = answer.second.end;
        }
    }
    if (vote.best.from < 0 || w.planted == plant::no_catch_up) {
        promote();
        return;
    }
    w.figures.add("promotions that took over a longer log");
    vote.phase = election::CATCHING_UP;
    vote.id = w.next_id++;
    uint64_t of = vote.id;
    w.after(id, catch_up_wait, [of](node &self) {
        if (self.vote.id == of) {
            self.vote_count();
        }
    });
    connect();
}

void node::vote_caught_up()
{
    uint64_t version = vote.members.version;
    session_end();
    if (polarys_members_get(db, &vote.members, &err) != POLARYS_OK) {
        failed("read the members", err.code);
        return;
    }
    if (vote.members.version != version) {
        vote_seal(); /* the log that was taken over may hold a newer list */
        return;
    }
    promote();
}

/* follower_promote.c, store_promote. */
void node::promote()
{
    uint64_t term = vote.term;
    polarys_code code = polarys_replica_promote(db, term, &err);
    if (code == POLARYS_OK) {
        role.kind = 'p';
        role.term = term;
        if (!role_write()) {
            return;
        }
        w.judge->promoted(*this);
        code = members_term_begin(list, &err);
    }
    vote = election();
    session_end();
    told_stable = 0;
    if (code != POLARYS_OK) {
        failed("be promoted", code);
        return;
    }
    busy(2);
    w.figures.add("promotions");
    w.trace("%s is the primary of term %llu", name.c_str(), (unsigned long long)term);
}

} // namespace group_sim
