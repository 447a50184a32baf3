#!/usr/bin/env python3
"""Run the stress program on the package as it is, and on builds with sanitizers.

    python checks/stress/run.py [--seconds N] [--seed N] [plain|address|thread ...]

`address` is AddressSanitizer with UBSan, `thread` is ThreadSanitizer: gcc or clang (CC) with their runtime libraries
are needed. The interpreter itself is not instrumented, and its GIL orders what our modules do while they hold it:
ThreadSanitizer then sees what they do without it. On an interpreter without GIL that is built with ThreadSanitizer
too, it sees everything.

The exit status is 1 if the program fails, or a sanitizer reports anything. The seed of a run is in its output.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from checks.instrumented import CHECKOUT, SIGNS, environment, instrumented_copy, sanitizers

SANITIZERS = {"plain": "", "address": "address,undefined", "thread": "thread"}


def run(build: str, arguments: list[str]) -> bool:
    names = SANITIZERS[build]
    print(f"--- {build}", flush=True)
    place = instrumented_copy({"ISOTP_SANITIZE": names}) if names else nullcontext(CHECKOUT)
    with place as folder:
        command = [sys.executable, "checks/stress/program.py", *arguments]
        if build == "thread" and shutil.which("setarch"):
            # Its shadow memory does not go with every layout that the kernel may choose at random.
            command = ["setarch", "-R", *command]
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment(folder) | (sanitizers(names) if names else {}),
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
    print(done.stderr, file=sys.stderr, end="", flush=True)
    reports = [line for line in done.stderr.splitlines() if any(sign in line for sign in SIGNS)]
    if reports or done.returncode != 0:
        print(f"NOT GOOD: {len(reports)} reports of sanitizers, the program ended with {done.returncode}")
    return not reports and done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int)
    parser.add_argument(
        "builds", nargs="*", metavar="BUILD", help=f"one of {', '.join(SANITIZERS)}; all if none"
    )
    options = parser.parse_args()
    unknown = set(options.builds) - set(SANITIZERS)
    if unknown:
        parser.error(f"no such build: {', '.join(sorted(unknown))}")
    arguments = [f"--seconds={options.seconds}"]
    if options.seed is not None:
        arguments.append(f"--seed={options.seed}")
    # All of them, whatever the first ones say
    results = [run(build, arguments) for build in options.builds or SANITIZERS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
