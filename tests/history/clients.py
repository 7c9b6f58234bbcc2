# SPDX-License-Identifier: Apache-2.0
"""Clients of a server that is killed now and then: connections, transactions, and the run of a workload."""
import random
import tempfile
import threading
import time

from polarys_server import Server

import grpc
from history import FAILED, OK, UNKNOWN
from polarys.v1 import kv_pb2_grpc, table_pb2, table_pb2_grpc, transaction_pb2, transaction_pb2_grpc

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
        self.transactions = transaction_pb2_grpc.TransactionServiceStub(self.channel)

    def close(self):
        self.channel.close()


def outcome_of(error):
    return FAILED if error.code() in REFUSALS else UNKNOWN


class Transaction:
    """A transaction by id. Whatever fails before its commit ends it; a lost answer to the commit is asked for afterwards."""

    def __init__(self, client, isolation, mode):
        self.client, self.isolation, self.mode = client, isolation, mode
        self.id, self.outcome = b"", FAILED

    def __enter__(self):
        try:
            self.id = self.client.transactions.BeginTransaction(
                transaction_pb2.BeginTransactionRequest(isolation=self.isolation, mode=self.mode),
                timeout=CALL_SECONDS, wait_for_ready=True).transaction
        except grpc.RpcError:
            self.id = b"\0" * 16  # every call fails with it, so the turn ends as one that failed
        return self

    def commit(self):
        try:
            self.client.transactions.Commit(transaction_pb2.CommitRequest(transaction=self.id), timeout=CALL_SECONDS)
            self.outcome = OK
        except grpc.RpcError as error:
            self.outcome = outcome_of(error)
            if self.outcome == UNKNOWN:
                self.outcome = self.ask()

    def ask(self):
        """What became of it, once the server is back. The answer is final unless the commit is still under way."""
        for _ in range(10):
            try:
                answer = self.client.transactions.GetTransaction(
                    transaction_pb2.GetTransactionRequest(transaction=self.id), timeout=CALL_SECONDS, wait_for_ready=True)
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.NOT_FOUND:
                    return FAILED
                continue
            if answer.state == transaction_pb2.TRANSACTION_STATE_COMMITTED:
                return OK
            if answer.state == transaction_pb2.TRANSACTION_STATE_ABORTED:
                return FAILED
            time.sleep(0.05)
        return UNKNOWN

    def __exit__(self, kind, error, trace):
        if kind is None or not issubclass(kind, grpc.RpcError):
            return False
        try:
            self.client.transactions.Rollback(transaction_pb2.RollbackRequest(transaction=self.id), timeout=CALL_SECONDS)
        except grpc.RpcError:
            pass  # it is over, or ends by its idle time
        return True


def last_lines(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return "".join(file.readlines()[-15:])


def run(workload, seconds, kills, seed, clients=8):
    """Runs the workload against a server that is killed `kills` times; returns (faults, counts of outcomes)."""
    with tempfile.TemporaryDirectory() as directory, open(directory + "/log", "ab") as log:
        server = Server(directory + "/data", log)
        server.start()
        made = table_pb2_grpc.TableServiceStub(server.channel)
        for table in workload.TABLES:
            made.CreateTable(table_pb2.CreateTableRequest(table=table))
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
        faults = [repr(error) for error in broken]
        if server.process.poll() is not None:
            faults.append(f"the server ended by itself, status {server.process.returncode}: {last_lines(directory + '/log')}")
        else:
            faults += workload.verdict(server)
        for client in everyone:
            client.close()
        server.stop()
        return faults, dict(workload.counts())
