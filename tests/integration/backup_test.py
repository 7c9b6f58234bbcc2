#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Backups: taken while the store is written to, interrupted, incremental, restored, and damaged."""
import base64
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_server import POLARYSD, Server, free_ports  # noqa: E402

DOCUMENTS = 24000
DOCUMENT_BYTES = 1000
WAIT_SECONDS_MAX = 60
TRIES_MAX = 10


class BackupCase(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.directory = self.server.directory
        self.key = os.path.join(self.directory, "data", "master.key")
        # Small segments: what an incremental backup sends of the log is whole segments.
        self.server.start("--wal-segment-bytes", "1MiB")

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def done(self, *words: str, data: bytes = b"") -> str:
        result = self.server.run(*words, data=data)
        self.assertEqual((result.returncode, result.stderr), (0, b""), words)
        return result.stdout.decode()

    def row(self, *words: str) -> dict:
        return json.loads(self.done(*words, "-o", "json"))

    def refused(self, reason: str, *words: str) -> str:
        result = self.server.run(*words)
        text = result.stderr.decode()
        self.assertNotEqual(result.returncode, 0, words)
        self.assertIn(reason, text)
        return text

    def load(self, table: str, first: int, count: int, seed: int) -> None:
        made = random.Random(seed)
        lines = (json.dumps({"key": f"key{i:07}", "value": base64.b64encode(made.randbytes(DOCUMENT_BYTES)).decode()})
                 for i in range(first, first + count))
        self.done("import", table, "-", data="\n".join(lines).encode())

    def settled(self) -> None:
        self.done("admin", "flush")
        self.done("admin", "compact")

    def create(self, name: str, *more: str) -> dict:
        return self.row("backup", "create", self.path(name), *more)

    def verify(self, name: str) -> dict:
        return self.row("backup", "verify", self.path(name), "--master-key-file", self.key)

    def restore(self, name: str, to: str, *more: str) -> dict:
        return self.row("restore", self.path(name), "--data-dir", self.path(to), "--master-key-file", self.key, *more)

    def digest(self, version: int) -> str:
        return self.row("digest", "--at-version", str(version))["digest"]

    def serve(self, data_dir: str) -> Server:
        """A second server, on a restored directory."""
        other = Server()
        self.addCleanup(other.close)
        shutil.copytree(self.path(data_dir), os.path.join(other.directory, "data"))
        shutil.copy(self.key, os.path.join(other.directory, "data", "master.key"))
        return other.start()


class Writer:
    """Puts documents until it is told to end."""

    def __init__(self, case: BackupCase):
        self.case, self.ends, self.count = case, threading.Event(), 0
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.thread.join()

    def run(self):
        shell = self.case.server.popen("shell", stdin=subprocess.PIPE)
        while not self.ends.is_set():
            shell.stdin.write(f'put t live{self.count:06} {{"n":{self.count}}}\n'.encode())
            shell.stdin.flush()
            self.count += 1
            self.ends.wait(0.001)
        shell.communicate()


class Whole(BackupCase):
    def test_taken_while_it_is_written_to(self):
        self.done("table", "create", "t")
        self.done("database", "create", "shop")
        self.done("--database", "shop", "table", "create", "orders")
        self.done("--database", "shop", "put", "orders", "1", "--raw", "-", data=bytes(range(256)))
        self.done("put", "t", "later", "1", "--expires-in", "1h")
        self.load("t", 0, 4000, 1)
        with Writer(self) as writer:
            made = self.create("b")
            self.assertGreater(writer.count, 0)
        digest = self.digest(made["version"])
        self.assertNotEqual(self.row("digest")["version"], made["version"], "nothing was written meanwhile")
        verified = self.verify("b")
        self.assertEqual((verified["version"], verified["digest"]), (made["version"], digest))
        self.assertEqual(verified["tables"], 2)
        listed = self.row("backup", "list", self.directory)
        self.assertEqual((listed["backup"], listed["state"], listed["files"]), ("b", "whole", made["files"]))
        restored = self.restore("b", "restored", "--to-version", str(made["version"]))
        self.assertEqual((restored["backup_version"], restored["term"]), (made["version"], 2))
        other = self.serve("restored")
        row = json.loads(other.run("digest", "-o", "json").stdout)
        self.assertEqual(row["digest"], digest)
        self.assertGreater(row["version"], made["version"], "the restored store counts on as if it were the same")
        other.run("put", "t", "new", "1")
        self.assertEqual(other.run("get", "t", "new", "-o", "raw").stdout, b"1")
        self.assertFalse([name for name in os.listdir(self.directory) if "verify" in name or "restoring" in name])

    def test_what_is_refused(self):
        self.done("table", "create", "t")
        self.done("put", "t", "a", "1")
        made = self.create("b")
        self.refused("ALREADY_EXISTS", "backup", "create", self.path("b"))
        os.mkdir(self.path("other"))
        open(self.path("other/file"), "w", encoding="utf-8").close()
        self.refused("ALREADY_EXISTS", "backup", "create", self.path("other"))
        self.refused("FILE_NOT_FOUND", "backup", "create", self.path("c"), "--incremental-from", self.path("other"))
        self.refused("FILE_NOT_FOUND", "backup", "verify", self.path("other"), "--master-key-file", self.key)
        self.refused("master-key-file", "backup", "verify", self.path("b"))
        self.refused("ALREADY_EXISTS", "restore", self.path("b"), "--data-dir", self.path("other"),
                     "--master-key-file", self.key)
        self.refused("archive", "restore", self.path("b"), "--data-dir", self.path("r"), "--master-key-file", self.key,
                     "--to-version", str(made["version"] - 1))
        self.done("keys", "generate", self.path("wrong.key"))
        for words in (("backup", "verify", self.path("b")), ("restore", self.path("b"), "--data-dir", self.path("r"))):
            self.refused("WRONG_MASTER_KEY", *words, "--master-key-file", self.path("wrong.key"))
        self.assertFalse(os.path.exists(self.path("r")) or os.path.exists(self.path("r.restoring")))

    def test_of_another_store(self):
        self.create("b")
        other = Server().start()
        self.addCleanup(other.close)
        result = other.run("backup", "create", self.path("c"), "--incremental-from", self.path("b"))
        self.assertIn(b"WRONG_STORE", result.stderr)


class Large(BackupCase):
    """A store of some tens of MiB."""

    def setUp(self):
        super().setUp()
        self.done("table", "create", "t")
        self.load("t", 0, DOCUMENTS, 2)
        self.settled()

    def interrupted(self, name: str, *more: str) -> None:
        """Begins a backup and kills it when a part of it is there; again when it was too quick for that."""
        data = self.path(os.path.join(name, "data"))
        for _ in range(TRIES_MAX):
            process = self.server.popen("backup", "create", self.path(name), *more)
            end = time.monotonic() + WAIT_SECONDS_MAX
            while time.monotonic() < end and process.poll() is None:
                if os.path.isdir(data) and any(each.endswith((".sst", ".partial")) for each in os.listdir(data)):
                    break
            process.kill()
            process.communicate()
            if not os.path.exists(self.path(os.path.join(name, "backup.jsonl"))):
                return
            shutil.rmtree(self.path(name))
        self.fail("every backup was whole before it could be killed")

    def test_interrupted_goes_on(self):
        self.interrupted("b")
        self.assertEqual(self.row("backup", "list", self.path("b"))["state"], "unfinished")
        self.done("put", "t", "after", "1")
        before = sum(os.path.getsize(os.path.join(root, name)) for root, _, names in os.walk(self.path("b"))
                     for name in names)
        made = self.create("b")
        self.assertTrue(made["resumed"])
        self.assertLess(made["received_bytes"], made["bytes"] - before // 2, "it began again")
        self.assertEqual(self.verify("b")["digest"], self.digest(made["version"]))

    def test_goes_on_when_the_copy_is_gone(self):
        self.interrupted("b")
        self.server.stop()
        self.server.start("--wal-segment-bytes", "1MiB")
        self.done("put", "t", "after", "1")
        made = self.create("b")
        self.assertTrue(made["resumed"])
        self.assertEqual(self.verify("b")["digest"], self.digest(made["version"]))
        self.assertFalse([each for _, _, names in os.walk(self.path("b")) for each in names if "partial" in each])

    def test_server_goes_away_in_the_middle(self):
        process = self.server.popen("backup", "create", self.path("b"), "--retry-for", "60s", "-o", "json")
        time.sleep(0.05)
        self.server.kill()
        self.server.start("--wal-segment-bytes", "1MiB")
        out, err = process.communicate(timeout=100)
        self.assertEqual((process.returncode, err), (0, b""))
        self.assertEqual(self.verify("b")["version"], json.loads(out)["version"])

    def test_incremental_sends_little(self):
        first = self.create("full")
        self.assertGreater(first["received_bytes"], 20 << 20)
        self.load("t", 5000, DOCUMENTS // 100, 3)
        self.done("admin", "flush")
        second = self.create("increment", "--incremental-from", self.path("full"))
        print(f"a 1 % change: {second['received_bytes']} of {second['bytes']} bytes were sent", flush=True)
        self.assertLess(second["received_bytes"], second["bytes"] * 0.05)
        self.assertGreater(second["shared_files"], 0)
        digest = self.digest(second["version"])
        shutil.rmtree(self.path("full"))  # each backup is whole by itself
        self.assertEqual(self.verify("increment")["digest"], digest)
        third = self.create("third", "--incremental-from", self.path("increment"))
        self.assertLess(third["received_bytes"], second["bytes"] * 0.05)

    def damaged(self, name: str, change) -> str:
        """The first table file of a copy of backup `b`, changed; what is said about it."""
        shutil.copytree(self.path("b"), self.path(name))
        data = self.path(os.path.join(name, "data"))
        victim = sorted(each for each in os.listdir(data) if each.endswith(".sst"))[0]
        change(os.path.join(data, victim))
        for words in (("backup", "verify", self.path(name)),
                      ("restore", self.path(name), "--data-dir", self.path("r"))):
            self.assertIn(victim, self.refused("DATA_LOSS/CORRUPT", *words, "--master-key-file", self.key))
        self.assertFalse(os.path.exists(self.path("r")))
        return victim

    def test_damage_is_named(self):
        self.create("b")

        def flip(path):
            with open(path, "r+b") as file:
                file.seek(os.path.getsize(path) // 2)
                byte = file.read(1)[0]
                file.seek(-1, os.SEEK_CUR)
                file.write(bytes([byte ^ 1]))

        self.damaged("removed", os.remove)
        self.damaged("altered", flip)
        self.damaged("shortened", lambda path: os.truncate(path, os.path.getsize(path) - 1))
        # A list that was altered, and one that was cut off.
        for name, change in (("list", lambda text: text.replace('"size":', '"size":1', 1)),
                             ("cut", lambda text: "".join(text.splitlines(True)[:-1])),
                             ("more", lambda text: text + "{}\n")):
            shutil.copytree(self.path("b"), self.path(name))
            path = self.path(os.path.join(name, "backup.jsonl"))
            with open(path, encoding="utf-8") as file:
                text = change(file.read())
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            self.refused("DATA_LOSS/CORRUPT", "backup", "verify", self.path(name), "--master-key-file", self.key)

    def test_damage_with_a_list_made_to_fit(self):
        """Whoever makes the list's digests anew is found by the store's own checks."""
        self.create("b")
        path = self.path("b/backup.jsonl")
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
        at = next(i for i, line in enumerate(lines) if ".sst" in line)
        entry = json.loads(lines[at])
        victim = self.path(os.path.join("b/data", entry["path"]))
        with open(victim, "r+b") as file:
            file.seek(entry["size"] // 2)
            byte = file.read(1)[0]
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte ^ 1]))
        with open(victim, "rb") as file:
            entry["sha256"] = hashlib.sha256(file.read()).hexdigest()
        lines[at] = json.dumps(entry, separators=(",", ":"))
        body = "".join(line + "\n" for line in lines[:-1])
        with open(path, "w", encoding="utf-8") as file:
            file.write(body + json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest()}) + "\n")
        self.refused("DATA_LOSS/CORRUPT", "backup", "verify", self.path("b"), "--master-key-file", self.key)


if __name__ == "__main__":
    assert os.path.exists(POLARYSD) and len(free_ports(2)) == 2
    unittest.main(verbosity=2)
