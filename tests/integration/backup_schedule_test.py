#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A schedule of backups against a real server: rotation, kills, a server that is away, a full disk, two at a time."""
import base64
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_server import POLARYSD, Server, free_ports  # noqa: E402

WAIT_SECONDS_MAX = 60
DOCUMENTS = 6000
KILLS = 6
# A limit on the size of a file stands for a full disk: EFBIG is an error of the write like ENOSPC.
DISK_BYTES = 2 << 20


class ScheduleCase(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.place = os.path.join(self.server.directory, "backups")
        self.key = os.path.join(self.server.directory, "data", "master.key")
        self.server.start("--wal-segment-bytes", "1MiB")
        self.done("table", "create", "t")
        self.count = 0

    def done(self, *words: str, data: bytes = b"") -> str:
        result = self.server.run(*words, data=data)
        self.assertEqual((result.returncode, result.stderr), (0, b""), words)
        return result.stdout.decode()

    def rows(self, *words: str) -> list[dict]:
        return [json.loads(line) for line in self.done(*words, "-o", "json").splitlines()]

    def put(self) -> None:
        self.count += 1
        self.done("put", "t", f"k{self.count:05}", str(self.count))

    def load(self) -> None:
        made = random.Random(7)
        lines = (json.dumps({"key": f"key{i:07}", "value": base64.b64encode(made.randbytes(1000)).decode()})
                 for i in range(DOCUMENTS))
        self.done("import", "t", "-", data="\n".join(lines).encode())
        self.done("admin", "flush")

    def once(self, *more: str) -> dict:
        (row,) = self.rows("backup", "schedule", self.place, "--once", *more)
        return row

    def begin(self, *more: str, **popen) -> subprocess.Popen:
        process = self.server.popen("backup", "schedule", self.place, *more, **popen)
        self.addCleanup(self.kill, process)
        return process

    def kill(self, process: subprocess.Popen) -> str:
        process.kill()
        return process.communicate()[1].decode()

    def end(self, process: subprocess.Popen) -> str:
        """As an operator would; what it has said."""
        process.send_signal(signal.SIGTERM)
        err = process.communicate(timeout=WAIT_SECONDS_MAX)[1].decode()
        self.assertEqual(process.returncode, 0, err)
        return err

    def wait(self, what: str, true_when):
        end = time.monotonic() + WAIT_SECONDS_MAX
        while time.monotonic() < end:
            got = true_when()
            if got:
                return got
            time.sleep(0.01)
        self.fail("it never came to pass: " + what)

    def names(self) -> list[str]:
        return sorted(each for each in os.listdir(self.place) if each[0] != ".") if os.path.isdir(self.place) else []

    def whole(self) -> list[str]:
        return [each for each in self.names() if os.path.exists(os.path.join(self.place, each, "backup.jsonl"))]

    def listed(self) -> list[dict]:
        return self.rows("backup", "list", self.place)

    def verify(self, name: str) -> dict:
        (row,) = self.rows("backup", "verify", os.path.join(self.place, name), "--master-key-file", self.key)
        return row


class Once(ScheduleCase):
    def test_keeps_the_last_and_each_is_whole_by_itself(self):
        made = []
        for _ in range(4):
            self.put()
            made.append(self.once("--keep-last", "2"))
        self.assertEqual([each["removed"] for each in made], [0, 0, 1, 1])
        self.assertEqual(self.names(), sorted(each["backup"] for each in made[2:]))
        rows = self.listed()
        self.assertEqual([row["version"] for row in rows], [each["version"] for each in made[2:]])
        self.assertEqual([row["kind"] for row in rows], ["incremental", "incremental"])
        self.assertEqual([row["state"] for row in rows], ["whole", "whole"])
        self.assertEqual([row["last_attempt"] for row in rows], ["", "done"])
        self.assertTrue(all(row["age_seconds"] < WAIT_SECONDS_MAX for row in rows))
        for row in made[2:]:
            self.assertEqual(self.verify(row["backup"])["version"], row["version"])

    def test_leaves_alone_what_is_not_its_own(self):
        os.mkdir(self.place)
        self.done("backup", "create", os.path.join(self.place, "by-hand"))
        self.put()
        first = self.once("--keep-last", "1")["backup"]
        os.remove(os.path.join(self.place, first, "data", "keyring"))
        self.put()
        result = self.server.run("backup", "schedule", self.place, "--once", "--keep-last", "1", "-o", "json")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(b"keyring is missing", result.stderr)
        second = json.loads(result.stdout)["backup"]
        self.assertEqual(self.names(), sorted(["by-hand", first, second]))
        self.assertEqual(self.verify(second)["backup"], os.path.join(self.place, second))

    def test_a_full_one_each_so_manieth(self):
        for _ in range(4):
            self.put()
            self.once("--full-every", "3")
        self.assertEqual([row["kind"] for row in self.listed()], ["full", "incremental", "incremental", "full"])

    def test_another_store_is_refused(self):
        self.once()
        other = Server().start()
        self.addCleanup(other.close)
        result = other.run("backup", "schedule", self.place, "--once", "--full-every", "1")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"WRONG_STORE", result.stderr)
        self.assertEqual(len(self.whole()), 1)

    def test_bad_usage(self):
        for words in (("--every", "0s"), ("--every", "500d"), ("--every", "often"), ("--keep-last", "-1"),
                      ("--keep-daily", "10001"), ("--every", "1h", "--once"), ("--full-every", "x")):
            self.assertEqual(self.server.run("backup", "schedule", self.place, *words).returncode, 2, words)
        self.assertFalse(os.path.exists(self.place))


