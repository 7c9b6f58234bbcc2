#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""import-polarysdb: the files of both versions of the Go program, compared document by document with what their
README says is in them."""
import base64
import json
import os
import shutil
import struct
import subprocess
import sys
import unittest
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_server import Server  # noqa: E402

FILES = os.path.join(os.environ.get("POLARYS_SOURCE", "."), "tests", "data", "polarysdb-go")
KEY = "6d792d7365637265742d656e6372797074696f6e2d6b65792d33326200000000"
OTHER_KEY = KEY[:-1] + "1"
BEFORE, AFTER = 1_700_000_000, 1_900_000_000

# What each file holds: JSON text as text, bytes as bytes. Written from the README of the files.
SNAPSHOT_110 = {
    "bool": "true",
    "bytes": '"AQL/"',
    "int": "42",
    "map": '{"a":1,"b":"x"}',
    "numstr": '"123"',
    "str": '"hello"',
}
LOG_110 = {**SNAPSHOT_110, "bytes": bytes([0x01, 0x02, 0xFF]), "numstr": "123"}
SNAPSHOT_210 = {
    "arr": '[1,"a",null,true]',
    "big": "9007199254740993",
    "bytes": '"AAEC/w=="',
    "f32": "0.1",
    "f64": "3.25",
    "fbig": "1e+21",
    "int": "1234567",
    "map": '{"age":30,"name":"Alice","nested":{"x":[1.5]}}',
    "neg": "-5",
    "nil": "null",
    "str": '"h\u00e9llo \\u003c\\u0026\\u003e \\u2028"',
    "struct": '{"name":"Bob","Age":7}',
    "true": "true",
    "uint": "18446744073709551615",
}
LOG_210 = {
    **SNAPSHOT_210,
    "bytes": bytes([0x00, 0x01, 0x02, 0xFF]),
    "fbig": "1000000000000000000000",
    "str": '"h\u00e9llo <&> \u2028"',
}


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def entry(operation: int, table: str, key: str, value: bytes = b"", time_ns: int = 1) -> bytes:
    """A log entry of 1.x, made here a second time."""
    data = varint(1 << 3) + varint(operation) + field(2, table.encode())
    data += field(3, key.encode()) if key else b""
    data += field(4, value) if value else b""
    data += varint(6 << 3) + varint(time_ns)
    return struct.pack("<II", len(data), zlib.crc32(data)) + data


class ImportPolarysdb(unittest.TestCase):
    def setUp(self):
        self.server = Server().start()
        self.addCleanup(self.server.close)

    def real(self, *parts: str) -> str:
        return os.path.join(FILES, *parts)

    def directory(self, version: str, snapshot_time: int) -> str:
        """A copy of a store, its snapshot as if it was written at a time."""
        path = os.path.join(self.server.directory, f"{version}-{snapshot_time}")
        shutil.copytree(self.real(version), path)
        os.utime(os.path.join(path, "state", "state.rdb"), (snapshot_time, snapshot_time))
        return path

    def file(self, name: str, data: bytes) -> str:
        path = os.path.join(self.server.directory, name)
        with open(path, "wb") as handle:
            handle.write(data)
        return path

    def read(self, path: str) -> bytes:
        with open(path, "rb") as handle:
            return handle.read()

    def run_import(self, *words: str, key: str = KEY) -> subprocess.CompletedProcess:
        return self.server.run("import-polarysdb", *words, *(("--key-hex", key) if key else ()))

    def done(self, *words: str, key: str = KEY) -> str:
        result = self.run_import(*words, key=key)
        self.assertEqual((result.returncode, result.stderr), (0, b""), words)
        return result.stdout.decode()

    def refused(self, *words: str, key: str = KEY) -> str:
        result = self.run_import(*words, key=key)
        self.assertEqual((result.returncode, result.stdout), (1, b""), words)
        return result.stderr.decode()

    def polarys(self, *words: str) -> str:
        result = self.server.run(*words)
        self.assertEqual((result.returncode, result.stderr), (0, b""), words)
        return result.stdout.decode()

    def tables(self) -> list[str]:
        return [json.loads(line)["table"] for line in self.polarys("table", "list", "-o", "json").splitlines()]

    def documents(self, table: str) -> dict:
        """Every document as it is stored: JSON text, or bytes. U+2028 is no line break here."""
        found = {}
        for line in self.polarys("scan", table, "-o", "json").split("\n")[:-1]:
            row = json.loads(line)
            stored = self.server.run("get", table, row["key"], "-o", "raw").stdout
            if "raw" in row:
                self.assertEqual(base64.b64decode(row["raw"]), stored)
            found[row["key"]] = stored if "raw" in row else stored.decode()
        return found

    def drop_all(self) -> None:
        for table in self.tables():
            self.polarys("table", "drop", table)


class Files(ImportPolarysdb):
    def check(self, expected: dict, *words: str, tables: list[str], key: str = KEY) -> None:
        summary = self.done(*words, key=key)
        self.assertRegex(summary, rf"^imported {len(expected)} documents, ")
        self.assertEqual(sorted(self.tables()), tables)
        self.assertEqual(self.documents("t"), expected)
        if "empty" in tables:
            self.assertEqual(self.documents("empty"), {})
        self.drop_all()

    def test_every_file_of_1_1_0(self):
        self.check(SNAPSHOT_110, self.real("v1.1.0", "state", "state.rdb"), tables=["t"])
        self.check(LOG_110, self.real("v1.1.0", "polarysdb.wal"), tables=["t"])
        self.check(LOG_110, self.real("v1.1.0", "polarysdb.wal"), tables=["t"], key="")
        self.check(LOG_110, self.directory("v1.1.0", BEFORE), tables=["t"])

    def test_every_file_of_2_1_0(self):
        both = ["empty", "t"]
        self.check(SNAPSHOT_210, self.real("v2.1.0", "state", "state.rdb"), tables=both)
        self.check(LOG_210, self.real("v2.1.0", "polarysdb.wal"), tables=both)
        self.check(SNAPSHOT_210, self.real("v2.1.0", "export.enc"), tables=both)
        self.check(SNAPSHOT_210, self.real("v2.1.0", "export.json"), tables=both)
        self.check(SNAPSHOT_210, self.real("v2.1.0", "export.json"), tables=both, key="")
        self.check(LOG_210, self.directory("v2.1.0", BEFORE), tables=both)
        backup = self.file("backup_20260102_030405.db", self.read(self.real("v2.1.0", "state", "state.rdb")))
        self.check(SNAPSHOT_210, backup, tables=both, key="0x" + KEY)

    def test_a_log_that_is_older_than_the_snapshot_is_left_out(self):
        path = self.directory("v2.1.0", AFTER)
        result = self.run_import(path)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(b"18 of 18 log entries are left out", result.stderr)
        self.assertIn(b"2030-03-17T17:46:40.000Z", result.stderr)
        self.assertEqual(self.documents("t"), SNAPSHOT_210)
        self.drop_all()
        self.check(LOG_210, path, "--replay-all", tables=["empty", "t"])

    def test_a_rotated_log_comes_before_the_log(self):
        path = self.directory("v1.1.0", BEFORE)
        os.rename(os.path.join(path, "polarysdb.wal"), os.path.join(path, "polarysdb.wal.1760000000.backup"))
        with open(os.path.join(path, "polarysdb.wal"), "wb") as handle:
            handle.write(entry(2, "t", "int", b"43", 2_000_000_000_000_000_000))
            handle.write(entry(3, "t", "str", b"", 2_000_000_000_000_000_000))
            handle.write(entry(2, "t", "map", b"too old", BEFORE * 1_000_000_000))
        result = self.run_import(path)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(b"1 of 12 log entries", result.stderr)
        expected = {**LOG_110, "int": "43"}
        del expected["str"]
        self.assertEqual(self.documents("t"), expected)

    def test_dry_run_tells_and_writes_nothing(self):
        rows = [json.loads(line) for line in self.done(self.real("v2.1.0", "polarysdb.wal"), "--dry-run", "-o", "json").splitlines()]
        self.assertEqual([(row["table"], row["documents"], row["raw"]) for row in rows], [("t", 14, 1), ("empty", 0, 0)])
        self.assertEqual(self.tables(), [])

    def test_many_documents(self):
        count = 20_000
        text = {"big": {f"key{i:06}": {"n": i, "text": "x" * (i % 700)} for i in range(count)},
                "other": {"one": "y" * 500_000}}
        path = self.file("export.json", json.dumps(text, indent=2).encode())
        summary = json.loads(self.done(path, "-o", "json", key=""))
        self.assertEqual(summary["documents"], count + 1)
        self.assertEqual(int(self.polarys("count", "big")), count)
        rows = self.polarys("export", "big").splitlines()
        self.assertEqual({row["key"]: row["value"] for row in map(json.loads, rows)}, text["big"])
        self.assertEqual(self.documents("other"), {"one": json.dumps(text["other"]["one"])})
        self.assertEqual(json.loads(self.done(path, "--replace", "-o", "json", key=""))["documents"], count + 1)
        self.assertEqual(int(self.polarys("count", "big")), count)


class Refusals(ImportPolarysdb):
    def test_wrong_key(self):
        for name in ("state/state.rdb", "polarysdb.wal", "export.enc"):
            error = self.refused(self.real("v2.1.0", name), key=OTHER_KEY)
            self.assertTrue(error.startswith("polarys: DATA_LOSS/TAMPERED: "), error)
            self.assertIn(name, error)
            self.assertIn("offset 0", error)
            self.assertIn("the key is another one", error)
            self.assertIn("--key-hex", self.refused(self.real("v2.1.0", name), key=""))
        self.assertEqual(self.run_import(self.real("v2.1.0"), key="12").returncode, 2)
        self.assertEqual(self.tables(), [])

    def test_damaged_files(self):
        for name in ("v1.1.0/polarysdb.wal", "v2.1.0/polarysdb.wal", "v2.1.0/state/state.rdb", "v2.1.0/export.enc"):
            whole = self.read(self.real(name))
            for i in range(5, len(whole), len(whole) // 7):
                altered = bytearray(whole)
                altered[i] ^= 0x10
                for data in (bytes(altered), whole[:i]):
                    path = self.file(os.path.basename(name), data)
                    error = self.refused(path)
                    self.assertTrue(error.startswith("polarys: DATA_LOSS/"), error)
                    self.assertIn(path + ": ", error)
                    self.assertIn("offset", error)
        self.assertEqual(self.tables(), [])

    def test_a_log_without_its_torn_end_can_be_imported(self):
        whole = self.read(self.real("v2.1.0", "polarysdb.wal"))
        path = self.file("polarysdb.wal", whole[:-1])
        error = self.refused(path)
        advice = error[error.index("truncate -s "):].split()
        self.assertEqual(advice[3], path)
        subprocess.run(advice, check=True)
        self.done(path)
        self.assertEqual(self.documents("t"), {**LOG_210, "gone": '"x"'})

    def test_existing_keys(self):
        path = self.real("v2.1.0", "export.json")
        self.polarys("table", "create", "t")
        self.polarys("put", "t", "zzz", '"not touched"')
        self.done(path)
        self.assertEqual(self.documents("t"), {**SNAPSHOT_210, "zzz": '"not touched"'})
        self.polarys("table", "truncate", "t")
        self.polarys("put", "t", "int", '"mine"')
        self.polarys("put", "t", "uint", '"mine"')
        self.polarys("put", "t", "aaa", '"mine"')
        before = self.documents("t")
        error = self.refused(path)
        self.assertTrue(error.startswith("polarys: ALREADY_EXISTS/KEY_EXISTS: 2 keys are there already, "
                                         'first "int" of the table "t"; nothing is written'), error)
        self.assertEqual(self.documents("t"), before)
        self.assertRegex(self.done(path, "--replace"), r"^imported 14 documents, ")
        self.assertEqual(self.documents("t"), {**SNAPSHOT_210, "aaa": '"mine"'})
        self.assertIn("14 keys are there already", self.refused(path))
        self.done(path, "--replace")

    def test_two_imports_at_once_never_replace_each_other(self):
        count = 5000
        processes = []
        for who in ("a", "b"):
            text = {"t": {f"key{i:05}": {"who": who, "pad": "x" * 200} for i in range(count)}}
            path = self.file(f"{who}.json", json.dumps(text).encode())
            processes.append((who, self.server.popen("import-polarysdb", path)))
        won, lost = [], []
        for who, process in processes:
            out, err = process.communicate(timeout=120)
            (won if process.returncode == 0 else lost).append((who, out, err.decode()))
        self.assertEqual((len(won), len(lost)), (1, 1), (won, lost))
        self.assertTrue(lost[0][2].startswith("polarys: ALREADY_EXISTS/KEY_EXISTS: "), lost)
        rows = [json.loads(line)["value"]["who"] for line in self.polarys("export", "t").splitlines()]
        self.assertEqual(rows, [won[0][0]] * count)

    def test_names_that_are_none_here(self):
        path = self.file("export.json", b'{"my users":{"a":1},"2024":{"b":2},"fine":{"c":3},"a=b":{"d":4}}')
        error = self.refused(path, key="")
        self.assertTrue(error.startswith("polarys: INVALID_ARGUMENT/BAD_NAME: 3 tables "), error)
        for name in ('"my users"', '"2024"', '"a=b"'):
            self.assertIn(name, error)
        self.assertEqual(self.tables(), [])
        words = ("--rename-table", "my users=users", "--rename-table", "2024=y2024", "--rename-table=a=b=ab")
        self.assertIn("would both become", self.refused(path, *words, "--rename-table", "fine=users", key=""))
        self.assertIn("no such table", self.refused(path, *words, "--rename-table", "nothing=n", key=""))
        self.assertEqual(self.run_import(path, "--rename-table", "my users=1", key="").returncode, 2)
        self.done(path, *words, "--rename-table", "fine=finer", key="")
        self.assertEqual(sorted(self.tables()), ["ab", "finer", "users", "y2024"])
        self.assertEqual(self.documents("users"), {"a": "1"})
        self.assertEqual(self.documents("ab"), {"d": "4"})

    def test_what_the_server_does_not_take_stops_before_anything_is_written(self):
        for text, words in (
                ({"t": {"a": 1}, "u": {"big": "x" * (1 << 20)}}, ("TOO_LARGE", 'key "big"', "1048576")),
                ({"t": {"a": 1}, "u": {"k" * 4097: 1}}, ("BAD_KEY", "4097 bytes")),
                ({"t": {"a": 1}, "u": {"": 1}}, ("BAD_KEY", "0 bytes")),
        ):
            error = self.refused(self.file("export.json", json.dumps(text).encode()), key="")
            for word in words:
                self.assertIn(word, error)
            self.assertEqual(self.tables(), [])

    def test_a_database_that_is_not_there(self):
        result = self.run_import(self.real("v2.1.0", "export.json"), "--database", "none")
        self.assertEqual(result.returncode, 3, result.stderr)
        self.polarys("database", "create", "go")
        self.done(self.real("v2.1.0", "export.json"), "--database", "go", "--durability", "async")
        self.assertEqual(self.polarys("count", "t", "--database", "go"), "14\n")
        self.assertEqual(self.tables(), [])


if __name__ == "__main__":
    unittest.main()
