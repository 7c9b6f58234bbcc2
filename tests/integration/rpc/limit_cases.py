# SPDX-License-Identifier: Apache-2.0
"""Time, memory and refusals that take a setting: deadlines, cancellation, slow readers, history, full queues."""
import itertools
import os
import threading
import time

import grpc
from google.protobuf import duration_pb2
from grpc import StatusCode
from polarys.v1 import admin_pb2, bulk_pb2, common_pb2, kv_pb2, query_pb2

from world import (LATE_SECONDS, World, bare, check_failure, decode, error_of, fails, fails_late, json_value, request_id,
                   snapshot, until)

TABLE = "limits"
DOCUMENTS = 400
VALUE = '"' + "v" * 100000 + '"'
RSS_GROWTH_MAX = 24 << 20
RSS_GROWTH_SANITIZER_MAX = 320 << 20  # what was freed stays in quarantine


def setup(world):
    world.table(TABLE)
    for first in range(0, DOCUMENTS, 20):
        operations = [kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=b"key%06d" % i, value=json_value(VALUE)))
                      for i in range(first, first + 20)]
        world.kv.BatchWrite(kv_pb2.BatchWriteRequest(table=TABLE, operations=operations))
    world.admin.Flush(admin_pb2.FlushRequest())


def resident_bytes(world):
    with open(f"/proc/{world.server.process.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def calls_active(world, method):
    for each in world.admin.GetStatus(admin_pb2.GetStatusRequest()).calls:
        if each.method == "polarys.v1." + method:
            return each.active
    return 0


def scan_stops_at_ninety_percent(world):
    """A scan whose reader is slow ends with TIME_REACHED and a token before the deadline, and goes on from it."""
    for seconds in LATE_SECONDS:
        begun = time.monotonic()
        keys, last = [], None
        try:
            for message in world.kv.Scan(kv_pb2.ScanRequest(table=TABLE), timeout=seconds):
                keys += [each.key for each in message.documents]
                last = message
                pause = seconds * 0.91 / 10
                time.sleep(max(min(pause, begun + seconds * 0.91 - time.monotonic()), 0))
            break
        except grpc.RpcError as error:  # the reason came too late, as it may on a busy machine
            assert error.code() == StatusCode.DEADLINE_EXCEEDED and seconds != LATE_SECONDS[-1], error
    taken = time.monotonic() - begun
    assert last.end_reason == kv_pb2.SCAN_END_REASON_TIME_REACHED, (last.end_reason, len(keys), taken)
    assert seconds * 0.8 < taken < seconds and 0 < len(keys) < DOCUMENTS, (taken, len(keys))
    for message in world.kv.Scan(kv_pb2.ScanRequest(table=TABLE, resume_token=last.resume_token)):
        keys += [each.key for each in message.documents]
    assert keys == [b"key%06d" % i for i in range(DOCUMENTS)], len(keys)


def max_time_of_a_scan(world):
    """`max_time` ends a scan whose call has no deadline near."""
    keys, last, begun = [], None, time.monotonic()
    for message in world.kv.Scan(kv_pb2.ScanRequest(table=TABLE, max_time=duration_pb2.Duration(seconds=1))):
        keys += [each.key for each in message.documents]
        last = message
        if time.monotonic() - begun < 1.2:
            time.sleep(0.2)
    assert last.end_reason == kv_pb2.SCAN_END_REASON_TIME_REACHED and last.resume_token, last.end_reason
    assert len(keys) < DOCUMENTS, len(keys)


def export_tells_where_to_go_on(world):
    """An export that is out of time fails with a reason before the deadline, and is resumed."""
    documents, version = [], 0

    def read(seconds):
        nonlocal version
        documents.clear()
        version, begun = 0, time.monotonic()
        for message in world.bulk.Export(bulk_pb2.ExportRequest(table=TABLE), timeout=seconds):
            version = version or message.version
            documents.extend(message.documents)
            time.sleep(max(min(seconds * 0.91 / 10, begun + seconds * 0.91 - time.monotonic()), 0))
    failure, _, _ = fails_late("WAIT_TIMEOUT", read)
    assert "resume" in failure.message and 0 < len(documents) < DOCUMENTS, (failure.message, len(documents))
    rest = [each for message in world.bulk.Export(bulk_pb2.ExportRequest(
        table=TABLE, resume_after_key=documents[-1].key, consistency=snapshot(version))) for each in message.documents]
    assert len(documents) + len(rest) == DOCUMENTS, (len(documents), len(rest))


def count_that_takes_too_long(world):
    world.table("many")
    world.fill("many", 60000)
    failure = None
    for seconds in (0.02, 0.01, 0.005):
        error = error_or_none(lambda: world.query.Count(query_pb2.CountRequest(table="many"), timeout=seconds))
        failure = failure or (decode(error) if error is not None else None)
    assert failure is None or failure.reason == "WAIT_TIMEOUT", failure.reason
    got = world.query.Count(query_pb2.CountRequest(table="many"))
    assert got.count == 60000, got.count


def error_or_none(call):
    try:
        call()
    except Exception as error:  # the caller looks at what it is
        assert hasattr(error, "code"), error
        assert error.code() == StatusCode.DEADLINE_EXCEEDED, error
        return error
    return None


def cancellation(world):
    """What a client gives up ends on the server, and holds no snapshot any more."""
    streams = [world.kv.Scan(kv_pb2.ScanRequest(table=TABLE)) for _ in range(20)]
    for stream in streams:
        next(stream)
    assert calls_active(world, "KvService/Scan") == 20
    for stream in streams:
        stream.rpc.cancel()
        assert error_of(lambda each=stream: list(each)).code() == StatusCode.CANCELLED
    until(lambda: calls_active(world, "KvService/Scan") == 0, "cancelled scans end")
    until(lambda: world.admin.GetStatus(admin_pb2.GetStatusRequest()).snapshots.open == 0, "snapshots are let go",
          seconds=90)  # a cursor of a query keeps its version for a minute


def slow_readers_cost_no_memory(world):
    """Streams that nobody reads hold what the transport takes, not the table."""
    list(world.kv.Scan(kv_pb2.ScanRequest(table=TABLE)))
    before = resident_bytes(world)
    streams = [world.kv.Scan(kv_pb2.ScanRequest(table=TABLE)) for _ in range(8)]
    streams += [world.bulk.Export(bulk_pb2.ExportRequest(table=TABLE)) for _ in range(4)]
    for stream in streams:
        next(stream)
    most = 0
    for _ in range(10):
        time.sleep(0.1)
        most = max(most, resident_bytes(world))
    print(f"        12 unread streams of {DOCUMENTS * len(VALUE) >> 20} MiB: {most - before >> 10} KiB more")
    with open(f"/proc/{world.server.process.pid}/maps", encoding="utf-8") as file:
        is_sanitized = "san.so" in file.read()
    bound = RSS_GROWTH_SANITIZER_MAX if is_sanitized else RSS_GROWTH_MAX
    assert most - before < bound, f"{most - before} bytes more"
    for stream in streams:
        stream.rpc.cancel()


def history_pruned(world):
    """With a history of no length old versions go; pages and scans at them are told to begin again."""
    with World(world.scratch, "forgetful", world.record,
               ["--history-keep", "0ms", "--history-keep-bytes", "0"]) as short:
        short.table(TABLE)
        short.fill(TABLE, 10)
        version = short.put(TABLE, b"key000000", "1").version
        page = short.kv.ListDocuments(kv_pb2.ListDocumentsRequest(table=TABLE, page_size=1))
        scanned = list(short.kv.Scan(kv_pb2.ScanRequest(table=TABLE, limit=1)))[-1]

        def is_pruned():
            short.put(TABLE, b"key000000", "2")
            short.admin.Flush(admin_pb2.FlushRequest())
            error = None
            try:
                short.get(TABLE, b"key000000", consistency=snapshot(version))
            except Exception as failed:  # what it is, is checked below
                error = failed
            return error
        until(is_pruned, "the history is pruned")
        consistency = snapshot(version)
        failure = fails("HISTORY_PRUNED", short.get, TABLE, b"key000000", consistency=consistency,
                        metadata={"history_start": None})
        assert int(failure.metadata["history_start"]) > version, failure.metadata
        fails("HISTORY_PRUNED", short.kv.BatchGet,
              kv_pb2.BatchGetRequest(table=TABLE, keys=[b"k"], consistency=consistency))
        fails("HISTORY_PRUNED", short.kv.Scan, kv_pb2.ScanRequest(table=TABLE, consistency=consistency))
        fails("HISTORY_PRUNED", short.kv.ListDocuments,
              kv_pb2.ListDocumentsRequest(table=TABLE, consistency=consistency))
        fails("HISTORY_PRUNED", short.query.Count, query_pb2.CountRequest(table=TABLE, consistency=consistency))
        fails("HISTORY_PRUNED", short.bulk.Export, bulk_pb2.ExportRequest(table=TABLE, consistency=consistency))
        fails("CURSOR_EXPIRED", short.kv.ListDocuments,
              kv_pb2.ListDocumentsRequest(table=TABLE, page_size=1, page_token=page.next_page_token))
        fails("CURSOR_EXPIRED", short.kv.Scan,
              kv_pb2.ScanRequest(table=TABLE, limit=1, resume_token=scanned.resume_token))


def too_many_calls(world):
    with World(world.scratch, "busy", world.record, ["--calls-max", "4", "--workers", "1"]) as busy:
        busy.table(TABLE)
        busy.put(TABLE, b"k", "1")
        held = [busy.bulk.Write(iter(threading.Event().wait, None)) for _ in range(4)]
        until(lambda: calls_active(busy, "BulkService/Write") == 4, "streams begin")
        failure = fails("TOO_MANY_CALLS", busy.get, TABLE, b"k", metadata={"limit": "calls_max"})
        assert failure.others["RetryInfo"].retry_delay.ToMilliseconds() == 100, failure.others
        for stream in held:
            stream.rpc.cancel()
        until(lambda: calls_active(busy, "BulkService/Write") == 0, "streams end")
        busy.get(TABLE, b"k")


def request_ids_that_do_not_fit(world):
    with World(world.scratch, "ids", world.record, ["--request-ids-max", "2"]) as full:
        full.table(TABLE)
        for number in range(2):
            full.put(TABLE, b"k", "1", request_id=request_id(number))
        numbers = itertools.count(10)

        def refused():
            # What is remembered already is counted some time after the start.
            try:
                full.put(TABLE, b"k", "2", request_id=request_id(next(numbers)))
            except grpc.RpcError as error:
                return error
            return None
        check_failure(decode(until(refused, "request ids are counted")), "MEMORY_LIMIT", {"limit": 2})
        full.put(TABLE, b"k", "1", request_id=request_id(1))
        full.put(TABLE, b"k", "3")


def disk_low(world):
    with World(world.scratch, "fulldisk", world.record) as full:
        full.table(TABLE)
        full.put(TABLE, b"k", "1")
        full.server.stop()
        full.server.arguments += ["--disk-reserve-bytes", "1T"]
        full.start()
        assert full.get(TABLE, b"k").value.json == "1"
        failure = fails("DISK_LOW", full.put, TABLE, b"k", "2")
        assert failure.others["RetryInfo"].retry_delay.ToMilliseconds() >= 1000, failure.others
        assert full.admin.GetStatus(admin_pb2.GetStatusRequest()).write_stall.state == \
            admin_pb2.WRITE_STALL_STATE_STOPPED


def write_stall(world):
    """More writes than the queue takes are refused with a hint, and those taken are all there."""
    with World(world.scratch, "stalled", world.record, ["--buffer-size", "1", "--workers", "1"]) as stalled:
        stalled.table(TABLE)
        futures = [(i, stalled.kv.Put.future(kv_pb2.PutRequest(
            table=TABLE, key=b"%d" % i, value=json_value(VALUE)), timeout=30)) for i in range(200)]
        refused = 0
        for i, future in futures:
            error = future.exception()
            if error is None:
                assert stalled.get(TABLE, b"%d" % i).version == future.result().version
                continue
            stalled.record.add_error("/polarys.v1.KvService/Put", error)
            failure = decode(error)
            assert failure.reason == "WRITE_STALL" and failure.metadata == {"limit": "buffer_size"}, failure.reason
            assert failure.others["RetryInfo"].retry_delay.ToMilliseconds() == 100, failure.others
            refused += 1
        print(f"        {refused} of {len(futures)} writes refused")
        assert 0 < refused < len(futures), refused


def requests_beyond_the_transport(world):
    """The transport refuses what is larger than any request may be, without details."""
    limits = {each.name: each.value for each in world.admin.GetServerInfo(admin_pb2.GetServerInfoRequest()).limits}
    request = kv_pb2.PutRequest(table=TABLE, key=b"k", value=common_pb2.Value(
        raw=b"r" * (limits["request_bytes_max"] + 1)))
    bare(error_of(world.kv.Put, request), "RESOURCE_EXHAUSTED")
    metadata = [("x-large", "h" * 30000)]
    error = error_of(world.kv.Get, kv_pb2.GetRequest(table=TABLE, key=b"key000000"), metadata=metadata)
    bare(error, "RESOURCE_EXHAUSTED")


def watches_end_with_the_server(world):
    """A server that stops ends its streams with UNAVAILABLE, and exits well."""
    with World(world.scratch, "ending", world.record) as ending:
        ending.table(TABLE)
        stream = ending.bulk.Write(iter(lambda: threading.Event().wait(), None), timeout=60)
        until(lambda: calls_active(ending, "BulkService/Write") == 1, "the stream begins")
        ending.server.process.terminate()
        error = error_of(lambda: list(stream))
        assert error.code() == StatusCode.UNAVAILABLE, error
        assert ending.server.stop() == 0, "the server did not end well"


CASES = [scan_stops_at_ninety_percent, max_time_of_a_scan, export_tells_where_to_go_on, count_that_takes_too_long,
         cancellation, slow_readers_cost_no_memory, history_pruned, too_many_calls,
         request_ids_that_do_not_fit, disk_low, write_stall, requests_beyond_the_transport,
         watches_end_with_the_server]
