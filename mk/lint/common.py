# SPDX-License-Identifier: Apache-2.0
"""What the lint checks share: the files of the tree, allow-lists, C text without comments, and results kept by content."""
import concurrent.futures
import functools
import hashlib
import os
import re
import subprocess
import sys

TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.M)
C_FOLDERS = ("engine/", "service/", "client/", "tests/", "bench/")
BUILD = os.environ.get("BUILD", "build")
GENERATED = os.path.join(BUILD, "gen", "c")


@functools.lru_cache(maxsize=None)
def tree() -> tuple[str, ...]:
    """Every file that belongs to the project or is about to. Without git, every file that is not built."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, check=False, capture_output=True)
    if listing.returncode == 0:
        names = listing.stdout.decode().split("\0")
    else:
        names = []
        for folder, folders, found in os.walk("."):
            folders[:] = [name for name in folders if name not in (".git", "build", "node_modules", "__pycache__")]
            names += [os.path.relpath(os.path.join(folder, name)) for name in found]
    return tuple(sorted({path for path in names if path and os.path.isfile(path)}))


def files(*suffixes: str, under: tuple[str, ...] = C_FOLDERS) -> list[str]:
    return [path for path in tree() if path.endswith(suffixes) and path.startswith(under)]


@functools.lru_cache(maxsize=None)
def read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as handle:
        return handle.read()


def code_only(text: str, keep_strings: bool = False) -> str:
    """The text with comments and literals blanked; lines stay where they are."""
    def cover(match: re.Match) -> str:
        piece = match.group(0)
        if piece[0] in "\"'":
            return piece if keep_strings else piece[0] + " " * (len(piece) - 2) + piece[0]
        return "".join("\n" if char == "\n" else " " for char in piece)
    return TOKEN.sub(cover, text)


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def allowed(check: str) -> set[str]:
    """The entries of mk/lint/CHECK.allow: a path, or path:name. An entry that is no longer needed is itself a finding."""
    path = os.path.join("mk", "lint", check + ".allow")
    if not os.path.exists(path):
        return set()
    return {line.split("#")[0].strip() for line in read(path).splitlines()} - {""}


class Report:
    """Findings of one check. Prints each as path:line: what to do."""

    def __init__(self, check: str) -> None:
        self.check = check
        self.allow = allowed(check)
        self.used: set[str] = set()
        self.count = 0

    def add(self, path: str, line: int, text: str, name: str = "") -> None:
        for entry in (path, f"{path}:{name}" if name else ""):
            if entry and entry in self.allow:
                self.used.add(entry)
                return
        self.count += 1
        print(f"{path}:{line}: {text}")

    def finish(self) -> int:
        for entry in sorted(self.allow - self.used):
            self.count += 1
            print(f"mk/lint/{self.check}.allow:1: {entry} is no longer needed: remove it, the list only shrinks")
        return 1 if self.count else 0


@functools.lru_cache(maxsize=None)
def closure_digest(path: str) -> str:
    """A digest of a file and of everything of ours that it includes, over any number of steps."""
    seen: set[str] = set()
    waiting = [path]
    digest = hashlib.sha256()
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        text = read(current)
        digest.update(current.encode() + b"\0" + text.encode() + b"\0")
        for name in INCLUDE.findall(text):
            for candidate in (name, os.path.join(GENERATED, name), os.path.join(os.path.dirname(current), name)):
                if os.path.isfile(candidate):
                    waiting.append(candidate)
                    break
    return digest.hexdigest()


def cached(check: str, paths: list[str], salt: str, command, trim=None) -> int:
    """Run command(path) -> argv for each path that was not judged in this very content. Returns how many failed.

    A judgement is kept with a digest of the file, of all that it includes and of the salt; so is the output of a failure,
    after trim(text) where that is given.
    """
    store = os.path.join(BUILD, "lint", check)
    os.makedirs(store, exist_ok=True)

    def one(path: str) -> str:
        digest = hashlib.sha256((salt + closure_digest(path)).encode()).hexdigest()
        stamp = os.path.join(store, path.replace("/", "@"))
        if os.path.exists(stamp):
            with open(stamp, encoding="utf-8") as handle:
                known, _, text = handle.read().partition("\n")
            if known == digest:
                return text
        done = subprocess.run(command(path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        text = ""
        if done.returncode != 0:
            text = done.stdout.decode(errors="replace").replace(os.getcwd() + "/", "").strip()
            text = (trim(text) if trim else text) or text or f"{path}:1: status {done.returncode}"
        with open(stamp, "w", encoding="utf-8") as handle:
            handle.write(digest + "\n" + text)
        return text

    failures = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for text in pool.map(one, paths):
            if text:
                failures += 1
                print(text)
                sys.stdout.flush()
    return failures
