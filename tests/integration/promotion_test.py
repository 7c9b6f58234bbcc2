#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A group as processes: who counts, promotions that take over what a quorum has, an old primary that comes back from a stop,
switchover while clients write, and nodes that leave.

No write that a quorum acknowledged is lost by any of it, and no write at all by a switchover.
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

from polarys_server import refused
from replica_test import POLARYS, Node, command, same, same_log, until

import grpc
from polarys.v1 import admin_pb2, common_pb2, kv_pb2, kv_pb2_grpc, replication_pb2, replication_pb2_grpc, table_pb2

QUORUM = common_pb2.DURABILITY_QUORUM
HANDOVER_SECONDS_MAX = 5  # of a machine that does other work meanwhile; what is aimed at is 1


def members(node):
    """{name: row} as the node lists them."""
    code, out, err = command(node, "replica", "members")
    assert code == 0, err
    return {row["name"]: row for row in map(json.loads, out.splitlines())}


def size(node):
    answer = replication_pb2_grpc.ReplicationServiceStub(node.channel).ListMembers(
        replication_pb2.ListMembersRequest(), timeout=20)
    return answer.node_count, answer.quorum


def role(node):
    return node.status().role


class Writers:
    """Clients that write to whoever is the primary, and know what was acknowledged and how long nothing was."""

    def __init__(self, nodes, count):
        self.nodes, self.acked, self.gap, self.ends = nodes, {}, 0.0, threading.Event()
        self.mutex, self.last, self.errors = threading.Lock(), time.monotonic(), set()
        self.threads = [threading.Thread(target=self.run, args=(number,), daemon=True) for number in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        at, done = 0, 0
        while not self.ends.is_set():
            node = self.nodes[at % len(self.nodes)]
            key, text = b"w%d-%06d" % (number, done), json.dumps({"n": done})
            try:
                node.kv.Put(kv_pb2.PutRequest(table="t", key=key, value=common_pb2.Value(json=text)), timeout=5)
            except grpc.RpcError as error:
                with self.mutex:
                    self.errors.add(error.code())
                at += 1
                time.sleep(0.005)
                continue
            now = time.monotonic()
            with self.mutex:
                self.acked[key] = text
                self.gap, self.last = max(self.gap, now - self.last), now
            done += 1

    def stop(self):
        self.ends.set()
        for thread in self.threads:
            thread.join()
        return self


def holds(node, acked):
    found = node.contents()
    missing = [key for key, text in acked.items() if key not in found or found[key][0] != text]
    assert not missing, f"{len(missing)} of {len(acked)} acknowledged documents are missing on {node.name}: {missing[:3]}"


# ---- steps ----

def step_join(a, others):
    a.up().until_ready()
    a.tables.CreateTable(table_pb2.CreateTableRequest(table="t"), timeout=20)
    assert members(a) == {} and size(a) == (1, 0)
    for node in others:
        node.up().until_ready()
    until("all are members", lambda: {name: row["state"] for name, row in members(a).items()} ==
          {"a": "member", "b": "member", "c": "member"})
    assert size(a) == (3, 1), size(a)
    rows = members(a)
    assert rows["a"]["self"] and rows["b"]["active"] and rows["b"]["address"] == others[0].address, rows
    same([a, *others])
    print("the nodes that follow are members", flush=True)


def step_take_over(a, b, c):
    """The node that is promoted lacks what the other one has: it takes that over."""
    assert c.stop() == 0
    for i in range(50):
        a.put(b"quorum-%02d" % i, str(i), QUORUM)
    a.kill()
    c.up().until_serving()
    lacks = c.status().version
    code, out, err = command(c, "replica", "promote")
    assert code == 0, err
    promoted = json.loads(out)
    assert promoted["version"] >= lacks + 50, (promoted, lacks)
    holds(c, {b"quorum-%02d" % i: str(i) for i in range(50)})
    until("the other one follows", lambda: b.status().replica.follows == c.address)
    c.put(b"new-term", "1", QUORUM)
    assert c.get(b"new-term", common_pb2.Consistency(stable=True)).value.json == "1"
    same([c, b])
    same_log(b, c)
    print("a promotion takes over what a quorum has", flush=True)


def step_return(old, new, nodes):
    old.up().until_serving()
    until("the old primary is fenced", lambda: role(old) == admin_pb2.NODE_ROLE_FENCED)
    assert "polarysdb_primary 0" in old.http("/metrics")[1]
    assert command(old, "replica", "demote", new.address)[0] == 0
    until("it follows", lambda: role(old) == admin_pb2.NODE_ROLE_REPLICA)
    old.until_ready()
    same(nodes)


def step_stopped(a, b, c):
    """The primary is stopped like a machine that hangs, replaced, and goes on: no quorum believes it."""
    until("a counts", lambda: members(c)["a"]["active"])
    c.put(b"before-stop", "1", QUORUM)
    os.kill(c.process.pid, signal.SIGSTOP)
    code, _, err = command(b, "replica", "promote")
    assert code == 0, err
    b.put(b"instead", "1", QUORUM)
    os.kill(c.process.pid, signal.SIGCONT)
    status, reason, _, _ = refused(c.put, b"believed", "1", QUORUM)
    assert reason in ("NOT_PRIMARY", "QUORUM_TIMEOUT"), (status, reason)
    until("it is fenced", lambda: role(c) == admin_pb2.NODE_ROLE_FENCED)
    assert refused(c.get, b"instead", common_pb2.Consistency(strong=True))[1] == "NOT_PRIMARY"
    assert command(c, "replica", "demote", b.address)[0] == 0
    until("it follows", lambda: role(c) == admin_pb2.NODE_ROLE_REPLICA)
    c.until_ready()
    same([b, a, c])
    assert b"before-stop" in b.contents()
    print("a primary that hung and was replaced is not believed", flush=True)


def step_switchover(b, a, c):
    """b hands over to a and a back to b, while clients write and nothing that was acknowledged is lost."""
    for words, reason in ((("nobody",), "BAD_ARGUMENT"), (("b",), "BAD_ARGUMENT")):
        code, _, err = command(b, "replica", "switchover", *words)
        assert code != 0 and reason in err, err
    code, _, err = command(a, "replica", "switchover", "b")
    assert code != 0 and "NOT_PRIMARY" in err, err
    until("all count", lambda: all(members(b)[name]["active"] for name in ("a", "c")))
    writers = Writers([b, a, c], 4)
    time.sleep(0.5)
    for old, new in ((b, a), (a, b)):
        code, out, err = command(old, "replica", "switchover", new.name)
        assert code == 0, err
        assert json.loads(out)["primary"] == new.address, out
        until("the old one follows", lambda old=old: role(old) == admin_pb2.NODE_ROLE_REPLICA)
        assert role(new) == admin_pb2.NODE_ROLE_PRIMARY
        until("all count", lambda old=old, new=new: members(new)[old.name]["active"])
        time.sleep(0.5)
    writers.stop()
    holds(b, writers.acked)
    same([b, a, c])
    same_log(a, b)
    assert writers.errors <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.FAILED_PRECONDITION}, writers.errors
    assert writers.gap < HANDOVER_SECONDS_MAX, f"no write for {writers.gap:.2f} s"
    print(f"two switchovers: {len(writers.acked):,} acknowledged writes, none lost; longest pause {writers.gap * 1000:.0f} ms",
          flush=True)


