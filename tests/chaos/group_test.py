#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A primary and two replicas, each in a network namespace of its own, under full load while nodes are killed, stopped, cut off and
promoted; what clients saw is held against what is promised.

usage: group_test.py [--seconds S] [--seed N] [--plant weak|torn|stale]
`make test-long` runs it for ten minutes (POLARYS_TEST_LONG). Namespaces need root, or user namespaces; without them it is skipped.
With --plant the clients break a promise, and the run has to fail.
"""
import argparse
import os
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("../history", "../support"):
    sys.path.insert(0, os.path.join(HERE, folder))

import network  # noqa: E402

IS_LONG = os.environ.get("POLARYS_TEST_LONG") is not None
MARGIN_SECONDS = 300
PLANT_SECONDS = 6
# What the clients do wrong, and what has to be said of it.
PLANTED = {"weak": r"FAULT: .* (\d+ are lost|is not linearizable)", "torn": r"FAULT: torn on", "stale": r"FAULT: .* is not linearizable"}


def arguments_parse(words):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600 if IS_LONG else 20)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("POLARYS_SEED") or time.time()))
    parser.add_argument("--plant", choices=sorted(PLANTED))
    return parser.parse_args(words)


class GroupTest(unittest.TestCase):
    options = None

    def setUp(self):
        reason = network.why_not()
        if reason is not None:
            self.skipTest(f"SKIPPED: no network namespaces here: {reason}")

    def run_inside(self, seconds, plant=None):
        words = [os.path.abspath(__file__), "--seconds", str(seconds), "--seed", str(self.options.seed)]
        print(f"seed {self.options.seed}, {seconds:g} s" + (f", planted: {plant}" if plant else ""), flush=True)
        done = network.inside(words + (["--plant", plant] if plant else []), timeout=seconds + MARGIN_SECONDS, text=True,
                              stdout=subprocess.PIPE)
        print(done.stdout, flush=True)
        return done

    def test_faults_lose_nothing_that_was_acknowledged(self):
        self.assertEqual(self.run_inside(self.options.seconds).returncode, 0)

    def test_a_planted_bug_is_found(self):
        for plant in PLANTED if IS_LONG else ["weak"]:
            with self.subTest(plant):
                done = self.run_inside(PLANT_SECONDS, plant)
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stdout, PLANTED[plant])


def main():
    options = arguments_parse(sys.argv[1:])
    if network.is_inside():
        import group_run
        return group_run.main(options)
    if options.plant:
        return network.inside([os.path.abspath(__file__), *sys.argv[1:]]).returncode
    GroupTest.options = options
    program = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2)
    return 0 if program.result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
