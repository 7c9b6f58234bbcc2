#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Copy a proto file so that protobuf-c keeps every `string` as bytes with a length: proto_bytes.py IN OUT.

Each string field, also a repeated one and one in a oneof, gets the field option string_as_bytes, joined with the
options it has. A map becomes the repeated entry message that it is on the wire, so that its strings are kept too.
Comments and string literals are left alone. proto3 `optional` is refused by protobuf-c: the error names the line.
"""
import re
import sys

OPTION = "(pb_c_field).string_as_bytes = true"
IMPORT = 'import "protobuf-c/protobuf-c.proto";'
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', re.S)
FIELD = re.compile(
    r"(?P<head>(?:^|(?<=[;{}]))\s*(?:repeated\s+)?string\s+[A-Za-z_]\w*\s*=\s*(?:0[xX][0-9a-fA-F]+|\d+)\s*)"
    r"(?P<options>\[[^\]]*\]\s*)?;", re.M)
MAP = re.compile(r"\bmap\s*<\s*(\w+)\s*,\s*([\w.]+)\s*>\s*(\w+)(\s*=)")
OPTIONAL = re.compile(r"(?:^|(?<=[;{}]))\s*optional\s+[\w.]+\s+\w+\s*=\s*\d+", re.M)
SYNTAX = re.compile(r'^\s*syntax\s*=\s*("[^"]*"|\'[^\']*\')\s*;', re.M)


def blank(text: str) -> str:
    """The text with comments and literals overwritten by blanks or x, so that offsets stay as they were."""
    def cover(match: re.Match) -> str:
        piece = match.group(0)
        fill = "x" if piece[0] in "\"'" else " "
        return "".join("\n" if char == "\n" else fill for char in piece)
    return TOKEN.sub(cover, text)


def refuse(path: str, text: str, match: re.Match, why: str) -> None:
    start = match.start() + len(match.group(0)) - len(match.group(0).lstrip())
    line = text.count("\n", 0, start) + 1
    sys.exit(f"{path}:{line}: {why}")


def open_maps(text: str, code: str) -> str:
    """Maps as repeated entries: the same bytes on the wire and the same names in C."""
    parts = []
    position = 0
    for match in MAP.finditer(code):
        key, value, name, equals = match.groups()
        entry = "".join(word.capitalize() for word in name.split("_")) + "Entry"
        parts.append(text[position:match.start()])
        parts.append(f"message {entry} {{ {key} key = 1; {value} value = 2; }} repeated {entry} {name}{equals}")
        position = match.end()
    parts.append(text[position:])
    return "".join(parts)


def rewrite(path: str, text: str) -> str:
    code = blank(text)
    bad = OPTIONAL.search(code)
    if bad and not path.startswith("/"):
        refuse(path, text, bad, "protobuf-c knows no proto3 optional; write a oneof with one field")
    text = open_maps(text, code)
    code = blank(text)
    parts = []
    position = 0
    count = 0
    for match in FIELD.finditer(code):
        end_of_head = match.end("head")
        parts.append(text[position:end_of_head].rstrip())
        if match.group("options"):
            inner = text[match.start("options"):match.end("options")].strip()[1:-1].strip()
            parts.append(f" [{inner}, {OPTION}];")
        else:
            parts.append(f" [{OPTION}];")
        position = match.end()
        count += 1
    parts.append(text[position:])
    out = "".join(parts)
    left = re.findall(r"\bstring\s+\w+\s*=", code)
    if len(left) != count:
        sys.exit(f"{path}: {len(left)} string fields, but {count} could be rewritten; see mk/proto_bytes.py")
    if count:
        head = SYNTAX.search(blank_keep_strings(out))
        if not head:
            sys.exit(f"{path}:1: no syntax line")
        out = out[:head.end()] + " " + IMPORT + out[head.end():]
    return out


def blank_keep_strings(text: str) -> str:
    def cover(match: re.Match) -> str:
        piece = match.group(0)
        if piece[0] in "\"'":
            return piece
        return "".join("\n" if char == "\n" else " " for char in piece)
    return TOKEN.sub(cover, text)


def main() -> int:
    source, target = sys.argv[1:3]
    with open(source, encoding="utf-8") as handle:
        text = handle.read()
    result = rewrite(source, text)
    with open(target, "w", encoding="utf-8") as handle:
        handle.write(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
