# SPDX-License-Identifier: Apache-2.0
"""Transactions: single-shot ones, interactive ones at each level and mode, and every way that they end."""
import struct
import threading
import time

from google.protobuf import duration_pb2

import grpc

from polarys.v1 import admin_pb2, common_pb2, kv_pb2, query_pb2, table_pb2, transaction_pb2 as txn_pb2

from world import (World, check_failure, check_header, decode, duration, fails, fails_late, json_value, request_id, snapshot,
                   until)

TABLE = "accounts"
Get, Put = kv_pb2.GetRequest, kv_pb2.PutRequest
PESSIMISTIC = txn_pb2.TRANSACTION_MODE_PESSIMISTIC
SERIALIZABLE = txn_pb2.ISOLATION_SERIALIZABLE


def setup(world):
    world.table(TABLE)
    world.table("other_accounts")
    world.tables.CreateDatabase(table_pb2.CreateDatabaseRequest(database="elsewhere"))


def operation(kind, key, text="1", table="", **more):
    """One operation of a Transact."""
    fields = {"get": lambda: txn_pb2.GetOperation(key=key),
              "put": lambda: kv_pb2.PutOperation(key=key, value=json_value(text), **more),
              "update": lambda: kv_pb2.UpdateOperation(key=key, json_patch=text, **more),
              "delete": lambda: kv_pb2.DeleteOperation(key=key),
              "delete_range": lambda: kv_pb2.DeleteRangeOperation(range=common_pb2.KeyRange(prefix=key))}
    return txn_pb2.TransactOperation(table=table, **{kind: fields[kind]()})


def compare(key, table="", **condition):
    return txn_pb2.Compare(table=table, key=key, precondition=common_pb2.Precondition(**condition))


def transact(world, compares=(), then=(), otherwise=(), **more):
    return world.transactions.Transact(txn_pb2.TransactRequest(
        **{"table": TABLE, "compares": compares, "then_operations": then, "else_operations": otherwise, **more}))


class Transaction:
    """An open transaction of the main world."""

    def __init__(self, world, **fields):
        self.world = world
        self.answer = world.transactions.BeginTransaction(txn_pb2.BeginTransactionRequest(**fields))
        self.id = self.answer.transaction

    def get(self, key, **more):
        return self.world.get(TABLE, key, transaction=self.id, **more)

    def put(self, key, text, table=TABLE, **more):
        return self.world.put(table, key, text, transaction=self.id, **more)

    def commit(self, **more):
        return self.world.transactions.Commit(txn_pb2.CommitRequest(transaction=self.id, **more))

    def rollback(self, **more):
        return self.world.transactions.Rollback(txn_pb2.RollbackRequest(transaction=self.id, **more))

    def status(self, **more):
        return self.world.transactions.GetTransaction(txn_pb2.GetTransactionRequest(transaction=self.id, **more))


def text_of(world, key, table=TABLE):
    return world.get(table, key).value.json


# ---- single-shot ----

def transacts(world):
    """Compare, then or else; reads see the writes before them; one version for all."""
    version = world.put(TABLE, b"a", '{"n": 1}').version
    done = transact(world, [compare(b"a", version_equals=version), compare(b"new", must_not_exist=True)],
                    [operation("get", b"a"), operation("put", b"a", '{"n": 2}'), operation("get", b"a"),
                     operation("update", b"a", '{"m": 3}'), operation("get", b"a"), operation("delete", b"none"),
                     operation("put", b"new", "5", table="other_accounts"), operation("get", b"none")],
                    [operation("put", b"wrong", "1")])
    check_header(world, done.header, done.version)
    assert done.succeeded and done.version > version and done.HasField("commit_time") and not done.replayed, done
    found = [each.found for each in done.results]
    assert found == [True, False, True, True, True, False, False, False], found
    assert [done.results[i].document.value.json.replace(" ", "") for i in (0, 2, 4)] == \
        ['{"n":1}', '{"n":2}', '{"n":2,"m":3}'], done.results
    assert done.results[0].document.version == version and done.results[0].document.key == b"a", done.results[0]
    assert world.get(TABLE, b"a").version == done.version and text_of(world, b"new", "other_accounts") == "5"
    fails("KEY_NOT_FOUND", world.get, TABLE, b"wrong")
    undone = transact(world, [compare(b"a", version_equals=version)], [operation("put", b"a", "0")],
                      [operation("get", b"a")])
    assert not undone.succeeded and undone.results[0].document.version == done.version, undone
    nothing = transact(world, [compare(b"a", field_equals=common_pb2.FieldEquals(path="n", json_value="2.0"))],
                       otherwise=[operation("put", b"wrong", "1")])
    assert nothing.succeeded and not nothing.results and nothing.version >= done.version, nothing
    fails("KEY_NOT_FOUND", world.get, TABLE, b"wrong")
    for i in range(5):
        world.put(TABLE, b"range%d" % i, "1")
    transact(world, then=[operation("delete_range", b"range"), operation("put", b"range3", "2"),
                          operation("update", b"made", '{"x": 1}')])
    listed = world.kv.ListDocuments(kv_pb2.ListDocumentsRequest(table=TABLE, range=common_pb2.KeyRange(prefix=b"range")))
    assert [each.key for each in listed.documents] == [b"range3"], listed
    assert text_of(world, b"made").replace(" ", "") == '{"x":1}'


