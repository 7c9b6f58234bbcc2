# SPDX-License-Identifier: Apache-2.0
"""Concurrent clients of one server that is killed now and then, and what they did.

Each workload is a class with a table or more, `client` for one turn of one client, and `verdict` for the faults in the end.
"""
import collections
import random
import tempfile
import threading
import time

from polarys_server import Server

import grpc
import linearizable
from history import FAILED, OK, UNKNOWN, History
from polarys.v1 import common_pb2, kv_pb2, kv_pb2_grpc, table_pb2, table_pb2_grpc

CALL_SECONDS = 3
CHANNEL_OPTIONS = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 50),
                   ("grpc.max_reconnect_backoff_ms", 200), ("grpc.use_local_subchannel_pool", 1)]
# What says that nothing was done and nothing will be. All else leaves it open.
REFUSALS = {grpc.StatusCode.ABORTED, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS,
            grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}


class Client:
    """One client: a connection of its own, and its own luck."""

    def __init__(self, number, port, seed):
        self.number = number
        self.random = random.Random(seed * 1000 + number)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=CHANNEL_OPTIONS)
        self.kv = kv_pb2_grpc.KvServiceStub(self.channel)

    def close(self):
        self.channel.close()


def outcome_of(error):
    return FAILED if error.code() in REFUSALS else UNKNOWN


class Registers:
    """Puts, deletes and gets of a few keys; each key a register, judged by itself."""
    TABLES = ["registers"]
    KEYS = 5

    def __init__(self):
        self.histories = collections.defaultdict(History)
        self.values = iter(range(1, 1 << 60))
        self.mutex = threading.Lock()

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


def run(workload, seconds, kills, seed, clients=8):
    """Runs the workload against a server that is killed `kills` times; returns (faults, counts of outcomes)."""
    with tempfile.TemporaryDirectory() as directory, open(directory + "/log", "ab") as log:
        server = Server(directory + "/data", log)
        server.start()
        made = table_pb2_grpc.TableServiceStub(server.channel)
        for table in workload.TABLES:
            made.CreateTable(table_pb2.CreateTableRequest(table=table))
        if hasattr(workload, "prepare"):
            workload.prepare(server)
        everyone = [Client(number, server.port, seed) for number in range(clients)]
        over = threading.Event()
        broken = []

        def work(client):
            try:
                while not over.is_set():
                    workload.client(client)
            except Exception as error:  # pylint: disable=broad-except
                broken.append(error)
                raise

        threads = [threading.Thread(target=work, args=(client,)) for client in everyone]
        for thread in threads:
            thread.start()
        luck = random.Random(seed)
        for _ in range(kills):
            time.sleep(seconds / (kills + 1) * luck.uniform(0.5, 1.5))
            server.kill()
            server.start()
        time.sleep(seconds / (kills + 1))
        over.set()
        for thread in threads:
            thread.join()
        faults = [repr(error) for error in broken] + workload.verdict(server)
        for client in everyone:
            client.close()
        server.stop()
        return faults, dict(workload.counts())
