#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""BulkService: order, refusals, resumed sessions, lost clients, exports."""
import os
import queue
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from server_harness import *  # noqa: E402,F403

Request = bulk_pb2.WriteRequest


class Writer:
    """One bulk stream, a message at a time."""

    def __init__(self, server, timeout=30):
        self.outbox = queue.Queue()
        self.answers = server.bulk.Write(iter(self.outbox.get, None), timeout=timeout)

    def open(self, table="t", **more):
        self.outbox.put(Request(open=bulk_pb2.WriteOpen(table=table, **more)))
        return next(self.answers).opened

    def send(self, number, records):
        self.outbox.put(Request(batch=bulk_pb2.WriteBatch(number=number, records=records)))

    def ack(self):
        return next(self.answers).ack

    def close(self):
        self.outbox.put(Request(close=bulk_pb2.WriteClose()))
        closed = next(self.answers).closed
        self.outbox.put(None)
        assert list(self.answers) == []
        return closed

    def end(self):
        self.outbox.put(None)
        return list(self.answers)


def records(number, count=10, size=50):
    return [bulk_pb2.BulkRecord(key=b"%06d-%04d" % (number, i), value=common_pb2.Value(raw=b"v" * size))
            for i in range(count)]


def count(server):
    return server.query.Count(query_pb2.CountRequest(table="t"), timeout=10).count


def test_batches_are_acknowledged_in_order(server):
    server.make_table()
    writer = Writer(server)
    opened = writer.open()
    assert len(opened.session_id) == 16 and opened.last_number == 0 and opened.window_bytes > 0
    for number in range(1, 301):
        writer.send(number, records(number))
    versions = []
    for number in range(1, 301):
        ack = writer.ack()
        assert ack.number == number and ack.WhichOneof("result") == "version", ack
        versions.append(ack.version)
    assert versions == sorted(set(versions)), "each batch is one commit"
    closed = writer.close()
    assert closed.last_number == 300 and closed.version == versions[-1]
    assert count(server) == 3000


def test_a_refused_batch_stops_those_after_it_until_it_is_corrected(server):
    server.make_table()
    writer = Writer(server)
    writer.open()
    writer.send(1, records(1))
    writer.send(2, [bulk_pb2.BulkRecord(key=b"x", value=common_pb2.Value(json="{"))])
    writer.send(3, records(3))
    writer.send(4, records(4))
    assert writer.ack().version
    bad = writer.ack()
    assert bad.number == 2 and bad.error.reason == "BAD_JSON" and bad.error.code == 3
    assert {entry.key: entry.value for entry in bad.error.metadata}["record"] == "0"
    for number in (3, 4):
        refused = writer.ack()
        assert refused.number == number and refused.error.reason == "BAD_ARGUMENT"
        assert {entry.key: entry.value for entry in refused.error.metadata}["field"] == "number"
    writer.send(2, [])  # left out
    assert writer.ack().WhichOneof("result") == "version"
    writer.send(3, records(3))
    assert writer.ack().WhichOneof("result") == "version"
    writer.send(1, records(9))  # committed before: not written again
    again = writer.ack()
    assert again.number == 1 and again.WhichOneof("result") == "version"
    assert writer.close().last_number == 3
    assert count(server) == 20


def test_records_put_and_delete_in_order(server):
    server.make_table()
    writer = Writer(server)
    writer.open()
    value = common_pb2.Value(json="1")
    writer.send(1, [bulk_pb2.BulkRecord(key=b"a", value=value), bulk_pb2.BulkRecord(key=b"b", value=value),
                    bulk_pb2.BulkRecord(key=b"a", delete=True)])
    assert writer.ack().WhichOneof("result") == "version"
    writer.send(2, [bulk_pb2.BulkRecord(key=b"c", delete=True, value=value)])
    assert writer.ack().error.reason == "BAD_ARGUMENT"
    writer.close()
    assert count(server) == 1 and server.get(b"b").value.json == "1"


