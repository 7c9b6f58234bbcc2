# SPDX-License-Identifier: Apache-2.0
"""Query, Count with a filter, and Explain: filters, orders, masks, limits, cursors, and what is refused."""
import json

import grpc

from polarys.v1 import admin_pb2, common_pb2, kv_pb2, query_pb2, table_pb2

from world import check_header, fails, json_value, snapshot, timestamp, until

TABLE = "persons"
COUNT = 300
CITIES = ("Oslo", "Bergen", "Troms\u00f8")


def person(i):
    return {"name": f"p{i:04d}", "age": i % 50, "city": CITIES[i % 3], "address": {"zip": i * 7}, "tags": [f"t{i % 5}"]}


def setup(world):
    world.table(TABLE)
    operations = [kv_pb2.WriteOperation(put=kv_pb2.PutOperation(
        key=b"p%04d" % i, value=json_value(json.dumps(person(i))))) for i in range(COUNT)]
    world.kv.BatchWrite(kv_pb2.BatchWriteRequest(table=TABLE, operations=operations))
    world.kv.Put(kv_pb2.PutRequest(table=TABLE, key=b"raw", value=common_pb2.Value(raw=b"\0bytes")))


def frames(world, **fields):
    """The messages of a query, each checked against what holds of all."""
    messages = list(world.query.Query(query_pb2.QueryRequest(**{"table": TABLE, **fields})))
    assert messages, "a query without a message"
    check_header(world, messages[0].header)
    assert messages[0].version > 0, messages[0]
    for message in messages[1:]:
        assert not message.HasField("header") and not message.version, "header and version in a later message"
    for message in messages[:-1]:
        assert message.documents and message.cursor and not message.end_reason, message
        size = sum(len(each.key) + len(each.value.json) for each in message.documents[:-1])
        assert size <= 256 << 10, size
    assert messages[-1].end_reason, messages[-1]
    return messages


def ask(world, **fields):
    """(documents, last message)."""
    messages = frames(world, **fields)
    return [each for message in messages for each in message.documents], messages[-1]


def people(documents):
    return [json.loads(each.value.json) for each in documents]


def filters(world):
    """What a filter means, against the same question asked in Python."""
    cases = [("age >= 40", lambda d: d["age"] >= 40),
             ("age >= 10 AND city = \"Oslo\"", lambda d: d["age"] >= 10 and d["city"] == "Oslo"),
             ("city = \"Troms\u00f8\" OR age = 3", lambda d: d["city"] == "Troms\u00f8" or d["age"] == 3),
             ("address.zip < 70", lambda d: d["address"]["zip"] < 70),
             ("NOT age > 5", lambda d: not d["age"] > 5),
             ("name = \"p0007\"", lambda d: d["name"] == "p0007"),
             ("age = \"7\"", lambda d: False)]
    for text, holds in cases:
        documents, last = ask(world, filter=text)
        found = sorted(each.key for each in documents)
        expected = [b"p%04d" % i for i in range(COUNT) if holds(person(i))]
        if text.startswith("NOT"):
            found = [each for each in found if each != b"raw"]  # which has no age either way
        assert found == expected, f"{text}: {len(found)} instead of {len(expected)}"
        assert last.end_reason == query_pb2.QUERY_END_REASON_END_OF_RESULTS and not last.cursor, last
        if not text.startswith("NOT"):
            counted = world.query.Count(query_pb2.CountRequest(table=TABLE, filter=text))
            check_header(world, counted.header)
            assert counted.count == len(expected) and counted.version > 0, counted
    documents, _ = ask(world)
    assert len(documents) == COUNT + 1
    raw = [each for each in documents if each.key == b"raw"]
    assert raw[0].value.raw == b"\0bytes" and raw[0].HasField("commit_time") and raw[0].version > 0, raw


def orders(world):
    documents, _ = ask(world, filter="age < 3", order_by="age desc, name")
    expected = sorted((person(i) for i in range(COUNT) if person(i)["age"] < 3), key=lambda d: (-d["age"], d["name"]))
    assert people(documents) == expected, people(documents)[:5]
    documents, last = ask(world, filter="age < 3", order_by="age desc, name", limit=5)
    assert people(documents) == expected[:5], documents
    assert last.end_reason == query_pb2.QUERY_END_REASON_LIMIT_REACHED and last.cursor, last
    fails("BAD_ARGUMENT", world.query.Query, query_pb2.QueryRequest(table=TABLE, order_by="age sideways"),
          field="order_by")
    fails("BAD_ARGUMENT", world.query.Query,
          query_pb2.QueryRequest(table=TABLE, order_by=", ".join(f"f{i}" for i in range(9))), field="order_by")