def transact_with_request_ids(world):
    """Sent twice, made once; the second answer says so."""
    then = [operation("update", b"counted", '{"n": 1}'), operation("get", b"counted")]
    first = transact(world, [compare(b"counted", must_not_exist=True)], then, request_id=request_id(901))
    again = transact(world, [compare(b"counted", must_not_exist=True)], then, request_id=request_id(901))
    assert first.succeeded and not first.replayed and first.results[1].found, first
    assert again.succeeded and again.replayed and again.version == first.version and not again.results, again
    fails("REQUEST_ID_REUSED", transact, world, [], then[:1], request_id=request_id(901), field="request_id")


def transact_errors(world):
    fails("BAD_ARGUMENT", transact, world, field="then_operations")
    fails("BAD_ARGUMENT", transact, world, then=[txn_pb2.TransactOperation()], field="operation",
          metadata={"operation": 0, "branch": "then"})
    fails("BAD_ARGUMENT", transact, world, then=[operation("get", b"a")], table="", field="table",
          metadata={"operation": 0})
    fails("BAD_ARGUMENT", transact, world, [compare(b"a")], [operation("get", b"a")],
          field="compares.precondition", metadata={"compare": 0})
    fails("BAD_ARGUMENT", transact, world, [compare(b"a", must_exist=False)], [operation("get", b"a")],
          field="precondition.must_exist")
    good = operation("put", b"partly", "1")
    for reason, wrong, more in (
            ("BAD_KEY", operation("get", b""), {}), ("BAD_KEY", operation("put", b"k" * 4097), {}),
            ("BAD_JSON", operation("put", b"k", "{"), {"offset": None}),
            ("BAD_JSON", operation("update", b"k", "{"), {"offset": None}),
            ("TOO_LARGE", operation("put", b"k", '"' + "x" * (1 << 20) + '"'), {"limit": None}),
            ("TABLE_NOT_FOUND", operation("get", b"k", table="nosuch"), {}),
            ("BAD_NAME", operation("get", b"k", table="polarys.x"), {})):
        fails(reason, transact, world, then=[good, wrong], metadata={"operation": 1, "branch": "then", **more})
        fails(reason, transact, world, then=[good], otherwise=[good, wrong],
              metadata={"operation": 1, "branch": "else"})
    bare_put = txn_pb2.TransactOperation(put=kv_pb2.PutOperation(key=b"k"))
    fails("BAD_ARGUMENT", transact, world, then=[good, bare_put], field="value", metadata={"operation": 1})
    bare_range = txn_pb2.TransactOperation(delete_range=kv_pb2.DeleteRangeOperation())
    fails("BAD_ARGUMENT", transact, world, then=[good, bare_range], metadata={"operation": 1})
    world.kv.Put(Put(table=TABLE, key=b"bytes", value=common_pb2.Value(raw=b"{}")))
    fails("BAD_ARGUMENT", transact, world, then=[good, operation("update", b"bytes", "{}")])
    fails("TOO_LARGE", transact, world, then=[operation("get", b"%d" % i) for i in range(10001)],
          metadata={"limit": "transact_operations_max"})
    fails("KEY_NOT_FOUND", world.get, TABLE, b"partly")


