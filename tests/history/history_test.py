#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What concurrent clients of a server that is killed with SIGKILL saw, held against what it promises.

usage: history_test.py [--seconds S] [--kills N] [--seed N] [--only NAME]
`make test-long` runs it for longer (POLARYS_TEST_LONG).
"""
import argparse
import os
import sys
import time

import clients
import workloads

WORKLOADS = {
    "registers, linearizable": workloads.Registers,
    "lists, strictly serializable": workloads.Lists,
    "bank transfers": workloads.Bank,
    "write skew": workloads.Skew,
}


def main():
    is_long = os.environ.get("POLARYS_TEST_LONG") is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60 if is_long else 5)
    parser.add_argument("--kills", type=int, default=20 if is_long else 2)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only")
    arguments = parser.parse_args()
    passed = failed = 0
    print(f"seed {arguments.seed}", flush=True)
    for name, workload in WORKLOADS.items():
        if arguments.only and arguments.only not in name:
            continue
        faults, counts = clients.run(workload(), arguments.seconds, arguments.kills, arguments.seed)
        figures = ", ".join(f"{count:,} {outcome}" for outcome, count in counts.items())
        if counts.get("ok", 0) < 100:
            faults.append("hardly anything was done, so nothing is shown")
        print(f"{'FAILED' if faults else 'ok'}: {name}: {arguments.kills} kills, calls: {figures}", flush=True)
        for fault in faults[:10]:
            print("   ", fault)
        passed, failed = passed + (not faults), failed + bool(faults)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
