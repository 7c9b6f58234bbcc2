#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Turn the Debian package index of this machine into JSON documents, one a line: demo_data.py OUT.jsonl.

Each record becomes one object with the index's own field names, `Package` first; Installed-Size and Size are numbers, a
field of many lines keeps them all. Where the machine keeps the long descriptions too (Translation-en), they stand in for
the short ones. Of records with one name the last wins, in the place of the first. The index is read
from /var/lib/apt/lists; where there is none, `apt-get update` fetches it.
"""
import glob
import json
import os
import shutil
import subprocess
import sys

LISTS = "/var/lib/apt/lists/*_Packages*"
TRANSLATIONS = "/var/lib/apt/lists/*_Translation-en*"
NUMBERS = ("Installed-Size", "Size")
RECORDS_MIN = 60000


def index_files(pattern: str = LISTS) -> list[str]:
    return sorted(path for path in glob.glob(pattern) if not path.endswith((".diff_Index", ".gz", ".xz", ".bz2")))


def fetch() -> None:
    if not shutil.which("apt-get"):
        sys.exit("demo-data: this machine has no apt-get, so no package index")
    command = ["apt-get", "update"]
    if os.geteuid() != 0:
        command.insert(0, "sudo")
    print("demo-data: no package index here yet; running " + " ".join(command))
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def index_lines(pattern: str):
    # apt-helper reads every form that an index is kept in.
    for path in index_files(pattern):
        helper = shutil.which("/usr/lib/apt/apt-helper")
        if not path.endswith(".lz4") or not helper:
            with open(path, encoding="utf-8", errors="replace") as handle:
                yield from handle
        else:
            text = subprocess.run([helper, "cat-file", path], capture_output=True, check=True).stdout
            yield from (line + "\n" for line in text.decode("utf-8", "replace").split("\n"))
        yield "\n"


def records(pattern: str):
    record: dict[str, str] = {}
    field = ""
    for line in index_lines(pattern):
        line = line.rstrip("\n")
        if not line:
            if record:
                yield record
            record, field = {}, ""
        elif line[0] in " \t":
            if field:
                record[field] += "\n" + line[1:]
        else:
            field, _, value = line.partition(":")
            record[field] = value.strip()


def document(record: dict[str, str], long_texts: dict[str, str]) -> dict[str, object]:
    text = long_texts.get(record.get("Description-md5", ""))
    if text and "Description" in record:
        record["Description"] = text
    result: dict[str, object] = {"Package": record["Package"]}
    for field, value in record.items():
        if field != "Package":
            result[field] = int(value) if field in NUMBERS and value.isdigit() else value
    return result


def main() -> int:
    target = sys.argv[1]
    if not index_files():
        fetch()
    long_texts = {record["Description-md5"]: record["Description-en"] for record in records(TRANSLATIONS)
                  if "Description-md5" in record and "Description-en" in record}
    packages: dict[str, dict[str, str]] = {}
    for record in records(LISTS):
        if "Package" in record:
            packages[record["Package"]] = record
    os.makedirs(os.path.dirname(target), exist_ok=True)
    partial = target + ".part"
    with open(partial, "w", encoding="utf-8") as handle:
        for record in packages.values():
            handle.write(json.dumps(document(record, long_texts), ensure_ascii=False, separators=(",", ":")) + "\n")
    os.replace(partial, target)
    print(f"{len(packages)} documents in {target} ({os.path.getsize(target)} bytes)")
    if len(packages) < RECORDS_MIN:
        print(f"demo-data: the index here has fewer than {RECORDS_MIN} packages", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