def transact_answers_stay_small(world):
    """What was committed is answered, whatever was read: documents beyond the bound are left out and named."""
    for i in range(6):
        world.put(TABLE, b"large%d" % i, '"' + "x" * 900_000 + '"')
    done = transact(world, then=[operation("get", b"large%d" % i) for i in range(6)] + [operation("put", b"after", "1")])
    left_out = [each.left_out for each in done.results]
    assert left_out == [False] * 3 + [True] * 3 + [False], left_out
    assert all(each.found for each in done.results[:6]), left_out
    assert done.ByteSize() < 4 << 20 and text_of(world, b"after") == "1", done.ByteSize()


def transacts_of_many(world):
    """Increments by compare and swap from many threads: none is lost."""
    world.put(TABLE, b"hot", "0")

    def add(times, lost):
        for _ in range(times):
            while True:
                now = world.get(TABLE, b"hot")
                done = transact(world, [compare(b"hot", version_equals=now.version)],
                                [operation("put", b"hot", str(int(now.value.json) + 1))])
                if done.succeeded:
                    break
                lost.append(1)
    lost = []
    threads = [threading.Thread(target=add, args=(25, lost)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert text_of(world, b"hot") == "100", text_of(world, b"hot")


# ---- interactive ----

def interactive(world):
    """Reads its own writes, in every call that can be part of it; nobody else sees them before the commit."""
    world.put(TABLE, b"t1", '{"n": 1}')
    world.put(TABLE, b"t2", '{"n": 2}')
    txn = Transaction(world)
    check_header(world, txn.answer.header)
    assert len(txn.id) == 16, txn.answer
    assert txn.get(b"t1").value.json == '{"n": 1}'
    written = txn.put(b"t3", '{"n": 3}')
    assert written.version == 0 and written.header.token, written
    world.kv.Update(kv_pb2.UpdateRequest(table=TABLE, key=b"t1", json_patch='{"m": 1}', transaction=txn.id))
    world.kv.Delete(kv_pb2.DeleteRequest(table=TABLE, key=b"t2", transaction=txn.id))
    world.kv.BatchWrite(kv_pb2.BatchWriteRequest(table=TABLE, transaction=txn.id, operations=[
        kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=b"t4", value=json_value('{"n": 4}'))),
        kv_pb2.WriteOperation(table="other_accounts", put=kv_pb2.PutOperation(key=b"t5", value=json_value("5")))]))
    got = txn.get(b"t1")
    assert got.value.json.replace(" ", "") == '{"n":1,"m":1}' and got.version == 0, got
    fails("KEY_NOT_FOUND", txn.get, b"t2")
    batch = world.kv.BatchGet(kv_pb2.BatchGetRequest(table=TABLE, keys=[b"t1", b"t2", b"t3"], transaction=txn.id))
    assert [each.key for each in batch.documents] == [b"t1", b"t3"] and list(batch.missing_keys) == [b"t2"], batch
    seen_within = [b"t1", b"t3", b"t4"]
    prefix = common_pb2.KeyRange(prefix=b"t")
    scanned = list(world.kv.Scan(kv_pb2.ScanRequest(table=TABLE, range=prefix, transaction=txn.id)))
    assert [each.key for message in scanned for each in message.documents] == seen_within, scanned
    pages, token = [], ""
    while True:
        page = world.kv.ListDocuments(kv_pb2.ListDocumentsRequest(
            table=TABLE, range=prefix, page_size=2, page_token=token, transaction=txn.id))
        pages += [each.key for each in page.documents]
        token = page.next_page_token
        if not token:
            break
    assert pages == seen_within, pages
    answers = list(world.query.Query(query_pb2.QueryRequest(table=TABLE, filter="n > 0 AND n < 9", transaction=txn.id)))
    assert {each.key for message in answers for each in message.documents} >= set(seen_within), answers
    assert world.query.Count(query_pb2.CountRequest(table=TABLE, filter="n = 3", transaction=txn.id)).count == 1
    assert world.query.Count(query_pb2.CountRequest(table=TABLE, filter="n = 3")).count == 0
    fails("KEY_NOT_FOUND", world.get, TABLE, b"t3")
    assert world.get(TABLE, b"t2").value.json == '{"n": 2}'
    status = txn.status()
    assert status.state == txn_pb2.TRANSACTION_STATE_ACTIVE and status.write_count >= 5, status
    assert status.isolation == txn_pb2.ISOLATION_SNAPSHOT and status.used_bytes > 0, status
    assert status.mode == txn_pb2.TRANSACTION_MODE_OPTIMISTIC and status.HasField("age"), status
    done = txn.commit()
    check_header(world, done.header, done.version)
    assert done.version > 0 and done.HasField("commit_time") and not done.replayed, done
    assert world.get(TABLE, b"t3").version == done.version == world.get("other_accounts", b"t5").version
    fails("KEY_NOT_FOUND", world.get, TABLE, b"t2")
    world.kv.DeleteRange(kv_pb2.DeleteRangeRequest(table=TABLE, range=prefix))


