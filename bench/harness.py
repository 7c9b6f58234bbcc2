# SPDX-License-Identifier: Apache-2.0
"""Turns, medians, ratios: how two things are compared on a machine that others use too.

A row has contestants, of which the first is ours. They take turns, A B A B; the ratio of a row is the median of the ratios
of its turns, since what disturbs a turn disturbs both halves of it. Rates and latencies shown are medians.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

OURS = "polarysdb"


class Context:
    """Where programs and data are, and how long a run takes."""

    def __init__(self, build, where, scale):
        self.build = build
        self.where = where
        self.scale = scale

    def program(self, *names):
        return os.path.join(self.build, *names)

    def directory(self, name):
        return tempfile.mkdtemp(prefix=f"{name}-", dir=self.where)


def run_json(command, timeout=600):
    """The program's lines of JSON; ends everything when it fails, since a row without it would lie."""
    run = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)}: {run.stderr.strip()[-2000:]}")
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]


def remove(*paths):
    for path in paths:
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.exists(path):
            os.unlink(path)


def take_turns(contestants, runs):
    """contestants: name -> function without arguments that gives one sample, a dict of numbers."""
    samples = {name: [] for name in contestants}
    for _ in range(runs):
        for name, measure in contestants.items():
            samples[name].append(measure())
    return samples


def medians(samples):
    keys = [key for key, value in samples[0].items() if isinstance(value, (int, float)) and not isinstance(value, bool)]
    return {key: statistics.median(sample[key] for sample in samples if key in sample) for key in keys}


def ratio_of(samples, peer, metric, ours=OURS):
    pairs = [(ours_sample[metric], peer_sample[metric]) for ours_sample, peer_sample in zip(samples[ours], samples[peer])]
    return statistics.median(a / b for a, b in pairs if b)


def row_make(group, name, samples, metric="rate", unit="/s", target=None, ours=OURS, less_is_better=False):
    """target: (peer, ratio). A row whose ratio is to be small (bytes, amplification) says less_is_better."""
    peers = [peer for peer in samples if peer != ours]
    row = {"group": group, "name": name, "metric": metric, "unit": unit, "ours": ours, "less_is_better": less_is_better,
           "contestants": {who: medians(samples[who]) for who in samples},
           "ratios": {peer: ratio_of(samples, peer, metric, ours) for peer in peers}}
    if all("cpu_us" in sample for who in samples for sample in samples[who]):
        row["cpu_ratios"] = {peer: ratio_of(samples, peer, "cpu_us", ours) for peer in peers}
    if target:
        peer, bound = target
        value = row["ratios"][peer]
        row["target"] = {"against": peer, "bound": bound, "value": value,
                         "met": value <= bound if less_is_better else value >= bound}
    return row


def row_absolute(group, name, value, unit, bound, less_is_better=False, contestants=None):
    """A row that is judged by a number and not by a peer."""
    return {"group": group, "name": name, "metric": "value", "unit": unit, "ours": OURS, "less_is_better": less_is_better,
            "contestants": contestants or {OURS: {"value": value}}, "ratios": {}, "value": value,
            "target": {"against": None, "bound": bound, "value": value,
                       "met": value <= bound if less_is_better else value >= bound} if bound is not None else None}


def show(row):
    ours = row["contestants"].get(row["ours"], {})
    value = ours.get(row["metric"], row.get("value", 0))
    ratios = ", ".join(f"{peer} {ratio:.2f}" for peer, ratio in row["ratios"].items())
    target = row.get("target")
    verdict = ""
    if target:
        sign = "<=" if row["less_is_better"] else ">="
        verdict = f"  target {target['against'] or ''} {sign} {target['bound']}: {'met' if target['met'] else 'SHORT'}"
    print(f"{row['group']:<8} {row['name']:<58} {value:>14,.1f} {row['unit']:<5} x {ratios}{verdict}", flush=True)
