#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""import and export: formats, broken files, and a server that goes away in the middle."""
import json
import os
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_server import Server  # noqa: E402

DOCUMENTS = 60000


class ImportCase(unittest.TestCase):
    def setUp(self):
        self.server = Server().start()
        self.addCleanup(self.server.close)

    def file(self, name: str, lines) -> str:
        path = os.path.join(self.server.directory, name)
        with open(path, "wb") as handle:
            for line in lines:
                handle.write(line if isinstance(line, bytes) else (json.dumps(line) + "\n").encode())
        return path

    def done(self, *words: str, data: bytes = b"") -> str:
        result = self.server.run(*words, data=data)
        self.assertEqual((result.returncode, result.stderr), (0, b""), words)
        return result.stdout.decode()

    def many(self, pad: int = 200) -> str:
        return self.file("many.jsonl", ({"id": f"{i:06}", "n": i, "text": "x" * pad} for i in range(DOCUMENTS)))

    def count(self, table: str) -> int:
        return int(self.done("count", table))


class Files(ImportCase):
    def test_round_trip_of_everything(self):
        self.done("table", "create", "from")
        self.done("put", "from", "json", '{"a": [1,\n 2.50, "\\u00e4"]}')
        self.done("put", "from", "text key \u00e4", '"x"')
        self.done("put", "from", "raw", "--raw", "-", data=bytes(range(256)))
        self.done("put", "from", "later", "1", "--expires-in", "1h")
        self.done("import", "from", "-", data=b'{"key_base64":"/wD+","value":null}\n')
        path = os.path.join(self.server.directory, "out.jsonl")
        self.assertRegex(self.done("export", "from", path), r"^exported 5 documents, ")
        self.assertRegex(self.done("import", "to", path), r"^imported 5 documents, ")
        again = self.done("export", "to")
        with open(path, encoding="utf-8") as handle:
            self.assertEqual(again, handle.read())
        self.assertEqual(self.server.run("get", "to", "raw", "-o", "raw").stdout, bytes(range(256)))
        self.assertIn('{"key_base64":"/wD+","value":null}', again)
        self.assertEqual(os.listdir(self.server.directory).count("out.jsonl.partial"), 0)

    def test_scan_can_be_imported(self):
        self.done("import", "a", "-", data=b'{"key":"x","value":{"n":1}}\n{"key":"y","raw":"AAE="}\n')
        self.done("import", "b", "-", data=self.done("scan", "a", "-o", "json").encode())
        self.assertEqual(self.done("export", "b"), self.done("export", "a"))

    def test_key_field(self):
        path = self.file("docs.jsonl", [{"id": 7, "name": "a"}, {"name": "b", "id": "x"}, b"\n", b'{"id":7,"name":"c"}'])
        self.assertEqual(json.loads(self.done("import", "docs", path, "--key-field", "id", "-o", "json"))["documents"], 3)
        self.assertEqual(self.count("docs"), 2)
        self.assertEqual(self.done("get", "docs", "7", "-o", "raw"), '{"id":7,"name":"c"}')
        self.done("import", "docs", path, "--key-field", "id")
        self.assertEqual(self.count("docs"), 2)

    def test_broken_files_stop_at_the_line(self):
        good = [{"id": f"{i:04}"} for i in range(1500)]
        for line, reason, words in (
                (b'{"id":"a","x":tru}\n', "BAD_JSON", ("line 1501, offset ",)),
                (b'{"name":"a"}\n', "BAD_KEY", ("line 1501", '"id"')),
                (b'{"id":"' + b"k" * 5000 + b'"}\n', "BAD_KEY", ("line 1501", "4096")),
                (b'{"id":"a","v":"' + b"v" * (1 << 20) + b'"}\n', "TOO_LARGE", ("line 1501", "1048576")),
                (b'{"id":"a"} {"id":"b"}\n', "BAD_JSON", ("line 1501, offset ",)),
                (b"\xff\xfe\n", "BAD_JSON", ("line 1501, offset ",)),
        ):
            path = self.file("broken.jsonl", [*good, line, {"id": "after"}])
            result = self.server.run("import", "broken", path, "--key-field", "id")
            error = result.stderr.decode()
            self.assertEqual((result.returncode, result.stdout), (1, b""), error)
            self.assertTrue(error.startswith(f"polarys: INVALID_ARGUMENT/{reason}: {path}: "), error)
            for word in words:
                self.assertIn(word, error)
            self.assertIn("the 1500 documents before it are written", error)
            self.assertEqual(self.count("broken"), 1500)

    def test_files_and_tables_that_cannot_be(self):
        result = self.server.run("import", "t", "/nonexistent.jsonl")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"FILE_NOT_FOUND", result.stderr)
        self.assertEqual(self.server.run("import", "no/name", "-", data=b"").returncode, 1)
        self.assertEqual(self.server.run("import", "t", "-", "--database", "none", data=b"").returncode, 3)
        self.assertEqual(self.server.run("export", "missing").returncode, 3)
        path = os.path.join(self.server.directory, "kept.jsonl")
        with open(path, "w", encoding="ascii") as handle:
            handle.write("as it was")
        self.assertEqual(self.server.run("export", "missing", path).returncode, 3)
        self.assertEqual(self.server.run("export", "missing", "/nonexistent/x").returncode, 1)
        with open(path, encoding="ascii") as handle:
            self.assertEqual(handle.read(), "as it was")
        self.assertEqual(self.server.run("import", "t", self.server.directory).returncode, 1)

    def test_expired_documents_are_deleted(self):
        self.done("import", "t", "-", data=b'{"key":"a","value":1}\n')
        self.done("import", "t", "-", data=b'{"key":"a","value":1,"expires_at":"2020-01-01T00:00:00.000Z"}\n')
        self.assertEqual(self.count("t"), 0)