def rollbacks(world):
    world.put(TABLE, b"r1", "1")
    txn = Transaction(world)
    txn.put(b"r1", "2")
    world.kv.DeleteRange(kv_pb2.DeleteRangeRequest(table=TABLE, range=common_pb2.KeyRange(prefix=b"r"),
                                                   transaction=txn.id))
    fails("KEY_NOT_FOUND", txn.get, b"r1")
    check_header(world, txn.rollback().header)
    assert text_of(world, b"r1") == "1"
    assert txn.status().state == txn_pb2.TRANSACTION_STATE_ABORTED
    failure = fails("TXN_NOT_FOUND", txn.rollback)
    resource = failure.others["ResourceInfo"]
    assert (resource.resource_type, resource.resource_name) == ("transaction", "default/" + txn.id.hex()), resource
    for call in (txn.commit, lambda: txn.get(b"r1"), lambda: txn.put(b"r1", "3")):
        fails("TXN_NOT_FOUND", call)


def nobody_elses(world):
    """An id that was never given, and one of another database."""
    txn = Transaction(world)
    fails("TXN_NOT_FOUND", world.transactions.Commit, txn_pb2.CommitRequest(database="elsewhere", transaction=txn.id))
    fails("TXN_NOT_FOUND", world.transactions.Rollback,
          txn_pb2.RollbackRequest(database="elsewhere", transaction=txn.id))
    fails("TXN_NOT_FOUND", world.transactions.GetTransaction,
          txn_pb2.GetTransactionRequest(database="elsewhere", transaction=txn.id))
    fails("TXN_NOT_FOUND", world.get, "t", b"k", database="elsewhere", transaction=txn.id)
    for wrong in (b"", b"x", b"x" * 15, b"x" * 17):
        for method, request in ((world.transactions.Commit, txn_pb2.CommitRequest),
                                (world.transactions.Rollback, txn_pb2.RollbackRequest),
                                (world.transactions.GetTransaction, txn_pb2.GetTransactionRequest)):
            fails("BAD_ARGUMENT", method, request(transaction=wrong), field="transaction")
    fails("BAD_ARGUMENT", world.get, TABLE, b"k", transaction=b"x", field="transaction")
    txn.rollback()


def fields_within(world):
    """Freshness, durability and request ids belong to the whole, and can't be said of a part."""
    txn = Transaction(world)
    fails("BAD_ARGUMENT", txn.get, b"k", consistency=common_pb2.Consistency(strong=True), field="consistency")
    fails("BAD_ARGUMENT", txn.put, b"k", "1", durability=common_pb2.DURABILITY_ASYNC, field="durability")
    fails("BAD_ARGUMENT", txn.put, b"k", "1", request_id=request_id(77), field="request_id")
    fails("BAD_ARGUMENT", world.query.Query, query_pb2.QueryRequest(
        table=TABLE, transaction=txn.id, consistency=snapshot(1)), field="consistency")
    fails("BAD_ARGUMENT", world.get, TABLE, b"k", for_update=True, field="for_update")
    fails("BAD_ARGUMENT", world.kv.BatchGet, kv_pb2.BatchGetRequest(table=TABLE, keys=[b"k"], for_update=True),
          field="for_update")
    assert txn.commit(durability=common_pb2.DURABILITY_ASYNC).version >= 0
    for field, value in (("isolation", 9), ("mode", 9)):
        fails("BAD_ARGUMENT", Transaction, world, field=field, **{field: value})
    for field in ("lock_timeout", "idle_timeout", "timeout"):
        for wrong in (duration_pb2.Duration(), duration_pb2.Duration(seconds=-1), duration_pb2.Duration(seconds=3601),
                      duration_pb2.Duration(nanos=10**9), duration_pb2.Duration(seconds=1 << 60)):
            fails("BAD_ARGUMENT", Transaction, world, field=field, **{field: wrong})
    fails("DATABASE_NOT_FOUND", Transaction, world, database="nosuch")


