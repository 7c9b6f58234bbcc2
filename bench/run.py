#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks and reports them as ratios.

usage: run.py quick|full|report [--build DIR] [--only engine|service] [--dir DIR]

Absolute figures drift with the machine; a ratio inside one run does not, so every row is ours beside a peer
or a floor, in turns: A B A B. A row holds the medians and the ratio of the medians. Results are written as
JSON beside the build, and `report` turns the last ones into docs/performance.md's table.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# name, workloads that prepare, workload measured, peers, extra arguments, target (ratio, for whom)
ENGINE_ROWS = [
    ("fillseq, not synced", [], "fillseq", ["rocksdb", "leveldb"], {}, None),
    ("load in order, batches of 1,000, not synced", [], "load", ["lmdb", "rocksdb", "leveldb"], {}, None),
    ("fillrandom, not synced", [], "fillrandom", ["rocksdb", "leveldb"], {}, ("rocksdb", 1.0)),
    ("overwrite, not synced", ["fillrandom"], "overwrite", ["rocksdb", "leveldb"], {}, ("rocksdb", 1.0)),
    ("durable puts, 1 thread", [], "fillsync", ["rocksdb", "leveldb", "lmdb", "sqlite"],
     {"ops": 20000, "seconds": 4}, ("rocksdb", 1.2)),
    ("durable puts, 16 threads", [], "fillsync", ["rocksdb", "leveldb"],
     {"threads": 16, "ops": 200000, "seconds": 4}, ("rocksdb", 1.2)),
    ("durable puts, 64 threads", [], "fillsync", ["rocksdb", "leveldb"],
     {"threads": 64, "ops": 400000, "seconds": 4}, ("rocksdb", 1.2)),
    ("durable batches of 100, 1 thread", [], "batchsync", ["rocksdb", "leveldb", "lmdb", "sqlite"],
     {"ops": 1000000, "seconds": 4}, ("leveldb", 1.0)),
    ("readrandom, cached, 1 thread", ["load", "compact", "readseq", "readrandom"], "readrandom",
     ["rocksdb", "leveldb", "lmdb", "sqlite"], {}, ("rocksdb", 1.0)),
    ("readrandom, cached, 2 threads", ["load", "compact", "readseq", "readrandom"], "readrandom",
     ["rocksdb", "leveldb", "lmdb"], {"threads": 2}, ("rocksdb", 1.0)),
    ("readmissing, cached", ["load", "compact", "readseq"], "readmissing", ["rocksdb", "leveldb"], {},
     ("rocksdb", 0.8)),
    ("readseq", ["load", "compact", "readseq"], "readseq", ["rocksdb", "leveldb", "lmdb"], {}, ("rocksdb", 0.8)),
    ("readreverse", ["load", "compact", "readseq"], "readreverse", ["rocksdb", "leveldb"], {}, None),
    ("seek and 10 next", ["load", "compact", "readseq"], "seekrandom", ["rocksdb", "leveldb"],
     {"ops": 300000}, ("rocksdb", 0.8)),
    ("readwhilewriting", ["load", "compact", "readseq"], "readwhilewriting", ["rocksdb"],
     {"ops": 1000000, "seconds": 5}, ("rocksdb", 0.8)),
    ("mixed 50:50, not synced", ["load", "compact", "readseq"], "mixed", ["rocksdb", "leveldb"], {}, None),
    ("one key, 64 threads, durable", [], "hotkey", ["rocksdb"], {"threads": 64, "ops": 200000, "seconds": 4}, None),
]


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "?")
    return f"{os.cpu_count()} x {model}"


def engine_once(build, where, store, row, scale):
    """One run of one store on an empty directory; the last line is the measured workload."""
    _, prepare, measured, _, extra, _ = row
    options = {"records": scale["records"], "ops": scale["records"], "threads": 1, "seconds": scale["seconds"]}
    options.update(extra)
    options["seconds"] = min(options["seconds"], scale["seconds"])
    directory = tempfile.mkdtemp(prefix=f"{store}-", dir=where)
    command = [os.path.join(build, "bench", "engine"), store, ",".join(prepare + [measured]), "--dir", directory]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
        if run.returncode != 0:
            sys.exit(f"{' '.join(command)}: {run.stderr.strip()}")
        return json.loads(run.stdout.strip().splitlines()[-1])
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        for name in (directory + ".key",):
            if os.path.exists(name):
                os.unlink(name)


