# SPDX-License-Identifier: Apache-2.0
"""Get, BatchGet, Put, Update, Delete, BatchWrite, DeleteRange: every field, every precondition, every error."""
import time

import grpc
from google.protobuf import timestamp_pb2
from polarys.v1 import common_pb2, kv_pb2, query_pb2

from world import check_header, fails, json_value, request_id, snapshot, timestamp, until

TABLE = "kv"
Precondition = common_pb2.Precondition


def setup(world):
    world.table(TABLE)


def put_and_get(world):
    """A document comes back word for word, with its version, times and key."""
    before = time.time()
    texts = ['{"b": 1.50, "a":[1,2 , null]}', '"text \\u00e9 é"', "1e400", "12345678901234567890123456789", "true",
             "null", "[]", " {} "]
    for i, text in enumerate(texts):
        key = b"\x00\xff\n" + b"%d" % i
        written = world.put(TABLE, key, text)
        check_header(world, written.header, written.version)
        got = world.get(TABLE, key)
        check_header(world, got.header, written.version)
        assert (got.key, got.value.json, got.version) == (key, text, written.version), got
        assert got.value.WhichOneof("kind") == "json" and not got.HasField("expire_time"), got
        assert abs(got.commit_time.ToMilliseconds() / 1000 - before) < 60, got.commit_time
    raw = bytes(range(256))
    world.kv.Put(kv_pb2.PutRequest(database="default", table=TABLE, key=b"raw", value=common_pb2.Value(raw=raw)))
    got = world.get(TABLE, b"raw", database="default")
    assert got.value.raw == raw and got.value.WhichOneof("kind") == "raw", got
    world.kv.Put(kv_pb2.PutRequest(table=TABLE, key=b"raw", value=common_pb2.Value(raw=b"")))
    assert world.get(TABLE, b"raw").value.WhichOneof("kind") == "raw", "an empty value lost its kind"


def sizes(world):
    """The longest key and the largest value pass; one byte more does not, and the limit is told."""
    longest, largest = b"k" * 4096, '"' + "v" * ((1 << 20) - 2) + '"'
    world.put(TABLE, longest, largest)
    assert world.get(TABLE, longest).value.json == largest
    fails("BAD_KEY", world.put, TABLE, longest + b"k", "1", metadata={"limit": 4096}, field="key")
    fails("BAD_KEY", world.put, TABLE, b"", "1", field="key")
    fails("BAD_KEY", world.get, TABLE, b"", field="key")
    fails("BAD_KEY", world.get, TABLE, longest + b"k", field="key")
    fails("BAD_KEY", world.kv.BatchGet, kv_pb2.BatchGetRequest(table=TABLE, keys=[b"a", b""]),
          metadata={"key_index": 1})
    fails("TOO_LARGE", world.put, TABLE, b"k", largest + " ", metadata={"limit": 1 << 20, "size": (1 << 20) + 1})
    world.kv.Delete(kv_pb2.DeleteRequest(table=TABLE, key=longest))


def bad_values(world):
    for text, offset in (('{"a":1,}', None), ('{"a":1,"a":2}', None), ("", 0), ("{} x", None), ("[1", None),
                         ("01", None), ('"\x01"', None)):
        metadata = {"offset": offset}
        failure = fails("BAD_JSON", world.put, TABLE, b"bad", text, metadata=metadata, field="value.json")
        assert int(failure.metadata["offset"]) <= len(text), failure.metadata
    fails("BAD_ARGUMENT", world.kv.Put, kv_pb2.PutRequest(table=TABLE, key=b"bad"), field="value")
    fails("BAD_ARGUMENT", world.kv.Put,
          kv_pb2.PutRequest(table=TABLE, key=b"bad", value=common_pb2.Value()), field="value")
    for stamp in (timestamp_pb2.Timestamp(seconds=-1), timestamp_pb2.Timestamp(seconds=5, nanos=10**9),
                  timestamp_pb2.Timestamp()):
        fails("BAD_ARGUMENT", world.put, TABLE, b"bad", "1", expire_time=stamp, field="expire_time")
    fails("KEY_NOT_FOUND", world.get, TABLE, b"bad")


