#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks by other programs, each only on what has changed since it last passed: format, tidy, cppcheck, headers."""
import os
import subprocess
import sys

from common import BUILD, cached, files, read

FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-I.", f"-I{BUILD}/gen/c", '-DPOLARYS_VERSION="lint"']
PRODUCT = ("engine/", "service/", "client/")
TIDY_FLAGS = [*FLAGS, "-Wall", "-Wextra", "-Wshadow", "-Wno-missing-braces", "-Wno-missing-field-initializers",
              "-Wthread-safety"]


# The functions that make an error, as the analyzer must see them to know that what they return is one.
MODEL = "mk/lint/errors_model.h"
MODELLED = "engine/base/error.h"


def format_check() -> int:
    def command(path: str) -> list[str]:
        return ["clang-format-14", "--dry-run", "-Werror", "--ferror-limit=3", path]

    def trim(text: str) -> str:
        return "\n".join(line for line in text.splitlines() if "error:" in line)
    failures = cached("format", files(".c", ".h", ".cc"), read(".clang-format"), command, trim)
    if failures:
        print(f"{failures} files are not laid out by .clang-format: `clang-format-14 -i FILE`, or `make fmt` for all")
    return failures


def tidy() -> int:
    def command(path: str) -> list[str]:
        model = ["-include", MODEL] if os.path.isfile(MODELLED) and path != MODELLED[:-2] + ".c" else []
        return ["clang-tidy-14", "--quiet", path, "--", *TIDY_FLAGS, *model]

    def trim(text: str) -> str:
        return "\n".join(line for line in text.splitlines()
                         if " error: " in line or " warning: " in line or "(threshold" in line)
    salt = read(".clang-tidy") + read(MODEL) + " ".join(TIDY_FLAGS)
    return cached("tidy", files(".c", under=PRODUCT), salt, command, trim)


def cppcheck() -> int:
    arguments = ["cppcheck", "--quiet", "--enable=warning,performance,portability", "--std=c11", "--inline-suppr",
                 "--error-exitcode=1", "--template={file}:{line}: {message} [{id}]", "--suppress=missingInclude", "--suppress=selfAssignment",
                 "--suppress=missingIncludeSystem", "--suppress=unmatchedSuppression", "--max-configs=2",
                 "-D__GNUC__=12", "-D__linux__=1", "-I."]
    return cached("cppcheck", files(".c", under=PRODUCT), " ".join(arguments), lambda path: [*arguments, path])


def headers() -> int:
    def command(path: str) -> list[str]:
        cpp = ["g++", "-std=c++17", "-x", "c++"] if path.startswith("tests/") else ["gcc", "-std=c17", "-x", "c"]
        flags = FLAGS[1:]
        # Included twice: the second time its guard must hold.
        return [*cpp, *flags, "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", "-fsyntax-only",
                "-include", path, "-include", path, os.devnull]
    failures = cached("headers", files(".h"), " ".join(FLAGS), command)
    if failures:
        print(f"{failures} headers do not compile alone: include what each of them uses")
    # Public headers are also read by C++ compilers.
    public = [path for path in ("engine/engine.h", "client/polarys.h") if os.path.isfile(path)]
    return failures + cached("headers_cxx", public, " ".join(FLAGS), lambda path: [
        "g++", "-std=c++17", "-x", "c++", *FLAGS[1:], "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-include", path,
        os.devnull])


def scripts() -> int:
    failures = 0
    for path in files(".py", under=("mk/", "tests/", "bench/", "docs/")):
        try:
            compile(read(path), path, "exec")
        except SyntaxError as error:
            print(f"{path}:{error.lineno}: {error.msg}")
            failures += 1
    for path in [*files(".sh", under=("mk/", "tests/", "bench/")), ".ci/run"]:
        if os.path.isfile(path):
            failures += subprocess.run(["bash", "-n", path], check=False).returncode != 0
            if "set -euo pipefail" not in read(path):
                print(f"{path}:1: a script begins with `set -euo pipefail`")
                failures += 1
    return failures


def buf() -> int:
    program = os.path.abspath(os.path.join(BUILD, "npm", "node_modules", ".bin", "buf"))
    if not os.path.exists(program):
        print("mk/lint.mk:1: npm could not install buf (see above); without it the protos are not checked")
        return 1
    return subprocess.run([program, "lint", "proto"], check=False).returncode


CHECKS = {"format": format_check, "tidy": tidy, "cppcheck": cppcheck, "headers": headers, "scripts": scripts, "buf": buf}

if __name__ == "__main__":
    sys.exit(1 if CHECKS[sys.argv[1]]() else 0)
