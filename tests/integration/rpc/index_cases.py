# SPDX-License-Identifier: Apache-2.0
"""Indexes: made, built while writes go on, kept unique, used by queries, checked, listed and dropped."""
import json
import threading

from polarys.v1 import common_pb2, kv_pb2, query_pb2, table_pb2

from world import World, check_header, error_of, decode, fails, json_value, request_id, snapshot, until

TABLE = "goods"
COUNT = 2000
HASH, ORDERED, TEXT = table_pb2.INDEX_KIND_HASH, table_pb2.INDEX_KIND_ORDERED, table_pb2.INDEX_KIND_TEXT
READY, BUILDING, FAILED = table_pb2.INDEX_STATE_READY, table_pb2.INDEX_STATE_BUILDING, table_pb2.INDEX_STATE_FAILED


def document(i):
    return json.dumps({"sku": f"s{i:05d}", "price": i % 97, "kind": f"k{i % 7}", "tags": [f"t{i % 3}", f"u{i % 5}"],
                       "text": f"the quick fox number {i}"})


def setup(world):
    world.table(TABLE)
    fill(world, TABLE, COUNT)


def fill(world, table, count, make=document):
    for first in range(0, count, 1000):
        world.kv.BatchWrite(kv_pb2.BatchWriteRequest(table=table, operations=[
            kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=b"g%05d" % i, value=json_value(make(i))))
            for i in range(first, min(first + 1000, count))]))


def create(world, *fields, kind=ORDERED, table=TABLE, **more):
    more.setdefault("wait", True)
    return world.tables.CreateIndex(table_pb2.CreateIndexRequest(table=table, fields=fields, kind=kind, **more))


def indexes(world, table=TABLE, **more):
    answer = world.tables.ListIndexes(table_pb2.ListIndexesRequest(table=table, **more))
    return {each.index: each for each in answer.indexes}


def drop(world, name, table=TABLE, **more):
    return world.tables.DropIndex(table_pb2.DropIndexRequest(table=table, index=name, **more))


def check(world, name="", table=TABLE):
    return world.tables.CheckIndex(table_pb2.CheckIndexRequest(table=table, index=name))


def plan(world, text, table=TABLE, **more):
    answer = world.query.Explain(query_pb2.ExplainRequest(table=table, filter=text, **more))
    return [(each.operation, each.index) for each in answer.steps]


def keys(world, text, table=TABLE, **more):
    messages = world.query.Query(query_pb2.QueryRequest(table=table, filter=text, **more))
    return [each.key for message in messages for each in message.documents]


def made_and_used(world):
    """An index of each kind: described as asked for, checked whole, and the same answers with it and without."""
    questions = ("price = 13", "price >= 90", "price > 3 AND price <= 5 AND kind = \"k1\"", "kind = \"k3\"", "tags:\"t1\"")
    before = {text: sorted(keys(world, text)) for text in questions}
    by_price = create(world, "price", index="by_price")
    check_header(world, by_price.header, by_price.version)
    info = by_price.info
    assert (info.index, info.kind, info.state, list(info.fields)) == ("by_price", ORDERED, READY, ["price"]), info
    assert (info.database, info.table, info.unique, info.language, info.failure) == ("default", TABLE, False, "", ""), info
    assert info.create_version == by_price.version > 0 and info.index_id > 0, info
    named = create(world, "kind", "price", kind=HASH)
    assert named.info.index and named.info.state == READY and list(named.info.fields) == ["kind", "price"], named
    create(world, "kind", kind=HASH, index="by_kind")
    create(world, "tags", index="by_tags")
    listed = indexes(world)
    assert list(listed) == sorted({"by_price", "by_kind", "by_tags", named.info.index}), list(listed)
    for name in (*listed, ""):
        checked = check(world, name)
        check_header(world, checked.header)
        assert (checked.missing_count, checked.stray_count, checked.first_fault) == (0, 0, ""), (name, checked)
        assert checked.entry_count > 0 and checked.document_count > 0, (name, checked)
    analyzed = world.tables.AnalyzeTable(table_pb2.AnalyzeTableRequest(table=TABLE))
    check_header(world, analyzed.header)
    assert indexes(world)["by_price"].distinct_count > 0 and indexes(world)["by_price"].entry_count > 0
    for text in questions:
        assert sorted(keys(world, text)) == before[text], text
    assert ("index_scan", "by_price") in plan(world, "price = 13"), plan(world, "price = 13")
    ordered = keys(world, "price >= 90", order_by="price desc")
    prices = [int(key[1:]) % 97 for key in ordered]
    assert prices == sorted(prices, reverse=True) and len(prices) == len(before["price >= 90"])
    world.kv.Delete(kv_pb2.DeleteRequest(table=TABLE, key=b"g00013"))
    world.put(TABLE, b"g00014", '{"price": 13}')
    expected = sorted({*before["price = 13"], b"g00014"} - {b"g00013"})
    assert sorted(keys(world, "price = 13")) == expected
    world.put(TABLE, b"g00013", document(13))
    world.put(TABLE, b"g00014", document(14))
    assert check(world, "by_price").stray_count == 0
    version = drop(world, "by_price")
    check_header(world, version.header, version.version)
    assert "by_price" not in indexes(world) and sorted(keys(world, "price = 13")) == before["price = 13"]
    for name in indexes(world):
        drop(world, name)


