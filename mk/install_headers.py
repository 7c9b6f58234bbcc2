#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Install public headers and all of ours that they include: install_headers.py TARGET HEADER...

engine/base/error.h becomes TARGET/base/error.h, client/polarys.h becomes TARGET/polarys.h, and includes follow:
#include "engine/base/error.h" becomes #include <polarys/base/error.h>.
"""
import os
import re
import sys

INCLUDE = re.compile(r'^([ \t]*#[ \t]*include[ \t]+)"(?:engine|client)/([^"]+)"', re.M)
ANY_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.M)


def main() -> int:
    target, waiting = sys.argv[1], sys.argv[2:]
    done: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in done:
            continue
        done.add(path)
        with open(path, encoding="utf-8") as handle:
            text = handle.read()
        for name in ANY_INCLUDE.findall(text):
            if not name.startswith(("engine/", "client/")) or name.endswith("_internal.h"):
                sys.exit(f"{path}:1: a public header includes {name}, which is not installed")
            waiting.append(name)
        out = os.path.join(target, path.split("/", 1)[1])
        os.makedirs(os.path.dirname(out), exist_ok=True)
        with open(out, "w", encoding="utf-8") as handle:
            handle.write(INCLUDE.sub(r"\1<polarys/\2>", text))
        os.chmod(out, 0o644)
    return 0


if __name__ == "__main__":
    sys.exit(main())
