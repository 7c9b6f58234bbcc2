#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The programs in examples/ compile against the shared library as a user's would, and run."""
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_server import Server  # noqa: E402

SOURCE = os.environ.get("POLARYS_SOURCE", ".")
BUILD = os.environ.get("POLARYS_BUILD", "build")


class Example(unittest.TestCase):
    source = "client.c"

    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="cli-example-")
        self.addCleanup(directory.cleanup)
        self.program = os.path.join(directory.name, "example")
        # A library built with a sanitizer needs its run-time library, which the static one does not name either.
        sanitize = ["-fsanitize=address,undefined"] if os.path.basename(BUILD) == "asan" else []
        library = os.path.join(BUILD, "libpolarys.so.0")
        if not os.path.exists(library):
            library = os.path.join(BUILD, "libpolarys.a")
        subprocess.run([os.environ.get("CC", "gcc"), "-std=c17", "-Wall", "-Wextra", "-Werror", *sanitize,
                        "-I", SOURCE, os.path.join(SOURCE, "examples", self.source), library,
                        "-lgrpc", "-lgpr", "-lprotobuf-c", "-pthread", "-Wl,-rpath," + os.path.abspath(BUILD),
                        "-o", self.program], check=True)

    def run_program(self, endpoint: str) -> subprocess.CompletedProcess:
        return subprocess.run([self.program, endpoint], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                              check=False)

    lines = ['rex is {"kind":"dog","age":4}', "2000 fish", "rex: KEY_NOT_FOUND"]

    def test_runs_twice(self):
        server = Server().start()
        self.addCleanup(server.close)
        for _ in range(2):
            result = self.run_program(server.endpoint)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertEqual(result.stdout.decode().splitlines(), self.lines)

    def test_says_when_nobody_is_there(self):
        result = self.run_program("127.0.0.1:1")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"UNAVAILABLE", result.stderr)

    def test_says_when_an_endpoint_is_none(self):
        result = self.run_program("nonsense:endpoint:")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"is not HOST:PORT", result.stderr)


class QueryExample(Example):
    source = "query.c"
    lines = ["sold a copy", '{"title":"Moby-Dick","in-stock":7}', '{"title":"Emma","in-stock":2}',
             "dracula: Letters about a count who [travels] by night"]


if __name__ == "__main__":
    unittest.main()
