#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Start, settings, health, reflection, the admin port, limits, and the way down."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from server_harness import *  # noqa: E402,F403

from google.protobuf import descriptor_pb2  # noqa: E402
from google.protobuf.duration_pb2 import Duration  # noqa: E402
from grpc.reflection.v1 import reflection_pb2  # noqa: E402

SERVING, NOT_SERVING = 1, 2


def run(*flags, **environment):
    return subprocess.run([PROGRAM, *flags], capture_output=True, text=True, timeout=30,
                          env=dict(os.environ, **environment), check=False)


def test_the_admin_port_answers(server):
    assert server.http("/livez") == (200, "alive\n")
    assert server.http("/readyz") == (200, "ready\n")
    assert server.http("/startupz")[0] == 200
    assert server.http("/nothing")[0] == 404
    status, page = server.http("/metrics")
    assert status == 200 and "polarysdb_build_info" in page
    posted = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", "x",
                             f"http://127.0.0.1:{server.admin_port}/livez"], capture_output=True, text=True, check=True)
    assert posted.stdout == "405"
    if shutil.which("promtool"):
        checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True,
                                 check=False)
        assert checked.returncode == 0, checked.stderr


@with_flags("--metrics-enabled=false")
def test_metrics_can_be_switched_off(server):
    assert server.http("/metrics")[0] == 404
    assert server.http("/livez")[0] == 200


def test_calls_are_counted(server):
    server.make_table()
    for _ in range(3):
        server.put(b"k", json="1")
    fails(lambda: server.get(b"none"), Code.NOT_FOUND)
    name = 'polarysdb_rpc_duration_seconds_count{method="polarys.v1.KvService/'
    # A call is counted when its last operation has completed, a moment after its answer was read.
    page, end = "", time.monotonic() + SOON_SECONDS
    while name + 'Get",code="NOT_FOUND"} 1' not in page and time.monotonic() < end:
        page = server.http("/metrics")[1]
    assert name + 'Put",code="OK"} 3' in page
    assert name + 'Get",code="NOT_FOUND"} 1' in page
    calls = {call.method: call for call in server.admin.GetStatus(admin_pb2.GetStatusRequest(), timeout=30).calls}
    assert calls["polarys.v1.KvService/Put"].succeeded == 3
    assert calls["polarys.v1.KvService/Get"].failed == 1


def test_status_and_information(server):
    server.make_table()
    server.fill(100)
    status = server.admin.GetStatus(admin_pb2.GetStatusRequest(), timeout=30)
    assert status.version and status.durable_version <= status.version and len(status.levels) == 7
    assert status.role == admin_pb2.NODE_ROLE_PRIMARY and not status.draining and status.memory.limit_bytes
    flushed = server.admin.Flush(admin_pb2.FlushRequest(), timeout=10)
    assert flushed.flushed_version >= status.version
    info = server.admin.GetServerInfo(admin_pb2.GetServerInfoRequest(), timeout=30)
    limits = {limit.name: limit for limit in info.limits}
    assert limits["value_bytes_max"].value == 1 << 20 and limits["value_bytes_max"].unit == "bytes"
    assert limits["request_bytes_max"].value == 4 << 20 and limits["calls_max"].unit == "count"
    assert info.listen_address == f"127.0.0.1:{server.port}" and "bulk_write" in info.features
    server.admin.Compact(admin_pb2.CompactRequest(table="t"), timeout=30)
    server.admin.Compact(admin_pb2.CompactRequest(), timeout=30)
    fails(lambda: server.admin.Compact(admin_pb2.CompactRequest(table="none"), timeout=30),
          Code.NOT_FOUND, "TABLE_NOT_FOUND")


def test_checkpoints_open_and_stay_where_they_may_be(server):
    server.make_table()
    server.put(b"k", json="1")
    made = server.admin.Checkpoint(admin_pb2.CheckpointRequest(directory="checkpoints/one"), timeout=30)
    assert made.version
    for bad in ("checkpoints/one", "elsewhere", "/tmp/polarys-x", "checkpoints/../../x", "checkpoints/..", "", "x\0y",
                "checkpoints/none/two"):
        fails(lambda b=bad: server.admin.Checkpoint(admin_pb2.CheckpointRequest(directory=b), timeout=10),
              Code.INVALID_ARGUMENT, "BAD_ARGUMENT")
    copy = Server("--master-key-file", os.path.join(server.data_dir, "master.key"),
                  data_dir=os.path.join(server.data_dir, "checkpoints", "one"))
    try:
        assert copy.get(b"k").value.json == "1"
    finally:
        copy.remove()


