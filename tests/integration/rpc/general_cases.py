# SPDX-License-Identifier: Apache-2.0
"""What holds for every method alike, driven by the list that reflection gives.

`REQUESTS` has a request for each method that succeeds as it is; what is put wrong into it is found by its
fields: names, keys, durability, request ids, consistency, transactions. A method that reflection lists and
that has no row here fails.
"""
import time

from polarys.v1 import admin_pb2, bulk_pb2, common_pb2, kv_pb2, query_pb2, replication_pb2, replication_pb2_grpc
from polarys.v1 import table_pb2, transaction_pb2

from world import (World, at_least, bare, check_failure, check_header, decode, error_of, fails, fails_late, json_value,
                   snapshot)
from standard_cases import methods_listed

TABLE = "general"
OPERATION = kv_pb2.WriteOperation(put=kv_pb2.PutOperation(key=b"k", value=json_value("1")))
# Method -> a request that succeeds. Streams of requests and methods without common fields have None.
REQUESTS = {
    "KvService/Get": kv_pb2.GetRequest(table=TABLE, key=b"k"),
    "KvService/BatchGet": kv_pb2.BatchGetRequest(table=TABLE, keys=[b"k"]),
    "KvService/Put": kv_pb2.PutRequest(table=TABLE, key=b"k", value=json_value('{"a":1}')),
    "KvService/Update": kv_pb2.UpdateRequest(table=TABLE, key=b"k", json_patch='{"b":2}'),
    "KvService/Delete": kv_pb2.DeleteRequest(table=TABLE, key=b"other"),
    "KvService/BatchWrite": kv_pb2.BatchWriteRequest(table=TABLE, operations=[OPERATION]),
    "KvService/ListDocuments": kv_pb2.ListDocumentsRequest(table=TABLE),
    "KvService/DeleteRange": kv_pb2.DeleteRangeRequest(table=TABLE, range=common_pb2.KeyRange(prefix=b"z")),
    "KvService/Scan": kv_pb2.ScanRequest(table=TABLE),
    "BulkService/Write": None,
    "BulkService/Export": bulk_pb2.ExportRequest(table=TABLE),
    "TableService/CreateDatabase": table_pb2.CreateDatabaseRequest(database="generaldb"),
    "TableService/ListDatabases": table_pb2.ListDatabasesRequest(),
    "TableService/DropDatabase": table_pb2.DropDatabaseRequest(database="generaldb"),
    "TableService/CreateTable": table_pb2.CreateTableRequest(table="general2"),
    "TableService/GetTable": table_pb2.GetTableRequest(table=TABLE),
    "TableService/ListTables": table_pb2.ListTablesRequest(),
    "TableService/TruncateTable": table_pb2.TruncateTableRequest(table="general2"),
    "TableService/DropTable": table_pb2.DropTableRequest(table="general2"),
    "TableService/CreateIndex": table_pb2.CreateIndexRequest(
        table=TABLE, fields=["a"], kind=table_pb2.INDEX_KIND_HASH, index="general_a"),
    "TableService/ListIndexes": table_pb2.ListIndexesRequest(table=TABLE),
    "TableService/CheckIndex": table_pb2.CheckIndexRequest(table=TABLE),
    "TableService/AnalyzeTable": table_pb2.AnalyzeTableRequest(table=TABLE),
    "TableService/DropIndex": table_pb2.DropIndexRequest(table=TABLE, index="general_a"),
    "QueryService/Query": query_pb2.QueryRequest(table=TABLE, filter="a = 1"),
    "QueryService/Search": query_pb2.SearchRequest(table=TABLE, text="word"),
    "QueryService/Count": query_pb2.CountRequest(table=TABLE),
    "QueryService/Explain": query_pb2.ExplainRequest(table=TABLE, filter="a = 1", run=True),
    "TransactionService/Transact": transaction_pb2.TransactRequest(
        table=TABLE, then_operations=[transaction_pb2.TransactOperation(get=transaction_pb2.GetOperation(key=b"k"))]),
    "TransactionService/BeginTransaction": transaction_pb2.BeginTransactionRequest(read_only=True),
    "TransactionService/Commit": transaction_pb2.CommitRequest(),
    "TransactionService/GetTransaction": transaction_pb2.GetTransactionRequest(),
    "TransactionService/Rollback": transaction_pb2.RollbackRequest(),
    "WatchService/Watch": None,  # it has no end
    "ReplicationService/Handshake": replication_pb2.HandshakeRequest(node="general"),
    "ReplicationService/CreateSlot": replication_pb2.CreateSlotRequest(
        slot="general", kind=replication_pb2.FOLLOWER_KIND_OBSERVER),
    "ReplicationService/ListSlots": replication_pb2.ListSlotsRequest(),
    "ReplicationService/DropSlot": replication_pb2.DropSlotRequest(slot="general"),
    "ReplicationService/ListMembers": replication_pb2.ListMembersRequest(),
    "ReplicationService/RemoveMember": None,
    "ReplicationService/SealTerm": None,
    "ReplicationService/TailLog": None,
    "ReplicationService/Bootstrap": None,
    "BackupService/StreamBackup": None,
    "AdminService/GetStatus": admin_pb2.GetStatusRequest(),
    "AdminService/GetServerInfo": admin_pb2.GetServerInfoRequest(),
    "AdminService/Flush": admin_pb2.FlushRequest(),
    "AdminService/Compact": admin_pb2.CompactRequest(table=TABLE),
    "AdminService/Checkpoint": None,
    "AdminService/Drain": None,
    "AdminService/Promote": admin_pb2.PromoteRequest(),
    "AdminService/Switchover": None,
    "AdminService/Demote": None,
    "AdminService/SetLogLevel": admin_pb2.SetLogLevelRequest(level=admin_pb2.LOG_LEVEL_INFO),
    "AdminService/ReportBackup": admin_pb2.ReportBackupRequest(
        place="general", result=admin_pb2.BACKUP_RESULT_DONE, attempt_time={"seconds": 1}),
}
# Fields of whose absence the engine's default takes care, or that a method makes itself.
MAKES_ITS_DATABASE = ("TableService/CreateDatabase", "TableService/DropDatabase")
MAKES_ITS_TABLE = ("TableService/CreateTable", *MAKES_ITS_DATABASE)


