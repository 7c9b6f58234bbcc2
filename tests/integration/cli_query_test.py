#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Indexes, queries, full-text search and transactions of `polarys` against a real server."""
import json
import os
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_case import CliCase, Terminal  # noqa: E402

PACKAGES = [
    {"Package": "nano", "Section": "editors", "Installed-Size": 2900, "Description": "small, friendly text editor"},
    {"Package": "vim", "Section": "editors", "Installed-Size": 3700, "Description": "Vi IMproved, a text editor"},
    {"Package": "ed", "Section": "editors", "Installed-Size": 120, "Description": "classic UNIX line editor"},
    {"Package": "sed", "Section": "utils", "Installed-Size": 900, "Description": "stream editor for text"},
    {"Package": "gcc", "Section": "devel", "Installed-Size": 50, "Description": "GNU C compiler"},
]


class QueryCase(CliCase):
    def packages(self, name: str) -> str:
        """A table with the packages above."""
        lines = "".join(json.dumps(each) + "\n" for each in PACKAGES)
        self.done("import", name, "-", "--key-field", "Package", data=lines.encode())
        return name


class Queries(QueryCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        case = cls("packages")
        case.packages("packages")
        case.done("index", "create", "packages", "Section,Installed-Size", "--name", "by_section", "--wait")

    def test_filter_and_order(self):
        self.assertEqual(self.keys("query", "packages", 'Section = "editors"', "--order-by", "Installed-Size desc"),
                         ["vim", "nano", "ed"])
        self.assertEqual(self.keys("query", "packages", 'Section = "editors" AND `Installed-Size` < 3000',
                                   "--order-by", "Installed-Size"), ["ed", "nano"])
        self.assertEqual(self.keys("query", "packages", 'Package = "s*"'), ["sed"])
        self.assertEqual(sorted(self.keys("query", "packages")), sorted(each["Package"] for each in PACKAGES))
        self.assertEqual(self.done("query", "packages", 'Section = "games"'), "")

    def test_formats(self):
        words = ("query", "packages", "`Installed-Size` <= 120", "--order-by", "Installed-Size", "--fields",
                 "Installed-Size,Section")
        table = self.done(*words).splitlines()
        self.assertEqual(table[0].split(), ["KEY", "VERSION", "VALUE"])
        self.assertEqual([line.split()[0] for line in table[1:]], ["gcc", "ed"])
        # Members come word for word and in their order.
        raw = self.done(*words, "-o", "raw").splitlines()
        self.assertEqual([json.loads(line) for line in raw],
                         [{"Section": "devel", "Installed-Size": 50}, {"Section": "editors", "Installed-Size": 120}])
        self.assertEqual(self.rows(*words)[0]["value"], {"Section": "devel", "Installed-Size": 50})

    def test_limit_and_cursor(self):
        words = ("query", "packages", "--order-by", "Installed-Size", "-o", "json", "--limit", "2")
        self.assertEqual(len(self.done(*words).splitlines()), 2)
        seen, cursor = [], ""
        for _ in range(5):
            result = self.server.run(*words, "--cursor", cursor)
            self.assertEqual(result.returncode, 0, result.stderr)
            seen += [json.loads(line)["key"] for line in result.stdout.splitlines()]
            more = re.fullmatch(rb"there may be more: --cursor ([0-9a-f]+)\n", result.stderr)
            if not more:
                self.assertEqual(result.stderr, b"")
                break
            cursor = more.group(1).decode()
        self.assertEqual(seen, ["gcc", "ed", "sed", "nano", "vim"])
        self.fails(1, "INVALID_ARGUMENT/BAD_PAGE_TOKEN", "query", "packages", "--cursor", "00ff")

    def test_count_prints_only_the_number(self):
        self.assertEqual(self.done("count", "packages", 'Section = "editors"'), "3\n")
        self.assertEqual(self.done("count", "packages", 'Section = "editors"', "-o", "json"), "3\n")
        self.assertEqual(self.done("count", "packages"), "5\n")

    def test_explain_is_a_tree(self):
        lines = "".join(json.dumps({"key": f"k{i:04}", "value": {"n": i}}) + "\n" for i in range(500))
        self.done("import", "numbers", "-", data=lines.encode())
        self.done("index", "create", "numbers", "n", "--name", "by_n", "--wait")
        text = self.done("query", "numbers", "n = 7", "--explain")
        self.assertRegex(text, r"^STEP +ESTIMATED ROWS +ESTIMATED COST +DETAIL\n")
        self.assertIn("by_n", text)
        steps = self.rows("query", "numbers", "n >= 7 AND n < 10", "--analyze")
        self.assertEqual(steps[0]["depth"], 0)
        self.assertEqual(steps[0]["rows"], 3)
        self.assertIn("by_n", [step["index"] for step in steps])
        self.assertRegex(self.done("query", "packages", "--analyze"), r"\n5 rows in \d+\.\d\d ms\n$")

    def test_errors(self):
        error = self.fails(1, "INVALID_ARGUMENT/BAD_FILTER", "query", "packages", "Section = ")
        self.assertRegex(error, r"\d+")
        self.fails(1, "INVALID_ARGUMENT/BAD_FILTER", "count", "packages", "= 1")
        self.fails(1, "INVALID_ARGUMENT/BAD_FILTER", "query", "packages", "a = ", "--explain")
        self.fails(3, "NOT_FOUND/TABLE_NOT_FOUND", "query", "missing", "a = 1")
        self.fails(2, "BAD_USAGE", "query", "packages", "a = 1", "--limit", "-1")


class Indexes(QueryCase):
    def test_life_of_an_index(self):
        table = self.packages("indexed")
        made = self.rows("index", "create", table, "Section", "--wait")[0]
        self.assertEqual(made["state"], "ready")
        self.done("index", "create", table, "Package", "--kind", "hash", "--unique", "--name", "names", "--wait")
        listed = {row["index"]: row for row in self.rows("index", "list", table)}
        self.assertEqual(sorted(listed), sorted([made["index"], "names"]))
        self.assertEqual((listed["names"]["kind"], listed["names"]["unique"], listed["names"]["state"],
                          listed["names"]["fields"]), ("hash", True, "ready", ["Package"]))
        text = self.done("index", "list", table).splitlines()
        self.assertEqual(text[0].split(), ["INDEX", "FIELDS", "KIND", "UNIQUE", "STATE"])
        self.assertEqual(len(text), 3)
        statistics = {row["index"]: row for row in self.rows("table", "analyze", table)}
        self.assertEqual(statistics["names"]["entries"], 5)
        self.assertEqual(statistics[made["index"]]["distinct"], 3)
        check = self.rows("index", "check", table)[0]
        self.assertEqual((check["documents"] > 0, check["missing"], check["stray"]), (True, 0, 0))
        self.assertEqual(self.rows("index", "check", table, "names")[0]["entries"], 5)
        self.assertGreater(self.rows("index", "drop", table, "names")[0]["version"], 0)
        self.assertEqual([row["index"] for row in self.rows("index", "list", table)], [made["index"]])

    def test_unique(self):
        table = self.packages("unique")
        self.done("index", "create", table, "Package", "--unique", "--wait")
        self.fails(1, "ALREADY_EXISTS/UNIQUE_VIOLATION", "put", table, "other", '{"Package":"vim"}')
        self.done("put", table, "other", '{"Package":"emacs"}')
        error = self.fails(1, "FAILED_PRECONDITION/INDEX_FAILED", "index", "create", table, "Section", "--unique",
                           "--name", "sections", "--wait")
        self.assertIn("should be dropped", error)
        states = {row["index"]: row["state"] for row in self.rows("index", "list", table)}
        self.assertEqual(states["sections"], "failed")
        self.done("index", "drop", table, "sections")

    def test_errors(self):
        table = self.packages("wrong")
        self.done("index", "create", table, "Section", "--name", "one", "--wait")
        self.fails(1, "ALREADY_EXISTS/INDEX_EXISTS", "index", "create", table, "Package", "--name", "one")
        self.fails(3, "NOT_FOUND/INDEX_NOT_FOUND", "index", "drop", table, "two")
        self.fails(3, "NOT_FOUND/INDEX_NOT_FOUND", "index", "check", table, "two")
        self.fails(3, "NOT_FOUND/TABLE_NOT_FOUND", "index", "list", "missing")
        self.fails(3, "NOT_FOUND/TABLE_NOT_FOUND", "index", "create", "missing", "a")
        self.fails(3, "NOT_FOUND/TABLE_NOT_FOUND", "table", "analyze", "missing")
        self.fails(1, "INVALID_ARGUMENT/BAD_ARGUMENT", "index", "create", table, "`a")
        self.fails(2, "BAD_USAGE", "index", "create", table, "a", "--kind", "tree")


class Search(QueryCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        case = cls("packages")
        case.packages("packages")
        case.done("index", "create", "packages", "Description", "--kind", "text", "--wait")

    def test_best_first(self):
        rows = self.rows("search", "packages", "Description", "text editor")
        self.assertEqual(sorted(row["key"] for row in rows), ["nano", "sed", "vim"])
        scores = [row["score"] for row in rows]
        self.assertEqual(scores, sorted(scores, reverse=True))
        self.assertEqual(self.keys("search", "packages", "Description", "editors -text"), ["ed"])
        table = self.done("search", "packages", "Description", "compiler").splitlines()
        self.assertEqual(table[0].split(), ["SCORE", "KEY", "VALUE"])

    def test_limit_offset_filter_fields(self):
        every = self.keys("search", "packages", "Description", "editor")
        self.assertEqual(len(every), 4)
        self.assertEqual(self.keys("search", "packages", "Description", "editor", "--limit", "2", "--offset", "1"),
                         every[1:3])
        row = self.rows("search", "packages", "Description", "editor", "--filter", 'Section = "utils"', "--fields",
                        "Installed-Size")[0]
        self.assertEqual((row["key"], row["value"]), ("sed", {"Installed-Size": 900}))

    def test_highlights(self):
        row = self.rows("search", "packages", "Description", "compilers", "--highlights")[0]
        self.assertIn("\x01compiler\x02", row["highlights"][0])
        self.assertIn("*compiler*", self.done("search", "packages", "Description", "compiler", "--highlights"))

    def test_errors(self):
        self.fails(3, "NOT_FOUND/INDEX_NOT_FOUND", "search", "packages", "Section", "x")
        self.fails(1, "INVALID_ARGUMENT/BAD_FILTER", "search", "packages", "Description", '"open')
        self.fails(3, "NOT_FOUND/TABLE_NOT_FOUND", "search", "missing", "Description", "x")
        self.fails(2, "BAD_USAGE", "search", "packages", "Description")


class Transactions(QueryCase):
    def setUp(self):
        self.table = self._testMethodName
        self.done("table", "create", self.table)
        self.done("put", self.table, "ann", '{"n":1}')

    def txn(self, text: str, *options: str):
        return self.server.run("txn", *options, data=re.sub(r"\bT\b", self.table, text).encode())

    def test_commits_at_the_end(self):
        result = self.txn("""# a comment
put T bob {"n":
  2}
update T ann {"n":10}
get T ann -o raw
delete T nobody
count T
""")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertRegex(result.stdout.decode(), r'^\{"n":10\}2\nVERSION +TOKEN\n\d+ ')
        self.assertEqual(self.rows("get", self.table, "ann")[0]["value"], {"n": 10})
        self.assertEqual(self.rows("get", self.table, "bob")[0]["value"], {"n": 2})
        versions = {row["version"] for row in self.rows("scan", self.table)}
        self.assertEqual(len(versions), 1, "one commit")

    def test_reads_its_own_writes(self):
        result = self.txn("put T bob {\"n\":2}\nscan T --keys-only\nquery T 'n = 2'\ndelete T ann\ncount T\n", "-o", "json")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        lines = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual([line["key"] for line in lines[:3]], ["ann", "bob", "bob"])
        self.assertEqual(lines[3], 1)
        self.assertGreater(lines[4]["version"], 0)

    def test_the_first_failure_rolls_back(self):
        result = self.txn('put T bob {"n":2}\nget T nobody\nput T eve 1\n')
        self.assertEqual((result.returncode, result.stdout), (3, b""))
        errors = result.stderr.decode().splitlines()
        self.assertTrue(errors[0].startswith("polarys: NOT_FOUND/KEY_NOT_FOUND: "), errors)
        self.assertTrue(errors[1].startswith("polarys: ROLLED_BACK: "), errors)
        self.assertEqual(self.keys("scan", self.table), ["ann"])
        self.assertEqual(self.txn("put T bob {\n").returncode, 2)
        self.assertEqual(self.txn("put T bob 1\ntable create x\n").returncode, 2)
        self.assertEqual(self.txn("put T bob 1 --durability async\n").returncode, 2)
        self.assertEqual(self.txn("put T bob 1\nfrob\n").returncode, 2)
        self.assertEqual(self.keys("scan", self.table), ["ann"])

    def test_rollback_and_commit_lines(self):
        result = self.txn("put T a 1\ncommit\nput T b 2\nrollback\nput T c 3\n")
        self.assertEqual((result.returncode, result.stderr), (0, b""))
        self.assertEqual(self.keys("scan", self.table), ["a", "ann", "c"])

    def test_conflicts(self):
        process = self.server.popen("txn", "--isolation", "serializable", stdin=-1)
        process.stdin.write(f"get {self.table} ann -o json\n".encode())
        process.stdin.flush()
        self.assertEqual(json.loads(process.stdout.readline())["value"], {"n": 1})
        self.done("put", self.table, "ann", '{"n":5}')
        out, err = process.communicate(f"put {self.table} bob 1\n".encode(), timeout=60)
        self.assertEqual((process.returncode, out), (1, b""))
        self.assertTrue(err.startswith(b"polarys: ABORTED/TXN_CONFLICT: "), err)
        self.assertEqual(self.keys("scan", self.table), ["ann"])

    def test_read_only_and_idle(self):
        result = self.txn("get T ann -o raw\n", "--read-only")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.txn("put T bob 1\n", "--read-only").returncode, 1)
        process = self.server.popen("txn", "--idle-timeout", "200ms", stdin=-1)
        process.stdin.write(f"put {self.table} late 1\nget {self.table} ann -o json\n".encode())
        process.stdin.flush()
        process.stdout.readline()
        time.sleep(1.5)
        _, err = process.communicate(f"get {self.table} ann\n".encode(), timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertTrue(err.startswith(b"polarys: NOT_FOUND/TXN_NOT_FOUND: "), err)
        self.fails(3, "NOT_FOUND/KEY_NOT_FOUND", "get", self.table, "late")

    def test_transact(self):
        version = self.rows("get", self.table, "ann")[0]["version"]
        request = {"table": self.table, "compare": [{"key": "ann", "version": version}, {"key": "bob", "exists": False},
                                                    {"key": "ann", "field": "n", "equals": 1}],
                   "then": [{"put": "bob", "value": {"n": 2}}, {"update": "ann", "patch": {"n": 3}}, {"get": "ann"},
                            {"delete": "nobody"}],
                   "else": [{"get": "ann"}]}
        rows = self.rows("transact", "-", data=json.dumps(request).encode())
        self.assertTrue(rows[0]["succeeded"])
        self.assertEqual(rows[3]["value"], {"n": 3})
        self.assertEqual(rows[4], {"found": False})
        rows = self.rows("transact", "-", data=json.dumps(request).encode())
        self.assertFalse(rows[0]["succeeded"])
        self.assertEqual([row["key"] for row in rows[1:]], ["ann"])
        path = os.path.join(self.server.directory, "request.json")
        with open(path, "w", encoding="utf-8") as handle:
            json.dump({"then": [{"put": "x", "value": "text", "table": self.table}]}, handle)
        self.done("transact", path, "--durability", "local-sync")
        self.assertEqual(self.done("get", self.table, "x", "-o", "raw"), '"text"')
        self.fails(1, "INVALID_ARGUMENT/BAD_ARGUMENT", "transact", "-", data=b'{"then":[{"frob":1}]}')
        self.fails(3, "NOT_FOUND/TABLE_NOT_FOUND", "transact", "-", data=b'{"then":[{"put":"a","value":1,"table":"no"}]}')


    def test_transact_of_every_kind(self):
        for key in ("old/1", "old/2", "older", "x1", "x2", "x3"):
            self.done("put", self.table, key, "1")
        request = {"table": self.table, "then": [
            {"put": "bytes", "raw": "AP8K", "expires_at": "2036-01-02T03:04:05Z"},
            {"update": "ann", "patch": {"m": 1}, "expires_at": "2036-01-02T03:04:05Z"},
            {"delete_range": {"prefix": "old/"}}, {"delete_range": {"from": "x1", "to": "x3"}}]}
        self.assertTrue(self.rows("transact", "-", data=json.dumps(request).encode())[0]["succeeded"])
        self.assertEqual(self.keys("scan", self.table), ["ann", "bytes", "older", "x3"])
        row = self.rows("get", self.table, "bytes")[0]
        self.assertEqual((row["raw"], row["expires_at"]), ("AP8K", "2036-01-02T03:04:05.000Z"))
        self.assertEqual(self.rows("get", self.table, "ann")[0]["expires_at"], "2036-01-02T03:04:05.000Z")
        request = {"table": self.table, "then": [{"delete_range": {"all": True}}, {"put": "last", "value": 1}]}
        self.done("transact", "-", data=json.dumps(request).encode())
        self.assertEqual(self.keys("scan", self.table), ["last"])

    def test_transact_says_what_had_no_room(self):
        for key in "pqrs":
            self.done("put", self.table, key, data=b'"' + b"x" * 1_000_000 + b'"')
        request = {"table": self.table, "then": [{"get": key} for key in "pqrs"]}
        result = self.server.run("transact", "-", "-o", "json", data=json.dumps(request).encode())
        rows = [json.loads(line) for line in result.stdout.splitlines()]
        self.assertEqual([row.get("key") for row in rows[1:]], ["p", "q", "r", None])
        self.assertEqual(rows[4], {"found": True, "left_out": True})
        self.assertRegex(result.stderr.decode(), r"^1 documents had no room in the answer: get them with "
                                                 rf"--consistency version={rows[0]['version']}\n$")


class Shell(QueryCase):
    def test_a_script_with_transactions(self):
        self.done("table", "create", "shell")
        script = b"""begin --isolation serializable
put shell a {"n":1}
query shell 'n
  = 1' -o raw
commit
begin
put shell b 2
rollback
count shell
"""
        text = self.done(data=script)
        self.assertTrue(text.startswith('{"n":1}\nVERSION'), text)
        self.assertTrue(text.endswith("\n1\n"), text)
        self.assertEqual(self.keys("scan", "shell"), ["a"])

    def test_what_is_open_is_rolled_back(self):
        self.done("table", "create", "left")
        result = self.server.run("shell", data=b"begin\nput left a 1\n")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"polarys: ROLLED_BACK: ", result.stderr)
        result = self.server.run("shell", data=b"begin\nput left a 1\ntable create x\n")
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"commit or rollback first", result.stderr)
        self.assertEqual(self.done("count", "left"), "0\n")

    def test_on_a_terminal(self):
        self.packages("terminal")
        self.done("index", "create", "terminal", "Description", "--kind", "text", "--wait")
        shell = Terminal(self)
        shell.until(b"polarys> ")
        shell.type(b"begin --idle-timeout 1h --txn-timeout 5s\n")
        shell.until(b"rolls it back after 3600 s")
        shell.until(b"polarys (txn)> ")
        shell.type(b"put terminal x 1\n")
        shell.until(b"polarys (txn)> ")
        time.sleep(5.5)
        shell.type(b"get terminal x\n")
        shell.until(b"TXN_NOT_FOUND")
        shell.until(b"ROLLED_BACK")
        shell.until(b"polarys> ")
        shell.type(b"search terminal Desc\tcompiler --highlights\n")
        shell.until(b"\x1b[1;31mcompiler\x1b[0m")
        shell.leave()


