# SPDX-License-Identifier: Apache-2.0
"""Rows of bytes: how small documents are stored, and how often a byte is written."""
import os

from harness import OURS, row_absolute, row_make, take_turns
from rows_engine import engine_run

RECORD_BYTES = 116


def package_rows(context, wanted):
    lines = next((path for path in (context.program("demo", "packages.jsonl"), "build/demo/packages.jsonl")
                  if os.path.exists(path)), None)
    if not wanted("package index") or lines is None:
        return
    contestants = {store: (lambda store=store: engine_run(context, store, ["lines", "compact", "readseq"],
                                                          {"lines": lines, "seconds": 1}))
                   for store in (OURS, "rocksdb", "leveldb", "sqlite")}
    samples = take_turns(contestants, 1)
    row = row_make("size", "package index: table files beside RocksDB with zstd", samples, metric="table_mb", unit="MB",
                   target=("rocksdb", 1.1), less_is_better=True)
    yield row
    ours = row["contestants"][OURS]["table_mb"]
    yield row_absolute("size", "package index: table files of a byte of JSON", ours * 1e6 / os.path.getsize(lines), "", 0.45,
                       less_is_better=True)


def amplification_rows(context, wanted):
    name = "write amplification, random overwrite, 10 x the memtable"
    if not wanted(name):
        return
    buffer_mb = context.scale["churn_buffer_mb"]
    records = buffer_mb * (1 << 20) * 10 // RECORD_BYTES
    options = {"buffer-mb": buffer_mb, "records": records, "ops": 3 * records}

    def measure(store):
        sample = engine_run(context, store, ["load", "churn", "settle", "readmissing"], {**options, "seconds": 1})
        sample["amplification"] = sample["written_mb"] * 1e6 / (4 * records * RECORD_BYTES)
        return sample

    samples = take_turns({store: (lambda store=store: measure(store)) for store in (OURS, "rocksdb")}, 1)
    yield row_make("size", name, samples, metric="amplification", unit="", target=("rocksdb", 1.1), less_is_better=True)


def rows(context, wanted):
    yield from package_rows(context, wanted)
    yield from amplification_rows(context, wanted)
