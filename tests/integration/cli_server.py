# SPDX-License-Identifier: Apache-2.0
"""A server for the tests of the command line, and the command line against it."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

POLARYSD = os.environ.get("POLARYSD", "build/polarysd")
POLARYS = os.environ.get("POLARYS", "build/polarys")
START_SECONDS_MAX = 60


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Server:
    """A polarysd of its own, on ports that stay the same over restarts."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="cli-")
        self.port, self.admin_port = free_ports(2)
        self.endpoint = f"127.0.0.1:{self.port}"
        self.admin_endpoint = f"127.0.0.1:{self.admin_port}"
        self.log = open(os.path.join(self.directory, "server.log"), "ab")
        self.process = None

    def start(self, *more: str) -> "Server":
        self.process = subprocess.Popen(
            [POLARYSD, "--dev", "--data-dir", os.path.join(self.directory, "data"), "--listen", self.endpoint,
             "--admin-listen", self.admin_endpoint, *more],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        end = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"http://{self.admin_endpoint}/readyz", timeout=5):
                    return self
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        with open(self.log.name, encoding="utf-8", errors="replace") as handle:
            said = handle.read()[-4000:]
        self.close()
        raise RuntimeError("the server did not start:\n" + said)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> int:
        """Ends it as an operator would; returns its exit status."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()
            status = -1
        self.process = None
        return status

    def close(self) -> None:
        """Ends it at once, and removes what it wrote."""
        self.kill()
        self.log.close()
        shutil.rmtree(self.directory)

    def environment(self) -> dict[str, str]:
        env = dict(os.environ)
        env.update(POLARYS_ENDPOINT=self.endpoint, POLARYS_ADMIN_ENDPOINT=self.admin_endpoint, HOME=self.directory)
        return env

    def popen(self, *words: str, **more) -> subprocess.Popen:
        return subprocess.Popen([POLARYS, *words], stdin=more.pop("stdin", subprocess.DEVNULL),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment(), **more)

    def run(self, *words: str, data: bytes = b"", timeout: float = 120) -> subprocess.CompletedProcess:
        return subprocess.run([POLARYS, *words], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=self.environment(), timeout=timeout, check=False)
