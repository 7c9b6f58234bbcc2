#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run test programs and sum their counts.

    run_tests.py --build DIR [--jobs N] [--limit SECONDS] [--failed TEXT]... NAME=PROGRAM...

What a program is, its name tells: *.py, *.mjs, *.js and *.sh are scripts, fuzz/... a libFuzzer target, anything else
Google Test. Each runs in a process group of its own with a time limit and a directory for scratch files, both gone
afterwards. Its output goes to DIR/log/NAME.log; that of a failure is shown. --failed counts something that failed before,
such as a build. The last line is `N passed, N failed`; the status is 0 only if something ran and nothing failed.
"""
import argparse
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

SHOWN_LINES_MAX = 80
# Builds whose tests carry their name in front: asan/unit-wal. They are slow, and have twice the time.
VARIANTS = ("asan", "ubsan", "tsan", "coverage")
COUNT_LINE = re.compile(r"^(\d+) passed, (\d+) failed", re.M)
UNITTEST_RAN = re.compile(r"^Ran (\d+) tests?", re.M)
UNITTEST_BAD = re.compile(r"\b(?:failures|errors|unexpected successes)=(\d+)")
UNITTEST_SKIPPED = re.compile(r"\bskipped=(\d+)")
NODE_PASS = re.compile(r"^(?:#|\u2139) pass (\d+)", re.M)
NODE_FAIL = re.compile(r"^(?:#|\u2139) (?:fail|cancelled) (\d+)", re.M)
NODE_SKIP = re.compile(r"^(?:#|\u2139) skipped (\d+)", re.M)
TAP = re.compile(r"^(not )?ok \d+", re.M)
GTEST_OK = re.compile(r"^\[ +OK \] ", re.M)
GTEST_FAILED = re.compile(r"^\[  FAILED  \] .*\(\d+ ms\)", re.M)
GTEST_RUN = re.compile(r"^\[ RUN      \] (\S+)", re.M)


class Outcome:
    def __init__(self, name: str) -> None:
        self.name = name
        self.passed = 0
        self.failed = 0
        self.skipped = 0
        self.why = ""
        self.seconds = 0.0
        self.log = ""


class Runner:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.log_dir = os.path.join(options.build, "log")
        self.times_path = os.path.join(self.log_dir, "times.json")
        self.lock = threading.Lock()
        self.groups: set[int] = set()
        self.stopping = False
        os.makedirs(self.log_dir, exist_ok=True)
        try:
            with open(self.times_path, encoding="utf-8") as handle:
                self.times = json.load(handle)
        except (OSError, ValueError):
            self.times = {}

    def environment(self, name: str, scratch: str) -> dict[str, str]:
        build = os.path.abspath(self.options.build)
        # A sanitizer's tests work with the programs of its own build, in a directory of the prefix's name.
        prefix = name.split("/")[0]
        python = os.path.join(build, "gen", "python")
        if prefix in VARIANTS:
            build = os.path.join(build, prefix)
        env = dict(os.environ)
        paths = [python, os.path.abspath("tests/support"), env.get("PYTHONPATH", "")]
        env.update({
            "POLARYS_BUILD": build,
            "POLARYS_SOURCE": os.getcwd(),
            "POLARYS_GEN_PYTHON": python,
            "POLARYSD": os.path.join(build, "polarysd"),
            "POLARYS": os.path.join(build, "polarys"),
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": scratch,
            # Fresh memory is never zero by luck: what was not set shows.
            "MALLOC_PERTURB_": env.get("MALLOC_PERTURB_", "165"),
            "ASAN_OPTIONS": env.get("ASAN_OPTIONS", "detect_stack_use_after_return=1:strict_string_checks=1"),
            "UBSAN_OPTIONS": env.get("UBSAN_OPTIONS", "print_stacktrace=1"),
            "TSAN_OPTIONS": env.get("TSAN_OPTIONS", "halt_on_error=1:second_deadlock_stack=1"),
        })
        return env

    def command(self, name: str, program: str, report: str) -> list[str]:
        if program.endswith(".py"):
            return ["/usr/bin/python3", program]
        if program.endswith((".mjs", ".js")):
            return ["node", program]
        if program.endswith(".sh"):
            return ["bash", program]
        if self.is_fuzz(name):
            target = os.path.basename(program)
            grown = os.path.join(self.options.build, "corpus", target)
            os.makedirs(grown, exist_ok=True)
            corpora = [grown]
            kept = os.path.join("tests", "fuzz", "corpus", target)
            if os.path.isdir(kept):
                corpora.append(kept)
            return [os.path.abspath(program), f"-max_total_time={self.options.fuzz_seconds}", "-timeout=10",
                    "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0",
                    f"-artifact_prefix={self.log_dir}/{target}-", *corpora]
        return [os.path.abspath(program), f"--gtest_output=json:{report}", "--gtest_color=no",
                *self.options.test_args.split()]

    @staticmethod
    def is_fuzz(name: str) -> bool:
        return name.startswith("fuzz/")

    def run(self, name: str, program: str) -> Outcome:
        outcome = Outcome(name)
        outcome.log = os.path.join(self.log_dir, name.replace("/", "-") + ".log")
        report = outcome.log[:-4] + ".json"
        if os.path.exists(report):
            os.unlink(report)
        if self.stopping:
            outcome.failed, outcome.why = 1, "not run"
            return outcome
        if not os.path.exists(program):
            outcome.failed, outcome.why = 1, f"{program} was not built"
            return outcome
        scratch = tempfile.mkdtemp(prefix="polarys-test-")
        start = time.monotonic()
        try:
            status = self.execute(name, program, report, scratch, outcome)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        outcome.seconds = time.monotonic() - start
        with open(outcome.log, encoding="utf-8", errors="replace") as handle:
            self.count(outcome, program, report, status, handle.read())
        return outcome

    def execute(self, name: str, program: str, report: str, scratch: str, outcome: Outcome) -> int:
        limit = self.options.limit * (2 if name.split("/")[0] in VARIANTS else 1)
        limit += self.options.fuzz_seconds if self.is_fuzz(name) else 0
        with open(outcome.log, "wb") as log:
            process = subprocess.Popen(self.command(name, program, report), stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=subprocess.STDOUT, env=self.environment(name, scratch),
                                       start_new_session=True)
            with self.lock:
                self.groups.add(process.pid)
            try:
                return process.wait(limit)
            except subprocess.TimeoutExpired:
                outcome.why = f"stopped after {limit} s"
                return -signal.SIGKILL
            finally:
                self.end_group(process.pid)
                process.wait()
                with self.lock:
                    self.groups.discard(process.pid)

    @staticmethod
    def end_group(group: int) -> None:
        """Nothing that a test started may outlive it."""
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    def stop(self) -> None:
        self.stopping = True
        with self.lock:
            groups = list(self.groups)
        for group in groups:
            self.end_group(group)

    def count(self, outcome: Outcome, program: str, report: str, status: int, text: str) -> None:
        if program.endswith((".py", ".mjs", ".js", ".sh")):
            self.count_script(outcome, text)
        elif self.is_fuzz(outcome.name):
            outcome.passed = 1 if status == 0 else 0
        else:
            self.count_gtest(outcome, report, status, text)
        if status != 0 and outcome.failed == 0:
            outcome.failed = 1
        if status != 0 and not outcome.why:
            outcome.why = f"killed by {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        if status == 0 and outcome.passed + outcome.failed + outcome.skipped == 0:
            if program.endswith((".py", ".mjs", ".js", ".sh")):
                outcome.passed = 1
            else:
                outcome.failed, outcome.why = 1, "no test ran"

    @staticmethod
    def count_gtest(outcome: Outcome, report: str, status: int, text: str) -> None:
        try:
            with open(report, encoding="utf-8") as handle:
                result = json.load(handle)
            for suite in result.get("testsuites", []):
                for test in suite.get("testsuite", []):
                    if test.get("result") == "SKIPPED":
                        outcome.skipped += 1
                    elif test.get("failures"):
                        outcome.failed += 1
                    elif test.get("status") == "RUN":
                        outcome.passed += 1
        except (OSError, ValueError):
            # It died on the way: what the output shows, and the test that was running has failed.
            outcome.passed = len(GTEST_OK.findall(text))
            outcome.failed = len(GTEST_FAILED.findall(text)) + 1
            running = GTEST_RUN.findall(text)
            if running:
                outcome.why = (outcome.why + ", " if outcome.why else "") + f"in {running[-1]}"
                if status < 0 and "stopped" not in outcome.why:
                    outcome.why += f", killed by {signal.Signals(-status).name}"

    @staticmethod
    def count_script(outcome: Outcome, text: str) -> None:
        lines = COUNT_LINE.findall(text)
        ran = UNITTEST_RAN.findall(text)
        if lines:
            outcome.passed, outcome.failed = (int(word) for word in lines[-1])
        elif ran:
            tail = text[text.rindex("Ran " + ran[-1]):]
            outcome.failed = sum(int(word) for word in UNITTEST_BAD.findall(tail))
            outcome.skipped = sum(int(word) for word in UNITTEST_SKIPPED.findall(tail))
            outcome.passed = max(int(ran[-1]) - outcome.failed - outcome.skipped, 0)
        elif NODE_PASS.search(text):
            outcome.passed = sum(int(word) for word in NODE_PASS.findall(text))
            outcome.failed = sum(int(word) for word in NODE_FAIL.findall(text))
            outcome.skipped = sum(int(word) for word in NODE_SKIP.findall(text))
        else:
            marks = TAP.findall(text)
            outcome.failed = sum(1 for mark in marks if mark)
            outcome.passed = len(marks) - outcome.failed

    def show(self, outcome: Outcome) -> None:
        figures = f"{outcome.passed} passed"
        if outcome.failed:
            figures += f", {outcome.failed} FAILED"
        if outcome.skipped:
            figures += f", {outcome.skipped} skipped"
        why = f"  ({outcome.why})" if outcome.why else ""
        print(f"  {outcome.name:<28} {figures}  {outcome.seconds:.1f} s{why}", flush=True)
        if not outcome.failed or not os.path.exists(outcome.log):
            return
        with open(outcome.log, encoding="utf-8", errors="replace") as handle:
            lines = [line.rstrip("\n") for line in handle if "[       OK ]" not in line and "[ RUN      ]" not in line]
        if len(lines) > SHOWN_LINES_MAX:
            print(f"    ... {len(lines) - SHOWN_LINES_MAX} lines before in {outcome.log}")
        for line in lines[-SHOWN_LINES_MAX:]:
            print("    " + line)
        sys.stdout.flush()

    def all(self, programs: list[tuple[str, str]]) -> int:
        # The longest first, so that no long one is left to run alone at the end.
        programs.sort(key=lambda item: -self.times.get(item[0], 30.0))
        passed = skipped = 0
        failed = len(self.options.failed)
        start = time.monotonic()
        for text in self.options.failed:
            print(f"  FAILED: {text}")
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            pending = [pool.submit(self.run, name, program) for name, program in programs]
            try:
                for future in concurrent.futures.as_completed(pending):
                    outcome = future.result()
                    self.show(outcome)
                    self.times[outcome.name] = round(outcome.seconds, 2)
                    passed += outcome.passed
                    failed += outcome.failed
                    skipped += outcome.skipped
            except KeyboardInterrupt:
                self.stop()
                raise
        with open(self.times_path, "w", encoding="utf-8") as handle:
            json.dump(self.times, handle, indent=1, sort_keys=True)
        if skipped:
            print(f"  {skipped} skipped")
        print(f"  {len(programs)} programs in {time.monotonic() - start:.0f} s; output in {self.log_dir}")
        if passed + failed == 0:
            print("  no test ran: that is a failure")
            failed = 1
        with open(os.path.join(self.log_dir, "test.summary"), "w", encoding="utf-8") as handle:
            handle.write(f"{passed} {failed}\n")
        print(f"{passed} passed, {failed} failed", flush=True)
        return 0 if failed == 0 else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--fuzz-seconds", type=int, default=10)
    parser.add_argument("--test-args", default="")
    parser.add_argument("--failed", action="append", default=[])
    parser.add_argument("programs", nargs="*", metavar="NAME=PROGRAM")
    options = parser.parse_args()
    runner = Runner(options)

    def on_signal(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, on_signal)
    programs = []
    for item in options.programs:
        name, _, program = item.partition("=")
        programs.append((name, program))
    try:
        return runner.all(programs)
    except KeyboardInterrupt:
        runner.stop()
        print("stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
