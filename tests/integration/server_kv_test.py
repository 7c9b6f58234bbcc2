#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""KvService, TableService and QueryService through a real client."""
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from server_harness import *  # noqa: E402,F403

from google.protobuf.duration_pb2 import Duration  # noqa: E402
from google.protobuf.timestamp_pb2 import Timestamp  # noqa: E402

Put, Get, Delete = kv_pb2.PutRequest, kv_pb2.GetRequest, kv_pb2.DeleteRequest
Precondition, Consistency = common_pb2.Precondition, common_pb2.Consistency


def test_a_document_comes_back_as_it_was(server):
    made = server.make_table()
    assert made.info.table == "t" and made.info.database == "default" and made.version > 0
    text = '{"b": 1.0, "a" : [true,null, "\\u00e4"]}'
    put = server.put(b"k", json=text)
    got = server.get(b"k")
    assert got.value.json == text and got.version == put.version and got.key == b"k"
    assert not got.HasField("expire_time") and got.HasField("commit_time")
    assert len(got.header.store_id) == 16 and len(got.header.history_id) == 16
    assert got.header.version >= put.version and got.header.stable_version >= put.version
    assert got.header.node and got.header.term >= 1
    server.put(b"k", raw=b"\x00\xff")
    assert server.get(b"k").value.raw == b"\x00\xff"
    server.put(b"k", raw=b"")
    assert server.get(b"k").value.WhichOneof("kind") == "raw" and server.get(b"k").value.raw == b""


