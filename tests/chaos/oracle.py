# SPDX-License-Identifier: Apache-2.0
"""What must hold whatever happens to a group, judged from outside: only from what clients were told and saw.

* What was acknowledged at QUORUM is there in the end, word for word, at the version that was told.
* A version stands for one commit: no two contents are ever seen under one, in answers, reads, on any node, or in the end.
* On each node reads never go back in versions within a life of its process, and a commit is seen whole or not at all.
* Per key, writes at QUORUM and reads at STABLE are linearizable. Of reads answered by a node that had been replaced by then, or by
  a replica, it is asked that what they saw had been written for good: such a read may be old, but never of what is lost later.

A write whose answer was lost may have happened or not; one that is seen by a STABLE read has happened for good by then.
"""
import collections
import threading
import time

import linearizable
from history import OK, UNKNOWN, History

CALLS_TOLD = 8
EVENTS_TOLD = 12

class Oracle:
    """Any thread may tell it what happened."""

    def __init__(self):
        self.mutex = threading.Lock()
        self.faults = []
        self.counts = collections.Counter()
        self.content_of = {}   # version -> commit that has it
        self.ledger = {}       # key -> (value, version) that was acknowledged at QUORUM
        self.seen = {}         # (node, life) -> newest version that a read had
        self.histories = collections.defaultdict(History)
        self.writes = {}       # value -> call
        self.promotions = []   # (term, when it was begun)
        self.stale_seen = []   # (value, when it was seen)
        self.events = []       # (when, what was done to the group)
        self.answered = {}     # id of a call -> by whom

    def fault(self, text):
        with self.mutex:
            self.faults.append(text)

    def count(self, what, number=1):
        with self.mutex:
            self.counts[what] += number

    def version_seen(self, version, commit, where):
        """`commit` names the writing call: all its documents carry it."""
        with self.mutex:
            known = self.content_of.setdefault(version, commit)
        if known != commit:
            self.fault(f"version {version} is commit {known} and commit {commit} ({where})")

    def acknowledged(self, key, value, version):
        with self.mutex:
            self.ledger[key] = (value, version)
            self.counts["acknowledged writes"] += 1

    def state_seen(self, node, life, version, begun_version):
        """A read of a node had this version; `begun_version`: the newest that was known of it when the read was sent."""
        with self.mutex:
            newest = self.seen.get((node, life), 0)
            self.seen[(node, life)] = max(newest, version)
        if version < begun_version:
            self.fault(f"{node} went back from version {begun_version} to {version}")

    def newest_seen(self, node, life):
        with self.mutex:
            return self.seen.get((node, life), 0)

    # ---- registers ----

    def write_begin(self, key, client, value):
        call = self.histories[key].begin(client, ("write", value))
        with self.mutex:
            self.writes[value] = call
        return call

    def promotion_begin(self, term):
        with self.mutex:
            self.promotions.append((term, time.monotonic()))

    def is_replaced(self, term, when):
        with self.mutex:
            return any(later > term and begun <= when for later, begun in self.promotions)

    def read_end(self, call, value, term, is_primary):
        """A STABLE read was answered."""
        now = time.monotonic()
        if is_primary and not self.is_replaced(term, now):
            History.end(call, OK, value)
            return
        History.end(call, UNKNOWN)
        self.count("reads of replicas and of replaced primaries")
        if value is not None:
            with self.mutex:
                self.stale_seen.append((value, now))

    def stale_reads_take(self):
        """What was seen had happened by then."""
        for value, when in self.stale_seen:
            call = self.writes.get(value)
            if call is None:
                self.fault(f"a read saw {value}, which nobody wrote")
                continue
            if call.outcome not in (OK, UNKNOWN):
                self.fault(f"a read saw {value}, whose write was refused")
            call.outcome, call.returned = OK, min(call.returned, when)

    def histories_check(self):
        for key, history in sorted(self.histories.items()):
            read = {call.saw for call in history.calls if call.outcome == OK and call.what[0] == "read"}
            # A write without an answer that nobody saw may be taken as one that never was.
            calls = [call for call in history.calls if call.outcome != UNKNOWN or call.what[0] == "read" or call.what[1] in read]
            blocked = linearizable.check(calls)
            if blocked is not None:
                self.fault(f"{key.decode()} is not linearizable at its read of {blocked[0].saw} by client {blocked[0].client}; before it:"
                           + self.told(calls, blocked[0]))
            self.counts["histories"] += 1
            self.counts["calls of histories"] += sum(1 for call in history.calls if call.outcome == OK)

    def told(self, calls, blocked):
        """The calls around one, and what was done to the group around it, in the order of time."""
        def line(call):
            text = call.what[1] if call.what[0] == "write" else call.saw
            took = "" if call.outcome == UNKNOWN else f" after {(call.returned - call.called) * 1e3:.1f} ms"
            return call.called, f"{call.what[0]} by client {call.client} of {text}: {call.outcome}{took}, {self.answered.get(id(call), '')}"

        before = sorted((call for call in calls if call.called <= blocked.returned), key=lambda call: call.called)
        told = before[-CALLS_TOLD:] + [call for call in before if call.what == ("write", blocked.saw)]
        writes = [call for call in before if call.what[0] == "write" and call.outcome == OK]
        lines = {line(call) for call in told + writes[-CALLS_TOLD:]}
        lines |= set([(when, text) for when, text in self.events if when <= blocked.returned][-EVENTS_TOLD:])
        return "".join(f"\n    {when - blocked.called:+.4f} s {text}" for when, text in sorted(lines))

    def event(self, text):
        with self.mutex:
            self.events.append((time.monotonic(), text))

    def ledger_check(self, found):
        """`found`: {key: (value, version)} on the primary that is left."""
        lost = wrong = 0
        for key, (value, version) in self.ledger.items():
            if key not in found:
                lost += 1
            elif found[key] != (value, version):
                wrong += 1
        if lost or wrong:
            self.fault(f"of {len(self.ledger):,} writes acknowledged at QUORUM {lost:,} are lost and {wrong:,} are not as they were told")