def step_leave(b, a, c):
    code, _, err = command(b, "replica", "remove", "c")
    assert code != 0 and "follows this node now" in err, err
    assert command(a, "replica", "remove", "c")[0] != 0, "a replica removes nobody"
    assert c.stop() == 0
    until("c is away", lambda: not members(b)["c"]["active"])
    code, _, err = command(b, "replica", "remove", "c")
    assert code == 0, err
    assert sorted(members(b)) == ["a", "b"] and size(b) == (2, 1)
    slots = [json.loads(line)["name"] for line in command(b, "slot", "list")[1].splitlines()]
    assert slots == ["a"], slots
    b.put(b"two", "1", QUORUM)
    until("the replica knows of it", lambda: sorted(members(a)) == ["a", "b"])
    # Whoever comes back joins again.
    c.up().until_ready()
    until("c joins", lambda: members(b).get("c", {}).get("state") == "member")
    same([b, a, c])
    print("a member leaves, and comes back", flush=True)


def main():
    with tempfile.TemporaryDirectory(prefix="polarys-group-") as root, \
            open(os.path.join(root, "log"), "w+b") as log:
        key = os.path.join(root, "key")
        subprocess.run([POLARYS, "keys", "generate", key], check=True, stdout=log)
        a = Node(root, "a", key, log)
        b, c = Node(root, "b", key, log, a), Node(root, "c", key, log, a)
        nodes = [a, b, c]
        try:
            step_join(a, [b, c])
            step_take_over(a, b, c)
            step_return(a, c, [c, a, b])
            step_stopped(a, b, c)
            step_switchover(b, a, c)
            step_leave(b, a, c)
            for node in reversed(nodes):
                status = node.stop()
                assert status == 0, f"{node.name} ended with status {status}"
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-20000:])
            raise
        finally:
            for node in nodes:
                if node.process is not None and node.process.poll() is None:
                    node.kill()


if __name__ == "__main__":
    main()
