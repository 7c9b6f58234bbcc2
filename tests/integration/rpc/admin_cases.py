# SPDX-License-Identifier: Apache-2.0
"""AdminService: status, information, flush, compaction, checkpoints, log level; draining has a server of its own."""
import os
import time

import polarys_server  # noqa: F401  it makes grpc.health and grpc.reflection known
from grpc.health.v1 import health_pb2
from polarys.v1 import admin_pb2, common_pb2, query_pb2

import grpc

from world import World, check_failure, check_header, decode, duration, fails, until

TABLE = "admin"


def setup(world):
    world.table(TABLE)
    world.fill(TABLE, 2000)


def status(world):
    got = world.admin.GetStatus(admin_pb2.GetStatusRequest())
    check_header(world, got.header, 1)
    assert got.version >= got.durable_version >= got.flushed_version and got.durable_version > 0, got
    assert got.role == admin_pb2.NODE_ROLE_PRIMARY and not got.draining, got
    assert got.uptime.ToMilliseconds() > 0 and got.memtable_bytes > 0, got
    assert [each.level for each in got.levels] == list(range(len(got.levels))) and len(got.levels) >= 7, got.levels
    assert got.cache.limit_bytes > 0 and got.cache.used_bytes <= got.cache.limit_bytes, got.cache
    assert 0 < got.memory.used_bytes <= got.memory.limit_bytes, got.memory
    assert got.disk.used_bytes > 0 and got.disk.free_bytes > 0, got.disk
    assert got.log.bytes > 0 and got.log.segments > 0, got.log
    assert got.write_stall.state == admin_pb2.WRITE_STALL_STATE_NONE, got.write_stall
    assert not got.write_stall.delay.ToNanoseconds(), got.write_stall
    assert [each.current for each in got.keys].count(True) == 1 and got.keys[0].key_id > 0, got.keys
    calls = {each.method: each for each in got.calls}
    assert calls["polarys.v1.AdminService/GetStatus"].active >= 1, calls
    before = calls.get("polarys.v1.QueryService/Count")
    before = (before.succeeded, before.failed) if before else (0, 0)
    world.query.Count(query_pb2.CountRequest(table=TABLE))
    fails("TABLE_NOT_FOUND", world.query.Count, query_pb2.CountRequest(table="nosuch"))

    def counted():
        calls = {each.method: each for each in world.admin.GetStatus(admin_pb2.GetStatusRequest()).calls}
        count = calls["polarys.v1.QueryService/Count"]
        return (count.succeeded, count.failed) == (before[0] + 1, before[1] + 1)
    until(counted, "calls are counted")


def server_info(world):
    got = world.admin.GetServerInfo(admin_pb2.GetServerInfoRequest())
    check_header(world, got.header)
    assert got.program_version.count(".") == 2, got.program_version
    assert got.listen_address == f"127.0.0.1:{world.server.port}", got.listen_address
    assert 0 <= time.time() - got.start_time.ToMilliseconds() / 1000 < 600, got.start_time
    limits = {each.name: each for each in got.limits}
    for name in ("key_bytes_max", "value_bytes_max", "batch_keys_max", "batch_operations_max", "page_size_max",
                 "request_bytes_max", "name_bytes_max", "bulk_window_bytes", "request_ids_max", "memory_limit",
                 "wal_keep_bytes", "range_delete_max", "drain_grace"):
        assert name in limits, f"{name} is not published"
    assert limits["value_bytes_max"].value == 1 << 20 and limits["value_bytes_max"].unit == "bytes", limits
    for limit in got.limits:
        assert limit.unit in ("bytes", "ms", "count", "percent") and limit.description, limit
    assert len(limits) == len(got.limits), "a limit is named twice"
    assert "bulk_write" in got.features, got.features


def formats(world):
    got = world.admin.GetServerInfo(admin_pb2.GetServerInfoRequest())
    names = {each.name: each for each in got.formats}
    assert "wal" in names and "sst" in names, f"formats: {sorted(names)}"
    for each in got.formats:
        assert 0 < each.oldest_readable_version <= each.version, each


def flush(world):
    version = world.put(TABLE, b"flushed", "1").version
    got = world.admin.Flush(admin_pb2.FlushRequest())
    check_header(world, got.header, version)
    assert got.flushed_version >= version, got
    after = world.admin.GetStatus(admin_pb2.GetStatusRequest())
    assert after.flushed_version >= version and sum(each.files for each in after.levels) > 0, after.levels
    assert world.get(TABLE, b"flushed").version == version


def compact(world):
    world.admin.Flush(admin_pb2.FlushRequest())
    for request in ({"table": TABLE}, {"table": TABLE, "range": common_pb2.KeyRange(prefix=b"key")}, {}):
        got = world.admin.Compact(admin_pb2.CompactRequest(**request), timeout=120)
        check_header(world, got.header)
    levels = world.admin.GetStatus(admin_pb2.GetStatusRequest()).levels
    assert levels[-1].files > 0 and levels[-1].bytes > 0, levels
    fails("BAD_ARGUMENT", world.admin.Compact, admin_pb2.CompactRequest(range=common_pb2.KeyRange()), field="range")
    fails("BAD_KEY", world.admin.Compact,
          admin_pb2.CompactRequest(table=TABLE, range=common_pb2.KeyRange(prefix=b"k" * 4097)), field="range")


