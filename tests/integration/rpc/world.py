# SPDX-License-Identifier: Apache-2.0
"""A server with one client on it that remembers which methods were called and how they ended.

Owns: the stubs of every service, the record of calls, and the checks that all cases share (headers,
errors with their details). What is called what and which error has which detail stands in docs/errors.md and
the protos; `EXTRA` repeats it, so that a change there without one here fails.
"""
import os
import struct
import time

from polarys_server import Server

import grpc
from google.protobuf import duration_pb2, timestamp_pb2
from google.rpc import error_details_pb2, status_pb2

from grpc.health.v1 import health_pb2_grpc
from grpc.reflection.v1 import reflection_pb2_grpc
from grpc.reflection.v1alpha import reflection_pb2_grpc as reflection_alpha_pb2_grpc
from polarys.v1 import admin_pb2_grpc, bulk_pb2_grpc, common_pb2, kv_pb2, kv_pb2_grpc
from polarys.v1 import query_pb2_grpc, table_pb2, table_pb2_grpc, transaction_pb2_grpc, watch_pb2_grpc

# Status codes of the reasons that this test meets, and the detail that each has beside ErrorInfo.
EXTRA = {
    "BAD_NAME": ("INVALID_ARGUMENT", "BadRequest"), "BAD_KEY": ("INVALID_ARGUMENT", "BadRequest"),
    "BAD_ARGUMENT": ("INVALID_ARGUMENT", "BadRequest"), "BAD_MESSAGE": ("INVALID_ARGUMENT", None),
    "BAD_JSON": ("INVALID_ARGUMENT", "BadRequest"), "BAD_PAGE_TOKEN": ("INVALID_ARGUMENT", "BadRequest"),
    "TOO_LARGE": ("INVALID_ARGUMENT", "BadRequest"), "REQUEST_ID_REUSED": ("INVALID_ARGUMENT", "BadRequest"),
    "DATABASE_NOT_FOUND": ("NOT_FOUND", "ResourceInfo"), "TABLE_NOT_FOUND": ("NOT_FOUND", "ResourceInfo"),
    "KEY_NOT_FOUND": ("NOT_FOUND", "ResourceInfo"), "TXN_NOT_FOUND": ("NOT_FOUND", "ResourceInfo"),
    "DATABASE_EXISTS": ("ALREADY_EXISTS", "ResourceInfo"), "TABLE_EXISTS": ("ALREADY_EXISTS", "ResourceInfo"),
    "KEY_EXISTS": ("ALREADY_EXISTS", "ResourceInfo"), "VERSION_MISMATCH": ("ABORTED", "PreconditionFailure"),
    "SLOT_NOT_FOUND": ("NOT_FOUND", "ResourceInfo"), "LOG_PRUNED": ("OUT_OF_RANGE", None),
    "QUORUM_TIMEOUT": ("DEADLINE_EXCEEDED", None),
    "NOT_PRIMARY": ("FAILED_PRECONDITION", "PreconditionFailure"), "NO_PRIMARY": ("UNAVAILABLE", None),
    "WRONG_STORE": ("FAILED_PRECONDITION", "PreconditionFailure"),
    "HISTORY_DIVERGED": ("FAILED_PRECONDITION", "PreconditionFailure"),
    "FIELD_MISMATCH": ("FAILED_PRECONDITION", "PreconditionFailure"),
    "HISTORY_PRUNED": ("OUT_OF_RANGE", None), "FUTURE_VERSION": ("OUT_OF_RANGE", None),
    "CURSOR_EXPIRED": ("OUT_OF_RANGE", None), "DISK_LOW": ("RESOURCE_EXHAUSTED", "RetryInfo"),
    "MEMORY_LIMIT": ("RESOURCE_EXHAUSTED", "RetryInfo"), "TOO_MANY_CALLS": ("RESOURCE_EXHAUSTED", "RetryInfo"),
    "WRITE_STALL": ("RESOURCE_EXHAUSTED", "RetryInfo"), "WATCH_TOO_SLOW": ("RESOURCE_EXHAUSTED", None),
    "DRAINING": ("UNAVAILABLE", "RetryInfo"),
    "REPLICA_BEHIND": ("UNAVAILABLE", "RetryInfo"), "WAIT_TIMEOUT": ("DEADLINE_EXCEEDED", None),
    "BAD_FILTER": ("INVALID_ARGUMENT", "BadRequest"), "INDEX_NOT_FOUND": ("NOT_FOUND", "ResourceInfo"),
    "INDEX_EXISTS": ("ALREADY_EXISTS", "ResourceInfo"), "UNIQUE_VIOLATION": ("ALREADY_EXISTS", "ResourceInfo"),
    "INDEX_BUILDING": ("FAILED_PRECONDITION", "ResourceInfo"), "TXN_CONFLICT": ("ABORTED", "RetryInfo"),
    "DEADLOCK": ("ABORTED", "RetryInfo"), "LOCK_TIMEOUT": ("ABORTED", "RetryInfo"),
}
# Where the detail is left out when the server can't say which field it is about.
OPTIONAL = ("TOO_LARGE",)
DETAILS_BYTES_MAX = 4096
CALL_SECONDS = 30


