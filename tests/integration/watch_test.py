#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""WatchService through a real client, and `polarys watch`."""
import json
import os
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from server_harness import *  # noqa: E402,F403

from google.protobuf.duration_pb2 import Duration  # noqa: E402
from polarys.v1 import watch_pb2, watch_pb2_grpc  # noqa: E402

POLARYS = os.path.join(os.path.dirname(PROGRAM), "polarys")
WAIT_SECONDS = 30


def text_of(event):
    kind = event.WhichOneof("kind")
    end = "." if event.last_of_commit else ""
    if kind in ("put", "snapshot_put"):
        put = getattr(event, kind)
        return f"{kind} {put.key.decode()}={put.value.json or put.value.raw}{end}"
    if kind == "delete":
        return f"delete {event.delete.key.decode()}{end}"
    if kind == "delete_range":
        return f"range [{event.delete_range.start_key.decode()},{event.delete_range.end_key.decode()}){end}"
    return kind


class Watch:
    """One stream; `begun` is its first message, which has a header and no events."""

    def __init__(self, server, channel=None, **request):
        stub = watch_pb2_grpc.WatchServiceStub(channel or server.channel)
        self.call = stub.Watch(watch_pb2.WatchRequest(table="t", **request))
        self.begun = next(self.call)
        assert self.begun.HasField("header") and not self.begun.events, self.begun
        self.resume_version = self.begun.resume_version
        self.events = []

    def message(self):
        message = next(self.call)
        assert not message.HasField("header")
        assert message.resume_version >= self.resume_version
        self.resume_version = message.resume_version
        self.events += [event for event in message.events if event.WhichOneof("kind") != "progress"]
        return message

    def take(self, count):
        """The next `count` events as texts."""
        while len(self.events) < count:
            self.message()
        taken, self.events = self.events[:count], self.events[count:]
        return [text_of(event) for event in taken]


def test_changes_come_as_they_are_committed(server):
    server.make_table()
    watch = Watch(server)
    put = server.put(b"a", json="1")
    server.put(b"b", raw=b"\x01")
    server.kv.Delete(kv_pb2.DeleteRequest(table="t", key=b"a"), timeout=10)
    assert watch.take(3) == ["put a=1.", "put b=b'\\x01'.", "delete a."], "in order"
    assert watch.resume_version == put.version + 2
    watch.call.cancel()


def test_everything_of_an_event_is_there(server):
    server.make_table()
    watch = Watch(server)
    later = kv_pb2.PutRequest(table="t", key=b"k", value=common_pb2.Value(json="1"))
    later.expire_time.FromSeconds(4000000000)
    version = server.kv.Put(later, timeout=10).version
    while not watch.events:
        watch.message()
    event = watch.events[0]
    assert event.version == version and event.last_of_commit and event.HasField("commit_time")
    assert event.put.expire_time.seconds == 4000000000
    assert abs(event.commit_time.ToSeconds() - time.time()) < 60


def test_prefix_filter_range_and_drop(server):
    server.make_table()
    narrow = Watch(server, prefix=b"b")
    wise = Watch(server, filter="n > 1")
    server.put(b"a", json='{"n":2}')
    server.put(b"b", json='{"n":1}')
    server.kv.DeleteRange(kv_pb2.DeleteRangeRequest(
        table="t", range=common_pb2.KeyRange(start_key=b"a", end_key=b"z")), timeout=10)
    server.tables.DropTable(table_pb2.DropTableRequest(table="t"), timeout=10)
    assert narrow.take(3) == ['put b={"n":1}.', "range [b,c).", "table_dropped"]
    assert wise.take(4) == ['put a={"n":2}.', "delete b.", "range [a,z).", "table_dropped"]
    for watch in (narrow, wise):
        assert next(watch.call, None) is None and watch.call.code() == Code.OK, "the stream ends"


def test_a_snapshot_comes_first(server):
    server.make_table()
    server.fill(3000, size=500)
    watch = Watch(server, with_snapshot=True)
    assert watch.resume_version == 0
    keys = []
    while not watch.events or text_of(watch.events[-1]) != "snapshot_end":
        watch.message()
    keys = [event.snapshot_put.key for event in watch.events[:-1]]
    assert len(keys) == 3000 and keys == sorted(keys)
    assert watch.resume_version == watch.events[-1].version
    watch.events = []
    server.put(b"new", json="1")
    assert watch.take(1) == ["put new=1."]