class Metrics(ScheduleCase):
    def metrics(self) -> dict[str, float]:
        """What is told of the place: the names without what all begin with."""
        found = {}
        label = '{place="' + self.place + '"}'
        for line in self.done("metrics").splitlines():
            if line.startswith("polarysdb_backup_last_") and label in line:
                found[line.split("{")[0].removeprefix("polarysdb_backup_last_")] = float(line.split()[-1])
        return found

    def test_age_and_result(self):
        self.assertEqual(self.metrics(), {})
        self.put()
        begun = time.time()
        made = self.once()
        got = self.metrics()
        self.assertEqual((got["result"], got["version"], got["bytes"]), (1, made["version"], made["bytes"]))
        for each in ("success", "attempt"):
            self.assertTrue(begun - 1 <= got[f"{each}_timestamp_seconds"] <= time.time() + 1, got)
        # An attempt that fails is told too; the good one stays where it was.
        blocked = os.path.join(self.place, "20990101T000000Z")
        os.makedirs(os.path.join(blocked, "data"))
        os.mkdir(os.path.join(blocked, "backup.unfinished.new"))
        result = self.server.run("backup", "schedule", self.place, "--once")
        self.assertEqual(result.returncode, 1, result.stdout)
        failed = self.metrics()
        self.assertEqual(failed["result"], 0)
        self.assertGreater(failed["attempt_timestamp_seconds"], got["attempt_timestamp_seconds"])
        for each in ("success_timestamp_seconds", "version", "bytes"):
            self.assertEqual(failed[each], got[each])

    def test_told_again_after_a_restart(self):
        self.once()
        self.server.stop()
        self.server.start("--wal-segment-bytes", "1MiB")
        self.assertEqual(self.metrics(), {})
        process = self.begin("--every", "1h")
        self.wait("the report", self.metrics)
        self.assertEqual(self.metrics()["result"], 1)
        self.end(process)
        self.assertEqual(len(self.names()), 1)

    def test_a_name_of_its_own(self):
        self.once("--name", "nightly")
        self.assertIn('polarysdb_backup_last_result{place="nightly"} 1', self.done("metrics"))
        for wrong in ("", "x" * 256):
            self.assertEqual(self.server.run("backup", "schedule", self.place, "--once", "--name", wrong).returncode, 2)


