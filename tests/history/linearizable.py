# SPDX-License-Identifier: Apache-2.0
"""Is the history of one register linearizable? The search of Wing and Gong, with Lowe's cache of states seen.

A register holds a value or None. `what` of a call is ("write", value) or ("read",); `saw` of a read is what it returned.
FAILED calls and UNKNOWN reads say nothing and are left out. An UNKNOWN write may be put anywhere after its call, or left out.
"""
from history import FAILED, OK, UNKNOWN


class Event:
    """A call or a return in a doubly linked list in order of time."""

    def __init__(self, number, call, is_return):
        self.number, self.call, self.is_return = number, call, is_return
        self.match = self.before = self.after = None

    def unlink(self):
        self.before.after = self.after
        if self.after is not None:
            self.after.before = self.before

    def relink(self):
        self.before.after = self
        if self.after is not None:
            self.after.before = self


def events_link(calls):
    events = []
    for number, call in enumerate(calls):
        begin = Event(number, call, False)
        events.append((call.called, 0, number, begin))
        if call.outcome == OK:
            begin.match = Event(number, call, True)
            events.append((call.returned, 1, number, begin.match))
    head = last = Event(-1, None, False)
    for _, _, _, event in sorted(events, key=lambda each: each[:3]):
        last.after, event.before = event, last
        last = event
    return head


def step(state, call):
    """(may it happen in this state, the state after it)"""
    if call.what[0] == "write":
        return True, call.what[1]
    return call.saw == state, state


def check(calls, initial=None):
    """None when the calls are linearizable; else the calls that could not be placed, the first of them first."""
    calls = [call for call in calls if call.outcome == OK or (call.outcome == UNKNOWN and call.what[0] == "write")]
    assert all(call.outcome != FAILED for call in calls)
    returns_left = sum(1 for call in calls if call.outcome == OK)
    head = events_link(calls)
    state, done, seen, stack = initial, 0, set(), []
    event, furthest, blocked = head.after, -1, None
    while returns_left > 0:
        if not event.is_return:
            may, after = step(state, event.call)
            bits = done | 1 << event.number
            if may and (bits, after) not in seen:
                seen.add((bits, after))
                stack.append((event, state, done))
                state, done = after, bits
                event.unlink()
                if event.match is not None:
                    event.match.unlink()
                    returns_left -= 1
                event = head.after
            else:
                event = event.after
            continue
        # Nothing that was called before this return can go next: take the last step back.
        if len(stack) > furthest:
            furthest, blocked = len(stack), event.call
        if not stack:
            return [blocked]
        event, state, done = stack.pop()
        if event.match is not None:
            event.match.relink()
            returns_left += 1
        event.relink()
        event = event.after
    return None