def expiries_in_the_past(world):
    fails("BAD_ARGUMENT", world.put, TABLE, b"bad", "1", expire_time=timestamp(-100), field="expire_time")
    fails("KEY_NOT_FOUND", world.get, TABLE, b"bad")


def batch_get(world):
    """All at one version, in the order asked; missing keys told; 1 MiB an answer, the rest named."""
    last = world.fill(TABLE, 3)
    asked = [b"key000002", b"none", b"key000000", b"key000002"]
    got = world.kv.BatchGet(kv_pb2.BatchGetRequest(table=TABLE, keys=asked))
    check_header(world, got.header, last)
    assert [each.key for each in got.documents] == [b"key000002", b"key000000", b"key000002"], got
    assert list(got.missing_keys) == [b"none"] and not got.unread_keys and got.version >= last, got
    document = got.documents[0]
    assert document.value.json == '"x"' and document.version == last and document.HasField("commit_time"), document
    world.put(TABLE, b"key000000", "2")
    again = world.kv.BatchGet(kv_pb2.BatchGetRequest(table=TABLE, keys=asked, consistency=snapshot(got.version)))
    assert again.version == got.version and not again.unread_keys, again
    assert [(each.key, each.value, each.version) for each in again.documents] == \
        [(each.key, each.value, each.version) for each in got.documents], again
    for i in range(4):
        world.put(TABLE, b"big%d" % i, '"' + "b" * 600000 + '"')
    keys = [b"big%d" % i for i in range(4)]
    got = world.kv.BatchGet(kv_pb2.BatchGetRequest(table=TABLE, keys=keys))
    assert len(got.documents) == 1 and list(got.unread_keys) == keys[1:] and not got.missing_keys, got.unread_keys
    fails("BAD_ARGUMENT", world.kv.BatchGet, kv_pb2.BatchGetRequest(table=TABLE), field="keys")


def commit_times_stay(world):
    """The time of a commit is one time, however and whenever it is read."""
    versions, times = {}, {}
    for i in range(20):
        versions[i] = world.put(TABLE, b"time%02d" % i, "1").version
        times[i] = world.get(TABLE, b"time%02d" % i).commit_time.ToMilliseconds()
    for i, version in versions.items():
        for consistency in (common_pb2.Consistency(), snapshot(version), snapshot(versions[19])):
            again = world.get(TABLE, b"time%02d" % i, consistency=consistency).commit_time.ToMilliseconds()
            assert again == times[i], f"version {version}: {times[i]}, then {again} with {consistency}"
    listed = world.kv.ListDocuments(kv_pb2.ListDocumentsRequest(
        table=TABLE, range=common_pb2.KeyRange(prefix=b"time"))).documents
    assert [each.commit_time.ToMilliseconds() for each in listed] == list(times.values()), listed


def update(world):
    """Merge patches, expiry kept, set and cleared, and what can't be patched."""
    def patch(key, text, **more):
        return world.kv.Update(kv_pb2.UpdateRequest(table=TABLE, key=key, json_patch=text, **more))
    world.put(TABLE, b"doc", '{"a":1,"b":{"c":2,"d":3}}', expire_time=timestamp(1000))
    changed = patch(b"doc", '{"b":{"c":null},"e":[1]}')
    check_header(world, changed.header, changed.version)
    got = world.get(TABLE, b"doc")
    assert got.version == changed.version and got.HasField("expire_time"), got
    assert got.value.json.replace(" ", "") == '{"a":1,"b":{"d":3},"e":[1]}', got
    soon = timestamp(2000)
    patch(b"doc", "{}", expire_time=soon)
    assert world.get(TABLE, b"doc").expire_time == soon
    patch(b"doc", "{}", clear_expire_time=True)
    assert not world.get(TABLE, b"doc").HasField("expire_time")
    patch(b"doc", "[1]")
    assert world.get(TABLE, b"doc").value.json == "[1]"
    fails("KEY_NOT_FOUND", patch, b"nodoc", "{}")
    fails("BAD_JSON", patch, b"doc", "{", metadata={"offset": None}, field="json_patch")
    fails("BAD_ARGUMENT", patch, b"doc", "{}", clear_expire_time=False, field="clear_expire_time")
    world.put(TABLE, b"full", '{"a":"' + "x" * 600000 + '"}')
    fails("TOO_LARGE", patch, b"full", '{"b":"' + "x" * 600000 + '"}', metadata={"limit": 1 << 20})


