# SPDX-License-Identifier: Apache-2.0
"""BulkService.Write: order, refusals, resumption, the window, and streams that break the protocol."""
import queue
import threading

from polarys.v1 import bulk_pb2, common_pb2, kv_pb2, query_pb2

from world import check_header, error_of, fails, fails_late, json_value, snapshot, timestamp

TABLE = "bulk"
Batch, Open, Write, RecordOf = bulk_pb2.WriteBatch, bulk_pb2.WriteOpen, bulk_pb2.WriteRequest, bulk_pb2.BulkRecord


def setup(world):
    world.table(TABLE)


def records(*keys, text="1"):
    return [RecordOf(key=key, value=json_value(text)) for key in keys]


class Session:
    """One stream of a bulk write."""

    def __init__(self, world, timeout=30, table=TABLE, **opened):
        self.world, self.sent = world, queue.Queue()
        self.stream = world.bulk.Write(iter(self.sent.get, None), timeout=timeout)
        self.say(open=Open(table=table, **opened))

    def say(self, **message):
        self.sent.put(Write(**message))

    def opened(self):
        message = next(self.stream)
        assert message.WhichOneof("message") == "opened", message
        check_header(self.world, message.opened.header, 1)
        assert len(message.opened.session_id) == 16 and message.opened.window_bytes >= 65536, message
        return message.opened

    def batch(self, number, *keys, text="1"):
        self.say(batch=Batch(number=number, records=records(*keys, text=text)))

    def ack(self, number):
        message = next(self.stream)
        assert message.WhichOneof("message") == "ack" and message.ack.number == number, message
        return message.ack

    def committed(self, number):
        ack = self.ack(number)
        assert ack.WhichOneof("result") == "version" and ack.version > 0, ack
        return ack.version

    def refused(self, number, reason, code, **metadata):
        ack = self.ack(number)
        assert ack.WhichOneof("result") == "error", ack
        assert (ack.error.reason, ack.error.code) == (reason, code) and ack.error.message, ack
        found = {each.key: each.value for each in ack.error.metadata}
        for name, value in metadata.items():
            assert found.get(name) == str(value), (name, value, found)
        return ack.error

    def close(self, is_durable=True):
        self.say(close=bulk_pb2.WriteClose())
        self.sent.put(None)
        message = next(self.stream)
        assert message.WhichOneof("message") == "closed", message
        check_header(self.world, message.closed.header, message.closed.version if is_durable else 0)
        assert not list(self.stream), "a message after `closed`"
        return message.closed

    def cancel(self):
        self.stream.rpc.cancel()
        self.sent.put(None)


def session(world):
    """Batches in order, each one commit; deletes, expiries, empty batches; what was closed is told."""
    run = Session(world)
    opened = run.opened()
    assert opened.last_number == 0, opened
    run.batch(1, b"a", b"b", b"a")
    run.say(batch=Batch(number=2, records=[RecordOf(key=b"b", delete=True),
                                           RecordOf(key=b"c", value=common_pb2.Value(raw=b"\0"),
                                                    expire_time=timestamp(1000))]))
    run.say(batch=Batch(number=3))
    first, second, third = run.committed(1), run.committed(2), run.committed(3)
    assert first < second <= third, (first, second, third)
    closed = run.close()
    assert (closed.version, closed.last_number) == (third, 3), closed
    assert world.get(TABLE, b"a").version == first
    fails("KEY_NOT_FOUND", world.get, TABLE, b"b")
    assert world.get(TABLE, b"b", consistency=snapshot(first)).value.json == "1"
    got = world.get(TABLE, b"c")
    assert got.value.raw == b"\0" and got.HasField("expire_time") and got.version == second, got


def refusals(world):
    """After a refused batch those behind it are refused, until its number comes again."""
    run = Session(world)
    run.opened()
    run.say(batch=Batch(number=1, records=records(b"r1") + records(b"r2", text="{")))
    run.batch(2, b"r3")
    error = run.refused(1, "BAD_JSON", 3, record=1)
    assert not error.HasField("retry_delay"), error
    run.refused(2, "BAD_ARGUMENT", 3, field="number", expected=1)
    run.say(batch=Batch(number=1, records=[RecordOf(key=b"x", value=json_value("1"), delete=True)]))
    run.refused(1, "BAD_ARGUMENT", 3, field="value", record=0)
    run.say(batch=Batch(number=1, records=[RecordOf(key=b"x")]))
    run.refused(1, "BAD_ARGUMENT", 3, field="value")
    run.say(batch=Batch(number=1, records=[RecordOf(value=json_value("1"))]))
    run.refused(1, "BAD_KEY", 3)
    run.say(batch=Batch(number=1, records=records(b"x", text='"' + "v" * (1 << 20) + '"')))
    run.refused(1, "TOO_LARGE", 3, limit=1 << 20)
    run.batch(0, b"zero")
    run.refused(0, "BAD_ARGUMENT", 3, field="number")
    run.say(batch=Batch(number=1))
    run.committed(1)
    run.batch(2, b"r3")
    version = run.committed(2)
    run.batch(2, b"other")
    assert run.committed(2) >= version
    run.batch(4, b"gap")
    run.refused(4, "BAD_ARGUMENT", 3, expected=3)
    closed = run.close()
    assert (closed.last_number, closed.version) == (2, version), closed
    for key in (b"r1", b"r2", b"zero", b"other", b"gap", b"x"):
        fails("KEY_NOT_FOUND", world.get, TABLE, key)


