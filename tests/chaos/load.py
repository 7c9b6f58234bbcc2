# SPDX-License-Identifier: Apache-2.0
"""The clients: threads that write and read as fast as they are answered, and tell the oracle.

They go to the node that was announced as the primary; now and then, as a client does that was not told, to any other.
"""
import itertools
import json
import random
import threading

import grpc
from history import FAILED, OK, UNKNOWN, History
from nodes import CHANNEL_OPTIONS
from polarys.v1 import common_pb2, kv_pb2, kv_pb2_grpc

CALL_SECONDS = 2.5
TABLE = "t"
KEYS = 5             # registers at a time
KEY_CALLS = 120      # of a register, then a new one takes its place: long histories take long to judge
SENTINELS = [b"sentinel-%d" % number for number in range(8)]
BULK_DOCUMENTS = 60
BULK_KEYS = 3000
# What says that nothing was done and nothing will be. All else leaves it open.
REFUSALS = {grpc.StatusCode.ABORTED, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS,
            grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
STABLE = common_pb2.Consistency(stable=True)
LOCAL = common_pb2.Consistency(local=True)


class Plant:
    """
    Bugs of the clients that the oracle has to find; each breaks a promise as a server could. weak: a sync here is taken for a
    quorum; torn: a commit is made in parts; stale: reads of any node are taken for those of the primary.
    """

    def __init__(self, name=None):
        self.name = name
        self.durability = common_pb2.DURABILITY_LOCAL_SYNC if name == "weak" else common_pb2.DURABILITY_QUORUM
        self.is_torn = name == "torn"
        self.is_stale = name == "stale"


class Group:
    """What clients know: the nodes, and which of them was announced as the primary, of which term."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.announced = (nodes[0], 1)

    @property
    def primary(self):
        return self.announced[0]

    def announce(self, node, term):
        self.announced = (node, term)


class Client(threading.Thread):
    """Its turns follow each other until the end; a failed call costs it its connection when the time was over."""

    def __init__(self, number, group, oracle, seed, plant, ends):
        super().__init__(daemon=True)
        self.number, self.group, self.oracle, self.plant, self.ends = number, group, oracle, plant, ends
        self.random = random.Random(seed * 1000 + number)
        self.channels, self.error = {}, None
        self.commits = itertools.count(1)

    def run(self):
        try:
            while not self.ends.is_set():
                self.turn()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error
            self.oracle.fault(f"client {self.number} ended: {error!r}")
        for channel in self.channels.values():
            channel.close()

    def kv(self, node):
        if node.name not in self.channels:
            self.channels[node.name] = grpc.insecure_channel(node.target, options=CHANNEL_OPTIONS)
        return kv_pb2_grpc.KvServiceStub(self.channels[node.name])

    def choose(self, elsewhere):
        """The primary, or with the probability `elsewhere` any node."""
        if self.random.random() < elsewhere:
            return self.random.choice(self.group.nodes)
        return self.group.primary

    def failed(self, node, error):
        """How the call ended. A connection over which no answer came in time is not used again."""
        code = error.code()
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            self.channels.pop(node.name).close()
        elif code == grpc.StatusCode.UNAVAILABLE:
            self.ends.wait(0.05)
        else:
            self.ends.wait(0.01)
        return FAILED if code in REFUSALS else UNKNOWN

    def commit_name(self):
        return f"{self.number}.{next(self.commits)}"

    def put(self, node, key, value):
        return self.kv(node).Put(kv_pb2.PutRequest(table=TABLE, key=key, value=common_pb2.Value(json=value),
                                                   durability=self.plant.durability), timeout=CALL_SECONDS)

    def turn(self):
        raise NotImplementedError


def value_make(commit, **more):
    return json.dumps({"commit": commit, **more})


def commit_of(value):
    return json.loads(value)["commit"]


class RegisterClient(Client):
    """Puts and gets of a few keys that all such clients share."""
    shared = threading.Lock()
    keys = None

    @classmethod
    def reset(cls):
        cls.keys = [[f"r{slot}.{0}".encode(), 0] for slot in range(KEYS)]

    def key_choose(self):
        slot = self.random.randrange(KEYS)
        with self.shared:
            entry = self.keys[slot]
            entry[1] += 1
            if entry[1] % KEY_CALLS == 0:
                entry[0] = f"r{slot}.{entry[1] // KEY_CALLS}".encode()
            return entry[0]

    def turn(self):
        key = self.key_choose()
        if self.random.random() < 0.5:
            self.read(key)
        else:
            self.write(key)

    def read(self, key):
        """By BatchGet, whose answer has its term also where the key is not there."""
        announced = self.group.announced
        node = self.choose(0.25)
        call = self.oracle.histories[key].begin(self.number, ("read",))
        request = kv_pb2.BatchGetRequest(table=TABLE, keys=[key], consistency=LOCAL if self.plant.is_stale else STABLE)
        try:
            answer = self.kv(node).BatchGet(request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            self.failed(node, error)
            History.end(call, UNKNOWN)
            return
        value = answer.documents[0].value.json if answer.documents else None
        if value is not None:
            self.oracle.version_seen(answer.documents[0].version, commit_of(value), f"read of {key.decode()} on {node.name}")
        is_primary = (node, answer.header.term) == announced or self.plant.is_stale
        self.oracle.answered[id(call)] = f"{node.name}, term {answer.header.term}, at version {answer.version}"
        self.oracle.read_end(call, value, answer.header.term, is_primary)

    def write(self, key):
        node = self.choose(0.1)
        commit = self.commit_name()
        value = value_make(commit)
        call = self.oracle.write_begin(key, self.number, value)
        try:
            answer = self.put(node, key, value)
        except grpc.RpcError as error:
            self.oracle.answered[id(call)] = f"{node.name}: {error.code().name} {(error.details() or '')[:100]}"
            History.end(call, self.failed(node, error))
            return
        History.end(call, OK)
        self.oracle.answered[id(call)] = f"{node.name}, term {answer.header.term}, version {answer.version}"
        self.oracle.version_seen(answer.version, commit, f"put on {node.name}")
        self.oracle.count("acknowledged writes")


class LedgerClient(Client):
    """Writes each key once; what was acknowledged has to be there in the end."""

    def turn(self):
        node = self.choose(0.1)
        commit = self.commit_name()
        key, value = b"ledger-%d-" % self.number + commit.encode(), value_make(commit, pad="x" * self.random.randrange(300))
        try:
            answer = self.put(node, key, value)
        except grpc.RpcError as error:
            self.failed(node, error)
            return
        self.oracle.version_seen(answer.version, commit, f"put on {node.name}")
        self.oracle.acknowledged(key, value, answer.version)


class SentinelClient(Client):
    """Writes the sentinels, all in one commit."""

    def turn(self):
        node = self.group.primary
        commit = self.commit_name()
        parts = [SENTINELS] if not self.plant.is_torn else [[key] for key in SENTINELS]
        for keys in parts:
            request = kv_pb2.BatchWriteRequest(table=TABLE, durability=self.plant.durability, operations=[
                kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=key, value=common_pb2.Value(json=value_make(commit)))) for key in keys])
            try:
                answer = self.kv(node).BatchWrite(request, timeout=CALL_SECONDS)
                self.oracle.version_seen(answer.version, commit, f"batch on {node.name}")
                self.oracle.count("acknowledged writes")
            except grpc.RpcError as error:
                self.failed(node, error)
        self.ends.wait(0.005)


class BulkClient(Client):
    """Fills the log, synced on the primary only: there is always something that no other node has when it dies."""

    def turn(self):
        node = self.choose(0.05)
        commit = self.commit_name()
        first = self.random.randrange(BULK_KEYS)
        request = kv_pb2.BatchWriteRequest(table=TABLE, durability=common_pb2.DURABILITY_LOCAL_SYNC, operations=[
            kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=b"bulk-%05d" % ((first + number) % BULK_KEYS), value=common_pb2.Value(
                json=value_make(commit, pad="y" * 400)))) for number in range(BULK_DOCUMENTS)])
        try:
            answer = self.kv(node).BatchWrite(request, timeout=CALL_SECONDS)
            self.oracle.version_seen(answer.version, commit, f"bulk on {node.name}")
            self.oracle.count("documents written in bulk", BULK_DOCUMENTS)
        except grpc.RpcError as error:
            self.failed(node, error)
        self.ends.wait(0.01)


class Watcher(Client):
    """Reads all sentinels of one node, again and again: whole commits only, and never back in versions."""

    def __init__(self, node, *rest):
        super().__init__(*rest)
        self.node = node

    def turn(self):
        node, life = self.node, self.node.life
        begun = self.oracle.newest_seen(node.name, life)
        try:
            answer = self.kv(node).BatchGet(kv_pb2.BatchGetRequest(table=TABLE, keys=SENTINELS, consistency=LOCAL), timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            self.failed(node, error)
            self.ends.wait(0.05)
            return
        if node.life != life:
            return  # it may have come from either process
        self.oracle.state_seen(node.name, life, answer.version, begun)
        self.sentinels_check(answer)
        self.oracle.count("looks at sentinels")
        self.ends.wait(0.005)

    def sentinels_check(self, answer):
        commits = {(commit_of(document.value.json), document.version) for document in answer.documents}
        if len(commits) > 1 or (answer.documents and answer.missing_keys):
            self.oracle.fault(f"torn on {self.node.name} at version {answer.version}: {sorted(commits)}, "
                              f"{len(answer.missing_keys)} missing")
        for commit, version in commits:
            self.oracle.version_seen(version, commit, f"sentinels on {self.node.name}")
            if version > answer.version:
                self.oracle.fault(f"{self.node.name} showed version {version} of a document at version {answer.version}")


def clients_make(group, oracle, seed, plant, ends):
    RegisterClient.reset()
    numbers = itertools.count(1)
    common = (group, oracle, seed, plant, ends)
    made = [kind(next(numbers), *common) for kind in [RegisterClient] * 5 + [LedgerClient] * 2 + [SentinelClient, BulkClient]]
    return made + [Watcher(node, next(numbers), *common) for node in group.nodes]


def registers_read(node, oracle):
    """In the end every register is read once more: what it holds has to follow from all that was seen."""
    found = node.scan(TABLE)
    for key, history in list(oracle.histories.items()):
        call = history.begin(0, ("read",))
        History.end(call, OK, found.get(key, (None, 0))[0])
    for key, (value, version) in found.items():
        oracle.version_seen(version, commit_of(value), f"{key.decode()} in the end")
    return found
