# SPDX-License-Identifier: Apache-2.0
"""What concurrent clients did and saw: calls with their times, and how each ended.

A call ends in one of three ways. OK: it took effect, between its call and its return. FAILED: it did not and never will.
UNKNOWN: the answer was lost; it may have taken effect at any time after its call, or never.
"""
import threading
import time
from dataclasses import dataclass, field

OK, FAILED, UNKNOWN = "ok", "failed", "unknown"


@dataclass
class Call:
    """One call. `what` and `saw` are the workload's own."""
    client: int
    what: object
    called: float
    returned: float = float("inf")
    outcome: str = UNKNOWN
    saw: object = None


@dataclass
class History:
    """Calls in the order in which they were made; any thread may add."""
    calls: list = field(default_factory=list)
    mutex: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, client, what):
        call = Call(client, what, time.monotonic())
        with self.mutex:
            self.calls.append(call)
        return call

    @staticmethod
    def end(call, outcome, saw=None):
        """An UNKNOWN call has no return: whatever it did may happen later."""
        call.saw, call.outcome = saw, outcome
        if outcome != UNKNOWN:
            call.returned = time.monotonic()

    def counts(self):
        return {outcome: sum(1 for call in self.calls if call.outcome == outcome) for outcome in (OK, FAILED, UNKNOWN)}
