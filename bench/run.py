#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks and reports them as ratios.

usage: run.py quick|full|report [--build DIR] [--only engine|size|service] [--row TEXT] [--dir DIR] [--runs N] [--realtime]

Absolute figures drift with the machine; a ratio inside one run does not, so every row is ours beside a peer or a floor, in
turns: A B A B. Results are written as JSON beside the build after every row, so that a run that is ended keeps what it has;
rows measured before stay until they are measured again. `report` puts the last ones into docs/performance.md.
"""
import argparse
import json
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import report  # noqa: E402
import rows_engine  # noqa: E402
import rows_service  # noqa: E402
import rows_size  # noqa: E402
from harness import Context, show  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCUMENT = os.path.join(ROOT, "docs", "performance.md")
SCALES = {
    "quick": {"records": 200000, "keys": 100000, "seconds": 1, "service_seconds": 1.5, "runs": 1, "all_peers": False,
              "churn_buffer_mb": 16},
    "full": {"records": 1000000, "keys": 1000000, "seconds": 5, "service_seconds": 5, "runs": 5, "all_peers": True,
             "churn_buffer_mb": 64},
}
GROUPS = {"service": rows_service.rows, "engine": rows_engine.rows, "size": rows_size.rows}


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "?")
    return f"{os.cpu_count()} × {model}"


def results_load(path):
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    return {"rows": []}


def results_add(results, row, path):
    """In the place of what the row was before, so that the order stays."""
    row = {**row, "runs": results["runs"], "load_average": os.getloadavg()[0], "time": int(time.time())}
    names = [(old["group"], old["name"]) for old in results["rows"]]
    if (row["group"], row["name"]) in names:
        results["rows"][names.index((row["group"], row["name"]))] = row
    else:
        results["rows"].append(row)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    os.replace(path + ".new", path)


def priority_raise():
    """
    Real-time priority for everything that is measured, peers too. On a machine that compiles meanwhile a thread that wakes
    waits 3 ms for a processor, which is thirty syncs of a disk: without this the rows measure the scheduler.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        sys.exit("--realtime needs to be root")


def measure(arguments, scale, path):
    if arguments.realtime:
        priority_raise()
    where = tempfile.mkdtemp(prefix="polarys-bench-", dir=arguments.dir or arguments.build)
    context = Context(arguments.build, where, scale)
    results = results_load(path)
    results.update(machine=machine(), mode=arguments.mode, is_realtime=arguments.realtime, records=scale["records"], keys=scale["keys"], runs=scale["runs"])
    print(f"{results['machine']}, load {os.getloadavg()[0]:.1f}; medians of {scale['runs']}", flush=True)
    try:
        for group, rows in GROUPS.items():
            if arguments.only in (None, group):
                for row in rows(context, lambda name: not arguments.row or arguments.row in name):
                    results_add(results, row, path)
                    show(row)
    finally:
        shutil.rmtree(where, ignore_errors=True)
    print(f"written to {path}; {sum(1 for row in results['rows'] if row.get('target') and not row['target']['met'])} short")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["quick", "full", "report"])
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--only", choices=sorted(GROUPS))
    parser.add_argument("--row", help="only rows whose name contains this")
    parser.add_argument("--dir", help="where data is kept; on the disk that is to be measured")
    parser.add_argument("--realtime", action="store_true", help="give all that is measured real-time priority; for root")
    parser.add_argument("--runs", type=int, help="turns of a row")
    arguments = parser.parse_args()
    path = os.path.join(arguments.build, "bench", "results.json")
    if arguments.mode == "report":
        report.write(results_load(path), DOCUMENT)
        return
    scale = dict(SCALES[arguments.mode])
    scale["runs"] = arguments.runs or scale["runs"]
    measure(arguments, scale, path)


if __name__ == "__main__":
    main()
