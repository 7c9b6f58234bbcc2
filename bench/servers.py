# SPDX-License-Identifier: Apache-2.0
"""Servers under test: started on free ports of the loopback, stopped by their process ids."""
import os
import re
import socket
import subprocess
import sys
import time

START_SECONDS_MAX = 30


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A process and the port that it serves."""

    def __init__(self, command, log, port=None, pattern=None, cwd=None):
        self.log = log
        with open(log, "w", encoding="utf-8") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=cwd)
        self.port = port
        end = time.monotonic() + START_SECONDS_MAX
        while not self.is_ready(pattern):
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                with open(log, encoding="utf-8") as text:
                    sys.exit(f"{' '.join(command)} did not start: {text.read()[-2000:]}")
            time.sleep(0.05)

    def is_ready(self, pattern):
        if pattern is not None:
            with open(self.log, encoding="utf-8") as text:
                found = re.search(pattern, text.read())
            self.port = int(found.group(1)) if found else None
            return found is not None
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    @property
    def pid(self):
        return self.process.pid

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as text:
            return int(re.search(r"VmRSS:\s+(\d+)", text.read()).group(1)) * 1024

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def polarysd(context):
    directory = context.directory("polarysd")
    key = directory + ".key"
    with open(key, "w", encoding="ascii") as file:
        file.write(os.urandom(32).hex() + "\n")
    os.chmod(key, 0o600)
    return Server([context.program("polarysd"), "--data-dir", os.path.join(directory, "data"), "--master-key-file", key,
                   "--listen", "127.0.0.1:0", "--admin-listen", "", "--log-level", "info"],
                  directory + ".log", pattern=r"serving gRPC on port (\d+)")


def echo(context, mode="plain", get_bytes=217, put_bytes=81):
    directory = context.directory(f"echo-{mode}")
    command = [context.program("bench", "echo_server"), "--mode", mode, "--get-bytes", str(get_bytes), "--put-bytes",
               str(put_bytes)]
    if mode != "plain":
        command += ["--log", os.path.join(directory, "log")]
    return Server(command, directory + ".log", pattern=r"listening (\d+)")


def etcd(context):
    directory = context.directory("etcd")
    client, peer = free_port(), free_port()
    return Server(["etcd", "--data-dir", os.path.join(directory, "data"), "--log-level", "error",
                   "--listen-client-urls", f"http://127.0.0.1:{client}", "--advertise-client-urls", f"http://127.0.0.1:{client}",
                   "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls",
                   f"http://127.0.0.1:{peer}", "--initial-cluster", f"default=http://127.0.0.1:{peer}",
                   "--quota-backend-bytes", str(8 << 30)], directory + ".log", port=client)


def redis(context):
    directory = context.directory("redis")
    port = free_port()
    return Server(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--appendonly", "yes", "--appendfsync", "always",
                   "--save", "", "--dir", directory], directory + ".log", port=port)
