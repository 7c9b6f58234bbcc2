#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A primary and its replicas as processes: following while documents are imported, kills, reads at every consistency,
promotion, the old primary coming back, and a replica of a replica.

After each step all nodes hold the same documents at the same versions, and the log of a replica is, byte for byte,
that of the node it follows.
"""
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from polarys_server import BUILD, Server, refused

import grpc
from google.protobuf.duration_pb2 import Duration
from polarys.v1 import admin_pb2, admin_pb2_grpc, common_pb2, kv_pb2, kv_pb2_grpc, query_pb2, query_pb2_grpc
from polarys.v1 import table_pb2, table_pb2_grpc, transaction_pb2, transaction_pb2_grpc, watch_pb2, watch_pb2_grpc

POLARYS = os.environ.get("POLARYS", os.path.join(BUILD, "polarys"))
WAIT_SECONDS = 60
AT_LEAST_SECONDS_MAX = 0.06  # the median; where a worker looks at its ticks only, 0.09 s
STRONG = common_pb2.Consistency(strong=True)
LOCAL = common_pb2.Consistency(local=True)


class Node(Server):
    """A server with a name of its own; `follow` is the node that it replicates."""

    def __init__(self, root, name, key, log, follow=None):
        arguments = ["--node-name", name, "--master-key-file", key, "--memory-limit", "64MiB", "--wal-segment-bytes", "1MiB",
                     "--drain-grace", "0ms", "--disk-reserve-bytes", "1MiB"]
        super().__init__(os.path.join(root, name), log, arguments, is_dev=False)
        self.name, self.follow = name, follow

    def command(self):
        return super().command() + (["--follow", self.follow.address] if self.follow else [])

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def up(self):
        """Starts it; a replica may wait for its primary first, so this does not wait for answers."""
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log)
        self.channel = grpc.insecure_channel(self.address, options=[
            ("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 << 20),
            ("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)])
        self.kv = kv_pb2_grpc.KvServiceStub(self.channel)
        self.tables = table_pb2_grpc.TableServiceStub(self.channel)
        self.queries = query_pb2_grpc.QueryServiceStub(self.channel)
        self.manage = admin_pb2_grpc.AdminServiceStub(self.channel)
        return self

    def status(self):
        return self.manage.GetStatus(admin_pb2.GetStatusRequest(), timeout=10, wait_for_ready=True)

    def http(self, path):
        """(status, text); status 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def until_ready(self):
        until(f"{self.name} is ready", lambda: self.http("/readyz")[0] == 200 or self.alive())
        return self

    def until_serving(self):
        until(f"{self.name} serves", lambda: self.alive() or self.status())
        return self

    def alive(self):
        assert self.process.poll() is None, f"{self.name} ended with status {self.process.returncode}"
        return False

    def put(self, key, text, durability=0):
        return self.kv.Put(kv_pb2.PutRequest(table="t", key=key, value=common_pb2.Value(json=text), durability=durability),
                           timeout=20, wait_for_ready=True)

    def get(self, key, consistency=LOCAL, timeout=20):
        return self.kv.Get(kv_pb2.GetRequest(table="t", key=key, consistency=consistency), timeout=timeout)

    def contents(self, table="t"):
        """{key: (value, version)} of a table."""
        found = {}
        for message in self.kv.Scan(kv_pb2.ScanRequest(table=table, consistency=LOCAL), timeout=60):
            for document in message.documents:
                found[document.key] = (document.value.json, document.version)
        return found


def until(what, condition, seconds=WAIT_SECONDS):
    end = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except grpc.RpcError:
            pass
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def caught_up(node, primary):
    """Waits until `node` has all that `primary` has now."""
    version = primary.status().version
    until(f"{node.name} has version {version}", lambda: node.alive() or node.status().version >= version)


def same(nodes, tables=("t",)):
    first = nodes[0]
    for node in nodes[1:]:
        caught_up(node, first)
        for table in tables:
            ours, theirs = first.contents(table), node.contents(table)
            assert ours == theirs, f"{table}: {len(ours)} documents on {first.name}, {len(theirs)} on {node.name}"
    return len(first.contents(tables[0]))