def updates_of_raw_bytes(world):
    world.kv.Put(kv_pb2.PutRequest(table=TABLE, key=b"bytes", value=common_pb2.Value(raw=b"{}")))
    fails("BAD_ARGUMENT", world.kv.Update, kv_pb2.UpdateRequest(table=TABLE, key=b"bytes", json_patch="{}"))


def fields_compared_by_meaning(world):
    """Numbers by value, members in any order, names in backticks."""
    world.put(TABLE, b"f", '{"n":1,"s":"a\\u0062","o":{"x y":[1,{"b":2,"a":1}]},"l":[1,2]}')
    for path, text in (("n", "1.0"), ("n", "10e-1"), ("s", '"ab"'), ("l", "[1, 2.0]"), ("o.`x y`", '[1,{"b":2,"a":1}]'),
                       ("o.`x y`", '[1.00,{"a":1,"b":2}]'), ("o", '{"x y":[1,{"a":1,"b":2}]}'),
                       ("`o`.`x y`", '[1,{"b":2,"a":1}]')):
        condition = Precondition(field_equals=common_pb2.FieldEquals(path=path, json_value=text))
        try:
            world.put(TABLE, b"f", world.get(TABLE, b"f").value.json, precondition=condition)
        except grpc.RpcError as error:
            raise AssertionError(f"{path} = {text}: {error.details()}") from error
    for path, text in (("n", '"1"'), ("l", "[2,1]"), ("l", "[1]"), ("o", "{}"), ("s", '"aB"'), ("x", "null")):
        condition = Precondition(field_equals=common_pb2.FieldEquals(path=path, json_value=text))
        fails("FIELD_MISMATCH", world.put, TABLE, b"f", "1", precondition=condition)


def delete(world):
    world.put(TABLE, b"gone", "1")
    deleted = world.kv.Delete(kv_pb2.DeleteRequest(table=TABLE, key=b"gone"))
    check_header(world, deleted.header, deleted.version)
    failure = fails("KEY_NOT_FOUND", world.get, TABLE, b"gone")
    resource = failure.others["ResourceInfo"]
    assert (resource.resource_type, resource.resource_name) == ("document", "default/kv/gone"), resource
    again = world.kv.Delete(kv_pb2.DeleteRequest(table=TABLE, key=b"gone"))
    assert again.version > 0, again
    fails("KEY_NOT_FOUND", world.kv.Delete,
          kv_pb2.DeleteRequest(table=TABLE, key=b"gone", precondition=Precondition(must_exist=True)))


