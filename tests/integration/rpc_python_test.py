#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every RPC from Python: what it answers, and every error that can be provoked, with its details.

The cases are in tests/integration/rpc, by service. Each runs against a real server; a case that needs other
settings starts its own. At the end the methods that were called are compared with those that reflection
lists, so that an RPC without a test fails. Names on the command line select cases.
"""
import os
import sys
import tempfile
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "rpc"))

import admin_cases  # noqa: E402
import backup_cases  # noqa: E402
import bulk_cases  # noqa: E402
import docs_cases  # noqa: E402
import general_cases  # noqa: E402
import index_cases  # noqa: E402
import kv_cases  # noqa: E402
import limit_cases  # noqa: E402
import query_cases  # noqa: E402
import replication_cases  # noqa: E402
import scan_cases  # noqa: E402
import search_cases  # noqa: E402
import standard_cases  # noqa: E402
import table_cases  # noqa: E402
import transaction_cases  # noqa: E402
import watch_cases  # noqa: E402
from world import EXTRA, Record, World  # noqa: E402

MODULES = [standard_cases, table_cases, kv_cases, scan_cases, bulk_cases, transaction_cases, index_cases, query_cases,
           search_cases, watch_cases, backup_cases, replication_cases, general_cases, admin_cases, limit_cases, docs_cases]


def run(world, module, chosen):
    """(passed, failed) of one module."""
    passed = failed = 0
    if hasattr(module, "setup"):
        module.setup(world)
    for case in module.CASES:
        name = f"{module.__name__}.{case.__name__}"
        if chosen and not any(each in name for each in chosen):
            continue
        try:
            case(world)
            passed += 1
            print(f"ok      {name}", flush=True)
        except Exception:  # a test may fail in any way, and the others run all the same
            failed += 1
            print(f"FAILED  {name}\n{traceback.format_exc(limit=-4)}", flush=True)
            if world.server.process.poll() is not None:
                print(f"the server ended with status {world.server.process.returncode}", flush=True)
                world.start()
    return passed, failed


# Methods that fail in no way of their own but by a malformed message or a server that is full or ends.
COMMON_FAILURES = {"BAD_MESSAGE", "DRAINING", "TOO_MANY_CALLS", "UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED"}
FAIL_BY_NOTHING_ELSE = {"polarys.v1.AdminService/GetStatus", "polarys.v1.AdminService/GetServerInfo",
                        "polarys.v1.AdminService/Flush", "polarys.v1.ReplicationService/ListSlots",
                        "polarys.v1.ReplicationService/ListMembers",
                        "grpc.health.v1.Health/Watch",
                        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"}


def all_were_called(world):
    """Each method that reflection lists was seen to succeed, and to fail if it can."""
    lacking = []
    for method in standard_cases.methods_listed(world.reflection):
        ends = world.record.ends.get("/" + method, set())
        if "OK" not in ends:
            lacking.append(f"{method} never succeeded")
        if not ends - {"OK"} - COMMON_FAILURES and method not in FAIL_BY_NOTHING_ELSE:
            lacking.append(f"{method} never failed in a way of its own")
    assert not lacking, "\n".join(lacking)


def every_reason_was_seen(world):
    """Each reason that the checks know of was provoked."""
    seen = set().union(*world.record.ends.values())
    assert set(EXTRA) <= seen, f"never provoked: {sorted(set(EXTRA) - seen)}"


class Last:
    """What is looked at when all others have run."""
    __name__ = "last_cases"
    CASES = [all_were_called, every_reason_was_seen]


def main():
    chosen = sys.argv[1:]
    passed = failed = 0
    record = Record()
    with tempfile.TemporaryDirectory(prefix="polarys-rpc-") as scratch, World(scratch, "main", record) as world:
        for module in MODULES:
            counts = run(world, module, chosen)
            passed, failed = passed + counts[0], failed + counts[1]
        counts = run(world, Last(), chosen)
        passed, failed = passed + counts[0], failed + counts[1]
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed != 0 or passed == 0)


if __name__ == "__main__":
    main()