def test_health_of_the_whole_and_of_services(server):
    for service in ("", "polarys.v1.KvService", "grpc.health.v1.Health"):
        assert server.health.Check(health_pb2.HealthCheckRequest(service=service), timeout=30).status == SERVING
    fails(lambda: server.health.Check(health_pb2.HealthCheckRequest(service="polarys.v1.Kv"), timeout=30),
          Code.NOT_FOUND)
    watch = server.health.Watch(health_pb2.HealthCheckRequest(), timeout=20)
    assert next(watch).status == SERVING
    server.admin.Drain(admin_pb2.DrainRequest(grace=Duration(seconds=60)), timeout=30)
    assert next(watch).status == NOT_SERVING
    assert server.http("/readyz") == (503, "draining\n")
    assert server.admin.GetStatus(admin_pb2.GetStatusRequest(), timeout=30).draining
    server.make_table()  # served during the grace
    unknown = server.health.Watch(health_pb2.HealthCheckRequest(service="none"), timeout=30)
    assert next(unknown).status == 3
    unknown.cancel()


def test_drain_refuses_after_its_grace(server):
    server.make_table()
    server.admin.Drain(admin_pb2.DrainRequest(grace=Duration()), timeout=30)
    deadline = time.monotonic() + SOON_SECONDS
    while time.monotonic() < deadline:
        try:
            server.put(b"k", json="1")
        except grpc.RpcError as error:
            failure = Failure(error)
            break
    assert failure.code == Code.UNAVAILABLE and failure.reason == "DRAINING" and "RetryInfo" in failure.details
    assert server.stop() == 0


def reflect(server, version, *requests):
    call = server.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        reflection_pb2.ServerReflectionRequest.SerializeToString, reflection_pb2.ServerReflectionResponse.FromString)
    return list(call(iter(requests), timeout=10))


def test_reflection_gives_every_service_with_its_files(server):
    Ask = reflection_pb2.ServerReflectionRequest
    for version in ("v1", "v1alpha"):
        answer, = reflect(server, version, Ask(list_services="*"))
        services = [service.name for service in answer.list_services_response.service]
        assert "polarys.v1.KvService" in services and f"grpc.reflection.{version}.ServerReflection" in services
        answers = reflect(server, version, *[Ask(file_containing_symbol=name) for name in services])
        for name, answer in zip(services, answers):
            files = [descriptor_pb2.FileDescriptorProto.FromString(bytes_)
                     for bytes_ in answer.file_descriptor_response.file_descriptor_proto]
            have = {file.name for file in files}
            assert all(needed in have for file in files for needed in file.dependency), "an import is missing"
            assert any(f"{files[0].package}.{service.name}" == name for service in files[0].service)
            assert answer.original_request.file_containing_symbol == name
    by_name, none, extensions, bad = reflect(
        server, "v1", Ask(file_by_filename="polarys/v1/kv.proto"), Ask(file_containing_symbol="no.such"),
        Ask(all_extension_numbers_of_type="polarys.v1.GetRequest"), Ask())
    assert by_name.HasField("file_descriptor_response") and none.error_response.error_code == 5
    assert extensions.HasField("all_extension_numbers_response") and bad.error_response.error_code == 3


def test_the_log_level_changes_at_run_time(server):
    changed = server.admin.SetLogLevel(admin_pb2.SetLogLevelRequest(level=admin_pb2.LOG_LEVEL_DEBUG), timeout=30)
    assert changed.previous_level == admin_pb2.LOG_LEVEL_INFO
    server.make_table()
    soon("a line is logged", lambda: "TableService/CreateTable ended" in server.log())
    fails(lambda: server.admin.SetLogLevel(admin_pb2.SetLogLevelRequest(), timeout=30),
          Code.INVALID_ARGUMENT, "BAD_ARGUMENT")


