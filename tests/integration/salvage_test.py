#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""polarys salvage on a real store that is damaged in each way that can be thought of.

What comes back is held against everything that was ever written: a document that is not the newest one has to lie in a
range that the report names, and nothing appears that was never written."""
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cli_server import POLARYS, Server  # noqa: E402

KEYS = 3000
BLOCK = 4096
WHOLE, PART, NOTHING = 0, 4, 5


class Truth:
    """Every value that a key ever had; None stands for its deletion."""

    def __init__(self):
        self.tables: dict[str, dict[str, list]] = {}

    def put(self, table: str, key: str, value) -> None:
        self.tables.setdefault(table, {}).setdefault(key, []).append(value)


class Store:
    """A store with several table files, overwritten and deleted documents, indexes, and a log that is not flushed."""

    def __init__(self):
        self.server = Server()
        self.server.start("--wal-segment-bytes", "1MiB")
        self.truth, self.random = Truth(), random.Random(7)
        self.directory = self.server.directory
        self.data, self.key = os.path.join(self.directory, "data"), os.path.join(self.directory, "master.key")
        shutil.copy(os.path.join(self.data, "master.key"), self.key)

    def done(self, *words: str, data: bytes = b"") -> str:
        result = self.server.run(*words, data=data)
        assert (result.returncode, result.stderr) == (0, b""), (words, result.stderr)
        return result.stdout.decode()

    def load(self, table: str, keys, tag: str) -> None:
        lines = []
        for key in keys:
            value = {"n": self.random.randrange(1000), "tag": tag, "pad": self.random.randbytes(700).hex()}
            self.truth.put(table, key, value)
            lines.append(json.dumps({"key": key, "value": value}))
        self.done("import", table, "-", data="\n".join(lines).encode())

    def delete(self, table: str, start: str, end: str, keys) -> None:
        self.done("delete-range", table, "--from", start, "--to", end)
        for key in keys:
            if start <= key < end:
                self.truth.put(table, key, None)

    def fill(self) -> None:
        keys = [f"k{i:05}" for i in range(KEYS)]
        self.done("table", "create", "t")
        self.done("table", "create", "u")
        self.done("database", "create", "shop")
        self.done("index", "create", "t", "n", "--name", "by_n", "--wait")
        self.load("t", keys, "first")
        self.load("u", keys[:500], "first")
        self.done("admin", "flush")
        self.done("admin", "compact")
        self.load("t", keys[500:1500], "second")
        self.delete("t", "k02000", "k02100", keys)
        self.done("admin", "flush")
        self.load("t", keys[1000:1200], "third")
        self.done("delete", "u", "k00003")
        self.truth.put("u", "k00003", None)

    def copy(self, name: str) -> str:
        path = os.path.join(self.directory, name)
        shutil.copytree(self.data, path)
        return path


def digest_of(path: str) -> dict:
    """Every file below a directory, with what is in it and when it was changed."""
    found = {}
    for root, _, names in os.walk(path):
        for name in names:
            each = os.path.join(root, name)
            with open(each, "rb") as file:
                found[each] = (hashlib.sha256(file.read()).hexdigest(), os.stat(each).st_mtime_ns)
    return found


class SalvageCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.store = Store()
        cls.addClassCleanup(cls.store.server.close)
        cls.store.fill()
        cls.prepare()

    @classmethod
    def prepare(cls):
        """The server is killed: what was not flushed is in the log only."""
        cls.store.server.kill()

    def setUp(self):
        self.damaged = self.store.copy(f"damaged-{self.id()}")
        self.saved = os.path.join(self.store.directory, f"saved-{self.id()}")
        self.names: dict[str, str] = {}
        self.addCleanup(shutil.rmtree, self.damaged)
        self.addCleanup(shutil.rmtree, self.saved, True)

    def files(self, suffix: str, within: str = "") -> list[str]:
        where = os.path.join(self.damaged, within)
        return sorted(os.path.join(where, name) for name in os.listdir(where) if name.endswith(suffix))

    def largest(self) -> str:
        return max(self.files(".sst"), key=os.path.getsize)

    def flip(self, path: str, offset: int) -> None:
        with open(path, "r+b") as file:
            file.seek(offset)
            byte = file.read(1)
            file.seek(offset)
            file.write(bytes([byte[0] ^ 0x55]))

    def forget_old_log(self) -> None:
        """As if the log that is in table files had been let go of: it would fill in what they lost."""
        for path in self.files(".wal", "wal")[:-1]:
            os.remove(path)

    def run_salvage(self, *more: str) -> subprocess.CompletedProcess:
        before = digest_of(self.damaged)
        words = {"--data-dir": self.saved, "--master-key-file": self.store.key}
        words.update(zip(more[::2], more[1::2]))
        options = [word for pair in words.items() for word in pair]
        result = subprocess.run([POLARYS, "salvage", self.damaged, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120,
                                check=False)
        self.assertEqual(digest_of(self.damaged), before, "the damaged store was written to")
        return result

    def salvage(self, status: int) -> tuple[dict, list[dict]]:
        result = self.run_salvage("-o", "json")
        self.assertEqual(result.returncode, status, result.stderr + result.stdout)
        rows = [json.loads(line) for line in result.stdout.decode().splitlines()]
        return rows[-1], rows[:-1]

    def content(self) -> dict[str, dict[str, dict]]:
        """Everything that a server gives of the salvaged store; its indexes are held against its documents too."""
        other = Server()
        self.addCleanup(other.close)
        shutil.copytree(self.saved, os.path.join(other.directory, "data"))
        shutil.copy(self.store.key, os.path.join(other.directory, "data", "master.key"))
        other.start()
        found = {}
        for line in other.run("table", "list", "-o", "json").stdout.decode().splitlines():
            name = json.loads(line)["table"]
            found[name] = {}
            exported = other.run("export", name).stdout.decode()
            for each in exported.splitlines():
                row = json.loads(each)
                if "key" in row:  # the server's own tables have others
                    found[name][row["key"]] = row["value"]
            if other.run("index", "list", name).stdout.strip():
                checked = other.run("index", "check", name, "-o", "json")
                self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertEqual(other.run("table", "create", "made-later").returncode, 0)
        self.assertEqual(other.run("put", "made-later", "new", "1").returncode, 0)
        return found

    def named(self, losses: list[dict], table: str, key: str) -> bool:
        return any(row["effect"] == "lost" and self.names.get(row["table"], row["table"]) in ("*", table) and
                   (not row["first_key"] or row["first_key"] <= key) and (not row["last_key"] or key <= row["last_key"])
                   for row in losses)

    def rename(self, found: dict) -> None:
        """Gives tables whose names were lost their names, by what is in them."""
        for name in [each for each in found if each.startswith("recovered_")]:
            documents = found.pop(name)
            fits = [table for table, keys in self.store.truth.tables.items() if not found.get(table) and documents and
                    all(value in keys.get(key, []) for key, value in documents.items())]
            self.assertTrue(fits or not documents, f"{name} was never written")
            if fits:
                found[fits[0]] = documents
                self.names[name] = fits[0]

    def compare(self, losses: list[dict]) -> int:
        """Returns how many documents are not the newest."""
        found, wrong = self.content(), 0
        self.rename(found)
        for table, keys in self.store.truth.tables.items():
            there = found.pop(table, {})
            for key, values in keys.items():
                value = there.pop(key, None)
                if value == values[-1]:
                    continue
                wrong += 1
                self.assertTrue(self.named(losses, table, key), f"{table}/{key} differs and no loss names it")
                self.assertIn(value, values + [None], f"{table}/{key} was never written so")
            self.assertEqual(there, {}, f"{table}: documents that were never written")
        self.assertEqual({name for name in found if found[name]}, set(), "tables that never were")
        return wrong


class Killed(SalvageCase):
    def test_a_store_without_damage_comes_back_whole(self):
        summary, losses = self.salvage(WHOLE)
        self.assertEqual((summary["outcome"], losses, summary["doubtful"]), ("whole", [], 0))
        self.assertEqual(self.compare(losses), 0)
        self.assertEqual(summary["indexes"], 1)
        self.assertGreater(summary["version"], summary["newest_version"])

    def test_a_flipped_byte_in_a_data_block(self):
        self.forget_old_log()
        self.flip(self.largest(), os.path.getsize(self.largest()) * 6 // 10)
        summary, losses = self.salvage(PART)
        self.assertEqual({row["kind"] for row in losses if row["effect"] == "lost"}, {"table_blocks"})
        wrong = self.compare(losses)
        self.assertGreater(wrong, 0)
        self.assertLess(wrong, KEYS // 4, "one block took too much with it")
        self.assertEqual(summary["losses"], len([row for row in losses if row["effect"] == "lost"]))

    def test_the_log_fills_in_what_table_files_lost(self):
        self.flip(self.largest(), os.path.getsize(self.largest()) * 6 // 10)
        _, losses = self.salvage(PART)
        self.compare(losses)

    def test_every_part_of_a_table_file(self):
        path = self.largest()
        with open(path, "rb") as file:
            good = file.read()
        for offset in [0, 40, 90, len(good) - 1, len(good) - 100, len(good) - 200, len(good) - 1000,
                       *range(3000, len(good), len(good) // 7)]:
            with self.subTest(offset=offset):
                self.flip(path, offset)
                _, losses = self.salvage(PART) if self.is_read(offset, len(good)) else self.salvage_any()
                self.compare(losses)
                shutil.rmtree(self.saved)
                with open(path, "wb") as file:
                    file.write(good)

    def is_read(self, offset: int, size: int) -> bool:
        """Header and footer: without them the file says nothing."""
        return offset < 100 or offset >= size - 144

    def salvage_any(self) -> tuple[dict, list[dict]]:
        result = self.run_salvage("-o", "json")
        self.assertIn(result.returncode, (WHOLE, PART), result.stderr)
        rows = [json.loads(line) for line in result.stdout.decode().splitlines()]
        return rows[-1], rows[:-1]

    def test_a_table_file_that_was_cut_short(self):
        path = self.largest()
        os.truncate(path, os.path.getsize(path) // 2)
        _, losses = self.salvage(PART)
        self.assertIn(("table_file", os.path.basename(path)), {(row["kind"], row["file"]) for row in losses})
        self.compare(losses)

    def test_a_table_file_that_is_gone(self):
        self.forget_old_log()
        for path in self.files(".sst"):
            with self.subTest(file=os.path.basename(path)):
                os.rename(path, path + ".away")
                _, losses = self.salvage(PART)
                self.compare(losses)
                shutil.rmtree(self.saved)
                os.rename(path + ".away", path)

    def test_two_table_files_that_changed_places(self):
        first, second = self.files(".sst")[:2]
        os.rename(first, first + "x")
        os.rename(second, first)
        os.rename(first + "x", second)
        _, losses = self.salvage(PART)
        self.compare(losses)

    def test_two_blocks_that_changed_places(self):
        path = self.largest()
        self.forget_old_log()
        with open(path, "r+b") as file:
            whole = file.read()
            middle = len(whole) // 2
            file.seek(0)
            file.write(whole[:8000] + whole[middle:middle + 4000] + whole[12000:middle] + whole[8000:12000] +
                       whole[middle + 4000:])
        _, losses = self.salvage(PART)
        self.assertGreater(self.compare(losses), 0)

    def test_a_lost_current(self):
        os.remove(os.path.join(self.damaged, "CURRENT"))
        _, losses = self.salvage(WHOLE)
        self.assertEqual([row["effect"] for row in losses], ["none"])
        self.assertEqual(self.compare(losses), 0)

    def test_a_lost_manifest(self):
        for path in [os.path.join(self.damaged, name) for name in os.listdir(self.damaged) if "MANIFEST" in name]:
            os.remove(path)
        summary, losses = self.salvage(PART)
        self.assertIn("manifest", {row["kind"] for row in losses})
        self.assertEqual(self.compare(losses), 0, "every table file is there")
        self.assertEqual(summary["doubtful"], summary["documents"])

    def test_a_damaged_manifest(self):
        path = [os.path.join(self.damaged, name) for name in os.listdir(self.damaged) if "MANIFEST" in name][0]
        for offset in (10, 100, os.path.getsize(path) - 5):
            with self.subTest(offset=offset):
                self.flip(path, offset)
                _, losses = self.salvage(PART)
                self.assertEqual(self.compare(losses), 0)
                self.flip(path, offset)
                shutil.rmtree(self.saved)

    def segment(self) -> str:
        """The segment that holds the newest commits."""
        return self.files(".wal", "wal")[-1]

    def frames(self, path: str) -> list[int]:
        with open(path, "rb") as file:
            data = file.read()
        return [at for at in range(BLOCK, len(data), BLOCK) if data[at + 36:at + 40] == b"PFRM" and
                data[at + 8:at + 16] == data[48:56]]

    def test_a_broken_frame_in_the_middle(self):
        path = self.segment()
        frames = self.frames(path)
        self.assertGreater(len(frames), 2)
        told = 0
        for at in frames[-6:-1]:
            with self.subTest(frame=at):
                self.flip(path, at + 70)
                _, losses = self.salvage_any()
                told += ("log_frames", at) in {(row["kind"], row["offset"]) for row in losses}
                # Without a row the table files have it: then nothing may be missing.
                self.compare(losses)
                self.flip(path, at + 70)
                shutil.rmtree(self.saved)
        self.assertGreater(told, 0)

    def test_the_last_frame(self):
        path = self.segment()
        self.flip(path, self.frames(path)[-1] + 70)
        _, losses = self.salvage(PART)
        self.assertEqual([row["last_version"] for row in losses], [0], "nothing tells how many are missing")
        self.assertGreater(self.compare(losses), 0)

    def test_two_frames_that_changed_places(self):
        path = self.segment()
        frames = self.frames(path)
        pair = [(a, b) for a, b in zip(frames, frames[1:]) if b - a == BLOCK and b + BLOCK in frames[:] + [
            os.path.getsize(path)]]
        first, second = (pair or list(zip(frames, frames[1:])))[-1]
        with open(path, "r+b") as file:
            whole = bytearray(file.read())
            size = min(second - first, BLOCK)
            whole[first:first + size], whole[second:second + size] = whole[second:second + size], whole[first:first + size]
            file.seek(0)
            file.write(whole)
        _, losses = self.salvage_any()
        self.compare(losses)

    def test_a_segment_without_its_header(self):
        self.flip(self.segment(), 90)
        _, losses = self.salvage(PART)
        self.assertIn("log_segment", {row["kind"] for row in losses})
        self.compare(losses)

    def test_a_log_that_is_gone(self):
        shutil.rmtree(os.path.join(self.damaged, "wal"))
        _, losses = self.salvage(PART)
        self.compare(losses)

    def test_a_lost_catalogue(self):
        """The block that holds the names is bad in every table file, and the log is gone."""
        for path in self.files(".sst"):
            self.flip(path, 200)
        shutil.rmtree(os.path.join(self.damaged, "wal"))
        summary, losses = self.salvage(PART)
        self.assertIn("catalog", {row["kind"] for row in losses})
        self.assertGreater(summary["renamed_tables"], 0)
        content = self.content()
        self.rename(content)
        self.assertGreater(len(content.get("t", {})), KEYS // 2)

    def test_the_wrong_key(self):
        wrong = os.path.join(self.store.directory, "wrong.key")
        with open(wrong, "w", encoding="ascii") as file:
            file.write("ab" * 32)
        result = self.run_salvage("--master-key-file", wrong)
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertIn(b"WRONG_MASTER_KEY", result.stderr)
        self.assertFalse(os.path.exists(self.saved))

    def test_a_lost_keyring(self):
        for damage in (lambda path: self.flip(path, 120), os.remove):
            damage(os.path.join(self.damaged, "keyring"))
            result = self.run_salvage()
            self.assertEqual(result.returncode, NOTHING, result.stderr)
            self.assertIn(b"keyring", result.stderr)
            self.assertFalse(os.path.exists(self.saved))

    def test_nothing_is_left(self):
        for path in self.files(".sst") + self.files(".wal", "wal"):
            os.truncate(path, 5)
        result = self.run_salvage()
        self.assertEqual(result.returncode, NOTHING, result.stderr)
        self.assertFalse(os.path.exists(self.saved))

    def test_where_it_may_not_go(self):
        inside = os.path.join(self.damaged, "new")
        result = self.run_salvage("--data-dir", inside)
        self.assertEqual(result.returncode, 2, result.stderr)
        os.mkdir(self.saved)
        self.assertIn(b"ALREADY_EXISTS", self.run_salvage().stderr)

    def test_a_report_for_people(self):
        self.flip(self.largest(), os.path.getsize(self.largest()) * 6 // 10)
        result = self.run_salvage()
        self.assertEqual(result.returncode, PART)
        self.assertIn(b"KIND", result.stdout)
        self.assertIn(b"OUTCOME", result.stdout)


class Closed(Killed):
    """The same on a store that was closed: its log is not needed."""

    @classmethod
    def prepare(cls):
        cls.store.server.stop()

    def log_is_not_needed(self):
        _, losses = self.salvage(WHOLE)
        self.assertEqual(self.compare(losses), 0)

    def test_a_broken_frame_in_the_middle(self):
        path = self.segment()
        for at in self.frames(path)[:1]:
            self.flip(path, at + 70)
        self.log_is_not_needed()

    test_the_last_frame = test_two_frames_that_changed_places = test_a_broken_frame_in_the_middle
    test_a_segment_without_its_header = test_a_broken_frame_in_the_middle

    def test_a_log_that_is_gone(self):
        shutil.rmtree(os.path.join(self.damaged, "wal"))
        _, losses = self.salvage(PART)
        self.assertEqual(self.compare(losses), 0, "the report says what nobody can know better")


class Running(unittest.TestCase):
    def test_a_store_that_is_open_is_left_alone(self):
        store = Store()
        self.addCleanup(store.server.close)
        store.done("table", "create", "t")
        saved = os.path.join(store.directory, "saved")
        result = subprocess.run([POLARYS, "salvage", store.data, "--data-dir", saved, "--master-key-file", store.key],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"STORE_LOCKED", result.stderr)
        store.server.stop()

    def test_a_server_that_was_killed_again_and_again(self):
        """Each start after a kill leaves versions out; that is no loss."""
        store = Store()
        self.addCleanup(store.server.close)
        store.done("table", "create", "t")
        for turn in range(3):
            store.done("put", "t", f"k{turn}", "1")
            if turn == 1:
                store.done("admin", "flush")
            store.server.kill()
            store.server.start("--wal-segment-bytes", "1MiB")
        store.server.kill()
        saved = os.path.join(store.directory, "saved")
        result = subprocess.run([POLARYS, "salvage", store.data, "--data-dir", saved, "--master-key-file", store.key],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        self.assertEqual(result.returncode, WHOLE, result.stdout + result.stderr)

    def test_the_server_names_the_command(self):
        store = Store()
        store.done("table", "create", "t")
        store.server.stop()
        for name in os.listdir(store.data):
            if "MANIFEST" in name:
                os.remove(os.path.join(store.data, name))
        with self.assertRaises(RuntimeError) as raised:
            store.server.start()
        self.assertIn("polarys salvage", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
