#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Calls, words and forms that the house does not use, each with what to write instead."""
import re
import sys

from common import Report, code_only, files, line_of, read, tree

CALL = r"(?<![\w.>]){}\s*\("

# name -> (what to write, folders that may use it)
BANNED_CALLS = {
    "strcpy": ("struct buffer, or snprintf with the size of the target", ()),
    "strcat": ("struct buffer, or snprintf with the size of the target", ()),
    "strncpy": ("memcpy with a length that was checked", ()),
    "strncat": ("struct buffer, which knows its room", ()),
    "sprintf": ("snprintf, and look at what it returns", ()),
    "vsprintf": ("vsnprintf, and look at what it returns", ()),
    "gets": ("getline", ()),
    "strtok": ("strchr or memchr over a slice", ()),
    "strerror": ("strerror_r: strerror shares one buffer between threads", ("bench/",)),
    "rand": ("the random vtable of engine/base/random.h", ()),
    "srand": ("the random vtable of engine/base/random.h", ()),
    # In tests it is the usual name of a seeded generator of <random>.
    "random": ("the random vtable of engine/base/random.h", ("tests/",)),
    "atoi": ("strtol with errno and the end pointer checked", ()),
    "atol": ("strtol with errno and the end pointer checked", ()),
    "atoll": ("strtoll with errno and the end pointer checked", ()),
    "atof": ("strtod with errno and the end pointer checked", ()),
    "alloca": ("a fixed array with a named limit, or the arena", ()),
    "assert": ("POLARYS_ASSERT, which stays on and says where", ()),
    "abort": ("POLARYS_ASSERT; only engine/base ends the process", ("engine/base/",)),
    "gmtime": ("gmtime_r", ()),
    "localtime": ("localtime_r", ()),
    "ctime": ("strftime with gmtime_r", ()),
    "tmpnam": ("mkstemp", ()),
    "system": ("posix_spawn with an argument vector", ()),
    "popen": ("posix_spawn with an argument vector", ()),
    "fork": ("posix_spawn: gRPC does not survive a fork", ("bench/recovery.c",)),
}

# All input and output of the engine goes through a vtable, so that a test can run it on a simulated disk.
ENGINE_CALLS = {
    "clock_gettime": ("the clock vtable", ("engine/base/",)),
    "gettimeofday": ("the clock vtable", ()),
    "time": ("the clock vtable", ()),
    "nanosleep": ("the executor's delayed task", ("engine/base/",)),
    "usleep": ("the executor's delayed task", ()),
    "sleep": ("the executor's delayed task", ()),
    "getrandom": ("the random vtable", ("engine/base/",)),
    "RAND_bytes": ("the random vtable", ("engine/base/", "engine/crypto/")),
}
for NAME in ("open", "openat", "fopen", "pread", "pwrite", "pwritev", "preadv", "fsync", "fdatasync", "rename", "renameat",
             "unlink", "unlinkat", "mkdir", "rmdir", "opendir", "ftruncate", "fallocate", "stat", "fstat"):
    ENGINE_CALLS[NAME] = ("the file system vtable of engine/vfs", ("engine/vfs/",))

UNIT_CALLS = {name: ("a simulated clock; a unit test neither sleeps nor looks at the clock", ())
              for name in ("sleep", "usleep", "nanosleep", "sleep_for", "sleep_until", "gettimeofday")}

