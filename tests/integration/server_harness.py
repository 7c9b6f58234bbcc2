# SPDX-License-Identifier: Apache-2.0
"""Starts build/polarysd on free ports for tests, and stops it.

A test file has functions named test_...; each gets a running server with an empty store of its own:

    def test_what_it_does(server): ...
    main(globals())
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request

BUILD = os.environ.get("POLARYS_BUILD", "build")
PROGRAM = os.path.abspath(os.environ.get("POLARYSD", os.path.join(BUILD, "polarysd")))
GENERATED = os.path.abspath(os.environ.get("POLARYS_GEN_PYTHON", os.path.join(BUILD, "gen", "python")))
if os.path.isdir(GENERATED):
    sys.path.insert(0, GENERATED)

import google  # noqa: E402
import grpc  # noqa: E402

# Stubs of standard services lie below the names of packages that are installed.
for package in (grpc, google):
    below = os.path.join(GENERATED, package.__name__)
    if below not in package.__path__:
        package.__path__.append(below)

from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from grpc.health.v1 import health_pb2, health_pb2_grpc  # noqa: E402,F401
from polarys.v1 import admin_pb2, admin_pb2_grpc, bulk_pb2, bulk_pb2_grpc  # noqa: E402,F401
from polarys.v1 import common_pb2, kv_pb2, kv_pb2_grpc, query_pb2, query_pb2_grpc  # noqa: E402,F401
from polarys.v1 import table_pb2, table_pb2_grpc  # noqa: E402,F401

START_SECONDS = 30
STOP_SECONDS = 60
SERVING = re.compile(r"serving gRPC on port (\d+), admin on port (\d+)")


class Server:
    """One polarysd. Its port is chosen by the system, so that tests may run beside each other."""

    def __init__(self, *flags, data_dir=None, environment=None):
        self.scratch = tempfile.mkdtemp(prefix="polarysd-")
        self.data_dir = data_dir or os.path.join(self.scratch, "data")
        self.log_path = os.path.join(self.scratch, "log")
        self.flags = list(flags)
        self.environment = dict(os.environ, **(environment or {}))
        self.process = None
        self.channels = []
        self.start()

    def start(self, *flags):
        base = ["--dev", "--data-dir", self.data_dir, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
        with open(self.log_path, "ab") as log:
            offset = log.tell()
            self.process = subprocess.Popen([PROGRAM, *base, *self.flags, *flags], stdout=log, stderr=log,
                                            env=self.environment)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            found = SERVING.search(self.log()[offset:])
            if found:
                self.port, self.admin_port = int(found.group(1)), int(found.group(2))
                self.connect()
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError("polarysd did not start:\n" + self.log())

    def connect(self):
        self.channel = self.new_channel()
        self.kv = kv_pb2_grpc.KvServiceStub(self.channel)
        self.tables = table_pb2_grpc.TableServiceStub(self.channel)
        self.bulk = bulk_pb2_grpc.BulkServiceStub(self.channel)
        self.query = query_pb2_grpc.QueryServiceStub(self.channel)
        self.admin = admin_pb2_grpc.AdminServiceStub(self.channel)
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def new_channel(self):
        channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options=[
            ("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 << 20),
            ("grpc.max_send_message_length", 64 << 20)])
        self.channels.append(channel)
        return channel

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def http(self, path):
        """(status, text) of the admin port."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self, how=signal.SIGTERM):
        """Ends the process; its exit status."""
        for channel in self.channels:
            channel.close()
        self.channels = []
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout=STOP_SECONDS)
        return self.process.returncode

    def remove(self):
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)

    # What most tests begin with.

    def make_table(self, table="t"):
        return self.tables.CreateTable(table_pb2.CreateTableRequest(table=table), timeout=10)

    def put(self, key, json=None, raw=None, table="t", **more):
        value = common_pb2.Value(raw=raw) if raw is not None else common_pb2.Value(json=json)
        return self.kv.Put(kv_pb2.PutRequest(table=table, key=key, value=value, **more), timeout=10)

    def get(self, key, table="t", **more):
        return self.kv.Get(kv_pb2.GetRequest(table=table, key=key, **more), timeout=10)

    def fill(self, count, size=100, table="t", batch=500):
        for start in range(0, count, batch):
            self.kv.BatchWrite(kv_pb2.BatchWriteRequest(table=table, operations=[
                kv_pb2.WriteOperation(put=kv_pb2.PutOperation(
                    key=b"key-%06d" % i, value=common_pb2.Value(raw=b"%06d" % i + b"v" * (size - 6))))
                for i in range(start, min(start + batch, count))]), timeout=30)


class Failure:
    """A failed call, with its details unpacked."""

    def __init__(self, error):
        self.code, self.message = error.code(), error.details()
        self.details = {}
        for key, value in error.trailing_metadata() or ():
            if key == "grpc-status-details-bin":
                status = status_pb2.Status.FromString(value)
                assert status.code == self.code.value[0], f"{status.code} in the details of {self.code}"
                for packed in status.details:
                    name = packed.type_url.rsplit(".", 1)[1]
                    message = getattr(error_details_pb2, name)()
                    assert packed.Unpack(message)
                    self.details[name] = message

    @property
    def reason(self):
        return self.details["ErrorInfo"].reason if "ErrorInfo" in self.details else None

    @property
    def metadata(self):
        return {entry.key: entry.value for entry in self.details["ErrorInfo"].metadata}


def fails(function, code, reason=None):
    """Calls `function`, which must fail so; the Failure."""
    try:
        result = function()
        if hasattr(result, "__next__"):
            list(result)
    except grpc.RpcError as error:
        failure = Failure(error)
        assert failure.code == code, f"{failure.code}, not {code}: {failure.message}"
        assert reason is None or failure.reason == reason, f"{failure.reason}, not {reason}: {failure.message}"
        if reason is not None:
            assert failure.details["ErrorInfo"].domain == "polarysdb.io"
        return failure
    raise AssertionError(f"succeeded, where {code} {reason} was due")


SOON_SECONDS = 60


def soon(what, condition):
    """Waits for something that the server does by itself."""
    deadline = time.monotonic() + SOON_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {SOON_SECONDS} s"
        time.sleep(0.02)


Code = grpc.StatusCode


def main(names):
    """Runs every test_ function of a file, or those named on the command line."""
    passed, failed = 0, []
    wanted = sys.argv[1:]
    for name, function in list(names.items()):
        if not name.startswith("test_") or (wanted and name not in wanted):
            continue
        server = None
        begun = time.monotonic()
        try:
            flags = getattr(function, "flags", ())
            if getattr(function, "is_alone", False):
                function()
            else:
                server = Server(*flags)
                function(server)
            print(f"ok     {name} ({time.monotonic() - begun:.1f} s)", flush=True)
            passed += 1
        except BaseException:
            failed.append(name)
            print(f"FAILED {name}", flush=True)
            traceback.print_exc()
            if server is not None:
                print(server.log()[-3000:], file=sys.stderr)
            if isinstance(sys.exc_info()[1], KeyboardInterrupt):
                raise
        finally:
            if server is not None:
                server.remove()
    print(f"{passed} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


def with_flags(*flags):
    """Starts the server of a test with these."""
    def mark(function):
        function.flags = flags
        return function
    return mark


def alone(function):
    """The test starts its server by itself."""
    function.is_alone = True
    return function