def masks(world):
    documents, _ = ask(world, filter="age = 7", read_mask=["name", "address.zip", "missing"])
    assert people(documents) == [{"name": each["name"], "address": each["address"]}
                                 for each in map(person, range(COUNT)) if each["age"] == 7], people(documents)
    for mask in (["a b c"], [""], ["a\0b"], ["x" * 1025], ["`"], ["f"] * 257):
        fails("BAD_ARGUMENT", world.query.Query, query_pb2.QueryRequest(table=TABLE, read_mask=mask),
              field="read_mask")


def cursors(world):
    """Page by page the same documents as at once, at one version, whatever is written meanwhile."""
    for order in ("", "city, age desc"):
        whole, _ = ask(world, filter="age > 1", order_by=order)
        expected = [each.key for each in whole]
        got, cursor, version = [], b"", None
        for page in range(COUNT):
            documents, last = ask(world, filter="age > 1", order_by=order, limit=37, cursor=cursor)
            got += [each.key for each in documents]
            world.put(TABLE, b"new%d%s" % (page, order[:1].encode()), '{"age": 30, "city": "A", "late": true}')
            if not last.cursor:
                break
            cursor = last.cursor
        assert got == expected, (order, len(got), len(expected))
        assert version is None or version, version
    documents, last = ask(world, filter="age > 1", limit=3)
    for change in ({"filter": "age > 2"}, {"order_by": "name"}, {"table": "other"}):
        if "table" in change:
            world.table("other")
        fails("BAD_PAGE_TOKEN", world.query.Query,
              query_pb2.QueryRequest(**{"table": TABLE, "filter": "age > 1", "cursor": last.cursor, **change}),
              field="cursor")
    for wrong in (b"x", last.cursor[:-1], last.cursor + b"x", last.cursor[:-1] + bytes([last.cursor[-1] ^ 1])):
        fails("BAD_PAGE_TOKEN", world.query.Query,
              query_pb2.QueryRequest(table=TABLE, filter="age > 1", cursor=wrong), field="cursor")
    for each in world.kv.ListDocuments(kv_pb2.ListDocumentsRequest(
            table=TABLE, range=common_pb2.KeyRange(prefix=b"new"), page_size=1000)).documents:
        world.kv.Delete(kv_pb2.DeleteRequest(table=TABLE, key=each.key))


def large_answers(world):
    """Messages stay within their bound, one larger document goes alone, and each cursor goes on behind its message."""
    world.table("query_large")
    sizes = [900_000, 100, 500_000, 600_000, 50, 1_000_000, 200_000, 200_000, 200_000, 10]
    for i, size in enumerate(sizes):
        world.put("query_large", b"d%02d" % i, json.dumps({"n": i, "text": "x" * size}))
    messages = frames(world, table="query_large")
    documents = [each for message in messages for each in message.documents]
    assert [len(json.loads(each.value.json)["text"]) for each in documents] == sizes
    assert len(messages) > 4, len(messages)
    seen = 0
    for message in messages[:-1]:
        seen += len(message.documents)
        rest, _ = ask(world, table="query_large", cursor=message.cursor)
        assert [each.key for each in rest] == [each.key for each in documents[seen:]], seen
    world.tables.DropTable(table_pb2.DropTableRequest(table="query_large"))


def snapshots(world):
    version = world.put(TABLE, b"snap", '{"age": 99}').version
    world.put(TABLE, b"snap", '{"age": 98}')
    documents, _ = ask(world, filter="age >= 98", consistency=snapshot(version))
    assert people(documents) == [{"age": 99}], documents
    assert frames(world, filter="age >= 98", consistency=snapshot(version))[0].version == version
    count = query_pb2.CountRequest(table=TABLE, filter="age = 98", consistency=snapshot(version))
    assert world.query.Count(count).count == 0
    fails("FUTURE_VERSION", world.query.Query,
          query_pb2.QueryRequest(table=TABLE, consistency=snapshot(version + 10**9)))
    world.kv.Delete(kv_pb2.DeleteRequest(table=TABLE, key=b"snap"))