def preconditions(world):
    """Each kind holds and fails, for each call that takes one."""
    first = world.put(TABLE, b"p", '{"n":1,"o":{"x y":[1,{"b":2,"a":1}]}}').version

    def field(path, text):
        return Precondition(field_equals=common_pb2.FieldEquals(path=path, json_value=text))
    calls = {
        "Put": lambda key, condition: world.put(TABLE, key, '{"n":1,"o":{"x y":[1,{"b":2,"a":1}]}}',
                                                precondition=condition),
        "Update": lambda key, condition: world.kv.Update(kv_pb2.UpdateRequest(
            table=TABLE, key=key, json_patch='{"n":1}', precondition=condition)),
        "Delete": lambda key, condition: world.kv.Delete(kv_pb2.DeleteRequest(
            table=TABLE, key=key, precondition=condition)),
        "BatchWrite": lambda key, condition: world.kv.BatchWrite(kv_pb2.BatchWriteRequest(
            table=TABLE, operations=[kv_pb2.WriteOperation(
                put=kv_pb2.PutOperation(key=key, value=json_value('{"n":1,"o":{"x y":[1,{"b":2,"a":1}]}}')),
                precondition=condition)])),
    }
    for name, call in calls.items():
        current = world.get(TABLE, b"p").version
        fails("KEY_EXISTS", call, b"p", Precondition(must_not_exist=True))
        failure = fails("VERSION_MISMATCH", call, b"p", Precondition(version_equals=first + 10**6),
                        metadata={"version": current})
        subject = failure.others["PreconditionFailure"].violations[0].subject
        assert subject == "p" or name == "BatchWrite", failure.others
        fails("VERSION_MISMATCH", call, b"p", Precondition(version_equals=0), metadata={"version": current})
        fails("FIELD_MISMATCH", call, b"p", field("n", "2"), metadata={"field": "n"})
        fails("FIELD_MISMATCH", call, b"p", field("n", '"1"'))
        fails("FIELD_MISMATCH", call, b"p", field("n.m", "1"))
        fails("BAD_ARGUMENT", call, b"p", Precondition(must_exist=False), field="precondition.must_exist")
        fails("BAD_ARGUMENT", call, b"p", Precondition(must_not_exist=False), field="precondition.must_not_exist")
        fails("BAD_ARGUMENT", call, b"p", field("", "1"), field="precondition.field_equals.path")
        fails("BAD_ARGUMENT", call, b"p", field("n", ""), field="precondition.field_equals.json_value")
        fails("KEY_NOT_FOUND", call, b"nokey", Precondition(must_exist=True))
        if name != "Update":
            fails("VERSION_MISMATCH", call, b"nokey", Precondition(version_equals=5), metadata={"version": 0})
        for condition in (Precondition(), Precondition(must_exist=True), Precondition(version_equals=current),
                          field("n", "1.0")):
            if condition.WhichOneof("condition") == "version_equals":
                condition = Precondition(version_equals=world.get(TABLE, b"p").version)
            version = call(b"p", condition).version
            if name == "Delete":
                world.put(TABLE, b"p", '{"n":1,"o":{"x y":[1,{"b":2,"a":1}]}}')
            else:
                assert world.get(TABLE, b"p").version == version, name
    world.kv.Delete(kv_pb2.DeleteRequest(table=TABLE, key=b"new"))
    world.put(TABLE, b"new", "1", precondition=Precondition(must_not_exist=True))
    world.kv.Delete(kv_pb2.DeleteRequest(table=TABLE, key=b"new"))
    world.put(TABLE, b"new", "1", precondition=Precondition(version_equals=0))