@alone
def test_hangup_reloads_what_can_be_reloaded():
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "polarysd.yaml")
        with open(path, "w", encoding="ascii") as file:
            file.write("log_level: info\n")
        server = Server("--config", path)
        try:
            with open(path, "w", encoding="ascii") as file:
                file.write("log_level: debug\ncalls_max: 7\n")
            server.process.send_signal(signal.SIGHUP)
            soon("settings are reloaded", lambda: "reload: log_level is taken over" in server.log())
            soon("what cannot be is told", lambda: "reload: calls_max has changed, but needs a restart" in server.log())
            with open(path, "w", encoding="ascii") as file:
                file.write("log_levl: debug\n")
            server.process.send_signal(signal.SIGHUP)
            soon("a wrong file is told of", lambda: "all stays as it was" in server.log())
            assert "polarysd.yaml:1: unknown key" in server.log() and server.process.poll() is None
        finally:
            server.remove()


@alone
def test_commands_and_refusals_of_the_command_line():
    assert run("--version").stdout.startswith("polarysd 0.")
    assert "--data-dir" in run("--help").stdout
    with open("docs/configuration.md", encoding="utf-8") as file:
        assert run("--print-configuration-docs").stdout == file.read(), "docs/configuration.md is out of date"
    assert run("--dev", "--check-config").returncode == 0
    for flags, says in ((("--check-config",), "master_key_file"), (("--dev", "--nothing"), "unknown flag"),
                        (("--master-key-file=k", "--listen=0.0.0.0:1", "--check-config"), "--insecure")):
        refused = run(*flags)
        assert refused.returncode == 2 and says in refused.stderr, refused.stderr
    assert "POLARYSD_NOTHING" in run("--dev", "--check-config", POLARYSD_NOTHING="1").stderr
    missing = run("--master-key-file", "/nonexistent/key", "--data-dir", "/tmp/polarysd-none", "--listen=127.0.0.1:0",
                  "--admin-listen=")
    assert missing.returncode == 1 and "/nonexistent/key" in missing.stderr


@alone
def test_a_port_or_a_store_that_is_taken_is_refused():
    server = Server()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            second = run("--dev", "--data-dir", scratch, "--listen", f"127.0.0.1:{server.port}", "--admin-listen=")
            assert second.returncode == 1 and "taken" in second.stderr, second.stderr
            admin = run("--dev", "--data-dir", scratch, "--listen=127.0.0.1:0",
                        "--admin-listen", f"127.0.0.1:{server.admin_port}")
            assert admin.returncode == 1 and "admin port" in admin.stderr, admin.stderr
        store = run("--dev", "--data-dir", server.data_dir, "--listen=127.0.0.1:0", "--admin-listen=")
        assert store.returncode == 1 and "STORE_LOCKED" in store.stderr, store.stderr
        assert server.http("/livez")[0] == 200
    finally:
        server.remove()