def bad_filters(world):
    """Where the text goes wrong, in every call that takes a filter."""
    for text, position in (("age >", 5), ("age > > 5", 6), ("age = 1 AND", 11), ("(age = 1", 8), ("age = \"open", None),
                           ("= 1", 0), ("\x00", None), ("a" * 70000 + " = 1", None),
                           ("(" * 200 + "a = 1" + ")" * 200, None), (" OR ".join(["a = 1"] * 1100), None)):
        for call, request in ((world.query.Query, query_pb2.QueryRequest),
                              (world.query.Count, query_pb2.CountRequest),
                              (world.query.Explain, query_pb2.ExplainRequest)):
            if text == "\x00" or len(text) > 2000 or text.startswith("(("):
                failure = fails("BAD_FILTER", call, request(table=TABLE, filter=text), field="filter")
            else:
                failure = fails("BAD_FILTER", call, request(table=TABLE, filter=text), field="filter",
                                metadata={"position": position, "expected": None})
                assert failure.metadata["expected"], failure.metadata


def explains(world):
    """A plan with its estimates, and with what came of it when it was run."""
    request = query_pb2.ExplainRequest(table=TABLE, filter="age = 7 AND city = \"Oslo\"", order_by="name", limit=3)
    planned = world.query.Explain(request)
    check_header(world, planned.header)
    assert planned.steps and planned.steps[0].depth == 0 and not planned.was_run, planned
    assert {each.operation for each in planned.steps} & {"table_scan", "index_scan"}, planned
    assert not planned.actual_rows and not planned.HasField("actual_time"), planned
    assert not any(each.HasField("actual_time") for each in planned.steps), planned
    request.run = True
    run = world.query.Explain(request)
    expected = min(3, sum(1 for i in range(COUNT) if person(i)["age"] == 7 and person(i)["city"] == "Oslo"))
    assert run.was_run and run.actual_rows == expected and run.HasField("actual_time"), run
    assert run.steps[0].actual_rows == expected, run
    fails("BAD_ARGUMENT", world.query.Explain, query_pb2.ExplainRequest(table=TABLE, read_mask=[""]),
          field="read_mask")
    fails("BAD_ARGUMENT", world.query.Explain, query_pb2.ExplainRequest(table=TABLE, order_by="a b c"),
          field="order_by")


def expired_documents(world):
    """What has expired is in no answer."""
    world.table("mayflies")
    world.put("mayflies", b"a", '{"n": 1}', expire_time=timestamp(1))
    world.put("mayflies", b"b", '{"n": 2}')
    until(lambda: len(ask(world, table="mayflies")[0]) == 1, "a document expires in queries")
    assert world.query.Count(query_pb2.CountRequest(table="mayflies", filter="n > 0")).count == 1


def cancelled_and_late(world):
    """A query that is given up frees its call; one whose time is over can be gone on from."""
    world.table("query_many")
    world.fill("query_many", 60000, text='{"pad": "' + "p" * 100 + '"}')
    stream = world.query.Query(query_pb2.QueryRequest(table="query_many"))
    next(stream)
    stream.cancel()
    until(lambda: all(each.active == 0 for each in world.admin.GetStatus(
        admin_pb2.GetStatusRequest()).calls
        if each.method.endswith("QueryService/Query")), "a query that was given up ends")
    request = query_pb2.QueryRequest(table="query_many", filter="pad = \"none\" OR missing = 1", order_by="pad")
    try:
        for _ in world.query.Query(request, timeout=0.02):
            pass
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    world.tables.DropTable(table_pb2.DropTableRequest(table="query_many"))


def many_cursors(world):
    """Pages without end do not use up what scans and queries need to hold their versions."""
    for i in range(4500):
        _, last = ask(world, filter=f"age = {i % 50}", limit=1)
    documents, _ = ask(world, filter=f"age = {i % 50}", cursor=last.cursor)
    assert len(documents) == COUNT // 50 - 1, len(documents)
    assert world.admin.GetStatus(admin_pb2.GetStatusRequest()).snapshots.open <= 2100
    list(world.kv.Scan(kv_pb2.ScanRequest(table=TABLE)))


CASES = [filters, orders, masks, cursors, large_answers, snapshots, bad_filters, explains, expired_documents,
         cancelled_and_late, many_cursors]