def unique(world):
    """A second document with the same is refused, in every way of writing, and nothing of its call is written."""
    world.table("unique")
    create(world, "email", kind=HASH, table="unique", unique=True, index="one_email")
    assert indexes(world, "unique")["one_email"].unique
    world.put("unique", b"a", '{"email": "a@x"}')
    world.put("unique", b"none1", '{"name": 1}')
    world.put("unique", b"none2", '{"email": null}')
    world.put("unique", b"none3", '{"email": null}')
    failure = fails("UNIQUE_VIOLATION", world.put, "unique", b"b", '{"email": "a@x"}', metadata={"index": "one_email"})
    assert failure.metadata["key"] in ("a", b"a".hex()), failure.metadata
    resource = failure.others["ResourceInfo"]
    assert resource.resource_type == "document" and resource.resource_name.startswith("default/unique/"), resource
    world.put("unique", b"a", '{"email": "a@x", "again": true}')
    fails("UNIQUE_VIOLATION", world.kv.Update,
          kv_pb2.UpdateRequest(table="unique", key=b"none1", json_patch='{"email": "a@x"}'))
    operations = [kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=b"m%04d" % i, value=json_value(
        json.dumps({"email": "a@x" if i == 617 else f"m{i}@x"})))) for i in range(1000)]
    fails("UNIQUE_VIOLATION", world.kv.BatchWrite, kv_pb2.BatchWriteRequest(table="unique", operations=operations),
          metadata={"index": "one_email", "operation": 617})
    fails("KEY_NOT_FOUND", world.get, "unique", b"m0000")
    twice = [kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=key, value=json_value('{"email": "twin@x"}')))
             for key in (b"twin1", b"twin2")]
    fails("UNIQUE_VIOLATION", world.kv.BatchWrite, kv_pb2.BatchWriteRequest(table="unique", operations=twice))
    moved = [kv_pb2.WriteOperation(delete=kv_pb2.DeleteOperation(key=b"a")),
             kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=b"b", value=json_value('{"email": "a@x"}')))]
    world.kv.BatchWrite(kv_pb2.BatchWriteRequest(table="unique", operations=moved))
    assert keys(world, 'email = "a@x"', "unique") == [b"b"]
    ends = []

    def insert(i):
        error = None
        try:
            world.put("unique", b"race%d" % i, '{"email": "race@x"}')
        except Exception as caught:  # told apart below
            error = decode(caught).reason
        ends.append(error)
    threads = [threading.Thread(target=insert, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends, key=str) == [None] + ["UNIQUE_VIOLATION"] * 7 or ends.count(None) == 1, ends
    assert check(world, "one_email", "unique").missing_count == 0


def unique_over_doubles(world):
    """A unique index over documents that are not fails, says which, and can be dropped."""
    world.table("doubles")
    fill(world, "doubles", 500, make=lambda i: json.dumps({"n": i // 2}))
    fails("UNIQUE_VIOLATION", create, world, "n", table="doubles", unique=True, index="failing")
    listed = indexes(world, "doubles")["failing"]
    assert listed.state == FAILED and listed.failure, listed
    assert len(keys(world, "n = 3", "doubles")) == 2
    world.put("doubles", b"more", '{"n": 3}')
    drop(world, "failing", "doubles")
    assert not indexes(world, "doubles")


def built_under_writes(world):
    """Writes go on while an index is built, and it misses none of them; before it is ready it can't be relied on."""
    world.table("busy")
    fill(world, "busy", 20000)
    stop = threading.Event()

    def write():
        i = 0
        while not stop.is_set():
            world.put("busy", b"w%05d" % (i % 500), json.dumps({"price": i}))
            i += 1
    writer = threading.Thread(target=write)
    writer.start()
    made = create(world, "price", "kind", table="busy", index="late", wait=False)
    assert made.info.state in (BUILDING, READY), made
    state = indexes(world, "busy")["late"]
    if state.state == BUILDING:
        assert state.documents_indexed <= max(state.documents_estimated, 30000), state
        error = error_of(check, world, "late", "busy")
        assert decode(error).reason in ("INDEX_BUILDING",), error
        resource = decode(error).others["ResourceInfo"]
        assert (resource.resource_type, resource.resource_name) == ("index", "default/busy/late"), resource
    until(lambda: indexes(world, "busy")["late"].state == READY, "an index is built", seconds=60)
    stop.set()
    writer.join()
    checked = check(world, "late", "busy")
    assert (checked.missing_count, checked.stray_count) == (0, 0), checked
    assert checked.document_count == world.query.Count(query_pb2.CountRequest(table="busy")).count, checked
    world.tables.DropTable(table_pb2.DropTableRequest(table="busy"))


def waits_end(world):
    """A wait ends with the call's time; the index is built all the same."""
    world.table("slow")
    fill(world, "slow", 20000)
    error = None
    try:
        world.tables.CreateIndex(table_pb2.CreateIndexRequest(table="slow", fields=["text", "sku", "price"], kind=ORDERED,
                                                              index="i", wait=True), timeout=0.15)
    except Exception as caught:
        error = caught
    if error is not None and decode(error) is not None:
        assert decode(error).reason == "WAIT_TIMEOUT", error
    until(lambda: indexes(world, "slow")["i"].state == READY, "an index is built", seconds=60)
    world.tables.DropTable(table_pb2.DropTableRequest(table="slow"))
    fails("TABLE_NOT_FOUND", indexes, world, "slow")


def errors(world):
    fails("BAD_ARGUMENT", create, world, field="fields")
    fails("BAD_ARGUMENT", create, world, *(f"f{i}" for i in range(9)), field="fields")
    for path in ("", "a b", "a..b", "`open", "a\0b", "x" * 1025, "."):
        fails("BAD_ARGUMENT", create, world, path, field="fields")
    fails("BAD_ARGUMENT", create, world, "a", kind=table_pb2.INDEX_KIND_UNSPECIFIED, field="kind")
    fails("BAD_ARGUMENT", create, world, "a", kind=9, field="kind")
    fails("BAD_ARGUMENT", create, world, "a", kind=TEXT, unique=True, field="unique")
    fails("BAD_ARGUMENT", create, world, "a", language="english", field="language")
    fails("BAD_ARGUMENT", create, world, "a", kind=TEXT, language="klingon", field="language")
    fails("BAD_ARGUMENT", create, world, "a", kind=TEXT, language="x" * 200, field="language")
    for name in ("1", "a b", "n" * 129, "polarys.x"):
        fails("BAD_NAME", create, world, "a", index=name, field="index")
        fails("BAD_NAME", drop, world, name, field="index")
        fails("BAD_NAME", check, world, name, field="index")
    fails("BAD_NAME", drop, world, "", field="index")
    fails("TABLE_NOT_FOUND", create, world, "a", table="nosuch")
    for call in (drop, check):
        failure = fails("INDEX_NOT_FOUND", call, world, "nosuch")
        resource = failure.others["ResourceInfo"]
        assert (resource.resource_type, resource.resource_name) == ("index", f"default/{TABLE}/nosuch"), resource
    create(world, "sku", index="twice")
    failure = fails("INDEX_EXISTS", create, world, "price", index="twice")
    resource = failure.others["ResourceInfo"]
    assert (resource.resource_type, resource.resource_name) == ("index", f"default/{TABLE}/twice"), resource
    drop(world, "twice")


def request_ids(world):
    """Sent twice, made once."""
    first = create(world, "sku", index="once", request_id=request_id(801))
    again = create(world, "sku", index="once", request_id=request_id(801))
    assert first.version == again.version and again.info.index == "once", again
    fails("REQUEST_ID_REUSED", create, world, "price", index="once2", request_id=request_id(801))
    dropped = drop(world, "once", request_id=request_id(802))
    assert drop(world, "once", request_id=request_id(802)).version == dropped.version


def too_large_to_index(world):
    """What can't be put into an index is refused when it is written."""
    world.table("wide")
    create(world, "v", table="wide", index="narrow")
    fails("TOO_LARGE", world.put, "wide", b"k", json.dumps({"v": "x" * 5000}), metadata={"limit": None})
    world.put("wide", b"k", json.dumps({"v": "x" * 1000}))


def as_of(world):
    """A list at an earlier version leaves out what was made since."""
    version = world.put(TABLE, b"g00000", document(0)).version
    create(world, "sku", index="newer")
    assert "newer" not in indexes(world, consistency=snapshot(version))
    assert "newer" in indexes(world)
    drop(world, "newer")


def survive_a_restart(world):
    """Indexes, their entries and the state of a build are there after kill -9."""
    with World(world.scratch, "indexed", world.record) as server:
        server.table(TABLE)
        fill(server, TABLE, 3000)
        create(server, "price", index="ready")
        create(server, "sku", "text", index="building", wait=False)
        server.server.kill()
        server.start()
        until(lambda: indexes(server)["building"].state == READY, "a build goes on", seconds=60)
        for name in ("ready", "building"):
            checked = check(server, name)
            assert (checked.missing_count, checked.stray_count, checked.document_count) == (0, 0, 3000), checked
        assert len(keys(server, "price = 13")) == len([i for i in range(3000) if i % 97 == 13])


CASES = [made_and_used, unique, unique_over_doubles, built_under_writes, waits_end, errors, request_ids,
         too_large_to_index, as_of, survive_a_restart]