def test_a_large_commit_comes_in_pieces_marked_at_the_end(server):
    server.make_table()
    watch = Watch(server)
    operations = [kv_pb2.WriteOperation(table="t", put=kv_pb2.PutOperation(
        key=b"k%02d" % i, value=common_pb2.Value(raw=b"x" * 200000))) for i in range(12)]
    version = server.kv.BatchWrite(kv_pb2.BatchWriteRequest(operations=operations), timeout=20).version
    before, messages = watch.resume_version, []
    while len(watch.events) < 12:
        messages.append(watch.message())
        done = len(watch.events) == 12
        assert watch.resume_version == (version if done else before), "a piece is nothing to resume from"
    assert len(messages) > 1 and max(message.ByteSize() for message in messages) < 2 << 20
    assert [event.last_of_commit for event in watch.events] == [False] * 11 + [True]
    small = [kv_pb2.WriteOperation(table="t", put=kv_pb2.PutOperation(
        key=b"s%d" % i, value=common_pb2.Value(raw=b"x" * 1000))) for i in range(100)]
    watch.events = []
    server.kv.BatchWrite(kv_pb2.BatchWriteRequest(operations=small), timeout=20)
    message = watch.message()
    assert len(message.events) == 100, "a commit that fits is not cut"


def test_progress_comes_when_nothing_happens(server):
    server.make_table()
    stub = watch_pb2_grpc.WatchServiceStub(server.channel)
    call = stub.Watch(watch_pb2.WatchRequest(table="t", progress_interval=Duration(nanos=300000000)))
    next(call)
    server.make_table("other")
    message = next(call)
    assert text_of(message.events[0]) == "progress"
    message = next(call)
    assert message.events[0].version == message.resume_version >= 2
    for bad in (Duration(nanos=1000), Duration(seconds=4000), Duration(seconds=-1)):
        fails(lambda b=bad: next(stub.Watch(watch_pb2.WatchRequest(table="t", progress_interval=b))),
              Code.INVALID_ARGUMENT, "BAD_ARGUMENT")


