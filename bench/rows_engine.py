# SPDX-License-Identifier: Apache-2.0
"""Rows of the engine in process: beside four embedded stores, beside itself without a cipher, and beside the disk."""
import os
import time

from harness import OURS, remove, row_make, run_json, take_turns

CIPHER_TURNS_MIN = 5
CACHED = ["load", "compact", "readseq"]

# name, workloads before, workload measured, peers, further options, target (peer, ratio)
ROWS = [
    ("fillseq, not synced", [], "fillseq", ["rocksdb", "leveldb"], {}, None),
    ("load in order, batches of 1,000, not synced", [], "load", ["lmdb", "rocksdb", "leveldb"], {}, None),
    ("fillrandom, not synced", [], "fillrandom", ["rocksdb", "leveldb"], {}, ("rocksdb", 1.0)),
    ("overwrite, not synced", ["load"], "overwrite", ["rocksdb", "leveldb"], {}, ("rocksdb", 1.0)),
    ("durable puts, 1 thread", [], "fillsync", ["rocksdb", "leveldb", "lmdb", "sqlite"], {}, ("rocksdb", 1.2)),
    ("durable puts, 16 threads", [], "fillsync", ["rocksdb", "leveldb"], {"threads": 16}, ("rocksdb", 1.2)),
    ("durable puts, 64 threads", [], "fillsync", ["rocksdb", "leveldb"], {"threads": 64}, ("rocksdb", 1.2)),
    ("durable batches of 100, 1 thread", [], "batchsync", ["leveldb", "rocksdb", "lmdb", "sqlite"], {}, ("leveldb", 1.0)),
    ("one key, 64 threads, durable", [], "hotkey", ["rocksdb"], {"threads": 64}, None),
    ("readrandom, cached, 1 thread", CACHED + ["readrandom"], "readrandom", ["rocksdb", "leveldb", "lmdb", "sqlite"], {},
     ("rocksdb", 1.0)),
    ("readrandom, cached, 2 threads", CACHED + ["readrandom"], "readrandom", ["rocksdb", "leveldb", "lmdb"],
     {"threads": 2}, ("rocksdb", 1.0)),
    ("readmissing, cached", CACHED, "readmissing", ["rocksdb", "leveldb"], {}, ("rocksdb", 0.8)),
    ("readseq", CACHED, "readseq", ["rocksdb", "leveldb", "lmdb"], {}, ("rocksdb", 0.8)),
    ("readreverse", CACHED, "readreverse", ["rocksdb", "leveldb"], {}, None),
    ("seek and 10 next", CACHED, "seekrandom", ["rocksdb", "leveldb"], {}, ("rocksdb", 0.8)),
    ("readwhilewriting", CACHED, "readwhilewriting", ["rocksdb"], {}, ("rocksdb", 0.8)),
    ("deleterandom, not synced", ["load"], "deleterandom", ["rocksdb", "leveldb"], {}, None),
]
YCSB = [("YCSB A, 50 % updates", "ycsb-a"), ("YCSB B, 5 % updates", "ycsb-b"), ("YCSB C, reads", "ycsb-c"),
        ("YCSB D, newest", "ycsb-d"), ("YCSB E, short scans", "ycsb-e"), ("YCSB F, read and write", "ycsb-f")]
CIPHER = [("fillrandom", [], "fillrandom", {}), ("durable puts, 16 threads", [], "fillsync", {"threads": 16}),
          ("durable batches of 100", [], "batchsync", {}), ("readrandom, cached", CACHED, "readrandom", {}),
          ("readrandom, cache of 8 MiB", CACHED, "readrandom", {"cache-mb": 8, "buffer-mb": 2}), ("readseq", CACHED, "readseq", {})]