def resumption(world):
    """A broken stream is resumed where it was, once more after a crash, and nothing is written twice."""
    run = Session(world)
    opened = run.opened()
    for number in range(1, 6):
        run.batch(number, b"s%d" % number)
    versions = [run.committed(number) for number in range(1, 6)]
    run.cancel()
    run = Session(world, session_id=opened.session_id, last_acked_number=5)
    again = run.opened()
    assert (again.last_number, again.session_id) == (5, opened.session_id), again
    run.batch(3, b"s3", text="2")
    assert run.committed(3) == versions[4]
    run.batch(6, b"s6")
    last = run.committed(6)
    other = Session(world, session_id=opened.session_id, last_acked_number=4)
    assert other.opened().last_number == 6, "a session taken over from a stream that still had it"
    assert error_of(lambda: next(run.stream)) is not None
    other.cancel()
    world.server.kill()
    world.start()
    run = Session(world, session_id=opened.session_id, last_acked_number=6)
    assert run.opened().last_number == 6
    run.batch(7, b"s7")
    run.committed(7)
    run.close()
    assert world.get(TABLE, b"s3").value.json == "1" and world.get(TABLE, b"s6").version == last


def sessions_refused(world):
    run = Session(world)
    opened = run.opened()
    run.close()
    world.table("bulk2")
    def check(reason, metadata=None, field=None, **arguments):
        run = Session(world, **arguments)
        failure = fails(reason, lambda: list(run.stream), metadata=metadata, field=field)
        run.sent.put(None)
        return failure
    check("CURSOR_EXPIRED", session_id=b"?" * 16)
    check("HISTORY_DIVERGED", session_id=opened.session_id, last_acked_number=3, metadata={"last_number": 0})
    check("BAD_ARGUMENT", session_id=b"short", field="open.session_id")
    check("BAD_ARGUMENT", last_acked_number=3, field="open.last_acked_number")
    check("BAD_ARGUMENT", session_id=opened.session_id, table="bulk2")
    check("TABLE_NOT_FOUND", table="nosuch")
    check("DATABASE_NOT_FOUND", database="nosuch")
    check("BAD_NAME", table="9", field="open.table")
    check("BAD_ARGUMENT", durability=99)


def broken_protocol(world):
    def messages(*said):
        return lambda: list(world.bulk.Write(iter(said)))
    opening = Write(open=Open(table=TABLE))
    fails("BAD_ARGUMENT", messages(Write()), field="message")
    fails("BAD_ARGUMENT", messages(Write(batch=Batch(number=1))), field="message")
    fails("BAD_ARGUMENT", messages(Write(close=bulk_pb2.WriteClose())), field="message")
    fails("BAD_ARGUMENT", messages(opening, opening), field="message")
    fails("BAD_ARGUMENT", messages(opening, Write()), field="message")
    assert not list(world.bulk.Write(iter(()))), "an empty stream has answers"
    answers = list(world.bulk.Write(iter([opening, Write(batch=Batch(number=1, records=records(b"nc")))])))
    assert [each.WhichOneof("message") for each in answers] == ["opened", "ack"], answers


def window(world):
    """A client that never reads its acknowledgements is held back, and gets all of them when it does."""
    run = Session(world)
    opened = run.opened()
    text = '"' + "w" * 65536 + '"'
    count = opened.window_bytes * 4 // 65536
    feeder = threading.Thread(target=lambda: [run.batch(number, b"w%06d" % number, text=text)
                                              for number in range(1, count + 1)])
    feeder.start()
    versions = [run.committed(number) for number in range(1, count + 1)]
    feeder.join()
    assert versions == sorted(set(versions)), "acknowledged out of order"
    assert run.close().last_number == count
    got = world.query.Count(query_pb2.CountRequest(table=TABLE))
    assert got.count >= count, got
    world.kv.DeleteRange(kv_pb2.DeleteRangeRequest(table=TABLE, range=common_pb2.KeyRange(prefix=b"w")))


def deadline(world):
    """The stream ends before the client's own deadline, with details that say what to do."""
    def attempt(seconds):
        run = Session(world, timeout=seconds)
        try:
            run.opened()
            run.batch(1, b"in time")
            run.committed(1)
            list(run.stream)
        finally:
            run.sent.put(None)
    failure, _, _ = fails_late("WAIT_TIMEOUT", attempt)
    assert "resume" in failure.message, failure.message


def durability(world):
    for level in (common_pb2.DURABILITY_ASYNC, common_pb2.DURABILITY_QUORUM_APPLIED):
        run = Session(world, durability=level)
        run.opened()
        run.batch(1, b"durable%d" % level)
        assert run.committed(1) == world.get(TABLE, b"durable%d" % level).version
        run.close(is_durable=level != common_pb2.DURABILITY_ASYNC)


CASES = [session, refusals, resumption, sessions_refused, broken_protocol, window, deadline, durability]
