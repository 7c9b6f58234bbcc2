/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way down, one state after another, each bounded in time. A second request shortens every
 * bound to nothing. The order is what gRPC needs: health first, the listener only after the grace,
 * since closing it is seen by clients at once.
 */
#include "service/server/control_internal.h"
#include "service/server/timing.h"

static uint64_t after_ms(uint64_t ms)
{
    return timing_now_ns() + ms * TIMING_NS_PER_MS;
}

static void state_enter(struct control *control, enum control_state state, uint64_t ms)
{
    control->state = state;
    control->state_end_ns = after_ms(ms);
}

void control_drain_begin(struct control *control, uint64_t grace_ms, bool leaves)
{
    if (leaves && control->is_leaving && control->state != CONTROL_RUNNING) {
        control->is_hastened = true;
    }
    control->is_leaving |= leaves;
    if (control->state == CONTROL_RUNNING) {
        server_phase_set(control->server, SERVER_LEAVING);
        state_enter(control, CONTROL_GRACE, grace_ms);
        polarys_log(POLARYS_LOG_INFO, "server", "not ready any more; refusing calls in %llu ms",
                    (unsigned long long)grace_ms);
    } else if (control->state == CONTROL_DRAINED && leaves) {
        state_enter(control, CONTROL_GRACE, 0);
    }
    if (control->state != CONTROL_STARTING) {
        ev_timer_again(control->loop, &control->step);
    }
}

static void grace_end(struct control *control)
{
    server_phase_set(control->server, SERVER_REFUSING);
    if (!control->is_leaving) {
        /* AdminService.Drain: the process stays, and tells what it is. */
        control->state = CONTROL_DRAINED;
        ev_timer_stop(control->loop, &control->step);
        polarys_log(POLARYS_LOG_INFO, "server", "out of use; %llu calls are under way",
                    (unsigned long long)server_calls_under_way(control->server));
        return;
    }
    server_phase_set(control->server, SERVER_STOPPING);
    control->busy_ns = timing_now_ns();
    state_enter(control, CONTROL_WAITING, control->config->drain_timeout_ms);
}

/*
 * True when no call has been under way for a while. What keeps the server then are connections
 * whose clients do not answer the farewell, such as those that sleep between calls.
 */
static bool is_quiet(struct control *control)
{
    uint64_t now_ns = timing_now_ns();
    if (server_calls_under_way(control->server) > 0) {
        control->busy_ns = now_ns;
    }
    return now_ns - control->busy_ns >= (uint64_t)CONTROL_QUIET_MS * TIMING_NS_PER_MS;
}

static void calls_cancel(struct control *control)
{
    uint64_t calls = server_calls_under_way(control->server);
    if (calls > 0) {
        polarys_log(POLARYS_LOG_WARN, "server", "cancelling %llu calls that are under way",
                    (unsigned long long)calls);
    }
    server_cancel(control->server);
    state_enter(control, CONTROL_CANCELLED, CONTROL_CANCEL_MS);
}

void control_drain_step(struct control *control)
{
    bool is_over = control->is_hastened || timing_now_ns() >= control->state_end_ns;
    switch (control->state) {
    case CONTROL_GRACE:
        if (is_over) {
            grace_end(control);
        }
        break;
    case CONTROL_WAITING:
        if (server_is_idle(control->server)) {
            state_enter(control, CONTROL_ENDED, 0);
            ev_break(control->loop, EVBREAK_ALL);
        } else if (is_over || is_quiet(control)) {
            calls_cancel(control);
        }
        break;
    case CONTROL_CANCELLED:
        if (server_is_idle(control->server) || timing_now_ns() >= control->state_end_ns) {
            state_enter(control, CONTROL_ENDED, 0);
            ev_break(control->loop, EVBREAK_ALL);
        }
        break;
    case CONTROL_STARTING:
    case CONTROL_RUNNING:
    case CONTROL_DRAINED:
    case CONTROL_ENDED:
        break;
    }
}