def segments(node):
    """{name: bytes up to the last that is not zero} of the log."""
    directory = os.path.join(node.data_dir, "wal")
    found = {}
    for name in sorted(os.listdir(directory)):
        if name.endswith(".wal"):
            with open(os.path.join(directory, name), "rb") as file:
                found[name] = file.read().rstrip(b"\0")
    return found


def same_log(node, primary):
    """Each segment of `node` is that of `primary`, as far as it goes."""
    ours, theirs = segments(node), segments(primary)
    common = sorted(set(ours) & set(theirs))
    assert common, f"no segment in common: {sorted(ours)} and {sorted(theirs)}"
    for name in common:
        assert theirs[name].startswith(ours[name]), f"{name} of {node.name} is no prefix of that of {primary.name}"
    return len(common)


class Load(threading.Thread):
    """Writes until it is told to stop; knows what was acknowledged."""

    def __init__(self, node, seed):
        super().__init__(daemon=True)
        self.node, self.random, self.acked, self.ends = node, random.Random(seed), {}, threading.Event()
        self.count = 0
        self.start()

    def run(self):
        while not self.ends.is_set():
            key = b"load-%04d" % self.random.randrange(3000)
            text = json.dumps({"n": self.count, "text": "x" * self.random.randrange(10, 400)})
            try:
                self.node.put(key, text)
                self.acked[key] = text
                self.count += 1
            except grpc.RpcError:
                time.sleep(0.02)

    def stop(self):
        self.ends.set()
        self.join()
        return self


def bulk(node, first, count):
    operations = [kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=b"doc-%06d" % i, value=common_pb2.Value(
        json=json.dumps({"Section": f"s{i % 20}", "Size": i, "Text": f"number {i} of many words"}))))
                  for i in range(first, first + count)]
    for at in range(0, count, 500):
        node.kv.BatchWrite(kv_pb2.BatchWriteRequest(table="t", operations=operations[at:at + 500]), timeout=60)


def command(node, *words):
    run = subprocess.run([POLARYS, "--endpoint", node.address, "-o", "json", *words], capture_output=True, text=True,
                         timeout=120, check=False)
    return run.returncode, run.stdout, run.stderr


# ---- steps ----

def step_follow(primary, replicas):
    """Replicas copy a store that is being written to, and follow."""
    primary.up().until_ready()
    primary.tables.CreateTable(table_pb2.CreateTableRequest(table="t"), timeout=20)
    primary.tables.CreateIndex(table_pb2.CreateIndexRequest(
        table="t", index="by_section", fields=["Section"], kind=table_pb2.INDEX_KIND_ORDERED, wait=True), timeout=60)
    primary.tables.CreateIndex(table_pb2.CreateIndexRequest(
        table="t", index="by_words", fields=["Text"], kind=table_pb2.INDEX_KIND_TEXT, wait=True), timeout=60)
    bulk(primary, 0, 3000)
    load = Load(primary, 1)
    for replica in replicas:
        replica.up()
    for replica in replicas:
        replica.until_ready()
    bulk(primary, 3000, 2000)
    load.stop()
    count = same([primary] + replicas)
    for replica in replicas:
        same_log(replica, primary)
        status = replica.status()
        assert status.role == admin_pb2.NODE_ROLE_REPLICA and status.replica.caught_up, status
        assert status.replica.follows == primary.address and status.replica.connected, status.replica
    assert primary.status().role == admin_pb2.NODE_ROLE_PRIMARY
    print(f"followed: {count:,} documents on {1 + len(replicas)} nodes", flush=True)


def token_behind(token, count):
    """The token of a version that is `count` behind that of the token: see service/rpc/consistency.c."""
    version = int.from_bytes(token[17:25], "little") + count
    body = token[:17] + version.to_bytes(8, "little")
    total = 0x5A
    for byte in body:
        total = (total * 31 + byte) & 0xFF
    return body + bytes([total])


