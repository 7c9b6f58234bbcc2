#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What replicas and backups cost: lag, the primary's throughput, and writers during a backup.

usage: replication.py [lag|throughput|backup]... [--full] [--build DIR] [--dir DIR] [--mib N] [--seconds S] [--turns N]

All processes are on this machine: what a replica takes of the processors, the primary has not. So beside each ratio stands the
processor time a write of each node, which is what a replica costs where it has a machine of its own.
A line of JSON a result. Quick by default; --full is what docs/performance.md shows.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import run_json  # noqa: E402
from servers import Server, free_port  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCALES = {"quick": {"mib": 128, "seconds": 2, "turns": 1, "writes": 500},
          "full": {"mib": 2048, "seconds": 8, "turns": 3, "writes": 2000}}
WAIT_SECONDS_MAX = 120
TICKS = os.sysconf("SC_CLK_TCK")
VALUE_BYTES = 1024
CHANGED_PART = 0.01


class Bench:
    """Where programs and data are; nodes of groups by name."""

    def __init__(self, arguments):
        self.arguments, self.nodes = arguments, []
        self.where = tempfile.mkdtemp(prefix="polarys-replication-", dir=arguments.dir or arguments.build)
        self.key = os.path.join(self.where, "key")
        with open(self.key, "w", encoding="ascii") as file:
            file.write(os.urandom(32).hex() + "\n")
        os.chmod(self.key, 0o600)

    def program(self, *names):
        return os.path.join(self.arguments.build, *names)

    def path(self, name):
        return os.path.join(self.where, name)

    def node(self, name, follow=None):
        port = free_port()
        command = [self.program("polarysd"), "--data-dir", self.path(name), "--master-key-file", self.key, "--node-name", name,
                   "--listen", f"127.0.0.1:{port}", "--admin-listen", "", "--drain-grace", "0ms"]
        command += ["--follow", f"127.0.0.1:{follow.port}"] if follow else []
        node = Server(command, self.path(name + ".log"), pattern=r"serving gRPC on port (\d+)")
        self.nodes.append(node)
        if follow:
            self.wait(f"{name} follows", lambda: self.status(node)["version"] >= self.status(follow)["version"])
        return node

    @staticmethod
    def wait(what, condition):
        end = time.monotonic() + WAIT_SECONDS_MAX
        while not condition():
            if time.monotonic() > end:
                sys.exit(f"not within {WAIT_SECONDS_MAX} s: {what}")
            time.sleep(0.05)

    def command(self, node, *words):
        return [self.program("polarys"), "--endpoint", f"127.0.0.1:{node.port}", "-o", "json", "--timeout", "600s", *words]

    def run(self, node, *words):
        """The last row that a command prints."""
        rows = run_json(self.command(node, *words))
        return rows[-1] if rows else {}

    def status(self, node):
        return self.run(node, "status")

    def drop(self, *names):
        for name in names:
            shutil.rmtree(self.path(name), ignore_errors=True)

    def close(self):
        for node in reversed(self.nodes):
            node.stop()
        shutil.rmtree(self.where, ignore_errors=True)


