#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Turn a file into a C array: embed.py NAME INPUT OUT.c OUT.h. The array is NAME, its size NAME_size."""
import os
import sys


def main() -> int:
    name, source, out_c, out_h = sys.argv[1:5]
    with open(source, "rb") as handle:
        data = handle.read()
    guard = os.path.basename(out_h).replace(".", "_").upper()
    with open(out_h, "w", encoding="ascii") as handle:
        handle.write(f"""/* SPDX-License-Identifier: Apache-2.0 */
/* Generated from {os.path.basename(source)}; do not edit. */
#ifndef {guard}
#define {guard}

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

extern const uint8_t {name}[];
extern const size_t {name}_size;

#ifdef __cplusplus
}}
#endif

#endif
""")
    rows = [", ".join(f"0x{byte:02x}" for byte in data[i:i + 16]) for i in range(0, len(data), 16)]
    with open(out_c, "w", encoding="ascii") as handle:
        handle.write(f'#include "{os.path.basename(out_h)}"\n\nconst uint8_t {name}[] = {{\n    ')
        handle.write(",\n    ".join(rows) if rows else "0")
        handle.write(f"\n}};\nconst size_t {name}_size = {len(data)};\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
