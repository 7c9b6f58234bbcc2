# SPDX-License-Identifier: Apache-2.0
"""What the clients do.

Each workload is a class with TABLES, `prepare` before the first turn, `client` for one turn of one client, `verdict` for the
faults in the end, and `counts` of what was done by how it ended.
"""
import collections
import json
import threading

import grpc
import linearizable
import serializable
from clients import CALL_SECONDS, Transaction, outcome_of
from history import FAILED, OK, UNKNOWN, History
from polarys.v1 import common_pb2, kv_pb2, kv_pb2_grpc, transaction_pb2

class Registers:
    """Puts, deletes and gets of a few keys; each key a register, judged by itself."""
    TABLES = ["registers"]
    KEYS = 5

    def __init__(self):
        self.histories = collections.defaultdict(History)
        self.values = iter(range(1, 1 << 60))
        self.mutex = threading.Lock()

    def prepare(self, server):
        """Every register begins empty."""

    def client(self, client):
        key = b"r%d" % client.random.randrange(self.KEYS)
        history = self.histories[key]
        if client.random.random() < 0.5:
            call = history.begin(client.number, ("read",))
            try:
                answer = client.kv.Get(kv_pb2.GetRequest(table="registers", key=key), timeout=CALL_SECONDS, wait_for_ready=True)
                history.end(call, OK, int(answer.value.json))
            except grpc.RpcError as error:
                # That the key is not there is an answer; any other refusal of a read says nothing.
                if error.code() == grpc.StatusCode.NOT_FOUND:
                    history.end(call, OK, None)
                else:
                    history.end(call, UNKNOWN)
            return
        with self.mutex:
            value = next(self.values)
        is_delete = client.random.random() < 0.1
        call = history.begin(client.number, ("write", None if is_delete else value))
        try:
            if is_delete:
                client.kv.Delete(kv_pb2.DeleteRequest(table="registers", key=key), timeout=CALL_SECONDS, wait_for_ready=True)
            else:
                client.kv.Put(kv_pb2.PutRequest(table="registers", key=key, value=common_pb2.Value(json=str(value))),
                              timeout=CALL_SECONDS, wait_for_ready=True)
            history.end(call, OK)
        except grpc.RpcError as error:
            history.end(call, outcome_of(error))

    def verdict(self, server):
        del server
        faults = []
        for key, history in sorted(self.histories.items()):
            blocked = linearizable.check(history.calls)
            if blocked is not None:
                faults.append(f"{key.decode()} is not linearizable at {blocked[0]}")
        return faults

    def counts(self):
        total = collections.Counter()
        for history in self.histories.values():
            total.update(history.counts())
        return total


def get_json(client, key, table, transaction=b""):
    """The document, or None."""
    try:
        answer = client.kv.Get(kv_pb2.GetRequest(table=table, key=key, transaction=transaction), timeout=CALL_SECONDS)
        return json.loads(answer.value.json)
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND and "TXN" not in (error.details() or ""):
            return None
        raise


def put_json(client, key, value, table, transaction=b""):
    client.kv.Put(kv_pb2.PutRequest(table=table, key=key, value=common_pb2.Value(json=json.dumps(value)),
                                    transaction=transaction), timeout=CALL_SECONDS)


class Lists:
    """Transactions of one to four reads and appends on a few lists, SERIALIZABLE, half of them with locks."""
    TABLES = ["lists"]
    KEYS = 4

    def __init__(self):
        self.history = History()
        self.elements = collections.Counter()
        self.mutex = threading.Lock()

    def prepare(self, server):
        """Every list begins missing, which is empty."""

    def plan(self, client):
        parts = []
        for _ in range(client.random.randrange(1, 5)):
            key = f"l{client.random.randrange(self.KEYS)}"
            if client.random.random() < 0.5:
                parts.append(("read", key))
                continue
            with self.mutex:
                self.elements[key] += 1
                parts.append(("append", key, self.elements[key]))
        return parts

    def client(self, client):
        parts = self.plan(client)
        call = self.history.begin(client.number, parts)
        mode = client.random.choice([transaction_pb2.TRANSACTION_MODE_OPTIMISTIC, transaction_pb2.TRANSACTION_MODE_PESSIMISTIC])
        saw = []
        with Transaction(client, transaction_pb2.ISOLATION_SERIALIZABLE, mode) as transaction:
            for part in parts:
                seen = get_json(client, part[1].encode(), "lists", transaction.id) or []
                if part[0] == "append":
                    put_json(client, part[1].encode(), seen + [part[2]], "lists", transaction.id)
                saw.append(seen if part[0] == "read" else None)
            transaction.commit()
        self.history.end(call, transaction.outcome, saw)

    def verdict(self, server):
        kv = kv_pb2_grpc.KvServiceStub(server.channel)
        keys = [f"l{i}".encode() for i in range(self.KEYS)]
        answer = kv.BatchGet(kv_pb2.BatchGetRequest(table="lists", keys=keys))
        final = {document.key.decode(): json.loads(document.value.json) for document in answer.documents}
        return serializable.check(self.history.calls, final)

    def counts(self):
        return self.history.counts()