# Methods that are about a transaction rather than part of one: each gets one of its own.
OF_TRANSACTIONS = tuple("TransactionService/" + each for each in ("Commit", "GetTransaction", "Rollback"))


def setup(world):
    world.table(TABLE)
    world.put(TABLE, b"k", '{"a":1}')
    world.tables.CreateIndex(table_pb2.CreateIndexRequest(
        table=TABLE, fields=["t"], kind=table_pb2.INDEX_KIND_TEXT, wait=True))


def stub_of(world, method):
    service, name = method.split("/")
    stubs = {"KvService": world.kv, "BulkService": world.bulk, "TableService": world.tables,
             "QueryService": world.query, "AdminService": world.admin, "TransactionService": world.transactions,
             "ReplicationService": replication_pb2_grpc.ReplicationServiceStub(world.channel)}
    return getattr(stubs[service], name)


def call(world, method, **changed):
    """The answer, or the first message of a stream, with some fields changed."""
    request = type(REQUESTS[method])()
    request.CopyFrom(REQUESTS[method])
    if method in OF_TRANSACTIONS:
        begin = transaction_pb2.BeginTransactionRequest()
        request.transaction = world.transactions.BeginTransaction(begin).transaction
    for name, value in changed.items():
        if name == "consistency":
            request.consistency.CopyFrom(value)
        else:
            setattr(request, name, value)
    answer = stub_of(world, method)(request)
    if hasattr(answer, "rpc"):
        return list(answer)[0]
    return answer


def methods_with(field):
    return [method for method, request in REQUESTS.items()
            if request is not None and field in request.DESCRIPTOR.fields_by_name]


def served(world):
    """Methods of our own that are there."""
    return [each for each in methods_listed(world.reflection)
            if each.startswith("polarys.v1.")]


def every_method_has_a_request(world):
    listed = {each.split(".")[-1] for each in served(world)}
    assert listed == set(REQUESTS), listed ^ set(REQUESTS)


def successes(world):
    """Each succeeds, and its first message has a whole header whose token the server takes back."""
    for method, request in REQUESTS.items():
        if request is None:
            continue
        answer = call(world, method)
        check_header(world, answer.header)
        if "version" in answer.DESCRIPTOR.fields_by_name and not method.startswith("TransactionService/"):
            assert answer.version > 0, (method, answer)
        got = world.get(TABLE, b"k", consistency=at_least(answer.header.token))
        assert got.header.version > 0, method


def bad_names(world):
    for method in methods_with("database"):
        for name in ("1", "a b", "n" * 129, "polarys.system"):
            fails("BAD_NAME", call, world, method, database=name, field="database")
    for method in methods_with("table"):
        for name in ("1", "a b", "n" * 129, "polarys.bulk_sessions"):
            fails("BAD_NAME", call, world, method, table=name, field="table")


def nothing_there(world):
    for method in methods_with("database"):
        if method not in MAKES_ITS_DATABASE:
            failure = fails("DATABASE_NOT_FOUND", call, world, method, database="nosuch")
            resource = failure.others["ResourceInfo"]
            assert (resource.resource_type, resource.resource_name) == ("database", "nosuch"), (method, resource)
    for method in methods_with("table"):
        if method not in MAKES_ITS_TABLE:
            failure = fails("TABLE_NOT_FOUND", call, world, method, table="nosuch")
            resource = failure.others["ResourceInfo"]
            assert (resource.resource_type, resource.resource_name) == ("table", "default/nosuch"), (method, resource)