@with_flags("--calls-max=4", "--workers=1")
def test_calls_beyond_the_limit_are_refused(server):
    server.make_table()
    streams = []
    for _ in range(4):
        stream = server.bulk.Write(iter_forever(), timeout=30)
        next(stream)
        streams.append(stream)
    full = fails(lambda: server.get(b"k"), Code.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    assert full.metadata["limit"] == "calls_max" and "RetryInfo" in full.details
    assert server.health.Check(health_pb2.HealthCheckRequest(), timeout=30).status == SERVING
    for stream in streams:
        stream.cancel()


def iter_forever():
    yield bulk_pb2.WriteRequest(open=bulk_pb2.WriteOpen(table="t"))
    threading.Event().wait(20)


@with_flags("--max-connections=2")
def test_connections_beyond_the_limit_are_refused(server):
    server.make_table()
    server.put(b"k", json="1")
    first = kv_pb2_grpc.KvServiceStub(server.new_channel())
    get = kv_pb2.GetRequest(table="t", key=b"k")
    first.Get(get, timeout=30)
    soon("two connections are counted", lambda: "polarysdb_connections 2" in server.http("/metrics")[1])
    channels = [server.new_channel() for _ in range(2)]
    for channel in channels:
        grpc.channel_ready_future(channel).result(timeout=30)
    soon("four connections are counted", lambda: "polarysdb_connections 4" in server.http("/metrics")[1])
    for channel in channels:
        refused = fails(lambda: kv_pb2_grpc.KvServiceStub(channel).Get(get, timeout=30), Code.RESOURCE_EXHAUSTED,
                        "TOO_MANY_CALLS")
        assert refused.metadata["limit"] == "max_connections"
    first.Get(get, timeout=30)
    server.get(b"k")


@with_flags("--buffer-size=1", "--workers=1")
def test_more_writes_than_the_buffer_holds_are_refused(server):
    server.make_table()
    put = kv_pb2.PutRequest(table="t", key=b"k", value=common_pb2.Value(json="1"))
    calls = [server.kv.Put.future(put, timeout=20) for _ in range(400)]
    outcomes = [call.exception() for call in calls]
    refused = [error for error in outcomes if error is not None]
    assert len(refused) < len(outcomes), "none got through"
    for error in refused:
        failure = Failure(error)
        assert failure.reason == "WRITE_STALL" and "RetryInfo" in failure.details


@with_flags("--enable-wal=false", "--wal-sync-interval=60s")
def test_without_the_log_writes_are_asynchronous(server):
    server.make_table()
    put = server.put(b"k", json="1")
    assert put.header.version < put.version, "the write was made durable"
    assert server.get(b"k").value.json == "1"
    synced = server.put(b"k2", json="1", durability=common_pb2.DURABILITY_LOCAL_SYNC)
    assert synced.header.version >= synced.version


@with_flags("--value-bytes-max=8MiB")
def test_larger_values_where_they_are_allowed(server):
    server.make_table()
    server.put(b"k", raw=b"x" * (8 << 20))
    assert len(server.get(b"k").value.raw) == 8 << 20
    fails(lambda: server.put(b"k", raw=b"x" * ((8 << 20) + 1)), Code.INVALID_ARGUMENT, "TOO_LARGE")


def test_a_terminated_server_finishes_what_is_under_way(server):
    server.make_table()
    server.fill(30000, size=500)
    watch = server.health.Watch(health_pb2.HealthCheckRequest(), timeout=30)
    assert next(watch).status == SERVING
    opening = bulk_pb2.WriteRequest(open=bulk_pb2.WriteOpen(table="t"))

    def requests():
        yield opening
        threading.Event().wait(3)
    bulk = server.bulk.Write(requests(), timeout=30)
    session = next(bulk).opened.session_id
    server.process.terminate()
    fails(lambda: bulk, Code.UNAVAILABLE, "DRAINING")
    begun = time.monotonic()
    assert server.process.wait(timeout=20) == 0
    assert time.monotonic() - begun < 10
    assert [answer.status for answer in drained(watch)] in ([NOT_SERVING], [])
    server.stop()
    server.start()
    again = server.bulk.Write(iter([bulk_pb2.WriteRequest(open=bulk_pb2.WriteOpen(table="t", session_id=session)),
                                    bulk_pb2.WriteRequest(close=bulk_pb2.WriteClose())]), timeout=10)
    assert [answer.WhichOneof("message") for answer in again] == ["opened", "closed"]
    assert server.query.Count(query_pb2.CountRequest(table="t"), timeout=20).count == 30000


def drained(stream):
    try:
        yield from stream
    except grpc.RpcError as error:
        assert error.code() == Code.UNAVAILABLE, error


@with_flags("--drain-timeout=600s")
def test_a_second_signal_hastens(server):
    server.make_table()
    server.fill(20000, size=1000)
    stuck = server.kv.Scan(kv_pb2.ScanRequest(table="t"), timeout=900)
    next(stuck)  # and then nothing: its message waits for ever
    time.sleep(0.3)
    server.process.terminate()
    time.sleep(0.5)
    assert server.process.poll() is None, "did not wait for the scan"
    server.process.terminate()
    assert server.process.wait(timeout=120) == 0


def test_garbage_on_the_port_harms_nobody(server):
    import socket as sockets
    server.make_table()
    for bytes_ in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 200, b""):
        with sockets.create_connection(("127.0.0.1", server.port), timeout=30) as raw:
            raw.sendall(bytes_)
    server.put(b"k", json="1")
    assert server.http("/livez")[0] == 200


main(globals())