def cpu_seconds(node):
    with open(f"/proc/{node.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def show(name, **figures):
    print(json.dumps({"result": name, **{key: round(value, 3) if isinstance(value, float) else value
                                         for key, value in figures.items()}}), flush=True)


# ---- lag ----

def lag(bench, scale):
    """Two replicas; the lag of one of them."""
    primary = bench.node("lag-a")
    replicas = [bench.node(f"lag-{name}", primary) for name in "bc"]
    figures = run_json([bench.program("bench", "lag"), f"127.0.0.1:{primary.port}", f"127.0.0.1:{replicas[0].port}",
                        bench.path("sync"), str(scale["writes"])])[0]
    show("replication lag of single writes, LOCAL_SYNC", **figures, is_met=figures["lag_p99_us"] < 5000)
    for node in [*replicas, primary]:
        node.stop()


# ---- throughput ----

def load(bench, node, kind, durability, seconds, *more):
    return bench.run(node, "bench", kind, "--durability", durability, "--seconds", str(seconds), "--table", "load", "--keep", *more)


def documents_of(row):
    """An operation of a bulk load is a batch."""
    return max(round(row["documents_per_second"] * row["seconds"]), 1)


def measured(bench, group, kind, durability, seconds):
    before = [cpu_seconds(node) for node in group]
    row = load(bench, group[0], kind, durability, seconds)
    writes = documents_of(row)
    cpu = [(after - begun) / writes * 1e6 for after, begun in zip([cpu_seconds(node) for node in group], before)]
    return {"rate": writes / row["seconds"], "cpu_us": cpu, "row": row}


def throughput(bench, scale):
    """A primary alone and one with two replicas, in turns."""
    alone = [bench.node("alone")]
    primary = bench.node("with-a")
    group = [primary, bench.node("with-b", primary), bench.node("with-c", primary)]
    for kind, durability in [("put", "local-sync"), ("put", "quorum"), ("bulk", "local-sync")]:
        turns = []
        for _ in range(scale["turns"]):
            turns.append((measured(bench, alone, kind, "local-sync", scale["seconds"]),
                          measured(bench, group, kind, durability, scale["seconds"])))
            # What a replica has not taken in yet is not to disturb the next turn.
            bench.wait("the replicas have caught up", lambda: all(
                bench.status(node)["version"] >= bench.status(primary)["version"] for node in group[1:]))
        ratio = statistics.median(ours["rate"] / theirs["rate"] for theirs, ours in turns)
        median = statistics.median
        show(f"{kind}, {durability}, with two replicas beside none", rate=median(ours["rate"] for _, ours in turns),
             rate_alone=median(theirs["rate"] for theirs, _ in turns), ratio=ratio, is_met=ratio >= 0.85,
             cpu_us_alone=median(theirs["cpu_us"][0] for theirs, _ in turns),
             cpu_us_primary=median(ours["cpu_us"][0] for _, ours in turns),
             cpu_us_replica=median(sum(ours["cpu_us"][1:]) / 2 for _, ours in turns))
    for node in [*reversed(group), *alone]:
        node.stop()
    bench.drop("alone", "with-a", "with-b", "with-c")


# ---- backup ----

def versions_a_second(bench, node, begun):
    """Commits since `begun`, a pair (time, version) of an earlier call, and the pair of now."""
    now = (time.monotonic(), bench.status(node)["version"])
    return (now[1] - begun[1]) / (now[0] - begun[0]) if begun else 0.0, now


def fill(bench, node, mib):
    keys = mib * (1 << 20) // VALUE_BYTES
    done = 0
    while done < keys:
        done += documents_of(load(bench, node, "bulk", "local-sync", 2, "--value-size", str(VALUE_BYTES), "--keys", str(keys)))
    bench.run(node, "admin", "flush")
    bench.run(node, "admin", "compact")
    return keys


def dir_bytes(path):
    return sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)


def backup_under_load(bench, node, keys, scale):
    """Writers for a window before, during and after a backup."""
    writer = subprocess.Popen(bench.command(node, "bench", "put", "--seconds", "600", "--table", "load", "--keep", "--value-size",
                                            "256", "--keys", str(keys)), stdout=subprocess.DEVNULL)
    try:
        time.sleep(1)
        _, mark = versions_a_second(bench, node, None)
        time.sleep(scale["seconds"])
        before, mark = versions_a_second(bench, node, mark)
        cpu = cpu_seconds(node)
        row = bench.run(node, "backup", "create", bench.path("under-load"))
        during, then = versions_a_second(bench, node, mark)
        cpu = (cpu_seconds(node) - cpu) / (then[1] - mark[1]) * 1e6
        seconds = then[0] - mark[0]
        time.sleep(scale["seconds"])
        after, _ = versions_a_second(bench, node, then)
    finally:
        writer.terminate()
        writer.wait()
    loss = 1 - during / ((before + after) / 2)
    show("writers during a backup", bytes=row["bytes"], seconds=seconds, mib_s=row["bytes"] / seconds / (1 << 20), before=before,
         during=during, after=after, loss=loss, cpu_us_a_write=cpu, is_met=loss < 0.15)
    bench.drop("under-load")


