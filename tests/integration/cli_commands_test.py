#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every command of `polarys` against a real server: output, exit status, and what goes wrong."""
import json
import os
import re
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_case import WAIT_SECONDS, CliCase, Terminal  # noqa: E402
from cli_server import POLARYS  # noqa: E402


class CommandCase(CliCase):
    def table(self, name: str, documents: int = 0) -> str:
        self.done("table", "create", name)
        if documents:
            lines = "".join(json.dumps({"key": f"k{i:05}", "value": {"n": i}}) + "\n" for i in range(documents))
            self.done("import", name, "-", data=lines.encode())
        return name


class Documents(CommandCase):
    def test_put_get_delete(self):
        table = self.table("docs")
        version = self.rows("put", table, "ann", '{"name": "Ann",  "n": 1.0}')[0]["version"]
        self.assertEqual(self.done("get", table, "ann", "-o", "raw"), '{"name": "Ann",  "n": 1.0}')
        row = self.rows("get", table, "ann")[0]
        self.assertEqual((row["key"], row["version"], row["value"]), ("ann", version, {"name": "Ann", "n": 1}))
        text = self.done("get", table, "ann").splitlines()
        self.assertEqual(text[0].split(), ["KEY", "VERSION", "VALUE"])
        self.assertEqual(text[1].split(None, 2), ["ann", str(version), '{"name": "Ann",  "n": 1.0}'])
        self.done("delete", table, "ann")
        self.fails(3, "NOT_FOUND/KEY_NOT_FOUND", "get", table, "ann")
        self.done("delete", table, "ann")

    def test_value_from_standard_input(self):
        table = self.table("stdin")
        self.done("put", table, "a", "-", data=b'{"a":\n1}\n')
        self.assertEqual(self.done("get", table, "a", "-o", "raw"), '{"a":\n1}')
        self.assertEqual(self.rows("get", table, "a")[0]["value"], {"a": 1})
        self.done("put", table, "b", data=b"[]")
        self.done("put", table, "c", "--raw", "-", data=b"\0\xff\n")
        self.assertEqual(self.server.run("get", table, "c", "-o", "raw").stdout, b"\0\xff\n")
        self.assertEqual(self.rows("get", table, "c")[0]["raw"], "AP8K")
        self.assertIn("\\x00\\xff\\n", self.done("get", table, "c"))

    def test_update_merges(self):
        table = self.table("merge")
        self.done("put", table, "a", '{"x":1,"y":2}')
        self.done("update", table, "a", '{"y":null,"z":3}')
        self.assertEqual(self.rows("get", table, "a")[0]["value"], {"x": 1, "z": 3})
        self.fails(3, "NOT_FOUND/KEY_NOT_FOUND", "update", table, "b", "{}")
        self.done("put", table, "raw", "--raw", "x")
        self.fails(1, "INVALID_ARGUMENT/BAD_ARGUMENT", "update", table, "raw", "{}")

    def test_preconditions(self):
        table = self.table("conditions")
        version = self.rows("put", table, "a", "1", "--if-absent")[0]["version"]
        self.fails(1, "ALREADY_EXISTS/KEY_EXISTS", "put", table, "a", "2", "--if-absent")
        self.fails(1, "ABORTED/VERSION_MISMATCH", "put", table, "a", "2", "--if-version", str(version + 99))
        self.done("put", table, "a", "2", "--if-version", str(version))
        self.fails(3, "NOT_FOUND/KEY_NOT_FOUND", "put", table, "b", "2", "--if-present")
        self.fails(3, "NOT_FOUND/KEY_NOT_FOUND", "delete", table, "b", "--if-present")
        self.done("delete", table, "a", "--if-present")

    def test_request_ids(self):
        table = self.table("ids")
        name = "00112233445566778899aabbccddeeff"
        first = self.rows("put", table, "a", "1", "--request-id", name)
        self.assertEqual(self.rows("put", table, "a", "1", "--request-id", name)[0]["version"], first[0]["version"])
        self.fails(1, "INVALID_ARGUMENT/REQUEST_ID_REUSED", "put", table, "a", "2", "--request-id", name)

    def test_expiry(self):
        table = self.table("expiry")
        self.done("put", table, "long", "1", "--expires-in", "1h")
        self.assertRegex(self.rows("get", table, "long")[0]["expires_at"], r"^20\d\d-.*Z$")
        self.done("put", table, "short", "1", "--expires-in", "50ms")
        self.comes_to_fail("NOT_FOUND/KEY_NOT_FOUND", "get", table, "short")

    def test_durability(self):
        table = self.table("durability")
        for level in ("async", "local-sync"):
            self.done("put", table, "a", "1", "--durability", level)

    def test_what_the_server_refuses(self):
        table = self.table("refused")
        self.assertIn("byte", self.fails(1, "INVALID_ARGUMENT/BAD_JSON", "put", table, "a", "{"))
        self.fails(1, "INVALID_ARGUMENT/BAD_KEY", "put", table, "", "1")
        self.fails(1, "INVALID_ARGUMENT/BAD_KEY", "put", table, "k" * 4097, "1")
        self.fails(1, "INVALID_ARGUMENT/BAD_NAME", "put", "no/table", "a", "1")
        self.fails(3, "NOT_FOUND/TABLE_NOT_FOUND", "put", "missing", "a", "1")
        self.fails(3, "NOT_FOUND/DATABASE_NOT_FOUND", "put", table, "a", "1", "--database", "missing")

    def test_large_values(self):
        table = self.table("large")
        for size in (20 << 20, 5 << 20, 2 << 20):
            self.fails(1, "INVALID_ARGUMENT/TOO_LARGE", "put", table, "a", "--raw", "-", data=b"x" * size)
        self.done("put", table, "a", "--raw", "-", data=b"x" * (1 << 20))
        self.assertEqual(len(self.done("get", table, "a", "-o", "raw")), 1 << 20)