def engine_run(context, store, workloads, options, program="engine", flags=()):
    """One run on an empty directory; the sample of the last workload."""
    directory = context.directory(store)
    given = {"records": context.scale["records"], "ops": context.scale["records"],
             "seconds": context.scale["seconds"], **options}
    command = [context.program("bench", program), store, ",".join(workloads), "--dir", directory, *flags]
    for name, value in given.items():
        command += [f"--{name}", str(value)]
    try:
        return run_json(command, timeout=1800)[-1]
    finally:
        remove(directory, directory + ".key")


def peer_rows(context, wanted):
    for name, before, measured, peers, options, target in ROWS:
        if wanted(name):
            peers = peers if context.scale["all_peers"] else [peer for peer in peers if peer in ("rocksdb", "leveldb", "lmdb")][:2]
            contestants = {store: (lambda store=store: engine_run(context, store, before + [measured], options))
                           for store in [OURS] + peers}
            yield row_make("engine", name, take_turns(contestants, context.scale["runs"]), target=target)


def ycsb_rows(context, wanted):
    for name, workload in YCSB:
        if wanted(name):
            options = {"value-size": 1000, "records": context.scale["records"] // 4}
            contestants = {store: (lambda store=store: engine_run(context, store, ["load", workload], options))
                           for store in (OURS, "rocksdb")}
            yield row_make("engine", name, take_turns(contestants, context.scale["runs"]))


def cipher_rows(context, wanted):
    for name, before, measured, options in CIPHER:
        name = f"beside a null cipher: {name}"
        if wanted(name):
            contestants = {OURS: lambda: engine_run(context, OURS, before + [measured], options),
                           "null cipher": lambda: engine_run(context, OURS, before + [measured], options, "engine_null")}
            # The difference is small: one turn says nothing.
            runs = max(context.scale["runs"], CIPHER_TURNS_MIN)
            yield row_make("cipher", name, take_turns(contestants, runs), target=("null cipher", 0.90))


def history_rows(context, wanted):
    for name, before, measured in (("overwrite", ["load"], "overwrite"), ("readrandom after overwrite", ["load", "overwrite"], "readrandom")):
        name = f"default history beside none: {name}"
        if wanted(name):
            contestants = {OURS: lambda: engine_run(context, OURS, before + [measured], {}, flags=["--history"]),
                           "no history": lambda: engine_run(context, OURS, before + [measured], {})}
            yield row_make("engine", name, take_turns(contestants, context.scale["runs"]))


def disk_sample(context):
    """4 KiB written and synced, one at a time, into a file that was written before."""
    path = os.path.join(context.where, "disk-probe")
    size, page = 16 << 20, b"d" * 4096
    times = []
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, b"d" * size, 0)
        os.fsync(descriptor)
        end = time.monotonic() + context.scale["seconds"]
        while time.monotonic() < end:
            begin = time.monotonic_ns()
            os.pwrite(descriptor, page, len(times) * 4096 % size)
            os.fdatasync(descriptor)
            times.append((time.monotonic_ns() - begin) / 1e3)
    finally:
        os.close(descriptor)
        os.unlink(path)
    times.sort()
    return {"rate": len(times) / context.scale["seconds"], "p50_us": times[len(times) // 2],
            "p99_us": times[len(times) * 99 // 100]}


def latency_rows(context, wanted):
    if not wanted("latency of a durable put"):
        return
    samples = take_turns({OURS: lambda: engine_run(context, OURS, ["fillsync"], {}), "disk": lambda: disk_sample(context)},
                         context.scale["runs"])
    for metric, bound in (("p50_us", 1.5), ("p99_us", 3.0)):
        yield row_make("engine", f"latency of a durable put, {metric[:3]}", samples, metric=metric, unit="us",
                       target=("disk", bound), less_is_better=True)


def rows(context, wanted):
    yield from peer_rows(context, wanted)
    yield from latency_rows(context, wanted)
    yield from cipher_rows(context, wanted)
    yield from history_rows(context, wanted)
    if context.scale["all_peers"]:
        yield from ycsb_rows(context, wanted)