def backup_interrupted(bench, node):
    """Killed when a part of it is there, then run again: ballast and spare log, which are not sent, count in the whole."""
    target = bench.path("whole")
    total = dir_bytes(os.path.join(bench.where, "store"))
    first = subprocess.Popen(bench.command(node, "backup", "create", target), stdout=subprocess.DEVNULL)
    while first.poll() is None and (not os.path.isdir(target) or dir_bytes(target) < total / 5):
        time.sleep(0.01)
    was_interrupted = first.poll() is None
    first.kill()
    first.wait()
    if not was_interrupted:
        bench.drop("whole")
    row = bench.run(node, "backup", "create", target)
    show("backup killed on the way and gone on with", was_interrupted=was_interrupted, resumed=row["resumed"], bytes=row["bytes"],
         received_afterwards=row["received_bytes"])
    return row


def backup_incremental(bench, node, whole, keys):
    changed = int(keys * CHANGED_PART)
    before = bench.status(node)["version"]
    while bench.status(node)["version"] - before < changed:
        bench.run(node, "bench", "put", "--seconds", "1", "--table", "load", "--keep", "--value-size", str(VALUE_BYTES), "--rate",
                  str(max(changed // 4, 1)), "--keys", str(keys))
    for is_flushed in (False, True):
        if is_flushed:
            bench.run(node, "admin", "flush")
        name = "flushed" if is_flushed else "changed"
        row = bench.run(node, "backup", "create", bench.path(name), "--incremental-from", bench.path("whole"))
        part = row["received_bytes"] / whole["bytes"]
        show(f"incremental after a change of 1 %, {'after' if is_flushed else 'without'} a flush", received=row["received_bytes"],
             whole=whole["bytes"], part=part, is_met=part < 0.05, files=row["received_files"])
    return "changed"


def backup_verify(bench, node, name):
    begun = time.monotonic()
    row = bench.run(node, "backup", "verify", bench.path(name), "--master-key-file", bench.key)
    seconds = time.monotonic() - begun
    digest = bench.run(node, "digest", "--at-version", str(row["version"]))["digest"]
    show("digest of the restored backup", documents=row["documents"], seconds=seconds, is_met=digest == row["digest"])


def backup(bench, scale):
    node = bench.node("store")
    keys = fill(bench, node, scale["mib"])
    show("store", data_dir_bytes=dir_bytes(bench.path("store")), keys=keys)
    backup_under_load(bench, node, keys, scale)
    bench.run(node, "admin", "flush")
    bench.run(node, "admin", "compact")
    whole = backup_interrupted(bench, node)
    backup_verify(bench, node, backup_incremental(bench, node, whole, keys))
    node.stop()


KINDS = {"lag": lag, "throughput": throughput, "backup": backup}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="lag|throughput|backup")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--dir", help="where data is kept; on the disk that is to be measured")
    parser.add_argument("--mib", type=int, help="documents of the store that is backed up")
    parser.add_argument("--seconds", type=int, help="of a turn")
    parser.add_argument("--turns", type=int)
    arguments = parser.parse_args()
    if not set(arguments.kinds) <= set(KINDS):
        parser.error(f"there is {', '.join(KINDS)}")
    scale = dict(SCALES["full" if arguments.full else "quick"])
    scale.update({key: value for key, value in vars(arguments).items() if key in scale and value})
    bench = Bench(arguments)
    try:
        for kind in arguments.kinds or KINDS:
            KINDS[kind](bench, scale)
    finally:
        bench.close()


if __name__ == "__main__":
    main()