def batch_write(world):
    """One commit over two tables, later operations win, and one bad operation refuses all."""
    world.table("kv2")
    world.put(TABLE, b"u", '{"a":1}')
    world.fill("kv2", 10)
    operation, put = kv_pb2.WriteOperation, kv_pb2.PutOperation
    got = world.kv.BatchWrite(kv_pb2.BatchWriteRequest(table=TABLE, operations=[
        operation(put=put(key=b"m", value=json_value("1"))),
        operation(put=put(key=b"m", value=json_value("2"), expire_time=timestamp(1000))),
        operation(update=kv_pb2.UpdateOperation(key=b"u", json_patch='{"b":2}')),
        operation(update=kv_pb2.UpdateOperation(key=b"u", json_patch='{"c":3}')),
        operation(delete=kv_pb2.DeleteOperation(key=b"raw")),
        operation(table="kv2", delete_range=kv_pb2.DeleteRangeOperation(
            range=common_pb2.KeyRange(end_key=b"key000005"))),
        operation(table="kv2", put=put(key=b"key000001", value=json_value('"back"')))]))
    check_header(world, got.header, got.version)
    assert world.get(TABLE, b"m").value.json == "2" and world.get(TABLE, b"m").HasField("expire_time")
    assert world.get(TABLE, b"u").value.json.replace(" ", "") == '{"a":1,"b":2,"c":3}'
    fails("KEY_NOT_FOUND", world.get, TABLE, b"raw")
    keys = [each.key for each in world.kv.ListDocuments(kv_pb2.ListDocumentsRequest(table="kv2")).documents]
    assert keys == [b"key000001"] + [b"key%06d" % i for i in range(5, 10)], keys
    versions = {world.get(*each).version for each in ((TABLE, b"m"), (TABLE, b"u"), ("kv2", b"key000001"))}
    assert versions == {got.version}, versions

    def batch(*operations, table=TABLE):
        return world.kv.BatchWrite(kv_pb2.BatchWriteRequest(table=table, operations=operations))
    good = operation(put=put(key=b"never", value=json_value("1")))
    fails("BAD_ARGUMENT", batch, field="operations")
    fails("BAD_ARGUMENT", batch, good, operation(), field="operation", metadata={"operation": 1})
    fails("BAD_JSON", batch, good, operation(put=put(key=b"x", value=json_value("{"))), metadata={"operation": 1})
    fails("BAD_KEY", batch, good, operation(delete=kv_pb2.DeleteOperation()), metadata={"operation": 1})
    fails("BAD_NAME", batch, operation(table="1", put=put(key=b"x", value=json_value("1"))), field="table",
          metadata={"operation": 0})
    fails("BAD_ARGUMENT", batch, good, table="", field="table")
    fails("TABLE_NOT_FOUND", batch, good, operation(table="nosuch", put=put(key=b"x", value=json_value("1"))))
    fails("BAD_ARGUMENT", batch, good, operation(
        delete_range=kv_pb2.DeleteRangeOperation(range=common_pb2.KeyRange()),
        precondition=Precondition(must_exist=True)), field="precondition")
    fails("BAD_ARGUMENT", batch, operation(delete_range=kv_pb2.DeleteRangeOperation()), field="delete_range.range")
    fails("KEY_NOT_FOUND", world.get, TABLE, b"never")
    fails("KEY_EXISTS", batch, good, operation(put=put(key=b"m", value=json_value("3")),
                                               precondition=Precondition(must_not_exist=True)))
    fails("KEY_NOT_FOUND", world.get, TABLE, b"never")


def failed_preconditions_of_a_batch_tell_which(world):
    """The position of the operation stands in the details, also where only the commit finds out."""
    world.put(TABLE, b"there", "1")
    for reason, key, condition in (("KEY_EXISTS", b"there", Precondition(must_not_exist=True)),
                                   ("KEY_NOT_FOUND", b"not there", Precondition(must_exist=True)),
                                   ("VERSION_MISMATCH", b"there", Precondition(version_equals=1))):
        operations = [kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=b"first", value=json_value("1"))),
                      kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=key, value=json_value("1")),
                                            precondition=condition)]
        fails(reason, world.kv.BatchWrite, kv_pb2.BatchWriteRequest(table=TABLE, operations=operations),
              metadata={"operation": 1})


def delete_range(world):
    world.table("kv3")
    def ranged(**bounds):
        world.fill("kv3", 10)
        got = world.kv.DeleteRange(kv_pb2.DeleteRangeRequest(table="kv3", range=common_pb2.KeyRange(**bounds)))
        check_header(world, got.header, got.version)
        return [int(each.key[3:]) for each in
                world.kv.ListDocuments(kv_pb2.ListDocumentsRequest(table="kv3")).documents]
    assert ranged(start_key=b"key000003", end_key=b"key000007") == [0, 1, 2, 7, 8, 9]
    assert ranged(start_key=b"key000003") == [0, 1, 2]
    assert ranged(end_key=b"key000003") == list(range(3, 10))
    assert ranged(prefix=b"key00000") == []
    assert ranged(prefix=b"key000004", end_key=b"key000004") == list(range(10))
    assert ranged(start_key=b"key000009", prefix=b"key") == list(range(9))
    assert ranged() == []
    fails("BAD_ARGUMENT", world.kv.DeleteRange, kv_pb2.DeleteRangeRequest(table="kv3"), field="range")
    fails("BAD_KEY", world.kv.DeleteRange,
          kv_pb2.DeleteRangeRequest(table="kv3", range=common_pb2.KeyRange(prefix=b"p" * 4097)), field="range")