def test_bad_requests_are_refused(server):
    server.make_table()
    stub = watch_pb2_grpc.WatchServiceStub(server.channel)

    def watch(**request):
        return next(stub.Watch(watch_pb2.WatchRequest(**{"table": "t", **request})))
    fails(lambda: watch(table="none"), Code.NOT_FOUND, "TABLE_NOT_FOUND")
    fails(lambda: watch(table="1"), Code.INVALID_ARGUMENT, "BAD_NAME")
    fails(lambda: watch(database="none"), Code.NOT_FOUND, "DATABASE_NOT_FOUND")
    future = fails(lambda: watch(from_version=1000), Code.OUT_OF_RANGE, "FUTURE_VERSION")
    assert future.metadata["version"] == "1"
    fails(lambda: watch(from_version=1, with_snapshot=True), Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    fails(lambda: watch(prefix=b"x" * 5000), Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    bad = fails(lambda: watch(filter="n >"), Code.INVALID_ARGUMENT, "BAD_FILTER")
    assert "position" in bad.metadata


@with_flags("--history-keep", "0", "--wal-segment-bytes", "1MiB")
def test_what_is_pruned_is_said(server):
    server.make_table()

    def fill(count):
        for i in range(count):
            server.put(b"k%d" % i, raw=os.urandom(100000))
        server.admin.Flush(admin_pb2.FlushRequest(), timeout=60)
    fill(60)
    server.put(b"k", json="1")
    deadline, version, starts, taken = time.monotonic() + WAIT_SECONDS, 1, [], None
    while True:  # the log is being pruned meanwhile, also between a watch's beginning and its first event
        try:
            watch = Watch(server, from_version=version)
            if starts:
                taken = watch.take(1)
                break
            watch.call.cancel()  # one that reads keeps the log, and it is pruned again when more of it is full
            time.sleep(0.1)
            fill(12)
        except grpc.RpcError as error:
            pruned = Failure(error)
            assert pruned.code == Code.OUT_OF_RANGE and pruned.reason == "HISTORY_PRUNED"
            version = int(pruned.metadata["history_start"])
            starts.append(version)
        assert time.monotonic() < deadline, f"nothing was pruned, or all the time: {starts}"
    assert starts == sorted(starts) and watch.begun.resume_version == version > 1
    assert taken


def test_resuming_over_kills_gives_each_commit_once(server):
    server.make_table()
    written, stop = [], threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            try:
                version = server.put(b"k%d" % (number % 7), json=str(number)).version
                written.append((version, number))
                number += 1
            except (grpc.RpcError, ValueError):
                number += 1000  # it may have been written or not: another number from here on
                time.sleep(0.05)

    def restart():
        server.stop(signal.SIGKILL)
        server.start()
    writer = threading.Thread(target=write)
    writer.start()
    seen, version = [], 1
    try:
        for _ in range(4):
            watch = Watch(server, from_version=version)
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                watch.message()
                for event in watch.events:
                    if event.WhichOneof("kind") == "put":
                        seen.append((event.version, int(event.put.value.json)))
                watch.events = []
            version = watch.resume_version
            restart()
    finally:
        stop.set()
        writer.join()
    watch = Watch(server, from_version=version)
    while not seen or seen[-1][0] < written[-1][0]:
        watch.message()
        seen += [(e.version, int(e.put.value.json)) for e in watch.events if e.WhichOneof("kind") == "put"]
        watch.events = []
    assert len({v for v, _ in seen}) == len(seen), "a commit came twice"
    assert seen == sorted(seen)
    assert set(written) <= set(seen), f"missed: {sorted(set(written) - set(seen))[:5]}"
    assert len(written) > 100


def test_one_who_does_not_read_is_cut_off_and_told_where_to_go_on(server):
    server.make_table()
    idle_channel = server.new_channel()
    stuck = Watch(server, channel=idle_channel)
    reader = Watch(server)
    value = common_pb2.Value(raw=b"x" * 500000)
    count = 60
    for i in range(count):
        server.kv.Put(kv_pb2.PutRequest(table="t", key=b"k%d" % i, value=value), timeout=20)
        reader.take(1)
    keys = []
    failure = None
    try:
        while True:
            stuck.message()
            keys += [event.put.key for event in stuck.events]
            stuck.events = []
    except grpc.RpcError as error:
        failure = Failure(error)
    assert failure.code == Code.RESOURCE_EXHAUSTED and failure.reason == "WATCH_TOO_SLOW", failure.reason
    version = int(failure.metadata["resume_version"])
    assert version == stuck.resume_version and 0 < len(keys) < count
    again = Watch(server, from_version=version)
    while len(keys) < count:
        again.message()
        keys += [event.put.key for event in again.events]
        again.events = []
    assert keys == [b"k%d" % i for i in range(count)]


def test_a_thousand_watches(server):
    server.make_table()
    channels = [server.new_channel() for _ in range(10)]
    stubs = [watch_pb2_grpc.WatchServiceStub(channel) for channel in channels]
    calls = [stubs[i % 10].Watch(watch_pb2.WatchRequest(table="t", progress_interval=Duration(seconds=3600)))
             for i in range(1000)]
    for call in calls:
        next(call)
    for i in range(5):
        server.put(b"k", json=str(i))
    for call in calls:
        got = []
        while len(got) < 5:
            got += [event.put.value.json for event in next(call).events]
        assert got == ["0", "1", "2", "3", "4"]
    for call in calls:
        call.cancel()
    deadline = time.monotonic() + WAIT_SECONDS
    server.put(b"k", json="1")
    Watch(server).call.cancel()
    assert time.monotonic() < deadline


def test_a_stopping_server_ends_its_watches(server):
    server.make_table()
    watch = Watch(server)
    server.process.send_signal(signal.SIGTERM)
    ended = fails(lambda: [watch.message() for _ in range(100)], Code.UNAVAILABLE)
    assert ended.reason in ("DRAINING", None, "")
    assert server.process.wait(timeout=30) == 0


class Command:
    """`polarys watch` as a process, its lines read by a thread."""

    def __init__(self, server, *words):
        self.process = subprocess.Popen(
            [POLARYS, "--endpoint", f"127.0.0.1:{server.port}", "watch", "t", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            # A shell's background job passes on that interrupts are ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.lines, self.condition = [], threading.Condition()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            with self.condition:
                self.lines.append(line.rstrip("\n"))
                self.condition.notify_all()

    def wait(self, count):
        with self.condition:
            assert self.condition.wait_for(lambda: len(self.lines) >= count, WAIT_SECONDS), self.lines
            return self.lines[:count]

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=10)
        return self.process.returncode


def test_the_command_prints_a_line_a_change(server):
    server.make_table()
    server.put(b"old", json="0")
    command = Command(server, "--from-version", "1")
    command.wait(1)
    server.put(b"a", json='{"n":1}')
    server.kv.Delete(kv_pb2.DeleteRequest(table="t", key=b"a"), timeout=10)
    assert command.wait(3) == ["2 put old 0", '3 put a {"n":1}', "4 delete a"]
    assert command.end() == -signal.SIGINT
    command = Command(server, "--snapshot", "--prefix", "o", "-o", "json")
    first, second = (json.loads(line) for line in command.wait(2))
    assert first["event"] == "snapshot_put" and first["key"] == "old" and first["value"] == 0
    assert second["event"] == "snapshot_end" and second["version"] == 4
    server.put(b"x", json="1")
    server.put(b"o2", json="2")
    third = json.loads(command.wait(3)[2])
    assert third["event"] == "put" and third["key"] == "o2" and third["last_of_commit"] is True
    server.tables.DropTable(table_pb2.DropTableRequest(table="t"), timeout=10)
    assert json.loads(command.wait(4)[3])["event"] == "table_dropped"
    assert command.process.wait(timeout=10) == 0
    missing = subprocess.run([POLARYS, "--endpoint", f"127.0.0.1:{server.port}", "watch", "t"],
                             capture_output=True, text=True, timeout=20, check=False)
    assert missing.returncode == 3 and "TABLE_NOT_FOUND" in missing.stderr


main(globals())
