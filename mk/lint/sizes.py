#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Files of at most 600 lines, functions of at most 70."""
import json
import subprocess
import sys

from common import Report, files, read

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
FOLDERS = ("engine/", "service/", "client/", "tests/", "bench/", "proto/", "mk/")


def main() -> int:
    report = Report("sizes")
    for path in files(".c", ".h", ".cc", ".proto", ".py", ".sh", ".mk", ".mjs", ".js", under=FOLDERS):
        count = read(path).count("\n")
        if count > FILE_LINES_MAX:
            report.add(path, count, f"{count} lines, {FILE_LINES_MAX} are the most: split by verb, such as wal_recover.c")
    sources = files(".c", ".h", ".cc")
    if sources:
        tags = subprocess.run(["ctags", "--output-format=json", "--fields=+ne", "--kinds-C=f", "--kinds-C++=f", "-f", "-",
                               "-L", "-"], input="\n".join(sources), capture_output=True, text=True, check=True).stdout
        for line in tags.splitlines():
            tag = json.loads(line)
            if "end" not in tag:
                continue
            count = tag["end"] - tag["line"] + 1
            if count > FUNCTION_LINES_MAX:
                report.add(tag["path"], tag["line"],
                           f"{tag['name']} has {count} lines, {FUNCTION_LINES_MAX} are the most: give its steps names",
                           tag["name"])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