def test_the_protocol_is_kept(server):
    server.make_table()
    batch = Request(batch=bulk_pb2.WriteBatch(number=1))
    opening = Request(open=bulk_pb2.WriteOpen(table="t"))
    bad = [[batch], [Request()], [Request(close=bulk_pb2.WriteClose())], [opening, opening], [opening, Request()],
           [Request(open=bulk_pb2.WriteOpen(table="t", session_id=b"short"))],
           [Request(open=bulk_pb2.WriteOpen(table="t", last_acked_number=4))]]
    for messages in bad:
        fails(lambda m=messages: server.bulk.Write(iter(m), timeout=10), Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    fails(lambda: server.bulk.Write(iter([Request(open=bulk_pb2.WriteOpen(table="none"))]), timeout=10),
          Code.NOT_FOUND, "TABLE_NOT_FOUND")
    fails(lambda: server.bulk.Write(iter([Request(open=bulk_pb2.WriteOpen(table="9"))]), timeout=10),
          Code.INVALID_ARGUMENT, "BAD_NAME")
    fails(lambda: server.bulk.Write(iter([Request(open=bulk_pb2.WriteOpen(table="t", session_id=b"x" * 16))]),
                                    timeout=10), Code.OUT_OF_RANGE, "CURSOR_EXPIRED")
    assert list(server.bulk.Write(iter([]), timeout=10)) == []


def test_a_session_goes_on_after_the_client_was_lost(server):
    server.make_table()
    writer = Writer(server)
    session = writer.open().session_id
    for number in (1, 2, 3):
        writer.send(number, records(number))
    for _ in range(3):
        last = writer.ack()
    writer.answers.cancel()
    again = Writer(server)
    opened = again.open(session_id=session, last_acked_number=2)
    assert opened.last_number == 3 and opened.session_id == session
    again.send(3, records(77))
    assert again.ack().version == last.version
    again.send(4, records(4))
    assert again.ack().WhichOneof("result") == "version"
    again.close()
    assert count(server) == 40


def test_a_session_is_taken_over_from_a_stream_that_hangs(server):
    server.make_table()
    writer = Writer(server)
    session = writer.open().session_id
    writer.send(1, records(1))
    writer.ack()
    again = Writer(server)
    assert again.open(session_id=session, last_acked_number=1).last_number == 1
    fails(lambda: writer.answers, Code.OUT_OF_RANGE, "CURSOR_EXPIRED")
    again.send(2, records(2))
    assert again.ack().WhichOneof("result") == "version"
    again.close()


def test_a_session_survives_a_crash_of_the_server(server):
    server.make_table()
    writer = Writer(server)
    session = writer.open().session_id
    for number in range(1, 51):
        writer.send(number, records(number))
    for _ in range(50):
        writer.ack()
    server.stop(signal.SIGKILL)
    server.start()
    again = Writer(server)
    assert again.open(session_id=session, last_acked_number=50).last_number == 50
    again.send(51, records(51))
    assert again.ack().WhichOneof("result") == "version"
    again.close()
    assert count(server) == 510
    fails(lambda: server.bulk.Write(iter([Request(open=bulk_pb2.WriteOpen(
        table="t", session_id=session, last_acked_number=99))]), timeout=10),
        Code.FAILED_PRECONDITION, "HISTORY_DIVERGED")
    server.make_table("other")
    fails(lambda: server.bulk.Write(iter([Request(open=bulk_pb2.WriteOpen(table="other", session_id=session))]),
                                    timeout=10), Code.INVALID_ARGUMENT, "BAD_ARGUMENT")


def test_what_the_server_keeps_for_itself_is_hidden(server):
    server.make_table()
    writer = Writer(server)
    writer.open()
    writer.send(1, records(1))
    writer.ack()
    writer.close()
    listed = server.tables.ListTables(table_pb2.ListTablesRequest(), timeout=30)
    assert [info.table for info in listed.tables] == ["t"]
    fails(lambda: server.get(b"x", table="polarys.bulk_sessions"), Code.INVALID_ARGUMENT, "BAD_NAME")


def test_a_client_that_ignores_the_window_is_held_back_not_lost(server):
    server.make_table()
    writer = Writer(server, timeout=120)
    writer.open()
    for number in range(1, 201):
        writer.send(number, records(number, count=4, size=60000))
    for number in range(1, 201):
        assert writer.ack().number == number
    writer.close()
    assert count(server) == 800


def test_an_export_has_every_document_once_and_resumes(server):
    server.make_table()
    server.fill(30000, size=200)
    for _ in range(2):
        messages = list(server.bulk.Export(bulk_pb2.ExportRequest(table="t"), timeout=60))
        keys = [d.key for m in messages for d in m.documents]
        assert keys == [b"key-%06d" % i for i in range(30000)]
        assert messages[0].version and not any(m.version for m in messages[1:])
        server.admin.Flush(admin_pb2.FlushRequest(), timeout=30)
        server.stop()
        server.start()
    version = messages[0].version
    server.put(b"key-020000x", json="1")
    snapshot = common_pb2.Consistency(snapshot=version)
    rest = list(server.bulk.Export(bulk_pb2.ExportRequest(table="t", resume_after_key=b"key-019999",
                                                          consistency=snapshot), timeout=60))
    assert [d.key for m in rest for d in m.documents] == [b"key-%06d" % i for i in range(20000, 30000)]
    assert rest[0].version == version
    server.make_table("empty")
    empty = list(server.bulk.Export(bulk_pb2.ExportRequest(table="empty"), timeout=10))
    assert len(empty) == 1 and empty[0].version and not empty[0].documents


def test_a_deadline_ends_a_stream_with_a_reason(server):
    server.make_table()
    for seconds in (3, 10, 40):  # on a busy machine the last tenth may be too short for the reason to arrive
        writer = Writer(server, timeout=seconds)
        writer.open()
        begun = time.monotonic()
        failure = fails(lambda: writer.answers, Code.DEADLINE_EXCEEDED)
        writer.outbox.put(None)
        if failure.reason is not None:
            break
    assert failure.reason == "WAIT_TIMEOUT" and time.monotonic() - begun < seconds, failure.reason


main(globals())