def test_missing_things_are_named(server):
    server.make_table()
    gone = fails(lambda: server.get(b"k"), Code.NOT_FOUND, "KEY_NOT_FOUND")
    assert gone.details["ResourceInfo"].resource_name == "default/t/k"
    assert gone.details["ResourceInfo"].resource_type == "document"
    gone = fails(lambda: server.get(b"k", table="none"), Code.NOT_FOUND, "TABLE_NOT_FOUND")
    assert gone.details["ResourceInfo"].resource_name == "default/none"
    fails(lambda: server.get(b"k", database="none"), Code.NOT_FOUND, "DATABASE_NOT_FOUND")
    fails(lambda: server.get(b"k", transaction=b"x" * 16), Code.NOT_FOUND, "TXN_NOT_FOUND")
    fails(lambda: server.get(b"k", transaction=b"x"), Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    fails(server.make_table, Code.ALREADY_EXISTS, "TABLE_EXISTS")


def test_bad_requests_are_refused(server):
    server.make_table()
    value = common_pb2.Value(json="1")
    for name in ("", "1x", "a b", "x" * 129, "a\0b", "ä"):
        bad = fails(lambda n=name: server.kv.Get(Get(table=n, key=b"k"), timeout=30), Code.INVALID_ARGUMENT, "BAD_NAME")
        assert bad.details["BadRequest"].field_violations[0].field == "table"
    fails(lambda: server.get(b""), Code.INVALID_ARGUMENT, "BAD_KEY")
    fails(lambda: server.get(b"x" * 4097), Code.INVALID_ARGUMENT, "BAD_KEY")
    fails(lambda: server.put(b"", json="1"), Code.INVALID_ARGUMENT, "BAD_KEY")
    for text in ("{", "{} x", '{"a":1,"a":2}', "\0", ""):
        bad = fails(lambda t=text: server.put(b"k", json=t), Code.INVALID_ARGUMENT, "BAD_JSON")
        assert "offset" in bad.metadata
    fails(lambda: server.kv.Put(Put(table="t", key=b"k"), timeout=30), Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    fails(lambda: server.put(b"k", json="1", request_id=b"short"), Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    fails(lambda: server.put(b"k", json="1", durability=77), Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    fails(lambda: server.put(b"k", json="1", precondition=Precondition(must_exist=False)),
          Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    past = Timestamp(seconds=1)
    fails(lambda: server.kv.Put(Put(table="t", key=b"k", value=value, expire_time=past), timeout=30),
          Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    large = fails(lambda: server.put(b"k", raw=b"x" * ((1 << 20) + 1)), Code.INVALID_ARGUMENT, "TOO_LARGE")
    assert large.metadata["limit"] and large.metadata["size"]
    server.put(b"k", raw=b"x" * (1 << 20))
    assert len(server.get(b"k").value.raw) == 1 << 20
    fails(lambda: server.put(b"k", raw=b"x" * (5 << 20)), Code.RESOURCE_EXHAUSTED)


def test_malformed_messages_are_bad_messages(server):
    def send(bytes_):
        call = server.channel.unary_unary("/polarys.v1.KvService/Get", lambda x: x, lambda x: x)
        return call(bytes_, timeout=30)
    fails(lambda: send(b"\xff\xff"), Code.INVALID_ARGUMENT, "BAD_MESSAGE")
    blown = server.channel.unary_unary("/polarys.v1.KvService/BatchWrite", lambda x: x, lambda x: x)
    fails(lambda: blown(b"\x1a\x00" * 100000, timeout=30), Code.INVALID_ARGUMENT, "BAD_MESSAGE")


def test_preconditions_hold_or_stop_the_write(server):
    server.make_table()
    first = server.put(b"k", json='{"n": 1}', precondition=Precondition(must_not_exist=True))
    fails(lambda: server.put(b"k", json="2", precondition=Precondition(must_not_exist=True)),
          Code.ALREADY_EXISTS, "KEY_EXISTS")
    wrong = fails(lambda: server.put(b"k", json="2", precondition=Precondition(version_equals=first.version + 9)),
                  Code.ABORTED, "VERSION_MISMATCH")
    assert wrong.metadata["version"] == str(first.version)
    fails(lambda: server.put(b"x", json="2", precondition=Precondition(must_exist=True)),
          Code.NOT_FOUND, "KEY_NOT_FOUND")
    equals = common_pb2.FieldEquals(path="n", json_value="1.0")
    server.put(b"k", json='{"n": 2}', precondition=Precondition(field_equals=equals))
    fails(lambda: server.put(b"k", json="3", precondition=Precondition(field_equals=equals)),
          Code.FAILED_PRECONDITION, "FIELD_MISMATCH")
    assert server.get(b"k").value.json == '{"n": 2}'


def test_updates_merge(server):
    server.make_table()
    server.put(b"k", json='{"a": 1, "b": {"c": 2}}')
    server.kv.Update(kv_pb2.UpdateRequest(table="t", key=b"k", json_patch='{"a": null, "b": {"d": 3}}'), timeout=30)
    import json
    assert json.loads(server.get(b"k").value.json) == {"b": {"c": 2, "d": 3}}
    fails(lambda: server.kv.Update(kv_pb2.UpdateRequest(table="t", key=b"none", json_patch="{}"), timeout=30),
          Code.NOT_FOUND, "KEY_NOT_FOUND")
    fails(lambda: server.kv.Update(kv_pb2.UpdateRequest(table="t", key=b"k", json_patch="{"), timeout=30),
          Code.INVALID_ARGUMENT, "BAD_JSON")
    server.put(b"r", raw=b"x")
    fails(lambda: server.kv.Update(kv_pb2.UpdateRequest(table="t", key=b"r", json_patch="{}"), timeout=30),
          Code.INVALID_ARGUMENT, "BAD_ARGUMENT")


def test_expiry_is_kept_changed_and_cleared(server):
    server.make_table()
    when = Timestamp(seconds=int(time.time()) + 3600, nanos=123456789)
    server.kv.Put(Put(table="t", key=b"k", value=common_pb2.Value(json="{}"), expire_time=when), timeout=30)
    got = server.get(b"k").expire_time
    assert (got.seconds, got.nanos) == (when.seconds, 123000000)
    server.kv.Update(kv_pb2.UpdateRequest(table="t", key=b"k", json_patch='{"a":1}'), timeout=30)
    assert server.get(b"k").expire_time == got
    server.kv.Update(kv_pb2.UpdateRequest(table="t", key=b"k", json_patch='{"a":2}', clear_expire_time=True), timeout=30)
    assert not server.get(b"k").HasField("expire_time")


def test_deletes(server):
    server.make_table()
    server.fill(20)
    server.kv.Delete(Delete(table="t", key=b"key-000003"), timeout=30)
    server.kv.Delete(Delete(table="t", key=b"never there"), timeout=30)
    fails(lambda: server.get(b"key-000003"), Code.NOT_FOUND, "KEY_NOT_FOUND")
    ranges = common_pb2.KeyRange(start_key=b"key-000005", end_key=b"key-000015")
    server.kv.DeleteRange(kv_pb2.DeleteRangeRequest(table="t", range=ranges), timeout=30)
    assert server.query.Count(query_pb2.CountRequest(table="t"), timeout=30).count == 9
    fails(lambda: server.kv.DeleteRange(kv_pb2.DeleteRangeRequest(table="t"), timeout=30),
          Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    nothing = common_pb2.KeyRange(start_key=b"b", end_key=b"a")
    server.kv.DeleteRange(kv_pb2.DeleteRangeRequest(table="t", range=nothing), timeout=30)
    server.kv.DeleteRange(kv_pb2.DeleteRangeRequest(table="t", range=common_pb2.KeyRange()), timeout=30)
    assert server.query.Count(query_pb2.CountRequest(table="t"), timeout=30).count == 0


def test_a_batch_is_all_or_nothing(server):
    server.make_table("a")
    server.make_table("b")
    put = kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=b"k", value=common_pb2.Value(json="1")))
    other = kv_pb2.WriteOperation(table="b", put=kv_pb2.PutOperation(key=b"k", value=common_pb2.Value(json="2")))
    done = server.kv.BatchWrite(kv_pb2.BatchWriteRequest(table="a", operations=[put, other]), timeout=30)
    assert server.get(b"k", table="a").version == server.get(b"k", table="b").version == done.version
    bad = kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=b"n", value=common_pb2.Value(json="{")))
    ok = kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=b"m", value=common_pb2.Value(json="1")))
    failed = fails(lambda: server.kv.BatchWrite(kv_pb2.BatchWriteRequest(table="a", operations=[ok, bad]), timeout=30),
                   Code.INVALID_ARGUMENT, "BAD_JSON")
    assert failed.metadata["operation"] == "1"
    fails(lambda: server.get(b"m", table="a"), Code.NOT_FOUND, "KEY_NOT_FOUND")
    fails(lambda: server.kv.BatchWrite(kv_pb2.BatchWriteRequest(table="a"), timeout=30),
          Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    fails(lambda: server.kv.BatchWrite(kv_pb2.BatchWriteRequest(operations=[ok]), timeout=30),
          Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    guarded = kv_pb2.WriteOperation(precondition=Precondition(must_exist=True), put=kv_pb2.PutOperation(
        key=b"none", value=common_pb2.Value(json="1")))
    fails(lambda: server.kv.BatchWrite(kv_pb2.BatchWriteRequest(table="a", operations=[ok, guarded]), timeout=30),
          Code.NOT_FOUND, "KEY_NOT_FOUND")


def test_the_same_request_id_is_answered_once(server):
    server.make_table()
    first = server.put(b"k", json="1", request_id=b"0123456789abcdef")
    server.put(b"k", json="2")
    assert server.put(b"k", json="1", request_id=b"0123456789abcdef").version == first.version
    assert server.get(b"k").value.json == "2"
    fails(lambda: server.put(b"k", json="3", request_id=b"0123456789abcdef"),
          Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


def test_batch_get_reads_one_version(server):
    server.make_table()
    server.fill(10)
    keys = [b"key-000001", b"none", b"key-000002", b"key-000001"]
    got = server.kv.BatchGet(kv_pb2.BatchGetRequest(table="t", keys=keys), timeout=30)
    assert [d.key for d in got.documents] == [keys[0], keys[2], keys[3]]
    assert list(got.missing_keys) == [b"none"] and not got.unread_keys and got.version > 0
    fails(lambda: server.kv.BatchGet(kv_pb2.BatchGetRequest(table="t"), timeout=30),
          Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    fails(lambda: server.kv.BatchGet(kv_pb2.BatchGetRequest(table="t", keys=[b"a"] * 10001), timeout=30),
          Code.INVALID_ARGUMENT, "TOO_LARGE")
    for i in range(4):
        server.put(b"big%d" % i, raw=b"x" * 400000)
    got = server.kv.BatchGet(kv_pb2.BatchGetRequest(table="t", keys=[b"big%d" % i for i in range(4)]), timeout=30)
    assert len(got.documents) == 2 and list(got.unread_keys) == [b"big2", b"big3"]


def pages(server, **request):
    documents, token, count = [], "", 0
    while True:
        page = server.kv.ListDocuments(kv_pb2.ListDocumentsRequest(table="t", page_token=token, **request), timeout=30)
        documents += page.documents
        token, count = page.next_page_token, count + 1
        if not token:
            return documents, count


def test_lists_go_page_by_page_at_one_version(server):
    server.make_table()
    server.fill(250)
    documents, count = pages(server, page_size=100)
    assert [d.key for d in documents] == [b"key-%06d" % i for i in range(250)] and count == 3
    documents, count = pages(server, page_size=125, reverse=True, keys_only=True)
    assert [d.key for d in documents] == [b"key-%06d" % i for i in reversed(range(250))] and count == 2
    assert not any(d.HasField("value") for d in documents)
    first = server.kv.ListDocuments(kv_pb2.ListDocumentsRequest(table="t", page_size=10), timeout=30)
    server.put(b"key-000010x", json="1")
    second = server.kv.ListDocuments(kv_pb2.ListDocumentsRequest(
        table="t", page_size=10, page_token=first.next_page_token), timeout=30)
    assert second.version == first.version and second.documents[1].key == b"key-000011"
    fails(lambda: server.kv.ListDocuments(kv_pb2.ListDocumentsRequest(
        table="t", reverse=True, page_token=first.next_page_token), timeout=30), Code.INVALID_ARGUMENT, "BAD_PAGE_TOKEN")
    fails(lambda: server.kv.ListDocuments(kv_pb2.ListDocumentsRequest(table="t", page_token="zz"), timeout=30),
          Code.INVALID_ARGUMENT, "BAD_PAGE_TOKEN")


def scan(server, **request):
    documents, last, first = [], None, None
    for message in server.kv.Scan(kv_pb2.ScanRequest(table="t", **request), timeout=30):
        first = first or message
        assert last is None or last.end_reason == 0, "a message after the last"
        documents += message.documents
        last = message
    return documents, first, last


def test_scans_keep_order_limits_and_resume(server):
    server.make_table()
    server.fill(5000, size=500)
    for _ in range(2):  # from memory, then from files
        documents, first, last = scan(server)
        assert [d.key for d in documents] == [b"key-%06d" % i for i in range(5000)]
        assert all(d.value.raw[:6] == d.key[4:] for d in documents)
        assert first.version and first.header.store_id and last.end_reason == kv_pb2.SCAN_END_REASON_END_OF_RANGE
        assert not last.resume_token
        server.admin.Flush(admin_pb2.FlushRequest(), timeout=30)
        server.stop()
        server.start()
    everything, token = [], b""
    while True:
        documents, _, last = scan(server, limit=1300, resume_token=token, reverse=True, keys_only=True)
        everything += documents
        token = last.resume_token
        if last.end_reason == kv_pb2.SCAN_END_REASON_END_OF_RANGE:
            break
        assert last.end_reason == kv_pb2.SCAN_END_REASON_LIMIT_REACHED and len(documents) == 1300
    assert [d.key for d in everything] == [b"key-%06d" % i for i in reversed(range(5000))]
    documents, _, last = scan(server, max_bytes=5200)
    assert last.end_reason == kv_pb2.SCAN_END_REASON_BYTES_REACHED and len(documents) == 10
    documents, _, last = scan(server, max_bytes=1)
    assert len(documents) == 1
    documents, _, _ = scan(server, range=common_pb2.KeyRange(prefix=b"key-0001", start_key=b"key-000150"))
    assert len(documents) == 50
    documents, _, last = scan(server, max_time=Duration(nanos=0))
    assert last.end_reason == kv_pb2.SCAN_END_REASON_TIME_REACHED and last.resume_token
    fails(lambda: server.kv.Scan(kv_pb2.ScanRequest(table="t", resume_token=token + b"x"), timeout=30),
          Code.INVALID_ARGUMENT, "BAD_PAGE_TOKEN") if token else None


def test_a_large_document_goes_alone(server):
    server.make_table()
    for i in range(3):
        server.put(b"k%d" % i, raw=b"x" * (1 << 20))
    sizes = [len(m.documents) for m in server.kv.Scan(kv_pb2.ScanRequest(table="t"), timeout=10)]
    assert sum(sizes) == 3 and max(sizes) == 1


def test_a_scan_that_is_not_read_holds_little(server):
    server.make_table()
    server.fill(20000, size=2000)
    before = memory(server)
    calls = [server.kv.Scan(kv_pb2.ScanRequest(table="t"), timeout=60) for _ in range(20)]
    for call in calls:
        next(call)
    time.sleep(1)
    grown = memory(server) - before
    assert grown < 60 << 20, f"{grown >> 20} MiB more for 20 readers that do not read"
    for call in calls:
        call.cancel()
    deadline = time.monotonic() + SOON_SECONDS
    while active(server, "Scan") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert active(server, "Scan") == 0, "a cancelled scan is still there"


def memory(server):
    page = server.http("/metrics")[1]
    return next(int(line.split()[1]) for line in page.splitlines() if line.startswith("process_resident_memory_bytes"))


def active(server, method):
    status = server.admin.GetStatus(admin_pb2.GetStatusRequest(), timeout=30)
    return sum(call.active for call in status.calls if call.method.endswith("/" + method))


def test_consistency_levels(server):
    server.make_table()
    first = server.put(b"k", json="1")
    second = server.put(b"k", json="2")

    def read(**level):
        return server.get(b"k", consistency=Consistency(**level)).value.json
    assert read(strong=True) == read(local=True) == read(stable=True) == "2"
    assert read(snapshot=first.version) == "1" and read(snapshot=second.version) == "2"
    assert read(max_staleness=Duration(seconds=1)) == "2"
    assert read(at_least=second.header.token) == "2"
    future = fails(lambda: read(snapshot=second.version + 100), Code.OUT_OF_RANGE, "FUTURE_VERSION")
    assert future.metadata["version"] == str(second.version)
    fails(lambda: read(strong=False), Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    fails(lambda: read(at_least=b"nonsense"), Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    other = Server()
    try:
        other.make_table()
        token = other.put(b"k", json="1").header.token
        fails(lambda: read(at_least=token), Code.FAILED_PRECONDITION, "HISTORY_DIVERGED")
    finally:
        other.remove()


def test_a_token_of_the_future_waits_until_the_deadline(server):
    server.make_table()
    token = bytearray(server.put(b"k", json="1").header.token)
    version = int.from_bytes(token[17:25], "little") + 1
    token[17:25] = version.to_bytes(8, "little")
    total = 0x5A
    for byte in token[:25]:
        total = (total * 31 + byte) & 0xFF
    token[25] = total
    begun = time.monotonic()
    behind = fails(lambda: server.kv.Get(Get(table="t", key=b"k", consistency=Consistency(at_least=bytes(token))),
                                         timeout=1), Code.UNAVAILABLE, "REPLICA_BEHIND")
    assert 0.8 < time.monotonic() - begun < 1.0 and "RetryInfo" in behind.details
    threading.Timer(0.3, lambda: server.put(b"k", json="2")).start()
    got = server.kv.Get(Get(table="t", key=b"k", consistency=Consistency(at_least=bytes(token))), timeout=30)
    assert got.value.json == "2"


def test_databases_and_tables_come_and_go(server):
    database = table_pb2.CreateDatabaseRequest(database="shop")
    assert server.tables.CreateDatabase(database, timeout=30).info.database == "shop"
    fails(lambda: server.tables.CreateDatabase(database, timeout=30), Code.ALREADY_EXISTS, "DATABASE_EXISTS")
    fails(lambda: server.tables.CreateDatabase(table_pb2.CreateDatabaseRequest(), timeout=30),
          Code.INVALID_ARGUMENT, "BAD_NAME")
    for i in range(25):
        server.tables.CreateTable(table_pb2.CreateTableRequest(database="shop", table=f"t{i:02}"), timeout=30)
    names, token = [], ""
    while True:
        page = server.tables.ListTables(table_pb2.ListTablesRequest(database="shop", page_size=10, page_token=token),
                                        timeout=30)
        names += [info.table for info in page.tables]
        token = page.next_page_token
        if not token:
            break
    assert names == [f"t{i:02}" for i in range(25)]
    listed = server.tables.ListDatabases(table_pb2.ListDatabasesRequest(), timeout=30)
    assert [info.database for info in listed.databases] == ["default", "shop"]
    info = server.tables.GetTable(table_pb2.GetTableRequest(database="shop", table="t03"), timeout=30).info
    assert info.database == "shop" and info.table_id and info.create_version and info.HasField("create_time")
    server.kv.Put(Put(database="shop", table="t03", key=b"k", value=common_pb2.Value(json="1")), timeout=30)
    server.tables.TruncateTable(table_pb2.TruncateTableRequest(database="shop", table="t03"), timeout=30)
    fails(lambda: server.get(b"k", table="t03", database="shop"), Code.NOT_FOUND, "KEY_NOT_FOUND")
    server.tables.DropTable(table_pb2.DropTableRequest(database="shop", table="t03"), timeout=30)
    fails(lambda: server.get(b"k", table="t03", database="shop"), Code.NOT_FOUND, "TABLE_NOT_FOUND")
    server.tables.DropDatabase(table_pb2.DropDatabaseRequest(database="shop"), timeout=30)
    fails(lambda: server.get(b"k", table="t01", database="shop"), Code.NOT_FOUND, "DATABASE_NOT_FOUND")
    fails(lambda: server.tables.DropDatabase(table_pb2.DropDatabaseRequest(database="default"), timeout=30),
          Code.INVALID_ARGUMENT, "BAD_ARGUMENT")


def test_counts(server):
    server.make_table()
    server.fill(1234)
    counted = server.query.Count(query_pb2.CountRequest(table="t"), timeout=10)
    assert counted.count == 1234 and counted.version
    before = counted.version
    server.kv.Delete(Delete(table="t", key=b"key-000000"), timeout=30)
    assert server.query.Count(query_pb2.CountRequest(table="t"), timeout=10).count == 1233
    old = query_pb2.CountRequest(table="t", consistency=Consistency(snapshot=before))
    assert server.query.Count(old, timeout=10).count == 1234


def test_many_clients_at_once(server):
    server.make_table()
    errors = []

    def work(number):
        try:
            channel = server.new_channel()
            kv = kv_pb2_grpc.KvServiceStub(channel)
            for i in range(100):
                key = b"%d-%d" % (number, i)
                kv.Put(Put(table="t", key=key, value=common_pb2.Value(raw=key)), timeout=20)
                assert kv.Get(Get(table="t", key=key), timeout=20).value.raw == key
        except Exception as error:  # told by the main thread
            errors.append(error)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]
    assert server.query.Count(query_pb2.CountRequest(table="t"), timeout=10).count == 1600


main(globals())
