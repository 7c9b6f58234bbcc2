#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an operator or a client can do wrong: each gets its clear error, and nothing acknowledged is lost.

Damage to files, wrong keys, a second server, a full disk, hostile and broken requests, a client that
vanishes.
"""
import glob
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from polarys_server import Server, details, refused

import grpc
from polarys.v1 import admin_pb2, admin_pb2_grpc, bulk_pb2, bulk_pb2_grpc, common_pb2
from polarys.v1 import kv_pb2, kv_pb2_grpc, query_pb2, query_pb2_grpc, table_pb2, table_pb2_grpc

TABLE = "damage"


def value(text):
    return common_pb2.Value(json=text)


class Skipped(Exception):
    """What a step needs is not to be had here."""


class World:
    """A data directory with 200 acknowledged documents, and a server on it."""

    def __init__(self, scratch, name, arguments=()):
        self.data_dir = os.path.join(scratch, name)
        self.log = open(os.path.join(scratch, name + ".log"), "w+b")
        self.server = Server(self.data_dir, self.log, arguments)
        self.server.start()
        self.connect()
        table_pb2_grpc.TableServiceStub(self.server.channel).CreateTable(
            table_pb2.CreateTableRequest(table=TABLE))
        for i in range(200):
            self.put(b"key%03d" % i, '{"number":%d,"text":"%s"}' % (i, "t" * 2000))

    def connect(self):
        self.kv = kv_pb2_grpc.KvServiceStub(self.server.channel)
        self.admin = admin_pb2_grpc.AdminServiceStub(self.server.channel)

    def put(self, key, text):
        return self.kv.Put(kv_pb2.PutRequest(table=TABLE, key=key, value=value(text)))

    def restart(self):
        self.server.start()
        self.connect()

    def check(self):
        for i in range(200):
            got = self.kv.Get(kv_pb2.GetRequest(table=TABLE, key=b"key%03d" % i)).value.json
            assert got == '{"number":%d,"text":"%s"}' % (i, "t" * 2000), f"key{i:03d} is not as it was acknowledged"

    def close(self):
        self.server.stop()
        self.log.close()


def expect(got, status, reason, words=()):
    assert got[:2] == (status, reason), f"{got} instead of {status}/{reason}"
    for word in words:
        assert word in got[3] or word in str(got[2]), f"'{word}' is not in: {got[3]} {got[2]}"
    print(f"  {status}/{reason}: {got[3][:150]}")


def says(run, words):
    status, text = run
    assert status not in (0, None), f"status {status}: {text}"
    for word in words:
        assert word.lower() in text.lower(), f"'{word}' is not in: {text}"
    told = [line for line in text.splitlines() if '"level":"error"' in line or not line.startswith("{")]
    print(f"  exit {status}: {(told or text.splitlines())[-1][:330]}")


def second_server(world):
    says(Server(world.data_dir, world.log).refuses_to_start(), ["lock", str(world.server.process.pid)])
    world.check()


def wrong_keys(world, scratch):
    world.server.stop()
    other = os.path.join(scratch, "other.key")
    with open(other, "w", encoding="ascii") as file:
        file.write("ab" * 32 + "\n")
    before = {path: os.path.getmtime(path) for path in glob.glob(world.data_dir + "/*")}
    says(Server(world.data_dir, world.log, ["--master-key-file", other]).refuses_to_start(), ["master key"])
    says(Server(world.data_dir, world.log, ["--master-key-file", other + ".none"]).refuses_to_start(),
         ["FILE_NOT_FOUND", other + ".none"])
    assert not os.path.exists(other + ".none"), "a key file was made in the operator's name"
    says(Server(world.data_dir, world.log, is_dev=False).refuses_to_start(), ["master"])
    short = os.path.join(scratch, "short.key")
    with open(short, "w", encoding="ascii") as file:
        file.write("abcd")
    says(Server(world.data_dir, world.log, ["--master-key-file", short]).refuses_to_start(), ["64 hex"])
    for path, stamp in before.items():
        assert os.path.basename(path) == "LOCK" or os.path.getmtime(path) == stamp, f"{path} was touched"
    world.restart()
    world.check()


def damaged_log(world):
    """A bit flipped in the middle of the log: refused, named, and whole again when the bit is put back."""
    world.server.kill()
    segments = sorted(glob.glob(world.data_dir + "/wal/*.wal"))
    path = max(segments, key=lambda each: open(each, "rb").read().rstrip(b"\0").__len__())
    with open(path, "r+b") as file:
        file.seek(4096 * 20 + 200)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 1]))
    says(Server(world.data_dir, world.log).refuses_to_start(), [os.path.basename(path), "byte", "log inspect"])
    with open(path, "r+b") as file:
        file.seek(4096 * 20 + 200)
        file.write(byte)
    world.restart()
    world.check()


def damaged_table(world):
    """A bit flipped in a table file: reads of that block fail and name it; the rest is served."""
    world.admin.Flush(admin_pb2.FlushRequest())
    world.server.stop()
    path = max(glob.glob(world.data_dir + "/*.sst"), key=os.path.getsize)
    with open(path, "r+b") as file:
        file.seek(1000)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 0x10]))
    world.restart()
    errors = []
    for i in range(200):
        try:
            got = world.kv.Get(kv_pb2.GetRequest(table=TABLE, key=b"key%03d" % i)).value.json
            assert got == '{"number":%d,"text":"%s"}' % (i, "t" * 2000), "a damaged block was served"
        except grpc.RpcError as error:
            errors.append((error.code().name, *details(error)[:2], error.details()))
    assert 0 < len(errors) < 200, f"{len(errors)} of 200 reads failed"
    print(f"  {len(errors)} of 200 documents lie in the damaged block")
    assert errors[0][1] in ("CORRUPT", "TAMPERED"), errors[0]
    expect(errors[0], "DATA_LOSS", errors[0][1], [os.path.basename(path)])
    world.put(b"still", "1")
    world.server.stop()
    with open(path, "r+b") as file:
        file.seek(1000)
        file.write(byte)
    world.restart()
    world.check()


def bad_requests(world):
    kv = world.kv
    tables = table_pb2_grpc.TableServiceStub(world.server.channel)
    expect(refused(tables.CreateTable, table_pb2.CreateTableRequest(table="1 bad name")), "INVALID_ARGUMENT", "BAD_NAME")
    expect(refused(tables.CreateTable, table_pb2.CreateTableRequest(table=TABLE)), "ALREADY_EXISTS", "TABLE_EXISTS")
    expect(refused(world.put, b"k", '{"a":1,}'), "INVALID_ARGUMENT", "BAD_JSON", ["offset"])
    expect(refused(world.put, b"k", '{"a":1,"a":2}'), "INVALID_ARGUMENT", "BAD_JSON", ["offset"])
    expect(refused(world.put, b"k", "[" * 100000), "INVALID_ARGUMENT", "BAD_JSON", ["offset"])
    expect(refused(world.put, b"", "1"), "INVALID_ARGUMENT", "BAD_KEY")
    expect(refused(world.put, b"k" * 5000, "1"), "INVALID_ARGUMENT", "BAD_KEY", ["4096"])
    expect(refused(world.put, b"k", '"' + "v" * (2 << 20) + '"'), "INVALID_ARGUMENT", "TOO_LARGE", ["limit"])
    got = refused(world.put, b"k", '"' + "v" * (20 << 20) + '"')
    assert got[0] in ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT"), got
    print(f"  20 MB value: {got[0]}: {got[3][:120]}")
    expect(refused(kv.Get, kv_pb2.GetRequest(table="nosuch", key=b"k")), "NOT_FOUND", "TABLE_NOT_FOUND", ["nosuch"])
    expect(refused(kv.Get, kv_pb2.GetRequest(table=TABLE, key=b"nosuch")), "NOT_FOUND", "KEY_NOT_FOUND")
    expect(refused(kv.Get, kv_pb2.GetRequest(table=TABLE, key=b"k", database="nosuch")), "NOT_FOUND", "DATABASE_NOT_FOUND")
    expect(refused(kv.Get, kv_pb2.GetRequest(table=TABLE, key=b"k", transaction=b"t" * 16)), "NOT_FOUND", "TXN_NOT_FOUND")
    raw = world.server.channel.unary_unary("/polarys.v1.KvService/Put", request_serializer=bytes, response_deserializer=bytes)
    expect(refused(raw, b"\x0a\xff\xff\xff\xff\x0fgarbage"), "INVALID_ARGUMENT", "BAD_MESSAGE")
    # A message nested deeper than any field of this one can be: unknown groups within unknown groups.
    expect(refused(raw, b"\xfb\x07" * 200000), "INVALID_ARGUMENT", "BAD_MESSAGE")
    world.check()


def garbage_on_the_port(world):
    with socket.create_connection(("127.0.0.1", world.server.port)) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n" + os.urandom(10000))
    world.check()


def vanishing_client(world):
    """A bulk writer that is cut off in mid-stream: what was acknowledged stays, the server goes on."""
    code = (f"import sys; sys.path[:0] = {sys.path!r}\n"
            "import grpc, os, signal\n"
            "from polarys.v1 import bulk_pb2, bulk_pb2_grpc, common_pb2\n"
            f"channel = grpc.insecure_channel('127.0.0.1:{world.server.port}')\n"
            "def requests():\n"
            f"    yield bulk_pb2.WriteRequest(open=bulk_pb2.WriteOpen(table='{TABLE}'))\n"
            "    for number in range(1, 100000):\n"
            "        yield bulk_pb2.WriteRequest(batch=bulk_pb2.WriteBatch(number=number, records=[\n"
            "            bulk_pb2.BulkRecord(key=b'bulk%06d' % number, value=common_pb2.Value(json='1'))]))\n"
            "acked = 0\n"
            "for answer in bulk_pb2_grpc.BulkServiceStub(channel).Write(requests()):\n"
            "    if answer.ack.number:\n"
            "        acked = answer.ack.number\n"
            "    if acked >= 50:\n"
            "        print(acked, flush=True)\n"
            "        os.kill(os.getpid(), signal.SIGKILL)\n")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    acked = int(run.stdout.split()[-1])
    for number in range(1, acked + 1):
        world.kv.Get(kv_pb2.GetRequest(table=TABLE, key=b"bulk%06d" % number))
    print(f"  client killed after {acked} acknowledged batches: all there")
    world.check()


def full_disk(scratch):
    """A file system of 96 MiB fills up: writes are refused with DISK_LOW, reads and deletes go on, and writes
    work again when there is room, with no restart."""
    mount = os.path.join(scratch, "small")
    os.makedirs(mount)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", mount], check=False).returncode != 0:
        raise Skipped("no right to mount a tmpfs")
    try:
        world = World(mount, "data", ["--disk-reserve-bytes", "8MiB"])
        filler = os.path.join(mount, "filler")
        free = shutil.disk_usage(mount).free
        with open(filler, "wb") as file:
            file.write(b"x" * max(free - (2 << 20), 0))
        got, last = None, time.monotonic() + 30
        number = 0
        while got is None and time.monotonic() < last:
            try:
                world.put(b"fill%06d" % number, '"%s"' % ("f" * 100000))
                number += 1
            except grpc.RpcError as error:
                got = error
        assert got is not None, "the disk never filled up"
        reason, _, names = details(got)
        assert (got.code().name, reason) == ("RESOURCE_EXHAUSTED", "DISK_LOW"), (got.code(), reason, got.details())
        assert "google.rpc.RetryInfo" in names, names
        print(f"  after {number} more writes: {got.code().name}/{reason}: {got.details()[:120]}")
        world.check()
        world.kv.Delete(kv_pb2.DeleteRequest(table=TABLE, key=b"fill000000"))
        os.unlink(filler)
        last = time.monotonic() + 30
        while True:
            try:
                world.put(b"after", "1")
                break
            except grpc.RpcError:
                assert time.monotonic() < last, "writes do not come back after the disk has room"
                time.sleep(0.1)
        for each in range(1, number):
            world.kv.Get(kv_pb2.GetRequest(table=TABLE, key=b"fill%06d" % each))
        print("  writes work again once there is room; nothing acknowledged was lost")
        world.close()
    finally:
        subprocess.run(["umount", "-l", mount], check=False)


def main():
    passed = failed = skipped = 0
    with tempfile.TemporaryDirectory(prefix="polarys-damage-") as scratch:
        world = World(scratch, "data")
        steps = [("a second server", lambda: second_server(world)), ("bad requests", lambda: bad_requests(world)),
                 ("garbage on the port", lambda: garbage_on_the_port(world)),
                 ("a client that vanishes", lambda: vanishing_client(world)),
                 ("a damaged log", lambda: damaged_log(world)), ("wrong keys", lambda: wrong_keys(world, scratch)),
                 ("a damaged table file", lambda: damaged_table(world)), ("a full disk", lambda: full_disk(scratch))]
        for name, step in steps:
            print(name, flush=True)
            try:
                step()
                passed += 1
            except Skipped as reason:
                skipped += 1
                print(f"  skipped: {reason}", flush=True)
            except AssertionError as error:
                failed += 1
                print(f"  FAILED: {error}", flush=True)
                if world.server.process.poll() is not None:
                    break
        world.close()
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    sys.exit(failed != 0 or passed == 0)


if __name__ == "__main__":
    main()
