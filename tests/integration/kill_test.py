#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Imports documents over the bulk stream while the server is killed with SIGKILL again and again.

After each restart every record that was acknowledged is read back and compared byte for byte, and the import
goes on in its session where the server is. At the end the count is right, and no value's plain text occurs
in any file of the data directory.

usage: kill_test.py [--kills N] [--file PACKAGES.jsonl] [--seed N]
Without --file the documents are made here; `make demo-data` gives a file of 60,000 real ones.
"""
import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time

from polarys_server import Server

import grpc
from polarys.v1 import bulk_pb2, bulk_pb2_grpc, common_pb2, kv_pb2, kv_pb2_grpc
from polarys.v1 import query_pb2, query_pb2_grpc, table_pb2, table_pb2_grpc

BATCH_RECORDS = 50
MARK = "plaintext-canary"


def documents(path, seed):
    """(key, JSON text) in file order, keys unique."""
    if path:
        with open(path, encoding="utf-8") as file:
            return [(json.loads(line)["Package"].encode(), line.rstrip("\n")) for line in file]
    made = random.Random(seed)
    return [(b"key-%06d" % i, json.dumps({"Package": f"key-{i:06d}", "Mark": MARK,
                                          "Text": "x" * made.randrange(10, 3000)})) for i in range(20000)]


class Import:
    """One bulk session: batches are numbered from 1, and `acked` is the highest number acknowledged."""

    def __init__(self, batches):
        self.batches, self.session, self.acked = batches, b"", 0

    def run(self, channel):
        """Sends what is not acknowledged; returns True when all is."""
        requests, ready = [], threading.Condition()
        ended = [False]

        def send(request):
            with ready:
                requests.append(request)
                ready.notify()

        def produce():
            while True:
                with ready:
                    while not requests:
                        if ended[0]:
                            return
                        ready.wait(0.2)
                    request = requests.pop(0)
                yield request

        try:
            answers = bulk_pb2_grpc.BulkServiceStub(channel).Write(produce())
            send(bulk_pb2.WriteRequest(open=bulk_pb2.WriteOpen(
                table="packages", session_id=self.session, last_acked_number=self.acked)))
            opened = next(answers).opened
            assert opened.last_number >= self.acked, f"{self.acked} was acknowledged, {opened.last_number} is known"
            self.session, self.acked = opened.session_id, opened.last_number
            sent = self.acked
            while self.acked < len(self.batches):
                while sent < len(self.batches) and sent - self.acked < 16:
                    sent += 1
                    send(bulk_pb2.WriteRequest(batch=bulk_pb2.WriteBatch(number=sent, records=[
                        bulk_pb2.BulkRecord(key=key, value=common_pb2.Value(json=text))
                        for key, text in self.batches[sent - 1]])))
                ack = next(answers).ack
                assert ack.WhichOneof("result") == "version", f"batch refused: {ack.error}"
                assert ack.number == self.acked + 1, f"acknowledgement {ack.number} after {self.acked}"
                self.acked = ack.number
            send(bulk_pb2.WriteRequest(close=bulk_pb2.WriteClose()))
            assert next(answers).closed.last_number == len(self.batches)
            return True
        except grpc.RpcError as error:
            assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED,
                                    grpc.StatusCode.UNKNOWN), f"{error.code()}: {error.details()}"
            return False
        finally:
            with ready:
                ended[0] = True
                ready.notify()


def check(server, batches, acked):
    """Every acknowledged record is there, byte for byte. Returns how many records there are."""
    found = {}
    for part in bulk_pb2_grpc.BulkServiceStub(server.channel).Export(
            bulk_pb2.ExportRequest(table="packages"), timeout=120):
        for document in part.documents:
            found[document.key] = document.value.json
    for number, batch in enumerate(batches[:acked], 1):
        for key, text in batch:
            assert found.get(key) == text, (f"batch {number}, key {key}: acknowledged and not there as written: "
                                              f"{str(found.get(key))[:80]!r} instead of {text[:80]!r}")
    return len(found)


def plaintext_free(data_dir, needles):
    checked = 0
    for root, _, names in os.walk(data_dir):
        for name in names:
            if name == "master.key":
                continue
            with open(os.path.join(root, name), "rb") as file:
                content = file.read()
            checked += len(content)
            for needle in needles:
                assert needle not in content, f"plain text {needle!r} in {name}"
    return checked


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=int(os.environ.get("KILLS", "5")))
    parser.add_argument("--file")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    chance = random.Random(arguments.seed)
    records = documents(arguments.file, arguments.seed)
    batches = [records[i:i + BATCH_RECORDS] for i in range(0, len(records), BATCH_RECORDS)]
    with tempfile.TemporaryDirectory(prefix="polarys-kill-") as scratch:
        data_dir = os.path.join(scratch, "data")
        with open(os.path.join(scratch, "server.log"), "w+b") as log:
            server = Server(data_dir, log)
            try:
                run(server, batches, records, arguments.kills, chance)
                size = plaintext_free(data_dir, [MARK.encode(), records[len(records) // 2][1].encode()[:200]])
                print(f"no plain text in {size:,} bytes of the data directory")
            except BaseException:
                server.stop()
                log.seek(0)
                sys.stderr.write(log.read().decode(errors="replace")[-4000:])
                raise
    print("1 passed, 0 failed")


def run(server, batches, records, kills, chance):
    server.start()
    table_pb2_grpc.TableServiceStub(server.channel).CreateTable(table_pb2.CreateTableRequest(table="packages"))
    work = Import(batches)
    killed = 0
    while killed < kills:
        # Far enough apart that all kills fall within the import.
        goal = min(len(batches) - 1, (killed + 1) * len(batches) // (kills + 1))
        done = []
        thread = threading.Thread(target=lambda: done.append(work.run(server.channel)))
        thread.start()
        while work.acked < goal and thread.is_alive():
            time.sleep(0.002)
        time.sleep(chance.random() * 0.05)
        server.kill()
        thread.join(timeout=60)
        assert not thread.is_alive(), "the import hangs after the kill"
        killed += 1
        seconds = server.start()
        there = check(server, batches, work.acked)
        print(f"kill {killed}: {work.acked * BATCH_RECORDS:,} records acknowledged, all there among {there:,}; "
              f"open again after {seconds * 1000:.0f} ms", flush=True)
    while not work.run(server.channel):
        time.sleep(0.1)
    there = check(server, batches, len(batches))
    count = query_pb2_grpc.QueryServiceStub(server.channel).Count(query_pb2.CountRequest(table="packages")).count
    assert there == count == len(records), f"{there} exported, {count} counted, {len(records)} imported"
    some_key, some_text = chance.choice(records)
    got = kv_pb2_grpc.KvServiceStub(server.channel).Get(kv_pb2.GetRequest(table="packages", key=some_key))
    assert got.value.json == some_text
    status = server.stop()
    assert status == 0, f"the server ended with status {status}"
    server.start()
    assert check(server, batches, len(batches)) == len(records), "records after a clean close"
    assert server.stop() == 0
    print(f"{killed} kills, {count:,} records, each as it was written", flush=True)


if __name__ == "__main__":
    main()
