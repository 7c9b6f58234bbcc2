# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command line share: commands that must succeed or fail, and a shell on a terminal."""
import json
import os
import pty
import select
import time
import unittest

from cli_server import POLARYS, Server

# Far more than any step takes: a machine that is busy with other tests must not fail one.
WAIT_SECONDS = 60


class CliCase(unittest.TestCase):
    """A server for the tests of a class."""
    server: Server

    @classmethod
    def setUpClass(cls):
        cls.server = Server().start()

    @classmethod
    def tearDownClass(cls):
        cls.server.close()

    def done(self, *words: str, data: bytes = b"") -> str:
        """Runs a command that must succeed without a word on standard error; returns what it prints."""
        result = self.server.run(*words, data=data)
        self.assertEqual((result.returncode, result.stderr), (0, b""), words)
        return result.stdout.decode("utf-8", "surrogateescape")

    def rows(self, *words: str, data: bytes = b"") -> list[dict]:
        return [json.loads(line) for line in self.done(*words, "-o", "json", data=data).splitlines()]

    def keys(self, *words: str, data: bytes = b"") -> list[str]:
        return [row["key"] for row in self.rows(*words, data=data)]

    def fails(self, status: int, reason: str, *words: str, data: bytes = b"") -> str:
        result = self.server.run(*words, data=data)
        self.assertEqual((result.returncode, result.stdout), (status, b""), (words, result.stderr))
        error = result.stderr.decode()
        self.assertTrue(error.startswith(f"polarys: {reason}: "), error)
        return error

    def comes_to_fail(self, reason: str, *words: str) -> None:
        """Runs a command until it fails for this reason; others are no reason to go on."""
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            result = self.server.run(*words)
            if result.returncode != 0:
                self.assertTrue(result.stderr.decode().startswith(f"polarys: {reason}: "), result.stderr)
                return
            time.sleep(0.05)
        self.fail(f"{words} still succeeds after {WAIT_SECONDS} s")


class Terminal:
    """The shell on a pseudo-terminal."""

    def __init__(self, case: CliCase):
        env = case.server.environment()
        env["TERM"] = "xterm"
        env.pop("NO_COLOR", None)
        self.case = case
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(POLARYS, [POLARYS], env)

    def until(self, text: bytes) -> None:
        """Reads until `text` was printed, and drops what came up to it."""
        end = time.monotonic() + WAIT_SECONDS
        while text not in self.seen and time.monotonic() < end:
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:
                    break
        self.case.assertIn(text, self.seen)
        self.seen = self.seen[self.seen.index(text) + len(text):]

    def type(self, text: bytes) -> None:
        os.write(self.fd, text)

    def leave(self) -> None:
        self.type(b"\\q\n")
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        self.case.assertEqual(status, 0)