class Watching(QueryCase):
    def test_a_reader_that_had_enough_is_no_news(self):
        self.packages("watched")
        process = self.server.popen("watch", "watched", "--snapshot")
        self.assertIn(b" snapshot_put ed ", process.stdout.readline())
        process.stdout.close()
        for i in range(600):  # the first change that cannot be written ends it
            self.done("put", "watched", "new", str(i))
            if process.poll() is not None:
                break
            time.sleep(0.1)
        self.assertEqual((process.wait(timeout=60), process.stderr.read()), (1, b""))
        process.stderr.close()


class FirstTimeUser(QueryCase):
    """What the README shows, on a small table."""

    def test_ask_questions(self):
        self.packages("packages")
        self.done("index", "create", "packages", "Section", "--wait")
        self.assertEqual(self.keys("query", "packages", 'Section = "editors" AND `Installed-Size` < 1000', "--order-by",
                                   "Installed-Size desc"), ["ed"])
        self.done("index", "create", "packages", "Description", "--kind", "text", "--wait")
        self.assertEqual(len(self.keys("search", "packages", "Description", "text editor", "--limit", "2")), 2)
        for name in ("query", "search", "index create", "txn", "transact", "table analyze"):
            self.assertIn("Example:", self.done("help", *name.split()))


if __name__ == "__main__":
    unittest.main()
