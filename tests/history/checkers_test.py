#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The checkers themselves: histories that are right and histories that are not, each anomaly by its name."""
import random
import unittest

import linearizable
import serializable
from history import FAILED, OK, UNKNOWN, Call


def write(value, called, returned, outcome=OK):
    return Call(0, ("write", value), called, returned if outcome == OK else float("inf"), outcome)


def read(saw, called, returned):
    return Call(0, ("read",), called, returned, OK, saw)


class Linearizable(unittest.TestCase):
    def test_accepts_what_happens_one_after_another(self):
        self.assertIsNone(linearizable.check([write(1, 0, 1), read(1, 2, 3), write(2, 4, 5), read(2, 6, 7)]))

    def test_accepts_either_order_of_overlapping_calls(self):
        self.assertIsNone(linearizable.check([write(1, 0, 10), write(2, 0, 10), read(1, 11, 12), read(1, 13, 14)]))

    def test_refuses_a_stale_read(self):
        self.assertIsNotNone(linearizable.check([write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)]))

    def test_refuses_reads_that_go_back(self):
        self.assertIsNotNone(linearizable.check([write(1, 0, 1), write(2, 2, 10), read(2, 3, 4), read(1, 5, 6)]))

    def test_refuses_a_lost_write(self):
        self.assertIsNotNone(linearizable.check([write(1, 0, 1), read(None, 2, 3)]))

    def test_lets_an_unknown_write_happen_late_or_never(self):
        unknown = write(2, 0, 0, UNKNOWN)
        self.assertIsNone(linearizable.check([write(1, 0, 1), unknown, read(1, 2, 3), read(2, 4, 5)]))
        self.assertIsNone(linearizable.check([write(1, 0, 1), unknown, read(1, 2, 3), read(1, 4, 5)]))

    def test_refuses_an_unknown_write_that_is_undone(self):
        unknown = write(2, 2, 0, UNKNOWN)
        self.assertIsNotNone(linearizable.check([write(1, 0, 1), unknown, read(2, 3, 4), read(1, 5, 6)]))

    def test_refuses_what_a_failed_write_left(self):
        self.assertIsNotNone(linearizable.check([write(1, 0, 1), write(2, 2, 3, FAILED), read(2, 4, 5)]))

    def test_agrees_with_trying_every_order(self):
        """Against the definition itself, on small random histories."""
        random_source = random.Random(7)
        verdicts = {True: 0, False: 0}
        for _ in range(3000):
            calls = []
            for value in range(random_source.randrange(2, 6)):
                called = random_source.randrange(10)
                returned = called + random_source.randrange(1, 8)
                if random_source.random() < 0.5:
                    calls.append(write(value, called, returned))
                else:
                    calls.append(read(random_source.choice([None, 0, 1, 2]), called, returned))
            verdict = linearizable.check(calls) is None
            self.assertEqual(verdict, by_definition(calls))
            verdicts[verdict] += 1
        self.assertGreater(min(verdicts.values()), 100)


def by_definition(calls, state=None):
    if not calls:
        return True
    first_return = min(call.returned for call in calls)
    for i, call in enumerate(calls):
        if call.called <= first_return:
            may, after = linearizable.step(state, call)
            if may and by_definition(calls[:i] + calls[i + 1:], after):
                return True
    return False


def transaction(what, saw, called, returned, outcome=OK):
    return Call(0, what, called, returned if outcome == OK else float("inf"), outcome, saw)


def append(key, value):
    return ("append", key, value)


class Serializable(unittest.TestCase):
    def names(self, calls, final):
        return [fault.split(":")[0] for fault in serializable.check(calls, final)]

    def test_accepts_a_serial_history(self):
        calls = [transaction([append("x", 1), append("y", 1)], [None, None], 0, 1),
                 transaction([("read", "x"), append("x", 2), ("read", "x")], [[1], None, [1, 2]], 2, 3)]
        self.assertEqual(serializable.check(calls, {"x": [1, 2], "y": [1]}), [])

    def test_names_write_skew(self):
        calls = [transaction([("read", "x"), append("y", 1)], [[], None], 0, 10),
                 transaction([("read", "y"), append("x", 1)], [[], None], 0, 10)]
        self.assertEqual(self.names(calls, {"x": [1], "y": [1]}), ["G2"])

    def test_names_read_skew(self):
        calls = [transaction([append("x", 1), append("y", 1)], [None, None], 0, 10),
                 transaction([("read", "x"), ("read", "y")], [[], [1]], 0, 10)]
        self.assertEqual(self.names(calls, {"x": [1], "y": [1]}), ["G-single"])

    def test_names_a_lost_update(self):
        calls = [transaction([("read", "x"), append("x", 1)], [[], None], 0, 10),
                 transaction([("read", "x"), append("x", 2)], [[], None], 0, 10)]
        self.assertEqual(self.names(calls, {"x": [1, 2]}), ["G-single"])
        self.assertEqual(self.names(calls, {"x": [2]}), ["lost"])

    def test_names_an_aborted_read(self):
        calls = [transaction([append("x", 1)], None, 0, 0, FAILED), transaction([("read", "x")], [[1]], 1, 2)]
        self.assertIn("G1a", self.names(calls, {"x": [1]}))

    def test_names_an_intermediate_read(self):
        calls = [transaction([append("x", 1), append("x", 2)], [None, None], 0, 10), transaction([("read", "x")], [[1]], 1, 2)]
        self.assertIn("G1b", self.names(calls, {"x": [1, 2]}))

    def test_names_dirty_writes(self):
        calls = [transaction([append("x", 1), append("y", 1)], [None, None], 0, 10),
                 transaction([append("x", 2), append("y", 2)], [None, None], 0, 10)]
        self.assertEqual(self.names(calls, {"x": [1, 2], "y": [2, 1]}), ["G0"])

    def test_names_a_stale_read_in_real_time(self):
        calls = [transaction([append("x", 1)], [None], 0, 1), transaction([("read", "x")], [[]], 2, 3)]
        self.assertEqual(self.names(calls, {"x": [1]}), ["G-single (real time)"])

    def test_refuses_a_read_that_is_no_beginning(self):
        calls = [transaction([append("x", 1)], [None], 0, 10), transaction([append("x", 2)], [None], 0, 10),
                 transaction([("read", "x")], [[2, 1]], 1, 2)]
        self.assertTrue(serializable.check(calls, {"x": [1, 2]}))

    def test_refuses_a_transaction_that_misses_its_own_append(self):
        calls = [transaction([append("x", 1), ("read", "x")], [None, []], 0, 1)]
        self.assertTrue(serializable.check(calls, {"x": [1]}))

    def test_lets_an_unknown_transaction_be_or_not_be(self):
        unknown = transaction([append("x", 1)], None, 0, 0, UNKNOWN)
        self.assertEqual(serializable.check([unknown], {"x": [1]}), [])
        self.assertEqual(serializable.check([unknown], {"x": []}), [])


if __name__ == "__main__":
    unittest.main()