def engine_row(build, where, row, scale):
    """Ours and each peer in turns; returns the row as plain data."""
    stores = ["polarysdb"] + row[3]
    samples = {store: [] for store in stores}
    for _ in range(scale["runs"]):
        for store in stores:
            samples[store].append(engine_once(build, where, store, row, scale))
    result = {"row": row[0], "stores": {}}
    for store in stores:
        rates = [sample["rate"] for sample in samples[store]]
        result["stores"][store] = {
            "rate": statistics.median(rates), "rate_min": min(rates), "rate_max": max(rates),
            **{key: statistics.median(sample[key] for sample in samples[store])
               for key in ("p50_us", "p99_us", "p999_us", "max_us", "cpu_us", "resident_mb", "table_mb")}}
    ours = result["stores"]["polarysdb"]["rate"]
    result["ratios"] = {peer: ours / max(result["stores"][peer]["rate"], 1) for peer in row[3]}
    if row[5]:
        peer, target = row[5]
        result["target"] = {"peer": peer, "ratio": target, "met": result["ratios"][peer] >= target}
    return result


def show(result):
    ours = result["stores"]["polarysdb"]
    ratios = ", ".join(f"{peer} {ratio:.2f}" for peer, ratio in result["ratios"].items())
    target = result.get("target")
    verdict = "" if not target else f"  target {target['peer']} >= {target['ratio']}: {'met' if target['met'] else 'SHORT'}"
    print(f"{result['row']:<46} {ours['rate']:>12,.0f}/s  p99 {ours['p99_us']:>9,.1f} us  x {ratios}{verdict}", flush=True)


def markdown(results):
    lines = ["| workload | PolarysDB /s | p50 / p99 µs | " + "RocksDB | LevelDB | LMDB | SQLite | ratio to RocksDB | target |",
             "|---|---|---|---|---|---|---|---|---|"]
    for result in results["engine"]:
        stores = result["stores"]
        ours = stores["polarysdb"]
        cells = [f"{stores[peer]['rate']:,.0f}" if peer in stores else "" for peer in ("rocksdb", "leveldb", "lmdb", "sqlite")]
        ratio = result["ratios"].get("rocksdb")
        target = result.get("target")
        verdict = "" if not target else (f"{target['peer']} × {target['ratio']}: "
                                         f"{result['ratios'][target['peer']]:.2f} {'met' if target['met'] else '**short**'}")
        lines.append(f"| {result['row']} | {ours['rate']:,.0f} | {ours['p50_us']:,.1f} / {ours['p99_us']:,.1f} | "
                     + " | ".join(cells) + f" | {'' if ratio is None else f'{ratio:.2f}'} | {verdict} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["quick", "full", "report"])
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--only", choices=["engine", "service"])
    parser.add_argument("--row", help="only rows whose name contains this")
    parser.add_argument("--dir", help="where stores are made; on the disk that is to be measured")
    arguments = parser.parse_args()
    path = os.path.join(arguments.build, "bench", "results.json")
    if arguments.mode == "report":
        with open(path, encoding="utf-8") as file:
            print(markdown(json.load(file)))
        return
    scale = {"quick": {"records": 300000, "seconds": 3, "runs": 1},
             "full": {"records": 1000000, "seconds": 20, "runs": 5}}[arguments.mode]
    where = tempfile.mkdtemp(prefix="polarys-bench-", dir=arguments.dir or arguments.build)
    results = {"machine": machine(), "mode": arguments.mode, "engine": []}
    print(f"{results['machine']}; {scale['records']:,} records of 16 + 100 bytes, medians of {scale['runs']}", flush=True)
    try:
        for row in ENGINE_ROWS:
            if arguments.only == "service" or (arguments.row and arguments.row not in row[0]):
                continue
            result = engine_row(arguments.build, where, row, scale)
            results["engine"].append(result)
            show(result)
    finally:
        shutil.rmtree(where, ignore_errors=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    print(f"written to {path}")


if __name__ == "__main__":
    main()
