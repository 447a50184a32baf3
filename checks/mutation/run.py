#!/usr/bin/env python3
"""Change the core's decisions one at a time, and see whether a test fails for each change.

    python checks/mutation/run.py [--sample N --seed S] [--slice K/N] [--only REGEX]
                                  [--jobs J] [--outcomes FILE] [--list]

All changes (a comparison, a boundary, a constant, a left-out statement, ...) of the protocol and of the engine's
loop go into one build in a temporary folder, chosen by a number at run time; the tests of the core run on each in
a fork. survivors.py names the changes that no test notices, with the reason.

The exit status is 0 if at least 90 % of the changes are noticed, and those not noticed are just the ones that are
named. A sample takes survivors.py's word for it: it runs no tests on those named, counts them as not noticed, and does
not mind others. All slices of a run together are as good as the run of all changes; last_run.txt has the last one.

The checkout must be built in place: of the copy only the core is built anew.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from checks.instrumented import CHECKOUT, environment, lay_out_copy, protocol_files
from checks.mutation.mutants import Mutant, rewrite
from checks.mutation.survivors import SURVIVORS

LIMIT = 90.0

# The engine's decisions about frames and messages, by room; what it does about threads has other tests. None: all.
ENGINE: dict[str, tuple[str, ...] | None] = {
    "core/limiter.pxi": ("_allowed", "_not_before"),
    "core/queue.pxi": ("put_back", "push_first", "_place_ahead", "pop_whole"),
    "core/request.pxi": ("next_bytes",),
    "core/outlet.pxi": (
        "give",
        "flush_last",
        "flush",
        "_pause",
        "resume",
        "rest",
        "end_pause",
        "forget",
    ),
    "core/echoes.pxi": ("is_full", "add", "drop_oldest", "drop_newest", "confirm"),
    "core/target.pxi": ("put", "finish"),
    "core/reporter.pxi": ("tell", "_is_to_be_logged"),
    "core/endpoint.pxi": ("judge", "address_of_frame"),
    "core/sending.pxi": None,
    "core/receiving.pxi": None,
    "core/engine.pxi": (
        "begin_pass",
        "rests",
        "run",
        "expire",
        "expire_more",
        "run_out",
        "deadline",
        "receive_pass",
        "note_arrival",
        "take_from_batch",
        "is_echo",
    ),
    "core/driven.pxi": ("planned", "_read_on"),
    "core/hooks.pxi": None,
}
# The modules that run the protocol on what comes from outside, each with the changed protocol in it
MODULES = ("_core", "bulk._reassembler")
# Quick tests of the protocol and its promises
TESTS = (
    "core/test_*.py",
    "layers/test_better_than_can_isotp.py",
    "layers/test_overriding.py",
    "layers/test_restarts.py",
    "layers/test_stmin.py",
    "threads/test_callbacks.py",
    "bulk/test_reassembler.py",
    "bulk/test_memory.py",
    "bulk/test_properties.py",
    "conformance/test_*.py",
    "model/test_*.py",
)

# What the changed protocol and engine ask; each module that runs them has its own.
SWITCH = """
cdef extern from *:
    \"\"\"
    static int isotp_mutant = 0;
    static unsigned char isotp_reached[10000];
    static inline int isotp_is(int mutant) {
        isotp_reached[mutant] = 1;
        return isotp_mutant == mutant;
    }
    static inline void isotp_choose(int mutant) { isotp_mutant = mutant; }
    \"\"\"
    unsigned char *isotp_reached
    bint isotp_is(int mutant) noexcept nogil
    void isotp_choose(int mutant) noexcept nogil
"""
# Otherwise Cython makes the same C of "x == A and x == B" as of "x == A or x == B"; each file has its own directives.
DIRECTIVES = "# cython: optimize.use_switch=False\n"
CIMPORT = "from isotp._protocol.switch cimport isotp_choose, isotp_is, isotp_reached\n"
CONTROLS = """

def isotp_choose_mutant(int mutant):
    isotp_choose(mutant)


def isotp_forget_reached():
    memset(isotp_reached, 0, 10000)


def isotp_reached_mutants():
    return [k for k in range(10000) if isotp_reached[k]]