class Running(ScheduleCase):
    def test_takes_one_every_second_and_ends_when_told(self):
        process = self.begin("--every", "1s", "--keep-last", "2")
        for _ in range(3):
            self.put()
            time.sleep(0.5)
        self.wait("five backups", lambda: len(self.whole()) == 2 and self.put() is None
                  and self.listed()[-1]["version"] > 6)
        said = self.end(process)
        self.assertIn("removed", said)
        self.assertLessEqual(len(self.names()), 3)
        self.verify(self.whole()[-1])

    def test_a_second_one_is_refused(self):
        process = self.begin("--every", "1h")
        self.wait("a backup", self.whole)
        result = self.server.run("backup", "schedule", self.place, "--once")
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"STORE_LOCKED", result.stderr)
        self.end(process)
        self.once()

    def test_ends_in_the_middle_of_a_backup(self):
        self.load()
        process = self.begin("--every", "1h", "--retry-for", "10m")
        self.wait("an unfinished backup", self.names)
        self.server.process.send_signal(signal.SIGSTOP)
        try:
            begun = time.monotonic()
            self.end(process)
            self.assertLess(time.monotonic() - begun, 10)
        finally:
            self.server.process.send_signal(signal.SIGCONT)
        self.once()
        self.assertEqual(len(self.whole()), 1)
        self.verify(self.whole()[0])

    def test_server_away(self):
        self.put()
        self.once()
        self.server.stop()
        process = self.begin("--every", "2s", "--retry-for", "200ms")
        self.wait("a failure", lambda: os.path.exists(os.path.join(self.place, ".last-attempt"))
                  and "UNAVAILABLE" in self.listed()[-1]["last_attempt"])
        rows = self.listed()
        self.assertEqual([row["state"] for row in rows], ["whole", "nothing"])
        self.server.start("--wal-segment-bytes", "1MiB")
        self.wait("a backup of the server that is back", lambda: len(self.whole()) >= 2)
        said = self.end(process)
        self.assertIn("UNAVAILABLE", said)
        self.assertIn("the next try is in", said)
        self.assertEqual(self.listed()[-1]["last_attempt"], "done")

    def test_a_full_disk(self):
        self.put()
        first = self.once("--keep-last", "1")["backup"]
        self.load()
        process = self.server.popen(
            "backup", "schedule", self.place, "--once", "--keep-last", "1", restore_signals=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (DISK_BYTES, DISK_BYTES)))
        process.communicate(timeout=WAIT_SECONDS_MAX)
        self.assertEqual(process.returncode, 1)
        self.assertIn(first, self.whole(), "the only good one was removed")
        self.assertEqual(len(self.whole()), 1)
        rows = self.listed()
        self.assertIn("unfinished", [row["state"] for row in rows])
        self.assertIn("File too large", rows[-1]["last_attempt"])
        made = self.once("--keep-last", "1")
        self.assertTrue(made["resumed"])
        self.assertEqual(self.names(), [made["backup"]])
        self.verify(made["backup"])


class Killed(ScheduleCase):
    def test_during_a_backup(self):
        self.load()
        seen_unfinished = 0
        made = random.Random(11)
        for _ in range(KILLS):
            self.put()
            before = self.whole()
            process = self.begin("--every", "1s", "--keep-last", "2")
            self.wait("something to happen", lambda: set(self.names()) - set(before))
            time.sleep(made.random() * 0.05)
            self.kill(process)
            seen_unfinished += len(self.names()) > len(self.whole())
            for row in self.listed():
                self.assertIn(row["state"], ("whole", "unfinished"))
        print(f"{seen_unfinished} of {KILLS} kills left an unfinished backup", flush=True)
        last = self.once("--keep-last", "2")
        self.assertEqual(self.names(), self.whole(), "something unfinished was left")
        self.assertLessEqual(len(self.names()), 2)
        self.assertEqual(self.verify(last["backup"])["version"], last["version"])

    def test_during_a_removal(self):
        """Stopped between the rename and the last unlink, again and again; each remnant goes with the next run."""
        self.load()
        newest = ""
        remnants = 0
        for _ in range(KILLS):
            for _ in range(2):
                self.put()
                self.once()
            count = len(self.names())
            process = self.begin("--every", "1s", "--keep-last", "1")
            end = time.monotonic() + WAIT_SECONDS_MAX
            while time.monotonic() < end and len(self.names()) >= count:
                pass
            self.kill(process)
            remnants += any(each.startswith(".removing-") for each in os.listdir(self.place))
            for row in self.listed():
                self.assertNotIn("removing", row["backup"])
            self.assertTrue(self.whole())
            self.assertGreaterEqual(self.whole()[-1], newest, "the newest went")
            newest = self.whole()[-1]
        print(f"{remnants} of {KILLS} kills left a removal half done", flush=True)
        # What a kill in the middle leaves, made by hand, so that it is tried on any machine.
        hidden = os.path.join(self.place, ".removing-20200101T000000Z", "data")
        os.makedirs(hidden)
        with open(os.path.join(hidden, "000000000001.sst"), "wb") as file:
            file.write(b"rest")
        last = self.once("--keep-last", "1")
        self.assertEqual(self.names(), [last["backup"]])
        self.assertFalse([each for each in os.listdir(self.place) if each.startswith(".removing-")])
        self.verify(last["backup"])


if __name__ == "__main__":
    assert os.path.exists(POLARYSD) and len(free_ports(2)) == 2
    unittest.main(verbosity=2)
