#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Includes run one way: mk/layers.mk gives the engine's order, this file that of the rest."""
import os
import re
import sys

from common import GENERATED, INCLUDE, Report, code_only, files, line_of, read


# What embedders include: the door of the engine, a header for each part.
ENGINE_PUBLIC = {"engine/engine.h", *(f"engine/engine_{part}.h" for part in ("txn", "index", "query", "watch", "replica", "log", "slots", "restore", "members"))}


def make_words(name: str) -> list[str]:
    match = re.search(rf"^{name} := (.*)$", read("mk/layers.mk"), re.M)
    if not match:
        sys.exit(f"mk/layers.mk:1: no line {name} := ...")
    return match.group(1).split()


LAYERS = make_words("LAYERS")
SIBLINGS = {frozenset(pair.split(":")) for pair in make_words("LAYER_SIBLINGS")}


def module_of(path: str) -> str:
    """engine/wal/x.c -> wal, engine/x.c -> engine."""
    parts = path.split("/")
    return parts[1] if len(parts) > 2 else "engine"


def resolve(includer: str, name: str) -> str:
    """Where an include leads: a path of the tree, proto:NAME for generated code, or nothing."""
    if os.path.isfile(name):
        return name
    if name.endswith(".pb-c.h"):
        return "proto:" + name
    if os.path.isfile(os.path.join(GENERATED, name)):
        return "generated:" + name
    if os.path.isfile(os.path.join(os.path.dirname(includer), name)):
        return "relative:" + name
    return ""


def judge_engine(path: str, target: str) -> str:
    own = module_of(path)
    if target.startswith("proto:"):
        if target.startswith(("proto:polarys/log/v1/", "proto:google/protobuf/")):
            return ""
        return "engine/ knows only polarys/log/v1; convert in service/"
    if not target.startswith("engine/"):
        return f"engine/ includes only engine/; {target} is above it"
    other = module_of(target)
    if other == own:
        return ""
    if target.endswith("_internal.h"):
        return f"{target} is for the files of {other} only; use what {other}'s other headers offer"
    if own not in LAYERS or other not in LAYERS:
        return f"module {other if own in LAYERS else own} has no place in mk/layers.mk"
    if LAYERS.index(other) > LAYERS.index(own):
        return f"{own} lies below {other}; move what both need down, or pass it in"
    if frozenset((own, other)) in SIBLINGS:
        return f"{own} and {other} lie side by side; put what both need into a lower module"
    return ""


def judge_client(path: str, target: str) -> str:
    is_cli = path.startswith("client/cli/")
    if target.startswith(("proto:", "generated:")):
        return ""
    if target.startswith("client/cli/") and not is_cli:
        return "libpolarys knows nothing of the command line"
    if target.startswith("client/"):
        return ""
    if is_cli and target in ("engine/engine.h", "engine/engine_replica.h", "engine/engine_restore.h",
                             "engine/engine_salvage.h", "engine/engine_members.h"):
        return ""
    return "client/ uses proto/ and client/ only" + (", and engine/engine.h, engine/engine_replica.h, engine/engine_restore.h, engine/engine_salvage.h and engine/engine_members.h for offline commands" if is_cli else "")


def judge_service(path: str, target: str) -> str:
    if target.startswith(("proto:", "generated:", "service/")) or target in ENGINE_PUBLIC:
        return ""
    if target.startswith("engine/"):
        return "of the engine service/ includes engine/engine.h and the public headers beside it only"
    return "service/ uses engine/engine.h, proto/ and service/ only"


def main() -> int:
    report = Report("layers")
    judges = {"engine": judge_engine, "client": judge_client, "service": judge_service}
    for path in files(".c", ".h", ".cc"):
        text = code_only(read(path), keep_strings=True)
        top = path.split("/")[0]
        for match in INCLUDE.finditer(text):
            name = match.group(1)
            target = resolve(path, name)
            line = line_of(text, match.start())
            if target.startswith("relative:"):
                report.add(path, line, f'write the whole path from the root: "{os.path.dirname(path)}/{name}"', name)
            elif not target:
                report.add(path, line, f'no such file: "{name}"', name)
            elif top in judges:
                why = judges[top](path, target)
                if why:
                    report.add(path, line, why, name)
        for match in re.finditer(r"^[ \t]*#[ \t]*include[ \t]+<(grpc[^>]*)>", text, re.M):
            if not path.startswith(("service/", "client/", "tests/", "bench/")):
                report.add(path, line_of(text, match.start()), "gRPC stays out of engine/", match.group(1))
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