"""


def in_engine(file: str) -> Callable[[str], bool]:
    """Whether a function of that room, by its name, is to be changed."""
    names = ENGINE[file]
    return lambda name: names is None or name in names


def make_mutants(package: Path) -> list[Mutant]:
    """Rewrite the core of a copy; returns its mutants."""
    mutants: list[Mutant] = []

    def change(file: str, functions: Callable[[str], bool]) -> str:
        new, more = rewrite((package / file).read_text(), file, functions, len(mutants) + 1)
        mutants.extend(more)
        return new

    for file in protocol_files(package):
        (package / file).write_text(DIRECTIVES + CIMPORT + change(file, lambda name: True))
    (package / "_protocol/switch.pxd").write_text(SWITCH)
    for file in ENGINE:
        (package / file).write_text(change(file, in_engine(file)))
    for name in MODULES:
        module = package / f"{name.replace('.', '/')}.pyx"
        module.write_text(DIRECTIVES + module.read_text() + "\n\n" + CIMPORT + CONTROLS)
    return mutants


def build(copy: Path) -> None:
    """Build the modules of a copy that are changed; the others are those of the checkout."""
    setup = copy / "setup.py"
    text = setup.read_text()
    changed = tuple(f"isotp.{name}" for name in MODULES)
    only_changed = f"extensions = [each for each in extensions if each.name in {changed}]\n\nsetup("
    # To optimise more takes much longer than the tests lose.
    setup.write_text(text.replace('["-O3"]', '["-O1"]').replace("\nsetup(", "\n" + only_changed, 1))
    done = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"],
        cwd=copy,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        print(done.stdout, file=sys.stderr)
        done.check_returncode()


def subject() -> str:
    """What is tested: the revision of the checkout, and the Python."""
    asked = ["git", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(asked, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return f"a checkout without git, Python {platform.python_version()}"
    return f"{done.stdout.strip()}, Python {platform.python_version()}"


def part(text: str) -> tuple[int, int]:
    """K/N: the K-th of N parts."""
    k, n = map(int, text.split("/"))
    if not 1 <= k <= n:
        raise ValueError(text)
    return k, n


Outcomes = dict[int, dict[str, Any]]


def outcomes_in(file: Path) -> Outcomes:
    return {outcome["mutant"]: outcome for outcome in map(json.loads, file.read_text().splitlines()[1:])}


def goes_on(file: Path, tested: str) -> bool:
    """Whether the file is of an interrupted run of the same subject, as far as that can be told."""
    certain = "git" not in tested and "dirty" not in tested
    return certain and file.exists() and file.read_text().startswith(json.dumps(tested) + "\n")


def run_tests(copy: Path, chosen: list[Mutant], jobs: int, outcomes: Path, tested: str) -> Outcomes:
    if not goes_on(outcomes, tested):
        outcomes.write_text(json.dumps(tested) + "\n")
    known = outcomes_in(outcomes)
    tests = sorted(
        str(path.relative_to(copy)) for pattern in TESTS for path in (copy / "tests").glob(pattern)
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-qq",
        "-p",
        "no:cacheprovider",
        "-p",
        "checks.mutation.plugin",
    ]
    subprocess.run(
        [*command, "--timeout=60", *tests],
        cwd=copy,
        env={
            **environment(copy),
            "ISOTP_MUTANTS": json.dumps([mutant.number for mutant in chosen if mutant.number not in known]),
            "ISOTP_MUTATION_FOLDER": str(copy),
            "ISOTP_MUTATION_OUTCOMES": str(outcomes.resolve()),
            "ISOTP_MUTATION_JOBS": str(jobs),
        },
        stdout=sys.stderr,
        check=True,
    )
    found = outcomes_in(outcomes)
    return {mutant.number: found[mutant.number] for mutant in chosen}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sample", type=int, metavar="N", help="only so many of the changes")
    parser.add_argument("--seed", type=int, default=0, help="which ones (%(default)s)")
    parser.add_argument("--slice", type=part, metavar="K/N", help="only the K-th of N parts that take turns")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at a time (%(default)s)")
    parser.add_argument("--only", metavar="REGEX", help="only changes that match")
    parser.add_argument(
        "--outcomes", type=Path, metavar="FILE", help="note them there; an interrupted run goes on from them"
    )
    parser.add_argument("--list", action="store_true", help="print the changes, build nothing")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="isotp-") as folder:
        copy = Path(folder)
        lay_out_copy(copy, built=True)
        mutants = make_mutants(copy / "src" / "isotp")
        chosen = [m for m in mutants if options.only is None or re.search(options.only, f"{m.file}: {m.key}")]
        if options.slice is not None:
            first, step = options.slice
            chosen = chosen[first - 1 :: step]
        if options.sample is not None:
            chosen = random.Random(options.seed).sample(chosen, min(options.sample, len(chosen)))
        if options.list:
            for mutant in chosen:
                print(f"{mutant.number:4} {mutant.line:4} {mutant.key}")
            return 0
        tested = subject()
        build(copy)
        is_sample = options.sample is not None
        tried = [mutant for mutant in chosen if not (is_sample and mutant.key in SURVIVORS)]
        file = options.outcomes or copy / "outcomes"
        outcomes = run_tests(copy, tried, options.jobs, file, tested)

    print(tested)
    survivors = [m for m in chosen if m.number not in outcomes or not outcomes[m.number]["killed"]]
    how = Counter(
        str(outcome["killed"]).partition(":")[0] for outcome in outcomes.values() if outcome["killed"]
    )
    unnamed = [mutant for mutant in survivors if mutant.key not in SURVIVORS]
    for mutant in survivors:
        reason = SURVIVORS.get(mutant.key, "NO REASON")
        reached = f"{outcomes[mutant.number]['reached']} tests" if mutant.number in outcomes else "not tried"
        print(f"survived: {mutant.file}:{mutant.line} ({reached}): {mutant.key}: {reason}")
    alive = {mutant.key for mutant in survivors}
    # In a run of all changes also what is named and not there
    named = SURVIVORS if len(chosen) == len(mutants) else {m.key for m in chosen if m.key in SURVIVORS}
    gone = [key for key in named if key not in alive]
    for key in gone:
        print(f"does not survive: {key}")
    killed = len(chosen) - len(survivors)
    share = 100 * killed / len(chosen)
    counts = ", ".join(f"{count} {name}" for name, count in how.most_common())
    print(
        f"{len(chosen)} of {len(mutants)} mutants: {killed} killed ({counts}), that is {share:.1f} %;"
        f" {len(survivors)} survived, {len(unnamed)} of them without a reason"
    )
    as_named = not unnamed and not gone
    return 0 if share >= LIMIT and (as_named or is_sample) else 1


if __name__ == "__main__":
    sys.exit(main())