def errors_within(world):
    """What fails leaves the transaction as it was; a batch that fails in the middle rolls it back."""
    world.put(TABLE, b"e1", '{"n": 1}')
    world.kv.Put(Put(table=TABLE, key=b"e2", value=common_pb2.Value(raw=b"{}")))
    txn = Transaction(world)
    txn.put(b"e3", "3")
    fails("BAD_JSON", txn.put, b"e4", "{", metadata={"offset": None})
    fails("BAD_KEY", txn.put, b"", "1")
    fails("BAD_KEY", txn.get, b"k" * 4097)
    fails("BAD_ARGUMENT", world.kv.Put, Put(table=TABLE, key=b"k", transaction=txn.id), field="value")
    fails("TABLE_NOT_FOUND", txn.put, b"k", "1", table="nosuch")
    fails("TABLE_NOT_FOUND", world.get, "nosuch", b"k", transaction=txn.id)
    fails("KEY_NOT_FOUND", world.kv.Update,
          kv_pb2.UpdateRequest(table=TABLE, key=b"none", json_patch="{}", transaction=txn.id))
    fails("KEY_EXISTS", txn.put, b"e1", "1", precondition=common_pb2.Precondition(must_not_exist=True))
    fails("KEY_EXISTS", txn.put, b"e3", "1", precondition=common_pb2.Precondition(must_not_exist=True))
    fails("VERSION_MISMATCH", txn.put, b"e1", "1", precondition=common_pb2.Precondition(version_equals=1),
          metadata={"version": None})
    fails("BAD_FILTER", world.query.Query, query_pb2.QueryRequest(table=TABLE, filter="=", transaction=txn.id))
    fails("BAD_ARGUMENT", world.kv.DeleteRange, kv_pb2.DeleteRangeRequest(table=TABLE, transaction=txn.id),
          field="range")
    puts = [kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=b"e5", value=json_value("5")))]
    ranges = [kv_pb2.WriteOperation(delete_range=kv_pb2.DeleteRangeOperation(range=common_pb2.KeyRange(prefix=b"none")))]
    many = kv_pb2.BatchWriteRequest(table=TABLE, transaction=Transaction(world).id, operations=ranges * 100_000)
    fails("TOO_LARGE", world.kv.BatchWrite, many)  # each takes memory for its own key, not for the longest
    fails("BAD_JSON", world.kv.BatchWrite, kv_pb2.BatchWriteRequest(
        table=TABLE, transaction=txn.id, operations=puts + [kv_pb2.WriteOperation(
            put=kv_pb2.PutOperation(key=b"e6", value=json_value("}")))]), metadata={"operation": 1})
    fails("KEY_NOT_FOUND", txn.get, b"e5")
    txn.put(b"e7", "7", precondition=common_pb2.Precondition(must_not_exist=True))
    assert txn.commit().version > 0
    assert text_of(world, b"e3") == "3" and text_of(world, b"e7") == "7"
    txn = Transaction(world)
    txn.put(b"e3", "33")
    fails("BAD_ARGUMENT", world.kv.BatchWrite, kv_pb2.BatchWriteRequest(
        table=TABLE, transaction=txn.id, operations=puts + [kv_pb2.WriteOperation(
            update=kv_pb2.UpdateOperation(key=b"e2", json_patch="{}"))]),
          metadata={"operation": 1, "transaction": "rolled_back"})
    fails("TXN_NOT_FOUND", txn.commit)
    assert text_of(world, b"e3") == "3"
    reading = Transaction(world, read_only=True)
    assert reading.get(b"e3").value.json == "3"
    fails("BAD_ARGUMENT", reading.put, b"e3", "4")
    reading.commit()


