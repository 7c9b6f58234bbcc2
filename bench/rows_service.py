# SPDX-License-Identifier: Apache-2.0
"""Rows of the service: polarysd beside a bare echo server on the same gRPC core, etcd and Redis.

One light client drives all that speak gRPC. The echo server answers with as many bytes as polarysd does; `echo log` has a
thread that only writes and syncs, `echo inline` does that on the queue's own thread.
"""
import csv
import io
import statistics
import subprocess
import sys

import servers
from harness import OURS, medians, row_absolute, row_make, run_json, take_turns
from rows_engine import engine_run

ECHO, LOG, INLINE = "echo", "echo log", "echo inline"
BULK_IN_FLIGHT = 16


def load(context, server, workloads, **options):
    """The sample of the last workload."""
    given = {"seconds": context.scale["service_seconds"], "keys": context.scale["keys"], **options}
    command = [context.program("bench", "load"), workloads, "--target", f"127.0.0.1:{server.port}", "--server-pid",
               str(server.pid)]
    for name, value in given.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    sample = run_json(command)[-1]
    sample["cpu_us"] = sample["server_cpu_us"]
    return sample


def redis_run(context, server, test, clients, pipeline):
    seconds = context.scale["service_seconds"]
    requests = int(seconds * (12000 if pipeline == 1 else 60000))
    command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(server.port), "-t", test, "-c", str(clients), "-P", str(pipeline),
               "-d", "100", "-r", str(context.scale["keys"]), "-n", str(requests), "--csv"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)}: {run.stderr}")
    line = list(csv.DictReader(io.StringIO(run.stdout)))[-1]
    return {"rate": float(line["rps"]), "record_rate": float(line["rps"]), "p50_us": 1e3 * float(line["p50_latency_ms"]),
            "p99_us": 1e3 * float(line["p99_latency_ms"])}


def connections_of(in_flight):
    return 2 if in_flight > 128 else 1


def call_rows(context, wanted, ours, floors):
    runs = context.scale["runs"]
    everyone = {OURS: ours, **floors}

    def turns(names, workload, **options):
        return take_turns({name: (lambda name=name: load(context, everyone[name], workload, **options)) for name in names}, runs)

    for in_flight in (1, 16, 64, 256):
        name = f"Get, cached, {in_flight} in flight"
        if wanted(name):
            samples = turns([OURS, ECHO], "get", in_flight=in_flight, connections=connections_of(in_flight))
            yield row_make("service", name, samples, target=(ECHO, 0.80) if in_flight == 64 else None)
            if in_flight == 64:
                above = statistics.median(a["cpu_us"] - b["cpu_us"] for a, b in zip(samples[OURS], samples[ECHO]))
                yield row_absolute("service", "CPU of a Get above bare echo, 64 in flight", above, "us", 4.0, True)
    for in_flight in (1, 16, 64, 256):
        name = f"Put, LOCAL_SYNC, {in_flight} in flight"
        if wanted(name):
            samples = turns([OURS, LOG, INLINE], "put", in_flight=in_flight, connections=connections_of(in_flight))
            yield row_make("service", name, samples, target=(LOG, 0.75) if in_flight > 1 else None)
    if wanted("mixed"):
        samples = turns([OURS, LOG, INLINE], "mixed", in_flight=64, read_share=50)
        yield row_make("service", "mixed, half reads, 64 in flight", samples)
        samples = turns([OURS, LOG, INLINE], "mixed", in_flight=64)
        yield row_make("service", "mixed, 95 % reads, 64 in flight", samples)
        samples = turns([OURS, LOG], "mixed", in_flight=1000, rate=4000)
        yield row_make("service", "mixed, 95 % reads, 4,000/s at fixed times, p99", samples, metric="p99_us", unit="us",
                       less_is_better=True)


def hot_rows(context, wanted, ours):
    """Writers that all change one key: each update reads it first, so every two of them conflict."""
    name = "Update of one key by 64 writers, least done beside most"
    if wanted(name):
        samples = [load(context, ours, "hot", in_flight=64, connections=8) for _ in range(context.scale["runs"])]
        row = row_absolute("service", name, statistics.median(s["writer_done_min"] / max(1, s["writer_done_max"]) for s in samples),
                           "", 0.5)
        row["contestants"][OURS].update(medians(samples))
        yield row


def database_rows(context, wanted, ours):
    """What a key-value store has not got, beside the plain calls of the same server."""
    runs = context.scale["runs"]
    name = "transaction of 2 reads and 2 writes, 64 in flight, beside Put"
    if wanted(name):
        samples = take_turns({OURS: lambda: load(context, ours, "transact", in_flight=64),
                              "put": lambda: load(context, ours, "put", in_flight=64)}, runs)
        yield row_make("service", name, samples, target=("put", 0.25))
    name = "query of one document by an index, 64 in flight, beside Get"
    if wanted(name):
        documents = {"table": "documents", "json": 1, "keys": 60000, "value_size": 300}
        load(context, ours, "create,fill,index", batch=1000, in_flight=8, **documents)
        samples = take_turns({OURS: lambda: load(context, ours, "query", in_flight=64, **documents),
                              "get": lambda: load(context, ours, "get", in_flight=64, **documents)}, runs)
        yield row_make("service", name, samples, target=("get", 0.7))