class Record:
    """Method -> the set of ways its calls ended: "OK" or a reason (or a bare status name)."""

    def __init__(self):
        self.ends = {}

    def add(self, path, end):
        self.ends.setdefault(path, set()).add(end)

    def add_error(self, path, error):
        found = decode(error)
        self.add(path, found.reason if found is not None else error.code().name)


class Method:
    """A callable of a channel that writes down how its calls end; .with_call and .future are the plain ones."""

    def __init__(self, call, path, record, is_stream):
        self.call, self.path, self.record, self.is_stream = call, path, record, is_stream

    def __getattr__(self, name):
        return getattr(self.call, name)

    def __call__(self, *arguments, **options):
        options.setdefault("timeout", CALL_SECONDS)
        try:
            answer = self.call(*arguments, **options)
        except grpc.RpcError as error:
            self.record.add_error(self.path, error)
            raise
        if not self.is_stream:
            self.record.add(self.path, "OK")
            return answer
        return Stream(answer, self)


class Stream:
    """The messages of a stream; everything else of the call is passed on."""

    def __init__(self, call, method):
        self.rpc, self.method = call, method

    def __getattr__(self, name):
        return getattr(self.rpc, name)

    def __iter__(self):
        return self

    def __next__(self):
        try:
            message = next(self.rpc)
        except grpc.RpcError as error:
            self.method.record.add_error(self.method.path, error)
            raise
        self.method.record.add(self.method.path, "OK")
        return message


class Channel:
    """A channel whose methods are recorded."""

    def __init__(self, channel, record):
        self.channel, self.record = channel, record

    def make(self, kind, path, is_stream, options):
        return Method(getattr(self.channel, kind)(path, **options), path, self.record, is_stream)

    def unary_unary(self, path, **options):
        return self.make("unary_unary", path, False, options)

    def unary_stream(self, path, **options):
        return self.make("unary_stream", path, True, options)

    def stream_stream(self, path, **options):
        return self.make("stream_stream", path, True, options)


class World:
    """A server and its stubs. `record` may be shared by many worlds."""

    def __init__(self, scratch, name, record, arguments=(), data_dir=None):
        self.scratch, self.record = scratch, record
        self.log = open(os.path.join(scratch, name + ".log"), "a+b")
        self.server = Server(data_dir or os.path.join(scratch, name), self.log,
                             ["--node-name", "node-" + name, *arguments])
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.channel.close()
        self.server.stop()
        self.log.close()

    def start(self):
        self.server.start()
        self.channel = Channel(self.server.channel, self.record)
        self.kv = kv_pb2_grpc.KvServiceStub(self.channel)
        self.bulk = bulk_pb2_grpc.BulkServiceStub(self.channel)
        self.tables = table_pb2_grpc.TableServiceStub(self.channel)
        self.query = query_pb2_grpc.QueryServiceStub(self.channel)
        self.transactions = transaction_pb2_grpc.TransactionServiceStub(self.channel)
        self.watches = watch_pb2_grpc.WatchServiceStub(self.channel)
        self.admin = admin_pb2_grpc.AdminServiceStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)
        self.reflection = reflection_pb2_grpc.ServerReflectionStub(self.channel)
        self.reflection_alpha = reflection_alpha_pb2_grpc.ServerReflectionStub(self.channel)

    def table(self, name, database=""):
        return self.tables.CreateTable(table_pb2.CreateTableRequest(database=database, table=name))

    def put(self, table, key, text, **more):
        return self.kv.Put(kv_pb2.PutRequest(table=table, key=key, value=common_pb2.Value(json=text), **more))

    def get(self, table, key, **more):
        return self.kv.Get(kv_pb2.GetRequest(table=table, key=key, **more))

    def raw(self, path):
        """A unary method that sends bytes as they are."""
        return Method(self.server.channel.unary_unary(path), path, self.record, False)

    def fill(self, table, count, text='"x"', first=0):
        """Documents key000000.. in batches; returns the last version."""
        version = 0
        for start in range(first, first + count, 1000):
            operations = [kv_pb2.WriteOperation(put=kv_pb2.PutOperation(
                key=b"key%06d" % i, value=common_pb2.Value(json=text)))
                          for i in range(start, min(start + 1000, first + count))]
            version = self.kv.BatchWrite(kv_pb2.BatchWriteRequest(table=table, operations=operations)).version
        return version


