#!/usr/bin/env python3
"""Look for what the hot paths leave behind: objects, references, memory of C, threads, descriptors.

    python checks/leaks/run.py [--rounds N] [CASE ...]

Each case of cases.py runs in a process of its own, thousands of times, successful and failing ways alike. The exit
status is 1 if anything grows with the rounds, or if a leak that was made on purpose is not seen.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from checks.instrumented import CHECKOUT
from checks.leaks.cases import CASES, ON_PURPOSE, SLOW, SLOWEST

ROUNDS = 500
# A leak leaves something in each round, or in each that goes a certain way; some dozens are noise.
SHARE = 0.3
NOISE = 60
BYTES_A_ROUND = 8
BYTES = 4096  # are noise; each thread has some of its own
# The allocator keeps pages: only much of it is a sign.
RESIDENT = 8 << 20


def grows(name: str, growth: int, rounds: int, threads: bool) -> bool:
    if name == "resident":
        return growth > RESIDENT
    if name == "heap":
        return growth > max(BYTES_A_ROUND * rounds, 4 * BYTES if threads else BYTES)
    if name in ("threads", "descriptors"):
        return growth > 0
    if name.startswith("references"):
        growth = abs(growth)
    return growth > max(SHARE * rounds, NOISE)


def leaks(case: str, rounds: int) -> dict[str, int]:
    """What grows with the rounds of a case, by how much.

    :raises RuntimeError: if the case fails.
    """
    if CASES[case] in SLOW:
        rounds = max(rounds // 5, 2 * NOISE)
    if CASES[case] in SLOWEST:
        # A started layer that is kept is some hundred objects, a thread and a half dozen locks.
        rounds = 20
    done = subprocess.run(
        [sys.executable, "-m", "checks.leaks.measure", case, str(rounds)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the case {case} failed:\n{done.stderr}")
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    threads = CASES[case] in SLOW + SLOWEST
    return {name: growth for name, growth in found.items() if grows(name, growth, rounds, threads)}


def main() -> int:
    parser = argparse.ArgumentParser(description="Look for what the hot paths leave behind.")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, metavar="N", help="three times; default: %(default)s"
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"default: all of {', '.join(CASES)}")
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    wrong = []
    chosen = options.cases or list(CASES)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 4)) as processes:
        results = zip(chosen, processes.map(lambda case: leaks(case, options.rounds), chosen), strict=True)
    for case, found in results:
        expected = CASES[case] in ON_PURPOSE
        good = bool(found) == expected
        wrong += [] if good else [case]
        growth = ", ".join(f"{name} +{count}" for name, count in found.items()) or "nothing"
        print(f"{case:22}{growth}{' (on purpose)' if expected else ''}", flush=True)
    print(f"NOT GOOD: {wrong}" if wrong else "good: nothing is left behind, and leaks on purpose are seen")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