FORMS = (
    (re.compile(r"^[ \t]*typedef[ \t]+(?:struct|enum|union)\b", re.M), "write `struct x`; a typedef hides what it is"),
    (re.compile(r"^[ \t]*typedef\b[^;]*\b\w+_t\s*;", re.M), "no name of ours ends in _t"),
    (re.compile(r"\b(?:struct|enum|union)\s+\w+_t\s*\{"), "no name of ours ends in _t"),
    (re.compile(r"^[ \t]*#[ \t]*define\b(?:\\\n|[^\n])*\b(?:return|goto)\b", re.M),
     "no macro hides a return or a goto: write it out"),
)
TEXT_FORMS = (
    (re.compile(r"\b(?:TODO|FIXME|XXX)\b"), "do it, or put it into docs/; main has no such marks"),
    (re.compile(r"^[ \t]*(?:/\*|//|\*|#)[ \t]*[-=*#~]{6,}", re.M), "no banners: a file that needs them wants splitting"),
)
LICENSED = (".c", ".h", ".cc", ".proto", ".py", ".sh", ".mk", ".mjs", ".js", ".map", ".clang-format", ".clang-tidy",
            "Makefile", ".ci/run", ".yaml", ".yml")
LICENCE_LINE = "SPDX-License-Identifier: Apache-2.0"
# Formats that carry no comment, or files that a program writes.
UNLICENSED = ("package-lock.json", "package.json", ".allow")
MARKED = LICENSED + (".md", ".json", ".toml", ".editorconfig")


def calls(report: Report, path: str, code: str, table: dict) -> None:
    for name, (instead, homes) in table.items():
        if name not in code or (homes and path.startswith(homes)):
            continue
        for match in re.finditer(CALL.format(re.escape(name)), code):
            line_start = code.rfind("\n", 0, match.start()) + 1
            before = code[line_start:match.start()].strip()
            # A declaration of ours that carries the name, such as a member function.
            if before.endswith(("->", ".")) or before.startswith("#define"):
                continue
            report.add(path, line_of(code, match.start()), f"{name}: use {instead}", name)


def check_code(report: Report, path: str) -> None:
    code = code_only(read(path))
    calls(report, path, code, BANNED_CALLS if not path.startswith("tests/") else
          {name: rule for name, rule in BANNED_CALLS.items() if name not in ("abort", "fork", "system", "popen")})
    if path.startswith("engine/"):
        calls(report, path, code, ENGINE_CALLS)
    if path.startswith("tests/unit/"):
        calls(report, path, code, UNIT_CALLS)
    if path.endswith((".c", ".h")):
        for pattern, text in FORMS:
            for match in pattern.finditer(code):
                report.add(path, line_of(code, match.start() + len(match.group(0)) - len(match.group(0).lstrip())), text)
        check_top(report, path)


def check_top(report: Report, path: str) -> None:
    text = read(path)
    rest = "\n".join(line for line in text.splitlines()[:4] if LICENCE_LINE not in line).strip()
    if not rest.startswith("/*"):
        report.add(path, 2, "say at the top what the file owns, what always holds, and what it does not do")
    if path.endswith(".h"):
        guard = re.sub(r"\W", "_", path).upper()
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            report.add(path, 1, f"the include guard is {guard}")
        return
    first = re.search(r'^#include\s+["<]([^">]+)[">]', text, re.M)
    own = path[:-2] + ".h"
    if first and own in tree() and first.group(1) not in (own, path[:-2] + "_internal.h"):
        report.add(path, line_of(text, first.start()), f'include "{own}" first, so that it is known to stand alone')


def main() -> int:
    report = Report("words")
    for path in files(".c", ".h", ".cc"):
        check_code(report, path)
    for path in tree():
        if path.endswith(UNLICENSED) or not path.endswith(MARKED) or path.startswith("mk/lint/words.py"):
            continue
        text = read(path)
        if path.endswith(LICENSED) and "{{" not in text and LICENCE_LINE not in "\n".join(text.splitlines()[:4]):
            report.add(path, 1, f"the first line is {LICENCE_LINE} in a comment")
        for pattern, why in TEXT_FORMS:
            for match in pattern.finditer(text):
                report.add(path, line_of(text, match.start()), why)
    for path in tree():
        if path.endswith("package-lock.json") and '"resolved"' in read(path):
            report.add(path, 1, "write the lock file with omit-lockfile-registry-resolved=true; it names a registry")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
