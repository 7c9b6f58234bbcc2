# SPDX-License-Identifier: Apache-2.0
"""One run of the group under faults, within namespaces of its own: group_test.py starts it."""
import os
import subprocess
import sys
import tempfile
import threading
import time

from load import TABLE, Group, Plant, clients_make, registers_read
from nemesis import Nemesis
from network import Network
from nodes import POLARYS, Node, until
from oracle import Oracle

from polarys.v1 import table_pb2, table_pb2_grpc

NAMES = ["a", "b", "c"]
FAULTS_SHOWN_MAX = 20
PLANTED_SHOWN_MAX = 3
LOG_BYTES_SHOWN = 12000
JOIN_SECONDS = 60


def group_start(network, root, log):
    """A primary with two replicas that are counted."""
    key = os.path.join(root, "key")
    subprocess.run([POLARYS, "keys", "generate", key], check=True, stdout=log)
    nodes = [Node(network, name, root, key, log) for name in NAMES]
    nodes[0].start()
    tables = table_pb2_grpc.TableServiceStub(nodes[0].channel)
    tables.CreateTable(table_pb2.CreateTableRequest(table=TABLE), timeout=30, wait_for_ready=True)
    for node in nodes[1:]:
        node.follows = nodes[0]
        node.start()
    return Group(nodes)


def nodes_compare(group, oracle):
    """Equal contents, and logs of which each is the beginning of the other."""
    primary = group.primary
    version = primary.status().version
    for node in group.nodes:
        until(f"{node.name} has version {version}", lambda node=node: node.status().version >= version)
    digests = {node.name: node.digest(version) for node in group.nodes}
    if len(set(digests.values())) != 1:
        oracle.fault(f"at version {version} the digests differ: {digests}")
    theirs, compared = primary.segments(), 0
    for node in group.nodes:
        if node is primary:
            continue
        for name, ours in node.segments().items():
            if name in theirs:
                compared += 1
                if not theirs[name].startswith(ours):
                    oracle.fault(f"segment {name} of {node.name} is no beginning of that of {primary.name}")
    oracle.count("segments compared", compared)


def run_group(network, root, log, seconds, seed, plant):
    oracle = Oracle()
    group = group_start(network, root, log)
    for node in group.nodes:
        node.tell = oracle.event
    nemesis = Nemesis(network, group, oracle, seed)
    ends = threading.Event()
    clients = []
    try:
        nemesis.joined()
        clients = clients_make(group, oracle, seed, Plant(plant), ends)
        for client in clients:
            client.start()
        nemesis.run(time.monotonic() + seconds)
        nemesis.heal()
        nemesis.joined()
        time.sleep(0.5)
    except AssertionError as error:
        oracle.fault(str(error))
    finally:
        ends.set()
        for client in clients:
            client.join(JOIN_SECONDS)
    if not oracle.faults:
        final_check(group, oracle)
    for node in group.nodes:
        node.kill() if oracle.faults else node.end()
    return oracle, nemesis


def final_check(group, oracle):
    try:
        oracle.stale_reads_take()
        found = registers_read(group.primary, oracle)
        oracle.ledger_check(found)
        oracle.histories_check()
        nodes_compare(group, oracle)
    except AssertionError as error:
        oracle.fault(str(error))


def enough_was_done(oracle, nemesis):
    """A run in which nothing happened shows nothing."""
    if nemesis.counts["promotions"] < 1 or oracle.counts["acknowledged writes"] < 200:
        oracle.fault(f"{nemesis.counts['promotions']} promotions, {oracle.counts['acknowledged writes']} acknowledged writes: "
                     "nothing is shown")


def main(arguments):
    """In the namespaces. The status is 1 when something was wrong."""
    network = Network(NAMES)
    with tempfile.TemporaryDirectory(prefix="polarys-chaos-") as root, open(os.path.join(root, "log"), "w+b") as log:
        oracle, nemesis = run_group(network, root, log, arguments.seconds, arguments.seed, arguments.plant)
        enough_was_done(oracle, nemesis)
        for counts in (nemesis.counts, oracle.counts):
            print("; ".join(f"{what} {count:,}" for what, count in sorted(counts.items())), flush=True)
        print(f"versions seen {len(oracle.content_of):,}; slow links by {'netem' if network.has_netem else 'tbf'}", flush=True)
        for fault in oracle.faults[:PLANTED_SHOWN_MAX if arguments.plant else FAULTS_SHOWN_MAX]:
            print("FAULT:", fault, flush=True)
        if oracle.faults and not arguments.plant:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-LOG_BYTES_SHOWN:])
    return 1 if oracle.faults else 0