class Breaks(ImportCase):
    def wait_for(self, table: str, documents: int) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            result = self.server.run("count", table)
            if result.returncode == 0 and int(result.stdout) >= documents:
                return
        self.fail(f"{table} never had {documents} documents")

    def feed(self, path: str, process: subprocess.Popen, pause: threading.Event) -> None:
        """Half of the file at once, the other half when told."""
        with open(path, "rb") as handle:
            data = handle.read()
        middle = data.index(b"\n", len(data) // 2) + 1
        process.stdin.write(data[:middle])
        process.stdin.flush()
        pause.wait(60)
        process.stdin.write(data[middle:])
        process.stdin.close()

    def test_import_goes_on_when_the_server_was_killed(self):
        path = self.many()
        process = self.server.popen("import", "many", "-", "--key-field", "id", "--retry-for", "60s", "-o", "json", stdin=subprocess.PIPE)
        go_on = threading.Event()
        feeder = threading.Thread(target=self.feed, args=(path, process, go_on))
        feeder.start()
        self.wait_for("many", DOCUMENTS // 4)
        self.server.kill()
        self.server.start()
        go_on.set()
        feeder.join()
        out, err = process.stdout.read(), process.stderr.read()
        self.assertEqual((process.wait(60), err), (0, b""))
        self.assertEqual(json.loads(out)["documents"], DOCUMENTS)
        self.check_all("many")

    def test_import_goes_on_when_the_server_dies_under_load(self):
        path = self.many(800)
        process = self.server.popen("import", "many", path, "--key-field", "id", "--retry-for", "60s", "-o", "json")
        self.wait_for("many", 1)
        self.server.kill()
        self.server.start()
        out, err = process.communicate(timeout=120)
        self.assertEqual((process.returncode, err), (0, b""))
        self.assertEqual(json.loads(out)["documents"], DOCUMENTS)
        self.check_all("many")

    def check_all(self, table: str) -> None:
        self.assertEqual(self.count(table), DOCUMENTS)
        lines = self.done("export", table).splitlines()
        self.assertEqual(len(lines), DOCUMENTS)
        for i, line in enumerate(lines):
            row = json.loads(line)
            self.assertEqual((row["key"], row["value"]["n"]), (f"{i:06}", i))

    def test_import_gives_up_on_a_server_that_stays_away(self):
        path = self.many(800)
        process = self.server.popen("import", "many", path, "--key-field", "id")
        self.wait_for("many", 1)
        self.server.kill()
        start = time.monotonic()
        out, err = process.communicate(timeout=60)
        seconds = time.monotonic() - start
        self.assertEqual((process.returncode, out), (1, b""), err)
        self.assertTrue(err.startswith(b"polarys: UNAVAILABLE: "), err)
        self.assertTrue(8 < seconds < 25, seconds)
        start = time.monotonic()
        self.assertEqual(self.server.run("import", "many", path, "--key-field", "id", "--retry-for", "1s").returncode, 1)
        self.assertLess(time.monotonic() - start, 8)
        self.assertEqual(self.server.run("import", "many", path, "--retry-for", "soon").returncode, 2)
        self.server.start()
        self.done("import", "many", path, "--key-field", "id")
        self.check_all("many")

    def test_export_goes_on_when_the_server_was_killed(self):
        self.done("import", "many", self.many(800), "--key-field", "id")
        process = self.server.popen("export", "many", "--retry-for", "60s")
        first = process.stdout.read(1 << 20)
        self.server.kill()
        self.server.start()
        rest, err = process.communicate(timeout=120)
        self.assertEqual((process.returncode, err), (0, b""))
        lines = (first + rest).splitlines()
        self.assertEqual(len(lines), DOCUMENTS)
        self.assertEqual([json.loads(line)["key"] for line in lines], [f"{i:06}" for i in range(DOCUMENTS)])

    def test_a_reader_that_has_enough_ends_an_export_quietly(self):
        self.done("import", "many", self.many(), "--key-field", "id")
        process = self.server.popen("export", "many")
        process.stdout.read(1000)
        process.stdout.close()
        self.assertEqual((process.wait(60), process.stderr.read()), (1, b""))


if __name__ == "__main__":
    unittest.main()