class Reading(CommandCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        server = cls.server
        server.run("table", "create", "scan")
        for key in ("a1", "a2", "b1", "b2", "c1"):
            server.run("put", "scan", key, json.dumps({"key": key}))

    def keys(self, *words: str) -> list[str]:
        return self.done("scan", "scan", "--keys-only", "-o", "raw", *words).split()

    def test_ranges(self):
        self.assertEqual(self.keys(), ["a1", "a2", "b1", "b2", "c1"])
        self.assertEqual(self.keys("--prefix", "b"), ["b1", "b2"])
        self.assertEqual(self.keys("--from", "a2", "--to", "b2"), ["a2", "b1"])
        self.assertEqual(self.keys("--reverse", "--limit", "2"), ["c1", "b2"])
        self.assertEqual(self.keys("--prefix", "x"), [])

    def test_formats(self):
        self.assertEqual([row["value"]["key"] for row in self.rows("scan", "scan", "--prefix", "a")], ["a1", "a2"])
        self.assertNotIn("value", self.rows("scan", "scan", "--keys-only")[0])
        self.assertEqual(self.done("scan", "scan", "--limit", "1", "-o", "raw"), '{"key": "a1"}\n')
        self.assertEqual(self.done("scan", "scan", "--limit", "1").splitlines()[0].split(), ["KEY", "VERSION", "VALUE"])

    def test_count_prints_only_the_number(self):
        for words in ((), ("-o", "json"), ("-o", "raw")):
            self.assertEqual(self.done("count", "scan", *words), "5\n")
        self.fails(3, "NOT_FOUND/TABLE_NOT_FOUND", "count", "missing")
        self.fails(3, "NOT_FOUND/TABLE_NOT_FOUND", "scan", "missing")

    def test_consistency(self):
        table = self.table("levels")
        first = self.rows("put", table, "a", "1")[0]
        self.done("put", table, "a", "2")
        for level in ("strong", "stable", "local", "max-staleness=10s", "at-least=" + first["token"]):
            self.assertEqual(self.done("get", table, "a", "-o", "raw", "--consistency", level), "2", level)
        self.assertEqual(self.done("get", table, "a", "-o", "raw", f"--consistency=version={first['version']}"), "1")
        self.assertEqual(self.done("count", table, "--consistency", f"version={first['version'] - 1}"), "0\n")
        self.fails(1, "OUT_OF_RANGE/FUTURE_VERSION", "get", table, "a", "--consistency", "version=999999999")

    def test_delete_range(self):
        table = self.table("ranges", 30)
        self.done("delete-range", table, "--prefix", "k0000")
        self.assertEqual(self.done("count", table), "20\n")
        self.done("delete-range", table, "--from", "k00020", "--durability", "async")
        self.assertEqual(self.done("count", table), "10\n")
        self.done("delete-range", table, "--all")
        self.assertEqual(self.done("count", table), "0\n")
        self.fails(2, "BAD_USAGE", "delete-range", table)


class Schema(CommandCase):
    def test_tables(self):
        self.assertGreater(self.rows("table", "create", "one")[0]["version"], 0)
        self.fails(1, "ALREADY_EXISTS/TABLE_EXISTS", "table", "create", "one")
        self.done("put", "one", "a", "1")
        self.assertEqual([row["table"] for row in self.rows("table", "list")], ["one"])
        self.assertEqual(self.rows("table", "describe", "one")[0]["database"], "default")
        self.done("table", "truncate", "one")
        self.assertEqual(self.done("count", "one"), "0\n")
        self.done("table", "drop", "one")
        self.fails(3, "NOT_FOUND/TABLE_NOT_FOUND", "table", "describe", "one")
        self.fails(3, "NOT_FOUND/TABLE_NOT_FOUND", "table", "drop", "one")
        self.fails(1, "INVALID_ARGUMENT/BAD_NAME", "table", "create", "1x")

    def test_databases(self):
        self.done("database", "create", "shop")
        self.fails(1, "ALREADY_EXISTS/DATABASE_EXISTS", "database", "create", "shop")
        self.done("--database", "shop", "table", "create", "orders")
        self.done("put", "orders", "a", "1", "--database", "shop")
        self.assertEqual(self.done("--database=shop", "count", "orders"), "1\n")
        self.assertEqual([row["database"] for row in self.rows("database", "list")], ["default", "shop"])
        self.done("database", "drop", "shop")
        self.fails(3, "NOT_FOUND/DATABASE_NOT_FOUND", "table", "list", "--database", "shop")
        self.fails(1, "INVALID_ARGUMENT/BAD_ARGUMENT", "database", "drop", "default")

    def test_many_tables_come_in_pages(self):
        self.done("database", "create", "many")
        names = [f"t{i:03}" for i in range(130)]
        statements = "".join(f"table create {name}\n" for name in names)
        self.done("--database", "many", data=statements.encode())
        self.assertEqual([row["table"] for row in self.rows("table", "list", "--database", "many")], names)


class Looking(CommandCase):
    def test_status(self):
        row = self.rows("status")[0]
        self.assertEqual((row["role"], row["draining"], len(row["levels"])), ("primary", False, 7))
        self.assertIn("primary", self.done("status"))
        self.assertIn("role\tprimary", self.done("status", "-o", "raw"))

    def test_server_info(self):
        rows = self.rows("server-info")
        limits = {row["name"]: row["value"] for row in rows if row["kind"] == "limit"}
        self.assertEqual(limits["value_bytes_max"], 1 << 20)
        self.assertIn("program_version", self.done("server-info"))

    def test_metrics(self):
        text = self.done("metrics")
        self.assertIn("# TYPE polarysdb_", text)
        samples = self.rows("metrics")
        self.assertIn("version", next(s for s in samples if s["name"] == "polarysdb_build_info")["labels"])
        self.assertEqual(len(samples), len([line for line in text.splitlines() if line and line[0] != "#"]))
        self.fails(1, "UNAVAILABLE", "metrics", "--admin-endpoint", "127.0.0.1:1")

    def test_maintenance(self):
        table = self.table("maintained", 1000)
        version = self.rows("status")[0]["version"]
        self.assertGreaterEqual(self.rows("admin", "flush")[0]["flushed_version"], version)
        for words in ((), (table,), (table, "--prefix", "k0")):
            self.assertTrue(self.rows("admin", "compact", *words)[0]["compacted"])
        self.fails(3, "NOT_FOUND/TABLE_NOT_FOUND", "admin", "compact", "missing")
        directory = os.path.join(self.server.directory, "data", "checkpoints", "copy")
        row = self.rows("admin", "checkpoint", "checkpoints/copy")[0]
        self.assertGreaterEqual(row["version"], version)
        self.assertTrue(os.path.isdir(directory))
        for wrong in ("checkpoints/copy", "/elsewhere"):
            self.fails(1, "INVALID_ARGUMENT/BAD_ARGUMENT", "admin", "checkpoint", wrong)
        self.assertEqual(self.rows("admin", "log-level", "warn")[0]["previous_level"], "info")
        self.assertEqual(self.rows("admin", "log-level", "info")[0]["previous_level"], "warn")

    def test_bench(self):
        common = ("--seconds", "1", "--keys", "500", "--value-size", "100")
        for kind in ("put", "get", "mixed", "bulk", "scan"):
            row = self.rows("bench", kind, "--clients", "2", "--in-flight", "4", *common)[0]
            self.assertEqual((row["load"], row["failures"]), (kind, 0))
            self.assertGreater(row["documents_per_second"], 0)
            self.assertGreaterEqual(row["max_us"], row["p50_us"])
        row = self.rows("bench", "get", "--rate", "200", *common)[0]
        self.assertAlmostEqual(row["operations"], 200, delta=20)
        self.assertNotIn("bench", [row["table"] for row in self.rows("table", "list")])
        self.done("bench", "put", "--keep", "--table", "kept", *common)
        self.assertGreater(int(self.done("count", "kept")), 0)

    def test_log_inspect(self):
        table = self.table("logged")
        self.done("put", table, "findme", '{"secret":"hidden"}')
        data = os.path.join(self.server.directory, "data")
        logs = sorted(os.path.join(where, name) for where, _, names in os.walk(data) for name in names
                      if name.endswith((".log", ".wal")) and "checkpoints" not in where)
        self.assertTrue(logs, os.listdir(data))
        key = os.path.join(data, "master.key")
        plain = self.done("log", "inspect", logs[-1])
        self.assertTrue([json.loads(line) for line in plain.splitlines()])
        opened = self.done("log", "inspect", logs[-1], "--master-key-file", key, "--keys")
        name = b"findme".hex()
        self.assertEqual([name in plain, name in opened], [False, True])
        self.assertFalse("hidden" in opened or b"hidden".hex() in opened)
        self.fails(2, "BAD_USAGE", "log", "inspect", logs[-1], "--keys")
        other = os.path.join(self.server.directory, "other.key")
        self.done("keys", "generate", other)
        result = self.server.run("log", "inspect", logs[-1], "--master-key-file", other)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"WRONG_MASTER_KEY", result.stderr)

    def test_keys_generate(self):
        path = os.path.join(self.server.directory, "new.key")
        self.done("keys", "generate", path)
        with open(path, encoding="ascii") as handle:
            self.assertRegex(handle.read(), r"^[0-9a-f]{64}\n$")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        result = self.server.run("keys", "generate", path)
        self.assertEqual(result.returncode, 1)

    def test_every_command_explains_itself(self):
        names = re.findall(r"^  ([a-z][a-z-]*(?: [a-z][a-z-]*(?![a-z|-]))?)", self.done("help"), re.M)
        self.assertIn("table create", names)
        for name in names:
            self.assertIn("Example:", self.done("help", *name.split()))
            self.assertIn("Example:", self.done(*name.split(), "--help"))
        self.assertRegex(self.done("--version"), r"^polarys \d+\.\d+")

    def test_bad_usage(self):
        for words in (("frob",), ("get",), ("table",), ("get", "a", "b", "c"), ("scan", "t", "--limit", "x")):
            result = self.server.run(*words)
            self.assertEqual((result.returncode, result.stdout), (2, b""), words)
            self.assertIn(b"polarys: BAD_USAGE: ", result.stderr)

    def test_commands_of_later_releases_are_not_there(self):
        for word in ("backup", "restore", "replica", "user"):
            self.fails(2, "BAD_USAGE", word, "x")

    def test_completion_files(self):
        bash = self.done("completion", "bash")
        probe = bash + '\nask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _polarys; echo "${COMPREPLY[*]}"; }\n'
        probe += 'ask polarys ta; ask polarys -o json table ""; ask polarys put t k --if; ask polarys -o ""\n'
        lines = subprocess.run(["bash", "-c", probe], stdout=subprocess.PIPE, check=True).stdout.decode().splitlines()
        self.assertEqual(lines, ["table", "create list describe drop truncate analyze",
                                 "--if-version --if-absent --if-present", "table json raw"])
        self.assertTrue(self.done("completion", "zsh").startswith("#compdef polarys\n"))

    def test_nobody_there(self):
        start = time.monotonic()
        self.fails(1, "UNAVAILABLE", "get", "t", "k", "--endpoint", "127.0.0.1:1")
        self.assertLess(time.monotonic() - start, WAIT_SECONDS)
        self.fails(1, "TLS_REQUIRED", "get", "t", "k", "--endpoint", "192.0.2.1:7480")
        self.fails(2, "BAD_USAGE", "get", "t", "k", "--endpoint", "nonsense:endpoint:")

    def test_a_port_where_nobody_speaks(self):
        with socket.create_server(("127.0.0.1", 0)) as mute:
            endpoint = f"127.0.0.1:{mute.getsockname()[1]}"
            for words in (("get", "t", "k"), ("put", "t", "k", "1"), ("query", "t"), ("watch", "t"), ("status",)):
                error = self.fails(1, "UNAVAILABLE", *words, "--endpoint", endpoint, "--timeout", "1s")
                self.assertIn(f"nobody answers at {endpoint}", error)

    def test_full_output_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([POLARYS, "status"], stdout=full, stderr=subprocess.PIPE, check=False,
                                    env=self.server.environment())
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"cannot write the results", result.stderr)