def empty_range_of_no_table(world):
    empty = common_pb2.KeyRange(start_key=b"b", end_key=b"a")
    fails("TABLE_NOT_FOUND", world.kv.DeleteRange, kv_pb2.DeleteRangeRequest(table="nosuch", range=empty))


def request_ids(world):
    """The same request replays its first answer; another one under its id is refused; errors are not kept."""
    put = kv_pb2.PutRequest(table=TABLE, key=b"id", value=json_value("1"), request_id=request_id(1))
    first = world.kv.Put(put)
    world.put(TABLE, b"id", "2")
    assert world.kv.Put(put).version == first.version, "a replay has another version"
    assert world.get(TABLE, b"id").value.json == "2", "a replay wrote again"
    put.value.json = "3"
    fails("REQUEST_ID_REUSED", world.kv.Put, put, field="request_id")
    fails("REQUEST_ID_REUSED", world.kv.Delete,
          kv_pb2.DeleteRequest(table=TABLE, key=b"id", request_id=request_id(1)), field="request_id")
    guarded = kv_pb2.PutRequest(table=TABLE, key=b"id2", value=json_value("1"), request_id=request_id(2),
                                precondition=Precondition(must_exist=True))
    fails("KEY_NOT_FOUND", world.kv.Put, guarded)
    world.put(TABLE, b"id2", "0")
    assert world.kv.Put(guarded).version == world.get(TABLE, b"id2").version, "an error was kept"
    once = kv_pb2.PutRequest(table=TABLE, key=b"once", value=json_value("1"), request_id=request_id(3),
                             precondition=Precondition(must_not_exist=True))
    first = world.kv.Put(once)
    world.server.kill()
    world.start()
    assert world.kv.Put(once).version == first.version, "a crash forgot a request id"


def expiry(world):
    """An expired document is not there for any call, and comes back for none."""
    world.table("ttl")
    ends = timestamp(1.5)
    world.put("ttl", b"short", "1", expire_time=ends)
    got = world.get("ttl", b"short")
    assert got.expire_time == ends, got
    world.put("ttl", b"long", "1", expire_time=timestamp(1000))
    until(lambda: time.time() * 1000 > ends.ToMilliseconds() + 50, "time passes")
    fails("KEY_NOT_FOUND", world.get, "ttl", b"short")
    assert [each.key for each in world.kv.ListDocuments(
        kv_pb2.ListDocumentsRequest(table="ttl")).documents] == [b"long"]
    fails("KEY_NOT_FOUND", world.kv.Update, kv_pb2.UpdateRequest(table="ttl", key=b"short", json_patch="{}"))
    world.put("ttl", b"short", "2", precondition=Precondition(must_not_exist=True))
    assert world.get("ttl", b"short").value.json == "2"


def expiry_at_one_version(world):
    """What has expired is in no batch and not counted, although nothing was committed since."""
    world.table("ttl2")
    ends = timestamp(0.5)
    world.put("ttl2", b"short", "1", expire_time=ends)
    until(lambda: time.time() * 1000 > ends.ToMilliseconds() + 50, "time passes")
    assert not world.kv.ListDocuments(kv_pb2.ListDocumentsRequest(table="ttl2")).documents
    assert world.query.Count(query_pb2.CountRequest(table="ttl2")).count == 0
    got = world.kv.BatchGet(kv_pb2.BatchGetRequest(table="ttl2", keys=[b"short"]))
    assert list(got.missing_keys) == [b"short"], got


CASES = [put_and_get, sizes, bad_values, expiries_in_the_past, batch_get, commit_times_stay, update, updates_of_raw_bytes,
         fields_compared_by_meaning, delete, preconditions, batch_write,
         failed_preconditions_of_a_batch_tell_which, delete_range, empty_range_of_no_table, request_ids, expiry,
         expiry_at_one_version]
