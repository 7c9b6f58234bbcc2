# SPDX-License-Identifier: Apache-2.0
"""polarysd on free loopback ports, in a process that can be killed, for the tests in Python."""
import os
import random
import signal
import socket
import subprocess
import sys
import time

BUILD = os.environ.get("POLARYS_BUILD", "build")
SERVER = os.environ.get("POLARYSD", os.path.join(BUILD, "polarysd"))
# A sanitizer's build has no stubs of its own.
GENERATED = os.environ.get("POLARYS_GEN_PYTHON", os.path.join(BUILD, "gen", "python"))
sys.path.insert(0, GENERATED)

import grpc  # noqa: E402

# The generated packages grpc.health and grpc.reflection lie beside those of ours, not in the installed grpc.
grpc.__path__.append(os.path.join(GENERATED, "grpc"))

from google.protobuf import any_pb2  # noqa: E402,F401
from google.rpc import error_details_pb2, status_pb2  # noqa: E402
from polarys.v1 import table_pb2, table_pb2_grpc  # noqa: E402


def free_port():
    """A free port that no connection of this machine takes for its own end while a server is down."""
    while True:
        port = random.SystemRandom().randrange(12000, 30000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Server:
    """One polarysd. `start` waits until it answers and returns the seconds until its port was open."""

    def __init__(self, data_dir, log, arguments=(), is_dev=True):
        self.data_dir, self.log, self.process = data_dir, log, None
        self.port, self.admin = free_port(), free_port()
        self.arguments, self.is_dev = list(arguments), is_dev

    def command(self):
        return ([SERVER] + (["--dev"] if self.is_dev else []) +
                ["--data-dir", self.data_dir, "--listen", f"127.0.0.1:{self.port}",
                 "--admin-listen", f"127.0.0.1:{self.admin}"] + self.arguments)

    def start(self, timeout=60):
        begun = time.monotonic()
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log)
        while True:
            if self.process.poll() is not None:
                raise AssertionError(f"the server did not start: status {self.process.returncode}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            assert time.monotonic() - begun < timeout, f"the server does not listen after {timeout} s"
            time.sleep(0.01)
        seconds = time.monotonic() - begun
        self.channel = grpc.insecure_channel(
            f"127.0.0.1:{self.port}", options=[("grpc.use_local_subchannel_pool", 1),
                                               ("grpc.max_receive_message_length", 64 << 20),
                                               ("grpc.max_send_message_length", 64 << 20)])
        table_pb2_grpc.TableServiceStub(self.channel).ListTables(
            table_pb2.ListTablesRequest(), timeout=30, wait_for_ready=True)
        return seconds

    def refuses_to_start(self):
        """Runs it and returns (status, what it printed): for configurations that must not serve."""
        run = subprocess.run(self.command(), capture_output=True, text=True, timeout=60, check=False)
        return run.returncode, run.stdout + run.stderr

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=60)
        return self.process.returncode if self.process is not None else 0


def details(error):
    """(reason, metadata, names of all details) of a failed call, decoded from grpc-status-details-bin."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            names = [detail.type_url.rsplit("/", 1)[1] for detail in status.details]
            for detail in status.details:
                if detail.type_url.endswith("/google.rpc.ErrorInfo"):
                    info = error_details_pb2.ErrorInfo.FromString(detail.value)
                    assert info.domain == "polarysdb.io", info.domain
                    return info.reason, {entry.key: entry.value for entry in info.metadata}, names
    return None, {}, []


def refused(call, *arguments, **options):
    """The error that a call must end with: (status name, reason, metadata, message)."""
    try:
        call(*arguments, **options)
    except grpc.RpcError as error:
        reason, metadata, _ = details(error)
        return error.code().name, reason, metadata, error.details()
    raise AssertionError("the call succeeded and must not")
