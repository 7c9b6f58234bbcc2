/* SPDX-License-Identifier: Apache-2.0 */
/* Time, the network, and what is done to a simulated group. */
#include "tests/sim/world.h"

#include <cstdarg>
#include <cstdio>

#include "tests/sim/node.h"
#include "tests/sim/oracle.h"

namespace group_sim {

namespace {

constexpr uint64_t life = 1500 * ms;
constexpr uint64_t healing_max = 20000 * ms;

} // namespace

world::world(uint64_t number, plant what, counts &all, bool is_loud)
    : seed(number), planted(what), figures(all), is_traced(is_loud)
{
    sim_clock_init(&clock);
    sim_random_init(&random, seed * 7919 + 13);
    loss_one_in = 20 + below(200);
    delay_max = chance(4) ? 20 * ms : 2 * ms;
    judge = std::make_unique<oracle>(*this);
    store_of_frames = std::make_unique<archive>(*this);
    for (int i = 0; i < node_count; i++) {
        nodes.push_back(std::make_unique<node>(*this, i));
    }
}

world::~world() = default;

void world::fail(const std::string &what)
{
    trace("VIOLATION: %s", what.c_str());
    if (violation.empty()) {
        violation = what;
    }
}

void world::trace(const char *format, ...)
{
    if (!is_traced) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%10.3f ms  ", static_cast<double>(now()) / ms);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
}

/* ---- time ---- */

void world::at(uint64_t time, std::function<void()> what)
{
    /* In the past too, where the engine's own waits have moved the clock: what was due before comes before. */
    events.push({time, order++, std::move(what)});
}

/* A node that is busy takes it up when it is done, in the order of arrival. */
void world::deliver(int to, uint64_t time, std::function<void(node &)> what)
{
    at(time, [this, to, time, what] {
        node &target = *nodes[static_cast<size_t>(to)];
        if (!target.is_up()) {
            return;
        }
        /* By the time it was due: the engine's own waits may have moved the clock beyond it. */
        if (target.busy_until > time) {
            deliver(to, target.busy_until, what);
            return;
        }
        what(target);
        target.settle();
    });
}

void world::after(int id, uint64_t delay_ns, std::function<void(node &)> what)
{
    uint64_t incarnation = nodes[static_cast<size_t>(id)]->incarnation;
    deliver(id, now() + delay_ns, [incarnation, what](node &target) {
        if (target.incarnation == incarnation) {
            what(target);
        }
    });
}

void world::run_until(uint64_t time)
{
    while (!events.empty() && events.top().time <= time && violation.empty()) {
        event next = events.top();
        events.pop();
        if (next.time > now()) {
            sim_clock_advance(&clock, next.time - now());
        }
        next.what();
    }
    if (time > now()) {
        sim_clock_advance(&clock, time - now());
    }
}

/* ---- network ---- */

uint64_t world::delay()
{
    return ms / 20 + below(chance(10) ? delay_max * 5 : delay_max);
}

static bool is_dead(const world &w, int id)
{
    return id < node_count && sim_disk_is_dead(w.nodes[static_cast<size_t>(id)]->disk);
}

void world::call(int from, int to, const std::function<void(node &)> &what)
{
    if (is_dead(*this, from)) {
        return; /* it does not get there any more */
    }
    figures.add("calls");
    if (!is_linked(from, to)) {
        figures.add("calls over a cut link");
        return;
    }
    if (!is_healing && chance(loss_one_in)) {
        figures.add("calls lost");
        return;
    }
    deliver(to, now() + delay(), what);
    if (!is_healing && chance(50)) {
        figures.add("calls that came twice");
        deliver(to, now() + delay(), what);
    }
}

bool world::stream(int from, int to, uint64_t *last_arrival, std::function<void(node &)> what)
{
    if (is_dead(*this, from)) {
        return true;
    }
    figures.add("messages of streams");
    if (!is_linked(from, to)) {
        return false;
    }
    if (!is_healing && chance(loss_one_in * 4)) {
        figures.add("streams broken");
        return false;
    }
    uint64_t arrival = now() + delay();
    *last_arrival = arrival > *last_arrival ? arrival : *last_arrival + 1;
    if (to != archive_id) {
        deliver(to, *last_arrival, std::move(what));
    }
    return true;
}

node *world::primary()
{
    node *best = nullptr;
    for (const auto &each : nodes) {
        if (each->is_primary() && (best == nullptr || each->role.term > best->role.term)) {
            best = each.get();
        }
    }
    return best;
}

/* ---- what is done to the group ---- */

void world::links_cut()
{
    int one = static_cast<int>(below(place_count));
    int other = static_cast<int>(below(place_count));
    uint64_t until = now() + (20 + below(400)) * ms;
    switch (below(3)) {
    case 0:
        figures.add("one-way links");
        cut_until[one][other] = until;
        break;
    case 1:
        figures.add("links cut");
        cut_until[one][other] = until;
        cut_until[other][one] = until;
        break;
    default:
        figures.add("nodes cut off");
        for (int i = 0; i < place_count; i++) {
            cut_until[one][i] = until;
            cut_until[i][one] = until;
        }
        break;
    }
}

/* Everywhere at once; the primary is cut off when it comes back, and another one is promoted. */
void world::power_cut()
{
    node *last = primary();
    figures.add("power cuts of the whole group");
    uint64_t until = now() + 300 * ms;
    for (const auto &each : nodes) {
        if (each->is_up()) {
            each->stop(true);
        }
        if (last != nullptr && each.get() != last) {
            cut_until[last->id][each->id] = until;
            cut_until[each->id][last->id] = until;
        }
    }
    for (const auto &each : nodes) {
        each->start();
    }
    node &next = *nodes[below(node_count)];
    at(now() + (10 + below(30)) * ms, [&next] {
        next.promotion_begin();
        next.settle();
    });
}

void world::nemesis()
{
    if (is_healing) {
        return;
    }
    node &victim = *nodes[below(node_count)];
    node *now_primary = primary();
    switch (below(11)) {
    case 10:
        if (chance(3)) {
            power_cut();
        }
        break;
    case 0:
    case 1:
        if (victim.is_up() && !sim_disk_is_dead(victim.disk)) {
            figures.add("power failures armed");
            sim_disk_crash_at(victim.disk, 1 + below(80));
        }
        break;
    case 2:
        if (victim.is_up()) {
            figures.add("nodes killed or ended");
            victim.stop(chance(2));
        }
        break;
    case 3:
    case 4:
        links_cut();
        break;
    case 5:
        figures.add("slow disks");
        victim.slow_until = now() + (50 + below(300)) * ms;
        break;
    case 6:
    case 7:
    case 8:
        victim.promotion_begin();
        victim.settle();
        break;
    default:
        if ((victim.is_primary() || victim.is_fenced()) && now_primary != nullptr &&
            &victim != now_primary && victim.has_store() && victim.busy_until <= now()) {
            victim.demote(now_primary->id);
        }
        break;
    }
    for (const auto &each : nodes) {
        if (!each->is_up() && chance(3)) {
            figures.add("starts");
            each->start();
        }
    }
    at(now() + (5 + below(40)) * ms, [this] { nemesis(); });
}

void world::clients()
{
    for (const auto &each : nodes) {
        bool is_free = each->is_up() && each->busy_until <= now();
        bool may_write =
            !is_healing || now() < healing_begin + 500 * ms; /* then it has to come to rest */
        if (is_free && may_write && each->is_primary() && chance(2)) {
            each->write(!chance(4));
            each->settle();
        }
        if (is_free && chance(3)) {
            each->read();
            each->settle();
        }
    }
    at(now() + ms + below(4 * ms), [this] { clients(); });
}

/* As an operator would: everything runs, one is the primary, and the others follow it. */
void world::heal()
{
    for (const auto &each : nodes) {
        if (!each->is_up()) {
            each->start();
        }
    }
    node *best = primary();
    node &candidate = *nodes[below(node_count)];
    if (best == nullptr && now() >= next_promotion) {
        next_promotion = now() + 200 * ms;
        candidate.promotion_begin();
        candidate.settle();
    }
    for (const auto &each : nodes) {
        /* Whoever has more than all others, and was fenced, has to follow before it can be promoted. */
        bool is_stuck = best == nullptr && now() > healing_begin + 1000 * ms && each->is_fenced();
        if (is_stuck && each->has_store() && each->busy_until <= now()) {
            each->demote((each->id + 1) % node_count);
        }
        bool is_other = each.get() != best && each->has_store() && each->busy_until <= now();
        if (best != nullptr && is_other && (each->is_primary() || each->is_fenced())) {
            each->demote(best->id);
        } else if (best != nullptr && !each->has_store() && each->role.follows != best->id &&
                   each->is_up()) {
            each->stop(false);
            each->start_following(best->id);
        }
    }
}

bool world::is_together()
{
    node *best = primary();
    for (const auto &each : nodes) {
        if (best == nullptr || !each->has_store() || each->is_electing() ||
            polarys_db_durable_version(each->db) != polarys_db_durable_version(best->db) ||
            (each.get() != best && !each->is_following())) {
            return false;
        }
    }
    return store_of_frames->is_together(*best);
}

void world::run()
{
    nodes[0]->make_first();
    for (int i = 1; i < node_count; i++) {
        nodes[static_cast<size_t>(i)]->make_other();
    }
    for (const auto &each : nodes) {
        each->start();
    }
    store_of_frames->tick();
    uint64_t begin = now();
    at(begin + 10 * ms, [this] { clients(); });
    at(begin + 100 * ms, [this] { nemesis(); });
    run_until(begin + life);

    is_healing = true;
    for (auto &from : cut_until) {
        for (uint64_t &until : from) {
            until = 0;
        }
    }
    for (const auto &each : nodes) {
        sim_disk_crash_at(each->disk, sim_disk_is_dead(each->disk) ? 1 : 0);
        each->slow_until = 0;
    }
    healing_begin = now();
    trace("healing");
    bool is_whole = false;
    while (violation.empty() && !is_whole && now() - healing_begin < healing_max) {
        heal();
        run_until(now() + 20 * ms);
        is_whole = now() - healing_begin > 100 * ms && is_together();
    }
    if (violation.empty() && !is_whole) {
        node *best = primary();
        std::string where =
            best == nullptr ? "nobody is the primary" : best->name + " is the primary";
        for (const auto &each : nodes) {
            where +=
                ", " + each->name +
                (each->has_store() ? " at " + std::to_string(polarys_db_durable_version(each->db))
                                   : " without a store");
        }
        where +=
            best != nullptr && store_of_frames->is_together(*best) ? "" : ", the archive is behind";
        fail("the group does not come together again: " + where);
    }
    if (violation.empty()) {
        judge->end(*primary());
        store_of_frames->compare(*judge, *primary());
    }
    figures.add("milliseconds simulated", (now() - begin) / ms);
    while (!events.empty()) {
        events.pop();
    }
}

} // namespace group_sim