class Shell(CommandCase):
    def test_statements_from_standard_input(self):
        script = b"""# a script
table create shelled;
put shelled ann {"name":
  "Ann; {",
  "tags": ["a b", "c"]}
get shelled ann -o raw
put shelled 'a key' '"text"'
count shelled
\\q
frob
"""
        text = self.done(data=script)
        self.assertIn('"Ann; {"', text)
        self.assertTrue(text.endswith("2\n"))
        self.assertEqual(self.done("get", "shelled", "a key", "-o", "raw"), '"text"')

    def test_a_script_stops_at_its_first_mistake(self):
        result = self.server.run("shell", data=b"get missing a\ntable create after\n")
        self.assertEqual(result.returncode, 3)
        self.fails(3, "NOT_FOUND/TABLE_NOT_FOUND", "table", "describe", "after")
        self.assertEqual(self.server.run(data=b"put t k {").returncode, 2)

    def test_on_a_terminal(self):
        self.table("terminal")
        shell = Terminal(self)
        shell.until(b"polarys> ")
        shell.type(b"put term\tk {\n")
        shell.until(b"...> ")
        shell.type(b'"a":1}\n')
        shell.until(b"VERSION")
        shell.type(b"get missing k\n")
        shell.until(b"TABLE_NOT_FOUND")
        shell.type(b"\\x\n")
        shell.until(b"is on")
        shell.type(b"\\timing\n")
        shell.until(b"Timing is on")
        shell.type(b"get terminal k\n")
        shell.until(b"[1]")
        shell.until(b"Time: ")
        shell.leave()
        history = os.path.join(self.server.directory, ".polarys_history")
        self.assertEqual(os.stat(history).st_mode & 0o777, 0o600)
        with open(history, encoding="utf-8") as handle:
            self.assertIn("terminal", handle.read())


class Draining(CommandCase):
    def test_drain(self):
        self.assertTrue(self.rows("admin", "drain", "--grace", "0s")[0]["draining"])
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            result = self.server.run("put", "t", "a", "1", "--timeout", "500ms")
            if b"DRAINING" in result.stderr or b"UNAVAILABLE" in result.stderr:
                break
            time.sleep(0.1)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"UNAVAILABLE", result.stderr)


if __name__ == "__main__":
    unittest.main()