def checkpoint(world):
    """A copy below the directory for copies opens as a store; anywhere else is refused."""
    version = world.put(TABLE, b"copied", "1").version
    got = world.admin.Checkpoint(admin_pb2.CheckpointRequest(directory="checkpoints/one"))
    check_header(world, got.header, version)
    assert got.version >= version, got
    world.put(TABLE, b"after", "1")
    for wrong in ("", "/", "one/", "checkpoints/..", "../outside", "/tmp/outside", "checkpoints/one",
                  "checkpoints/none/two", "checkpoints/../outside", "x" * 5000, "a\0b"):
        fails("BAD_ARGUMENT", world.admin.Checkpoint, admin_pb2.CheckpointRequest(directory=wrong),
              field="directory")
    copy = os.path.join(world.server.data_dir, "checkpoints", "one")
    with World(world.scratch, "copy", world.record,
               ["--master-key-file", os.path.join(world.server.data_dir, "master.key")], data_dir=copy) as other:
        assert other.get(TABLE, b"copied").version == version
        fails("KEY_NOT_FOUND", other.get, TABLE, b"after")


def log_level(world):
    levels = [admin_pb2.LOG_LEVEL_DEBUG, admin_pb2.LOG_LEVEL_ERROR, admin_pb2.LOG_LEVEL_WARN,
              admin_pb2.LOG_LEVEL_INFO]
    world.admin.SetLogLevel(admin_pb2.SetLogLevelRequest(level=admin_pb2.LOG_LEVEL_INFO))
    before = admin_pb2.LOG_LEVEL_INFO
    for level in levels:
        got = world.admin.SetLogLevel(admin_pb2.SetLogLevelRequest(level=level))
        check_header(world, got.header)
        assert got.previous_level == before, got
        before = level
    for wrong in (0, 5, -1):
        fails("BAD_ARGUMENT", world.admin.SetLogLevel, admin_pb2.SetLogLevelRequest(level=wrong), field="level")


def report_backup(world):
    report = {"place": "/backups/a \"b\" \\\u00e4", "result": admin_pb2.BACKUP_RESULT_DONE,
              "attempt_time": {"seconds": 1700000000, "nanos": 5000000},
              "newest": {"create_time": {"seconds": 1700000001}, "version": 7, "bytes": 99}}
    got = world.admin.ReportBackup(admin_pb2.ReportBackupRequest(**report))
    check_header(world, got.header)
    failed = {**report, "place": "other", "result": admin_pb2.BACKUP_RESULT_FAILED}
    del failed["newest"]
    check_header(world, world.admin.ReportBackup(admin_pb2.ReportBackupRequest(**failed)).header)
    for field, wrong in (("place", ""), ("place", "x" * 256), ("place", "a\nb"), ("place", "a\0"), ("place", "\x7f"),
                         ("result", 0), ("result", 3), ("attempt_time", None), ("attempt_time", {"seconds": -1}),
                         ("attempt_time", {"nanos": -1}), ("attempt_time", {"seconds": 16725225601})):
        fails("BAD_ARGUMENT", world.admin.ReportBackup, admin_pb2.ReportBackupRequest(**{**report, field: wrong}),
              field=field)
    for wrong in ({}, {"create_time": {"seconds": 16725225601}}, {"create_time": {"seconds": -1}}):
        fails("BAD_ARGUMENT", world.admin.ReportBackup, admin_pb2.ReportBackupRequest(**{**report, "newest": wrong}),
              field="newest.create_time")


def promote(world):
    """A node that follows nobody is a primary already; what replicas do is in replica_test.py."""
    got = world.admin.Promote(admin_pb2.PromoteRequest())
    check_header(world, got.header)
    assert got.term == got.header.term > 0 and got.version >= got.header.version and got.lost_versions == 0, got
    assert world.admin.Promote(admin_pb2.PromoteRequest(term=got.term)).term == got.term
    request = admin_pb2.PromoteRequest(term=got.term + 7, allow_data_loss=True)
    fails("BAD_ARGUMENT", world.admin.Promote, request, field="term")
    status = world.admin.GetStatus(admin_pb2.GetStatusRequest())
    assert status.role == admin_pb2.NODE_ROLE_PRIMARY and not status.HasField("replica"), status


def drain(world):
    """A drained server says so: not healthy, then no calls but those that watch it, with a hint to retry."""
    with World(world.scratch, "drained", world.record) as drained:
        drained.table(TABLE)
        for wrong in ({"seconds": -1}, {"nanos": -1}, {"seconds": 3601}):
            fails("BAD_ARGUMENT", drained.admin.Drain, admin_pb2.DrainRequest(grace=wrong), field="grace")
        watch = drained.health.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        got = drained.admin.Drain(admin_pb2.DrainRequest(grace=duration(2000)))
        check_header(drained, got.header)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        drained.put(TABLE, b"within the grace", "1")
        assert drained.admin.GetStatus(admin_pb2.GetStatusRequest()).draining
        # A stream that stays open keeps the server from ending before it was asked again.
        error = until(lambda: refusal(drained), "calls are refused")
        failure = check_failure(decode(error), "DRAINING")
        assert failure.others["RetryInfo"].retry_delay.ToMilliseconds() >= 100, failure.others


def refusal(world):
    try:
        world.put(TABLE, b"late", "1")
    except grpc.RpcError as error:
        return error
    return None


CASES = [status, server_info, formats, flush, compact, checkpoint, log_level, report_backup, promote, drain]