def step_waits(primary, replica):
    """A read that waits for a version goes on when that comes, and not at the next tick of a tenth of a second."""
    waits = []
    for i in range(21):
        token = primary.put(b"fresh", "%d" % i).header.token
        replica.get(b"fresh", common_pb2.Consistency(at_least=token))
        request = kv_pb2.GetRequest(table="t", key=b"fresh", consistency=common_pb2.Consistency(at_least=token_behind(token, 1)))
        call = replica.kv.Get.future(request, timeout=20)
        time.sleep(0.005)
        assert not call.done(), "a read of a version that is not there was answered"
        primary.put(b"fresh", '"next"')
        begun = time.monotonic()
        assert call.result().value.json == '"next"'
        waits.append(time.monotonic() - begun)
    median = sorted(waits)[len(waits) // 2]
    assert median < AT_LEAST_SECONDS_MAX, f"reads waited for a version that was there: {waits}"
    print(f"a read goes on {median * 1000:.1f} ms after the write that it waits for", flush=True)


def step_reads(primary, replica):
    token = primary.put(b"fresh", '{"v":1}').header.token
    assert replica.get(b"fresh", common_pb2.Consistency(at_least=token)).value.json == '{"v":1}'
    for i in range(50):
        primary.put(b"fresh", '{"v":%d}' % i)
        text = replica.get(b"fresh", STRONG).value.json
        assert text == '{"v":%d}' % i, f"a STRONG read saw {text} after {i} was acknowledged"
    for consistency in (LOCAL, common_pb2.Consistency(stable=True), None,
                        common_pb2.Consistency(max_staleness=Duration(seconds=30)),
                        common_pb2.Consistency(max_staleness=Duration(nanos=1000000)),
                        common_pb2.Consistency(snapshot=replica.status().version)):
        replica.get(b"fresh", consistency)
    answers = list(replica.queries.Query(query_pb2.QueryRequest(table="t", filter='Section = "s7"'), timeout=30))
    assert sum(len(answer.documents) for answer in answers) == 250, "a query by an index on a replica"
    plan = replica.queries.Explain(query_pb2.ExplainRequest(table="t", filter='Section = "s7"'), timeout=30)
    assert "by_section" in str(plan), plan
    answers = list(replica.queries.Search(query_pb2.SearchRequest(table="t", field="Text", text="4711"), timeout=30))
    assert [hit.document.key for answer in answers for hit in answer.hits] == [b"doc-004711"], answers
    check = replica.tables.CheckIndex(table_pb2.CheckIndexRequest(table="t"), timeout=60)
    assert check.entry_count > 5000 and check.missing_count + check.stray_count == 0, check
    assert replica.queries.Count(query_pb2.CountRequest(table="t"), timeout=30).count == len(primary.contents())
    print("reads at every consistency", flush=True)


def step_watch(primary, replica):
    stub = watch_pb2_grpc.WatchServiceStub(replica.channel)
    from_version = replica.status().version
    call = stub.Watch(watch_pb2.WatchRequest(table="t", from_version=from_version), timeout=30)
    next(call)
    primary.put(b"watched", "7")
    for message in call:
        puts = [event.put for event in message.events if event.WhichOneof("kind") == "put"]
        if puts:
            assert puts[0].key == b"watched" and puts[0].value.json == "7", puts
            break
    call.cancel()
    print("a watch on a replica", flush=True)


def step_refused(primary, replica):
    def put():
        replica.put(b"x", "1")
    attempts = [put, lambda: replica.kv.Delete(kv_pb2.DeleteRequest(table="t", key=b"fresh"), timeout=10),
                lambda: replica.tables.CreateTable(table_pb2.CreateTableRequest(table="mine"), timeout=10),
                lambda: replica.tables.DropTable(table_pb2.DropTableRequest(table="t"), timeout=10),
                lambda: transaction_pb2_grpc.TransactionServiceStub(replica.channel).BeginTransaction(
                    transaction_pb2.BeginTransactionRequest(), timeout=10)]
    for attempt in attempts:
        status, reason, metadata, _ = refused(attempt)
        assert (status, reason) == ("FAILED_PRECONDITION", "NOT_PRIMARY"), (status, reason)
        assert metadata["primary"] == primary.address, metadata
    assert refused(primary.manage.Promote, admin_pb2.PromoteRequest(term=99), timeout=30)[1] == "BAD_ARGUMENT"
    assert refused(replica.manage.Promote, admin_pb2.PromoteRequest(term=1, allow_data_loss=True),
                   timeout=30)[1] == "BAD_ARGUMENT"
    print("writes are refused with the primary's address", flush=True)


def step_metrics(primary, replica):
    code, text = replica.http("/metrics")
    assert code == 200 and "polarysdb_replica_behind_seconds" in text and "polarysdb_primary 0" in text
    assert "polarysdb_primary 1" in primary.http("/metrics")[1]
    code, out, err = command(primary, "replica", "list")
    assert code == 0, err
    rows = {row["name"]: row for row in map(json.loads, out.splitlines())}
    assert rows[replica.name]["kind"] == "replica" and rows[replica.name]["active"] is True, rows
    code, out, err = command(replica, "status")
    assert code == 0 and json.loads(out)["role"] == "replica", (out, err)


def step_kills(primary, replicas):
    """Nodes are killed under load and started again; nothing acknowledged is missing anywhere."""
    chance = random.Random(7)
    load = Load(primary, 2)
    for number in range(3):
        victim = chance.choice(replicas)
        time.sleep(0.3)
        victim.kill()
        bulk(primary, 5000 + number * 500, 500)
        victim.up().until_ready()
    load.stop()
    for _ in range(2):
        before = load.acked
        load = Load(primary, 3)
        load.acked.update(before)
        time.sleep(0.5)
        primary.kill()
        load.stop()
        # Its last moments are over: what was not acknowledged may be there or not, on all nodes alike.
        primary.up().until_ready()
        primary.put(b"after-kill", "1")
        same([primary] + replicas)
        found = primary.contents()
        wrong = [key for key, text in load.acked.items() if key not in found]
        assert not wrong, f"{len(wrong)} acknowledged documents are missing"
    for replica in replicas:
        same_log(replica, primary)
    print(f"kills: {len(load.acked):,} acknowledged documents, all on every node", flush=True)


def step_no_primary(primary, replica):
    """Without its primary a replica serves what it has, and says so when that is not enough."""
    replica.get(b"fresh", LOCAL)
    status, reason, _, _ = refused(replica.get, b"fresh", STRONG, timeout=2)
    assert (status, reason) == ("UNAVAILABLE", "NO_PRIMARY"), (status, reason)


def step_promote(primary, replicas, extra):
    """The primary dies; a replica takes over; the other replica and the old primary follow it."""
    token = primary.put(b"last", "1").header.token
    new, other = replicas
    same([primary] + replicas)
    # The primary has commits that nobody else has when it dies.
    for replica in replicas:
        assert replica.stop() == 0
    for i in range(20):
        primary.put(b"lost-%02d" % i, "1")
    primary.kill()
    new.up().until_serving()
    step_no_primary(primary, new)
    # Whatever a quorum has is on two of the three: one is not enough to know it.
    code, _, err = command(new, "replica", "promote")
    assert code != 0 and "QUORUM_UNREACHABLE" in err, (code, err)
    assert new.status().replica.highest_term == 1, "a promotion that cannot succeed seals nothing"
    other.up().until_serving()
    code, out, err = command(new, "replica", "promote")
    assert code == 0, err
    promoted = json.loads(out)
    assert promoted["term"] == 2 and promoted["lost_versions"] == 0, promoted
    new.put(b"by-new", "1")
    bulk(new, 9000, 300)
    assert new.status().role == admin_pb2.NODE_ROLE_PRIMARY and new.status().header.term == 2
    assert new.http("/readyz")[0] == 200
    assert refused(new.get, b"last", common_pb2.Consistency(at_least=token))[1] == "HISTORY_DIVERGED"
    # The other one was told whom to follow, and still knows after a start.
    same([new, other])
    other.stop()
    other.up().until_ready()
    same([new, other])
    # The old primary hears of the new term, and takes no writes from then on.
    primary.up().until_serving()
    until("the old primary is fenced", lambda: primary.status().role == admin_pb2.NODE_ROLE_FENCED)
    status, reason, metadata, _ = refused(primary.put, b"late", "1")
    assert (status, reason, metadata["primary"]) == ("FAILED_PRECONDITION", "NOT_PRIMARY", new.address), metadata
    primary.kill()
    primary.up().until_serving()
    assert primary.status().role == admin_pb2.NODE_ROLE_FENCED, "a fence is lost by a start"
    assert command(primary, "replica", "demote", other.address)[0] != 0, "a replica is no primary to follow"
    code, _, err = command(primary, "replica", "demote", new.address)
    assert code == 0, err
    until("the old primary follows", lambda: primary.status().role == admin_pb2.NODE_ROLE_REPLICA)
    primary.until_ready()
    same([new, other, primary])
    assert b"lost-00" not in primary.contents() and b"by-new" in primary.contents()
    aside = [name for name in os.listdir(primary.data_dir) if name.startswith("diverged-")]
    assert len(aside) == 1, aside
    assert primary.status().role == admin_pb2.NODE_ROLE_REPLICA
    # Started as it was before: the promoted one stays what it is.
    new.kill()
    new.up().until_ready()
    assert new.status().role == admin_pb2.NODE_ROLE_PRIMARY
    new.put(b"again", "1")
    same([new, other, primary])
    # Without --follow a replica's directory is not opened.
    other.stop()
    other.follow = None
    status, text = other.refuses_to_start()
    assert status == 1 and "NOT_PRIMARY" in text and "promote" in text, text
    other.follow = new
    other.up().until_ready()
    # A replica of a replica.
    extra.follow = other
    extra.up().until_ready()
    new.put(b"deep", "1")
    same([new, other, primary, extra])
    assert refused(extra.put, b"x", "1")[2]["primary"] in (new.address, other.address)
    assert extra.get(b"deep", STRONG)
    same_log(extra, new)
    print("promoted; the old primary and a replica of a replica follow", flush=True)


def step_strangers(primary, replica, root, key, log):
    """What can never work ends with a clear message and status 1."""
    stranger = Node(root, "stranger", key, log).up().until_ready()
    stranger.tables.CreateTable(table_pb2.CreateTableRequest(table="t"), timeout=20)
    assert stranger.stop() == 0
    stranger.follow = primary
    stranger.up()
    assert stranger.process.wait(timeout=60) == 1
    other_key = os.path.join(root, "other.key")
    subprocess.run([POLARYS, "keys", "generate", other_key], check=True, stdout=log)
    wrong = Node(root, "wrong", other_key, log, primary)
    status, text = wrong.refuses_to_start()
    assert status == 1 and "WRONG_MASTER_KEY" in text, text
    code, out, err = command(primary, "slot", "list")
    names = [json.loads(line)["name"] for line in out.splitlines()]
    assert code == 0 and replica.name in names and "wrong" in names, (names, err)
    assert command(primary, "slot", "drop", "wrong")[0] == 0
    assert "wrong" not in command(primary, "slot", "list")[1]
    print("another store and another key are refused", flush=True)


def main():
    with tempfile.TemporaryDirectory(prefix="polarys-replica-") as root, \
            open(os.path.join(root, "log"), "w+b") as log:
        key = os.path.join(root, "key")
        subprocess.run([POLARYS, "keys", "generate", key], check=True, stdout=log)
        primary = Node(root, "a", key, log)
        replicas = [Node(root, "b", key, log, primary), Node(root, "c", key, log, primary)]
        extra = Node(root, "d", key, log)
        nodes = [primary, *replicas, extra]
        try:
            step_follow(primary, replicas)
            step_reads(primary, replicas[0])
            step_waits(primary, replicas[0])
            step_watch(primary, replicas[0])
            step_refused(primary, replicas[1])
            step_metrics(primary, replicas[0])
            step_kills(primary, replicas)
            step_promote(primary, replicas, extra)
            step_strangers(replicas[0], extra.follow, root, key, log)
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