def conflicts(world):
    """First committer wins; a serializable one also notices what it only read, and what came into a range."""
    world.put(TABLE, b"c1", "1")
    first, second = Transaction(world), Transaction(world)
    for txn in (first, second):
        txn.get(b"c1")
        txn.put(b"c1", '"of %s"' % txn.id.hex())
    first.commit()
    failure = fails("TXN_CONFLICT", second.commit, metadata={"table": TABLE, "key": None})
    assert "c1" in failure.metadata["key"] or "6331" in failure.metadata["key"], failure.metadata
    assert text_of(world, b"c1") == '"of %s"' % first.id.hex()
    assert second.status().state == txn_pb2.TRANSACTION_STATE_ABORTED
    world.put(TABLE, b"skew1", "1")
    world.put(TABLE, b"skew2", "1")
    for isolation, may_both in ((txn_pb2.ISOLATION_SNAPSHOT, True), (SERIALIZABLE, False)):
        first, second = Transaction(world, isolation=isolation), Transaction(world, isolation=isolation)
        for txn, key in ((first, b"skew1"), (second, b"skew2")):
            txn.get(b"skew1")
            txn.get(b"skew2")
            txn.put(key, "0")
        first.commit()
        if may_both:
            second.commit()
        else:
            fails("TXN_CONFLICT", second.commit, metadata={"table": TABLE})
    phantom = Transaction(world, isolation=SERIALIZABLE)
    list(world.kv.Scan(kv_pb2.ScanRequest(table=TABLE, range=common_pb2.KeyRange(prefix=b"ph"), transaction=phantom.id)))
    world.put(TABLE, b"phantom", "1")
    phantom.put(b"elsewhere", "1")
    fails("TXN_CONFLICT", phantom.commit)
    reading = Transaction(world, isolation=txn_pb2.ISOLATION_READ_COMMITTED)
    before = reading.get(b"c1").value.json
    world.put(TABLE, b"c1", '"later"')
    assert reading.get(b"c1").value.json == '"later"' != before
    reading.rollback()
    steady = Transaction(world)
    steady.get(b"c1")
    world.put(TABLE, b"c1", '"even later"')
    assert steady.get(b"c1").value.json == '"later"'
    steady.commit()
    reserved = Transaction(world)
    reserved.get(b"c1", for_update=True)
    world.put(TABLE, b"c1", '"taken"')
    reserved.put(b"c9", "1")
    fails("TXN_CONFLICT", reserved.commit, metadata={"table": TABLE})


def locks(world):
    """A pessimistic one waits its turn, gives up at its lock timeout or at the deadline, and goes on after that."""
    world.put(TABLE, b"l1", "0")
    holder = Transaction(world, mode=PESSIMISTIC)
    holder.get(b"l1", for_update=True)
    waiter = Transaction(world, mode=PESSIMISTIC, lock_timeout=duration(300))
    begun = time.monotonic()
    fails("LOCK_TIMEOUT", waiter.put, b"l1", "1")
    assert 0.25 < time.monotonic() - begun < 5, time.monotonic() - begun
    late = Transaction(world, mode=PESSIMISTIC, lock_timeout=duration(600_000), timeout=duration(900_000))
    put = Put(table=TABLE, key=b"l1", value=json_value("1"), transaction=late.id)
    _, taken, seconds = fails_late("LOCK_TIMEOUT", lambda time_left: world.kv.Put(put, timeout=time_left))
    assert 0.8 * seconds < taken < seconds, (taken, seconds)
    waiting = world.kv.Put.future(Put(table=TABLE, key=b"l1", value=json_value("2"), transaction=late.id), timeout=20)
    until(lambda: late.status().waiting, "a call waits for a lock")
    assert world.get(TABLE, b"l1").value.json == "0" and holder.status().lock_count > 0
    holder.put(b"l1", "1")
    holder.commit()
    assert waiting.result().version == 0
    late.commit()
    assert text_of(world, b"l1") == "2"
    waiter.put(b"l2", "1")
    waiter.commit()
    ended = Transaction(world, mode=PESSIMISTIC)
    ended.put(b"l3", "1")
    other = Transaction(world, mode=PESSIMISTIC)
    waiting = world.kv.Put.future(Put(table=TABLE, key=b"l3", value=json_value("2"), transaction=other.id), timeout=20)
    until(lambda: other.status().waiting, "a call waits for a lock")
    other.rollback()
    assert decode(waiting.exception()).reason == "TXN_NOT_FOUND", waiting.exception()
    ended.commit()


