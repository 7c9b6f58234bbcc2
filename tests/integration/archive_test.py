#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An archive of the log beside a server that is written to, and restores from it to any version and time."""
import datetime
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_server import POLARYS, POLARYSD, Server, free_ports  # noqa: E402
from s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server  # noqa: E402

WAIT_SECONDS_MAX = 60
VERSIONS = 20
KILLS = 8
S3_ENVIRONMENT = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": REGION}


class ArchiveCase(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.directory = self.server.directory
        self.key = os.path.join(self.directory, "data", "master.key")
        self.archive = os.path.join(self.directory, "archive")
        self.more: list[str] = []  # options of every command that reads or writes the archive
        self.server.start("--wal-segment-bytes", "1MiB")
        self.done("table", "create", "t")

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def done(self, *words: str, data: bytes = b"") -> str:
        result = self.server.run(*words, data=data)
        self.assertEqual(result.returncode, 0, (words, result.stderr))
        return result.stdout.decode()

    def row(self, *words: str) -> dict:
        return json.loads(self.done(*words, "-o", "json"))

    def refused(self, *words: str, reason: str) -> str:
        result = self.server.run(*words)
        text = result.stderr.decode()
        self.assertNotEqual(result.returncode, 0, words)
        self.assertIn(reason, text)
        return text

    def catch_up(self) -> dict:
        return self.row("archive", self.archive, "--until-caught-up", *self.more)

    def write(self, first: int, count: int, size: int = 200) -> None:
        """Commits one by one, from several connections, so that some share a frame."""
        def put(part: int) -> None:
            lines = "".join(f'put t k{i % 97:03} {{"n":{i},"pad":"{"x" * size}"}}\n'
                            for i in range(first + part, first + count, 4))
            self.server.run("shell", data=lines.encode())
        threads = [threading.Thread(target=put, args=(part,)) for part in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    def restore(self, to: str, *more: str) -> dict:
        return self.row("restore", self.path("b"), "--archive", self.archive, "--data-dir", self.path(to),
                        "--master-key-file", self.key, *more, *self.more)

    def restore_refused(self, *more: str, reason: str) -> str:
        text = self.refused("restore", self.path("b"), "--archive", self.archive, "--data-dir", self.path("refused"),
                            "--master-key-file", self.key, *more, *self.more, reason=reason)
        self.assertFalse(os.path.exists(self.path("refused")) or os.path.exists(self.path("refused.restoring")))
        return text

    def serve(self, data_dir: str) -> Server:
        other = Server()
        self.addCleanup(other.close)
        shutil.move(self.path(data_dir), os.path.join(other.directory, "data"))
        shutil.copy(self.key, os.path.join(other.directory, "data", "master.key"))
        return other.start()

    def restored_digest(self, data_dir: str) -> dict:
        other = self.serve(data_dir)
        row = json.loads(other.run("digest", "-o", "json").stdout)
        other.kill()
        return row

    def digest(self, version: int) -> str:
        return self.row("digest", "--at-version", str(version))["digest"]

    def pieces(self) -> list[str]:
        return sorted(os.listdir(os.path.join(self.archive, "log")))

    def wait(self, what: str, true_when) -> None:
        end = time.monotonic() + WAIT_SECONDS_MAX
        while time.monotonic() < end:
            if true_when():
                return
            time.sleep(0.02)
        self.fail("it never came to pass: " + what)


class Exact(ArchiveCase):
    def test_any_version_although_the_archiver_is_killed_again_and_again(self):
        self.write(0, 300)
        self.catch_up()
        self.done("backup", "create", self.path("b"))
        base = self.row("backup", "list", self.path("b"))["version"]
        ends = threading.Event()

        def archiver():
            for _ in range(KILLS):
                process = self.server.popen("archive", self.archive, "--piece-interval", "20ms")
                ends.wait(0.25)
                process.kill()
                process.communicate()
        beside = threading.Thread(target=archiver)
        beside.start()
        number = 300
        while beside.is_alive():
            self.write(number, 400)
            number += 400
        beside.join()
        end = self.catch_up()["version"]
        newest = self.row("digest")["version"]
        self.assertEqual(end, newest)
        self.assertGreater(len(self.pieces()), KILLS)
        verified = self.row("archive", "verify", self.archive)
        self.assertEqual((verified["to_version"], verified["runs"]), (newest, 1))
        self.assertGreater(verified["to_version"] - base, verified["frames"] * 1.2, "no frame holds several commits")
        chosen = random.Random(7)
        versions = [base, newest, *(chosen.randrange(base, newest) for _ in range(VERSIONS - 2))]
        expected = {version: self.digest(version) for version in versions}
        for version in versions:
            row = self.restore("r", "--to-version", str(version))
            self.assertEqual((row["backup_version"], row["restored_version"]), (base, version))
            self.assertEqual(row["term"], 2)
            self.assertGreater(row["version"], newest)
            self.assertEqual(self.restored_digest("r")["digest"], expected[version], version)
        self.restore_refused("--to-version", str(newest + 1), reason="FUTURE_VERSION")
        self.restore_refused("--to-version", str(base - 1), reason="the backup holds version")

    def test_to_a_time(self):
        self.catch_up()
        self.done("backup", "create", self.path("b"))
        self.done("put", "t", "before", "1")
        time.sleep(0.3)
        moment = datetime.datetime.now(datetime.timezone.utc)
        time.sleep(0.3)
        self.done("put", "t", "after", "1")
        self.catch_up()
        text = moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        self.restore("r", "--to-time", text)
        other = self.serve("r")
        self.assertEqual(other.run("get", "t", "before", "-o", "raw").stdout, b"1")
        self.assertEqual(other.run("get", "t", "after").returncode, 3)
        far = (moment + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.restore_refused("--to-time", far, reason="known to be complete up to")
        early = (moment - datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.restore_refused("--to-time", early, reason="restore an earlier backup")
        self.assertEqual(self.restore("latest")["restored_version"], self.row("digest")["version"])

    def test_a_backup_that_is_newer_than_the_archive(self):
        """The archive adds nothing then, and nothing of it is missing."""
        self.catch_up()
        last = int(self.pieces()[-1].split("-")[0])
        while not self.later(last):
            self.write(0, 400, 2000)
        newest = self.row("digest")["version"]
        self.done("backup", "create", self.path("b"))
        row = self.restore("r")
        self.assertEqual((row["backup_version"], row["restored_version"]), (newest, newest))
        self.restore_refused("--to-version", str(newest + 1), reason="FUTURE_VERSION")

    def later(self, segment: int) -> bool:
        """Whether the log has gone on to the segment but one behind this one."""
        names = [name for name in os.listdir(os.path.join(self.server.directory, "data", "wal")) if name.endswith(".wal")]
        return max(int(name.split(".")[0]) for name in names) > segment + 1

    def test_ends_when_it_is_told_to(self):
        process = self.server.popen("archive", self.archive, "--piece-interval", "1h", "-o", "json")
        self.wait("it follows", lambda: os.path.exists(os.path.join(self.archive, "keys")))
        self.write(0, 50)
        newest = self.row("digest")["version"]
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(json.loads(out)["version"], newest)
        slot = self.row("slot", "list")
        self.assertEqual((slot["kind"], slot["durable_version"]), ("archive", newest))

    def test_one_archiver_at_a_time(self):
        process = self.server.popen("archive", self.archive)
        self.wait("it stores", lambda: os.path.exists(os.path.join(self.archive, "log")))
        self.refused("archive", self.archive, "--until-caught-up", reason="STORE_LOCKED")
        process.kill()
        process.communicate()


class Damage(ArchiveCase):
    def setUp(self):
        super().setUp()
        self.catch_up()
        self.done("backup", "create", self.path("b"))
        for i in range(4):
            self.write(i * 2000, 2000, 500)
            self.catch_up()
        self.assertGreater(len(self.pieces()), 5)

    def judged(self, victim: str, reason: str) -> None:
        """The damage is named by verify and by restore, and the archive is as before when it is undone."""
        self.assertIn(victim, self.refused("archive", "verify", self.archive, reason="DATA_LOSS/CORRUPT"))
        self.assertIn(victim.split("-")[0], self.restore_refused(reason=reason))

    def test_a_piece_that_is_missing_or_altered_is_named(self):
        log = os.path.join(self.archive, "log")
        names = self.pieces()
        middle, last = names[len(names) // 2], names[-1]
        whole = self.row("archive", "verify", self.archive)
        self.assertEqual(whole["pieces"], len(names))
        for victim in (middle, last):
            os.rename(os.path.join(log, victim), self.path("aside"))
            said = self.refused("archive", "verify", self.archive, reason="missing")
            self.assertIn("missing", said)
            self.restore_refused(reason="missing")
            os.rename(self.path("aside"), os.path.join(log, victim))
        path = os.path.join(log, middle)
        with open(path, "rb") as file:
            good = file.read()
        for name, bad in (("altered", good[:5000] + bytes([good[5000] ^ 1]) + good[5001:]),
                          ("shortened", good[:-1]), ("made longer", good + b"x"), ("empty", b"")):
            with self.subTest(name):
                with open(path, "wb") as file:
                    file.write(bad)
                self.judged(middle, middle)
        with open(path, "wb") as file:
            file.write(good)
        # A piece in another's place.
        shutil.copy(os.path.join(log, names[1]), path)
        self.judged(middle, middle)
        with open(path, "wb") as file:
            file.write(good)
        self.assertEqual(self.row("archive", "verify", self.archive), whole)
        self.restore("r")

    def test_a_forged_digest_is_found_by_the_store(self):
        """Whoever makes digests and checksums anew has no key: the store finds it."""
        import hashlib
        path = os.path.join(self.archive, "log", self.pieces()[-1])
        with open(path, "rb") as file:
            data = bytearray(file.read()[:-32])
        crc_at = 192 if int(self.pieces()[-1].split("-")[2]) else 192 + 4096
        size = int.from_bytes(data[crc_at + 4:crc_at + 8], "little") + 80
        data[crc_at + 70] ^= 1
        data[crc_at:crc_at + 4] = crc32c(bytes(data[crc_at + 4:crc_at + size])).to_bytes(4, "little")
        with open(path, "wb") as file:
            file.write(bytes(data) + hashlib.sha256(data).digest())
        self.row("archive", "verify", self.archive)
        self.restore_refused(reason="TAMPERED")

    def test_log_that_is_not_kept_any_more_leaves_a_gap_that_is_told(self):
        self.done("slot", "drop", "archive")
        self.server.stop()
        self.server.start("--wal-segment-bytes", "1MiB", "--history-keep", "0s")
        wal = os.path.join(self.directory, "data", "wal")
        archived = self.pieces()[-1][:12]

        def oldest_kept() -> str:
            return min(name for name in os.listdir(wal) if name.endswith(".wal") and name[0].isdigit())[:12]
        for i in range(6):
            self.write(i * 4000, 4000, 800)
            self.done("admin", "flush")
            time.sleep(0.5)
            if oldest_kept() > archived:
                break
        self.assertGreater(oldest_kept(), archived, "the log is still kept")
        result = self.server.run("archive", self.archive, "--until-caught-up")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(b"LOG_PRUNED", result.stderr)
        self.write(0, 100)
        self.catch_up()
        rows = [json.loads(row) for row in self.done("archive", "list", self.archive, "-o", "json").splitlines()]
        self.assertEqual([row["state"] for row in rows], ["whole", "gap before"])
        self.assertEqual(self.row("archive", "verify", self.archive)["runs"], 2)
        self.restore_refused(reason="gap")
        before = rows[0]["to_version"]
        self.assertEqual(self.restore("r", "--to-version", str(before))["restored_version"], before)
        self.restore_refused("--to-version", str(before + 1), reason="gap")
        self.done("backup", "create", self.path("b2"))
        self.done("put", "t", "behind", "1")
        end = self.catch_up()["version"]
        row = self.row("restore", self.path("b2"), "--archive", self.archive, "--data-dir", self.path("r2"),
                       "--master-key-file", self.key)
        self.assertEqual(row["restored_version"], end)


def crc32c(data: bytes) -> int:
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


class Trouble(ArchiveCase):
    def test_a_full_disk_holds_nothing_up(self):
        os.mkdir(self.archive)
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", self.archive],
                                               check=False, stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("no tmpfs can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.archive], check=False)
        process = self.server.popen("archive", self.archive, "--piece-interval", "50ms", "-o", "json")
        self.wait("it stores", lambda: os.path.exists(os.path.join(self.archive, "log")))
        self.write(0, 4000, 800)
        newest = self.row("digest")["version"]  # the primary took all of it
        self.assertIsNone(process.poll())
        self.assertLess(self.row("slot", "list")["durable_version"], newest)
        subprocess.run(["mount", "-o", "remount,size=64m", self.archive], check=True)
        self.wait("it goes on", lambda: self.row("slot", "list")["durable_version"] >= newest)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0, err)
        self.assertIn(b"DISK_LOW", err)
        verified = self.row("archive", "verify", self.archive)
        self.assertEqual((verified["to_version"], verified["runs"]), (newest, 1))

    def test_a_server_that_goes_away_and_comes_back(self):
        process = self.server.popen("archive", self.archive, "--piece-interval", "20ms")
        self.wait("it stores", lambda: os.path.exists(os.path.join(self.archive, "log")))
        for i in range(3):
            self.write(i * 200, 200)
            self.server.kill()
            self.server.start("--wal-segment-bytes", "1MiB")
        newest = self.row("put", "t", "last", "1")["version"]
        self.wait("it goes on", lambda: self.row("slot", "list")["durable_version"] >= newest)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        self.assertEqual(self.row("archive", "verify", self.archive)["runs"], 1)

    def test_another_store_is_refused(self):
        self.catch_up()
        other = Server().start()
        self.addCleanup(other.close)
        result = other.run("archive", self.archive, "--until-caught-up")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(b"WRONG_STORE", result.stderr)

    def test_a_lower_term_is_refused_and_a_new_primary_followed(self):
        self.write(0, 200)
        self.catch_up()
        self.done("backup", "create", self.path("b"))
        replica = Server()
        self.addCleanup(replica.close)
        os.mkdir(os.path.join(replica.directory, "data"))
        shutil.copy(self.key, self.path("replica.key"))
        replica.start("--follow", self.server.endpoint, "--node-name", "b", "--master-key-file",
                      self.path("replica.key"), "--wal-segment-bytes", "1MiB")
        self.write(200, 200)
        newest = self.row("digest")["version"]
        self.wait("the replica has it", lambda: json.loads(
            replica.run("digest", "-o", "json").stdout or b'{"version":0}')["version"] >= newest)
        # What only the old primary had is archived, and cut off by the new one's first segment.
        replica.kill()
        self.write(400, 100)
        self.catch_up()
        self.server.kill()
        # It is not ready without its primary, so nothing waits for that.
        replica.process = subprocess.Popen(
            [POLARYSD, "--dev", "--data-dir", os.path.join(replica.directory, "data"), "--listen", replica.endpoint,
             "--admin-listen", replica.admin_endpoint, "--follow", self.server.endpoint, "--node-name", "b",
             "--master-key-file", self.path("replica.key"), "--wal-segment-bytes", "1MiB"],
            stdin=subprocess.DEVNULL, stdout=replica.log, stderr=replica.log)
        self.wait("it is promoted", lambda: replica.run(
            "replica", "promote", "--allow-data-loss", timeout=100).returncode == 0)
        self.assertEqual(replica.run("put", "t", "new", "1").returncode, 0)
        followed = replica.run("archive", self.archive, "--until-caught-up")
        self.assertEqual(followed.returncode, 0, followed.stderr)
        self.assertIn(b"going back to", followed.stderr)
        digest = json.loads(replica.run("digest", "-o", "json").stdout)
        row = self.restore("r")
        self.assertEqual(row["restored_version"], digest["version"])
        self.assertEqual(row["term"], 3)
        self.assertEqual(self.restored_digest("r")["digest"], digest["digest"])
        self.server.start("--wal-segment-bytes", "1MiB")
        self.refused("archive", self.archive, "--until-caught-up", reason="NOT_PRIMARY")


class Bucket(ArchiveCase):
    def setUp(self):
        super().setUp()
        self.s3 = S3Server()
        self.addCleanup(self.s3.close)
        self.archive = "s3://vault/some/log"
        self.more = ["--s3-endpoint", self.s3.endpoint]
        for name, value in S3_ENVIRONMENT.items():
            self.addCleanup(os.environ.pop, name, None)
            os.environ[name] = value

    def test_archive_and_restore(self):
        self.catch_up()
        self.done("backup", "create", self.path("b"))
        for i in range(8):
            self.write(i * 300, 300)
            self.catch_up()
        newest = self.row("digest")["version"]
        self.assertGreater(len([key for key in self.s3.objects if key.startswith("some/log/log/")]), self.s3.page,
                           "a listing of one page")
        verified = self.row("archive", "verify", self.archive, *self.more)
        self.assertEqual((verified["to_version"], verified["runs"]), (newest, 1))
        self.assertEqual(self.row("archive", "list", self.archive, *self.more)["to_version"], newest)
        for version in (newest, newest - 777):
            expected = self.digest(version)
            self.restore("r", "--to-version", str(version))
            self.assertEqual(self.restored_digest("r")["digest"], expected)
        self.assertEqual(self.s3.refused, 0)
        victim = sorted(key for key in self.s3.objects if "/log/log/" in key)[5]
        good = self.s3.objects[victim]
        self.s3.objects[victim] = good[:-40] + bytes(8) + good[-32:]
        self.assertIn(os.path.basename(victim), self.restore_refused(reason="CORRUPT"))
        del self.s3.objects[victim]
        self.restore_refused(reason="missing")

    def test_trouble_is_told_and_tried_again(self):
        process = self.server.popen("archive", self.archive, "--piece-interval", "20ms", *self.more)
        self.wait("it stores", lambda: any("/log/log/" in key for key in self.s3.objects))
        self.s3.failures = 3
        self.s3.is_full = True
        self.write(0, 100)
        newest = self.row("digest")["version"]
        time.sleep(1)
        self.assertLess(self.row("slot", "list")["durable_version"], newest)
        self.s3.is_full = False
        self.wait("it goes on", lambda: self.row("slot", "list")["durable_version"] >= newest)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 0, err)
        self.assertRegex(err.decode(), "503 SlowDown|507 InsufficientStorage")

    def test_a_wrong_secret_is_refused(self):
        os.environ["AWS_SECRET_ACCESS_KEY"] = "notthesecret"
        text = self.refused("archive", self.archive, "--until-caught-up", *self.more, reason="PERMISSION_DENIED")
        self.assertIn("SignatureDoesNotMatch", text)
        self.assertNotIn("notthesecret", text)
        self.assertFalse(self.s3.objects)

    def test_credentials_from_a_file(self):
        del os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        self.refused("archive", self.archive, "--until-caught-up", *self.more, reason="no credentials")
        with open(self.path("credentials"), "w", encoding="utf-8") as file:
            file.write(f"[other]\naws_access_key_id = no\n[default]\naws_access_key_id = {ACCESS_KEY}\n"
                       f"aws_secret_access_key={SECRET_KEY}\n")
        os.environ["AWS_SHARED_CREDENTIALS_FILE"] = self.path("credentials")
        self.addCleanup(os.environ.pop, "AWS_SHARED_CREDENTIALS_FILE")
        self.assertEqual(self.catch_up()["stored_pieces"], 1)


if __name__ == "__main__":
    assert os.path.exists(POLARYSD) and os.path.exists(POLARYS) and len(free_ports(2)) == 2
    unittest.main(verbosity=2)
