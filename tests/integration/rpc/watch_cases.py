# SPDX-License-Identifier: Apache-2.0
"""Watch as one method among the others; tests/integration/watch_test.py looks at what it promises."""
import grpc

from polarys.v1 import kv_pb2, watch_pb2

from world import check_failure, check_header, decode, duration, fails

TABLE = "watched"


def setup(world):
    world.table(TABLE)


def events_of(stream, count):
    events = []
    while len(events) < count:
        events += [each for each in next(stream).events if each.WhichOneof("kind") != "progress"]
    return events


def changes(world):
    """The documents there are, then each change with its version."""
    world.put(TABLE, b"before", "1")
    stream = world.watches.Watch(watch_pb2.WatchRequest(table=TABLE, with_snapshot=True))
    first = next(stream)
    check_header(world, first.header)
    events = [each for each in first.events if each.WhichOneof("kind") != "progress"]
    events += events_of(stream, 2 - len(events))
    assert [each.WhichOneof("kind") for each in events] == ["snapshot_put", "snapshot_end"], events
    assert events[0].snapshot_put.key == b"before" and events[0].snapshot_put.value.json == "1", events
    version = world.put(TABLE, b"after", "2").version
    deleted = world.kv.Delete(kv_pb2.DeleteRequest(table=TABLE, key=b"before")).version
    events = events_of(stream, 2)
    assert [(each.version, each.WhichOneof("kind"), each.last_of_commit) for each in events] == \
        [(version, "put", True), (deleted, "delete", True)], events
    stream.cancel()


def refused(world):
    def watch(**fields):
        return world.watches.Watch(watch_pb2.WatchRequest(**{"table": TABLE, **fields}))
    fails("TABLE_NOT_FOUND", watch, table="nosuch")
    fails("BAD_NAME", watch, table="1", field="table")
    fails("BAD_FILTER", watch, filter="a =", field="filter", metadata={"position": None})
    fails("FUTURE_VERSION", watch, from_version=1 << 60)
    fails("BAD_ARGUMENT", watch, from_version=1, with_snapshot=True)
    fails("BAD_ARGUMENT", watch, progress_interval=duration(1))


def too_slow(world):
    """A reader that takes nothing is cut off, and told where to go on."""
    stream = world.watches.Watch(watch_pb2.WatchRequest(table=TABLE))
    next(stream)
    for i in range(24):
        world.put(TABLE, b"flood%02d" % i, '"' + "x" * 1_000_000 + '"')
    failure = None
    try:
        for _ in stream:
            pass
    except grpc.RpcError as error:
        failure = check_failure(decode(error), "WATCH_TOO_SLOW", {"resume_version": None})
    assert failure is not None and int(failure.metadata["resume_version"]) > 0, failure


CASES = [changes, refused, too_slow]