def range_locks(world):
    """A serializable pessimistic one keeps others out of what it scanned."""
    reader = Transaction(world, mode=PESSIMISTIC, isolation=SERIALIZABLE)
    list(world.kv.Scan(kv_pb2.ScanRequest(table=TABLE, range=common_pb2.KeyRange(prefix=b"rl"), transaction=reader.id)))
    writer = Transaction(world, mode=PESSIMISTIC, lock_timeout=duration(200))
    fails("LOCK_TIMEOUT", writer.put, b"rl5", "1")
    writer.put(b"sl5", "1")
    world.query.Count(query_pb2.CountRequest(table="other_accounts", filter="n = 1", transaction=reader.id))
    fails("LOCK_TIMEOUT", writer.put, b"any", "1", table="other_accounts")
    world.kv.BatchGet(kv_pb2.BatchGetRequest(table=TABLE, keys=[b"q1", b"q2"], transaction=reader.id))
    fails("LOCK_TIMEOUT", world.kv.BatchWrite, kv_pb2.BatchWriteRequest(
        table=TABLE, transaction=writer.id,
        operations=[kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=b"q2", value=json_value("1")))]))
    reader.commit()
    writer.put(b"rl5", "1")
    writer.commit()


def deadlocks(world):
    """Who closes a circle, or another of it, is told so, with the circle; the rest goes on."""
    for attempt in range(3):
        first, second = Transaction(world, mode=PESSIMISTIC), Transaction(world, mode=PESSIMISTIC)
        first.put(b"d1", "1")
        first.put(b"d0", "1")
        second.put(b"d2", "1")
        waiting = world.kv.Put.future(Put(table=TABLE, key=b"d2", value=json_value("1"), transaction=first.id),
                                      timeout=20)
        until(lambda: first.status().waiting, "a call waits for a lock")
        other = world.kv.Put.future(Put(table=TABLE, key=b"d1", value=json_value("2"), transaction=second.id),
                                    timeout=20)
        ends = {first: waiting.exception(), second: other.exception()}
        victims = [txn for txn, error in ends.items() if error is not None]
        assert len(victims) == 1, ends
        failure = check_failure(decode(ends[victims[0]]), "DEADLOCK", {"cycle": None})
        world.record.add_error("/polarys.v1.KvService/Put", ends[victims[0]])
        for txn in (first, second):
            assert txn.id.hex() in failure.metadata["cycle"], (attempt, failure.metadata)
        fails("TXN_NOT_FOUND", victims[0].commit)
        winner = first if victims[0] is second else second
        assert winner.commit().version > 0


def concurrent_calls(world):
    """Calls of one transaction at once are done one after another, and none keeps the server from others."""
    txn = Transaction(world)
    calls = [world.kv.Put.future(Put(table=TABLE, key=b"cc%03d" % i, value=json_value(str(i)), transaction=txn.id),
                                 timeout=20) for i in range(100)]
    assert all(each.result().version == 0 for each in calls)
    assert txn.status().write_count == 100
    txn.commit()
    listed = world.kv.ListDocuments(kv_pb2.ListDocumentsRequest(table=TABLE, range=common_pb2.KeyRange(prefix=b"cc"),
                                                                page_size=200))
    assert len(listed.documents) == 100
    holder = Transaction(world, mode=PESSIMISTIC)
    holder.put(b"hold", "1")
    blocked = Transaction(world, mode=PESSIMISTIC, lock_timeout=duration(60_000))
    calls = [world.kv.Put.future(Put(table=TABLE, key=b"hold", value=json_value("2"), transaction=blocked.id),
                                 timeout=60) for _ in range(8)]
    until(lambda: blocked.status().waiting, "a call waits for a lock")
    for call, kind in ((world.query.Count, query_pb2.CountRequest), (world.query.Explain, query_pb2.ExplainRequest)):
        calls += [call.future(kind(table=TABLE, filter="n = 1", transaction=blocked.id), timeout=60) for _ in range(40)]
    begun = time.monotonic()
    world.put(TABLE, b"free", "1")
    world.admin.Flush(admin_pb2.FlushRequest())
    assert time.monotonic() - begun < 30, "others waited too"
    holder.rollback()
    assert all(each.exception() is None for each in calls)
    blocked.rollback()


def limits(world):
    """A transaction that takes too much is told so and stays usable; too many are refused."""
    txn = Transaction(world)
    value = '"' + "x" * 1_000_000 + '"'
    failure = None
    for i in range(70):
        error = None
        try:
            txn.put(b"big%02d" % i, value)
        except grpc.RpcError as caught:
            error = caught
        if error is not None:
            failure = check_failure(decode(error), "TOO_LARGE", {"limit": None})
            break
    assert failure is not None and i > 30, i
    txn.rollback()


