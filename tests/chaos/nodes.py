# SPDX-License-Identifier: Apache-2.0
"""The nodes of the group under test: processes that are killed, stopped, promoted and made to follow, and what they say of themselves."""
import json
import os
import signal
import subprocess
import time

from polarys_server import BUILD, SERVER

import grpc
from polarys.v1 import admin_pb2, admin_pb2_grpc, common_pb2, kv_pb2, kv_pb2_grpc, replication_pb2, replication_pb2_grpc

POLARYS = os.environ.get("POLARYS", os.path.join(BUILD, "polarys"))
PORT = 7480
WAIT_SECONDS = 90
CHANNEL_OPTIONS = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 300),
                   ("grpc.max_reconnect_backoff_ms", 300), ("grpc.use_local_subchannel_pool", 1),
                   ("grpc.max_receive_message_length", 64 << 20)]
SETTINGS = ["--insecure", "--admin-listen", "", "--memory-limit", "64MiB", "--wal-segment-bytes", "1MiB", "--drain-grace", "0ms",
            "--disk-reserve-bytes", "1MiB"]


def until(what, condition, seconds=WAIT_SECONDS):
    end = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except grpc.RpcError:
            pass
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Node:
    """One polarysd in its namespace. `life` counts its processes: what has to be monotonic is so within one."""

    def __init__(self, network, name, root, key, log):
        self.network, self.name, self.key, self.log = network, name, key, log
        self.tell = lambda text: None
        self.data_dir = os.path.join(root, name)
        self.target = f"{network.addresses[name]}:{PORT}"
        self.follows = None
        self.process, self.life, self.is_stopped = None, 0, False
        self.channel = None

    def start(self):
        words = [SERVER, "--data-dir", self.data_dir, "--listen", self.target, "--node-name", self.name,
                 "--master-key-file", self.key, *SETTINGS]
        if self.follows is not None:
            words += ["--follow", self.follows.target]
        self.life += 1
        self.tell(f"{self.name} starts" + (f", following {self.follows.name}" if self.follows else ""))
        self.process = subprocess.Popen(self.network.command(self.name, words), stdout=self.log, stderr=self.log)
        self.connect()

    def connect(self):
        if self.channel is not None:
            self.channel.close()
        self.channel = grpc.insecure_channel(self.target, options=CHANNEL_OPTIONS)
        self.kv = kv_pb2_grpc.KvServiceStub(self.channel)
        self.manage = admin_pb2_grpc.AdminServiceStub(self.channel)
        self.log_service = replication_pb2_grpc.ReplicationServiceStub(self.channel)

    def is_up(self):
        return self.process is not None and self.process.poll() is None

    def ended_by_itself(self):
        """The exit status of a process that nobody killed; None while it runs."""
        return None if self.process is None else self.process.poll()

    def kill(self):
        if self.is_up():
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.tell(f"{self.name} was killed")
        self.process, self.is_stopped = None, False

    def end(self):
        """As an operator does it; a node that does not end in time has a fault."""
        if self.is_up():
            self.resume()
            self.process.terminate()
            status = self.process.wait(timeout=WAIT_SECONDS)
            assert status == 0, f"{self.name} ended with status {status}"
        self.process = None

    def stop(self):
        self.process.send_signal(signal.SIGSTOP)
        self.tell(f"{self.name} was stopped")
        self.is_stopped = True

    def resume(self):
        if self.is_stopped:
            self.process.send_signal(signal.SIGCONT)
            self.tell(f"{self.name} goes on")
            self.is_stopped = False

    def status(self, timeout=3):
        return self.manage.GetStatus(admin_pb2.GetStatusRequest(), timeout=timeout)

    def slots(self):
        return self.log_service.ListSlots(replication_pb2.ListSlotsRequest(), timeout=3).slots

    def scan(self, table):
        """{key: (value, version)} of what the node holds."""
        found = {}
        request = kv_pb2.ScanRequest(table=table, consistency=common_pb2.Consistency(local=True))
        for message in self.kv.Scan(request, timeout=120):
            for document in message.documents:
                found[document.key] = (document.value.json, document.version)
        return found

    def command(self, *words, timeout=120):
        done = subprocess.run([POLARYS, "--plaintext", "--endpoint", self.target, "-o", "json", *words], capture_output=True,
                              text=True, timeout=timeout, check=False)
        return done.returncode, done.stdout, done.stderr

    def digest(self, version):
        status, out, err = self.command("digest", "--at-version", str(version))
        assert status == 0, f"digest of {self.name}: {err}"
        return json.loads(out)["digest"]

    def segments(self):
        """{name: bytes up to the last that is not zero} of the log."""
        directory = os.path.join(self.data_dir, "wal")
        found = {}
        for name in sorted(os.listdir(directory)):
            if name.endswith(".wal"):
                with open(os.path.join(directory, name), "rb") as file:
                    found[name] = file.read().rstrip(b"\0")
        return found
