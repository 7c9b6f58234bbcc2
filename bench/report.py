# SPDX-License-Identifier: Apache-2.0
"""The measurements as the table of docs/performance.md, between its two marker lines."""
import re

BEGIN, END = "<!-- measurements: make bench-report writes below -->", "<!-- end of measurements -->"
TITLES = {"engine": "The engine in process", "cipher": "What encryption costs", "size": "Bytes", "service": "The service"}


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def latency(sample):
    return f"{number(sample['p50_us'])} / {number(sample['p99_us'])}" if "p50_us" in sample else ""


def cell(row, peer):
    sample = row["contestants"][peer]
    text = f"{peer} {number(sample.get(row['metric'], 0))}: **{row['ratios'][peer]:.2f}**"
    cpu = row.get("cpu_ratios", {}).get(peer)
    return text + (f" (CPU {cpu:.2f})" if cpu else "")


def verdict(row):
    target = row.get("target")
    if not target:
        return ""
    sign = "≤" if row["less_is_better"] else "≥"
    bound = f"{target['bound']:,.0f}" if target["bound"] >= 1000 else f"{target['bound']:g}"
    return f"{target['against'] or ''} {sign} {bound}: {'met' if target['met'] else '**short**'}".strip()


def table(results):
    realtime = ", all at real-time priority on a machine with other work" if results.get("is_realtime") else ""
    runs = sorted({row.get("runs", 1) for row in results["rows"]})
    turns = f"{runs[0]} to {runs[-1]} turns" if len(runs) > 1 else f"{runs[0]} turn(s)"
    lines = [f"{results['machine']}; {results['mode']}: {results['records']:,} records of 16 + 100 bytes in the engine's rows, "
             f"{results['keys']:,} in the service's; medians of {turns}{realtime}."]
    for group, title in TITLES.items():
        rows = [row for row in results["rows"] if row["group"] == group]
        if not rows:
            continue
        lines += ["", f"### {title}", "", "| row | ours | p50 / p99 µs | beside: figure, ratio (ratio of CPU) | target |", "|---|---|---|---|---|"]
        for row in rows:
            ours = row["contestants"].get(row["ours"], {})
            value = ours.get(row["metric"], row.get("value", 0))
            lines.append(f"| {row['name']} | {number(value)} {row['unit'].replace('us', 'µs')} | {latency(ours)} | "
                         f"{'; '.join(cell(row, peer) for peer in row['ratios'])} | {verdict(row)} |")
    return "\n".join(lines)


def write(results, path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.S)
    if not pattern.search(text):
        raise SystemExit(f"{path} has no place for the measurements: {BEGIN}")
    text = pattern.sub(lambda _: f"{BEGIN}\n\n{table(results)}\n\n{END}", text)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