class Failure:
    """A failed call, decoded."""

    def __init__(self, error, status):
        self.code, self.message = error.code().name, error.details()
        self.size = status.ByteSize()
        self.status, self.metadata, self.reason, self.others = status, {}, None, {}
        for detail in status.details:
            name = detail.type_url.rsplit(".", 1)[1]
            message = getattr(error_details_pb2, name).FromString(detail.value)
            if name == "ErrorInfo":
                assert message.domain == "polarysdb.io", message.domain
                self.reason = message.reason
                metadata = message.metadata
                self.metadata = ({entry.key: entry.value for entry in metadata}
                                 if not hasattr(metadata, "items") else dict(metadata))
            else:
                self.others[name] = message


def decode(error):
    """A Failure, or None where the error has no details."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return Failure(error, status_pb2.Status.FromString(value))
    return None


def error_of(call, *arguments, **options):
    """The error that a call must end with; a stream is read until then."""
    try:
        answer = call(*arguments, **options)
        if isinstance(answer, Stream):
            for _ in answer:
                pass
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"{getattr(call, 'path', call)} succeeded and must not: {str(answer)[:200]}")


def check_failure(failure, reason, metadata=None, field=None):
    """Whether the error is `reason` with its status, its details, `metadata` and a violation of `field`."""
    assert failure is not None, f"no details, {reason} expected"
    assert failure.reason == reason, f"{failure.code}/{failure.reason} ({failure.message}) instead of {reason}"
    code, extra = EXTRA[reason]
    assert failure.code == code, f"{reason} came as {failure.code}"
    assert failure.status.message == failure.message and failure.message, failure.status
    assert failure.size < DETAILS_BYTES_MAX, failure.size
    is_optional = extra is None or (reason in OPTIONAL and field is None)
    assert is_optional or extra in failure.others, f"{reason} without {extra}: {failure.message}"
    for name, message in failure.others.items():
        allowed = (extra, "RetryInfo", "PreconditionFailure" if reason == "INDEX_BUILDING" else extra)
        assert name in allowed, f"{reason} with {name}"
        if name == "RetryInfo":
            assert message.retry_delay.ToMilliseconds() > 0, message
        if name == "PreconditionFailure":
            assert message.violations[0].type == reason and message.violations[0].description, message
        if name == "ResourceInfo":
            assert message.resource_type and message.resource_name, message
        if name == "BadRequest":
            assert message.field_violations[0].description, message
            assert field is None or message.field_violations[0].field == field, message
    for name, value in (metadata or {}).items():
        assert name in failure.metadata, f"{reason} does not tell `{name}`: {failure.metadata}"
        assert value is None or failure.metadata[name] == str(value), f"{name}: {failure.metadata} instead of {value}"
    return failure


def fails(reason, call, *arguments, metadata=None, field=None, **options):
    """Calls, and checks the error as check_failure does; returns the Failure."""
    error = error_of(call, *arguments, **options)
    failure = decode(error)
    assert failure is not None, f"{error.code().name} ({error.details()}) without details instead of {reason}"
    return check_failure(failure, reason, metadata, field)


# What a call waits for is given up at nine tenths of its time, so that the answer is still heard. On a busy machine the
# rest may be too short for that: then the same is asked with more time.
LATE_SECONDS = (3, 10, 40)


def fails_late(reason, attempt, metadata=None):
    """attempt(seconds) makes a call of so much time that ends with `reason` before it is over. The Failure, and how long
    it took of how many seconds."""
    for seconds in LATE_SECONDS:
        begun = time.monotonic()
        failure = decode(error_of(attempt, seconds))
        taken = time.monotonic() - begun
        if failure is not None:
            return check_failure(failure, reason, metadata), taken, seconds
    raise AssertionError(f"no {reason} was heard in any of {LATE_SECONDS} seconds")


def check_header(world, header, at_least=0):
    """The header of an answer that saw `at_least`."""
    assert len(header.store_id) == 16 and any(header.store_id), header
    assert len(header.history_id) == 16 and header.history_id != header.store_id, header
    assert header.node == world.server.arguments[1], header
    assert header.version >= at_least, f"header.version {header.version} after {at_least}"
    assert 0 < header.stable_version <= header.version, header
    assert 0 < len(header.token) <= 128, header


def bare(error, code):
    """An error of the transport or of a service without reasons: a status and no details."""
    assert error.code().name == code, f"{error.code().name} ({error.details()}) instead of {code}"
    assert decode(error) is None, decode(error).reason


def json_value(text):
    return common_pb2.Value(json=text)


def snapshot(version):
    return common_pb2.Consistency(snapshot=version)


def at_least(token):
    return common_pb2.Consistency(at_least=token)


def timestamp(seconds_ahead):
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMilliseconds(int((time.time() + seconds_ahead) * 1000))
    return stamp


def duration(milliseconds):
    return duration_pb2.Duration(seconds=milliseconds // 1000, nanos=milliseconds % 1000 * 1000000)


def request_id(number):
    return struct.pack(">QQ", 0x706f6c61727973, number)


def until(condition, what, seconds=20):
    """Waits for something that the server does by itself."""
    last = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        assert time.monotonic() < last, f"{what}: not within {seconds} s"
        time.sleep(0.02)
