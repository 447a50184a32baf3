"""Does the gate keep its word? A slow-down of a hot function by 5 percent is caught; runs without a change are not.

In a copy of the checkout:

1. counts are stored;
2. the gate runs ten times with nothing changed: it may not find anything;
3. lines of comment are put in front of all Cython code, and it is built again: nothing may be found;
4. hot functions are slowed down by 5 percent, one after the other, by so many instructions that do nothing, each built
   again: the gate has to fail, and to name the function.

It takes some minutes, most of them for the compiler. Needs what a build needs, and valgrind.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import callgrind, gate
from benchmarks.callgrind import ROOT

SLOWER = 0.05

# Workloads, and how many of their hot functions are slowed down.
VICTIMS = {"classic-4095-bs0": 2, "bulk-classic-4095-1": 1}

DO_NOTHING = '''
cdef extern from *:
    """
    static inline void isotp_do_nothing(void) {{ __asm__ volatile (".rept {count}; nop; .endr"); }}
    """
    void isotp_do_nothing() noexcept nogil

'''


def copy_of_checkout(folder: Path) -> Path:
    """Return a copy, with what is built already."""
    copy = folder / "checkout"
    left = shutil.ignore_patterns(".git", ".venv", "*.egg-info", "__pycache__", "tests", "docs")
    shutil.copytree(ROOT, copy, ignore=left)
    return copy


def environment(copy: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(copy / "src")}


def build(copy: Path) -> None:
    """Build in place what has changed; RuntimeError with the compiler's words if that fails."""
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the build failed:\n{done.stderr}")


def run_gate(copy: Path, *arguments: str) -> tuple[int, str]:
    """Return the exit status of the gate in the copy, and what it said."""
    command = [sys.executable, "-m", "benchmarks.gate", "--file", str(copy / "counts.json"), *arguments]
    done = subprocess.run(
        command,
        cwd=copy,
        env=environment(copy),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def findings(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("MORE")] or said.splitlines()[-1:]


def definition(copy: Path, name: str) -> tuple[Path, int, int] | None:
    """Return the file of a C function of Cython's, and where its definition begins and its body starts."""
    for path in sorted([*(copy / "src").rglob("*.pyx"), *(copy / "src").rglob("*.pxi")]):
        pattern = rf"^[ ]*cdef [^\n(=]*\b{re.escape(name)}\((?:[^()]|\([^()]*\))*\)[^\n:]*:\n"
        if found := re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE):
            return path, found.start(), found.end()
    return None


def victims(copy: Path, workload: str) -> Iterator[tuple[str, int]]:
    """Yield hot functions whose definition is found, the least ones first: name, instructions of a call."""
    with tempfile.TemporaryDirectory() as folder:
        profile = callgrind.run({workload: gate.WORKLOADS[workload]}, Path(folder))[workload]
    hot = gate.counts_of(workload, profile).functions
    for each in sorted(profile.functions.values(), key=lambda each: each.inclusive):
        name = gate.readable(each.name)
        if (
            gate.is_ours(each.library)
            and name in hot
            and each.calls
            and definition(copy, name.split(".")[-1])
        ):
            yield name, each.inclusive // each.calls


def slow_down(copy: Path, name: str, instructions: int) -> Path:
    """Put so many instructions in front of a function's body; return the file."""
    found = definition(copy, name.split(".")[-1])
    if found is None:
        raise RuntimeError(f"{name} is not defined in the copy")
    path, start, body = found
    text = path.read_text(encoding="utf-8")
    indentation = re.match(r"[ ]*", text[start:])
    assert indentation is not None
    call = f"{indentation[0]}    isotp_do_nothing()\n"
    text = text[:body] + call + text[body:]
    # Before the first definition of any kind.
    first = re.search(r"^(cdef|def|class|cpdef|ctypedef|from|import|cimport)\b", text, re.MULTILINE)
    assert first is not None
    text = text[: first.start()] + DO_NOTHING.format(count=instructions) + text[first.start() :]
    path.write_text(text, encoding="utf-8")
    return path


def check(runs: int) -> Iterator[tuple[bool, str]]:
    """Yield what was tried, and whether it went as it should."""
    with tempfile.TemporaryDirectory(prefix="gate-check-") as folder:
        copy = copy_of_checkout(Path(folder))
        build(copy)
        status, said = run_gate(copy, "--update", "--reason", "as it is")
        yield status == gate.GOOD, f"counts stored: {findings(said)[0]}"
        for number in range(1, runs + 1):
            status, said = run_gate(copy)
            yield status == gate.GOOD, f"nothing changed, run {number}: {'; '.join(findings(said))}"
        for path in [*(copy / "src").rglob("*.pyx"), *(copy / "src").rglob("*.pxi")]:
            text = path.read_text(encoding="utf-8")
            path.write_text("# A comment\n# of two lines.\n" + text, encoding="utf-8")
        build(copy)
        status, said = run_gate(copy)
        yield status == gate.GOOD, f"comments added, built again: {'; '.join(findings(said))}"
        for workload, count in VICTIMS.items():
            for name, cost in list(victims(copy, workload))[:count]:
                instructions = math.ceil(SLOWER * cost)
                found = definition(copy, name.split(".")[-1])
                assert found is not None
                before = found[0].read_text(encoding="utf-8")
                slow_down(copy, name, instructions)
                build(copy)
                status, said = run_gate(copy)
                named = [line for line in findings(said) if name in line]
                what = f"{name} takes {instructions} instructions more than {cost}"
                yield status == gate.GREW and bool(named), f"{what}: {'; '.join(named or findings(said))}"
                found[0].write_text(before, encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status: 1 if the gate failed in anything."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gate_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=int, default=10, help="runs without a change (default: 10)")
    options = parser.parse_args(arguments)
    failures = 0
    for good, what in check(options.runs):
        print(f"{'good' if good else 'FAILED'}: {what}", flush=True)
        failures += not good
    print("the gate keeps its word" if not failures else f"{failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