class Bank:
    """Transfers between accounts at SNAPSHOT; every state that anybody sees has the same sum."""
    TABLES = ["accounts"]
    ACCOUNTS = 8
    EACH = 100

    def __init__(self):
        self.outcomes, self.faults = collections.Counter(), []

    def prepare(self, server):
        kv = kv_pb2_grpc.KvServiceStub(server.channel)
        for i in range(self.ACCOUNTS):
            kv.Put(kv_pb2.PutRequest(table="accounts", key=b"a%d" % i, value=common_pb2.Value(json=str(self.EACH))))

    def client(self, client):
        if client.random.random() < 0.2:
            self.look(client)
            return
        source, target = client.random.sample(range(self.ACCOUNTS), 2)
        amount = client.random.randrange(1, 20)
        mode = client.random.choice([transaction_pb2.TRANSACTION_MODE_OPTIMISTIC, transaction_pb2.TRANSACTION_MODE_PESSIMISTIC])
        with Transaction(client, transaction_pb2.ISOLATION_SNAPSHOT, mode) as transaction:
            have = get_json(client, b"a%d" % source, "accounts", transaction.id)
            gets = get_json(client, b"a%d" % target, "accounts", transaction.id)
            if have >= amount:
                put_json(client, b"a%d" % source, have - amount, "accounts", transaction.id)
                put_json(client, b"a%d" % target, gets + amount, "accounts", transaction.id)
            transaction.commit()
        self.outcomes[transaction.outcome] += 1

    def look(self, client):
        keys = [b"a%d" % i for i in range(self.ACCOUNTS)]
        try:
            answer = client.kv.BatchGet(kv_pb2.BatchGetRequest(table="accounts", keys=keys), timeout=CALL_SECONDS,
                                        wait_for_ready=True)
        except grpc.RpcError:
            return
        balances = [int(document.value.json) for document in answer.documents]
        if sum(balances) != self.ACCOUNTS * self.EACH or min(balances) < 0:
            self.faults.append(f"at version {answer.version} the accounts hold {balances}")

    def verdict(self, server):
        class Last:
            kv = kv_pb2_grpc.KvServiceStub(server.channel)
        self.look(Last)
        return self.faults

    def counts(self):
        return self.outcomes


class Skew:
    """Two accounts may be drawn on as long as their sum is not below zero: at SERIALIZABLE it never is."""
    TABLES = ["pairs"]
    PAIRS = 3

    def __init__(self):
        self.outcomes, self.faults = collections.Counter(), []

    def prepare(self, server):
        kv = kv_pb2_grpc.KvServiceStub(server.channel)
        for i in range(self.PAIRS):
            for side in (b"a", b"b"):
                kv.Put(kv_pb2.PutRequest(table="pairs", key=b"%s%d" % (side, i), value=common_pb2.Value(json="50")))

    def client(self, client):
        pair, side = client.random.randrange(self.PAIRS), client.random.choice([b"a", b"b"])
        mode = client.random.choice([transaction_pb2.TRANSACTION_MODE_OPTIMISTIC, transaction_pb2.TRANSACTION_MODE_PESSIMISTIC])
        with Transaction(client, transaction_pb2.ISOLATION_SERIALIZABLE, mode) as transaction:
            held = {each: get_json(client, b"%s%d" % (each, pair), "pairs", transaction.id) for each in (b"a", b"b")}
            total = sum(held.values())
            if total < 0:
                self.faults.append(f"pair {pair} holds {held}")
            change = -60 if total >= 60 else 50
            put_json(client, b"%s%d" % (side, pair), held[side] + change, "pairs", transaction.id)
            transaction.commit()
        self.outcomes[transaction.outcome] += 1

    def verdict(self, server):
        kv = kv_pb2_grpc.KvServiceStub(server.channel)
        for i in range(self.PAIRS):
            answer = kv.BatchGet(kv_pb2.BatchGetRequest(table="pairs", keys=[b"a%d" % i, b"b%d" % i]))
            held = [int(document.value.json) for document in answer.documents]
            if sum(held) < 0:
                self.faults.append(f"in the end pair {i} holds {held}")
        return self.faults

    def counts(self):
        return self.outcomes