def bad_common_fields(world):
    for method in methods_with("transaction"):
        fails("TXN_NOT_FOUND", call, world, method, transaction=b"t" * 16)
        fails("BAD_ARGUMENT", call, world, method, transaction=b"t" * 15, field="transaction")
    for method in methods_with("durability"):
        fails("BAD_ARGUMENT", call, world, method, durability=99, field="durability")
    for method in methods_with("request_id"):
        for wrong in (b"x", b"x" * 15, b"x" * 17):
            fails("BAD_ARGUMENT", call, world, method, request_id=wrong, field="request_id")
    for method in methods_with("key"):
        for wrong in (b"", b"k" * 4097):
            fails("BAD_KEY", call, world, method, key=wrong, field="key")


def consistency_levels(world):
    """Each level on each method that takes one, and what is wrong of each."""
    token = world.put(TABLE, b"k", '{"a":1}').header.token
    version = world.get(TABLE, b"k").version
    Consistency = common_pb2.Consistency
    for method in methods_with("consistency"):
        for level in (Consistency(), Consistency(strong=True), Consistency(stable=True), Consistency(local=True),
                      at_least(token), snapshot(version), Consistency(max_staleness={"seconds": 1})):
            answer = call(world, method, consistency=level)
            assert answer.version >= version, (method, level, answer)
        for level, field in ((Consistency(strong=False), "strong"), (Consistency(stable=False), "stable"),
                             (Consistency(local=False), "local"), (snapshot(0), "snapshot"),
                             (at_least(b""), "at_least"), (at_least(token[:-1]), "at_least"),
                             (at_least(token[:-1] + bytes([token[-1] ^ 1])), "at_least"),
                             (Consistency(max_staleness={"seconds": -1}), "max_staleness"),
                             (Consistency(max_staleness={"nanos": 10**9}), "max_staleness")):
            fails("BAD_ARGUMENT", call, world, method, consistency=level, field="consistency." + field)
        newest = world.get(TABLE, b"k").header.version
        failure = fails("FUTURE_VERSION", call, world, method, consistency=snapshot(newest + 10**9))
        assert int(failure.metadata["version"]) >= newest, failure.metadata


def tokens_of_others(world):
    """A token of another store is told from one of this store, for every read."""
    with World(world.scratch, "stranger", world.record) as other:
        token = other.table("t").header.token
    for method in methods_with("consistency"):
        fails("HISTORY_DIVERGED", call, world, method, consistency=at_least(token),
              metadata={"token_version": None})


def tokens_ahead(world):
    """A node that has not reached a token's version waits until 90 % of the deadline, then says so."""
    token = world.put(TABLE, b"k", '{"a":1}').header.token
    version = world.get(TABLE, b"k").version.to_bytes(8, "little")
    ahead = bytearray(token.replace(version, version[:6] + b"\x01" + version[7:]))
    assert bytes(ahead) != token, "the token does not hold its version any more: make one that is ahead otherwise"
    for last in range(256):  # whatever its check sum is
        ahead[-1] = last
        request = kv_pb2.GetRequest(table=TABLE, key=b"k", consistency=at_least(bytes(ahead)))
        error = error_of(world.kv.Get, request, timeout=1)
        if decode(error) is None or decode(error).reason != "BAD_ARGUMENT":
            break
    failure, taken, seconds = fails_late("REPLICA_BEHIND", lambda time_left: world.kv.Get(request, timeout=time_left),
                                         {"version": None})
    assert failure.others["RetryInfo"].retry_delay.ToMilliseconds() > 0, failure.others
    assert 0.8 * seconds < taken < seconds, (taken, seconds)


def copies_have_a_history_of_their_own(world):
    """A copy is the same store on another history: a token of the first is refused there."""
    world.put(TABLE, b"k", '{"a":1}')
    world.admin.Checkpoint(admin_pb2.CheckpointRequest(directory="checkpoints/behind"))
    newest = world.put(TABLE, b"k", '{"a":2}')
    copy = world.server.data_dir + "/checkpoints/behind"
    with World(world.scratch, "behind", world.record,
               ["--master-key-file", world.server.data_dir + "/master.key"], data_dir=copy) as behind:
        got = behind.get(TABLE, b"k")
        assert got.value.json == '{"a":1}' and got.header.store_id == newest.header.store_id, got
        assert got.header.history_id != newest.header.history_id, got
        fails("HISTORY_DIVERGED", behind.get, TABLE, b"k", consistency=at_least(newest.header.token))