def etcd_rows(context, wanted, ours):
    if not wanted("etcd"):
        return
    runs, keys = context.scale["runs"], 10000
    with servers.etcd(context) as etcd:
        load(context, etcd, "etcd-fill", in_flight=256, keys=keys)
        pairs = (("Put, 100 in flight, beside etcd Put", "put", "etcd-put", 100, 2.0),
                 ("Get, strong, 16 in flight, beside etcd linearizable Range", "get", "etcd-range", 16, 4.0),
                 ("Get, 16 in flight, beside etcd serializable Range", "get", "etcd-range-local", 16, None))
        for name, workload, theirs, in_flight, bound in pairs:
            samples = take_turns({OURS: lambda: load(context, ours, workload, in_flight=in_flight, keys=keys),
                                  "etcd": lambda: load(context, etcd, theirs, in_flight=in_flight, keys=keys)}, runs)
            yield row_make("service", name, samples, target=("etcd", bound) if bound else None)


def redis_rows(context, wanted, ours):
    runs = context.scale["runs"]
    with servers.redis(context) as redis:
        for name, workload, test in (("Put, 64 in flight, beside Redis SET, synced always", "put", "set"),
                                     ("Get, 64 in flight, beside Redis GET", "get", "get")):
            if wanted(name):
                samples = take_turns({OURS: lambda: load(context, ours, workload, in_flight=64),
                                      "redis": lambda: redis_run(context, redis, test, 64, 1)}, runs)
                yield row_make("service", name, samples)
        for batch in (100, 1000):
            name = f"write stream, batches of {batch:,}, beside Redis SET pipelined 16"
            if wanted(name):
                samples = take_turns({OURS: lambda: load(context, ours, "write", batch=batch, in_flight=BULK_IN_FLIGHT),
                                      "redis": lambda: redis_run(context, redis, "set", 50, 16)}, runs)
                for each in samples[OURS]:
                    each["cpu_us"] /= batch
                yield row_make("service", name, samples, metric="record_rate", target=("redis", 1.5) if batch == 100 else None)


def stream_rows(context, wanted, ours, floors):
    runs = context.scale["runs"]
    name = "write stream, batches of 100, beside the engine's batches in process"
    if wanted(name):
        def engine():
            sample = engine_run(context, OURS, ["batchsync"], {"threads": BULK_IN_FLIGHT})
            return {**sample, "record_rate": sample["rate"]}

        def stream():
            sample = load(context, ours, "write", batch=100, in_flight=BULK_IN_FLIGHT)
            return {**sample, "cpu_us": sample["cpu_us"] / 100}

        yield row_make("service", name, take_turns({OURS: stream, "engine": engine}, runs), metric="record_rate",
                       target=("engine", 0.7))
    name = "write stream, batches of 100, beside bare acknowledgements"
    if wanted(name):
        samples = take_turns({OURS: lambda: load(context, ours, "write", batch=100, in_flight=BULK_IN_FLIGHT),
                              ECHO: lambda: load(context, floors[ECHO], "write", batch=100, in_flight=BULK_IN_FLIGHT)}, runs)
        yield row_make("service", name, samples, metric="record_rate")
    if wanted("scan stream"):
        # A table of its own: in the others every key has older versions by now, which a scan has to pass by.
        load(context, ours, "create,fill", batch=1000, in_flight=8, table="scanned")
        samples = take_turns({OURS: lambda: load(context, ours, "scan", table="scanned")}, runs)
        rate = statistics.median(sample["record_rate"] for sample in samples[OURS])
        yield row_absolute("service", "scan stream, records of 100 bytes", rate, "/s", 1e6)


def connection_rows(context, wanted, ours, floors):
    """How cost grows with connections, and what memory one takes."""
    for count in (8, 64, 512, 4096) if context.scale["all_peers"] else (64,):
        name = f"Get, {count:,} connections, one call in flight on each"
        if not wanted(name):
            continue
        before = ours.resident_bytes()
        samples = take_turns({who: (lambda who=who: load(context, server, "get", connections=count, in_flight=count))
                              for who, server in ((OURS, ours), (ECHO, floors[ECHO])) for server in (server,)},
                             context.scale["runs"])
        row = row_make("service", name, samples)
        row["bytes_a_connection"] = max(0, ours.resident_bytes() - before) / count
        yield row


def rows(context, wanted):
    with servers.polarysd(context) as ours:
        load(context, ours, "create,fill", batch=1000, in_flight=8)
        size = {kind: int(load(context, ours, kind, in_flight=16, seconds=1)["bytes_each"]) for kind in ("get", "put")}
        made = {name: servers.echo(context, mode, size["get"], size["put"])
                for name, mode in ((ECHO, "plain"), (LOG, "log-thread"), (INLINE, "inline"))}
        try:
            yield from call_rows(context, wanted, ours, made)
            yield from stream_rows(context, wanted, ours, made)
            yield from hot_rows(context, wanted, ours)
            yield from database_rows(context, wanted, ours)
            yield from etcd_rows(context, wanted, ours)
            yield from redis_rows(context, wanted, ours)
            yield from connection_rows(context, wanted, ours, made)
        finally:
            for server in made.values():
                server.stop()