def timeouts(world):
    """One that is left alone, and one that lasts too long, are rolled back."""
    idle = Transaction(world, idle_timeout=duration(5000))
    for _ in range(3):  # each call begins the time anew
        idle.put(b"to1", "1")
        time.sleep(2)
    idle.get(b"to1")
    until(lambda: idle.status().state == txn_pb2.TRANSACTION_STATE_ABORTED, "an idle transaction ends")
    fails("TXN_NOT_FOUND", idle.commit)
    lasting = Transaction(world, timeout=duration(3000), mode=PESSIMISTIC)
    lasting.put(b"to2", "1")
    waiter = Transaction(world, mode=PESSIMISTIC, lock_timeout=duration(30_000))
    waiter.put(b"to2", "2")
    waiter.commit()
    fails("TXN_NOT_FOUND", lasting.get, b"to2")
    assert text_of(world, b"to2") == "2"
    fails("KEY_NOT_FOUND", world.get, TABLE, b"to1")


def lost_answers(world):
    """A commit sent again gives the first answer, and GetTransaction tells of it."""
    txn = Transaction(world)
    txn.put(b"lost", "1")
    done = txn.commit()
    again = txn.commit()
    assert again.replayed and again.version == done.version, again
    status = txn.status()
    assert status.state == txn_pb2.TRANSACTION_STATE_COMMITTED and status.commit_version == done.version, status
    nothing = Transaction(world)
    nothing.get(b"lost")
    assert nothing.commit().version >= done.version
    calls = []
    for i in range(10):
        racing = Transaction(world)
        racing.put(b"race%d" % i, "1")
        calls.append([world.transactions.Commit.future(txn_pb2.CommitRequest(transaction=racing.id), timeout=20)
                      for _ in range(3)])
    for each in calls:
        answers = [call.result() for call in each]
        assert len({answer.version for answer in answers}) == 1, answers
        assert sum(not answer.replayed for answer in answers) == 1, answers


def survives_a_kill(world):
    """After kill -9 a committed transaction is known by its id, and one under way is gone."""
    with World(world.scratch, "killed", world.record) as killed:
        killed.table(TABLE)
        txn, open_one = Transaction(killed), Transaction(killed)
        txn.put(b"k", "1")
        open_one.put(b"o", "1")
        done = txn.commit()
        killed.server.kill()
        killed.start()
        status = txn.status()
        assert status.state == txn_pb2.TRANSACTION_STATE_COMMITTED and status.commit_version == done.version, status
        again = txn.commit()
        assert again.replayed and again.version == done.version, again
        assert killed.get(TABLE, b"k").version == done.version
        fails("TXN_NOT_FOUND", open_one.status)
        fails("TXN_NOT_FOUND", open_one.commit)
        fails("KEY_NOT_FOUND", killed.get, TABLE, b"o")


def stops_with_waiting_calls(world):
    """A server that is told to stop does not wait for locks."""
    with World(world.scratch, "stopping", world.record) as stopping:
        stopping.table(TABLE)
        holder = Transaction(stopping, mode=PESSIMISTIC)
        holder.put(b"k", "1")
        waiter = Transaction(stopping, mode=PESSIMISTIC, lock_timeout=duration(600_000), timeout=duration(900_000))
        waiting = stopping.kv.Put.future(Put(table=TABLE, key=b"k", value=json_value("2"), transaction=waiter.id),
                                         timeout=60)
        until(lambda: waiter.status().waiting, "a call waits for a lock")
        begun = time.monotonic()
        stopping.server.stop()
        assert time.monotonic() - begun < 20, "it waited for a lock"
        assert waiting.exception() is not None


def counts_are_told(world):
    before = world.admin.GetStatus(admin_pb2.GetStatusRequest()).transactions.open
    txn = Transaction(world, mode=PESSIMISTIC)
    txn.put(b"told", "1")
    status = world.admin.GetStatus(admin_pb2.GetStatusRequest())
    assert status.transactions.open == before + 1 and status.transactions.locks >= 1, status.transactions
    txn.rollback()
    until(lambda: world.admin.GetStatus(admin_pb2.GetStatusRequest()).transactions.open == before, "it is gone")


CASES = [transacts, transact_with_request_ids, transact_errors, transact_answers_stay_small, transacts_of_many,
         interactive, rollbacks, nobody_elses, fields_within, errors_within, conflicts, locks, range_locks, deadlocks,
         concurrent_calls, limits, timeouts, lost_answers, survives_a_kill, stops_with_waiting_calls,
         counts_are_told]