def malformed_messages(world):
    """Bytes that are no message, for every method that takes one; unknown fields are passed over."""
    for path in served(world):
        if path.endswith("BulkService/Write"):
            continue
        for wrong in (b"\x0a\xff\xff\xff\xff\x0fgarbage", b"\x0a", b"\xfb\x07" * 1000):
            fails("BAD_MESSAGE", world.raw("/" + path), wrong)
    request = kv_pb2.GetRequest(table=TABLE, key=b"k").SerializeToString() + b"\xf8\x7f\x01"
    got = kv_pb2.GetResponse.FromString(world.raw("/polarys.v1.KvService/Get")(request))
    assert got.key == b"k", got
    many = decode(error_of(world.raw("/polarys.v1.KvService/Get"), b"\xf8\x7f\x01" * 300000))
    assert many.reason in ("BAD_MESSAGE", "BAD_NAME"), many.reason  # too much for the budget, or an empty request


def texts_that_are_not_utf8(world):
    """Bad UTF-8 in a string and NUL in JSON are refused, and the error itself is good UTF-8."""
    good = kv_pb2.PutRequest(table=TABLE, key=b"k", value=json_value('"@@"')).SerializeToString()
    for wrong in (b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80"[:2], b"\x00\x00"):
        failure = decode(error_of(world.raw("/polarys.v1.KvService/Put"), good.replace(b"@@", wrong)))
        assert failure.reason in ("BAD_JSON", "BAD_MESSAGE"), failure.reason
    name = kv_pb2.GetRequest(table="@@", key=b"k").SerializeToString().replace(b"@@", b"\xff\xfe")
    failure = decode(error_of(world.raw("/polarys.v1.KvService/Get"), name))
    assert failure.reason in ("BAD_NAME", "BAD_MESSAGE"), failure.reason


def unknown_methods(world):
    bare(error_of(world.raw("/polarys.v1.KvService/Nothing"), b""), "UNIMPLEMENTED")
    bare(error_of(world.raw("/nobody.v1.Service/Nothing"), b""), "UNIMPLEMENTED")


def limits_of_counts(world):
    """As many keys and operations as the limits say pass; one more is TOO_LARGE."""
    limits = {each.name: each.value for each in world.admin.GetServerInfo(admin_pb2.GetServerInfoRequest()).limits}
    most = limits["batch_keys_max"]
    got = world.kv.BatchGet(kv_pb2.BatchGetRequest(table=TABLE, keys=[b"%d" % i for i in range(most)]))
    assert len(got.missing_keys) == most, len(got.missing_keys)
    got = world.kv.BatchGet(kv_pb2.BatchGetRequest(table=TABLE, keys=[b"0"] * most))
    assert len(got.missing_keys) == most, len(got.missing_keys)
    fails("TOO_LARGE", world.kv.BatchGet, kv_pb2.BatchGetRequest(table=TABLE, keys=[b"k"] * (most + 1)),
          metadata={"limit": "batch_keys_max"}, field="keys")


def limits_of_operations(world):
    limits = {each.name: each.value for each in world.admin.GetServerInfo(admin_pb2.GetServerInfoRequest()).limits}
    most = limits["batch_operations_max"]
    deletes = [kv_pb2.WriteOperation(delete=kv_pb2.DeleteOperation(key=b"%06d" % i)) for i in range(most)]
    assert world.kv.BatchWrite(kv_pb2.BatchWriteRequest(table=TABLE, operations=deletes)).version > 0
    fails("TOO_LARGE", world.kv.BatchWrite,
          kv_pb2.BatchWriteRequest(table=TABLE, operations=deletes + deletes[:1]),
          metadata={"limit": "batch_operations_max"})


def failures_have_no_headers(world):
    """An early failure comes as trailers only, so that clients may retry it; a success has headers."""
    def headers(method, request):
        future = getattr(world.kv, method).future(request, timeout=10)
        return future.exception(), dict(future.initial_metadata())
    failed, first = headers("Get", kv_pb2.GetRequest(table=TABLE, key=b"missing"))
    assert failed is not None and "content-type" not in first and not first, first
    trailing = dict(failed.trailing_metadata())
    assert "grpc-status-details-bin" in trailing, trailing
    succeeded, _ = headers("Get", kv_pb2.GetRequest(table=TABLE, key=b"k"))
    assert succeeded is None, succeeded


CASES = [every_method_has_a_request, successes, bad_names, nothing_there, bad_common_fields, consistency_levels,
         tokens_of_others, tokens_ahead, copies_have_a_history_of_their_own, malformed_messages,
         texts_that_are_not_utf8, unknown_methods, limits_of_counts, limits_of_operations, failures_have_no_headers]
